//! Every stored byte matters: whichever is wrong, `verify` names it, and `restore` takes another copy or nothing.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use std::sync::Arc;

use common::{engine, failing, place, records, request, store, unmark};
use teeline::sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};
use teeline::{
    Class, CopyState, DestinationSpec, DestinationStatus, Engine, Executor, RestoreRequest,
    RestoreTarget, Sink, StrategyKind, VerifyRequest, Which,
};
use teeline_core::ObjectKey;

struct Pair {
    engine: Engine,
    first: MemorySink,
    at_first: DestinationSpec,
    at_second: DestinationSpec,
    lines: Vec<u8>,
}

async fn pair() -> Pair {
    let engine = engine(Executor::Threads(2));
    let lines = records(2500);
    let ((first, at_first), (_, at_second)) = (store("first"), store("second"));
    let report = engine
        .backup(request(&lines, &[at_first.clone(), at_second.clone()]))
        .await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    Pair {
        engine,
        first,
        at_first,
        at_second,
        lines,
    }
}

async fn bytes_of(sink: &MemorySink, key: &ObjectKey) -> Vec<u8> {
    let size = sink.head(key).await.unwrap().bytes;
    sink.read(key, 0..size).await.unwrap().to_vec()
}

#[tokio::test]
async fn a_flipped_bit_in_any_stored_file_is_found_and_avoided() {
    let pair = pair().await;
    for key in pair.first.keys() {
        let whole = bytes_of(&pair.first, &key).await;
        // What marks it as published.
        if whole.is_empty() {
            continue;
        }
        let step = (whole.len() / 7).max(1);
        for position in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
            let mut damaged = whole.clone();
            damaged[position] ^= 1 << (position % 8);
            pair.first.overwrite(&key, &damaged);
            check_damage(&pair, &key, position).await;
        }
        pair.first.overwrite(&key, &whole);
    }
}

async fn check_damage(pair: &Pair, key: &ObjectKey, position: usize) {
    let place = format!("{key} at {position}");
    let verified = pair
        .engine
        .verify(VerifyRequest::new(vec![
            pair.at_first.clone(),
            pair.at_second.clone(),
        ]))
        .await;
    assert_eq!(verified.exit_code(), 13, "{place}: {verified:?}");
    let damage = &verified.backups[0].destinations[0].damage;
    assert!(
        damage
            .iter()
            .any(|found| found.destination == "first" && found.file == key.as_str()),
        "{place}: {damage:?}"
    );
    if key.as_str().ends_with(".jsonl.gz") {
        let named = |found: &teeline::Damage| {
            found.resource.as_deref() == Some("events") && found.chunk.is_some()
        };
        assert!(damage.iter().any(named), "{place}: {damage:?}");
    }
    // What isn't read in a restore can't make it avoid a copy.
    let read = !["teeline.json", "runs/", "run.json"]
        .iter()
        .any(|part| key.as_str().contains(part));
    let folder = tempfile::tempdir().unwrap();
    let restore = |destinations: Vec<DestinationSpec>, name: &str| {
        let target = RestoreTarget::Folder(folder.path().join(name));
        pair.engine
            .restore(RestoreRequest::new(Which::Latest, destinations, target))
    };
    let both = restore(vec![pair.at_first.clone(), pair.at_second.clone()], "both").await;
    assert_eq!(
        both.exit_code(),
        if read { 3 } else { 0 },
        "{place}: {both:?}"
    );
    assert!(
        std::fs::read(folder.path().join("both/events.jsonl")).unwrap() == pair.lines,
        "{place}"
    );
    let alone = restore(vec![pair.at_first.clone()], "alone").await;
    assert_eq!(
        alone.exit_code(),
        if read { 13 } else { 0 },
        "{place}: {alone:?}"
    );
    if read {
        let left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["both"], "{place}: nothing half-restored");
    }
}

