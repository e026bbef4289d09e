//! Simulated destinations as they are written: `sim:rate=50MB/s,latency=20ms,stall=5s@30%,errors=0.1%,of=DEST`.

use std::time::Duration;

use teeline::BackupError;

/// How a simulated destination is to behave.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Simulation {
    /// Bytes in a second, read and written together.
    pub(crate) rate: Option<u64>,
    pub(crate) latency: Duration,
    /// How long one write takes longer, once this part of the run's bytes is written.
    pub(crate) stall: Option<(Duration, f64)>,
    /// The part of calls that fail.
    pub(crate) errors: f64,
    /// The destination behind it, where there is one.
    pub(crate) of: Option<String>,
}

const FORM: &str = "accepted after sim: are rate=50MB/s, latency=20ms, stall=5s@30%, errors=0.1%, and of=DEST as the last";

impl Simulation {
    /// Reads what stands behind `sim:`.
    pub(crate) fn parse(text: &str) -> Result<Self, BackupError> {
        let mut simulation = Simulation::default();
        let mut rest = text;
        while !rest.is_empty() {
            // What is behind `of` may have commas of its own.
            if let Some(of) = rest.strip_prefix("of=") {
                simulation.of = Some(of.to_owned());
                break;
            }
            let (part, behind) = rest.split_once(',').unwrap_or((rest, ""));
            rest = behind;
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            simulation.set(name, value).ok_or_else(|| refused(part))?;
        }
        Ok(simulation)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "rate" => self.rate = Some(rate(value)?),
            "latency" => self.latency = duration(value)?,
            "stall" => {
                let (time, part) = value.split_once('@')?;
                self.stall = Some((duration(time)?, percent(part)?));
            }
            "errors" => self.errors = percent(value)?,
            _ => return None,
        }
        Some(())
    }
}

fn refused(part: &str) -> BackupError {
    // A part may be a misplaced place with secrets in it, so only its name is quoted.
    let name = part.split('=').next().unwrap_or_default();
    let name = if name.chars().all(|c| c.is_ascii_lowercase()) {
        name
    } else {
        "…"
    };
    BackupError::usage("--to sim:", format!("{name:?} isn't understood")).suggest(FORM)
}

fn rate(text: &str) -> Option<u64> {
    let text = text.strip_suffix("/s")?;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: f64 = match &text[digits.len()..] {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let rate = number(digits)? * unit;
    // Within these bounds it is a whole number of 64 bits.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded"
    )]
    (1.0..1e15).contains(&rate).then_some(rate as u64)
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    let seconds = number(digits)? * unit;
    (0.0..=3_600.0)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

fn percent(text: &str) -> Option<f64> {
    let percent = number(text.strip_suffix('%')?)?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

fn number(digits: &str) -> Option<f64> {
    let is_plain = |c: char| c.is_ascii_digit() || c == '.';
    let number = digits.chars().all(is_plain).then(|| digits.parse().ok());
    number.flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_read() {
        let parsed = Simulation::parse(
            "rate=50MB/s,latency=20ms,stall=5s@30%,errors=0.1%,of=http://h:1/bucket?a=1,b",
        );
        let expected = Simulation {
            rate: Some(50_000_000),
            latency: Duration::from_millis(20),
            stall: Some((Duration::from_secs(5), 0.3)),
            errors: 0.001,
            of: Some("http://h:1/bucket?a=1,b".to_owned()),
        };
        assert_eq!(parsed.unwrap(), expected);
        assert_eq!(Simulation::parse("").unwrap(), Simulation::default());
        let rate = |text: &str| Simulation::parse(text).unwrap().rate;
        assert_eq!(rate("rate=1.5MiB/s"), Some(1_572_864));
    }

    #[test]
    fn what_is_wrong_is_refused_without_quoting_secrets() {
        for wrong in [
            "rate=50MB",
            "rate=/s",
            "rate=-1MB/s",
            "rate=NaNMB/s",
            "latency=20",
            "latency=2h",
            "stall=5s",
            "stall=5s@130%",
            "errors=1",
            "speed=1MB/s",
            "http://KEY:SECRET@host/bucket",
        ] {
            let error = Simulation::parse(wrong).unwrap_err();
            assert!(!error.to_string().contains("SECRET"), "{error}");
            assert!(error.suggestion().is_some());
        }
    }
}
