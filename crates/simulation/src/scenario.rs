//! What happens in a simulation: lives of processes, one after the other, over the same stores, each with faults of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use teeline::sinks::{Fault, FaultPlan, FaultSink, Operation, What, When};
use teeline::{
    BackupId, BackupRequest, Class, CleanupRequest, Compression, DeleteRequest, DestinationSpec,
    DestinationStatus, Engine, ProgressEvent, RepairRequest, RestoreRequest, RestoreStatus,
    RestoreTarget, Retention, RetentionPolicy, Span, StrategyKind, SyncRequest, Verification,
    VerifyRequest, Which, WhichBackups,
};
use teeline_core::Random;
use tokio::time::{sleep, timeout};

use crate::data::{Records, Restored, SourceFault, lines};
use crate::life::{engine, live};
use crate::oracle::{Happened, MayGo, Oracle, Reported, destination, emitted_the_truth};
use crate::store::Way;
use crate::world::{Moment, World};

/// No operation takes longer: each call ends by its deadline, and there are only so many.
const OPERATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// Longer than anything that was given up may go on.
const AFTERLIFE: Duration = Duration::from_secs(3600);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A simulation that goes on.
pub(crate) struct Scenario {
    random: Random,
    /// What the engines draw from.
    engine_random: Arc<Random>,
    world: Arc<World>,
    oracle: Oracle,
    runs: u64,
    /// What may be gone if the process dies now.
    may_go: Vec<MayGo>,
}

/// Something that a host asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Backup,
    List,
    Verify,
    Restore,
    Cleanup,
    Delete,
    Repair,
    Sync,
}

/// What came of it.
enum Came {
    Reported(Reported),
    Restored(Restored, RestoreStatus),
    Completed,
    Nothing,
}

type Doing = Pin<Box<dyn Future<Output = Came>>>;

impl Scenario {
    pub(crate) fn new(seed: u64, world: &Arc<World>) -> Self {
        let random = Random::new(seed);
        let stores = 1 + usize::try_from(random.below(4)).unwrap_or(0);
        Scenario {
            engine_random: Arc::new(Random::new(random.next())),
            oracle: Oracle::new(random.next(), world, stores),
            random,
            world: Arc::clone(world),
            runs: 0,
            may_go: Vec::new(),
        }
    }

