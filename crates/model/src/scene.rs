//! What is walked: who is at work on what, and how much goes wrong.

use teeline_core::StrategyKind;

use crate::backups::Planned;
use crate::errands::Trade;
use crate::properties::Reached;
use crate::world::{BackupNumber, Content};

/// A rule that is broken on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Planted {
    /// A driver, or a sync, goes on after a segment that wasn't written.
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
    /// Whoever finds a withdrawal or a sweep of somebody else's goes on with it, and takes it back, as if it were his own.
    EverybodyGoesOn,
    /// What was published meanwhile is swept.
    NobodyLooksBeforeSweeping,
    /// A sweep is taken back where there is something under each name, whatever it is.
    OnlyNamesAreLookedFor,
    /// What is swept loses its claim before its entry.
    EntryGoesLast,
    /// Only destinations with a claim are numbered.
    OnlyClaimedAreNumbered,
    /// A manifest that was written while its run was swept stays.
    NobodyLooksForLateManifests,
    /// A claim that was made after one's own was swept is taken for one's own.
    AnyClaimWillDo,
    /// A run is published by whoever had it before it was taken up as well.
    NobodyLooksForAHigherNumber,
    /// Only one's own number is written, also where the one before isn't.
    NumbersAreLeftOut,
    /// What is there isn't looked at again once it is numbered.
    NobodyLooksAfterNumbering,
    /// What is damaged is removed, and not kept.
    DamagedIsNotKept,
    /// The manifest is removed first also where the claim is lost, and nothing else tells which files are the backup's.
    ManifestGoesFirst,
}

/// How much of a scene there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Segments of each backup.
    pub segments: u8,
    /// How much goes wrong: calls that fail or aren't answered, deaths, sleeps, old listings.
    pub mishaps: u8,
    /// How often a cleanup, a deletion, a repair or a sync begins while others are at work.
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
    /// Backups that these destinations have.
    pub(crate) present: Vec<(BackupNumber, Vec<usize>)>,
    /// What each run makes.
    pub(crate) runs: Vec<BackupNumber>,
    /// How many take up the first run.
    pub(crate) takers: usize,
    /// Whether sources have given all that they have when runs begin, so that they neither fail nor are waited for.
    pub(crate) has_read: bool,
    /// Whether nobody who has looked is later with its manifest than a whole sweep that began since.
    pub(crate) nobody_is_late: bool,
    /// Whether what is read later may be something else.
    pub(crate) source_changes: bool,
    pub(crate) mishaps: u8,
    pub(crate) rounds: u8,
    /// Whether calls go wrong by themselves, and not by deaths only.
    pub(crate) calls_fail: bool,
    pub(crate) sleeps: bool,
    pub(crate) lags: bool,
    pub(crate) lists_old: bool,
    /// Whether a file of the present backup is lost or damaged at the last destination when all begins.
    pub(crate) is_spoilt: bool,
    pub(crate) restores: bool,
    /// Who comes after runs, each with what it does.
    pub(crate) janitors: Vec<Vec<Trade>>,
    pub(crate) reached: Vec<Reached>,
    pub(crate) planted: Option<Planted>,
}

