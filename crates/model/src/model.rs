//! The model: what can happen next, and what the world is then.

use stateright::{Model, Property};
use teeline_core::Outcome;

use crate::errands::{Errand, Seen};
use crate::janitor::Janitor;
use crate::properties::properties;
use crate::restore::Restore;
use crate::run::{Run, Source};
use crate::scene::Scene;
use crate::taking_up::Stage;
use crate::world::{BackupNumber, Call, Copy, Files, Place, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    SourceEnds {
        run: usize,
    },
    SourceFails {
        run: usize,
    },
    Lane {
        run: usize,
        at: usize,
        call: Call,
    },
    Abandon {
        run: usize,
        at: usize,
        call: Call,
    },
    FallsBehind {
        run: usize,
        at: usize,
    },
    Record {
        run: usize,
        at: usize,
        call: Call,
    },
    /// The process is no more.
    Dies {
        run: usize,
    },
    /// Nothing is heard of it for as long as runs are taken for dead after.
    Sleeps {
        run: usize,
    },
    /// It takes up the first run.
    TakesUp {
        run: usize,
    },
    Number {
        run: usize,
        call: Call,
    },
    Compare {
        run: usize,
    },
    Begin {
        janitor: usize,
        at: usize,
        errand: Errand,
    },
    Janitor {
        janitor: usize,
        call: Call,
    },
    Restore {
        number: BackupNumber,
    },
    Read,
}

/// A scene, for the checker.
pub(crate) struct Walk(pub(crate) Scene);

impl Model for Walk {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let world = self.0.begins();
        match self.0.is_spoilt {
            true => self.0.spoilt(&world),
            false => vec![world],
        }
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let goes_wrong = world.mishaps_left > 0;
        let calls = |writes: bool| match (goes_wrong && self.0.calls_fail, writes) {
            (false, _) => &[Call::Answered][..],
            (true, false) => &[Call::Answered, Call::Failed],
            (true, true) => &[Call::Answered, Call::Failed, Call::Lost],
        };
        for (run, state) in world.runs.iter().enumerate() {
            if state.stage == Stage::Works {
                self.0
                    .actions_of_run(run, state, goes_wrong, &calls, actions);
            } else {
                self.0.actions_of_taker(run, world, &calls, actions);
            }
        }
        for (janitor, state) in world.janitors.iter().enumerate() {
            if state.is_idle() {
                self.0.errands(world, janitor, actions);
            } else if !self.0.is_too_early(world, state) {
                let calls = calls(state.writes()).iter();
                actions.extend(calls.map(|call| Action::Janitor {
                    janitor,
                    call: *call,
                }));
            }
        }
        let choices = world.restore.choices(&world.places).into_iter();
        actions.extend(choices.map(|number| Action::Restore { number }));
        if world.restore.is_reading() {
            actions.push(Action::Read);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let World {
            places,
            runs,
            janitors,
            restore,
            mishaps_left,
        } = &mut next;
        match action {
            Action::SourceEnds { run } => runs[run].source_ends(&self.0),
            Action::SourceFails { run } => {
                *mishaps_left -= 1;
                runs[run].source_fails(&self.0);
            }
            Action::Lane { run, at, call } => {
                *mishaps_left -= u8::from(call != Call::Answered);
                runs[run].step(&self.0, &mut places[at], at, call);
            }
            Action::Abandon { run, at, call } => runs[run].abandon(&mut places[at], at, call),
            Action::FallsBehind { run, at } => {
                *mishaps_left -= 1;
                runs[run].falls_behind(&self.0, at);
            }
            Action::Record { run, at, call } => {
                *mishaps_left -= u8::from(call != Call::Answered);
                runs[run].record(&mut places[at], at, call);
            }
            Action::Dies { run } => {
                *mishaps_left -= 1;
                runs[run].is_dead = true;
            }
            Action::Sleeps { run } => {
                *mishaps_left -= 1;
                runs[run].sleeps = true;
                runs[run].has_slept = true;
            }
            Action::TakesUp { run } => {
                runs[run].take_up(&self.0, places);
            }
            Action::Number { run, call } => {
                *mishaps_left -= u8::from(call != Call::Answered);
                runs[run].number(&self.0, places, call);
            }
            Action::Compare { run } => runs[run].compare(&self.0, places),
            Action::Begin {
                janitor,
                at,
                errand,
            } => {
                let tasks = self.0.seen(world, at, &touched(runs, at)).plan(errand);
                let janitor = &mut janitors[janitor];
                janitor.rounds_left = janitor.rounds_left.saturating_sub(1);
                *mishaps_left -= u8::from(matches!(errand, Errand::CleanUpByOldListing(_)));
                janitor.begin(at, tasks);
            }
            Action::Janitor { janitor, call } => {
                *mishaps_left -= u8::from(call != Call::Answered);
                janitors[janitor].step(&self.0, places, call);
            }
            Action::Restore { number } => restore.begin(&self.0.plans, places, number),
            Action::Read => restore.step(self.0.segments, places),
        }
        for copy in places.iter_mut().flat_map(|place| &mut place.copies) {
            copy.was_backup |= copy.traces.is_backup();
            if self.0.is_spoilt {
                copy.notice(self.0.segments);
            }
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties(&self.0)
    }
}

/// The backups that something of was touched lately at a destination.
pub(crate) fn touched(runs: &[Run], at: usize) -> Vec<BackupNumber> {
    let awake = runs.iter().filter(|run| run.touches(at));
    awake.map(|run| run.backup).collect()
}

impl Scene {
    /// What there is when all begins.
    fn begins(&self) -> World {
        let copy_at = |at: usize, number: BackupNumber| {
            let mut present = self.present.iter();
            match present.any(|(present, places)| *present == number && places.contains(&at)) {
                true => Copy::committed(self.segments),
                false => Copy::default(),
            }
        };
        let place = |at: usize| Place {
            copies: (0..self.plans.len())
                .map(|number| copy_at(at, number))
                .collect(),
        };
        let runs = self.runs.iter().enumerate();
        let runs = runs.map(|(number, backup)| Run::new(self, number, *backup));
        let takers = (0..self.takers).map(|taker| Run::taker(self, self.runs.len() + taker, 0));
        World {
            places: (0..self.required.len()).map(place).collect(),
            runs: runs.chain(takers).collect(),
            janitors: vec![Janitor::new(self.rounds); self.janitors.len()],
            restore: match self.restores {
                true => Restore::Wanted,
                false => Restore::Unwanted,
            },
            mishaps_left: self.mishaps,
        }
    }

