//! What there is, the newest first: what keys decide costs no reading, and failed runs are known by their records.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "../common/mod.rs"]
mod common;
mod many;
mod markers;
mod monitored;

use std::sync::Arc;

use common::{assert_idle, failing, records, request, store};
use teeline::sinks::{Fault, Operation, What, When};
use teeline::{
    BackupReport, Class, DestinationSpec, Engine, JsonlSource, ListReport, ListRequest,
    ListedStatus, MonitorRequest, RunStatus, Timestamp, exit,
};

/// An engine whose clock stands still.
pub(crate) fn engine_at(time: &str) -> Engine {
    let now: Timestamp = time.parse().unwrap();
    Engine::builder()
        .workers(1)
        .budget_bytes(1 << 20)
        .clock(Arc::new(move || now))
        .build()
        .unwrap()
}

/// Makes a backup of a type at a time.
async fn back_up(time: &str, label: &str, at: &[DestinationSpec]) -> BackupReport {
    let engine = engine_at(time);
    let mut asked = request(&records(3), at);
    asked.backup_type = label.parse().unwrap();
    let report = engine.backup(asked).await;
    assert_idle(&engine);
    report
}

/// A run that fails, at a time. It reads more than its budget before, so every destination has taken something, and has a
/// record.
async fn fail(time: &str, label: &str, at: &[DestinationSpec]) -> BackupReport {
    let lines = records(5_000);
    assert!(lines.len() > 500_000);
    let mut asked = request(&[&lines[..], b"{\"a\":\n"].concat(), at);
    asked.backup_type = label.parse().unwrap();
    let report = engine_at(time).backup(asked).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    report
}

/// What is listed, by time and type.
async fn listed(request: &ListRequest) -> Vec<(String, String)> {
    let report = list(request).await;
    assert!(report.errors.is_empty(), "{report:?}");
    let backups = report.backups.iter();
    backups
        .map(|listed| (listed.timestamp.date(), listed.backup_type.to_string()))
        .collect()
}

async fn list(request: &ListRequest) -> ListReport {
    engine_at("2027-01-01T00:00:00Z")
        .list(request.clone())
        .await
}

fn expected(what: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |&(date, label): &(&str, &str)| (date.to_owned(), label.to_owned());
    what.iter().map(owned).collect()
}

#[tokio::test]
async fn each_condition_takes_what_it_says_from_one_destination_or_several() {
    let ((_, first), (_, second)) = (store("first"), store("second"));
    let both = [first, second];
    for (time, label, at) in [
        ("2024-12-30T23:59:59.999Z", "full", &both[..]),
        ("2024-12-31T00:00:00.000Z", "weekly", &both[..1]),
        ("2024-12-31T23:59:59.999Z", "full", &both[1..]),
        ("2025-01-01T00:00:00.000Z", "weekly-snapshot", &both[..]),
    ] {
        assert_eq!(back_up(time, label, at).await.exit_code(), exit::DONE);
    }
    let all = [
        ("2025-01-01", "weekly-snapshot"),
        ("2024-12-31", "full"),
        ("2024-12-31", "weekly"),
        ("2024-12-30", "full"),
    ];
    let everywhere = ListRequest::new(both.to_vec());
    assert_eq!(listed(&everywhere).await, expected(&all));
    let report = list(&everywhere).await;
    let at: Vec<usize> = report
        .backups
        .iter()
        .map(|b| b.destinations.len())
        .collect();
    assert_eq!(at, [2, 1, 1, 2]);

    let with = |change: &dyn Fn(&mut ListRequest)| {
        let mut request = everywhere.clone();
        change(&mut request);
        request
    };
    for limit in 0..6 {
        let some = with(&|request| request.limit = Some(limit));
        assert_eq!(listed(&some).await, expected(&all[..limit.min(4)]));
    }
    let weekly = with(&|request| request.backup_type = Some("weekly".parse().unwrap()));
    assert_eq!(
        listed(&weekly).await,
        expected(&all[2..3]),
        "and no other type"
    );
    let begins = with(&|request| request.prefix = "weekly-".to_owned());
    assert_eq!(listed(&begins).await, expected(&[all[0], all[2]]));
    let begins = with(&|request| request.prefix = "full-2024-12-31".to_owned());
    assert_eq!(listed(&begins).await, expected(&all[1..2]));
    let last_day = with(&|request| {
        request.since = Some(Timestamp::first_of("2024-12-31").unwrap());
        request.until = Some(Timestamp::last_of("2024-12-31").unwrap());
    });
    assert_eq!(listed(&last_day).await, expected(&all[1..3]));
    let until = with(&|request| {
        request.until = Some(Timestamp::last_of("2024-12-31").unwrap());
        request.limit = Some(1);
    });
    assert_eq!(listed(&until).await, expected(&all[1..2]));
    let nothing = with(&|request| request.prefix = "daily".to_owned());
    assert!(listed(&nothing).await.is_empty());
}

