//! Killed at every system call that changes anything: one run for each, until a run ends by itself.
//!
//! `strace` counts the calls of each thread and each kind by itself, and kills when one of them comes to its number. With the
//! inline executor one thread makes nearly all of them, so the numbers are moments of the run, and none is left out. A kill
//! comes before the call does anything; what is after it is before the next one.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::teeline_command::NO_QUIET;
use crate::world::World;
use crate::{Scenario, TeelineCommand, Wrong};

/// The system calls that change what is on a disk, or send something.
pub const CALLS: [&str; 19] = [
    "mkdir",
    "mkdirat",
    "write",
    "pwrite64",
    "writev",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "linkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "fchmod",
    "sendto",
    "connect",
];

/// Points at which a run was killed and everything held afterwards, by scenario and system call.
pub type Killed = BTreeMap<(&'static str, &'static str), u64>;

/// Whether there is what it takes; or what is missing.
pub fn available() -> Result<(), Wrong> {
    let traced = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .output();
    match traced {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(no_strace(error)),
    }
}

/// Kills each scenario at every `stride`th of its system calls, from the `first`, counted from 1.
pub fn sweep(
    command: &TeelineCommand,
    scenario: &Scenario,
    (first, stride): (usize, usize),
    killed: &mut Killed,
) -> Result<(), Wrong> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let world = scenario.prepared(command, scratch.path(), false)?;
    for call in CALLS {
        for number in (first..).step_by(stride * scenario.every) {
            let folder = scratch.path().join("killed");
            let mut world = world.copied_to(&folder)?;
            let arguments = (scenario.arguments)(&world);
            let is_killed = kill_at(&world, &arguments, call, number);
            if !is_killed.map_err(|wrong| format!("{}: {wrong}", scenario.name))? {
                remove(&folder)?;
                break;
            }
            world.go_on(scenario).map_err(|wrong| {
                format!(
                    "{}, killed at {call} number {number}: {wrong}",
                    scenario.name
                )
            })?;
            *killed.entry((scenario.name, call)).or_default() += 1;
            remove(&folder)?;
        }
    }
    Ok(())
}

/// Runs the command with these arguments, and says whether it was killed at this call, and hadn't ended before.
pub(crate) fn kill_at(
    world: &World,
    arguments: &[String],
    call: &str,
    number: usize,
) -> Result<bool, Wrong> {
    let kills = format!("signal=KILL:when={number}");
    let status = traced(world, arguments, (call, &kills), Path::new("/dev/null"))
        .status()
        .map_err(no_strace)?;
    // It ends as the traced program did.
    match (status.signal(), status.code()) {
        (Some(9), _) | (_, Some(137)) => Ok(true),
        (_, Some(0)) => Ok(false),
        other => Err(format!("it ended with {other:?}")),
    }
}

/// The command on one thread, in which this happens to a system call; `trace` is a file for what strace says of it, with the path of each
/// descriptor. It ends as the command does.
pub(crate) fn traced(
    world: &World,
    arguments: &[String],
    (call, happens): (&str, &str),
    trace: &Path,
) -> Command {
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-y", "-o"])
        .arg(trace)
        .args(["-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:{happens}")])
        .arg(world.command().path())
        .args(arguments)
        .env("TEELINE__ENGINE__EXECUTOR", "inline")
        .env(NO_QUIET.0, NO_QUIET.1)
        .current_dir(world.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    strace
}

pub(crate) fn no_strace(error: std::io::Error) -> Wrong {
    format!("strace: {error}")
}

pub(crate) fn remove(folder: &Path) -> Result<(), Wrong> {
    std::fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}
