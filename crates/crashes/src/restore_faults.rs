//! A restore to a folder of which one system call fails: the first of a kind, then the second, and so on, until a run makes no
//! further one. Whatever fails, the target has all of the backup or is as it was, nothing panics, and the same again restores: to a
//! folder that isn't there, and to one that has another backup.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::files::files;
use crate::kill_points::{no_strace, remove, traced};
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
/// What strace says of a call that it let fail.
const INJECTED: &str = "(INJECTED)";
/// A run that can still be at work.
const PATIENCE: Duration = Duration::from_secs(2);
/// A run that doesn't end.
const HANGS: Duration = Duration::from_secs(120);

/// What a sweep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failed {
    /// Runs in which a call failed.
    pub runs: u64,
    /// Of these, those that restored all the same.
    pub restored: u64,
    /// Runs besides in which no file's call failed, but one that was to wake a thread.
    pub asleep: u64,
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
                let mut world = template.copied_to(&folder)?;
                let arguments = (scenario.arguments)(&world);
                let about = |wrong| format!("{error} from {call} number {number}: {wrong}");
                let came = fail_at(&world, &arguments, (call, error, number)).map_err(about)?;
                let code = match came {
                    Came::To(code) => code,
                    Came::Untouched => {
                        remove(&folder)?;
                        break;
                    }
                    Came::Asleep => {
                        failed.asleep += 1;
                        remove(&folder)?;
                        continue;
                    }
                };
                let now = files(&folder.join(RESTORED))?;
                if !(code != 0 && now == before || world.latest_holds(&now)) {
                    return Err(about(format!(
                        "it ended with {code}, and half of it is there"
                    )));
                }
                let ran = world.run(&arguments, scenario.again).map_err(about)?;
                (scenario.done)(&mut world, &ran).map_err(about)?;
                failed.runs += 1;
                failed.restored += u64::from(code == 0);
                remove(&folder)?;
            }
        }
    }
    Ok(())
}

/// What became of a run in which a call was to fail.
enum Came {
    /// It made no such call.
    Untouched,
    /// It ended with this code.
    To(i32),
    /// What failed was to wake a thread, which has nothing to do with any disk: tokio panics there, and what sleeps isn't told.
    Asleep,
}

/// Runs the command, one of whose calls fails.
fn fail_at(
    world: &World,
    arguments: &[String],
    (call, error, number): (&str, &str, usize),
) -> Result<Came, Wrong> {
    let trace = world.folder().join("trace");
    let fails = format!("error={error}:when={number}");
    let mut strace = traced(world, arguments, (call, &fails), &trace);
    let child = strace.process_group(0).spawn().map_err(no_strace)?;
    let ended = end_of(child, &trace, call)?;
    let said = said_in(&trace)?;
    match ended.map(|status| (status, status.code())) {
        _ if !said.contains(INJECTED) => Ok(Came::Untouched),
        None | Some((_, Some(PANICKED) | None)) if fails_to_wake(&said, call) => Ok(Came::Asleep),
        None => Err(format!("it hasn't ended after {} s", HANGS.as_secs())),
        Some((status, Some(PANICKED) | None)) => Err(format!("it ended with {status}")),
        Some((_, Some(code))) => Ok(Came::To(code)),
    }
}

/// How it ended; nothing where it was killed, since it slept for ever.
fn end_of(mut child: Child, trace: &Path, call: &str) -> Result<Option<ExitStatus>, Wrong> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(no_strace)? {
            return Ok(Some(status));
        }
        let sleeps = begun.elapsed() > PATIENCE && fails_to_wake(&said_in(trace)?, call);
        if sleeps || begun.elapsed() > HANGS {
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let group = group.ok_or("a child without a number")?;
            kill_process_group(group, Signal::KILL).map_err(|error| error.to_string())?;
            child.wait().map_err(no_strace)?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether one of the calls that failed was to something that is no file: where a call took long, its end has a line of its own,
/// without what it was to.
fn fails_to_wake(trace: &str, call: &str) -> bool {
    let mut begun = BTreeMap::new();
    trace.lines().any(|line| {
        let thread = line.split(' ').next();
        if line.contains(&format!(" {call}(")) {
            begun.insert(thread, line);
        }
        line.contains(INJECTED)
            && begun
                .get(&thread)
                .is_some_and(|line| line.contains("<anon_inode:"))
    })
}

fn said_in(trace: &Path) -> Result<String, Wrong> {
    match std::fs::read(trace) {
        Ok(said) => Ok(String::from_utf8_lossy(&said).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(format!("the trace: {error}")),
    }
}
