//! Tables of the documentation whose last cell names the tests that show what a row says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::workspace;

/// Every test of the workspace, by its name or title.
pub(crate) fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for folder in ["crates", "tests"] {
        tests_below(&workspace().join(folder), &mut tests);
    }
    tests
}

/// The cells of each row of the tables in `text`, whose heads begin with `head`.
pub(crate) fn rows<'a>(text: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let head = format!("| {head}");
    text.lines()
        .filter(|line| {
            line.starts_with("| ") && !line.starts_with(&head) && !line.starts_with("| ---")
        })
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// That a cell names tests, and each of them exists.
#[track_caller]
pub(crate) fn assert_shown(row: &str, shown_by: &str, tests: &BTreeSet<String>) {
    let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
    assert!(!names.is_empty(), "{row}: no test");
    for name in names {
        assert!(tests.contains(name), "{row}: there is no test `{name}`");
    }
}

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
