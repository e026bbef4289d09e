//! What is accepted, and what it means.

use std::path::{Path, PathBuf};

use teeline_core::{
    Compression, LagPolicy, LineCheck, Partitions, PathTemplate, Query, Retention, Span,
    StrategyKind,
};
use teeline_sinks::Storing;
use teeline_sources::s3db::OnUndecodable;

use super::*;
use crate::destination::{Place, S3Place, Secret};
use crate::hooks::Moment;
use crate::request::{CatchUp, IncrementalBase};

const WHOLE: &str = r#"
time_zone = "Europe/Berlin"
[retention]
policy = "gfs"
daily = 7
weekly = 4
monthly = 12
yearly = 5
age = "36h"
keep_within = "3d"
grace = "0s"
dead_after = "2w"
withdraw_percent_max = 60
[source]
connection = "http://k:CANARY@host:9000/shop"
on_undecodable = "fail"
settle_passes_max = 7
[backup]
strategy = "quorum:2"
lag = "block"
lag_patience_ms = 2000
resume_quiet_ms = 40000
spill_bytes = "2GiB"
catch_up = "wait"
deadline = "6h"
base = "full"
concurrency = 2
compression = "gzip"
level = 9
block_bytes = "64KiB"
segment_bytes = "1GB"
record_bytes_max = 1048576
inline_bytes_max = 0
verification = "attested"
path = "{year}/{month}/"
include = ["users*", "orders"]
exclude = ["*_tmp"]
metadata = { team = "billing", of = { year = 2026, tags = ["a", true] } }
partitions = { byRegion = ["US", "EU"], byDay = "2026-11-23" }
query = { orders = { status = "active", size = [1, 2] } }
cleanup = true
[engine]
workers = 3
budget_bytes = "32MiB"
temp_dir = "/var/spool"
log_level = "info"
executor = "threads"
[destinations.local]
path = "./backups/local"
required = true
[destinations.local.retention]
policy = "simple"
count = 3
[destinations.primary]
url = "s3://key:CANARY@bucket/prefix?region=eu-west-1"
resources = ["users", "orders_*"]
region = "eu-west-2"
endpoint = "https://S3.example.com/"
access_key_id = "other"
secret_access_key = "CANARY/+="
session_token = "CANARY"
path_style = false
[destinations.third]
lag = "detach"
url = "s3://bucket/third"
profile = "dev"
required = false
[hooks.dump]
on = ["backup-start"]
command = ["./dump", "--all"]
timeout_ms = 5
[hooks.chat]
on = ["backup-complete", "backup-error"]
url = "https://hooks.example/CANARY"
secret = "whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ"
[hooks.check]
ping = "https://hc.example/CANARY"
[embedded_s3]
root = "./backups/s3"
access_key = "teeline"
secret_key = "CANARY"
buckets = ["sample", "backups"]
sample = { bucket = "sample", prefix = "/shop/", records = 10 }
"#;

#[test]
fn every_key_is_read() {
    let config = toml(WHOLE).accepted();
    let source = config.source.unwrap();
    let SourceLocation::S3db(connection) = &source.location else {
        panic!("{source:?}");
    };
    let connection = connection.resolve(&|_| None).unwrap();
    assert_eq!(connection.to_string(), "http://***:***@host:9000/shop");
    assert_eq!(source.on_undecodable, OnUndecodable::Fail);
    assert_eq!(source.settle_passes_max, 7);
    let backup = BackupConfig {
        strategy: StrategyKind::Quorum(2),
        lag: Some(LagPolicy::Block),
        lag_patience_ms: 2_000,
        resume_quiet_ms: 40_000,
        spill_bytes: 2 << 30,
        catch_up: CatchUp::Wait,
        deadline: Some(Span::from_ms(6 * 3_600_000)),
        base: IncrementalBase::Full,
        concurrency: 2,
        compression: Compression::Gzip { level: 9 },
        block_bytes: Some(65536),
        segment_bytes: 1_000_000_000,
        record_bytes_max: 1 << 20,
        inline_bytes_max: 0,
        verification: Verification::Attested,
        path: PathTemplate::new("{year}/{month}").unwrap(),
        include: vec!["users*".into(), "orders".into()],
        exclude: vec!["*_tmp".into()],
        metadata: serde_json::from_str(
            r#"{"team":"billing","of":{"year":2026,"tags":["a",true]}}"#,
        )
        .unwrap(),
        partitions: Partitions::new(
            serde_json::json!({"byRegion": ["US", "EU"], "byDay": ["2026-11-23"]}),
        )
        .unwrap(),
        query: Query::new(serde_json::json!({"orders": {"status": ["active"], "size": [1, 2]}}))
            .unwrap(),
        cleanup: true,
    };
    assert_eq!(config.backup, backup);
    assert_eq!(
        config.engine,
        EngineConfig {
            workers: Some(3),
            budget_bytes: Some(32 << 20),
            temp_dir: Some("/var/spool".into()),
            executor: Some(ExecutorConfig::Threads),
            log_level: Some(LogLevel::Info),
        }
    );
    let taken = config.destinations[1].resources.as_ref().unwrap();
    assert_eq!(taken.patterns(), ["users", "orders_*"]);
    let embedded = config.embedded_s3.unwrap();
    assert_eq!(embedded.root, Path::new("./backups/s3"));
    assert_eq!(
        (embedded.access_key.as_str(), embedded.secret_key.expose()),
        ("teeline", "CANARY")
    );
    assert_eq!(embedded.buckets, ["sample", "backups"]);
    let sample = SampleConfig {
        bucket: "sample".into(),
        prefix: "shop".into(),
        records: 10,
    };
    assert_eq!(embedded.sample, Some(sample));
}