    /// The same with one file lost or damaged at the last destination, each in turn.
    fn spoilt(&self, world: &World) -> Vec<World> {
        let each = Files::of_backup(self.segments).flat_map(|file| [(file, true), (file, false)]);
        each.map(|(file, is_lost)| {
            let mut world = world.clone();
            if let Some(place) = world.places.last_mut() {
                place.copies[0].spoil(file, is_lost);
            }
            for place in &mut world.places {
                place.copies[0].notice(self.segments);
            }
            world
        })
        .collect()
    }

    /// Whether somebody has looked, and is about to write the manifest of what a sweep is about to be done with.
    fn is_too_early(&self, world: &World, janitor: &Janitor) -> bool {
        let Some((at, number)) = janitor.ends_removal().filter(|_| self.nobody_is_late) else {
            return false;
        };
        if !world.places[at].copies[number].traces.sweep {
            return false;
        }
        let mut janitors = world.janitors.iter();
        let mut runs = world.runs.iter();
        janitors.any(|other| other.has_looked() == Some((at, number)))
            || runs.any(|run| run.backup == number && run.has_looked(at))
    }

    pub(crate) fn seen<'a>(
        &'a self,
        world: &'a World,
        at: usize,
        touched: &'a [BackupNumber],
    ) -> Seen<'a> {
        Seen {
            scene: self,
            places: &world.places,
            at,
            touched,
            janitors: &world.janitors,
        }
    }
}

/// Whether a verdict is what the strategy says of who has the backup, by the words of its documentation.
pub(crate) fn is_right(scene: &Scene, run: &Run, verdict: Outcome) -> bool {
    use teeline_core::DestinationStatus as Status;
    let statuses: Vec<Status> = (0..run.lanes.len()).map(|at| run.status(at)).collect();
    let committed = statuses
        .iter()
        .filter(|at| **at == Status::Committed)
        .count();
    let lacks_required = statuses
        .iter()
        .zip(&scene.required)
        .any(|(status, is_required)| {
            *is_required && matches!(status, Status::Failed | Status::Unknown | Status::Behind)
        });
    let is_met = committed >= scene.needed() && !lacks_required;
    let tried = statuses.iter().filter(|at| **at != Status::Skipped).count();
    match verdict {
        Outcome::Completed => is_met && committed == tried,
        Outcome::Degraded => is_met && committed < tried,
        // A source that fails, or an interruption, fails a run whoever has published by then.
        Outcome::Failed => !is_met || run.source == Source::Failed,
    }
}
