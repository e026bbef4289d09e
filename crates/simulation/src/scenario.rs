//! What happens in a simulation: lives of processes, one after the other, over the same stores, each with faults of its own.

mod asked;
mod doing;
mod faults;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use teeline::{
    BackupRequest, Class, CleanupRequest, DestinationSpec, DestinationStatus, Engine, Keys,
    RepairRequest, RepairWork, RestoreStatus, Retention, RetentionPolicy, Span, StrategyKind,
};
use teeline_core::Random;
use tokio::time::{sleep, timeout};

use crate::data::{Lines, Records, Restored, lines};
use crate::life::{engine, live};
use crate::oracle::{
    Happened, MayGo, Oracle, Reported, Told, by_cleanup, by_repair, emitted_the_truth, required,
};
use crate::secrets::{opened_by, recipient};
use crate::world::{Moment, World};

use asked::Asked;

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
    /// What the source holds.
    source: Arc<Lines>,
    /// Whether backups are mostly sealed; otherwise none is.
    seals: bool,
    /// Whether each destination is required, where that is said.
    required: Vec<Option<bool>>,
    /// The backups that were asked for.
    asked: Vec<Asked>,
    /// What may be gone if the process dies now.
    may_go: Vec<MayGo>,
}

/// Something that a host asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Backup,
    Resume,
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
    Reported(Box<Reported>),
    Restored(Restored, RestoreStatus),
    /// What its report says.
    Told(Vec<Told>),
    /// The same, of what may have made copies complete.
    Completed(Vec<Told>),
    Nothing,
}

type Doing = Pin<Box<dyn Future<Output = Came>>>;

