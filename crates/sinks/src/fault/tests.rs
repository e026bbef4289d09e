use super::*;
use crate::MemorySink;

fn faulty(plan: FaultPlan) -> FaultSink {
    FaultSink::new(Arc::new(MemorySink::new("m")), plan)
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

#[tokio::test]
async fn counts_by_operation_and_key() {
    let second_manifest = Fault::new(Operation::Put, When::Nth(2), What::Fail(Class::Permanent));
    let plan = FaultPlan::new(1).with(second_manifest.on_keys_with("manifest"));
    let sink = faulty(plan);
    sink.put(&key("a/manifest"), Bytes::new()).await.unwrap();
    sink.put(&key("b/other"), Bytes::new()).await.unwrap();
    let error = sink.put(&key("b/manifest"), Bytes::new()).await;
    assert_eq!(error.unwrap_err().class(), Class::Permanent);
    sink.put(&key("b/manifest"), Bytes::new()).await.unwrap();
    assert_eq!(sink.hits().load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn flips_one_bit() {
    let plan = FaultPlan::new(1).with(Fault::new(Operation::Read, When::Nth(2), What::FlipBit));
    let sink = faulty(plan);
    let written = Bytes::from_static(b"some bytes");
    sink.put(&key("a"), written.clone()).await.unwrap();
    assert_eq!(sink.read(&key("a"), 0..10).await.unwrap(), written);
    let flipped = sink.read(&key("a"), 0..10).await.unwrap();
    let pairs = written.iter().zip(&flipped);
    let bits: u32 = pairs.map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!(bits, 1);
}

#[tokio::test]
async fn loses_the_last_byte() {
    let plan = FaultPlan::new(1).with(Fault::new(Operation::Put, When::Nth(1), What::LoseByte));
    let sink = faulty(plan);
    sink.put(&key("a"), Bytes::from_static(b"abc"))
        .await
        .unwrap();
    assert_eq!(sink.head(&key("a")).await.unwrap().bytes, 2);
    assert_eq!(sink.read(&key("a"), 0..2).await.unwrap(), "ab");
}

#[tokio::test]
async fn makes_calls_twice_and_is_witnessed() {
    let mut plan = FaultPlan::new(1);
    for operation in [Operation::Put, Operation::Commit, Operation::Delete] {
        plan = plan.with(Fault::new(operation, When::Nth(1), What::Duplicate));
    }
    let (beneath, witnessed) = (FaultPlan::new(1), Arc::new(AtomicU64::new(0)));
    let counts = [Operation::Put, Operation::Commit, Operation::Delete]
        .map(|operation| Fault::new(operation, When::Nth(2), What::Fail(Class::Permanent)));
    let beneath = counts.into_iter().fold(beneath, FaultPlan::with);
    let beneath = faulty(beneath);
    let (second_calls, noted) = (beneath.hits(), Arc::clone(&witnessed));
    let sink = FaultSink::witnessed(Arc::new(beneath), plan, move |_, what| {
        assert_eq!(what, What::Duplicate);
        noted.fetch_add(1, Ordering::Relaxed);
    });
    sink.put(&key("a"), Bytes::new()).await.unwrap_err();
    let mut upload = sink.begin(&key("b"), 1).await.unwrap();
    upload.write(Bytes::from_static(b"b")).await.unwrap();
    upload.commit().await.unwrap_err();
    sink.delete(&key("a")).await.unwrap_err();
    assert_eq!(second_calls.load(Ordering::Relaxed), 3);
    assert_eq!(witnessed.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn what_has_no_effect_isnt_counted() {
    let whats = [What::FlipBit, What::LoseByte, What::Duplicate];
    let begins = whats.map(|what| Fault::new(Operation::Begin, When::From(1), what));
    let deletes = [What::FlipBit, What::LoseByte]
        .map(|what| Fault::new(Operation::Delete, When::From(1), what));
    let twice = Fault::new(Operation::Delete, When::From(1), What::Duplicate);
    let rules = begins.into_iter().chain(deletes).chain([twice]);
    let sink = faulty(rules.fold(FaultPlan::new(1), FaultPlan::with));
    sink.begin(&key("a"), 1).await.unwrap();
    assert_eq!(sink.hits().load(Ordering::Relaxed), 0);
    sink.delete(&key("a")).await.unwrap();
    assert_eq!(sink.hits().load(Ordering::Relaxed), 1);
}

#[tokio::test]
#[should_panic(expected = "injected fault in Head")]
async fn panics() {
    let plan = FaultPlan::new(1).with(Fault::new(Operation::Head, When::From(1), What::Panic));
    faulty(plan).head(&key("a")).await.ok();
}

#[tokio::test]
async fn the_seed_decides() {
    let outcomes = async |seed| {
        let half = Fault::new(
            Operation::Put,
            When::Probability(0.5),
            What::Fail(Class::Transient),
        );
        let sink = faulty(FaultPlan::new(seed).with(half));
        let mut outcomes = Vec::new();
        for n in 0..32 {
            let put = sink.put(&key(&n.to_string()), Bytes::new()).await;
            outcomes.push(put.is_ok());
        }
        outcomes
    };
    assert_eq!(outcomes(5).await, outcomes(5).await);
    assert_ne!(outcomes(5).await, outcomes(6).await);
}
