//! Reads a database: each record as a line, everything else as frames.
//!
//! Objects are read many at a time and given in the order of the listing. What is held is bounded by one page of the
//! listing and `get_concurrency` objects of at most `inline_bytes_max`; a larger one is read alone, when its turn comes.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use teeline_core::{
    Attachment, BackupError, Class, Frame, FrameHeader, Item, Placed, PlannedResource, RecordBatch,
    ResourceCounts, ResourceId, ResourceKind, Scan, ScanPlan, Selection, Source, SourceKind,
    layout,
};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinHandle;

use super::bucket::{Body, Bucket, Head, Listed};
use super::catalogue::Catalogue;
use super::connection::Connection;
use super::export::{ExportedBackup, schema_export};
use super::extras::MEMBER;
use super::mapping::{Inexact, decode, raw_line};
use super::object::RawObject;
use super::walk::{
    CATALOGUE, Keys, has_folder, is_destination, other_keys, record_id, resource_keys,
};

/// A batch is given once it holds this many bytes.
const BATCH_BYTES: usize = 512 << 10;

/// What becomes of records whose document doesn't give their object back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUndecodable {
    /// The object is kept raw beside the document, and counted.
    #[default]
    Keep,
    /// The backup fails. Records with content of their own, such as files, are kept all the same: nothing of them is
    /// unreadable.
    Fail,
}

/// How a database is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanOptions {
    /// Objects that are read at the same time.
    pub get_concurrency: usize,
    /// A larger body is read alone, and isn't put into a line unless it is JSON.
    pub inline_bytes_max: u64,
    /// The largest line, and the largest body that is read as JSON.
    pub record_bytes_max: usize,
    /// A large body is given in pieces of this size.
    pub piece_bytes: usize,
    /// What becomes of records whose document doesn't give their object back.
    pub on_undecodable: OnUndecodable,
}

impl Default for ScanOptions {
    fn default() -> Self {
        ScanOptions {
            get_concurrency: 32,
            inline_bytes_max: 256 << 10,
            record_bytes_max: 64 << 20,
            piece_bytes: 1 << 20,
            on_undecodable: OnUndecodable::Keep,
        }
    }
}

/// A database to read.
pub struct S3dbSource {
    connection: Connection,
    options: ScanOptions,
    bucket: OnceCell<Bucket>,
}

impl S3dbSource {
    /// The database at `connection`. Nothing is asked of the server yet.
    pub fn new(connection: Connection, options: ScanOptions) -> Self {
        S3dbSource {
            connection,
            options,
            bucket: OnceCell::new(),
        }
    }

    /// Where it is.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The names of its resources, in the catalogue's order.
    ///
    /// # Errors
    /// Where the catalogue can't be read.
    pub async fn resource_names(&self) -> Result<Vec<String>, BackupError> {
        let (_, catalogue) = self.read_catalogue().await?;
        let names = catalogue
            .resources
            .into_iter()
            .map(|resource| resource.name);
        Ok(names.collect())
    }

    /// The database's own `s3db.json`, byte for byte.
    ///
    /// # Errors
    /// Where it can't be read, or isn't a catalogue.
    pub async fn database_catalogue(&self) -> Result<Bytes, BackupError> {
        Ok(self.read_catalogue().await?.0)
    }

    async fn bucket(&self) -> &Bucket {
        self.bucket
            .get_or_init(|| Bucket::connect(&self.connection))
            .await
    }

    async fn read_catalogue(&self) -> Result<(Bytes, Catalogue), BackupError> {
        let bucket = self.bucket().await;
        let Some((_, bytes)) = bucket.read(CATALOGUE).await? else {
            let place = bucket.describe("");
            let message = format!("no {CATALOGUE} at {place}: this is no s3db.js database");
            return Err(
                BackupError::new(Class::NotFound, "read", &self.connection, message)
                    .suggest("check the bucket and the prefix in the connection string"),
            );
        };
        let catalogue = Catalogue::parse(&bytes).map_err(|error| {
            let subject = bucket.describe(CATALOGUE);
            BackupError::new(Class::Permanent, "read", subject, &error).because(error)
        })?;
        Ok((bytes, catalogue))
    }
}

/// Masks the keys.
impl fmt::Display for S3dbSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}