#[tokio::test]
async fn missing_and_shortened_files_are_found_and_avoided() {
    let pair = pair().await;
    let data = pair
        .first
        .keys()
        .into_iter()
        .find(|key| key.as_str().ends_with("~0002.jsonl.gz"))
        .unwrap();
    let whole = bytes_of(&pair.first, &data).await;
    for length in [0, 1, whole.len() - 1] {
        pair.first.overwrite(&data, &whole[..length]);
        let verified = pair
            .engine
            .verify(VerifyRequest::new(vec![pair.at_first.clone()]))
            .await;
        assert_eq!(verified.exit_code(), 13, "{length}: {verified:?}");
    }
    pair.first.delete(&data).await.unwrap();
    let verified = pair
        .engine
        .verify(VerifyRequest::new(vec![pair.at_first.clone()]))
        .await;
    assert_eq!(verified.exit_code(), 13, "{verified:?}");
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("restored"));
    let both = vec![pair.at_first.clone(), pair.at_second.clone()];
    let restored = pair
        .engine
        .restore(RestoreRequest::new(Which::Latest, both, target))
        .await;
    assert_eq!(restored.exit_code(), 3, "{restored:?}");
    assert_eq!(restored.avoided[0].class, teeline::Class::NotFound);
    assert!(std::fs::read(folder.path().join("restored/events.jsonl")).unwrap() == pair.lines);
}

/// A backup of `lines`, which is the newest one from now on.
/// Something else in a backup's folder is told, and does no harm.
#[tokio::test]
async fn what_is_none_of_a_backup_s_files_is_named() {
    let pair = pair().await;
    let (sink, at) = (&pair.first, vec![pair.at_first.clone()]);
    let manifest = sink
        .keys()
        .into_iter()
        .find(|key| key.file_name() == "manifest.json");
    let folder = manifest
        .unwrap()
        .as_str()
        .rsplit_once('/')
        .unwrap()
        .0
        .to_owned();
    let extra = ["data~9999.jsonl.gz", "keys/00000000", "notes/of-somebody"]
        .map(|name| format!("{folder}/{name}"));
    for key in &extra {
        sink.overwrite(&ObjectKey::new(key.as_str()).unwrap(), b"something");
    }
    let report = pair.engine.verify(VerifyRequest::new(at)).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    let copy = &report.backups[0].destinations[0];
    assert_eq!(copy.status, CopyState::Ok);
    assert_eq!(copy.extra, extra);
}

async fn backup_again(engine: &Engine, to: &[DestinationSpec], lines: &[u8]) {
    // Ids have whole seconds; entries of the catalogue milliseconds.
    let before = std::time::SystemTime::now();
    while before.elapsed().unwrap().as_millis() < 2 {
        tokio::task::yield_now().await;
    }
    let report = engine.backup(request(lines, to)).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
}

#[tokio::test]
async fn a_backup_whose_manifest_is_missing_does_not_vanish() {
    let engine = teeline::Engine::builder().workers(1).build().unwrap();
    let ((first, at_first), (second, at_second)) = (store("first"), store("second"));
    let both = vec![at_first.clone(), at_second];
    let (older, newer) = (records(10), records(2500));
    backup_again(&engine, &both, &older).await;
    backup_again(&engine, &both, &newer).await;
    let entry = first
        .keys()
        .into_iter()
        .find(|key| key.as_str().starts_with("catalog/"))
        .unwrap();
    let id = teeline_core::layout::catalog_entry_id(&entry).unwrap();
    let manifest = ObjectKey::new(format!("{id}/manifest.json")).unwrap();
    first.delete(&manifest).await.unwrap();

    let at_first = vec![at_first];
    let status = engine.status(&at_first, &id).await;
    let of_status = status.destinations[0].error.clone().unwrap();
    unmark(&first).await;
    let listed = engine.list(&at_first).await;
    assert_eq!((listed.exit_code(), listed.backups.len()), (13, 1));
    for error in [&of_status, &listed.errors[0].error] {
        assert!(error.message.contains("manifest is missing"), "{error:?}");
        assert!(error.suggestion.is_some());
    }
    for which in [
        teeline::WhichBackups::All,
        teeline::WhichBackups::One(Which::Latest),
    ] {
        let mut asked = VerifyRequest::new(at_first.clone());
        asked.which = which;
        let verified = engine.verify(asked).await;
        assert_eq!(verified.exit_code(), 13, "{verified:?}");
        assert!(verified.backups.iter().any(|backup| backup.id == id));
    }
    let folder = tempfile::tempdir().unwrap();
    let restore = |from: &[DestinationSpec], name: &str| {
        let target = RestoreTarget::Folder(folder.path().join(name));
        engine.restore(RestoreRequest::new(Which::Latest, from.to_vec(), target))
    };
    let alone = restore(&at_first, "alone").await;
    assert_eq!(alone.exit_code(), 13, "{alone:?}");
    assert!(alone.error.unwrap().suggestion.is_some());

    // Its chunks are as good as ever: here the other destination has the manifest, and no chunk.
    for key in second.keys() {
        if key.as_str().starts_with(&id.to_string()) && key.as_str().ends_with(".jsonl.gz") {
            second.delete(&key).await.unwrap();
        }
    }
    let restored = restore(&both, "both").await;
    assert_eq!(restored.exit_code(), 3, "{restored:?}");
    assert!(std::fs::read(folder.path().join("both/events.jsonl")).unwrap() == newer);
}

