//! The rules of the commit protocol: in which order a backup becomes visible, what the objects at a destination make of it, and in
//! which order it goes. `docs/explanation/commit-protocol.md` tells the whole. The engine asks its stores by these rules, and
//! the model that walks every interleaving asks its own.

use crate::layout;
use crate::records::{DestinationReport, DestinationStatus, RunRecord};

/// A step by which a destination that has every other file of a backup comes to have the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishStep {
    /// The catalogue's entry is written: without a manifest it is ignored, and whoever withdraws the parent sees it.
    Entry,
    /// Whether there is an [`Obstacle`].
    Look,
    /// Whether the parent of a link is a backup here.
    Parent,
    /// The manifest is written, which makes the backup.
    Manifest,
    /// Whether there is an obstacle now: whoever sweeps puts that first, and then looks for a manifest, so one of the two sees the
    /// other, however long either has slept.
    LookAgain,
}

impl PublishStep {
    /// All of them, in their order.
    pub const ORDER: [PublishStep; 5] = [
        PublishStep::Entry,
        PublishStep::Look,
        PublishStep::Parent,
        PublishStep::Manifest,
        PublishStep::LookAgain,
    ];
}

/// Which objects of a backup, or of a run, there are at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Traces {
    /// Its `run.json`.
    pub claim: bool,
    /// Its entry in the catalogue.
    pub entry: bool,
    /// Its manifest.
    pub manifest: bool,
    /// What withdraws it.
    pub withdrawal: bool,
    /// What says that it is being swept.
    pub sweep: bool,
}

/// Why a backup isn't published where everything else of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// It was withdrawn from there.
    Withdrawn,
    /// Its run was taken for dead, and some of its files may be gone.
    TakenForDead,
}

impl Traces {
    /// Whether the backup is there for whoever asks.
    pub fn is_backup(self) -> bool {
        self.entry && self.manifest && !self.withdrawal && !self.sweep
    }

    /// Why its manifest mustn't be written.
    pub fn obstacle(self) -> Option<Obstacle> {
        match (self.withdrawal, self.sweep, self.claim) {
            (false, false, true) => None,
            (true, ..) => Some(Obstacle::Withdrawn),
            _ => Some(Obstacle::TakenForDead),
        }
    }

    /// Whether it was published while its run was taken for dead, so that it isn't swept: `is_whole`, where every file that the
    /// manifest names is there and is what it says. Others may have written to a folder whose files are being removed.
    pub fn outlives_sweep(self, is_whole: bool) -> bool {
        self.claim && self.entry && self.manifest && is_whole
    }
}

/// When a file of a withdrawn backup's folder is removed: the manifest first, so that nothing half removed is taken for a backup, and
/// the claim last, which tells the other files, after the catalogue's entry: whoever claims the id anew then writes an entry that stays.
/// Where the claim is lost the manifest tells, and goes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RemovalTurn {
    /// With the manifest.
    Manifest,
    /// With everything else.
    Files,
    /// With the claim.
    Claim,
}

impl RemovalTurn {
    /// All of them, in their order.
    pub const ORDER: [RemovalTurn; 3] = [
        RemovalTurn::Manifest,
        RemovalTurn::Files,
        RemovalTurn::Claim,
    ];

    /// All of them, in their order where there is no claim.
    pub const WITHOUT_CLAIM: [RemovalTurn; 3] = [
        RemovalTurn::Files,
        RemovalTurn::Claim,
        RemovalTurn::Manifest,
    ];

    /// When the file of this name in a backup's folder goes.
    pub fn of(file: &str) -> Self {
        match file {
            layout::MANIFEST => RemovalTurn::Manifest,
            layout::RUN_CLAIM => RemovalTurn::Claim,
            _ => RemovalTurn::Files,
        }
    }
}

/// What the records of a run say of one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recorded {
    /// The run has ended without a backup there.
    NeverPublished,
    /// The backup was published there.
    Published,
    /// Neither: there is no record, or the run didn't know.
    Nothing,
}

impl Recorded {
    /// Of the run's records, at the destination `location`.
    pub fn of<'a>(records: impl Iterator<Item = &'a RunRecord> + Clone, location: &str) -> Self {
        if never_published(records.clone(), location) {
            return Recorded::NeverPublished;
        }
        let mut records = records;
        match records.any(|record| was_published(record, location)) {
            true => Recorded::Published,
            false => Recorded::Nothing,
        }
    }

    /// Whether what the run has left without a manifest may be removed, once nothing of it was touched for long: `is_whole`,
    /// where the manifest could be made again of it, which may be lost.
    pub fn is_dead(self, is_whole: bool) -> bool {
        match self {
            Recorded::NeverPublished => true,
            Recorded::Published => false,
            Recorded::Nothing => !is_whole,
        }
    }
}

