//! An index reads back, and what is none is refused before it takes memory.

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::*;
use crate::block::Block;
use crate::chunk::BlockEncoder;
use crate::compress::Compression;
use crate::error::Class;

fn index() -> (Bytes, Digest) {
    let id = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
    let mut builder = IndexBuilder::new(&id, "users.jsonl.gz", b"").unwrap();
    let mut encoder = BlockEncoder::new(Compression::default()).unwrap();
    for number in 0..3u8 {
        let row = ObjectRow {
            key: format!("k{number}"),
            last_modified: None,
            etag: None,
            size: 3,
        };
        let block = Block {
            resource: ResourceId(0),
            number: 0,
            records: 1,
            bytes: Bytes::from(format!("{{\"a\":{number}}}\n")),
            rows: Bytes::from(row.to_line()),
            origin: None,
        };
        let encoded = encoder.encode(block).unwrap();
        builder.push(&encoded.entry, &encoded.index_fragment);
    }
    let (bytes, _, digest) = builder.finish(b"", None).unwrap();
    (bytes, digest)
}

#[test]
fn an_index_reads_back() {
    let (bytes, digest) = index();
    let read = Index::parse("i", &bytes).unwrap();
    assert_eq!(
        (read.chunks.len(), read.sums.records, read.blake3),
        (3, 3, digest)
    );
    let lines: Vec<String> = BufReader::new(MultiGzDecoder::new(bytes.as_ref()))
        .lines()
        .map(Result::unwrap)
        .collect();
    assert_eq!(lines[6], r#"{"object":{"key":"k2","size":3}}"#);
}

fn corrupt(lines: &[u8]) {
    let packed = Encoder::gzip(6).encode(lines).unwrap();
    let error = Index::parse("i", &packed).unwrap_err();
    assert_eq!(error.class(), Class::Corrupt, "{error}");
}

#[test]
fn what_unpacks_to_too_much_is_corrupt() {
    let (bytes, _) = index();
    let mut lines = Vec::new();
    MultiGzDecoder::new(bytes.as_ref())
        .read_to_end(&mut lines)
        .unwrap();
    let whole = Index::parse("i", &Encoder::gzip(6).encode(&lines).unwrap());
    assert_eq!(whole.unwrap().chunks.len(), 3);

    let mut lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    let long = [&[b'x'; LINE_BYTES_MAX + 1][..], b"\n"].concat();
    lines.insert(1, &long);
    corrupt(&lines.concat());
    // The same chunk again and again takes hardly any bytes, packed; in memory it does.
    let chunk = lines[2];
    lines.splice(1..2, std::iter::repeat_n(chunk, 100_000));
    corrupt(&lines.concat());
}

#[test]
fn chunks_of_impossible_sizes_are_corrupt() {
    let id: BackupId = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
    for plain in [1 << 20, u64::MAX] {
        let mut builder = IndexBuilder::new(&id, "users.jsonl.gz", b"").unwrap();
        let chunk = ChunkEntry {
            stored: 20,
            plain,
            records: 1,
            blake3: Digest::of(b""),
        };
        let line = json_line(&ChunkLine { chunk });
        let fragment = Encoder::gzip(1).encode(&line).unwrap();
        builder.push(&chunk, &fragment);
        let (bytes, ..) = builder.finish(b"", None).unwrap();
        let error = Index::parse("i", &bytes).unwrap_err();
        assert_eq!(error.class(), Class::Corrupt, "{error}");
    }
}

#[test]
fn a_shortened_index_is_corrupt() {
    let (bytes, _) = index();
    for length in 0..bytes.len() {
        assert_eq!(
            Index::parse("i", &bytes[..length]).unwrap_err().class(),
            Class::Corrupt
        );
    }
}

#[test]
fn what_stands_around_the_chunks_is_accounted_for_and_small() {
    let id: BackupId = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
    let chunk = ChunkEntry {
        stored: 20,
        plain: 30,
        records: 1,
        blake3: Digest::of(b"chunk"),
    };
    let line = json_line(&ChunkLine { chunk });
    let fragment = Encoder::gzip(1).encode(&line).unwrap();
    let index = |prologue: &[u8], epilogue: &[u8]| {
        let mut builder = IndexBuilder::new(&id, "users.jsonl.zz", prologue).unwrap();
        builder.push(&chunk, &fragment);
        builder.push(&chunk, &fragment);
        let (bytes, sums, _) = builder.finish(epilogue, None).unwrap();
        let file_bytes = prologue.len() as u64 + 40 + epilogue.len() as u64;
        assert_eq!(sums.stored, file_bytes);
        Index::parse("i", &bytes)
    };
    let read = index(b"ab", &[7; 64]).unwrap();
    let windows = |stored, plain| -> Vec<_> {
        let windows = read.windows(WindowBytes { stored, plain });
        windows.map(|(range, _)| (range.start, range.end)).collect()
    };
    let (apart, together) = ([(2, 22), (22, 42)], [(2, 42)]);
    assert_eq!(windows(20, u64::MAX), apart);
    assert_eq!(windows(100, u64::MAX), together);
    assert_eq!(windows(100, 2 * chunk.plain), together);
    assert_eq!(windows(100, 2 * chunk.plain - 1), apart);
    assert_eq!(windows(1, 1), apart, "one larger chunk each");
    for window_bytes in [1, 22, 1000] {
        let mut end = 0;
        let mut pieces = Vec::new();
        for (range, of_window) in read.piece_windows(window_bytes) {
            assert_eq!(range.start, end);
            let stored: u64 = of_window.iter().map(|piece| piece.stored).sum();
            assert_eq!(range.end - range.start, stored);
            end = range.end;
            pieces.extend(of_window);
        }
        assert_eq!(end, read.sums.stored);
        let numbers: Vec<_> = pieces.iter().map(|piece| piece.chunk).collect();
        assert_eq!(numbers, [None, Some(0), Some(1), None]);
        assert_eq!(pieces[0].blake3, Digest::of(b"ab"));
        assert_eq!(pieces[3].blake3, Digest::of(&[7; 64]));
    }
    for (prologue, epilogue) in [(65, 1), (1, 65)] {
        let error = index(&vec![1; prologue], &vec![1; epilogue]).unwrap_err();
        assert_eq!(error.class(), Class::Corrupt, "{error}");
    }
}
