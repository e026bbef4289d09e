//! Schedules: `teeline run`, what is listed of them, and what systemd is given.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]
#![cfg(unix)]

mod shared;

use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;
use shared::Scratch;
use shared::running::Running;
use teeline::{CronExpression, Span, TimeZone, Timestamp, Timing};

fn with_records() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", "{\"id\":1}\n{\"id\":2}\n");
    scratch
}

const SOURCE: &str = "[source]\npath = \"in\"\n[destinations.a]\npath = \"a\"\n";

fn configure(scratch: &Scratch, schedules: &str) {
    scratch.write("c.toml", format!("{schedules}\n{SOURCE}"));
}

#[test]
fn backups_are_made_again_and_again_until_it_is_ended() {
    let scratch = with_records();
    configure(
        &scratch,
        "[schedules.each-second]\ncron = \"* * * * * *\"\ntype = \"often\"",
    );
    let mut running = Running::start(&scratch);
    for _ in 0..2 {
        running.wait_for("each-second: begins, for 20");
        let line = running.wait_for("completed");
        assert!(line.contains("each-second: often-20"), "{line}");
    }
    // Whether one was under way depends on the moment.
    let (code, said) = running.terminate();
    assert!(matches!(code, Some(0 | 130)), "{code:?} {said}");
    let made = scratch.listed("a");
    assert!(made.len() >= 2, "{made:?}");

    let status = ["status", &made[0], "--at", "a", "--json"];
    let status = scratch.teeline(0, &status).json();
    assert_eq!(status["runs"][0]["schedule"], "each-second", "{status}");
    let list = ["schedule", "list", "--config", "c.toml"];
    let listed = scratch
        .teeline(0, &[&list[..], &["--json"]].concat())
        .json();
    let scheduled = &listed["schedules"][0];
    assert_eq!(scheduled["last"]["id"], *made.first().unwrap(), "{listed}");
    let shown = scratch.teeline(0, &list).stdout;
    assert!(shown.contains(&format!("{} completed", made[0])), "{shown}");
}

#[test]
fn a_failure_is_said_and_the_next_run_is_made_all_the_same() {
    let scratch = Scratch::new();
    configure(&scratch, "[schedules.each-second]\ncron = \"* * * * * *\"");
    let mut running = Running::start(&scratch);
    running.wait_for("error: ");
    running.wait_for(" failed after");
    scratch.write("in/users.jsonl", "{\"id\":1}\n");
    running.wait_for("completed");
    running.terminate();
    assert!(!scratch.listed("a").is_empty());
}

#[test]
fn one_that_waits_ends_at_once_and_well() {
    let scratch = with_records();
    configure(&scratch, "schedule = { daily = \"0 2 29 2 *\" }");
    let mut running = Running::start(&scratch);
    let line = running.wait_for("daily: is next, at ");
    assert!(line.contains("-02-29T02:00:00+00:00"), "{line}");
    let (code, said) = running.terminate();
    assert_eq!(code, Some(0), "{said}");
    assert!(!scratch.path("a").exists());
}

#[test]
fn a_backup_that_is_under_way_is_abandoned() {
    let scratch = Scratch::new();
    // A database whose server takes every connection and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    scratch.write(
        "c.toml",
        format!(
            "[schedules.each-second]\ncron = \"* * * * * *\"\n[source]\nconnection = \"http://key:secret@127.0.0.1:{port}/shop\"\n\
             [destinations.a]\npath = \"a\"\n"
        ),
    );
    let mut running = Running::start(&scratch);
    running.wait_for("each-second: begins");
    let (code, said) = running.terminate();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("each-second: "), "{said}");
    assert!(!said.contains("secret"), "{said}");
    assert!(scratch.listed("a").is_empty());
}

