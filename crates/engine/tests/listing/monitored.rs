//! What a monitor is told where not all backups have the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use teeline::sinks::Operation;
use teeline::{
    BackupId, BackupRequest, DestinationSpec, MonitorReport, MonitorRequest, Query, Timestamp, exit,
};
use teeline_core::{AskedFor, RunRecord, document, layout};

use crate::common::watched::watched;
use crate::common::{records, request, store, whole};
use crate::engine_at;

type Change = fn(&mut BackupRequest);

fn of_everything(_: &mut BackupRequest) {}

fn of_events(request: &mut BackupRequest) {
    request.include = vec!["events".to_owned()];
}

fn without_caches(request: &mut BackupRequest) {
    request.exclude = vec!["cache_*".to_owned()];
}

fn of_some_records(request: &mut BackupRequest) {
    request.query = Query::new(json!({"events": {"id": 1}})).unwrap();
}

fn of_other_records(request: &mut BackupRequest) {
    request.query = Query::new(json!({"events": {"id": 2}})).unwrap();
}

/// Makes one on a day of a month.
async fn made(day: u8, change: Change, at: &[DestinationSpec]) {
    let mut asked = request(&records(3), at);
    change(&mut asked);
    let engine = engine_at(&format!("2026-11-{day:02}T02:00:00.000Z"));
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
}

/// A run on a day that fails, after it has sent something.
async fn failed(day: u8, change: Change, at: &[DestinationSpec]) {
    let mut asked = request(&[&records(5_000)[..], b"{\"id\":\n"].concat(), at);
    change(&mut asked);
    let engine = engine_at(&format!("2026-11-{day:02}T02:00:00.000Z"));
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
}

/// Looks on the 20th whether there is one that is no older than a day and a bit.
async fn looked(change: fn(&mut MonitorRequest), at: &[DestinationSpec]) -> MonitorReport {
    let mut request = MonitorRequest::new(at.to_vec());
    request.max_age = Some("25h".parse().unwrap());
    change(&mut request);
    engine_at("2026-11-20T03:00:00.000Z").monitor(request).await
}

fn said(report: &MonitorReport) -> Vec<&str> {
    let problems = report.destinations.iter().flat_map(|at| &at.problems);
    problems.map(|problem| problem.message.as_str()).collect()
}

#[tokio::test]
async fn a_younger_backup_that_has_less_does_not_make_the_latest_younger() {
    for less in [of_events, without_caches, of_some_records] {
        let (_, at) = store("a");
        let at = [at];
        made(10, of_everything, &at).await;
        made(20, less, &at).await;
        let report = looked(|_| {}, &at).await;
        assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
        let [message] = said(&report)[..] else {
            panic!("one problem: {report:?}");
        };
        assert!(
            message.contains("full-2026-11-10T02-00-00") && message.contains("is 10d old"),
            "{message}"
        );
        assert_eq!(report.destinations[0].age, Some((10 * 24 + 1) * 3_600_000));
        made(20, of_everything, &at).await;
        let report = looked(|_| {}, &at).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    }
}

#[tokio::test]
async fn a_younger_backup_that_has_more_takes_the_place_of_others() {
    let (_, at) = store("a");
    let at = [at];
    for less in [of_events, without_caches, of_some_records] {
        made(10, less, &at).await;
    }
    made(20, of_everything, &at).await;
    let report = looked(|_| {}, &at).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
}

#[tokio::test]
async fn of_what_no_backup_has_together_each_has_to_be_young() {
    let (_, at) = store("a");
    let at = [at];
    made(20, of_events, &at).await;
    made(12, without_caches, &at).await;
    let report = looked(|_| {}, &at).await;
    let latest = report.destinations[0].latest.as_ref().unwrap();
    assert!(latest.as_str().contains("-11-12T"), "{report:?}");
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    made(18, without_caches, &at).await;
    assert_eq!(looked(|_| {}, &at).await.exit_code(), exit::FAILED);
    made(20, without_caches, &at).await;
    assert_eq!(looked(|_| {}, &at).await.exit_code(), exit::DONE);
}

#[tokio::test]
async fn who_backs_up_less_from_one_day_on_says_what_is_wanted() {
    let (_, at) = store("a");
    let at = [at];
    made(10, of_everything, &at).await;
    failed(11, of_everything, &at).await;
    made(20, without_caches, &at).await;
    assert_eq!(looked(|_| {}, &at).await.exit_code(), exit::FAILED);
    let asked = looked(|request| request.exclude = vec!["cache_*".to_owned()], &at).await;
    assert_eq!(asked.exit_code(), exit::DONE, "{asked:?}");
    let asked = looked(|request| request.include = vec!["orders".to_owned()], &at).await;
    assert_eq!(asked.exit_code(), exit::FAILED, "{asked:?}");
    let asked = looked(|request| request.exclude = vec!["[".to_owned()], &at).await;
    assert_eq!(asked.exit_code(), exit::USAGE, "{asked:?}");
}

