//! Links whose parents are gone from where they are: nobody calls them good.

use futures::TryStreamExt;
use teeline::{
    BackupId, BackupState, Class, CopyState, DestinationSpec, ListRequest, MonitorRequest,
    RepairRequest, RepairStatus, SyncRequest, exit,
};
use teeline_core::{ObjectKey, ObjectMeta};

use crate::common::store;
use crate::deleting::with_chain;
use crate::site::Site;

/// Takes everything of a backup away.
async fn lose(site: &Site, at: &DestinationSpec, id: &BackupId) {
    let sink = site.engine.open(at).await.unwrap();
    let objects: Vec<ObjectMeta> = sink.list(None).try_collect().await.unwrap();
    let of_it = objects
        .iter()
        .filter(|object| object.key.as_str().contains(id.as_str()));
    for object in of_it {
        sink.delete(&object.key).await.unwrap();
    }
}

/// What a list that is limited to so many says of the copies at the first destination.
async fn listed(
    site: &Site,
    at: &[DestinationSpec],
    limit: usize,
) -> Vec<(CopyState, Option<BackupId>)> {
    let mut request = ListRequest::new(at.to_vec());
    request.limit = Some(limit);
    let report = site.engine.list(request).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let copies = report.backups.into_iter().map(|it| it.copies[0].clone());
    copies.map(|copy| (copy.status, copy.lacks)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_without_its_parent_is_damaged_wherever_it_is_told_of() {
    let (site, mut at, [second, first, full]) = with_chain().await;
    let (_, other) = store("other");
    at.push(other);
    let synced = site.engine.sync(SyncRequest::new(at.clone())).await;
    assert_eq!(synced.exit_code(), exit::DONE, "{synced:?}");
    let look = async || site.engine.monitor(MonitorRequest::new(at.clone())).await;
    assert_eq!(look().await.exit_code(), exit::DONE);
    let whole = vec![(CopyState::Ok, None)];
    assert_eq!(listed(&site, &at, 1).await, whole);

    lose(&site, &at[0], &full).await;
    let report = look().await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    let [problem] = &report.destinations[0].problems[..] else {
        panic!("one problem for both: {report:?}");
    };
    let expected =
        format!("2 backups: {first} can't be restored without {full}, which isn't there");
    assert!(problem.message.ends_with(&expected), "{problem:?}");
    assert!(report.destinations[1].problems.is_empty(), "{report:?}");
    assert_eq!(report.destinations[0].latest, None, "none can be restored");

    for id in [&first, &second] {
        let status = site.engine.status(&at, id).await;
        assert_eq!(status.status, BackupState::Damaged, "{status:?}");
        assert_eq!(status.exit_code(), exit::DAMAGED);
        let states = [&status.destinations[0], &status.destinations[1]].map(|copy| copy.status);
        assert_eq!(states, [CopyState::Damaged, CopyState::Ok]);
        let error = status.destinations[0].error.as_ref().unwrap();
        assert_eq!(error.class, Class::Corrupt);
        assert!(error.message.contains(full.as_str()), "{error:?}");
    }

    // Also where the list doesn't get as far as what is missing.
    let damaged = (CopyState::Damaged, Some(full.clone()));
    for limit in [1, 2] {
        let expected = vec![damaged.clone(); limit];
        assert_eq!(listed(&site, &at, limit).await, expected);
    }
    // A full backup that comes later changes nothing for them.
    site.wait(86_400_000);
    site.made("full", &at).await;
    assert_eq!(look().await.exit_code(), exit::DAMAGED);

    let synced = site.engine.sync(SyncRequest::new(at.clone())).await;
    assert_eq!(synced.exit_code(), exit::DONE, "{synced:?}");
    assert_eq!(look().await.exit_code(), exit::DONE);
    assert_eq!(listed(&site, &at, 2).await, vec![(CopyState::Ok, None); 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_of_a_parent_whose_manifest_is_made_again_are_whole() {
    let (site, mut at, [second, first, full]) = with_chain().await;
    let manifest = ObjectKey::new(format!("{full}/manifest.json")).unwrap();
    for other in ["one", "two"] {
        for destination in &at {
            let sink = site.engine.open(destination).await.unwrap();
            sink.delete(&manifest).await.unwrap();
        }
        let report = site.engine.repair(RepairRequest::heal(at.clone())).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        let became = report.runs.iter().map(|run| {
            let statuses = run.destinations.iter().map(|copy| copy.status);
            (&run.id, statuses.collect::<Vec<_>>())
        });
        let expected = [
            (&full, vec![RepairStatus::Reconstructed; at.len()]),
            (&first, vec![RepairStatus::Whole; at.len()]),
            (&second, vec![RepairStatus::Whole; at.len()]),
        ];
        assert_eq!(became.collect::<Vec<_>>(), expected);
        let looked = site.engine.monitor(MonitorRequest::new(at.clone())).await;
        assert_eq!(looked.exit_code(), exit::DONE, "{looked:?}");
        // The next time it is lost wherever it is.
        at.push(store(other).1);
        let synced = site.engine.sync(SyncRequest::new(at.clone())).await;
        assert_eq!(synced.exit_code(), exit::DONE, "{synced:?}");
    }
}
