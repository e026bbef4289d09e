//! What is refused: the place, the key, what was found and what is accepted.

use super::*;

#[test]
fn unknown_keys_are_found_at_their_line() {
    toml("# c\n[backup]\nlevel = 1\n  stratgy = \"CANARY\"\n").refused(
        "c.toml:4:3: unknown key `backup.stratgy`; accepted here: strategy, lag, lag_patience_ms, resume_quiet_ms, spill_bytes, catch_up, deadline, concurrency, compression, level, \
         block_bytes, segment_bytes, record_bytes_max, inline_bytes_max, verification, path, include, exclude, partitions, query, metadata, cleanup, base",
        Some("did you mean `strategy`?"),
    );
    let sections = "accepted here: time_zone, source, backup, encryption, retention, schedule, schedules, engine, destinations, targets, hooks, embedded_s3, plugin";
    for (text, place, key, hint) in [
        (
            "\nbackups = 1",
            "c.toml:2:1",
            "backups",
            Some("did you mean `backup`?"),
        ),
        (
            "workers = 2",
            "c.toml:1:1",
            "workers",
            Some("`workers` belongs to `engine`"),
        ),
        (
            "\"backup.level\" = 3",
            "c.toml:1:1",
            "\"backup.level\"",
            None,
        ),
        ("\"a\\nb\" = 3", "c.toml:1:1", "\"a\\nb\"", None),
        ("[nonsense.CAN]", "c.toml:1:2", "nonsense", None),
    ] {
        toml(text).refused(&format!("{place}: unknown key `{key}`; {sections}"), hint);
    }
    let destination = "accepted here: path, url, required, lag, retention, region, endpoint, access_key_id, \
                       secret_access_key, session_token, profile, path_style, permissions, directory_permissions, \
                       storage_class, server_side_encryption, kms_key_id, tags, object_lock, bytes_per_second_max, resources";
    let bucket = Some("the bucket is part of `url`: s3://bucket/prefix");
    let at = |place: &str, key: &str| format!("{place}: unknown key `{key}`; {destination}");
    toml("[destinations.primary]\nurl = \"s3://a\"\nbukcet = \"CANARY\"")
        .refused(&at("c.toml:3:1", "destinations.primary.bukcet"), bucket);
    toml("[destinations]\nprimary = { url = \"s3://a\", bucket = \"x\" }")
        .refused(&at("c.toml:2:29", "destinations.primary.bucket"), bucket);
    toml("destinations.a.url = \"s3://a\"\ndestinations.a.secret-access-key = \"CANARY\"").refused(
        &at("c.toml:2:16", "destinations.a.secret-access-key"),
        Some("did you mean `secret_access_key`?"),
    );
    yaml("destinations:\n  a: {url: 's3://a', strategy: any}").refused(
        &at("c.yaml", "destinations.a.strategy"),
        Some("`strategy` belongs to `backup`"),
    );
    json("{\"embedded_s3\": {\"root\": \"r\", \"sample\": {\"buckets\": 1}}}").refused(
        "c.json: unknown key `embedded_s3.sample.buckets`; accepted here: bucket, prefix, records",
        Some("did you mean `bucket`?"),
    );
}

