//! Whatever call a deletion breaks off at, the next one finishes it, and nothing but the withdrawn backup is ever gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use teeline::sinks::{MemorySink, Operation};
use teeline::{
    BackupId, CleanupRequest, DestinationSpec, DestinationStatus, Retention, RetentionPolicy, Sink,
    Span, exit,
};
use teeline_core::{ObjectKey, layout};

use super::{DAY_MS, HOUR_MS, KILLED, World, count, is_gone, keys_about, lose};
use crate::common::watched::{mortal, watched};
use crate::common::{objects, place, request};

type Objects = Vec<(ObjectKey, Vec<u8>)>;

/// What isn't about a backup, byte for byte.
async fn beside(sink: &MemorySink, id: &BackupId) -> Objects {
    let mut beside = objects(sink).await;
    beside.retain(|(key, _)| !key.as_str().contains(id.as_str()));
    beside
}

/// What goes, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// A backup, by its id.
    Delete,
    /// A backup, by a cleanup.
    Cleanup,
    /// What a run left that was killed, by a cleanup.
    Sweep,
}

/// Lets the older of two backups, or runs, go at a store that dies after so many calls; whether that lived to the end.
async fn one_death(calls: u64, by: By) -> bool {
    let world = World::new();
    let sink = MemorySink::new("here");
    let spec = [place("here", sink.clone())];
    let mut made = world.daily(1, &spec).await;
    if by == By::Sweep {
        lose(&sink, &KILLED).await;
        world.wait(7 * DAY_MS);
    }
    made.extend(world.daily(1, &spec).await);
    let others = beside(&sink, &made[0]).await;
    let go = async |at: &[DestinationSpec]| match by {
        By::Delete => world.delete_at_once(at, &made[0]).await.exit_code(),
        By::Cleanup | By::Sweep => {
            let policy = RetentionPolicy {
                grace: Span::default(),
                ..RetentionPolicy::new(count(1))
            };
            let request = CleanupRequest::new(at.to_vec(), policy);
            world.engine.cleanup(request).await.exit_code()
        }
    };
    let lived = go(&[mortal(&sink, "here", calls)]).await == exit::DONE;

    let about = format!("{by:?} after {calls} calls");
    assert!(beside(&sink, &made[0]).await == others, "{about}");
    // Either nothing has happened, or it is withdrawn; a half is never seen.
    let listed = world.listed(&spec).await;
    let expected = match listed.len() {
        2 if by != By::Sweep => vec![made[1].clone(), made[0].clone()],
        _ => vec![made[1].clone()],
    };
    world.assert_listed_and_whole(&spec, &expected).await;
    // So long whoever broke off might be at work.
    world.wait(2 * HOUR_MS);
    assert_eq!(go(&spec).await, exit::DONE, "{about}");
    let is_over = match by {
        By::Sweep => keys_about(&sink, &made[0]).is_empty(),
        By::Delete | By::Cleanup => is_gone(&sink, &made[0]),
    };
    assert!(is_over, "{about}: {:?}", sink.keys());
    assert!(beside(&sink, &made[0]).await == others, "{about}");
    world.assert_listed_and_whole(&spec, &made[1..]).await;
    lived
}

#[tokio::test]
async fn the_next_one_finishes_what_broke_off_anywhere() {
    for by in [By::Delete, By::Cleanup, By::Sweep] {
        let mut calls = 0;
        while !one_death(calls, by).await {
            calls += 1;
            assert!(calls < 500);
        }
        assert!(calls > 15, "it died at every call of {by:?}: {calls}");
    }
}