impl Scene {
    /// All of them, so large.
    pub fn all(size: Size) -> Vec<Scene> {
        vec![
            Self::backup(StrategyKind::All, size),
            Self::backup(StrategyKind::Any, size),
            Self::backup(StrategyKind::Quorum(2), size),
            Self::backup(StrategyKind::Priority, size),
            Self::cleanup_and_restore(size),
            Self::sleeper(size),
            Self::link(size),
            Self::same_id(size),
            Self::taken_up(size),
            Self::taken_up_at_two(size),
            Self::swept_at_one(size),
            Self::healing(size),
            Self::two_heal(size),
            Self::sync(size),
            Self::sync_of_a_run(size),
        ]
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
            present: vec![(0, vec![0, 1, 2])],
            runs: vec![1],
            janitors: vec![vec![Trade::CleanUp, Trade::Repair]],
            restores: true,
            reached: vec![Reached::Completed, Reached::Restored],
            segments: 1,
            ..Self::empty(size)
        }
    }

    /// A run that sleeps until it is taken for dead, and wakes up.
    pub fn sleeper(size: Size) -> Self {
        Scene {
            name: "a run that sleeps, two cleanups at once, old listings and repairs".to_owned(),
            sleeps: true,
            lists_old: true,
            janitors: vec![vec![Trade::CleanUp, Trade::Repair], vec![Trade::CleanUp]],
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
            name: "a link, two deletions of its parent at once, cleanups and a restore".to_owned(),
            plans: vec![Planned { parent: None }, Planned { parent: Some(0) }],
            present: vec![(0, vec![0])],
            runs: vec![1],
            janitors: vec![
                vec![Trade::CleanUp, Trade::Repair, Trade::Delete(0)],
                vec![Trade::Delete(0)],
            ],
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

    /// A run that dies or sleeps, and two that take it up, the second also from the first.
    pub fn taken_up(size: Size) -> Self {
        Scene {
            name: "a run that is taken up twice, and cleanups".to_owned(),
            takers: 2,
            has_read: true,
            nobody_is_late: true,
            source_changes: true,
            sleeps: true,
            segments: size.segments - 1,
            reached: vec![Reached::Completed, Reached::TakenUp, Reached::Beaten],
            ..Self::empty(size)
        }
    }

    /// The same at two destinations, of which one is enough, and nobody cleans up.
    pub fn taken_up_at_two(size: Size) -> Self {
        Scene {
            name: "a run to two destinations that is taken up twice".to_owned(),
            strategy: StrategyKind::Any,
            required: vec![false; 2],
            calls_fail: false,
            janitors: Vec::new(),
            ..Self::taken_up(size)
        }
    }

    /// A run to two destinations of which one is cleaned up while it sleeps, or by and by, while another one takes it up.
    pub fn swept_at_one(size: Size) -> Self {
        Scene {
            name: "a run to two destinations that is swept at one and taken up".to_owned(),
            takers: 1,
            source_changes: false,
            calls_fail: true,
            janitors: vec![vec![Trade::CleanUp]],
            ..Self::taken_up_at_two(size)
        }
    }

    /// A copy of which something is lost or damaged is healed, while cleanups and deletions are at work and one restores.
    pub fn healing(size: Size) -> Self {
        Scene {
            name: "a damaged copy that is healed, deletions, cleanups and a restore".to_owned(),
            required: vec![true; 2],
            nobody_is_late: true,
            present: vec![(0, vec![0, 1])],
            runs: Vec::new(),
            is_spoilt: true,
            restores: true,
            janitors: vec![vec![Trade::Heal], vec![Trade::Delete(0), Trade::CleanUp]],
            mishaps: size.mishaps + 1,
            reached: vec![Reached::Healed, Reached::Restored],
            ..Self::empty(size)
        }
    }

    /// The same, healed by two at once.
    pub fn two_heal(size: Size) -> Self {
        Scene {
            name: "a damaged copy that two heal at once, and a restore".to_owned(),
            janitors: vec![vec![Trade::Heal], vec![Trade::Heal]],
            ..Self::healing(size)
        }
    }

    /// A copy that is completed twice at once, while its backup is deleted here or there.
    pub fn sync(size: Size) -> Self {
        Scene {
            name: "a copy that two complete at once, deletions and cleanups".to_owned(),
            required: vec![true; 2],
            nobody_is_late: true,
            present: vec![(0, vec![0])],
            runs: Vec::new(),
            restores: true,
            janitors: vec![
                vec![Trade::Sync],
                vec![Trade::Sync],
                vec![Trade::Delete(0), Trade::CleanUp],
            ],
            reached: vec![Reached::Synced, Reached::Restored],
            ..Self::empty(size)
        }
    }

    /// A run that sleeps at one of two destinations, which is cleaned up, and completed from the other one.
    pub fn sync_of_a_run(size: Size) -> Self {
        Scene {
            name: "a run to two destinations that sleeps, cleanups and syncs".to_owned(),
            strategy: StrategyKind::Any,
            required: vec![false; 2],
            segments: size.segments - 1,
            has_read: true,
            nobody_is_late: true,
            sleeps: true,
            janitors: vec![vec![Trade::CleanUp], vec![Trade::Sync]],
            reached: vec![Reached::Completed, Reached::Synced],
            ..Self::empty(size)
        }
    }

    /// One run to one destination, and cleanups.
    fn empty(size: Size) -> Self {
        Scene {
            name: String::new(),
            strategy: StrategyKind::All,
            required: vec![true],
            segments: size.segments,
            plans: vec![Planned { parent: None }],
            present: Vec::new(),
            runs: vec![0],
            takers: 0,
            has_read: false,
            nobody_is_late: false,
            source_changes: false,
            mishaps: size.mishaps,
            rounds: size.rounds,
            calls_fail: true,
            sleeps: false,
            lags: false,
            lists_old: false,
            is_spoilt: false,
            restores: false,
            janitors: vec![vec![Trade::CleanUp]],
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

    /// Whether somebody does this.
    pub(crate) fn has(&self, trade: Trade) -> bool {
        self.janitors.iter().any(|trades| trades.contains(&trade))
    }

    /// What a process reads that begins.
    pub(crate) fn content_of(&self, process: usize) -> Content {
        match self.source_changes {
            true => Content::read_by(process, self.segments),
            false => Content::default(),
        }
    }
}