#[test]
fn hooks_that_could_not_be_called_are_found_when_they_are_read() {
    let moments = "backup-start, backup-complete, backup-error, backup-cancelled, restore-start, restore-complete, \
                   restore-error, restore-cancelled";
    let unknown =
        format!("2:7: `hooks.x.on[0]` isn't usable: unknown moment \"start\"; accepted: {moments}");
    let http = "isn't usable: it isn't an http(s) URL";
    let secret = "isn't usable: whsec_ and the base64 of 24 to 64 bytes are expected";
    let one = "1:8: `hooks.x` needs one of command, url (a webhook) and ping";
    for (text, expected) in [
        (
            "on = []\nping = \"http://h\"",
            "2:1: `hooks.x.on` names no moment",
        ),
        ("on = [\"start\"]\nping = \"http://h\"", &unknown),
        (
            "command = []",
            "2:1: `hooks.x.command` isn't usable: it has no program",
        ),
        ("ping = \"CANARY\"", &format!("2:1: `hooks.x.ping` {http}")),
        (
            "url = \"ftp://CANARY\"",
            &format!("2:1: `hooks.x.url` {http}"),
        ),
        (
            "url = \"http://h\"\nsecret = \"CANARY\"",
            &format!("3:1: `hooks.x.secret` {secret}"),
        ),
        (
            "url = \"http://h\"\nsecret = \" \"",
            "3:1: `hooks.x.secret` names no secret",
        ),
        (
            "url = \"http://h\"\nsecret = []",
            "3:1: `hooks.x.secret` names no secret",
        ),
        (
            "ping = \"http://h\"\nsecret = \"CANARY\"",
            "3:1: `hooks.x.secret` goes with `url`, whose calls it signs",
        ),
        ("ping = \"http://h\"\nurl = \"http://h\"", one),
        ("", one),
    ] {
        toml(&format!("[hooks.x]\n{text}")).refused(&format!("c.toml:{expected}"), None);
    }
}

#[test]
fn a_wrong_type_says_what_is_accepted() {
    let size = "as an integer, or text such as \"1MiB\" (B, KiB, MiB, GiB, KB, MB, GB)";
    for (text, message) in [
        (
            "concurrency = \"CANARY\"",
            "concurrency` is text; accepted: an integer from 1 to 1024",
        ),
        (
            "concurrency = \"4\"",
            "concurrency` is text; accepted: an integer from 1 to 1024",
        ),
        (
            "level = 1.5",
            "level` is a number with a fraction; accepted: an integer from 1 to 12",
        ),
        (
            "strategy = [\"all\"]",
            "strategy` is a list; accepted: all, any, priority, quorum:N with N from 1",
        ),
        (
            "strategy = true",
            "strategy` is a boolean; accepted: all, any, priority, quorum:N with N from 1",
        ),
        (
            "include = \"CANARY\"",
            "include` is text; accepted: a list of text",
        ),
        (
            "include = { a = 1 }",
            "include` is a table; accepted: a list of text",
        ),
        (
            "path = 5",
            "path` is an integer; accepted: text (put it in quotes)",
        ),
        ("path = []", "path` is a list; accepted: text"),
        (
            "block_bytes = \"CANARY\"",
            &format!("block_bytes` is text; accepted: 4 KiB to 16 MiB, {size}"),
        ),
        (
            "block_bytes = false",
            &format!("block_bytes` is a boolean; accepted: 4 KiB to 16 MiB, {size}"),
        ),
    ] {
        toml(&format!("[backup]\n{text}")).refused(&format!("c.toml:2:1: `backup.{message}"), None);
    }
    toml("[backup]\ninclude = [\n  \"a\",\n  3,\n]").refused(
        "c.toml:4:3: `backup.include[1]` is an integer; accepted: text (put it in quotes)",
        None,
    );
    toml("[destinations.a]\npath = \"x\"\nrequired = \"yes\"").refused(
        "c.toml:3:1: `destinations.a.required` is text; accepted: true, false",
        None,
    );
    toml("backup = \"CANARY\"").refused("c.toml:1:1: `backup` is text; accepted: a table", None);
    toml("[[destinations]]\npath = \"x\"").refused(
        "c.toml:2:1: unknown key `destinations[0].path`; accepted here: driver, config",
        Some("a driver has it in `config`; a destination of ours is a table, [destinations.NAME]"),
    );
    yaml("destinations:\n  a:\n    path: null\n").refused(
        "c.yaml: `destinations.a.path` is null; accepted: text",
        None,
    );
    json("{\"engine\": {\"workers\": {}}}").refused(
        "c.json: `engine.workers` is a table; accepted: an integer from 1 to 256",
        None,
    );
}

