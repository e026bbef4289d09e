//! What the BackupPlugin of s3db.js 21.6.2 leaves: `ID.backup`, an archive, beside `ID.manifest.json`.
//!
//! An archive is JSON, `{version, created, files: [{name, size, content}]}`, gzipped unless the compression is `none`.
//! `content` is the file, read as UTF-8. Data files are gzip, so nearly every one is destroyed by that; what can still be
//! had is found by trying.
//!
//! An archive may be damaged, something else, or made to do harm. It is read once, as a stream, and what is held of it
//! has limits; an archive that breaks off gives what came before, and why.

mod content;
mod described;
mod json_stream;
mod lines;

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

pub use self::content::Content;
use self::content::Measure;
pub use self::described::{ExportedPartition, ExportedResource, PluginManifest, SchemaExport};
use self::json_stream::{JsonFault, JsonStream};
pub use self::lines::Lines;

const READ_BYTES: usize = 64 << 10;
/// The plugin makes an archive of one string, and V8 gives a string at most 2^29 UTF-16 code units, of three bytes of UTF-8
/// at most.
const PLAIN_BYTES_MAX: u64 = 3 << 29;
const FILES_MAX: usize = 1 << 16;
/// Names, versions and times.
const SHORT_TEXT_BYTES_MAX: usize = 1 << 10;
const EXPORT_BYTES_MAX: usize = 16 << 20;
/// Enough to know a tar file by.
const BEGINNING_BYTES: u64 = 512;
/// Of a file that is no archive, so much is quoted.
const QUOTED_BYTES: usize = 16;

const GZIP_BEGINS: [u8; 2] = [0x1f, 0x8b];
/// Where a tar file says that it is one.
const TAR_MARK: (usize, &[u8]) = (257, b"ustar");
/// The archived description of the resources.
const EXPORT_NAME: &str = "s3db.json";

