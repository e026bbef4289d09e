//! A store of a simulation: what is in it outlives the processes that use it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use teeline::sinks::{MemorySink, Operation};
use teeline::{BackupError, Sink, Timestamp};
use teeline_core::{Capabilities, ObjectKey, ObjectMeta, Upload};

use crate::data::whole;
use crate::world::{Moment, World};

/// At most so many of the last changes are missing from a list that is stale.
const STALE_CHANGES_MAX: u64 = 3;

/// What a store holds, with the time of each object. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    pub(crate) objects: MemorySink,
    state: Arc<Mutex<ShelfState>>,
    world: Arc<World>,
}

#[derive(Debug, Default)]
struct ShelfState {
    written_at: BTreeMap<ObjectKey, Timestamp>,
    /// What was written, and what was deleted with what it was, in order.
    changes: Vec<(ObjectKey, Option<ObjectMeta>)>,
    /// How likely a list doesn't show the last changes, or shows something twice.
    staleness: f64,
}

impl Shelf {
    pub(crate) fn new(name: &str, world: &Arc<World>) -> Self {
        Shelf {
            objects: MemorySink::new(name).in_pages(),
            state: Arc::default(),
            world: Arc::clone(world),
        }
    }

    /// How likely a list is stale from now on.
    pub(crate) fn set_staleness(&self, staleness: f64) {
        self.state().staleness = staleness;
    }

    /// What an object is, if it is there.
    pub(crate) fn content(&self, key: &ObjectKey) -> Option<Bytes> {
        futures::executor::block_on(whole(&self.objects, key)).ok()
    }

    /// An object is gone, and nobody has deleted it.
    pub(crate) fn lose(&self, key: &ObjectKey) {
        // To delete what is there doesn't fail in memory.
        let _ = futures::executor::block_on(self.objects.delete(key));
    }

    fn state(&self) -> MutexGuard<'_, ShelfState> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrote(&self, key: &ObjectKey) {
        let now = self.world.now();
        let mut state = self.state();
        if state.written_at.insert(key.clone(), now).is_none() {
            state.changes.push((key.clone(), None));
        }
    }

    fn dated(&self, meta: ObjectMeta) -> ObjectMeta {
        let modified_at = self.state().written_at.get(&meta.key).copied();
        ObjectMeta {
            modified_at,
            ..meta
        }
    }

    /// A list as it was some changes ago, and with something in it twice; mostly as it is.
    fn shown(&self, folder: Option<&ObjectKey>, mut listed: Vec<ObjectMeta>) -> Vec<ObjectMeta> {
        let state = self.state();
        let random = &self.world.random;
        if state.staleness == 0.0 || !random.happens(state.staleness) {
            return listed;
        }
        self.world.count_fault("stale list");
        let below = folder.map_or(String::new(), |folder| format!("{folder}/"));
        let missing = usize::try_from(1 + random.below(STALE_CHANGES_MAX)).unwrap_or(1);
        for (key, deleted) in state.changes.iter().rev().take(missing) {
            match deleted {
                None => listed.retain(|meta| meta.key != *key),
                Some(meta) if key.as_str().starts_with(&below) => listed.push(meta.clone()),
                Some(_) => {}
            }
        }
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        if let Some(first) = listed.first().cloned() {
            listed.push(first);
        }
        listed
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl fmt::Display for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.objects.fmt(f)
    }
}

#[async_trait]
impl Sink for Shelf {
    fn capabilities(&self) -> Capabilities {
        self.objects.capabilities()
    }

