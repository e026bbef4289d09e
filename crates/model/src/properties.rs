//! What must hold of every world, and what must happen in some of them for that to say anything.

use stateright::{Model, Property};
use teeline_core::commit::Traces;
use teeline_core::{DestinationStatus, Outcome};

use crate::model::{Action, Walk, is_right};
use crate::restore::Restore;
use crate::run::{Lane, Run};
use crate::scene::Scene;
use crate::world::{BackupNumber, Copy, Place, World};

pub(crate) fn properties(scene: &Scene) -> Vec<Property<Walk>> {
    let mut properties = vec![
        Property::<Walk>::always(
            "P1: what is listed is whole, with all that it goes on from",
            |Walk(scene), world| {
                world
                    .places
                    .iter()
                    .all(|place| listed_are_whole(scene, place))
            },
        ),
        Property::<Walk>::always(
            "P2: a report says what is so, and the verdict follows from it",
            |Walk(scene), world| world.runs.iter().all(|run| is_honest(scene, world, run)),
        ),
        Property::<Walk>::always(
            "P3: nothing is visible before the verdict can be a success",
            |_, world| world.runs.iter().all(|run| !run.published_early),
        ),
        Property::<Walk>::always(
            "P3: what was visible stays, and whole, unless it is withdrawn",
            |Walk(scene), world| {
                world
                    .places
                    .iter()
                    .all(|place| committed_stay(scene, place))
            },
        ),
        Property::<Walk>::always(
            "P4: what was interrupted is finished or cleaned away",
            |walk, world| {
                !is_at_rest(walk, world)
                    || world
                        .places
                        .iter()
                        .all(|place| is_tidy(&walk.0, world, place))
            },
        ),
        Property::<Walk>::always(
            "a restore fails only where the backup was withdrawn",
            |_, world| {
                !matches!(
                    world.restore,
                    Restore::Failed {
                        was_withdrawn: false
                    }
                )
            },
        ),
    ];
    properties.extend(scene.reached.iter().map(|reached| match reached {
        Reached::Completed => Property::<Walk>::sometimes("a run completes", |_, world| {
            ends(world, Outcome::Completed)
        }),
        Reached::Degraded => Property::<Walk>::sometimes("a run is degraded", |_, world| {
            ends(world, Outcome::Degraded)
        }),
        Reached::Unknown => Property::<Walk>::sometimes(
            "a destination is in doubt, and has the backup",
            |_, world| {
                let mut runs = world.runs.iter();
                runs.any(|run| {
                    let mut places = world.places.iter().enumerate();
                    places.any(|(at, place)| {
                        run.status(at) == DestinationStatus::Unknown
                            && place.copies[run.of_lanes[at]].traces.is_backup()
                    })
                })
            },
        ),
        Reached::TakenBack => {
            Property::<Walk>::sometimes("a withdrawal is taken back", |_, world| {
                world.janitor.has_taken_back[0]
            })
        }
        Reached::SweepTakenBack => {
            Property::<Walk>::sometimes("a sweep is taken back", |_, world| {
                world.janitor.has_taken_back[1]
            })
        }
        Reached::Restored => Property::<Walk>::sometimes("a restore succeeds", |_, world| {
            world.restore == Restore::Succeeded
        }),
        Reached::Swept => {
            Property::<Walk>::sometimes("what a dead run left is gone", |_, world| {
                let mut runs = world.runs.iter().filter(|run| run.is_dead);
                runs.any(|run| {
                    let all = world.places.iter();
                    world.runs.iter().all(Run::is_over)
                        && all.clone().all(|place| place.copies[run.backup].is_gone())
                        && run.lanes.iter().all(|lane| *lane != Lane::Claim)
                })
            })
        }
        Reached::Repaired => {
            Property::<Walk>::sometimes("a repair publishes what a dead run left", |_, world| {
                let mut runs = world
                    .runs
                    .iter()
                    .filter(|run| run.is_dead && run.verdict.is_none());
                runs.any(|run| {
                    let mut places = world.places.iter().zip(&run.lanes);
                    places.any(|(place, lane)| {
                        matches!(lane, Lane::Prepared | Lane::Publish(0))
                            && place.copies[run.backup].was_backup
                    })
                })
            })
        }
    }));
    properties
}

/// What a scene must come to somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    Completed,
    Degraded,
    Unknown,
    TakenBack,
    SweepTakenBack,
    Restored,
    Swept,
    Repaired,
}

fn ends(world: &World, outcome: Outcome) -> bool {
    world
        .runs
        .iter()
        .any(|run| run.has_reported() && run.verdict == Some(outcome))
}

fn is_whole(scene: &Scene, copy: &Copy) -> bool {
    copy.traces.claim && copy.traces.manifest && copy.has_all(scene.segments)
}

/// A parent may be withdrawn for the moment that it takes to see that it is needed; its files are there.
fn listed_are_whole(scene: &Scene, place: &Place) -> bool {
    let mut chain = place.listed();
    while let Some(number) = chain.pop() {
        if !is_whole(scene, &place.copies[number]) {
            return false;
        }
        chain.extend(scene.plans[number].parent);
    }
    true
}

fn committed_stay(scene: &Scene, place: &Place) -> bool {
    let mut copies = place.copies.iter().filter(|copy| copy.was_backup);
    copies.all(|copy| {
        // A sweep is there for the moment that it takes to see that there is a backup.
        let visible = Traces {
            sweep: false,
            ..copy.traces
        };
        copy.traces.withdrawal || (visible.is_backup() && is_whole(scene, copy))
    })
}

fn is_honest(scene: &Scene, world: &World, run: &Run) -> bool {
    let Some(verdict) = run.verdict.filter(|_| run.has_reported()) else {
        return true;
    };
    let tells = |(at, place): (usize, &Place)| {
        let copy = &place.copies[run.of_lanes[at]];
        let is_ours = copy.claimed_by == Some(run.number);
        match run.status(at) {
            DestinationStatus::Committed => copy.was_backup,
            DestinationStatus::Unknown => true,
            // Somebody else, a repair, may have made it a backup since.
            _ => !is_ours || !copy.was_backup || scene.repairs,
        }
    };
    let mut places = world.places.iter().enumerate();
    let is_said = places.all(tells);
    is_said && is_right(scene, run, verdict)
}

fn is_at_rest(walk: &Walk, world: &World) -> bool {
    let mut actions = Vec::new();
    walk.actions(world, &mut actions);
    let waits = actions
        .iter()
        .any(|action| !matches!(action, Action::Restore { .. }));
    !waits
}

/// Each copy is a backup, or nothing; or whole, and nobody can tell that it isn't a backup whose manifest is lost.
fn is_tidy(scene: &Scene, world: &World, place: &Place) -> bool {
    let has_slept = |number: BackupNumber| {
        let mut runs = world.runs.iter();
        runs.any(|run| run.backup == number && run.has_slept)
    };
    let mut copies = place.copies.iter().enumerate();
    copies.all(|(number, copy)| {
        let is_wanted = copy.traces.claim && copy.has_all(scene.segments) && !copy.traces.sweep;
        // What a run writes to a folder that was swept while it slept has no claim any more, and stays: nobody knows whose it is.
        let is_nobodys = has_slept(number) && !copy.traces.claim && !copy.traces.is_backup();
        let is_chained = |parent: BackupNumber| place.copies[parent].traces.is_backup();
        let is_backup =
            copy.traces.is_backup() && scene.plans[number].parent.is_none_or(is_chained);
        is_backup
            || copy.is_gone()
            || is_nobodys
            || (!scene.repairs && is_wanted && !copy.traces.manifest)
    })
}
