//! What is sealed opens in its place and nowhere else, and for its recipients only.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use proptest::prelude::*;

use super::*;
use crate::block::{Block, ResourceId};
use crate::chunk::BlockEncoder;
use crate::codec::Encoder;
use crate::compress::Compression;
use crate::document;
use crate::error::{BackupError, Class};
use crate::id::BackupId;
use crate::index::ResourceEnd;
use crate::placing::{Placement, Placer, ResourceKind};
use crate::random::Random;
use crate::source::{PlannedResource, ResourceCounts};
use crate::time::Timestamp;

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

fn recipients() -> Vec<(Recipient, KeySecret)> {
    let cheap = KdfFunction::Pbkdf2Sha256 { iterations: 1_000 };
    let memory = KdfFunction::Argon2id {
        memory_kib: 8 << 10,
        iterations: 1,
        parallelism: 1,
    };
    let with = |text: &str, function| {
        let secret = KeySecret::parse(text).unwrap();
        (Recipient::of(&secret, function), secret)
    };
    let pair = X25519Secret::new([9; 32]);
    let public: X25519Public = pair.public().to_string().parse().unwrap();
    vec![
        with("correct horse", cheap),
        with("battery staple", memory),
        with(&RawKey::new([5; 32]).to_text(), cheap),
        (
            Recipient::X25519(public),
            KeySecret::parse(&pair.to_text()).unwrap(),
        ),
    ]
}

#[test]
fn a_data_key_opens_for_its_recipient_and_for_nobody_else() {
    let (backup, data_key, random) = (id(ID), DataKey::new([7; 32]), random(1));
    let key_id = sealer().key_id();
    let all = recipients();
    for (index, (recipient, _)) in all.iter().enumerate() {
        let at = Timestamp::from_unix_ms(1_795_399_200_000);
        let made = SealedKey::seal((&backup, &data_key, key_id), recipient, at, &random).unwrap();
        let stored = document::seal(&made);
        let read: SealedKey = document::open("key", &stored).unwrap();
        assert_eq!(read, made);
        let text = String::from_utf8(stored.to_vec()).unwrap();
        for secret in ["horse", "staple", "CQkJCQ", "BQUFBQ", "BwcHBw"] {
            assert!(!text.contains(secret), "{text}");
        }
        for (other, (_, secret)) in all.iter().enumerate() {
            let opened = read.open(secret).unwrap();
            assert_eq!(opened.is_some(), other == index, "{secret:?}");
            if let Some(opened) = opened {
                let opened = Sealer::new(&backup, &opened, &epoch(1));
                assert_eq!(opened.key_id(), key_id);
            }
        }
        // That of one backup isn't that of another.
        let moved = SealedKey {
            backup: id(OTHER_ID),
            ..read
        };
        assert!(moved.open(&all[index].1).unwrap().is_none());
    }
}

#[test]
fn two_objects_for_one_recipient_have_nothing_in_common() {
    let (backup, data_key, random) = (id(ID), DataKey::new([7; 32]), random(1));
    for (recipient, _) in recipients() {
        let make = || {
            let of = (&backup, &data_key, sealer().key_id());
            SealedKey::seal(of, &recipient, Timestamp::from_unix_ms(0), &random).unwrap()
        };
        let (one, two) = (make(), make());
        assert_ne!(one.name, two.name);
        assert_ne!(one.sealed, two.sealed);
        assert_ne!(one.recipient, two.recipient);
    }
}

