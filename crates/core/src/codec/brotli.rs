//! Blocks ↔ parts of one brotli stream (RFC 7932) that decode alone: none refers to what is before its beginning, nor to the
//! static dictionary, whose distances depend on the place in the stream. Each begins and ends at a byte.

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{
    BrotliEncoderMaxCompressedSize, BrotliEncoderOperation, BrotliEncoderParameter,
    BrotliEncoderStateStruct,
};
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};

use crate::error::{BackupError, Class};
use crate::stream::{BROTLI_END, BROTLI_HEADER, BROTLI_WINDOW_BITS};

use super::wrong_length;

/// What a part takes at most beside a stream of its own: its first two bytes are stored, and its end is padded.
const PART_BYTES: usize = 16;

/// What `plain` takes at most.
pub(super) fn bytes_max(plain: usize) -> usize {
    BrotliEncoderMaxCompressedSize(plain) + PART_BYTES
}

/// Encodes at `level`, held between 0 and 11, to `room`, which has that size; gives how much of it was taken.
pub(super) fn encode(level: u8, plain: &[u8], room: &mut [u8]) -> Result<usize, BackupError> {
    let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
    for (parameter, value) in [
        (
            BrotliEncoderParameter::BROTLI_PARAM_QUALITY,
            level.min(11).into(),
        ),
        (
            BrotliEncoderParameter::BROTLI_PARAM_LGWIN,
            BROTLI_WINDOW_BITS,
        ),
        (BrotliEncoderParameter::BROTLI_PARAM_CATABLE, 1),
        (BrotliEncoderParameter::BROTLI_PARAM_BARE_STREAM, 1),
    ] {
        state.set_parameter(parameter, value);
    }
    let (mut unread, mut read) = (plain.len(), 0);
    let (mut free, mut taken) = (room.len(), 0);
    // A flush ends at a byte. Finishing would do as well, but for levels 0 and 1 the library ends the stream by it.
    let done = state.compress_stream(
        BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
        &mut unread,
        plain,
        &mut read,
        &mut free,
        room,
        &mut taken,
        &mut None,
        &mut |_, _, _, _| (),
    );
    if done && unread == 0 && !state.has_more_output() {
        Ok(taken)
    } else {
        let message = "the encoder of brotli failed";
        Err(BackupError::new(
            Class::Permanent,
            "compress",
            "a block",
            message,
        ))
    }
}

/// Decodes to `room`, which has the size of what is expected. That there is a whole part, and no more, shows in that the end of
/// a stream is one right behind it, and not before.
pub(super) fn decode(stored: &[u8], room: &mut [u8]) -> Result<usize, BackupError> {
    let alloc = StandardAlloc::default;
    let mut state = BrotliState::new(alloc(), alloc(), alloc());
    let mut taken = 0;
    let mut feed = |bytes: &[u8]| {
        let (mut unread, mut read) = (bytes.len(), 0);
        let mut free = room.len() - taken;
        let result = BrotliDecompressStream(
            &mut unread,
            &mut read,
            bytes,
            &mut free,
            &mut taken,
            room,
            &mut 0,
            &mut state,
        );
        (result, unread)
    };
    for (bytes, is_end) in [
        (&BROTLI_HEADER[..], false),
        (stored, false),
        (&BROTLI_END, true),
    ] {
        match feed(bytes) {
            (BrotliResult::NeedsMoreInput, 0) if !is_end => {}
            (BrotliResult::ResultSuccess, 0) if is_end => {}
            (BrotliResult::NeedsMoreOutput, _) => return Err(wrong_length(taken + 1, room.len())),
            _ => {
                let message = "not a part of a brotli stream of the expected size";
                return Err(BackupError::corrupt("a chunk", message));
            }
        }
    }
    Ok(taken)
}