#[test]
fn what_comes_next_is_listed_in_the_time_zone() {
    let scratch = Scratch::new();
    scratch.write(
        "c.toml",
        "time_zone = \"Asia/Tokyo\"\nschedule = { daily = \"0 2 * * *\" }\n\
         [schedules.archive]\ncron = \"0 4 1 * *\"\ntype = \"archive\"\njitter = \"10min\"\n\
         [source]\nconnection_env = \"NOT_SET\"\n[destinations.a]\npath = \"a\"\n",
    );
    let list = ["schedule", "list", "--config", "c.toml"];
    let shown = scratch.teeline(0, &list).stdout;
    let part = "daily: full, in Asia/Tokyo: 0 2 * * *\n  next  20";
    assert!(shown.contains(part), "{shown}");
    assert!(shown.contains("T02:00:00+09:00, 20"), "{shown}");
    assert!(
        shown.contains(", or up to 10min later\n  last  no run is known\n"),
        "{shown}"
    );
    let listed = scratch
        .teeline(0, &[&list[..], &["--json"]].concat())
        .json();
    let daily = &listed["schedules"][0];
    let next = daily["next"].as_array().unwrap();
    assert_eq!(next.len(), 3);
    for time in next {
        assert!(time.as_str().unwrap().ends_with("T17:00:00.000Z"), "{time}");
    }
    assert_eq!(
        (&daily["jitter"], &daily["last"]),
        (&"0s".into(), &Value::Null)
    );

    let dead = "[destinations.dead]\nurl = \"http://k:s@127.0.0.1:1/bucket\"\n";
    configure(
        &scratch,
        &format!("schedule = {{ daily = \"0 2 * * *\" }}\n{dead}"),
    );
    let asked = scratch
        .teeline(1, &[&list[..], &["--json"]].concat())
        .json();
    assert_eq!(asked["errors"][0]["destination"], "dead", "{asked}");
    assert_eq!(asked["schedules"][0]["name"], "daily", "{asked}");
}

#[test]
fn a_single_backup_is_made_as_its_schedule_says() {
    let scratch = with_records();
    configure(
        &scratch,
        "[schedules.archive]\ncron = \"0 4 1 * *\"\ntype = \"archive\"\ncompression = \"zstd\"",
    );
    let backup = ["backup", "--config", "c.toml", "--json"];
    let of = |name: &'static str| [&backup[..], &["--schedule", name]].concat();
    let made = scratch.teeline(0, &of("archive")).json();
    assert_eq!(made["type"], "archive", "{made}");
    let id = made["id"].as_str().unwrap();
    assert!(scratch.path(&format!("a/{id}/users.jsonl.zst")).exists());
    let list = ["schedule", "list", "--config", "c.toml", "--json"];
    let listed = scratch.teeline(0, &list).json();
    assert_eq!(listed["schedules"][0]["last"]["id"], id, "{listed}");
    // Of another source it is none of its runs; of one that can't be named here it may be.
    let own = String::from_utf8(scratch.read("c.toml")).unwrap();
    let of_another = |source: &str| {
        scratch.write("c.toml", own.replace("path = \"in\"", source));
        let listed = scratch.teeline(0, &list).json();
        listed["schedules"][0]["last"]["id"].clone()
    };
    assert!(of_another("path = \"elsewhere\"").is_null());
    assert_eq!(of_another("connection_env = \"NOT_SET\""), id);
    scratch.write("c.toml", &own);

    let unknown = scratch.teeline(2, &of("weekly")).json();
    let message = unknown["error"]["message"].as_str().unwrap();
    assert!(message.ends_with("accepted: archive"), "{message}");
    scratch.teeline(2, &[&of("archive")[..], &["full"]].concat());
}

/// A server that a configuration brings along has another port in each process.
#[test]
fn what_was_done_by_the_address_of_ones_own_server_is_known_the_next_time() {
    let scratch = Scratch::new();
    scratch.write(
        "c.toml",
        "schedule = { daily = \"0 2 29 2 *\" }\n\
         [schedules.look]\ncron = \"* * * * * *\"\ntype = \"verify\"\n\
         [source]\nconnection = \"http://k:s@${EMBEDDED_S3}/shop/main?forcePathStyle=true\"\n\
         [destinations.b]\nurl = \"http://k:s@${EMBEDDED_S3}/copies/b\"\n\
         [embedded_s3]\nroot = \"s3\"\naccess_key = \"k\"\nsecret_key = \"s\"\nbuckets = [\"shop\", \"copies\"]\n\
         sample = { bucket = \"shop\", prefix = \"main\", records = 60 }\n",
    );
    let backup = [
        "backup",
        "--config",
        "c.toml",
        "--schedule",
        "daily",
        "--json",
    ];
    let made = scratch.teeline(0, &backup).json();
    let mut running = Running::start(&scratch);
    running.wait_for("look: begins");
    running.terminate();
    let list = ["schedule", "list", "--config", "c.toml", "--json"];
    let listed = scratch.teeline(0, &list).json();
    let schedules = listed["schedules"].as_array().unwrap();
    let last = |name: &str| {
        let mut found = schedules.iter().filter(|one| one["name"] == name);
        &found.next().unwrap()["last"]
    };
    assert_eq!(last("daily")["id"], made["id"], "{listed}");
    // How it ended depends on the moment.
    assert!(last("look")["status"].is_string(), "{listed}");
}

