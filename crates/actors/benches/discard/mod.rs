//! A store that takes everything and keeps nothing but sizes, so that what is left of a pass is the pass.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{BoxStream, empty};
use teeline_core::{BackupError, Capabilities, Class, ObjectKey, ObjectMeta, Sink, Upload};

/// The sizes of the objects that were written.
type Sizes = Arc<Mutex<HashMap<ObjectKey, u64>>>;

/// The store. It can't be read.
#[derive(Debug, Default)]
pub(crate) struct Discard(Sizes);

fn insert(sizes: &Sizes, key: &ObjectKey, bytes: u64) {
    sizes.lock().expect("no panic").insert(key.clone(), bytes);
}

fn not_found(key: &ObjectKey) -> BackupError {
    BackupError::new(Class::NotFound, "read", key, "nothing is kept")
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("discard")
    }
}

#[async_trait]
impl Sink for Discard {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            can_read_back: false,
        }
    }
    async fn begin(&self, key: &ObjectKey, _: u64) -> Result<Box<dyn Upload>, BackupError> {
        Ok(Box::new(Discarded {
            sizes: Arc::clone(&self.0),
            key: key.clone(),
            bytes: 0,
        }))
    }
    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        insert(&self.0, key, bytes.len() as u64);
        Ok(())
    }
    async fn read(&self, key: &ObjectKey, _: Range<u64>) -> Result<Bytes, BackupError> {
        Err(not_found(key))
    }
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        let sizes = self.0.lock().expect("no panic");
        let bytes = *sizes.get(key).ok_or_else(|| not_found(key))?;
        Ok(ObjectMeta {
            key: key.clone(),
            bytes,
            modified_at: None,
        })
    }
    async fn drop_cached(&self, _: &ObjectKey) -> Result<(), BackupError> {
        Ok(())
    }
    fn list(&self, _: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        empty().boxed()
    }
    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.0.lock().expect("no panic").remove(key);
        Ok(())
    }
}

struct Discarded {
    sizes: Sizes,
    key: ObjectKey,
    bytes: u64,
}

#[async_trait]
impl Upload for Discarded {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        self.bytes += bytes.len() as u64;
        Ok(())
    }
    async fn commit(&mut self) -> Result<(), BackupError> {
        insert(&self.sizes, &self.key, self.bytes);
        Ok(())
    }
    async fn abort(&mut self) -> Result<(), BackupError> {
        Ok(())
    }
}
