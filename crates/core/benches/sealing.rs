//! How fast chunks are sealed and opened, and what a key object for a passphrase costs.

mod lines;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lines::lines;
use teeline_core::seal::{
    Context, DataKey, Epoch, KdfFunction, KeySecret, Recipient, SealedKey, Sealer,
};
use teeline_core::{BackupError, BackupId, ResourceId, Timestamp};

const CHUNK_BYTES: usize = 1 << 20;
const CHUNK: Context<'static> = Context::Chunk {
    resource: ResourceId(0),
    number: 0,
};

fn backup() -> BackupId {
    let id = "full-2026-02-03T04-05-06-789Z-0000000001".parse();
    id.expect("an id")
}

/// A chunk of 1 MiB, its key derived, both ways.
fn chunk(criterion: &mut Criterion) {
    let sealer = Sealer::new(&backup(), &DataKey::new([7; 32]), &Epoch::new([9; 32]));
    let plain = lines(CHUNK_BYTES >> 10, 1 << 10);
    let sealed = sealer.seal(CHUNK, &plain);
    let mut group = criterion.benchmark_group("sealing");
    group.throughput(Throughput::Bytes(plain.len() as u64));
    group.bench_function("seal", |bencher| {
        bencher.iter(|| sealer.seal(CHUNK, black_box(&plain)));
    });
    group.bench_function("open", |bencher| {
        bencher.iter(|| sealer.open("chunk", CHUNK, black_box(&sealed)).expect("it"));
    });
    group.finish();
}

fn random(bytes: &mut [u8]) -> Result<(), BackupError> {
    bytes.fill(5);
    Ok(())
}

/// The key object of a run with a passphrase, by the default function.
fn key(criterion: &mut Criterion) {
    let id = backup();
    let (data_key, epoch) = (DataKey::new([7; 32]), Epoch::new([9; 32]));
    let key = Sealer::new(&id, &data_key, &epoch).key_id();
    let secret = KeySecret::passphrase("correct horse battery staple").expect("a passphrase");
    let recipient = Recipient::of(&secret, KdfFunction::default());
    let added_at = Timestamp::from_unix_ms(0);
    criterion.bench_function("key for a passphrase", |bencher| {
        bencher.iter(|| {
            let sealed = (&id, &data_key, key);
            SealedKey::seal(sealed, black_box(&recipient), added_at, &random).expect("memory")
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = chunk, key
}
criterion_main!(benches);
