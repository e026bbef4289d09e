//! `SECURITY.md` says of each attacker what must not be possible and how that is kept, and names a test that shows it; each of these
//! exists.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::fs;

use shared::documented::{assert_shown, rows, tests};
use shared::workspace;

/// What must not be possible, of all attackers.
const IMPOSSIBLE: usize = 28;

#[test]
fn what_must_not_be_possible_has_a_test_that_exists() {
    let tests = tests();
    let text = fs::read_to_string(workspace().join("SECURITY.md")).unwrap();
    let (attackers, _) = text.split_once("\n## Not protected\n").unwrap();
    for attacker in ["A", "B", "C", "D", "E"] {
        assert!(
            attackers.contains(&format!("\n## {attacker}. ")),
            "{attacker}"
        );
    }
    let mut found = 0;
    for row in rows(attackers, "must not") {
        let [impossible, how, shown_by] = row[..] else {
            panic!("a row has three cells: {row:?}");
        };
        assert!(!how.is_empty(), "{impossible}: nothing is said of how");
        assert_shown(impossible, shown_by, &tests);
        found += 1;
    }
    assert_eq!(found, IMPOSSIBLE);
}
