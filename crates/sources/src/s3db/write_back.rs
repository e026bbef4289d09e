//! Writes a backup of a database back: the records, then every other object, then the catalogue. Without its catalogue
//! a database isn't one, so a restore that breaks off leaves nothing that s3db.js would take for a whole database.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value};
use teeline_core::{
    BackupError, Class, Digest, Frame, FrameHeader, ResourceKind, RestoreCounts, Restoring, layout,
};

use super::bucket::Bucket;
use super::catalogue::Catalogue;
use super::extras::MEMBER;
use super::mapping::restore_object;
use super::object::RawObject;
use super::parted::Parted;
use super::puts::Puts;
use super::walk::{CATALOGUE, record_key, record_of, record_of_entry, renamed};
use super::write::{RestoreMode, Situation, Writer, Written};

mod sweep;

/// An object up to this size is written whole; a larger one in parts of at least this size.
const PART_BYTES: u64 = 8 << 20;
/// What S3 allows.
const PARTS_MAX: u64 = 10_000;

/// A restore under way.
pub(super) struct WriteBack {
    writer: Writer,
    catalogue: Arc<Catalogue>,
    /// What `s3db.json` is going to be.
    catalogue_bytes: Bytes,
    /// What the chosen resources are called now, by their names in the backup.
    new_names: HashMap<String, String>,
    /// Whether the marker of a restore is there, to be taken away.
    is_marked: bool,
    is_all_there_was: bool,
    /// What those of the chosen resources are called now of which the backup has some records only.
    in_part: HashSet<String>,
    puts: Puts<Done>,
    /// Whether records are on their way.
    records_pending: bool,
    object: Option<OpenObject>,
    /// By what things are called now.
    counts: HashMap<ResourceKind, RestoreCounts>,
    /// The keys that were restored, where of others some are to be deleted.
    restored: Option<HashSet<Digest>>,
    /// The keys of records of which another stays.
    kept: HashSet<Digest>,
}

/// What became of an object.
struct Done {
    key: String,
    written: Written,
}

/// An object of which the first pieces came.
struct OpenObject {
    /// Of the first piece; with the key that the object has now.
    header: FrameHeader,
    /// Its key in the backup.
    key: String,
    /// Where the next piece has to begin.
    offset: u64,
    pending: BytesMut,
    /// Whether it is written in parts: decided once there is more than one part of it.
    large: Option<Large>,
}

/// An object that is too large to be written whole.
struct Large {
    written: Written,
    /// Absent where it isn't written.
    parted: Option<Parted>,
}

impl WriteBack {
    pub(super) fn new(
        writer: Writer,
        catalogue: Arc<Catalogue>,
        catalogue_bytes: Bytes,
        restoring: &Restoring,
        is_marked: bool,
    ) -> Self {
        let deletes = matches!(
            writer.situation,
            Situation::Filled(RestoreMode::Merge | RestoreMode::Replace)
        );
        let chosen = restoring.chosen();
        let in_part = restoring.resources.iter().filter(|of| of.is_in_part);
        WriteBack {
            writer,
            catalogue,
            catalogue_bytes,
            new_names: chosen
                .map(|(name, new)| (name.to_owned(), new.to_owned()))
                .collect(),
            is_marked,
            is_all_there_was: restoring.is_all_there_was(),
            in_part: in_part.filter_map(|of| of.restored_as.clone()).collect(),
            puts: Puts::new(),
            records_pending: false,
            object: None,
            counts: HashMap::new(),
            restored: deletes.then(HashSet::new),
            kept: HashSet::new(),
        }
    }

    /// What became of the records of a resource (by its name in the backup), or of the objects that are none.
    pub(super) fn counts(&self, of: &ResourceKind) -> RestoreCounts {
        let now = match of {
            ResourceKind::Records(name) => {
                ResourceKind::Records(self.new_names.get(name).unwrap_or(name).clone())
            }
            of => of.clone(),
        };
        self.counts.get(&now).copied().unwrap_or_default()
    }

    pub(super) async fn lines(&mut self, resource: &str, lines: &Bytes) -> Result<(), BackupError> {
        let known = &self.catalogue.resources;
        let index = known.iter().position(|known| known.name == resource);
        let (Some(index), Some(new_name)) = (index, self.new_names.get(resource)) else {
            let message = "the backup's s3db.json doesn't have this resource";
            return Err(BackupError::corrupt(
                format!("resource {resource}"),
                message,
            ));
        };
        let new_name: Arc<str> = new_name.as_str().into();
        self.records_pending = true;
        let mut begin = 0;
        for newline in memchr::memchr_iter(b'\n', lines) {
            let line = lines.slice(begin..newline);
            begin = newline + 1;
            let (writer, catalogue) = (self.writer.clone(), Arc::clone(&self.catalogue));
            let new_name = Arc::clone(&new_name);
            self.push(line.len() as u64, async move {
                let record = object_of(&catalogue, index, &line)?;
                let Some((id, object)) = record else {
                    return Ok(None);
                };
                let key = record_key(&new_name, &id);
                let written = writer.write(&key, &object).await?;
                Ok(Some(Done { key, written }))
            })
            .await?;
        }
        if begin < lines.len() {
            let message = "its last line is cut short";
            return Err(BackupError::corrupt(
                format!("resource {resource}"),
                message,
            ));
        }
        Ok(())
    }

