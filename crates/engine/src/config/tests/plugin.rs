//! The configuration of s3db.js's plugin.

use teeline_core::{Compression, PathTemplate, Retention, StrategyKind};
use teeline_sinks::{Modes, ServerSideEncryption, Storing};

use super::*;
use crate::destination::{Place, ResourceGlobs, S3Place};
use crate::request::RetentionPolicy;

pub(super) fn json5(text: &str) -> Case<'_> {
    let file = "c.json5";
    Case {
        file,
        text,
        env: &[],
    }
}

#[test]
fn the_constructors_object_is_a_configuration() {
    let config = json5(
        "{
          driver: 's3',
          config: { bucket: 'prod-backups', region: 'us-east-1', prefix: 'databases/{year}/{month}/' },
          schedule: { daily: '0 2 * * *', monthly: '0 4 1 * *' },
          retention: { daily: 7, yearly: 5 },
          include: null, exclude: ['cache_*'], partitions: { byRegion: ['US'] },
          compression: true, emitEvents: false, verification: false, tempDir: '/tmp/x', logLevel: true,
          parallelism: 4, backupMetadataResource: 'plg_backup_metadata',
          source: { connection_env: 'DB' },
        }",
    )
    .accepted();
    assert_eq!(config.destinations.len(), 1);
    assert_eq!(config.destinations[0].name, "prod-backups");
    let place = S3Place {
        bucket: "prod-backups".to_owned(),
        prefix: "databases".to_owned(),
        region: Some("us-east-1".to_owned()),
        follows_source: true,
        ..S3Place::default()
    };
    assert_eq!(config.destinations[0].place, Place::S3(place));
    assert_eq!(
        config.backup.path,
        PathTemplate::new("{year}/{month}").unwrap()
    );
    assert_eq!(config.backup.compression, Compression::default());
    assert_eq!(config.backup.verification, Verification::Attested);
    assert_eq!(
        (config.backup.include, config.backup.exclude),
        (vec![], vec!["cache_*".to_owned()])
    );
    let partitions: Vec<_> = config.backup.partitions.names().collect();
    assert_eq!(partitions, ["byRegion"]);
    let rules = Retention {
        daily: 7,
        yearly: 5,
        ..Retention::default()
    };
    assert_eq!(config.retention, RetentionPolicy::new(rules));
    assert!(config.backup.cleanup);
    let schedules: Vec<_> = config
        .schedules
        .iter()
        .map(|one| (one.name.as_str(), one.backup.cleanup))
        .collect();
    assert_eq!(schedules, [("daily", true), ("monthly", true)]);
    assert_eq!(config.engine.temp_dir.as_deref(), Some(Path::new("/tmp/x")));
    assert_eq!(config.engine.log_level, Some(LogLevel::Debug));
    assert!(!config.emits_events);
    assert!(config.source.is_some());
    let warnings: Vec<_> = config
        .warnings
        .iter()
        .map(|warning| {
            let message = warning.message.rsplit('/').next().unwrap();
            (message, warning.help.as_str())
        })
        .collect();
    assert_eq!(
        warnings,
        [
            (
                "c.json5: `parallelism` has no effect",
                "`engine.workers` and `concurrency` say how much is done at once"
            ),
            (
                "c.json5: `backupMetadataResource` has no effect",
                "what is known of backups is kept beside them"
            ),
        ]
    );
}

