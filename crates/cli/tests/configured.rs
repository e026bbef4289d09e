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
