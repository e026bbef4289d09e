//! Backups that are killed on their way, and taken up again.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use teeline_core::Random;

use super::Scratch;

/// Two folders, of which the second is slow, so that the first has more when the run is killed.
pub(crate) const SLOW: &str = r#"
[backup]
segment_bytes = "1MiB"
resume_quiet_ms = 20
[source]
path = "in"
[destinations.a]
path = "a"
[destinations.b]
path = "b"
bytes_per_second_max = "3MiB"
"#;

/// Lines that don't get much smaller.
fn lines(random: &Random, count: usize) -> String {
    let line = |number| {
        let [a, b, c] = std::array::from_fn(|_| random.below(u64::MAX));
        format!("{{\"id\":{number},\"a\":\"{a:x}{b:x}{c:x}\"}}\n")
    };
    (0..count).map(line).collect()
}

/// Two resources of several data files each, that nobody has written to lately: only of those it can be told that nobody does.
pub(crate) fn with_records(config: &str) -> Scratch {
    let scratch = Scratch::new();
    let random = Random::new(7);
    scratch.write("in/events.jsonl", lines(&random, 100_000));
    scratch.write("in/users.jsonl", lines(&random, 60_000));
    scratch.write("c.toml", config);
    scratch.write(
        "fast.toml",
        config.replace("bytes_per_second_max = \"3MiB\"\n", ""),
    );
    std::thread::park_timeout(Duration::from_millis(2_200));
    scratch
}

/// How many indexes of data files there are in a folder.
pub(crate) fn indexes(scratch: &Scratch, at: &str) -> usize {
    let files = scratch.files(at);
    files.iter().filter(|file| is_index(file)).count()
}

/// Whether a file is an index: of any backup, in a folder or in that of a server.
fn is_index(file: &str) -> bool {
    let ends = [".index", ".index.sealed", ".index@"];
    ends.iter().any(|end| file.ends_with(end))
}

/// Starts a backup, kills it when `at` has so many data files more, and gives the id of the run that it began, if it began one.
#[track_caller]
pub(crate) fn killed(
    scratch: &Scratch,
    at: &str,
    count: usize,
    arguments: &[&str],
) -> Option<String> {
    let (before, had) = (runs(scratch), indexes(scratch, at));
    let mut command = scratch.command(arguments);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(scratch.path("said")).unwrap())
        .spawn()
        .unwrap();
    while indexes(scratch, at) < had + count {
        let ended = child.try_wait().unwrap();
        assert!(
            ended.is_none(),
            "{}",
            String::from_utf8_lossy(&scratch.read("said"))
        );
        std::thread::park_timeout(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    runs(scratch).into_iter().find(|id| !before.contains(id))
}

/// The ids of the runs that have a folder.
pub(crate) fn runs(scratch: &Scratch) -> Vec<String> {
    let files = scratch.files("a").into_iter();
    let claims = files.filter_map(|file| Some(file.strip_suffix("/run.json")?.to_owned()));
    claims.collect()
}

/// How many data files of the first resource both folders have of a run, with their indexes.
pub(crate) fn everywhere(scratch: &Scratch, id: &str) -> u64 {
    let of = |at: &&str| {
        let files = scratch.files(&format!("{at}/{id}")).into_iter();
        let indexes = files.filter(|file| file.starts_with("events") && is_index(file));
        indexes.count() as u64
    };
    ["a", "b"].iter().map(of).min().unwrap()
}

pub(crate) fn resume(scratch: &Scratch, code: i32, id: &str) -> Value {
    let typed = ["backup", "--config", "fast.toml", "--resume", id, "--json"];
    scratch.teeline(code, &typed).json()
}

/// A number of a report.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}
