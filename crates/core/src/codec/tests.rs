use std::io::Read;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use proptest::prelude::*;

use super::*;
use crate::random::Random;
use crate::stream::{BROTLI_END, DEFLATE_END, Epilogue, StreamPart, prologue};

const PACKED: [Compression; 10] = [
    Compression::Gzip { level: 1 },
    Compression::Gzip { level: 12 },
    Compression::Zstd { level: 1 },
    Compression::Zstd { level: 19 },
    Compression::Deflate { level: 1 },
    Compression::Deflate { level: 9 },
    Compression::Brotli { level: 0 },
    Compression::Brotli { level: 1 },
    Compression::Brotli { level: 5 },
    Compression::Brotli { level: 11 },
];

fn encode(compression: Compression, plain: &[u8]) -> Vec<u8> {
    let encoder = Encoder::new(compression).unwrap();
    encoder.unwrap().encode(plain).unwrap().to_vec()
}

fn file_of(compression: Compression, blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut epilogue = Epilogue::new(compression);
    let mut file = prologue(compression).to_vec();
    for plain in blocks {
        file.extend(encode(compression, plain));
        epilogue.push(StreamPart::of(compression, plain), plain.len() as u64);
    }
    file.extend(epilogue.bytes());
    file
}

/// Gives a byte at a time, so that a decoder takes no more than its stream.
struct Bytewise<'a, 'b>(&'a mut &'b [u8]);

impl Read for Bytewise<'_, '_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(&mut room[..1])
    }
}

proptest! {
    #[test]
    fn what_was_encoded_decodes(blocks in proptest::collection::vec(proptest::collection::vec(0_u8..4, 0..5000), 1..4)) {
        for compression in PACKED {
            let mut encoder = Encoder::new(compression).unwrap().unwrap();
            let (mut decoder, buffers) = (Decoder::new(), Buffers::default());
            for plain in &blocks {
                let stored = encoder.encode(plain).unwrap();
                let decoded = decoder.decode(compression, &stored, plain.len(), &buffers).unwrap();
                prop_assert_eq!(&decoded[..], &plain[..]);
            }
        }
    }

    #[test]
    fn other_tools_read_the_chunks_as_one_stream(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 1..5)) {
        for compression in PACKED {
            let file = file_of(compression, &blocks);
            let mut rest = &file[..];
            let mut plain = Vec::new();
            match compression {
                Compression::Zstd { .. } => zstd::stream::copy_decode(&mut rest, &mut plain).unwrap(),
                Compression::Deflate { .. } => { ZlibDecoder::new(&mut rest).read_to_end(&mut plain).unwrap(); }
                Compression::Brotli { .. } => { ::brotli::BrotliDecompress(&mut Bytewise(&mut rest), &mut plain).unwrap(); }
                _ => { MultiGzDecoder::new(&mut rest).read_to_end(&mut plain).unwrap(); }
            }
            prop_assert_eq!(plain, blocks.concat());
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn garbage_is_an_error(garbage in proptest::collection::vec(any::<u8>(), 0..500), expected in 1usize..1000) {
        for compression in PACKED {
            let result = Decoder::new().decode(compression, &garbage, expected, &Buffers::default());
            prop_assert_eq!(result.unwrap_err().class(), Class::Corrupt);
        }
    }
}

#[test]
fn a_wrong_length_is_an_error() {
    for compression in PACKED.into_iter().chain([Compression::None]) {
        let stored = match compression {
            Compression::None => b"hello".to_vec(),
            packed => encode(packed, b"hello"),
        };
        let mut decoder = Decoder::new();
        let mut decode =
            |expected| decoder.decode(compression, &stored, expected, &Buffers::default());
        assert_eq!(decode(5).unwrap(), "hello");
        for expected in [0, 4, 6, usize::MAX] {
            assert!(decode(expected).is_err());
        }
    }
}

#[test]
fn what_can_not_be_compressed_takes_little_more() {
    let random = Random::new(1);
    for bytes in [0, 1, 70_000, 1 << 20] {
        let noise: Vec<u8> = std::iter::repeat_with(|| random.next().to_le_bytes()[0])
            .take(bytes)
            .collect();
        for compression in PACKED {
            let stored = encode(compression, &noise);
            assert!(stored.len() <= bytes + bytes / 4096 + 64, "{compression}");
            let buffers = Buffers::default();
            let decoded = Decoder::new().decode(compression, &stored, bytes, &buffers);
            assert!(decoded.unwrap() == noise, "{compression}");
        }
    }
}

#[test]
fn a_part_of_a_stream_is_whole_and_does_not_end_it() {
    let plain = b"one line, and one line more\n";
    for (compression, end) in [
        (Compression::Deflate { level: 6 }, &DEFLATE_END[..]),
        (Compression::Brotli { level: 1 }, &BROTLI_END),
        (Compression::Brotli { level: 5 }, &BROTLI_END),
    ] {
        let stored = encode(compression, plain);
        let decode = |stored: &[u8]| {
            Decoder::new().decode(compression, stored, plain.len(), &Buffers::default())
        };
        assert_eq!(decode(&stored).unwrap(), &plain[..]);
        for length in 0..stored.len() {
            assert!(decode(&stored[..length]).is_err(), "{compression} {length}");
        }
        assert!(decode(&[&stored[..], end].concat()).is_err());
        assert!(decode(&[&stored[..], &stored].concat()).is_err());
    }
}