    pub(super) async fn frames(&mut self, frames: Vec<Frame>) -> Result<(), BackupError> {
        for frame in frames {
            let is_record = record_of(&frame.header.key).is_some();
            if self.records_pending && !is_record {
                // Index entries point at records, so those come first.
                self.drain().await?;
            }
            self.records_pending = is_record;
            self.take(frame).await?;
        }
        Ok(())
    }

    pub(super) async fn finish(&mut self) -> Result<(), BackupError> {
        self.drain().await?;
        if let Some(object) = &self.object {
            let message = "the backup ends in the middle of it";
            return Err(BackupError::corrupt(
                format!("object {:?}", object.key),
                message,
            ));
        }
        self.sweep().await?;
        if self.writer.dry_run {
            return Ok(());
        }
        let bucket = &self.writer.bucket;
        let catalogue = RawObject {
            body: std::mem::take(&mut self.catalogue_bytes),
            content_type: Some("application/json".to_owned()),
            ..RawObject::default()
        };
        match self.writer.situation {
            Situation::Complete => {}
            Situation::Filled(_) => bucket.put(CATALOGUE, &catalogue).await?,
            Situation::Empty | Situation::BrokenOff => make(bucket, &catalogue).await?,
        }
        if self.is_marked {
            bucket.delete(layout::RESTORE_MARKER).await?;
        }
        Ok(())
    }

    pub(super) async fn abort(mut self) -> Result<(), BackupError> {
        self.puts.abandon().await;
        let large = self.object.and_then(|object| object.large);
        match large.and_then(|large| large.parted) {
            Some(parted) => parted.abort().await,
            None => Ok(()),
        }
    }

    async fn push(
        &mut self,
        bytes: u64,
        put: impl Future<Output = Result<Option<Done>, BackupError>> + Send + 'static,
    ) -> Result<(), BackupError> {
        let done = self.puts.push(bytes, put).await?;
        done.into_iter().for_each(|done| self.count(done));
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), BackupError> {
        let done = self.puts.drain().await?;
        done.into_iter().for_each(|done| self.count(done));
        Ok(())
    }

    fn count(&mut self, Done { key, written }: Done) {
        let counts = self.counts_of(&key);
        match written {
            Written::Created => counts.created += 1,
            Written::Replaced => counts.replaced += 1,
            Written::Left | Written::Kept => counts.left += 1,
        }
        if written == Written::Kept && record_of(&key).is_some() {
            self.kept.insert(Digest::of(key.as_bytes()));
        }
        if let Some(restored) = &mut self.restored {
            restored.insert(Digest::of(key.as_bytes()));
        }
    }

    /// What is counted of whatever an object of this key is.
    fn counts_of(&mut self, key: &str) -> &mut RestoreCounts {
        let kind = match record_of(key) {
            Some((name, _)) => ResourceKind::Records(name.to_owned()),
            None => ResourceKind::Objects,
        };
        self.counts.entry(kind).or_default()
    }

    /// Takes the next piece of an object.
    async fn take(&mut self, frame: Frame) -> Result<(), BackupError> {
        let is_last = frame.is_last();
        let Frame { header, bytes } = frame;
        let mut object = match (self.object.take(), header.offset) {
            (None, 0) => self.open(header),
            (Some(object), offset)
                if object.key == header.key
                    && object.offset == offset
                    && object.header.size == header.size =>
            {
                object
            }
            (open, _) => {
                self.object = open;
                let subject = format!("object {:?}", header.key);
                let message = "its pieces don't follow each other";
                return Err(BackupError::corrupt(subject, message));
            }
        };
        object.offset += bytes.len() as u64;
        if object.header.size <= PART_BYTES {
            return self.take_small(object, bytes, is_last).await;
        }
        object.pending.extend_from_slice(&bytes);
        // It stays here, so that `abort` finds it.
        let object = self.object.insert(object);
        object.write_parts(&self.writer, is_last).await?;
        if is_last {
            let done = object.finish().await?;
            self.object = None;
            self.count(done);
        }
        Ok(())
    }

