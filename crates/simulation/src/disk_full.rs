//! A destination on a disk that fills up: at each size that is too small, nothing is half there, and with room the next backup is
//! made.
//!
//! The disk is a tmpfs of its own, which only root can mount.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use teeline::{
    BackupReport, BackupRequest, DestinationSpec, Engine, Executor, JsonlSource, RestoreRequest,
    RestoreTarget, VerifyRequest, Which,
};
use teeline_core::Random;

/// What a disk has of room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Bytes for files and folders.
    Bytes(u64),
    /// Files and folders, its root among them.
    Files(u64),
}

/// With this much there is enough for everything here.
const ENOUGH: &str = "size=64m,nr_inodes=4096";

/// What filling up a disk again and again came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filled {
    /// Sizes at which the disk was full.
    pub full: u64,
    /// Sizes at which it wasn't any more.
    pub enough: u64,
}

/// Tries each room from `step` on, `step` by `step`, until a backup fits, and as many more as are between two steps.
///
/// # Errors
/// What was wrong at the first room where something was, or `Ok(None)` where no disk can be mounted here.
pub fn fill(scratch: &Path, step: u64, room: fn(u64) -> Room) -> Result<Option<Filled>, String> {
    let mut filled = Filled::default();
    for number in 1.. {
        let Some(disk) = Disk::mount(scratch, room(number * step))? else {
            return Ok(None);
        };
        let fits =
            one_disk(&disk).map_err(|wrong| format!("{:?}: {wrong}", room(number * step)))?;
        match fits {
            true => filled.enough += 1,
            false => filled.full += 1,
        }
        if filled.enough == 2 {
            break;
        }
    }
    Ok(Some(filled))
}

/// Whether a backup fits. What must hold then, or where it doesn't, holds.
fn one_disk(disk: &Disk) -> Result<bool, String> {
    let engine = Engine::builder().executor(Executor::Inline).build();
    let engine = engine.map_err(|error| error.to_string())?;
    let at = DestinationSpec::parse(&disk.destination().display().to_string());
    let at = at.map_err(|error| error.to_string())?;
    let first = back_up(&engine, &at);
    let listed = listed(&engine, &at)?;
    let fits = first.exit_code() == 0;
    match (fits, first.exit_code(), listed) {
        (true, _, 1) => check_whole(&engine, &at, disk)?,
        (false, 1, 0) => check_failure(&first)?,
        (_, code, listed) => {
            return Err(format!(
                "exit code {code}, {listed} backups are listed: {first:?}"
            ));
        }
    }
    disk.make_room()?;
    let next = back_up(&engine, &at);
    if next.exit_code() != 0 {
        return Err(format!("with room again: {next:?}"));
    }
    let expected = if fits { 2 } else { 1 };
    let now = self::listed(&engine, &at)?;
    if now != expected {
        return Err(format!("{now} backups are listed, {expected} were made"));
    }
    check_whole(&engine, &at, disk)?;
    Ok(fits)
}

fn back_up(engine: &Engine, at: &DestinationSpec) -> BackupReport {
    let source = JsonlSource::from_reader("events", Box::new(Cursor::new(LINES.as_slice())));
    let mut request = BackupRequest::new(source, vec![at.clone()]);
    request.block_bytes = Some(16 << 10);
    request.segment_bytes = 100 << 10;
    engine.backup_blocking(request)
}

/// A megabyte and a half, of which compression leaves more than half.
static LINES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let random = Random::new(7);
    let mut lines = Vec::new();
    for number in 0..12_000 {
        let text: String = (0..7).map(|_| format!("{:016x}", random.next())).collect();
        lines.extend_from_slice(format!("{{\"id\":{number},\"text\":\"{text}\"}}\n").as_bytes());
    }
    lines
});

fn listed(engine: &Engine, at: &DestinationSpec) -> Result<usize, String> {
    let listed = futures::executor::block_on(engine.list(std::slice::from_ref(at)));
    match listed.exit_code() {
        0 => Ok(listed.backups.len()),
        _ => Err(format!("it can't be listed: {listed:?}")),
    }
}

/// That the report says what is the matter, and what to do.
fn check_failure(report: &BackupReport) -> Result<(), String> {
    let error = report.destinations.first().and_then(|at| at.error.as_ref());
    let is_said = error.is_some_and(|error| {
        error.message.contains("no space")
            && error
                .suggestion
                .as_deref()
                .is_some_and(|text| text.contains("free"))
    });
    match is_said {
        true => Ok(()),
        false => Err(format!("it isn't said that the disk is full: {report:?}")),
    }
}

fn check_whole(engine: &Engine, at: &DestinationSpec, disk: &Disk) -> Result<(), String> {
    let verify = VerifyRequest::new(vec![at.clone()]);
    let verified = futures::executor::block_on(engine.verify(verify));
    if verified.exit_code() != 0 {
        return Err(format!("what is listed isn't whole: {verified:?}"));
    }
    let to = disk.beside("restored");
    let target = RestoreTarget::Folder(to.clone());
    let restore = RestoreRequest::new(Which::Latest, vec![at.clone()], target);
    let restored = futures::executor::block_on(engine.restore(restore));
    if restored.exit_code() != 0 {
        return Err(format!("it can't be restored: {restored:?}"));
    }
    let is_same = fs::read(to.join("events.jsonl")).is_ok_and(|bytes| bytes == *LINES);
    fs::remove_dir_all(&to).map_err(|error| error.to_string())?;
    match is_same {
        true => Ok(()),
        false => Err("what was restored is something else".to_owned()),
    }
}

/// A tmpfs; dropped, it is gone.
struct Disk {
    at: PathBuf,
}

impl Disk {
    /// In a folder below `scratch`; `None` where this isn't allowed.
    fn mount(scratch: &Path, room: Room) -> Result<Option<Self>, String> {
        let at = scratch.join("disk");
        fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        let options = match room {
            Room::Bytes(bytes) => format!("size={bytes},nr_inodes=4096"),
            Room::Files(files) => format!("size=64m,nr_inodes={files}"),
        };
        Ok(mount(&options, &at)?.then_some(Disk { at }))
    }

    fn destination(&self) -> PathBuf {
        self.at.join("backups")
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.at.with_file_name(name)
    }

    fn make_room(&self) -> Result<(), String> {
        match mount(&format!("remount,{ENOUGH}"), &self.at)? {
            true => Ok(()),
            false => Err("it can't be made larger".to_owned()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is left mounted is in the way of the next one, which says so.
        let _ = Command::new("umount").arg(&self.at).status();
    }
}

/// Whether it could be mounted.
fn mount(options: &str, at: &Path) -> Result<bool, String> {
    let mut command = Command::new("mount");
    command
        .args(["-t", "tmpfs", "-o", options, "teeline"])
        .arg(at);
    let ran = command
        .output()
        .map_err(|error| format!("mount: {error}"))?;
    Ok(ran.status.success())
}
