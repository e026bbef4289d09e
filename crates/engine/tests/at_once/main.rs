//! Two at once at one destination: at each call that one makes to the store in turn, another one does all that it does. What is
//! listed afterwards is whole, each ends as is documented, and nobody takes for damage what somebody else has deleted.
//!
//! At some of the calls here; at all of them where `TEELINE_AT_ONCE_STEP=1`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where something is not as it should be, and says what it did"
)]

#[path = "../common/mod.rs"]
mod common;
mod withdrawn;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use common::{assert_idle, place};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use teeline::sinks::MemorySink;
use teeline::{
    BackupError, BackupId, BackupRequest, CleanupRequest, DeleteRequest, DestinationSpec, Engine,
    JsonlSource, RepairRequest, RestoreRequest, RestoreTarget, Retention, RetentionPolicy, Sink,
    Span, VerifyRequest, Which, WhichBackups, exit,
};
use teeline_core::{Capabilities, ObjectKey, ObjectMeta, Upload};

const STEP: &str = "TEELINE_AT_ONCE_STEP";

/// One of many calls, unless all are asked for.
fn step() -> usize {
    let step = std::env::var(STEP).map(|text| text.parse().expect("a number from 1"));
    step.unwrap_or(6)
}

/// A store to which somebody else comes before the call with a certain number.
#[derive(Clone)]
struct MeanwhileSink {
    inner: MemorySink,
    calls: Arc<AtomicU64>,
    at: u64,
    other: Arc<Mutex<Option<BoxFuture<'static, ()>>>>,
}

impl MeanwhileSink {
    async fn before(&self) {
        if self.calls.fetch_add(1, Ordering::AcqRel) + 1 != self.at {
            return;
        }
        let other = self.other.lock().unwrap().take();
        if let Some(other) = other {
            other.await;
        }
    }
}

impl std::fmt::Debug for MeanwhileSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.inner, f)
    }
}

impl std::fmt::Display for MeanwhileSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Sink for MeanwhileSink {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn begin(&self, key: &ObjectKey, bytes: u64) -> Result<Box<dyn Upload>, BackupError> {
        self.before().await;
        self.inner.begin(key, bytes).await
    }
    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        self.before().await;
        self.inner.put(key, bytes).await
    }
    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        self.before().await;
        self.inner.read(key, range).await
    }
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        self.before().await;
        self.inner.head(key).await
    }
    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.inner.drop_cached(key).await
    }
    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        let folder = folder.cloned();
        let listing = async move {
            self.before().await;
            self.inner.list(folder.as_ref())
        };
        stream::once(listing).flatten().boxed()
    }
    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.before().await;
        self.inner.delete(key).await
    }
}

/// Who is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum One {
    Backup,
    Incremental,
    RestoreOfTheFirst,
    RestoreOfTheLast,
    Verify,
}

/// Who comes in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    Backup,
    DeletionOfTheFirst,
    DeletionOfTheLast,
    Cleanup,
    Repair,
}

/// Two full backups at a destination, and what each holds.
struct Scene {
    engines: [Engine; 2],
    folder: tempfile::TempDir,
    store: MemorySink,
    to: DestinationSpec,
    held: BTreeMap<BackupId, Vec<String>>,
    first: BackupId,
    last: BackupId,
}

fn lines(count: u64) -> Vec<String> {
    (0..count)
        .map(|id| format!("{{\"id\":{id},\"of\":{count}}}"))
        .collect()
}

