//! The folder: buckets, publishing, opening and deleting objects.
//!
//! ```text
//! root/.staging/            files being written
//! root/<bucket>/objects/    see key_path
//! root/<bucket>/uploads/    see multipart
//! root/<bucket>/thaws/      see thaw
//! ```
//!
//! `objects`, its directories and `uploads` come and go with their contents, so every step expects
//! that another request or process changed the tree a moment ago.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use s3s::dto::Timestamp;
use s3s::path::check_bucket_name;
use s3s::{S3Error, S3Result, s3_error};

use crate::Clock;
use crate::conditions::{self, WriteMode};
use crate::key_path;
use crate::object_file::{Draft, Header, Opened};
use crate::thaw::THAWS;
use crate::walk::Walk;

/// How often publishing makes the directories again that a deletion took away meanwhile.
const PUBLISH_ATTEMPTS: usize = 1000;

/// Numbers the staged files of this process, over all its servers.
static STAGED: AtomicU64 = AtomicU64::new(0);

/// The folder a server serves.
pub(crate) struct Store {
    root: PathBuf,
    clock: Clock,
    /// Whether no thaw comes to its end for now.
    pub(crate) holds_thaws: AtomicBool,
}

impl Store {
    /// Opens the folder at `root`, which is created if absent.
    pub(crate) fn open(root: &Path, clock: Clock) -> io::Result<Store> {
        fs::create_dir_all(root.join(".staging"))?;
        // Absolute, since the process may change its directory later.
        Ok(Store {
            root: root.canonicalize()?,
            clock,
            holds_thaws: AtomicBool::new(false),
        })
    }

    /// What time it is here, in whole seconds since the Unix epoch.
    pub(crate) fn now_seconds(&self) -> u64 {
        let since = (self.clock)().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }

    /// Creates a bucket; `AlreadyExists` if it is there, `InvalidInput` for a name S3 forbids.
    pub(crate) fn create_bucket(&self, name: &str) -> io::Result<()> {
        if !check_bucket_name(name) {
            let message = format!("{name:?} is not a valid bucket name");
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        fs::create_dir(self.root.join(name))
    }

    /// The folder of a bucket; `NoSuchBucket` unless it exists.
    pub(crate) fn bucket(&self, name: &str) -> S3Result<PathBuf> {
        let path = self.root.join(name);
        if check_bucket_name(name) && path.is_dir() {
            Ok(path)
        } else {
            Err(no_such_bucket())
        }
    }

    /// All buckets by name, with the time each was created.
    pub(crate) fn buckets(&self) -> io::Result<Vec<(String, Timestamp)>> {
        let mut buckets = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !check_bucket_name(&name) {
                continue;
            }
            let Some(metadata) = found(entry.metadata())? else {
                continue;
            };
            // Not every file system knows creation times.
            let created = metadata.created().or_else(|_| metadata.modified())?;
            buckets.push((name, Timestamp::from(created)));
        }
        buckets.sort();
        Ok(buckets)
    }

    /// Deletes a bucket without objects, and the uploads begun in it.
    pub(crate) fn delete_bucket(&self, name: &str) -> S3Result<()> {
        let bucket = self.bucket(name)?;
        if self
            .walk(&bucket, Vec::new(), Vec::new())
            .next_key()
            .or_internal()?
            .is_some()
        {
            return Err(bucket_not_empty());
        }
        // Removing only empty directories, so that an object published right now stops it.
        remove_empty_tree(&bucket.join("objects"))?;
        for folder in ["uploads", THAWS] {
            found(fs::remove_dir_all(bucket.join(folder))).or_internal()?;
        }
        match fs::remove_dir(&bucket) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Err(bucket_not_empty()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(no_such_bucket()),
            other => other.or_internal(),
        }
    }

    /// A path in the staging folder that nothing has had before.
    pub(crate) fn staging_path(&self) -> PathBuf {
        // The time keeps processes apart that have the same id, as those in containers do.
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let number = STAGED.fetch_add(1, Ordering::Relaxed);
        self.root
            .join(".staging")
            .join(format!("{nanos:x}-{:x}-{number:x}", process::id()))
    }

    /// Begins writing an object that will have `header`.
    pub(crate) fn draft(&self, header: &Header) -> io::Result<Draft> {
        Draft::create(self.staging_path(), header.room()?)
    }

