//! Databases that change while they are read: what a scan gives in the end is what they are in the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use teeline_core::{Frame, SettleOutcome, SettledCounts, Settling, Target};
use teeline_sources::s3db::{Catalogue, Overlay, S3dbTarget, WriteBackOptions, decode};

use crate::server::{Scanned, Server, restoring};
use crate::writer::{Change, PREFIX, Writer, changes};

const PASSES: u32 = 4;

fn settling(scanned: &Scanned) -> Settling {
    let settled = scanned.settled.as_ref().unwrap();
    let settling = settled.counts.settle.unwrap();
    assert_eq!(
        settled.records,
        settling.records.total() + settling.objects.total()
    );
    settling
}

/// What of a scan stands, as a restore gives it to a target.
async fn restore(scanned: &Scanned, target: &mut dyn Target) {
    let settled = scanned.settled.as_ref().unwrap();
    let mut overlay = Overlay::new(scanned.catalogue.clone()).unwrap();
    for batch in &settled.batches {
        overlay.read(batch).unwrap();
    }
    let overlay = Arc::new(overlay);
    let mut restoring = restoring(scanned, &[]);
    restoring.database_catalogue = Some(overlay.catalogue().clone());
    target.check(&restoring).await.unwrap();
    target.begin(&restoring).await.unwrap();
    for resource in &scanned.resources {
        for batch in &resource.batches {
            let lines = overlay.lines(&resource.name, batch.clone()).unwrap();
            if !lines.is_empty() {
                target.lines(&resource.name, lines).await.unwrap();
            }
        }
    }
    let mut replay = overlay.replay();
    let newer = settled
        .batches
        .iter()
        .map(|batch| replay.read(batch).unwrap());
    let newer: Vec<_> = newer.collect();
    for (resource, lines) in newer.iter().flat_map(|newer| newer.lines.clone()) {
        target.lines(&resource, lines.freeze()).await.unwrap();
    }
    for batch in scanned.objects.iter().flat_map(|objects| &objects.batches) {
        let frames = overlay.frames(Frame::decode_all(batch.clone()).unwrap());
        target.frames(frames).await.unwrap();
    }
    let lost = scanned.resources.iter();
    for resource in lost.filter(|resource| overlay.has_lost(&resource.name)) {
        for batch in &resource.batches {
            let frames = overlay.objects(&resource.name, batch).unwrap();
            target.frames(frames).await.unwrap();
        }
    }
    for newer in newer {
        target.frames(newer.frames).await.unwrap();
    }
    target.finish().await.unwrap();
}

