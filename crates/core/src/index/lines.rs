//! Reading an index line by line.

use std::io::{self, BufReader};

use flate2::bufread::MultiGzDecoder;

use super::{Header, INDEX_FORMAT, INDEX_VERSION, LINE_BYTES_MAX, PLAIN_BYTES_MAX};
use crate::bounded_lines::BoundedLines;
use crate::error::{BackupError, Class};
use crate::seal::SealedPlace;

/// The lines of a stored index behind its header.
pub(crate) struct IndexLines<'a> {
    subject: &'a str,
    header: Header,
    lines: BoundedLines<BufReader<MultiGzDecoder<&'a [u8]>>>,
}

impl<'a> IndexLines<'a> {
    /// Those of an index; `subject` names the file in errors.
    pub(crate) fn open(subject: &'a str, bytes: &'a [u8]) -> Result<Self, BackupError> {
        let corrupt = |message: &str| BackupError::corrupt(subject, message);
        let unpacked = BufReader::new(MultiGzDecoder::new(bytes));
        let mut lines = BoundedLines::new(unpacked, LINE_BYTES_MAX, PLAIN_BYTES_MAX);
        let first = lines.next().map_err(|error| unread(subject, error))?;
        let first = first.ok_or_else(|| corrupt("empty"))?;
        let header: Header =
            serde_json::from_slice(first).map_err(|error| corrupt("no header").because(error))?;
        if header.format != INDEX_FORMAT || !(1..=INDEX_VERSION).contains(&header.version) {
            let message = format!(
                "{} version {} is unknown to this teeline, which reads {INDEX_FORMAT} versions 1 to {INDEX_VERSION}",
                header.format, header.version
            );
            return Err(BackupError::new(Class::Permanent, "read", subject, message)
                .suggest("use a newer teeline"));
        }
        Ok(IndexLines {
            subject,
            header,
            lines,
        })
    }

    /// The name of the data file.
    pub(super) fn file(&self) -> &str {
        &self.header.file
    }

    pub(super) fn into_header(self) -> Header {
        self.header
    }

    /// The place of the data file, if that is sealed.
    pub(crate) fn seal(&self) -> Option<SealedPlace> {
        self.header.seal
    }

    /// The next line.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, BackupError> {
        let subject = self.subject;
        self.lines.next().map_err(|error| unread(subject, error))
    }

    /// That nothing follows the end marker, but for what authenticates it where the file is sealed.
    pub(super) fn finish(&mut self) -> Result<(), BackupError> {
        let is_sealed = self.header.seal.is_some();
        let is_mac = |line: &[u8]| line.starts_with(super::MAC_LINE);
        let ends = match (self.next()?.map(is_mac), is_sealed) {
            (None, false) => true,
            (Some(true), true) => self.next()?.is_none(),
            _ => false,
        };
        match ends {
            true => Ok(()),
            false => {
                let message = "it doesn't end where its end marker says";
                Err(BackupError::corrupt(self.subject, message))
            }
        }
    }
}

fn unread(subject: &str, error: io::Error) -> BackupError {
    BackupError::corrupt(subject, "not gzip text").because(error)
}
