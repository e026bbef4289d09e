//! A folder as a store: a local disk, or a share that is mounted.
//!
//! - An object is written to a temporary file beside its place, is made durable, and is then moved there by a rename that
//!   refuses to replace (or by a hard link, where the filesystem can't). So nobody sees a part of it, and of several
//!   writers one wins.
//! - A commit returns once the file, its folder and the folders above it up to the root are on the disk.
//! - Temporary files are named `.tmp-…`. They aren't objects: they are never listed, and no key may be named so. One that
//!   a crash left behind does no harm; [`Sink::unfinished`] names them, by the keys that their own names would be.
//! - Files are for their owner alone, and so are folders made on the way, unless [`Modes`] say otherwise. Temporary files are
//!   like the files that they become.
//! - Symbolic links below the root aren't followed in writing, and aren't listed; one that leads out of the root isn't
//!   followed at all.
//! - A `put` whose object exists with the same bytes succeeds: it can't tell a repetition from a second writer. An upload
//!   can, so for a second one the same bytes are a conflict too.

mod calls;
mod disk;
mod draft;
mod failure;
mod jobs;
mod modes;
mod upload;
mod walk;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use teeline_core::{
    BackupError, Capabilities, Class, ObjectKey, ObjectMeta, ReadBack, Reading, Sink,
    UnfinishedUpload, Upload,
};

use calls::Calls;
pub use calls::{DiskCall, DiskFault, Interference};
use disk::{Disk, READ_BYTES};
use draft::Draft;
use jobs::Jobs;
pub use modes::Modes;
use upload::FileUpload;
use walk::{Find, Walk};

/// How many items of a list are fetched at once.
const LIST_BATCH: usize = 256;

/// Where the system calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Io {
    /// On the runtime's blocking threads, so that a slow disk holds up nothing else.
    #[default]
    Pool,
    /// In the task that calls: for simulations, where nothing may depend on the timing of threads.
    Inline,
}

/// How a [`FilesystemSink`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FilesystemOptions {
    /// Where the system calls are made.
    pub io: Io,
    /// What files and folders are made with.
    pub modes: Modes,
}

/// A folder as a store. `Display` is its path.
#[derive(Debug, Clone)]
pub struct FilesystemSink {
    disk: Arc<Disk>,
    jobs: Jobs,
}

impl FilesystemSink {
    /// The store in the folder `root`, which is made when something is written to it.
    pub fn new(root: PathBuf, options: FilesystemOptions) -> Self {
        Self::with(root, options, Calls::default())
    }

    /// The same, with system calls that fail when `interference` says so: for tests.
    pub fn failing(root: PathBuf, options: FilesystemOptions, interference: Interference) -> Self {
        Self::with(root, options, Calls::with(interference))
    }

    fn with(root: PathBuf, options: FilesystemOptions, calls: Calls) -> Self {
        FilesystemSink {
            jobs: Jobs::of(&root, options.io),
            disk: Arc::new(Disk::new(root, options.modes, calls)),
        }
    }

    fn walk(
        &self,
        folder: Option<&ObjectKey>,
        find: Find,
    ) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        let start = Some(Walk::new(Arc::clone(&self.disk), folder, find));
        stream::unfold(start, move |walk| async move {
            let mut walk = walk?;
            let batch = move || {
                let batch: Vec<_> = walk.by_ref().take(LIST_BATCH).collect();
                (batch, walk)
            };
            match self.jobs.run(batch).await {
                Ok((batch, _)) if batch.is_empty() => None,
                Ok((batch, walk)) => Some((batch, Some(walk))),
                Err(error) => Some((vec![Err(error)], None)),
            }
        })
        .map(stream::iter)
        .flatten()
        .boxed()
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Arc<Disk>) -> Result<T, BackupError> + Send + 'static,
    ) -> Result<T, BackupError> {
        let disk = Arc::clone(&self.disk);
        self.jobs.run(move || job(&disk)).await?
    }
}

impl fmt::Display for FilesystemSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.disk.root().display(), f)
    }
}

#[async_trait]
impl Sink for FilesystemSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            read_back: ReadBack::Everything,
            // One is read while another is compared.
            reading: Reading {
                calls: 2,
                bytes: READ_BYTES as u64,
            },
            lists_in_pages: false,
        }
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: u64,
    ) -> Result<Box<dyn Upload>, BackupError> {
        let key = key.clone();
        let draft = self
            .on_disk(move |disk| {
                let draft = Draft::create(disk, &key)?;
                draft.check_space(expected_bytes)?;
                Ok(draft)
            })
            .await?;
        Ok(Box::new(FileUpload::new(draft, self.jobs.clone())))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        let key = key.clone();
        self.on_disk(move |disk| {
            let mut draft = Draft::create(disk, &key)?;
            draft.write(&bytes)?;
            match draft.commit() {
                Err(error) if error.class() == Class::Conflict && disk.holds(&key, &bytes)? => {
                    // The first try may have been cut off before it had made it durable.
                    draft.sync_folders()
                }
                result => result,
            }
        })
        .await
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        let key = key.clone();
        self.on_disk(move |disk| disk.read(&key, range)).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        let key = key.clone();
        self.on_disk(move |disk| disk.head(&key)).await
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let key = key.clone();
        self.on_disk(move |disk| disk.drop_cached(&key)).await
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        self.walk(folder, Find::Objects)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let key = key.clone();
        self.on_disk(move |disk| disk.delete(&key)).await
    }

    fn unfinished(
        &self,
        folder: Option<&ObjectKey>,
    ) -> BoxStream<'_, Result<UnfinishedUpload, BackupError>> {
        let upload = |meta: ObjectMeta| UnfinishedUpload {
            key: meta.key,
            name: String::new(),
            touched_at: meta.modified_at,
        };
        self.walk(folder, Find::Drafts).map_ok(upload).boxed()
    }

    async fn discard(&self, upload: &UnfinishedUpload) -> Result<(), BackupError> {
        match draft::is_draft(upload.key.file_name()) {
            true => self.delete(&upload.key).await,
            false => Err(BackupError::usage(
                &upload.key,
                "it is no unfinished upload",
            )),
        }
    }
}

#[cfg(test)]
mod tests;
