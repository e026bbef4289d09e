//! What is refused on account of environment variables.

use super::*;

#[test]
fn a_variable_at_fault_is_named() {
    let text = "[backup]\nlevel = 3\n[destinations.a]\npath = \"x\"";
    for (env, message) in [
        (
            ("TEELINE__BACKUP__LEVEL", "CANARY"),
            "variable TEELINE__BACKUP__LEVEL: `backup.level` is text; accepted: an integer from 1 to 12",
        ),
        (
            ("TEELINE__BACKUP__LEVEL", "13"),
            "variable TEELINE__BACKUP__LEVEL: `backup.level` is 13; accepted: an integer from 1 to 12",
        ),
        (
            ("TEELINE__BACKUP__COMPRESSION", "lzma"),
            "variable TEELINE__BACKUP__COMPRESSION: `backup.compression` is \"lzma\"; accepted: gzip, zstd, deflate, brotli, none",
        ),
        (
            ("TEELINE__BACKUP__INCLUDE", "a,b["),
            "variable TEELINE__BACKUP__INCLUDE: `backup.include[1]` isn't usable: not a glob: unclosed \
             character class; missing ']'",
        ),
        (
            ("TEELINE__ENGINE", "CANARY"),
            "variable TEELINE__ENGINE: `engine` is text; accepted: a table",
        ),
        (
            ("TEELINE__BACKUP__LEVEL__X", "CANARY"),
            "variable TEELINE__BACKUP__LEVEL__X: `backup.level` is a table; accepted: an integer from 1 to 12",
        ),
        (
            ("TEELINE__DESTINATIONS__B__REQUIRED", "true"),
            "variable TEELINE__DESTINATIONS__B__REQUIRED: `destinations.b` has neither path nor url",
        ),
        (
            ("TEELINE__DESTINATIONS__A__REQUIRED", ""),
            "variable TEELINE__DESTINATIONS__A__REQUIRED: `destinations.a.required` is text; accepted: true, false",
        ),
        (
            ("TEELINE__", "CANARY"),
            "variable TEELINE__: names no setting; one looks like TEELINE__BACKUP__STRATEGY",
        ),
        (
            ("TEELINE__A[0]__B", "CANARY"),
            "variable TEELINE__A[0]__B: names no setting; one looks like TEELINE__BACKUP__STRATEGY",
        ),
    ] {
        let error = toml(text).env(&[env]).load().unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let error = toml(text)
        .env(&[("TEELINE__ENGINE__WROKERS", "2")])
        .load()
        .unwrap_err();
    let message = "variable TEELINE__ENGINE__WROKERS: unknown key `engine.wrokers`; accepted here: executor, workers, budget_bytes, temp_dir, log_level";
    assert_eq!(error.to_string(), message);
    assert_eq!(error.suggestion(), Some("did you mean `workers`?"));
    toml(text)
        .env(&[("TEELINE__A", "1"), ("TEELINE__A__B", "2")])
        .refused(
            "variable TEELINE__A: is a value where variable TEELINE__A__B has a table",
            None,
        );
    toml(text)
        .env(&[("TEELINE__A__B", "1"), ("TEELINE__A__b", "2")])
        .refused(
            "variable TEELINE__A__b: is the same setting as variable TEELINE__A__B",
            None,
        );
}

#[test]
fn variables_that_cannot_be_filled_in_are_named() {
    toml("[destinations.a]\nurl = \"s3://k:x@b\"\nsecret_access_key = \"CANARY${BACKUP_SECRET}\"").refused(
        "c.toml:3:1: `destinations.a.secret_access_key` needs the variable BACKUP_SECRET, which isn't set",
        Some("set BACKUP_SECRET"),
    );
    let form = "a `${` without a name and a `}` after it";
    let suggestion = Some("write ${NAME} for the value of a variable, and $${ for ${ itself");
    for text in [
        "${",
        "CANARY${}",
        "${CANARY",
        "${CANARY:-x}",
        "${1}",
        "$${A}${",
    ] {
        toml(&format!("[backup]\ninclude = [\"{text}\"]")).refused(
            &format!("c.toml:2:12: `backup.include[0]` holds {form}"),
            suggestion,
        );
    }
    yaml("source:\n  connection: ${UNSET}\n").refused(
        "c.yaml: `source.connection` needs the variable UNSET, which isn't set",
        Some("set UNSET"),
    );
}

#[test]
fn what_a_variable_filled_in_is_never_shown() {
    let env = [("WORD", CANARY), ("NUMBER", "99999"), ("EMPTY", "")];
    for (text, message) in [
        (
            "strategy = \"${WORD}\"",
            "strategy` is none of the accepted words; accepted: all, any, priority, quorum:N with N from 1",
        ),
        (
            "level = \"${NUMBER}\"",
            "level` is out of bounds; accepted: an integer from 1 to 12",
        ),
        (
            "block_bytes = \"${NUMBER}GiB\"",
            "block_bytes` is out of bounds; accepted: 4 KiB to 16 MiB",
        ),
        ("path = \"${EMPTY}\"", "path` is empty"),
    ] {
        let text = format!("[backup]\n{text}");
        let case = toml(&text).env(&env);
        case.refused(&format!("c.toml:2:1: `backup.{message}"), None);
    }
}
