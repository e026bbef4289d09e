//! What a configuration says, where it is wrong, and what a check of it finds.

mod shared;

use shared::Scratch;

#[test]
fn an_unusable_source_is_named_by_file_line_and_key() {
    let scratch = Scratch::new();
    scratch.write("empty.txt", "\n");
    for (setting, part) in [
        ("connection = \"ftp://bucket\"", "the scheme is none of"),
        ("connection = \"no-url\"", "no scheme"),
        (
            "connection_env = \"NOT_SET\"",
            "variable NOT_SET: isn't set",
        ),
        (
            "connection_env = \"WRONG\"",
            "variable WRONG: connection string",
        ),
        (
            "connection_file = \"none.txt\"",
            "none.txt: can't be read: no such file",
        ),
        ("connection_file = \"empty.txt\"", "empty.txt: is empty"),
    ] {
        let key = setting.split(' ').next().unwrap_or_default();
        scratch.write("teeline.toml", format!("\n[source]\n{setting}\n"));
        for arguments in [
            &["config", "check", "teeline.toml"][..],
            &["backup", "--config", "teeline.toml", "--to", "a"],
        ] {
            let mut command = scratch.command(arguments);
            let run = command.env("WRONG", "hidden-secret").output().unwrap();
            let run = shared::Run::of(2, run, setting);
            let begin = format!("error: teeline.toml:3:1: `source.{key}`");
            assert!(
                run.stderr.starts_with(&begin) && run.stderr.contains(part),
                "{setting}: {}",
                run.stderr
            );
            assert!(!run.stderr.contains("hidden-secret"), "{}", run.stderr);
        }
    }
    let missing = scratch.teeline(2, &["list", "--config", "none.toml"]);
    assert!(
        missing.stderr.contains("no such file"),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_check_refuses_what_no_backup_can_use() {
    let scratch = Scratch::new();
    let source = "[source]\npath = \"-\"\n";
    let places = "[destinations.a]\npath = \"a\"\n[destinations.b]\npath = \"b\"\n";
    for (settings, part) in [
        (
            "[backup]\nstrategy = \"quorum:3\"\n",
            "quorum:3 of 2 destinations",
        ),
        ("[backup]\nstrategy = \"priority\"\n", "standard input"),
        ("[engine]\nworkers = 64\n", "--budget-bytes"),
        (
            "[engine]\nbudget_bytes = \"8MiB\"\nworkers = 8\n",
            "engine.budget_bytes",
        ),
        ("[backup]\nblock_bytes = \"16MiB\"\n", "backup.block_bytes"),
        ("[backup]\npath = \"teeline.json/{date}\"\n", "teeline.json"),
        (
            "[backup]\npartitions = { byRegion = [\"US\"] }\n",
            "JSON lines have none",
        ),
        (
            "[destinations.c]\npath = \"b/c\"\n",
            "c (b/c) is inside b (b)",
        ),
    ] {
        scratch.write("teeline.toml", format!("{source}{places}{settings}"));
        for arguments in [
            &["config", "check", "teeline.toml"][..],
            &["backup", "--config", "teeline.toml"],
        ] {
            let run = scratch.teeline(2, arguments);
            assert!(run.stderr.contains(part), "{settings}: {}", run.stderr);
            let is_check = arguments[0] == "config";
            let names_file = run.stderr.starts_with("error: teeline.toml");
            assert!(names_file || !is_check, "{}", run.stderr);
        }
    }
    assert!(!scratch.path("a").exists());
    // Without a source, what is typed is yet to come.
    scratch.write(
        "teeline.toml",
        format!(
            "{places}[backup]\nstrategy = \"priority\"\npartitions = {{ byRegion = [\"US\"] }}\n"
        ),
    );
    scratch.teeline(0, &["config", "check", "teeline.toml"]);
}

#[test]
fn hooks_are_told_why_a_backup_could_not_even_be_asked_for() {
    let scratch = Scratch::new();
    scratch.write(
        "teeline.toml",
        "[source]\nconnection_env = \"NOT_SET\"\n[destinations.a]\npath = \"a\"\n\
         [schedules.nightly]\ncron = \"0 2 * * *\"\ntype = \"nightly\"\n\
         [hooks.note]\ncommand = [\"sh\", \"-c\", \"cat >> told; echo >> told\"]\n\
         [hooks.dead]\nping = \"http://127.0.0.1:1/hidden-secret\"\n",
    );
    let file = ["--config", "teeline.toml"];
    let nightly = Some("nightly");
    for (arguments, backup_type, schedule) in [
        (&["backup", "weekly"][..], "weekly", None),
        (&["backup", "--schedule", "nightly"], "nightly", nightly),
        (&["schedule", "run", "nightly"], "nightly", nightly),
    ] {
        let run = scratch.teeline(2, &[arguments, &file].concat());
        let told = std::fs::read_to_string(scratch.path("told")).unwrap();
        let event: serde_json::Value = serde_json::from_str(told.trim()).unwrap();
        assert_eq!(event["event"], "plg:backup:error");
        assert_eq!(event["type"], backup_type);
        assert_eq!(event["schedule"].as_str(), schedule);
        let message = event["error"]["message"].as_str().unwrap();
        assert!(message.contains("variable NOT_SET: isn't set"), "{message}");
        assert!(run.stderr.contains(message), "{}", run.stderr);
        let dead = "error: hook dead, at plg:backup:error: call http://127.0.0.1:1: ";
        assert!(run.stderr.contains(dead), "{}", run.stderr);
        assert!(!run.stderr.contains("hidden-secret"), "{}", run.stderr);
        std::fs::remove_file(scratch.path("told")).unwrap();
    }
    scratch.teeline(2, &[&["backup", "--dry-run"][..], &file].concat());
    assert!(!scratch.path("told").exists(), "a dry run tells nobody");
}

#[test]
fn drivers_that_take_a_resource_each_get_the_backups_of_it() {
    let scratch = Scratch::new();
    for (name, lines) in [("users", 2), ("events", 3)] {
        scratch.write(&format!("in/{name}.jsonl"), "{\"id\":1}\n".repeat(lines));
    }
    scratch.write(
        "backup.json5",
        "{
          source: { path: 'in' },
          driver: 'multi',
          config: {
            strategy: 'all',
            drivers: [
              { driver: 'filesystem', config: { path: 'backup-users', resources: ['users'] } },
              { driver: 'filesystem', config: { path: 'backup-events', resources: ['events'] } }
            ]
          }
        }",
    );
    let file = ["--config", "backup.json5"];
    let checked = scratch.teeline(0, &["config", "check", "backup.json5", "--json"]);
    let taken = &checked.json()["destinations"];
    assert_eq!(taken[0]["resources"], serde_json::json!(["users"]));
    let checked = scratch.teeline(0, &["config", "check", "backup.json5"]);
    assert!(
        checked.stdout.contains("takes events"),
        "{}",
        checked.stdout
    );
    for (name, other, records) in [("users", "events", 2), ("events", "users", 3)] {
        let arguments = [&["backup", "--resources", name, "--json"][..], &file].concat();
        let made = scratch.teeline(0, &arguments).json();
        assert_eq!(made["recordCount"], records);
        assert_eq!(
            made["leftOut"],
            serde_json::json!([format!("backup-{other}")])
        );
        assert_eq!(scratch.listed(&format!("backup-{name}")).len(), 1);
        let human = scratch.teeline(0, &[&["backup", "--resources", name][..], &file].concat());
        let left_out = format!("not for backup-{other}: it takes other resources");
        assert!(human.stdout.contains(&left_out), "{}", human.stdout);
    }
    assert_eq!(scratch.listed("backup-users").len(), 2);
    assert_eq!(scratch.listed("backup-events").len(), 2);
    let both = scratch.teeline(2, &[&["backup"][..], &file].concat());
    for part in [
        "no destination takes all of what is asked for, which is everything",
        "backup-users takes users; backup-events takes events",
        "--resources",
    ] {
        assert!(both.stderr.contains(part), "{}", both.stderr);
    }
    let listed = scratch.teeline(0, &[&["list"][..], &file].concat());
    assert!(listed.stdout.contains("RESOURCES"), "{}", listed.stdout);
    let restore = ["restore", "latest", "--target", "./out"];
    let restored = scratch.teeline(0, &[&restore[..], &file].concat());
    let of = "the backup is of these resources: events";
    assert!(restored.stdout.contains(of), "{}", restored.stdout);
    let synced = scratch.teeline(0, &[&["sync"][..], &file].concat());
    assert!(
        synced.stdout.contains("every destination has every backup"),
        "{}",
        synced.stdout
    );
    scratch.teeline(0, &[&["verify"][..], &file].concat());
}

#[test]
fn a_check_reads_the_secrets_that_a_backup_will() {
    let scratch = Scratch::new();
    for (secret, part) in [
        ("key = \"hex:00\"", "isn't 32 bytes"),
        ("passphrase_env = \"NOT_SET\"", "NOT_SET"),
        ("passphrase_file = \"none.txt\"", "none.txt"),
    ] {
        scratch.write(
            "teeline.toml",
            format!("[destinations.a]\npath = \"a\"\n[encryption]\n{secret}\n"),
        );
        let run = scratch.teeline(2, &["config", "check", "teeline.toml"]);
        assert!(run.stderr.contains(part), "{secret}: {}", run.stderr);
        assert!(run.stderr.contains("teeline.toml"), "{}", run.stderr);
    }
    scratch.write(
        "teeline.toml",
        "[destinations.a]\npath = \"a\"\n[encryption]\nkey_command = [\"false\"]\n",
    );
    scratch.teeline(0, &["config", "check", "teeline.toml"]);
}

#[test]
fn variables_replace_settings_without_a_file_too() {
    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", "{\"id\":1}\n");
    let teeline = |code: i32, arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = scratch.command(arguments);
        command.envs(variables.iter().copied());
        shared::Run::of(code, command.output().unwrap(), &format!("{arguments:?}"))
    };
    let variables = [
        ("TEELINE__BACKUP__COMPRESSION", "none"),
        ("TEELINE__DESTINATIONS__NEAR__PATH", "near"),
    ];
    let made = teeline(0, &["backup", "--from", "in", "--json"], &variables).json();
    assert_eq!(made["destinations"][0]["name"], "near");
    let id = made["id"].as_str().unwrap();
    assert!(scratch.path(&format!("near/{id}/users.jsonl")).exists());
    assert!(!scratch.path("backups").exists());
    let list = teeline(0, &["list", "--json"], &variables).json();
    assert_eq!(list["backups"][0]["id"], id);

    for (name, value, part) in [
        (
            "TEELINE__BACKUP__LEVEL",
            "13",
            "variable TEELINE__BACKUP__LEVEL: `backup.level` is 13",
        ),
        (
            "TEELINE__BACKUPS__LEVEL",
            "1",
            "variable TEELINE__BACKUPS__LEVEL: unknown key",
        ),
    ] {
        for arguments in [&["list"][..], &["backup", "--from", "in"]] {
            let run = teeline(2, arguments, &[(name, value)]);
            assert!(run.stderr.contains(part), "{}", run.stderr);
        }
    }
}

