//! One thing goes wrong in each run: the first call of a kind, then the second, and so on, until a run makes no further one.
//! Whatever call it is, nothing that was there is lost, what is said is true, and the same done again does it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use teeline::sinks::{
    DiskCall, DiskFault, Fault, FaultPlan, FaultSink, FilesystemOptions, FilesystemSink, Io,
    MemorySink, Operation, What, When,
};
use teeline::{
    BackupId, BackupRequest, Class, CleanupRequest, DestinationSpec, Engine, KeyChange, Keys,
    KeysRequest, RepairRequest, RestoreRequest, RestoreStatus, RestoreTarget, Retention,
    RetentionPolicy, Sink, Span, StrategyKind, SyncRequest, Which, exit,
};
use teeline_core::{ObjectKey, Random, layout};
use tempfile::TempDir;
use tokio::time::{Duration, sleep};

use crate::data::{Records, Restored, lines, whole};
use crate::life;
use crate::oracle::{
    Happened, Made, Reported, destination, destination_of, emitted_the_truth, name, restores,
    says_the_truth, verdict_is_the_strategys,
};
use crate::secrets::{opened_by, recipient};
use crate::world::World;

/// The bytes that an engine may have in flight.
const BUDGET_BYTES: u64 = 64 << 20;

/// No run makes so many calls of a kind: a sweep that comes so far would never end.
const CALLS_MAX: u64 = 5_000;

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Doing {
    /// A backup is made.
    Backup,
    /// One is restored.
    Restore,
    /// One is withdrawn and removed.
    Cleanup,
    /// A lost manifest is made again.
    Repair,
    /// A copy that is missing is made.
    Sync,
    /// Somebody else is to open a backup.
    KeyChange,
}

impl Doing {
    /// Every one.
    pub const ALL: [Doing; 6] = [
        Doing::Backup,
        Doing::Restore,
        Doing::Cleanup,
        Doing::Repair,
        Doing::Sync,
        Doing::KeyChange,
    ];
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
    let of = |operation| whats.map(move |what| Wrong::Store(operation, what));
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
    life::quiet_injected_panics();
    let doing = set.doing;
    let mut swept = Swept::default();
    let mut nth = 1;
    loop {
        let ran = one_run(set, wrong, nth, folder)
            .map_err(|broken| format!("{doing:?}, {wrong}, call {nth}: {broken}"))?;
        if !ran.was_hit {
            return Ok(swept);
        }
        swept.runs += 1;
        swept.successes += u64::from(ran.is_success);
        nth += step.max(1);
        if nth > CALLS_MAX {
            return Err(format!("{doing:?}, {wrong}: it goes on beyond call {nth}"));
        }
    }
}

struct Ran {
    was_hit: bool,
    is_success: bool,
}

