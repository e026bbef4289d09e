//! Whose turn it is: what makes no backup is remembered by its turns, and of two runners one does it.

use std::path::PathBuf;

use teeline::sinks::{Fault, MemorySink, Operation, What, When};
use teeline::{
    BackupError, BackupRequest, Class, CleanupRequest, DestinationSpec, DrillRequest, Engine,
    Hooks, JsonlSource, ListRequest, RepairRequest, Retention, RetentionPolicy, RunStatus,
    Schedule, ScrubRequest, Timestamp, ValidateRequest, VerifyRequest, Work,
};
use teeline_core::{Digest, ObjectKey, Sink, Turn, TurnEnd, document, layout};

use crate::common::{failing, store, whole};
use crate::world::{World, at, in_berlin, run, schedule, times};

fn upkeep(name: &str, cron: &str, work: Work) -> Schedule {
    Schedule::of(name, in_berlin(cron), work).unwrap()
}

fn turns(sink: &MemorySink) -> Vec<String> {
    let keys = sink.keys().into_iter().map(|key| key.to_string());
    keys.filter(|key| key.starts_with("schedules/")).collect()
}

fn cleanup(to: &[DestinationSpec]) -> CleanupRequest {
    CleanupRequest::new(to.to_vec(), RetentionPolicy::new(Retention::default()))
}

/// A backup, and everything that keeps it worth having.
fn everything(world: &World, to: &DestinationSpec) -> Vec<Schedule> {
    let at = vec![to.clone()];
    vec![
        schedule("backup", "0 2 * * *", &world.records(), &[to]),
        upkeep(
            "verify",
            "0 3 * * *",
            Work::Verify(VerifyRequest::new(at.clone())),
        ),
        upkeep(
            "validate",
            "0 4 * * *",
            Work::Validate(ValidateRequest::new(at.clone())),
        ),
        upkeep(
            "scrub",
            "0 5 * * *",
            Work::Scrub(ScrubRequest::new(at.clone())),
        ),
        upkeep(
            "repair",
            "0 6 * * *",
            Work::Repair(RepairRequest::everything(at.clone())),
        ),
        upkeep(
            "drill",
            "0 7 * * *",
            Work::Drill(DrillRequest::new(at.clone())),
        ),
        upkeep("cleanup", "0 8 * * *", Work::Cleanup(cleanup(&at))),
    ]
}

#[test]
fn what_makes_no_backup_runs_at_its_times_and_is_caught_up_as_its_turns_say() {
    let world = World::at("2026-11-01T12:00:00.000Z");
    let (sink, to) = store("a");
    let first = world.engine();
    for schedule in everything(&world, &to) {
        first.schedule(schedule).unwrap();
    }
    let (report, begun, others) = run(&first, 7);
    let each = [
        "backup", "verify", "validate", "scrub", "repair", "drill", "cleanup",
    ];
    let hours = |day: u32| -> Vec<(String, Timestamp)> {
        let each = each.iter().zip(1..);
        each.map(|(name, hour)| {
            let time = format!("2026-11-{day:02}T{hour:02}:00:00.000Z");
            ((*name).to_owned(), at(&time))
        })
        .collect()
    };
    assert_eq!(begun, hours(2));
    assert_eq!(
        (report.made, report.failed, report.left),
        (7, 0, 0),
        "{others:?}"
    );
    let entries = sink.keys().into_iter();
    let checks = entries.filter(|key| key.as_str().starts_with("verifications/"));
    assert_eq!(
        checks.count(),
        1,
        "the drill says more than those before it"
    );
    for listed in first.list_schedules_blocking().schedules {
        let last = listed.last.unwrap();
        assert_eq!(last.status, RunStatus::Completed);
        assert_eq!(last.id.is_some(), listed.name == "backup");
    }

    // Two days are missed, and caught up once.
    world.set("2026-11-04T12:00:00.000Z");
    let second = world.engine();
    for schedule in everything(&world, &to) {
        second.schedule(schedule).unwrap();
    }
    let (report, begun, _) = run(&second, 8);
    let mut expected = hours(3);
    expected.extend(times(&[("backup", "2026-11-05T01:00:00.000Z")]));
    assert_eq!(begun, expected);
    assert_eq!((report.made, report.failed), (8, 0));

    // A turn and its end of each, and no more.
    let at = [to];
    let cleaned = second.cleanup_blocking(cleanup(&at));
    assert_eq!(cleaned.exit_code(), 0, "{cleaned:?}");
    let left = turns(&sink);
    assert_eq!(left.len(), 2 * each.len(), "{left:?}");
    assert_eq!(
        second.cleanup_blocking(cleanup(&at)).destinations[0].turns,
        0
    );
}

