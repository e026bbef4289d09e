//! What a link holds, and what it costs.

use teeline::sinks::MemorySink;
use teeline::{Changes, DestinationSpec, IncrementalBase, RestoreTarget, Which};
use teeline_core::chain::Compared;
use teeline_core::{Manifest, ObjectKey, document};

use crate::common::{assert_idle, store, whole};
use crate::site::{Site, assert_same};
use crate::writer::Change;

pub(crate) fn put(id: u8, name: u8) -> Change {
    Change::Put {
        resource: true,
        id,
        name,
    }
}

fn delete(id: u8) -> Change {
    Change::Delete { resource: true, id }
}

async fn manifest(sink: &MemorySink, path: &str) -> Manifest {
    let key = ObjectKey::new(format!("{path}/manifest.json")).unwrap();
    document::open("it", &whole(sink, &key).await).unwrap()
}

/// A site with ten users, a full backup of them that isn't young any more, and where that is.
async fn with_full() -> (Site, MemorySink, Vec<DestinationSpec>) {
    let site = Site::new().await;
    for id in 0..10 {
        site.writer.make(&put(id, id)).await;
    }
    site.wait(60_000);
    let (sink, at) = store("copy");
    site.made("full", std::slice::from_ref(&at)).await;
    site.wait(60_000);
    (site, sink, vec![at])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_has_what_is_other_than_in_its_parent() {
    let (site, sink, at) = with_full().await;
    for change in [put(3, 3), put(20, 1), delete(5)] {
        site.writer.make(&change).await;
    }
    let made = site.made("incremental", &at).await;
    let records = Compared {
        created: 1,
        changed: 1,
        deleted: 1,
        unchanged: 8,
    };
    // Entries of the index by name: one is new, one was written again, and one is gone.
    let objects = Compared {
        created: 1,
        changed: 1,
        deleted: 1,
        unchanged: 8,
    };
    assert_eq!(made.changes, Some(Changes { records, objects }));
    assert_eq!((made.record_count, made.object_count), (10, 10));
    let manifest = manifest(&sink, made.path.as_ref().unwrap()).await;
    assert_eq!(manifest.parent, made.parent);
    let users = manifest.resources.iter().find(|it| it.name == "users");
    assert_eq!(users.unwrap().records, 2);
    assert_eq!(manifest.deleted.as_ref().unwrap().records, 2);
    assert!(manifest.source.server_time.is_some());
    let found = site.restored(Which::Latest, &at).await;
    assert_same(&found, &site.objects().await);
    assert_idle(&site.engine);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_one_has_everything_and_no_parent() {
    let site = Site::new().await;
    site.writer.make(&put(1, 1)).await;
    let (sink, at) = store("copy");
    let at = [at];
    let made = site.made("incremental", &at).await;
    assert_eq!((made.parent, made.changes), (None, None));
    let why = made.whole_because.unwrap();
    assert!(why.contains("no backup that it could go on from"), "{why}");
    let manifest = manifest(&sink, made.path.as_ref().unwrap()).await;
    assert_eq!((manifest.parent, manifest.totals.records), (None, 1));
    let second = site.made("incremental", &at).await;
    assert_eq!(second.parent.unwrap().id, made.id.unwrap());
    assert_eq!(second.whole_because, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_differential_goes_on_from_the_last_full_one() {
    let (site, _, at) = with_full().await;
    let mut parents = Vec::new();
    for id in 30..33 {
        site.writer.make(&put(id, 0)).await;
        site.local_time.pass(1);
        let mut request = site.request("incremental", &at);
        request.base = IncrementalBase::Full;
        let made = site.engine.backup(request).await;
        assert_eq!(made.exit_code(), 0, "{made:?}");
        parents.push(made.parent.unwrap().id);
    }
    assert!(parents.iter().all(|parent| *parent == parents[0]));
    assert_eq!(parents[0].backup_type().as_str(), "full");
    let found = site.restored(Which::Latest, &at).await;
    assert_same(&found, &site.objects().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_selection_is_another_chain() {
    let (site, _, at) = with_full().await;
    site.local_time.pass(1);
    let mut request = site.request("incremental", &at);
    request.resources = Some(vec!["users".to_owned()]);
    let made = site.engine.backup(request).await;
    assert_eq!((made.exit_code(), made.parent), (0, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_of_one_second_are_told_apart() {
    let site = Site::new().await;
    site.writer.make(&put(1, 1)).await;
    let (_, at) = store("copy");
    let at = [at];
    site.made("full", &at).await;
    // Within the second in which it was read: a listing shows the same.
    site.writer.make(&put(1, 1)).await;
    site.wait(3_600_000);
    let made = site.made("incremental", &at).await;
    assert_eq!(made.changes.unwrap().records.changed, 1);
    assert_same(
        &site.restored(Which::Latest, &at).await,
        &site.objects().await,
    );
    let rested = site.made("incremental", &at).await;
    let records = rested.changes.unwrap().records;
    assert_eq!((records.changed, records.unchanged), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_picks_the_link_of_that_time() {
    let (site, _, at) = with_full().await;
    let mut expected = Vec::new();
    for id in 40..43 {
        site.writer.make(&put(id, 0)).await;
        let made = site.made("incremental", &at).await;
        expected.push((made.started_at, site.objects().await));
        site.wait(60_000);
    }
    for (time, objects) in &expected {
        assert_same(&site.restored(Which::At(*time), &at).await, objects);
    }
    let early = Which::At("2026-01-01T00:00:00Z".parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("out"));
    let report = site.restore(early, &at, target).await;
    let error = report.error.unwrap();
    assert!(
        error.message.contains("had begun at 2026-01-01"),
        "{error:?}"
    );
}
