//! What there is: the stores of the destinations, and whoever works on them.

use teeline_core::DestinationStatus;
use teeline_core::commit::Traces;

use crate::janitor::Janitor;
use crate::restore::Restore;
use crate::run::Run;

/// A backup, by its place among those of the scene.
pub(crate) type BackupNumber = usize;

/// How often one run can be taken up in a scene.
pub(crate) const NUMBERS_MAX: usize = 3;

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) places: Vec<Place>,
    pub(crate) runs: Vec<Run>,
    pub(crate) janitors: Vec<Janitor>,
    pub(crate) restore: Restore,
    /// How much may still go wrong.
    pub(crate) mishaps_left: u8,
}

/// The store of a destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) copies: Vec<Copy>,
}

/// What there is of one backup at one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Copy {
    pub(crate) traces: Traces,
    /// The run whose claim is there.
    pub(crate) claimed_by: Option<usize>,
    /// How often it was claimed: the store's clock, by which one claim is told from the next of the same bytes.
    pub(crate) claims: u8,
    /// Its segments, each a bit.
    pub(crate) segments: u8,
    /// What these hold, and what the entry and the manifest say that they hold.
    pub(crate) holds: Content,
    pub(crate) entry_of: Content,
    pub(crate) manifest_of: Content,
    /// Who has put each number that says that the run is taken up, from 1.
    pub(crate) numbers: [Option<u8>; NUMBERS_MAX],
    /// What the run's record says of this destination, where there is one.
    pub(crate) record: Option<DestinationStatus>,
    /// What stands in its place and is damaged.
    pub(crate) damaged: Files,
    /// What is kept below `damaged/`: what was damaged, and what was right.
    pub(crate) kept: [Files; 2],
    /// Whether it was ever there for whoever asks. Nobody in the world knows this, nor what follows.
    pub(crate) was_backup: bool,
    /// What was ever right here.
    pub(crate) was_right: Files,
    /// What the store had damaged before anything began.
    pub(crate) spoilt: Files,
    /// What the store had lost or damaged, until all of it was right again.
    pub(crate) is_ailing: bool,
    /// Whether something was written to it that had no claim, or was being removed.
    pub(crate) has_strays: bool,
}

/// A file of a backup, at one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum File {
    Claim,
    Segment(u8),
    Entry,
    Manifest,
    /// Says that the run is taken up.
    Number(u8),
    /// What a run that was no backup is withdrawn by.
    Sweep,
    Record,
}

/// Some of those that make a backup, each a bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Files(u16);

/// What is in the segments of a backup: for each, which process has read it from the source, the first of all being 0. Two that read at
/// different times may have read different things.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Content(u16);

impl Files {
    fn bit(file: File) -> u16 {
        match file {
            File::Claim => 1,
            File::Entry => 2,
            File::Manifest => 4,
            File::Segment(segment) => 8 << segment,
            File::Number(_) | File::Sweep | File::Record => 0,
        }
    }

    pub(crate) fn has(self, file: File) -> bool {
        self.0 & Self::bit(file) != 0
    }

    pub(crate) fn insert(&mut self, file: File) {
        self.0 |= Self::bit(file);
    }

    fn remove(&mut self, file: File) {
        self.0 &= !Self::bit(file);
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Files::default()
    }

    /// Every file that makes a backup.
    pub(crate) fn of_backup(segments: u8) -> impl Iterator<Item = File> {
        let segments = (0..segments).map(File::Segment);
        [File::Claim]
            .into_iter()
            .chain(segments)
            .chain([File::Entry, File::Manifest])
    }
}

impl Content {
    pub(crate) fn read_by(process: usize, segments: u8) -> Self {
        let mut content = Content::default();
        for segment in 0..segments {
            content.set(segment, process);
        }
        content
    }

    pub(crate) fn of(self, segment: u8) -> usize {
        usize::from(self.0 >> (2 * segment) & 3)
    }

    pub(crate) fn set(&mut self, segment: u8, process: usize) {
        let process = u16::try_from(process & 3).unwrap_or(0);
        self.0 = self.0 & !(3 << (2 * segment)) | process << (2 * segment);
    }
}

impl Copy {
    /// One that was published before.
    pub(crate) fn committed(segments: u8) -> Self {
        let mut copy = Copy {
            record: Some(DestinationStatus::Committed),
            was_backup: true,
            ..Copy::default()
        };
        for file in Files::of_backup(segments) {
            copy.put(file, Content::default());
        }
        copy
    }

    pub(crate) fn has_all(&self, segments: u8) -> bool {
        self.segments == all(segments)
    }

    /// Whether there is such a file, right or damaged.
    pub(crate) fn has(&self, file: File) -> bool {
        match file {
            File::Claim => self.traces.claim,
            File::Segment(segment) => self.segments & (1 << segment) != 0,
            File::Entry => self.traces.entry,
            File::Manifest => self.traces.manifest,
            File::Number(number) => self.numbers[usize::from(number) - 1].is_some(),
            File::Sweep => self.traces.sweep,
            File::Record => self.record.is_some(),
        }
    }

