//! What is left of a file that an archive holds as text, found by trying: as it comes, without holding it.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::write::MultiGzDecoder;

use super::lines::{LineCount, Lines};

/// So many characters tell how a file was made into text, and are quoted where they don't.
const BEGINNING_CHARACTERS: usize = 16;

/// A gzip file that was read as UTF-8 begins so: its second byte, 8B, is never UTF-8 there.
const READ_AS_UTF8: &str = "\u{1f}\u{fffd}\u{8}";
/// One that was read as Latin-1, which keeps every byte.
const READ_AS_LATIN1: &str = "\u{1f}\u{8b}";
/// One in base64.
const IN_BASE64: &str = "H4sI";

/// A file of an archive: its text, measured and tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// UTF-16 code units, which is what the plugin counts.
    pub size: u64,
    /// Characters U+FFFD. In a gzip file each stands where one byte was, or up to three.
    pub replaced: u64,
    /// What came of reading it as JSON lines, unpacked where it is gzip.
    pub lines: Result<Lines, String>,
}

/// Takes a file's text in pieces.
pub(super) struct Measure {
    size: u64,
    replaced: u64,
    attempt: Attempt,
}

/// What is tried with the text.
enum Attempt {
    /// Too little of it is known.
    Beginning(String),
    /// It is made into bytes again and unpacked.
    Gzip(Bytes, Box<MultiGzDecoder<LineCount>>),
    /// It is lines already.
    Plain(LineCount),
    /// Nothing more, for this reason.
    GivenUp(String),
}

/// How text becomes the bytes that it was.
enum Bytes {
    Utf8,
    Latin1,
    /// With the characters that make no group of four yet.
    Base64(String),
}

impl Measure {
    pub(super) fn new() -> Self {
        Measure {
            size: 0,
            replaced: 0,
            attempt: Attempt::Beginning(String::new()),
        }
    }

    pub(super) fn push(&mut self, piece: &str) {
        for character in piece.chars() {
            self.size += character.len_utf16() as u64;
            self.replaced += u64::from(character == char::REPLACEMENT_CHARACTER);
        }
        let Attempt::Beginning(text) = &mut self.attempt else {
            return self.attempt.push(piece);
        };
        text.push_str(piece);
        if text.chars().nth(BEGINNING_CHARACTERS - 1).is_some() {
            self.attempt = Attempt::of(text);
        }
    }

    pub(super) fn finish(self) -> Content {
        Content {
            size: self.size,
            replaced: self.replaced,
            lines: self.attempt.finish(),
        }
    }
}

impl Attempt {
    /// The attempt that a text's beginning suggests, with that given to it.
    fn of(text: &str) -> Self {
        let unpack =
            |bytes| Attempt::Gzip(bytes, Box::new(MultiGzDecoder::new(LineCount::default())));
        let (mut attempt, text) = if let Some(rest) = text.strip_prefix(READ_AS_UTF8) {
            let mut attempt = unpack(Bytes::Utf8);
            attempt.unpack(&[0x1f, 0x8b, 8]);
            (attempt, rest)
        } else if text.starts_with(READ_AS_LATIN1) {
            (unpack(Bytes::Latin1), text)
        } else if text.starts_with(IN_BASE64) {
            (unpack(Bytes::Base64(String::new())), text)
        } else if text.is_empty() || text.trim_start().starts_with('{') {
            (Attempt::Plain(LineCount::default()), text)
        } else {
            let quoted: String = text.chars().take(BEGINNING_CHARACTERS).collect();
            let reason = format!("it begins with {quoted:?}, which is neither gzip nor JSON lines");
            (Attempt::GivenUp(reason), text)
        };
        attempt.push(text);
        attempt
    }

    fn push(&mut self, piece: &str) {
        match self {
            Attempt::Beginning(_) | Attempt::GivenUp(_) => {}
            Attempt::Gzip(bytes, _) => match bytes.of(piece) {
                Ok(bytes) => self.unpack(&bytes),
                Err(reason) => *self = Attempt::GivenUp(reason),
            },
            Attempt::Plain(lines) => {
                if let Err(error) = lines.write_all(piece.as_bytes()) {
                    *self = Attempt::GivenUp(error.to_string());
                }
            }
        }
    }

    fn unpack(&mut self, bytes: &[u8]) {
        if let Attempt::Gzip(_, decoder) = self
            && let Err(error) = decoder.write_all(bytes)
        {
            *self = Attempt::GivenUp(error.to_string());
        }
    }

