//! What each role needs: who writes and who checks never needs to delete, and who may not is told so before anything is withdrawn.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use common::{assert_idle, place, records, request, whole};
use teeline::sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};
use teeline::{
    BackupId, BackupReport, Class, CleanupRequest, ConsolidateRequest, DeleteRequest,
    DestinationSpec, DrillRequest, Engine, Executor, KdfFunction, KeyChange, KeySecret, Keys,
    KeysRequest, LockMode, ObjectLock, Place, RawKey, Recipient, RemovalStatus, RestoreRequest,
    RestoreTarget, Retention, RetentionPolicy, ScrubRequest, Span, StrategyKind, SyncRequest,
    Timestamp, VerifyRequest, Which, WhichBackups, exit,
};
use teeline_core::ObjectKey;
use teeline_embedded_s3::{Credentials, EmbeddedS3};

/// What the policy of a writer refuses beside deleting: what makes backups disappear for who lists.
const WITHDRAWING: [&str; 2] = [".withdrawn", ".swept"];

/// A store in which nothing can be deleted, and what was asked of it all the same.
struct Kept {
    sink: MemorySink,
    at: DestinationSpec,
    refused: Arc<AtomicU64>,
}

impl Kept {
    fn new(name: &str) -> Self {
        let sink = MemorySink::new(name);
        let refuse = |operation| Fault::new(operation, When::From(1), What::Fail(Class::Permanent));
        let mut plan = FaultPlan::new(1)
            .with(refuse(Operation::Delete))
            .with(refuse(Operation::Discard));
        for suffix in WITHDRAWING {
            plan = plan.with(refuse(Operation::Put).on_keys_with(suffix));
        }
        let faulty = FaultSink::new(Arc::new(sink.clone()), plan);
        let refused = faulty.hits();
        Kept {
            at: place(name, faulty),
            sink,
            refused,
        }
    }

    fn assert_never_asked(&self, what: &str) {
        assert_eq!(self.refused.load(Ordering::Relaxed), 0, "{what}");
    }

    async fn objects(&self) -> Vec<(ObjectKey, Vec<u8>)> {
        let mut objects = Vec::new();
        for key in self.sink.keys() {
            let bytes = whole(&self.sink, &key).await.to_vec();
            objects.push((key, bytes));
        }
        objects
    }
}

/// An engine whose clock goes on by a minute whenever it is looked at.
fn engine() -> Engine {
    let began: Timestamp = "2026-11-23T02:00:00.000Z".parse().unwrap();
    let now = AtomicI64::new(began.unix_ms());
    Engine::builder()
        .workers(1)
        .clock(Arc::new(move || {
            Timestamp::from_unix_ms(now.fetch_add(60_000, Ordering::Relaxed))
        }))
        .build()
        .unwrap()
}

async fn made(engine: &Engine, lines: &[u8], kind: &str, at: &[DestinationSpec]) -> BackupReport {
    let mut asked = request(lines, at);
    asked.backup_type = kind.parse().unwrap();
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), exit::DONE, "{kind}: {report:?}");
    report
}

async fn restored(engine: &Engine, at: &DestinationSpec, keys: Keys) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("it"));
    let mut asked = RestoreRequest::new(Which::Latest, vec![at.clone()], target);
    asked.keys = keys;
    let report = engine.restore(asked).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    std::fs::read(folder.path().join("it/events.jsonl")).unwrap()
}

fn secret(byte: u8) -> KeySecret {
    KeySecret::parse(&RawKey::new([byte; 32]).to_text()).unwrap()
}

fn recipients() -> Vec<Recipient> {
    let cheap = KdfFunction::Pbkdf2Sha256 { iterations: 1_000 };
    [5, 6]
        .map(|byte| Recipient::of(&secret(byte), cheap))
        .to_vec()
}

fn the_newest() -> RetentionPolicy {
    let newest = Retention {
        count: 1,
        ..Retention::default()
    };
    RetentionPolicy {
        grace: Span::default(),
        dead_after: Span::from_ms(60_000),
        ..RetentionPolicy::new(newest)
    }
}

#[tokio::test]
async fn who_writes_and_who_checks_needs_no_right_to_delete() {
    let engine = engine();
    let (kept, other) = (Kept::new("kept"), Kept::new("other"));
    let at = std::slice::from_ref(&kept.at);
    let lines = records(600);
    made(&engine, &records(300), "full", at).await;
    let link = made(&engine, &lines, "incremental", at).await.id.unwrap();
    kept.assert_never_asked("backups");
    assert_eq!(restored(&engine, &kept.at, Keys::default()).await, lines);

    let both = [kept.at.clone(), other.at.clone()];
    let synced = engine.sync(SyncRequest::new(both.to_vec())).await;
    assert_eq!(synced.exit_code(), exit::DONE, "{synced:?}");
    assert_eq!(restored(&engine, &other.at, Keys::default()).await, lines);
    let mut asked = VerifyRequest::new(both.to_vec());
    asked.which = WhichBackups::All;
    asked.deep = true;
    let verified = engine.verify(asked).await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
    let scrubbed = engine.scrub(ScrubRequest::new(both.to_vec())).await;
    assert_eq!(scrubbed.exit_code(), exit::DONE, "{scrubbed:?}");
    let drilled = engine.drill(DrillRequest::new(both.to_vec())).await;
    assert_eq!(drilled.exit_code(), exit::DONE, "{drilled:?}");
    let consolidated = engine
        .consolidate(ConsolidateRequest::new(both.to_vec(), link))
        .await;
    assert_eq!(consolidated.exit_code(), exit::DONE, "{consolidated:?}");

    let mut sealed = request(&lines, &both);
    sealed.recipients = recipients();
    let report = engine.backup(sealed).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let keys = Keys::new(vec![secret(5)]);
    assert_eq!(restored(&engine, &kept.at, keys).await, lines);
    kept.assert_never_asked("anything but cleanups");
    other.assert_never_asked("anything but cleanups");
    assert_idle(&engine);
}

