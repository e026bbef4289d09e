//! Whether backups are as they should be, by what destinations list: for whoever asks every hour, and is told only when not.

use std::cmp::Reverse;
use std::collections::HashSet;

use futures::future::join_all;
use teeline_core::chain::NotAChain;
use teeline_core::{
    AskedFor, BackupError, BackupId, CatalogEntry, Class, Retention, RunRecord, Span, Timestamp,
    VerificationResult,
};

use crate::asked_for::{has_all_of, has_resources_of, makes_up_for};
use crate::backup::glob;
use crate::catalog::{Asked, ask_all};
use crate::chain::unrestorable;
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::failed_runs::{self, Counting};
use crate::ledger::Ledger;
use crate::list::{ListRequest, ListedStatus};
use crate::report::{ListReport, MonitorReport, MonitoredDestination};

/// What is expected of each destination.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MonitorRequest {
    /// Where to look.
    pub destinations: Vec<DestinationSpec>,
    /// How old the latest backup may be that has what is asked for; any age.
    pub max_age: Option<Span>,
    /// Globs of the resources that are asked for, as of a backup; whatever the backups there were asked for, where `exclude` says
    /// nothing either. Where a destination takes other resources only, these aren't asked for.
    pub include: Vec<String>,
    /// Globs of the resources that aren't asked for, as of a backup.
    pub exclude: Vec<String>,
    /// How many backups there must be; 1.
    pub min_count: u64,
    /// How long ago each backup may have been verified, or made, if nobody has looked since; any time.
    pub max_unverified: Option<Span>,
}

impl MonitorRequest {
    /// One backup at each destination, of any age.
    pub fn new(destinations: Vec<DestinationSpec>) -> Self {
        MonitorRequest {
            destinations,
            max_age: None,
            include: Vec::new(),
            exclude: Vec::new(),
            min_count: 1,
            max_unverified: None,
        }
    }
}

impl Engine {
    /// Looks whether each destination has the backups that are expected of it: enough, the latest one that has everything young
    /// enough, no run that failed and that no later one makes up for, nothing damaged in its catalogue or found damaged by a check, and
    /// each verified not too long ago. A backup that began in the future, or before 2000, counts for nothing.
    pub async fn monitor(&self, request: MonitorRequest) -> MonitorReport {
        let engine = self.clone();
        let looking = async move { monitor(&engine, &request).await };
        let result = self.0.host.spawn(looking).await;
        result.unwrap_or_else(|error| MonitorReport::new(Vec::new(), Some((&error).into())))
    }

    /// As [`Engine::monitor`], for hosts without an executor.
    pub fn monitor_blocking(&self, request: MonitorRequest) -> MonitorReport {
        futures::executor::block_on(self.monitor(request))
    }
}

async fn monitor(engine: &Engine, request: &MonitorRequest) -> MonitorReport {
    if let Err(error) = request.check_globs() {
        return MonitorReport::new(Vec::new(), Some((&error).into()));
    }
    let now = (engine.0.clock)();
    let asked = ask_all(engine, &request.destinations).await;
    let looks = asked
        .into_iter()
        .zip(&request.destinations)
        .map(|(asked, spec)| async move {
            let mut found = MonitoredDestination::new(&spec.name);
            match asked {
                Ok(asked) => look(engine, &asked, spec, request, now, &mut found).await,
                Err((_, error)) => found.problems.push((&error).into()),
            }
            found
        });
    MonitorReport::new(join_all(looks).await, None)
}