#[test]
fn what_incremental_backups_go_on_from_is_said_beside_others() {
    let scratch = with_records();
    let full = "[schedules.weekly]\ncron = \"0 3 1 1 *\"\n";
    let incremental = "[schedules.daily]\ncron = \"0 2 1 1 *\"\ntype = \"incremental\"\n";
    let base = "[backup]\nbase = \"full\"";
    configure(&scratch, &format!("{full}{incremental}{base}"));
    scratch.teeline(0, &["config", "check", "c.toml"]);
    scratch.teeline(0, &["schedule", "list", "--config", "c.toml"]);
    scratch.teeline(0, &["schedule", "systemd", "--config", "c.toml"]);
    let made = ["weekly", "daily", "daily"].map(|name| {
        let run = ["schedule", "run", name, "--config", "c.toml", "--json"];
        scratch.teeline(0, &run).json()
    });
    assert_eq!(made[0]["type"], "full", "{}", made[0]);
    for incremental in &made[1..] {
        assert_eq!(incremental["parent"]["id"], made[0]["id"], "{incremental}");
    }
    let mut running = Running::start(&scratch);
    running.wait_for("is next, at ");
    let (code, said) = running.terminate();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_a_backup_says_of_itself_is_said_of_a_schedules_as_well() {
    let scratch = with_records();
    configure(
        &scratch,
        "[schedules.each-second]\ncron = \"* * * * * *\"\ntype = \"incremental\"\n\
         [backup]\ninclude = [\"users\"]\n[destinations.b]\npath = \"b\"\nresources = [\"events\"]",
    );
    let whole = "has everything: there is no backup that it could go on from";
    let left_out = "not for b: it takes other resources";
    let mut running = Running::start(&scratch);
    running.wait_for(" completed after");
    for said in [whole, left_out] {
        let line = running.wait_for(said);
        assert!(line.contains(" each-second: "), "{line}");
    }
    running.terminate();
    let run = ["schedule", "run", "each-second", "--config", "c.toml"];
    let said = scratch.teeline(0, &run).stdout;
    for part in [
        " completed after ",
        "  goes on from ",
        left_out,
        "verified  every byte",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is() {
    let scratch = with_records();
    let refused = |configuration: &str, part: &str| {
        scratch.write("c.toml", configuration);
        for command in [
            &["run", "--config", "c.toml"][..],
            &["config", "check", "c.toml"],
        ] {
            let run = scratch.teeline(2, command);
            assert!(run.stderr.contains(part), "{command:?} {}", run.stderr);
        }
    };
    let schedule = |more: &str| format!("[schedules.daily]\ncron = \"@daily\"\n{more}\n{SOURCE}");
    refused(&schedule("type = \"selective\""), "schedule daily: ");
    refused(&schedule("strategy = \"quorum:2\""), "schedule daily: ");
    refused(
        "[schedules.daily]\ncron = \"@daily\"\n[source]\npath = \"-\"",
        "schedule daily: its source can be read once only",
    );
    refused(&schedule("cron = 1"), "c.toml:3:1");
    configure(&scratch, "");
    let none = scratch.teeline(2, &["run", "--config", "c.toml"]);
    assert!(none.stderr.contains("[schedules.NAME]"), "{}", none.stderr);
}

#[test]
fn what_a_cleanup_could_not_do_somewhere_is_no_success_for_systemd() {
    let scratch = Scratch::new();
    let schedules = "[schedules.tidy]\ntype = \"cleanup\"\ncron = \"0 4 * * *\"";
    configure(&scratch, schedules);
    let systemd = ["schedule", "systemd", "--config", "c.toml"];
    let printed = scratch.teeline(0, &systemd).stdout;
    assert!(printed.contains("schedule run tidy --config"), "{printed}");
    assert!(!printed.contains("SuccessExitStatus"), "{printed}");
}

#[test]
fn systemd_is_given_a_service_and_a_timer_for_each() {
    let scratch = Scratch::new();
    configure(
        &scratch,
        "time_zone = \"Europe/Berlin\"\n[schedules.daily]\ncron = \"30 2 * * *\"\njitter = \"10min\"\n\
         [schedules.weekends]\ncron = \"0 3 1 * 6,7\"",
    );
    let systemd = ["schedule", "systemd", "--config", "c.toml"];
    let printed = scratch.teeline(0, &systemd).stdout;
    let part = |text: &str| assert!(printed.contains(text), "{text}\n{printed}");
    part("# /etc/systemd/system/teeline-daily.service\n[Unit]\n");
    let folder = scratch.path("").canonicalize().unwrap();
    let folder = folder.display();
    part(&format!("\nWorkingDirectory={folder}\n"));
    part(&format!(
        "/teeline backup --schedule daily --resume latest --config {folder}/c.toml\nSuccessExitStatus=3\n"
    ));
    part(
        "\n[Timer]\nOnCalendar=*-*-* 02:30:00 Europe/Berlin\nRandomizedDelaySec=10min\nAccuracySec=1s\nPersistent=true\n",
    );
    part(
        "OnCalendar=*-*-01 03:00:00 Europe/Berlin\nOnCalendar=Sun,Sat *-*-* 03:00:00 Europe/Berlin\nAccuracySec",
    );
    let json = scratch
        .teeline(0, &[&systemd[..], &["--user", "--json"]].concat())
        .json();
    let units = json["units"].as_array().unwrap();
    let file = |unit: &Value| unit["file"].as_str().unwrap().to_owned();
    assert_eq!(units.len(), 4);
    assert_eq!(
        file(&units[1]),
        "~/.config/systemd/user/teeline-daily.timer"
    );
    let service = units[0]["content"].as_str().unwrap();
    assert!(!service.contains("network-online"), "{service}");

    // Whoever reads them in earnest has no complaint.
    let units = scratch
        .teeline(0, &[&systemd[..], &["--json"]].concat())
        .json();
    let mut files = Vec::new();
    for unit in units["units"].as_array().unwrap() {
        let name = format!("units/{}", file(unit).rsplit_once('/').unwrap().1);
        scratch.write(&name, unit["content"].as_str().unwrap());
        files.push(scratch.path(&name));
    }
    if let Some(mut analyze) = systemd_analyze() {
        let checked = analyze
            .args(["verify", "--man=no"])
            .args(files)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(
            checked.status.success() && !said.contains("teeline-"),
            "{said}"
        );
    }

    configure(&scratch, "[schedules.daily]\ncron = \"0 2 15W * *\"");
    let refused = scratch.teeline(2, &systemd).stderr;
    assert!(
        refused.contains("schedules.daily.cron: \"0 2 15W * *\" can't be translated"),
        "{refused}"
    );
}

/// systemd's own reader of units, where there is one.
#[allow(
    clippy::print_stderr,
    reason = "who reads the log should know what wasn't tested"
)]
fn systemd_analyze() -> Option<Command> {
    let found = Command::new("systemd-analyze").arg("--version").output();
    if found.is_err() {
        eprintln!("there is no systemd-analyze here: it isn't asked");
        return None;
    }
    let mut command = Command::new("systemd-analyze");
    command.env("TZ", "UTC").env("LC_ALL", "C");
    Some(command)
}

#[test]
fn calendar_events_come_to_the_times_of_the_expression() {
    let zone: TimeZone = "Europe/Berlin".parse().unwrap();
    let start: Timestamp = "2026-11-23T12:00:00.000Z".parse().unwrap();
    for text in [
        "0 2 * * *",
        "*/7 * * * *",
        "*/20 9-17/4 * * 1-5",
        "15 30 4 * * 0",
        "0 0 L * *",
        "0 12 13 * 5",
        "0 12 1-7 * +MON",
        "0 0 * * FRI#2",
        "0 0 * * 1#L",
        "0 6 * 1,7 *",
        "0 0 31 * *",
        "@weekly",
        "@yearly",
        "0 0 * * 2#5",
    ] {
        let cron: CronExpression = text.parse().unwrap();
        let events = cron.calendar_events(zone).unwrap();
        let timing = Timing {
            cron,
            time_zone: zone,
            jitter: Span::default(),
        };
        let expected: Vec<String> = timing.times_after(start).take(5).map(minute).collect();
        let Some(found) = elapses(&events) else {
            return;
        };
        assert_eq!(found[..5], expected, "{text} {events:?}");
    }
}

fn minute(time: Timestamp) -> String {
    time.to_string()[..19].replace('T', " ")
}

/// When timers with these events next elapse, as systemd has it.
fn elapses(events: &[String]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for event in events {
        let said = systemd_analyze()?
            .args([
                "calendar",
                "--base-time=2026-11-23 12:00:00 UTC",
                "--iterations=5",
                event,
            ])
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let times = said
            .lines()
            .filter(|line| line.contains("Next elapse:") || line.contains("Iter. #"));
        found.extend(times.map(|line| {
            let words: Vec<&str> = line.split_whitespace().rev().take(3).collect();
            format!("{} {}", words[2], words[1])
        }));
    }
    found.sort();
    found.dedup();
    Some(found)
}
