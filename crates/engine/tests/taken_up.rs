//! Taking up a run that broke off, where others may have it as well.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use common::watched::watched;
use common::{any_of, assert_idle, engine, failing, place, records, request, store};
use teeline::sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};
use teeline::{
    BackupError, BackupId, BackupReport, Class, DestinationSpec, DestinationStatus, Engine,
    Executor, JsonlSource, Resume, Timestamp, Verification, exit,
};
use teeline_core::{ObjectKey, Sink};

/// A source, and a store that has the first segments of a run of it.
struct BrokenOff {
    engine: Engine,
    folder: tempfile::TempDir,
    sink: MemorySink,
    id: BackupId,
}

impl BrokenOff {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("events.jsonl"), records(1_000)).unwrap();
        let fault = Fault::new(Operation::Put, When::From(2), What::Fail(Class::Permanent));
        let (sink, spec) = failing("here", fault.on_keys_with(".index"));
        let mut broken_off = BrokenOff {
            engine: engine(Executor::Inline),
            folder,
            sink,
            id: "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap(),
        };
        let report = broken_off.backup(&[spec], None).await;
        assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
        broken_off.id = report.id.unwrap();
        broken_off
    }

    async fn backup(&self, to: &[DestinationSpec], resume: Option<Resume>) -> BackupReport {
        let mut request = request(&[], to);
        request.source = Arc::new(JsonlSource::path(self.folder.path().join("events.jsonl")));
        request.resume = resume;
        request.resume_quiet = Duration::from_millis(1);
        let report = self.engine.backup(request).await;
        assert_idle(&self.engine);
        report
    }

    async fn resume(&self, to: &[DestinationSpec]) -> BackupReport {
        self.backup(to, Some(Resume::Run(self.id.clone()))).await
    }

    fn number(&self, number: u32) -> ObjectKey {
        let key = format!("{}/resumed-{number:04}.json", self.id);
        ObjectKey::new(key).unwrap()
    }
}

#[tokio::test]
async fn each_number_is_written_that_whoever_had_it_before_looks_for() {
    let run = BrokenOff::new().await;
    // Somebody has died who had taken it up.
    run.sink.overwrite(&run.number(1), b"{}");
    let spec = place("here", run.sink.clone());
    let report = run.resume(&[spec]).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(report.id.as_ref(), Some(&run.id), "{report:?}");
    let numbers = [1, 2, 3].map(|number| run.sink.keys().contains(&run.number(number)));
    assert_eq!(numbers, [true, true, false]);
}

#[tokio::test]
async fn what_is_written_while_it_is_numbered_is_seen() {
    let run = BrokenOff::new().await;
    let (number, woken_up) = (run.number(1), run.sink.clone());
    let written = ObjectKey::new(format!("{}/events~0009.jsonl.gz", run.id)).unwrap();
    let spec = watched(&run.sink, "here", move |operation, key| {
        if operation == Operation::Put && key == Some(&number) {
            woken_up.overwrite(&written, b"something");
        }
        Ok(())
    });
    let report = run.resume(&[spec]).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    let error = report.error.unwrap();
    assert!(error.message.contains("still written to it"), "{error:?}");
    assert!(run.sink.keys().contains(&run.number(1)));
    let has_manifest = |key: &ObjectKey| key.file_name() == "manifest.json";
    assert!(!run.sink.keys().iter().any(has_manifest));
}

