//! `config/quickstart.toml` as a newcomer runs it, in an empty folder.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]
#![cfg(feature = "embedded-s3")]

mod shared;

use shared::{Scratch, workspace};

fn with_configuration() -> Scratch {
    let scratch = Scratch::new();
    scratch.write(
        "config/quickstart.toml",
        std::fs::read(workspace().join("config/quickstart.toml")).unwrap(),
    );
    scratch
}

#[test]
fn the_quick_start_works_from_beginning_to_end() {
    let scratch = with_configuration();
    let configuration = ["--config", "config/quickstart.toml"];
    let made = scratch.teeline(0, &[&["backup", "full"][..], &configuration].concat());
    for part in [
        "5,000 records of 4 resources",
        "records/s",
        "/backups/local/full-",
        "/backups/copies/full-",
        "next:",
    ] {
        assert!(made.stdout.contains(part), "{part}: {}", made.stdout);
    }
    assert_eq!(
        made.stdout.matches("reading it back").count(),
        2,
        "{}",
        made.stdout
    );
    assert!(
        !format!("{made:?}").contains("teeline:quickstart"),
        "{made:?}"
    );

    let list = scratch
        .teeline(0, &[&["list", "--json"][..], &configuration].concat())
        .json();
    let backup = &list["backups"][0];
    assert_eq!(
        (&backup["recordCount"], &backup["destinations"]),
        (&5000.into(), &serde_json::json!(["local", "bucket"])),
        "{list}"
    );
    // Every command that it proposes works as it stands, and the second time as well.
    let proposed: Vec<&str> = made
        .stdout
        .lines()
        .skip_while(|line| *line != "next:")
        .skip(1)
        .collect();
    assert_eq!(proposed.len(), 3, "{}", made.stdout);
    for line in proposed {
        let (_, arguments) = line.trim().split_once(' ').unwrap();
        scratch.teeline(0, &arguments.split(' ').collect::<Vec<_>>());
    }
    let id = backup["id"].as_str().unwrap();
    let lines = |resource: &str| {
        let restored = scratch.read(&format!("backups/restored/{id}/{resource}.jsonl"));
        String::from_utf8(restored)
            .unwrap()
            .lines()
            .filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
            .count()
    };
    assert_eq!(
        ["customers", "products", "orders", "reviews"].map(lines),
        [1_000, 500, 2_500, 1_000]
    );
}

#[test]
fn the_sample_is_read_back_exactly_and_restores_as_a_database() {
    let scratch = with_configuration();
    let teeline = |arguments: &[&str]| {
        let mut command = scratch
            .command(&[arguments, &["--config", "config/quickstart.toml", "--json"]].concat());
        command.env("TEELINE__EMBEDDED_S3__SAMPLE__RECORDS", "60");
        shared::Run::of(0, command.output().unwrap(), &format!("{arguments:?}")).json()
    };
    let first = teeline(&["backup"]);
    assert_eq!(
        (&first["recordCount"], &first["keptRaw"], &first["vanished"]),
        (&60.into(), &0.into(), &0.into()),
        "{first}"
    );
    // An entry in the index for each order.
    assert_eq!(first["objectCount"], 30, "{first}");
    // It is made once.
    let second = teeline(&["backup"]);
    assert_eq!(
        (&second["recordCount"], &second["plainBytes"]),
        (&60.into(), &first["plainBytes"])
    );
    assert_eq!(teeline(&["list"])["backups"].as_array().unwrap().len(), 2);
    assert_eq!(
        teeline(&["verify", "--all"])["backups"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_check_of_the_configuration_starts_nothing() {
    let scratch = with_configuration();
    let checked = scratch
        .teeline(0, &["config", "check", "config/quickstart.toml", "--json"])
        .json();
    assert_eq!(checked["destinations"][0]["location"], "./backups/local");
    assert_eq!(
        checked["source"],
        "http://***:***@${EMBEDDED_S3}/sample/shop"
    );
    assert!(!scratch.path("backups").exists());
}