    /// Lives, some of which end before their time; then all is looked at, tidied up, and used once more.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        for _ in 0..1 + self.random.below(3) {
            self.life()?;
        }
        let world = Arc::clone(&self.world);
        live(&world, None, self.aftermath())?.unwrap_or(Ok(()))
    }

    fn chance(&self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[usize::try_from(self.random.below(from.len() as u64)).unwrap_or(0)]
    }

    fn life(&mut self) -> Result<(), String> {
        let moment = self.pick(&[Moment::Before, Moment::After]);
        let crash_at = (1 + self.random.below(200), moment);
        let crash_at = self.chance(50).then_some(crash_at);
        let world = Arc::clone(&self.world);
        self.may_go.clear();
        if let Some(lived) = live(&world, crash_at, self.steps())? {
            return lived;
        }
        let happened = Happened {
            may_go: std::mem::take(&mut self.may_go),
            ..Happened::default()
        };
        live(&world, None, self.oracle.look(&happened))?.unwrap_or(Ok(()))
    }

    async fn steps(&mut self) -> Result<(), String> {
        let budget_bytes = self.pick(&[96 << 10, 1 << 20, 16 << 20]);
        let engine = engine(&self.world, &self.engine_random, budget_bytes)?;
        let mut can_go = true;
        let destinations = self.faulty_destinations(&mut can_go)?;
        for number in 0..1 + self.random.below(3) {
            if self.chance(30) {
                let hours = self.pick(&[1, 30, 200]);
                sleep(Duration::from_secs(hours * 3600)).await;
            }
            let mut steps = vec![match number {
                0 => Step::Backup,
                _ => self.next_step(can_go),
            }];
            if self.chance(20) {
                steps.push(self.next_step(can_go));
            }
            self.step(&engine, &destinations, &steps).await?;
        }
        drop((engine, destinations));
        sleep(AFTERLIFE).await;
        match tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
        {
            0 => Ok(()),
            alive => Err(format!(
                "P6: {alive} tasks go on after everything has ended"
            )),
        }
    }

    fn next_step(&self, can_go: bool) -> Step {
        let steps = [
            Step::Backup,
            Step::Backup,
            Step::List,
            Step::Verify,
            Step::Restore,
            Step::Repair,
            Step::Sync,
            Step::Cleanup,
            Step::Delete,
        ];
        // What goes from a store whose lists are stale may be what is still needed: nobody promises anything there.
        self.pick(if can_go { &steps } else { &steps[..7] })
    }

    /// The stores, with what goes wrong on the way to them in this life.
    fn faulty_destinations(&self, can_go: &mut bool) -> Result<Vec<DestinationSpec>, String> {
        let latency_max_ms = self.pick(&[0, 3, 40, 900]);
        let staleness = match self.chance(15) {
            true => 0.3,
            false => 0.0,
        };
        *can_go = staleness == 0.0;
        let mut destinations = Vec::new();
        for (store, shelf) in self.oracle.shelves.iter().enumerate() {
            shelf.set_staleness(staleness);
            let witness = Arc::clone(&self.world);
            let faulty = FaultSink::witnessed(
                Arc::new(shelf.clone()),
                self.fault_plan(),
                move |operation, what| witness.went_wrong(operation, what),
            );
            let way = Way {
                inner: Arc::new(faulty),
                world: Arc::clone(&self.world),
                store,
                latency_max_ms,
            };
            let mut destination = destination(store, way)?;
            destination.required = self.pick(&[None, None, None, Some(true), Some(false)]);
            destinations.push(destination);
        }
        Ok(destinations)
    }

    fn fault_plan(&self) -> FaultPlan {
        let mut plan = FaultPlan::new(self.random.next());
        for _ in 0..self.pick(&[0, 0, 1, 1, 2, 4]) {
            plan = plan.with(self.fault());
        }
        plan
    }

    fn fault(&self) -> Fault {
        let operation = self.pick(&[
            Operation::Begin,
            Operation::Write,
            Operation::Commit,
            Operation::Commit,
            Operation::Put,
            Operation::Put,
            Operation::Put,
            Operation::Read,
            Operation::Read,
            Operation::Head,
            Operation::List,
            Operation::Delete,
            Operation::DropCached,
        ]);
        let when = match self.random.below(10) {
            0..6 => When::Nth(1 + self.random.below(12)),
            6 | 7 => When::From(1 + self.random.below(20)),
            _ => When::Probability(self.pick(&[0.02, 0.1, 0.4])),
        };
        let what = match self.random.below(10) {
            0..4 => What::Fail(self.pick(&[
                Class::Transient,
                Class::Transient,
                Class::Throttled,
                Class::Permanent,
                Class::NotFound,
                Class::Conflict,
                Class::Corrupt,
                Class::Cancelled,
                Class::Archived,
            ])),
            4 | 5 => What::LoseReply,
            6 => What::Stall,
            7 => self.pick(&[What::FlipBit, What::LoseByte]),
            8 => What::Duplicate,
            _ => What::Panic,
        };
        let fault = Fault::new(operation, when, what);
        let part = self.pick(&[
            "",
            "",
            "manifest.json",
            "run.json",
            "catalog",
            ".index",
            ".jsonl",
            "runs",
            "teeline.json",
        ]);
        match part {
            "" => fault,
            part => fault.on_keys_with(part),
        }
    }

    /// Does one thing, or several at the same time, and looks at what has become of it.
    async fn step(
        &mut self,
        engine: &Engine,
        destinations: &[DestinationSpec],
        steps: &[Step],
    ) -> Result<(), String> {
        self.world.note(|| format!("{steps:?}"));
        self.may_go.clear();
        let doing: Vec<Doing> = steps
            .iter()
            .map(|step| self.begin(*step, engine, destinations))
            .collect();
        let Ok(all) = timeout(OPERATION_MAX, futures::future::join_all(doing)).await else {
            return Err(format!("P6: {steps:?} didn't end within a day"));
        };
        let mut happened = Happened {
            may_go: self.may_go.clone(),
            ..Happened::default()
        };
        for came in all {
            match came {
                Came::Reported(reported) => happened.reported.push(reported),
                Came::Restored(restored, status) => {
                    emitted_the_truth(&self.oracle.made, &restored, status)?;
                }
                Came::Completed => happened.was_completed = true,
                Came::Nothing => {}
            }
        }
        if !engine.is_idle() {
            return Err(format!("P6: the engine isn't idle after {steps:?}"));
        }
        self.oracle.look(&happened).await
    }

    fn begin(&mut self, step: Step, engine: &Engine, to: &[DestinationSpec]) -> Doing {
        let (engine, to, world) = (engine.clone(), to.to_vec(), Arc::clone(&self.world));
        let ended = move |step: &str, code: u8| world.ended(format!("{step}: exit code {code}"));
        match step {
            Step::Backup => self.backup(engine, to),
            Step::Restore => self.restore(engine, to),
            Step::List => Box::pin(async move {
                ended("list", engine.list(&to).await.exit_code());
                Came::Nothing
            }),
            Step::Verify => {
                let mut request = VerifyRequest::new(to);
                request.which = WhichBackups::All;
                request.deep = self.chance(50);
                Box::pin(async move {
                    ended("verify", engine.verify(request).await.exit_code());
                    Came::Nothing
                })
            }
            Step::Cleanup => {
                let newest = 1 + self.random.below(3);
                let count = u32::try_from(newest).unwrap_or(1);
                let mut policy = RetentionPolicy::new(Retention {
                    count: count.try_into().unwrap_or_default(),
                    ..Retention::default()
                });
                policy.grace = self.pick(&[Span::default(), Span::from_days(1)]);
                self.may_go
                    .push(MayGo::AllBut(usize::try_from(newest).unwrap_or(1)));
                Box::pin(async move {
                    let request = CleanupRequest::new(to, policy);
                    ended("cleanup", engine.cleanup(request).await.exit_code());
                    Came::Nothing
                })
            }
            Step::Delete => {
                let Some(id) = self.some_id() else {
                    return Box::pin(async { Came::Nothing });
                };
                self.may_go.push(MayGo::One(id.clone()));
                let mut request = DeleteRequest::new(to, id);
                request.retention.grace = self.pick(&[Span::default(), Span::from_days(1)]);
                Box::pin(async move {
                    let report = engine.delete(request).await;
                    ended("delete", report.exit_code());
                    Came::Nothing
                })
            }
            Step::Repair => Box::pin(async move {
                let request = RepairRequest::rebuild_manifests(to);
                ended("repair", engine.repair(request).await.exit_code());
                Came::Completed
            }),
            Step::Sync => Box::pin(async move {
                ended("sync", engine.sync(SyncRequest::new(to)).await.exit_code());
                Came::Completed
            }),
        }
    }

    /// A backup that somebody may mean: mostly one that is listed.
    fn some_id(&self) -> Option<BackupId> {
        let ids = match self.chance(80) {
            true => self.oracle.ids().into_iter().collect(),
            false => self.oracle.made.ids(),
        };
        let number = self.random.below(ids.len() as u64);
        ids.into_iter().nth(usize::try_from(number).unwrap_or(0))
    }

    fn backup(&mut self, engine: Engine, to: Vec<DestinationSpec>) -> Doing {
        self.runs += 1;
        let bytes = self.pick(&[0, 300, 3_000, 12_000]);
        let lines = Arc::new(lines(&self.random, self.runs, bytes));
        let strategy = match self.random.below(5) {
            0 | 1 => StrategyKind::All,
            2 => StrategyKind::Any,
            3 => StrategyKind::Priority,
            _ => {
                let needed = 1 + self.random.below(to.len() as u64);
                StrategyKind::Quorum(usize::try_from(needed).unwrap_or(1))
            }
        };
        let fault = self.pick(&[SourceFault::Fails, SourceFault::Panics]);
        let fault = self.chance(8).then(|| (1 + self.random.below(12), fault));
        if fault.is_some() {
            self.world.count_fault("source");
        }
        let source = Records {
            lines: Arc::clone(&lines),
            fault,
            pause: Duration::from_millis(self.pick(&[0, 0, 5, 2_000])),
        };
        let mut request = BackupRequest::new(source, to);
        request.strategy = strategy;
        request.block_bytes = Some(self.pick(&[512, 2 << 10]));
        request.segment_bytes = self.pick(&[1 << 10, 4 << 10, 1 << 20]);
        request.compression = self.pick(&[
            Compression::None,
            Compression::None,
            Compression::Gzip { level: 1 },
        ]);
        request.verification = Verification::Read;
        request.concurrency = self.pick(&[1, 4]);
        let (ids, seen) = (Arc::default(), self.oracle.made.clone());
        let noted: Arc<std::sync::Mutex<Vec<BackupId>>> = Arc::clone(&ids);
        request.observer = Some(Arc::new(move |event| {
            if let ProgressEvent::PassStarted { id, .. } = event {
                seen.begins(id.clone(), &lines);
                if let Ok(mut noted) = noted.lock() {
                    noted.push(id);
                }
            }
        }));
        let world = Arc::clone(&self.world);
        Box::pin(async move {
            let report = engine.backup(request).await;
            world.ended(format!("backup {strategy}: {:?}", report.status));
            let ids = ids.lock().map(|ids| ids.clone()).unwrap_or_default();
            Came::Reported(Reported {
                report,
                ids,
                strategy,
            })
        })
    }

    fn restore(&mut self, engine: Engine, mut from: Vec<DestinationSpec>) -> Doing {
        let which = match self.some_id() {
            Some(id) if self.chance(50) => Which::Id(id),
            _ => Which::Latest,
        };
        if self.chance(50) {
            let number = self.random.below(from.len() as u64);
            from = vec![from.swap_remove(usize::try_from(number).unwrap_or(0))];
        }
        let world = Arc::clone(&self.world);
        Box::pin(async move {
            let restored = Restored::default();
            let target = RestoreTarget::Custom(Box::new(restored.clone()));
            let report = engine
                .restore(RestoreRequest::new(which, from, target))
                .await;
            world.ended(format!("restore: exit code {}", report.exit_code()));
            Came::Restored(restored, report.status)
        })
    }

    /// Once nothing goes wrong any more, what was interrupted is finished or cleaned away, and the next backup is whole.
    async fn aftermath(&mut self) -> Result<(), String> {
        sleep(8 * DAY).await;
        let engine = self.oracle.engine()?;
        let destinations = self.oracle.destinations()?;
        let repair = RepairRequest::rebuild_manifests(destinations.clone());
        let repaired = engine.repair(repair).await;
        self.world
            .ended(format!("last repair: exit code {}", repaired.exit_code()));
        let completed = || Happened {
            was_completed: true,
            ..Happened::default()
        };
        self.oracle.look(&completed()).await?;
        let policy = RetentionPolicy {
            grace: Span::default(),
            ..RetentionPolicy::default()
        };
        let cleanup = CleanupRequest::new(destinations.clone(), policy);
        let cleaned = engine.cleanup(cleanup).await;
        self.world
            .ended(format!("last cleanup: exit code {}", cleaned.exit_code()));
        self.oracle.look(&completed()).await?;
        for (number, cleaned) in cleaned.destinations.iter().enumerate() {
            let says_why = !cleaned.errors.is_empty()
                || cleaned
                    .removals
                    .iter()
                    .any(|removal| removal.error.is_some());
            if let Some(left) = self.oracle.left_of_a_run(number)
                && !says_why
            {
                return Err(format!("P4: {left} is left of a run, and nobody says why"));
            }
        }
        let Came::Reported(reported) = self.last_backup(engine.clone(), destinations).await else {
            return Ok(());
        };
        let report = &reported.report;
        for (number, said) in report.destinations.iter().enumerate() {
            // A marker that a store has damaged while it was written stays so until somebody removes it.
            let is_told = said
                .error
                .as_ref()
                .is_some_and(|error| matches!(error.class, Class::Corrupt | Class::Cancelled));
            if said.status != DestinationStatus::Committed
                && !(is_told && self.oracle.has_damaged_marker()?)
            {
                return Err(format!(
                    "P4: the next backup at {number} came to {report:?}"
                ));
            }
        }
        let happened = Happened {
            reported: vec![reported],
            ..Happened::default()
        };
        self.oracle.look(&happened).await
    }

    fn last_backup(&mut self, engine: Engine, destinations: Vec<DestinationSpec>) -> Doing {
        self.runs += 1;
        let lines = Arc::new(lines(&self.random, self.runs, 300));
        let mut request = BackupRequest::new(Records::of(&lines), destinations);
        request.observer = Some(self.oracle.made.observer(&lines));
        Box::pin(async move {
            let report = engine.backup(request).await;
            let ids = report.id.clone().into_iter().collect();
            Came::Reported(Reported {
                report,
                ids,
                strategy: StrategyKind::All,
            })
        })
    }
}
