//! `docs/reference/compatibility.md` names a test for each thing that s3db.js's backup plugin documents, and each of them exists.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::fs;

use shared::documented::{assert_shown, rows, tests};
use shared::workspace;

/// The things that the document has.
const THINGS: usize = 270;

#[test]
fn each_documented_thing_has_a_test_that_exists() {
    let tests = tests();
    let text = fs::read_to_string(workspace().join("docs/reference/compatibility.md")).unwrap();
    let (text, _) = text.split_once("\n## Metrics\n").unwrap();
    let (documented, chosen) = text.split_once("\n## Choices\n").unwrap();
    let (things, choices) = (rows(documented, "documented"), rows(chosen, "choice"));
    assert_eq!(things.len(), THINGS);
    for row in things.into_iter().chain(choices) {
        let [thing, here, shown_by] = row[..] else {
            panic!("a row has three cells: {row:?}");
        };
        assert!(!here.is_empty(), "{thing}: nothing is said of it");
        assert_shown(thing, shown_by, &tests);
    }
}
