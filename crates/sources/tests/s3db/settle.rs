//! Databases that change while they are read: what a scan gives in the end is what they are in the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use teeline_core::{Frame, Selection, SettleOutcome, SettledCounts, Settling, Target};
use teeline_sources::s3db::{
    Overlay, RawObject, S3dbTarget, ScanOptions, WriteBackOptions, decode,
};

use crate::proxy::{Hook, Proxy};
use crate::server::{
    Objects, Scanned, Server, catalogue, catalogue_object, entry, noise, record, restoring,
    scan_with, typed,
};

const PASSES: u32 = 4;

/// What a writer does at once.
#[derive(Debug, Clone)]
enum Change {
    /// Writes a record of a resource, with its entry of an index; whether it is there or not.
    Put { resource: bool, id: u8, name: u8 },
    /// Writes an object again as it is.
    PutAgain { resource: bool, id: u8 },
    /// Deletes a record, with its entries.
    Delete { resource: bool, id: u8 },
    /// Gives a record content of its own, a small or a large one.
    Content { id: u8, is_large: bool, seed: u8 },
    /// Changes the metadata of a large content only.
    Relabel { id: u8, name: u8 },
    /// Writes an object that is no record.
    Object { number: u8, size: u8 },
    /// Deletes one.
    DeleteObject { number: u8 },
    /// Declares a new version of a resource, and writes a record by it.
    Declare { id: u8 },
    /// Creates a resource, and writes a record of it.
    Create { id: u8 },
}

fn changes() -> impl Strategy<Value = Change> {
    let id = 0_u8..12;
    let of_record = (any::<bool>(), id.clone(), any::<u8>());
    prop_oneof![
        6 => of_record.clone().prop_map(|(resource, id, name)| Change::Put { resource, id, name }),
        1 => of_record.clone().prop_map(|(resource, id, _)| Change::PutAgain { resource, id }),
        4 => of_record.prop_map(|(resource, id, _)| Change::Delete { resource, id }),
        1 => (id.clone(), any::<bool>(), any::<u8>())
            .prop_map(|(id, is_large, seed)| Change::Content { id, is_large, seed }),
        1 => (id.clone(), any::<u8>()).prop_map(|(id, name)| Change::Relabel { id, name }),
        2 => (0_u8..6, any::<u8>()).prop_map(|(number, size)| Change::Object { number, size }),
        1 => (0_u8..6).prop_map(|number| Change::DeleteObject { number }),
        1 => id.clone().prop_map(|id| Change::Declare { id }),
        1 => id.prop_map(|id| Change::Create { id }),
    ]
}

/// A database, and what it is to be.
struct Writer {
    server: Server,
    /// As it is, below the prefix.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: Objects,
    /// Of the catalogue, which is among the objects.
    catalogue: Bytes,
    /// So that each change is one.
    number: u32,
}

const PREFIX: &str = "db/";

fn resource_name(resource: bool) -> &'static str {
    match resource {
        true => "users",
        false => "log",
    }
}

impl Writer {
    async fn start() -> Arc<Self> {
        let writer = Arc::new(Writer {
            server: Server::start().await,
            state: Mutex::default(),
        });
        let catalogue = catalogue(&[("users", "user-managed"), ("log", "body-overflow")]);
        writer.state.lock().unwrap().catalogue = catalogue.clone();
        writer.put("s3db.json", catalogue_object(&catalogue)).await;
        writer
    }

    async fn put(&self, key: &str, object: RawObject) {
        let known = self.state.lock().unwrap().objects.get(key).cloned();
        assert!(known.is_none_or(|known| known != object), "{key} changes");
        self.put_again(key, object).await;
    }

    async fn put_again(&self, key: &str, object: RawObject) {
        self.server
            .put(&format!("{PREFIX}{key}"), object.clone())
            .await;
        let mut state = self.state.lock().unwrap();
        state.objects.insert(key.to_owned(), object);
    }