    /// Makes a draft the object `header.key` of `bucket`, in one step.
    pub(crate) fn publish(
        &self,
        bucket: &str,
        mut draft: Draft,
        header: &Header,
        mode: WriteMode,
    ) -> S3Result<()> {
        let bucket = self.bucket(bucket)?;
        draft.seal(header).or_internal()?;
        let relative = key_path::object_path(header.key.as_bytes());
        let path = bucket.join("objects").join(&relative);
        if mode == WriteMode::Replace {
            check_unlocked(&path)?;
        }
        for _ in 0..PUBLISH_ATTEMPTS {
            let published = match mode {
                WriteMode::Replace => draft.replace(&path),
                WriteMode::Create => draft.link(&path),
            };
            match published {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Err(conditions::failed());
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    make_parents(&bucket, &relative)?;
                }
                Err(error) => return Err(S3Error::internal_error(error)),
            }
        }
        Err(s3_error!(
            OperationAborted,
            "deletions kept removing the object's directory"
        ))
    }

    /// Opens an object for reading; what is opened stays whole whatever happens to the key.
    pub(crate) fn open_object(&self, bucket: &str, key: &str) -> S3Result<Opened> {
        let path = self.object_path(&self.root.join(bucket), key);
        if let Some(opened) = found(Opened::open(&path)).or_internal()? {
            return Ok(opened);
        }
        self.bucket(bucket)?;
        Err(s3_error!(NoSuchKey, "the specified key does not exist"))
    }

    /// Opens an object that a walk has found; `None` when it was deleted since.
    pub(crate) fn open_listed(&self, bucket: &Path, key: &str) -> io::Result<Option<Opened>> {
        found(Opened::open(&self.object_path(bucket, key)))
    }

    /// Deletes an object; one that isn't there counts as deleted.
    pub(crate) fn delete_object(&self, bucket: &str, key: &str) -> S3Result<()> {
        let bucket = self.bucket(bucket)?;
        let objects = bucket.join("objects");
        let path = self.object_path(&bucket, key);
        check_unlocked(&path)?;
        if found(fs::remove_file(&path)).or_internal()?.is_some() {
            self.forget_thaw(&bucket, key).or_internal()?;
            // Up to the first directory that something is in.
            let parents = path
                .ancestors()
                .skip(1)
                .take_while(|parent| *parent != objects);
            for parent in parents {
                if fs::remove_dir(parent).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Walks the keys that begin with `prefix` and come after `after`, in byte order.
    pub(crate) fn walk(&self, bucket: &Path, prefix: Vec<u8>, after: Vec<u8>) -> Walk {
        Walk::new(bucket.join("objects"), prefix, after)
    }

    fn object_path(&self, bucket: &Path, key: &str) -> PathBuf {
        bucket
            .join("objects")
            .join(key_path::object_path(key.as_bytes()))
    }
}

/// Turns an I/O error into the answer that the server failed.
pub(crate) trait OrInternal<T> {
    /// `InternalError`, with the I/O error as its source.
    fn or_internal(self) -> S3Result<T>;
}

impl<T> OrInternal<T> for io::Result<T> {
    fn or_internal(self) -> S3Result<T> {
        self.map_err(S3Error::internal_error)
    }
}

/// `None` in place of the error that something isn't there.
pub(crate) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates a directory unless it exists.
pub(crate) fn ensure_dir(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Makes the directories that `relative` needs below the bucket's `objects`, but not the bucket:
/// one deleted meanwhile must not come back.
fn make_parents(bucket: &Path, relative: &Path) -> S3Result<()> {
    let mut directory = bucket.join("objects");
    if found(ensure_dir(&directory)).or_internal()?.is_none() {
        return Err(no_such_bucket());
    }
    for component in relative.parent().into_iter().flat_map(Path::components) {
        directory.push(component);
        if found(ensure_dir(&directory)).or_internal()?.is_none() {
            // Its parent was removed as empty a moment ago; the caller begins again.
            return Ok(());
        }
    }
    Ok(())
}

/// Removes a tree of directories, stopping at the first file.
fn remove_empty_tree(top: &Path) -> S3Result<()> {
    // Not recursive: a key of slashes is a thousand directories deep.
    let mut pending = vec![(top.to_owned(), false)];
    while let Some((path, emptied)) = pending.pop() {
        if emptied {
            match found(fs::remove_dir(&path)) {
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                    return Err(bucket_not_empty());
                }
                other => other.or_internal()?,
            };
            continue;
        }
        let Some(entries) = found(fs::read_dir(&path)).or_internal()? else {
            continue;
        };
        pending.push((path, true));
        for entry in entries {
            let entry = entry.or_internal()?;
            if !entry.file_type().or_internal()?.is_dir() {
                return Err(bucket_not_empty());
            }
            pending.push((entry.path(), false));
        }
    }
    Ok(())
}

/// `AccessDenied` where there is an object, and it is locked.
fn check_unlocked(path: &Path) -> S3Result<()> {
    match found(Opened::open(path)).or_internal()? {
        Some(opened) => opened.header.attributes.check_unlocked(),
        None => Ok(()),
    }
}

fn no_such_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "the specified bucket does not exist")
}

fn bucket_not_empty() -> S3Error {
    s3_error!(
        BucketNotEmpty,
        "the bucket you tried to delete is not empty"
    )
}
