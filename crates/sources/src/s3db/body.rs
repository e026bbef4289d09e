//! Bodies of objects, read to their ends.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use flate2::Crc;
use teeline_core::{BackupError, Class};

use super::bucket::{Bucket, Head};

/// Without a byte for this long, a body is asked for again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a body is asked for again without getting any further.
const RESUMPTIONS: u32 = 3;
const RESUMPTION_PAUSE: Duration = Duration::from_millis(300);

/// The body of an object.
pub(super) struct Body {
    bucket: Bucket,
    key: String,
    stream: ByteStream,
    /// What arrived and wasn't given yet.
    arrived: Bytes,
    etag: Option<String>,
    /// Of what has arrived.
    crc: Crc,
    /// What that of all of it has to be, where the server says it.
    crc32: Option<u32>,
    /// How much has arrived.
    offset: u64,
    size: u64,
}

impl Body {
    pub(super) fn new(bucket: Bucket, key: &str, head: &Head, stream: ByteStream) -> Self {
        Body {
            bucket,
            key: key.to_owned(),
            stream,
            arrived: Bytes::new(),
            etag: head.etag.clone(),
            crc: Crc::new(),
            crc32: head.crc32,
            offset: 0,
            size: head.size,
        }
    }

    /// The next bytes, at most so many; `None` at the end. Where the connection breaks, it goes on over another one.
    /// [`Class::Corrupt`] where the bytes aren't those of the server's checksum, with the last of them.
    pub(super) async fn next(&mut self, bytes_max: usize) -> Result<Option<Bytes>, BackupError> {
        if self.arrived.is_empty() {
            self.arrived = self.receive_or_resume().await?;
            self.check_when_whole(Class::Corrupt)?;
        }
        let given = self.arrived.split_to(bytes_max.min(self.arrived.len()));
        Ok(Some(given).filter(|given| !given.is_empty()))
    }

    /// The next bytes, as many as said unless it ends before.
    pub(super) async fn next_piece(&mut self, bytes: usize) -> Result<Bytes, BackupError> {
        let mut piece = BytesMut::new();
        while piece.len() < bytes {
            match self.next(bytes - piece.len()).await? {
                Some(bytes) => piece.extend_from_slice(&bytes),
                None => break,
            }
        }
        Ok(piece.freeze())
    }

    /// All of it, as [`next`](Self::next) gives it. [`Class::Conflict`] where the object was replaced meanwhile.
    pub(super) async fn whole(mut self) -> Result<Bytes, BackupError> {
        let mut all = BytesMut::new();
        while let Some(bytes) = self.next(usize::MAX).await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    /// All of it, over this connection alone: where that breaks, whoever asked has to ask for the object anew.
    pub(super) async fn once(mut self) -> Result<Bytes, BackupError> {
        let first = self.receive().await?;
        if self.offset == self.size {
            self.check_when_whole(Class::Transient)?;
            return Ok(first);
        }
        let mut all = BytesMut::from(first);
        while self.offset < self.size {
            all.extend_from_slice(&self.receive().await?);
        }
        self.check_when_whole(Class::Transient)?;
        Ok(all.freeze())
    }

    /// Once all has arrived: that it is what the server has a checksum of, if it has one.
    fn check_when_whole(&self, class: Class) -> Result<(), BackupError> {
        match self.crc32 {
            Some(expected) if self.offset == self.size && self.crc.sum() != expected => {
                let message = "its bytes aren't those that the server has a checksum of";
                Err(self.broken(class, message))
            }
            _ => Ok(()),
        }
    }

    async fn receive_or_resume(&mut self) -> Result<Bytes, BackupError> {
        let mut resumptions = 0;
        loop {
            match self.receive().await {
                Err(error) if error.class().is_retriable() && resumptions < RESUMPTIONS => {
                    resumptions += 1;
                    tokio::time::sleep(RESUMPTION_PAUSE * resumptions).await;
                    self.resume().await?;
                }
                received => return received,
            }
        }
    }

    /// The next bytes; empty at the end only.
    async fn receive(&mut self) -> Result<Bytes, BackupError> {
        while self.offset < self.size {
            let problem = match tokio::time::timeout(IDLE_TIMEOUT, self.stream.next()).await {
                Ok(Some(Ok(bytes))) if bytes.is_empty() => continue,
                Ok(Some(Ok(bytes))) => {
                    self.offset += bytes.len() as u64;
                    self.crc.update(&bytes);
                    if self.offset > self.size {
                        let message = "it is larger than the server said";
                        return Err(self.broken(Class::Permanent, message));
                    }
                    return Ok(bytes);
                }
                Ok(Some(Err(error))) => error.to_string(),
                Ok(None) => "the connection was closed".to_owned(),
                Err(_) => format!("no byte for {} s", IDLE_TIMEOUT.as_secs()),
            };
            let (offset, size) = (self.offset, self.size);
            let message = format!("it broke off at byte {offset} of {size}: {problem}");
            return Err(self.broken(Class::Transient, &message));
        }
        Ok(Bytes::new())
    }

    async fn resume(&mut self) -> Result<(), BackupError> {
        let etag = self.etag.as_deref();
        let resumed = self.bucket.read_from(&self.key, self.offset, etag).await;
        let answer = match resumed {
            Ok(answer) => answer,
            Err(error) if matches!(error.class(), Class::Conflict | Class::NotFound) => {
                return Err(self.replaced());
            }
            Err(error) => return Err(error),
        };
        let goes_on = Head::of(answer.headers()).is_some_and(|head| {
            head.size == self.size - self.offset && head.etag.as_deref() == etag
        });
        if !goes_on {
            return Err(self.replaced());
        }
        self.stream = ByteStream::new(answer.into_body());
        Ok(())
    }

    fn replaced(&self) -> BackupError {
        self.broken(Class::Conflict, "it was replaced while it was read")
            .suggest("run the backup again")
    }

    fn broken(&self, class: Class, message: &str) -> BackupError {
        BackupError::new(class, "read", self.bucket.describe(&self.key), message)
    }
}