    async fn delete(&self, key: &str) {
        self.server.delete(&format!("{PREFIX}{key}")).await;
        self.state.lock().unwrap().objects.remove(key);
    }

    fn next_number(&self) -> u32 {
        let mut state = self.state.lock().unwrap();
        state.number += 1;
        state.number
    }

    fn object(&self, key: &str) -> Option<RawObject> {
        self.state.lock().unwrap().objects.get(key).cloned()
    }

    async fn put_record(&self, resource: &str, id: u8, name: u8) {
        let number = self.next_number();
        let document =
            json!({ "id": format!("i{id}"), "name": format!("n{name}"), "size": number });
        let catalogue = self.state.lock().unwrap().catalogue.clone();
        let (key, object) = record(&catalogue, resource, document);
        self.put(&key, object).await;
        let key = format!(
            "resource={resource}/partition=byName/name=n{}/id=i{id}",
            name % 4
        );
        self.put_again(&key, entry()).await;
    }

    async fn declare(&self, change: impl FnOnce(&mut Value)) {
        let bytes = self.state.lock().unwrap().catalogue.clone();
        let mut catalogue: Value = serde_json::from_slice(&bytes).unwrap();
        catalogue["lastUpdated"] = self.next_number().into();
        change(&mut catalogue);
        let bytes = Bytes::from(format!("{catalogue:#}"));
        self.put("s3db.json", catalogue_object(&bytes)).await;
        self.state.lock().unwrap().catalogue = bytes;
    }

    /// Makes a change, if there is one to make.
    async fn make(&self, change: &Change) {
        match *change {
            Change::Put { resource, id, name } => {
                self.put_record(resource_name(resource), id, name).await;
            }
            Change::PutAgain { resource, id } => {
                let key = format!("resource={}/data/id=i{id}", resource_name(resource));
                if let Some(object) = self.object(&key) {
                    self.put_again(&key, object).await;
                }
            }
            Change::Delete { resource, id } => {
                let resource = resource_name(resource);
                self.delete(&format!("resource={resource}/data/id=i{id}"))
                    .await;
                for name in 0..4 {
                    let entries = format!("resource={resource}/partition=byName/name=n{name}");
                    self.delete(&format!("{entries}/id=i{id}")).await;
                }
            }
            Change::Content { id, is_large, seed } => {
                let number = self.next_number();
                let mut body = noise(if is_large { 300 << 10 } else { 100 });
                body[usize::from(seed % 100)] ^= 1;
                let metadata = [("_v", "v1".to_owned()), ("0", format!("c{number}"))];
                let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
                let object = RawObject {
                    metadata: metadata.into(),
                    ..typed("image/png", body)
                };
                self.put(&format!("resource=users/data/id=i{id}"), object)
                    .await;
            }
            Change::Relabel { id, name } => {
                let key = format!("resource=users/data/id=i{id}");
                if let Some(mut object) = self.object(&key) {
                    let label = format!("{name}-{}", self.next_number());
                    object.metadata.insert("0".to_owned(), label);
                    self.put(&key, object).await;
                }
            }
            Change::Object { number, size } => {
                let mut body = noise(usize::from(size));
                body.extend_from_slice(&self.next_number().to_ne_bytes());
                self.put(&format!("plugin=x/{number}"), typed("a/b", body))
                    .await;
            }
            Change::DeleteObject { number } => {
                self.delete(&format!("plugin=x/{number}")).await;
            }
            Change::Declare { id } => {
                let next = format!("v{}", self.next_number() + 1);
                self.declare(|catalogue| {
                    let users = &mut catalogue["resources"]["users"];
                    let mut version = users["versions"]["v1"].clone();
                    version["attributes"]["more"] = "string|optional".into();
                    version["behavior"] = "body-only".into();
                    users["versions"][&next] = version;
                    users["currentVersion"] = next.into();
                    users["schemaRegistry"]["mapping"]["more"] = 3.into();
                    users["schemaRegistry"]["nextIndex"] = 4.into();
                })
                .await;
                self.put_record("users", id, 0).await;
            }
            Change::Create { id } => {
                self.declare(|catalogue| {
                    let resources = &mut catalogue["resources"];
                    resources["fresh"] = resources["log"].clone();
                })
                .await;
                self.put_record("fresh", id, 0).await;
            }
        }
    }

