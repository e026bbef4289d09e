//! Schedules, over a clock that time passes by only while they wait.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "../common/mod.rs"]
mod common;
mod turns;
mod world;

use std::sync::{Arc, Mutex};

use common::{failing, store};
use teeline::sinks::{Fault, FaultPlan, FaultSink, Operation, What, When};
use teeline::{
    BackupRequest, Cancel, Class, JsonlSource, ProgressEvent, RunStatus, Schedule, ScheduleEvent,
    SchedulesRequest, Work,
};
use world::{World, at, in_berlin, run, schedule, times, unlistable};

#[test]
fn schedules_run_in_turn_at_their_times_while_clocks_are_put_back() {
    let world = World::at("2026-10-23T12:00:00.000Z");
    let (_, to) = store("a");
    let engine = world.engine();
    for (name, cron) in [("weekly", "30 2 * * 0"), ("daily", "30 2 * * *")] {
        engine
            .schedule(schedule(name, cron, &world.records(), &[&to]))
            .unwrap();
    }
    let (report, begun, _) = run(&engine, 5);
    let expected = [
        ("daily", "2026-10-24T00:30:00.000Z"),
        ("weekly", "2026-10-25T00:30:00.000Z"),
        ("daily", "2026-10-25T00:30:00.000Z"),
        ("daily", "2026-10-26T01:30:00.000Z"),
        ("daily", "2026-10-27T01:30:00.000Z"),
    ];
    assert_eq!(begun, times(&expected));
    assert_eq!((report.made, report.failed, report.exit_code()), (5, 0, 0));
    assert_eq!(engine.list_blocking(&[to]).backups.len(), 5);
    assert!(engine.is_idle());
}

#[test]
fn what_was_missed_is_caught_up_once_as_the_records_say() {
    let world = World::at("2026-11-01T12:00:00.000Z");
    let (_, a) = store("a");
    let (_, dead) = failing("dead", unlistable());
    let both = |name, cron| schedule(name, cron, &world.records(), &[&a, &dead]);
    let first = world.engine();
    let daily = || schedule("daily", "0 2 * * *", &world.records(), &[&a]);
    first.schedule(daily()).unwrap();
    run(&first, 1);

    // Ten are missed. Another schedule never ran, so it missed nothing; and one destination can't be asked.
    world.set("2026-11-12T12:00:00.000Z");
    let second = world.engine();
    second.schedule(both("daily", "0 2 * * *")).unwrap();
    second.schedule(both("hourly", "0 0 * * *")).unwrap();
    let list = second.list_schedules_blocking();
    assert_eq!(list.errors[0].destination, "dead", "{list:?}");
    let last = list.schedules[0].last.as_ref().unwrap();
    assert_eq!(
        (last.status, last.started_at),
        (RunStatus::Completed, at("2026-11-02T01:00:00.000Z"))
    );
    assert!(list.schedules[1].last.is_none());
    let (report, begun, others) = run(&second, 3);
    let expected = [
        ("daily", "2026-11-03T01:00:00.000Z"),
        ("hourly", "2026-11-12T23:00:00.000Z"),
        ("daily", "2026-11-13T01:00:00.000Z"),
    ];
    assert_eq!(begun, times(&expected));
    assert!(others[0].contains("unknown: false"), "{others:?}");
    assert_eq!(report.made + report.failed, 3);
}

#[test]
fn where_nobody_can_be_asked_nothing_is_caught_up() {
    let world = World::at("2026-11-01T12:00:00.000Z");
    let (memory, a) = store("a");
    let first = world.engine();
    first
        .schedule(schedule("daily", "0 2 * * *", &world.records(), &[&a]))
        .unwrap();
    run(&first, 1);

    world.set("2026-11-12T12:00:00.000Z");
    let plan = FaultPlan::new(1).with(unlistable());
    let dead = common::place("a", FaultSink::new(Arc::new(memory), plan));
    let second = world.engine();
    second
        .schedule(schedule("daily", "0 2 * * *", &world.records(), &[&dead]))
        .unwrap();
    let (_, begun, others) = run(&second, 1);
    assert_eq!(begun, times(&[("daily", "2026-11-13T01:00:00.000Z")]));
    assert!(others[0].contains("unknown: true"), "{others:?}");
}

#[test]
fn a_run_of_the_future_puts_off_nothing() {
    let world = World::at("2099-11-01T12:00:00.000Z");
    let (_, to) = store("a");
    let engine = world.engine();
    let daily = schedule("daily", "0 2 * * *", &world.records(), &[&to]);
    engine.schedule(daily.clone()).unwrap();
    run(&engine, 1);

    world.set("2026-11-12T12:00:00.000Z");
    let second = world.engine();
    second.schedule(daily).unwrap();
    let (_, begun, _) = run(&second, 2);
    let expected = [
        ("daily", "2026-11-13T01:00:00.000Z"),
        ("daily", "2026-11-14T01:00:00.000Z"),
    ];
    assert_eq!(begun, times(&expected));
}