#[test]
fn values_out_of_bounds_are_shown() {
    let strategies = "accepted: all, any, priority, quorum:N with N from 1";
    for (text, message, suggestion) in [
        (
            "concurrency = 0",
            "concurrency` is 0; accepted: an integer from 1 to 1024",
            None,
        ),
        (
            "concurrency = -1",
            "concurrency` is -1; accepted: an integer from 1 to 1024",
            None,
        ),
        (
            "level = 13",
            "level` is 13; accepted: an integer from 1 to 12",
            None,
        ),
        (
            "block_bytes = 4095",
            "block_bytes` is 4095 bytes; accepted: 4 KiB to 16 MiB",
            None,
        ),
        (
            "block_bytes = -1",
            "block_bytes` is less than nothing; accepted: 4 KiB to 16 MiB",
            None,
        ),
        (
            "segment_bytes = \"9GiB\"",
            "segment_bytes` is 9 GiB; accepted: 1 MiB to 8 GiB",
            None,
        ),
        (
            "record_bytes_max = \"3KiB\"",
            "record_bytes_max` is 3 KiB; accepted: 4 KiB to 1 GiB",
            None,
        ),
        (
            "inline_bytes_max = \"65MiB\"",
            "inline_bytes_max` is 65 MiB; accepted: 0 bytes to 64 MiB",
            None,
        ),
        (
            "strategy = \"al\"",
            &format!("strategy` is \"al\"; {strategies}"),
            Some("did you mean `all`?"),
        ),
        (
            "strategy = \"quorum:0\"",
            &format!("strategy` is \"quorum:0\"; {strategies}"),
            None,
        ),
        (
            "compression = \"zst\"",
            "compression` is \"zst\"; accepted: gzip, zstd, deflate, brotli, none",
            Some("did you mean `zstd`?"),
        ),
        (
            "verification = \"reed\"",
            "verification` is \"reed\"; accepted: read, attested",
            Some("did you mean `read`?"),
        ),
    ] {
        let case = format!("[backup]\n{text}");
        toml(&case).refused(&format!("c.toml:2:1: `backup.{message}"), suggestion);
    }
    toml("[engine]\nworkers = 257").refused(
        "c.toml:2:1: `engine.workers` is 257; accepted: an integer from 1 to 256",
        None,
    );
    toml("engine.budget_bytes = \"7MiB\"").refused(
        "c.toml:1:8: `engine.budget_bytes` is 7 MiB; accepted: 8 MiB to 1024 GiB",
        None,
    );
    toml("[backup]\ncompression = \"none\"\nlevel = 3").refused(
        "c.toml:3:1: `backup.level` goes with a compression; \"none\" has no levels",
        None,
    );
    toml("[engine]\nworkers = 99999999999999999999").refused(
        "c.toml:2:11: `engine.workers` is a number that is too large",
        None,
    );
}

#[test]
fn unusable_text_is_described() {
    let template = "it is made of names between single slashes, with {date} {time} {year} {month} {day} {type} \
                    {backupId} in them, and doesn't begin with catalog, runs or teeline.json";
    for text in [
        "{CANARY}",
        "catalog/CANARY",
        "teeline.json/CANARY",
        "a//CANARY",
        "../CANARY",
    ] {
        toml(&format!("[backup]\npath = \"{text}\"")).refused(
            &format!("c.toml:2:1: `backup.path` isn't usable: {template}"),
            None,
        );
    }
    toml("[backup]\nexclude = [\"a\", \"b[\"]").refused(
        "c.toml:2:17: `backup.exclude[1]` isn't usable: not a glob: unclosed character class; missing ']'",
        None,
    );
    toml("[backup]\ninclude = [\"s3://k:CANARY@b\"]").refused(
        "c.toml:2:12: `backup.include[0]` isn't usable: it looks like a URL, and resources have names",
        None,
    );
    for key in ["path", "resource"] {
        let path = if key == "path" { "" } else { "path = \"-\"\n" };
        let text = format!("[source]\n{path}{key} = \"s3://k:CANARY@b\"");
        let line = text.lines().count();
        toml(&text).refused(
            &format!("c.toml:{line}:1: `source.{key}` isn't usable: it looks like a URL; a database's is `connection`"),
            None,
        );
    }
    toml("[backup]\nstrategy = \"s3://AKIAIOSFODNN7EXAMPLE:CANARY+and-much-more@b\"").refused(
        "c.toml:2:1: `backup.strategy` is \"s3://***@b\"; accepted: all, any, priority, quorum:N with N from 1",
        None,
    );
    toml("[backup]\npath = \"\"").refused("c.toml:2:1: `backup.path` is empty", None);
    toml("[embedded_s3]\nroot = \"a\"\naccess_key = \"k\"\nsecret_key = \"CANARY\\n\"").refused(
        "c.toml:4:1: `embedded_s3.secret_key` holds control characters, such as a line break at its end",
        None,
    );
    toml("[embedded_s3]\nroot = \"a\"\naccess_key = \"k\"")
        .refused("c.toml:1:2: `embedded_s3` lacks `secret_key`", None);
    toml("[embedded_s3]\nroot = \"a\"\naccess_key = \"k\"\nsecret_key = \"s\"\nbuckets = [\"a/b\"]").refused(
        "c.toml:5:12: `embedded_s3.buckets[0]` isn't usable: the bucket's name isn't made of letters, digits, \
         '.', '-' and '_'",
        None,
    );
    toml("[embedded_s3]\nroot = \"a\"\naccess_key = \"k\"\nsecret_key = \"s\"\nsample.bucket = \"b\"").refused(
        "c.toml:5:8: `embedded_s3.sample.bucket` isn't one of `embedded_s3.buckets`",
        None,
    );
}

