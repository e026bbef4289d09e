//! What is true: what each store holds, looked at without anything going wrong. It judges what there is, and not how it came
//! to be.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use teeline::{
    BackupId, BackupReport, CustomSink, DestinationSpec, DestinationStatus, Digest, Engine, Keys,
    Observer, Place, ProgressEvent, RestoreRequest, RestoreStatus, RestoreTarget, RunStatus, Sink,
    StrategyKind, Timestamp, Which,
};
use teeline_core::{DestinationMarker, DigestOfDigests, ObjectKey, Random, document, layout};

use crate::data::{Lines, Restored};
use crate::life;
use crate::store::Shelf;
use crate::world::World;

/// The bytes that an engine of the oracle may have in flight.
const BUDGET_BYTES: u64 = 64 << 20;

/// Every backup that a run has begun to make, and what it is of. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made(Arc<Mutex<BTreeMap<BackupId, Arc<Lines>>>>);

impl Made {
    /// A pass makes the backup `id` of these lines.
    pub(crate) fn begins(&self, id: BackupId, lines: &Arc<Lines>) {
        self.made().insert(id, Arc::clone(lines));
    }

    pub(crate) fn ids(&self) -> Vec<BackupId> {
        self.made().keys().cloned().collect()
    }

    pub(crate) fn lines(&self, id: &BackupId) -> Option<Arc<Lines>> {
        self.made().get(id).cloned()
    }

    /// Notes the backups that are begun of these lines.
    pub(crate) fn observer(&self, lines: &Arc<Lines>) -> Observer {
        let (made, lines) = (self.clone(), Arc::clone(lines));
        Arc::new(move |event| {
            if let ProgressEvent::PassStarted { id, .. } = event {
                made.begins(id, &lines);
            }
        })
    }

    fn made(&self) -> MutexGuard<'_, BTreeMap<BackupId, Arc<Lines>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Backups that may be gone after what has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MayGo {
    /// This one.
    One(BackupId),
    /// All but so many of the newest.
    AllBut(usize),
}

/// A run that has reported.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) report: BackupReport,
    /// The backups of its passes.
    pub(crate) ids: Vec<BackupId>,
    pub(crate) strategy: StrategyKind,
}

/// What has happened since the last look.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    /// What somebody asked to go.
    pub(crate) may_go: Vec<MayGo>,
    /// Runs that have reported. Those that haven't may have come to anything.
    pub(crate) reported: Vec<Reported>,
    /// Whether backups may have been copied or repaired meanwhile, so that one may be where its run says that it isn't.
    pub(crate) was_completed: bool,
}

/// The backups that a store lists: when each began, and the digest of all that there is of it.
type Listed = BTreeMap<BackupId, (Timestamp, Digest)>;

/// What the stores held when they were looked at last.
#[derive(Debug)]
pub(crate) struct Oracle {
    world: Arc<World>,
    random: Arc<Random>,
    pub(crate) shelves: Vec<Shelf>,
    pub(crate) made: Made,
    /// The backups that each store lists. Every one was restored.
    listed: Vec<Listed>,
}

impl Oracle {
    pub(crate) fn new(seed: u64, world: &Arc<World>, stores: usize) -> Self {
        let shelf = |number: usize| Shelf::new(&name(number), world);
        Oracle {
            world: Arc::clone(world),
            random: Arc::new(Random::new(seed)),
            shelves: (0..stores).map(shelf).collect(),
            made: Made::default(),
            listed: vec![Listed::new(); stores],
        }
    }

    /// The backups that some store listed.
    pub(crate) fn ids(&self) -> BTreeSet<BackupId> {
        self.listed
            .iter()
            .flat_map(|of_store| of_store.keys().cloned())
            .collect()
    }

    /// An engine for which nothing goes wrong, in the life that goes on.
    pub(crate) fn engine(&self) -> Result<Engine, String> {
        life::engine(&self.world, &self.random, BUDGET_BYTES)
    }

