//! Reads a database: each record as a line, everything else as frames.
//!
//! Objects are read many at a time and given in the order of the listing. What is held is bounded by a few pages of the
//! listing and [`BYTES_AHEAD`]; a large object is read alone, when its turn comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use teeline_core::{
    BackupError, Class, Item, RecordBatch, ResourceCounts, ResourceId, Scan, ScanPlan,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::body::Body;
use super::bucket::Head;
use super::fetch::{FetchContext, Fetched, Line, Place, frame};
use super::keys::{Keys, KeysReceiver};
use super::listing::Listed;

/// A batch is given once it holds this many bytes.
const BATCH_BYTES: usize = 512 << 10;
/// Objects that are read, or were and wait for their turn.
const OBJECTS_AHEAD: usize = 512;
/// Bytes of their bodies.
const BYTES_AHEAD: usize = 8 << 20;
/// What an object counts at least: its metadata, and what it takes to ask for it.
const OBJECT_BYTES_MIN: usize = 8 << 10;

/// Items as the reading sends them. The reading goes on only while somebody waits for an item; the requests that it has
/// under way are tasks of their own and don't depend on that.
pub(super) struct S3dbScan {
    plan: ScanPlan,
    items: mpsc::Receiver<Item>,
    reading: Option<BoxFuture<'static, Result<(), BackupError>>>,
    failed: bool,
}

impl S3dbScan {
    /// A scan that gives what is planned: the objects of these keys.
    pub(super) fn new(plan: ScanPlan, context: FetchContext, keys: KeysReceiver) -> Self {
        // With room for one item the reading stays one step ahead of who takes them.
        let (sender, items) = mpsc::channel(1);
        let objects = plan.resources.len().saturating_sub(1);
        let reading = Reading {
            context: Arc::new(context),
            sender,
            records: None,
            objects: Objects {
                id: ResourceId(u32::try_from(objects).unwrap_or(u32::MAX)),
                begun: false,
                batch: Batch::default(),
                counts: ResourceCounts::default(),
            },
        };
        S3dbScan {
            plan,
            items,
            reading: Some(Box::pin(reading.run(keys))),
            failed: false,
        }
    }
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
    context: Arc<FetchContext>,
    sender: mpsc::Sender<Item>,
    /// The resource that has begun, if one has.
    records: Option<Records>,
    objects: Objects,
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
    batch: Batch,
    counts: ResourceCounts,
}

/// The keys, one by one, and what was read of them.
enum Step<T> {
    Begin(ResourceId, usize),
    Object(T),
    End(ResourceId),
}

impl Reading {
    async fn run(mut self, keys: KeysReceiver) -> Result<(), BackupError> {
        let mut steps = self.fetch(keys);
        while let Some(step) = steps.try_next().await? {
            match step {
                Step::Begin(id, _) => self.begin(id).await?,
                Step::Object((fetched, _ahead)) => self.take(fetched).await?,
                Step::End(id) => self.end(id).await?,
            }
        }
        self.flush_objects().await?;
        self.send(Item::End(self.objects.id, self.objects.counts))
            .await
    }