/// Whether the run has ended without a backup at the destination `location`, by its own word. One that knows no such place may know it
/// by another spelling: what it says of all that it knows it says of that as well.
pub fn never_published<'a>(records: impl Iterator<Item = &'a RunRecord>, location: &str) -> bool {
    let never_published = |at: &DestinationReport| {
        matches!(
            at.status,
            DestinationStatus::Failed | DestinationStatus::Behind | DestinationStatus::Skipped
        )
    };
    let mut here = records.filter_map(|record| {
        let destinations = &record.destinations;
        match destinations.iter().find(|at| at.location == location) {
            Some(at) => Some(never_published(at)),
            None => (!destinations.is_empty()).then(|| destinations.iter().all(never_published)),
        }
    });
    here.next().unwrap_or(false) && here.all(|never| never)
}

/// Whether a run published at `location`; anywhere, where the record knows no such place, as in a copy of a destination.
pub fn was_published(record: &RunRecord, location: &str) -> bool {
    let committed = |at: &DestinationReport| at.status == DestinationStatus::Committed;
    let mut here = record
        .destinations
        .iter()
        .filter(|at| at.location == location)
        .peekable();
    match here.peek() {
        Some(_) => here.any(committed),
        None => record.destinations.iter().any(committed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_withdrawn_or_swept_is_no_backup_and_becomes_none() {
        let whole = Traces {
            claim: true,
            entry: true,
            manifest: true,
            ..Traces::default()
        };
        assert!(whole.is_backup() && whole.obstacle().is_none());
        for (traces, obstacle) in [
            (
                Traces {
                    withdrawal: true,
                    ..whole
                },
                Obstacle::Withdrawn,
            ),
            (
                Traces {
                    sweep: true,
                    ..whole
                },
                Obstacle::TakenForDead,
            ),
        ] {
            assert!(!traces.is_backup());
            assert_eq!(traces.obstacle(), Some(obstacle));
        }
        let swept = Traces {
            claim: false,
            ..whole
        };
        assert_eq!(swept.obstacle(), Some(Obstacle::TakenForDead));
        assert!(whole.outlives_sweep(true) && !whole.outlives_sweep(false));
        assert!(!swept.outlives_sweep(true));
        for missing in [
            Traces {
                entry: false,
                ..whole
            },
            Traces {
                manifest: false,
                ..whole
            },
        ] {
            assert!(!missing.is_backup() && !missing.outlives_sweep(true));
        }
    }

    fn run_at(location: &str, status: DestinationStatus) -> RunRecord {
        let at = "2026-11-23T02:00:00.000Z";
        let record = serde_json::json!({
            "id": "full-2026-11-23T02-00-00-k3j9x0q2mz", "type": "full", "status": "failed",
            "startedAt": at, "endedAt": at,
            "destinations": [{
                "name": "a", "location": location, "status": status, "required": true, "bytes": 1, "segments": 0,
                "verified": "no", "retries": 0, "durationMs": 0, "lagBytesMax": 0, "error": null,
            }],
        });
        serde_json::from_value(record).expect("it is a record")
    }

    #[test]
    fn a_place_is_known_by_any_spelling_and_a_backup_there_by_all_of_them() {
        let failed = run_at("./a", DestinationStatus::Failed);
        let committed = run_at("./a", DestinationStatus::Committed);
        for location in ["./a", "a"] {
            let recorded = |records: &[RunRecord]| Recorded::of(records.iter(), location);
            assert_eq!(recorded(&[]), Recorded::Nothing);
            assert_eq!(
                recorded(std::slice::from_ref(&failed)),
                Recorded::NeverPublished
            );
            let both = [failed.clone(), committed.clone()];
            assert_eq!(recorded(&both), Recorded::Published);
        }
    }

    #[test]
    fn what_may_be_a_backup_without_its_manifest_is_left_alone() {
        for is_whole in [false, true] {
            assert!(Recorded::NeverPublished.is_dead(is_whole));
            assert!(!Recorded::Published.is_dead(is_whole));
            assert_eq!(Recorded::Nothing.is_dead(is_whole), !is_whole);
        }
    }
}
