//! The short form of `cargo xtask nth-fault`.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use teeline_simulation::nth_fault::{Doing, Set, Wrong, of_folders, of_stores, sweep};

/// Only every so manyth call goes wrong, from the first on.
const STEP: u64 = 7;

fn sweep_all(wrongs: &[Wrong]) {
    let folder = tempfile::tempdir().unwrap();
    for doing in Doing::ALL {
        let set = Set::of(doing).unwrap();
        let mut runs = 0;
        for wrong in wrongs {
            runs += sweep(&set, *wrong, STEP, folder.path()).unwrap().runs;
        }
        assert!(runs > 0, "{doing:?}: nothing ever goes wrong");
    }
}

#[test]
fn whichever_call_of_a_store_goes_wrong_nothing_is_lost() {
    sweep_all(&of_stores());
}

#[test]
fn whichever_system_call_fails_nothing_is_lost() {
    sweep_all(&of_folders());
}
