//! Who comes after runs: cleanups, deletions and repairs, at one destination at a time. Each looks, plans, and then does one
//! thing after the other; it may break off after any of them, and the next one begins by looking.

use teeline_core::DestinationStatus;
use teeline_core::commit::{PublishStep, Recorded, RemovalTurn};

use crate::backups::{expired, needing, recorded};
use crate::run::publish;
use crate::scene::{Planted, Scene};
use crate::world::{BackupNumber, Call, Copy, Place};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Janitor {
    pub(crate) at: usize,
    /// What is yet to be done, the last first.
    pub(crate) tasks: Vec<Task>,
    /// How often one may yet begin while others are at work.
    pub(crate) rounds_left: u8,
    /// Whether a withdrawal, or a sweep, was taken back.
    pub(crate) has_taken_back: [bool; 2],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    /// Withdraws a backup; the catalogue showed the entries of those others then.
    Withdraw(BackupNumber, Vec<BackupNumber>),
    /// Takes a withdrawal back where something that has come since needs the backup.
    KeepIfNeeded(BackupNumber, Vec<BackupNumber>),
    /// Takes a withdrawal back, since something that is listed needs the backup.
    TakeBack(BackupNumber),
    Sweep(BackupNumber),
    /// Looks what there is of a backup, and removes that.
    Remove(BackupNumber),
    RemoveFile(BackupNumber, File),
    /// A step of publishing by a repair, by its place in their order.
    Publish(BackupNumber, usize),
    RecordPublished(BackupNumber),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum File {
    Manifest,
    Segment(u8),
    Claim,
    Entry,
    /// What a run that was no backup is withdrawn by.
    Sweep,
    Record,
}

/// What somebody begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Errand {
    /// A cleanup; of what was withdrawn it removes what may be, where the grace is over.
    CleanUp {
        is_grace_over: bool,
    },
    /// A cleanup to which a listing doesn't show this backup's manifest yet.
    CleanUpByOldListing(BackupNumber),
    Delete(BackupNumber),
    /// The same without a grace.
    DeleteAtOnce(BackupNumber),
    Repair,
}

/// What a destination looks like to who begins.
pub(crate) struct Seen<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) place: &'a Place,
    /// The backups whose runs may be going on: something of them was touched lately.
    pub(crate) touched: &'a [BackupNumber],
}

impl Seen<'_> {
    /// What an errand comes to, the first thing first.
    pub(crate) fn plan(&self, errand: Errand) -> Vec<Task> {
        match errand {
            Errand::CleanUp { is_grace_over } => self.clean_up(is_grace_over, None),
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
        }
    }

    fn clean_up(&self, is_grace_over: bool, hidden: Option<BackupNumber>) -> Vec<Task> {
        let listed = self.place.listed();
        let expired = expired(&self.scene.plans, &listed);
        let entries = self.entries();
        let withdraw = |number| Task::Withdraw(number, entries.clone());
        let mut tasks: Vec<Task> = expired.into_iter().map(withdraw).collect();
        for number in self.place.numbers(|copy| copy.traces.withdrawal) {
            let has_more = !self.place.copies[number].is_gone();
            let needing = needing(&self.scene.plans, &entries, number);
            if needing.iter().any(|number| listed.contains(number)) {
                tasks.push(Task::TakeBack(number));
            } else if has_more && needing.is_empty() && is_grace_over {
                tasks.push(Task::Remove(number));
            }
        }
        for number in self
            .place
            .numbers(|copy| copy.traces.sweep && !copy.traces.withdrawal)
        {
            tasks.push(Task::Remove(number));
        }
        for number in self.dead(hidden) {
            tasks.push(Task::Sweep(number));
        }
        tasks
    }

    /// The runs that have left something, and no backup.
    fn dead(&self, hidden: Option<BackupNumber>) -> Vec<BackupNumber> {
        let copies = self.place.copies.iter().enumerate();
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
            is_unpublished && recorded(self.place, *number).is_dead(is_whole)
        });
        dead.map(|(number, _)| number).collect()
    }

    /// One that others need isn't deleted.
    fn delete(&self, number: BackupNumber) -> Vec<Task> {
        let is_listed = self.place.copies[number].traces.is_backup();
        let is_needed = !needing(&self.scene.plans, &self.entries(), number).is_empty();
        match is_listed && !is_needed {
            true => vec![Task::Withdraw(number, self.entries())],
            false => Vec::new(),
        }
    }

    /// Runs that are whole but for their manifest, and that nobody is at work on.
    fn repair(&self) -> Vec<Task> {
        let copies = self.place.copies.iter().enumerate();
        let lost = copies.filter(|(number, copy)| {
            let traces = copy.traces;
            let is_lost = traces.claim && !traces.manifest && traces.obstacle().is_none();
            is_lost && copy.has_all(self.scene.segments) && !self.touched.contains(number)
        });
        lost.map(|(number, _)| Task::Publish(number, 0)).collect()
    }

    fn entries(&self) -> Vec<BackupNumber> {
        entries(self.place)
    }
}

