//! A sample of a database: everything is listed, and of each resource some objects are read, from all over it.

use std::hash::{DefaultHasher, Hash, Hasher};

use teeline_core::{BackupError, ResourceId, SampleLimits, SampleShare};
use tokio::sync::mpsc;

use super::catalogue::Catalogue;
use super::keys::{Keys, KeysReceiver};
use super::listing::Listed;
use super::part::is_assumed;
use super::walk::record_id;

/// What an object counts besides its body: a listing doesn't tell how much metadata there is.
const METADATA_BYTES: u64 = 1 << 10;

/// Objects of a listing, chosen by hashes of their keys: every second, or so, of what alternates would be one of its kinds only.
struct Spread {
    limits: SampleLimits,
    kept: Vec<Listed>,
    /// Of 2 to the power of this, about one is kept.
    halvings: u32,
    share: SampleShare,
}

impl Spread {
    fn new(limits: SampleLimits) -> Self {
        Spread {
            limits,
            kept: Vec::new(),
            halvings: 0,
            share: SampleShare::default(),
        }
    }

    fn push(&mut self, listed: Listed) {
        let records = self.share.records.get_or_insert(0);
        *records += 1;
        // One that is most of a sample by itself says nothing of the others.
        if weight(&listed) > self.limits.bytes / 4 {
            self.share.large_bytes += listed.size;
            return;
        }
        self.share.bytes += weight(&listed);
        if is_chosen(&listed, self.halvings) {
            self.kept.push(listed);
        }
        while self.kept.len() as u64 > self.limits.records {
            self.thin();
        }
    }

    /// Leaves out about half.
    fn thin(&mut self) {
        self.halvings += 1;
        let halvings = self.halvings;
        self.kept.retain(|listed| is_chosen(listed, halvings));
    }

    fn take(mut self) -> (Vec<Listed>, SampleShare) {
        let bytes = |kept: &[Listed]| kept.iter().map(weight).sum::<u64>();
        let first = self.kept.first().cloned();
        while self.kept.len() > 1 && bytes(&self.kept) > self.limits.bytes {
            self.thin();
        }
        // Nothing would say nothing of what there is.
        if self.kept.is_empty() {
            self.kept.extend(first);
        }
        let share = SampleShare {
            records: Some(self.share.records.unwrap_or(0)),
            sampled_records: self.kept.len() as u64,
            sampled_bytes: bytes(&self.kept),
            ..self.share
        };
        (self.kept, share)
    }
}

fn is_chosen(listed: &Listed, halvings: u32) -> bool {
    let mut hasher = DefaultHasher::new();
    listed.key.hash(&mut hasher);
    hasher.finish().trailing_zeros() >= halvings
}

fn weight(listed: &Listed) -> u64 {
    match is_assumed(listed) {
        true => METADATA_BYTES,
        false => listed.size.saturating_add(METADATA_BYTES),
    }
}

/// Lists all keys; gives those of the sample, and the shares: of the resources in their order, then of all other objects.
pub(super) async fn sample(
    catalogue: &Catalogue,
    mut keys: KeysReceiver,
    limits: SampleLimits,
) -> Result<(KeysReceiver, Vec<SampleShare>), BackupError> {
    let mut resources: Vec<(ResourceId, usize, Spread)> = Vec::new();
    let mut objects = Spread::new(limits);
    let mut is_open = false;
    while let Some(keys) = keys.recv().await {
        match keys? {
            Keys::Begin(id, index) => {
                resources.push((id, index, Spread::new(limits)));
                is_open = true;
            }
            Keys::End(_) => is_open = false,
            Keys::Page(page) => {
                for listed in page {
                    let of_record = resources.last_mut().filter(|(_, index, _)| {
                        is_open
                            && record_id(&listed.key, &catalogue.resources[*index].name).is_some()
                    });
                    match of_record {
                        Some((_, _, spread)) => spread.push(listed),
                        None => objects.push(listed),
                    }
                }
            }
        }
    }
    let mut sampled = Vec::new();
    let mut shares = Vec::new();
    for (id, index, spread) in resources {
        let (kept, share) = spread.take();
        sampled.extend([Keys::Begin(id, index), Keys::Page(kept), Keys::End(id)]);
        shares.push(share);
    }
    let (kept, share) = objects.take();
    sampled.push(Keys::Page(kept));
    shares.push(share);
    let (out, keys) = mpsc::channel(1);
    tokio::spawn(async move {
        for keys in sampled {
            // Where nobody reads any more there is nobody to tell.
            if out.send(Ok(keys)).await.is_err() {
                return;
            }
        }
    });
    Ok((keys, shares))
}

#[cfg(test)]
mod tests {
    use teeline_core::Timestamp;

    use super::*;

    fn spread(
        sizes: impl Iterator<Item = u64>,
        limits: SampleLimits,
    ) -> (Vec<Listed>, SampleShare) {
        let mut spread = Spread::new(limits);
        for (number, size) in sizes.enumerate() {
            spread.push(Listed {
                key: number.to_string(),
                size,
                last_modified: Some(Timestamp::from_unix_ms(0)),
                version: 0,
                version_as_read: 0,
            });
        }
        spread.take()
    }

    #[test]
    fn a_sample_is_spread_over_the_whole_and_bounded() {
        let limits = SampleLimits {
            records: 100,
            bytes: 1 << 20,
        };
        let (kept, share) = spread((0..10_000).map(|_| 0), limits);
        assert!((30..=100).contains(&kept.len()), "{}", kept.len());
        let numbers: Vec<u64> = kept
            .iter()
            .map(|listed| listed.key.parse().unwrap())
            .collect();
        let odd = numbers.iter().filter(|number| *number % 2 == 1).count();
        assert!(
            (kept.len() / 4..=kept.len() * 3 / 4).contains(&odd),
            "{numbers:?}"
        );
        assert!(
            numbers[0] < 1_500 && *numbers.last().unwrap() > 8_500,
            "{numbers:?}"
        );
        assert_eq!((share.records, share.bytes), (Some(10_000), 10_000 << 10));
        assert_eq!(share.sampled_bytes, (kept.len() as u64) << 10);

        let (kept, share) = spread((0..100).map(|_| 100_000), limits);
        assert!(
            share.sampled_bytes <= 1 << 20 && kept.len() > 1,
            "{share:?}"
        );
        let (kept, share) = spread([1, 1 << 30, 2].into_iter(), limits);
        assert_eq!(
            (kept.len(), share.large_bytes, share.records),
            (2, 1 << 30, Some(3))
        );
        assert!(!share.is_whole());
        let (kept, share) = spread(0..20, limits);
        assert_eq!(kept.len(), 20);
        assert!(share.is_whole());
    }
}
