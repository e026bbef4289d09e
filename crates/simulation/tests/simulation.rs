//! The short form of `cargo xtask simulate`.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use teeline_simulation::simulate::simulate;

/// Seeds that are run each time.
const SEEDS: u64 = 150;

fn keeps_its_promises(seed: u64) {
    if let Err(broken) = simulate(seed, false) {
        panic!(
            "seed {seed}: {}\nagain: cargo xtask simulate --seed {seed}",
            broken.promise
        );
    }
}

#[test]
fn no_schedule_breaks_a_promise() {
    (0..SEEDS).for_each(keeps_its_promises);
}

#[test]
fn schedules_that_broke_one_do_so_no_more() {
    let lines = include_str!("failed_seeds.txt").lines();
    let seeds = lines.filter(|line| !line.starts_with('#'));
    seeds.for_each(|seed| keeps_its_promises(seed.parse().unwrap()));
}

#[test]
fn a_seed_is_one_schedule() {
    for seed in SEEDS..SEEDS + 10 {
        assert_eq!(
            simulate(seed, false).unwrap(),
            simulate(seed, false).unwrap()
        );
    }
}