    /// A scan during which, before some requests, changes are made: those of a pass (of which the first reading is the
    /// first) while that is under way, and one right before it.
    async fn scan(self: &Arc<Self>, passes: Vec<Vec<Change>>, passes_max: u32) -> Scanned {
        let writing = Arc::new(tokio::sync::Mutex::new(Schedule {
            passes: passes.into_iter().map(Into::into).collect(),
            pass: 0,
            requests: 0,
        }));
        let writer = Arc::clone(self);
        let hook: Hook = Arc::new(move |request| {
            let (writer, writing) = (Arc::clone(&writer), Arc::clone(&writing));
            Box::pin(async move {
                let mut writing = writing.lock().await;
                if let Some(change) = writing.due(&request) {
                    writer.make(&change).await;
                }
            })
        });
        let proxy = Proxy::start(self.server.address(), hook).await;
        let connection = self
            .server
            .connection_over(&proxy.address(), PREFIX.trim_end_matches('/'));
        let options = ScanOptions {
            settle_passes_max: passes_max,
            piece_bytes: 100 << 10,
            ..ScanOptions::default()
        };
        scan_with(&connection, options, Selection::everything())
            .await
            .unwrap()
    }

    /// Whether a restore of what was scanned is the database as it is.
    async fn assert_restores(&self, scanned: &Scanned) {
        let target = Server::start().await;
        restore(
            scanned,
            &mut S3dbTarget::new(target.connection(""), WriteBackOptions::default()),
        )
        .await;
        let found = target.objects("").await;
        let expected = self.server.objects(PREFIX).await;
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>()
        );
        for (key, object) in &expected {
            assert_eq!(&found[key], object, "{key}");
        }
    }
}

/// What is to be changed in each pass.
struct Schedule {
    passes: Vec<std::collections::VecDeque<Change>>,
    /// Passes that have begun.
    pass: usize,
    requests: u32,
}

impl Schedule {
    /// What is to be changed before a request is passed on.
    fn due(&mut self, request: &str) -> Option<Change> {
        self.requests += 1;
        // Each pass begins with a look at the server's clock.
        let begins = request.contains("max-keys=1&");
        self.pass += usize::from(begins);
        let changes = self.passes.get_mut(self.pass.checked_sub(1)?)?;
        match begins {
            true => changes.pop_front(),
            false if self.requests.is_multiple_of(2) => changes.pop_front(),
            false => None,
        }
    }
}

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
            target.lines(&resource.name, lines).await.unwrap();
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
    for newer in newer {
        target.frames(newer.frames).await.unwrap();
    }
    target.finish().await.unwrap();
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
            writer.assert_restores(&scanned).await;
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
    writer.assert_restores(&scanned).await;
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
    writer.assert_restores(&scanned).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_a_version_declared_meanwhile_is_kept_and_read_by_it() {
    let writer = Writer::start().await;
    writer.put_record("users", 1, 1).await;
    let scanned = writer
        .scan(vec![vec![], vec![Change::Declare { id: 2 }]], PASSES)
        .await;
    assert_eq!(settling(&scanned).outcome, SettleOutcome::Settled);
    writer.assert_restores(&scanned).await;

    let mut overlay = Overlay::new(scanned.catalogue.clone()).unwrap();
    let batches = &scanned.settled.as_ref().unwrap().batches;
    batches
        .iter()
        .for_each(|batch| overlay.read(batch).unwrap());
    let overlay = Arc::new(overlay);
    let newest = teeline_sources::s3db::Catalogue::parse(overlay.catalogue()).unwrap();
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
