//! One thing goes wrong in each run: the first call of a kind, then the second, and so on, until a run makes no further one.
//! Whatever call it is, nothing that was there is lost, what is said is true, and the same done again does it.

mod done;
mod scene;
mod set;
mod stores;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use teeline::Class;
use teeline::sinks::{DiskCall, DiskFault, Operation, What};
use teeline_core::Random;

use crate::life;
use crate::oracle::name;
use crate::world::World;
use scene::Scene;
pub use set::Set;
use stores::Stores;

/// The bytes that an engine may have in flight.
const BUDGET_BYTES: u64 = 64 << 20;

/// No run makes so many calls of a kind: a sweep that comes so far would never end.
const CALLS_MAX: u64 = 5_000;

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Doing {
    /// A backup is made.
    Backup,
    /// One that is sealed.
    Sealed,
    /// One that goes on from another.
    Link,
    /// A run that broke off is taken up, by its name.
    Resume,
    /// One of a sealed backup, the newest that broke off.
    ResumeSealed,
    /// A backup is restored.
    Restore,
    /// One that takes another one as well.
    RestoreLink,
    /// One is withdrawn and removed.
    Cleanup,
    /// A lost manifest is made again.
    Repair,
    /// A copy with files that are damaged and missing is healed.
    Heal,
    /// A copy that is missing is made.
    Sync,
    /// Somebody else is to open a backup.
    KeyChange,
}

impl Doing {
    /// Every one.
    pub const ALL: [Doing; 12] = [
        Doing::Backup,
        Doing::Sealed,
        Doing::Link,
        Doing::Resume,
        Doing::ResumeSealed,
        Doing::Restore,
        Doing::RestoreLink,
        Doing::Cleanup,
        Doing::Repair,
        Doing::Heal,
        Doing::Sync,
        Doing::KeyChange,
    ];

    /// Whether the backups are sealed.
    fn is_sealed(self) -> bool {
        matches!(self, Doing::Sealed | Doing::ResumeSealed | Doing::KeyChange)
    }

    /// The destinations that go wrong, one in each run: both where one gives what the other one takes.
    fn goes_wrong_at(self) -> &'static [usize] {
        match self {
            Doing::Heal | Doing::Sync => &[0, 1],
            _ => &[0],
        }
    }

    /// Whether a run broke off before.
    fn resumes(self) -> bool {
        matches!(self, Doing::Resume | Doing::ResumeSealed)
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// Calls of a store.
    Store(Operation, What),
    /// System calls on a folder.
    Disk(DiskCall, DiskFault),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Store(operation, what) => write!(f, "{what:?} of {operation:?}"),
            Wrong::Disk(call, DiskFault::ShortWrite) => write!(f, "short write in {call:?}"),
            Wrong::Disk(call, DiskFault::Errno(number)) => {
                let error = std::io::Error::from_raw_os_error(*number);
                write!(f, "{error} in {call:?}")
            }
        }
    }
}

/// Everything that goes wrong with stores.
pub fn of_stores() -> Vec<Wrong> {
    let operations = [
        Operation::Begin,
        Operation::Write,
        Operation::Commit,
        Operation::Put,
        Operation::Read,
        Operation::Head,
        Operation::List,
        Operation::Delete,
        Operation::DropCached,
    ];
    let whats = [
        What::Fail(Class::Transient),
        What::Fail(Class::Throttled),
        What::Fail(Class::Permanent),
        What::Fail(Class::NotFound),
        What::Fail(Class::Archived),
        What::Fail(Class::Conflict),
        What::Fail(Class::Corrupt),
        What::Fail(Class::Cancelled),
        What::LoseReply,
        What::Duplicate,
        What::Stall,
        What::FlipBit,
        What::LoseByte,
        What::Panic,
    ];
    let of = |operation| {
        let whats = whats.into_iter();
        let felt = whats.filter(move |what| what.has_effect_in(operation));
        felt.map(move |what| Wrong::Store(operation, what))
    };
    operations.into_iter().flat_map(of).collect()
}

/// Everything that goes wrong with folders.
pub fn of_folders() -> Vec<Wrong> {
    use rustix::io::Errno;
    let numbers = [
        Errno::IO,
        Errno::NOSPC,
        Errno::ROFS,
        Errno::ACCESS,
        Errno::DQUOT,
        Errno::MFILE,
        Errno::INTR,
    ];
    let of = |call| {
        let errors = numbers.map(|number| DiskFault::Errno(number.raw_os_error()));
        let short = (call == DiskCall::Write).then_some(DiskFault::ShortWrite);
        let faults = errors.into_iter().chain(short);
        faults.map(move |fault| Wrong::Disk(call, fault))
    };
    DiskCall::ALL.into_iter().flat_map(of).collect()
}

/// What a sweep came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Runs in which something went wrong.
    pub runs: u64,
    /// Of these, those that were a success all the same.
    pub successes: u64,
}

/// Lets the first call of a kind go wrong, then that after `step` further ones and so on, until nothing has gone wrong in a
/// run. Folders are made in `folder`.
///
/// # Errors
/// The first promise that was broken, and by which call.
pub fn sweep(set: &Set, wrong: Wrong, step: u64, folder: &Path) -> Result<Swept, String> {
    life::watch_panics();
    life::on_a_thread(|| sweep_on(set, wrong, step, folder))
}

fn sweep_on(set: &Set, wrong: Wrong, step: u64, folder: &Path) -> Result<Swept, String> {
    let mut swept = Swept::default();
    for at in set.doing.goes_wrong_at() {
        sweep_at(set, (wrong, *at), step, folder, &mut swept)?;
    }
    Ok(swept)
}

fn sweep_at(
    set: &Set,
    (wrong, at): (Wrong, usize),
    step: u64,
    folder: &Path,
    swept: &mut Swept,
) -> Result<(), String> {
    let what = format!("{:?}, {wrong} at {}", set.doing, name(at));
    let mut nth = 1;
    loop {
        let ran = one_run(set, (wrong, at), nth, folder)
            .and_then(|ran| life::panicked().map(|()| ran))
            .map_err(|broken| format!("{what}, call {nth}: {broken}"))?;
        if !ran.was_hit {
            return Ok(());
        }
        swept.runs += 1;
        swept.successes += u64::from(ran.is_success);
        nth += step.max(1);
        if nth > CALLS_MAX {
            return Err(format!("{what}: it goes on beyond call {nth}"));
        }
    }
}

struct Ran {
    was_hit: bool,
    is_success: bool,
}

fn one_run(set: &Set, (wrong, at): (Wrong, usize), nth: u64, folder: &Path) -> Result<Ran, String> {
    let world = World::at(now_ms(), nth, false);
    let running = async {
        let engine = life::engine(&world, &Arc::new(Random::new(nth)), BUDGET_BYTES)?;
        let scene = Scene {
            stores: Stores::of(set, wrong, folder)?,
            engine,
            set,
        };
        scene.run(wrong, at, nth).await
    };
    match life::live(&world, None, running)? {
        Some(ran) => ran,
        None => Err("the process died".to_owned()),
    }
}

/// What a store's objects are old by: folders have the time of the system.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.map_or(0, |since| since.as_millis());
    i64::try_from(ms).unwrap_or(i64::MAX)
}
