//! The rows of an index, sealed. What they say of objects, their keys above all, is no less a secret than what is in them.
//!
//! The rows of a chunk are compressed as a whole, and that is cut into parts which fit a line of the index; each part is
//! sealed for its place.

use std::io::{BufReader, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::sealer::Sealer;
use crate::block::ResourceId;
use crate::chunk::json_line;
use crate::codec::Encoder;
use crate::document;
use crate::error::BackupError;
use crate::index::{CHUNK_LINE, IndexLines};

/// In base64 it is a line of an index.
const PART_BYTES_MAX: usize = 45_000;

#[derive(Serialize, Deserialize)]
struct SealedLine {
    sealed: String,
}

/// The lines of the index that are to stand instead of `rows`, those of the chunk with this number.
pub(crate) fn seal_rows(
    sealer: &Sealer,
    (resource, number): (ResourceId, u64),
    rows: &[u8],
    gzip: &mut Encoder,
) -> Result<Vec<u8>, BackupError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let packed = gzip.encode(rows)?;
    let parts = packed.chunks(PART_BYTES_MAX);
    let last = parts.len() - 1;
    let mut lines = Vec::new();
    for (index, part) in parts.enumerate() {
        let context = Context::Rows {
            resource,
            number,
            part: u32::try_from(index).unwrap_or(u32::MAX),
            is_last: index == last,
        };
        let sealed = STANDARD.encode(sealer.seal(context, part));
        lines.extend(json_line(&SealedLine { sealed }));
    }
    Ok(lines)
}

/// Opens the rows of a sealed index, and gives those of each chunk that has any to `each`, with the chunk's number in its
/// resource; `subject` names the index in errors.
///
/// # Errors
/// [`Class::Corrupt`](crate::Class::Corrupt) where they aren't those of that data file, all of them and in their order;
/// those of `each`.
pub fn open_rows(
    sealer: &Sealer,
    subject: &str,
    index: &[u8],
    mut each: impl FnMut(u64, Bytes) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let corrupt = |message: &str| BackupError::corrupt(subject, message);
    let mut lines = IndexLines::open(subject, index)?;
    let place = lines.seal().ok_or_else(|| corrupt("it isn't sealed"))?;
    let mut number = None;
    let mut parts: Vec<Vec<u8>> = Vec::new();
    loop {
        let line = lines.next()?;
        let sealed = line.and_then(|line| serde_json::from_slice::<SealedLine>(line).ok());
        if let Some(SealedLine { sealed }) = sealed {
            let part = STANDARD.decode(sealed);
            parts.push(part.map_err(|error| corrupt("a row isn't base64").because(error))?);
            continue;
        }
        if !parts.is_empty() {
            let number = number.ok_or_else(|| corrupt("rows stand before the first chunk"))?;
            let at = (place.resource(), number);
            let rows = open_parts(sealer, subject, at, std::mem::take(&mut parts))?;
            each(number, rows)?;
        }
        match line {
            None => return Ok(()),
            Some(line) if line.starts_with(CHUNK_LINE) => {
                number = Some(number.map_or(place.first_chunk, |number| number + 1));
            }
            Some(_) => {}
        }
    }
}

fn open_parts(
    sealer: &Sealer,
    subject: &str,
    (resource, number): (ResourceId, u64),
    parts: Vec<Vec<u8>>,
) -> Result<Bytes, BackupError> {
    let last = parts.len() - 1;
    let mut packed = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let context = Context::Rows {
            resource,
            number,
            part: u32::try_from(index).unwrap_or(u32::MAX),
            is_last: index == last,
        };
        packed.extend_from_slice(&sealer.open(subject, context, part)?);
    }
    let mut rows = Vec::new();
    MultiGzDecoder::new(BufReader::new(&packed[..]))
        .take(document::BYTES_MAX)
        .read_to_end(&mut rows)
        .map_err(|error| BackupError::corrupt(subject, "rows aren't gzip").because(error))?;
    Ok(rows.into())
}