#[tokio::test]
async fn a_run_that_failed_is_made_up_for_by_what_has_as_much() {
    for (change, makes_up, does_not) in [
        (
            of_everything as Change,
            of_everything as Change,
            of_events as Change,
        ),
        (of_events, of_everything, without_caches),
        (of_some_records, of_everything, without_caches),
        (of_some_records, of_some_records, of_events),
        (without_caches, without_caches, of_events),
    ] {
        let (_, at) = store("a");
        let at = [at];
        made(18, change, &at).await;
        failed(19, change, &at).await;
        made(20, does_not, &at).await;
        let looks = async || looked(|request| request.max_age = None, &at).await;
        let report = looks().await;
        let [message] = said(&report)[..] else {
            panic!("one problem: {report:?}");
        };
        assert!(message.contains("full-2026-11-19T02-00-00"), "{message}");
        made(20, makes_up, &at).await;
        let report = looks().await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    }
}

#[tokio::test]
async fn where_no_backup_is_of_all_records_resources_say_what_is_wanted() {
    let (_, at) = store("a");
    let at = [at];
    made(10, of_some_records, &at).await;
    failed(11, of_everything, &at).await;
    made(20, of_other_records, &at).await;
    assert_eq!(looked(|_| {}, &at).await.exit_code(), exit::FAILED);
    let asked = looked(|request| request.include = vec!["*".to_owned()], &at).await;
    assert_eq!(asked.exit_code(), exit::DONE, "{asked:?}");
    let asked = looked(|request| request.exclude = vec!["orders".to_owned()], &at).await;
    assert_eq!(asked.exit_code(), exit::DONE, "{asked:?}");
    // Whoever has had all of them once would miss them.
    made(15, of_everything, &at).await;
    let asked = looked(|request| request.include = vec!["*".to_owned()], &at).await;
    assert_eq!(asked.exit_code(), exit::FAILED, "{asked:?}");
    let latest = asked.destinations[0].latest.as_ref().unwrap();
    assert!(latest.as_str().contains("-11-15T"), "{asked:?}");
}

#[tokio::test]
async fn of_runs_that_are_made_up_for_no_more_than_a_thousand_are_read() {
    let (sink, at) = store("a");
    let at = [at];
    failed(11, of_events, &at).await;
    let keys = sink.keys().into_iter();
    let mut of_runs = keys.filter(|key| key.as_str().starts_with("runs/"));
    let bytes = whole(&sink, &of_runs.next().unwrap()).await;
    let mut record: RunRecord = document::open("it", &bytes).unwrap();
    for _ in 0..1_100 {
        let began = record.started_at.unix_ms() + 1_000;
        record.started_at = Timestamp::from_unix_ms(began);
        record.id = BackupId::new(&record.backup_type, record.started_at, &[1; 10]);
        let key = layout::run_record(&record.id, record.started_at).unwrap();
        sink.overwrite(&key, &document::seal(&record));
    }
    made(20, of_events, &at).await;
    let read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&read);
    let at = watched(&sink, "a", move |operation, key| {
        let is_record = key.is_some_and(|key| key.as_str().starts_with("runs/"));
        if operation == Operation::Read && is_record {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    let report = looked(|_| {}, &[at]).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(read.load(Ordering::Relaxed), 1_000);
}

#[tokio::test]
async fn a_record_says_what_was_asked_for_and_nothing_that_was_refused() {
    let (sink, at) = store("a");
    let at = [at];
    made(18, of_everything, &at).await;
    failed(19, of_events, &at).await;
    let mut asked = request(&records(3), &at);
    asked.exclude = vec!["s3://key:hidden@bucket".to_owned()];
    let report = engine_at("2026-11-20T02:00:00.000Z").backup(asked).await;
    assert_eq!(report.exit_code(), exit::USAGE, "{report:?}");
    let mut said = Vec::new();
    for key in sink.keys() {
        if key.as_str().starts_with("runs/") {
            let bytes = whole(&sink, &key).await;
            assert!(!String::from_utf8_lossy(&bytes).contains("hidden"), "{key}");
            let record: RunRecord = document::open("it", &bytes).unwrap();
            said.push((record.started_at, record.asked_for));
        }
    }
    said.sort_by_key(|(began, _)| *began);
    let said: Vec<Option<AskedFor>> = said.into_iter().map(|(_, asked_for)| asked_for).collect();
    let events = AskedFor {
        include: vec!["events".to_owned()],
        ..AskedFor::default()
    };
    assert_eq!(said, [Some(AskedFor::default()), Some(events)]);
}
