//! What repeated measurements say.

use serde::{Deserialize, Serialize};

/// The middle of some measurements, and how far apart they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// Half of them are at least, half at most this.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of these; all 0 where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (values.first(), values.last()) else {
            return Spread {
                median: 0.0,
                min: 0.0,
                max: 0.0,
            };
        };
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Spread {
            median,
            min: *min,
            max: *max,
        }
    }

    /// How far the middle may be off, as a part of it: half of the distance between the least and the most.
    pub fn noise(&self) -> f64 {
        match self.median > 0.0 {
            true => (self.max - self.min) / 2.0 / self.median,
            false => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends() {
        let of = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(of(&[3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        let spread = of(&[10.0, 9.0, 12.0]);
        assert_eq!((spread.min, spread.max), (9.0, 12.0));
        assert!((spread.noise() - 0.15).abs() < 1e-9);
        assert_eq!(of(&[5.0]).noise(), 0.0);
        assert_eq!(of(&[]).median, 0.0);
    }
}
