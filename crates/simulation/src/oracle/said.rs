//! What was asked for and what was said, compared with what is so.

use std::collections::{BTreeMap, BTreeSet};

use teeline::{
    BackupId, BackupReport, DestinationSpec, DestinationStatus, RunStatus, StrategyKind,
};

use super::Told;

/// Backups that may be gone after what has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MayGo {
    /// This one.
    One(BackupId),
    /// This one, and what can't be restored without it.
    WithLinks(BackupId),
    /// All but so many of the newest.
    AllBut(usize),
}

/// A pass of a run.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    /// The backup that it was to make.
    pub(crate) id: BackupId,
    /// Who took part in it. Another one may have that backup all the same: as what a later pass went on from.
    pub(crate) destinations: Vec<String>,
}

/// A run that has reported.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) report: BackupReport,
    pub(crate) passes: Vec<Pass>,
    pub(crate) strategy: StrategyKind,
    /// Whether each destination that was asked for has to have it.
    pub(crate) required: BTreeMap<String, bool>,
    /// Whether it was to be a link, whatever has become of it.
    pub(crate) was_to_link: bool,
}

impl Reported {
    /// Whether it may have brought what a link goes on from to who lacks it: what another run has made at the same time as well. It
    /// may then have become a backup of everything all the same.
    pub(crate) fn may_have_completed_others(&self) -> bool {
        self.report.parent.is_some() || self.was_to_link
    }

    /// Of a run of one pass to everybody, all of whom have to have it.
    pub(crate) fn by_all(report: BackupReport, required: BTreeMap<String, bool>) -> Self {
        let names = report.destinations.iter().map(|at| at.name.clone());
        let destinations: Vec<String> = names.collect();
        let pass = report.id.clone().map(|id| Pass { id, destinations });
        Reported {
            passes: pass.into_iter().collect(),
            report,
            strategy: StrategyKind::All,
            required,
            was_to_link: false,
        }
    }
}

/// Whether each of these destinations has to have a backup: as was said, or under `all`.
pub(crate) fn required(to: &[DestinationSpec], strategy: StrategyKind) -> BTreeMap<String, bool> {
    let under_all = strategy == StrategyKind::All;
    let of_one = |at: &DestinationSpec| (at.name.clone(), at.required.unwrap_or(under_all));
    to.iter().map(of_one).collect()
}

/// What has happened since the last look.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    /// What somebody asked to go.
    pub(crate) may_go: Vec<MayGo>,
    /// Runs that have reported. Those that haven't may have come to anything.
    pub(crate) reported: Vec<Reported>,
    /// What the report of anything else says; nothing where others were at work at the same time.
    pub(crate) told: Vec<Told>,
    /// Whether backups may have been copied or repaired meanwhile, so that one may be where its run says that it isn't.
    pub(crate) was_completed: bool,
}

impl Happened {
    /// Whether another run that has reported went on with this pass of `reported`.
    fn has_taken_up(&self, reported: &Reported, pass: &Pass) -> bool {
        let mut others = self
            .reported
            .iter()
            .filter(|other| !std::ptr::eq(*other, reported));
        others.any(|other| other.passes.iter().any(|its| its.id == pass.id))
    }
}

/// Whether what a run says of a destination is what that one lists now, and what it listed `before`.
pub(crate) fn says_the_truth(
    name: &str,
    reported: &Reported,
    [before, now]: [&BTreeSet<BackupId>; 2],
    happened: &Happened,
) -> Result<(), String> {
    let mut destinations = reported.report.destinations.iter();
    let Some(said) = destinations.find(|said| said.name == name) else {
        return Ok(());
    };
    let is_listed = |id: &BackupId| now.contains(id);
    let wrong = |what: &str| Err(format!("P2: {name} is said to be {said:?}, and {what}"));
    match said.status {
        DestinationStatus::Committed => match &reported.report.id {
            Some(id) if is_listed(id) || !happened.may_go.is_empty() => Ok(()),
            _ => wrong("doesn't list it"),
        },
        DestinationStatus::Failed | DestinationStatus::Behind | DestinationStatus::Skipped => {
            let mut passes = reported.passes.iter();
            let is_there_by_it = passes.any(|pass| {
                let took_part = pass.destinations.iter().any(|at| at == name);
                // One that a run takes up may have been there, and have lost its manifest; or another run has taken it up since.
                let is_others = before.contains(&pass.id) || happened.has_taken_up(reported, pass);
                took_part && is_listed(&pass.id) && !is_others
            });
            match is_there_by_it && !happened.was_completed {
                true => wrong("lists it"),
                false => Ok(()),
            }
        }
        DestinationStatus::Unknown => Ok(()),
    }
}

/// Whether the verdict of a run follows from what it says of its destinations, which are those that were asked for; one that came to
/// nothing may say nothing of any.
pub(crate) fn verdict_is_the_strategys(reported: &Reported) -> Result<(), String> {
    let report = &reported.report;
    let said = report.destinations.iter();
    let said: BTreeMap<String, bool> = said.map(|at| (at.name.clone(), at.required)).collect();
    let came_to_nothing = said.is_empty() && report.status == RunStatus::Failed;
    if said != reported.required && !came_to_nothing {
        return Err(format!(
            "P2: it was asked for at {:?}, which are required or not, and the report says {report:?}",
            reported.required
        ));
    }
    let count = |status| {
        let said = report.destinations.iter();
        said.filter(|said| said.status == status).count()
    };
    let needed = match reported.strategy {
        StrategyKind::All | StrategyKind::Any | StrategyKind::Priority => 1,
        StrategyKind::Quorum(needed) => needed,
    };
    let is_down = |status| {
        !matches!(
            status,
            DestinationStatus::Committed | DestinationStatus::Skipped
        )
    };
    let mut said = report.destinations.iter();
    let required_down = said.any(|said| said.required && is_down(said.status));
    let expected = if required_down || count(DestinationStatus::Committed) < needed {
        RunStatus::Failed
    } else if report.destinations.iter().any(|said| is_down(said.status)) {
        RunStatus::Degraded
    } else {
        RunStatus::Completed
    };
    match report.status == expected {
        true => Ok(()),
        false => Err(format!(
            "P2: under {} this is {expected:?}, and the report says {report:?}",
            reported.strategy
        )),
    }
}
