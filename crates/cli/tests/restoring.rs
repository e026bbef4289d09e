//! Where a restore goes, as it is typed.

mod shared;

use shared::Scratch;

fn with_backup() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", "{\"id\":1}\n");
    scratch.write("in/a b.jsonl", "{}\n");
    scratch.teeline(0, &["backup", "--from", "in", "--to", "a"]);
    scratch
}

#[test]
fn a_target_that_is_rather_a_mistake_is_refused() {
    let scratch = with_backup();
    let home = scratch.path("home");
    for (target, part) in [
        (&["--target", "--dry-run"][..], "--target"),
        (&["--target=--dry-run"], "rather an option"),
        (&["--target=-x"], "rather an option"),
        (&["--target", "~/x"], "'~'"),
        (&["--target", ""], "no path"),
        (&["--target", "s3:/key:hidden@bucket"], "looks like a URL"),
        (&["--target", "file://relative"], "three slashes"),
        (&["--target", "ftp://x"], "ftp://"),
    ] {
        let arguments = [&["restore", "latest", "--at", "a"][..], target].concat();
        let output = scratch
            .command(&arguments)
            .env("HOME", &home)
            .output()
            .unwrap();
        let run = shared::Run::of(2, output, &format!("{arguments:?}"));
        assert!(
            run.stderr.contains(part) && !run.stderr.contains("hidden"),
            "{target:?}: {}",
            run.stderr
        );
    }
    let folders = scratch.files(".").into_iter();
    let folders = folders.map(|file| file.split('/').next().unwrap_or_default().to_owned());
    assert!(
        folders
            .into_iter()
            .all(|folder| ["a", "in"].contains(&&*folder))
    );
}

#[test]
fn a_file_is_no_target() {
    let scratch = with_backup();
    scratch.write("file", "mine");
    for overwrite in [&[][..], &["--overwrite"]] {
        let arguments = ["restore", "latest", "--at", "a", "--target", "./file"];
        let run = scratch.teeline(1, &[&arguments[..], overwrite].concat());
        assert!(
            run.stderr.contains("it is a file") && run.stderr.contains("help: "),
            "{}",
            run.stderr
        );
    }
    assert_eq!(scratch.read("file"), b"mine");
}

#[test]
fn a_destination_is_no_target() {
    let scratch = with_backup();
    let held = scratch.files("a");
    let id = scratch.listed("a").remove(0);
    for (target, why) in [
        ("./a".to_owned(), "backups are kept in it"),
        (format!("./a/{id}"), "it is in the folder of a backup"),
        (
            format!("./a/{id}/new/below"),
            "it is in the folder of a backup",
        ),
        ("./a/runs".to_owned(), "what belongs to a destination"),
        (
            "./a/catalog/new".to_owned(),
            "what belongs to a destination",
        ),
    ] {
        for overwrite in [&[][..], &["--overwrite"]] {
            let arguments = ["restore", "latest", "--at", "a", "--target", &target];
            let run = scratch.teeline(1, &[&arguments[..], overwrite].concat());
            assert!(run.stderr.contains(why), "{}", run.stderr);
        }
    }
    assert_eq!(scratch.files("a"), held);
    let beside = [
        "restore",
        "latest",
        "--at",
        "a",
        "--target",
        "./a/restored/x",
    ];
    scratch.teeline(0, &beside);
    assert_eq!(scratch.listed("a"), [id]);
}

#[test]
fn an_empty_name_of_a_resource_is_refused() {
    let scratch = with_backup();
    for names in ["", "users,", ",users", "users,,a b"] {
        let run = scratch.teeline(
            2,
            &[
                "restore",
                "latest",
                "--at",
                "a",
                "--target",
                "./out",
                "--resources",
                names,
            ],
        );
        assert!(run.stderr.contains("--resources"), "{}", run.stderr);
    }
    assert!(!scratch.path("out").exists());
}

#[test]
fn a_url_of_a_file_is_a_folder_and_names_are_escaped() {
    let scratch = with_backup();
    let target = format!("file://{}/x%20y", scratch.path("").display());
    scratch.teeline(0, &["restore", "latest", "--at", "a", "--target", &target]);
    assert_eq!(scratch.files("x y"), ["a=20b.jsonl", "users.jsonl"]);
}