fn one_run(set: &Set, wrong: Wrong, nth: u64, folder: &Path) -> Result<Ran, String> {
    let world = World::at(now_ms(), nth, false);
    let running = async {
        let engine = life::engine(&world, &Arc::new(Random::new(nth)), BUDGET_BYTES)?;
        let scene = Scene {
            stores: Stores::of(set, wrong, folder)?,
            engine,
            set,
        };
        scene.run(wrong, nth).await
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

/// Where the destinations are.
enum Stores {
    Memory([MemorySink; 2]),
    Folders(TempDir),
}

impl Stores {
    /// Two destinations that hold what was there before.
    fn of(set: &Set, wrong: Wrong, folder: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| error.to_string();
        match wrong {
            Wrong::Store(..) => {
                let sinks = [0, 1].map(|number| MemorySink::new(name(number)));
                for (sink, objects) in sinks.iter().zip(&set.objects) {
                    for (key, bytes) in objects {
                        sink.overwrite(key, bytes);
                    }
                }
                Ok(Stores::Memory(sinks))
            }
            Wrong::Disk(..) => {
                fs::create_dir_all(folder).map_err(failed)?;
                let folder = tempfile::tempdir_in(folder).map_err(failed)?;
                for (number, objects) in set.objects.iter().enumerate() {
                    for (key, bytes) in objects {
                        let path = root(folder.path(), number).join(key.as_str());
                        fs::create_dir_all(path.parent().unwrap_or(folder.path()))
                            .map_err(failed)?;
                        fs::write(path, bytes).map_err(failed)?;
                    }
                }
                Ok(Stores::Folders(folder))
            }
        }
    }

    fn sink(&self, number: usize) -> Arc<dyn Sink> {
        match self {
            Stores::Memory(sinks) => Arc::new(sinks[number].clone()),
            Stores::Folders(folder) => {
                let options = inline();
                Arc::new(FilesystemSink::new(root(folder.path(), number), options))
            }
        }
    }

    fn destinations(&self) -> Result<Vec<DestinationSpec>, String> {
        let both = [0, 1].map(|number| destination_of(number, self.sink(number)));
        both.into_iter().collect()
    }

    /// The destinations, the first of which goes wrong at its call number `nth`; and how often it did.
    fn failing(
        &self,
        wrong: Wrong,
        nth: u64,
    ) -> Result<(Vec<DestinationSpec>, Arc<AtomicU64>), String> {
        let (sink, hits): (Arc<dyn Sink>, _) = match (wrong, self) {
            (Wrong::Disk(at, fault), Stores::Folders(folder)) => {
                let (hits, calls) = (Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
                let noted = Arc::clone(&hits);
                let interfere = move |call| {
                    let is_it = call == at && calls.fetch_add(1, Ordering::Relaxed) + 1 == nth;
                    noted.fetch_add(u64::from(is_it), Ordering::Relaxed);
                    is_it.then_some(fault)
                };
                let root = root(folder.path(), 0);
                let sink = FilesystemSink::failing(root, inline(), Arc::new(interfere));
                (Arc::new(sink), hits)
            }
            (Wrong::Store(operation, what), _) => {
                let fault = Fault::new(operation, When::Nth(nth), what);
                let sink = FaultSink::new(self.sink(0), FaultPlan::new(nth).with(fault));
                let hits = sink.hits();
                (Arc::new(sink), hits)
            }
            (Wrong::Disk(..), Stores::Memory(_)) => {
                return Err("memory makes no system calls".to_owned());
            }
        };
        let both = vec![destination_of(0, sink)?, destination_of(1, self.sink(1))?];
        Ok((both, hits))
    }
}

fn inline() -> FilesystemOptions {
    FilesystemOptions {
        io: Io::Inline,
        ..FilesystemOptions::default()
    }
}

fn root(folder: &Path, number: usize) -> PathBuf {
    folder.join(name(number))
}

struct Scene<'a> {
    engine: Engine,
    stores: Stores,
    set: &'a Set,
}

/// What came of doing it.
struct Came {
    is_success: bool,
    reported: Option<Reported>,
}

impl Scene<'_> {
    async fn run(&self, wrong: Wrong, nth: u64) -> Result<Ran, String> {
        let made = self.set.made.clone();
        let (failing, hits) = self.stores.failing(wrong, nth)?;
        let came = self.act(&failing, &made).await?;
        let listed = self.look(&made).await?;
        for (number, (now, to_stay)) in listed.iter().zip(&self.set.to_stay).enumerate() {
            if let Some(lost) = to_stay.difference(now).next() {
                return Err(format!("P3: {} has lost {lost}", name(number)));
            }
            if let Some(reported) = &came.reported {
                says_the_truth(&name(number), reported, now, &Happened::default())?;
            }
        }
        if let Some(reported) = &came.reported {
            verdict_is_the_strategys(reported)?;
        }
        let was_hit = hits.load(Ordering::Relaxed) > 0;
        if !was_hit && !came.is_success {
            return Err("without a fault it fails".to_owned());
        }
        self.again(&made).await?;
        match self.engine.is_idle() {
            true => Ok(Ran {
                was_hit,
                is_success: came.is_success,
            }),
            false => Err("P6: the engine isn't idle".to_owned()),
        }
    }

    /// Done again, when nothing goes wrong, it is done, and all is right.
    async fn again(&self, made: &Made) -> Result<(), String> {
        sleep(Duration::from_secs(60)).await;
        let came = self.act(&self.stores.destinations()?, made).await?;
        if !came.is_success {
            return Err("P4: done again, it fails".to_owned());
        }
        for (number, now) in self.look(made).await?.iter().enumerate() {
            if let Some(lost) = self.set.in_the_end.difference(now).next() {
                return Err(format!("P4: in the end {} lacks {lost}", name(number)));
            }
        }
        Ok(())
    }

    async fn act(&self, to: &[DestinationSpec], made: &Made) -> Result<Came, String> {
        let (engine, to) = (&self.engine, to.to_vec());
        let code = match self.set.doing {
            Doing::Backup => {
                let reported = self.set.back_up(engine, to, made, 3).await;
                return Ok(Came {
                    is_success: reported.report.exit_code() == exit::DONE,
                    reported: Some(reported),
                });
            }
            Doing::Restore => return self.restore(to[..1].to_vec(), made).await,
            Doing::Cleanup => {
                let newest = Retention {
                    count: 1,
                    ..Retention::default()
                };
                let mut policy = RetentionPolicy::new(newest);
                policy.grace = Span::default();
                let request = CleanupRequest::new(to, policy);
                engine.cleanup(request).await.exit_code()
            }
            Doing::Repair => {
                let request = RepairRequest::rebuild_manifests(to);
                engine.repair(request).await.exit_code()
            }
            Doing::Sync => engine.sync(SyncRequest::new(to)).await.exit_code(),
            Doing::KeyChange => {
                let mut request = KeysRequest::new(to);
                request.keys = opened_by(&[1, 2]);
                request.change = KeyChange::Rotate(vec![recipient(2)]);
                engine.keys(request).await.exit_code()
            }
        };
        Ok(Came {
            is_success: code == exit::DONE,
            reported: None,
        })
    }

    async fn restore(&self, from: Vec<DestinationSpec>, made: &Made) -> Result<Came, String> {
        let restored = Restored::default();
        let target = RestoreTarget::Custom(Box::new(restored.clone()));
        let request = RestoreRequest::new(Which::Latest, from, target);
        let report = self.engine.restore(request).await;
        emitted_the_truth(made, &restored, report.status)?;
        Ok(Came {
            is_success: report.status == RestoreStatus::Completed,
            reported: None,
        })
    }

    /// What each destination lists: each restores from there alone.
    async fn look(&self, made: &Made) -> Result<Vec<BTreeSet<BackupId>>, String> {
        let keys = match self.set.doing {
            Doing::KeyChange => opened_by(&[1, 2]),
            _ => Keys::default(),
        };
        let mut all = Vec::new();
        for (number, destination) in self.stores.destinations()?.into_iter().enumerate() {
            let alone = vec![destination];
            let mut now = BTreeSet::new();
            for backup in self.engine.list(&alone).await.backups {
                let Some(lines) = made.lines(&backup.id) else {
                    return Err(format!("P3: {} lists what nobody made", name(number)));
                };
                restores(&self.engine, &alone, &backup.id, &lines, &keys)
                    .await
                    .map_err(|wrong| format!("P1: {}: {wrong}", name(number)))?;
                now.insert(backup.id);
            }
            all.push(now);
        }
        Ok(all)
    }
}

type Objects = Vec<(ObjectKey, Vec<u8>)>;

/// What there is before anything goes wrong, at two destinations.
#[derive(Debug)]
pub struct Set {
    doing: Doing,
    objects: [Objects; 2],
    made: Made,
    /// What must stay at each destination.
    to_stay: [BTreeSet<BackupId>; 2],
    /// What both must have once it is done.
    in_the_end: BTreeSet<BackupId>,
}

impl Set {
    /// What it takes to do this.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn of(doing: Doing) -> Result<Self, String> {
        let world = World::at(now_ms() - 120_000, 1, false);
        let setting = async {
            let engine = life::engine(&world, &Arc::new(Random::new(7)), BUDGET_BYTES)?;
            Self::make(&engine, doing).await
        };
        match life::live(&world, None, setting)? {
            Some(set) => set,
            None => Err("the process died".to_owned()),
        }
    }

    async fn make(engine: &Engine, doing: Doing) -> Result<Self, String> {
        let sinks = [0, 1].map(|number| MemorySink::new(name(number)));
        let mut set = Set {
            doing,
            objects: Default::default(),
            made: Made::default(),
            to_stay: Default::default(),
            in_the_end: BTreeSet::new(),
        };
        let mut ids = Vec::new();
        for number in 1..=2 {
            let both = [0, 1].map(|number| destination(number, sinks[number].clone()));
            let both = both.into_iter().collect::<Result<_, _>>()?;
            let reported = set.back_up(engine, both, &set.made, number).await;
            let report = reported.report;
            let id = report
                .id
                .clone()
                .filter(|_| report.exit_code() == exit::DONE);
            ids.push(id.ok_or_else(|| format!("a backup came to {report:?}"))?);
            sleep(Duration::from_secs(60)).await;
        }
        let [older, newer] = [ids[0].clone(), ids[1].clone()];
        let is_lost: Box<dyn Fn(usize, &str) -> bool> = match doing {
            Doing::Repair => Box::new(|_, key| key == format!("{newer}/{}", layout::MANIFEST)),
            Doing::Sync => Box::new(|number, key| number == 0 && key.contains(newer.as_str())),
            _ => Box::new(|_, _| false),
        };
        for (number, sink) in sinks.iter().enumerate() {
            for key in sink.keys() {
                if !is_lost(number, key.as_str()) {
                    let bytes = whole(sink, &key).await?;
                    set.objects[number].push((key, bytes.to_vec()));
                }
            }
        }
        let both = BTreeSet::from([older.clone(), newer.clone()]);
        (set.to_stay, set.in_the_end) = match doing {
            Doing::Cleanup => {
                let newest = BTreeSet::from([newer.clone()]);
                ([newest.clone(), newest.clone()], newest)
            }
            Doing::Repair => {
                let older = BTreeSet::from([older.clone()]);
                ([older.clone(), older], both)
            }
            Doing::Sync => ([BTreeSet::from([older.clone()]), both.clone()], both),
            _ => ([both.clone(), both.clone()], both),
        };
        drop(is_lost);
        Ok(set)
    }

    async fn back_up(
        &self,
        engine: &Engine,
        to: Vec<DestinationSpec>,
        made: &Made,
        number: u64,
    ) -> Reported {
        let lines = Arc::new(lines(&Random::new(number), number, 1_500));
        let mut request = BackupRequest::new(Records::of(&lines), to);
        request.block_bytes = Some(1 << 10);
        if self.doing == Doing::KeyChange {
            request.recipients = vec![recipient(1)];
        }
        request.observer = Some(made.observer(&lines));
        let report = engine.backup(request).await;
        Reported {
            ids: report.id.clone().into_iter().collect(),
            report,
            strategy: StrategyKind::All,
        }
    }
}
