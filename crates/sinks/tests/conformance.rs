//! Every store and every stack of decorators passes the one suite.

// Helpers of tests may panic as tests do, and say what they run.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::config::{BehaviorVersion, Credentials as Keys, Region};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::memory::InMemory;
use teeline_core::{Class, ObjectKey, RetryPolicy, Sink};
use teeline_embedded_s3::{Credentials, EmbeddedS3};
use teeline_sinks::{
    AccessKeys, Behaviour, DeadlineSink, Deadlines, Fault, FaultPlan, FaultSink, FilesystemOptions,
    FilesystemSink, Io, MemorySink, ObjectStoreSink, Operation, PermitSink, Permits, RateSink,
    RetrySink, S3Options, SimulatedSink, What, When, conformance,
};

fn folder() -> ObjectKey {
    ObjectKey::new("conformance").unwrap()
}

fn filesystem(root: &Path, io: Io) -> Arc<dyn Sink> {
    Arc::new(FilesystemSink::new(
        root.to_owned(),
        FilesystemOptions {
            io,
            ..FilesystemOptions::default()
        },
    ))
}

/// All decorators around a store, as a run stacks them.
fn stacked(inner: Arc<dyn Sink>) -> Arc<dyn Sink> {
    let faulty = Arc::new(FaultSink::new(inner, FaultPlan::new(1)));
    let timed = Arc::new(DeadlineSink::new(faulty, Deadlines::default()));
    let permitted = Arc::new(PermitSink::new(timed, Permits::among(1, 2).remove(0)));
    let rate = NonZeroU64::new(1 << 40).unwrap();
    let paced = Arc::new(RateSink::new(permitted, rate));
    Arc::new(RetrySink::new(paced, RetryPolicy::default(), 1))
}

/// Both, and each decorator alone.
async fn check(make: impl AsyncFn() -> Arc<dyn Sink>) {
    conformance::all(&*make().await, &folder()).await;
    conformance::all(&*stacked(make().await), &folder()).await;
}

#[tokio::test]
async fn ready_store() {
    let ready = || ObjectStoreSink::ready(InMemory::new(), "some/folder").unwrap();
    check(async || Arc::new(ready()) as Arc<dyn Sink>).await;
}

#[tokio::test]
async fn memory() {
    check(async || Arc::new(MemorySink::new("m")) as Arc<dyn Sink>).await;
}