#[test]
fn a_target_is_named_by_the_configuration_and_never_guessed() {
    let scratch = with_backup();
    scratch.write(
        "teeline.toml",
        "[destinations.a]\npath = \"a\"\n[targets.here]\npath = \"restored\"\n\
         [targets.shop]\nconnection_env = \"SHOP\"\n",
    );
    let named = ["restore", "latest", "--config", "teeline.toml", "--target"];
    scratch.teeline(0, &[&named[..], &["here"]].concat());
    assert_eq!(scratch.files("restored"), ["a=20b.jsonl", "users.jsonl"]);

    let unset = scratch.teeline(2, &[&named[..], &["shop"]].concat());
    assert!(
        unset
            .stderr
            .contains("`targets.shop.connection_env`, variable SHOP: isn't set"),
        "{}",
        unset.stderr
    );
    let unknown = scratch.teeline(2, &[&named[..], &["hree"]].concat());
    assert!(
        unknown.stderr.contains("there are: here, shop") && unknown.stderr.contains("./hree"),
        "{}",
        unknown.stderr
    );
    let without = scratch.teeline(2, &["restore", "latest", "--at", "a", "--target", "here"]);
    assert!(without.stderr.contains("names none"), "{}", without.stderr);
    assert!(!scratch.path("here").exists() && !scratch.path("hree").exists());

    let check = ["config", "check", "teeline.toml", "--json"];
    let checked = scratch
        .command(&check)
        .env("SHOP", "s3://key:hidden@shop/x")
        .output()
        .unwrap();
    let checked = shared::Run::of(0, checked, "config check").json();
    assert_eq!(
        checked["targets"],
        serde_json::json!([
            { "name": "here", "location": "restored" },
            { "name": "shop", "location": "s3://***:***@shop/x" },
        ])
    );
}

#[test]
fn a_time_goes_with_a_configuration_and_what_is_no_id_is_unknown() {
    let scratch = with_backup();
    scratch.write("teeline.toml", "[destinations.a]\npath = \"a\"\n");
    let restore = ["restore", "--config", "teeline.toml", "--target"];
    scratch.teeline(0, &[&restore[..], &["./x", "--at", "2200-01-01"]].concat());
    assert_eq!(scratch.files("x"), ["a=20b.jsonl", "users.jsonl"]);
    let listed = ["backup", "--list", "--config", "teeline.toml", "--to", "a"];
    assert!(scratch.teeline(0, &listed).stdout.contains("full-"));
    let both = scratch.teeline(2, &[&restore[..], &["./y", "--at", "a"]].concat());
    assert!(both.stderr.contains("--config"), "{}", both.stderr);

    let foreign = [
        "restore",
        "full-2025-01-15-abc123",
        "--at",
        "a",
        "--target",
        "./y",
    ];
    let unknown = scratch.teeline(1, &foreign);
    assert!(
        unknown.stderr.contains("isn't the id of one"),
        "{}",
        unknown.stderr
    );
    let json = scratch
        .teeline(1, &[&foreign[..], &["--json"]].concat())
        .json();
    assert_eq!(json["failure"]["operation"], "restore", "{json}");
    assert_eq!(json["failure"]["statusCode"], 404);
    assert!(!scratch.path("y").exists());
}

#[test]
fn resources_of_any_name_come_back_under_it() {
    let scratch = Scratch::new();
    let names = ["a=b", "a%b", "a\\b", "=C3=A9", "x y"];
    for name in names {
        scratch.write(&format!("in/{name}.jsonl"), "{\"id\":1}\n");
    }
    scratch.teeline(0, &["backup", "--from", "in", "--to", "a"]);
    let restore = ["restore", "latest", "--at", "a", "--target"];
    let made = scratch
        .teeline(0, &[&restore[..], &["./all", "--json"]].concat())
        .json();
    assert_eq!(made["restored"].as_array().unwrap().len(), names.len());
    for name in names {
        let one = scratch.teeline(0, &[&restore[..], &["-", "--resources", name]].concat());
        assert_eq!(one.stdout, "{\"id\":1}\n", "{name}");
    }
    scratch.teeline(0, &[&restore[..], &["./new", "--rename", "a=b=c"]].concat());
    assert!(scratch.path("new/c.jsonl").exists());
    let refused = scratch.teeline(2, &[&restore[..], &["./no", "--rename", "a=b=c%"]].concat());
    assert!(refused.stderr.contains("a new name"), "{}", refused.stderr);

    // What was restored is backed up and restored again.
    scratch.teeline(0, &["backup", "--from", "all", "--to", "b"]);
    scratch.teeline(
        0,
        &["restore", "latest", "--at", "b", "--target", "./again"],
    );
    assert_eq!(scratch.files("again").len(), names.len());
}
