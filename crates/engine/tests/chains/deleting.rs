//! What others need stays as long as they do.

use futures::TryStreamExt;
use teeline::sinks::MemorySink;
use teeline::{
    BackupId, Class, CleanupRequest, DeleteRequest, DestinationSpec, MonitorRequest, RemovalStatus,
    RepairRequest, RepairStatus, RestoreMode, RestoreRequest, RestoreTarget, Retention,
    RetentionPolicy, Rule, Sink, Span, SyncRequest, SyncStatus, VerifyRequest, Which, exit,
};
use teeline_core::{ObjectKey, ObjectMeta, Withdrawal, WithdrawalReason, document, layout};

use crate::common::{store, whole};
use crate::links::put;
use crate::site::{Site, assert_same};
use crate::writer::PREFIX;

/// A full backup and two links, the newest first.
pub(crate) async fn with_chain() -> (Site, Vec<DestinationSpec>, [BackupId; 3]) {
    let site = Site::new().await;
    let (_, at) = store("copy");
    let at = vec![at];
    site.writer.make(&put(1, 1)).await;
    let full = site.made("full", &at).await.id.unwrap();
    let mut links = Vec::new();
    for id in 2..4 {
        site.wait(86_400_000);
        site.writer.make(&put(id, id)).await;
        links.push(site.made("incremental", &at).await.id.unwrap());
    }
    let [first, second] = links.try_into().unwrap();
    (site, at, [second, first, full])
}

/// A full backup and a link.
async fn with_link(site: &Site, at: &[DestinationSpec]) -> [BackupId; 2] {
    site.writer.make(&put(1, 1)).await;
    let full = site.made("full", at).await.id.unwrap();
    site.wait(86_400_000);
    site.writer.make(&put(2, 2)).await;
    [full, site.made("incremental", at).await.id.unwrap()]
}

/// The key of a backup's entry in the catalogue.
fn entry_of(sink: &MemorySink, id: &BackupId) -> ObjectKey {
    let mut keys = sink.keys().into_iter();
    let entry = keys.find(|key| layout::catalog_entry_id(key).as_ref() == Some(id));
    entry.expect("it has one")
}

