//! A database that is written to, and an engine that backs it up, each with a clock of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use teeline::{
    BackupId, BackupReport, BackupRequest, DestinationSpec, Digest, Engine, Executor, KeySecret,
    Keys, LocalIndex, Recipient, RestoreReport, RestoreRequest, RestoreTarget, S3dbSource,
    ScanOptions, Timestamp, VerifyReport, VerifyRequest, Which, X25519Secret,
};

use crate::server::{Objects, Server};
use crate::writer::{PREFIX, Writer};

const BEGAN_MS: i64 = 1_795_399_200_000;

/// A clock that stands still until somebody moves it.
#[derive(Clone)]
pub(crate) struct Time(Arc<AtomicI64>);

impl Time {
    pub(crate) fn new() -> Self {
        Time(Arc::new(AtomicI64::new(BEGAN_MS)))
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.ms())
    }

    fn ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The database, its server's time, and the engine with its own.
pub(crate) struct Site {
    pub(crate) writer: Arc<Writer>,
    pub(crate) server_time: Time,
    pub(crate) local_time: Time,
    pub(crate) engine: Engine,
    /// Where a host that can only seal keeps what it goes on from; none where backups aren't sealed.
    kept: Option<tempfile::TempDir>,
}

impl Site {
    /// One whose host has the public half of a pair only.
    pub(crate) async fn that_only_seals() -> Self {
        Site {
            kept: Some(tempfile::tempdir().unwrap()),
            ..Self::new().await
        }
    }

    pub(crate) async fn new() -> Self {
        let (server_time, local_time) = (Time::new(), Time::new());
        let time = server_time.clone();
        let clock = move || {
            let ms = u64::try_from(time.ms()).unwrap();
            SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
        };
        let server = Server::embedded(Arc::new(clock)).await;
        let (time, number) = (local_time.clone(), AtomicU64::new(0));
        let engine = Engine::builder()
            .executor(Executor::Threads(2))
            .clock(Arc::new(move || Timestamp::from_unix_ms(time.ms())))
            .random(Arc::new(move |bytes| {
                let number = number.fetch_add(1, Ordering::SeqCst);
                // Ids of one second differ in all of their letters, however many numbers were drawn before.
                let digest = Digest::of(&number.to_le_bytes());
                for (byte, of_digest) in bytes.iter_mut().zip(digest.as_bytes().iter().cycle()) {
                    *byte = *of_digest;
                }
                Ok(())
            }))
            .build()
            .unwrap();
        Site {
            writer: Writer::over(server).await,
            server_time,
            local_time,
            engine,
            kept: None,
        }
    }

    /// Time passes everywhere.
    pub(crate) fn wait(&self, ms: i64) {
        self.server_time.pass(ms);
        self.local_time.pass(ms);
    }

    pub(crate) fn request(&self, backup_type: &str, to: &[DestinationSpec]) -> BackupRequest {
        let address = self.writer.server.address().to_owned();
        self.request_over(&address, 0, backup_type, to)
    }

    /// As a proxy at `address` reaches the database.
    pub(crate) fn request_over(
        &self,
        address: &str,
        settle_passes_max: u32,
        backup_type: &str,
        to: &[DestinationSpec],
    ) -> BackupRequest {
        let prefix = PREFIX.trim_end_matches('/');
        let connection = self.writer.server.connection_over(address, prefix);
        let options = ScanOptions {
            settle_passes_max,
            piece_bytes: 100 << 10,
            ..ScanOptions::default()
        };
        let source = S3dbSource::new(connection, options);
        let mut request = BackupRequest::new(source, to.to_vec());
        request.backup_type = backup_type.parse().unwrap();
        request.recipients = self.recipients();
        let kept = self.kept.as_ref();
        request.local_index = kept.map(|folder| LocalIndex::new(folder.path()));
        request
    }

    /// Those whom backups are sealed for.
    pub(crate) fn recipients(&self) -> Vec<Recipient> {
        let public = self.kept.iter().map(|_| pair().public());
        public.map(Recipient::X25519).collect()
    }

    /// What whoever restores has, and the host hasn't.
    pub(crate) fn keys(&self) -> Keys {
        let secrets = self.kept.iter().map(|_| pair().to_text());
        Keys::new(
            secrets
                .map(|text| KeySecret::parse(&text).unwrap())
                .collect(),
        )
    }

    pub(crate) async fn backup(&self, backup_type: &str, to: &[DestinationSpec]) -> BackupReport {
        // So that each has a time of its own.
        self.local_time.pass(1);
        self.engine.backup(self.request(backup_type, to)).await
    }

    /// As [`Site::backup`], which every destination then has.
    pub(crate) async fn made(&self, backup_type: &str, to: &[DestinationSpec]) -> BackupReport {
        let report = self.backup(backup_type, to).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        report
    }

    /// Every object of the database.
    pub(crate) async fn objects(&self) -> Objects {
        self.writer.server.objects(PREFIX).await
    }

    /// Every object of a database that a backup was restored to.
    pub(crate) async fn restored(&self, which: Which, from: &[DestinationSpec]) -> Objects {
        let server = Server::start().await;
        let target = RestoreTarget::Database(server.connection(""));
        let report = self.restore(which, from, target).await;
        assert!(report.error.is_none(), "{report:?}");
        server.objects("").await
    }

    pub(crate) async fn restore(
        &self,
        which: Which,
        from: &[DestinationSpec],
        target: RestoreTarget,
    ) -> RestoreReport {
        let mut request = RestoreRequest::new(which, from.to_vec(), target);
        request.keys = self.keys();
        self.engine.restore(request).await
    }

    pub(crate) async fn verify_deep(&self, id: &BackupId, at: &[DestinationSpec]) -> VerifyReport {
        let mut request = VerifyRequest::new(at.to_vec());
        request.which = teeline::WhichBackups::One(Which::Id(id.clone()));
        request.deep = true;
        request.keys = self.keys();
        self.engine.verify(request).await
    }
}

fn pair() -> X25519Secret {
    X25519Secret::new([5; 32])
}

/// What is there is what is expected, object for object.
pub(crate) fn assert_same(found: &Objects, expected: &Objects) {
    let keys = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(found), keys(expected));
    for (key, object) in expected {
        assert_eq!(&found[key], object, "{key}");
    }
}
