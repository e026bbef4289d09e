//! A local index while it is written: under another name until it is whole and would survive a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use teeline_core::seal::Sealer;
use teeline_core::{BackupError, Class, Encoder, document, plain_words};

use super::chunks::{LEVEL, chunk_context, end_context};
use super::header::{CONTEXT, Header};

/// What the name ends in meanwhile.
pub(super) const UNFINISHED: &str = ".unfinished";

pub(super) struct Draft {
    staged: PathBuf,
    path: PathBuf,
    file: File,
    sealer: Sealer,
    gzip: Encoder,
    chunks: u64,
    is_finished: bool,
}

impl Draft {
    /// Begins the file at `path`.
    pub(super) fn create(
        path: &Path,
        header: &Header,
        sealer: Sealer,
    ) -> Result<Self, BackupError> {
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let mut staged = path.as_os_str().to_owned();
        staged.push(UNFINISHED);
        let staged = PathBuf::from(staged);
        let mut options = OpenOptions::new();
        let file = private(options.write(true).create(true).truncate(true)).open(&staged);
        let mut draft = Draft {
            file: file.map_err(|error| failed("create", &staged, &error))?,
            staged,
            path: path.to_owned(),
            sealer: sealer.clone(),
            gzip: Encoder::gzip(LEVEL),
            chunks: 0,
            is_finished: false,
        };
        let mac = |bytes: &[u8]| sealer.mac(CONTEXT, bytes);
        let header = document::seal_authenticated(header, mac);
        let header = document::readable::<Header>(&path.display().to_string(), header)?;
        draft.write(|file| file.write_all(&header))?;
        Ok(draft)
    }

    /// Writes the next chunk, of whole lines.
    pub(super) fn chunk(&mut self, lines: &[u8]) -> Result<(), BackupError> {
        let packed = self.gzip.encode(lines)?;
        let sealed = self.sealer.seal(chunk_context(self.chunks), &packed);
        self.chunks += 1;
        self.part(&sealed)
    }

    /// Ends the file, and gives it its name.
    pub(super) fn finish(mut self) -> Result<(), BackupError> {
        let end = self.sealer.seal(end_context(self.chunks), &[]);
        self.part(&end)?;
        self.write(|file| file.sync_all())?;
        let (staged, path) = (self.staged.clone(), self.path.clone());
        self.write(|_| fs::rename(staged, &path))?;
        self.is_finished = true;
        let folder = self.path.parent().map(Path::to_owned);
        self.write(|_| folder.map_or(Ok(()), |folder| sync_folder(&folder)))
    }

    fn part(&mut self, sealed: &[u8]) -> Result<(), BackupError> {
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        self.write(|file| {
            file.write_all(&length.to_be_bytes())?;
            file.write_all(sealed)
        })
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), BackupError> {
        write(&mut self.file).map_err(|error| failed("write", &self.path, &error))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_finished
            && let Err(error) = fs::remove_file(&self.staged)
        {
            tracing::warn!(file = %self.staged.display(), %error, "it can't be removed");
        }
    }
}

/// A folder that others than its owner can't look into, if it isn't there yet.
pub(super) fn make_folder(folder: &Path) -> Result<(), BackupError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = builder.create(folder);
    made.map_err(|error| failed("create", folder, &error))
}

/// Files that others than their owner can't read.
pub(super) fn private(options: &mut OpenOptions) -> &OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

pub(super) fn failed(operation: &str, path: &Path, error: &io::Error) -> BackupError {
    BackupError::new(
        Class::Permanent,
        operation,
        path.display(),
        plain_words(error),
    )
}