/// Deletes a backup whose claim is lost, at a store that dies after so many calls, and then again; whether that lived to the end.
async fn one_death_without_claim(calls: u64) -> bool {
    let world = World::new();
    let sink = MemorySink::new("here");
    let spec = [place("here", sink.clone())];
    let id = world.backup(&spec).await;
    lose(&sink, &["run.json"]).await;
    let mortal = [mortal(&sink, "here", calls)];
    let lived = world.delete_at_once(&mortal, &id).await.exit_code() == exit::DONE;
    let policy = RetentionPolicy {
        grace: Span::default(),
        ..RetentionPolicy::default()
    };
    world.wait(2 * HOUR_MS);
    world.delete_at_once(&spec, &id).await;
    let again = CleanupRequest::new(spec.to_vec(), policy);
    let cleaned = world.engine.cleanup(again).await;
    assert_eq!(cleaned.exit_code(), exit::DONE, "{cleaned:?}");
    assert!(is_gone(&sink, &id), "{calls} calls: {:?}", sink.keys());
    lived
}

#[tokio::test]
async fn where_the_claim_is_lost_the_manifest_tells_to_the_end_what_goes() {
    let mut calls = 0;
    while !one_death_without_claim(calls).await {
        calls += 1;
        assert!(calls < 500);
    }
    assert!(calls > 10, "it died at every call: {calls}");
}

#[tokio::test]
async fn what_is_swept_loses_its_entry_before_its_claim() {
    let world = World::new();
    let sink = MemorySink::new("here");
    world.backup(&[place("here", sink.clone())]).await;
    lose(&sink, &["manifest.json", "runs/", "~0002.index"]).await;
    world.wait(7 * DAY_MS);
    let (claims, seen) = (Arc::new(AtomicU64::new(0)), sink.clone());
    let counted = Arc::clone(&claims);
    let at = [watched(&sink, "here", move |operation, key| {
        if let (Operation::Delete, Some("run.json")) = (operation, key.map(ObjectKey::file_name)) {
            counted.fetch_add(1, Ordering::Relaxed);
            let entries = seen.keys().into_iter();
            let entries = entries.filter(|key| layout::catalog_entry_id(key).is_some());
            assert_eq!(entries.count(), 0, "whoever claims it now may write one");
        }
        Ok(())
    })];
    let report = world.cleanup(&at, Retention::default()).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(claims.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_is_swept_while_the_manifest_is_written_is_in_doubt() {
    let world = World::new();
    let sink = MemorySink::new("here");
    let swept = sink.clone();
    let at = [watched(&sink, "here", move |operation, key| {
        if let (Operation::Put, Some("manifest.json")) = (operation, key.map(ObjectKey::file_name))
        {
            let mut keys = swept.keys().into_iter();
            let entry = keys.find(|key| key.as_str().starts_with("catalog/"));
            swept.overwrite(&layout::sweep(&entry.unwrap()).unwrap(), b"");
        }
        Ok(())
    })];
    let report = world.engine.backup(request(&world.lines, &at)).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    assert_eq!(report.destinations[0].status, DestinationStatus::Unknown);
    let error = report.destinations[0].error.as_ref().unwrap();
    assert!(error.message.contains("taken for dead"), "{error:?}");
    assert!(world.listed(&at).await.is_empty());
}

#[tokio::test]
async fn what_is_taken_for_dead_meanwhile_publishes_nothing() {
    for lost in ["run.json", ".withdrawn"] {
        let world = World::new();
        let sink = MemorySink::new("here");
        let swept = sink.clone();
        let at = [watched(&sink, "here", move |operation, key| {
            let is_entry = |key: &&ObjectKey| key.as_str().starts_with("catalog/");
            let (Operation::Put, Some(entry)) = (operation, key.filter(is_entry)) else {
                return Ok(());
            };
            let claim = swept
                .keys()
                .into_iter()
                .find(|key| key.file_name() == "run.json");
            match lost {
                "run.json" => futures::executor::block_on(swept.delete(&claim.unwrap())),
                _ => {
                    swept.overwrite(&layout::withdrawal(entry).unwrap(), b"");
                    Ok(())
                }
            }
        })];
        let report = world.engine.backup(request(&world.lines, &at)).await;
        assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
        assert!(
            !sink
                .keys()
                .iter()
                .any(|key| key.file_name() == "manifest.json")
        );
        assert!(world.listed(&at).await.is_empty());
    }
}
