//! How fast blocks become chunks, and chunks blocks again. Rates are of plain bytes; blocks have the size that a compression
//! has unless another is set.

mod lines;

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lines::lines;
use teeline_core::{
    Block, BlockEncoder, Buffers, Compression, Decoder, Encoder, LineCheck, LineOrigin, ResourceId,
};

const LINE_BYTES: usize = 2 << 10;
const COMPRESSIONS: [Compression; 9] = [
    Compression::Gzip { level: 1 },
    Compression::Gzip { level: 5 },
    Compression::Gzip { level: 9 },
    Compression::Zstd { level: 1 },
    Compression::Zstd { level: 3 },
    Compression::Zstd { level: 9 },
    Compression::Deflate { level: 5 },
    Compression::Brotli { level: 1 },
    Compression::Brotli { level: 5 },
];

fn block_of(compression: Compression) -> Block {
    let count = compression.block_bytes_default() / LINE_BYTES;
    Block {
        resource: ResourceId(0),
        number: 0,
        records: u32::try_from(count).expect("blocks are small"),
        bytes: Bytes::from(lines(count, LINE_BYTES)),
        rows: Bytes::new(),
        origin: Some(LineOrigin {
            file: "events.jsonl".into(),
            line: 1,
            check: LineCheck::Json,
        }),
    }
}

fn encoder_of(compression: Compression) -> Encoder {
    let encoder = Encoder::new(compression).expect("memory");
    encoder.expect("a compression that does something")
}

/// Compression alone.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec encode");
    for compression in COMPRESSIONS {
        let block = block_of(compression);
        let mut encoder = encoder_of(compression);
        group.throughput(Throughput::Bytes(block.bytes.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(compression), |bencher| {
            bencher.iter(|| encoder.encode(black_box(&block.bytes)).expect("room"));
        });
    }
    group.finish();
}

/// Decompression alone.
fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec decode");
    for compression in COMPRESSIONS {
        let block = block_of(compression);
        let stored = encoder_of(compression).encode(&block.bytes).expect("room");
        let mut decoder = Decoder::new();
        let buffers = Buffers::default();
        group.throughput(Throughput::Bytes(block.bytes.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(compression), |bencher| {
            bencher.iter(|| {
                let stored = black_box(&stored);
                let decoded = decoder.decode(compression, stored, block.bytes.len(), &buffers);
                decoded.expect("a chunk of that length");
            });
        });
    }
    group.finish();
}

/// All that a worker does to a block: lines are checked to be JSON, compressed, decoded again, compared and digested.
fn block(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("block");
    for compression in std::iter::once(Compression::None).chain(COMPRESSIONS) {
        let block = block_of(compression);
        let mut encoder = BlockEncoder::new(compression).expect("memory");
        group.throughput(Throughput::Bytes(block.bytes.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(compression), |bencher| {
            bencher.iter(|| encoder.encode(block.clone()).expect("lines of JSON"));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = encode, decode, block
}
criterion_main!(benches);