#[tokio::test]
async fn a_run_that_did_not_publish_somewhere_left_no_damage_there() {
    let engine = engine(Executor::Threads(2));
    let dies = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent))
        .on_keys_with("manifest.json");
    let ((good, at_good), (bad, at_bad)) = (store("good"), failing("bad", dies));
    let mut asked = request(&records(10), &[at_good, at_bad]);
    asked.strategy = StrategyKind::Any;
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 3, "{report:?}");
    let is_entry = |key: &ObjectKey| key.as_str().starts_with("catalog/");
    let is_record = |key: &ObjectKey| key.as_str().starts_with("runs/");
    assert!(bad.keys().iter().any(is_entry) && bad.keys().iter().any(is_record));
    let listed = engine.list(&[place("bad", bad)]).await;
    assert_eq!((listed.exit_code(), listed.backups.len()), (0, 0));

    // A copy of the other one, which no record knows, without the manifest.
    let (copied, at_copied) = store("copied");
    for key in good.keys() {
        if !key.as_str().ends_with("manifest.json") {
            copied.overwrite(&key, &bytes_of(&good, &key).await);
        }
    }
    let verified = engine.verify(VerifyRequest::new(vec![at_copied.clone()]));
    assert_eq!(verified.await.exit_code(), 13);
    unmark(&copied).await;
    let listed = engine.list(&[at_copied]).await;
    assert_eq!((listed.exit_code(), listed.backups.len()), (13, 0));
}

#[tokio::test]
async fn what_cannot_be_read_is_not_called_damaged() {
    let engine = engine(Executor::Threads(2));
    let (sink, to) = store("only");
    let report = engine.backup(request(&records(100), &[to])).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    for part in ["catalog/", "manifest.json", ".index", ".jsonl.gz", "runs/"] {
        let refused = Fault::new(Operation::Read, When::From(1), What::Fail(Class::Permanent));
        let plan = FaultPlan::new(1).with(refused.on_keys_with(part));
        let denied = place("only", FaultSink::new(Arc::new(sink.clone()), plan));
        let verified = engine
            .verify(VerifyRequest::new(vec![denied.clone()]))
            .await;
        assert_eq!(verified.exit_code(), 1, "{part}: {verified:?}");
        let copy = &verified.backups[0].destinations[0];
        assert_eq!(copy.status, CopyState::Unreachable, "{part}: {copy:?}");
        let status = engine.status(&[denied], &report.id.clone().unwrap()).await;
        assert!(
            status.destinations[0].status != CopyState::Damaged,
            "{part}: {status:?}"
        );
    }
}