impl fmt::Debug for S3dbSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3dbSource")
            .field("connection", &self.connection)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for S3dbSource {
    fn kind(&self) -> SourceKind {
        SourceKind::S3db
    }

    fn is_rereadable(&self) -> bool {
        true
    }

    fn describe(&self, placed: &Placed<'_>) -> Result<Vec<Attachment>, BackupError> {
        let catalogue = placed
            .attachments
            .iter()
            .find(|(file, _)| file == layout::DATABASE_CATALOGUE);
        let Some((_, catalogue)) = catalogue else {
            return Ok(Vec::new());
        };
        let backup = ExportedBackup {
            id: &placed.claim.head.id,
            backup_type: &placed.claim.head.backup_type,
            started_at: placed.claim.head.started_at,
            compression: placed.compression,
            bucket: &self.connection.bucket,
            region: self.connection.region.as_deref(),
        };
        let export = schema_export(catalogue, backup, placed.resources)?;
        Ok(vec![(layout::SCHEMA_EXPORT.to_owned(), export)])
    }

    async fn scan(&self, selection: Selection) -> Result<Box<dyn Scan>, BackupError> {
        let bucket = self.bucket().await;
        if is_destination(bucket, "").await? {
            let message = "the database's prefix is itself a teeline destination; \
                           a backup would read the backups in it as data";
            return Err(BackupError::usage(&self.connection, message)
                .suggest("keep the database and the backups under different prefixes"));
        }
        let (bytes, catalogue) = self.read_catalogue().await?;
        let wanted: Vec<usize> = (0..catalogue.resources.len())
            .filter(|index| selection.wants(&catalogue.resources[*index].name))
            .collect();
        let plan = plan(&catalogue, &wanted, bytes);
        // With room for one item the reading stays one step ahead of who takes them.
        let (sender, items) = mpsc::channel(1);
        let reading = Reading {
            context: Arc::new(ReadingContext {
                bucket: bucket.clone(),
                catalogue: Arc::new(catalogue),
                options: self.options,
            }),
            selection,
            sender,
            objects: Objects {
                id: ResourceId(u32::try_from(wanted.len()).unwrap_or(u32::MAX)),
                begun: false,
                batch: Batch::default(),
                counts: ResourceCounts::default(),
            },
        };
        Ok(Box::new(S3dbScan {
            plan,
            items,
            reading: Some(Box::pin(reading.run(wanted))),
            failed: false,
        }))
    }
}

/// Items as the reading sends them. The reading goes on only while somebody waits for an item; the requests that it has
/// under way are tasks of their own and don't depend on that.
struct S3dbScan {
    plan: ScanPlan,
    items: mpsc::Receiver<Item>,
    reading: Option<BoxFuture<'static, Result<(), BackupError>>>,
    failed: bool,
}

#[async_trait]
impl Scan for S3dbScan {
    fn plan(&self) -> &ScanPlan {
        &self.plan
    }

    async fn next(&mut self) -> Result<Option<Item>, BackupError> {
        if self.failed {
            return Err(BackupError::cancelled("the scan"));
        }
        if let Some(reading) = &mut self.reading {
            let result = tokio::select! {
                biased;
                Some(item) = self.items.recv() => return Ok(Some(item)),
                result = reading => result,
            };
            self.reading = None;
            self.failed = result.is_err();
            result?;
        }
        // Its end of the channel is gone, so this gives what is left and then nothing.
        Ok(self.items.recv().await)
    }
}

struct Reading {
    context: Arc<ReadingContext>,
    selection: Selection,
    sender: mpsc::Sender<Item>,
    objects: Objects,
}

/// The wanted resources, then everything that is no record.
fn plan(catalogue: &Catalogue, wanted: &[usize], database_catalogue: Bytes) -> ScanPlan {
    let records = wanted
        .iter()
        .map(|index| ResourceKind::Records(catalogue.resources[*index].name.clone()));
    let planned = |kind| PlannedResource {
        kind,
        // A listing doesn't tell how much metadata there is.
        plain_bytes: None,
    };
    ScanPlan {
        resources: records
            .chain([ResourceKind::Objects])
            .map(planned)
            .collect(),
        attachments: vec![(layout::DATABASE_CATALOGUE.to_owned(), database_catalogue)],
    }
}

struct ReadingContext {
    bucket: Bucket,
    catalogue: Arc<Catalogue>,
    options: ScanOptions,
}

/// The resource of everything that is no record.
struct Objects {
    id: ResourceId,
    begun: bool,
    batch: Batch,
    counts: ResourceCounts,
}

/// A resource whose records are being read.
struct Records {
    id: ResourceId,
    /// Which of the catalogue's.
    index: usize,
    batch: Batch,
    counts: ResourceCounts,
}