#[test]
fn an_object_without_a_driver_is_what_it_has() {
    for (text, expected) in [
        ("{ driver: 'filesystem' }", "./backups"),
        ("{ compression: false }", "./backups"),
        (
            "{ driver: 'filesystem', config: { path: './backups/{date}/' } }",
            "./backups/",
        ),
        (
            "{ driver: 'filesystem', config: { prefix: '/mnt/{date}/' } }",
            "/mnt/",
        ),
        ("{ driver: 'filesystem', config: { path: '{date}' } }", "."),
        ("{ driver: 'filesystem', config: { path: '/{date}' } }", "/"),
        ("{ config: { bucket: 'b', path: '/a/' } }", "s3://b/a"),
        (
            "{ config: { bucket: 'b', path: 'a', prefix: 'a/' } }",
            "s3://b/a",
        ),
        ("{ driver: 's3' }", "s3://./backups"),
        (
            "{ driver: 's3', config: { path: 'daily/{date}/' } }",
            "s3://./daily",
        ),
        (
            "{ compression: 'gzip', config: { storageClass: 'STANDARD_IA' } }",
            "s3://./backups",
        ),
    ] {
        let config = json5(text).accepted();
        let [destination] = &config.destinations[..] else {
            panic!("{text}: {:?}", config.destinations);
        };
        assert_eq!(destination.place.location(), expected, "{text}");
    }
    let config = json5(
        "{ strategy: 'priority', concurrency: 3, drivers: [
           { driver: 'filesystem', config: { path: '/mnt/a/{date}/', retention: { policy: 'simple', count: 3 } } },
           { config: { bucket: 'b' } },
         ] }",
    )
    .accepted();
    let places: Vec<_> = config
        .destinations
        .iter()
        .map(|one| one.place.location())
        .collect();
    assert_eq!(places, ["/mnt/a/", "s3://b"]);
    assert_eq!(
        config.destinations[0]
            .retention
            .map(|policy| policy.rules.count),
        Some(3)
    );
    assert_eq!(
        (config.backup.strategy, config.backup.concurrency),
        (StrategyKind::Priority, 3)
    );
    assert_eq!(config.backup.path, PathTemplate::new("{date}").unwrap());
    let of_the_real_plugin = "{ driver: 'multi', config: { destinations: [{ driver: 's3', config: { bucket: 'b' } }] } }";
    assert_eq!(json5(of_the_real_plugin).accepted().destinations.len(), 1);
}

#[test]
fn how_much_is_logged_is_a_name_or_whether_it_is_much() {
    for (said, level) in [
        ("false", None),
        ("true", Some(LogLevel::Debug)),
        ("'info'", Some(LogLevel::Info)),
    ] {
        let text = format!("{{ driver: 'filesystem', logLevel: {said} }}");
        assert_eq!(json5(&text).accepted().engine.log_level, level, "{said}");
    }
}

#[test]
fn a_driver_is_called_after_its_place_wherever_it_stands() {
    let names = |drivers: [&str; 3]| {
        let text = format!(
            "{{ driver: 'multi', config: {{ drivers: [{}] }} }}",
            drivers.join(", ")
        );
        let config = json5(&text).accepted();
        let destinations = config.destinations.into_iter();
        destinations.map(|to| to.name).collect::<Vec<_>>()
    };
    let bucket = "{ driver: 's3', config: { bucket: 'prod-backups', path: 'db/' } }";
    let [near, far] = ["near", "far"]
        .map(|disk| format!("{{ driver: 'filesystem', config: {{ path: '/{disk}/copies' }} }}"));
    let as_written = names([bucket, &near, &far]);
    assert_eq!(as_written[0], "prod-backups");
    assert_ne!(as_written[1], as_written[2]);
    assert!(
        as_written[1..]
            .iter()
            .all(|name| name.starts_with("copies-")),
        "{as_written:?}"
    );
    let mut reversed = names([&far, &near, bucket]);
    reversed.reverse();
    assert_eq!(reversed, as_written);

    json5("{ drivers: [{ config: { path: './a' } }, { config: { path: './b/../a/' } }] }").refused(
        "c.json5: the configuration has destinations that don't go together: a (./a) and a (./b/../a/) are the same location",
        None,
    );
}

#[test]
fn it_may_be_a_table_among_sections() {
    let text = "[source]\nconnection_env = \"DB\"\n[backup]\nlag = \"spill\"\n[plugin]\ndriver = \"filesystem\"\nconfig.path = \"./b\"\n";
    let config = toml(text).accepted();
    assert_eq!(config.destinations[0].place.location(), "./b");
    assert!(config.backup.lag.is_some());
    toml("[plugin]\ndriver = \"filesystem\"\n[destinations.a]\npath = \"b\"\n").refused(
        "c.toml:3:2: `destinations` is said by `plugin` too; one of them is accepted",
        None,
    );
}