#[tokio::test]
async fn a_run_that_fails_halfway_needs_no_right_to_delete() {
    let engine = engine();
    let kept = Kept::new("kept");
    let lines = records(2500);
    for operation in [
        Operation::Begin,
        Operation::Write,
        Operation::Commit,
        Operation::Read,
    ] {
        // The fault lies around what refuses to delete.
        let fails = Fault::new(operation, When::From(2), What::Fail(Class::Permanent));
        let plan = FaultPlan::new(1).with(fails);
        let inner = match &kept.at.place {
            Place::Sink(custom) => custom.sink(),
            other => panic!("{other:?}"),
        };
        let failing = place("kept", FaultSink::new(inner, plan));
        let (_, healthy) = common::store("healthy");
        let mut asked = request(&lines, &[failing, healthy]);
        asked.strategy = StrategyKind::Any;
        let report = engine.backup(asked).await;
        assert_eq!(
            report.exit_code(),
            exit::DEGRADED,
            "{operation:?}: {report:?}"
        );
        kept.assert_never_asked("a run that fails");
    }
    // The next one isn't in the way of what they have left.
    made(&engine, &lines, "full", std::slice::from_ref(&kept.at)).await;
    kept.assert_never_asked("the next one");
}

#[tokio::test]
async fn who_may_not_delete_is_told_so_and_changes_nothing() {
    let engine = engine();
    let kept = Kept::new("kept");
    let at = std::slice::from_ref(&kept.at);
    let lines = records(100);
    let mut ids: Vec<BackupId> = Vec::new();
    for _ in 0..2 {
        let mut asked = request(&lines, at);
        asked.recipients = recipients();
        let report = engine.backup(asked).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        ids.extend(report.id);
    }
    let before = kept.objects().await;
    let mut asked = CleanupRequest::new(at.to_vec(), the_newest());
    asked.dry_run = true;
    let planned = engine.cleanup(asked.clone()).await;
    assert_eq!((planned.exit_code(), planned.count), (exit::DONE, 1));
    asked.dry_run = false;
    let cleaned = engine.cleanup(asked).await;
    assert_eq!(cleaned.exit_code(), exit::FAILED, "{cleaned:?}");

    let deleted = engine
        .delete(DeleteRequest::new(at.to_vec(), ids[0].clone()))
        .await;
    assert_eq!(deleted.exit_code(), exit::FAILED, "{deleted:?}");
    assert_eq!(
        deleted.destinations[0].removal.status,
        RemovalStatus::Failed
    );

    let mut asked = KeysRequest::new(at.to_vec());
    let listed = engine.keys(asked.clone()).await;
    let name = listed.backups[0].destinations[0].keys[0].name.clone();
    asked.keys = Keys::new(vec![secret(5)]);
    asked.change = KeyChange::Remove(name);
    let changed = engine.keys(asked).await;
    assert_ne!(changed.exit_code(), exit::DONE, "{changed:?}");

    let probe = |key: &ObjectKey| key.as_str().starts_with("runs/clock-");
    let mut after = kept.objects().await;
    after.retain(|(key, _)| !probe(key));
    assert!(after == before, "nothing but the look at the clock is left");
    let listed = engine.list(at).await;
    assert_eq!(listed.backups.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_in_a_locked_bucket_stay_and_who_cleans_up_is_told() {
    let root = tempfile::tempdir().unwrap();
    let credentials = Credentials {
        access_key: "key".into(),
        secret_key: "secret".into(),
    };
    let server = EmbeddedS3::start(root.path(), credentials).unwrap();
    server.create_bucket("bucket").unwrap();
    let url = format!("http://key:secret@{}/bucket/copies", server.address());
    let mut at = DestinationSpec::parse(&url).unwrap();
    let Place::S3(bucket) = &mut at.place else {
        panic!("a bucket: {at:?}");
    };
    bucket.storing.lock = Some(ObjectLock {
        mode: LockMode::Compliance,
        days: 30,
    });
    let at = [at];
    let engine = Engine::builder()
        .executor(Executor::Threads(1))
        .build()
        .unwrap();
    let lines = records(600);
    made(&engine, &lines, "full", &at).await;
    made(&engine, &lines, "incremental", &at).await;
    made(&engine, &lines, "full", &at).await;
    let verified = engine.verify(VerifyRequest::new(at.to_vec())).await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");

    let cleaned = engine
        .cleanup(CleanupRequest::new(at.to_vec(), the_newest()))
        .await;
    assert_eq!(cleaned.exit_code(), exit::FAILED, "{cleaned:?}");
    assert_eq!(cleaned.destinations[0].locked_days, Some(30));
    let said = serde_json::to_string(&cleaned).unwrap();
    assert!(said.contains("the object is locked"), "{said}");
    assert_eq!(engine.list(&at).await.backups.len(), 3);
    assert_eq!(restored(&engine, &at[0], Keys::default()).await, lines);
}
