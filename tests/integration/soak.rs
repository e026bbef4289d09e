//! Weeks of use in seconds. `cargo xtask soak` does the same for as long as one likes.
#![allow(clippy::print_stdout, reason = "who runs this is told what was done")]

use std::time::Duration;

use teeline_crashes::TeelineCommand;
use teeline_crashes::soak::{Options, soak};

const TIME: Duration = Duration::from_secs(15);

/// With `TEELINE_TEST_S3` set to the URL of an empty bucket with keys, there; otherwise at a server of its own.
#[test]
fn whatever_is_done_in_whatever_order_nothing_is_lost_and_nothing_leaks() {
    let folder = tempfile::tempdir().expect("a folder");
    let command = TeelineCommand::new(env!("CARGO_BIN_EXE_teeline"));
    let options = Options {
        time: TIME,
        seed: 7,
        server: std::env::var("TEELINE_TEST_S3")
            .ok()
            .map(|bucket| format!("{bucket}/soak")),
    };
    match soak(&command, folder.path(), &options) {
        Ok(soaked) => println!("{soaked:?}"),
        Err(wrong) => panic!("{wrong}"),
    }
}
