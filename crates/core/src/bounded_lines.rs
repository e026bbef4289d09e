//! Lines of stored text that nobody vouches for: so many bytes, and no longer ones.

use std::io::{self, BufRead, ErrorKind, Read, Take};

/// Reads lines one after the other into the same memory.
pub(crate) struct BoundedLines<R> {
    reader: Take<R>,
    line_bytes_max: usize,
    line: Vec<u8>,
}

impl<R: BufRead> BoundedLines<R> {
    /// The lines of `reader`, which may have `bytes_max` bytes, and `line_bytes_max` each.
    pub(crate) fn new(reader: R, line_bytes_max: usize, bytes_max: u64) -> Self {
        BoundedLines {
            reader: reader.take(bytes_max),
            line_bytes_max,
            line: Vec::new(),
        }
    }

    /// The next line, without its newline.
    ///
    /// # Errors
    /// What reading fails with, and [`ErrorKind::FileTooLarge`] where a bound is passed.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let most = self.line_bytes_max as u64 + 1;
        let read = Read::take(&mut self.reader, most).read_until(b'\n', &mut self.line)?;
        let ended = self.line.pop_if(|last| *last == b'\n').is_some();
        match (ended, read) {
            (false, _) if self.reader.limit() == 0 || self.line.len() > self.line_bytes_max => {
                Err(ErrorKind::FileTooLarge.into())
            }
            (false, 0) => Ok(None),
            _ => Ok(Some(&self.line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8], line_bytes_max: usize, bytes_max: u64) -> io::Result<Vec<Vec<u8>>> {
        let mut lines = BoundedLines::new(text, line_bytes_max, bytes_max);
        let mut read = Vec::new();
        while let Some(line) = lines.next()? {
            read.push(line.to_vec());
        }
        Ok(read)
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_text_or_a_bound_is_passed(
            text in "[ab\n]{0,40}",
            line_bytes_max in 0usize..12,
            bytes_max in 1u64..60,
        ) {
            let expected: Vec<Vec<u8>> = text.as_bytes().split_inclusive(|byte| *byte == b'\n')
                .map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec())
                .collect();
            let longest = expected.iter().map(Vec::len).max().unwrap_or(0);
            let lines = read(text.as_bytes(), line_bytes_max, bytes_max);
            if longest <= line_bytes_max && (text.len() as u64) < bytes_max {
                prop_assert_eq!(lines.unwrap(), expected);
            } else if longest > line_bytes_max || text.len() as u64 > bytes_max {
                prop_assert_eq!(lines.unwrap_err().kind(), ErrorKind::FileTooLarge);
            }
        }
    }

    #[test]
    fn a_line_without_an_end_takes_no_more_memory_than_a_long_one() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        let mut lines = BoundedLines::new(endless, 1000, u64::MAX);
        assert_eq!(lines.next().unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert!(lines.line.capacity() < 10_000);
    }
}
