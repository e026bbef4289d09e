//! A folder as target: one restore at a time, nothing half-done, and what stands in the way is said before.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where something is not as it should be, and says what it left out"
)]

mod common;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{SpySink, engine, place, records, request, store};
use teeline::sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};
use teeline::{
    BackupId, BackupRequest, Cancel, Class, DestinationSpec, Engine, Executor, JsonlSource,
    RestoreReport, RestoreRequest, RestoreTarget, Which,
};

struct Made {
    engine: Engine,
    sink: MemorySink,
    at: DestinationSpec,
    id: BackupId,
    lines: Vec<u8>,
    folder: tempfile::TempDir,
}

async fn made() -> Made {
    let engine = engine(Executor::Threads(2));
    let lines = records(2000);
    let (sink, at) = store("one");
    let report = engine
        .backup(request(&lines, std::slice::from_ref(&at)))
        .await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    Made {
        engine,
        sink,
        at,
        id: report.id.unwrap(),
        lines,
        folder: tempfile::tempdir().unwrap(),
    }
}

impl Made {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn staging(&self, name: &str) -> PathBuf {
        self.path(&format!(".{name}.{}.restoring", self.id))
    }

    fn request(&self, target: &Path) -> RestoreRequest {
        let target = RestoreTarget::Folder(target.to_owned());
        RestoreRequest::new(Which::Latest, vec![self.at.clone()], target)
    }

    async fn restore(&self, name: &str, overwrite: bool) -> RestoreReport {
        let mut request = self.request(&self.path(name));
        request.overwrite = overwrite;
        self.engine.restore(request).await
    }

    #[track_caller]
    fn assert_restored(&self, name: &str) {
        let restored = fs::read(self.path(name).join("events.jsonl")).unwrap();
        assert!(restored == self.lines, "{name}: the same bytes");
        assert!(!self.staging(name).exists());
    }

    /// The store as one that stalls when the first data file has been read: several reads are under way at once, and which
    /// of them comes first is open.
    fn stalling(&self) -> DestinationSpec {
        let stall = Fault::new(Operation::Read, When::From(1), What::Stall);
        let plan = FaultPlan::new(1).with(stall.on_keys_with("~0002.jsonl.gz"));
        place("one", FaultSink::new(Arc::new(self.sink.clone()), plan))
    }
}

#[track_caller]
fn assert_refused(report: &RestoreReport, part: &str) {
    let error = report.error.as_ref().unwrap();
    assert_eq!(error.class, Class::Conflict, "{error:?}");
    assert!(error.message.contains(part), "{error:?}");
    assert!(error.suggestion.is_some(), "{error:?}");
}

#[tokio::test]
async fn two_restores_of_one_backup_to_one_folder_do_not_meet() {
    let made = made().await;
    let cancel = Cancel::new();
    let mut first = made.request(&made.path("out"));
    first.destinations = vec![made.stalling()];
    first.cancel = cancel.clone();
    let engine = made.engine.clone();
    let first = tokio::spawn(async move { engine.restore(first).await });
    let staged = made.staging("out").join("events.jsonl");
    while fs::metadata(&staged).map_or(0, |staged| staged.len()) == 0 {
        tokio::task::yield_now().await;
    }
    let held = fs::read(&staged).unwrap();
    assert_refused(&made.restore("out", false).await, "under way");
    assert_refused(&made.restore("out", true).await, "under way");
    let now = fs::read(&staged).unwrap();
    assert!(now.starts_with(&held), "it was left alone");
    assert!(!made.path("out").exists());
    // Elsewhere, and the same again when the first one is over.
    assert_eq!(made.restore("other", false).await.exit_code(), 0);
    cancel.cancel();
    assert_eq!(first.await.unwrap().exit_code(), 130);
    assert!(!made.staging("out").exists());
    assert_eq!(made.restore("out", false).await.exit_code(), 0);
    made.assert_restored("out");
}