#[test]
fn a_source_is_exactly_one_place() {
    let places = "connection, connection_env, connection_file, path; exactly one is accepted";
    toml("[source]\non_undecodable = \"keep\"")
        .refused(&format!("c.toml:1:2: `source` has none of {places}"), None);
    toml("[source]\npath = \"x\"\nconnection = \"CANARY\"").refused(
        &format!("c.toml:1:2: `source` has connection and path of {places}"),
        None,
    );
    toml("[source]\nconnection = \"s3://CANARY\"\nresource = \"x\"").refused(
        "c.toml:3:1: `source.resource` goes with `path`, not with a database",
        None,
    );
    toml("[source]\npath = \"x\"\nresource = \"x\"").refused(
        "c.toml:3:1: `source.resource` goes with path = \"-\" only; files are resources of their own names",
        None,
    );
    toml("[source]\nconnection_env = \"X\"\nvalidate = \"json\"").refused(
        "c.toml:3:1: `source.validate` goes with `path`, not with a database",
        None,
    );
    toml("[source]\npath = \"x\"\nsettle_passes_max = 1").refused(
        "c.toml:3:1: `source.settle_passes_max` goes with a database, not with `path`",
        None,
    );
    let error = toml("\n[source]\nconnection = \"ftp://k:CANARY@b\"")
        .load()
        .unwrap_err();
    let message = "c.toml:3:1: `source.connection`: connection string: the scheme is none of s3, http and https";
    assert!(error.to_string().contains(message), "{error}");
    toml("[source]\nconnection_env = \"s3://k:CANARY@b\"").refused(
        "c.toml:2:1: `source.connection_env` isn't usable: it is the name of an environment variable: \
         letters, digits and '_'",
        None,
    );
}

