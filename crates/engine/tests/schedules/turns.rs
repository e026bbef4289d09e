//! Whose turn it is: what makes no backup is remembered by its turns, and of two runners one does it.

use teeline::sinks::{Fault, MemorySink, Operation, What, When};
use teeline::{
    BackupError, BackupRequest, Class, CleanupRequest, DestinationSpec, DrillRequest, Engine,
    Hooks, JsonlSource, RepairRequest, Retention, RetentionPolicy, RunStatus, Schedule,
    ScrubRequest, Timestamp, ValidateRequest, VerifyRequest, Work,
};
use teeline_core::{ObjectKey, Sink, Turn, TurnEnd, document, layout};

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
    let key_at = |time: &str, attempt| layout::turn("daily", at(time), attempt).unwrap();
    let theirs = |time: &str| Turn {
        schedule: "daily".to_owned(),
        scheduled_at: at(time),
        taken_at: at(time),
        process: None,
        token: "theirs".to_owned(),
    };
    let second = "2026-11-02T01:00:00.000Z";
    put(&key_at(second, 0), &theirs(second));
    let engine = world.engine();
    engine.schedule(daily()).unwrap();
    let (report, begun, others) = run(&engine, 1);
    assert_eq!(begun, times(&[("daily", "2026-11-03T01:00:00.000Z")]));
    assert_eq!((report.made, report.left), (1, 1));
    assert!(
        others.iter().any(|told| told.starts_with("Left")),
        "{others:?}"
    );

    // Its own turn says what this process is; one that had the number of a process that has ended is gone.
    let third = key_at("2026-11-03T01:00:00.000Z", 0);
    let bytes = futures::executor::block_on(whole(&sink, &third));
    let ours: Turn = document::open("it", &bytes).unwrap();
    let end = layout::turn_end(&third).unwrap();
    let bytes = futures::executor::block_on(whole(&sink, &end));
    let end: TurnEnd = document::open("it", &bytes).unwrap();
    assert_eq!((end.status, end.error), (RunStatus::Completed, None));
    if cfg!(target_os = "linux") {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let mut mark = ours.process.unwrap();
        mark.pid = child.id();
        let fourth = "2026-11-04T01:00:00.000Z";
        let dead = Turn {
            process: Some(mark),
            ..theirs(fourth)
        };
        put(&key_at(fourth, 0), &dead);
        let (report, begun, _) = run(&engine, 1);
        assert_eq!(begun, times(&[("daily", fourth)]));
        assert_eq!((report.made, report.left), (1, 0));
        let found = turns(&sink);
        assert!(found.contains(&key_at(fourth, 1).to_string()), "{found:?}");
    }

    // What nobody can have written holds nobody up.
    let fifth = "2026-11-05T01:00:00.000Z";
    sink.overwrite(&key_at(fifth, 0), b"nothing of the kind");
    let (_, begun, _) = run(&engine, 1);
    assert_eq!(begun.last(), times(&[("daily", fifth)]).last());
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