impl Scenario {
    pub(crate) fn new(seed: u64, world: &Arc<World>) -> Self {
        let random = Random::new(seed);
        let stores = 1 + usize::try_from(random.below(4)).unwrap_or(0);
        let seals = random.below(100) < 40;
        let mut keys = Keys::default();
        if seals {
            keys = opened_by(&[1]);
            keys.allow_unsealed = true;
        }
        let mut scenario = Scenario {
            engine_random: Arc::new(Random::new(random.next())),
            oracle: Oracle::new(random.next(), world, stores, keys),
            random,
            world: Arc::clone(world),
            runs: 0,
            source: Arc::default(),
            seals,
            required: Vec::new(),
            asked: Vec::new(),
            may_go: Vec::new(),
        };
        let required = |_| scenario.pick(&[None, None, None, Some(true), Some(false)]);
        let required = (0..stores).map(required).collect();
        scenario.required = required;
        scenario
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
            if self.chance(10) {
                self.oracle.damage(&self.random);
            }
            let mut steps = vec![match number {
                0 if self.runs > 0 && self.chance(50) => Step::Resume,
                0 => Step::Backup,
                _ => self.next_step(can_go),
            }];
            if self.chance(20) {
                steps.push(self.next_step(can_go));
            }
            self.step(&engine, &destinations, &steps, can_go).await?;
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
            Step::Resume,
            Step::List,
            Step::Verify,
            Step::Restore,
            Step::Repair,
            Step::Sync,
            Step::Cleanup,
            Step::Delete,
        ];
        // What goes from a store whose lists are stale may be what is still needed: nobody promises anything there.
        self.pick(if can_go { &steps } else { &steps[..8] })
    }

    /// Does one thing, or several at the same time, and looks at what has become of it.
    async fn step(
        &mut self,
        engine: &Engine,
        destinations: &[DestinationSpec],
        steps: &[Step],
        lists_are_whole: bool,
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
                Came::Reported(reported) => happened.reported.push(*reported),
                Came::Restored(restored, status) => {
                    emitted_the_truth(&self.oracle.made, &restored, status)?;
                }
                Came::Told(told) => happened.told = told,
                Came::Completed(told) => {
                    happened.told = told;
                    happened.was_completed = true;
                }
                Came::Nothing => {}
            }
        }
        // Each may have changed what the other one says; and what a stale list shows was so once.
        if steps.len() > 1 || !lists_are_whole {
            happened.told.clear();
        }
        let mut reported = happened.reported.iter();
        happened.was_completed |=
            reported.len() > 1 && reported.any(Reported::may_have_completed_others);
        if !engine.is_idle() {
            return Err(format!("P6: the engine isn't idle after {steps:?}"));
        }
        self.oracle.look(&happened).await
    }

    /// Once nothing goes wrong any more, what was interrupted is finished or cleaned away, and the next backup is whole.
    async fn aftermath(&mut self) -> Result<(), String> {
        sleep(8 * DAY).await;
        let engine = self.oracle.engine()?;
        let destinations = self.oracle.destinations()?;
        self.oracle.damage_is_found(&engine).await?;
        let mut repair = RepairRequest::everything(destinations.clone());
        repair.work = self.pick(&[RepairWork::Manifests, RepairWork::Everything]);
        repair.keys = self.oracle.keys.clone();
        let work = repair.work;
        let repaired = engine.repair(repair).await;
        self.world.ended(format!(
            "last repair {work:?}: exit code {}",
            repaired.exit_code()
        ));
        if work == RepairWork::Everything {
            self.oracle.is_healed(&repaired)?;
        }
        let completed = |told| Happened {
            was_completed: true,
            told,
            ..Happened::default()
        };
        let told = by_repair(&repaired, work == RepairWork::Everything);
        self.oracle.look(&completed(told)).await?;
        let policy = RetentionPolicy {
            grace: Span::default(),
            ..RetentionPolicy::default()
        };
        let cleanup = CleanupRequest::new(destinations.clone(), policy);
        let cleaned = engine.cleanup(cleanup).await;
        self.world
            .ended(format!("last cleanup: exit code {}", cleaned.exit_code()));
        self.oracle.look(&completed(by_cleanup(&cleaned))).await?;
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
            reported: vec![*reported],
            ..Happened::default()
        };
        self.oracle.look(&happened).await?;
        self.old_age().await
    }

    /// What is old, and folded in the catalogues by now, is damaged, repaired and displaced as anything else.
    async fn old_age(&mut self) -> Result<(), String> {
        sleep(DAY).await;
        let engine = self.oracle.engine()?;
        let destinations = self.oracle.destinations()?;
        self.oracle.damage(&self.random);
        self.oracle.damage_is_found(&engine).await?;
        let mut repair = RepairRequest::everything(destinations.clone());
        repair.keys = self.oracle.keys.clone();
        let repaired = engine.repair(repair).await;
        self.world.ended(format!(
            "repair of old ones: exit code {}",
            repaired.exit_code()
        ));
        self.oracle.is_healed(&repaired)?;
        let completed = Happened {
            was_completed: true,
            told: by_repair(&repaired, true),
            ..Happened::default()
        };
        self.oracle.look(&completed).await?;
        let newest = Retention {
            count: 1,
            ..Retention::default()
        };
        let policy = RetentionPolicy {
            grace: Span::default(),
            ..RetentionPolicy::new(newest)
        };
        let cleaned = engine
            .cleanup(CleanupRequest::new(destinations, policy))
            .await;
        self.world.ended(format!(
            "cleanup of old ones: exit code {}",
            cleaned.exit_code()
        ));
        let displaced = Happened {
            may_go: vec![MayGo::AllBut(1)],
            told: by_cleanup(&cleaned),
            ..Happened::default()
        };
        self.oracle.look(&displaced).await
    }

    fn last_backup(&mut self, engine: Engine, destinations: Vec<DestinationSpec>) -> Doing {
        self.runs += 1;
        let lines = Arc::new(lines(&self.random, self.runs, 300));
        let required = required(&destinations, StrategyKind::All);
        let mut request = BackupRequest::new(Records::of(&lines), destinations);
        if self.seals {
            request.recipients = vec![recipient(1)];
        }
        request.observer = Some(self.oracle.made.observer(&lines));
        Box::pin(async move {
            let reported = Reported::by_all(engine.backup(request).await, required);
            Came::Reported(Box::new(reported))
        })
    }
}