    fn open(&self, header: FrameHeader) -> OpenObject {
        let key = header.key.clone();
        OpenObject {
            header: FrameHeader {
                key: renamed(&header.key, &self.new_names),
                ..header
            },
            key,
            offset: 0,
            pending: BytesMut::new(),
            large: None,
        }
    }

    async fn take_small(
        &mut self,
        mut object: OpenObject,
        bytes: Bytes,
        is_last: bool,
    ) -> Result<(), BackupError> {
        if !is_last {
            object.pending.extend_from_slice(&bytes);
            self.object = Some(object);
            return Ok(());
        }
        let body = match object.pending.is_empty() {
            true => bytes,
            false => {
                object.pending.extend_from_slice(&bytes);
                object.pending.freeze()
            }
        };
        let FrameHeader {
            key,
            metadata,
            content_type,
            ..
        } = object.header;
        let record = record_of_entry(&key);
        if record.is_some_and(|record| self.kept.contains(&Digest::of(record.as_bytes()))) {
            // It is of the record in the backup, not of the one that stays.
            self.count(Done {
                key,
                written: Written::Kept,
            });
            return Ok(());
        }
        let writer = self.writer.clone();
        self.push(body.len() as u64, async move {
            let object = RawObject {
                metadata,
                content_type,
                body,
            };
            let written = writer.write(&key, &object).await?;
            Ok(Some(Done { key, written }))
        })
        .await
    }
}

impl OpenObject {
    /// Writes what is pending, as far as it fills parts.
    async fn write_parts(&mut self, writer: &Writer, is_last: bool) -> Result<(), BackupError> {
        let part_bytes = PART_BYTES.max(self.header.size.div_ceil(PARTS_MAX));
        let part_bytes = usize::try_from(part_bytes).unwrap_or(usize::MAX);
        let large = match &mut self.large {
            Some(large) => large,
            none => none.insert(Large::begin(writer, &self.header).await?),
        };
        let Some(parted) = &mut large.parted else {
            self.pending.clear();
            return Ok(());
        };
        while self.pending.len() >= part_bytes || (is_last && !self.pending.is_empty()) {
            let part = self.pending.split_to(part_bytes.min(self.pending.len()));
            parted.write(part.freeze()).await?;
        }
        Ok(())
    }

    async fn finish(&self) -> Result<Done, BackupError> {
        let key = self.header.key.clone();
        let written = match &self.large {
            Some(Large { written, parted }) => {
                if let Some(parted) = parted {
                    parted.finish().await?;
                }
                *written
            }
            None => Written::Left,
        };
        Ok(Done { key, written })
    }
}

impl Large {
    async fn begin(writer: &Writer, header: &FrameHeader) -> Result<Self, BackupError> {
        let written = writer.planned(&header.key).await?;
        let is_written = written != Written::Left && !writer.dry_run;
        let parted = match is_written {
            true => {
                let FrameHeader {
                    key,
                    metadata,
                    content_type,
                    ..
                } = header;
                let bucket = &writer.bucket;
                Some(bucket.begin(key, metadata, content_type.as_deref()).await?)
            }
            false => None,
        };
        Ok(Large { written, parted })
    }
}

/// The id and the object of a record's line; none where the object comes as frames.
/// Writes the catalogue where there was none, unless somebody else has made a database there meanwhile.
async fn make(bucket: &Bucket, catalogue: &RawObject) -> Result<(), BackupError> {
    if bucket.create(CATALOGUE, catalogue).await? {
        return Ok(());
    }
    match bucket.read(CATALOGUE).await? {
        Some((_, there)) if there == catalogue.body => Ok(()),
        _ => {
            let message = "another database was made there meanwhile";
            let place = bucket.describe(CATALOGUE);
            Err(BackupError::new(Class::Conflict, "write", place, message)
                .suggest("look which of the two is wanted; --overwrite writes this one over it"))
        }
    }
}

fn object_of(
    catalogue: &Catalogue,
    index: usize,
    line: &[u8],
) -> Result<Option<(String, RawObject)>, BackupError> {
    let resource = &catalogue.resources[index];
    let wrong = |message| BackupError::corrupt(format!("a line of {}", resource.name), message);
    let document: Map<String, Value> =
        serde_json::from_slice(line).map_err(|error| wrong("not a document").because(error))?;
    let id = document.get("id").and_then(Value::as_str);
    let id = id.ok_or_else(|| wrong("it has no id"))?;
    let elsewhere = document.get(MEMBER).and_then(|member| member.get("object"));
    if elsewhere == Some(&Value::Bool(true)) {
        return Ok(None);
    }
    let object = restore_object(resource, &document).map_err(|error| {
        let subject = format!("the record {id:?} of {}", resource.name);
        BackupError::new(teeline_core::Class::Permanent, "encode", subject, &error).because(error)
    })?;
    Ok(Some((id.to_owned(), object)))
}