#[tokio::test]
async fn failed_runs_are_listed_where_they_are_asked_for_and_nowhere_else() {
    let ((_, first), (_, second)) = (store("first"), store("second"));
    let both = [first, second];
    let old = fail("2024-12-31T12:00:00.500Z", "full", &both).await;
    let made = back_up("2025-01-01T12:00:00.000Z", "full", &both).await;
    assert_eq!(made.exit_code(), exit::DONE);
    let new = fail("2025-01-02T12:00:00.000Z", "weekly", &both[1..]).await;

    let mut request = ListRequest::new(both.to_vec());
    assert_eq!(listed(&request).await, expected(&[("2025-01-01", "full")]));
    request.status = ListedStatus::Failed;
    let report = list(&request).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let ids = report.backups.iter().map(|listed| Some(&listed.id));
    assert!(ids.eq([new.id.as_ref(), old.id.as_ref()]), "{report:?}");
    for failed in &report.backups {
        assert_eq!((failed.status, failed.size), (RunStatus::Failed, 0));
        let error = failed.error.as_ref().unwrap();
        assert!(error.message.contains("line 5001"), "{error:?}");
    }
    assert_eq!(report.backups[0].destinations, ["second"]);
    assert_eq!(report.backups[1].destinations, ["first", "second"]);

    request.limit = Some(1);
    let weekly = [("2025-01-02", "weekly")];
    assert_eq!(listed(&request).await, expected(&weekly));
    request.prefix = "full".to_owned();
    let full = [("2024-12-31", "full")];
    assert_eq!(listed(&request).await, expected(&full));
    for (since, until, found) in [
        ("2024-12-31T12:00:00.500Z", "2024-12-31T12:00:00.500Z", 1),
        ("2024-12-31T12:00:00.501Z", "2025-01-02", 0),
        ("2024-12-30", "2024-12-31T12:00:00.499Z", 0),
        ("2024-12-31", "2024-12-31", 1),
    ] {
        request.since = Some(Timestamp::first_of(since).unwrap());
        request.until = Some(Timestamp::last_of(until).unwrap());
        assert_eq!(listed(&request).await.len(), found, "{since} {until}");
    }
}

#[tokio::test]
async fn a_failed_run_that_left_its_backup_somewhere_is_a_backup() {
    let (_, whole) = store("whole");
    let refused = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (_, without) = failing("without", refused.on_keys_with("manifest.json"));
    let both = [whole, without];
    let report = back_up("2025-01-01T12:00:00Z", "full", &both).await;
    assert_eq!(
        report.exit_code(),
        exit::FAILED,
        "half published: {report:?}"
    );
    let mut request = ListRequest::new(both.to_vec());
    assert_eq!(listed(&request).await.len(), 1);
    request.status = ListedStatus::Failed;
    assert!(listed(&request).await.is_empty());
    // Who looks at the other destination only sees a run that failed.
    request.destinations.remove(0);
    assert_eq!(listed(&request).await.len(), 1);
    request.status = ListedStatus::Completed;
    assert!(listed(&request).await.is_empty());
}

