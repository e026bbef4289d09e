//! Destinations that lack what a link goes on from.

use futures::TryStreamExt;
use teeline::sinks::{Fault, MemorySink, Operation, What, When};
use teeline::{
    BackupId, BackupReport, Class, DeleteRequest, DestinationSpec, DestinationStatus, Place,
    RestoreRequest, RestoreTarget, RunStatus, Sink, StrategyKind, SyncRequest, Thaw, ThawTier,
    Which, exit,
};
use teeline_core::{Availability, ObjectKey, ObjectMeta};

use crate::common::{assert_idle, failing, store};
use crate::links::put;
use crate::server::Server;
use crate::site::{Site, assert_same};
use crate::writer::Change;

/// A site with a full backup that isn't young, at the first of two places only.
async fn with_full_at_one() -> (Site, MemorySink, DestinationSpec, BackupId) {
    let site = Site::new().await;
    for id in 0..5 {
        site.writer.make(&put(id, id)).await;
    }
    site.wait(60_000);
    let (sink, one) = store("one");
    let made = site.made("full", std::slice::from_ref(&one)).await;
    site.wait(60_000);
    site.writer.make(&put(7, 7)).await;
    (site, sink, one, made.id.unwrap())
}

/// One that takes nothing of a full backup.
fn refusing() -> (MemorySink, DestinationSpec) {
    let refuses = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    failing("two", refuses.on_keys_with("full-"))
}

async fn run(site: &Site, strategy: StrategyKind, to: &[DestinationSpec]) -> BackupReport {
    site.local_time.pass(1);
    let mut request = site.request("incremental", to);
    request.strategy = strategy;
    site.engine.backup(request).await
}

