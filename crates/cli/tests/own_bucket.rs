//! Backups in the database's own bucket, beside what is backed up.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use serde_json::Value;
use shared::Scratch;

const DATABASE: &str = r#"
[embedded_s3]
root = "s3"
access_key = "k"
secret_key = "hidden-secret"
buckets = ["shop"]
sample = { bucket = "shop", prefix = "main", records = 120 }
[source]
connection = "http://k:hidden-secret@${EMBEDDED_S3}/shop/main?forcePathStyle=true"
settle_passes_max = 2
"#;

fn with(destination: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("c.toml", format!("{DATABASE}{destination}"));
    scratch
}

fn counts(report: &Value) -> (u64, u64) {
    let count = |name: &str| report[name].as_u64().unwrap();
    (count("recordCount"), count("objectCount"))
}

#[test]
fn they_are_beside_the_database_and_never_read_as_a_part_of_it() {
    let scratch = with("[destinations.own]\nurl = \"s3://./\"\n");
    let back_up = || {
        let run = scratch.teeline(0, &["backup", "--config", "c.toml", "--json"]);
        run.json()
    };
    let first = back_up();
    assert!(counts(&first).0 >= 120, "{first}");
    let location = first["destinations"][0]["location"].as_str().unwrap();
    assert!(location.ends_with("/shop/main/backups"), "{location}");
    for _ in 0..2 {
        let again = back_up();
        assert_eq!(counts(&again), counts(&first));
        assert_eq!(again["settle"]["outcome"], "settled", "{again}");
    }
    let list = scratch.teeline(0, &["list", "--config", "c.toml", "--json"]);
    assert_eq!(list.json()["backups"].as_array().unwrap().len(), 3);
    let typed = ["verify", "--config", "c.toml"];
    scratch.teeline(0, &typed);
    scratch.teeline(
        0,
        &[
            "restore", "latest", "--config", "c.toml", "--target", "./out",
        ],
    );
    let shown = scratch.teeline(0, &["config", "check", "c.toml"]).stdout;
    assert!(
        shown.contains("s3://./") && !shown.contains("hidden-secret"),
        "{shown}"
    );
}

/// As on a host whose disks may only be read: nobody can make a file below `/proc`, whoever it is.
#[test]
#[cfg(target_os = "linux")]
fn a_backup_from_s3_to_s3_needs_no_disk() {
    let scratch = Scratch::new();
    let root = scratch.path("s3").display().to_string();
    let config = DATABASE.replace("\"s3\"", &format!("\"{root}\""));
    let destination = "[destinations.own]\nurl = \"s3://./\"\n";
    scratch.write("c.toml", format!("{config}{destination}"));
    let file = scratch.path("c.toml").display().to_string();
    for arguments in [
        &["backup", "--json"][..],
        &["backup", "incremental", "--json"],
        &["verify", "--deep", "--all"],
        &["cleanup", "--keep-count", "1"],
        &["list"],
    ] {
        let mut command = scratch.command(arguments);
        command.args(["--config", &file]).current_dir("/proc");
        for variable in ["HOME", "TMPDIR", "XDG_STATE_HOME"] {
            command.env(variable, "/proc/none");
        }
        shared::Run::of(0, command.output().unwrap(), &format!("{arguments:?}"));
    }
}

#[test]
fn a_database_comes_back_where_only_its_backups_are() {
    let scratch = with(
        "[destinations.own]\nurl = \"http://k:hidden-secret@${EMBEDDED_S3}/shop/back/backups\"\n\
         [targets.back]\nconnection = \"http://k:hidden-secret@${EMBEDDED_S3}/shop/back?forcePathStyle=true\"\n",
    );
    let made = scratch
        .teeline(0, &["backup", "--config", "c.toml", "--json"])
        .json();
    let restore = [
        "restore", "latest", "--config", "c.toml", "--target", "back", "--json",
    ];
    let restored = scratch.teeline(0, &restore).json();
    let of_each = restored["restored"].as_array().unwrap().iter();
    let records: u64 = of_each
        .map(|one| one["recordsRestored"].as_u64().unwrap())
        .sum();
    assert_eq!(records, counts(&made).0);
    // Now it isn't vacant any more.
    let again = scratch.teeline(1, &restore);
    assert!(
        again.stdout.contains("is not empty; use --overwrite"),
        "{}",
        again.stdout
    );
}

#[test]
fn a_place_that_the_database_reads_is_refused_before_anything_is_written() {
    for (place, why) in [
        (
            "main/resource=products/data",
            "s3db.js keeps its objects in",
        ),
        ("main/plugin=x", "s3db.js keeps its objects in"),
        ("main", "it is the database's own prefix"),
    ] {
        let url = format!("http://k:hidden-secret@${{EMBEDDED_S3}}/shop/{place}");
        let scratch = with(&format!("[destinations.a]\nurl = \"{url}\"\n"));
        let files = scratch.files("s3");
        for arguments in [
            &["backup", "--config", "c.toml"][..],
            &["config", "check", "c.toml"],
        ] {
            let run = scratch.teeline(2, arguments);
            assert!(run.stderr.contains(why), "{place}: {}", run.stderr);
        }
        let written = scratch.files("s3").into_iter();
        assert!(
            written
                .filter(|file| !files.contains(file))
                .all(|file| !file.contains("teeline.json"))
        );
    }
    let scratch = with("[destinations.a]\nurl = \"s3://./resource=products/x\"\n");
    let run = scratch.teeline(2, &["backup", "--config", "c.toml"]);
    assert!(
        run.stderr.contains("choose another prefix"),
        "{}",
        run.stderr
    );
}

#[test]
fn without_a_database_it_is_said_what_is_missing() {
    let scratch = Scratch::new();
    let run = scratch.teeline(2, &["list", "--at", "own=s3://./"]);
    assert!(
        run.stderr.contains(
            "destination own: it is in the database's own bucket, and no database is named"
        ),
        "{}",
        run.stderr
    );
    scratch.write("lines.jsonl", "{}\n");
    let run = scratch.teeline(
        2,
        &["backup", "--from", "lines.jsonl", "--to", "own=s3://./"],
    );
    assert!(
        run.stderr.contains("no database is named"),
        "{}",
        run.stderr
    );
}
