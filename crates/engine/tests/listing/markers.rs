//! What marks backups as published: it saves asking, and whatever is wrong with it, what is listed is what there is.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use teeline::sinks::{Fault, MemorySink, Operation, What, When};
use teeline::{
    BackupId, BackupReport, Class, CleanupRequest, CopyState, DeleteRequest, DestinationSpec,
    ListReport, ListRequest, Metadata, RepairRequest, Retention, RetentionPolicy, Sink, Span,
    SyncRequest, VerifyRequest, exit,
};
use teeline_core::{CatalogEntry, ObjectKey, document, layout, published_marker};

use crate::common::watched::watched;
use crate::common::{failing, records, request, store, whole};
use crate::{back_up, engine_at, list};

const NOW: &str = "2027-01-01T00:00:00Z";

/// A store with two backups, of which calls for single objects are counted.
struct World {
    sink: MemorySink,
    at: Vec<DestinationSpec>,
    asked: Arc<AtomicU64>,
    made: [BackupReport; 2],
}

impl World {
    async fn new() -> Self {
        let (sink, asked) = (MemorySink::new("store"), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&asked);
        let at = watched(&sink, "store", move |operation, _| {
            if matches!(operation, Operation::Head | Operation::Read) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let at = vec![at];
        let older = back_up("2026-11-22T02:00:00Z", "full", &at).await;
        let newer = back_up("2026-11-23T02:00:00Z", "full", &at).await;
        World {
            sink,
            at,
            asked,
            made: [older, newer],
        }
    }

    /// What is listed, and how many calls for single objects that took.
    async fn list(&self) -> (ListReport, u64) {
        let before = self.asked.load(Ordering::Relaxed);
        let report = list(&ListRequest::new(self.at.clone())).await;
        (report, self.asked.load(Ordering::Relaxed) - before)
    }

    async fn assert_both_are_listed(&self) -> u64 {
        let (report, asked) = self.list().await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        let listed = report.backups.iter().map(|listed| Some(&listed.id));
        let newest_first = self.made.iter().rev().map(|made| made.id.as_ref());
        assert!(listed.eq(newest_first), "{report:?}");
        asked
    }

    async fn cleanup(&self) -> u8 {
        let keep_all = RetentionPolicy::new(Retention {
            count: 100,
            ..Retention::default()
        });
        let request = CleanupRequest::new(self.at.clone(), keep_all);
        engine_at(NOW).cleanup(request).await.exit_code()
    }

    async fn lose(&self, wanted: impl Fn(&ObjectKey) -> bool) {
        for key in self.sink.keys().iter().filter(|key| wanted(key)) {
            self.sink.delete(key).await.unwrap();
        }
    }

    fn id(&self, of: usize) -> &BackupId {
        self.made[of].id.as_ref().unwrap()
    }

    fn entry_key(&self, of: usize) -> ObjectKey {
        layout::catalog_entry(self.id(of), self.made[of].started_at).unwrap()
    }

    fn markers(&self) -> Vec<ObjectKey> {
        self.sink.keys().into_iter().filter(is_marker).collect()
    }
}

fn is_marker(key: &ObjectKey) -> bool {
    published_marker::entry_of(key).is_some()
}

#[tokio::test]
async fn what_is_not_marked_is_asked_for_until_somebody_marks_it() {
    for by in ["cleanup", "repair", "sync"] {
        let world = World::new().await;
        let markers = world.markers();
        assert_eq!(
            (markers.len(), world.assert_both_are_listed().await),
            (2, 0)
        );
        world.lose(is_marker).await;
        assert!(world.assert_both_are_listed().await >= 4);
        let code = match by {
            "cleanup" => world.cleanup().await,
            "repair" => {
                let request = RepairRequest::heal(world.at.clone());
                engine_at(NOW).repair(request).await.exit_code()
            }
            _ => {
                let request = SyncRequest::new(world.at.clone());
                engine_at(NOW).sync(request).await.exit_code()
            }
        };
        assert_eq!(code, exit::DONE, "{by}");
        assert_eq!(world.markers(), markers, "{by}");
        assert_eq!(world.assert_both_are_listed().await, 0, "{by}");
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_markers_what_is_listed_is_what_there_is() {
    let world = World::new().await;
    let entry_key = world.entry_key(0);
    let bytes = whole(&world.sink, &entry_key).await;
    let entry: CatalogEntry = document::open("entry", &bytes).unwrap();
    let forged = document::seal(&CatalogEntry {
        records: 1_000_000,
        ..entry.clone()
    });
    let contradicting = published_marker::key_of(&entry_key, &forged).unwrap();
    let of_the_other = published_marker::key_of(&world.entry_key(1), &bytes).unwrap();
    let folder = published_marker::folder_of(&entry_key).unwrap();
    let unknown = folder.join("of-a-later-version/whatever").unwrap();
    for (wrong, costs) in [
        (contradicting, true),
        (of_the_other, false),
        (unknown, false),
    ] {
        world.sink.overwrite(&wrong, b"");
        let asked = world.assert_both_are_listed().await;
        assert_eq!(asked > 0, costs, "{wrong}: {asked}");
        let (report, _) = world.list().await;
        assert_eq!(report.backups[1].record_count, entry.records, "{wrong}");
        world.sink.delete(&wrong).await.unwrap();
    }

    // Markers of what isn't there.
    let gone = world.id(0).clone();
    world
        .lose(|key| key.as_str().contains(gone.as_str()) && !is_marker(key))
        .await;
    let (report, _) = world.list().await;
    assert_eq!(
        (report.backups.len(), report.errors.len()),
        (1, 0),
        "{report:?}"
    );
    assert_eq!(world.markers().len(), 2);
    assert_eq!(world.cleanup().await, exit::DONE);
    assert_eq!(world.markers().len(), 1);
}

#[tokio::test]
async fn a_manifest_that_is_lost_is_missed_by_whoever_decides_and_listings_know_after_a_cleanup() {
    let world = World::new().await;
    let manifest = format!("{}/{}", world.id(1), layout::MANIFEST);
    world.lose(|key| key.as_str() == manifest).await;
    assert_eq!(world.assert_both_are_listed().await, 0, "nothing is asked");
    let status = engine_at(NOW).status(&world.at, world.id(1)).await;
    let copy = &status.destinations[0];
    assert_eq!(copy.status, CopyState::Damaged, "{status:?}");
    let shown = async || world.list().await.0.backups[0].copies[0].status;
    assert_eq!(shown().await, CopyState::Ok);
    let asked = VerifyRequest::new(world.at.clone());
    let verified = engine_at("2026-12-01T00:00:00Z").verify(asked).await;
    assert_eq!(verified.exit_code(), exit::DAMAGED, "{verified:?}");
    assert_eq!(shown().await, CopyState::Damaged, "by what a check found");

    assert_eq!(world.cleanup().await, exit::DAMAGED);
    let (report, _) = world.list().await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    assert_eq!(report.backups.len(), 1);
    let error = &report.errors[0].error;
    assert!(
        error.message.contains("its manifest is missing"),
        "{error:?}"
    );

    let mut repair = RepairRequest::rebuild_manifests(world.at.clone());
    repair.id = Some(world.id(1).clone());
    let repaired = engine_at(NOW).repair(repair).await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    assert_eq!(world.assert_both_are_listed().await, 0);
    assert_eq!(shown().await, CopyState::Ok);
}

#[tokio::test]
async fn a_store_that_takes_no_marker_or_only_a_short_one_has_the_backup_all_the_same() {
    let refused = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (sink, at) = failing("refusing", refused.on_keys_with(".published"));
    let made = back_up("2026-11-23T02:00:00Z", "full", std::slice::from_ref(&at)).await;
    assert_eq!(made.exit_code(), exit::DONE, "{made:?}");
    assert!(!sink.keys().iter().any(is_marker));
    assert_eq!(list(&ListRequest::new(vec![at])).await.backups.len(), 1);

    let sink = MemorySink::new("short");
    let asked = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&asked);
    let at = watched(&sink, "short", move |operation, key| {
        match (operation, key) {
            (Operation::Put, Some(key)) if key.as_str().len() > 120 => {
                let message = "its name is too long";
                Err(teeline::BackupError::new(
                    Class::Permanent,
                    "write",
                    key,
                    message,
                ))
            }
            (Operation::Head | Operation::Read, _) => {
                counter.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            _ => Ok(()),
        }
    });
    let made = back_up("2026-11-23T02:00:00Z", "full", std::slice::from_ref(&at)).await;
    assert_eq!(made.exit_code(), exit::DONE, "{made:?}");
    let marker = sink.keys().into_iter().find(is_marker).unwrap();
    assert!(
        marker.as_str().ends_with(".published/see.entry"),
        "{marker}"
    );
    asked.store(0, Ordering::Relaxed);
    assert_eq!(list(&ListRequest::new(vec![at])).await.backups.len(), 1);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "its entry is read");
}

#[tokio::test]
async fn what_is_too_large_for_a_key_is_read_and_nothing_more_is_asked() {
    let (sink, at) = store("store");
    let mut asked = request(&records(3), std::slice::from_ref(&at));
    let noise = |number: u32| teeline::Digest::of(&number.to_le_bytes()).to_string();
    let note: String = (0..100).map(noise).collect();
    let note = [("note".to_owned(), note.into())].into_iter().collect();
    asked.metadata = Metadata::new(note).unwrap();
    let made = engine_at("2026-11-23T02:00:00Z")
        .backup(asked.clone())
        .await;
    assert_eq!(made.exit_code(), exit::DONE, "{made:?}");
    let marker = sink.keys().into_iter().find(is_marker).unwrap();
    assert!(
        marker.as_str().ends_with(".published/see.entry"),
        "{marker}"
    );
    let listed = list(&ListRequest::new(vec![at])).await;
    assert_eq!(listed.backups[0].metadata, asked.metadata);
}

#[tokio::test]
async fn what_is_removed_leaves_no_marker_and_no_folder_of_one() {
    let root = tempfile::tempdir().unwrap();
    let at = DestinationSpec::parse(root.path().to_str().unwrap()).unwrap();
    let made = back_up("2026-11-23T02:00:00Z", "full", std::slice::from_ref(&at)).await;
    let names = || {
        let found = fs::read_dir(root.path().join("catalog")).unwrap();
        let names = found.map(|found| found.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    assert_eq!(names().len(), 2);
    assert!(names()[1].ends_with(".published"));
    let mut request = DeleteRequest::new(vec![at], made.id.unwrap());
    request.retention.grace = Span::default();
    let deleted = engine_at(NOW).delete(request).await;
    assert_eq!(deleted.exit_code(), exit::DONE, "{deleted:?}");
    assert_eq!(names().len(), 1);
    assert!(names()[0].ends_with(".withdrawn"));
}
