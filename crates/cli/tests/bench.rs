//! `teeline bench`: it measures what it is asked for, says so in every form, and leaves nothing.

mod shared;

use serde_json::Value;
use shared::Scratch;

const SMALL: [&str; 6] = ["--records", "2000", "--repeats", "2", "--warm-up", "1"];

fn bench<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["bench"], &SMALL[..], more].concat()
}

#[test]
fn a_sweep_has_a_cell_for_each_combination() {
    let scratch = Scratch::new();
    scratch.write("there/kept.txt", "mine");
    let sweep = bench(&[
        "--compression",
        "gzip,zstd,none",
        "--level",
        "1",
        "--workers",
        "1,2",
        "--destinations",
        "1,3",
        "--to",
        "null:",
        "--to",
        "there",
        "--to",
        "far=sim:rate=500MB/s,latency=1ms,stall=10ms@50%,errors=0.1%,of=memory:",
        "--json",
        "--csv",
        "figures.csv",
        "--plot",
        "figures.svg",
    ]);
    let report = scratch.teeline(0, &sweep).json();
    let cells = report["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 3 * 2 * 2);
    for cell in cells {
        assert_eq!(cell["repetitions"].as_array().unwrap().len(), 2);
        let destinations = cell["settings"]["destinations"].as_array().unwrap().len();
        assert_eq!(cell["stages"].as_array().unwrap().len(), 2 + destinations);
        let seconds = &cell["seconds"];
        assert!(seconds["min"].as_f64() <= seconds["median"].as_f64());
        assert!(seconds["median"].as_f64() <= seconds["max"].as_f64());
        assert!(cell["ratio"].as_f64().unwrap() > 0.1);
        for stage in cell["stages"].as_array().unwrap() {
            assert!(
                stage["megabytesPerSecond"].as_f64().unwrap() > 0.0,
                "{stage}"
            );
        }
    }
    assert_eq!(report["data"]["records"], 2000);
    assert_eq!(
        scratch.files("there"),
        ["kept.txt"],
        "what was written is removed, and nothing else"
    );
    let values = String::from_utf8(scratch.read("figures.csv")).unwrap();
    let stages = |cell: &Value| cell["stages"].as_array().unwrap().len();
    let lines = 1 + cells.len() + cells.iter().map(stages).sum::<usize>();
    assert_eq!(values.lines().count(), lines);
    assert!(values.contains(",encode,"), "{values}");
    let picture = String::from_utf8(scratch.read("figures.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.matches("<rect").count() > cells.len());
}

#[test]
fn figures_are_compared_with_older_ones() {
    let scratch = Scratch::new();
    let report = scratch.teeline(0, &bench(&["--json"]));
    scratch.write("old.json", &report.stdout);
    let again = scratch.teeline(0, &bench(&["--compare", "old.json"]));
    assert!(again.stdout.contains("gzip, level 5, 1024K"), "{again:?}");
    assert!(
        again.stdout.contains("stage"),
        "a single combination is shown with its stages: {again:?}"
    );

    // The same backups, as if each had taken a tenth of a millisecond before.
    let mut faster = report.json();
    let cell = &mut faster["cells"][0];
    for name in ["median", "min", "max"] {
        cell["seconds"][name] = 0.0001.into();
    }
    scratch.write("faster.json", faster.to_string());
    let slower = scratch.teeline(
        1,
        &bench(&["--compare", "faster.json", "--fail-if-slower", "10%"]),
    );
    assert!(slower.stdout.contains("% longer"), "{slower:?}");
    assert!(slower.stderr.contains("--fail-if-slower"), "{slower:?}");

    let in_json = bench(&["--compare", "faster.json", "--json"]);
    let change = &scratch.teeline(0, &in_json).json()["comparison"]["changes"][0];
    assert_eq!(change["isReal"], true, "{change}");

    let other = [&bench(&["--compare", "old.json"])[..], &["--seed", "2"]].concat();
    let refused = scratch.teeline(2, &other);
    assert!(refused.stderr.contains("2000 records in"), "{refused:?}");
    scratch.write("other.json", "{}");
    let refused = scratch.teeline(2, &bench(&["--compare", "other.json"]));
    assert!(refused.stderr.contains("--compare"), "{refused:?}");
}

#[test]
fn real_lines_are_measured_and_wrong_ones_are_named() {
    let scratch = Scratch::new();
    scratch.write("in/a.jsonl", "{\"a\":1}\n".repeat(500));
    let report = scratch
        .teeline(0, &["bench", "--from", "in", "--repeats", "1", "--json"])
        .json();
    assert_eq!(report["data"]["records"], 500);
    scratch.write("in/b.jsonl", "nothing\n");
    let refused = scratch.teeline(1, &["bench", "--from", "in"]);
    assert!(refused.stderr.contains("b.jsonl, line 1"), "{refused:?}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let scratch = Scratch::new();
    for (arguments, part) in [
        (&["bench", "--to", "sim:speed=1MB/s"][..], "rate=50MB/s"),
        (
            &["bench", "--compression", "lzma"],
            "gzip, zstd, deflate, brotli, none",
        ),
        (&["bench", "--level", "15"], "--level"),
        (&["bench", "--destinations", "2"], "--destinations"),
        (&["bench", "--redundancy", "2"], "0 to 1"),
        (&["bench", "--from", "in", "--records", "5"], "--records"),
        (
            &["backup", "--from", "in", "--to", "null:"],
            "teeline bench",
        ),
        (
            &["backup", "--from", "in", "--to", "sim:rate=1MB/s"],
            "teeline bench",
        ),
    ] {
        let refused = scratch.teeline(2, arguments);
        assert!(refused.stderr.contains(part), "{arguments:?}: {refused:?}");
    }
}

#[test]
fn what_would_fail_later_fails_before_anything_is_measured() {
    let scratch = Scratch::new();
    for (code, more) in [
        (1, &["--csv", "nowhere/figures.csv"][..]),
        (1, &["--plot", "nowhere/figures.svg"]),
        (
            2,
            &["--block-bytes", "1MiB,16MiB", "--budget-bytes", "8MiB"],
        ),
    ] {
        let refused = scratch.teeline(code, &bench(more));
        assert!(!refused.stderr.contains("measuring: backup"), "{refused:?}");
    }
}
