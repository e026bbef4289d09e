//! An S3 server over a folder: what the quick start and the hermetic tests talk to.
//!
//! It speaks the S3 protocol on a loopback port, checks every signature, and keeps objects as plain
//! files. Invariants:
//!
//! - **The folder is the only state.** Nothing is cached between requests, so any number of servers,
//!   in this process or in others, may serve one folder at once, and a restart loses nothing.
//! - **An object appears whole or not at all**: it is staged beside the buckets, then published by
//!   one rename, or by one hard link where the caller asked for create-if-absent. Of any number of
//!   concurrent creators exactly one wins.
//! - **What isn't honoured is refused.** A request for locks, ACLs or versions is answered
//!   `NotImplemented`; nothing is accepted and dropped. Encryption is a word here: how an object was
//!   asked to be encrypted is kept with it and given back, and its file is as plain as all others.
//! - **What is archived can't be read** until it is thawed, as at S3. A thaw takes no time, unless
//!   [`EmbeddedS3::hold_thaws`] has it wait.
//! - **Bodies are streamed** both ways, in blocks of 256 KiB.
//!
//! Deliberately absent: fsync (a power cut may lose objects), virtual-hosted addressing, TLS, more
//! than one account. It isn't meant to be reachable from another machine. Staged files that a crash
//! left in the folder's `.staging` are never listed and may be deleted while no server runs.
//!
//! Reading path: `key_path` (keys to file names) and `object_file` (the file format), `store`
//! (publish, open, delete), `walk` and `listing` (keys in order), `multipart`, then `service`.

#![forbid(unsafe_code)]

mod attributes;
mod checksums;
mod conditions;
mod copy;
mod key_path;
mod listing;
mod lock;
mod multipart;
mod object_file;
mod receive;
mod record;
mod respond;
mod service;
mod store;
mod thaw;
mod uploads;
mod walk;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{DATE, HeaderName, HeaderValue};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::HttpError;
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::TimestampFormat;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::oneshot;

pub use crate::record::RecordedRequest;
use crate::record::Recorder;
use crate::service::FolderS3;
use crate::store::{Store, found};

/// Two: the machines this runs on are small, and the requests mostly wait for blocking file work.
const WORKER_THREADS: usize = 2;
/// Bounds how many files are read or written at the same moment.
const BLOCKING_THREADS_MAX: usize = 16;
/// How long stopping waits for file operations that have already begun.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept: out of file descriptors is the usual cause, and it doesn't pass
/// any faster by asking again at once.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(20);

/// What time it is.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The one key pair a server accepts.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Access key id; any non-empty text without `/`.
    pub access_key: String,
    /// Secret key the requests are signed with.
    pub secret_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .field("secret_key", &"<redacted>")
            .finish()
    }
}

/// A running S3 server over a folder; dropping it stops it.
///
/// It runs on threads of its own, so it may be started from synchronous code and from within any
/// runtime. Dropping it closes every connection, lets file operations that have begun end (at most
/// 10 s), and only then returns: afterwards this server changes nothing in the folder.
///
/// ```
/// use teeline_embedded_s3::{Credentials, EmbeddedS3};
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let root = folder.path();
/// let credentials = Credentials { access_key: "me".into(), secret_key: "secret".into() };
/// let server = EmbeddedS3::start(root, credentials)?;
/// server.create_bucket("backups")?;
///
/// assert!(server.address().ip().is_loopback());
/// assert!(server.url("backups", "daily").ends_with("/backups/daily?forcePathStyle=true"));
/// # Ok(())
/// # }
/// ```
pub struct EmbeddedS3 {
    address: SocketAddr,
    credentials: Credentials,
    store: Arc<Store>,
    requests: Arc<AtomicU64>,
    recorded: Arc<Recorder>,
    /// Dropped to tell the server thread to stop.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedS3 {
    /// Starts a server on 127.0.0.1, on a free port, over `root`, which is created if absent.
    ///
    /// The port accepts connections once this returns.
    ///
    /// # Errors
    ///
    /// The I/O error met when the folder can't be created, no port can be bound, or no thread can
    /// be started.
    pub fn start(
        root: impl AsRef<Path>,
        credentials: Credentials,
    ) -> Result<EmbeddedS3, io::Error> {
        Self::serve(
            root.as_ref(),
            credentials,
            Arc::new(SystemTime::now),
            S3Config::default(),
        )
    }

