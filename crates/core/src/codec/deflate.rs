//! Blocks ↔ parts of one deflate stream (RFC 1951) that decode alone: none looks back before its beginning, and each ends at
//! a byte with the empty block of a full flush.

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use crate::error::BackupError;
use crate::stream::DEFLATE_END;

use super::{undecodable, wrong_length};

/// The empty block, stored, of a full flush.
const FLUSHED: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// A stored block holds no more (RFC 1951, section 3.2.4).
const STORED_BYTES_MAX: usize = 0xffff;

/// The bytes before those of a stored block: its type, its length, and that inverted.
const STORED_HEADER_BYTES: usize = 5;

pub(super) struct Deflater(Compress);

impl Deflater {
    /// For `level`, held between 1 and 9.
    pub(super) fn new(level: u8) -> Self {
        let level = flate2::Compression::new(u32::from(level.clamp(1, 9)));
        Deflater(Compress::new(level, false))
    }

    /// What `plain` takes at most.
    pub(super) fn bytes_max(plain: usize) -> usize {
        let blocks = plain.div_ceil(STORED_BYTES_MAX);
        plain + blocks * STORED_HEADER_BYTES + FLUSHED.len()
    }

    /// Encodes to `room`, which has that size; gives how much of it was taken. Fast levels make more of what can't be
    /// compressed than storing it takes: there it is stored.
    pub(super) fn encode(
        &mut self,
        plain: &[u8],
        room: &mut [u8],
    ) -> Result<usize, flate2::CompressError> {
        if plain.is_empty() {
            return Ok(store(plain, room));
        }
        self.0.reset();
        self.0.compress(plain, room, FlushCompress::Full)?;
        let taken = usize::try_from(self.0.total_out()).unwrap_or(usize::MAX);
        let all_in = self.0.total_in() == plain.len() as u64;
        // A flush that has filled the room may go on, and what is stored always fits.
        if all_in && taken < room.len() {
            Ok(taken)
        } else {
            Ok(store(plain, room))
        }
    }
}

fn store(plain: &[u8], room: &mut [u8]) -> usize {
    let mut taken = 0;
    let mut put = |bytes: &[u8]| {
        room[taken..taken + bytes.len()].copy_from_slice(bytes);
        taken += bytes.len();
    };
    for block in plain.chunks(STORED_BYTES_MAX) {
        let length = u16::try_from(block.len()).expect("blocks are cut to what two bytes can say");
        put(&[0]);
        put(&length.to_le_bytes());
        put(&(!length).to_le_bytes());
        put(block);
    }
    put(&FLUSHED);
    taken
}

pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Inflater(Decompress::new(false))
    }

    /// Decodes to `room`, which has the size of what is expected. That there is a whole part, and no more, shows in that the
    /// end of a stream is one right behind it.
    pub(super) fn decode(&mut self, stored: &[u8], room: &mut [u8]) -> Result<usize, BackupError> {
        let part = |error: flate2::DecompressError| undecodable("part of a deflate stream", error);
        self.0.reset(false);
        self.0
            .decompress(stored, room, FlushDecompress::None)
            .map_err(part)?;
        let taken = usize::try_from(self.0.total_out()).unwrap_or(usize::MAX);
        // The bits before the lengths of the empty block are the last ones of the byte before.
        if self.0.total_in() != stored.len() as u64 || !stored.ends_with(&FLUSHED[1..]) {
            return Err(wrong_length(taken, room.len()));
        }
        match self
            .0
            .decompress(&DEFLATE_END, &mut room[taken..], FlushDecompress::Finish)
        {
            Ok(Status::StreamEnd) if self.0.total_out() == taken as u64 => Ok(taken),
            Ok(_) => Err(wrong_length(taken, room.len())),
            Err(error) => Err(part(error)),
        }
    }
}
