//! Taking up a run that was taken for dead: it is looked at, numbered wherever something of it is, looked at again, and then made as
//! it would have been.

use crate::run::Run;
use crate::scene::{Planted, Scene};
use crate::world::{BackupNumber, Call, Content, Copy, File, NUMBERS_MAX, Place};

/// How far a run is that makes a backup.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// It may take up another one.
    Waits,
    /// It claims the run at a destination, where that has no claim, and writes numbers, the highest of all in the end; and this is
    /// what it has seen.
    Numbers {
        left: Vec<Left>,
        at: usize,
        /// 0 for the claim.
        number: u8,
    },
    /// It has numbered it everywhere, and looks whether that is still what there is.
    Compares {
        left: Vec<Left>,
    },
    Works,
    /// Somebody else has it, or something came between.
    Refused,
}

/// What a destination shows of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    claims: Option<u8>,
    segments: u8,
    holds: Content,
    has_entry: bool,
    number: u8,
}

impl Left {
    /// None, where it can't be taken up by this.
    fn of(copy: &Copy) -> Option<Self> {
        let traces = copy.traces;
        let is_removed = traces.claim && (traces.withdrawal || traces.sweep);
        let left = Left {
            claims: traces.claim.then_some(copy.claims),
            segments: copy.segments,
            holds: copy.holds,
            has_entry: traces.entry,
            number: copy.highest_number(),
        };
        (!traces.manifest && !is_removed).then_some(left)
    }
}

impl Run {
    /// One that takes up a run that it finds.
    pub(crate) fn taker(scene: &Scene, number: usize, backup: BackupNumber) -> Self {
        Run {
            claims_as: 0,
            stage: Stage::Waits,
            ..Run::new(scene, number, backup)
        }
    }

    /// Looks at the run, which must be quiet; whether it can be taken up.
    pub(crate) fn take_up(&mut self, scene: &Scene, places: &[Place]) -> bool {
        let Some(left) = self.look(places) else {
            return false;
        };
        let attempt = left.iter().map(|left| left.number).max().unwrap_or(0) + 1;
        let is_there = left.iter().any(|left| left.claims.is_some());
        if !is_there || usize::from(attempt) > NUMBERS_MAX {
            return false;
        }
        let content = match scene.source_changes {
            true => content_of(self.number, &left, scene.segments),
            false => Some(Content::default()),
        };
        let Some(content) = content else {
            return false;
        };
        self.content = content;
        self.attempt = attempt;
        self.held = left.iter().map(|left| left.segments).collect();
        self.stage = self.next_to_number(scene, left, 0);
        true
    }

    /// Writes the next number.
    pub(crate) fn number(&mut self, scene: &Scene, places: &mut [Place], call: Call) {
        self.sleeps = false;
        let Stage::Numbers { left, at, number } = &mut self.stage else {
            return;
        };
        let copy = &mut places[*at].copies[self.backup];
        if *number == 0 {
            if call.is_done() && copy.put(File::Claim, self.content) {
                copy.claimed_by = Some(self.claims_as);
            }
            *number = 1;
            if call != Call::Answered {
                self.stage = Stage::Refused;
            }
            return;
        }
        let us = u8::try_from(self.number).unwrap_or(u8::MAX);
        if call.is_done() {
            copy.put_number(*number, us);
        }
        // Below one's own it doesn't matter whose it is: whoever has that finds the next one.
        let is_ours = copy.numbers[usize::from(*number) - 1] == Some(us) || *number < self.attempt;
        if call != Call::Answered || !is_ours {
            self.stage = Stage::Refused;
            return;
        }
        if *number < self.attempt {
            *number += 1;
            return;
        }
        let (left, next) = (left.clone(), *at + 1);
        self.stage = self.next_to_number(scene, left, next);
    }

    /// Goes on with the next destination; or, after the last, looks again.
    fn next_to_number(&self, scene: &Scene, left: Vec<Left>, from: usize) -> Stage {
        let is_numbered = |at: &usize| {
            left[*at].claims.is_some() || scene.planted != Some(Planted::OnlyClaimedAreNumbered)
        };
        let next = (from..left.len()).find(is_numbered);
        match next {
            Some(at) => Stage::Numbers {
                number: self.first_number(scene, left[at]),
                left,
                at,
            },
            None if scene.planted == Some(Planted::NobodyLooksAfterNumbering) => Stage::Works,
            None => Stage::Compares { left },
        }
    }

    /// Each number is left that isn't there, so that whoever looks for the one after its own finds it.
    fn first_number(&self, scene: &Scene, left: Left) -> u8 {
        match (left.claims, scene.planted) {
            (None, _) => 0,
            (_, Some(Planted::NumbersAreLeftOut)) => self.attempt,
            _ => left.number + 1,
        }
    }

    /// Looks whether what there is of the run is what it was, but for the numbers.
    pub(crate) fn compare(&mut self, scene: &Scene, places: &[Place]) {
        self.sleeps = false;
        let Stage::Compares { left } = &self.stage else {
            return;
        };
        let is_same = |(then, now): (&Left, &Left)| {
            let mut then = *then;
            if then.claims.is_some() || scene.planted != Some(Planted::OnlyClaimedAreNumbered) {
                then.number = self.attempt;
                then.claims = then.claims.or(now.claims);
            }
            then == *now
        };
        let now = self.look(places);
        self.stage = match now.is_some_and(|now| left.iter().zip(&now).all(is_same)) {
            true => Stage::Works,
            false => Stage::Refused,
        };
    }

    fn look(&self, places: &[Place]) -> Option<Vec<Left>> {
        let copies = places.iter().map(|place| &place.copies[self.backup]);
        copies.map(Left::of).collect()
    }

    /// Whether something of it was written lately to a destination.
    pub(crate) fn touches(&self, at: usize) -> bool {
        let is_at_it = match &self.stage {
            Stage::Waits | Stage::Refused => false,
            Stage::Numbers { at: next, .. } => at < *next,
            Stage::Compares { .. } | Stage::Works => true,
        };
        is_at_it && !self.is_over() && !self.sleeps
    }
}

/// What is read of a source that may have changed: what somebody has is as it was, or nothing is gone on with. None, where two have
/// different ones.
fn content_of(process: usize, left: &[Left], segments: u8) -> Option<Content> {
    let mut content = Content::read_by(process, segments);
    for segment in 0..segments {
        let having = left
            .iter()
            .filter(|left| left.segments & (1 << segment) != 0);
        let mut read_by = having.map(|left| left.holds.of(segment));
        let Some(first) = read_by.next() else {
            continue;
        };
        if read_by.any(|other| other != first) {
            return None;
        }
        content.set(segment, first);
    }
    Some(content)
}
