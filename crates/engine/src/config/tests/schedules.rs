//! Schedules: the named ones and the short form.

use teeline_core::{Compression, Span, StrategyKind};

use super::*;

#[test]
fn both_forms_are_read_in_order_and_differ_from_other_backups_where_they_say_so() {
    let config = toml(
        r#"
schedule = { weekly = "0 3 * * 0", daily = "0 2 * * *" }
[backup]
strategy = "any"
level = 7
exclude = ["cache_*"]
query = { orders = { status = "active" } }
[schedules.archive]
cron = "0 0 1 * *"
type = "archive"
jitter = "10min"
compression = "zstd"
exclude = []
include = ["orders"]
metadata = { kind = "archive" }
[schedules.some]
cron = "@weekly"
type = "selective"
resources = ["users"]
[schedules.again]
cron = "@hourly"
level = 9
partitions = { byRegion = ["EU"] }
"#,
    )
    .accepted();
    let [daily, weekly, archive, some, again] = config.schedules.try_into().unwrap();
    let said = |schedule: &ScheduleConfig| {
        let (name, cron) = (schedule.name.clone(), schedule.cron.to_string());
        (
            name,
            cron,
            schedule.backup_type.to_string(),
            schedule.jitter,
        )
    };
    let expected = |name: &str, cron: &str, kind: &str, jitter: &str| {
        let jitter: Span = jitter.parse().unwrap();
        (name.to_owned(), cron.to_owned(), kind.to_owned(), jitter)
    };
    assert_eq!(said(&daily), expected("daily", "0 2 * * *", "full", "0s"));
    assert_eq!(said(&weekly), expected("weekly", "0 3 * * 0", "full", "0s"));
    let archived = expected("archive", "0 0 1 * *", "archive", "10min");
    assert_eq!(said(&archive), archived);
    assert_eq!(said(&again), expected("again", "@hourly", "full", "0s"));

    assert_eq!(daily.backup, config.backup);
    let zstd: Compression = "zstd".parse().unwrap();
    let expected = BackupConfig {
        compression: zstd,
        include: vec!["orders".into()],
        exclude: Vec::new(),
        metadata: archive.backup.metadata.clone(),
        ..config.backup.clone()
    };
    assert_eq!(archive.backup, expected);
    assert_eq!(archive.backup.metadata.values()["kind"], "archive");
    assert_eq!(some.resources, Some(vec!["users".to_owned()]));
    assert_eq!((&some.backup, daily.resources), (&config.backup, None));
    assert_eq!(archive.backup.strategy, StrategyKind::Any);
    let gzip = config.backup.compression.with_level(9).unwrap();
    assert_eq!(again.backup.compression, gzip);
    assert_eq!(again.backup.exclude, ["cache_*"]);
    let names: Vec<&str> = again.backup.partitions.names().collect();
    assert_eq!(names, ["byRegion"]);
    assert!(daily.backup.partitions.is_empty());
    assert_eq!(
        again.backup.query.resources().collect::<Vec<_>>(),
        ["orders"]
    );
}

#[test]
fn variables_set_schedules_too() {
    let case = toml("[schedules.nightly]\ncron = \"0 1 * * *\"").env(&[
        ("TEELINE__SCHEDULES__NIGHTLY__CRON", "0 4 * * *"),
        ("TEELINE__SCHEDULE__DAILY", "@daily"),
    ]);
    let schedules = case.accepted().schedules;
    let said = schedules
        .iter()
        .map(|one| format!("{} {}", one.name, one.cron));
    assert_eq!(
        said.collect::<Vec<_>>(),
        ["daily @daily", "nightly 0 4 * * *"]
    );
}