#[test]
fn destinations_are_checked_one_by_one() {
    for (text, message, suggestion) in [
        (
            "[destinations.Local]\npath = \"x\"",
            "1:15: `destinations.Local` isn't a name for a destination; accepted: a lower-case letter, then up \
             to 62 of a-z, 0-9, '_' and '-', such as local or primary-eu",
            None,
        ),
        (
            "[destinations.a]",
            "1:15: `destinations.a` has neither path nor url",
            Some("write path = \"folder\" or url = \"s3://bucket/prefix\""),
        ),
        (
            "[destinations.a]\npath = \"x\"\nurl = \"s3://b\"",
            "1:15: `destinations.a` has both path and url; one of them is accepted",
            None,
        ),
        (
            "[destinations.a]\npath = \"x\"\nregion = \"r\"",
            "3:1: `destinations.a.region` is a setting of S3 destinations; this one is a folder",
            None,
        ),
        (
            "[destinations.a]\npath = \"s3://k:CANARY@b\"",
            "2:1: `destinations.a.path` isn't usable: it looks like a URL, which is `url`",
            None,
        ),
        (
            "[destinations.a]\nurl = \"CANARY\"",
            "2:1: `destinations.a.url` isn't a URL",
            Some("a folder is written as `path`; a bucket as s3://bucket/prefix"),
        ),
        (
            "[destinations.a]\nurl = \"s3://b\"\nendpoint = \"http://u:CANARY@h\"",
            "3:1: `destinations.a.endpoint` isn't usable: the server's address must not hold credentials; \
             they have settings of their own",
            None,
        ),
        (
            "[destinations.a]\nurl = \"s3://b\"\nsecret_access_key = \"CANARY\"",
            "1:15: `destinations.a` has a secret access key without an access key id",
            None,
        ),
        (
            "[destinations.a]\nurl = \"s3://k:CANARY@b\"\nprofile = \"p\"",
            "1:15: `destinations.a` has both an access key and a profile; one of them is accepted",
            None,
        ),
        (
            "[destinations.a]\nurl = \"s3://b/p\"\n[destinations.b]\nurl = \"s3://k:CANARY@b/p/\"",
            "1:2: a (s3://b/p) and b (s3://b/p) are the same location",
            Some("leave one of the two out"),
        ),
    ] {
        toml(text).refused(&format!("c.toml:{message}"), suggestion);
    }
    let error = toml("[destinations.a]\nurl = \"ftp://u:CANARY@h\"")
        .load()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("isn't usable: the scheme ftp:// isn't supported")
    );
    assert!(
        error
            .suggestion()
            .unwrap()
            .contains("s3://[KEY:SECRET@]bucket/prefix")
    );
    assert!(!format!("{error:?}").contains(CANARY));
}

#[test]
fn what_is_kept_is_said_by_rules_that_go_together() {
    for (text, expected) in [
        (
            "policy = \"simple\"\ncount = 1\ndaily = 7",
            "c.toml:4:1: `retention.daily` goes with policy = \"gfs\", not with \"simple\"",
        ),
        (
            "policy = \"simple\"",
            "c.toml:1:2: `retention` has the policy \"simple\" and lacks `count`",
        ),
        (
            "policy = \"gfs\"\ncount = 7",
            "c.toml:3:1: `retention.count` goes with policy = \"simple\", or without a policy, where each rule counts",
        ),
        (
            "age = 30",
            "c.toml:2:1: `retention.age` is an integer; accepted: 1h to 36500d, \
             as digits and a unit, as 30min, 36h, 7d or 2w (s, min, h, d, w)",
        ),
        (
            "grace = \"soon\"",
            "c.toml:2:1: `retention.grace` is text; accepted: 0s to 36500d, \
             as digits and a unit, as 30min, 36h, 7d or 2w (s, min, h, d, w)",
        ),
        (
            "dead_after = \"30min\"",
            "c.toml:2:1: `retention.dead_after` is 30min; accepted: 1h to 36500d",
        ),
        (
            "daily = -1",
            "c.toml:2:1: `retention.daily` is -1; accepted: an integer from 0 to 1000000",
        ),
    ] {
        toml(&format!("[retention]\n{text}")).refused(expected, None);
    }
    toml("time_zone = \"Berlin\"").refused(
        "c.toml:1:1: `time_zone` isn't usable: not a time zone; names of the IANA database are accepted, such as Europe/Berlin or UTC",
        None,
    );
    toml("[backup]\ntime_zone = \"UTC\"\n[retention]\ndaily = 1").refused(
        "c.toml:2:1: unknown key `backup.time_zone`; accepted here: strategy, lag, lag_patience_ms, resume_quiet_ms, spill_bytes, catch_up, deadline, concurrency, compression, level, \
         block_bytes, segment_bytes, record_bytes_max, inline_bytes_max, verification, path, include, exclude, partitions, query, metadata, cleanup, base",
        Some("it stands before all sections: time_zone = \"Europe/Berlin\""),
    );
}