#[test]
fn what_is_kept_is_said_at_the_top_and_for_a_destination() {
    let config = toml(WHOLE).accepted();
    assert_eq!(config.time_zone.to_string(), "Europe/Berlin");
    let gfs = Retention {
        count: 0,
        daily: 7,
        weekly: 4,
        monthly: 12,
        yearly: 5,
        age: Some(Span::from_ms(36 * 3_600_000)),
        keep_within: Some(Span::from_days(3)),
    };
    let expected = RetentionPolicy {
        rules: gfs,
        grace: Span::default(),
        dead_after: Span::from_days(14),
        withdraw_percent_max: 60,
    };
    assert_eq!(config.retention, expected);
    let simple = RetentionPolicy::new(Retention {
        count: 3,
        ..Retention::default()
    });
    let of_each: Vec<_> = config.destinations.iter().map(|to| to.retention).collect();
    assert_eq!(of_each, [Some(simple), None, None]);

    // Without a policy all rules go together; `{}` is none of them.
    let mixed = toml("[retention]\ncount = 2\ndaily = 1")
        .accepted()
        .retention
        .rules;
    assert_eq!((mixed.count, mixed.daily), (2, 1));
    let case = toml("[retention]\n").env(&[
        ("TEELINE__RETENTION__DAILY", "30"),
        ("TEELINE__TIME_ZONE", "Asia/Tokyo"),
    ]);
    let varied = case.accepted();
    assert_eq!(
        (varied.retention.rules.daily, varied.time_zone.to_string()),
        (30, "Asia/Tokyo".to_owned())
    );
    assert!(toml("[retention]\n").accepted().retention.rules.is_empty());
}

#[test]
fn hooks_are_a_command_a_webhook_or_a_ping() {
    let config = toml(WHOLE).accepted();
    let [dump, chat, check] = &config.hooks[..] else {
        panic!("three: {:?}", config.hooks);
    };
    let words = ["./dump", "--all"].map(str::to_owned).to_vec();
    assert_eq!(
        (&*dump.name, &dump.call),
        ("dump", &HookCall::Command(words))
    );
    assert_eq!(
        (&dump.on[..], dump.timeout_ms),
        (&[Moment::BackupStart][..], 5)
    );
    assert_eq!(chat.on, [Moment::BackupComplete, Moment::BackupError]);
    let HookCall::Webhook { url, secrets } = &chat.call else {
        panic!("a webhook: {chat:?}");
    };
    assert!(url.expose().ends_with("/CANARY") && secrets.len() == 1);
    let webhook = |secret: &str| format!("[hooks.h]\nurl = \"https://h\"\nsecret = {secret}");
    let key = format!("whsec_{}", "A".repeat(32));
    for (text, count) in [
        (format!("\"{key}\""), 1),
        (format!("\"{key} {key}\""), 2),
        (format!("[\"{key}\", \"{key}\"]"), 2),
    ] {
        let config = toml(&webhook(&text)).accepted();
        let HookCall::Webhook { secrets, .. } = &config.hooks[0].call else {
            panic!("a webhook: {config:?}");
        };
        assert_eq!(secrets.len(), count, "{text}");
    }
    assert!(matches!(&check.call, HookCall::Ping(_)) && check.on.is_empty());
    assert_eq!(check.timeout_ms, 30_000);
    assert!(config.hooks().is_ok());
    assert!(!format!("{config:?}").contains("CANARY"));
}

