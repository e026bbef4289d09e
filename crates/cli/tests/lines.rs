//! How lines are packed, and how much of them is checked.

mod shared;

use shared::Scratch;

#[test]
fn zstd_files_are_read_by_zstd_and_come_back() {
    let scratch = Scratch::new();
    let lines: String = (0..40_000)
        .map(|n| format!("{{\"id\":{n},\"text\":\"record {n} of many\"}}\n"))
        .collect();
    scratch.write("in.jsonl", &lines);
    for (block_bytes, frames) in [(None, 1), (Some("256KiB"), 7)] {
        let to = format!("at-{frames}");
        let mut arguments = vec!["backup", "--from", "in.jsonl", "--to", &to, "--json"];
        arguments.extend(["--compression", "zstd", "--level", "1"]);
        arguments.extend(
            block_bytes
                .iter()
                .flat_map(|bytes| ["--block-bytes", bytes]),
        );
        let made = scratch.teeline(0, &arguments).json();
        let file = format!("{to}/{}/in.jsonl.zst", made["id"].as_str().unwrap());
        let stored = scratch.read(&file);
        let begins = stored
            .windows(4)
            .filter(|at| *at == [0x28, 0xb5, 0x2f, 0xfd])
            .count();
        assert!(begins >= frames, "{begins}");
        assert_eq!(zstd::decode_all(&stored[..]).unwrap(), lines.as_bytes());
        scratch.teeline(0, &["verify", "--at", &to]);
        let restored = format!("./restored-{frames}");
        scratch.teeline(
            0,
            &["restore", "latest", "--at", &to, "--target", &restored],
        );
        assert_eq!(
            scratch.read(&format!("{restored}/in.jsonl")),
            lines.as_bytes()
        );
    }
}

#[test]
fn lines_are_checked_as_much_as_is_asked() {
    let scratch = Scratch::new();
    scratch.write("broken.jsonl", "{\"a\":1}\n{\"a\":\n");
    scratch.write("bytes.jsonl", b"{\"a\":1}\n\xff\n\n");
    let backup = |exit: i32, from: &str, more: &[&str]| {
        let arguments = [&["backup", "--from", from, "--to", "at"], more].concat();
        scratch.teeline(exit, &arguments)
    };
    let refused = backup(1, "broken.jsonl", &[]);
    assert!(
        refused.stderr.contains("broken.jsonl, line 2, column 5"),
        "{refused:?}"
    );
    backup(0, "broken.jsonl", &["--validate", "lines"]);
    let refused = backup(1, "bytes.jsonl", &["--validate", "lines"]);
    assert!(
        refused
            .stderr
            .contains("bytes.jsonl, line 2, column 1: not a line of text"),
        "{refused:?}"
    );
    backup(0, "bytes.jsonl", &["--validate", "none"]);
    scratch.teeline(
        0,
        &["restore", "latest", "--at", "at", "--target", "./restored"],
    );
    assert_eq!(scratch.read("restored/bytes.jsonl"), b"{\"a\":1}\n\xff\n\n");

    scratch.write("teeline.toml", "[source]\npath = \"broken.jsonl\"\nvalidate = \"none\"\n[destinations.at]\npath = \"at\"\n");
    scratch.teeline(0, &["backup", "--config", "teeline.toml"]);
    scratch.teeline(
        1,
        &["backup", "--config", "teeline.toml", "--validate", "json"],
    );
    let refused = scratch.teeline(
        2,
        &[
            "backup",
            "--connection-env",
            "NOWHERE",
            "--validate",
            "none",
        ],
    );
    assert!(refused.stderr.contains("--validate"), "{refused:?}");
}
