//! Making places destinations: what is found of stores that keep what they should, and of some that don't.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use common::{assert_idle, failing, place, records, request, store};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use teeline::sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};
use teeline::{
    BackupError, Class, DestinationSpec, Engine, InitReport, InitRequest, InitStatus, Sink,
    StrategyKind, VerifyRequest,
};
use teeline_core::{Capabilities, ObjectKey, ObjectMeta, Upload};
use teeline_embedded_s3::{Credentials, EmbeddedS3};
use teeline_fault_proxy::{self as fault_proxy, Answer, FaultProxy, Rule};

/// What a store doesn't keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaks {
    /// It replaces what is there.
    WritingOnce,
    /// It lists nothing.
    Listing,
}

/// A store in memory that breaks one promise.
#[derive(Debug)]
struct BrokenSink(MemorySink, Breaks);

impl std::fmt::Display for BrokenSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl Sink for BrokenSink {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    async fn begin(&self, key: &ObjectKey, bytes: u64) -> Result<Box<dyn Upload>, BackupError> {
        self.0.begin(key, bytes).await
    }
    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        match self.1 {
            Breaks::WritingOnce => {
                self.0.overwrite(key, &bytes);
                Ok(())
            }
            Breaks::Listing => self.0.put(key, bytes).await,
        }
    }
    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        self.0.read(key, range).await
    }
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        self.0.head(key).await
    }
    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.0.drop_cached(key).await
    }
    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        match self.1 {
            Breaks::WritingOnce => self.0.list(folder),
            Breaks::Listing => stream::empty().boxed(),
        }
    }
    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.0.delete(key).await
    }
}

fn broken(name: &str, breaks: Breaks) -> (MemorySink, DestinationSpec) {
    let sink = MemorySink::new(name);
    (sink.clone(), place(name, BrokenSink(sink, breaks)))
}

async fn init(places: &[&DestinationSpec]) -> InitReport {
    let engine = Engine::new().unwrap();
    let places = places.iter().map(|place| (*place).clone()).collect();
    let report = engine.init(InitRequest::new(places)).await;
    assert_idle(&engine);
    report
}

fn keys(sink: &MemorySink) -> Vec<String> {
    let keys = sink.keys();
    keys.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn memory_folders_and_the_embedded_server_keep_everything_and_nothing_but_the_result_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let credentials = Credentials {
        access_key: "id".into(),
        secret_key: "secret".into(),
    };
    let server = EmbeddedS3::start(scratch.path().join("s3"), credentials).unwrap();
    server.create_bucket("bucket").unwrap();
    let (sink, memory) = store("memory");
    let folder = scratch.path().join("folder");
    let at_folder = DestinationSpec::parse(&format!("folder={}", folder.display())).unwrap();
    let bucket = format!("bucket=http://id:secret@{}/bucket/below", server.address());
    let at_bucket = DestinationSpec::parse(&bucket).unwrap();
    for round in 1..=2 {
        let report = init(&[&memory, &at_folder, &at_bucket]).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        for tried in &report.destinations {
            assert_eq!(tried.status, InitStatus::Ready);
            assert!(tried.promises.unwrap().deletes, "{tried:?}");
        }
        let left = keys(&sink);
        assert_eq!(left.len(), 1 + round, "{left:?}");
        assert_eq!(left.last().unwrap(), "teeline.json");
        let probes = std::fs::read_dir(folder.join("probes")).unwrap();
        let files = probes.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_file());
        assert_eq!(files.count(), round);
    }
    let report = Engine::new()
        .unwrap()
        .backup(request(&records(50), &[memory, at_folder, at_bucket]))
        .await;
    assert_eq!((report.exit_code(), report.warnings), (0, Vec::new()));
}

#[tokio::test]
async fn a_store_that_replaces_what_is_there_is_named_and_later_backups_warn_of_it() {
    let (_, weak) = broken("weak", Breaks::WritingOnce);
    let (_, good) = store("good");
    let report = init(&[&weak, &good]).await;
    assert_eq!(report.exit_code(), 3, "{report:?}");
    let [tried, other] = &report.destinations[..] else {
        panic!("{report:?}");
    };
    assert_eq!(
        [tried.status, other.status],
        [InitStatus::Weak, InitStatus::Ready]
    );
    let promises = tried.promises.unwrap();
    assert!(!promises.refuses_to_replace && !promises.one_creator_wins && promises.lists_at_once);
    assert!(
        tried.weaknesses[0].contains("conditional writes"),
        "{tried:?}"
    );

    let engine = Engine::new().unwrap();
    let report = engine.backup(request(&records(50), &[weak, good])).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    let names: Vec<&str> = report
        .warnings
        .iter()
        .map(|of| of.destination.as_str())
        .collect();
    assert_eq!(names, ["weak"]);
    assert_eq!(report.warnings[0].message, tried.weaknesses[0]);
}

