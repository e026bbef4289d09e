//! Healing a copy: each file is judged, what is missing is written, and what is damaged is kept elsewhere before it is removed and
//! written again. The entry and the manifest come last, by the steps of publishing.

use crate::janitor::Task;
use crate::publishing::Publisher;
use crate::scene::{Planted, Scene};
use crate::world::{BackupNumber, Call, Content, File, Place};

/// The healing of one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Cure {
    number: BackupNumber,
    content: Content,
    /// Which claim was there when that was judged.
    claims_seen: u8,
    /// Whether something can't be healed, so that it isn't listed again.
    is_hopeless: bool,
}

/// What is done next with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Judge(File),
    /// What stands there is copied below `damaged/`.
    Keep(File),
    Remove(File),
    Write(File),
}

impl Cure {
    pub(crate) fn new(number: BackupNumber, content: Content) -> Self {
        Cure {
            number,
            content,
            claims_seen: 0,
            is_hopeless: false,
        }
    }

    /// What this one knows, for the steps that were planned before it did.
    pub(crate) fn tell(self, tasks: &mut [Task]) {
        for task in tasks {
            if let Task::Heal(cure, _) = task {
                *cure = self;
            }
        }
    }

    /// Does a step. Gives those that follow before the rest, the first first; nothing, where all of it breaks off.
    pub(crate) fn step(
        &mut self,
        scene: &Scene,
        places: &mut [Place],
        at: usize,
        step: Step,
        call: Call,
    ) -> Option<Vec<Task>> {
        let copy = &mut places[at].copies[self.number];
        match step {
            Step::Judge(file) => return Some(self.judge(places, at, file)),
            Step::Keep(file) => {
                if !copy.has(file) {
                    return None;
                }
                let is_right = copy.is_right(file, self.content);
                if call.is_done() && scene.planted != Some(Planted::DamagedIsNotKept) {
                    copy.kept[usize::from(is_right)].insert(file);
                }
            }
            Step::Remove(file) => {
                if call.is_done() {
                    // Somebody else has healed it since: what was healed is ill again until it is written.
                    copy.is_ailing |= copy.is_right(file, self.content);
                    copy.remove(file);
                }
            }
            Step::Write(file) => {
                if call.is_done() && !copy.put(file, self.content) {
                    return None;
                }
                if file == File::Claim {
                    self.claims_seen = copy.claims;
                }
            }
        }
        Some(Vec::new())
    }

    fn judge(&mut self, places: &[Place], at: usize, file: File) -> Vec<Task> {
        let copy = &places[at].copies[self.number];
        let is_right = copy.is_right(file, self.content);
        if file == File::Claim {
            self.claims_seen = copy.claims;
        }
        if file == File::Manifest {
            return self.listing(places, at);
        }
        if is_right || file == File::Entry {
            return Vec::new();
        }
        if !has_right(places, self.number, file, self.content) {
            self.is_hopeless = true;
            return Vec::new();
        }
        match copy.has(file) {
            true => self.tasks(&[Step::Keep(file), Step::Remove(file), Step::Write(file)]),
            false => self.tasks(&[Step::Write(file)]),
        }
    }

    /// What makes the backup: both are judged, moved aside where they are damaged, and published.
    fn listing(&self, places: &[Place], at: usize) -> Vec<Task> {
        let copy = &places[at].copies[self.number];
        let files = [File::Entry, File::Manifest];
        let wrong = files
            .into_iter()
            .filter(|file| !copy.is_right(*file, self.content));
        let wrong: Vec<File> = wrong.collect();
        if self.is_hopeless || wrong.is_empty() {
            return Vec::new();
        }
        let damaged = wrong.into_iter().filter(|file| copy.has(*file));
        let steps: Vec<Step> = damaged
            .flat_map(|file| [Step::Keep(file), Step::Remove(file)])
            .collect();
        let mut tasks = self.tasks(&steps);
        let publisher = Publisher {
            attempt: None,
            claims_seen: self.claims_seen,
            content: self.content,
        };
        tasks.push(Task::Publish(self.number, 0, publisher));
        tasks
    }

    fn tasks(&self, steps: &[Step]) -> Vec<Task> {
        steps.iter().map(|step| Task::Heal(*self, *step)).collect()
    }
}

/// What a right manifest says that the backup holds, where somebody has one.
pub(crate) fn truth(places: &[Place], number: BackupNumber) -> Option<Content> {
    let copies = places.iter().map(|place| &place.copies[number]);
    let mut right = copies.filter(|copy| copy.is_right(File::Manifest, copy.manifest_of));
    right.next().map(|copy| copy.manifest_of)
}

/// Whether a file is to be had: in its place somewhere, or where it was kept.
pub(crate) fn has_right(
    places: &[Place],
    number: BackupNumber,
    file: File,
    content: Content,
) -> bool {
    // What they say is known as soon as any manifest is.
    if is_listing(file) {
        return true;
    }
    let mut copies = places.iter().map(|place| &place.copies[number]);
    copies.any(|copy| copy.is_right(file, content) || copy.kept[1].has(file))
}

fn is_listing(file: File) -> bool {
    matches!(file, File::Entry | File::Manifest)
}
