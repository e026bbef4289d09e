//! The sealed parts of a local index behind its header, each of them with its length before it: chunks of lines, and an end that
//! says how many there are.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use teeline_core::seal::{Context, Sealer, TAG_BYTES};
use teeline_core::{BackupError, Buffers, Compression, Decoder, ResourceId};

use super::draft::failed;

/// Lines are put into a chunk until it has so many bytes.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// No chunk has more: no line is that long.
const PLAIN_BYTES_MAX: usize = CHUNK_BYTES + (64 << 10);

/// No sealed part is larger.
const PART_BYTES_MAX: usize = 2 << 20;

/// How chunks are compressed before they are sealed.
pub(super) const LEVEL: u8 = 1;

/// Where a chunk belongs.
pub(super) fn chunk_context(number: u64) -> Context<'static> {
    Context::Chunk {
        resource: ResourceId(0),
        number,
    }
}

/// Where the end of a file belongs that has so many chunks.
pub(super) fn end_context(chunks: u64) -> Context<'static> {
    Context::End {
        resource: ResourceId(0),
        segment: 1,
        first_chunk: 0,
        chunks: u32::try_from(chunks).unwrap_or(u32::MAX),
        is_last: true,
    }
}

/// Reads the chunks of a file in their order. Others may read the same file meanwhile.
pub(super) struct Chunks {
    path: Arc<Path>,
    file: Arc<Mutex<File>>,
    at: u64,
    number: u64,
    sealer: Sealer,
    decoder: Decoder,
}

impl Chunks {
    /// Those of a file whose header ends at `at`.
    pub(super) fn new(path: &Arc<Path>, file: &Arc<Mutex<File>>, at: u64, sealer: &Sealer) -> Self {
        Chunks {
            path: Arc::clone(path),
            file: Arc::clone(file),
            at,
            number: 0,
            sealer: sealer.clone(),
            decoder: Decoder::new(),
        }
    }

    /// The lines of the next chunk; none behind the last one.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, BackupError> {
        let Some(packed) = self.open_next()? else {
            return Ok(None);
        };
        let wrong = || BackupError::corrupt(self.path.display(), "a chunk isn't gzip of its size");
        let (_, size) = packed.split_last_chunk::<4>().ok_or_else(wrong)?;
        let plain = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
        if plain > PLAIN_BYTES_MAX {
            return Err(wrong());
        }
        let gzip = Compression::Gzip { level: LEVEL };
        let lines = self
            .decoder
            .decode(gzip, &packed, plain, &Buffers::default());
        lines.map(Some).map_err(|_| wrong())
    }

    /// Opens all parts, and looks at nothing that is in them.
    pub(super) fn check(mut self) -> Result<(), BackupError> {
        while self.open_next()?.is_some() {}
        Ok(())
    }

    /// A chunk as it was before it was sealed; none where it is the end.
    fn open_next(&mut self) -> Result<Option<Bytes>, BackupError> {
        let subject = self.path.display().to_string();
        let part = self
            .read_part()
            .map_err(|error| failed("read", &self.path, &error))?;
        if part.len() > TAG_BYTES {
            let context = chunk_context(self.number);
            self.number += 1;
            return self.sealer.open(&subject, context, &part).map(Some);
        }
        self.sealer
            .open(&subject, end_context(self.number), &part)?;
        match self.read(1).map_err(|error| error.kind()) {
            Err(ErrorKind::UnexpectedEof) => Ok(None),
            _ => Err(BackupError::corrupt(
                subject,
                "something stands behind its end",
            )),
        }
    }

    fn read_part(&mut self) -> io::Result<Vec<u8>> {
        let length = self.read(4)?;
        let length = u32::from_be_bytes(length.try_into().unwrap_or_default());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match (TAG_BYTES..=PART_BYTES_MAX).contains(&length) {
            true => self.read(length),
            false => Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("a part of {length} bytes can't be"),
            )),
        }
    }

    fn read(&mut self, length: usize) -> io::Result<Vec<u8>> {
        // Nothing is left half-done in it: each reader seeks first.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        self.at += length as u64;
        Ok(bytes)
    }
}