#[test]
fn the_key_is_committed_to() {
    let entry = SealEntry {
        algorithm: SealAlgorithm::default(),
        epoch: epoch(1),
        key: sealer().key_id(),
        previous: None,
    };
    assert!(Sealer::of(&id(ID), &DataKey::new([7; 32]), &entry).is_ok());
    let error = Sealer::of(&id(ID), &DataKey::new([8; 32]), &entry).unwrap_err();
    assert_eq!(error.class(), Class::WrongKey);
    let text = serde_json::to_string(&entry).unwrap();
    assert!(
        text.starts_with(r#"{"algorithm":"AES-256-GCM","epoch":"0101"#),
        "{text}"
    );
}

#[test]
fn what_a_key_object_asks_for_is_bounded() {
    let sealed_for = |kdf: &str| {
        let text = format!(
            r#"{{"backup":"{ID}","key":"{}","name":"passphrase-x","addedAt":"2026-11-23T02:00:00.000Z",
            "recipient":{{"kind":"passphrase","kdf":{kdf}}},"sealed":""}}"#,
            epoch(0)
        );
        serde_json::from_str::<SealedKey>(&text).unwrap()
    };
    let secret = KeySecret::parse("x").unwrap();
    let salt = r#""salt":"AAAAAAAAAAAAAAAAAAAAAA==""#;
    for kdf in [
        format!(
            r#"{{"algorithm":"argon2id","memoryKib":67108864,"iterations":3,"parallelism":1,{salt}}}"#
        ),
        format!(
            r#"{{"algorithm":"argon2id","memoryKib":8,"iterations":3,"parallelism":1,{salt}}}"#
        ),
        format!(
            r#"{{"algorithm":"argon2id","memoryKib":65536,"iterations":4000000000,"parallelism":1,{salt}}}"#
        ),
        format!(
            r#"{{"algorithm":"argon2id","memoryKib":65536,"iterations":3,"parallelism":255,{salt}}}"#
        ),
        format!(r#"{{"algorithm":"pbkdf2-sha256","iterations":4294967295,{salt}}}"#),
        format!(r#"{{"algorithm":"pbkdf2-sha256","iterations":0,{salt}}}"#),
        r#"{"algorithm":"pbkdf2-sha256","iterations":600000,"salt":"AAAA"}"#.to_owned(),
    ] {
        let error = sealed_for(&kdf).open(&secret).unwrap_err();
        assert!(error.message().contains("accepted: "), "{kdf}: {error}");
    }
}

#[test]
fn weak_derivations_are_known_and_raised() {
    let weak = KdfFunction::Pbkdf2Sha256 {
        iterations: 100_000,
    };
    assert_eq!(weak.strength(), KdfStrength::Weak);
    let floor = KdfFunction::Pbkdf2Sha256 {
        iterations: PBKDF2_ITERATIONS_FLOOR,
    };
    assert_eq!(weak.raised(), floor);
    let weak = KdfFunction::Argon2id {
        memory_kib: 8 << 10,
        iterations: 1,
        parallelism: 4,
    };
    assert_eq!(weak.raised().strength(), KdfStrength::Enough);
    for enough in [floor, KdfFunction::default()] {
        assert_eq!(
            (enough.strength(), enough.raised()),
            (KdfStrength::Enough, enough)
        );
    }
}

#[test]
fn the_key_derivations_are_those_of_others() {
    let KeySecret::Passphrase(passphrase) = KeySecret::parse("passwd").unwrap() else {
        panic!("a passphrase")
    };
    let derive = |function| {
        let salt = Base64::new(b"sixteen bytes so".to_vec());
        let key = Kdf { function, salt }.derive(&passphrase).unwrap();
        Epoch::new(*key).to_string()
    };
    // As Python's hashlib and cryptography give them.
    assert_eq!(
        derive(KdfFunction::Pbkdf2Sha256 { iterations: 1_000 }),
        "975572bbaf38dffaa72e6a3a68e86955dff38f9a0d6ae03ce94a45df21d45d71"
    );
    assert_eq!(
        derive(KdfFunction::Argon2id {
            memory_kib: 8 << 10,
            iterations: 2,
            parallelism: 2
        }),
        "e856663d547de56a08c455256bba744afc0867694caf4ece0227f382f99e8347"
    );
}

#[test]
fn secrets_are_read_and_never_shown() {
    let hex = format!("hex:{}", "0a".repeat(32));
    assert!(matches!(KeySecret::parse(&hex), Ok(KeySecret::Key(_))));
    for wrong in [
        "",
        "hex:0a",
        "hex:zz",
        "base64:AAAA",
        "x25519-secret:CANARY",
        "x25519:AAAA",
    ] {
        let error = KeySecret::parse(wrong).unwrap_err();
        assert_eq!(error.class(), Class::Usage, "{wrong}");
        assert!(!error.to_string().contains("CANARY"), "{error}");
    }
    assert!(matches!(
        KeySecret::passphrase(&hex),
        Ok(KeySecret::Passphrase(_))
    ));
    for (recipient, secret) in recipients() {
        let shown = format!(
            "{secret:?} {recipient:?} {:?} {:?}",
            DataKey::new([7; 32]),
            sealer()
        );
        for canary in ["horse", "staple", "CQkJ", "BQUF", "[7", "[5", "[9"] {
            assert!(!shown.contains(canary), "{shown}");
        }
    }
}

#[test]
fn documents_are_authenticated() {
    let (backup, data_key, random) = (id(ID), DataKey::new([7; 32]), random(1));
    let recipient = &recipients()[2].0;
    let of = (&backup, &data_key, sealer().key_id());
    let document = SealedKey::seal(of, recipient, Timestamp::from_unix_ms(0), &random).unwrap();
    let mac = |body: &[u8]| sealer().mac(Context::Claim, body);
    let bytes = document::seal_authenticated(&document, mac);
    assert_eq!(document::open::<SealedKey>("it", &bytes).unwrap(), document);
    let check = |bytes: &[u8]| sealer().check_document("it", Context::Claim, bytes);
    assert!(check(&bytes).is_ok());
    assert!(
        sealer()
            .check_document("it", Context::Manifest, &bytes)
            .is_err()
    );
    assert!(check(&document::seal(&document)).is_err());
    // One that says something else, and whose digest is right.
    let other = SealedKey {
        added_at: Timestamp::from_unix_ms(1),
        ..document
    };
    let forged = document::seal_authenticated(&other, |_| epoch(3));
    assert!(document::open::<SealedKey>("it", &forged).is_ok());
    assert_eq!(check(&forged).unwrap_err().class(), Class::Corrupt);
    assert!(check(b"").is_err());
}

/// A chunk's rows, its lines of the index and those of the chunk after it, in an index.
fn index_of(rows: [&[u8]; 2]) -> Bytes {
    let sealer = Arc::new(sealer());
    let planned = [PlannedResource {
        kind: ResourceKind::Records("users".to_owned()),
        plain_bytes: None,
    }];
    let placer = Placer::new(id(ID), Compression::default(), 1 << 20, &planned).unwrap();
    let mut placer = placer.sealing(Some(Arc::clone(&sealer))).unwrap();
    let encoder = BlockEncoder::new(Compression::default()).unwrap();
    let mut encoder = encoder.sealing(Some(sealer));
    let mut out = Vec::new();
    for (number, rows) in (0..).zip(rows) {
        let block = Block {
            resource: ResourceId(0),
            number,
            records: 1,
            bytes: Bytes::from_static(b"{}\n"),
            rows: Bytes::copy_from_slice(rows),
            origin: None,
        };
        placer
            .place(encoder.encode(block).unwrap(), &mut out)
            .unwrap();
    }
    let end = ResourceEnd {
        counts: ResourceCounts::default(),
        ended_at: Timestamp::from_unix_ms(0),
    };
    placer.end(ResourceId(0), end, &mut out).unwrap();
    let index = out.into_iter().find_map(|placement| match placement {
        Placement::Close { index, .. } => Some(index),
        _ => None,
    });
    index.unwrap()
}

fn rows_of(index: &[u8]) -> Result<Vec<(u64, Bytes)>, BackupError> {
    let mut all = Vec::new();
    open_rows(&sealer(), "it", index, |number, rows| {
        all.push((number, rows));
        Ok(())
    })?;
    Ok(all)
}

#[test]
fn rows_read_back_whatever_their_size_and_only_in_their_place() {
    let random = Random::new(3);
    // They don't get smaller, and so take several parts.
    let noise = std::iter::repeat_with(|| random.next().to_le_bytes()[0]);
    let large: Vec<u8> = noise.take(200_000).collect();
    let index = index_of([&large, b"{\"object\":{\"key\":\"secret\"}}\n"]);
    assert!(sealer().open_index("it", &index).is_ok());
    let rows = rows_of(&index).unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows[0] == (0, Bytes::from(large.clone())) && rows[1].0 == 1);

    let mut text = String::new();
    MultiGzDecoder::new(&index[..])
        .read_to_string(&mut text)
        .unwrap();
    assert!(!text.contains("secret"));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let sealed = |line: &&&str| line.starts_with("{\"sealed\"");
    assert!(
        lines.iter().filter(sealed).count() > 4,
        "parts of one, and the other"
    );
    // A part less, a part twice, two of them swapped, those of one chunk as the other's.
    let (first, last) = (2, lines.len() - 4);
    for change in [
        &|lines: &mut Vec<&str>| {
            lines.remove(first);
        },
        &|lines: &mut Vec<&str>| {
            lines.remove(last - 2);
        },
        &|lines: &mut Vec<&str>| lines.insert(first, lines[first]),
        &|lines: &mut Vec<&str>| lines.swap(first, first + 1),
        &|lines: &mut Vec<&str>| lines.swap(last - 1, last),
    ] as [&dyn Fn(&mut Vec<&str>); 5]
    {
        let mut changed = lines.clone();
        change(&mut changed);
        assert_ne!(changed, lines);
        let packed = Encoder::gzip(1)
            .encode(changed.concat().as_bytes())
            .unwrap();
        let error = rows_of(&packed).unwrap_err();
        assert_eq!(error.class(), Class::Corrupt, "{error}");
        assert!(sealer().open_index("it", &packed).is_err());
    }
}

#[test]
fn every_byte_of_an_index_is_authenticated() {
    let index = index_of([b"a\n", b"b\n"]);
    for position in 0..index.len() {
        let mut damaged = index.to_vec();
        damaged[position] ^= 1;
        assert!(sealer().open_index("it", &damaged).is_err(), "{position}");
    }
    assert!(
        sealer()
            .open_index("it", &index[..index.len() - 98])
            .is_err()
    );
    let stranger = Sealer::new(&id(ID), &DataKey::new([7; 32]), &epoch(2));
    assert!(stranger.open_index("it", &index).is_err());
}
