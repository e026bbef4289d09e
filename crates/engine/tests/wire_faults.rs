//! What a fault on the wire comes to for a backup: its verdict, what is listed, and what can be restored.
//!
//! A fault meets each request of a backup in turn, once or from then on. A few of the requests here; all of them where
//! `TEELINE_WIRE_FAULT_STEP=1`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where something is not as it should be, and says what it did"
)]

mod common;

use std::fs;
use std::time::Duration;

use common::{assert_idle, records, request, store};
use futures::{StreamExt, stream};
use teeline::{
    DestinationSpec, DestinationStatus, Engine, Executor, RestoreRequest, RestoreTarget,
    StrategyKind, VerifyRequest, Which,
};
use teeline_embedded_s3::{Credentials, EmbeddedS3};
use teeline_fault_proxy::{Answer, Fault, FaultProxy, Rule};

const STEP: &str = "TEELINE_WIRE_FAULT_STEP";
const RECORDS: u64 = 400;
/// Runs that go on at once.
const RUNS_AT_ONCE: usize = 6;

/// One of many requests, unless all are asked for.
fn step() -> usize {
    let step = std::env::var(STEP).map(|text| text.parse().expect("a number from 1"));
    step.unwrap_or(7)
}

struct Server {
    server: EmbeddedS3,
    _root: tempfile::TempDir,
}

/// A run's own bucket behind a proxy of its own, and a store that nothing happens to.
struct Site {
    engine: Engine,
    proxy: FaultProxy,
    bucket: DestinationSpec,
    good: DestinationSpec,
    lines: Vec<u8>,
}

impl Server {
    fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let credentials = Credentials {
            access_key: "id".into(),
            secret_key: "secret".into(),
        };
        let server = EmbeddedS3::start(root.path(), credentials).unwrap();
        server.create_bucket("bucket").unwrap();
        Server {
            server,
            _root: root,
        }
    }

    async fn site(&self, name: &str) -> Site {
        let address = self.server.address().to_string();
        let proxy = FaultProxy::start(&address).await.unwrap();
        let place = format!("bucket=http://id:secret@{}/bucket/{name}", proxy.address());
        Site {
            engine: Engine::builder()
                .executor(Executor::Inline)
                .build()
                .unwrap(),
            bucket: DestinationSpec::parse(&place).unwrap(),
            proxy,
            good: store("good").1,
            lines: records(RECORDS),
        }
    }
}

impl Site {
    async fn back_up(&self) -> teeline::BackupReport {
        let both = [self.good.clone(), self.bucket.clone()];
        let mut asked = request(&self.lines, &both);
        asked.strategy = StrategyKind::Any;
        self.engine.backup(asked).await
    }

    /// How many requests a backup makes.
    async fn count(&self) -> usize {
        self.proxy.add(Rule::new("", "", Fault::change(|_| ())));
        let report = self.back_up().await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        self.proxy.clear();
        usize::try_from(self.proxy.hits()).unwrap()
    }

    async fn listed(&self, at: &DestinationSpec) -> usize {
        let listed = self.engine.list(std::slice::from_ref(at)).await;
        assert_eq!(listed.exit_code(), 0, "{listed:?}");
        listed.backups.len()
    }

    /// That every backup that is listed is whole, and the last one the records.
    async fn assert_whole(&self, at: &DestinationSpec) {
        let all = VerifyRequest::new(vec![at.clone()]);
        let verified = self.engine.verify(all).await;
        assert_eq!(verified.exit_code(), 0, "{verified:?}");
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("restored");
        let target = RestoreTarget::Folder(to.clone());
        let restore = RestoreRequest::new(Which::Latest, vec![at.clone()], target);
        let restored = self.engine.restore(restore).await;
        assert_eq!(restored.exit_code(), 0, "{restored:?}");
        assert!(fs::read(to.join("events.jsonl")).unwrap() == self.lines);
    }
}

/// Faults that are over when the request is made again.
fn passing() -> Vec<(&'static str, Fault)> {
    vec![
        ("reset", Fault::ResetRequest(0)),
        ("lost", Fault::LoseReply),
        ("500", Fault::Answer(Answer::error(500, "InternalError"))),
        (
            "503",
            Fault::Answer(Answer::error(503, "SlowDown").header("retry-after", "0")),
        ),
        ("cut", Fault::CutReply(20)),
    ]
}

