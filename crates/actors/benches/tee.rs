//! What it costs to hand chunks to destinations: whole passes without compression, on one thread, to stores that keep nothing.
//! A pass to one destination has the cost of all the rest; what one to more of them adds is the hand-off's.

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Records, pass};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;
use teeline_actors::{Budget, Executor, Host, Pass, PassEnd};
use teeline_core::{Outcome, Sink};
use teeline_sinks::NullSink;

/// A chunk a record.
const CHUNK_BYTES: usize = 1 << 20;
const CHUNKS: usize = 64;

/// 64 MiB in chunks of 1 MiB, to 1, 4 and 16 destinations.
fn hand_off(criterion: &mut Criterion) {
    let host = Host::start(Executor::Inline).expect("a thread");
    let budget = Budget::new(64 << 20);
    let source = Records::of(CHUNKS, CHUNK_BYTES - 1);
    let mut group = criterion.benchmark_group("tee");
    for destinations in [1, 4, 16] {
        group.throughput(Throughput::Bytes((CHUNKS * CHUNK_BYTES) as u64));
        group.bench_function(BenchmarkId::new("destinations", destinations), |bencher| {
            bencher.iter(|| {
                let report = block_on(host.run(pass_to(destinations, &source, &budget)));
                let end = report.expect("a pass").end;
                assert_eq!(end, PassEnd::Finished(Outcome::Completed));
            });
        });
    }
    group.finish();
}

fn pass_to(destinations: usize, source: &Records, budget: &Budget) -> Pass {
    let null = || Arc::new(NullSink::default()) as Arc<dyn Sink>;
    let sinks = std::iter::repeat_with(null).take(destinations);
    let mut pass = pass(source.clone(), budget, sinks.collect());
    pass.executor = Executor::Inline;
    pass.limits.block_bytes = CHUNK_BYTES;
    pass.head.plan.block_bytes = CHUNK_BYTES as u64;
    pass
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(12));
    targets = hand_off
}
criterion_main!(benches);
