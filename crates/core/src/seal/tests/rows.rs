//! The rows of an index, and its authentication.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use super::*;
use crate::block::Block;
use crate::chunk::BlockEncoder;
use crate::codec::Encoder;
use crate::compress::Compression;
use crate::index::ResourceEnd;
use crate::placing::{Placement, Placer, ResourceKind};
use crate::source::{PlannedResource, ResourceCounts};
use crate::time::Timestamp;

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