/// Faults that a destination may have from some moment on.
fn lasting() -> Vec<(&'static str, Fault)> {
    let mut faults = passing();
    faults.extend([
        ("401", Fault::Answer(Answer::error(401, ""))),
        ("expired", Fault::Answer(Answer::error(403, "ExpiredToken"))),
        (
            "skewed",
            Fault::Answer(Answer::error(403, "RequestTimeTooSkewed")),
        ),
        (
            "301",
            Fault::Answer(Answer::error(301, "PermanentRedirect")),
        ),
        ("404", Fault::Answer(Answer::error(404, "NoSuchKey"))),
        (
            "412",
            Fault::Answer(Answer::error(412, "PreconditionFailed")),
        ),
        ("501", Fault::Answer(Answer::error(501, "NotImplemented"))),
        (
            "507",
            Fault::Answer(Answer::error(507, "XMinioStorageFull")),
        ),
        (
            "flipped",
            Fault::change(|reply| {
                if let Some(last) = reply.body.last_mut() {
                    *last ^= 1;
                }
            }),
        ),
    ]);
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_passes_costs_no_backup() {
    let server = Server::start();
    let requests = server.site("count").await.count().await;
    let faults = passing();
    let cells = faults.iter().enumerate().flat_map(|(number, fault)| {
        let nths = (number % step()..requests).step_by(step());
        nths.map(move |nth| (fault, nth))
    });
    let runs = stream::iter(cells).map(|((name, fault), nth)| {
        let server = &server;
        async move {
            let site = server.site(&format!("{name}-{nth}")).await;
            site.proxy
                .add(Rule::new("", "", fault.clone()).after(nth as u64).times(1));
            let report = site.back_up().await;
            assert_eq!(report.exit_code(), 0, "{name} at request {nth}: {report:?}");
            assert_eq!(site.proxy.pending(), 0, "{name} at request {nth}");
            assert_eq!(site.listed(&site.bucket).await, 1);
            site.assert_whole(&site.bucket).await;
            assert_idle(&site.engine);
        }
    });
    let runs: Vec<()> = runs.buffer_unordered(RUNS_AT_ONCE).collect().await;
    println!(
        "{} runs of {requests} requests each, every one whole",
        runs.len()
    );
    assert!(!runs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_lasts_leaves_nothing_half_and_the_next_backup_is_whole() {
    let server = Server::start();
    let requests = server.site("count").await.count().await;
    let faults = lasting();
    let cells = faults.iter().enumerate().flat_map(|(number, fault)| {
        let nths = (number % step()..requests).step_by(step());
        nths.map(move |nth| (fault, nth))
    });
    let runs = stream::iter(cells).map(|((name, fault), nth)| {
        let server = &server;
        async move {
            let site = server.site(&format!("{name}-{nth}")).await;
            site.proxy
                .add(Rule::new("", "", fault.clone()).after(nth as u64));
            let report = site.back_up().await;
            let named = format!("{name} from request {nth} on: {report:?}");
            let [good, bucket] = &report.destinations[..] else {
                panic!("{named}");
            };
            assert_eq!(good.status, DestinationStatus::Committed, "{named}");
            site.proxy.clear();
            let listed = site.listed(&site.bucket).await;
            match bucket.status {
                // It was all over, or it makes no difference to what was left to do.
                DestinationStatus::Committed => assert_eq!(listed, 1, "{named}"),
                DestinationStatus::Failed => {
                    assert_eq!((report.exit_code(), listed), (3, 0), "{named}");
                    assert!(bucket.error.is_some(), "{named}");
                }
                DestinationStatus::Unknown => assert_eq!(report.exit_code(), 3, "{named}"),
                _ => panic!("{named}"),
            }
            if listed > 0 {
                site.assert_whole(&site.bucket).await;
            }
            site.assert_whole(&site.good).await;

            let next = site.back_up().await;
            assert_eq!(next.exit_code(), 0, "{named}; then {next:?}");
            assert_eq!(site.listed(&site.bucket).await, listed + 1, "{named}");
            site.assert_whole(&site.bucket).await;
            assert_idle(&site.engine);
        }
    });
    let runs: Vec<()> = runs.buffer_unordered(RUNS_AT_ONCE).collect().await;
    println!(
        "{} runs of {requests} requests each, nothing half listed",
        runs.len()
    );
    assert!(!runs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_says_nothing_costs_seconds_under_any() {
    let server = Server::start();
    let site = server.site("silent").await;
    site.proxy.add(Rule::new("", "", Fault::Silence));
    let ended = tokio::time::timeout(Duration::from_secs(120), site.back_up()).await;
    let report = ended.expect("the run ends");
    assert_eq!(report.exit_code(), 3, "{report:?}");
    assert_eq!(report.destinations[1].status, DestinationStatus::Failed);
    site.assert_whole(&site.good).await;
}

/// A 404 to a HEAD may be a page of somebody in between, as no answer to it has words. What of a backup is deleted by that is asked
/// for by a list as well.
#[tokio::test]
async fn a_proxy_that_knows_of_no_claim_costs_no_file_of_a_backup() {
    let server = Server::start();
    let site = server.site("claim").await;
    let no_page = || Fault::Answer(Answer::error(404, ""));
    // It knows of it when it is made, and before the manifest is written.
    site.proxy
        .add(Rule::new("HEAD", "run.json", no_page()).after(2));
    site.proxy
        .add(Rule::new("HEAD", "manifest.json", no_page()));
    let report = site.back_up().await;
    assert_eq!(
        report.destinations[1].status,
        DestinationStatus::Unknown,
        "{report:?}"
    );
    assert!(site.proxy.hits() > 3, "each is asked for again: {report:?}");
    site.proxy.clear();
    assert_eq!(site.listed(&site.bucket).await, 1);
    site.assert_whole(&site.bucket).await;
}

/// Somebody in between gives other bytes, and then a page that looks like an object of another size, for a while.
#[tokio::test]
async fn a_page_in_place_of_a_manifest_costs_none() {
    let server = Server::start();
    let site = server.site("flapping").await;
    let other = Fault::change(|reply| {
        let mut bytes = reply.body.to_vec();
        bytes[0] ^= 1;
        reply.replace_body(bytes);
    });
    site.proxy.next("GET", "manifest.json", other);
    let page = Answer::new(200, "a page").header("etag", "\"page\"");
    site.proxy
        .next("HEAD", "manifest.json", Fault::Answer(page));
    let report = site.back_up().await;
    assert_eq!(
        report.destinations[1].status,
        DestinationStatus::Unknown,
        "{report:?}"
    );
    assert_eq!(site.proxy.pending(), 0, "{report:?}");
    assert_eq!(site.listed(&site.bucket).await, 1);
    site.assert_whole(&site.bucket).await;
}
