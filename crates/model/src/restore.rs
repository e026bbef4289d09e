//! A restore: it chooses a backup of those that are listed, and takes each file from the first destination that has it.

use crate::backups::Planned;
use crate::world::{BackupNumber, Copy, File, Place};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Restore {
    /// It may begin.
    Wanted,
    Reading(Reading),
    Succeeded,
    /// A file is nowhere where it was to be; `was_withdrawn`, where somebody has withdrawn that backup from all of those places, or the
    /// store has lost something of it.
    Failed {
        was_withdrawn: bool,
    },
    Unwanted,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reading {
    /// What is yet to be read: a backup of the chain, and the places that listed it, each a bit.
    chain: Vec<(BackupNumber, u8)>,
    /// The file that is next: the manifest, then each segment.
    file: u8,
}

impl Restore {
    /// The backups that can be asked for: those that are listed somewhere.
    pub(crate) fn choices(&self, places: &[Place]) -> Vec<BackupNumber> {
        let mut choices: Vec<BackupNumber> = match self {
            Restore::Wanted => places.iter().flat_map(Place::listed).collect(),
            _ => Vec::new(),
        };
        choices.sort_unstable();
        choices.dedup();
        choices
    }

    pub(crate) fn begin(&mut self, plans: &[Planned], places: &[Place], number: BackupNumber) {
        let mut chain = Vec::new();
        let mut next = Some(number);
        while let Some(number) = next {
            let listing = |place: &Place| place.copies[number].traces.is_backup();
            let bits = places.iter().enumerate();
            let bits = bits.map(|(at, place)| u8::from(listing(place)) << at);
            chain.push((number, bits.sum()));
            next = plans[number].parent;
        }
        *self = Restore::Reading(Reading { chain, file: 0 });
    }

    pub(crate) fn is_reading(&self) -> bool {
        matches!(self, Restore::Reading(_))
    }

    /// Reads the next file.
    pub(crate) fn step(&mut self, segments: u8, places: &[Place]) {
        let Restore::Reading(reading) = self else {
            return;
        };
        let Some((number, listed)) = reading.chain.last().copied() else {
            *self = Restore::Succeeded;
            return;
        };
        let at_places = || {
            let copies = places.iter().map(|place| &place.copies[number]);
            let copies = copies.enumerate().filter(|(at, _)| listed & (1 << at) != 0);
            copies.map(|(_, copy)| copy)
        };
        let file = reading.file;
        let has = |copy: &Copy| match file {
            0 => copy.is_right(File::Manifest, copy.manifest_of),
            file => copy.is_right(File::Segment(file - 1), copy.manifest_of),
        };
        if !at_places().any(has) {
            let was_withdrawn = at_places().all(|copy| copy.traces.withdrawal || copy.is_ailing);
            *self = Restore::Failed { was_withdrawn };
            return;
        }
        reading.file += 1;
        if reading.file > segments {
            reading.chain.pop();
            reading.file = 0;
        }
        if reading.chain.is_empty() {
            *self = Restore::Succeeded;
        }
    }
}
