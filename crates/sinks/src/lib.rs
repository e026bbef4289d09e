//! Where teeline writes to: stores that keep to the contract of [`Sink`](teeline_core::Sink), and what is wrapped around
//! them.
//!
//! | store | for |
//! | --- | --- |
//! | [`FilesystemSink`] | a folder: a local disk, a mounted share |
//! | [`ObjectStoreSink`] | a bucket of S3, or of a server that speaks S3; or any store of `object_store` that is ready |
//! | [`MemorySink`] | tests of whoever embeds the engine |
//! | [`NullSink`], [`SimulatedSink`] | measuring: no store at all, and one as slow or far away as one likes |
//!
//! Every concern that all stores share is a decorator, one a file, from the inside out: [`FaultSink`] (tests),
//! [`CatchingSink`] (a panic is an error, for stores of others), [`DeadlineSink`] (no call takes for ever), [`PermitSink`] (how many calls at once), [`RateSink`] (how many bytes a
//! second), [`RetrySink`] (the only place that repeats). In this order the wait for a permit or for the rate isn't held
//! against a call, and neither that nor a pause between two tries holds a permit. They are stores themselves, and every store and every stack of them passes the one suite in [`conformance`].
//!
//! What is written is visible whole or not at all, and is never replaced:
//!
//! ```
//! use bytes::Bytes;
//! use teeline_core::{Class, ObjectKey, Sink};
//! use teeline_sinks::MemorySink;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), teeline_core::BackupError> {
//! let sink = MemorySink::new("example");
//! let key = ObjectKey::new("daily/users.jsonl.gz")?;
//!
//! let mut upload = sink.begin(&key, 1024).await?;
//! upload.write(Bytes::from_static(b"some ")).await?;
//! upload.write(Bytes::from_static(b"bytes")).await?;
//! assert_eq!(sink.head(&key).await.unwrap_err().class(), Class::NotFound);
//! upload.commit().await?;
//!
//! assert_eq!(sink.read(&key, 5..10).await?, "bytes");
//! let second = sink.put(&key, Bytes::from_static(b"other bytes")).await;
//! assert_eq!(second.unwrap_err().class(), Class::Conflict);
//! # Ok(())
//! # }
//! ```
//!
//! A folder on a disk, as a run uses it:
//!
//! ```
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use futures::TryStreamExt;
//! use teeline_core::{ObjectKey, RetryPolicy, Sink};
//! use teeline_sinks::{DeadlineSink, Deadlines, FilesystemOptions, FilesystemSink, RetrySink};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let disk = FilesystemSink::new(folder.path().to_owned(), FilesystemOptions::default());
//! let timed = DeadlineSink::new(Arc::new(disk), Deadlines::default());
//! let sink = RetrySink::new(Arc::new(timed), RetryPolicy::default(), 1);
//!
//! sink.put(&ObjectKey::new("daily/run.json")?, Bytes::from_static(b"{}")).await?;
//! let objects: Vec<_> = sink.list(None).try_collect().await?;
//! assert_eq!(objects[0].key.as_str(), "daily/run.json");
//! # Ok(())
//! # }
//! ```

mod catching;
pub mod conformance;
mod deadline;
mod fault;
mod filesystem;
mod memory;
mod null;
mod object_store_sink;
mod permit;
mod rate;
mod retry;
mod s3;
mod simulated;

/// As [`ObjectStoreSink::ready`] takes stores of it.
pub use object_store;

pub use catching::CatchingSink;
pub use deadline::{DeadlineSink, Deadlines};
pub use fault::{Fault, FaultPlan, FaultSink, Operation, What, When};
pub use filesystem::{
    DiskCall, DiskFault, FilesystemOptions, FilesystemSink, Interference, Io, Modes,
};
pub use memory::MemorySink;
pub use null::NullSink;
pub use object_store_sink::ObjectStoreSink;
pub use permit::{PermitSink, Permits};
pub use rate::RateSink;
pub use retry::RetrySink;
pub use s3::lock::{LockMode, ObjectLock};
pub use s3::options::{AccessKeys, S3Options, Timeouts};
pub use s3::storing::{ServerSideEncryption, StorageClass, Storing};
pub use simulated::{Behaviour, SimulatedSink};
