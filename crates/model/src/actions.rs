//! What a run, and whoever comes after runs, can do next.

use crate::errands::{Errand, Trade};
use crate::janitor::Janitor;
use crate::model::{Action, touched};
use crate::run::{Lane, Run, Source};
use crate::scene::Scene;
use crate::taking_up::Stage;
use crate::world::{Call, World};

impl Scene {
    /// A run is taken up when nobody who is at work on it was heard of lately.
    pub(crate) fn actions_of_taker<'a>(
        &self,
        run: usize,
        world: &World,
        calls: &impl Fn(bool) -> &'a [Call],
        actions: &mut Vec<Action>,
    ) {
        let state = &world.runs[run];
        if state.is_dead {
            return;
        }
        match state.stage {
            Stage::Waits => {
                let all = 0..world.places.len();
                let mut others = world.runs.iter();
                let is_quiet = !others.any(|other| all.clone().any(|at| other.touches(at)));
                if is_quiet && state.clone().take_up(self, &world.places) {
                    actions.push(Action::TakesUp { run });
                }
                return;
            }
            Stage::Numbers { .. } => {
                let calls = calls(true).iter();
                actions.extend(calls.map(|call| Action::Number { run, call: *call }));
            }
            Stage::Compares { .. } => actions.push(Action::Compare { run }),
            Stage::Works | Stage::Refused => return,
        }
        if world.mishaps_left > 0 {
            actions.push(Action::Dies { run });
            if self.sleeps && !state.has_slept {
                actions.push(Action::Sleeps { run });
            }
        }
    }

    pub(crate) fn actions_of_run<'a>(
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

    /// While others are at work one begins so often, whatever there is to do; afterwards, one after the other, until there is nothing
    /// left to do.
    pub(crate) fn errands(&self, world: &World, janitor: usize, actions: &mut Vec<Action>) {
        let is_quiet = world.runs.iter().all(Run::is_over)
            && !world.restore.is_reading()
            && world.janitors.iter().all(Janitor::is_idle);
        let has_rounds = world.janitors[janitor].rounds_left > 0;
        if !has_rounds && !is_quiet {
            return;
        }
        for at in 0..world.places.len() {
            let touched = touched(&world.runs, at);
            let seen = self.seen(world, at, &touched);
            let trades = self.janitors[janitor].iter();
            let errands = trades.flat_map(|trade| match trade {
                Trade::CleanUp => {
                    let mut errands = vec![Errand::CleanUp];
                    if has_rounds && self.lists_old && world.mishaps_left > 0 {
                        let listed = world.places[at].listed().into_iter();
                        errands.extend(listed.map(Errand::CleanUpByOldListing));
                    }
                    errands
                }
                Trade::Repair => vec![Errand::Repair],
                Trade::Heal => vec![Errand::Heal],
                Trade::Sync => vec![Errand::Sync],
                Trade::Delete(number) if has_rounds => {
                    vec![Errand::Delete(*number), Errand::DeleteAtOnce(*number)]
                }
                Trade::Delete(_) => Vec::new(),
            });
            let before = actions.len();
            let worth = errands.filter(|errand| !seen.plan(*errand).is_empty());
            actions.extend(worth.map(|errand| Action::Begin {
                janitor,
                at,
                errand,
            }));
            // Once the others are done, and nobody copies from one to the other, destinations have nothing to do with each other: one after
            // the other is every order.
            let are_apart = !self.has(Trade::Heal) && !self.has(Trade::Sync);
            if is_quiet && are_apart && actions.len() > before {
                return;
            }
        }
    }
}
