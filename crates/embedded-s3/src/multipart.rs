//! Multipart uploads, kept in the folder until they are completed or aborted.
//!
//! ```text
//! <bucket>/uploads/<upload id>/upload.json    key and attributes; without it there is no upload
//! <bucket>/uploads/<upload id>/part-00001     an object file, its header holding ETag and checksums
//! ```
//!
//! Completing copies the parts into one object file, publishes that, and only then removes the
//! upload: a crash between the two leaves an upload to abort, never a lost object.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use s3s::dto::CompletedPart;
use s3s::{S3Error, S3Result, s3_error};
use serde::{Deserialize, Serialize};

use crate::attributes::Attributes;
use crate::checksums::{Checksums, Computed, etag_of_parts, stated_checksums};
use crate::conditions::WriteMode;
use crate::object_file::{Draft, Header, Opened};
use crate::store::{OrInternal as _, Store, ensure_dir, found};

/// The least bytes of every part but the last: 5 MiB.
const PART_BYTES_MIN: u64 = 5 << 20;
/// Part numbers go from 1 to this.
const PART_NUMBER_MAX: i32 = 10_000;
const DESCRIPTION: &str = "upload.json";

/// An upload that has begun.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) attributes: Attributes,
    /// Whole seconds since the Unix epoch.
    pub(crate) initiated_seconds: u64,
    /// The checksum that the client wants for parts and object, as it was named.
    pub(crate) algorithm: Option<String>,
}

/// A part that has arrived.
///
/// It doesn't keep its file open: there can be ten thousand parts.
#[derive(Debug)]
pub(crate) struct StoredPart {
    pub(crate) number: i32,
    pub(crate) header: Header,
    /// Bytes of body.
    pub(crate) size: u64,
}

impl StoredPart {
    /// The part `number` and its open file, or `None` if it isn't there.
    fn open(directory: &Path, number: i32) -> S3Result<Option<(StoredPart, File)>> {
        let opened = found(Opened::open(&part_path(directory, number))).or_internal()?;
        Ok(opened.map(
            |Opened {
                 header, size, file, ..
             }| {
                (
                    StoredPart {
                        number,
                        header,
                        size,
                    },
                    file,
                )
            },
        ))
    }
}

/// What completing an upload asks for.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) parts: Vec<CompletedPart>,
    pub(crate) mode: WriteMode,
    /// The size the client expects of the object.
    pub(crate) size: Option<i64>,
}

impl Store {
    /// Begins an upload and returns its id.
    pub(crate) fn create_upload(&self, bucket: &str, upload: &Upload) -> S3Result<String> {
        let uploads = self.bucket(bucket)?.join("uploads");
        let staged = self.staging_path();
        let id = blake3::hash(staged.as_os_str().as_encoded_bytes()).to_hex()[..32].to_owned();
        let json = serde_json::to_vec(upload).map_err(S3Error::internal_error)?;
        ensure_dir(&uploads).or_internal()?;
        let directory = uploads.join(&id);
        fs::create_dir(&directory).or_internal()?;
        fs::write(&staged, json).or_internal()?;
        fs::rename(&staged, directory.join(DESCRIPTION)).or_internal()?;
        Ok(id)
    }

    /// The upload `id` of `key` and its folder; `NoSuchUpload` unless it exists.
    pub(crate) fn upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<(PathBuf, Upload)> {
        let directory = self.upload_directory(bucket, id)?;
        let upload = read_upload(&directory)
            .or_internal()?
            .ok_or_else(no_such_upload)?;
        // An id belongs to its key: with another it is a client's mistake.
        if upload.key == key {
            Ok((directory, upload))
        } else {
            Err(no_such_upload())
        }
    }

    /// Keeps a part that has been received, in place of an earlier one of that number.
    pub(crate) fn put_part(
        &self,
        directory: &Path,
        number: i32,
        mut draft: Draft,
        computed: &Computed,
        header: &mut Header,
    ) -> S3Result<()> {
        header.etag = computed.etag();
        header.checksums = computed.checksums.clone();
        draft.seal(header).or_internal()?;
        match draft.replace(&part_path(directory, number)) {
            // Completed or aborted while the part was on its way.
            Err(error) if error.kind() == ErrorKind::NotFound => Err(no_such_upload()),
            other => other.or_internal(),
        }
    }