    /// The stores, as nothing goes wrong in them.
    pub(crate) fn destinations(&self) -> Result<Vec<DestinationSpec>, String> {
        let all = self.shelves.iter().enumerate();
        all.map(|(number, shelf)| destination(number, shelf.objects.clone()))
            .collect()
    }

    /// Looks at every store.
    ///
    /// # Errors
    /// The promise that is broken, and how.
    pub(crate) async fn look(&mut self, happened: &Happened) -> Result<(), String> {
        let engine = self.engine()?;
        for (number, destination) in self.destinations()?.into_iter().enumerate() {
            let now = self.look_at(&engine, number, destination).await?;
            self.nothing_is_lost(number, &now, happened)?;
            let ids = now.keys().cloned().collect();
            for reported in &happened.reported {
                says_the_truth(&name(number), reported, &ids, happened)?;
            }
            self.listed[number] = now;
        }
        for reported in &happened.reported {
            verdict_is_the_strategys(reported)?;
        }
        match engine.is_idle() {
            true => Ok(()),
            false => Err("P6: the oracle's own engine isn't idle".to_owned()),
        }
    }

    /// What a store lists, each restored from it alone unless nothing of it has changed since it was.
    async fn look_at(
        &self,
        engine: &Engine,
        number: usize,
        destination: DestinationSpec,
    ) -> Result<Listed, String> {
        let alone = vec![destination];
        let mut now = BTreeMap::new();
        for backup in engine.list(&alone).await.backups {
            let id = backup.id;
            let Some(lines) = self.made.lines(&id) else {
                return Err(format!(
                    "P3: {} lists {id}, which nobody made",
                    name(number)
                ));
            };
            let digest = digest_of(&self.shelves[number], &id).await?;
            let seen = (backup.timestamp, digest);
            if self.listed[number].get(&id) != Some(&seen) {
                restores(engine, &alone, &id, &lines, &Keys::default())
                    .await
                    .map_err(|wrong| format!("P1: {} lists {id}: {wrong}", name(number)))?;
                self.world.restored();
            }
            now.insert(id, seen);
        }
        Ok(now)
    }

    /// Whether the marker of a store isn't what it was written as.
    pub(crate) fn has_damaged_marker(&self) -> Result<bool, String> {
        let marker = layout::marker().map_err(|error| error.to_string())?;
        let right = document::seal(&DestinationMarker {});
        let is_damaged = |shelf: &Shelf| {
            let read = shelf.objects.read(&marker, 0..right.len() as u64);
            let stands = shelf.objects.keys().contains(&marker);
            stands && !futures::executor::block_on(read).is_ok_and(|read| read == right)
        };
        Ok(self.shelves.iter().any(is_damaged))
    }

    /// A file of a run that has no manifest at a store.
    pub(crate) fn left_of_a_run(&self, number: usize) -> Option<ObjectKey> {
        let keys = self.shelves[number].objects.keys();
        let is_published = |folder: &str| {
            let manifest = format!("{folder}/{}", layout::MANIFEST);
            keys.iter().any(|key| key.as_str() == manifest)
        };
        let is_left = |key: &&ObjectKey| {
            let folder = key
                .as_str()
                .split_once('/')
                .map_or("", |(folder, _)| folder);
            folder.parse::<BackupId>().is_ok() && !is_published(folder)
        };
        keys.iter().find(is_left).cloned()
    }

    fn nothing_is_lost(
        &self,
        number: usize,
        now: &Listed,
        happened: &Happened,
    ) -> Result<(), String> {
        let before = &self.listed[number];
        let both = before.iter().chain(now);
        let mut newest_first: Vec<_> = both.map(|(id, (began, _))| Reverse((began, id))).collect();
        newest_first.sort();
        newest_first.dedup();
        for (rank, Reverse((_, id))) in newest_first.into_iter().enumerate() {
            let may_go = happened.may_go.iter().any(|may_go| match may_go {
                MayGo::One(one) => one == id,
                MayGo::AllBut(newest) => rank >= *newest,
            });
            if before.contains_key(id) && !now.contains_key(id) && !may_go {
                return Err(format!(
                    "P3: {} listed {id}, nobody deleted it, and it doesn't list it any more",
                    name(number)
                ));
            }
        }
        Ok(())
    }
}

