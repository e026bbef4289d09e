//! How fast chunks are digested.

mod lines;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lines::lines;
use teeline_core::Digest;

/// The BLAKE3 digest of 1 MiB.
fn hashing(criterion: &mut Criterion) {
    let chunk = lines(1 << 10, 1 << 10);
    let mut group = criterion.benchmark_group("hashing");
    group.throughput(Throughput::Bytes(chunk.len() as u64));
    group.bench_function("blake3", |bencher| {
        bencher.iter(|| Digest::of(black_box(&chunk)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    targets = hashing
}
criterion_main!(benches);
