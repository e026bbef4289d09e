//! A store that keeps no bytes, for measuring everything else. What was written can't be read back, only its size is known.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use teeline_core::{
    BackupError, Capabilities, Class, ObjectKey, ObjectMeta, ReadBack, Reading, Sink, Upload,
};

/// A store that keeps the sizes of objects and nothing else. A clone is the same store.
#[derive(Debug, Clone, Default)]
pub struct NullSink(Arc<Mutex<BTreeMap<ObjectKey, u64>>>);

impl NullSink {
    fn sizes(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, u64>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, key: &ObjectKey, bytes: u64) -> Result<(), BackupError> {
        let mut sizes = self.sizes();
        if sizes.contains_key(key) {
            let message = "it exists already, and objects are written once";
            return Err(self.error(Class::Conflict, "write", key, message));
        }
        sizes.insert(key.clone(), bytes);
        Ok(())
    }

    fn error(&self, class: Class, operation: &str, key: &ObjectKey, message: &str) -> BackupError {
        BackupError::new(class, operation, format!("{self}/{key}"), message)
    }
}

impl fmt::Display for NullSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null:")
    }
}

#[async_trait]
impl Sink for NullSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            read_back: ReadBack::Nothing,
            reading: Reading {
                calls: 1,
                bytes: 1 << 20,
            },
            lists_in_pages: false,
        }
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        _expected_bytes: u64,
    ) -> Result<Box<dyn Upload>, BackupError> {
        Ok(Box::new(NullUpload {
            sink: self.clone(),
            key: key.clone(),
            bytes: 0,
            is_committed: false,
        }))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        self.publish(key, bytes.len() as u64)
    }

    async fn read(&self, key: &ObjectKey, _range: Range<u64>) -> Result<Bytes, BackupError> {
        let message = "this store keeps no bytes";
        Err(self.error(Class::Permanent, "read", key, message))
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        let size = self.sizes().get(key).copied();
        let bytes =
            size.ok_or_else(|| self.error(Class::NotFound, "look at", key, "no such object"))?;
        Ok(meta(key.clone(), bytes))
    }

    async fn drop_cached(&self, _key: &ObjectKey) -> Result<(), BackupError> {
        Ok(())
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        let prefix = folder.map_or(String::new(), |folder| format!("{folder}/"));
        let sizes = self.sizes();
        let found = sizes
            .iter()
            .filter(|(key, _)| key.as_str().starts_with(&prefix));
        let found: Vec<_> = found
            .map(|(key, bytes)| Ok(meta(key.clone(), *bytes)))
            .collect();
        stream::iter(found).boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.sizes().remove(key);
        Ok(())
    }
}

fn meta(key: ObjectKey, bytes: u64) -> ObjectMeta {
    ObjectMeta {
        key,
        bytes,
        modified_at: None,
    }
}

struct NullUpload {
    sink: NullSink,
    key: ObjectKey,
    bytes: u64,
    is_committed: bool,
}

#[async_trait]
impl Upload for NullUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        if !self.is_committed {
            self.sink.publish(&self.key, self.bytes)?;
            self.is_committed = true;
        }
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sizes_are_known_and_bytes_are_not() {
        let sink = NullSink::default();
        let key = ObjectKey::new("a/b").unwrap();
        let mut upload = sink.begin(&key, 0).await.unwrap();
        upload.write(Bytes::from_static(b"12345")).await.unwrap();
        assert!(sink.head(&key).await.is_err());
        upload.commit().await.unwrap();
        upload.commit().await.unwrap();
        assert_eq!(sink.head(&key).await.unwrap().bytes, 5);
        let second = sink.put(&key, Bytes::new()).await.unwrap_err();
        assert_eq!(second.class(), Class::Conflict);
        assert!(sink.read(&key, 0..5).await.is_err());
        assert_eq!(sink.list(None).count().await, 1);
        sink.delete(&key).await.unwrap();
        assert_eq!(sink.list(None).count().await, 0);
    }
}
