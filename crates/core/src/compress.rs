//! How blocks are made smaller: the names and levels that users choose from.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::BackupError;

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
    /// One zstd frame a chunk, with its size and a checksum, at `level` 1 to 19.
    Zstd {
        /// 1 (fast) to 19 (small).
        level: u8,
    },
    /// A file is one zlib stream; a chunk is a part of it that decodes alone, made by zlib-rs at `level` 1 to 9.
    Deflate {
        /// 1 (fast) to 9 (small).
        level: u8,
    },
    /// A file is one brotli stream; a chunk is a part of it that decodes alone, at `level` 0 to 11.
    Brotli {
        /// 0 (fast) to 11 (small, and very slow).
        level: u8,
    },
}

impl Compression {
    /// The level of gzip that is used unless another is asked for.
    pub const GZIP_LEVEL_DEFAULT: u8 = 5;
    /// The level of zstd that is used unless another is asked for.
    pub const ZSTD_LEVEL_DEFAULT: u8 = 3;
    /// The level of deflate that is used unless another is asked for.
    pub const DEFLATE_LEVEL_DEFAULT: u8 = 5;
    /// The level of brotli that is used unless another is asked for.
    pub const BROTLI_LEVEL_DEFAULT: u8 = 5;
    /// What users may ask for.
    pub const NAMES: [&str; 5] = ["gzip", "zstd", "deflate", "brotli", "none"];

    /// What it is called in configurations and manifests.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip { .. } => "gzip",
            Compression::Zstd { .. } => "zstd",
            Compression::Deflate { .. } => "deflate",
            Compression::Brotli { .. } => "brotli",
        }
    }

    /// What file names end in after `.jsonl`: `.gz`, `.zst`, `.zz`, `.br` or nothing.
    pub fn suffix(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip { .. } => ".gz",
            Compression::Zstd { .. } => ".zst",
            Compression::Deflate { .. } => ".zz",
            Compression::Brotli { .. } => ".br",
        }
    }

    /// The size that blocks are cut to unless another is set, in bytes: zstd and brotli gain a tenth by the second MiB, gzip and
    /// deflate look back 32 KiB only.
    pub fn block_bytes_default(self) -> usize {
        match self {
            Compression::None | Compression::Gzip { .. } | Compression::Deflate { .. } => 1 << 20,
            Compression::Zstd { .. } | Compression::Brotli { .. } => 2 << 20,
        }
    }

    /// The levels that it has.
    pub fn levels(self) -> Option<RangeInclusive<u8>> {
        match self {
            Compression::None => None,
            Compression::Gzip { .. } => Some(1..=12),
            Compression::Zstd { .. } => Some(1..=19),
            Compression::Deflate { .. } => Some(1..=9),
            Compression::Brotli { .. } => Some(0..=11),
        }
    }

    /// Sets the level.
    ///
    /// # Errors
    /// Where the compression has no levels, or not this one.
    pub fn with_level(mut self, asked: u8) -> Result<Self, BackupError> {
        let refused = |message: String| Err(BackupError::usage("compression level", message));
        let name = self.name();
        match self.levels() {
            Some(levels) if levels.contains(&asked) => {}
            Some(levels) => {
                let (least, most) = levels.into_inner();
                return refused(format!(
                    "{asked} is not between {least} and {most}, the levels of {name}"
                ));
            }
            None => return refused(format!("compression \"{name}\" has no levels")),
        }
        if let Compression::Gzip { level }
        | Compression::Zstd { level }
        | Compression::Deflate { level }
        | Compression::Brotli { level } = &mut self
        {
            *level = asked;
        }
        Ok(self)
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
            "zstd" => Ok(Compression::Zstd {
                level: Self::ZSTD_LEVEL_DEFAULT,
            }),
            "deflate" => Ok(Compression::Deflate {
                level: Self::DEFLATE_LEVEL_DEFAULT,
            }),
            "brotli" => Ok(Compression::Brotli {
                level: Self::BROTLI_LEVEL_DEFAULT,
            }),
            "none" => Ok(Compression::None),
            other => Err(BackupError::usage(
                "compression",
                format!(
                    "unknown compression {other:?}; accepted: {}",
                    Self::NAMES.join(", ")
                ),
            )),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compression::None => f.write_str("none"),
            Compression::Gzip { level }
            | Compression::Zstd { level }
            | Compression::Deflate { level }
            | Compression::Brotli { level } => {
                write!(f, "{}, level {level}", self.name())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_level_is_known_and_no_other() {
        for name in Compression::NAMES {
            let compression: Compression = name.parse().unwrap();
            assert_eq!(compression.name(), name);
            for level in 0..=u8::MAX {
                let known = compression
                    .levels()
                    .is_some_and(|levels| levels.contains(&level));
                assert_eq!(
                    compression.with_level(level).is_ok(),
                    known,
                    "{name} {level}"
                );
            }
        }
        assert!("lzma".parse::<Compression>().is_err());
    }

    #[test]
    fn the_manifest_names_it_with_its_level() {
        for (name, text) in [
            ("none", r#"{"name":"none"}"#),
            ("gzip", r#"{"name":"gzip","level":5}"#),
            ("zstd", r#"{"name":"zstd","level":3}"#),
            ("deflate", r#"{"name":"deflate","level":5}"#),
            ("brotli", r#"{"name":"brotli","level":5}"#),
        ] {
            let compression: Compression = name.parse().unwrap();
            assert_eq!(serde_json::to_string(&compression).unwrap(), text);
            assert_eq!(
                serde_json::from_str::<Compression>(text).unwrap(),
                compression
            );
        }
    }
}