/// An archive, as far as it could be read.
#[derive(Debug, Default)]
pub struct PluginArchive {
    /// How its JSON is packed; `None` where it holds none.
    pub form: Option<ArchiveForm>,
    /// The version that it says it is of.
    pub version: Option<String>,
    /// When it was made.
    pub created: Option<String>,
    /// The files that are whole in it, in their order.
    pub files: Vec<ArchivedFile>,
    /// Its `s3db.json`, or what was found in its place; `None` where there is none.
    pub export: Option<Result<SchemaExport, String>>,
    /// Why it couldn't be read to its end.
    pub fault: Option<ArchiveFault>,
}

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveForm {
    /// Gzip of JSON.
    Gzip,
    /// JSON.
    Json,
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedFile {
    /// Its name.
    pub name: String,
    /// The size that the archive says it has, in the unit of [`Content::size`].
    pub declared_size: Option<u64>,
    /// What is there.
    pub content: Content,
}

/// Why an archive couldn't be read to its end.
#[derive(Debug)]
pub enum ArchiveFault {
    /// It is no archive of the plugin's: what was found instead.
    Foreign(String),
    /// It ends before it is whole.
    CutShort,
    /// What is in it can't be right: what was found.
    Damaged(String),
    /// The operating system, or whoever else gives its bytes, failed.
    Unreadable(io::Error),
}

/// Reads an archive to its end, or as far as it goes.
pub fn read_plugin_archive(input: impl Read) -> PluginArchive {
    let mut archive = PluginArchive::default();
    archive.fault = read(input, &mut archive).err();
    archive
}

fn read(input: impl Read, archive: &mut PluginArchive) -> Result<(), ArchiveFault> {
    let mut input = BufReader::with_capacity(READ_BYTES, input);
    let beginning = beginning(&mut input)?;
    if beginning.is_empty() {
        return Err(ArchiveFault::Foreign("it is empty".to_owned()));
    }
    let is_gzip = beginning.starts_with(&GZIP_BEGINS);
    let input = Cursor::new(beginning).chain(input);
    if is_gzip {
        read_plain(ArchiveForm::Gzip, MultiGzDecoder::new(input), archive)
    } else {
        read_plain(ArchiveForm::Json, input, archive)
    }
}

fn read_plain(
    form: ArchiveForm,
    input: impl Read,
    archive: &mut PluginArchive,
) -> Result<(), ArchiveFault> {
    let bounded = Bounded {
        input,
        left: PLAIN_BYTES_MAX,
    };
    let mut input = BufReader::with_capacity(READ_BYTES, bounded);
    let beginning = beginning(&mut input)?;
    if !beginning.trim_ascii_start().starts_with(b"{") {
        let found = described(&beginning);
        return Err(ArchiveFault::Foreign(match form {
            ArchiveForm::Gzip => format!("it is gzip of {found}"),
            ArchiveForm::Json => format!("it is {found}"),
        }));
    }
    archive.form = Some(form);
    let mut json = JsonStream::new(Cursor::new(beginning).chain(input));
    let mut has_files = false;
    json.object(SHORT_TEXT_BYTES_MAX, |json, key| {
        match key {
            "version" => archive.version = json.short_text_if_any(SHORT_TEXT_BYTES_MAX)?,
            "created" => archive.created = json.short_text_if_any(SHORT_TEXT_BYTES_MAX)?,
            "files" => {
                has_files = true;
                json.array(|json| read_file(json, archive))?;
            }
            _ => json.skip()?,
        }
        Ok(())
    })?;
    json.end()?;
    match has_files {
        true => Ok(()),
        false => Err(ArchiveFault::Foreign(
            "it is a JSON object without `files`".to_owned(),
        )),
    }
}

fn read_file(
    json: &mut JsonStream<impl BufRead>,
    archive: &mut PluginArchive,
) -> Result<(), JsonFault> {
    let mut name = None;
    let mut declared_size = None;
    let mut measure = Measure::new();
    let mut export = Held::default();
    json.object(SHORT_TEXT_BYTES_MAX, |json, key| {
        match key {
            "name" => name = json.short_text_if_any(SHORT_TEXT_BYTES_MAX)?,
            "size" => declared_size = json.number_if_any()?,
            "content" if json.begin()? == b'"' => {
                // Without a name so far it may be the export.
                let is_held = name.as_deref().is_none_or(|name| name == EXPORT_NAME);
                json.text(&mut |piece| {
                    measure.push(piece);
                    if is_held {
                        export.push(piece);
                    }
                })?;
            }
            _ => json.skip()?,
        }
        Ok(())
    })?;
    let name = name.unwrap_or_default();
    if name == EXPORT_NAME {
        archive.export = Some(export.text().and_then(SchemaExport::parse));
    }
    if archive.files.len() == FILES_MAX {
        return Err(json.fault(format!("more than {FILES_MAX} files")));
    }
    archive.files.push(ArchivedFile {
        name,
        declared_size,
        content: measure.finish(),
    });
    Ok(())
}

/// A text that is held, up to a limit.
#[derive(Default)]
struct Held {
    text: String,
    is_too_long: bool,
}

impl Held {
    fn push(&mut self, piece: &str) {
        self.is_too_long |= self.text.len() + piece.len() > EXPORT_BYTES_MAX;
        if !self.is_too_long {
            self.text.push_str(piece);
        }
    }

    fn text(&self) -> Result<&[u8], String> {
        match self.is_too_long {
            false => Ok(self.text.as_bytes()),
            true => Err(format!("more than {EXPORT_BYTES_MAX} bytes")),
        }
    }
}

/// Gives so many bytes, and fails where there are more.
struct Bounded<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let message = format!(
                "its JSON is more than {PLAIN_BYTES_MAX} bytes, which the plugin can't write"
            );
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        Ok(read)
    }
}

/// The first bytes, as many as there are up to [`BEGINNING_BYTES`].
fn beginning(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(BEGINNING_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What begins like this, in words.
fn described(beginning: &[u8]) -> String {
    let (at, mark) = TAR_MARK;
    if beginning
        .get(at..)
        .is_some_and(|rest| rest.starts_with(mark))
    {
        return "a tar file".to_owned();
    }
    match beginning {
        [] => "nothing".to_owned(),
        _ => {
            let quoted = &beginning[..beginning.len().min(QUOTED_BYTES)];
            format!("something that begins with \"{}\"", quoted.escape_ascii())
        }
    }
}

impl From<JsonFault> for ArchiveFault {
    fn from(fault: JsonFault) -> Self {
        match fault {
            JsonFault::Io(error) => error.into(),
            JsonFault::Syntax { at, message } => {
                ArchiveFault::Damaged(format!("byte {at} of its JSON: {message}"))
            }
        }
    }
}

impl From<io::Error> for ArchiveFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveFault::CutShort,
            // So says the decoder, and nobody else.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                ArchiveFault::Damaged(error.to_string())
            }
            _ => ArchiveFault::Unreadable(error),
        }
    }
}

#[cfg(test)]
mod tests;
