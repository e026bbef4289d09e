//! What is walked: who is at work on what, and how much goes wrong.

use teeline_core::StrategyKind;

use crate::backups::Planned;
use crate::properties::Reached;
use crate::world::BackupNumber;

/// A rule that is broken on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Planted {
    /// A driver goes on after a segment that wasn't written.
    FailedSegmentIsBelieved,
    /// Whoever is prepared publishes.
    NobodyWaitsForTheVerdict,
    /// A lost reply to the manifest's write is taken for a failure.
    LostReplyIsFailure,
    /// The manifest is written whatever has become of the rest.
    NobodyLooksBeforeTheManifest,
    /// Nobody looks whether a sweep has begun since.
    NobodyLooksAgain,
    /// A link is published wherever its parent may be.
    NobodyLooksForTheParent,
    /// A backup is withdrawn whatever has come to need it.
    NobodyLooksAfterWithdrawing,
    /// What was published meanwhile is swept.
    NobodyLooksBeforeSweeping,
}

/// How much of a scene there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Segments of each backup.
    pub segments: u8,
    /// How much goes wrong: calls that fail or aren't answered, deaths, sleeps, old listings.
    pub mishaps: u8,
    /// How often a cleanup, a deletion or a repair begins while others are at work.
    pub rounds: u8,
}

impl Size {
    /// What every test run walks.
    pub const SHORT: Size = Size::of(1);

    /// A size by its number, from 1: each is many times the one before.
    pub const fn of(number: u8) -> Self {
        Size {
            segments: number + 1,
            mishaps: number,
            rounds: number,
        }
    }
}

/// Who is at work on what.
#[derive(Debug, Clone)]
pub struct Scene {
    /// What it is.
    pub name: String,
    pub(crate) strategy: StrategyKind,
    pub(crate) required: Vec<bool>,
    pub(crate) segments: u8,
    pub(crate) plans: Vec<Planned>,
    /// Backups that every destination has.
    pub(crate) present: Vec<BackupNumber>,
    /// What each run makes.
    pub(crate) runs: Vec<BackupNumber>,
    pub(crate) mishaps: u8,
    pub(crate) rounds: u8,
    pub(crate) sleeps: bool,
    pub(crate) lags: bool,
    pub(crate) lists_old: bool,
    pub(crate) repairs: bool,
    pub(crate) restores: bool,
    pub(crate) deletes: Option<BackupNumber>,
    pub(crate) reached: Vec<Reached>,
    pub(crate) planted: Option<Planted>,
}

impl Scene {
    /// All of them, so large.
    pub fn all(size: Size) -> Vec<Scene> {
        let mut scenes = vec![
            Self::backup(StrategyKind::All, size),
            Self::backup(StrategyKind::Any, size),
            Self::backup(StrategyKind::Quorum(2), size),
            Self::backup(StrategyKind::Priority, size),
        ];
        scenes.extend([
            Self::cleanup_and_restore(size),
            Self::sleeper(size),
            Self::link(size),
            Self::same_id(size),
        ]);
        scenes
    }

    /// A run to three destinations, and a cleanup after it.
    pub fn backup(strategy: StrategyKind, size: Size) -> Self {
        let is_all = strategy == StrategyKind::All;
        let is_priority = strategy == StrategyKind::Priority;
        let mut reached = vec![Reached::Completed, Reached::Swept];
        if !is_priority {
            reached.push(Reached::Unknown);
        }
        if !is_all {
            reached.push(Reached::Degraded);
        }
        Scene {
            name: format!("a run to three destinations, {strategy}"),
            strategy,
            required: vec![is_all; 3],
            // Each pass under `priority` has an id of its own.
            plans: vec![Planned { parent: None }; if is_priority { 3 } else { 1 }],
            mishaps: size.mishaps + 1,
            lags: !is_all && !is_priority,
            reached,
            ..Self::empty(size)
        }
    }

    /// A run to three destinations that have a backup which goes when there is a newer one, while one is restored.
    pub fn cleanup_and_restore(size: Size) -> Self {
        Scene {
            name: "a run, cleanups, repairs and a restore, at three destinations".to_owned(),
            strategy: StrategyKind::Any,
            required: vec![false; 3],
            plans: vec![Planned { parent: None }; 2],
            present: vec![0],
            runs: vec![1],
            repairs: true,
            restores: true,
            reached: vec![Reached::Completed, Reached::Restored],
            segments: 1,
            ..Self::empty(size)
        }
    }

    /// A run that sleeps until it is taken for dead, and wakes up.
    pub fn sleeper(size: Size) -> Self {
        Scene {
            name: "a run that sleeps, cleanups, old listings and repairs".to_owned(),
            sleeps: true,
            lists_old: true,
            repairs: true,
            mishaps: size.mishaps + 2,
            rounds: size.rounds + 1,
            reached: vec![
                Reached::Completed,
                Reached::SweepTakenBack,
                Reached::Repaired,
            ],
            ..Self::empty(size)
        }
    }

    /// A run that makes a link, while its parent is deleted.
    pub fn link(size: Size) -> Self {
        Scene {
            name: "a link, deletions of its parent, cleanups and a restore".to_owned(),
            plans: vec![Planned { parent: None }, Planned { parent: Some(0) }],
            present: vec![0],
            runs: vec![1],
            deletes: Some(0),
            repairs: true,
            restores: true,
            mishaps: size.mishaps + 1,
            rounds: size.rounds + 1,
            reached: vec![Reached::Completed, Reached::TakenBack, Reached::Restored],
            ..Self::empty(size)
        }
    }

    /// Two runs with the same id, one of which gets it.
    pub fn same_id(size: Size) -> Self {
        Scene {
            name: "two runs with the same id, and cleanups".to_owned(),
            runs: vec![0, 0],
            reached: vec![Reached::Completed],
            ..Self::empty(size)
        }
    }

    /// One run to one destination.
    fn empty(size: Size) -> Self {
        Scene {
            name: String::new(),
            strategy: StrategyKind::All,
            required: vec![true],
            segments: size.segments,
            plans: vec![Planned { parent: None }],
            present: Vec::new(),
            runs: vec![0],
            mishaps: size.mishaps,
            rounds: size.rounds,
            sleeps: false,
            lags: false,
            lists_old: false,
            repairs: false,
            restores: false,
            deletes: None,
            reached: Vec::new(),
            planted: None,
        }
    }

    /// With a rule broken.
    #[must_use]
    pub fn with(self, planted: Planted) -> Self {
        Scene {
            planted: Some(planted),
            ..self
        }
    }

    /// How many destinations must have the backup, whatever is required.
    pub(crate) fn needed(&self) -> usize {
        match self.strategy {
            StrategyKind::Quorum(n) => n,
            StrategyKind::All | StrategyKind::Any | StrategyKind::Priority => 1,
        }
    }
}