#[test]
fn a_turn_is_left_to_whoever_may_have_it_and_taken_from_the_dead() {
    let world = World::at("2026-11-01T12:00:00.000Z");
    let (sink, to) = store("a");
    let daily = || schedule("daily", "0 2 * * *", &world.records(), &[&to]);
    let put = |key: &ObjectKey, turn: &Turn| {
        futures::executor::block_on(sink.put(key, document::seal(turn))).unwrap();
    };
    let earlier = layout::turns_of("daily").unwrap();
    let called = serde_json::json!(["jsonl", world.records()]).to_string();
    let own = layout::turns_about("daily", Digest::of(called.as_bytes())).unwrap();
    let key_at = |time: &str, attempt| layout::turn(&own, at(time), attempt).unwrap();
    let theirs = |time: &str| Turn {
        schedule: "daily".to_owned(),
        scheduled_at: at(time),
        taken_at: at(time),
        process: None,
        token: "theirs".to_owned(),
    };
    let second = "2026-11-02T01:00:00.000Z";
    put(&key_at(second, 0), &theirs(second));
    // One of an earlier version, which says nothing of what it backs up.
    let third = "2026-11-03T01:00:00.000Z";
    let interrupted = layout::turn(&earlier, at(third), 0).unwrap();
    put(&interrupted, &theirs(third));
    let end = TurnEnd {
        schedule: "daily".to_owned(),
        scheduled_at: at(third),
        started_at: at(third),
        ended_at: at(third),
        status: RunStatus::Failed,
        error: Some((&BackupError::new(Class::Cancelled, "run", "it", "it was told to")).into()),
    };
    let ended = layout::turn_end(&interrupted).unwrap();
    futures::executor::block_on(sink.put(&ended, document::seal(&end))).unwrap();
    put(
        &layout::turn(&earlier, at(third), 1).unwrap(),
        &theirs(third),
    );
    let engine = world.engine();
    engine.schedule(daily()).unwrap();
    let (report, begun, others) = run(&engine, 1);
    assert_eq!(begun, times(&[("daily", "2026-11-04T01:00:00.000Z")]));
    assert_eq!((report.made, report.left), (1, 2));
    assert!(
        others.iter().any(|told| told.starts_with("Left")),
        "{others:?}"
    );

    // Its own turn says what this process is; one that had the number of a process that has ended is gone.
    let fourth = key_at("2026-11-04T01:00:00.000Z", 0);
    let bytes = futures::executor::block_on(whole(&sink, &fourth));
    let ours: Turn = document::open("it", &bytes).unwrap();
    let end = layout::turn_end(&fourth).unwrap();
    let bytes = futures::executor::block_on(whole(&sink, &end));
    let end: TurnEnd = document::open("it", &bytes).unwrap();
    assert_eq!((end.status, end.error), (RunStatus::Completed, None));
    if cfg!(target_os = "linux") {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let mut mark = ours.process.unwrap();
        mark.pid = child.id();
        let fifth = "2026-11-05T01:00:00.000Z";
        let dead = Turn {
            process: Some(mark),
            ..theirs(fifth)
        };
        put(&key_at(fifth, 0), &dead);
        let (report, begun, _) = run(&engine, 1);
        assert_eq!(begun, times(&[("daily", fifth)]));
        assert_eq!((report.made, report.left), (1, 0));
        let found = turns(&sink);
        assert!(found.contains(&key_at(fifth, 1).to_string()), "{found:?}");
    }

    // What nobody can have written holds nobody up.
    let sixth = "2026-11-06T01:00:00.000Z";
    sink.overwrite(&key_at(sixth, 0), b"nothing of the kind");
    let (_, begun, _) = run(&engine, 1);
    assert_eq!(begun.last(), times(&[("daily", sixth)]).last());
}

