use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::stream;
use futures::{StreamExt, TryStreamExt};
use teeline_core::{BreakerPolicy, Class};
use tokio::time::Instant;

use super::*;
use crate::{DeadlineSink, Deadlines, Fault, FaultPlan, FaultSink, MemorySink};
use crate::{Operation, What, When};

fn sink(rules: Vec<Fault>, policy: RetryPolicy) -> (MemorySink, RetrySink) {
    let memory = MemorySink::new("m");
    let faulty = FaultSink::new(Arc::new(memory.clone()), FaultPlan { seed: 1, rules });
    (memory, RetrySink::new(Arc::new(faulty), policy, 1))
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn repeats_what_may_succeed_and_gives_up_in_bounds() {
    let always = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Transient));
    let (_, sink) = sink(vec![always], RetryPolicy::default());
    let start = Instant::now();
    let error = sink.put(&key("a"), Bytes::new()).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    assert_eq!(sink.retries().load(Ordering::Relaxed), 3);
    // At most 100 + 200 + 400 ms of pauses.
    assert!(start.elapsed() <= Duration::from_millis(700));
}

#[tokio::test(start_paused = true)]
async fn never_repeats_what_will_fail_again() {
    for class in [
        Class::Permanent,
        Class::Conflict,
        Class::Corrupt,
        Class::NotFound,
    ] {
        let once = Fault::new(Operation::Put, When::Nth(1), What::Fail(class));
        let (_, sink) = sink(vec![once], RetryPolicy::default());
        let error = sink.put(&key("a"), Bytes::new()).await.unwrap_err();
        assert_eq!(error.class(), class);
        assert_eq!(sink.retries().load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_waits_at_least_half_of_the_bound() {
    let once = Fault::new(Operation::Put, When::Nth(1), What::Fail(Class::Throttled));
    let (_, sink) = sink(vec![once], RetryPolicy::default());
    let start = Instant::now();
    sink.put(&key("a"), Bytes::new()).await.unwrap();
    assert!((50..=100).contains(&start.elapsed().as_millis()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ended_by_its_deadline_is_repeated() {
    let stall = Fault::new(Operation::Put, When::Nth(1), What::Stall);
    let memory = MemorySink::new("m");
    let plan = FaultPlan::new(1).with(stall);
    let stuck = FaultSink::new(Arc::new(memory), plan);
    let timed = DeadlineSink::new(Arc::new(stuck), Deadlines::default());
    let sink = RetrySink::new(Arc::new(timed), RetryPolicy::default(), 1);
    sink.put(&key("a"), Bytes::new()).await.unwrap();
    assert_eq!(sink.retries().load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn no_try_starts_too_late() {
    let always = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Transient));
    let policy = RetryPolicy {
        attempts: u32::MAX,
        elapsed_max_ms: 10_000,
        ..RetryPolicy::default()
    };
    let (_, sink) = sink(vec![always], policy);
    let start = Instant::now();
    sink.put(&key("a"), Bytes::new()).await.unwrap_err();
    assert!(start.elapsed() <= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_where_it_failed() {
    let fails = |nth| {
        Fault::new(
            Operation::Read,
            When::Nth(nth),
            What::Fail(Class::Transient),
        )
    };
    let (memory, sink) = sink(vec![fails(1), fails(3), fails(4)], RetryPolicy::default());
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    memory.put(&key("a"), bytes.clone().into()).await.unwrap();
    let pieces: Vec<Bytes> = sink
        .stream(&key("a"), 100..3_000_000)
        .try_collect()
        .await
        .unwrap();
    assert!(pieces.concat() == bytes[100..]);
    assert_eq!(pieces.len(), 3);
    assert_eq!(sink.retries().load(Ordering::Relaxed), 3);
}

/// A store whose answers break off after a few bytes.
#[derive(Debug)]
struct Trickle {
    inner: MemorySink,
    bytes: u64,
}

impl fmt::Display for Trickle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Sink for Trickle {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn begin(&self, key: &ObjectKey, bytes: u64) -> Result<Box<dyn Upload>, BackupError> {
        self.inner.begin(key, bytes).await
    }
    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        self.inner.put(key, bytes).await
    }
    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        self.inner.read(key, range).await
    }
    fn stream(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> BoxStream<'_, Result<Bytes, BackupError>> {
        let some = range.start..range.end.min(range.start + self.bytes);
        let broken = BackupError::new(Class::Transient, "read", key, "it broke off");
        let broken = stream::iter((some.end < range.end).then_some(Err(broken)));
        self.inner.stream(key, some).chain(broken).boxed()
    }
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        self.inner.head(key).await
    }
    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.inner.drop_cached(key).await
    }
    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        self.inner.list(folder)
    }
    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.inner.delete(key).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_hardly_gets_on_is_given_up() {
    let read_at_once = 1 << 20;
    for (bytes, comes) in [(1_000, false), (read_at_once, true)] {
        let inner = MemorySink::new("m");
        inner.put(&key("a"), vec![7; 8 << 20].into()).await.unwrap();
        let trickle = Trickle { inner, bytes };
        let sink = RetrySink::new(Arc::new(trickle), RetryPolicy::default(), 1);
        let pieces = sink.stream(&key("a"), 0..8 << 20);
        let came: Result<Vec<Bytes>, BackupError> = pieces.try_collect().await;
        assert_eq!(came.is_ok(), comes, "{bytes}");
        let retries = sink.retries().load(Ordering::Relaxed);
        assert_eq!(retries, if comes { 7 } else { 3 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_no_conflict() {
    let lost = |operation| Fault::new(operation, When::Nth(1), What::LoseReply);
    let rules = vec![
        lost(Operation::Put),
        lost(Operation::Write),
        lost(Operation::Commit),
        lost(Operation::Delete),
    ];
    let (memory, sink) = sink(rules, RetryPolicy::default());
    sink.put(&key("put"), Bytes::from_static(b"1"))
        .await
        .unwrap();
    let mut upload = sink.begin(&key("upload"), 6).await.unwrap();
    upload.write(Bytes::from_static(b"abc")).await.unwrap();
    upload.write(Bytes::from_static(b"def")).await.unwrap();
    upload.commit().await.unwrap();
    assert_eq!(memory.read(&key("upload"), 0..6).await.unwrap(), "abcdef");
    sink.delete(&key("put")).await.unwrap();
    assert_eq!(memory.keys(), [key("upload")]);
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_without_giving_anything_twice() {
    let sometimes = Fault::new(
        Operation::List,
        When::Probability(0.3),
        What::Fail(Class::Transient),
    );
    let policy = RetryPolicy {
        attempts: u32::MAX,
        elapsed_max_ms: u64::MAX,
        repeats_max: u32::MAX,
        ..RetryPolicy::default()
    };
    let (memory, sink) = sink(vec![sometimes], policy);
    for n in 0..20 {
        memory.overwrite(&key(&format!("{n:02}")), b"x");
    }
    let items: Vec<_> = sink.list(None).try_collect().await.unwrap();
    let keys: Vec<_> = items.into_iter().map(|item| item.key).collect();
    assert_eq!(keys, memory.keys());
    assert!(sink.retries().load(Ordering::Relaxed) > 0);
}

#[tokio::test(start_paused = true)]
async fn however_many_calls_fail_the_repeats_are_few() {
    let always = Fault::new(Operation::Head, When::From(1), What::Fail(Class::Throttled));
    let policy = RetryPolicy {
        repeats_max: 10,
        // So that the budget alone bounds them.
        breaker: BreakerPolicy {
            given_up_max: u32::MAX,
            ..BreakerPolicy::default()
        },
        ..RetryPolicy::default()
    };
    let (_, sink) = sink(vec![always], policy);
    for _ in 0..1_000 {
        sink.head(&key("a")).await.unwrap_err();
    }
    assert_eq!(sink.retries().load(Ordering::Relaxed), 10);
}

#[tokio::test(start_paused = true)]
async fn two_ways_to_one_store_have_one_budget_and_one_breaker() {
    let always = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Transient));
    let (memory, sink) = sink(vec![always], RetryPolicy::default());
    let beside = sink.beside(Arc::new(memory));
    for _ in 0..2 {
        sink.put(&key("a"), Bytes::new()).await.unwrap_err();
    }
    let refused = beside.put(&key("a"), Bytes::new()).await.unwrap_err();
    assert!(refused.message().contains("left alone"), "{refused}");
    let retries = [sink.retries(), beside.retries()].map(|retries| retries.load(Ordering::Relaxed));
    assert_eq!(retries, [6, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_store_costs_seconds_and_is_noticed_when_it_is_back() {
    let dead = Fault::new(Operation::Head, When::Nth(1), What::Stall);
    let rules = (1..=9).map(|nth| Fault {
        when: When::Nth(nth),
        ..dead.clone()
    });
    let memory = MemorySink::new("m");
    memory.overwrite(&key("a"), b"x");
    let plan = FaultPlan {
        seed: 1,
        rules: rules.collect(),
    };
    let stuck = FaultSink::new(Arc::new(memory), plan);
    let calls = stuck.hits();
    let timed = DeadlineSink::new(Arc::new(stuck), Deadlines::default());
    let sink = RetrySink::new(Arc::new(timed), RetryPolicy::default(), 1);
    for _ in 0..2 {
        sink.head(&key("a")).await.unwrap_err();
    }
    // Two calls were given up, of four tries each. The others cost nothing.
    let start = Instant::now();
    for _ in 0..1_000 {
        let error = sink.head(&key("a")).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient);
        assert!(error.message().contains("left alone"), "{error}");
        assert!(error.message().contains("timed out"), "{error}");
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(calls.load(Ordering::Relaxed), 8);
    // Once the pause is over one call is let through, and isn't repeated.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let error = sink.head(&key("a")).await.unwrap_err();
    assert!(error.message().starts_with("timed out"), "{error}");
    assert_eq!(calls.load(Ordering::Relaxed), 9);
    sink.head(&key("a")).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(2)).await;
    sink.head(&key("a")).await.unwrap();
    sink.head(&key("a")).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 9);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_answer() {
    let rules =
        [2, 4].map(|nth| Fault::new(Operation::Put, When::Nth(nth), What::Fail(Class::Permanent)));
    let lost = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Transient));
    let policy = RetryPolicy {
        attempts: 1,
        ..RetryPolicy::default()
    };
    let (_, sink) = sink(rules.into_iter().chain([lost]).collect(), policy);
    for class in [
        Class::Transient,
        Class::Permanent,
        Class::Transient,
        Class::Permanent,
        Class::Transient,
    ] {
        let error = sink.put(&key("a"), Bytes::new()).await.unwrap_err();
        assert_eq!(error.class(), class);
        assert!(!error.message().contains("left alone"), "{error}");
    }
}
