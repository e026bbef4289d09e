//! The short form of `cargo xtask nth-fault`.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use teeline::Class;
use teeline::sinks::{Operation, What};
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

/// Found by the long form.
#[test]
fn what_once_broke_a_promise_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    for (doing, operation, what) in [
        (Doing::Heal, Operation::Read, What::Fail(Class::Archived)),
        (Doing::Heal, Operation::Head, What::Fail(Class::Archived)),
        (
            Doing::Heal,
            Operation::DropCached,
            What::Fail(Class::Archived),
        ),
        (Doing::Sync, Operation::Put, What::FlipBit),
        (Doing::Sync, Operation::Put, What::LoseByte),
    ] {
        let set = Set::of(doing).unwrap();
        let wrong = Wrong::Store(operation, what);
        assert!(sweep(&set, wrong, 1, folder.path()).unwrap().runs > 1);
    }
}
