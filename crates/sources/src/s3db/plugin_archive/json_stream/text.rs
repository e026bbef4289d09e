//! Strings, which come in pieces: cut wherever a read ends or an escape stands.

use std::io::{self, BufRead};

use super::{JsonFault, JsonStream};

impl<R: BufRead> JsonStream<R> {
    /// Reads a string, and gives it piece by piece. Half a surrogate pair comes as U+FFFD.
    pub(in super::super) fn text(&mut self, piece: &mut dyn FnMut(&str)) -> Result<(), JsonFault> {
        self.take(b'"')?;
        while self.plain_characters(piece)? == b'\\' {
            self.escaped_character(piece)?;
        }
        Ok(())
    }

    /// Gives the characters up to a quote or a backslash, takes that too and returns it.
    fn plain_characters(&mut self, piece: &mut dyn FnMut(&str)) -> Result<u8, JsonFault> {
        // The first bytes of a character that the last read has cut.
        let mut cut: Vec<u8> = Vec::new();
        loop {
            let read = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let end = memchr::memchr2(b'"', b'\\', read);
            let stop = end.map(|end| read[end]);
            let part = &read[..end.unwrap_or(read.len())];
            let taken = part.len() + usize::from(stop.is_some());
            let wrong = if cut.is_empty() {
                give(part, stop.is_some(), piece, &mut cut)
            } else {
                let joined = [&cut, part].concat();
                cut.clear();
                give(&joined, stop.is_some(), piece, &mut cut)
            };
            if let Some(message) = wrong {
                return Err(self.fault(message.to_owned()));
            }
            self.consume(taken);
            if let Some(stop) = stop {
                return Ok(stop);
            }
        }
    }

    /// Gives the character that a backslash, taken already, begins.
    fn escaped_character(&mut self, piece: &mut dyn FnMut(&str)) -> Result<(), JsonFault> {
        let character = match self.next()? {
            plain @ (b'"' | b'\\' | b'/') => char::from(plain),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.escaped_units(piece),
            other => return Err(self.unexpected(other, "one of \"\\/bfnrtu")),
        };
        piece(character.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    /// Gives the character that `\u` begins; the second half of a pair is in a second `\u`.
    fn escaped_units(&mut self, piece: &mut dyn FnMut(&str)) -> Result<(), JsonFault> {
        let mut give = |units: &[u16]| {
            for decoded in char::decode_utf16(units.iter().copied()) {
                let character = decoded.unwrap_or(char::REPLACEMENT_CHARACTER);
                piece(character.encode_utf8(&mut [0; 4]));
            }
        };
        let mut first = self.unit()?;
        while (0xd800..0xdc00).contains(&first) && self.peek()? == Some(b'\\') {
            self.consume(1);
            if self.peek()? != Some(b'u') {
                give(&[first]);
                return self.escaped_character(piece);
            }
            self.consume(1);
            let second = self.unit()?;
            if (0xdc00..0xe000).contains(&second) {
                give(&[first, second]);
                return Ok(());
            }
            give(&[first]);
            first = second;
        }
        give(&[first]);
        Ok(())
    }

    fn unit(&mut self) -> Result<u16, JsonFault> {
        let mut unit = 0;
        for _ in 0..4 {
            let byte = self.next()?;
            let digit = char::from(byte).to_digit(16);
            let digit = digit.ok_or_else(|| self.unexpected(byte, "a hexadecimal digit"))?;
            unit = unit << 4 | u16::try_from(digit).expect("below 16");
        }
        Ok(unit)
    }
}

/// Gives the characters of `bytes` and leaves one that isn't whole yet in `cut`; says what is wrong with them.
fn give(
    bytes: &[u8],
    is_last: bool,
    piece: &mut dyn FnMut(&str),
    cut: &mut Vec<u8>,
) -> Option<&'static str> {
    if bytes.iter().any(|byte| *byte < 0x20) {
        return Some("a control character in a string");
    }
    let (whole, rest) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, &[][..]),
        Err(error) if error.error_len().is_none() && !is_last => {
            let (whole, rest) = bytes.split_at(error.valid_up_to());
            (
                std::str::from_utf8(whole).expect("it was found valid"),
                rest,
            )
        }
        Err(_) => return Some("a string that isn't UTF-8"),
    };
    piece(whole);
    cut.extend_from_slice(rest);
    None
}