#[test]
fn keys_beside_a_url_replace_what_it_says() {
    let [local, primary, third] = toml(WHOLE).accepted().destinations.try_into().unwrap();
    assert_eq!((local.name.as_str(), local.required), ("local", Some(true)));
    assert_eq!((local.lag, third.lag), (None, Some(LagPolicy::Detach)));
    assert_eq!(local.place, Place::Folder("./backups/local".into()));
    let expected = S3Place {
        bucket: "bucket".into(),
        prefix: "prefix".into(),
        region: Some("eu-west-2".into()),
        endpoint: Some("https://s3.example.com".into()),
        access_key_id: Some("other".into()),
        secret_access_key: Some(Secret::new("CANARY/+=")),
        session_token: Some(Secret::new("CANARY")),
        profile: None,
        path_style: Some(false),
        storing: Storing::default(),
        follows_source: false,
    };
    assert_eq!(
        (primary.place, primary.required),
        (Place::S3(expected), None)
    );
    assert!(!third.has_inline_secret());
    assert_eq!(third.required, Some(false));
}

#[test]
fn an_empty_file_is_all_defaults() {
    for case in [
        toml(""),
        yaml(""),
        json("{}"),
        yaml("backup:\nengine: {}\n"),
        toml("\u{feff}[engine]"),
    ] {
        assert_eq!(case.accepted(), Config::default());
    }
    let config =
        toml("[backup]\ncompression = \"none\"\nrecord_bytes_max = \"1MiB\"\nblock_bytes = 4096")
            .accepted();
    assert_eq!(config.backup.compression, Compression::None);
    assert_eq!(config.backup.inline_bytes_max, 256 << 10);
    let config = toml("[source]\npath = \"x\"\nvalidate = \"lines\"").accepted();
    assert_eq!(config.source.unwrap().validate, LineCheck::Lines);
    let config = toml("[backup]\ncompression = \"zstd\"\nlevel = 19").accepted();
    assert_eq!(config.backup.compression, Compression::Zstd { level: 19 });
    let config = toml("[backup]\nrecord_bytes_max = 4096\nblock_bytes = 4096").accepted();
    assert_eq!(
        config.backup.inline_bytes_max, 4096,
        "never above the largest record"
    );
}

#[test]
fn sources_are_told_apart() {
    let location = |text: &str| toml(text).accepted().source.unwrap().location;
    for text in [
        "source = { connection_env = \"DATABASE_URL\" }",
        "source = { connection_file = \"a/b\" }",
    ] {
        assert!(matches!(location(text), SourceLocation::S3db(_)), "{text}");
    }
    let path = PathBuf::from("data/");
    assert_eq!(
        location("source.path = \"data/\""),
        SourceLocation::Jsonl {
            path,
            resource: None
        }
    );
    let stdin = SourceLocation::Jsonl {
        path: "-".into(),
        resource: Some("users".into()),
    };
    assert_eq!(
        location("source = { path = \"-\", resource = \"users\" }"),
        stdin
    );
}

