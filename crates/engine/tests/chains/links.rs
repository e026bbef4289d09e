//! What a link holds, and what it costs.

use teeline::sinks::MemorySink;
use teeline::{
    BackupId, BackupRequest, Changes, DestinationSpec, IncrementalBase, MonitorRequest,
    RestoreTarget, S3dbSource, ScanOptions, Sink, UnknownObjects, Which, exit,
};
use teeline_core::chain::Compared;
use teeline_core::{Manifest, ObjectKey, RunRecord, RunStatus, SealedManifest, document, layout};
use teeline_sources::s3db::RawObject;

use crate::common::{assert_idle, store, whole};
use crate::site::{Site, assert_same};
use crate::writer::{Change, PREFIX};

pub(crate) fn put(id: u8, name: u8) -> Change {
    Change::Put {
        resource: true,
        id,
        name,
    }
}

pub(crate) fn delete(id: u8) -> Change {
    Change::Delete { resource: true, id }
}

pub(crate) async fn manifest(sink: &MemorySink, path: &str) -> Manifest {
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
    let manifest = manifest(&sink, made.folder.as_ref().unwrap()).await;
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
    let manifest = manifest(&sink, made.folder.as_ref().unwrap()).await;
    assert_eq!((manifest.parent, manifest.totals.records), (None, 1));
    let second = site.made("incremental", &at).await;
    assert_eq!(second.parent.unwrap().id, made.id.unwrap());
    assert_eq!(second.whole_because, None);

    let id = second.id.unwrap();
    let mut of_some = site.request("incremental", &at);
    of_some.resources = Some(vec!["users".to_owned()]);
    let why = site.engine.backup(of_some).await.whole_because.unwrap();
    let expected = format!("go on from: {id} is of other resources");
    assert!(why.ends_with(&expected), "{why}");
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

/// 5,000 records, or as many as are asked for.
fn many() -> u32 {
    let asked = std::env::var("TEELINE_TEST_RECORDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(5_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unchanged_is_listed_only() {
    let site = Site::new().await;
    let records = many();
    site.writer.put_many(0..records, 1).await;
    site.wait(60_000);
    let (_, at) = store("copy");
    let at = [at];
    site.made("full", &at).await;
    site.wait(60_000);
    let changed = records / 100;
    site.writer
        .put_many((0..changed).map(|number| number * 100), 2)
        .await;
    site.wait(60_000);

    let before = site.writer.server.requests();
    let made = site.made("incremental", &at).await;
    let after = site.writer.server.requests();
    let compared = made.changes.unwrap().records;
    assert_eq!(compared.changed, u64::from(changed));
    assert_eq!(compared.unchanged, u64::from(records - changed));
    let requests = after - before;
    let needed = u64::from(records).div_ceil(1_000) + u64::from(changed);
    // The catalogue, the look for a destination, the other folders, and the cuts of a long listing.
    assert!(requests <= needed + 20, "{requests} requests for {needed}");
    assert_eq!(made.record_count, u64::from(records));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn since_a_time_without_a_backup_before_it_has_no_deletions_and_says_so() {
    let site = Site::new().await;
    for id in 0..3 {
        site.writer.make(&put(id, id)).await;
    }
    site.wait(3_600_000);
    let since = site.server_time.now();
    site.wait(3_600_000);
    site.writer.make(&put(1, 3)).await;
    site.writer.make(&delete(0)).await;
    let (sink, at) = store("copy");
    let at = [at];
    let mut request = site.request("incremental", &at);
    request.since = Some(since);
    let made = site.engine.backup(request).await;
    assert_eq!(made.exit_code(), 0, "{made:?}");
    assert_eq!((made.since, &made.parent), (Some(since), &None));
    assert_eq!((made.record_count, made.whole_because), (1, None));
    let manifest = manifest(&sink, made.folder.as_ref().unwrap()).await;
    assert_eq!(manifest.since, Some(since));
    assert_eq!(manifest.deleted.unwrap().records, 0);
    let id = made.id.unwrap();
    let status = site.engine.status(&at, &id).await;
    assert_eq!(status.since, Some(since));
    assert_eq!(site.verify_deep(&id, &at).await.exit_code(), 0);

    // Nothing goes on from what isn't all of it.
    let next = site.made("incremental", &at).await;
    assert_eq!((next.parent, next.record_count), (None, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_since_a_time_that_failed_is_made_up_for_by_the_next() {
    let site = Site::new().await;
    let since = site.server_time.now();
    site.writer.make(&put(1, 1)).await;
    let (sink, at) = store("copy");
    let at = [at];
    let made = async || {
        site.wait(60_000);
        let mut request = site.request("incremental", &at);
        request.since = Some(since);
        let made = site.engine.backup(request).await;
        assert_eq!((made.exit_code(), made.since), (0, Some(since)), "{made:?}");
    };
    made().await;
    let keys = sink.keys().into_iter();
    let mut of_runs = keys.filter(|key| key.as_str().starts_with("runs/"));
    let key = of_runs.next().unwrap();
    let mut record: RunRecord = document::open("it", &whole(&sink, &key).await).unwrap();
    site.wait(60_000);
    record.started_at = site.local_time.now();
    record.id = BackupId::new(&record.backup_type, record.started_at, &[1; 10]);
    record.status = RunStatus::Failed;
    let key = layout::run_record(&record.id, record.started_at).unwrap();
    sink.overwrite(&key, &document::seal(&record));
    let looked = async || site.engine.monitor(MonitorRequest::new(at.to_vec())).await;
    let report = looked().await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    made().await;
    let report = looked().await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn since_a_time_goes_on_from_the_last_backup_before_it() {
    let (site, _, at) = with_full().await;
    let full = site.made("full", &at).await.id.unwrap();
    let since = site.local_time.now();
    site.wait(60_000);
    site.writer.make(&put(50, 1)).await;
    site.made("incremental", &at).await;
    site.writer.make(&delete(50)).await;
    site.local_time.pass(1);
    let mut request = site.request("incremental", &at);
    request.since = Some(since);
    let made = site.engine.backup(request).await;
    assert_eq!(made.exit_code(), 0, "{made:?}");
    assert_eq!((made.parent.unwrap().id, made.since), (full, None));
    assert_same(
        &site.restored(Which::Latest, &at).await,
        &site.objects().await,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_with_incremental_backups_is_refused_of_others() {
    let site = Site::new().await;
    let (_, at) = store("copy");
    let mut request = site.request("full", &[at]);
    request.base = IncrementalBase::Full;
    let error = site.engine.check(&request).unwrap_err();
    assert!(error.to_string().contains("base"), "{error}");
    request.base = IncrementalBase::Last;
    request.since = Some(site.local_time.now());
    let error = site.engine.check(&request).unwrap_err();
    assert!(error.to_string().contains("since"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_and_a_status_show_the_chain_and_a_lost_manifest_of_a_link_comes_back() {
    let (site, sink, at) = with_full().await;
    site.writer.make(&put(3, 1)).await;
    let link = site.made("incremental", &at).await;
    let (id, parent) = (link.id.unwrap(), link.parent.unwrap());
    let listed = site.engine.list(&at).await;
    assert_eq!(listed.backups[0].parent, Some(parent.clone()));
    assert_eq!(listed.backups[1].parent, None);
    let status = site.engine.status(&at, &id).await;
    assert_eq!(status.chain, [parent.id, id.clone()]);

    let key = ObjectKey::new(format!("{}/manifest.json", link.folder.unwrap())).unwrap();
    let manifest = whole(&sink, &key).await;
    sink.delete(&key).await.unwrap();
    let repaired = site
        .engine
        .repair(teeline::RepairRequest::rebuild_manifests(at.clone()))
        .await;
    assert_eq!(repaired.exit_code(), 0, "{repaired:?}");
    assert_eq!(whole(&sink, &key).await, manifest);
    assert_same(
        &site.restored(Which::Id(id), &at).await,
        &site.objects().await,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_listing_leaves_out_is_asked_for_before_it_is_gone() {
    let (site, _, at) = with_full().await;
    let stray = RawObject {
        content_type: Some("text/plain".to_owned()),
        body: "nothing of s3db.js".into(),
        ..RawObject::default()
    };
    site.writer
        .server
        .put(&format!("{PREFIX}notes/one"), stray)
        .await;
    site.wait(60_000);
    site.made("full", &at).await;
    site.wait(60_000);
    site.writer.make(&delete(1)).await;
    site.local_time.pass(1);
    // With these left out nobody lists it, and it is there all the same.
    let prefix = PREFIX.trim_end_matches('/');
    let options = ScanOptions {
        unknown_objects: UnknownObjects::Skip,
        ..ScanOptions::default()
    };
    let source = S3dbSource::new(site.writer.server.connection(prefix), options);
    let mut request = BackupRequest::new(source, at.clone());
    request.backup_type = "incremental".parse().unwrap();
    let made = site.engine.backup(request).await;
    assert_eq!(made.exit_code(), 0, "{made:?}");
    let Changes { records, objects } = made.changes.unwrap();
    // The record, and its entry of the index by name.
    assert_eq!((records.deleted, objects.deleted), (1, 1));
    let found = site.restored(Which::Latest, &at).await;
    assert_same(&found, &site.objects().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_without_the_time_of_the_server_is_read_again_once() {
    let (site, sink, at) = with_full().await;
    // As an earlier teeline left it: with all that it says but that.
    let made = site.made("full", &at).await;
    let folder = made.folder.clone().unwrap();
    let key = |name: &str| ObjectKey::new(format!("{folder}/{name}")).unwrap();
    let mut older = manifest(&sink, &folder).await;
    older.source.server_time = None;
    let sealed = SealedManifest::new(older).unwrap();
    let entry = layout::catalog_entry(made.id.as_ref().unwrap(), made.started_at).unwrap();
    for (key, bytes) in [
        (key("manifest.json"), sealed.bytes.clone()),
        (entry, document::seal(&sealed.entry(&folder))),
    ] {
        sink.delete(&key).await.unwrap();
        sink.put(&key, bytes).await.unwrap();
    }
    site.wait(60_000);
    let first = site.made("incremental", &at).await;
    assert_eq!(first.parent.unwrap().id, made.id.unwrap());
    assert_eq!(first.changes.unwrap().records.changed, 10);
    let second = site.made("incremental", &at).await;
    assert_eq!(second.changes.unwrap().records.unchanged, 10);
    let found = site.restored(Which::Latest, &at).await;
    assert_same(&found, &site.objects().await);
}
