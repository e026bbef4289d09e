//! A store in memory, for tests of whoever embeds the engine.
//!
//! What is written is copied: the bytes of a run carry leases of its budget, and a store that kept the handles would
//! never give them back. It has no clock, so objects have no time.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use teeline_core::{
    BackupError, Capabilities, Class, ObjectKey, ObjectMeta, ReadBack, Reading, Sink, Upload,
};

/// A store in memory. A clone is the same store.
#[derive(Clone)]
pub struct MemorySink {
    name: Arc<str>,
    objects: Arc<Mutex<BTreeMap<ObjectKey, Bytes>>>,
    lists_in_pages: bool,
}

impl MemorySink {
    /// An empty store, shown as `memory://<name>`.
    pub fn new(name: impl Into<String>) -> Self {
        MemorySink {
            name: name.into().into(),
            objects: Arc::default(),
            lists_in_pages: false,
        }
    }

    /// The same store, kept as one whose lists come in pages.
    pub fn in_pages(self) -> Self {
        MemorySink {
            lists_in_pages: true,
            ..self
        }
    }

    /// Replaces an object's bytes, or makes it: what a sink never does, for tests of damage.
    pub fn overwrite(&self, key: &ObjectKey, bytes: &[u8]) {
        self.objects()
            .insert(key.clone(), Bytes::copy_from_slice(bytes));
    }

    /// Every key, in order.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.objects().keys().cloned().collect()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Bytes>> {
        // Nothing panics while it holds the lock, and a map is whole between calls anyway.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subject(&self, key: &ObjectKey) -> String {
        format!("{self}/{key}")
    }

    fn get(&self, operation: &str, key: &ObjectKey) -> Result<Bytes, BackupError> {
        self.objects().get(key).cloned().ok_or_else(|| {
            BackupError::new(
                Class::NotFound,
                operation,
                self.subject(key),
                "no such object",
            )
        })
    }

    fn publish(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        let mut objects = self.objects();
        if objects.contains_key(key) {
            let message = "it exists already, and objects are written once";
            return Err(BackupError::new(
                Class::Conflict,
                "write",
                self.subject(key),
                message,
            ));
        }
        objects.insert(key.clone(), bytes);
        Ok(())
    }
}

impl fmt::Display for MemorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory://{}", self.name)
    }
}

impl fmt::Debug for MemorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({} objects)", self.objects().len())
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            read_back: ReadBack::Everything,
            reading: Reading {
                calls: 1,
                bytes: 1 << 20,
            },
            lists_in_pages: self.lists_in_pages,
        }
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        _expected_bytes: u64,
    ) -> Result<Box<dyn Upload>, BackupError> {
        Ok(Box::new(MemoryUpload {
            sink: self.clone(),
            key: key.clone(),
            state: State::Open(BytesMut::new()),
        }))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        match self.publish(key, Bytes::copy_from_slice(&bytes)) {
            // A put can't tell a repetition from a second writer, and both are fine where the bytes are the same.
            Err(error) if error.class() == Class::Conflict && self.get("write", key)? != bytes => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        let object = self.get("read", key)?;
        let part = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .filter(|(start, end)| start <= end && *end <= object.len())
            .map(|(start, end)| object.slice(start..end));
        part.ok_or_else(|| {
            BackupError::new(
                Class::Corrupt,
                "read",
                self.subject(key),
                format!(
                    "shorter than expected: it holds {} bytes, and bytes {} to {} were asked for",
                    object.len(),
                    range.start,
                    range.end
                ),
            )
        })
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        let object = self.get("look at", key)?;
        Ok(meta(key, &object))
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.get("look at", key).map(drop)
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        let prefix = folder.map_or(String::new(), |folder| format!("{folder}/"));
        let found: Vec<_> = self
            .objects()
            .iter()
            .filter(|(key, _)| key.as_str().starts_with(&prefix))
            .map(|(key, object)| Ok(meta(key, object)))
            .collect();
        stream::iter(found).boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.objects().remove(key);
        Ok(())
    }
}

fn meta(key: &ObjectKey, object: &Bytes) -> ObjectMeta {
    ObjectMeta {
        key: key.clone(),
        bytes: object.len() as u64,
        modified_at: None,
    }
}

struct MemoryUpload {
    sink: MemorySink,
    key: ObjectKey,
    state: State,
}

enum State {
    Open(BytesMut),
    Committed,
    Aborted,
}

impl MemoryUpload {
    fn ended(&self) -> BackupError {
        let subject = self.sink.subject(&self.key);
        BackupError::new(Class::Permanent, "write", subject, "the upload has ended")
    }
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        match &mut self.state {
            State::Open(buffer) => {
                buffer.extend_from_slice(&bytes);
                Ok(())
            }
            State::Committed | State::Aborted => Err(self.ended()),
        }
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        match &mut self.state {
            State::Open(buffer) => {
                let bytes = Bytes::copy_from_slice(buffer);
                self.sink.publish(&self.key, bytes)?;
                self.state = State::Committed;
                Ok(())
            }
            State::Committed => Ok(()),
            State::Aborted => Err(self.ended()),
        }
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        if matches!(self.state, State::Open(_)) {
            self.state = State::Aborted;
        }
        Ok(())
    }
}