/// What a listed object is.
#[derive(Debug, Clone)]
enum Place {
    /// The record `id` of a resource of the catalogue.
    Record {
        index: usize,
        id: String,
    },
    Object,
}

/// What reading an object gave.
enum Fetched {
    Line(Line),
    Frame {
        frame: Vec<u8>,
        row: Vec<u8>,
    },
    /// It is to be read alone.
    Large(String, Place),
    Vanished(Place),
}

struct Line {
    line: Vec<u8>,
    row: Vec<u8>,
    kept_raw: bool,
}

impl Reading {
    async fn run(mut self, wanted: Vec<usize>) -> Result<(), BackupError> {
        for (id, index) in (0..).zip(wanted) {
            self.read_resource(ResourceId(id), index).await?;
        }
        self.begin_objects().await?;
        let catalogue = Arc::clone(&self.context.catalogue);
        let keys = other_keys(&self.context.bucket, catalogue, self.selection.clone());
        self.read_all(keys, None).await?;
        self.flush_objects().await?;
        self.send(Item::End(self.objects.id, self.objects.counts))
            .await
    }

    async fn read_resource(&mut self, id: ResourceId, index: usize) -> Result<(), BackupError> {
        self.send(Item::Begin(id)).await?;
        let mut records = Records {
            id,
            index,
            batch: Batch::default(),
            counts: ResourceCounts::default(),
        };
        let name = &self.context.catalogue.resources[index].name;
        if has_folder(name) {
            let keys = resource_keys(&self.context.bucket, name);
            self.read_all(keys, Some(&mut records)).await?;
        }
        self.flush(id, &mut records.batch).await?;
        self.send(Item::End(id, records.counts)).await
    }

    async fn read_all(
        &mut self,
        keys: Keys,
        mut records: Option<&mut Records>,
    ) -> Result<(), BackupError> {
        let context = Arc::clone(&self.context);
        let index = records.as_ref().map(|records| records.index);
        let fetches = keys.map(move |listed| {
            let context = Arc::clone(&context);
            Task(tokio::spawn(async move {
                let listed = listed?;
                let place = context.place(&listed.key, index);
                context.fetch(listed, place).await
            }))
        });
        let mut fetched = fetches
            .buffered(self.context.options.get_concurrency.max(1))
            .boxed();
        while let Some(fetched) = fetched.next().await {
            match (fetched?, &mut records) {
                (Fetched::Line(line), Some(records)) => self.take_line(line, records).await?,
                (Fetched::Frame { frame, row }, _) => self.take_frame(&frame, row).await?,
                (Fetched::Large(key, place), records) => {
                    self.read_large(&key, place, records.as_deref_mut()).await?;
                }
                (Fetched::Vanished(Place::Record { .. }), Some(records)) => {
                    records.counts.vanished += 1;
                }
                (Fetched::Vanished(_), _) => self.objects.counts.vanished += 1,
                // Only keys of a resource that is being read are taken for records.
                (Fetched::Line(_), None) => {}
            }
        }
        Ok(())
    }

    async fn take_line(&self, line: Line, records: &mut Records) -> Result<(), BackupError> {
        records.batch.push(&line.line, line.row);
        records.counts.kept_raw += u64::from(line.kept_raw);
        if records.batch.is_full() {
            self.flush(records.id, &mut records.batch).await?;
        }
        Ok(())
    }

    async fn take_frame(&mut self, frame: &[u8], row: Vec<u8>) -> Result<(), BackupError> {
        self.objects.batch.push(frame, row);
        if self.objects.batch.is_full() {
            self.flush_objects().await?;
        }
        Ok(())
    }

    /// Reads an object alone.
    async fn read_large(
        &mut self,
        key: &str,
        place: Place,
        records: Option<&mut Records>,
    ) -> Result<(), BackupError> {
        let context = Arc::clone(&self.context);
        let (Place::Record { index, id }, Some(records)) = (place, records) else {
            return match context.bucket.open(key).await? {
                None => {
                    self.objects.counts.vanished += 1;
                    Ok(())
                }
                Some((head, body)) => self.stream(key, &head, Content::Streamed(body)).await,
            };
        };
        let Some((head, body)) = context.bucket.open(key).await? else {
            records.counts.vanished += 1;
            return Ok(());
        };
        let whole = head.size <= context.options.inline_bytes_max || context.is_json(&head);
        if !whole {
            let line = context.object_line(index, &id, &head, Bytes::new())?;
            self.take_line(line, records).await?;
            return self.stream(key, &head, Content::Streamed(body)).await;
        }
        // Read anew, since this goes on where the object is replaced meanwhile.
        drop(body);
        let Some((head, body)) = context.bucket.read(key).await? else {
            records.counts.vanished += 1;
            return Ok(());
        };
        match context.line(index, &id, &head, body.clone())? {
            Some(line) => self.take_line(line, records).await,
            None => {
                let line = context.object_line(index, &id, &head, body.clone())?;
                self.take_line(line, records).await?;
                self.stream(key, &head, Content::Held(body)).await
            }
        }
    }

