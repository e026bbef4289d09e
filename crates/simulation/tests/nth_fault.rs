//! The short form of `cargo xtask nth-fault`.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use teeline_simulation::nth_fault::{Doing, Set, Wrong, of_folders, of_stores, sweep};

/// Of what may go wrong, each in one of so many things that are done.
const SHARE: usize = 24;

/// Only every so manyth call goes wrong, from the first on.
const STEP: u64 = 7;

fn sweep_some(wrongs: &[Wrong]) {
    let folder = tempfile::tempdir().unwrap();
    let mut runs = 0;
    for (number, doing) in Doing::ALL.into_iter().enumerate() {
        let set = Set::of(doing).unwrap();
        for wrong in wrongs.iter().skip(number).step_by(SHARE) {
            runs += sweep(&set, *wrong, STEP, folder.path()).unwrap().runs;
        }
    }
    assert!(runs > 20, "something went wrong in {runs} runs only");
}

#[test]
fn whichever_call_of_a_store_goes_wrong_nothing_is_lost() {
    sweep_some(&of_stores());
}

#[test]
fn whichever_system_call_fails_nothing_is_lost() {
    sweep_some(&of_folders());
}
