//! Files that can't be read as a configuration at all.

use super::*;

#[test]
fn syntax_errors_name_the_line_and_quote_nothing() {
    toml("[backup]\nlevel = 1\nlevel = 2").refused("c.toml:3:1: duplicate key", None);
    toml("[destinations.a]\nsecret_access_key = \"CANARY")
        .refused("c.toml:2:28: invalid basic string, expected `\"`", None);
    json("{\n  \"a\": \"CANARY\",\n}").refused("c.json:3:1: trailing comma", None);
    json("{\"backup\": {\"level\": 1,\n\"level\": 2}}")
        .refused("c.json:2:11: a key is given twice", None);
    yaml("backup:\n  level: 1\n  level: CANARY\n")
        .refused("c.yaml:3:10: a key is given twice", None);
    yaml("secret: CANARY: b\n").refused(
        "c.yaml:1:15: mapping values are not allowed in this context",
        None,
    );
    yaml("---\na: CANARY\n---\nb: 2\n").refused("c.yaml: holds more than one YAML document", None);
    let no_table = "isn't a table of sections such as";
    json("\"CANARY\"").refused(&format!("c.json: {no_table} [backup]"), None);
    yaml("CANARY").refused(
        &format!(
            "c.yaml: {no_table} `backup:`, or has a key or a number of a kind that isn't supported"
        ),
        None,
    );
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    let message =
        "the file's name doesn't tell the format; accepted: .toml, .yaml, .yml, .json, .json5";
    for file in ["c.ini", "c"] {
        let text = "CANARY";
        Case {
            file,
            text,
            env: &[],
        }
        .refused(&format!("{file}: {message}"), None);
    }
    let error = load(Path::new("no/such.toml"), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no/such.toml: can't be read: no such file or directory"
    );
    let large = "#".repeat(1024 * 1024 + 1);
    toml(&large).refused("c.toml: is larger than 1 MiB, so no configuration", None);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(
        load(&path, &[])
            .unwrap_err()
            .to_string()
            .ends_with("c.toml: isn't UTF-8")
    );
}

#[test]
fn deep_nesting_is_refused() {
    let depth = 100_000;
    let yaml_deep = |text: &str| yaml(text).load().unwrap_err();
    for text in [
        format!("a: {}", "[".repeat(depth)),
        format!("a: {}", "{a: ".repeat(depth)),
        "- ".repeat(depth),
        "? ".repeat(depth),
        format!("a:\n  {}x", "- ".repeat(depth)),
    ] {
        assert!(yaml_deep(&text).to_string().contains("c.yaml:"));
    }
    let blocks: String = (0..2000)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    assert!(
        yaml_deep(&blocks[..1_000_000])
            .to_string()
            .contains("nested too deeply")
    );
    for text in ["[".repeat(depth), "{\"a\":".repeat(depth)] {
        assert!(
            json(&text)
                .load()
                .unwrap_err()
                .to_string()
                .contains("recursion limit")
        );
    }
    assert!(toml(&format!("a = {}", "[".repeat(depth))).load().is_err());
}
