//! How fast records become blocks.

mod lines;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lines::lines;
use teeline_core::{Buffers, CutLimits, Cutter, RECORD_BYTES_MAX, ResourceId};

const PLAIN_BYTES: usize = 8 << 20;
const LIMITS: CutLimits = CutLimits {
    block_bytes: 1 << 20,
    record_bytes_max: RECORD_BYTES_MAX,
};

/// 8 MiB of records of one size, into blocks of 1 MiB.
fn cutting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cutting");
    for record_bytes in [100, 2_000] {
        let records = lines(PLAIN_BYTES / record_bytes, record_bytes);
        let buffers = Buffers::default();
        group.throughput(Throughput::Bytes(records.len() as u64));
        group.bench_function(BenchmarkId::new("record_bytes", record_bytes), |bencher| {
            bencher.iter(|| cut(&records, record_bytes, &buffers));
        });
    }
    group.finish();
}

fn cut(records: &[u8], record_bytes: usize, buffers: &Buffers) {
    let mut cutter = Cutter::new(ResourceId(0), LIMITS, buffers.clone());
    for record in records.chunks_exact(record_bytes) {
        while let Some(block) = cutter
            .push(record, b"", None, false)
            .expect("records are small")
        {
            black_box(block);
        }
    }
    black_box(cutter.finish());
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    targets = cutting
}
criterion_main!(benches);
