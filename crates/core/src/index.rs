//! The index of a segment: JSON lines in gzip members. A header, then for each chunk its entry and the rows about its
//! records, and an end marker that repeats the sums.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::block::ResourceId;
use crate::chunk::{ChunkEntry, ChunkLine, json_line};
use crate::codec::Encoder;
use crate::digest::{Digest, DigestOfDigests};
use crate::error::BackupError;
use crate::id::BackupId;
use crate::manifest::PlanEntry;
use crate::piece::{Piece, WindowBytes, windows};
use crate::placing::ResourceKind;
use crate::seal::{SEALED_SUFFIX, SealedPlace};
use crate::source::ResourceCounts;
use crate::time::Timestamp;

mod lines;

pub(crate) use lines::IndexLines;

/// The value of `format` in the first line of an index.
pub const INDEX_FORMAT: &str = "teeline-index";
/// The newest version of the index's format, that of sealed data files. This code reads all of them, and writes the
/// earliest one by which a data file is read rightly.
pub const INDEX_VERSION: u32 = 5;

/// What the names of indexes end in.
pub(crate) fn index_suffix(is_sealed: bool) -> &'static str {
    match is_sealed {
        false => ".index",
        true => ".index.sealed",
    }
}

/// What the lines of an index begin with that are no rows.
pub(crate) const CHUNK_LINE: &[u8] = b"{\"chunk\"";
const END_LINE: &[u8] = b"{\"end\"";
const MAC_LINE: &[u8] = b"{\"mac\"";

/// Whether a line may be a row: it is taken for no other line of an index.
pub(crate) fn may_be_row(line: &[u8]) -> bool {
    [CHUNK_LINE, END_LINE, MAC_LINE]
        .iter()
        .all(|other| !line.starts_with(other))
}

/// No line of an index is longer; the key that a row holds has at most 1,024 bytes.
pub(crate) const LINE_BYTES_MAX: usize = 64 << 10;

/// No index unpacks to more. Rows say much the same again and again, and of each line as much as its digest stays.
const PLAIN_BYTES_MAX: u64 = 1 << 30;

/// A chunk takes no less of an index: a gzip member with a digest in it.
const CHUNK_BYTES_MIN: usize = 64;

/// A row about one object of an object store that is in the chunk: what a later comparison needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRow {
    /// The key below the database's prefix.
    pub key: String,
    /// As its GET gave it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_modified: Option<Timestamp>,
    /// As its GET gave it, quotes removed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub etag: Option<String>,
    /// Bytes of its body.
    pub size: u64,
}

impl ObjectRow {
    /// The row as a line of the index.
    pub fn to_line(&self) -> Vec<u8> {
        json_line(&RowLine { object: self })
    }

    /// What a line of an index says of an object, if it is about one; `subject` names the index in errors.
    ///
    /// # Errors
    /// [`Class::Corrupt`](crate::Class::Corrupt) where it isn't what it should be.
    pub fn of_line(subject: &str, line: &[u8]) -> Result<Option<Self>, BackupError> {
        #[derive(Deserialize)]
        struct Line {
            object: ObjectRow,
        }
        if !line.starts_with(b"{\"object\"") {
            return Ok(None);
        }
        let Line { object } = serde_json::from_slice(line)
            .map_err(|error| BackupError::corrupt(subject, "a row is unreadable").because(error))?;
        Ok(Some(object))
    }
}

#[derive(Serialize)]
struct RowLine<'a> {
    object: &'a ObjectRow,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    backup: BackupId,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    prologue: Option<Piece>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    seal: Option<SealedPlace>,
}

/// Sums over a segment, in the index's end marker and in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SegmentSums {
    /// Chunks in it.
    pub chunks: u32,
    /// Records in it.
    pub records: u64,
    /// Bytes as stored: the size of the file.
    pub stored: u64,
    /// Bytes after decoding.
    pub plain: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct EndLine {
    end: End,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    #[serde(flatten)]
    sums: SegmentSums,
    blake3: Digest,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    epilogue: Option<Piece>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    last: Option<ResourceEnd>,
}

/// How a resource ended: in the index of its last segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceEnd {
    /// What the source counted.
    #[serde(flatten)]
    pub counts: ResourceCounts,
    /// When the source had given all of it.
    pub ended_at: Timestamp,
}

/// Builds the index of a segment while the segment is written.
pub struct IndexBuilder {
    bytes: BytesMut,
    sums: SegmentSums,
    digest: DigestOfDigests,
    gzip: Encoder,
}

impl IndexBuilder {
    /// The index of `file` in `backup`, which begins with `prologue` and has no chunks yet.
    ///
    /// # Errors
    /// Where compression fails.
    pub fn new(backup: &BackupId, file: &str, prologue: &[u8]) -> Result<Self, BackupError> {
        Self::in_place(backup, file, prologue, None)
    }

