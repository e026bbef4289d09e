//! What hooks are told of a backup beside what became of it, and who is told of what unless it says so.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use common::{engine, records, request, store};
use serde_json::Value;
use teeline::config::{HookCall, HookConfig};
use teeline::{
    BackupError, BackupRequest, DestinationSpec, Engine, Executor, Hooks, ListRequest,
    ListedStatus, Moment, MonitorRequest, RestoreRequest, RestoreTarget, Retention,
    RetentionPolicy, RunEvent, Which, exit,
};

/// A request whose hook notes what it is told.
fn listened(to: &[DestinationSpec]) -> (BackupRequest, Arc<Mutex<Vec<Value>>>) {
    let told: Arc<Mutex<Vec<Value>>> = Arc::default();
    let hears = Arc::clone(&told);
    let mut asked = request(&records(10), to);
    asked.hooks = Hooks::default().callback("listener", &[], move |event: RunEvent| {
        let event = serde_json::to_value(&event).unwrap();
        hears.lock().unwrap().push(event);
        async { Ok(()) }
    });
    (asked, told)
}

#[tokio::test]
async fn whose_schedule_it_was_and_what_the_cleanup_came_to_are_told() {
    let engine = Engine::builder().workers(1).build().unwrap();
    let (sink, to) = store("one");
    let to = [to];
    let made = engine.backup(request(&records(10), &to)).await;
    assert_eq!(made.exit_code(), 0, "{made:?}");
    let mut keys = sink.keys().into_iter();
    let is_manifest = |key: &teeline_core::ObjectKey| key.file_name() == "manifest.json";
    let manifest = keys.find(is_manifest).unwrap();
    let cleaned_up_after = async || {
        let (mut asked, told) = listened(&to);
        asked.schedule = Some("nightly".to_owned());
        asked.cleanup = Some(RetentionPolicy::new(Retention::default()));
        let report = engine.backup(asked).await;
        let told = told.lock().unwrap().clone();
        let [start, complete] = &told[..] else {
            panic!("two: {told:?}");
        };
        assert_eq!(start["schedule"], "nightly");
        assert_eq!(start["exitCode"], Value::Null);
        assert_eq!(complete["schedule"], "nightly");
        assert_eq!(complete["status"], "completed");
        assert_eq!(complete["exitCode"], report.exit_code());
        complete.clone()
    };
    let clean = cleaned_up_after().await;
    assert_eq!(clean["exitCode"], 0, "{clean}");
    assert_eq!(clean["cleanup"], serde_json::json!({"exitCode": 0}));
    sink.overwrite(&manifest, b"nonsense");
    common::unmark(&sink).await;
    let damaged = cleaned_up_after().await;
    assert_eq!(damaged["exitCode"], 3, "{damaged}");
    assert_eq!(damaged["cleanup"]["exitCode"], 13, "{damaged}");
    assert_eq!(damaged["cleanup"]["error"]["class"], "corrupt", "{damaged}");
    let (asked, told) = listened(&to);
    engine.backup(asked).await;
    let told = told.lock().unwrap();
    for event in &*told {
        let member = |name| event.get(name);
        assert_eq!((member("schedule"), member("cleanup")), (None, None));
    }
}

#[tokio::test]
async fn a_run_that_a_hook_has_stopped_is_known_where_backups_are_kept() {
    let engine = Engine::builder().workers(1).build().unwrap();
    let ((_, kept), (sink, unused)) = (store("kept"), store("unused"));
    let made = request(&records(10), std::slice::from_ref(&kept));
    assert_eq!(engine.backup(made).await.exit_code(), exit::DONE);
    let (mut asked, told) = listened(&[kept.clone(), unused]);
    asked.schedule = Some("nightly".to_owned());
    asked.hooks = asked
        .hooks
        .callback("gate", &[Moment::BackupStart], |_| async {
            Err(BackupError::usage("the dump", "it isn't ready"))
        });
    let stopped = engine.backup(asked).await;
    assert_eq!(sink.keys(), [], "it may be no destination at all");
    let mut failed = ListRequest::new(vec![kept.clone()]);
    failed.status = ListedStatus::Failed;
    let listed = engine.list(failed).await;
    let [run] = &listed.backups[..] else {
        panic!("one: {listed:?}");
    };
    let announced = told.lock().unwrap()[0]["id"].clone();
    assert_eq!(announced, run.id.as_str());
    assert_eq!(run.error, stopped.error);
    let checked = engine
        .monitor(MonitorRequest::new(vec![kept.clone()]))
        .await;
    assert_eq!(checked.exit_code(), exit::FAILED, "{checked:?}");
    let status = engine.status(&[kept], &run.id).await;
    assert_eq!(status.runs[0].schedule.as_deref(), Some("nightly"));
}

/// A server on loopback that notes which paths were asked for.
fn noting() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let paths: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&paths);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..read]);
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            noted.lock().unwrap().push(path);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
        }
    });
    (format!("http://{address}/check"), paths)
}

#[tokio::test]
async fn a_ping_of_a_configuration_is_of_backups() {
    let engine = engine(Executor::Threads(1));
    let (url, pinged) = noting();
    let configured = HookConfig {
        name: "monitor".to_owned(),
        on: Vec::new(),
        call: HookCall::Ping(url.into()),
        timeout_ms: 5_000,
    };
    let hooks = configured.after(Hooks::default()).unwrap();
    let (_, to) = store("one");
    let mut asked = request(&records(10), std::slice::from_ref(&to));
    asked.hooks = hooks.clone();
    let report = engine.backup(asked).await;
    assert!(report.hook_failures.is_empty(), "{report:?}");
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("out"));
    let mut asked = RestoreRequest::new(Which::Latest, vec![to], target);
    asked.hooks = hooks;
    assert_eq!(engine.restore(asked).await.exit_code(), 0);
    assert_eq!(*pinged.lock().unwrap(), ["/check/start", "/check"]);
}
