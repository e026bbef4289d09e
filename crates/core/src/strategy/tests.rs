use proptest::prelude::{Just, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;

use super::*;

/// The ten-line model: who ended with the backup, and was that enough?
fn model(
    kind: StrategyKind,
    required: &[bool],
    published: &[bool],
    down: &[bool],
    behind: &[bool],
) -> Outcome {
    let have = published.iter().filter(|p| **p).count();
    let needed = if let StrategyKind::Quorum(n) = kind {
        n
    } else {
        1
    };
    if have < needed || required.iter().zip(down).any(|(r, d)| *r && *d) {
        Outcome::Failed
    } else if down.iter().chain(behind).any(|d| *d) {
        Outcome::Degraded
    } else {
        Outcome::Completed
    }
}

fn kinds() -> impl Generator<Value = StrategyKind> {
    prop_oneof![
        Just(StrategyKind::All),
        Just(StrategyKind::Any),
        Just(StrategyKind::Priority),
        (1usize..=3).prop_map(StrategyKind::Quorum),
    ]
}

proptest! {
    /// Destinations fail or go on in any order; the world does what the commands say.
    #[test]
    fn any_order_of_events_keeps_the_invariants(
        kind in kinds(),
        required in proptest::collection::vec(any::<bool>(), 3),
        choices in proptest::collection::vec((0usize..3, 0u8..10), 1..200),
    ) {
        let mut machine = Strategy::new(kind, &required).unwrap();
        let (mut published, mut down, mut asked) = ([false; 3], [false; 3], [false; 3]);
        let (mut prepared, mut behind) = ([false; 3], [false; 3]);
        let mut active: Vec<usize> = machine.active().iter().map(|id| id.0).collect();
        let (mut out, mut finished) = (Vec::new(), None);
        machine.step(Event::SourceEnded { segments: 0 }, &mut out);
        let tail = (0..40).map(|n| (n % 3, 1));
        for (index, choice) in choices.into_iter().chain(tail) {
            if finished.is_some() {
                break;
            }
            let id = DestinationId(index);
            if !active.contains(&index) || down[index] || behind[index] || published[index] {
                continue;
            }
            let event = match (choice, prepared[index], asked[index]) {
                (0, _, _) => { down[index] = true; Event::Down(id) }
                (9, _, _) => Event::FellBehind(id),
                (_, false, _) => { prepared[index] = true; Event::Prepared(id) }
                (_, true, true) => { published[index] = true; Event::Published(id) }
                (_, true, false) => continue,
            };
            machine.step(event, &mut out);
            for command in out.drain(..) {
                prop_assert!(finished.is_none(), "{:?} after Finish", command);
                match command {
                    Command::Publish(id) => {
                        prop_assert!(!asked[id.0] && !down[id.0] && !behind[id.0] && prepared[id.0]);
                        if !asked.contains(&true) {
                            let ready = prepared.iter().zip(&down).filter(|(p, d)| **p && !**d).count();
                            let needed = if let StrategyKind::Quorum(n) = kind { n } else { 1 };
                            prop_assert!(ready >= needed);
                            for other in &active {
                                prop_assert!(!required[*other] || (prepared[*other] && !down[*other]));
                            }
                        }
                        asked[id.0] = true;
                    }
                    Command::Detach(id) => prop_assert!(down[id.0]),
                    Command::LeaveBehind(id) => {
                        prop_assert!(!required[id.0] && !prepared[id.0] && !down[id.0]);
                        behind[id.0] = true;
                        let left = (0..3).filter(|index| !down[*index] && !behind[*index]).count();
                        let needed = if let StrategyKind::Quorum(n) = kind { n } else { 1 };
                        prop_assert!(left >= needed);
                    }
                    Command::NextPass(id) => {
                        active = vec![id.0];
                        machine.step(Event::SourceEnded { segments: 0 }, &mut Vec::new());
                    }
                    Command::Finish(outcome) => finished = Some(outcome),
                }
            }
        }
        prop_assert_eq!(finished, Some(model(kind, &required, &published, &down, &behind)));
    }
}

fn run(kind: StrategyKind, required: &[bool], events: &[Event]) -> Vec<Command> {
    let mut machine = Strategy::new(kind, required).unwrap();
    let mut out = Vec::new();
    machine.step(Event::SourceEnded { segments: 0 }, &mut out);
    for event in events {
        machine.step(*event, &mut out);
    }
    out
}

#[test]
fn all_publishes_only_when_every_required_one_is_prepared() {
    let (a, b) = (DestinationId(0), DestinationId(1));
    let out = run(
        StrategyKind::All,
        &[true, true],
        &[Event::Prepared(a), Event::Down(b)],
    );
    assert_eq!(out, [Command::Detach(b), Command::Finish(Outcome::Failed)]);
    let out = run(
        StrategyKind::All,
        &[true, false],
        &[Event::Prepared(a), Event::Down(b), Event::Published(a)],
    );
    assert_eq!(
        out,
        [
            Command::Publish(a),
            Command::Detach(b),
            Command::Finish(Outcome::Degraded)
        ]
    );
}

#[test]
fn who_is_too_slow_is_left_behind_unless_it_is_needed() {
    let (a, b) = (DestinationId(0), DestinationId(1));
    let events = [
        Event::FellBehind(b),
        Event::Prepared(a),
        Event::Published(a),
    ];
    assert_eq!(
        run(StrategyKind::Any, &[false; 2], &events),
        [
            Command::LeaveBehind(b),
            Command::Publish(a),
            Command::Finish(Outcome::Degraded)
        ]
    );
    for (kind, required) in [
        (StrategyKind::All, [true, true]),
        (StrategyKind::Quorum(2), [false; 2]),
        (StrategyKind::Any, [false, true]),
    ] {
        assert_eq!(run(kind, &required, &[Event::FellBehind(b)]), []);
    }
    // The last one that is left is needed.
    let events = [Event::Down(a), Event::FellBehind(b)];
    assert_eq!(
        run(StrategyKind::Any, &[false; 2], &events),
        [Command::Detach(a)]
    );
}

#[test]
fn priority_gives_the_next_destination_a_pass_of_its_own() {
    let (a, b) = (DestinationId(0), DestinationId(1));
    let out = run(
        StrategyKind::Priority,
        &[false, false, false],
        &[Event::Down(a)],
    );
    assert_eq!(out, [Command::Detach(a), Command::NextPass(b)]);
}

#[test]
fn a_quorum_that_is_out_of_reach_fails_at_once() {
    let (a, b, c) = (DestinationId(0), DestinationId(1), DestinationId(2));
    let events = [Event::Prepared(a), Event::Down(b), Event::Down(c)];
    let out = run(StrategyKind::Quorum(2), &[false; 3], &events);
    assert_eq!(
        out,
        [
            Command::Detach(b),
            Command::Detach(c),
            Command::Finish(Outcome::Failed)
        ]
    );
    assert!(Strategy::new(StrategyKind::Quorum(4), &[false; 3]).is_err());
}