#[test]
#[cfg(unix)]
fn a_variable_for_a_setting_that_is_no_text_is_refused_and_its_value_not_shown() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", "{\"id\":1}\n");
    let path = "TEELINE__DESTINATIONS__NEAR__PATH".as_bytes();
    for (name, value, message) in [
        (
            path,
            &b"hidden-\xff"[..],
            "variable TEELINE__DESTINATIONS__NEAR__PATH: its value isn't UTF-8",
        ),
        (
            b"TEELINE__DESTINATIONS__\xff__PATH",
            b"hidden-secret",
            "variable TEELINE__DESTINATIONS__\u{fffd}__PATH: its name isn't UTF-8",
        ),
    ] {
        for arguments in [&["list"][..], &["backup", "--from", "in"]] {
            let mut command = scratch.command(arguments);
            command.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
            let run = shared::Run::of(2, command.output().unwrap(), message);
            assert!(run.stderr.contains(message), "{}", run.stderr);
            assert!(!run.stderr.contains("hidden"), "{}", run.stderr);
        }
        assert!(!scratch.path("backups").exists());
    }
    let mut others = scratch.command(&["backup", "--from", "in", "--to", "near"]);
    others.env("TEELINE_NOTE", OsStr::from_bytes(b"\xff"));
    shared::Run::of(0, others.output().unwrap(), "none of ours");
}

