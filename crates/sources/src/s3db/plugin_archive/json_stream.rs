//! JSON read in pieces: a string of any length passes through without being held, which `serde_json` can't do, and one
//! string of an archive is a whole file.

mod text;

use std::io::{self, BufRead};

use serde_json::Value;

/// Objects and arrays inside each other; the plugin's own have three.
const DEPTH_MAX: usize = 64;
/// Characters of a number, `true`, `false` or `null`.
const SCALAR_BYTES_MAX: usize = 64;

/// Why a document can't be read on.
#[derive(Debug)]
pub(super) enum JsonFault {
    /// Its bytes couldn't be had, or end before the document does.
    Io(io::Error),
    /// The byte at this place, from 0, isn't JSON.
    Syntax {
        /// The place.
        at: u64,
        /// What is wrong there.
        message: String,
    },
}

impl From<io::Error> for JsonFault {
    fn from(error: io::Error) -> Self {
        JsonFault::Io(error)
    }
}

/// A document that is being read, value after value.
pub(super) struct JsonStream<R> {
    input: R,
    /// Bytes taken so far.
    at: u64,
    depth: usize,
}

impl<R: BufRead> JsonStream<R> {
    pub(super) fn new(input: R) -> Self {
        JsonStream {
            input,
            at: 0,
            depth: 0,
        }
    }

    /// Reads an object; `member` is given each key, of at most `key_bytes_max`, and has to take its value.
    pub(super) fn object(
        &mut self,
        key_bytes_max: usize,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), JsonFault>,
    ) -> Result<(), JsonFault> {
        self.nested(b'{', b'}', |json| {
            let key = json.short_text(key_bytes_max)?;
            json.take(b':')?;
            member(json, &key)
        })
    }

    /// Reads an array; `item` has to take each of its values.
    pub(super) fn array(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<(), JsonFault>,
    ) -> Result<(), JsonFault> {
        self.nested(b'[', b']', item)
    }

    /// Reads a string of at most `bytes_max`.
    pub(super) fn short_text(&mut self, bytes_max: usize) -> Result<String, JsonFault> {
        let at = self.at;
        let mut text = String::new();
        let mut is_too_long = false;
        self.text(&mut |piece| {
            is_too_long |= text.len() + piece.len() > bytes_max;
            if !is_too_long {
                text.push_str(piece);
            }
        })?;
        match is_too_long {
            false => Ok(text),
            true => Err(JsonFault::Syntax {
                at,
                message: format!("a string of more than {bytes_max} bytes"),
            }),
        }
    }

    /// Reads a string of at most `bytes_max`, or passes over a value that is none.
    pub(super) fn short_text_if_any(
        &mut self,
        bytes_max: usize,
    ) -> Result<Option<String>, JsonFault> {
        match self.begin()? {
            b'"' => self.short_text(bytes_max).map(Some),
            _ => self.skip().map(|()| None),
        }
    }

    /// Reads a whole number, or passes over a value that is none.
    pub(super) fn number_if_any(&mut self) -> Result<Option<u64>, JsonFault> {
        match self.begin()? {
            b'{' | b'[' | b'"' => self.skip().map(|()| None),
            _ => Ok(self.scalar()?.as_u64()),
        }
    }

    /// Passes over a value of any kind.
    pub(super) fn skip(&mut self) -> Result<(), JsonFault> {
        match self.begin()? {
            b'{' => self.nested(b'{', b'}', |json| {
                json.text(&mut |_| {})?;
                json.take(b':')?;
                json.skip()
            }),
            b'[' => self.nested(b'[', b']', Self::skip),
            b'"' => self.text(&mut |_| {}),
            _ => self.scalar().map(drop),
        }
    }

    /// The first byte of the next value or mark, which isn't taken yet.
    pub(super) fn begin(&mut self) -> Result<u8, JsonFault> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.consume(1),
                Some(byte) => return Ok(byte),
                None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            }
        }
    }

    /// Reads to the end of the input, where nothing more may be.
    pub(super) fn end(&mut self) -> Result<(), JsonFault> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.consume(1),
                Some(byte) => return Err(self.unexpected(byte, "the end")),
                None => return Ok(()),
            }
        }
    }

    fn nested(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), JsonFault>,
    ) -> Result<(), JsonFault> {
        self.take(open)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fault(format!("more than {DEPTH_MAX} values inside each other")));
        }
        let mut is_first = true;
        while self.begin()? != close {
            if !is_first {
                self.take(b',')?;
            }
            is_first = false;
            item(self)?;
        }
        self.consume(1);
        self.depth -= 1;
        Ok(())
    }

    fn scalar(&mut self) -> Result<Value, JsonFault> {
        let at = self.at;
        let mut text = String::new();
        while let Some(byte) = self.peek()?
            && (byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            && text.len() < SCALAR_BYTES_MAX
        {
            text.push(char::from(byte));
            self.consume(1);
        }
        match (serde_json::from_str(&text), self.peek()?) {
            (Ok(value), _) => Ok(value),
            (Err(_), Some(found)) if text.is_empty() => Err(self.unexpected(found, "a value")),
            (Err(_), _) => Err(JsonFault::Syntax {
                at,
                message: format!("{text:?} is no value"),
            }),
        }
    }

    fn take(&mut self, wanted: u8) -> Result<(), JsonFault> {
        match self.begin()? {
            byte if byte == wanted => {
                self.consume(1);
                Ok(())
            }
            byte => Err(self.unexpected(byte, &format!("{:?}", char::from(wanted)))),
        }
    }

    fn next(&mut self) -> Result<u8, JsonFault> {
        let byte = self.peek()?;
        let byte = byte.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
        self.consume(1);
        Ok(byte)
    }

    fn peek(&mut self) -> Result<Option<u8>, JsonFault> {
        loop {
            match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return Ok(read?.first().copied()),
            }
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.input.consume(bytes);
        self.at += bytes as u64;
    }

    fn unexpected(&self, found: u8, wanted: &str) -> JsonFault {
        self.fault(format!(
            "{:?} where {wanted} is expected",
            char::from(found)
        ))
    }

    /// A fault at the byte that is next.
    pub(super) fn fault(&self, message: String) -> JsonFault {
        JsonFault::Syntax {
            at: self.at,
            message,
        }
    }
}

#[cfg(test)]
mod tests;
