//! The real binary, killed at some of the system calls and requests that change anything: whatever is listed restores, the same
//! again ends well, and a cleanup leaves nothing else. `cargo xtask kill-points` and `kill-requests` do the same at all of them.
#![allow(
    clippy::print_stderr,
    reason = "who runs this is told why it was left out"
)]

use teeline_crashes::kill_points::{Killed, available, sweep};
use teeline_crashes::{Scenario, TeelineCommand, kill_requests, restore_faults, scenarios};

/// At so many points a whole sweep would take minutes.
const STRIDE: usize = 41;
/// The same of requests, each of which comes twice.
const REQUEST_STRIDE: usize = 19;
/// Scenarios begin at different ones, of the few that each of them makes.
const FIRSTS: usize = 4;
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
        let first = 1 + number % FIRSTS;
        let swept = sweep(&command, scenario, (first, STRIDE), &mut killed);
        assert_eq!(swept, Ok(()));
        assert!(is_killed(scenario, &killed), "{}", scenario.name);
    }
}

fn is_killed(scenario: &Scenario, killed: &Killed) -> bool {
    killed.keys().any(|(name, _)| *name == scenario.name)
}

#[test]
fn a_kill_at_any_request_to_a_server_loses_nothing_and_lists_nothing_half() {
    if let Err(missing) = available() {
        eprintln!("left out, since strace can't be used here: {missing}");
        return;
    }
    let command = TeelineCommand::new(env!("CARGO_BIN_EXE_teeline"));
    let mut killed = Killed::new();
    for (number, scenario) in kill_requests::scenarios().iter().enumerate() {
        let first = 1 + number % FIRSTS;
        let swept = kill_requests::sweep(&command, scenario, (first, REQUEST_STRIDE), &mut killed);
        assert_eq!(swept, Ok(()));
        assert!(is_killed(scenario, &killed), "{}", scenario.name);
    }
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
