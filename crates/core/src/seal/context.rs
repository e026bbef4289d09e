//! What is sealed, and where it belongs.

use crate::block::ResourceId;
use crate::id::BackupId;

/// The version of the scheme, in every context.
const SCHEME: &str = "teeline-seal/1";

/// The place of something sealed within a backup. Written as a line of words, it is the `info` of the key's derivation and
/// what is authenticated beside the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context<'a> {
    /// The commitment to the data key.
    KeyId,
    /// The authentication of `run.json`.
    Claim,
    /// The authentication of `manifest.json`.
    Manifest,
    /// The authentication of an index.
    Index {
        /// The resource.
        resource: ResourceId,
        /// The number of the resource's data file, from 1.
        segment: u32,
    },
    /// A chunk.
    Chunk {
        /// The resource.
        resource: ResourceId,
        /// The number of the chunk in its resource, from 0.
        number: u64,
    },
    /// What an index says of the objects in a chunk.
    Rows {
        /// The resource.
        resource: ResourceId,
        /// The number of the chunk in its resource, from 0.
        number: u64,
        /// The number of the part, from 0.
        part: u32,
        /// Whether no part follows.
        is_last: bool,
    },
    /// The end of a data file.
    End {
        /// The resource.
        resource: ResourceId,
        /// The number of the resource's data file, from 1.
        segment: u32,
        /// The number of its first chunk in the resource.
        first_chunk: u64,
        /// Chunks in it.
        chunks: u32,
        /// Whether no data file of the resource follows.
        is_last: bool,
    },
    /// A small file, by its name without `.sealed`.
    File(&'a str),
}

impl Context<'_> {
    /// It as text, of a thing in this backup. No two things have the same.
    pub fn line(&self, backup: &BackupId) -> String {
        let words = match self {
            Context::KeyId => "key-id".to_owned(),
            Context::Claim => "run.json".to_owned(),
            Context::Manifest => "manifest.json".to_owned(),
            Context::Index { resource, segment } => format!("index {} {segment}", resource.0),
            Context::Chunk { resource, number } => format!("chunk {} {number}", resource.0),
            Context::Rows {
                resource,
                number,
                part,
                is_last,
            } => format!(
                "rows {} {number} {part} {}",
                resource.0,
                more_or_last(*is_last)
            ),
            Context::End {
                resource,
                segment,
                first_chunk,
                chunks,
                is_last,
            } => format!(
                "end {} {segment} {first_chunk} {chunks} {}",
                resource.0,
                more_or_last(*is_last)
            ),
            Context::File(name) => format!("file {name}"),
        };
        format!("{SCHEME} {backup} {words}")
    }
}

fn more_or_last(is_last: bool) -> &'static str {
    match is_last {
        true => "last",
        false => "more",
    }
}
