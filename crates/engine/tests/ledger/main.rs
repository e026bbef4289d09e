//! The ledger of verification: what checks leave at destinations, what is read of it, and what goes by it.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod again;
#[path = "../common/mod.rs"]
mod common;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::watched::watched;
use common::{failing, records, request, store, whole};
use teeline::sinks::{Fault, Operation, What, When};
use teeline::{
    BackupId, BackupState, Class, CleanupRequest, CopyState, Depth, DestinationSpec, KeptBy,
    MonitorRequest, Retention, RetentionPolicy, Rule, Span, ValidateRequest, VerificationResult,
    exit,
};
use teeline_core::{ObjectKey, Sink, layout};
use world::{DAY_MS, World, data_file, entries, flip, only_entry, verify};

#[tokio::test]
async fn each_check_is_noted_with_how_thorough_it_was_and_what_it_found() {
    let world = World::new();
    let ((sink, a), (other, b)) = (store("a"), store("b"));
    let both = [a.clone(), b.clone()];
    let id = world.backed_up(500, &both).await;
    let last = async |at: &DestinationSpec| {
        let listed = world.engine.list(std::slice::from_ref(at)).await;
        listed.backups[0].copies[0].last_verified
    };
    assert_eq!(last(&a).await, None);

    world.after_days(1);
    assert_eq!(world.verified(&id, std::slice::from_ref(&a)).await, 0);
    let noted = only_entry(&sink).await;
    assert_eq!(
        (&noted.id, noted.how, noted.result, noted.by.as_str()),
        (&id, Depth::Digest, VerificationResult::Ok, "verify")
    );
    assert!(noted.bytes > 0 && noted.damage.is_empty(), "{noted:?}");
    let found = last(&a).await.unwrap();
    assert_eq!((found.at, found.how), (world.now(), Depth::Digest));
    assert!(entries(&other).is_empty(), "nobody looked there");

    world.after_days(1);
    let mut deep = verify(&id, std::slice::from_ref(&a));
    deep.deep = true;
    assert_eq!(world.engine.verify(deep).await.exit_code(), 0);
    assert_eq!(last(&a).await.unwrap().how, Depth::Decoded);

    world.after_days(1);
    let validated = ValidateRequest::new(both.to_vec());
    let validated = world.engine.validate(validated).await;
    assert_eq!(validated.exit_code(), 0, "{validated:?}");
    let found = last(&b).await.unwrap();
    assert_eq!(
        found.how,
        Depth::Digest,
        "which one was restored from isn't known"
    );
    let alone = ValidateRequest::new(vec![b.clone()]);
    world.after_days(1);
    assert_eq!(world.engine.validate(alone).await.exit_code(), 0);
    assert_eq!(last(&b).await.unwrap().how, Depth::Restored);
}