#[test]
fn schedules_of_one_name_share_a_destination_and_each_is_done() {
    let world = World::at("2026-11-01T12:00:00.000Z");
    let (shared, archive) = store("archive");
    let databases = ["shop", "crm"].map(|name| {
        let records = world.folder.path().join(format!("{name}.jsonl"));
        std::fs::write(&records, "{\"id\":1}\n").unwrap();
        (records, store(name).1)
    });
    let configured = |(records, near): &(PathBuf, DestinationSpec)| {
        let engine = world.engine();
        let both = [near, &archive];
        let check = VerifyRequest::new(both.map(Clone::clone).to_vec());
        for schedule in [
            schedule("daily", "0 2 * * *", records, &both),
            upkeep("verify", "0 3 * * *", Work::Verify(check)),
        ] {
            engine.schedule(schedule).unwrap();
        }
        engine
    };
    let night = times(&[
        ("daily", "2026-11-02T01:00:00.000Z"),
        ("verify", "2026-11-02T02:00:00.000Z"),
    ]);
    let mut made = Vec::new();
    for database in &databases {
        world.set("2026-11-02T00:30:00.000Z");
        let engine = configured(database);
        let (report, begun, others) = run(&engine, 2);
        assert_eq!(begun, night, "{others:?}");
        assert_eq!((report.made, report.left), (2, 0), "{others:?}");
        made.push(engine);
    }
    let last = |engine: &Engine| engine.list_schedules_blocking().schedules[0].last.clone();
    let ids = [&made[0], &made[1]].map(|engine| last(engine).unwrap().id.unwrap());
    assert_ne!(ids[0], ids[1]);
    for ((_, near), id) in databases.iter().zip(&ids) {
        let listed = |at: &DestinationSpec| {
            let list = made[0].list_blocking(ListRequest::new(vec![at.clone()]));
            let ids = list.backups.into_iter().map(|backup| backup.id);
            ids.collect::<Vec<_>>()
        };
        assert_eq!(listed(near), std::slice::from_ref(id));
        assert!(listed(&archive).contains(id));
    }

    // What one has of a night makes nothing of the other's outdated.
    world.set("2026-11-03T12:00:00.000Z");
    let (report, begun, _) = run(&configured(&databases[0]), 2);
    assert_eq!((report.made, begun.len()), (2, 2));
    let cleaned = made[0].cleanup_blocking(cleanup(std::slice::from_ref(&archive)));
    assert_eq!(cleaned.destinations[0].turns, 2, "those of one database");
    assert_eq!(turns(&shared).len(), 8);
    assert_eq!(last(&made[1]).unwrap().id.as_ref(), Some(&ids[1]));
}