async fn look(
    engine: &Engine,
    asked: &Asked,
    spec: &DestinationSpec,
    request: &MonitorRequest,
    now: Timestamp,
    found: &mut MonitoredDestination,
) {
    let entries = asked.catalog.entries.iter();
    let counted = entries.filter(|entry| Retention::is_plausible(entry.started_at, now));
    let mut counted: Vec<&CatalogEntry> = counted.collect();
    counted.sort_by_key(|entry| (Reverse(entry.started_at), &entry.id));
    found.count = counted.len() as u64;
    let links = asked.catalog.restored_with();
    let chained = counted
        .iter()
        .copied()
        .map(|entry| (entry, links.chain(&entry.id)));
    let (restorable, broken): (Vec<_>, Vec<_>) = chained.partition(|(_, chain)| chain.is_ok());
    let restorable: Vec<&CatalogEntry> = restorable.into_iter().map(|(entry, _)| entry).collect();
    let wanted = Wanted {
        asked_for: request.asked_for(spec),
        all_in_part: restorable.iter().all(|entry| entry.in_part),
    };
    let current = Current::of(&restorable, &wanted);
    let mut problems: Vec<BackupError> = Vec::new();
    if found.count < request.min_count {
        let message = format!(
            "there are {}, and at least {} are expected",
            found.count, request.min_count
        );
        problems.push(problem(message));
    }
    if let Some(latest) = current.latest {
        let age = latest.started_at.until(now).ms();
        (found.latest, found.age) = (Some(latest.id.clone()), Some(age));
        let max_age = request.max_age.filter(|max_age| age > max_age.ms());
        problems.extend(max_age.map(|max_age| current.too_old(age, max_age)));
    } else if wanted.asked_for.is_some() && !restorable.is_empty() {
        problems.push(problem("none has all that is asked for".to_owned()));
    }
    found.problems = problems.iter().map(Into::into).collect();
    let damaged = asked.catalog.damaged();
    found
        .problems
        .extend(damaged.map(|(_, _, error)| error.into()));
    let broken = broken.into_iter().filter_map(|(_, chain)| chain.err());
    found
        .problems
        .extend(why_broken(broken).iter().map(Into::into));
    match Ledger::read(&asked.opened, now).await {
        Ok(ledger) => look_at_ledger(&ledger, &counted, request, now, found),
        Err(error) => found.problems.push((&error).into()),
    }
    let failed = failed_since(engine, spec, &restorable, &wanted).await;
    for run in failed.backups {
        let reason = run.error.map_or(String::new(), |error| error.message);
        let message = format!("the run {} failed: {reason}", run.id);
        found
            .problems
            .push((&problem(message).suggest(ONLY_WHAT_IS_WANTED)).into());
    }
    found
        .problems
        .extend(failed.errors.into_iter().map(|failed| failed.error));
}

impl MonitorRequest {
    fn check_globs(&self) -> Result<(), BackupError> {
        for (option, patterns) in [("include", &self.include), ("exclude", &self.exclude)] {
            for pattern in patterns {
                glob(pattern).map_err(|message| BackupError::usage(option, message))?;
            }
        }
        Ok(())
    }

    /// What a backup at a destination has to have, where that is said.
    fn asked_for(&self, spec: &DestinationSpec) -> Option<AskedFor> {
        let is_said = !self.include.is_empty() || !self.exclude.is_empty();
        let is_said = is_said && spec.takes_all_of(&self.include);
        is_said.then(|| AskedFor::new(self.include.clone(), self.exclude.clone(), None))
    }
}

/// What a backup has to have.
struct Wanted {
    /// Where that is said.
    asked_for: Option<AskedFor>,
    /// Whether no backup that is there has all records of anything.
    all_in_part: bool,
}

impl Wanted {
    /// Whether a backup has what is asked for, or everything where nothing is. Resources are asked for, and of all of them the
    /// records that they have, unless no backup is of all records: which of them are wanted can't be said.
    fn is_had_by(&self, entry: &CatalogEntry) -> bool {
        match &self.asked_for {
            Some(asked_for) if self.all_in_part => has_resources_of(entry, asked_for),
            Some(asked_for) => makes_up_for(entry, asked_for),
            None => makes_up_for(entry, &AskedFor::default()),
        }
    }

    /// Whether a backup makes up for a run that failed before.
    fn is_made_up_for(&self, record: &RunRecord, entry: &CatalogEntry) -> bool {
        let is_of_its_type = entry.backup_type == record.backup_type;
        match &record.asked_for {
            // A record doesn't say whether it was to have what was written since a time only. Where all are so, it was.
            Some(of_run) => {
                let is_alike = is_of_its_type && entry.asked_for.as_ref() == Some(of_run);
                makes_up_for(entry, of_run) || (self.all_in_part && is_alike)
            }
            None => is_of_its_type || makes_up_for(entry, &AskedFor::default()),
        }
    }
}

/// Which backup is the latest: one that has less than others doesn't take their place.
struct Current<'a> {
    /// The latest that has what is asked for; of several things that no backup has together, of the one of which it is oldest.
    latest: Option<&'a CatalogEntry>,
    /// The last one, whatever it has.
    last: Option<&'a CatalogEntry>,
}

impl<'a> Current<'a> {
    /// Of these, the newest first, where something is asked for, or else whatever any of them was made of.
    fn of(newest_first: &[&'a CatalogEntry], wanted: &Wanted) -> Self {
        let latest = match wanted.asked_for {
            Some(_) => {
                let mut newest_first = newest_first.iter().copied();
                newest_first.find(|entry| wanted.is_had_by(entry))
            }
            None => {
                let latest_of = |other: &&CatalogEntry| {
                    let asked_for = other.asked_for.clone().unwrap_or_default();
                    let mut newest_first = newest_first.iter().copied();
                    newest_first
                        .find(|entry| has_all_of(entry, other) || makes_up_for(entry, &asked_for))
                };
                let latest = one_of_each(newest_first);
                let latest = latest.iter().filter_map(latest_of);
                latest.min_by_key(|entry| entry.started_at)
            }
        };
        Current {
            latest,
            last: newest_first.first().copied(),
        }
    }

    fn too_old(&self, age: u64, max_age: Span) -> BackupError {
        let age = whole(age);
        let younger = self.last.zip(self.latest);
        match younger.filter(|(last, latest)| last.id != latest.id) {
            None => problem(format!(
                "the latest is {age} old, and at most {max_age} is expected"
            )),
            Some((last, latest)) => problem(format!(
                "the latest that has all that is asked for, {}, is {age} old, and at most {max_age} is expected: {} is younger, \
                 and hasn't all of that",
                latest.id, last.id
            ))
            .suggest(ONLY_WHAT_IS_WANTED),
        }
    }
}

/// The newest of those that were made of the same.
fn one_of_each<'a>(newest_first: &[&'a CatalogEntry]) -> Vec<&'a CatalogEntry> {
    let mut of_each: Vec<&CatalogEntry> = Vec::new();
    for entry in newest_first {
        let is_new = !of_each
            .iter()
            .any(|known| known.asked_for == entry.asked_for && known.in_part == entry.in_part);
        if is_new {
            of_each.push(entry);
        }
    }
    of_each
}

