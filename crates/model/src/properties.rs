//! What must hold of every world, and what must happen in some of them for that to say anything.

use stateright::{Model, Property};
use teeline_core::commit::Traces;
use teeline_core::{DestinationStatus, Outcome};

use crate::errands::Trade;
use crate::model::{Action, Walk, is_right};
use crate::restore::Restore;
use crate::run::{Lane, Run};
use crate::scene::Scene;
use crate::world::{Copy, File, Files, Place, World};

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
                !walk.0.has(Trade::CleanUp)
                    || !is_at_rest(walk, world)
                    || world.places.iter().all(|place| is_tidy(&walk.0, place))
            },
        ),
        Property::<Walk>::always(
            "P3: what two destinations list under one id is one backup",
            |_, world| is_one_everywhere(world),
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
    if scene.is_spoilt {
        properties.extend([
            Property::<Walk>::always(
                "P3: what was right is somewhere, unless it was withdrawn",
                |Walk(scene), world| nothing_is_gone(scene, world),
            ),
            Property::<Walk>::always(
                "P3: what is damaged is kept, unless its backup was withdrawn",
                |_, world| damaged_is_kept(world),
            ),
        ]);
    }
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
                has_taken_back(world, 0)
            })
        }
        Reached::SweepTakenBack => {
            Property::<Walk>::sometimes("a sweep is taken back", |_, world| {
                has_taken_back(world, 1)
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
        Reached::TakenUp => {
            Property::<Walk>::sometimes("a run that is taken up completes", |_, world| {
                let mut runs = world.runs.iter();
                runs.any(|run| {
                    let is_whole = run.verdict == Some(Outcome::Completed);
                    run.attempt > 0 && run.has_reported() && is_whole
                })
            })
        }
        Reached::Beaten => Property::<Walk>::sometimes(
            "somebody who was taken for dead publishes nothing any more",
            |_, world| {
                let mut runs = world.runs.iter();
                runs.any(|run| {
                    let is_failed = run.verdict == Some(Outcome::Failed);
                    let goes_on = |other: &Run| other.attempt > run.attempt && !other.is_over();
                    run.has_slept && is_failed && world.runs.iter().any(goes_on)
                })
            },
        ),
        Reached::Healed => Property::<Walk>::sometimes(
            "a damaged file is kept, and the right one is in its place",
            |Walk(scene), world| {
                let mut copies = world.places.iter().flat_map(|place| &place.copies);
                copies.any(|copy| {
                    !copy.spoilt.is_empty()
                        && copy.kept[0] == copy.spoilt
                        && copy.traces.is_backup()
                        && copy.is_whole(scene.segments)
                })
            },
        ),
        Reached::Synced => Property::<Walk>::sometimes(
            "a copy is completed from another destination",
            |_, world| {
                let mut copies = world.places.iter().flat_map(|place| &place.copies);
                copies.any(|copy| copy.was_backup && copy.record.is_none() && copy.claims == 1)
            },
        ),
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
    TakenUp,
    Beaten,
    Healed,
    Synced,
}

fn ends(world: &World, outcome: Outcome) -> bool {
    world
        .runs
        .iter()
        .any(|run| run.has_reported() && run.verdict == Some(outcome))
}

fn has_taken_back(world: &World, what: usize) -> bool {
    let mut janitors = world.janitors.iter();
    janitors.any(|janitor| janitor.has_taken_back[what])
}

/// A parent may be withdrawn for the moment that it takes to see that it is needed; its files are there.
fn listed_are_whole(scene: &Scene, place: &Place) -> bool {
    let mut chain = place.listed();
    while let Some(number) = chain.pop() {
        let copy = &place.copies[number];
        if !copy.is_ailing && !copy.is_whole(scene.segments) {
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
        let is_whole = visible.is_backup() && copy.is_whole(scene.segments);
        copy.traces.withdrawal || copy.is_ailing || is_whole
    })
}

fn is_one_everywhere(world: &World) -> bool {
    let listed = |place: &Place, number| {
        let copy: &Copy = &place.copies[number];
        copy.traces.is_backup().then_some(copy.manifest_of)
    };
    let plans = world.places.first().map_or(0, |place| place.copies.len());
    (0..plans).all(|number| {
        let mut contents = world
            .places
            .iter()
            .filter_map(|place| listed(place, number));
        let first = contents.next();
        contents.all(|content| Some(content) == first)
    })
}

/// Each file that a destination had right which has the backup, as far as anybody knows.
fn nothing_is_gone(scene: &Scene, world: &World) -> bool {
    let copies = || world.places.iter().flat_map(|place| &place.copies);
    let mut files = Files::of_backup(scene.segments);
    files.all(|file| {
        let mut having = copies().filter(|copy| !copy.traces.withdrawal);
        let is_wanted = having.any(|copy| copy.was_right.has(file));
        let is_somewhere =
            |copy: &Copy| copy.is_right(file, copy.manifest_of) || copy.kept[1].has(file);
        // What the entry and the manifest say, any manifest says.
        let says =
            |copy: &Copy| file == File::Entry && copy.is_right(File::Manifest, copy.manifest_of);
        !is_wanted || copies().any(|copy| is_somewhere(copy) || says(copy))
    })
}

fn damaged_is_kept(world: &World) -> bool {
    let mut copies = world.places.iter().flat_map(|place| &place.copies);
    copies.all(|copy| {
        let is_there = copy.damaged == copy.spoilt || copy.kept[0] == copy.spoilt;
        copy.traces.withdrawal || is_there
    })
}

fn is_honest(scene: &Scene, world: &World, run: &Run) -> bool {
    let Some(verdict) = run.verdict.filter(|_| run.has_reported()) else {
        return true;
    };
    let others_may_publish = scene.takers > 0 || scene.has(Trade::Repair) || scene.has(Trade::Sync);
    let tells = |(at, place): (usize, &Place)| {
        let copy = &place.copies[run.of_lanes[at]];
        let is_ours = copy.claimed_by == Some(run.claims_as);
        match run.status(at) {
            DestinationStatus::Committed => copy.was_backup,
            DestinationStatus::Unknown => true,
            // Somebody else may have made it a backup since: a repair, a sync, or who has taken it up.
            _ => !is_ours || !copy.was_backup || others_may_publish,
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
        .any(|action| !matches!(action, Action::Restore { .. } | Action::TakesUp { .. }));
    !waits
}

/// Each copy is a backup, or nothing; or whole, and nobody can tell that it isn't a backup whose manifest is lost.
fn is_tidy(scene: &Scene, place: &Place) -> bool {
    let mut copies = place.copies.iter().enumerate();
    copies.all(|(number, copy)| {
        let is_wanted = copy.traces.claim && copy.has_all(scene.segments) && !copy.traces.sweep;
        // What was written to a folder that was being removed has no claim any more, and stays: nobody knows whose it is.
        let is_nobodys = copy.has_strays && !copy.traces.claim && !copy.traces.is_backup();
        let is_chained = |parent: usize| place.copies[parent].traces.is_backup();
        let is_backup =
            copy.traces.is_backup() && scene.plans[number].parent.is_none_or(is_chained);
        is_backup
            || copy.is_gone()
            || is_nobodys
            || (!scene.has(Trade::Repair) && is_wanted && !copy.traces.manifest)
    })
}