#[tokio::test]
async fn damage_that_was_found_makes_the_backup_damaged_until_it_is_gone() {
    let world = World::new();
    let ((sink, a), (_, b)) = (store("a"), store("b"));
    let both = [a.clone(), b.clone()];
    let id = world.backed_up(500, &both).await;
    let state = async || {
        let report = world.engine.status(&both, &id).await;
        (
            report.status,
            report.destinations[0].status,
            report.exit_code(),
        )
    };
    assert_eq!(state().await, (BackupState::Completed, CopyState::Ok, 0));

    let file = data_file(&sink, &id);
    let right = whole(&sink, &file).await;
    flip(&sink, &file).await;
    assert_eq!(state().await.0, BackupState::Completed, "nobody has looked");
    assert_eq!(world.verified(&id, &both).await, exit::DAMAGED);
    let damaged = (BackupState::Damaged, CopyState::Damaged, exit::DAMAGED);
    assert_eq!(state().await, damaged, "though b has it whole");
    let noted = only_entry(&sink).await;
    assert_eq!(
        (noted.damage_count, noted.damage.len()),
        (1, 1),
        "{noted:?}"
    );
    assert!(
        noted.damage[0].file.ends_with("events.jsonl.gz"),
        "{noted:?}"
    );
    let listed = world.engine.list(&both[..]).await;
    let copies = &listed.backups[0].copies;
    assert_eq!(
        copies.iter().map(|copy| copy.status).collect::<Vec<_>>(),
        [CopyState::Damaged, CopyState::Ok]
    );
    let monitored = MonitorRequest::new(both.to_vec());
    let monitored = world.engine.monitor(monitored).await;
    assert_eq!(monitored.exit_code(), exit::DAMAGED, "{monitored:?}");
    let problem = &monitored.destinations[0].problems[0];
    assert!(
        problem.message.contains("a check found damage at"),
        "{problem:?}"
    );
    assert!(monitored.destinations[1].problems.is_empty());
    assert_eq!(monitored.failure.unwrap().status_code, 422);

    sink.overwrite(&file, &right);
    world.after_days(1);
    assert_eq!(state().await, damaged, "nobody has looked again");
    assert_eq!(world.verified(&id, &both).await, 0);
    assert_eq!(state().await, (BackupState::Completed, CopyState::Ok, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_comes_while_somebody_looks_elsewhere_stays_known() {
    let world = Arc::new(World::new());
    let (sink, a) = store("a");
    let id = world.backed_up(5_000, std::slice::from_ref(&a)).await;
    let first = data_file(&sink, &id);
    let keys = sink.keys().into_iter();
    let last = keys.filter(|key| key.as_str().ends_with(".jsonl.gz")).max();
    let last = last.filter(|last| *last != first).unwrap();
    let meanwhile = {
        let (world, sink, id) = (Arc::clone(&world), sink.clone(), id.clone());
        let has_looked = AtomicBool::new(false);
        move |operation: Operation, key: Option<&ObjectKey>| {
            let is_last = operation == Operation::Read && key == Some(&last);
            if is_last && !has_looked.swap(true, Ordering::Relaxed) {
                let looks = || {
                    futures::executor::block_on(flip(&sink, &first));
                    world.after_days(1);
                    let request = verify(&id, std::slice::from_ref(&a));
                    let report = world.another_engine().verify_blocking(request);
                    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
                    world.after_days(1);
                };
                std::thread::scope(|scope| scope.spawn(looks).join().unwrap());
            }
            Ok(())
        }
    };
    let at = [watched(&sink, "a", meanwhile)];
    let report = world.engine.verify(verify(&id, &at)).await;
    let copy = &report.backups[0].destinations[0];
    assert_eq!(copy.status, CopyState::Ok, "{copy:?}");
    let error = copy.unrecorded.as_ref().unwrap();
    assert!(error.message.contains("so that stands"), "{error:?}");
    assert_eq!(only_entry(&sink).await.result, VerificationResult::Damaged);
    let status = world.engine.status(&at, &id).await;
    assert_eq!(status.exit_code(), exit::DAMAGED, "{status:?}");
}

#[tokio::test]
async fn a_check_where_nothing_may_be_written_is_made_and_says_so() {
    let world = World::new();
    let denied = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (sink, a) = failing("a", denied.on_keys_with("verifications/"));
    let at = [a];
    let id = world.backed_up(100, &at).await;
    world.after_days(2);
    let report = world.engine.verify(verify(&id, &at)).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    let copy = &report.backups[0].destinations[0];
    assert!(copy.unrecorded.is_some(), "{copy:?}");
    let validated = ValidateRequest::new(at.to_vec());
    let validated = world.engine.validate(validated).await;
    assert_eq!(validated.exit_code(), 0, "{validated:?}");
    assert_eq!(validated.validations[0].unrecorded[0].destination, "a");
    // The next scrub would begin with the same again.
    let scrubbed = world.scrubbed(u64::MAX, &at).await;
    assert_eq!(scrubbed.exit_code(), exit::FAILED, "{scrubbed:?}");
    assert!(entries(&sink).is_empty());
}

#[tokio::test]
async fn what_no_check_can_have_left_says_nothing() {
    let world = World::new();
    let (sink, a) = store("a");
    let at = [a];
    let id = world.backed_up(500, &at).await;
    assert_eq!(world.verified(&id, &at).await, 0);
    let good = whole(&sink, &entries(&sink)[0]).await;
    let now = world.now().unix_ms();
    let put = async |name: String, bytes: bytes::Bytes| {
        let key = ObjectKey::new(format!("verifications/{name}")).unwrap();
        sink.put(&key, bytes).await.unwrap();
    };
    put(format!("{id}-{}-restored-ok", now + DAY_MS), good.clone()).await;
    put(format!("{id}-{now}-guessed-ok"), good.clone()).await;
    put(
        format!("{id}-{}-restored-ok", now + 1),
        vec![b' '; 65 << 10].into(),
    )
    .await;
    put(
        format!("{id}-{}-decoded-damaged", now + 2),
        bytes::Bytes::new(),
    )
    .await;
    put("..-1-size-ok".to_owned(), good.clone()).await;
    let listed = world.engine.list(&at[..]).await;
    let found = listed.backups[0].copies[0].last_verified.unwrap();
    assert_eq!((found.at, found.how), (world.now(), Depth::Digest));
    assert_eq!(listed.exit_code(), 0);

    // What its key says and it doesn't, counts for nothing where it is read.
    put(format!("{id}-{}-decoded-damaged", now + 3), good.clone()).await;
    let status = world.engine.status(&at, &id).await;
    assert_eq!(status.destinations[0].status, CopyState::Ok, "{status:?}");
    assert_eq!(status.exit_code(), 0, "{status:?}");
}

#[tokio::test]
async fn cleanups_sweep_what_newer_checks_supersede_and_what_is_about_nothing() {
    let world = World::new();
    let (sink, a) = store("a");
    let at = vec![a];
    let older = world.backed_up(100, &at).await;
    for _ in 0..3 {
        world.after_days(1);
        assert_eq!(world.verified(&older, &at).await, 0);
    }
    let newer = world.backed_up(100, &at).await;
    assert_eq!(world.verified(&newer, &at).await, 0);
    assert_eq!(entries(&sink).len(), 4);
    let cleanup = async |count, dry_run| {
        let rules = Retention {
            count,
            ..Retention::default()
        };
        let mut policy = RetentionPolicy::new(rules);
        policy.grace = Span::default();
        let mut request = CleanupRequest::new(at.clone(), policy);
        request.dry_run = dry_run;
        let report = world.engine.cleanup(request).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        report.destinations[0].verifications
    };
    assert_eq!(cleanup(2, true).await, 2);
    assert_eq!(entries(&sink).len(), 4, "nothing is done yet");
    assert_eq!(cleanup(2, false).await, 2);
    assert_eq!(cleanup(2, false).await, 0);
    assert_eq!(entries(&sink).len(), 2);
    // A backup goes with all that is noted of it.
    assert_eq!(cleanup(1, false).await, 0);
    let left = entries(&sink);
    let about = |key: &ObjectKey| layout::verification_of(key).unwrap().id;
    assert_eq!(left.iter().map(about).collect::<Vec<_>>(), [newer]);
}

#[tokio::test]
async fn the_last_verified_backup_is_what_checks_say_it_is() {
    let world = World::new();
    let (sink, a) = store("a");
    let at = vec![a];
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.backed_up(500, &at).await);
        world.after_days(1);
    }
    assert_eq!(
        last_verified(&world, &at).await,
        ids[2],
        "it was read back when it was made"
    );
    flip(&sink, &data_file(&sink, &ids[2])).await;
    assert_eq!(world.verified(&ids[2], &at).await, exit::DAMAGED);
    assert_eq!(last_verified(&world, &at).await, ids[1]);
}

#[tokio::test]
async fn the_last_verified_backup_goes_on_from_nothing_that_is_damaged_or_gone() {
    let world = World::new();
    let (sink, a) = store("a");
    let at = vec![a];
    let whole_one = world.backed_up(500, &at).await;
    world.after_days(1);
    let parent = world.backed_up(500, &at).await;
    world.after_days(1);
    let first = world.made("incremental", 600, &at).await;
    world.after_days(1);
    let second = world.made("incremental", 700, &at).await;
    flip(&sink, &data_file(&sink, &parent)).await;
    assert_eq!(world.verified(&parent, &at).await, exit::DAMAGED);
    assert_eq!(
        world.verified(&second, &at).await,
        0,
        "by itself it is right"
    );
    assert_eq!(last_verified(&world, &at).await, whole_one);

    flip(&sink, &data_file(&sink, &parent)).await;
    world.after_days(1);
    assert_eq!(world.verified(&parent, &at).await, 0);
    assert_eq!(last_verified(&world, &at).await, second);

    let entry = sink
        .keys()
        .into_iter()
        .find(|key| layout::catalog_entry_id(key).as_ref() == Some(&first));
    sink.delete(&entry.unwrap()).await.unwrap();
    assert_eq!(last_verified(&world, &at).await, parent);
}

#[tokio::test]
async fn nothing_goes_on_from_what_a_check_has_found_damaged() {
    let world = World::new();
    let ((sink, a), (_, b)) = (store("a"), store("b"));
    let both = [a.clone(), b];
    let older = world.backed_up(500, &both).await;
    world.after_days(1);
    let parent = world.backed_up(500, &both).await;
    world.after_days(1);
    world.made("incremental", 600, &both).await;
    let file = data_file(&sink, &parent);
    flip(&sink, &file).await;
    assert_eq!(world.verified(&parent, &both).await, exit::DAMAGED);
    let made = async |count| {
        world.after_days(1);
        let mut request = request(&records(count), &both);
        request.backup_type = "incremental".parse().unwrap();
        let report = world.engine.backup(request).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        report
    };
    let onwards = made(700).await;
    assert_eq!(onwards.parent.unwrap().id, older);

    // Where nothing else is left, it has everything, and says why.
    for harmed in [&older, onwards.id.as_ref().unwrap()] {
        flip(&sink, &data_file(&sink, harmed)).await;
        assert_eq!(world.verified(harmed, &both).await, exit::DAMAGED);
    }
    let whole_one = made(800).await;
    assert!(whole_one.parent.is_none(), "{whole_one:?}");
    let why = whole_one.whole_because.unwrap();
    assert!(
        why.ends_with("is damaged at a, as a check has found"),
        "{why}"
    );
    assert_eq!(made(900).await.parent.unwrap().id, whole_one.id.unwrap());
}

/// The one that a cleanup keeps for that.
async fn last_verified(world: &World, at: &[DestinationSpec]) -> BackupId {
    let rules = Retention {
        age: Some(Span::from_ms(1)),
        ..Retention::default()
    };
    let mut request = CleanupRequest::new(at.to_vec(), RetentionPolicy::new(rules));
    request.dry_run = true;
    let report = world.engine.cleanup(request).await;
    let kept = report.destinations[0].backups.iter();
    let is_so = |kept: &KeptBy| kept.rule == Rule::LastVerified;
    let mut kept = kept.filter(|backup| backup.kept_by.iter().any(is_so));
    kept.next().unwrap().id.clone()
}

#[tokio::test]
async fn a_monitor_is_told_of_backups_that_nobody_has_looked_at() {
    let world = World::new();
    let (_, a) = store("a");
    let at = vec![a];
    let first = world.backed_up(100, &at).await;
    world.after_days(20);
    world.backed_up(100, &at).await;
    let code = async |days| {
        let mut request = MonitorRequest::new(at.clone());
        request.max_unverified = Some(Span::from_days(days));
        let report = world.engine.monitor(request).await;
        (
            report.exit_code(),
            report.destinations[0].longest_unverified,
        )
    };
    let twenty_days = Some(Span::from_days(20).ms());
    assert_eq!(code(30).await, (0, twenty_days));
    assert_eq!(code(10).await, (exit::FAILED, twenty_days));
    assert_eq!(world.verified(&first, &at).await, 0);
    assert_eq!(code(10).await, (0, Some(0)));
    world.after_days(11);
    assert_eq!(code(10).await.0, exit::FAILED);
}