#[test]
fn hooks_of_the_configuration_are_called_and_named_where_they_fail() {
    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", "{\"id\":1}\n");
    let configured = |command: &str| {
        format!(
            "[source]\npath = \"in\"\n[destinations.a]\npath = \"a\"\n\
             [hooks.dead]\nping = \"http://127.0.0.1:1/hidden-secret\"\n\
             [hooks.gate]\non = [\"backup-start\", \"restore-start\"]\ncommand = {command}\n"
        )
    };
    scratch.write("open.toml", configured("[\"true\"]"));
    scratch.write(
        "shut.toml",
        configured("[\"sh\", \"-c\", \"echo not now >&2; exit 9\"]"),
    );
    let made = scratch.teeline(0, &["backup", "--config", "open.toml"]);
    for event in ["plg:backup:start", "plg:backup:complete"] {
        let begin = format!("error: hook dead, at {event}: call http://127.0.0.1:1: ");
        assert!(made.stderr.contains(&begin), "{}", made.stderr);
    }
    assert!(!made.stderr.contains("hidden-secret"), "{}", made.stderr);
    let restore = |code, file: &str| {
        scratch.teeline(
            code,
            &["restore", "latest", "--config", file, "--target", "./out"],
        )
    };
    for shut in [
        scratch.teeline(1, &["backup", "--config", "shut.toml"]),
        restore(1, "shut.toml"),
    ] {
        let message = "hook gate: it stopped the run: exit status: 9: not now";
        assert!(shut.stderr.contains(message), "{}", shut.stderr);
    }
    assert_eq!(scratch.listed("a").len(), 1);
    assert!(!scratch.path("out").exists());
    let restored = restore(0, "open.toml");
    assert!(scratch.path("out").exists());
    let hears = restored.stderr.contains("hook dead");
    assert!(!hears, "a ping is of backups: {}", restored.stderr);
}
