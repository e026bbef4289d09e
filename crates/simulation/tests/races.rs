//! The short form of `cargo xtask races`.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use teeline_simulation::races::race;

#[test]
fn one_of_many_writers_of_an_id_wins() {
    let folder = tempfile::tempdir().unwrap();
    let raced = race(25, 1, folder.path()).unwrap();
    assert_eq!(raced.races["memory"], 25);
    assert_eq!(raced.races["folder"], 25);
    assert!(raced.writers >= 4 * 25);
}