/// A 404 to a HEAD may be a page of somebody in between, as no answer to it has words.
#[tokio::test]
async fn a_proxy_that_knows_of_no_claim_has_no_number_taken_back() {
    for nth in 0..4 {
        let run = BrokenOff::new().await;
        let (number, woken_up) = (run.number(1), run.sink.clone());
        let written = ObjectKey::new(format!("{}/events~0009.jsonl.gz", run.id)).unwrap();
        let (is_numbered, looks) = (AtomicBool::new(false), AtomicU64::new(0));
        let spec = watched(&run.sink, "here", move |operation, key| {
            if operation == Operation::Put && key == Some(&number) {
                woken_up.overwrite(&written, b"something");
                is_numbered.store(true, Ordering::SeqCst);
            }
            let is_claim = key.is_some_and(|key| key.file_name() == "run.json");
            let is_look = is_numbered.load(Ordering::SeqCst) && operation == Operation::Head;
            if is_look && is_claim && looks.fetch_add(1, Ordering::SeqCst) == nth {
                let message = "there is no such page";
                return Err(BackupError::new(Class::NotFound, "ask for", "it", message));
            }
            Ok(())
        });
        let report = run.resume(&[spec]).await;
        assert_ne!(report.exit_code(), exit::DONE, "{report:?}");
        assert!(
            run.sink.keys().contains(&run.number(1)),
            "{nth}: {report:?}"
        );
    }
}

#[tokio::test]
async fn what_was_complete_and_lost_its_manifest_is_no_run_that_broke_off() {
    let mut run = BrokenOff::new().await;
    let spec = place("here", run.sink.clone());
    // With ids of their own.
    run.engine = Engine::builder().build().unwrap();
    let report = run.backup(std::slice::from_ref(&spec), None).await;
    run.id = report.id.unwrap();
    let manifest = ObjectKey::new(format!("{}/manifest.json", run.id)).unwrap();
    run.sink.delete(&manifest).await.unwrap();
    let report = run.resume(std::slice::from_ref(&spec)).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    let error = report.error.unwrap();
    assert!(error.message.contains("it was complete"), "{error:?}");
    assert!(error.suggestion.unwrap().contains("--rebuild-manifest"));
    assert!(
        !run.sink.keys().contains(&run.number(1)),
        "it is left alone"
    );
    let report = run.backup(&[spec], Some(Resume::Unfinished)).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert!(report.resumed.is_none(), "{report:?}");
    assert_ne!(report.id.as_ref(), Some(&run.id));
}

#[tokio::test]
async fn a_number_that_came_after_a_sweep_is_taken_back() {
    let run = BrokenOff::new().await;
    let (number, swept) = (run.number(1), run.sink.clone());
    let folder = format!("{}/", run.id);
    let spec = watched(&run.sink, "here", move |operation, key| {
        if operation == Operation::Put && key == Some(&number) {
            let keys = swept.keys().into_iter();
            for key in keys.filter(|key| key.as_str().starts_with(&folder)) {
                futures::executor::block_on(swept.delete(&key))?;
            }
        }
        Ok(())
    });
    let report = run.resume(&[spec]).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    let folder = format!("{}/", run.id);
    let mut left = run.sink.keys().into_iter();
    assert_eq!(left.find(|key| key.as_str().starts_with(&folder)), None);
}

#[tokio::test]
async fn what_may_be_a_backup_where_nobody_can_ask_is_begun_afresh() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    std::fs::write(&path, records(1_000)).unwrap();
    let engine = Engine::builder().workers(1).build().unwrap();
    let backup = async |to: &[DestinationSpec], resume| any_of(&engine, &path, to, resume).await;
    let fails = |operation, keys| {
        let fault = Fault::new(operation, When::From(1), What::Fail(Class::Permanent));
        fault.on_keys_with(keys)
    };
    let (broken, here) = failing("here", fails(Operation::Put, ".index"));
    let (whole, there) = store("there");
    let made = backup(&[here, there], None).await;
    assert_eq!(made.exit_code(), exit::DEGRADED, "{made:?}");
    let id = made.id.unwrap();

    let here = place("here", broken.clone());
    let list = Fault::new(Operation::List, When::From(1), What::Fail(Class::Permanent));
    let silent = FaultSink::new(Arc::new(whole), FaultPlan::new(1).with(list));
    let both = [here, place("there", silent)];
    // The file was written just before it was read, so it may be another one.
    for resume in [Resume::Unfinished, Resume::Run(id.clone())] {
        let afresh = backup(&both, Some(resume)).await;
        assert_eq!(afresh.exit_code(), exit::DONE, "{afresh:?}");
        assert_ne!(afresh.id.as_ref(), Some(&id));
        let resumed = afresh.resumed.unwrap();
        assert_eq!(resumed.run, id);
        let why = resumed.afresh_because.unwrap();
        assert!(
            why.ends_with(
                "there can't be asked or written to, and may have it as a backup already"
            ),
            "{why}"
        );
    }
    let manifest = ObjectKey::new(format!("{id}/manifest.json")).unwrap();
    assert!(!broken.keys().contains(&manifest));
}

