//! What cleanups, deletions, repairs and syncs find to be done when they begin, at one destination.

use crate::backups::{expired, needing, recorded};
use crate::healing::{self, Cure};
use crate::janitor::{Janitor, Syncing, Task};
use crate::publishing::Publisher;
use crate::scene::{Planted, Scene};
use crate::world::{BackupNumber, Files, Place};

/// What somebody begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Errand {
    /// A cleanup, when the grace of what was withdrawn is over.
    CleanUp,
    /// A cleanup to which a listing doesn't show this backup's manifest yet.
    CleanUpByOldListing(BackupNumber),
    Delete(BackupNumber),
    /// The same without a grace.
    DeleteAtOnce(BackupNumber),
    /// Makes lost manifests again.
    Repair,
    /// Makes copies of what is listed whole again.
    Heal,
    /// Copies what is lacking here from another destination.
    Sync,
}

/// What somebody does who comes after runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trade {
    CleanUp,
    Delete(BackupNumber),
    Repair,
    Heal,
    Sync,
}

/// What a destination looks like to who begins.
pub(crate) struct Seen<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) places: &'a [Place],
    pub(crate) at: usize,
    /// The backups whose runs may be going on: something of them was touched here lately.
    pub(crate) touched: &'a [BackupNumber],
    /// Whoever may be at work here.
    pub(crate) janitors: &'a [Janitor],
}

impl Seen<'_> {
    /// What an errand comes to, the first thing first.
    pub(crate) fn plan(&self, errand: Errand) -> Vec<Task> {
        match errand {
            Errand::CleanUp => self.clean_up(true, None),
            Errand::CleanUpByOldListing(hidden) => self.clean_up(false, Some(hidden)),
            Errand::Delete(number) => self.delete(number),
            Errand::DeleteAtOnce(number) => {
                let mut tasks = self.delete(number);
                if !tasks.is_empty() {
                    tasks.push(Task::Remove(number));
                }
                tasks
            }
            Errand::Repair => self.repair(),
            Errand::Heal => self.heal(),
            Errand::Sync => self.sync(),
        }
    }

    fn place(&self) -> &Place {
        &self.places[self.at]
    }

    fn clean_up(&self, is_grace_over: bool, hidden: Option<BackupNumber>) -> Vec<Task> {
        let place = self.place();
        let listed = place.listed();
        let expired = expired(&self.scene.plans, &listed);
        let entries = entries(place);
        let withdraw = |number| Task::Withdraw(number, entries.clone());
        let mut tasks: Vec<Task> = expired.into_iter().map(withdraw).collect();
        for number in place.numbers(|copy| copy.traces.withdrawal) {
            let copy = &place.copies[number];
            let has_more = !copy.is_gone() || copy.kept.iter().any(|kept| !kept.is_empty());
            let needing = needing(&self.scene.plans, &entries, number);
            if needing.iter().any(|number| listed.contains(number)) {
                tasks.push(Task::TakeBack(number));
            } else if has_more
                && !copy.is_nobodys()
                && needing.is_empty()
                && is_grace_over
                && !self.is_undecided(number)
            {
                tasks.push(Task::Remove(number));
            }
        }
        for number in place.numbers(|copy| copy.traces.sweep && !copy.traces.withdrawal) {
            if !self.is_undecided(number) {
                tasks.push(Task::Remove(number));
            }
        }
        for number in self.dead(hidden) {
            tasks.push(Task::Sweep(number));
        }
        tasks
    }

    /// Whether somebody who has withdrawn or swept something here may yet take that back.
    fn is_undecided(&self, number: BackupNumber) -> bool {
        let mut others = self.janitors.iter();
        self.scene.planted != Some(Planted::EverybodyGoesOn)
            && others.any(|janitor| janitor.has_not_decided(self.place(), self.at, number))
    }

    /// The runs that have left something, and no backup.
    fn dead(&self, hidden: Option<BackupNumber>) -> Vec<BackupNumber> {
        let place = self.place();
        let copies = place.copies.iter().enumerate();
        let dead = copies.filter(|(number, copy)| {
            let traces = copy.traces;
            let shows_manifest = traces.manifest && hidden != Some(*number);
            let is_unpublished = traces.claim
                && !shows_manifest
                && !traces.withdrawal
                && !traces.sweep
                && !self.touched.contains(number);
            // An old listing doesn't show the files either.
            let is_whole = copy.has_all(self.scene.segments) && hidden != Some(*number);
            is_unpublished && recorded(place, *number).is_dead(is_whole)
        });
        dead.map(|(number, _)| number).collect()
    }

    /// One that others need isn't deleted.
    fn delete(&self, number: BackupNumber) -> Vec<Task> {
        let entries = entries(self.place());
        let is_listed = self.place().copies[number].traces.is_backup();
        let is_needed = !needing(&self.scene.plans, &entries, number).is_empty();
        match is_listed && !is_needed {
            true => vec![Task::Withdraw(number, entries)],
            false => Vec::new(),
        }
    }

    /// Runs that are whole but for their manifest, and that nobody is at work on.
    fn repair(&self) -> Vec<Task> {
        let copies = self.place().copies.iter().enumerate();
        let lost = copies.filter(|(number, copy)| {
            let traces = copy.traces;
            let is_lost = traces.claim && !traces.manifest && traces.obstacle().is_none();
            is_lost && copy.has_all(self.scene.segments) && !self.touched.contains(number)
        });
        let publish = |(number, copy): (BackupNumber, &crate::world::Copy)| {
            let publisher = Publisher {
                attempt: None,
                claims_seen: copy.claims,
                content: copy.holds,
            };
            Task::Publish(number, 0, publisher)
        };
        lost.map(publish).collect()
    }

    /// Each file of what is listed here, or was, that isn't right and that somebody has right.
    fn heal(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for (number, copy) in self.place().copies.iter().enumerate() {
            let is_known = copy.traces.manifest || copy.traces.entry;
            let Some(content) = healing::truth(self.places, number) else {
                continue;
            };
            if !is_known || copy.traces.withdrawal || copy.traces.sweep {
                continue;
            }
            let files = || Files::of_backup(self.scene.segments);
            let mut wrong = files().filter(|file| !copy.is_right(*file, content));
            let has_right = |file| healing::has_right(self.places, number, file, content);
            if wrong.any(has_right) {
                let cure = Cure::new(number, content);
                tasks.extend(files().map(|file| Task::Heal(cure, healing::Step::Judge(file))));
            }
        }
        tasks
    }

    /// Each backup that isn't here and wasn't withdrawn from here, and that somebody has.
    fn sync(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for number in 0..self.scene.plans.len() {
            let traces = self.place().copies[number].traces;
            if traces.is_backup() || traces.withdrawal || traces.sweep {
                continue;
            }
            let lists = |place: &Place| place.copies[number].traces.is_backup();
            if let Some(from) = self.places.iter().position(lists) {
                let content = self.places[from].copies[number].manifest_of;
                tasks.push(Task::SyncClaim(Syncing {
                    number,
                    from,
                    content,
                }));
            }
        }
        tasks
    }
}

/// The backups whose entries a catalogue shows: not those that are withdrawn.
pub(crate) fn entries(place: &Place) -> Vec<BackupNumber> {
    place.numbers(|copy| copy.traces.entry && !copy.traces.withdrawal && !copy.traces.sweep)
}
