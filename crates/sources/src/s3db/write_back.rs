//! Writes a backup of a database back: the records, then every other object, then the catalogue. Without its catalogue
//! a database isn't one, so a restore that breaks off leaves nothing that s3db.js would take for a whole database.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value};
use teeline_core::{BackupError, Class, Frame, FrameHeader, Restoring, SourceKind, Target};
use tokio::task::JoinSet;

use super::bucket::Bucket;
use super::catalogue::Catalogue;
use super::connection::Connection;
use super::export::pretty;
use super::extras::MEMBER;
use super::listing::PAGE_KEYS;
use super::mapping::restore_object;
use super::object::RawObject;
use super::pace::CALLS_MAX;
use super::parted::Parted;
use super::walk::{CATALOGUE, is_destination, record_key, resource_of};

/// Bytes of lines and objects that are being written at the same time, unless one is larger.
const BYTES_IN_FLIGHT_MAX: u64 = 32 << 20;
/// An object up to this size is written whole; a larger one in parts of at least this size.
const PART_BYTES: u64 = 8 << 20;
/// What S3 allows.
const PARTS_MAX: u64 = 10_000;

/// How a database is written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteBackOptions {
    /// Calls to the server at the same time, at the most: how many there are follows what it can take.
    pub calls_max: usize,
    /// Whether there may be objects already. Those with the keys of restored ones are replaced, the others stay.
    pub overwrite: bool,
}

impl Default for WriteBackOptions {
    fn default() -> Self {
        WriteBackOptions {
            calls_max: CALLS_MAX,
            overwrite: false,
        }
    }
}

/// A place in a bucket to restore a database to.
pub struct S3dbTarget {
    connection: Connection,
    options: WriteBackOptions,
    bucket: Option<Bucket>,
    restore: Option<Restore>,
}

/// A restore under way.
struct Restore {
    bucket: Bucket,
    catalogue: Arc<Catalogue>,
    /// What `s3db.json` is going to be.
    catalogue_bytes: Bytes,
    /// The chosen resources, unless everything is restored.
    chosen: Option<HashSet<String>>,
    puts: Puts,
    records_done: bool,
    object: Option<OpenObject>,
}

/// An object of which the first pieces came.
struct OpenObject {
    header: FrameHeader,
    /// Where the next piece has to begin.
    offset: u64,
    wanted: bool,
    pending: BytesMut,
    parted: Option<Parted>,
}

impl S3dbTarget {
    /// The place at `connection`. Nothing is asked of the server yet.
    pub fn new(connection: Connection, options: WriteBackOptions) -> Self {
        S3dbTarget {
            connection,
            options,
            bucket: None,
            restore: None,
        }
    }

    async fn bucket(&mut self) -> Bucket {
        match &self.bucket {
            Some(bucket) => bucket.clone(),
            None => {
                let bucket =
                    Bucket::connect(&self.connection, self.options.calls_max, PAGE_KEYS).await;
                self.bucket = Some(bucket.clone());
                bucket
            }
        }
    }

    fn restore(&mut self) -> Result<&mut Restore, BackupError> {
        let connection = &self.connection;
        self.restore.as_mut().ok_or_else(|| {
            BackupError::new(
                Class::Permanent,
                "restore",
                connection,
                "the restore wasn't begun",
            )
        })
    }

    /// What `s3db.json` is going to be.
    async fn catalogue_bytes(
        &self,
        bucket: &Bucket,
        restoring: &Restoring,
        original: &Bytes,
    ) -> Result<Bytes, BackupError> {
        if restoring.everything {
            return Ok(original.clone());
        }
        let unreadable =
            |subject: String| move |_| BackupError::corrupt(subject, "not a catalogue");
        let original: Value = serde_json::from_slice(original)
            .map_err(unreadable("the backup's s3db.json".into()))?;
        // Of a database that is there already the other resources stay.
        let there = match self.options.overwrite {
            true => bucket.read(CATALOGUE).await?,
            false => None,
        };
        let there = match there {
            Some((_, bytes)) => Some(
                serde_json::from_slice(&bytes).map_err(unreadable(bucket.describe(CATALOGUE)))?,
            ),
            None => None,
        };
        Ok(pretty(&with_chosen(original, there, &restoring.resources)))
    }
}