    /// Reads the objects of the keys, many at a time, in their order.
    fn fetch(
        &self,
        keys: KeysReceiver,
    ) -> BoxStream<'static, Result<Step<(Fetched, OwnedSemaphorePermit)>, BackupError>> {
        let context = Arc::clone(&self.context);
        let ahead = Arc::new(Semaphore::new(BYTES_AHEAD));
        let mut resource = None;
        one_by_one(keys)
            // In the order of the keys: the next one in turn never waits for room that one behind it takes.
            .and_then(move |step| {
                let ahead = Arc::clone(&ahead);
                async move {
                    Ok(match step {
                        Step::Begin(id, index) => Step::Begin(id, index),
                        Step::End(id) => Step::End(id),
                        Step::Object(listed) => {
                            let room = room_for(&listed);
                            let permit = ahead.acquire_many_owned(room).await;
                            Step::Object((listed, permit.expect("it is never closed")))
                        }
                    })
                }
            })
            .map_ok(move |step| match step {
                Step::Begin(id, index) => {
                    resource = Some(index);
                    future::Either::Left(future::ready(Ok(Step::Begin(id, index))))
                }
                Step::End(id) => {
                    resource = None;
                    future::Either::Left(future::ready(Ok(Step::End(id))))
                }
                Step::Object((listed, permit)) => {
                    let context = Arc::clone(&context);
                    let fetch = async move { context.fetch(listed, resource).await };
                    let task = Task(tokio::spawn(fetch));
                    let fetched = async move { Ok(Step::Object((task.await?, permit))) };
                    future::Either::Right(fetched)
                }
            })
            .try_buffered(OBJECTS_AHEAD)
            .boxed()
    }

    async fn begin(&mut self, id: ResourceId) -> Result<(), BackupError> {
        self.records = Some(Records {
            id,
            batch: Batch::default(),
            counts: ResourceCounts::default(),
        });
        self.send(Item::Begin(id)).await
    }

    async fn end(&mut self, id: ResourceId) -> Result<(), BackupError> {
        let Some(mut records) = self.records.take() else {
            return Ok(());
        };
        self.flush(id, &mut records.batch).await?;
        self.send(Item::End(id, records.counts)).await
    }

    async fn take(&mut self, fetched: Fetched) -> Result<(), BackupError> {
        match fetched {
            Fetched::Line(line) => self.take_line(line).await,
            Fetched::Frame { frame, row } => self.take_frame(&frame, row).await,
            Fetched::Large(key, Place::Record { index, id }) => {
                self.read_large_record(&key, index, &id).await
            }
            Fetched::Large(key, Place::Object) => self.read_large_object(&key).await,
            Fetched::Vanished(place) => {
                self.counts(&place).vanished += 1;
                Ok(())
            }
        }
    }

    /// What is counted of the resource that an object belongs to.
    fn counts(&mut self, place: &Place) -> &mut ResourceCounts {
        match (place, &mut self.records) {
            (Place::Record { .. }, Some(records)) => &mut records.counts,
            _ => &mut self.objects.counts,
        }
    }

    async fn take_line(&mut self, line: Line) -> Result<(), BackupError> {
        // Only keys of a resource that has begun are taken for records.
        let Some(records) = &mut self.records else {
            return Ok(());
        };
        records.batch.push(&line.line, line.row);
        records.counts.kept_raw += u64::from(line.kept_raw);
        if !records.batch.is_full() {
            return Ok(());
        }
        let (id, mut batch) = (records.id, std::mem::take(&mut records.batch));
        self.flush(id, &mut batch).await
    }

    async fn take_frame(&mut self, frame: &[u8], row: Vec<u8>) -> Result<(), BackupError> {
        self.objects.batch.push(frame, row);
        if self.objects.batch.is_full() {
            self.flush_objects().await?;
        }
        Ok(())
    }

    /// Reads an object that is no record alone.
    async fn read_large_object(&mut self, key: &str) -> Result<(), BackupError> {
        match self.context.bucket.open(key).await? {
            Some((head, body)) => self.stream(key, &head, Content::Streamed(body)).await,
            None => {
                self.objects.counts.vanished += 1;
                Ok(())
            }
        }
    }

    /// Reads a record alone: JSON as a line, if it fits into one; other content as frames, with a line that says so.
    async fn read_large_record(
        &mut self,
        key: &str,
        index: usize,
        id: &str,
    ) -> Result<(), BackupError> {
        let context = Arc::clone(&self.context);
        let Some((head, body)) = context.bucket.open(key).await? else {
            return self.vanished();
        };
        let whole = head.size <= context.options.inline_bytes_max || context.is_json(&head);
        if !whole {
            let line = context.object_line(index, id, &head, Bytes::new())?;
            self.take_line(line).await?;
            return self.stream(key, &head, Content::Streamed(body)).await;
        }
        // Read anew, since this goes on where the object is replaced meanwhile.
        drop(body);
        let Some((head, body)) = context.bucket.read(key).await? else {
            return self.vanished();
        };
        match context.line(index, id, head.clone(), body.clone())? {
            Some(line) => self.take_line(line).await,
            None => {
                let line = context.object_line(index, id, &head, body.clone())?;
                self.take_line(line).await?;
                self.stream(key, &head, Content::Held(body)).await
            }
        }
    }

    /// A record was listed, and is gone.
    fn vanished(&mut self) -> Result<(), BackupError> {
        if let Some(records) = &mut self.records {
            records.counts.vanished += 1;
        }
        Ok(())
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

/// The listed keys, one by one.
fn one_by_one(
    keys: KeysReceiver,
) -> impl stream::Stream<Item = Result<Step<Listed>, BackupError>> + Send {
    stream::unfold(keys, |mut keys| async move {
        let keys_or_error = keys.recv().await?;
        Some((keys_or_error, keys))
    })
    .map_ok(|keys| {
        let steps: Vec<_> = match keys {
            Keys::Begin(id, index) => vec![Step::Begin(id, index)],
            Keys::End(id) => vec![Step::End(id)],
            Keys::Page(page) => page.into_iter().map(Step::Object).collect(),
        };
        stream::iter(steps.into_iter().map(Ok))
    })
    .try_flatten()
}

/// How much of [`BYTES_AHEAD`] an object takes.
fn room_for(listed: &Listed) -> u32 {
    let bytes = usize::try_from(listed.size).unwrap_or(usize::MAX);
    // A large one is read alone.
    let bytes = bytes.clamp(OBJECT_BYTES_MIN, BYTES_AHEAD / 4);
    u32::try_from(bytes).unwrap_or(u32::MAX)
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