#[test]
fn whether_a_cleanup_follows_is_as_the_section_says_and_else_as_there_are_rules() {
    let top = |backup: &str| {
        format!(
            "{{ driver: 'filesystem', config: {{ path: './b' }}, retention: {{ count: 7 }}, backup: {{ {backup} }} }}"
        )
    };
    let table = |sections: &str| format!("{sections}[plugin]\nconfig.path = \"./b\"\n");
    let rules = "[retention]\ncount = 7\n";
    let said = "[backup]\ncleanup = true\n";
    for (file, text, is_followed) in [
        ("c.json5", top(""), true),
        ("c.json5", top("cleanup: false"), false),
        ("c.json5", top("cleanup: true"), true),
        ("c.toml", table(""), false),
        ("c.toml", table(said), true),
        ("c.toml", table(rules), true),
        (
            "c.toml",
            table(&said.replace("true", "false")) + rules,
            false,
        ),
    ] {
        let (text, env) = (text.as_str(), &[]);
        let config = Case { file, text, env }.accepted();
        assert_eq!(config.backup.cleanup, is_followed, "{text}");
    }
    let text = top("");
    let stopped = json5(&text).env(&[("TEELINE__BACKUP__CLEANUP", "false")]);
    assert!(!stopped.accepted().backup.cleanup);
}

#[test]
fn a_path_without_variables_leaves_the_template_to_the_section() {
    let own = PathTemplate::new("{year}").unwrap();
    for (path, template) in [
        ("./b", own),
        ("./b/{date}", PathTemplate::new("{date}").unwrap()),
    ] {
        let text = format!("[backup]\npath = \"{{year}}/\"\n[plugin]\nconfig.path = \"{path}\"\n");
        let config = toml(&text).accepted();
        assert_eq!(config.backup.path, template, "{path}");
    }
}

#[test]
fn a_drivers_own_retention_is_followed_after_each_backup_as_well() {
    for (retention, is_followed) in [("{ policy: 'simple', count: 1 }", true), ("{}", false)] {
        let config = json5(&format!(
            "{{ driver: 'multi', config: {{ drivers: [
              {{ driver: 'filesystem', config: {{ path: './a', retention: {retention} }} }},
              {{ driver: 'filesystem', config: {{ path: './b' }} }}
            ] }} }}"
        ))
        .accepted();
        assert_eq!(config.backup.cleanup, is_followed, "{retention}");
        assert!(
            config.retention.rules.is_empty(),
            "of the others nothing is deleted"
        );
    }
}

#[test]
fn a_driver_says_which_resources_it_takes() {
    let of = |configs: &str| {
        let text = format!("{{ driver: 'multi', config: {{ drivers: [{configs}] }} }}");
        let config = json5(&text).accepted();
        let taken = config.destinations.into_iter().map(|to| to.resources);
        taken.collect::<Vec<_>>()
    };
    let taken = of(
        "{ driver: 's3', config: { bucket: 'backup-users', resources: ['users'] } }, \
         { driver: 'filesystem', config: { path: './x', resources: ['events_*'] } }, { config: { path: './y' } }",
    );
    let only = |glob| Some(ResourceGlobs::new([glob]).unwrap());
    assert_eq!(taken, [only("users"), only("events_*"), None]);
    json5("{ driver: 's3', config: { bucket: 'backups', resources: [] } }").refused(
        "c.json5: `config.resources` is empty; a destination that takes any has none",
        None,
    );
}

#[test]
fn what_is_said_twice_is_said_alike() {
    let same = "{ compression: 'gzip', config: { compression: 'gzip' } }";
    assert_eq!(
        json5(same).accepted().backup.compression,
        Compression::default()
    );
    json5("{ compression: 'brotli', config: { compression: 'gzip' } }").refused(
        "c.json5: `compression`; it is said once, or the same in both",
        None,
    );
    json5("{ config: { bucket: 'b', path: 'a', prefix: 'c' } }").refused(
        "c.json5: `config.path`; it is said once, or the same in both",
        None,
    );
    json5("{ config: { path: 'a', prefix: 'c' } }").refused(
        "c.json5: `config.path`; it is said once, or the same in both",
        None,
    );
    json5("{ drivers: [{ config: { path: 'a/{date}' } }, { config: { path: 'b/{time}' } }] }")
        .refused(
            "c.json5: `drivers[0].config.path`; it is said once, or the same in both",
            None,
        );
}

