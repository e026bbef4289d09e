//! The model: what can happen next, and what the world is then.

use stateright::{Model, Property};
use teeline_core::Outcome;

use crate::janitor::{Errand, Janitor, Seen};
use crate::properties::properties;
use crate::restore::Restore;
use crate::run::{Lane, Run, Source};
use crate::scene::Scene;
use crate::world::{BackupNumber, Call, Copy, Place, World};

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
    Begin {
        at: usize,
        errand: Errand,
    },
    Janitor {
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
        let copies = (0..self.0.plans.len()).map(|number| match self.0.present.contains(&number) {
            true => Copy::committed(self.0.segments),
            false => Copy::default(),
        });
        let place = Place {
            copies: copies.collect(),
        };
        let runs = self.0.runs.iter().enumerate();
        vec![World {
            places: vec![place; self.0.required.len()],
            runs: runs
                .map(|(number, backup)| Run::new(&self.0, number, *backup))
                .collect(),
            janitor: Janitor::new(self.0.rounds),
            restore: match self.0.restores {
                true => Restore::Wanted,
                false => Restore::Unwanted,
            },
            mishaps_left: self.0.mishaps,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let goes_wrong = world.mishaps_left > 0;
        let calls = |writes: bool| match (goes_wrong, writes) {
            (false, _) => &[Call::Answered][..],
            (true, false) => &[Call::Answered, Call::Failed],
            (true, true) => &[Call::Answered, Call::Failed, Call::Lost],
        };
        for (run, state) in world.runs.iter().enumerate() {
            self.0
                .actions_of_run(run, state, goes_wrong, &calls, actions);
        }
        if world.janitor.tasks.is_empty() {
            self.0.errands(world, actions);
        } else {
            let calls = calls(world.janitor.writes()).iter();
            actions.extend(calls.map(|call| Action::Janitor { call: *call }));
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
            janitor,
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
            Action::Begin { at, errand } => {
                let touched = touched(runs);
                let seen = Seen {
                    scene: &self.0,
                    place: &places[at],
                    touched: &touched,
                };
                let tasks = seen.plan(errand);
                janitor.rounds_left = janitor.rounds_left.saturating_sub(1);
                *mishaps_left -= u8::from(matches!(errand, Errand::CleanUpByOldListing(_)));
                janitor.begin(at, tasks);
            }
            Action::Janitor { call } => {
                *mishaps_left -= u8::from(call != Call::Answered);
                let place = &mut places[janitor.at];
                janitor.step(&self.0, place, call);
            }
            Action::Restore { number } => restore.begin(&self.0.plans, places, number),
            Action::Read => restore.step(self.0.segments, places),
        }
        for copy in places.iter_mut().flat_map(|place| &mut place.copies) {
            copy.was_backup |= copy.traces.is_backup();
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties(&self.0)
    }
}

/// The backups that something of was touched lately.
fn touched(runs: &[Run]) -> Vec<BackupNumber> {
    let awake = runs.iter().filter(|run| !run.is_over() && !run.sleeps);
    awake.map(|run| run.backup).collect()
}

impl Scene {
    fn actions_of_run<'a>(
        &self,
        run: usize,
        state: &Run,
        goes_wrong: bool,
        calls: &impl Fn(bool) -> &'a [Call],
        actions: &mut Vec<Action>,
    ) {
        if state.is_over() {
            return;
        }
        if state.verdict.is_none() && state.source == Source::Gives {
            actions.push(Action::SourceEnds { run });
            if goes_wrong {
                actions.push(Action::SourceFails { run });
            }
        }
        if goes_wrong {
            actions.push(Action::Dies { run });
            if self.sleeps && !state.has_slept {
                actions.push(Action::Sleeps { run });
            }
        }
        let is_decided = state.verdict.is_some();
        for at in 0..state.lanes.len() {
            if is_decided && matches!(state.lanes[at], Lane::Publish(_)) {
                let ends = [Call::Answered, Call::Failed];
                actions.extend(ends.map(|call| Action::Abandon { run, at, call }));
            } else if !is_decided && state.can_step(at) {
                let calls = calls(state.writes(at)).iter();
                actions.extend(calls.map(|call| Action::Lane {
                    run,
                    at,
                    call: *call,
                }));
                let is_writing = matches!(state.lanes[at], Lane::Claim | Lane::Segment(_));
                if goes_wrong && self.lags && is_writing {
                    actions.push(Action::FallsBehind { run, at });
                }
            }
            if state.has_reported() && state.recorded & (1 << at) == 0 {
                // They go to all destinations at once; that they follow each other here changes nothing.
                let calls = calls(true).iter();
                actions.extend(calls.map(|call| Action::Record {
                    run,
                    at,
                    call: *call,
                }));
                break;
            }
        }
    }

    /// While others are at work one begins so often, whatever there is to do; afterwards until there is nothing left to do.
    fn errands(&self, world: &World, actions: &mut Vec<Action>) {
        let is_quiet = world.runs.iter().all(Run::is_over) && !world.restore.is_reading();
        if world.janitor.rounds_left == 0 && !is_quiet {
            return;
        }
        let touched = touched(&world.runs);
        for (at, place) in world.places.iter().enumerate() {
            let seen = Seen {
                scene: self,
                place,
                touched: &touched,
            };
            let mut errands = vec![Errand::CleanUp {
                is_grace_over: true,
            }];
            if self.repairs {
                errands.push(Errand::Repair);
            }
            if world.janitor.rounds_left > 0 {
                let deletes = self.deletes.into_iter();
                errands.extend(
                    deletes
                        .flat_map(|number| [Errand::Delete(number), Errand::DeleteAtOnce(number)]),
                );
                if self.lists_old && world.mishaps_left > 0 {
                    errands.extend(place.listed().into_iter().map(Errand::CleanUpByOldListing));
                }
            }
            errands.retain(|errand| !seen.plan(*errand).is_empty());
            let is_idle = errands.is_empty();
            actions.extend(
                errands
                    .into_iter()
                    .map(|errand| Action::Begin { at, errand }),
            );
            // Once the others are done, destinations have nothing to do with each other: one after the other is every order.
            if is_quiet && !is_idle {
                return;
            }
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
