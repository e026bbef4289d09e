//! The filesystem that backups are written to is cut off in mid-write, and comes back with what was made durable only: what
//! its journal hadn't written is lost, as in a power cut.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use teeline::exit;
use teeline_core::Random;

use crate::life::Life;
use crate::teeline_command::Ran;
use crate::world::World;
use crate::{TeelineCommand, Wrong};

/// XFS makes none that is smaller.
const IMAGE_BYTES: u64 = 320 << 20;

/// What a backup ends with whose destinations fail: all of them, or some.
const FAILED: [u8; 2] = [exit::FAILED, exit::DEGRADED];

/// What many cuts came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// Cuts during a backup.
    pub during: u64,
    /// Cuts after one had ended well; it must be there afterwards.
    pub after: u64,
}

/// A filesystem in a file, and where it is mounted.
struct Mounted {
    image: PathBuf,
    at: PathBuf,
}

impl Mounted {
    fn make(kind: &str, folder: &Path) -> Result<Self, Wrong> {
        let (image, at) = (folder.join("image"), folder.join("disk"));
        let made = fs::File::create(&image)
            .and_then(|file| file.set_len(IMAGE_BYTES))
            .and_then(|()| fs::create_dir(&at));
        made.map_err(|error| format!("{}: {error}", image.display()))?;
        let mkfs = format!("mkfs.{kind}");
        run(Command::new(mkfs).arg("-q").arg(&image))?;
        let mounted = Mounted { image, at };
        mounted.mount()?;
        Ok(mounted)
    }

    fn mount(&self) -> Result<(), Wrong> {
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&self.image)
            .arg(&self.at))
    }

    /// Nothing is written any more from now on, not even what is in the journal's memory.
    fn cut(&self) -> Result<(), Wrong> {
        run(Command::new("xfs_io")
            .args(["-x", "-c", "shutdown"])
            .arg(&self.at))
    }

    fn come_back(&self) -> Result<(), Wrong> {
        run(Command::new("umount").arg(&self.at))?;
        self.mount()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The image goes with its folder; nobody is left to tell.
        let _ = run(Command::new("umount").arg(&self.at));
    }
}

/// Whether filesystems of this kind can be made, mounted and cut off here; or why not.
pub fn available(kind: &str) -> Result<(), Wrong> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mounted = Mounted::make(kind, scratch.path())?;
    mounted.cut()?;
    mounted.come_back()
}

/// Cuts a filesystem of this kind (`ext4` or `xfs`) off `rounds` times, each time some way into a backup, as `seed` has it.
///
/// # Errors
/// What didn't hold, and after which cut.
pub fn cut(command: &TeelineCommand, kind: &str, rounds: u64, seed: u64) -> Result<Cut, Wrong> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mounted = Mounted::make(kind, scratch.path())?;
    let destinations = vec!["disk/one".to_owned(), "disk/two".to_owned()];
    let world = World::new(command.clone(), scratch.path(), destinations)?;
    let random = Random::new(seed);
    let mut life = Life::begin(world, &random)?;
    let mut cut = Cut::default();
    for round in 0..rounds {
        let (child, moment) = life.start_backup()?;
        // The moment is what is tested, not something that is waited for.
        std::thread::park_timeout(moment);
        mounted.cut()?;
        let output = child
            .wait_with_output()
            .map_err(|error| error.to_string())?;
        let ran = Ran::of(output);
        let about = |wrong| format!("{kind}, seed {seed}, cut {round}: {wrong}");
        match ran.code {
            Some(0) => cut.after += 1,
            Some(code) if FAILED.map(i32::from).contains(&code) => cut.during += 1,
            _ => return Err(about(format!("it ended with {ran:?}"))),
        }
        mounted.come_back()?;
        life.go_on(&ran).map_err(about)?;
    }
    Ok(cut)
}

fn run(command: &mut Command) -> Result<(), Wrong> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}