/// The backups whose entries a catalogue shows: not those that are withdrawn.
fn entries(place: &Place) -> Vec<BackupNumber> {
    place.numbers(|copy| copy.traces.entry && !copy.traces.withdrawal && !copy.traces.sweep)
}

impl Janitor {
    pub(crate) fn new(rounds: u8) -> Self {
        Janitor {
            at: 0,
            tasks: Vec::new(),
            rounds_left: rounds,
            has_taken_back: [false; 2],
        }
    }

    pub(crate) fn begin(&mut self, at: usize, mut tasks: Vec<Task>) {
        tasks.reverse();
        self.at = at;
        self.tasks = tasks;
    }

    /// Whether the next thing changes something, so that it may be done without an answer.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self.tasks.last(), Some(Task::Remove(_)))
    }

    /// Does the next thing. Where that isn't answered, all of it breaks off.
    pub(crate) fn step(&mut self, scene: &Scene, place: &mut Place, call: Call) {
        let Some(task) = self.tasks.pop() else {
            return;
        };
        let goes_on = self.carry_out(scene, place, task, call);
        if call != Call::Answered || !goes_on {
            self.tasks.clear();
        }
        if self.tasks.is_empty() {
            self.at = 0;
        }
    }

    fn carry_out(&mut self, scene: &Scene, place: &mut Place, task: Task, call: Call) -> bool {
        match task {
            Task::Withdraw(number, known) => {
                place.copies[number].traces.withdrawal |= call.is_done();
                if scene.planted != Some(Planted::NobodyLooksAfterWithdrawing) {
                    self.tasks.push(Task::KeepIfNeeded(number, known));
                }
            }
            Task::KeepIfNeeded(number, known) => {
                let mut new = entries(place);
                new.retain(|number| !known.contains(number));
                if !needing(&scene.plans, &new, number).is_empty() {
                    place.copies[number].traces.withdrawal &= !call.is_done();
                    self.has_taken_back[0] |= call.is_done();
                    return false;
                }
            }
            Task::TakeBack(number) => {
                place.copies[number].traces.withdrawal &= !call.is_done();
            }
            Task::Sweep(number) => {
                place.copies[number].traces.sweep |= call.is_done();
                self.tasks.push(Task::Remove(number));
            }
            Task::Remove(number) => return self.remove(scene, place, number),
            Task::RemoveFile(number, file) => {
                if call.is_done() {
                    remove_file(&mut place.copies[number], file);
                }
            }
            Task::Publish(number, step) => {
                let goes_on = publish(scene, place, number, PublishStep::ORDER[step], call);
                let is_last = step + 1 == PublishStep::ORDER.len();
                match is_last {
                    true => self.tasks.push(Task::RecordPublished(number)),
                    false => self.tasks.push(Task::Publish(number, step + 1)),
                }
                return goes_on;
            }
            Task::RecordPublished(number) => {
                let is_recorded = recorded(place, number) == Recorded::Published;
                if call.is_done() && !is_recorded {
                    place.copies[number].record = Some(DestinationStatus::Committed);
                }
            }
        }
        true
    }

    /// Lists what there is of a backup, and plans its removal; takes a sweep back instead where the run has been published.
    fn remove(&mut self, scene: &Scene, place: &mut Place, number: BackupNumber) -> bool {
        let copy = &mut place.copies[number];
        let is_sweep = copy.traces.sweep && !copy.traces.withdrawal;
        let looks = scene.planted != Some(Planted::NobodyLooksBeforeSweeping);
        if is_sweep && looks && copy.traces.outlives_sweep(copy.has_all(scene.segments)) {
            copy.traces.sweep = false;
            self.has_taken_back[1] = true;
            return false;
        }
        let mut files = Vec::new();
        for turn in RemovalTurn::ORDER {
            match turn {
                RemovalTurn::Manifest if copy.traces.manifest => files.push(File::Manifest),
                RemovalTurn::Files => {
                    let there = (0..scene.segments).filter(|at| copy.segments & (1 << at) != 0);
                    files.extend(there.map(File::Segment));
                }
                RemovalTurn::Claim if copy.traces.claim => files.push(File::Claim),
                _ => {}
            }
        }
        files.push(File::Entry);
        files.push(match is_sweep {
            true => File::Sweep,
            false => File::Record,
        });
        let tasks = files.into_iter().rev();
        self.tasks
            .extend(tasks.map(|file| Task::RemoveFile(number, file)));
        true
    }
}

fn remove_file(copy: &mut Copy, file: File) {
    match file {
        File::Manifest => copy.traces.manifest = false,
        File::Segment(at) => copy.segments &= !(1 << at),
        File::Claim => {
            copy.traces.claim = false;
            copy.claimed_by = None;
        }
        File::Entry => copy.traces.entry = false,
        File::Sweep => copy.traces.sweep = false,
        File::Record => copy.record = None,
    }
}