#[tokio::test]
async fn the_latest_backup_is_not_an_older_one_because_its_entry_is_damaged() {
    let engine = teeline::Engine::builder().workers(1).build().unwrap();
    let (sink, to) = store("only");
    let to = vec![to];
    for _ in 0..2 {
        backup_again(&engine, &to, &records(10)).await;
    }
    let newest = sink
        .keys()
        .into_iter()
        .find(|key| key.as_str().starts_with("catalog/"))
        .unwrap();
    let mut damaged = bytes_of(&sink, &newest).await;
    damaged[40] ^= 1;
    sink.overwrite(&newest, &damaged);
    let verified = engine.verify(VerifyRequest::new(to.clone())).await;
    assert_eq!(verified.exit_code(), 13, "{verified:?}");
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("restored"));
    let restored = engine
        .restore(RestoreRequest::new(Which::Latest, to, target))
        .await;
    assert_eq!(restored.exit_code(), 13, "{restored:?}");
}

#[tokio::test]
async fn a_manifest_that_is_damaged_while_it_is_written_is_taken_back() {
    for what in [What::FlipBit, What::LoseByte] {
        let engine = engine(Executor::Threads(2));
        let damaged = Fault::new(Operation::Put, When::Nth(1), what).on_keys_with("manifest.json");
        let ((_, at_good), (bad, at_bad)) = (store("good"), failing("bad", damaged));
        let mut asked = request(&records(10), &[at_good, at_bad.clone()]);
        asked.strategy = StrategyKind::Any;
        let report = engine.backup(asked).await;
        let said = &report.destinations[1];
        assert_eq!(said.status, DestinationStatus::Unknown, "{report:?}");
        assert_eq!(said.error.as_ref().unwrap().class, Class::Corrupt);
        let is_left = |key: &ObjectKey| key.file_name() == "manifest.json";
        assert!(!bad.keys().iter().any(is_left), "{what:?}: {bad:?}");
        let listed = engine.list(std::slice::from_ref(&at_bad)).await;
        assert_eq!((listed.exit_code(), listed.backups.len()), (0, 0));
    }
}

#[tokio::test]
async fn what_is_said_after_a_manifest_was_written_is_no_conflict() {
    let said = Fault::new(Operation::Read, When::Nth(1), What::Fail(Class::Conflict));
    let refused = Fault::new(Operation::Put, When::Nth(2), What::Fail(Class::Conflict));
    let lost = Fault::new(Operation::Put, When::Nth(1), What::LoseReply);
    let plans = [
        (vec![said], DestinationStatus::Unknown),
        (vec![lost, refused], DestinationStatus::Committed),
    ];
    for (faults, status) in plans {
        let engine = engine(Executor::Threads(2));
        let sink = MemorySink::new("only");
        let on_manifests = |fault: Fault| fault.on_keys_with("manifest.json");
        let faults = faults.into_iter().map(on_manifests);
        let plan = faults.fold(FaultPlan::new(1), FaultPlan::with);
        let at = place("only", FaultSink::new(Arc::new(sink.clone()), plan));
        let report = engine.backup(request(&records(10), &[at])).await;
        assert_eq!(report.destinations[0].status, status, "{report:?}");
        assert_eq!(engine.list(&[place("only", sink)]).await.backups.len(), 1);
    }
}

#[tokio::test]
async fn a_store_that_gives_too_little_is_asked_again() {
    let engine = engine(Executor::Threads(2));
    let (sink, to) = store("only");
    let lines = records(2500);
    let report = engine.backup(request(&lines, &[to])).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    let short = Fault::new(Operation::Read, When::Nth(1), What::LoseByte);
    let plan = FaultPlan::new(1).with(short.on_keys_with(".jsonl.gz"));
    let from = place("only", FaultSink::new(Arc::new(sink), plan));
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("restored"));
    let restored = engine
        .restore(RestoreRequest::new(Which::Latest, vec![from], target))
        .await;
    assert_eq!(restored.exit_code(), 0, "{restored:?}");
    assert!(std::fs::read(folder.path().join("restored/events.jsonl")).unwrap() == lines);
}
