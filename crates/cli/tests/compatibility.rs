//! `docs/reference/compatibility.md` names a test for each thing that s3db.js's backup plugin documents, and each of them exists.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use shared::workspace;

/// The things that the document has.
const THINGS: usize = 270;

/// The functions that are tests in a file of Rust.
fn tests_in_rust(text: &str, found: &mut BTreeSet<String>) {
    let mut is_next = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_next = true;
        } else if let Some((_, name)) = line.split_once("fn ").filter(|_| is_next) {
            found.insert(name.split('(').next().unwrap().to_owned());
            is_next = false;
        }
    }
}

/// The tests in a file of JavaScript, by their titles.
fn tests_in_javascript(text: &str, found: &mut BTreeSet<String>) {
    for line in text.lines().map(str::trim_start) {
        let title = line
            .strip_prefix("test('")
            .and_then(|rest| rest.split_once("', "));
        found.extend(title.map(|(title, _)| title.replace("\\'", "'")));
    }
}

fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "node_modules" && name != "target" {
                tests_below(&path, found);
            }
        } else if name.ends_with(".rs") {
            tests_in_rust(&fs::read_to_string(&path).unwrap(), found);
        } else if name.ends_with(".test.mjs") {
            tests_in_javascript(&fs::read_to_string(&path).unwrap(), found);
        }
    }
}

#[test]
fn each_documented_thing_has_a_test_that_exists() {
    let mut tests = BTreeSet::new();
    for folder in ["crates", "tests"] {
        tests_below(&workspace().join(folder), &mut tests);
    }
    let text = fs::read_to_string(workspace().join("docs/reference/compatibility.md")).unwrap();
    let (things_documented, _) = text.split_once("\n## Metrics\n").unwrap();
    let rows: Vec<Vec<&str>> = things_documented
        .lines()
        .filter(|line| {
            line.starts_with("| ")
                && !line.starts_with("| documented")
                && !line.starts_with("| ---")
        })
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let mut things = 0;
    for row in &rows {
        let [thing, here, shown_by] = row[..] else {
            panic!("a row has three cells: {row:?}");
        };
        assert!(!here.is_empty(), "{thing}: nothing is said of it");
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{thing}: no test");
        for name in names {
            assert!(tests.contains(name), "{thing}: there is no test `{name}`");
        }
        things += 1;
    }
    assert_eq!(things, THINGS);
}