/// The name of a store.
pub(crate) fn name(number: usize) -> String {
    format!("store-{number}")
}

pub(crate) fn destination(number: usize, sink: impl Sink) -> Result<DestinationSpec, String> {
    destination_of(number, Arc::new(sink))
}

/// The same, of one that is shared already.
pub(crate) fn destination_of(
    number: usize,
    sink: Arc<dyn Sink>,
) -> Result<DestinationSpec, String> {
    DestinationSpec::new(&name(number), Place::Sink(CustomSink::of(sink)))
        .map_err(|error| error.to_string())
}

/// Whether a backup restores from these destinations to exactly these lines.
pub(crate) async fn restores(
    engine: &Engine,
    from: &[DestinationSpec],
    id: &BackupId,
    lines: &Lines,
    keys: &Keys,
) -> Result<(), String> {
    let restored = Restored::default();
    let target = RestoreTarget::Custom(Box::new(restored.clone()));
    let mut request = RestoreRequest::new(Which::Id(id.clone()), from.to_vec(), target);
    request.keys = keys.clone();
    let report = engine.restore(request).await;
    if report.status != RestoreStatus::Completed || !report.avoided.is_empty() {
        return Err(format!("its restore came to {report:?}"));
    }
    let emitted = restored.emitted();
    match emitted.is_finished && emitted.lines == *lines {
        true => Ok(()),
        false => Err("it restores to something else than was backed up".to_owned()),
    }
}

/// The digest of all that a store has of a backup.
async fn digest_of(shelf: &Shelf, id: &BackupId) -> Result<Digest, String> {
    let mut digest = DigestOfDigests::default();
    let is_of_it = |key: &&ObjectKey| key.as_str().contains(id.as_str());
    for key in shelf.objects.keys().iter().filter(is_of_it) {
        let looked = shelf.objects.head(key).await;
        let bytes = looked.map_err(|error| error.to_string())?.bytes;
        let read = shelf.objects.read(key, 0..bytes).await;
        digest.push(Digest::of(key.as_str().as_bytes()));
        digest.push(Digest::of(&read.map_err(|error| error.to_string())?));
    }
    Ok(digest.finish())
}

/// Whether what a run says of a destination is what that one lists now.
pub(crate) fn says_the_truth(
    name: &str,
    reported: &Reported,
    now: &BTreeSet<BackupId>,
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
            match reported.ids.iter().any(is_listed) && !happened.was_completed {
                true => wrong("lists it"),
                false => Ok(()),
            }
        }
        DestinationStatus::Unknown => Ok(()),
    }
}

/// Whether the verdict of a run follows from what it says of its destinations.
pub(crate) fn verdict_is_the_strategys(reported: &Reported) -> Result<(), String> {
    let report = &reported.report;
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

/// Nothing is emitted but what was backed up; and all of it, where the report says so.
pub(crate) fn emitted_the_truth(
    made: &Made,
    restored: &Restored,
    status: RestoreStatus,
) -> Result<(), String> {
    let emitted = restored.emitted();
    let Some(id) = emitted.backup else {
        return match status {
            RestoreStatus::Completed => Err("P2: a restore of nothing is complete".to_owned()),
            _ => Ok(()),
        };
    };
    let Some(lines) = made.lines(&id) else {
        return Err(format!("P7: {id} was restored, which nobody made"));
    };
    if status == RestoreStatus::Completed && (!emitted.is_finished || emitted.lines != *lines) {
        return Err(format!("P2: the restore of {id} is said to be complete"));
    }
    for (resource, emitted) in &emitted.lines {
        let expected = lines.get(resource).map_or(&[][..], Vec::as_slice);
        if !expected.starts_with(emitted) {
            return Err(format!("P7: {id} emitted something else of {resource}"));
        }
    }
    Ok(())
}