    /// As [`EmbeddedS3::start`], with a clock of its own: by that one it says when objects were written, and when it answers.
    /// When a request was signed doesn't matter then.
    ///
    /// # Errors
    ///
    /// As [`EmbeddedS3::start`].
    pub fn start_at(
        root: impl AsRef<Path>,
        credentials: Credentials,
        clock: Clock,
    ) -> Result<EmbeddedS3, io::Error> {
        let mut config = S3Config::default();
        config.presigned_url_max_skew_time_secs = u32::MAX;
        Self::serve(root.as_ref(), credentials, clock, config)
    }

    fn serve(
        root: &Path,
        credentials: Credentials,
        clock: Clock,
        mut config: S3Config,
    ) -> Result<EmbeddedS3, io::Error> {
        let store = Arc::new(Store::open(root, clock)?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;

        let mut builder = S3ServiceBuilder::new(FolderS3::new(Arc::clone(&store)));
        builder.set_auth(SimpleAuth::from_single(
            credentials.access_key.clone(),
            credentials.secret_key.clone(),
        ));
        // Form uploads are refused, but only after s3s has gathered them in memory.
        config.post_object_max_file_size = 0;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        let service = builder.build();

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKER_THREADS)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("embedded-s3-io")
            .enable_all()
            .build()?;
        let requests = Arc::new(AtomicU64::new(0));
        let recorded = Arc::new(Recorder::default());
        let (stop, stopped) = oneshot::channel();
        let thread = {
            let (requests, store) = (Arc::clone(&requests), Arc::clone(&store));
            let recorded = Arc::clone(&recorded);
            std::thread::Builder::new()
                .name("embedded-s3".into())
                .spawn(move || {
                    runtime.block_on(async {
                        tokio::select! {
                            served = serve(listener, service, requests, store, recorded) => {
                                if let Err(error) = served {
                                    tracing::error!(%error, "embedded S3 server ended");
                                }
                            }
                            // Resolves with an error when the sender is dropped: that is the signal.
                            _ = stopped => {}
                        }
                    });
                    runtime.shutdown_timeout(STOP_TIMEOUT);
                })?
        };
        Ok(EmbeddedS3 {
            address,
            credentials,
            store,
            requests,
            recorded,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The address it listens on: 127.0.0.1 and a port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint to give to an S3 client, like `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The connection string of `prefix` in `bucket`, with the credentials in it.
    ///
    /// Everything is percent-encoded as needed. The result holds the secret key: don't log it.
    pub fn url(&self, bucket: &str, prefix: &str) -> String {
        let prefix = prefix.trim_start_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        format!(
            "http://{}:{}@{}/{bucket}{slash}{}?forcePathStyle=true",
            utf8_percent_encode(&self.credentials.access_key, NON_ALPHANUMERIC),
            utf8_percent_encode(&self.credentials.secret_key, NON_ALPHANUMERIC),
            self.address,
            key_path::url_encode(prefix),
        )
    }

    /// Creates the bucket `name`; one that exists is left as it is.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] when S3 wouldn't allow the name, else the I/O error met.
    pub fn create_bucket(&self, name: &str) -> io::Result<()> {
        match self.store.create_bucket(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// The keys of a bucket that begin with `prefix`, in byte order.
    ///
    /// # Errors
    ///
    /// Where there is no such bucket, and the I/O error met while its folders are read.
    pub fn keys(&self, bucket: &str, prefix: &str) -> io::Result<Vec<String>> {
        let bucket = self.store.bucket(bucket).map_err(io::Error::other)?;
        let mut walk = self.store.walk(&bucket, prefix.into(), Vec::new());
        std::iter::from_fn(|| walk.next_key().transpose()).collect()
    }

    /// How many uploads in parts have begun in a bucket and not ended.
    ///
    /// # Errors
    ///
    /// As [`EmbeddedS3::keys`].
    pub fn unfinished_uploads(&self, bucket: &str) -> io::Result<usize> {
        let bucket = self.store.bucket(bucket).map_err(io::Error::other)?;
        let uploads = found(std::fs::read_dir(bucket.join("uploads")))?;
        Ok(uploads.map_or(0, Iterator::count))
    }

    /// How many requests have reached this server so far, the refused ones included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Keeps the head of every request from now on, for [`EmbeddedS3::recorded`].
    pub fn record(&self) {
        self.recorded.begin();
    }

    /// The heads of the requests that have reached this server since [`EmbeddedS3::record`].
    pub fn recorded(&self) -> Vec<RecordedRequest> {
        self.recorded.heads()
    }

    /// Has every thaw go on for as long as this isn't taken back; none by default: what is thawed can
    /// be read at once.
    pub fn hold_thaws(&self, hold: bool) {
        self.store.holds_thaws.store(hold, Ordering::Relaxed);
    }
}

impl fmt::Debug for EmbeddedS3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedS3")
            .field("address", &self.address)
            .field("credentials", &self.credentials)
            .field("requests", &self.requests())
            .finish_non_exhaustive()
    }
}

impl Drop for EmbeddedS3 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the embedded S3 server's thread panicked");
        }
    }
}

async fn serve(
    listener: TcpListener,
    service: S3Service,
    requests: Arc<AtomicU64>,
    store: Arc<Store>,
    recorded: Arc<Recorder>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        // Without it every small reply would wait for the client's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not set TCP_NODELAY");
        }
        let service = service.clone();
        let (requests, store) = (Arc::clone(&requests), Arc::clone(&store));
        let recorded = Arc::clone(&recorded);
        let counted = service_fn(move |request: Request<Incoming>| {
            let number = requests.fetch_add(1, Ordering::Relaxed) + 1;
            recorded.note(&request);
            let (answer, store) = (Service::call(&service, request), Arc::clone(&store));
            async move {
                let mut answer = answer.await?;
                if let Some(date) = http_date(store.now_seconds()) {
                    answer.headers_mut().insert(DATE, date);
                }
                // By which clients tell answers of S3 from those of somebody in between.
                answer
                    .headers_mut()
                    .insert(REQUEST_ID, HeaderValue::from(number));
                Ok::<_, HttpError>(answer)
            }
        });
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), counted)
                .await;
            if let Err(error) = connection {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }
}

/// The header with the number of a request, as
/// [S3](https://docs.aws.amazon.com/AmazonS3/latest/API/RESTCommonResponseHeaders.html) answers each with one.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// A time as the head of an answer says it.
fn http_date(seconds: u64) -> Option<HeaderValue> {
    let mut text = Vec::new();
    let date = object_file::timestamp(seconds);
    date.format(TimestampFormat::HttpDate, &mut text).ok()?;
    HeaderValue::from_bytes(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            access_key: "a/b".into(),
            secret_key: "s+e:c@r".into(),
        }
    }

    #[test]
    fn debug_hides_the_secret() {
        let shown = format!("{:?}", credentials());
        assert!(shown.contains("a/b"), "{shown}");
        assert!(!shown.contains("s+e"), "{shown}");
    }

    #[test]
    fn url_encodes_what_would_break_it() {
        let folder = tempfile::tempdir().expect("folder");
        let server = EmbeddedS3::start(folder.path(), credentials()).expect("start");
        let host = server.address();
        assert_eq!(
            server.url("bucket", "/a b/c"),
            format!("http://a%2Fb:s%2Be%3Ac%40r@{host}/bucket/a%20b/c?forcePathStyle=true")
        );
        assert_eq!(
            server.url("bucket", ""),
            format!("http://a%2Fb:s%2Be%3Ac%40r@{host}/bucket?forcePathStyle=true")
        );
    }

    #[test]
    fn creating_a_bucket_twice_is_fine_and_a_bad_name_is_not() {
        let folder = tempfile::tempdir().expect("folder");
        let server =
            EmbeddedS3::start(folder.path().join("new/deep"), credentials()).expect("start");
        server.create_bucket("bucket").expect("first");
        server.create_bucket("bucket").expect("second");
        let refused = server.create_bucket("../up").expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
}