    /// The parts of an upload after the number `after`, in order, at most `limit`.
    pub(crate) fn parts(
        &self,
        directory: &Path,
        after: i32,
        limit: usize,
    ) -> S3Result<Vec<StoredPart>> {
        let Some(entries) = found(fs::read_dir(directory)).or_internal()? else {
            return Err(no_such_upload());
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry.or_internal()?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("part-"));
            numbers.extend(number.and_then(|number| number.parse::<i32>().ok()));
        }
        numbers.retain(|number| *number > after);
        numbers.sort_unstable();
        numbers.truncate(limit);
        let mut parts = Vec::new();
        for number in numbers {
            let (part, _) = StoredPart::open(directory, number)?.ok_or_else(no_such_upload)?;
            parts.push(part);
        }
        Ok(parts)
    }

    /// Makes one object of an upload's parts, and returns its ETag.
    pub(crate) fn complete_upload(&self, completion: Completion) -> S3Result<String> {
        let (directory, upload) =
            self.upload(&completion.bucket, &completion.key, &completion.id)?;
        let parts = chosen_parts(&directory, &completion.parts)?;
        let size: u64 = parts.iter().map(|part| part.size).sum();
        if completion
            .size
            .is_some_and(|stated| u64::try_from(stated) != Ok(size))
        {
            return Err(s3_error!(
                InvalidRequest,
                "the parts have {size} bytes together"
            ));
        }
        let etags: Vec<String> = parts.iter().map(|part| part.header.etag.clone()).collect();
        let mut header = Header::new(&completion.key, upload.attributes, self.now_seconds());
        header.etag = etag_of_parts(&etags)
            .ok_or_else(|| s3_error!(InternalError, "a part's ETag is damaged"))?;
        let mut draft = self.draft(&header).or_internal()?;
        for part in &parts {
            let reopened = StoredPart::open(&directory, part.number)?;
            let (again, mut file) = reopened.ok_or_else(no_such_upload)?;
            if again.header.etag != part.header.etag {
                return Err(invalid_part(part.number));
            }
            draft.write_from(&mut file).or_internal()?;
        }
        self.publish(&completion.bucket, draft, &header, completion.mode)?;
        self.remove_upload(&directory).or_internal()?;
        Ok(header.etag)
    }

    /// Forgets an upload and its parts.
    pub(crate) fn abort_upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<()> {
        let (directory, _) = self.upload(bucket, key, id)?;
        match self.remove_upload(&directory).or_internal()? {
            true => Ok(()),
            false => Err(no_such_upload()),
        }
    }

    /// Every upload of a bucket with its id, by key and then by the order they began in.
    pub(crate) fn uploads(&self, bucket: &str) -> S3Result<Vec<(Upload, String)>> {
        let directory = self.bucket(bucket)?.join("uploads");
        let mut uploads = Vec::new();
        for entry in found(fs::read_dir(directory))
            .or_internal()?
            .into_iter()
            .flatten()
        {
            let entry = entry.or_internal()?;
            if let Ok(id) = entry.file_name().into_string()
                && let Some(upload) = read_upload(&entry.path()).or_internal()?
            {
                uploads.push((upload, id));
            }
        }
        uploads.sort_by(|(a, a_id), (b, b_id)| {
            (&a.key, a.initiated_seconds, a_id).cmp(&(&b.key, b.initiated_seconds, b_id))
        });
        Ok(uploads)
    }

    fn upload_directory(&self, bucket: &str, id: &str) -> S3Result<PathBuf> {
        let uploads = self.bucket(bucket)?.join("uploads");
        // The id comes from outside and becomes part of a path.
        let ours = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if ours {
            Ok(uploads.join(id))
        } else {
            Err(no_such_upload())
        }
    }

    /// Whether the upload was there to be removed.
    fn remove_upload(&self, directory: &Path) -> io::Result<bool> {
        // Out of sight in one step, so that nobody lists it half removed.
        let aside = self.staging_path();
        if found(fs::rename(directory, &aside))?.is_none() {
            return Ok(false);
        }
        found(fs::remove_dir_all(&aside))?;
        Ok(true)
    }
}

impl Upload {
    /// An upload of `key` that begins at that time.
    pub(crate) fn new(
        key: String,
        attributes: Attributes,
        algorithm: Option<String>,
        initiated_seconds: u64,
    ) -> Upload {
        Upload {
            key,
            attributes,
            initiated_seconds,
            algorithm,
        }
    }
}

/// Refuses part numbers that S3 doesn't have.
pub(crate) fn check_part_number(number: i32) -> S3Result<()> {
    if (1..=PART_NUMBER_MAX).contains(&number) {
        return Ok(());
    }
    Err(s3_error!(
        InvalidArgument,
        "part numbers go from 1 to {PART_NUMBER_MAX}"
    ))
}

/// The parts that a completion names, once everything it says about them holds.
fn chosen_parts(directory: &Path, named: &[CompletedPart]) -> S3Result<Vec<StoredPart>> {
    if named.is_empty() {
        return Err(s3_error!(MalformedXML, "an object needs at least one part"));
    }
    if !named.is_sorted_by(|a, b| a.part_number < b.part_number) {
        return Err(s3_error!(
            InvalidPartOrder,
            "the parts must be named in ascending order"
        ));
    }
    let mut parts = Vec::with_capacity(named.len());
    for part in named {
        let number = part.part_number.ok_or_else(|| s3_error!(MalformedXML))?;
        let invalid = || invalid_part(number);
        check_part_number(number).map_err(|_| invalid())?;
        let (stored, _) = StoredPart::open(directory, number)?.ok_or_else(invalid)?;
        let same = part
            .e_tag
            .as_ref()
            .is_some_and(|etag| etag.value() == stored.header.etag);
        if !same || !checksums_agree(&stated_checksums!(part), &stored.header.checksums) {
            return Err(invalid());
        }
        parts.push(stored);
    }
    let all_but_last = &parts[..parts.len() - 1];
    if all_but_last.iter().any(|part| part.size < PART_BYTES_MIN) {
        return Err(s3_error!(
            EntityTooSmall,
            "every part but the last must have at least {PART_BYTES_MIN} bytes"
        ));
    }
    Ok(parts)
}

/// Whether the checksums named at completion are those of the part; one that wasn't computed when
/// the part came can't be compared.
fn checksums_agree(named: &Checksums, stored: &Checksums) -> bool {
    stored.is_empty() || named.hold_in(stored)
}

fn read_upload(directory: &Path) -> io::Result<Option<Upload>> {
    let Some(json) = found(fs::read(directory.join(DESCRIPTION)))? else {
        return Ok(None);
    };
    Ok(Some(serde_json::from_slice(&json)?))
}

fn part_path(directory: &Path, number: i32) -> PathBuf {
    directory.join(format!("part-{number:05}"))
}

fn invalid_part(number: i32) -> S3Error {
    s3_error!(InvalidPart, "part {number} is not there or is another")
}

fn no_such_upload() -> S3Error {
    s3_error!(
        NoSuchUpload,
        "the upload does not exist: it may have been aborted or completed"
    )
}