#[tokio::test]
async fn each_decorator_alone() {
    let memory = || Arc::new(MemorySink::new("m"));
    let sinks: [Arc<dyn Sink>; 5] = [
        Arc::new(PermitSink::new(memory(), Permits::among(1, 1).remove(0))),
        Arc::new(DeadlineSink::new(memory(), Deadlines::default())),
        Arc::new(FaultSink::new(memory(), FaultPlan::new(1))),
        Arc::new(RetrySink::new(memory(), RetryPolicy::default(), 1)),
        Arc::new(SimulatedSink::new(memory(), Behaviour::default())),
    ];
    for sink in sinks {
        conformance::all(&*sink, &folder()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filesystem_on_the_pool() {
    let root = tempfile::tempdir().unwrap();
    let numbers = std::cell::Cell::new(0);
    check(async || {
        numbers.set(numbers.get() + 1);
        filesystem(&root.path().join(numbers.get().to_string()), Io::Pool)
    })
    .await;
}

#[tokio::test]
async fn filesystem_inline() {
    let root = tempfile::tempdir().unwrap();
    let numbers = std::cell::Cell::new(0);
    check(async || {
        numbers.set(numbers.get() + 1);
        filesystem(&root.path().join(numbers.get().to_string()), Io::Inline)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3() {
    let (_root, server) = server();
    let numbers = std::cell::Cell::new(0);
    check(async || {
        numbers.set(numbers.get() + 1);
        s3_sink(&server, &numbers.get().to_string()).await
    })
    .await;
    // The whole bucket, with folders in it that aren't ours.
    conformance::all(&*s3_sink(&server, "").await, &folder()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_would_leave_is_named() {
    let root = tempfile::tempdir().unwrap();
    let (_root, server) = server();
    let in_bucket = s3_sink(&server, "prefix").await;
    let elsewhere = s3_sink(&server, "prefix2").await;
    let key = folder().join("a").unwrap();
    for sink in [filesystem(root.path(), Io::Pool), in_bucket] {
        let mut upload = sink.begin(&key, 11 << 20).await.unwrap();
        upload.write(vec![1; 11 << 20].into()).await.unwrap();
        let listed: Vec<_> = sink.unfinished(None).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1, "{sink}");
        assert!(listed[0].touched_at.is_some(), "{listed:?}");
        let others: Vec<_> = elsewhere.unfinished(None).try_collect().await.unwrap();
        assert_eq!(others, []);
        upload.abort().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_unfinished_uploads_is_listed() {
    let (_root, server) = server();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(server.endpoint())
        .credentials_provider(Keys::new("test-key", "test-secret", None, None, "test"))
        .force_path_style(true)
        .build();
    let client = aws_sdk_s3::Client::from_conf(config);
    // Of one key and of several, so that pages end within those of a key and between keys.
    let begin = |number: usize| {
        let key = format!("prefix/a b&c/{}", number / 100);
        client
            .create_multipart_upload()
            .bucket("bucket")
            .key(key)
            .send()
    };
    stream::iter(0..2_050)
        .map(|number| async move { begin(number).await.map(drop) })
        .buffer_unordered(16)
        .try_collect::<()>()
        .await
        .unwrap();
    let sink = s3_sink(&server, "prefix").await;
    let listed: Vec<_> = sink.unfinished(None).try_collect().await.unwrap();
    let names: std::collections::BTreeSet<_> = listed.iter().map(|upload| &upload.name).collect();
    assert_eq!((listed.len(), names.len()), (2_050, 2_050));
    assert!(
        listed
            .iter()
            .all(|upload| upload.key.as_str().starts_with("a b&c/"))
    );
}

fn server() -> (tempfile::TempDir, EmbeddedS3) {
    let root = tempfile::tempdir().unwrap();
    let credentials = Credentials {
        access_key: "test-key".into(),
        secret_key: "test-secret".into(),
    };
    let server = EmbeddedS3::start(root.path(), credentials).unwrap();
    server.create_bucket("bucket").unwrap();
    (root, server)
}

async fn s3_sink(server: &EmbeddedS3, prefix: &str) -> Arc<dyn Sink> {
    let mut options = S3Options::new("bucket");
    options.prefix = prefix.to_owned();
    options.endpoint = Some(server.endpoint());
    options.keys = Some(AccessKeys {
        id: "test-key".into(),
        secret: "test-secret".into(),
        session_token: None,
    });
    Arc::new(ObjectStoreSink::s3(options).await.unwrap())
}

const OPERATIONS: [Operation; 11] = [
    Operation::Begin,
    Operation::Write,
    Operation::Commit,
    Operation::Put,
    Operation::Read,
    Operation::Head,
    Operation::List,
    Operation::Delete,
    Operation::DropCached,
    Operation::Unfinished,
    Operation::Discard,
];

/// A store in which every third call fails, some of them after they took effect, and that is repeated until it doesn't.
fn failing(inner: Arc<dyn Sink>, seed: u64) -> (Arc<AtomicU64>, Arc<dyn Sink>) {
    let rules = OPERATIONS.into_iter().flat_map(|operation| {
        // Of a list each item can fail, and then all of it starts over.
        let (fails, loses) = match operation {
            Operation::List | Operation::Unfinished => (0.02, 0.01),
            _ => (0.2, 0.1),
        };
        let fail = What::Fail(Class::Transient);
        [
            Fault::new(operation, When::Probability(fails), fail),
            Fault::new(operation, When::Probability(loses), What::LoseReply),
        ]
    });
    let plan = FaultPlan {
        seed,
        rules: rules.collect(),
    };
    let faulty = FaultSink::new(inner, plan);
    let hits = faulty.hits();
    let policy = RetryPolicy {
        attempts: 100,
        backoff_initial_ms: 0,
        backoff_max_ms: 0,
        elapsed_max_ms: u64::MAX,
        repeats_max: 10_000,
        ..RetryPolicy::default()
    };
    let sink = RetrySink::new(Arc::new(faulty), policy, seed);
    (hits, Arc::new(sink))
}

/// Runs the suite by one seed; a failure names it.
async fn one_seed(inner: Arc<dyn Sink>, seed: u64) {
    println!("seed {seed}");
    let (hits, sink) = failing(inner, seed);
    conformance::all(&*sink, &folder()).await;
    assert!(hits.load(Ordering::Relaxed) > 100);
}

#[tokio::test]
async fn memory_that_fails() {
    for seed in 0..10 {
        one_seed(Arc::new(MemorySink::new("m")), seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filesystem_that_fails() {
    for (seed, io) in [(1, Io::Pool), (2, Io::Inline)] {
        let root = tempfile::tempdir().unwrap();
        one_seed(filesystem(root.path(), io), seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_that_fails() {
    let (_root, server) = server();
    one_seed(s3_sink(&server, "failing").await, 3).await;
}