#[test]
fn what_was_interrupted_is_made_again() {
    let world = World::at("2026-11-01T12:00:00.000Z");
    let hangs = Fault::new(Operation::Commit, When::From(1), What::Stall);
    let (memory, hanging) = failing("a", hangs.on_keys_with("jsonl"));
    let monthly = |to| schedule("monthly", "0 2 2 * *", &world.records(), &[to]);
    let first = world.engine();
    // Once it has begun to write, so that there is something to record.
    let request = SchedulesRequest::default();
    let cancel = request.cancel.clone();
    let quiet = monthly(&hanging);
    let Work::Backup(writing) = quiet.work() else {
        panic!("it makes backups");
    };
    let mut writing = (**writing).clone();
    writing.observer = Some(Arc::new(move |event| {
        if let ProgressEvent::Acked { .. } = event {
            cancel.cancel();
        }
    }));
    let writing = Schedule::new("monthly", quiet.timing().clone(), writing).unwrap();
    first.schedule(writing).unwrap();
    let report = first.run_schedules_blocking(request).unwrap();
    assert_eq!(report.exit_code(), 130, "{report:?}");
    let last = first.list_schedules_blocking().schedules[0].last.clone();
    assert!(last.unwrap().is_interrupted());

    world.set("2026-11-02T05:00:00.000Z");
    let second = world.engine();
    second
        .schedule(monthly(&common::place("a", memory)))
        .unwrap();
    let (report, begun, _) = run(&second, 2);
    let expected = [
        ("monthly", "2026-11-02T01:00:00.000Z"),
        ("monthly", "2026-12-02T01:00:00.000Z"),
    ];
    assert_eq!(begun, times(&expected));
    assert_eq!(report.made, 2);
}

#[test]
fn a_failure_ends_nothing() {
    let world = World::at("2026-11-01T12:00:00.000Z");
    let (_, to) = store("a");
    let engine = world.engine();
    let missing = world.folder.path().join("later.jsonl");
    engine
        .schedule(schedule("daily", "0 2 * * *", &missing, &[&to]))
        .unwrap();
    let (report, ..) = run(&engine, 2);
    assert_eq!((report.made, report.failed, report.exit_code()), (0, 2, 0));
    std::fs::write(&missing, "{}\n").unwrap();
    let (report, begun, _) = run(&engine, 1);
    assert_eq!((report.made, begun.len()), (1, 1));
    let last = engine.list_schedules_blocking().schedules[0].last.clone();
    assert_eq!(last.unwrap().status, RunStatus::Completed);
}

#[test]
fn schedules_come_and_go_while_they_run() {
    let world = World::at("2026-11-01T12:00:00.000Z");
    let (_, to) = store("a");
    let engine = world.engine();
    let new = |name, cron| schedule(name, cron, &world.records(), &[&to]);
    engine.schedule(new("daily", "0 2 * * *")).unwrap();
    assert!(!engine.unschedule("weekly"));

    let begun = Arc::new(Mutex::new(Vec::new()));
    let mut request = SchedulesRequest::default();
    let (telling, finish, changing) = (Arc::clone(&begun), request.finish.clone(), engine.clone());
    let hourly = Mutex::new(Some(new("hourly", "0 * * * *")));
    request.observer = Some(Arc::new(move |event| {
        let ScheduleEvent::Begins { name, .. } = event else {
            return;
        };
        let mut begun = telling.lock().unwrap();
        begun.push(name.clone());
        if let Some(hourly) = hourly.lock().unwrap().take() {
            changing.schedule(hourly).unwrap();
            assert!(changing.unschedule("daily"));
        }
        if begun.len() == 30 {
            finish.cancel();
        }
    }));
    let report = engine.run_schedules_blocking(request.clone()).unwrap();
    assert_eq!(report.made, 30, "what is under way is finished");
    let begun = begun.lock().unwrap();
    assert_eq!(begun[0], "daily");
    assert!(begun[1..].iter().all(|name| name == "hourly"), "{begun:?}");
    let names = engine.list_schedules_blocking().schedules;
    assert_eq!(names.len(), 1);
    assert_eq!(
        names[0].next,
        ["2026-11-03T07", "2026-11-03T08", "2026-11-03T09"]
            .map(|hour| at(&format!("{hour}:00:00.000Z")))
    );
}

#[test]
fn one_at_a_time_runs_them_and_abandons_what_is_under_way() {
    let world = World::at("2026-11-01T12:00:00.000Z");
    let (_, to) = store("a");
    let engine = world.engine();
    engine
        .schedule(schedule("daily", "0 2 * * *", &world.records(), &[&to]))
        .unwrap();
    let mut request = SchedulesRequest::default();
    let (cancel, other) = (request.cancel.clone(), engine.clone());
    request.observer = Some(Arc::new(move |event| {
        if let ScheduleEvent::Begins { .. } = event {
            let other = other.clone();
            let second =
                std::thread::spawn(move || other.run_schedules_blocking(Default::default()));
            let second = second.join().unwrap();
            assert_eq!(second.unwrap_err().class(), Class::Conflict);
            cancel.cancel();
        }
    }));
    let report = engine.run_schedules_blocking(request).unwrap();
    assert_eq!(
        (report.made, report.failed, report.exit_code()),
        (0, 0, 130)
    );
    assert!(engine.list_blocking(&[to]).backups.is_empty());
    let mut idle = SchedulesRequest::default();
    idle.cancel = Cancel::new();
    idle.cancel.cancel();
    assert_eq!(engine.run_schedules_blocking(idle).unwrap().exit_code(), 0);
    assert!(engine.is_idle());
}

#[test]
fn what_cannot_be_scheduled_is_refused() {
    let (_, to) = store("a");
    let request = BackupRequest::new(common::source(b"{}\n"), vec![to.clone()]);
    let refused = Schedule::new("daily", in_berlin("0 2 * * *"), request).unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("schedule daily: its source"),
        "{refused}"
    );
    let request = BackupRequest::new(JsonlSource::path("users.jsonl"), vec![to]);
    let refused = Schedule::new("Daily", in_berlin("0 2 * * *"), request).unwrap_err();
    assert_eq!(refused.class(), Class::Usage);
}
