//! Bytes ↔ smaller bytes, a block at a time: each chunk is a whole gzip member, so chunks decode alone and their
//! concatenation is a gzip file that every tool reads (RFC 1952, section 2.2).

use std::fmt;
use std::str::FromStr;

use libdeflater::{CompressionLvl, Compressor, Decompressor};
use serde::{Deserialize, Serialize};

use crate::error::{BackupError, Class};

/// How chunks are made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Compression {
    /// Chunks are the blocks themselves.
    None,
    /// One gzip member a chunk, made by libdeflate at `level` 1 to 12.
    Gzip {
        /// 1 (fast) to 12 (small).
        level: u8,
    },
}

impl Compression {
    /// The level of gzip that is used unless another is asked for.
    pub const GZIP_LEVEL_DEFAULT: u8 = 6;

    /// What file names end in after `.jsonl`: `.gz` or nothing.
    pub fn suffix(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip { .. } => ".gz",
        }
    }

    /// Sets the level.
    ///
    /// # Errors
    /// Where the compression has no levels, or not this one.
    pub fn with_level(self, level: u8) -> Result<Self, BackupError> {
        match self {
            Compression::Gzip { .. } if (1..=12).contains(&level) => {
                Ok(Compression::Gzip { level })
            }
            Compression::Gzip { .. } => Err(BackupError::usage(
                "compression level",
                format!("{level} is not between 1 and 12"),
            )),
            Compression::None => Err(BackupError::usage(
                "compression level",
                "compression \"none\" has no levels",
            )),
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Compression::Gzip {
            level: Self::GZIP_LEVEL_DEFAULT,
        }
    }
}

impl FromStr for Compression {
    type Err = BackupError;

    fn from_str(name: &str) -> Result<Self, BackupError> {
        match name {
            "gzip" => Ok(Compression::default()),
            "none" => Ok(Compression::None),
            other => Err(BackupError::usage(
                "compression",
                format!("unknown compression {other:?}; accepted: gzip, none"),
            )),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compression::None => f.write_str("none"),
            Compression::Gzip { level } => write!(f, "gzip, level {level}"),
        }
    }
}

/// Compresses; keeps the working memory of one level between calls.
pub struct GzipEncoder(Compressor);

impl GzipEncoder {
    /// An encoder for `level`, held between 1 and 12.
    pub fn new(level: u8) -> Self {
        let level = CompressionLvl::new(i32::from(level.clamp(1, 12))).unwrap_or_default();
        GzipEncoder(Compressor::new(level))
    }

    /// `plain` as one gzip member.
    ///
    /// # Errors
    /// Never in practice: the output buffer has the size that libdeflate asks for.
    pub fn encode(&mut self, plain: &[u8]) -> Result<Vec<u8>, BackupError> {
        let mut member = vec![0; self.0.gzip_compress_bound(plain.len())];
        let stored = self.0.gzip_compress(plain, &mut member).map_err(|error| {
            BackupError::new(Class::Permanent, "compress", "a block", "failed").because(error)
        })?;
        member.truncate(stored);
        member.shrink_to_fit();
        Ok(member)
    }
}

/// Decompresses chunks whose plain length is known.
pub struct Decoder(Decompressor);

impl Decoder {
    /// A decoder for every compression.
    pub fn new() -> Self {
        Decoder(Decompressor::new())
    }

    /// Decodes one chunk of `plain_bytes` bytes.
    ///
    /// # Errors
    /// [`Class::Corrupt`] where the bytes aren't a chunk of that length; [`Class::Permanent`] where there is no memory for
    /// one.
    pub fn decode(
        &mut self,
        compression: Compression,
        stored: &[u8],
        plain_bytes: usize,
    ) -> Result<Vec<u8>, BackupError> {
        let corrupt = |message: String| BackupError::corrupt("a chunk", message);
        let decoded = match compression {
            Compression::None => stored.len(),
            Compression::Gzip { .. } => plain_bytes,
        };
        let mut plain = Vec::new();
        plain.try_reserve_exact(decoded).map_err(|error| {
            let message = format!("there is no memory for its {decoded} bytes");
            BackupError::new(Class::Permanent, "decode", "a chunk", message).because(error)
        })?;
        match compression {
            Compression::None => plain.extend_from_slice(stored),
            Compression::Gzip { .. } => {
                plain.resize(plain_bytes, 0);
                let decoded = self
                    .0
                    .gzip_decompress(stored, &mut plain)
                    .map_err(|error| {
                        corrupt("not a gzip member of the expected size".into()).because(error)
                    })?;
                plain.truncate(decoded);
            }
        }
        if plain.len() == plain_bytes {
            Ok(plain)
        } else {
            Err(corrupt(format!(
                "{} bytes decoded, {plain_bytes} expected",
                plain.len()
            )))
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_decodes(plain in proptest::collection::vec(any::<u8>(), 0..5000), level in 1u8..=12) {
            let stored = GzipEncoder::new(level).encode(&plain).unwrap();
            let decoded = Decoder::new().decode(Compression::Gzip { level }, &stored, plain.len()).unwrap();
            prop_assert_eq!(decoded, plain);
        }

        #[test]
        fn garbage_is_an_error(garbage in proptest::collection::vec(any::<u8>(), 0..500), expected in 1usize..1000) {
            let result = Decoder::new().decode(Compression::default(), &garbage, expected);
            prop_assert_eq!(result.unwrap_err().class(), Class::Corrupt);
        }
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        let stored = GzipEncoder::new(6).encode(b"hello").unwrap();
        for expected in [0, 4, 6, usize::MAX] {
            for compression in [Compression::default(), Compression::None] {
                assert!(
                    Decoder::new()
                        .decode(compression, &stored, expected)
                        .is_err()
                );
            }
        }
    }
}
