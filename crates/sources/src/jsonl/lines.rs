//! Bytes → batches of whole lines.

use std::io::{self, Read};
use std::sync::Arc;

use teeline_core::{BackupError, Buffers, LineCheck, LineOrigin, RecordBatch, record_too_large};

use super::files::read_error;

/// A batch is given once it holds this many bytes, unless its only line is longer.
const BATCH_BYTES: usize = 256 << 10;

/// Reads lines of one file.
pub(super) struct Lines {
    input: Box<dyn Read + Send>,
    file: Arc<str>,
    /// How many bytes of the file came, those before these lines included.
    came: u64,
    /// The number of the next line to be given.
    line: u64,
    /// The beginning of that line, as far as it was read.
    rest: Vec<u8>,
    /// What batches are in.
    buffers: Buffers,
    at_end: bool,
    limits: LineLimits,
}

/// What lines have to keep to.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineLimits {
    /// A longer one is an error, the newline counted.
    pub(super) record_bytes_max: usize,
    /// What the encoders check.
    pub(super) check: LineCheck,
}

impl Lines {
    pub(super) fn new(input: Box<dyn Read + Send>, file: Arc<str>, limits: LineLimits) -> Self {
        Lines {
            input,
            file,
            came: 0,
            line: 1,
            rest: Vec::new(),
            buffers: Buffers::default(),
            at_end: false,
            limits,
        }
    }

    /// As these, where so many lines of the file come before them, of so many bytes.
    pub(super) fn behind(self, lines: u64, bytes: u64) -> Self {
        Lines {
            line: self.line + lines,
            came: self.came + bytes,
            ..self
        }
    }

    /// How many bytes the file had, where it was read to its end.
    pub(super) fn bytes_at_end(&self) -> Option<u64> {
        self.at_end.then_some(self.came)
    }

    /// What they are called in errors.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// The next lines; `None` at the end.
    pub(super) fn next_batch(&mut self) -> Result<Option<RecordBatch>, BackupError> {
        let mut held = Held::new(&self.buffers, &self.rest);
        let mut ends = Vec::new();
        let mut searched = 0;
        while !self.at_end && (ends.is_empty() || held.filled < BATCH_BYTES) {
            // Beyond a batch a single line is being read, and never more of it than tells that it is too large.
            let wanted = match held.filled {
                filled if filled < BATCH_BYTES => BATCH_BYTES - filled,
                filled => self
                    .limits
                    .record_bytes_max
                    .saturating_add(1)
                    .saturating_sub(filled)
                    .clamp(1, BATCH_BYTES),
            };
            let read = held.read(&mut self.input, wanted);
            let read = read.map_err(|error| read_error(&self.file, error))?;
            self.came += read as u64;
            self.at_end = read == 0;
            if self.at_end && held.bytes().last().is_some_and(|last| *last != b'\n') {
                held.push(b'\n');
            }
            let found = memchr::memchr_iter(b'\n', &held.bytes()[searched..]);
            for at in found.map(|at| searched + at) {
                let begin = ends.last().copied().unwrap_or(0);
                self.check_size(at + 1 - begin, ends.len())?;
                ends.push(at + 1);
            }
            searched = held.filled;
            let begin = ends.last().copied().unwrap_or(0);
            self.check_size(held.filled - begin, ends.len())?;
        }
        let Some(end) = ends.last().copied() else {
            return Ok(None);
        };
        self.rest = held.bytes()[end..].to_vec();
        let origin = LineOrigin {
            file: Arc::clone(&self.file),
            line: self.line,
            check: self.limits.check,
        };
        self.line += ends.len() as u64;
        Ok(Some(RecordBatch {
            bytes: self.buffers.lend(held.buffer, end),
            ends,
            rows: Vec::new(),
            origin: Some(origin),
            continues: false,
        }))
    }

    fn check_size(&self, found: usize, lines_before: usize) -> Result<(), BackupError> {
        if found <= self.limits.record_bytes_max {
            return Ok(());
        }
        let line = self.line + lines_before as u64;
        let subject = format!("{}, line {line}", self.file);
        Err(record_too_large(subject, self.limits.record_bytes_max))
    }
}

/// What was read of the next batch: the first `filled` bytes of a buffer.
struct Held {
    buffer: Vec<u8>,
    filled: usize,
}