/// A restore of what was scanned is the database as it is.
async fn assert_restores(writer: &Writer, scanned: &Scanned) {
    let server = Server::start().await;
    let mut target = S3dbTarget::new(server.connection(""), WriteBackOptions::default());
    restore(scanned, &mut target).await;
    let found = server.objects("").await;
    let expected = writer.server.objects(PREFIX).await;
    let keys = |objects: &crate::server::Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&found), keys(&expected));
    for (key, object) in &expected {
        assert_eq!(&found[key], object, "{key}");
    }
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("TEELINE_TEST_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(12)
    ))]

    /// Before each pass in which there are changes one is made that it can't miss, so that none of them is the last; in
    /// the last one nothing changes any more.
    #[test]
    fn what_has_settled_is_the_database_as_it_is(
        before in prop::collection::vec(changes(), 0..30),
        passes in prop::collection::vec(prop::collection::vec(changes(), 0..12), 0..4),
    ) {
        block_on(async {
            let writer = Writer::start().await;
            for change in &before {
                writer.make(change).await;
            }
            let put = |name| Change::Put { resource: true, id: 99, name };
            let passes: Vec<_> = passes
                .into_iter()
                .enumerate()
                .map(|(pass, changes)| {
                    let first = put(u8::try_from(pass).unwrap());
                    [first].into_iter().chain(changes).collect::<Vec<_>>()
                })
                .collect();
            let scanned = writer.scan(passes, 12).await;
            assert_eq!(settling(&scanned).outcome, SettleOutcome::Settled);
            assert_restores(&writer, &scanned).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_rests_settles_at_once_though_it_is_young() {
    let writer = Writer::start().await;
    for id in 0..5 {
        writer.put_record("users", id, id).await;
    }
    let content = Change::Content {
        id: 9,
        is_large: true,
        seed: 0,
    };
    writer.make(&content).await;
    let scanned = writer.scan(Vec::new(), PASSES).await;
    let expected = Settling {
        outcome: SettleOutcome::Settled,
        passes: 1,
        records: SettledCounts::default(),
        objects: SettledCounts::default(),
    };
    assert_eq!(settling(&scanned), expected);
    assert_restores(&writer, &scanned).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_never_stops_meets_the_bound() {
    let writer = Writer::start().await;
    writer.put_record("users", 0, 0).await;
    let put = |pass: u8| Change::Put {
        resource: true,
        id: pass,
        name: pass,
    };
    let passes = (0..20).map(|pass| vec![put(pass), put(pass), put(pass)]);
    let scanned = writer.scan(passes.collect(), PASSES).await;
    let settling = settling(&scanned);
    assert_eq!(settling.outcome, SettleOutcome::Bound);
    assert_eq!(settling.passes, PASSES);
    assert!(
        settling.records.created >= u64::from(PASSES),
        "{settling:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_counted_by_what_they_are() {
    let writer = Writer::start().await;
    for id in 0..3 {
        writer.put_record("users", id, id).await;
    }
    let object = |size| Change::Object { number: 1, size };
    writer.make(&object(1)).await;
    let put = |id| Change::Put {
        resource: true,
        id,
        name: 3,
    };
    let delete = Change::Delete {
        resource: true,
        id: 2,
    };
    // All at the first one's beginning, when everything has been read.
    let first = [put(7), put(0), delete, object(2)];
    let passes = first.into_iter().map(|change| vec![change]);
    let passes = std::iter::once(Vec::new()).chain(passes).collect();
    let scanned = writer.scan(passes, 9).await;
    let settling = settling(&scanned);
    assert_eq!(
        (settling.outcome, settling.passes),
        (SettleOutcome::Settled, 5)
    );
    let records = SettledCounts {
        created: 1,
        changed: 1,
        deleted: 1,
    };
    assert_eq!(settling.records, records);
    // Entries of the index by name of 7 and of 0, and that of 2.
    let objects = SettledCounts {
        created: 2,
        changed: 1,
        deleted: 1,
    };
    assert_eq!(settling.objects, objects);
    assert_eq!(settling.records.after(3), 3);
    assert_restores(&writer, &scanned).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_a_version_declared_meanwhile_is_kept_and_read_by_it() {
    let writer = Writer::start().await;
    writer.put_record("users", 1, 1).await;
    let scanned = writer
        .scan(vec![vec![], vec![Change::Declare { id: 2 }]], PASSES)
        .await;
    assert_eq!(settling(&scanned).outcome, SettleOutcome::Settled);
    assert_restores(&writer, &scanned).await;

    let mut overlay = Overlay::new(scanned.catalogue.clone()).unwrap();
    let batches = &scanned.settled.as_ref().unwrap().batches;
    batches
        .iter()
        .for_each(|batch| overlay.read(batch).unwrap());
    let overlay = Arc::new(overlay);
    let newest = Catalogue::parse(overlay.catalogue()).unwrap();
    let users = newest.resource("users").unwrap();
    assert_ne!(users.current_version, "v1");
    // Both are lines that the newest catalogue reads: the older one says that it is of another version.
    let base = &scanned.resource("users").batches[0];
    let base = overlay.lines("users", base.clone()).unwrap();
    let mut replay = overlay.replay();
    let newer = batches
        .iter()
        .flat_map(|batch| replay.read(batch).unwrap().lines);
    let newer: BTreeMap<_, _> = newer.collect();
    let lines = [base, newer["users"].clone().freeze()].concat();
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    let documents: Vec<Value> = lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let [old, new] = documents.as_slice() else {
        panic!("two records: {documents:?}")
    };
    assert_eq!(
        (&old["id"], &old["_s3db"]),
        (&json!("i1"), &json!({ "v": "v1" }))
    );
    assert_eq!((&new["id"], new.get("_s3db")), (&json!("i2"), None));
    let object = writer.object("resource=users/data/id=i2").unwrap();
    assert!(decode(users, "i2", &object).exact);
}