#[test]
fn what_is_wrong_with_a_schedule_is_said_at_its_place() {
    for (text, expected, help) in [
        (
            "[schedules.daily]\ncron = \"0 25 * * *\"",
            "c.toml:2:1: `schedules.daily.cron` isn't usable: its hour is \"25\"; accepted: 0 to 23, as *, 5, 1,2, 1-5 or */4",
            None,
        ),
        (
            "schedule = { daily = \"0 2 *\" }",
            "c.toml:1:14: `schedule.daily` isn't usable: it has 3 fields; accepted: minute, hour, day of the month, month and day of the week, \
             with a second before them if there are six, or @hourly, @daily, @weekly, @monthly, @yearly, @annually",
            None,
        ),
        (
            "[schedules.daily]\ntype = \"full\"",
            "c.toml:1:12: `schedules.daily` lacks `cron`",
            Some("write cron = \"0 2 * * *\" for each day at two"),
        ),
        (
            "schedule = { hourly = \"0 * * * *\" }",
            "c.toml:1:14: unknown key `schedule.hourly`; accepted here: daily, weekly, monthly",
            Some("write [schedules.hourly] with cron = \"0 * * * *\""),
        ),
        (
            "schedule = { daily = \"@daily\" }\n[schedules.daily]\ncron = \"@daily\"",
            "c.toml:2:12: `schedules.daily` and `schedule.daily` are both there",
            Some("take one of them away, or name this one otherwise"),
        ),
        (
            "[schedules.Daily]\ncron = \"@daily\"",
            "c.toml:1:12: `schedules.Daily` isn't a name for a schedule; accepted: a lower-case letter, then up to 62 of a-z, 0-9, '_' and '-', such as local or primary-eu",
            None,
        ),
        (
            "[schedules.monthly]\ncron = \"@monthly\"\ntype = \"drill\"\nbudget = \"1GB\"",
            "c.toml:4:1: `schedules.monthly.budget` goes with a backup, or something else; accepted of a drill: cron, type, jitter, scratch, from",
            None,
        ),
        (
            "[schedules.daily]\ncron = \"@daily\"\nmax_age = \"30d\"",
            "c.toml:3:1: `schedules.daily.max_age` goes with no backup; a schedule of type scrub takes it",
            None,
        ),
        (
            "[schedules.daily]\ncron = \"@daily\"\ntype = \"cleanup\"\nstrategy = \"any\"",
            "c.toml:4:1: `schedules.daily.strategy` goes with a backup, or something else; accepted of a cleanup: cron, type, jitter",
            None,
        ),
        (
            "[schedules.daily]\ncron = \"@daily\"\ntype = \"scrub\"\nbudget = 0",
            "c.toml:4:1: `schedules.daily.budget` is 0 bytes; accepted: 1 bytes to 1073741824 GiB",
            None,
        ),
        (
            "[schedules.daily]\ncron = \"@daily\"\njitter = \"90d\"",
            "c.toml:3:1: `schedules.daily.jitter` is 90d; accepted: 0s to 31d",
            None,
        ),
        (
            "[schedules.daily]\ncron = \"@daily\"\ncompression = \"none\"\nlevel = 3",
            "c.toml:4:1: `schedules.daily.level` goes with a compression; \"none\" has no levels",
            None,
        ),
    ] {
        toml(text).refused(expected, help);
    }
    let unknown = toml("[schedules.daily]\ncron = \"@daily\"\ncrom = 1")
        .load()
        .unwrap_err();
    assert_eq!(unknown.suggestion(), Some("did you mean `cron`?"));
    let zone = toml("[schedules.daily]\ncron = \"@daily\"\ntime_zone = \"UTC\"")
        .load()
        .unwrap_err();
    assert_eq!(
        zone.suggestion(),
        Some("it stands before all sections: time_zone = \"Europe/Berlin\"")
    );
}

#[test]
fn what_keeps_backups_worth_having_is_scheduled_with_its_options() {
    let text = "[schedules.a]\ncron = \"@daily\"\ntype = \"scrub\"\nbudget = \"10GB\"\nmax_age = \"30d\"\n\
        [schedules.b]\ncron = \"@monthly\"\ntype = \"drill\"\nfrom = \"local\"\nscratch = \"/var/tmp\"\njitter = \"1h\"\n\
        [schedules.c]\ncron = \"@weekly\"\ntype = \"verify\"\nall = true\ndeep = true\n\
        [schedules.d]\ncron = \"@weekly\"\ntype = \"validate\"\nlast = 3\n\
        [schedules.e]\ncron = \"@weekly\"\ntype = \"cleanup\"\n\
        [schedules.f]\ncron = \"@weekly\"\ntype = \"repair\"";
    let schedules = toml(text).accepted().schedules;
    let found = schedules.into_iter().map(|one| one.upkeep.unwrap());
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            UpkeepConfig::Scrub {
                budget_bytes: Some(10_000_000_000),
                max_age: Some("30d".parse().unwrap()),
                deep: false,
            },
            UpkeepConfig::Drill {
                from: Some("local".to_owned()),
                scratch: Some("/var/tmp".into()),
            },
            UpkeepConfig::Verify {
                all: true,
                deep: true,
            },
            UpkeepConfig::Validate {
                last: 3,
                scratch: None,
            },
            UpkeepConfig::Cleanup,
            UpkeepConfig::Repair,
        ]
    );
}