    /// As [`IndexBuilder::new`]; of a sealed file with its place.
    pub(crate) fn in_place(
        backup: &BackupId,
        file: &str,
        prologue: &[u8],
        seal: Option<SealedPlace>,
    ) -> Result<Self, BackupError> {
        let prologue = Piece::around(prologue);
        let version = match (&prologue, seal) {
            (_, Some(_)) => 5,
            (Some(_), None) => 2,
            (None, None) => 1,
        };
        let header = Header {
            format: INDEX_FORMAT.to_owned(),
            version,
            backup: backup.clone(),
            file: file.to_owned(),
            prologue,
            seal,
        };
        let mut gzip = Encoder::gzip(1);
        let bytes = BytesMut::from(&gzip.encode(&json_line(&header))?[..]);
        let mut builder = IndexBuilder {
            bytes,
            sums: SegmentSums::default(),
            digest: DigestOfDigests::default(),
            gzip,
        };
        builder.push_around(prologue);
        Ok(builder)
    }

    fn push_around(&mut self, piece: Option<Piece>) {
        if let Some(piece) = piece {
            self.sums.stored += piece.stored;
            self.digest.push(piece.blake3);
        }
    }

    /// Adds the next chunk.
    pub fn push(&mut self, entry: &ChunkEntry, fragment: &[u8]) {
        self.sums.chunks += 1;
        self.sums.records += u64::from(entry.records);
        self.sums.stored += entry.stored;
        self.sums.plain += entry.plain;
        self.digest.push(entry.blake3);
        self.bytes.extend_from_slice(fragment);
    }

    /// Sums so far.
    pub fn sums(&self) -> SegmentSums {
        self.sums
    }

    /// Bytes of the index so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no chunk was added yet.
    pub fn is_empty(&self) -> bool {
        self.sums.chunks == 0
    }

    /// Ends the index of a data file that ends in `epilogue`; gives its bytes, and the segment's sums and digest. The `last`
    /// segment of a resource says how that ended.
    ///
    /// # Errors
    /// Where compression fails.
    pub fn finish(
        mut self,
        epilogue: &[u8],
        last: Option<ResourceEnd>,
    ) -> Result<(Bytes, SegmentSums, Digest), BackupError> {
        let epilogue = Piece::around(epilogue);
        self.push_around(epilogue);
        let blake3 = self.digest.finish();
        let end = EndLine {
            end: End {
                sums: self.sums,
                blake3,
                epilogue,
                last,
            },
        };
        let member = self.gzip.encode(&json_line(&end))?;
        self.bytes.extend_from_slice(&member);
        Ok((self.bytes.freeze(), self.sums, blake3))
    }
}

/// What an index says, less the rows about records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The backup that it belongs to.
    pub backup: BackupId,
    /// The data file that it describes.
    pub file: String,
    /// Where that belongs, if it is sealed.
    pub seal: Option<SealedPlace>,
    /// What the data file begins with, before its first chunk.
    pub prologue: Option<Piece>,
    /// The chunks, in order.
    pub chunks: Vec<ChunkEntry>,
    /// What the data file ends in, behind its last chunk.
    pub epilogue: Option<Piece>,
    /// The sums of all that.
    pub sums: SegmentSums,
    /// The segment's digest.
    pub blake3: Digest,
    /// How the resource ended, where no segment of it follows.
    pub last: Option<ResourceEnd>,
}

impl Index {
    /// No index is larger: it is held in memory when it is written, and when it is read.
    pub const BYTES_MAX: u64 = 64 << 20;

    /// Reads an index; `subject` names the file in errors.
    ///
    /// # Errors
    /// [`Class::Corrupt`](crate::Class::Corrupt) unless it is whole and agrees with itself;
    /// [`Class::Permanent`](crate::Class::Permanent) for an unknown version.
    pub fn parse(subject: &str, bytes: &[u8]) -> Result<Self, BackupError> {
        let corrupt = |message: &str| BackupError::corrupt(subject, message);
        let mut lines = IndexLines::open(subject, bytes)?;
        let mut chunks = Vec::new();
        while let Some(line) = lines.next()? {
            if line.starts_with(CHUNK_LINE) {
                let ChunkLine { chunk } = serde_json::from_slice(line)
                    .map_err(|error| corrupt("a chunk's line is unreadable").because(error))?;
                if !chunk.is_possible_in(lines.file())
                    || chunks.len() >= bytes.len() / CHUNK_BYTES_MIN
                {
                    return Err(corrupt("it has chunks that can't be"));
                }
                chunks.push(chunk);
            } else if line.starts_with(END_LINE) {
                let end: EndLine = serde_json::from_slice(line)
                    .map_err(|error| corrupt("the end marker is unreadable").because(error))?;
                lines.finish()?;
                return Self::checked(lines.into_header(), chunks, &end.end)
                    .ok_or_else(|| corrupt("the end marker's sums aren't those of the chunks"));
            }
        }
        Err(corrupt("it ends without an end marker"))
    }