/// Where no backup has everything, the records of all runs there ever were may be made up for, and none of them counts.
const RUNS_LOOKED_AT_MAX: usize = 1_000;

const ONLY_WHAT_IS_WANTED: &str = "make a backup of the same; where not all of that is wanted any more, --include and --exclude say what is";

/// The last run that failed, of those that no later backup makes up for.
async fn failed_since(
    engine: &Engine,
    spec: &DestinationSpec,
    newest_first: &[&CatalogEntry],
    wanted: &Wanted,
) -> ListReport {
    let mut request = ListRequest::new(vec![spec.clone()]);
    (request.status, request.limit) = (ListedStatus::Failed, Some(1));
    let mut having_all = newest_first.iter();
    let having_all = having_all.find(|entry| wanted.is_had_by(entry));
    request.since = having_all.map(|entry| entry.started_at);
    let listed: HashSet<&BackupId> = newest_first.iter().map(|entry| &entry.id).collect();
    let counting = Counting {
        takes: &|id| !listed.contains(id),
        counts: &|record| {
            let is_later = |entry: &&&CatalogEntry| entry.started_at > record.started_at;
            let mut later = newest_first.iter().take_while(is_later);
            !later.any(|entry| wanted.is_made_up_for(record, entry))
        },
        looked_at_max: RUNS_LOOKED_AT_MAX,
    };
    failed_runs::list(engine, &request, &counting).await
}

/// Why backups can't be restored, each reason once.
fn why_broken(broken: impl Iterator<Item = NotAChain>) -> Vec<BackupError> {
    let mut reasons: Vec<(NotAChain, usize)> = Vec::new();
    for why in broken {
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, times)) => *times += 1,
            None => reasons.push((why, 1)),
        }
    }
    let error = |(why, times): (NotAChain, usize)| match times {
        1 => unrestorable("a backup", &why),
        times => unrestorable(format!("{times} backups"), &why),
    };
    reasons.into_iter().map(error).collect()
}

/// What checks have found, and how long ago they were.
fn look_at_ledger(
    ledger: &Ledger,
    counted: &[&CatalogEntry],
    request: &MonitorRequest,
    now: Timestamp,
    found: &mut MonitoredDestination,
) {
    let checks = counted
        .iter()
        .filter_map(|entry| ledger.decisive(&entry.id));
    for check in checks.filter(|check| check.result == VerificationResult::Damaged) {
        let message = format!("a check found damage at {}", check.at);
        let error = BackupError::corrupt(&check.id, message);
        let error = error.suggest(format!("`teeline status {}` says more", check.id));
        found.problems.push((&error).into());
    }
    let age = |entry: &&CatalogEntry| ledger.last_look(entry).until(now).ms();
    let longest = counted.iter().max_by_key(|entry| age(entry));
    found.longest_unverified = longest.map(age);
    if let (Some(longest), Some(max)) = (longest, request.max_unverified) {
        let late = counted.iter().filter(|entry| age(entry) > max.ms()).count();
        if late > 0 {
            let message = format!(
                "{late} of {} weren't verified within {max}, one of them {} for {}",
                counted.len(),
                longest.id,
                whole(age(longest))
            );
            let error = problem(message);
            let error = error
                .suggest("`teeline scrub` verifies those that nobody has looked at for longest");
            found.problems.push((&error).into());
        }
    }
}

fn problem(message: String) -> BackupError {
    BackupError::new(Class::Permanent, "check", "its backups", message)
}

/// A length of time in the largest unit of which it has two or more.
fn whole(ms: u64) -> Span {
    const UNITS_MS: [u64; 3] = [86_400_000, 3_600_000, 60_000];
    let unit_ms = UNITS_MS.into_iter().find(|unit_ms| ms >= 2 * unit_ms);
    let unit_ms = unit_ms.unwrap_or(1_000);
    Span::from_ms(ms / unit_ms * unit_ms)
}
