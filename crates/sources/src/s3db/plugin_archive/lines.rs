//! Lines of JSON, counted as they come.

use std::io::{self, Write};

use serde::de::IgnoredAny;

/// A line longer than this is no record.
const LINE_BYTES_MAX: usize = 64 << 20;
/// Nothing is unpacked beyond this.
const UNPACKED_BYTES_MAX: u64 = 64 << 30;

/// The lines of a file that could be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lines {
    /// Lines that are JSON objects.
    pub records: u64,
    /// Lines that aren't.
    pub others: u64,
}

/// Counts lines, and holds no more than one.
#[derive(Default)]
pub(super) struct LineCount {
    line: Vec<u8>,
    is_too_long: bool,
    found: Lines,
    bytes: u64,
}

impl LineCount {
    fn add(&mut self, part: &[u8]) {
        self.is_too_long |= self.line.len() + part.len() > LINE_BYTES_MAX;
        if !self.is_too_long {
            self.line.extend_from_slice(part);
        }
    }

    fn end_line(&mut self) {
        let is_object = !self.is_too_long
            && self.line.trim_ascii_start().starts_with(b"{")
            && serde_json::from_slice::<IgnoredAny>(&self.line).is_ok();
        if is_object {
            self.found.records += 1;
        } else {
            self.found.others += 1;
        }
        self.line.clear();
        self.is_too_long = false;
    }

    pub(super) fn finish(mut self) -> Lines {
        if !self.line.is_empty() || self.is_too_long {
            self.end_line();
        }
        self.found
    }
}

impl Write for LineCount {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        if self.bytes > UNPACKED_BYTES_MAX {
            let message = format!("it unpacks to more than {UNPACKED_BYTES_MAX} bytes");
            return Err(io::Error::other(message));
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(end) => {
                    self.add(end);
                    self.end_line();
                }
                None => self.add(part),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_held_up_to_a_bound() {
        let mut lines = LineCount::default();
        let part = vec![b' '; 1 << 20];
        for _ in 0..100 {
            lines.write_all(&part).unwrap();
            assert!(lines.line.capacity() <= 2 * LINE_BYTES_MAX);
        }
        lines.write_all(b"\n{}\n").unwrap();
        assert_eq!(
            lines.finish(),
            Lines {
                records: 1,
                others: 1
            }
        );
    }
}