    fn finish(self) -> Result<Lines, String> {
        match self {
            // A short text that ends before it has told all.
            Attempt::Beginning(text) => Attempt::of(&text).finish(),
            Attempt::GivenUp(reason) => Err(reason),
            Attempt::Plain(lines) => Ok(lines.finish()),
            Attempt::Gzip(Bytes::Base64(rest), _) if !rest.is_empty() => {
                Err("its base64 is cut short".to_owned())
            }
            Attempt::Gzip(_, mut decoder) => match decoder.try_finish() {
                Ok(()) => Ok(std::mem::take(decoder.get_mut()).finish()),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

impl Bytes {
    fn of(&mut self, piece: &str) -> Result<Vec<u8>, String> {
        match self {
            Bytes::Utf8 => Ok(piece.as_bytes().to_vec()),
            Bytes::Latin1 => piece
                .chars()
                .map(u8::try_from)
                .collect::<Result<_, _>>()
                .map_err(|_| "a character in it is no byte of Latin-1".to_owned()),
            Bytes::Base64(rest) => {
                rest.push_str(piece);
                let whole = rest.len() - rest.len() % 4;
                let bytes = STANDARD.decode(&rest.as_bytes()[..whole]);
                let bytes = bytes.map_err(|_| "its base64 is wrong".to_owned())?;
                rest.drain(..whole);
                Ok(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;

    use super::*;

    /// As Node makes it on Unix, whose number, 3, is in the header.
    fn gzip(lines: &str) -> Vec<u8> {
        let header = GzBuilder::new().operating_system(3);
        let mut encoder = header.write(Vec::new(), Compression::default());
        encoder.write_all(lines.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// A text in pieces of so many characters.
    fn measured(text: &str, piece: usize) -> Content {
        let mut measure = Measure::new();
        let characters: Vec<char> = text.chars().collect();
        for piece in characters.chunks(piece) {
            measure.push(&piece.iter().collect::<String>());
        }
        measure.finish()
    }

    fn records(count: usize) -> String {
        (0..count)
            .map(|n| format!("{{\"id\":\"t{n:05}\",\"label\":\"ação {n}\"}}\n"))
            .collect()
    }

    const WHOLE: Lines = Lines {
        records: 50,
        others: 0,
    };

    #[test]
    fn gzip_that_was_read_as_utf8_is_lost() {
        let bytes = gzip(&records(50));
        let text = String::from_utf8_lossy(&bytes);
        let content = measured(&text, 7);
        assert!(content.lines.is_err(), "{content:?}");
        assert_eq!(content.size, text.encode_utf16().count() as u64);
        assert_eq!(content.replaced, text.matches('\u{fffd}').count() as u64);
        assert!(content.replaced > 50, "{content:?}");
    }

    #[test]
    fn gzip_of_nothing_has_lost_nothing() {
        let bytes = gzip("");
        let content = measured(&String::from_utf8_lossy(&bytes), 1);
        assert_eq!((content.replaced, content.lines), (1, Ok(Lines::default())));
    }

    #[test]
    fn gzip_that_kept_its_other_bytes_is_unpacked() {
        // An empty object with 60 spaces in and before it: hardly any file of records is packed in bytes of ASCII.
        let bytes = b"\x1f\x8b\x08\0\0\0\0\0\0\x03SP \x13T\x03q-\x17\0\r!\x1bu?\0\0\0";
        let content = measured(&String::from_utf8_lossy(bytes), 3);
        let lines = Lines {
            records: 1,
            others: 0,
        };
        assert_eq!((content.replaced, content.lines), (1, Ok(lines)));
    }

    #[test]
    fn text_that_kept_every_byte_is_unpacked() {
        let bytes = gzip(&records(50));
        let latin1: String = bytes.iter().copied().map(char::from).collect();
        for text in [latin1, STANDARD.encode(&bytes), records(50)] {
            for piece in [1, 5, 10_000] {
                assert_eq!(measured(&text, piece).lines, Ok(WHOLE));
            }
        }
        assert_eq!(measured("", 1).lines, Ok(Lines::default()));
        let two_members = [&bytes[..], &bytes[..]].concat();
        let twice = measured(&STANDARD.encode(two_members), 9).lines.unwrap();
        assert_eq!(twice.records, 100);
    }

    #[test]
    fn what_is_cut_short_or_changed_is_no_record() {
        let bytes = gzip(&records(50));
        for cut in [bytes.len() - 1, bytes.len() - 8, bytes.len() / 2, 12, 6] {
            let text = STANDARD.encode(&bytes[..cut]);
            assert!(measured(&text, 5).lines.is_err(), "{cut}");
        }
        let mut changed = bytes.clone();
        let at = changed.len() - 6;
        changed[at] ^= 1;
        assert!(measured(&STANDARD.encode(&changed), 5).lines.is_err());
        let base64 = STANDARD.encode(&bytes);
        let shorter = base64.trim_end_matches('=');
        assert!(
            measured(&shorter[..shorter.len() / 4 * 4 - 2], 5)
                .lines
                .is_err()
        );
    }

    #[test]
    fn lines_that_are_no_objects_are_told_apart() {
        let lines = measured("{\"a\":1}\n{\"a\":\n[1]\n\n{}", 4).lines;
        assert_eq!(
            lines,
            Ok(Lines {
                records: 2,
                others: 3
            })
        );
        let other = measured("hello, world", 4).lines.unwrap_err();
        assert!(other.starts_with("it begins with \"hell"), "{other}");
    }

    proptest! {
        #[test]
        fn anything_can_be_measured(text: String, form in 0usize..4, piece in 1usize..9) {
            let text = format!("{}{text}", [READ_AS_UTF8, READ_AS_LATIN1, IN_BASE64, ""][form]);
            let content = measured(&text, piece);
            prop_assert_eq!(content.size, text.encode_utf16().count() as u64);
            prop_assert_eq!(content, measured(&text, 1));
        }
    }
}