/// The lines of a file, sorted: a link brings them in an order of its own.
fn lines_of(file: &Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(sorted(text.lines().map(str::to_owned).collect()))
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn request(file: &Path, to: &DestinationSpec, label: &str) -> BackupRequest {
    let mut request = BackupRequest::new(JsonlSource::path(file), vec![to.clone()]);
    request.backup_type = label.parse().unwrap();
    request.block_bytes = Some(4 << 10);
    request.segment_bytes = 16 << 10;
    request
}

impl Scene {
    async fn new(engines: &[Engine; 2]) -> Self {
        let (store, to) = common::store("one");
        let mut scene = Scene {
            engines: engines.clone(),
            folder: tempfile::tempdir().unwrap(),
            store,
            to,
            held: BTreeMap::new(),
            first: "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap(),
            last: "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap(),
        };
        scene.first = scene.back_up(200).await;
        scene.last = scene.back_up(300).await;
        scene
    }

    /// A file of so many lines; the same one, but for whoever comes in between.
    fn source(&self, of: &str, count: u64) -> std::path::PathBuf {
        let file = self.folder.path().join(format!("{of}/events.jsonl"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, lines(count).join("\n") + "\n").unwrap();
        file
    }

    async fn back_up(&mut self, count: u64) -> BackupId {
        let asked = request(&self.source("own", count), &self.to, "full");
        let report = self.engines[0].backup(asked).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        let id = report.id.unwrap();
        self.held.insert(id.clone(), sorted(lines(count)));
        id
    }

    /// What the other one does, by an engine of its own.
    fn other(&self, other: Other) -> BoxFuture<'static, ()> {
        let (engine, to) = (self.engines[1].clone(), vec![self.to.clone()]);
        let file = self.source("other", 100);
        let delete = |id: &BackupId| {
            let mut request = DeleteRequest::new(to.clone(), id.clone());
            request.retention.grace = Span::from_ms(0);
            request
        };
        let (first, last) = (delete(&self.first), delete(&self.last));
        async move {
            match other {
                Other::Backup => {
                    let report = engine.backup(request(&file, &to[0], "full")).await;
                    assert_eq!(report.exit_code(), 0, "{report:?}");
                }
                // A link that has come meanwhile keeps what it goes on from.
                Other::DeletionOfTheFirst => drop(engine.delete(first).await),
                Other::DeletionOfTheLast => drop(engine.delete(last).await),
                Other::Cleanup => {
                    let newest = Retention {
                        count: 1,
                        ..Retention::default()
                    };
                    let mut policy = RetentionPolicy::new(newest);
                    policy.grace = Span::from_ms(0);
                    let report = engine.cleanup(CleanupRequest::new(to, policy)).await;
                    assert_eq!(report.exit_code(), 0, "{report:?}");
                }
                Other::Repair => {
                    let report = engine.repair(RepairRequest::rebuild_manifests(to)).await;
                    // A store without a clock doesn't say that a run goes on; what it lacks so far is said, and nothing else done.
                    assert!([0, 3, 13].contains(&report.exit_code()), "{report:?}");
                }
            }
        }
        .boxed()
    }

    /// Does it at `at`, and looks whether it ends as it should.
    async fn run(&mut self, one: One, other: Other, at: &DestinationSpec) {
        let deletes = |id: &BackupId| match other {
            Other::DeletionOfTheFirst => *id == self.first,
            Other::DeletionOfTheLast => *id == self.last,
            Other::Cleanup => *id == self.first,
            Other::Backup | Other::Repair => false,
        };
        let engine = &self.engines[0];
        match one {
            One::Backup | One::Incremental => {
                let label = match one {
                    One::Backup => "full",
                    _ => "incremental",
                };
                let report = engine
                    .backup(request(&self.source("own", 320), at, label))
                    .await;
                // What a link goes on from may be gone before the link is there, which then isn't published.
                let may_fail = one == One::Incremental && deletes(&self.last);
                let codes: &[u8] = if may_fail { &[0, 1] } else { &[0] };
                assert!(codes.contains(&report.exit_code()), "{report:?}");
                if let (0, Some(id)) = (report.exit_code(), report.id) {
                    self.held.insert(id, sorted(lines(320)));
                }
            }
            One::RestoreOfTheFirst | One::RestoreOfTheLast => {
                let id = match one {
                    One::RestoreOfTheFirst => self.first.clone(),
                    _ => self.last.clone(),
                };
                let restored = restore(engine, &id, at).await;
                match restored {
                    Some(restored) => assert_eq!(restored, self.held[&id]),
                    None => assert!(deletes(&id), "it is there, and isn't restored"),
                }
            }
            One::Verify => {
                let mut all = VerifyRequest::new(vec![at.clone()]);
                all.which = WhichBackups::All;
                let report = engine.verify(all).await;
                let gone = deletes(&self.first) || deletes(&self.last);
                let codes: &[u8] = if gone { &[0, 1, 3] } else { &[0] };
                assert!(codes.contains(&report.exit_code()), "{report:?}");
            }
        }
    }

    /// Everything that is listed is whole, and restores to what it held; and nobody has noted damage.
    async fn check(&self) {
        let engine = &self.engines[0];
        let to = vec![self.to.clone()];
        let listed = engine.list(&to).await;
        assert_eq!(listed.exit_code(), 0, "{listed:?}");
        for backup in &listed.backups {
            let restored = restore(engine, &backup.id, &self.to).await;
            let restored = restored.expect("what is listed is restored");
            let held = self.held.get(&backup.id);
            assert_eq!(
                restored,
                *held.unwrap_or(&sorted(lines(100))),
                "{}",
                backup.id
            );
        }
        let damaged = self
            .store
            .keys()
            .into_iter()
            .find(|key| key.as_str().ends_with("-damaged"));
        assert_eq!(damaged, None, "what was deleted is taken for damaged");
        self.engines.iter().for_each(assert_idle);
    }
}

/// The lines that a backup restores to; nothing where it isn't restored, and then nothing of it is there.
async fn restore(engine: &Engine, id: &BackupId, at: &DestinationSpec) -> Option<Vec<String>> {
    let scratch = tempfile::tempdir().unwrap();
    let target = scratch.path().join("restored");
    let which = Which::Id(id.clone());
    let request = RestoreRequest::new(
        which,
        vec![at.clone()],
        RestoreTarget::Folder(target.clone()),
    );
    let report = engine.restore(request).await;
    let restored = lines_of(&target.join("events.jsonl"));
    match report.exit_code() {
        exit::DONE => Some(restored.unwrap()),
        _ => {
            assert_eq!(restored, None, "half of it is there: {report:?}");
            None
        }
    }
}

async fn sweep(one: One, others: &[Other]) {
    let engines = [Engine::new().unwrap(), Engine::new().unwrap()];
    for (number, other) in others.iter().enumerate() {
        let mut done = 0;
        // Not at the same calls for each.
        for at in (1 + number as u64..).step_by(step()) {
            let mut scene = Scene::new(&engines).await;
            let meanwhile = MeanwhileSink {
                inner: scene.store.clone(),
                calls: Arc::default(),
                at,
                other: Arc::new(Mutex::new(Some(scene.other(*other)))),
            };
            scene
                .run(one, *other, &place("one", meanwhile.clone()))
                .await;
            scene.check().await;
            if meanwhile.other.lock().unwrap().is_some() {
                break;
            }
            done += 1;
        }
        println!("{one:?}, and at {done} of its calls {other:?}");
        assert!(done > 0, "{one:?} makes no calls");
    }
}

const ALL: [Other; 5] = [
    Other::Backup,
    Other::DeletionOfTheFirst,
    Other::DeletionOfTheLast,
    Other::Cleanup,
    Other::Repair,
];

#[tokio::test]
async fn a_backup_while_others_back_up_delete_clean_up_and_repair() {
    sweep(One::Backup, &ALL).await;
}

#[tokio::test]
async fn a_link_while_others_back_up_delete_clean_up_and_repair() {
    sweep(One::Incremental, &ALL).await;
}

#[tokio::test]
async fn a_restore_while_others_back_up_delete_clean_up_and_repair() {
    sweep(One::RestoreOfTheFirst, &ALL).await;
    sweep(One::RestoreOfTheLast, &ALL).await;
}

#[tokio::test]
async fn a_check_while_others_back_up_delete_clean_up_and_repair() {
    sweep(One::Verify, &ALL).await;
}
