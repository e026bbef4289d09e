//! The real binary, killed at some of the system calls that change anything: whatever is listed restores, the same again
//! ends well, and a cleanup leaves nothing else. `cargo xtask kill-points` does the same at all of them.
#![allow(
    clippy::print_stderr,
    reason = "who runs this is told why it was left out"
)]

use teeline_crashes::kill_points::{Killed, available, sweep};
use teeline_crashes::{TeelineCommand, restore_faults, scenarios};

/// At so many points a whole sweep would take minutes.
const STRIDE: usize = 41;
/// The same of calls that fail.
const FAILED_STRIDE: usize = 29;

#[test]
fn a_kill_at_any_system_call_loses_nothing_and_lists_nothing_half() {
    if let Err(missing) = available() {
        eprintln!("left out, since strace can't be used here: {missing}");
        return;
    }
    let command = TeelineCommand::new(env!("CARGO_BIN_EXE_teeline"));
    let mut killed = Killed::new();
    for (number, scenario) in scenarios().iter().enumerate() {
        let swept = sweep(&command, scenario, (1 + number, STRIDE), &mut killed);
        assert_eq!(swept, Ok(()));
    }
    assert!(killed.values().sum::<u64>() >= 20, "{killed:?}");
}

#[test]
fn whichever_system_call_of_a_restore_fails_all_of_it_is_there_or_nothing() {
    if let Err(missing) = available() {
        eprintln!("left out, since strace can't be used here: {missing}");
        return;
    }
    let command = TeelineCommand::new(env!("CARGO_BIN_EXE_teeline"));
    let failed = restore_faults::sweep(&command, (1, FAILED_STRIDE));
    let failed = failed.unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(failed.runs >= 30, "{failed:?}");
}