#[tokio::test]
async fn a_server_that_knows_no_conditions_takes_backups_and_is_told_of() {
    let scratch = tempfile::tempdir().unwrap();
    let credentials = Credentials {
        access_key: "id".into(),
        secret_key: "secret".into(),
    };
    let server = EmbeddedS3::start(scratch.path(), credentials).unwrap();
    server.create_bucket("bucket").unwrap();
    let proxy = FaultProxy::start(&server.address().to_string()).await;
    let proxy = proxy.unwrap();
    let refusal = fault_proxy::Fault::Answer(Answer::error(501, "NotImplemented"));
    proxy.add(Rule::new("", "", refusal).with_header("if-none-match"));
    let place = format!("bucket=http://id:secret@{}/bucket/below", proxy.address());
    let place = DestinationSpec::parse(&place).unwrap();
    let report = init(&[&place]).await;
    let tried = &report.destinations[0];
    assert_eq!(tried.status, InitStatus::Weak, "{report:?}");
    let promises = tried.promises.unwrap();
    assert!(
        promises.refuses_to_replace && !promises.one_creator_wins,
        "{tried:?}"
    );

    let engine = Engine::new().unwrap();
    let to = [place];
    let report = engine.backup(request(&records(50), &to)).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(report.warnings[0].message, tried.weaknesses[0]);
    let verified = engine.verify(VerifyRequest::new(to.to_vec())).await;
    assert_eq!(verified.exit_code(), 0, "{verified:?}");
}

#[tokio::test]
async fn the_newest_result_counts_and_one_that_cant_be_read_is_no_warning() {
    let (sink, weak) = broken("same", Breaks::WritingOnce);
    assert_eq!(init(&[&weak]).await.exit_code(), 3);
    // The same place behind a server that honours conditions by now.
    let good = place("same", sink.clone());
    assert_eq!(init(&[&good]).await.exit_code(), 0);
    let engine = Engine::new().unwrap();
    let back_up = || engine.backup(request(&records(50), std::slice::from_ref(&good)));
    assert_eq!(back_up().await.warnings, []);

    let tomorrow = sink
        .keys()
        .iter()
        .filter_map(teeline_core::layout::probe_record_at)
        .max();
    let ahead = teeline::Span::from_ms(86_400_000);
    let tomorrow = tomorrow.unwrap().unix_ms() + i64::try_from(ahead.ms()).unwrap();
    for (at, content) in [
        (tomorrow, "from tomorrow"),
        (tomorrow - 86_400_000 + 1, "no probe"),
    ] {
        let key = ObjectKey::new(format!("probes/{at}-a")).unwrap();
        sink.put(&key, Bytes::from(content)).await.unwrap();
        let report = back_up().await;
        assert_eq!(
            (report.exit_code(), report.warnings),
            (0, Vec::new()),
            "{content}"
        );
    }
}

#[tokio::test]
async fn lists_that_lag_are_named_and_what_nobody_may_delete_stays_in_its_place() {
    let (_, lagging) = broken("lagging", Breaks::Listing);
    let never = Fault::new(
        Operation::Delete,
        When::From(1),
        What::Fail(Class::Permanent),
    );
    let (kept, frozen) = failing("frozen", never);
    let report = init(&[&lagging, &frozen]).await;
    assert_eq!(report.exit_code(), 3, "{report:?}");
    let [lagging, frozen] = &report.destinations[..] else {
        panic!("{report:?}");
    };
    assert!(!lagging.promises.unwrap().lists_at_once, "{lagging:?}");
    assert!(lagging.weaknesses[0].contains("isn't listed at once"));
    // Whether it may delete is told, and nothing is the worse for it.
    assert_eq!(frozen.status, InitStatus::Ready);
    assert!(!frozen.promises.unwrap().deletes);
    let left = keys(&kept);
    let is_in_its_place = |key: &&String| key.starts_with("probes/objects-");
    assert_eq!(left.iter().filter(is_in_its_place).count(), 6, "{left:?}");
}

#[tokio::test]
async fn what_cant_be_a_destination_fails_and_says_why_and_the_others_are_tried() {
    let flips = Fault::new(Operation::Put, When::From(2), What::FlipBit);
    let (_, flipping) = failing("flipping", flips);
    let dead = DestinationSpec::parse("dead=http://key:hidden@127.0.0.1:1/bucket/copies").unwrap();
    let (_, good) = store("good");
    let report = init(&[&flipping, &dead, &good]).await;
    let statuses: Vec<InitStatus> = report
        .destinations
        .iter()
        .map(|tried| tried.status)
        .collect();
    assert_eq!(
        statuses,
        [InitStatus::Failed, InitStatus::Failed, InitStatus::Ready]
    );
    assert_eq!(report.exit_code(), 13, "{report:?}");
    let [flipping, dead, _] = &report.destinations[..] else {
        panic!("{report:?}");
    };
    assert_eq!(flipping.error.as_ref().unwrap().class, Class::Corrupt);
    assert!(dead.promises.is_none() && dead.error.is_some());
    assert!(!format!("{report:?}").contains("hidden"));
}

/// Two runs that get the same id, which is next to impossible, where a store would let the second one's claim replace the
/// first one's: the claim is read back, whatever else is.
#[tokio::test]
async fn a_claim_that_was_replaced_is_found_out_before_anything_is_written() {
    let inner = MemorySink::new("weak");
    let other_claims = Fault::new(Operation::Put, When::Nth(2), What::FlipBit);
    let weak = BrokenSink(inner.clone(), Breaks::WritingOnce);
    let raced = FaultSink::new(Arc::new(weak), FaultPlan::new(1).with(other_claims));
    let mut asked = request(&records(50), &[place("weak", raced)]);
    asked.verification = teeline::Verification::Attested;
    asked.strategy = StrategyKind::All;
    let engine = Engine::new().unwrap();
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 1, "{report:?}");
    let error = report.destinations[0].error.as_ref().unwrap();
    assert!(error.message.contains("run.json"), "{error:?}");
    let listed = keys(&inner);
    assert!(
        !listed.iter().any(|key| key.ends_with("manifest.json")),
        "{listed:?}"
    );
}