#[tokio::test]
async fn where_one_refuses_what_takes_it_up_another_run_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    std::fs::write(&path, records(1_000)).unwrap();
    let engine = Engine::builder().workers(1).build().unwrap();
    let backup = async |to: &[DestinationSpec], resume| any_of(&engine, &path, to, resume).await;
    let refuses = || Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let of_indexes = || refuses().on_keys_with(".index");
    let ((here, at_here), (there, at_there)) = (
        failing("here", of_indexes()),
        failing("there", of_indexes()),
    );
    let broken_off = backup(&[at_here, at_there], None).await.id.unwrap();

    let refusing = FaultSink::new(Arc::new(here), FaultPlan::new(1).with(refuses()));
    let to = [place("here", refusing), place("there", there)];
    let asked_for = backup(&to, Some(Resume::Run(broken_off.clone()))).await;
    assert_eq!(asked_for.exit_code(), exit::FAILED, "{asked_for:?}");
    let wanted = backup(&to, Some(Resume::Unfinished)).await;
    assert_eq!(wanted.exit_code(), exit::DEGRADED, "{wanted:?}");
    let resumed = wanted.resumed.unwrap();
    assert_eq!(resumed.run, broken_off);
    assert!(resumed.afresh_because.is_some());
}

#[tokio::test]
async fn where_it_cannot_be_claimed_its_first_owner_may_still_publish() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    std::fs::write(&path, records(1_000)).unwrap();
    let engine = Engine::builder().workers(1).build().unwrap();
    let backup = async |to: &[DestinationSpec], resume| any_of(&engine, &path, to, resume).await;
    let refuses = |keys| {
        let fault = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
        fault.on_keys_with(keys)
    };
    // It sleeps, and hasn't got to the other one yet, to which nothing can be written for a while.
    let (here, at_here) = failing("here", refuses(".index"));
    let (_, there) = failing("there", refuses("run.json"));
    let broken_off = backup(&[at_here, there.clone()], None).await.id.unwrap();

    let to = [place("here", here), there];
    let afresh = backup(&to, Some(Resume::Run(broken_off.clone()))).await;
    assert_eq!(afresh.exit_code(), exit::DEGRADED, "{afresh:?}");
    assert_ne!(afresh.id.as_ref(), Some(&broken_off));
    let why = afresh.resumed.unwrap().afresh_because.unwrap();
    assert!(
        why.contains("there can't be asked or written to, and may have it"),
        "{why}"
    );
}

