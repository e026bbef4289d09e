//! What is sealed opens in its place and nowhere else, and for its recipients only.

mod keys;
mod rows;

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::block::ResourceId;
use crate::error::{BackupError, Class};
use crate::id::BackupId;
use crate::random::Random;

const ID: &str = "full-2026-11-23T02-00-00-k3j9x0q2mz";
const OTHER_ID: &str = "full-2026-11-23T02-00-00-k3j9x0q2ma";

fn id(text: &str) -> BackupId {
    text.parse().unwrap()
}

fn epoch(byte: u8) -> Epoch {
    Epoch::new([byte; 32])
}

fn sealer() -> Sealer {
    Sealer::new(&id(ID), &DataKey::new([7; 32]), &epoch(1))
}

/// Bytes that follow from a seed.
fn random(seed: u64) -> impl Fn(&mut [u8]) -> Result<(), BackupError> + Sync {
    let (random, drawn) = (Random::new(seed), AtomicU64::new(0));
    move |bytes: &mut [u8]| {
        drawn.fetch_add(1, Ordering::Relaxed);
        for byte in bytes {
            *byte = random.next().to_le_bytes()[0];
        }
        Ok(())
    }
}

fn contexts() -> Vec<Context<'static>> {
    let mut contexts = vec![
        Context::KeyId,
        Context::Claim,
        Context::Manifest,
        Context::File("s3db.json"),
        Context::File("_database.json"),
    ];
    for resource in [ResourceId(0), ResourceId(1), ResourceId(11)] {
        for number in [0, 1, 11] {
            contexts.push(Context::Chunk { resource, number });
            let segment = u32::try_from(number).unwrap();
            contexts.push(Context::Index { resource, segment });
            for is_last in [false, true] {
                for part in [0, 1] {
                    contexts.push(Context::Rows {
                        resource,
                        number,
                        part,
                        is_last,
                    });
                }
                for (first_chunk, chunks) in [(0, 1), (1, 0), (1, 1)] {
                    contexts.push(Context::End {
                        resource,
                        segment,
                        first_chunk,
                        chunks,
                        is_last,
                    });
                }
            }
        }
    }
    contexts
}

#[test]
fn no_two_things_have_a_key_in_common() {
    let contexts = contexts();
    let mut lines: Vec<String> = contexts.iter().map(|it| it.line(&id(ID))).collect();
    lines.extend(contexts.iter().map(|it| it.line(&id(OTHER_ID))));
    let count = lines.len();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), count);

    let sealed = sealer().seal(contexts[5], b"a chunk");
    for context in &contexts {
        let opened = sealer().open("it", *context, &sealed);
        assert_eq!(opened.is_ok(), *context == contexts[5], "{context:?}");
    }
    // Another backup with the same key, another key, another attempt.
    for stranger in [
        Sealer::new(&id(OTHER_ID), &DataKey::new([7; 32]), &epoch(1)),
        Sealer::new(&id(ID), &DataKey::new([8; 32]), &epoch(1)),
        Sealer::new(&id(ID), &DataKey::new([7; 32]), &epoch(2)),
    ] {
        let error = stranger.open("it", contexts[5], &sealed).unwrap_err();
        assert_eq!(error.class(), Class::Corrupt);
        assert_ne!(stranger.key_id(), sealer().key_id());
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_every_flipped_bit_is_found(
        plain in proptest::collection::vec(any::<u8>(), 0..300),
        flip in any::<proptest::sample::Index>(),
        cut in any::<proptest::sample::Index>(),
    ) {
        let context = Context::Chunk { resource: ResourceId(3), number: 4 };
        let sealed = sealer().seal(context, &plain);
        prop_assert_eq!(sealed.len(), plain.len() + TAG_BYTES);
        prop_assert_eq!(&sealer().open("it", context, &sealed).unwrap()[..], &plain[..]);
        let bit = flip.index(sealed.len() * 8);
        let mut damaged = sealed.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(sealer().open("it", context, &damaged).is_err());
        prop_assert!(sealer().open("it", context, &sealed[..cut.index(sealed.len())]).is_err());
        let longer = [&sealed[..], b"x"].concat();
        prop_assert!(sealer().open("it", context, &longer).is_err());
    }

    #[test]
    fn garbage_opens_nothing(garbage in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(sealer().open("it", Context::File("a"), &garbage).is_err());
    }
}