#[test]
fn a_connection_is_found_when_it_is_asked_for() {
    let environment = |name: &str| match name {
        "SET" => Some(" s3://k:CANARY@b\n".to_owned()),
        "WRONG" => Some("k:CANARY@b".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "s3://k:CANARY@b\n").unwrap();
    let resolve = |setting: &str| {
        let config = toml(&format!("[source]\n{setting}")).accepted();
        let SourceLocation::S3db(connection) = config.source.unwrap().location else {
            panic!("{setting}");
        };
        connection.resolve(&environment)
    };
    for setting in [
        "connection = \"s3://k:CANARY@b\"".to_owned(),
        "connection_env = \"SET\"".to_owned(),
        format!("connection_file = {:?}", file.path().display().to_string()),
    ] {
        let found = resolve(&setting).unwrap();
        assert_eq!(found.to_string(), "s3://***:***@b", "{setting}");
    }
    for (setting, message) in [
        (
            "connection_env = \"UNSET\"",
            "c.toml:2:1: `source.connection_env`, variable UNSET: isn't set",
        ),
        (
            "connection_env = \"EMPTY\"",
            "c.toml:2:1: `source.connection_env`, variable EMPTY: is empty",
        ),
        (
            "connection_env = \"WRONG\"",
            "c.toml:2:1: `source.connection_env`, variable WRONG: connection string: it has no scheme",
        ),
        (
            "connection_file = \"no/such/file\"",
            "c.toml:2:1: `source.connection_file`, no/such/file: can't be read: no such file or directory",
        ),
    ] {
        let error = resolve(setting).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(!error.contains(CANARY), "{error}");
    }
}

#[test]
fn destinations_keep_the_order_of_the_file() {
    let names = ["zeta", "alpha", "mid", "beta", "omega", "kappa", "a1", "y"];
    let of = |form: &dyn Fn(&str) -> String, glue: &str| names.map(form).join(glue);
    let in_toml = of(
        &|name| format!("[destinations.{name}]\npath = \"x/{name}\""),
        "\n",
    );
    let in_yaml = of(&|name| format!("  {name}: {{path: x/{name}}}"), "\n");
    let in_json = of(
        &|name| format!("\"{name}\": {{\"path\": \"x/{name}\"}}"),
        ",",
    );
    let in_yaml = format!("destinations:\n{in_yaml}\n");
    let in_json = format!("{{\"destinations\": {{{in_json}}}}}");
    let env = [
        ("TEELINE__DESTINATIONS__MID__REQUIRED", "true"),
        ("TEELINE__DESTINATIONS__NEW_B__PATH", "x/new-b"),
        ("TEELINE__DESTINATIONS__NEW_A__PATH", "x/new-a"),
    ];
    for case in [toml(&in_toml), yaml(&in_yaml), json(&in_json)] {
        let found = case.accepted().destinations;
        assert!(found.iter().map(|d| d.name.as_str()).eq(names), "{found:?}");
        let found = case.env(&env).accepted().destinations;
        let expected = names.into_iter().chain(["new_a", "new_b"]);
        assert!(
            found.iter().map(|d| d.name.as_str()).eq(expected),
            "{found:?}"
        );
        assert_eq!(found[2].required, Some(true));
    }
}

#[test]
fn variables_replace_settings_of_every_type() {
    let text = "[backup]\nstrategy = \"all\"\ninclude = [\"a\", \"b\", \"c\"]\n\
                [destinations.local]\npath = \"${UNSET}\"\nrequired = true\n";
    let config = toml(text)
        .env(&[
            ("TEELINE__BACKUP__STRATEGY", "any"),
            ("TEELINE__BACKUP__LEVEL", "2"),
            ("TEELINE__BACKUP__BLOCK_BYTES", "2MiB"),
            ("TEELINE__BACKUP__INCLUDE", "x*, y"),
            ("TEELINE__backup__Exclude", ""),
            ("TEELINE__DESTINATIONS__LOCAL__PATH", "a/${NOT_FILLED}"),
            ("TEELINE__DESTINATIONS__LOCAL__REQUIRED", "false"),
            ("TEELINE__SOURCE__CONNECTION", "s3://k:CANARY@b"),
            ("TEELINE_CONFIG", "ignored"),
            ("TEELINE", "ignored"),
            ("OTHER__BACKUP__LEVEL", "ignored"),
        ])
        .accepted();
    assert_eq!(config.backup.strategy, StrategyKind::Any);
    assert_eq!(config.backup.compression, Compression::Gzip { level: 2 });
    assert_eq!(config.backup.block_bytes, Some(2 << 20));
    assert_eq!(config.backup.include, ["x*", "y"]);
    assert!(config.backup.exclude.is_empty());
    assert_eq!(config.destinations[0].place.location(), "a/${NOT_FILLED}");
    assert_eq!(config.destinations[0].required, Some(false));
    assert!(config.source.is_some());
}

#[test]
fn variables_are_filled_in_after_parsing_and_once() {
    let env = [
        ("A", "x\", required = true, y = \"${B}"),
        ("B", "b"),
        ("SECRET", "CANARY\"\\ '#"),
        ("LEVEL", "3"),
        ("SIZE", "1MiB"),
    ];
    let text = r#"
[backup]
level = "${LEVEL}"
block_bytes = "${SIZE}"
include = ["${B}*", "$B$", "$${B}$$${B}"]
[destinations.local]
path = "${A}/$${B}/${B}${B}"
[destinations.primary]
url = "s3://key:x@bucket"
secret_access_key = "${SECRET}"
"#;
    let config = toml(text).env(&env).accepted();
    assert_eq!(config.backup.compression, Compression::Gzip { level: 3 });
    assert_eq!(config.backup.block_bytes, Some(1 << 20));
    assert_eq!(config.backup.include, ["b*", "$B$", "${B}$${B}"]);
    let location = config.destinations[0].place.location();
    assert_eq!(location, "x\", required = true, y = \"${B}/${B}/bb");
    assert_eq!(config.destinations[0].required, None);
    let Place::S3(place) = &config.destinations[1].place else {
        panic!("a bucket");
    };
    let secret = place.secret_access_key.as_ref().unwrap();
    assert_eq!(secret.expose(), "CANARY\"\\ '#");
}

#[test]
fn every_sample_is_accepted() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let mut found = Vec::new();
    for entry in fs::read_dir(samples).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let environment = |name: &str| match name {
            "DATABASE_URL" => Some("s3://key:secret@bucket".to_owned()),
            other => Some(other.to_lowercase()),
        };
        let config = Config::load(&path, &environment, std::iter::empty())
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(!config.destinations.is_empty(), "{path:?}");
        found.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    for sample in ["folders.toml", "s3.yaml", "priority.json", "archive.toml"] {
        assert!(found.iter().any(|name| name == sample), "{found:?}");
    }
}