#[tokio::test]
async fn damage_that_shows_when_another_has_published_is_that_ones_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    std::fs::write(&path, records(1_000)).unwrap();
    let engine = Engine::builder().workers(2).build().unwrap();
    let backup = async |to: &[DestinationSpec], resume| any_of(&engine, &path, to, resume).await;
    let fails = || {
        let fault = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
        fault.on_keys_with(".index")
    };
    let ((here, at_here), (there, at_there)) =
        (failing("here", fails()), failing("there", fails()));
    let broken_off = backup(&[at_here, at_there], None).await.id.unwrap();
    let is_data = |key: &&ObjectKey| key.as_str().ends_with(".jsonl.gz");
    let left = there.keys().iter().find(is_data).cloned().unwrap();
    there.overwrite(&left, b"damaged");

    // It is read back there when the other one has its manifest.
    let manifest = ObjectKey::new(format!("{broken_off}/manifest.json")).unwrap();
    let (published, numbered) = (here.clone(), AtomicBool::new(false));
    let slow = watched(&there, "there", move |operation, key| {
        let name = key.map_or("", ObjectKey::file_name);
        if operation == Operation::Put && name.starts_with("resumed-") {
            numbered.store(true, Ordering::SeqCst);
        }
        if operation == Operation::Read && key == Some(&left) && numbered.load(Ordering::SeqCst) {
            for _ in 0..10_000 {
                if published.keys().contains(&manifest) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    });
    let to = [place("here", here), slow];
    let report = backup(&to, Some(Resume::Run(broken_off.clone()))).await;
    assert_eq!(report.id.as_ref(), Some(&broken_off), "{report:?}");
    assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
    let statuses = report.destinations.iter().map(|at| at.status);
    let expected = [DestinationStatus::Committed, DestinationStatus::Failed];
    assert!(statuses.eq(expected), "{report:?}");
}

#[tokio::test]
async fn what_began_long_ago_is_taken_up_by_its_name_only() {
    const HOUR_MS: i64 = 3_600_000;
    let began: Timestamp = "2026-11-23T02:00:00.000Z".parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    std::fs::write(&path, records(1_000)).unwrap();
    for (hours, is_taken_up) in [(11, true), (12, false)] {
        let now = Arc::new(AtomicI64::new(began.unix_ms()));
        let clock = Arc::clone(&now);
        let clock = move || Timestamp::from_unix_ms(clock.load(Ordering::SeqCst));
        let engine = Engine::builder().clock(Arc::new(clock)).build().unwrap();
        let fault = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
        let (sink, failing) = failing("here", fault.on_keys_with(".index"));
        let to = [place("here", sink)];
        let broken_off = any_of(&engine, &path, &[failing], None).await.id.unwrap();
        now.fetch_add(hours * HOUR_MS, Ordering::SeqCst);
        let newest = any_of(&engine, &path, &to, Some(Resume::Unfinished)).await;
        assert_eq!(newest.exit_code(), exit::DONE, "{newest:?}");
        assert_eq!(newest.id.as_ref() == Some(&broken_off), is_taken_up);
        assert_eq!(newest.resumed.is_some(), is_taken_up, "{newest:?}");
        if !is_taken_up {
            let named = Some(Resume::Run(broken_off.clone()));
            let named = any_of(&engine, &path, &to, named).await;
            assert_eq!(named.id.as_ref(), Some(&broken_off), "{named:?}");
        }
    }
}

#[tokio::test]
async fn a_file_of_unknown_content_is_read_back_whatever_the_run_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let engine = Engine::builder().workers(1).build().unwrap();
    let backup = async |to: DestinationSpec, resume| {
        let mut asked = request(&[], &[to]);
        asked.source = Arc::new(JsonlSource::path(&path));
        asked.compression = "none".parse().unwrap();
        asked.verification = Verification::Attested;
        (asked.resume, asked.resume_quiet) = (resume, Duration::from_millis(1));
        engine.backup(asked).await
    };
    std::fs::write(&path, "{\"id\":1,\"is\":\"old\"}\n").unwrap();
    let fault = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (sink, at) = failing("here", fault.on_keys_with(".index"));
    let broken_off = backup(at, None).await.id.unwrap();

    // As long as before.
    std::fs::write(&path, "{\"id\":1,\"is\":\"new\"}\n").unwrap();
    let to = place("here", sink);
    let report = backup(to.clone(), Some(Resume::Run(broken_off.clone()))).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_ne!(report.id.as_ref(), Some(&broken_off), "{report:?}");
    let verified = engine.verify(teeline::VerifyRequest::new(vec![to])).await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
}