/// The catalogue with the chosen resources of `original`, and besides them what is `there` already.
fn with_chosen(mut original: Value, there: Option<Value>, chosen: &[String]) -> Value {
    let mut of_original = match original.get_mut("resources").map(Value::take) {
        Some(Value::Object(resources)) => resources,
        _ => Map::new(),
    };
    of_original.retain(|name, _| chosen.contains(name));
    let mut catalogue = there.unwrap_or(original);
    if let Some(members) = catalogue.as_object_mut() {
        let resources = members.entry("resources").or_insert(Value::Null);
        match resources {
            Value::Object(resources) => resources.extend(of_original),
            other => *other = Value::Object(of_original),
        }
    }
    catalogue
}

/// Masks the keys.
impl fmt::Display for S3dbTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}

impl fmt::Debug for S3dbTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3dbTarget")
            .field("connection", &self.connection)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Target for S3dbTarget {
    fn is_staged(&self) -> bool {
        false
    }

    async fn check(&mut self, restoring: &Restoring) -> Result<(), BackupError> {
        if restoring.manifest.source.kind != SourceKind::S3db {
            let message = "the backup is of JSON lines, which have no schema, so no database can be made of it";
            return Err(
                BackupError::usage(&self.connection, message).suggest("restore it to a folder")
            );
        }
        parse_catalogue(restoring)?;
        let bucket = self.bucket().await;
        if is_destination(&bucket, "").await? {
            let message =
                "it is a teeline destination; a database in it would be lost among the backups";
            return Err(BackupError::usage(&self.connection, message)
                .suggest("restore to another prefix or bucket"));
        }
        if !bucket.is_empty().await? && !self.options.overwrite {
            let message = format!("{} is not empty; use --overwrite", bucket.describe(""));
            return Err(
                BackupError::new(Class::Conflict, "restore to", &self.connection, message).suggest(
                    "restore to an empty prefix, or use --overwrite to replace what is there",
                ),
            );
        }
        Ok(())
    }

    async fn begin(&mut self, restoring: &Restoring) -> Result<(), BackupError> {
        let (bytes, catalogue) = parse_catalogue(restoring)?;
        let bucket = self.bucket().await;
        let catalogue_bytes = self.catalogue_bytes(&bucket, restoring, &bytes).await?;
        let chosen = restoring.resources.iter().cloned().collect();
        self.restore = Some(Restore {
            bucket,
            catalogue: Arc::new(catalogue),
            catalogue_bytes,
            chosen: Some(chosen).filter(|_| !restoring.everything),
            puts: Puts::new(self.options.calls_max),
            records_done: false,
            object: None,
        });
        Ok(())
    }

    async fn lines(&mut self, resource: &str, lines: Bytes) -> Result<(), BackupError> {
        let restore = self.restore()?;
        let known = restore
            .catalogue
            .resources
            .iter()
            .position(|known| known.name == resource);
        let index = known.ok_or_else(|| {
            let message = "the backup's s3db.json doesn't have this resource";
            BackupError::corrupt(format!("resource {resource}"), message)
        })?;
        let mut begin = 0;
        for newline in memchr::memchr_iter(b'\n', &lines) {
            let line = lines.slice(begin..newline);
            begin = newline + 1;
            let (bucket, catalogue) = (restore.bucket.clone(), Arc::clone(&restore.catalogue));
            let bytes = line.len() as u64;
            restore
                .puts
                .push(bytes, async move {
                    put_record(&bucket, &catalogue, index, &line).await
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

    async fn frames(&mut self, frames: Vec<Frame>) -> Result<(), BackupError> {
        let restore = self.restore()?;
        if !restore.records_done {
            // Index entries point at records, so those come first.
            restore.puts.drain().await?;
            restore.records_done = true;
        }
        for frame in frames {
            restore.take(frame).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), BackupError> {
        let restore = self.restore()?;
        restore.puts.drain().await?;
        if let Some(object) = &restore.object {
            let message = "the backup ends in the middle of it";
            return Err(BackupError::corrupt(
                format!("object {:?}", object.header.key),
                message,
            ));
        }
        let catalogue = RawObject {
            body: std::mem::take(&mut restore.catalogue_bytes),
            content_type: Some("application/json".to_owned()),
            ..RawObject::default()
        };
        restore.bucket.put(CATALOGUE, &catalogue).await?;
        self.restore = None;
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        let Some(mut restore) = self.restore.take() else {
            return Ok(());
        };
        restore.puts.abandon().await;
        match restore.object.and_then(|object| object.parted) {
            Some(parted) => parted.abort().await,
            None => Ok(()),
        }
    }
}

fn parse_catalogue(restoring: &Restoring) -> Result<(Bytes, Catalogue), BackupError> {
    let bytes = restoring.database_catalogue.clone().ok_or_else(|| {
        BackupError::corrupt(&restoring.manifest.id, "it lacks the database's s3db.json")
    })?;
    let catalogue = Catalogue::parse(&bytes)
        .map_err(|error| BackupError::corrupt("the backup's s3db.json", &error).because(error))?;
    Ok((bytes, catalogue))
}

async fn put_record(
    bucket: &Bucket,
    catalogue: &Catalogue,
    index: usize,
    line: &[u8],
) -> Result<(), BackupError> {
    let resource = &catalogue.resources[index];
    let document: Map<String, Value> = serde_json::from_slice(line).map_err(|error| {
        BackupError::corrupt(format!("a line of {}", resource.name), "not a document")
            .because(error)
    })?;
    let id = document.get("id").and_then(Value::as_str).ok_or_else(|| {
        BackupError::corrupt(format!("a line of {}", resource.name), "it has no id")
    })?;
    let elsewhere = document.get(MEMBER).and_then(|member| member.get("object"));
    if elsewhere == Some(&Value::Bool(true)) {
        return Ok(());
    }
    let object = restore_object(resource, &document).map_err(|error| {
        let subject = format!("the record {id:?} of {}", resource.name);
        BackupError::new(Class::Permanent, "encode", subject, &error).because(error)
    })?;
    let key = record_key(&resource.name, id);
    bucket.put(&key, &object).await
}

impl Restore {
    async fn take(&mut self, frame: Frame) -> Result<(), BackupError> {
        let misplaced = |header: &FrameHeader, message: &str| {
            BackupError::corrupt(format!("object {:?}", header.key), message)
        };
        let is_last = frame.is_last();
        let Frame { header, bytes } = frame;
        let mut object = match (self.object.take(), header.offset) {
            (None, 0) => self.open(header),
            (Some(object), offset)
                if object.header.key == header.key
                    && object.offset == offset
                    && object.header.size == header.size =>
            {
                object
            }
            (open, _) => {
                self.object = open;
                return Err(misplaced(&header, "its pieces don't follow each other"));
            }
        };
        object.offset += bytes.len() as u64;
        if !object.wanted {
            self.object = Some(object).filter(|_| !is_last);
            return Ok(());
        }
        if object.offset == bytes.len() as u64 && is_last {
            return self.put(object.header, bytes).await;
        }
        object.pending.extend_from_slice(&bytes);
        if object.header.size <= PART_BYTES {
            if is_last {
                return self.put(object.header, object.pending.freeze()).await;
            }
            self.object = Some(object);
            return Ok(());
        }
        // It stays here, so that `abort` finds it.
        let object = self.object.insert(object);
        object.write_parts(&self.bucket, is_last).await?;
        if is_last && let Some(parted) = self.object.take().and_then(|object| object.parted) {
            parted.finish().await?;
        }
        Ok(())
    }

    fn open(&self, header: FrameHeader) -> OpenObject {
        let wanted = match &self.chosen {
            None => true,
            Some(chosen) => resource_of(&header.key).is_some_and(|name| chosen.contains(name)),
        };
        OpenObject {
            header,
            offset: 0,
            wanted,
            pending: BytesMut::new(),
            parted: None,
        }
    }

    async fn put(&mut self, header: FrameHeader, body: Bytes) -> Result<(), BackupError> {
        let bucket = self.bucket.clone();
        let bytes = body.len() as u64;
        let put = async move {
            let object = RawObject {
                metadata: header.metadata,
                content_type: header.content_type,
                body,
            };
            bucket.put(&header.key, &object).await
        };
        self.puts.push(bytes, put).await
    }
}

impl OpenObject {
    /// Writes what is pending, as far as it fills parts.
    async fn write_parts(&mut self, bucket: &Bucket, is_last: bool) -> Result<(), BackupError> {
        let part_bytes = PART_BYTES.max(self.header.size.div_ceil(PARTS_MAX));
        let part_bytes = usize::try_from(part_bytes).unwrap_or(usize::MAX);
        let parted = match &mut self.parted {
            Some(parted) => parted,
            none => {
                let FrameHeader {
                    key,
                    metadata,
                    content_type,
                    ..
                } = &self.header;
                none.insert(bucket.begin(key, metadata, content_type.as_deref()).await?)
            }
        };
        while self.pending.len() >= part_bytes || (is_last && !self.pending.is_empty()) {
            let part = self.pending.split_to(part_bytes.min(self.pending.len()));
            parted.write(part.freeze()).await?;
        }
        Ok(())
    }
}

/// Writes under way: so many, and so many bytes, at the most.
struct Puts {
    tasks: JoinSet<(u64, Result<(), BackupError>)>,
    count_max: usize,
    bytes: u64,
}

impl Puts {
    fn new(count_max: usize) -> Self {
        Puts {
            tasks: JoinSet::new(),
            count_max: count_max.max(1),
            bytes: 0,
        }
    }

    /// Begins a write, when there is room for it. Fails where one before failed.
    async fn push(
        &mut self,
        bytes: u64,
        put: impl Future<Output = Result<(), BackupError>> + Send + 'static,
    ) -> Result<(), BackupError> {
        while self.tasks.len() >= self.count_max
            || (self.bytes > 0 && self.bytes + bytes > BYTES_IN_FLIGHT_MAX)
        {
            self.join_one().await?;
        }
        self.bytes += bytes;
        self.tasks.spawn(async move { (bytes, put.await) });
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), BackupError> {
        while !self.tasks.is_empty() {
            self.join_one().await?;
        }
        Ok(())
    }

    async fn join_one(&mut self) -> Result<(), BackupError> {
        match self.tasks.join_next().await {
            None => Ok(()),
            Some(Ok((bytes, result))) => {
                self.bytes -= bytes;
                result
            }
            Some(Err(error)) => {
                let message = "writing an object failed unexpectedly";
                Err(
                    BackupError::new(Class::Permanent, "write", "the database", message)
                        .because(error),
                )
            }
        }
    }

    async fn abandon(&mut self) {
        self.tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_catalogue_is_reduced_to_what_was_chosen() {
        let original = json!({"version": "1", "resources": {"b": 1, "a": 2, "c": 3}, "last": true});
        let chosen = ["a".to_owned(), "b".to_owned()];
        let reduced = with_chosen(original.clone(), None, &chosen);
        let expected = r#"{"version":"1","resources":{"b":1,"a":2},"last":true}"#;
        assert_eq!(reduced.to_string(), expected);

        let there = json!({"version": "0", "resources": {"x": 9, "a": 8}});
        let merged = with_chosen(original.clone(), Some(there), &chosen);
        assert_eq!(
            merged.to_string(),
            r#"{"version":"0","resources":{"x":9,"a":2,"b":1}}"#
        );

        let merged = with_chosen(original, Some(json!({"resources": null})), &chosen);
        assert_eq!(merged.to_string(), r#"{"resources":{"b":1,"a":2}}"#);
    }
}
