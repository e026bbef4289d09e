use super::*;
use crate::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};

const DEADLINES: Deadlines = Deadlines {
    call_base_ms: 1_000,
    first_call_base_ms: 500,
    bytes_per_second_min: 1_000,
};

fn stalling(operation: Operation, when: When) -> DeadlineSink {
    let plan = FaultPlan::new(1).with(Fault::new(operation, when, What::Stall));
    let inner = FaultSink::new(Arc::new(MemorySink::new("m")), plan);
    DeadlineSink::new(Arc::new(inner), DEADLINES)
}

/// A store that has answered.
async fn answered(sink: &DeadlineSink) {
    let absent = sink.head(&key()).await.unwrap_err();
    assert_eq!(absent.class(), Class::NotFound);
}

fn key() -> ObjectKey {
    ObjectKey::new("a/b").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_by_its_size() {
    let sink = stalling(Operation::Put, When::Nth(1));
    answered(&sink).await;
    let start = Instant::now();
    let error = sink
        .put(&key(), Bytes::from(vec![0; 5_000]))
        .await
        .unwrap_err();
    assert_eq!(start.elapsed().as_millis(), 6_000);
    assert_eq!(error.class(), Class::Transient);
    assert_eq!(
        error.to_string(),
        "write memory://m/a/b: timed out after 6000 ms; whether it took effect is unknown"
    );
    sink.put(&key(), Bytes::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_has_not_answered_yet_gets_less() {
    let fail = |nth| {
        let what = What::Fail(Class::Transient);
        Fault::new(Operation::Read, When::Nth(nth), what)
    };
    let stall = |nth| Fault::new(Operation::Read, When::Nth(nth), What::Stall);
    let plan = [fail(1), stall(2), stall(4)]
        .into_iter()
        .fold(FaultPlan::new(1), FaultPlan::with);
    let memory = MemorySink::new("m");
    let inner = FaultSink::new(Arc::new(memory.clone()), plan);
    let sink = DeadlineSink::new(Arc::new(inner), DEADLINES);
    memory.put(&key(), Bytes::from_static(b"x")).await.unwrap();
    // Neither a failure on the way nor what needs no answer is one.
    sink.read(&key(), 0..1).await.unwrap_err();
    drop(sink.begin(&key(), 1).await.unwrap());
    let start = Instant::now();
    let error = sink.read(&key(), 0..1).await.unwrap_err();
    assert_eq!(start.elapsed().as_millis(), 501);
    assert_eq!(
        error.to_string(),
        "read memory://m/a/b: timed out after 501 ms"
    );
    sink.read(&key(), 0..1).await.unwrap();
    let start = Instant::now();
    sink.read(&key(), 0..1).await.unwrap_err();
    assert_eq!(start.elapsed().as_millis(), 1_001);
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_long_but_not_stuck() {
    let sink = stalling(Operation::Read, When::Nth(3));
    sink.put(&key(), Bytes::from(vec![0; 5 << 20]))
        .await
        .unwrap();
    let mut pieces = sink.stream(&key(), 0..5 << 20);
    for _ in 0..2 {
        assert_eq!(pieces.next().await.unwrap().unwrap().len(), 1 << 20);
    }
    let start = Instant::now();
    let error = pieces.next().await.unwrap().unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    // A second to begin with, and a millisecond a byte of one piece.
    assert_eq!(start.elapsed().as_millis(), 1_000 + (1 << 20));
    assert!(pieces.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_list_may_be_long_but_not_stuck() {
    let sink = stalling(Operation::List, When::Nth(3));
    for name in ["a", "b", "c", "d"] {
        let key = ObjectKey::new(name).unwrap();
        sink.put(&key, Bytes::new()).await.unwrap();
    }
    let start = Instant::now();
    let items: Vec<_> = sink.list(None).collect().await;
    assert_eq!(items.len(), 3);
    assert!(items[0].is_ok() && items[1].is_ok());
    assert_eq!(items[2].as_ref().unwrap_err().class(), Class::Transient);
    assert_eq!(start.elapsed().as_millis(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn an_upload_goes_on_after_a_late_write() {
    let sink = stalling(Operation::Write, When::Nth(2));
    let mut upload = sink.begin(&key(), 10).await.unwrap();
    upload.write(Bytes::from_static(b"one")).await.unwrap();
    let late = upload.write(Bytes::from_static(b"two")).await.unwrap_err();
    assert_eq!(late.class(), Class::Transient);
    upload.write(Bytes::from_static(b"two")).await.unwrap();
    upload.commit().await.unwrap();
    assert_eq!(sink.read(&key(), 0..6).await.unwrap(), "onetwo");
}
