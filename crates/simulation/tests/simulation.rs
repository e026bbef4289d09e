//! The short form of `cargo xtask simulate`.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use teeline_simulation::simulate::simulate;

#[test]
fn a_seed_is_one_simulation() {
    for seed in 0..20 {
        assert_eq!(
            simulate(seed, false).unwrap(),
            simulate(seed, false).unwrap()
        );
    }
}