    async fn begin(&self, key: &ObjectKey, bytes: u64) -> Result<Box<dyn Upload>, BackupError> {
        Ok(Box::new(ShelfUpload {
            inner: self.objects.begin(key, bytes).await?,
            shelf: self.clone(),
            key: key.clone(),
        }))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        let is_there = self.objects.head(key).await.is_ok();
        self.objects.put(key, bytes).await?;
        // The same bytes once more are no other object.
        if !is_there {
            self.wrote(key);
        }
        Ok(())
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        self.objects.read(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        Ok(self.dated(self.objects.head(key).await?))
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.objects.drop_cached(key).await
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        let folder = folder.cloned();
        stream::once(async move {
            let listed = self.objects.list(folder.as_ref());
            let listed: Vec<_> = listed.filter_map(async |meta| meta.ok()).collect().await;
            let dated = listed.into_iter().map(|meta| self.dated(meta)).collect();
            stream::iter(self.shown(folder.as_ref(), dated)).map(Ok)
        })
        .flatten()
        .boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let Ok(there) = self.head(key).await else {
            return Ok(());
        };
        self.objects.delete(key).await?;
        let mut state = self.state();
        state.written_at.remove(key);
        state.changes.push((key.clone(), Some(there)));
        Ok(())
    }
}

struct ShelfUpload {
    inner: Box<dyn Upload>,
    shelf: Shelf,
    key: ObjectKey,
}

#[async_trait]
impl Upload for ShelfUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        self.inner.write(bytes).await
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        self.inner.commit().await?;
        self.shelf.wrote(&self.key);
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        self.inner.abort().await
    }
}

/// A store on the way to a process: calls take their time, and end with the process.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) inner: Arc<dyn Sink>,
    pub(crate) world: Arc<World>,
    /// The number of the store.
    pub(crate) store: usize,
    /// The longest that a call takes.
    pub(crate) latency_max_ms: u64,
}

impl Way {
    async fn call<T>(
        &self,
        operation: Operation,
        key: Option<&ObjectKey>,
        call: impl Future<Output = Result<T, BackupError>>,
    ) -> Result<T, BackupError> {
        self.reach().await;
        let death = self.world.called(self.store, operation, key);
        if death == Some(Moment::Before) {
            return self.die().await;
        }
        let latency_ms = match self.latency_max_ms {
            0 => 0,
            max => self.world.random.below(max + 1),
        };
        if latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(latency_ms)).await;
        }
        self.reach().await;
        let result = call.await;
        if death == Some(Moment::After) {
            return self.die().await;
        }
        if let Err(error) = &result {
            self.world.note(|| format!("store {}: {error}", self.store));
        }
        result
    }

    /// Goes on for ever where the process is dead: what it had under way is dropped with it.
    async fn reach(&self) {
        if self.world.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    async fn die<T>(&self) -> T {
        self.world.die();
        std::future::pending().await
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Sink for Way {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn begin(&self, key: &ObjectKey, bytes: u64) -> Result<Box<dyn Upload>, BackupError> {
        let begin = self.inner.begin(key, bytes);
        let inner = self.call(Operation::Begin, Some(key), begin).await?;
        Ok(Box::new(WayUpload {
            inner,
            way: self.clone(),
            key: key.clone(),
            sent: 0,
        }))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        self.world.sends(key, 0, &bytes);
        let put = self.inner.put(key, bytes);
        self.call(Operation::Put, Some(key), put).await
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        let read = self.inner.read(key, range);
        self.call(Operation::Read, Some(key), read).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        let head = self.inner.head(key);
        self.call(Operation::Head, Some(key), head).await
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let drop_cached = self.inner.drop_cached(key);
        self.call(Operation::DropCached, Some(key), drop_cached)
            .await
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        let folder = folder.cloned();
        let start = async move {
            let start = async { Ok(self.inner.list(folder.as_ref())) };
            let listing = self.call(Operation::List, folder.as_ref(), start).await;
            match listing {
                Ok(items) => items,
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        let items = stream::once(start).flatten();
        items
            .then(async |item| {
                self.reach().await;
                item
            })
            .boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let delete = self.inner.delete(key);
        self.call(Operation::Delete, Some(key), delete).await
    }
}

struct WayUpload {
    inner: Box<dyn Upload>,
    way: Way,
    key: ObjectKey,
    /// Bytes so far.
    sent: usize,
}

#[async_trait]
impl Upload for WayUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        self.way.world.sends(&self.key, self.sent, &bytes);
        let sent = self.sent + bytes.len();
        let write = self.inner.write(bytes);
        let call = self.way.call(Operation::Write, Some(&self.key), write);
        call.await?;
        // One that failed is made again, with the same bytes.
        self.sent = sent;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        let commit = self.inner.commit();
        self.way
            .call(Operation::Commit, Some(&self.key), commit)
            .await
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        self.way.reach().await;
        self.inner.abort().await
    }
}
