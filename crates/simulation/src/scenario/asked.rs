//! The backups that a host asks for, as the seed has them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use teeline::{
    BackupId, BackupRequest, CatchUp, Compression, DestinationSpec, Engine, IncrementalBase,
    LagPolicy, ProgressEvent, Resume, StrategyKind, Verification,
};

use super::{Came, Doing, Scenario};
use crate::data::{Lines, Records, SourceFault, changed, lines};
use crate::oracle::{Pass, Reported, required};
use crate::secrets::recipient;

/// So many of the last backups that were asked for may be asked for again.
const TAKEN_UP_MAX: usize = 3;

/// A backup as it is asked for. Asked for again, it is the same request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    lines: Arc<Lines>,
    is_incremental: bool,
    base: IncrementalBase,
    is_sealed: bool,
    strategy: StrategyKind,
    block_bytes: usize,
    segment_bytes: u64,
    compression: Compression,
    passes: Passes,
}

/// The passes that were made. A clone is the same.
#[derive(Debug, Clone, Default)]
struct Passes(Arc<Mutex<Vec<Pass>>>);

impl Passes {
    fn push(&self, pass: Pass) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(pass);
    }

    fn all(&self) -> Vec<Pass> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The backup of the last one.
    fn last_id(&self) -> Option<BackupId> {
        self.all().pop().map(|pass| pass.id)
    }
}

impl Scenario {
    /// A backup of what the source holds by now.
    pub(super) fn backup(&mut self, engine: Engine, to: Vec<DestinationSpec>) -> Doing {
        self.runs += 1;
        self.source = Arc::new(match self.chance(40) {
            true => {
                let bytes = self.pick(&[0, 300, 3_000, 12_000]);
                lines(&self.random, self.runs, bytes)
            }
            false => changed(&self.random, self.runs, &self.source),
        });
        let is_incremental = self.chance(35);
        let asked = Asked {
            lines: Arc::clone(&self.source),
            is_incremental,
            base: match is_incremental && self.chance(20) {
                true => IncrementalBase::Full,
                false => IncrementalBase::Last,
            },
            is_sealed: self.seals && self.chance(90),
            strategy: self.strategy(to.len()),
            block_bytes: self.pick(&[512, 2 << 10]),
            segment_bytes: self.pick(&[1 << 10, 4 << 10, 1 << 20]),
            compression: self.pick(&[
                Compression::None,
                Compression::None,
                Compression::Gzip { level: 1 },
            ]),
            passes: Passes::default(),
        };
        self.asked.push(asked.clone());
        self.make(engine, to, asked, None)
    }

    /// A backup that was asked for before, of which a run may have broken off, and the source maybe not as it was.
    pub(super) fn resume(&mut self, engine: Engine, to: Vec<DestinationSpec>) -> Doing {
        let listed = self.oracle.ids();
        let has_broken_off = |asked: &&Asked| {
            let last = asked.passes.last_id();
            last.is_some_and(|id| !listed.contains(&id))
        };
        let mut recent = self.asked.iter().rev().take(TAKEN_UP_MAX);
        let broken_off = recent.find(has_broken_off);
        let broken_off = broken_off.filter(|_| self.chance(85));
        let Some(mut asked) = broken_off.or(self.asked.last()).cloned() else {
            return self.backup(engine, to);
        };
        if self.chance(15) {
            self.runs += 1;
            asked.lines = Arc::new(changed(&self.random, self.runs, &asked.lines));
        }
        let resume = match asked.passes.last_id() {
            Some(id) if self.chance(60) => Resume::Run(id),
            _ => Resume::Unfinished,
        };
        self.make(engine, to, asked, Some(resume))
    }

    fn strategy(&self, destinations: usize) -> StrategyKind {
        match self.random.below(5) {
            0 | 1 => StrategyKind::All,
            2 => StrategyKind::Any,
            3 => StrategyKind::Priority,
            _ => {
                let needed = 1 + self.random.below(destinations as u64);
                StrategyKind::Quorum(usize::try_from(needed).unwrap_or(1))
            }
        }
    }

    /// What becomes of who falls behind; nobody is left behind that the backup has to have.
    fn lag(&self, strategy: StrategyKind, to: &[DestinationSpec]) -> Option<LagPolicy> {
        let is_required = to.iter().any(|at| at.is_required(strategy));
        match strategy {
            StrategyKind::Priority => None,
            _ if is_required => self.pick(&[None, Some(LagPolicy::Spill), Some(LagPolicy::Block)]),
            _ => self.pick(&[
                None,
                Some(LagPolicy::Detach),
                Some(LagPolicy::Spill),
                Some(LagPolicy::Block),
            ]),
        }
    }

    fn make(
        &mut self,
        engine: Engine,
        to: Vec<DestinationSpec>,
        asked: Asked,
        resume: Option<Resume>,
    ) -> Doing {
        let fault = self.pick(&[SourceFault::Fails, SourceFault::Panics]);
        let mut source = Records::of(&asked.lines);
        source.fault = self.chance(8).then(|| (1 + self.random.below(12), fault));
        source.pause = Duration::from_millis(self.pick(&[0, 0, 5, 2_000]));
        if source.fault.is_some() {
            self.world.count_fault("source");
        }
        let strategy = asked.strategy;
        let lag = self.lag(strategy, &to);
        let required = required(&to, strategy);
        let mut request = BackupRequest::new(source, to);
        request.strategy = strategy;
        if asked.is_incremental {
            request.backup_type = "incremental".parse().expect("it is a type");
            request.base = asked.base;
        }
        if asked.is_sealed {
            request.recipients = vec![recipient(1)];
        }
        request.keys = self.oracle.keys.clone();
        request.lag = lag;
        request.lag_patience = Duration::from_millis(self.pick(&[200, 10_000]));
        request.catch_up = self.pick(&[CatchUp::Later, CatchUp::Later, CatchUp::Wait]);
        request.block_bytes = Some(asked.block_bytes);
        request.segment_bytes = asked.segment_bytes;
        request.compression = asked.compression;
        request.verification = Verification::Read;
        request.concurrency = self.pick(&[1, 4]);
        let does = match &resume {
            Some(Resume::Run(_)) => "resume",
            Some(Resume::Unfinished) => "resume latest",
            None if asked.is_incremental => "incremental backup",
            None => "backup",
        };
        request.resume = resume;
        let was_to_link = asked.is_incremental;
        let (passes, made) = (Passes::default(), self.oracle.made.clone());
        let (noted, known, lines) = (passes.clone(), asked.passes, asked.lines);
        request.observer = Some(Arc::new(move |event| {
            if let ProgressEvent::PassStarted { id, destinations } = event {
                made.begins(id.clone(), &lines);
                let names = destinations.into_iter().map(|(_, name)| name);
                let pass = Pass {
                    id,
                    destinations: names.collect(),
                };
                noted.push(pass.clone());
                known.push(pass);
            }
        }));
        let world = Arc::clone(&self.world);
        Box::pin(async move {
            let report = engine.backup(request).await;
            let status = report.status;
            let how = match &report.resumed {
                Some(resumed) if resumed.afresh_because.is_some() => ", afresh",
                Some(_) if report.id.is_some() => ", gone on with",
                _ => "",
            };
            world.ended(format!("{does} {strategy}: {status:?}{how}"));
            Came::Reported(Box::new(Reported {
                report,
                passes: passes.all(),
                strategy,
                required,
                was_to_link,
            }))
        })
    }
}