async fn listed(site: &Site, at: &[DestinationSpec]) -> Vec<BackupId> {
    let report = site.engine.list(at).await;
    report.backups.into_iter().map(|it| it.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_is_not_deleted_unless_the_chain_is() {
    let (site, at, [second, first, full]) = with_chain().await;
    let mut request = DeleteRequest::new(at.clone(), full.clone());
    let refused = site.engine.delete(request.clone()).await;
    let error = refused.error.as_ref().unwrap();
    assert_eq!(error.class, Class::Conflict);
    assert!(error.message.contains(second.as_str()), "{error:?}");
    assert_eq!(refused.exit_code(), exit::FAILED);
    assert_eq!(listed(&site, &at).await.len(), 3);

    request.cascade = true;
    request.id = first.clone();
    let deleted = site.engine.delete(request).await;
    assert_eq!(deleted.exit_code(), 0, "{deleted:?}");
    let gone: Vec<_> = deleted.links.iter().map(|link| &link.id).collect();
    assert_eq!(gone, [&second]);
    let status = deleted.links[0].destinations[0].removal.status;
    assert_eq!(status, RemovalStatus::Withdrawn);
    assert_eq!(listed(&site, &at).await, std::slice::from_ref(&full));

    // What nothing needs goes alone.
    let alone = site
        .engine
        .delete(DeleteRequest::new(at.clone(), full))
        .await;
    assert_eq!((alone.exit_code(), alone.links.len()), (0, 0));
    assert!(listed(&site, &at).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_entry_that_cannot_be_read_may_need_is_not_deleted() {
    let site = Site::new().await;
    let (sink, at) = store("copy");
    let at = vec![at];
    let [full, link] = with_link(&site, &at).await;
    let entry = entry_of(&sink, &link);
    let right = whole(&sink, &entry).await;
    sink.overwrite(&entry, b"{}");
    for cascade in [false, true] {
        let mut request = DeleteRequest::new(at.clone(), full.clone());
        request.cascade = cascade;
        let report = site.engine.delete(request).await;
        let removal = &report.destinations[0].removal;
        assert_eq!(removal.status, RemovalStatus::Failed, "{report:?}");
        let error = removal.error.as_ref().unwrap();
        assert!(error.message.contains(link.as_str()), "{error:?}");
        assert!(error.suggestion.as_ref().unwrap().contains("repair"));
    }
    sink.overwrite(&entry, &right);
    assert_eq!(listed(&site, &at).await, [link.clone(), full.clone()]);

    // The damaged one itself may go, and then nothing needs the other.
    sink.overwrite(&entry, b"{}");
    for id in [link, full] {
        let report = site.engine.delete(DeleteRequest::new(at.clone(), id)).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_lost_its_entry_does_not_come_back_without_its_parent() {
    let site = Site::new().await;
    let (sink, at) = store("copy");
    let at = vec![at];
    let [full, link] = with_link(&site, &at).await;
    sink.delete(&entry_of(&sink, &link)).await.unwrap();
    // Nobody sees that the link is there.
    let request = DeleteRequest::new(at.clone(), full.clone());
    assert_eq!(site.engine.delete(request).await.exit_code(), 0);
    let request = RepairRequest::everything(at.clone());
    let report = site.engine.repair(request).await;
    let mut runs = report.runs.iter();
    let run = runs.find(|run| run.id == link).expect("it is found");
    let error = run.destinations[0].error.as_ref().unwrap();
    assert!(error.message.contains(full.as_str()), "{error:?}");
    assert!(listed(&site, &at).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_not_copied_to_where_its_parent_was_withdrawn() {
    let site = Site::new().await;
    let ((_, one), (second, two)) = (store("one"), store("two"));
    let both = vec![one.clone(), two.clone()];
    site.writer.make(&put(1, 1)).await;
    let full = site.made("full", &both).await.id.unwrap();
    site.wait(86_400_000);
    site.writer.make(&put(2, 2)).await;
    let link = site.made("incremental", &[one]).await.id.unwrap();
    let deleted = DeleteRequest::new(vec![two], full.clone());
    assert_eq!(site.engine.delete(deleted).await.exit_code(), 0);
    let before = second.keys();

    let synced = site.engine.sync(SyncRequest::new(both.clone())).await;
    assert_eq!(synced.exit_code(), exit::DEGRADED, "{synced:?}");
    let copy = &synced.backups[0].destinations[1];
    assert_eq!(copy.status, SyncStatus::Failed, "{copy:?}");
    let error = copy.error.as_ref().unwrap();
    assert!(error.message.contains(full.as_str()), "{error:?}");
    assert!(second.keys() == before, "nothing is written in vain");

    let repaired = RepairRequest::everything(both);
    let repaired = site.engine.repair(repaired).await;
    let mut runs = repaired.runs.iter();
    let run = runs.find(|run| run.id == link).unwrap();
    let copy = &run.destinations[1];
    assert_eq!(copy.status, RepairStatus::Refused, "{copy:?}");
    assert!(second.keys() == before, "nor by that");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_that_left_a_link_without_its_parent_is_taken_back() {
    let site = Site::new().await;
    let (sink, at) = store("copy");
    let at = vec![at];
    let [full, link] = with_link(&site, &at).await;
    let expected = site.objects().await;
    // Whoever has withdrawn it was killed before it could see that a link had come.
    let entry = entry_of(&sink, &full);
    let withdrawal = document::seal(&Withdrawal {
        id: full.clone(),
        path: Some(full.to_string()),
        withdrawn_at: "2026-11-23T12:00:00.000Z".parse().unwrap(),
        reason: WithdrawalReason::Deleted,
        by: None,
    });
    let key = layout::withdrawal(&entry).unwrap();
    sink.overwrite(&key, &withdrawal);
    assert_eq!(listed(&site, &at).await, std::slice::from_ref(&link));
    // What is listed can be restored, with what it goes on from as long as that is there.
    let found = site.restored(Which::Id(link.clone()), &at).await;
    assert_same(&found, &expected);
    let mut request = VerifyRequest::new(at.clone());
    request.deep = true;
    let verified = site.engine.verify(request).await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
    let repair = RepairRequest::heal(at.clone());
    let repaired = site.engine.repair(repair).await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    let looked = site.engine.monitor(MonitorRequest::new(at.clone())).await;
    assert_eq!(looked.exit_code(), exit::DONE, "{looked:?}");

    let mut request = CleanupRequest::new(at.clone(), RetentionPolicy::default());
    request.dry_run = true;
    for dry_run in [true, false] {
        request.dry_run = dry_run;
        let report = site.engine.cleanup(request.clone()).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        let removal = &report.destinations[0].removals[0];
        assert_eq!(removal.status, RemovalStatus::Left);
        let error = removal.error.as_ref().unwrap();
        assert!(
            error.message.contains("isn't withdrawn any more"),
            "{error:?}"
        );
        assert_eq!(sink.keys().contains(&key), dry_run);
    }
    assert_eq!(listed(&site, &at).await, [link, full]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleanup_keeps_what_a_kept_link_needs() {
    let (site, at, [second, first, full]) = with_chain().await;
    let expected = site.objects().await;
    let newest = Retention {
        count: 1,
        ..Retention::default()
    };
    let cleanup = || CleanupRequest::new(at.clone(), RetentionPolicy::new(newest));
    let report = site.engine.cleanup(cleanup()).await;
    assert_eq!((report.exit_code(), report.count), (0, 0), "{report:?}");
    let kept_by = |id: &BackupId| {
        let mut backups = report.destinations[0].backups.iter();
        let backup = backups.find(|backup| backup.id == *id).unwrap();
        let rules = backup.kept_by.iter().map(|kept| kept.rule);
        rules.collect::<Vec<_>>()
    };
    assert_eq!(kept_by(&first), [Rule::NeededBy]);
    assert_eq!(kept_by(&full), [Rule::NeededBy]);
    let found = site.restored(Which::Id(second), &at).await;
    assert_same(&found, &expected);

    // Once a full one is newer, the chain goes as a whole.
    site.wait(86_400_000);
    let newer = site.made("full", &at).await.id.unwrap();
    let report = site.engine.cleanup(cleanup()).await;
    assert_eq!((report.exit_code(), report.count), (0, 3), "{report:?}");
    assert_eq!(listed(&site, &at).await, [newer]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_damaged_link_goes_on_from_stays() {
    let site = Site::new().await;
    let (sink, at) = store("copy");
    let at = vec![at];
    site.writer.make(&put(1, 1)).await;
    let full = site.made("full", &at).await.id.unwrap();
    site.wait(86_400_000);
    site.writer.make(&put(2, 2)).await;
    let link = site.made("incremental", &at).await;
    site.wait(86_400_000);
    let newest = site.made("full", &at).await.id.unwrap();
    let manifest = format!("{}/manifest.json", link.folder.unwrap());
    sink.delete(&ObjectKey::new(manifest).unwrap())
        .await
        .unwrap();
    let rules = Retention {
        count: 1,
        ..Retention::default()
    };
    site.engine
        .cleanup(CleanupRequest::new(at.clone(), RetentionPolicy::new(rules)))
        .await;
    assert_eq!(listed(&site, &at).await, [newest, full.clone()]);
    let refused = site.engine.delete(DeleteRequest::new(at, full)).await;
    assert_eq!(refused.error.unwrap().class, Class::Conflict);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_link_goes_on_from_that_lost_its_entry_stays() {
    for (lost, count) in [(1, 2), (0, 1)] {
        let (site, at, chain) = with_chain().await;
        let expected = site.objects().await;
        let sink = site.engine.open(&at[0]).await.unwrap();
        let objects: Vec<ObjectMeta> = sink.list(None).try_collect().await.unwrap();
        let is_lost = |object: &&ObjectMeta| {
            let name = object.key.as_str();
            name.starts_with("catalog/") && name.contains(chain[lost].as_str())
        };
        for object in objects.iter().filter(is_lost) {
            sink.delete(&object.key).await.unwrap();
        }
        site.wait(30 * 86_400_000);
        site.made("full", &at).await;
        let mut policy = RetentionPolicy::new(Retention {
            count,
            ..Retention::default()
        });
        policy.grace = Span::default();
        let cleaned = site
            .engine
            .cleanup(CleanupRequest::new(at.clone(), policy))
            .await;
        assert_eq!((cleaned.exit_code(), cleaned.count), (0, 0), "{cleaned:?}");
        let removals = &cleaned.destinations[0].removals;
        let mut left = removals
            .iter()
            .filter(|it| it.status == RemovalStatus::Left);
        let left = left.next().expect("it is reported");
        assert_eq!(left.id, chain[lost]);
        let suggestion = left.error.as_ref().unwrap().suggestion.as_ref();
        assert!(suggestion.unwrap().contains("repair"));

        if lost == 1 {
            let request = DeleteRequest::new(at.clone(), chain[2].clone());
            let refused = site.engine.delete(request).await;
            let removal = &refused.destinations[0].removal;
            let error = removal.error.as_ref().unwrap();
            assert!(error.message.contains(chain[1].as_str()), "{error:?}");
        }
        let repaired = site
            .engine
            .repair(RepairRequest::everything(at.clone()))
            .await;
        assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
        let found = site.restored(Which::Id(chain[0].clone()), &at).await;
        assert_same(&found, &expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_goes_on_from_that_may_have_lost_its_manifest_stays() {
    let (site, at, [second, first, full]) = with_chain().await;
    // As a kill leaves it that came before the catalogue's entry: nothing but the folder tells of it.
    let sink = site.engine.open(&at[0]).await.unwrap();
    let objects: Vec<ObjectMeta> = sink.list(None).try_collect().await.unwrap();
    let manifest = format!("{second}/{}", layout::MANIFEST);
    let is_lost = |object: &&ObjectMeta| {
        let name = object.key.as_str();
        let is_beside = name.starts_with("catalog/") || name.starts_with("runs/");
        name == manifest || (is_beside && name.contains(second.as_str()))
    };
    for object in objects.iter().filter(is_lost) {
        sink.delete(&object.key).await.unwrap();
    }
    site.wait(30 * 86_400_000);
    let newest = site.made("full", &at).await.id.unwrap();
    let rules = Retention {
        count: 1,
        ..Retention::default()
    };
    let mut policy = RetentionPolicy::new(rules);
    policy.dead_after = Span::from_days(0);
    let report = site
        .engine
        .cleanup(CleanupRequest::new(at.clone(), policy))
        .await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(
        listed(&site, &at).await,
        [newest, first, full],
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_some_records_takes_the_place_of_none_that_has_all() {
    let site = Site::new().await;
    let (_, at) = store("copy");
    let at = vec![at];
    site.writer.make(&put(1, 1)).await;
    let since = site.server_time.now();
    let mut request = site.request("incremental", &at);
    request.since = Some(since);
    let part = site.engine.backup(request).await;
    assert_eq!((part.exit_code(), part.since), (0, Some(since)));
    let part = part.id.unwrap();
    site.wait(86_400_000);
    let full = site.made("full", &at).await.id.unwrap();
    site.wait(86_400_000);
    let mut request = site.request("incremental", &at);
    request.since = Some("2000-01-01T00:00:00.000Z".parse().unwrap());
    let newer = site.engine.backup(request).await.id.unwrap();
    let rules = Retention {
        count: 1,
        ..Retention::default()
    };
    let cleanup = CleanupRequest::new(at.clone(), RetentionPolicy::new(rules));
    let report = site.engine.cleanup(cleanup).await;
    assert_eq!(report.deleted, [part], "{report:?}");
    assert_eq!(listed(&site, &at).await, [newer.clone(), full]);

    // Nor is what it hasn't taken for what is to be deleted.
    let address = site.writer.server.address().to_owned();
    let place = site
        .writer
        .server
        .connection_over(&address, PREFIX.trim_end_matches('/'));
    let target = RestoreTarget::Database(place);
    let mut request = RestoreRequest::new(Which::Id(newer), at, target);
    request.mode = Some(RestoreMode::Replace);
    let refused = site.engine.restore(request).await.error.unwrap();
    assert_eq!(refused.class, Class::Usage);
    assert!(
        refused.message.contains("only what was written since"),
        "{refused:?}"
    );
}