    /// Whether a file is what a backup of this content has there.
    pub(crate) fn is_right(&self, file: File, content: Content) -> bool {
        let is_its = match file {
            File::Segment(segment) => self.holds.of(segment) == content.of(segment),
            File::Entry => self.entry_of == content,
            File::Manifest => self.manifest_of == content,
            _ => true,
        };
        self.has(file) && !self.damaged.has(file) && is_its
    }

    /// Whether everything is there and right that the manifest names.
    pub(crate) fn is_whole(&self, segments: u8) -> bool {
        let mut files = Files::of_backup(segments);
        files.all(|file| self.is_right(file, self.manifest_of))
    }

    /// Writes a file of a backup of this content, unless there is one; whether that one is there then.
    pub(crate) fn put(&mut self, file: File, content: Content) -> bool {
        if self.has(file) {
            return self.is_right(file, content);
        }
        self.has_strays |= file != File::Claim && self.traces.obstacle().is_some();
        match file {
            File::Claim => {
                self.traces.claim = true;
                self.claims += 1;
            }
            File::Segment(segment) => {
                self.segments |= 1 << segment;
                self.holds.set(segment, content.of(segment));
            }
            File::Entry => {
                self.traces.entry = true;
                self.entry_of = content;
            }
            File::Manifest => {
                self.traces.manifest = true;
                self.manifest_of = content;
            }
            File::Number(_) | File::Sweep | File::Record => {}
        }
        true
    }

    /// Says that the run is taken up, unless that number is taken.
    pub(crate) fn put_number(&mut self, number: u8, process: u8) {
        self.has_strays |= self.traces.obstacle().is_some();
        self.numbers[usize::from(number) - 1].get_or_insert(process);
    }

    /// Removes a file, where there is one.
    pub(crate) fn remove(&mut self, file: File) {
        self.damaged.remove(file);
        match file {
            File::Manifest => {
                self.traces.manifest = false;
                self.manifest_of = Content::default();
            }
            File::Segment(segment) => {
                self.segments &= !(1 << segment);
                self.holds.set(segment, 0);
            }
            File::Claim => {
                self.traces.claim = false;
                self.claimed_by = None;
            }
            File::Entry => {
                self.traces.entry = false;
                self.entry_of = Content::default();
            }
            File::Number(number) => self.numbers[usize::from(number) - 1] = None,
            File::Sweep => self.traces.sweep = false,
            File::Record => self.record = None,
        }
    }

    /// The store loses or damages a file.
    pub(crate) fn spoil(&mut self, file: File, is_lost: bool) {
        match is_lost {
            true => self.remove(file),
            false => {
                self.damaged.insert(file);
                self.spoilt.insert(file);
            }
        }
        self.is_ailing = true;
    }

    /// Notes what is right now, for whoever judges the world.
    pub(crate) fn notice(&mut self, segments: u8) {
        for file in Files::of_backup(segments) {
            if self.is_right(file, self.manifest_of) {
                self.was_right.insert(file);
            }
        }
        self.is_ailing &= !self.is_whole(segments);
    }

    /// How often the run was taken up, as far as is seen here.
    pub(crate) fn highest_number(&self) -> u8 {
        let taken = self.numbers.iter().rposition(Option::is_some);
        taken.map_or(0, |at| u8::try_from(at + 1).unwrap_or(u8::MAX))
    }

    /// Whether what is left of it can't be told from what somebody else has put there.
    pub(crate) fn is_nobodys(&self) -> bool {
        let has_kept = self.kept.iter().any(|kept| !kept.is_empty());
        let traces = self.traces;
        !traces.claim && !traces.manifest && !traces.entry && !has_kept
    }

    /// Whether there is nothing of it but what says that it was withdrawn, and records.
    pub(crate) fn is_gone(&self) -> bool {
        let Traces {
            claim,
            entry,
            manifest,
            sweep,
            withdrawal: _,
        } = self.traces;
        let has_objects = claim || entry || manifest || sweep || self.segments != 0;
        !has_objects && self.highest_number() == 0
    }
}

impl Place {
    /// The backups that are listed here.
    pub(crate) fn listed(&self) -> Vec<BackupNumber> {
        self.numbers(|copy| copy.traces.is_backup())
    }

    /// The backups for which `is_so`.
    pub(crate) fn numbers(&self, is_so: impl Fn(&Copy) -> bool) -> Vec<BackupNumber> {
        let copies = self.copies.iter().enumerate();
        copies
            .filter(|(_, copy)| is_so(copy))
            .map(|(number, _)| number)
            .collect()
    }
}

fn all(segments: u8) -> u8 {
    (1 << segments) - 1
}

/// What becomes of a call that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    /// It is done, and that is known.
    Answered,
    /// It isn't done.
    Failed,
    /// It is done, and nobody is told.
    Lost,
}

impl Call {
    pub(crate) fn is_done(self) -> bool {
        self != Call::Failed
    }
}
