//! The short form of `cargo xtask disk-full`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where something is not as it should be, and says what it did"
)]

use teeline_simulation::disk_full::{Room, fill};

#[test]
fn a_disk_that_is_full_leaves_nothing_half_at_any_size() {
    let scratch = tempfile::tempdir().unwrap();
    for (step, room) in [(64 << 10, Room::Bytes as fn(u64) -> Room), (3, Room::Files)] {
        let Some(filled) = fill(scratch.path(), step, room).unwrap() else {
            println!("no disk can be mounted here: nothing is filled up");
            return;
        };
        println!("{filled:?}, {step} apart");
        assert!(filled.full > 4, "{filled:?}");
    }
}