#[test]
fn a_backup_that_a_hook_has_stopped_has_run() {
    let world = World::at("2026-11-01T12:00:00.000Z");
    let ((_, to), (_, unused)) = (store("a"), store("b"));
    let daily_to = |to: &DestinationSpec, hooks: Hooks| {
        let source = JsonlSource::path(world.records());
        let mut request = BackupRequest::new(source, vec![to.clone()]);
        request.hooks = hooks;
        Schedule::new("daily", in_berlin("0 2 * * *"), request).unwrap()
    };
    let daily = |hooks| daily_to(&to, hooks);
    let first = world.engine();
    first.schedule(daily(Hooks::default())).unwrap();
    let (report, _, _) = run(&first, 1);
    assert_eq!((report.made, report.failed), (1, 0));
    let last = |engine: &Engine| engine.list_schedules_blocking().schedules[0].last.clone();
    let made = last(&first).unwrap();
    assert_eq!(made.status, RunStatus::Completed);
    assert!(made.id.is_some(), "its record says more than its turn");

    let objecting = || {
        Hooks::default().callback("dump", &[], |_| async {
            let message = "the dump isn't ready";
            Err(BackupError::new(Class::Permanent, "look", "it", message))
        })
    };
    let second = world.engine();
    second.schedule(daily(objecting())).unwrap();
    let (report, begun, _) = run(&second, 1);
    assert_eq!(begun, times(&[("daily", "2026-11-03T01:00:00.000Z")]));
    assert_eq!((report.made, report.failed), (0, 1));
    let stopped = last(&second).unwrap();
    assert_eq!(stopped.status, RunStatus::Failed);
    assert!(stopped.id.is_some(), "it has a record as well");
    let error = stopped.error.unwrap();
    assert!(error.message.contains("the dump isn't ready"), "{error:?}");

    // Whoever is started later catches up what was missed since, and isn't kept from it by the turn of that one.
    world.set("2026-11-04T12:00:00.000Z");
    let third = world.engine();
    third.schedule(daily(objecting())).unwrap();
    let (report, begun, _) = run(&third, 1);
    assert_eq!(begun, times(&[("daily", "2026-11-04T01:00:00.000Z")]));
    assert_eq!(report.left, 0);

    // Where no backups are kept yet no record is left, and its turn is all that tells of it.
    let elsewhere = world.engine();
    elsewhere.schedule(daily_to(&unused, objecting())).unwrap();
    let (report, _, _) = run(&elsewhere, 1);
    assert_eq!((report.made, report.failed), (0, 1));
    let stopped = last(&elsewhere).unwrap();
    assert_eq!((stopped.id, stopped.status), (None, RunStatus::Failed));
}

#[test]
fn where_no_turn_can_be_taken_that_is_said_and_it_is_done() {
    let world = World::at("2026-11-01T12:00:00.000Z");
    let denied = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (_, to) = failing("a", denied.on_keys_with("schedules/"));
    let engine = world.engine();
    engine
        .schedule(schedule("daily", "0 2 * * *", &world.records(), &[&to]))
        .unwrap();
    let (report, _, others) = run(&engine, 1);
    assert_eq!((report.made, report.left), (1, 0));
    let said = others.iter().any(|told| told.starts_with("Unclaimed"));
    assert!(said, "{others:?}");
}

#[test]
fn a_schedule_is_run_by_its_name_and_a_drill_from_nowhere_is_refused() {
    let world = World::at("2026-11-01T12:00:00.000Z");
    let (_, to) = store("a");
    let engine = world.engine();
    for schedule in everything(&world, &to) {
        engine.schedule(schedule).unwrap();
    }
    let cancel = teeline::Cancel::new();
    for (name, code) in [("drill", 1), ("backup", 0), ("drill", 0), ("scrub", 0)] {
        let report = engine.run_schedule_blocking(name, &cancel).unwrap();
        assert_eq!(report.exit_code(), code, "{name}: {report:?}");
        world.set("2026-11-01T12:30:00.000Z");
    }
    let listed = engine.list_schedules_blocking().schedules;
    let last = |name: &str| {
        let mut listed = listed.iter();
        listed.find(|one| one.name == name).unwrap().last.clone()
    };
    assert_eq!(last("scrub").unwrap().status, RunStatus::Completed);
    assert_eq!(last("verify"), None);
    let unknown = engine.run_schedule_blocking("weekly", &cancel);
    assert_eq!(unknown.unwrap_err().class(), Class::Usage);

    let mut from = DrillRequest::new(vec![to]);
    from.from = Some("elsewhere".to_owned());
    let refused = engine.schedule(upkeep("drill", "@daily", Work::Drill(from)));
    assert_eq!(refused.unwrap_err().class(), Class::Usage);
}