async fn listed(site: &Site, at: &DestinationSpec) -> Vec<BackupId> {
    let report = site.engine.list(std::slice::from_ref(at)).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    report.backups.into_iter().map(|it| it.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_lacks_the_parent_gets_it_first() {
    let (site, _, one, full) = with_full_at_one().await;
    let (_, two) = store("two");
    let report = run(&site, StrategyKind::All, &[one, two.clone()]).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(report.parent.unwrap().id, full);
    assert_eq!(listed(&site, &two).await, [report.id.unwrap(), full]);
    let found = site.restored(Which::Latest, &[two]).await;
    assert_same(&found, &site.objects().await);
    assert_idle(&site.engine);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_optional_one_that_can_not_have_it_sits_out() {
    let (site, _, one, full) = with_full_at_one().await;
    let (_, two) = refusing();
    let report = run(&site, StrategyKind::Any, &[one.clone(), two.clone()]).await;
    assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
    assert_eq!(report.status, RunStatus::Degraded);
    assert_eq!(report.parent.as_ref().unwrap().id, full);
    let [first, second] = report.destinations.as_slice() else {
        panic!("two destinations: {report:?}");
    };
    assert_eq!(first.status, DestinationStatus::Committed);
    assert_eq!(second.status, DestinationStatus::Behind);
    assert!(second.error.is_some(), "{second:?}");
    assert!(listed(&site, &two).await.is_empty());
    let found = site.restored(Which::Latest, &[one]).await;
    assert_same(&found, &site.objects().await);
    assert_idle(&site.engine);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_one_that_can_not_have_it_makes_it_a_full_one_for_all() {
    let (site, _, one, _) = with_full_at_one().await;
    let (_, two) = refusing();
    let report = run(&site, StrategyKind::All, &[one.clone(), two.clone()]).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!((&report.parent, &report.changes), (&None, &None));
    let why = report.whole_because.clone().unwrap();
    assert!(why.starts_with("two lacks full-"), "{why}");
    assert_eq!(report.record_count, 6);
    let both = [one, two];
    for at in &both {
        let found = site.restored(Which::Latest, std::slice::from_ref(at)).await;
        assert_same(&found, &site.objects().await);
    }
    // From there on it goes by links again.
    let next = run(&site, StrategyKind::All, &both).await;
    assert_eq!(next.parent.unwrap().id, report.id.unwrap());
    assert_idle(&site.engine);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_missed_a_link_gets_it_before_the_next() {
    let (site, _, one, _) = with_full_at_one().await;
    let (_, two) = store("two");
    let both = [one.clone(), two.clone()];
    run(&site, StrategyKind::All, &both).await;
    site.writer.make(&put(8, 8)).await;
    let missed = run(&site, StrategyKind::All, std::slice::from_ref(&one)).await;
    site.writer.make(&put(9, 9)).await;
    let report = run(&site, StrategyKind::All, &both).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(report.parent.unwrap().id, missed.id.clone().unwrap());
    assert!(listed(&site, &two).await.contains(&missed.id.unwrap()));
    let found = site.restored(Which::Latest, &[two]).await;
    assert_same(&found, &site.objects().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_on_from_what_was_withdrawn_from_one_of_them() {
    let site = Site::new().await;
    let (_, one) = store("one");
    let (_, two) = store("two");
    let both = [one.clone(), two.clone()];
    site.writer.make(&put(1, 1)).await;
    let older = site.made("full", &both).await.id.unwrap();
    let newer = site.made("full", &both).await.id.unwrap();
    let delete = async |at: &DestinationSpec, id: &BackupId| {
        let mut request = DeleteRequest::new(vec![at.clone()], id.clone());
        request.cascade = true;
        assert_eq!(site.engine.delete(request).await.exit_code(), 0);
    };
    delete(&one, &newer).await;
    // Everybody could do without the other one, and nobody has to.
    let made = run(&site, StrategyKind::Any, &both).await;
    assert_eq!(made.exit_code(), 0, "{made:?}");
    assert_eq!(made.parent.unwrap().id, older);

    delete(&two, &older).await;
    let made = run(&site, StrategyKind::Any, &both).await;
    assert_eq!(made.exit_code(), 0, "{made:?}");
    assert!(made.parent.is_none());
    let why = made.whole_because.unwrap();
    assert!(why.contains("was withdrawn from two"), "{why}");
    // A destination that isn't asked has no say.
    let made = run(&site, StrategyKind::All, std::slice::from_ref(&two)).await;
    assert!(made.parent.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_copied_with_all_that_it_needs_and_never_without() {
    let (site, sink, one, full) = with_full_at_one().await;
    let link = site.made("incremental", std::slice::from_ref(&one)).await;
    let link = link.id.unwrap();
    let (_, two) = store("two");
    let mut request = SyncRequest::new(vec![one.clone(), two.clone()]);
    request.id = Some(link.clone());
    let report = site.engine.sync(request).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(listed(&site, &two).await, [link.clone(), full.clone()]);

    // Where the parent is damaged beyond copying, the link doesn't get anywhere either.
    let manifest = sink.keys().into_iter().find(|key| {
        let key = key.as_str();
        key.contains("full-") && key.ends_with("/manifest.json")
    });
    sink.delete(&manifest.unwrap()).await.unwrap();
    let (third, three) = store("three");
    let mut request = SyncRequest::new(vec![one, three.clone()]);
    request.id = Some(link);
    let report = site.engine.sync(request).await;
    assert_ne!(report.exit_code(), 0, "{report:?}");
    assert!(listed(&site, &three).await.is_empty());
    let is_manifest = |key: &ObjectKey| key.as_str().ends_with("/manifest.json");
    assert!(!third.keys().iter().any(is_manifest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_not_published_where_its_parents_manifest_is_damaged() {
    let (site, _, one, full) = with_full_at_one().await;
    let (second, two) = store("two");
    let both = [one.clone(), two.clone()];
    let mut request = SyncRequest::new(both.to_vec());
    request.id = Some(full.clone());
    assert_eq!(site.engine.sync(request).await.exit_code(), 0);
    let manifest = ObjectKey::new(format!("{full}/manifest.json")).unwrap();
    second.overwrite(&manifest, b"{}");
    let report = run(&site, StrategyKind::Any, &both).await;
    assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
    let link = report.id.unwrap();
    let refused = report.destinations[1].error.as_ref().unwrap();
    let message = format!("{full}, without which it can't be restored, isn't there whole");
    assert!(refused.message.contains(&message), "{refused:?}");
    assert!(!listed(&site, &two).await.contains(&link));
    let found = site.restored(Which::Latest, &[one]).await;
    assert_same(&found, &site.objects().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_without_its_parent_is_damaged() {
    let (site, sink, one, full) = with_full_at_one().await;
    let link = site.made("incremental", std::slice::from_ref(&one)).await;
    let link = link.id.unwrap();
    for key in sink.keys() {
        if key.as_str().contains(full.as_str()) {
            sink.delete(&key).await.unwrap();
        }
    }
    let at = [one];
    let report = site.verify_deep(&link, &at).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    let damage = &report.backups[0].destinations[0].damage[0];
    assert!(
        damage.message.contains("can't be restored without"),
        "{damage:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("out"));
    let restored = site.restore(Which::Id(link), &at, target).await;
    let error = restored.error.as_ref().unwrap();
    assert!(error.message.contains(full.as_str()), "{error:?}");
    assert_eq!(restored.exit_code(), exit::DAMAGED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_priority_the_next_one_goes_on_from_what_it_has() {
    let (site, _, one, full) = with_full_at_one().await;
    let dead = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (_, two) = failing("two", dead);
    let report = run(&site, StrategyKind::Priority, &[two, one.clone()]).await;
    assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
    assert_eq!(report.parent.unwrap().id, full);
    assert_eq!(report.whole_because, None);
    let found = site.restored(Which::Latest, &[one]).await;
    assert_same(&found, &site.objects().await);
}

/// A place at the database's own server whose data files are archived.
fn archive(site: &Site) -> DestinationSpec {
    let server = &site.writer.server;
    let bucket = server.connection("").bucket;
    let url = format!(
        "http://me:se%2Fc%2Bret@{}/{bucket}/copies",
        server.address()
    );
    let mut archive = DestinationSpec::parse(&format!("archive={url}")).unwrap();
    let Place::S3(place) = &mut archive.place else {
        panic!("a bucket");
    };
    place.storing.class = Some("GLACIER".parse().unwrap());
    archive
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_on_from_a_link_whose_changes_are_archived() {
    let site = Site::new().await;
    for id in 0..5 {
        site.writer.make(&put(id, id)).await;
    }
    site.wait(60_000);
    let to = [archive(&site)];
    let full = site.made("full", &to).await.id.unwrap();
    for id in 5..8 {
        site.wait(60_000);
        site.writer.make(&put(id, id)).await;
        // Indexes can be read, and what a link says of deletions can't.
        let link = site.made("incremental", &to).await;
        assert_eq!(link.parent.unwrap().id, full);
        assert_eq!(link.changes.unwrap().records.created, u64::from(id) - 4);
    }
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("out"));
    let restored = site.restore(Which::Latest, &to, target).await;
    assert_eq!(restored.error.unwrap().class, Class::Archived);
}

/// Of a resource that has left the catalogue the link has what stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_parent_has_of_a_dropped_resource_is_neither_thawed_nor_read() {
    let site = Site::new().await;
    site.writer.make(&Change::Create { id: 1 }).await;
    site.writer.make(&put(2, 2)).await;
    site.wait(60_000);
    let to = [archive(&site)];
    let full = site.made("full", &to).await.id.unwrap();
    site.wait(60_000);
    site.writer.make(&Change::Drop).await;
    let expected = site.objects().await;
    let link = site.made("incremental", &to).await;
    assert_eq!(link.parent.unwrap().id, full);

    let target = Server::start().await;
    let connection = RestoreTarget::Database(target.connection(""));
    let mut request = RestoreRequest::new(Which::Latest, to.to_vec(), connection);
    request.thaw = Some(Thaw {
        days: 1,
        tier: ThawTier::Standard,
    });
    let restored = site.engine.restore(request).await;
    assert_eq!(restored.exit_code(), 0, "{restored:?}");
    assert_same(&target.objects("").await, &expected);

    let sink = site.engine.open(&to[0]).await.unwrap();
    let files: Vec<ObjectMeta> = sink.list(None).try_collect().await.unwrap();
    let mut archived = Vec::new();
    for file in files {
        if sink.availability(&file.key).await.unwrap() != Availability::Readable {
            archived.push(file.key.as_str().to_owned());
        }
    }
    let [dropped] = &archived[..] else {
        panic!("one file: {archived:?}");
    };
    assert!(dropped.contains(full.as_str()) && dropped.contains("fresh"));
}