impl Held {
    fn new(buffers: &Buffers, rest: &[u8]) -> Self {
        // With room for a newline that the last line lacks.
        let mut buffer = buffers.take(rest.len().max(BATCH_BYTES) + 1);
        buffer[..rest.len()].copy_from_slice(rest);
        Held {
            buffer,
            filled: rest.len(),
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    fn room(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.filled + bytes;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        &mut self.buffer[self.filled..end]
    }

    fn push(&mut self, byte: u8) {
        self.room(1)[0] = byte;
        self.filled += 1;
    }

    /// Reads up to `wanted` bytes; gives how many there were, 0 at the end.
    fn read(&mut self, input: &mut impl Read, wanted: usize) -> io::Result<usize> {
        let room = self.room(wanted);
        let read = loop {
            match input.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.filled += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives its bytes in pieces of other sizes than they are asked for.
    struct Trickle(Vec<u8>, usize);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0.drain(..length);
            Ok(length)
        }
    }

    fn up_to(record_bytes_max: usize) -> LineLimits {
        LineLimits {
            record_bytes_max,
            check: LineCheck::Json,
        }
    }

    fn batches(bytes: &[u8], piece: usize, max: usize) -> Result<Vec<RecordBatch>, BackupError> {
        let input = Box::new(Trickle(bytes.to_vec(), piece));
        let mut lines = Lines::new(input, "a.jsonl".into(), up_to(max));
        std::iter::from_fn(|| lines.next_batch().transpose()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_lines_are_the_bytes(
            sizes in proptest::collection::vec(0usize..200_000, 0..30),
            piece in 1000usize..700_000,
            last_newline: bool,
        ) {
            let mut bytes: Vec<u8> = Vec::new();
            for (index, size) in sizes.iter().enumerate() {
                bytes.resize(bytes.len() + size, b'a' + u8::try_from(index % 26).unwrap());
                bytes.push(b'\n');
            }
            if !last_newline {
                bytes.pop();
            }
            let got = batches(&bytes, piece, usize::MAX).unwrap();
            if bytes.last().is_some_and(|last| *last != b'\n') {
                bytes.push(b'\n');
            }
            let mut line = 1;
            for batch in &got {
                prop_assert_eq!(batch.origin.as_ref().unwrap().line, line);
                prop_assert_eq!(batch.ends.last(), Some(&batch.bytes.len()));
                let mut begin = 0;
                for end in &batch.ends {
                    prop_assert_eq!(memchr::memchr(b'\n', &batch.bytes[begin..]), Some(end - 1 - begin));
                    begin = *end;
                }
                line += batch.ends.len() as u64;
            }
            let joined: Vec<u8> = got.iter().flat_map(|batch| batch.bytes.to_vec()).collect();
            prop_assert!(joined == bytes);
        }
    }

    #[test]
    fn line_ends_are_kept_as_they_are() {
        let got = batches(b"{\"a\":1}\r\n\n{}", 5, 100).unwrap();
        assert_eq!(got.len(), 1);
        assert_eq!(&got[0].bytes[..], b"{\"a\":1}\r\n\n{}\n");
        assert_eq!(got[0].ends, [9, 10, 13]);
    }

    #[test]
    fn a_line_that_is_too_large_is_named_and_not_held() {
        /// Endless, and counts what was taken of it.
        struct Endless(Arc<std::sync::atomic::AtomicUsize>);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b'x');
                self.0
                    .fetch_add(buffer.len(), std::sync::atomic::Ordering::Relaxed);
                Ok(buffer.len())
            }
        }
        let taken = Arc::default();
        let input = io::Cursor::new(b"{}\n{}\n".to_vec()).chain(Endless(Arc::clone(&taken)));
        let mut lines = Lines::new(Box::new(input), "a.jsonl".into(), up_to(3 << 20));
        let batch = lines.next_batch().unwrap().unwrap();
        assert_eq!(batch.ends, [3, 6]);
        let error = lines.next_batch().unwrap_err();
        assert!(
            error.to_string().contains("a.jsonl, line 3: it is longer"),
            "{error}"
        );
        assert!(taken.load(std::sync::atomic::Ordering::Relaxed) <= (3 << 20) + 1);

        let error = batches(b"{}\n123456\n", 100, 6).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert!(batches(b"{}\n12345", 100, 6).is_ok());
        assert!(batches(b"{}\n123456", 100, 6).is_err());
    }
}