    /// Gives an object in pieces.
    async fn stream(
        &mut self,
        key: &str,
        head: &Head,
        mut content: Content,
    ) -> Result<(), BackupError> {
        self.flush_objects().await?;
        let piece_bytes = self.context.options.piece_bytes.max(1);
        let mut offset = 0;
        loop {
            let piece = content.next_piece(piece_bytes).await?;
            let first = offset == 0;
            let length = piece.len() as u64;
            let frame = frame(key, head, offset, piece);
            offset += length;
            let mut batch = Batch::default();
            batch.push(&frame, if first { head.row(key) } else { Vec::new() });
            let mut records = batch.take();
            records.continues = !first;
            self.send(Item::Records(self.objects.id, records)).await?;
            if offset >= head.size || length == 0 {
                return Ok(());
            }
        }
    }

    async fn begin_objects(&mut self) -> Result<(), BackupError> {
        if std::mem::replace(&mut self.objects.begun, true) {
            return Ok(());
        }
        self.send(Item::Begin(self.objects.id)).await
    }

    async fn flush_objects(&mut self) -> Result<(), BackupError> {
        self.begin_objects().await?;
        let mut batch = std::mem::take(&mut self.objects.batch);
        self.flush(self.objects.id, &mut batch).await
    }

    async fn flush(&self, id: ResourceId, batch: &mut Batch) -> Result<(), BackupError> {
        if batch.ends.is_empty() {
            return Ok(());
        }
        self.send(Item::Records(id, batch.take())).await
    }

    async fn send(&self, item: Item) -> Result<(), BackupError> {
        // The other end lives as long as this future does.
        self.sender
            .send(item)
            .await
            .map_err(|_| BackupError::cancelled("the scan"))
    }
}

impl ReadingContext {
    fn place(&self, key: &str, index: Option<usize>) -> Place {
        let record = index.and_then(|index| {
            let id = record_id(key, &self.catalogue.resources[index].name)?;
            Some(Place::Record {
                index,
                id: id.to_owned(),
            })
        });
        record.unwrap_or(Place::Object)
    }

    async fn fetch(&self, listed: Listed, place: Place) -> Result<Fetched, BackupError> {
        let key = listed.key;
        if listed.size > self.options.inline_bytes_max {
            return Ok(Fetched::Large(key, place));
        }
        let Some((head, mut body)) = self.bucket.open(&key).await? else {
            return Ok(Fetched::Vanished(place));
        };
        // It may have grown since it was listed.
        if head.size > self.options.inline_bytes_max {
            return Ok(Fetched::Large(key, place));
        }
        let (head, body) = match body.collect().await {
            Ok(bytes) => (head, bytes),
            Err(_) if body.was_replaced() => return Ok(Fetched::Large(key, place)),
            Err(error) => return Err(error),
        };
        match &place {
            Place::Object => Ok(Fetched::Frame {
                frame: frame(&key, &head, 0, body),
                row: head.row(&key),
            }),
            Place::Record { index, id } => match self.line(*index, id, &head, body)? {
                Some(line) => Ok(Fetched::Line(line)),
                None => Ok(Fetched::Large(key, place)),
            },
        }
    }

    /// The line of a record; `None` where it would be too large, so that its object has to go elsewhere.
    fn line(
        &self,
        index: usize,
        id: &str,
        head: &Head,
        body: Bytes,
    ) -> Result<Option<Line>, BackupError> {
        let resource = &self.catalogue.resources[index];
        let inline = head.size <= self.options.inline_bytes_max;
        let object = raw_object(head, body);
        let decoded = decode(resource, id, &object);
        self.check_decoded(index, id, decoded.reason.as_ref())?;
        if !decoded.exact && !inline {
            return Ok(None);
        }
        let document = match decoded.exact {
            true => decoded.document,
            false => raw_line(decoded.document, &object),
        };
        let line = Line::new(document, head, &record_key_of(resource, id), !decoded.exact);
        Ok(Some(line).filter(|line| line.line.len() <= self.options.record_bytes_max))
    }

