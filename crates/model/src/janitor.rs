//! Who comes after runs: cleanups, deletions, repairs and syncs, at one destination at a time. Each looks, plans, and then does one
//! thing after the other; it may break off after any of them, and the next one begins by looking.

use teeline_core::DestinationStatus;
use teeline_core::commit::{PublishStep, Recorded, RemovalTurn};

use crate::backups::{needing, recorded};
use crate::errands::entries;
use crate::healing::{self, Cure};
use crate::publishing::{self, Publisher};
use crate::scene::{Planted, Scene};
use crate::world::{BackupNumber, Call, Content, Copy, File, NUMBERS_MAX, Place};

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
    /// Removes a manifest that has come since the removal began: files are gone that it names.
    RemoveLateManifest(BackupNumber),
    /// What was damaged and kept goes with its backup.
    RemoveKept(BackupNumber),
    /// A step of publishing by a repair or a sync, by its place in their order.
    Publish(BackupNumber, usize, Publisher),
    RecordPublished(BackupNumber),
    Heal(Cure, healing::Step),
    SyncClaim(Syncing),
    SyncSegment(Syncing, u8, Publisher),
}

/// The completing of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Syncing {
    pub(crate) number: BackupNumber,
    /// Where it comes from.
    pub(crate) from: usize,
    pub(crate) content: Content,
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

    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether this backup, which is withdrawn or being swept there, may yet be kept by whoever has begun that, which is this one. Of a sweep
    /// nothing tells how far it is.
    pub(crate) fn has_not_decided(&self, place: &Place, at: usize, number: BackupNumber) -> bool {
        let is_sweep = !place.copies[number].traces.withdrawal;
        let is_open = |task: &Task| match task {
            Task::KeepIfNeeded(of, _) => *of == number,
            Task::Remove(of) | Task::RemoveFile(of, _) | Task::RemoveLateManifest(of) => {
                is_sweep && *of == number
            }
            _ => false,
        };
        self.at == at && self.tasks.iter().any(is_open)
    }

    /// The backup there whose removal is about to end, if one is: all files but the claim are gone.
    pub(crate) fn ends_removal(&self) -> Option<(usize, BackupNumber)> {
        match self.tasks.last() {
            Some(Task::RemoveLateManifest(number)) => Some((self.at, *number)),
            _ => None,
        }
    }

    /// Whether it has looked, and is about to write this backup's manifest there.
    pub(crate) fn has_looked(&self) -> Option<(usize, BackupNumber)> {
        match self.tasks.last() {
            Some(Task::Publish(number, step, _)) if publishing::has_looked(*step) => {
                Some((self.at, *number))
            }
            _ => None,
        }
    }

    /// Whether the next thing changes something, so that it may be done without an answer.
    pub(crate) fn writes(&self) -> bool {
        use healing::Step;
        match self.tasks.last() {
            Some(Task::Remove(_) | Task::Heal(_, Step::Judge(_))) => false,
            Some(Task::Publish(_, step, _)) => {
                let step = PublishStep::ORDER[*step];
                matches!(step, PublishStep::Entry | PublishStep::Manifest)
            }
            _ => true,
        }
    }

    /// Does the next thing. Where that isn't answered, all of it breaks off.
    pub(crate) fn step(&mut self, scene: &Scene, places: &mut [Place], call: Call) {
        let Some(task) = self.tasks.pop() else {
            return;
        };
        let goes_on = self.carry_out(scene, places, task, call);
        if call != Call::Answered || !goes_on {
            self.tasks.clear();
        }
        if self.tasks.is_empty() {
            self.at = 0;
        }
    }

    fn carry_out(&mut self, scene: &Scene, places: &mut [Place], task: Task, call: Call) -> bool {
        let place = &mut places[self.at];
        let goes_on_with_theirs = scene.planted == Some(Planted::EverybodyGoesOn);
        match task {
            Task::Withdraw(number, known) => {
                let is_theirs = place.copies[number].traces.withdrawal;
                place.copies[number].traces.withdrawal |= call.is_done();
                if is_theirs && !goes_on_with_theirs {
                    return false;
                }
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
                let is_theirs = place.copies[number].traces.sweep;
                place.copies[number].traces.sweep |= call.is_done();
                if is_theirs && !goes_on_with_theirs {
                    return false;
                }
                self.tasks.push(Task::Remove(number));
            }
            Task::Remove(number) => return self.remove(scene, place, number),
            Task::RemoveFile(number, file) => {
                if call.is_done() {
                    place.copies[number].remove(file);
                }
            }
            Task::RemoveLateManifest(number) => {
                if call.is_done() {
                    place.copies[number].remove(File::Manifest);
                }
            }
            Task::RemoveKept(number) => {
                if call.is_done() {
                    place.copies[number].kept = Default::default();
                }
            }
            Task::Publish(number, step, publisher) => {
                let done = publisher.step(scene, place, number, PublishStep::ORDER[step], call);
                self.tasks
                    .push(match publishing::after(scene, number, step) {
                        None => Task::RecordPublished(number),
                        Some(next) => Task::Publish(number, next, publisher),
                    });
                return done == publishing::Step::Done;
            }
            Task::RecordPublished(number) => {
                let is_recorded = recorded(place, number) == Recorded::Published;
                if call.is_done() && !is_recorded {
                    place.copies[number].record = Some(DestinationStatus::Committed);
                }
            }
            Task::Heal(mut cure, step) => {
                let Some(steps) = cure.step(scene, places, self.at, step, call) else {
                    return false;
                };
                cure.tell(&mut self.tasks);
                self.tasks.extend(steps.into_iter().rev());
            }
            Task::SyncClaim(syncing) => return self.sync_claim(scene, places, syncing, call),
            Task::SyncSegment(syncing, segment, publisher) => {
                return self.sync_segment(scene, places, (syncing, publisher), segment, call);
            }
        }
        true
    }

    /// Lists what there is of a backup, and plans its removal; takes a sweep back instead where the run has been published.
    fn remove(&mut self, scene: &Scene, place: &mut Place, number: BackupNumber) -> bool {
        let copy = &mut place.copies[number];
        let is_sweep = copy.traces.sweep && !copy.traces.withdrawal;
        let looks = scene.planted != Some(Planted::NobodyLooksBeforeSweeping);
        let is_whole = match scene.planted {
            Some(Planted::OnlyNamesAreLookedFor) => copy.has_all(scene.segments),
            _ => copy.is_whole(scene.segments),
        };
        if is_sweep && looks && copy.traces.outlives_sweep(is_whole) {
            copy.traces.sweep = false;
            self.has_taken_back[1] = true;
            return false;
        }
        let Some(files) = files(scene, copy) else {
            return false;
        };
        let files = files.into_iter();
        let mut tasks: Vec<Task> = files.map(|file| Task::RemoveFile(number, file)).collect();
        let entry = Task::RemoveFile(number, File::Entry);
        if let Some(claim) = tasks.pop_if(|task| *task == Task::RemoveFile(number, File::Claim)) {
            if scene.planted != Some(Planted::NobodyLooksForLateManifests) {
                tasks.push(Task::RemoveLateManifest(number));
            }
            // Who claims it anew, once the claim is gone, writes an entry that is to stay.
            match scene.planted {
                Some(Planted::EntryGoesLast) => tasks.extend([claim, entry.clone()]),
                _ => tasks.extend([entry.clone(), claim]),
            }
        }
        if !is_sweep {
            tasks.push(entry);
        }
        if copy.kept.iter().any(|kept| !kept.is_empty()) {
            tasks.push(Task::RemoveKept(number));
        }
        tasks.push(Task::RemoveFile(
            number,
            match is_sweep {
                true => File::Sweep,
                false => File::Record,
            },
        ));
        self.tasks.extend(tasks.into_iter().rev());
        true
    }

    /// Claims the id by the claim that is where the copy comes from.
    fn sync_claim(
        &mut self,
        scene: &Scene,
        places: &mut [Place],
        syncing: Syncing,
        call: Call,
    ) -> bool {
        let Syncing {
            number,
            from,
            content,
        } = syncing;
        let source = &places[from].copies[number];
        let (has_claim, by) = (source.is_right(File::Claim, content), source.claimed_by);
        let copy = &mut places[self.at].copies[number];
        if !has_claim {
            return false;
        }
        if call.is_done() {
            if !copy.traces.claim {
                copy.claimed_by = by;
            }
            if !copy.put(File::Claim, content) || copy.claimed_by != by {
                return false;
            }
        }
        let publisher = Publisher {
            attempt: None,
            claims_seen: copy.claims,
            content,
        };
        self.tasks.push(Task::Publish(number, 0, publisher));
        let segments = (0..scene.segments).rev();
        self.tasks
            .extend(segments.map(|segment| Task::SyncSegment(syncing, segment, publisher)));
        true
    }

    /// Compares a segment, or copies it where there is none.
    fn sync_segment(
        &mut self,
        scene: &Scene,
        places: &mut [Place],
        (syncing, publisher): (Syncing, Publisher),
        segment: u8,
        call: Call,
    ) -> bool {
        let Syncing { number, from, .. } = syncing;
        let file = File::Segment(segment);
        let has_right = places[from].copies[number].is_right(file, publisher.content);
        let copy = &mut places[self.at].copies[number];
        let is_believed = scene.planted == Some(Planted::FailedSegmentIsBelieved);
        let is_there = match copy.has(file) {
            true => copy.is_right(file, publisher.content),
            false => has_right && call.is_done() && copy.put(file, publisher.content),
        };
        is_there || is_believed
    }
}