#[tokio::test]
async fn what_a_killed_restore_left_is_cleaned_up() {
    let made = made().await;
    let left = made.staging("out");
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    private.create(left.join("folder")).unwrap();
    for name in ["events.jsonl", "stale.jsonl", "folder/file"] {
        fs::write(left.join(name), "half a li").unwrap();
    }
    assert_eq!(made.restore("out", false).await.exit_code(), 0);
    made.assert_restored("out");
    assert_eq!(fs::read_dir(made.path("out")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_folder_that_was_filled_meanwhile_is_not_written() {
    let made = made().await;
    let out = made.path("out");
    let filling = SpySink::new(made.sink.clone(), move |_, key, _| {
        // It was empty when the restore began.
        if key.as_str().ends_with(".jsonl.gz") && !out.exists() {
            fs::create_dir_all(&out).unwrap();
            fs::write(out.join("events.jsonl"), "mine").unwrap();
        }
    });
    let mut asked = made.request(&made.path("out"));
    asked.destinations = vec![place("one", filling)];
    let report = made.engine.restore(asked).await;
    assert_refused(&report, "isn't empty");
    assert_eq!(
        fs::read(made.path("out").join("events.jsonl")).unwrap(),
        b"mine"
    );
    assert!(!made.staging("out").exists());
}

#[tokio::test]
async fn a_folder_in_a_files_place_is_found_before_anything_is_moved() {
    let made = made().await;
    let out = made.path("out");
    fs::create_dir_all(out.join("events.jsonl")).unwrap();
    fs::write(out.join("other"), "stays").unwrap();
    let report = made.restore("out", true).await;
    assert_refused(&report, "events.jsonl: it is a folder");
    assert_eq!(fs::read(out.join("other")).unwrap(), b"stays");
    assert!(!made.staging("out").exists());
    fs::remove_dir(out.join("events.jsonl")).unwrap();
    assert_eq!(made.restore("out", true).await.exit_code(), 0);
    made.assert_restored("out");
    assert_eq!(fs::read(out.join("other")).unwrap(), b"stays");
}

/// A folder that something is mounted on, until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where this isn't allowed.
    fn on(folder: PathBuf, arguments: &[&str]) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        let mut mount = Command::new("mount");
        let ran = mount.args(arguments).arg(&folder).output().unwrap();
        if !ran.status.success() {
            println!("nothing can be mounted here: no restore to a mounted folder is tried");
            return None;
        }
        Some(Mounted(folder))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.unwrap().success() || std::thread::panicking());
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Nothing can be renamed onto it, nor from beside it into it.
#[tokio::test]
async fn a_mounted_folder_is_restored_to_without_a_byte_beside_it() {
    let made = made().await;
    let beside = made.path("beside");
    fs::create_dir(&beside).unwrap();
    let tmpfs = ["-t", "tmpfs", "-o", "size=16m", "teeline"];
    let bind = ["--bind", beside.to_str().unwrap()];
    for arguments in [&tmpfs[..], &bind] {
        let out = made.path("out");
        let Some(_mounted) = Mounted::on(out.clone(), arguments) else {
            return;
        };
        // As a new filesystem is, on which restores of this and of another backup were killed.
        fs::create_dir(out.join("lost+found")).unwrap();
        let left = format!(".out.{}.restoring", made.id);
        let others = ".out.full-2026-11-22T02-00-00-aaaaaaaaaa.restoring";
        for name in [left.as_str(), others] {
            fs::DirBuilder::new()
                .mode(0o700)
                .create(out.join(name))
                .unwrap();
            fs::write(out.join(name).join("stale.jsonl"), "half a li").unwrap();
        }
        let report = made.restore("out", false).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        made.assert_restored("out");
        assert_eq!(names_in(&out), [others, "events.jsonl", "lost+found"]);
        assert_eq!(names_in(made.folder.path()), ["beside", "out"]);

        // What is there stays, and is replaced where that is asked for.
        fs::write(out.join("events.jsonl"), "mine").unwrap();
        assert_refused(&made.restore("out", false).await, "isn't empty");
        assert_eq!(fs::read(out.join("events.jsonl")).unwrap(), b"mine");
        let report = made.restore("out", true).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        made.assert_restored("out");
        assert_eq!(names_in(&out), [others, "events.jsonl", "lost+found"]);
    }
}

#[tokio::test]
async fn a_mounted_folder_that_was_filled_meanwhile_is_not_written() {
    let made = made().await;
    let out = made.path("out");
    let Some(_mounted) = Mounted::on(out.clone(), &["-t", "tmpfs", "teeline"]) else {
        return;
    };
    let filled = out.join("events.jsonl");
    let filling = SpySink::new(made.sink.clone(), move |_, key, _| {
        if key.as_str().ends_with(".jsonl.gz") {
            fs::write(&filled, "mine").unwrap();
        }
    });
    let mut asked = made.request(&out);
    asked.destinations = vec![place("one", filling)];
    assert_refused(&made.engine.restore(asked).await, "isn't empty");
    assert_eq!(fs::read(out.join("events.jsonl")).unwrap(), b"mine");
    assert_eq!(names_in(&out), ["events.jsonl"]);
}

/// Of three files the one in the middle can't be renamed, in whichever order they come.
#[tokio::test]
async fn a_mounted_folder_to_which_not_all_can_be_renamed_is_left_empty() {
    let engine = engine(Executor::Threads(2));
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    fs::create_dir(&data).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(data.join(format!("{name}.jsonl")), records(10)).unwrap();
    }
    let (sink, at) = store("one");
    let made = engine
        .backup(BackupRequest::new(JsonlSource::path(&data), vec![at]))
        .await;
    assert_eq!(made.exit_code(), 0, "{made:?}");
    let Some(_mounted) = Mounted::on(out.clone(), &["-t", "tmpfs", "teeline"]) else {
        return;
    };
    let staging = out.join(format!(".out.{}.restoring", made.id.unwrap()));
    let (held, holder) = (staging.join("b.jsonl"), data.join("holder"));
    fs::write(&holder, "").unwrap();
    let is_held = AtomicBool::new(false);
    let holding = SpySink::new(sink.clone(), {
        let held = held.clone();
        move |_, key, _| {
            if key.as_str().ends_with(".jsonl.gz") && !is_held.swap(true, Ordering::SeqCst) {
                let mut mount = Command::new("mount");
                let ran = mount.arg("--bind").args([&holder, &held]).status();
                assert!(ran.unwrap().success());
            }
        }
    });
    let restore = |from: DestinationSpec| {
        let target = RestoreTarget::Folder(out.clone());
        engine.restore(RestoreRequest::new(Which::Latest, vec![from], target))
    };
    let report = restore(place("one", holding)).await;
    assert_eq!(report.exit_code(), 1, "{report:?}");
    let staged = staging.file_name().unwrap().to_str().unwrap();
    assert_eq!(names_in(&out), [staged]);
    assert!(
        Command::new("umount")
            .arg(&held)
            .status()
            .unwrap()
            .success()
    );
    let report = restore(place("one", sink)).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(names_in(&out), ["a.jsonl", "b.jsonl", "c.jsonl"]);
}

#[tokio::test]
async fn a_link_to_a_folder_is_that_folder_and_a_file_is_none() {
    let made = made().await;
    fs::create_dir(made.path("real")).unwrap();
    std::os::unix::fs::symlink("real", made.path("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", made.path("dangling")).unwrap();
    fs::write(made.path("file"), "x").unwrap();
    let report = made.restore("link", false).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(report.target, made.path("link").display().to_string());
    made.assert_restored("real");
    assert!(made.path("link").is_symlink());
    assert_eq!(made.restore("link", true).await.exit_code(), 0);

    // Nobody is asked for a backup that could go nowhere.
    let all_stalls = |operation| Fault::new(operation, When::From(1), What::Stall);
    let plan = FaultPlan::new(1).with(all_stalls(Operation::List));
    let silent = place("one", FaultSink::new(Arc::new(made.sink.clone()), plan));
    for (name, part) in [("file", "it is a file"), ("dangling", "leads nowhere")] {
        let mut asked = made.request(&made.path(name));
        asked.destinations = vec![silent.clone()];
        asked.overwrite = true;
        assert_refused(&made.engine.restore(asked).await, part);
    }
    assert_eq!(fs::read(made.path("file")).unwrap(), b"x");
}