    /// The line of a record whose object is elsewhere.
    fn object_line(
        &self,
        index: usize,
        id: &str,
        head: &Head,
        body: Bytes,
    ) -> Result<Line, BackupError> {
        let resource = &self.catalogue.resources[index];
        let key = record_key_of(resource, id);
        let decoded = decode(resource, id, &raw_object(head, body));
        let with_object = |mut document: Map<String, Value>| {
            document.shift_remove(MEMBER);
            document.insert(MEMBER.to_owned(), json!({ "object": true }));
            Line::new(document, head, &key, true)
        };
        let line = with_object(decoded.document);
        if line.line.len() <= self.options.record_bytes_max {
            return Ok(line);
        }
        Ok(with_object(Map::from_iter([("id".to_owned(), id.into())])))
    }

    fn check_decoded(
        &self,
        index: usize,
        id: &str,
        reason: Option<&Inexact>,
    ) -> Result<(), BackupError> {
        let reason = match reason {
            Some(reason) if self.options.on_undecodable == OnUndecodable::Fail => reason,
            _ => return Ok(()),
        };
        if *reason == Inexact::Content {
            return Ok(());
        }
        let resource = &self.catalogue.resources[index].name;
        let subject = format!("the record {id:?} of {resource}");
        let message = format!("it can't be decoded in full: {reason}");
        Err(BackupError::new(Class::Permanent, "read", subject, message)
            .suggest("let such records be kept raw: on_undecodable = \"keep\""))
    }

    fn is_json(&self, head: &Head) -> bool {
        let fits =
            usize::try_from(head.size).is_ok_and(|size| size <= self.options.record_bytes_max);
        let essence = head
            .content_type
            .as_deref()
            .and_then(|full| full.split(';').next());
        fits && essence.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    }
}

fn record_key_of(resource: &super::schema::Resource, id: &str) -> String {
    super::walk::record_key(&resource.name, id)
}

fn raw_object(head: &Head, body: Bytes) -> RawObject {
    RawObject {
        metadata: head.metadata.clone(),
        content_type: head.content_type.clone(),
        body,
    }
}

impl Line {
    fn new(document: Map<String, Value>, head: &Head, key: &str, kept_raw: bool) -> Self {
        let mut line = Value::Object(document).to_string().into_bytes();
        line.push(b'\n');
        Line {
            line,
            row: head.row(key),
            kept_raw,
        }
    }
}

/// The body of an object that is given in pieces.
enum Content {
    Streamed(Body),
    Held(Bytes),
}

impl Content {
    /// The next bytes, as many as said unless it ends before.
    async fn next_piece(&mut self, piece_bytes: usize) -> Result<Bytes, BackupError> {
        match self {
            Content::Held(bytes) => Ok(bytes.split_to(piece_bytes.min(bytes.len()))),
            Content::Streamed(body) => {
                let mut piece = BytesMut::new();
                while piece.len() < piece_bytes {
                    match body.next(piece_bytes - piece.len()).await? {
                        Some(bytes) => piece.extend_from_slice(&bytes),
                        None => break,
                    }
                }
                Ok(piece.freeze())
            }
        }
    }
}

/// A piece of an object, as stored. The first one has what is known of the object as a whole.
fn frame(key: &str, head: &Head, offset: u64, bytes: Bytes) -> Vec<u8> {
    let (content_type, metadata) = match offset {
        0 => (head.content_type.clone(), head.metadata.clone()),
        _ => (None, BTreeMap::new()),
    };
    let header = FrameHeader {
        key: key.to_owned(),
        offset,
        length: bytes.len() as u64,
        size: head.size,
        content_type,
        metadata,
    };
    Frame { header, bytes }.encode()
}

/// Records on their way.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    rows: Vec<Vec<u8>>,
}

impl Batch {
    fn push(&mut self, record: &[u8], row: Vec<u8>) {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
        self.rows.push(row);
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES
    }

    fn take(&mut self) -> RecordBatch {
        let Batch { bytes, ends, rows } = std::mem::take(self);
        RecordBatch {
            bytes: Bytes::from(bytes),
            ends,
            rows,
            origin: None,
            continues: false,
        }
    }
}

/// A task that ends with whoever waits for it.
struct Task(JoinHandle<Result<Fetched, BackupError>>);

impl Future for Task {
    type Output = Result<Fetched, BackupError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|joined| {
            joined.unwrap_or_else(|error| {
                let message = "reading an object failed unexpectedly";
                let failed = BackupError::new(Class::Permanent, "read", "the database", message);
                Err(failed.because(error))
            })
        })
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