/// The files of a copy, in the order in which they are removed; none, where neither claim nor manifest is there to tell them. One that is
/// there and damaged tells nothing, and is left.
fn files(scene: &Scene, copy: &Copy) -> Option<Vec<File>> {
    let is_right = |file| copy.is_right(file, copy.manifest_of);
    let told_by_manifest = !is_right(File::Claim);
    if told_by_manifest && !is_right(File::Manifest) {
        let is_there = copy.traces.claim || copy.traces.manifest;
        return (!is_there).then(Vec::new);
    }
    let mut files = Vec::new();
    for turn in RemovalTurn::ORDER {
        match turn {
            RemovalTurn::Manifest if copy.traces.manifest => files.push(File::Manifest),
            RemovalTurn::Files => {
                let there = (0..scene.segments).map(File::Segment);
                files.extend(there.filter(|file| copy.has(*file)));
                let numbers = 1..=u8::try_from(NUMBERS_MAX).unwrap_or(u8::MAX);
                files.extend(numbers.map(File::Number).filter(|file| copy.has(*file)));
            }
            RemovalTurn::Claim if copy.traces.claim => files.push(File::Claim),
            _ => {}
        }
    }
    // What tells the files goes last.
    if told_by_manifest && scene.planted != Some(Planted::ManifestGoesFirst) {
        files.rotate_left(1);
    }
    Some(files)
}
