//! A restore to a folder of which one system call fails: the first of a kind, then the second, and so on, until a run makes no
//! further one. Whatever fails, the target has all of the backup or is as it was, nothing panics, and the same again restores: to a
//! folder that isn't there, and to one that has another backup.

use crate::files::files;
use std::path::Path;

use crate::kill_points::{remove, traced};
use crate::scenario::{RESTORED, restore_scenario};
use crate::world::World;
use crate::{TeelineCommand, Wrong};

/// The system calls by which a restore reads and writes folders.
const CALLS: [&str; 14] = [
    "openat",
    "mkdir",
    "mkdirat",
    "write",
    "fsync",
    "fdatasync",
    "flock",
    "getdents64",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
];
const ERRORS: [&str; 7] = [
    "EIO", "ENOSPC", "EROFS", "EACCES", "EDQUOT", "EMFILE", "EINTR",
];
/// What the process of Rust ends with where it panicked.
const PANICKED: i32 = 101;

/// What a sweep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failed {
    /// Runs in which a call failed.
    pub runs: u64,
    /// Of these, those that restored all the same.
    pub restored: u64,
}

/// Fails every `stride`th call of each kind, from the `first`, counted from 1, with each error.
///
/// # Errors
/// What didn't hold, and after which call.
pub fn sweep(command: &TeelineCommand, (first, stride): (usize, usize)) -> Result<Failed, Wrong> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let template = scratch.path().join("template");
    std::fs::create_dir(&template).map_err(|error| error.to_string())?;
    let mut world = World::new(command.clone(), &template, vec!["one".to_owned()])?;
    let scenario = restore_scenario();
    (scenario.prepare)(&mut world)?;
    let mut failed = Failed::default();
    sweep_over(&world, scratch.path(), (first, stride), &mut failed)?;
    world.run(&(scenario.arguments)(&world), &[0])?;
    world.back_up(&["full"])?;
    sweep_over(&world, scratch.path(), (first, stride), &mut failed)?;
    Ok(failed)
}

/// What there is in the target is what an earlier one has restored there, or nothing.
fn sweep_over(
    template: &World,
    scratch: &Path,
    (first, stride): (usize, usize),
    failed: &mut Failed,
) -> Result<(), Wrong> {
    let scenario = restore_scenario();
    let before = files(&template.folder().join(RESTORED))?;
    for call in CALLS {
        for error in ERRORS {
            for number in (first..).step_by(stride) {
                let folder = scratch.join("failed");
                let world = template.copied_to(&folder)?;
                let arguments = (scenario.arguments)(&world);
                let about = |wrong| format!("{error} from {call} number {number}: {wrong}");
                let came = fail_at(&world, &arguments, (call, error, number)).map_err(about)?;
                let Some(code) = came else {
                    remove(&folder)?;
                    break;
                };
                let there = || files(&folder.join(RESTORED));
                let now = there()?;
                if !(code != 0 && now == before || world.latest_holds(&now)) {
                    return Err(about(format!(
                        "it ended with {code}, and half of it is there"
                    )));
                }
                world.run(&arguments, scenario.again).map_err(about)?;
                if !world.latest_holds(&there()?) {
                    return Err(about("the same again restores something else".to_owned()));
                }
                failed.runs += 1;
                failed.restored += u64::from(code == 0);
                remove(&folder)?;
            }
        }
    }
    Ok(())
}

/// Runs the command, and gives its code; nothing where it makes no such call.
fn fail_at(
    world: &World,
    arguments: &[String],
    (call, error, number): (&str, &str, usize),
) -> Result<Option<i32>, Wrong> {
    let trace = world.folder().join("trace");
    let fails = format!("error={error}:when={number}");
    let status = traced(world, arguments, (call, &fails), &trace)?;
    let said = std::fs::read_to_string(&trace).map_err(|error| format!("the trace: {error}"))?;
    if !said.contains("(INJECTED)") {
        return Ok(None);
    }
    match status.code() {
        Some(PANICKED) | None => Err(format!("it ended with {status}")),
        code => Ok(code),
    }
}