#[tokio::test]
async fn a_monitor_is_told_what_is_not_as_expected() {
    let ((_, first), (_, second)) = (store("first"), store("second"));
    let both = [first.clone(), second];
    let empty = async |min_count| {
        let mut request = MonitorRequest::new(both.to_vec());
        (request.max_age, request.min_count) = (Some("25h".parse().unwrap()), min_count);
        engine_at("2026-11-20T00:00:00.000Z").monitor(request).await
    };
    let report = empty(1).await;
    assert_eq!(report.exit_code(), exit::FAILED);
    let at = &report.destinations[1];
    assert_eq!((at.count, &at.latest, at.age), (0, &None, None));
    let [problem] = &at.problems[..] else {
        panic!("one, not that it is old as well: {report:?}");
    };
    assert!(
        problem
            .message
            .ends_with("there are 0, and at least 1 are expected")
    );
    assert_eq!(empty(0).await.exit_code(), exit::DONE, "none are expected");
    back_up("2026-11-20T02:00:00.000Z", "full", &both).await;
    back_up("2026-11-21T02:00:00.000Z", "full", &both[..1]).await;
    // By a clock that was wrong.
    back_up("2031-01-01T00:00:00.000Z", "full", &both).await;
    let look = async |now: &str, max_age: Option<&str>, min_count: u64| {
        let mut request = MonitorRequest::new(both.to_vec());
        request.max_age = max_age.map(|span| span.parse().unwrap());
        request.min_count = min_count;
        let report = engine_at(now).monitor(request).await;
        let said = report.destinations.iter().map(|at| {
            let messages = at.problems.iter().map(|error| error.message.clone());
            messages.collect::<Vec<_>>().join("; ")
        });
        let said: Vec<String> = said.collect();
        (report.exit_code(), said, report)
    };
    let now = "2026-11-21T12:00:00.000Z";
    let (code, _, report) = look(now, None, 1).await;
    assert_eq!(code, exit::DONE, "{report:?}");
    let counts: Vec<u64> = report.destinations.iter().map(|at| at.count).collect();
    assert_eq!(counts, [2, 1], "none of the future");
    assert_eq!(report.destinations[0].age, Some(10 * 3_600_000));

    let (code, said, _) = look(now, Some("25h"), 2).await;
    assert_eq!(code, exit::FAILED);
    let few = "check its backups: there are 1, and at least 2 are expected";
    let old = "check its backups: the latest is 34h old, and at most 25h is expected";
    assert_eq!(said, [String::new(), format!("{few}; {old}")]);

    fail("2026-11-21T03:00:00.000Z", "full", &both[..1]).await;
    let (code, said, _) = look(now, None, 1).await;
    assert_eq!(code, exit::FAILED);
    assert!(
        said[0].contains("full-2026-11-21T03-00-00") && said[1].is_empty(),
        "{said:?}"
    );
    back_up("2026-11-21T04:00:00.000Z", "full", &both).await;
    assert_eq!(look(now, Some("25h"), 2).await.0, exit::DONE, "made good");

    // One that fails at once has written nothing; where backups are kept it leaves word all the same.
    let (sink, elsewhere) = store("elsewhere");
    let at = [both[0].clone(), elsewhere];
    let engine = engine_at("2026-11-21T05:00:00.000Z");
    let mut asked = request(&[], &at);
    asked.source = Arc::new(JsonlSource::path("not/there.jsonl"));
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    assert!(sink.keys().is_empty(), "it is no destination yet");
    let (code, said, _) = look(now, None, 1).await;
    assert_eq!(code, exit::FAILED);
    assert!(
        said[0].contains("full-2026-11-21T05-00-00") && said[1].is_empty(),
        "{said:?}"
    );
}