#[test]
fn mistakes_are_named() {
    for (text, message, suggestion) in [
        (
            "{ driver: 'filesystem', config: { path: null } }",
            "c.json5: `config.path` is empty",
            Some("Provide a valid config.path for the filesystem driver."),
        ),
        (
            "{ driver: 'ftp' }",
            "c.json5: `driver` is \"ftp\"; accepted: filesystem, s3, multi",
            None,
        ),
        (
            "{ driver: 'multi' }",
            "c.json5: `config` lacks `drivers`, each with a `driver` and its `config`",
            None,
        ),
        (
            "{ driver: 'filesystem', path: 'x' }",
            "c.json5: unknown key `path`; accepted here: driver, config, drivers, destinations, strategy, concurrency, \
             retention, include, exclude, partitions, compression, encryption, verification, tempDir, logLevel, schedule, emitEvents, \
             parallelism, backupMetadataResource, time_zone, source, backup, schedules, engine, targets, hooks, embedded_s3",
            Some("it stands in `config`"),
        ),
        (
            "{ driver: 'filesystem', onRestoreError: 'notify' }",
            "c.json5: unknown key `onRestoreError`; accepted here: driver, config, drivers, destinations, strategy, concurrency, \
             retention, include, exclude, partitions, compression, encryption, verification, tempDir, logLevel, schedule, emitEvents, \
             parallelism, backupMetadataResource, time_zone, source, backup, schedules, engine, targets, hooks, embedded_s3",
            Some(
                "functions are given through the API; in a file, `hooks` name commands and webhooks",
            ),
        ),
        (
            "{ drivers: [{ driver: 'multi' }] }",
            "c.json5: `drivers[0].driver` is \"multi\"; accepted: filesystem, s3",
            None,
        ),
        (
            "{ drivers: [] }",
            "c.json5: `drivers` is empty; at least one driver is needed",
            None,
        ),
    ] {
        json5(text).refused(message, suggestion);
    }
}

#[test]
fn javascript_is_read_as_far_as_it_holds_values() {
    let text = "{ // a comment, with a { in it\n config: { 'path': \"a\\\"{date}b\", /* process.env.NO */ }, tempDir: process.env.TEMP_CANARY }";
    let config = json5(text).env(&[("TEMP_CANARY", "/x")]).accepted();
    assert_eq!(config.engine.temp_dir.as_deref(), Some(Path::new("/x")));
    for (text, place) in [
        (
            "{\n driver: 'filesystem',\n onBackupStart: async (type) => {} }",
            "c.json5:3:17",
        ),
        ("{ config: { client: CANARY } }", "c.json5:1:21"),
    ] {
        json5(text).refused(
            &format!(
                "{place}: this is JavaScript, and a file holds values only: a variable of the environment is process.env.NAME \
                 or \"${{NAME}}\"; functions and clients are given through the API, and [hooks] stand for functions"
            ),
            None,
        );
    }
    json5("{ driver: 'a', driver: 'CANARY' }").refused("c.json5: a key is given twice", None);
    json5("{ driver: 'filesystem'").refused("c.json5:1:1: EOF parsing object", None);
    json5(&format!("{{ a: {} }}", "[".repeat(100_000))).refused(
        "c.json5:1:69: is nested too deeply for a configuration",
        None,
    );
}

#[test]
fn what_is_asked_of_stores_has_its_own_names() {
    let config = json5(
        "{ driver: 'multi', config: { drivers: [
           { driver: 'filesystem', config: { path: '/a', permissions: 0o644, directoryPermissions: '755' } },
           { driver: 's3', config: { bucket: 'b', storageClass: 'GLACIER_IR', serverSideEncryption: 'aws:kms',
             kmsKeyId: 'arn:aws:kms:region:account:key/key-id', tags: { team: 'x' } } },
         ] } }",
    )
    .accepted();
    let [folder, bucket] = &config.destinations[..] else {
        panic!("two: {:?}", config.destinations);
    };
    let modes = Modes {
        file: Some(0o644),
        folder: Some(0o755),
    };
    assert_eq!(folder.modes, modes);
    let Place::S3(place) = &bucket.place else {
        panic!("a bucket: {bucket:?}");
    };
    let key_id = "arn:aws:kms:region:account:key/key-id".to_owned();
    let storing = Storing {
        class: Some("GLACIER_IR".parse().unwrap()),
        encryption: Some(ServerSideEncryption::Kms(Some(key_id))),
        tags: [("team".to_owned(), "x".to_owned())].into(),
        lock: None,
    };
    assert_eq!(place.storing, storing);
    let decimal = "{ config: { path: 'a', permissions: 644 } }";
    json5(decimal).refused(
        "c.json5: `config.permissions` is 0o1204, above 0o777; accepted: up to 777, as octal text such as \"644\", \
         or as its value: 0o644 or 420",
        Some("write \"644\" or 0o644: a number is its value"),
    );
}
