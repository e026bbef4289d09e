//! `docs/reference/faults.md` says of each fault what is seen, what is left and what to do, and names a test that shows it; each of
//! these exists.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::fs;

use shared::documented::{assert_shown, rows, tests};
use shared::workspace;

/// The faults that the document has.
const FAULTS: usize = 61;

#[test]
fn each_fault_has_a_test_that_exists() {
    let tests = tests();
    let text = fs::read_to_string(workspace().join("docs/reference/faults.md")).unwrap();
    let mut faults = 0;
    for row in rows(&text, "fault") {
        let [fault, seen, exit_code, left, to_do, shown_by] = row[..] else {
            panic!("a row has six cells: {row:?}");
        };
        for cell in [seen, exit_code, left, to_do] {
            assert!(!cell.is_empty(), "{fault}: something isn't said");
        }
        assert_shown(fault, shown_by, &tests);
        faults += 1;
    }
    assert_eq!(faults, FAULTS);
}