    /// The rows about objects in an index that is known to be right; `subject` names the file in errors.
    ///
    /// # Errors
    /// [`Class::Corrupt`](crate::Class::Corrupt) where a line isn't what it should be.
    pub fn rows(subject: &str, bytes: &[u8]) -> Result<Vec<ObjectRow>, BackupError> {
        let mut lines = IndexLines::open(subject, bytes)?;
        let mut rows = Vec::new();
        while let Some(line) = lines.next()? {
            rows.extend(ObjectRow::of_line(subject, line)?);
        }
        Ok(rows)
    }

    /// The chunks in groups within `max` (or one larger chunk), each with its range in the file.
    pub fn windows(&self, max: WindowBytes) -> impl Iterator<Item = (Range<u64>, &[ChunkEntry])> {
        let begin = self.prologue.map_or(0, |prologue| prologue.stored);
        let size = |chunk: &ChunkEntry| WindowBytes {
            stored: chunk.stored,
            plain: chunk.plain,
        };
        windows(&self.chunks, size, begin, max)
    }

    /// All that the data file consists of, in groups of up to `window_bytes` stored bytes (or one larger piece), each with its range.
    pub fn piece_windows(&self, window_bytes: u64) -> Vec<(Range<u64>, Vec<Piece>)> {
        let chunks = (0..).zip(&self.chunks);
        let chunks = chunks.map(|(number, chunk)| chunk.piece(number));
        let pieces: Vec<Piece> = (self.prologue.into_iter())
            .chain(chunks)
            .chain(self.epilogue)
            .collect();
        let size = |piece: &Piece| WindowBytes {
            stored: piece.stored,
            plain: 0,
        };
        let max = WindowBytes {
            stored: window_bytes,
            plain: 0,
        };
        windows(&pieces, size, 0, max)
            .map(|(range, pieces)| (range, pieces.to_vec()))
            .collect()
    }

    fn checked(header: Header, chunks: Vec<ChunkEntry>, end: &End) -> Option<Self> {
        let mut sums = SegmentSums::default();
        let mut digest = DigestOfDigests::default();
        if let Some(prologue) = header.prologue {
            sums.stored = prologue.stored_around()?;
            digest.push(prologue.blake3);
        }
        for chunk in &chunks {
            sums.chunks = sums.chunks.checked_add(1)?;
            sums.records = sums.records.checked_add(u64::from(chunk.records))?;
            sums.stored = sums.stored.checked_add(chunk.stored)?;
            sums.plain = sums.plain.checked_add(chunk.plain)?;
            digest.push(chunk.blake3);
        }
        if let Some(epilogue) = end.epilogue {
            sums.stored = sums.stored.checked_add(epilogue.stored_around()?)?;
            digest.push(epilogue.blake3);
        }
        let agrees = sums == end.sums && digest.finish() == end.blake3;
        agrees.then_some(Index {
            backup: header.backup,
            file: header.file,
            seal: header.seal,
            prologue: header.prologue,
            chunks,
            epilogue: end.epilogue,
            sums,
            blake3: end.blake3,
            last: end.last,
        })
    }
}

/// Which file of a resource a segment is, and under which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentNames {
    /// The resource.
    pub resource: ResourceId,
    /// The data file's name.
    pub file: String,
    /// The index's name.
    pub index: String,
}

impl SegmentNames {
    /// The names of segment `number` (from 1) of the resource with `stem`; `suffix` such as `.jsonl.gz`.
    pub fn new(resource: ResourceId, stem: &str, number: u32, suffix: &str) -> Self {
        let base = if number == 1 {
            stem.to_owned()
        } else {
            format!("{stem}~{number:04}")
        };
        SegmentNames {
            resource,
            file: format!("{base}{suffix}"),
            index: format!("{base}{}", index_suffix(suffix.ends_with(SEALED_SUFFIX))),
        }
    }

    /// Those of segment `number` of a resource of this kind and stem in a backup with this plan.
    pub(crate) fn of(
        plan: &PlanEntry,
        resource: ResourceId,
        (kind, stem): (&ResourceKind, &str),
        number: u32,
    ) -> Self {
        let suffix = kind.suffix(plan.compression, plan.seal.is_some());
        Self::new(resource, stem, number, &suffix)
    }
}

#[cfg(test)]
mod tests;
