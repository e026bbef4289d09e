//! Hooks: who is told what and when, who may stop a run, and that nobody changes what became of one.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use std::convert::Infallible;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use common::{assert_idle, engine, failing, records, request, store};
use futures::StreamExt;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use teeline::sinks::{Fault, Operation, What, When};
use teeline::{
    BackupError, Class, CommandHook, DestinationSpec, Engine, Executor, Hooks, Moment, PingHook,
    RestoreRequest, RestoreTarget, RunEvent, Secret, StrategyKind, WebhookHook, Which,
};

const LONG: Duration = Duration::from_secs(30);

/// What somebody was told, as JSON.
type Told = Arc<Mutex<Vec<Value>>>;

fn listening(told: &Told) -> Hooks {
    hearing(told, &[])
}

/// Who is told of these moments, or of all where none is given.
fn hearing(told: &Told, moments: &[Moment]) -> Hooks {
    let told = Arc::clone(told);
    Hooks::default().callback("listener", moments, move |event: RunEvent| {
        told.lock()
            .unwrap()
            .push(serde_json::to_value(&event).unwrap());
        async { Ok(()) }
    })
}

fn names(told: &Told) -> Vec<String> {
    let told = told.lock().unwrap();
    let names = told.iter().map(|event| event["event"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

fn objecting(name: &str) -> Hooks {
    Hooks::default().callback(name, &[], |_| async {
        let message = "the dump isn't ready";
        Err(BackupError::new(Class::Permanent, "look", "it", message))
    })
}

#[tokio::test]
async fn a_backup_and_its_restore_are_announced_and_reported() {
    let engine = engine(Executor::Threads(1));
    let (told, (_, to)) = (Told::default(), store("one"));
    let mut asked = request(&records(10), std::slice::from_ref(&to));
    asked.hooks = listening(&told);
    let report = engine.backup(asked).await;
    let id = report.id.clone().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("out"));
    let mut asked = RestoreRequest::new(Which::Latest, vec![to], target);
    asked.hooks = listening(&told);
    assert_eq!(engine.restore(asked).await.exit_code(), 0);
    assert_eq!(
        names(&told),
        [
            "plg:backup:start",
            "plg:backup:complete",
            "plg:backup:restore-start",
            "plg:backup:restore-complete"
        ]
    );
    let told = told.lock().unwrap();
    let [start, complete, restoring, restored] = &told[..] else {
        panic!("four: {told:?}");
    };
    assert_eq!(
        (&start["id"], &start["type"]),
        (&id.clone().into(), &"full".into())
    );
    for (name, value) in [
        ("id", id.clone().into()),
        ("backupId", id.clone().into()),
        ("type", "full".into()),
        ("status", "completed".into()),
        ("size", report.size.into()),
        ("duration", report.duration.into()),
        ("path", report.plugin.path.clone().unwrap().into()),
        ("recordCount", 10.into()),
    ] {
        let value: Value = value;
        assert_eq!(complete[name], value, "{name}");
    }
    assert_eq!(complete["destinations"][0]["status"], "committed");
    assert!(
        restoring["id"].is_null(),
        "of the latest it isn't known yet"
    );
    assert_eq!(
        (&restored["id"], &restored["backupId"]),
        (&id.clone().into(), &id.into())
    );
    let resource = &restored["restored"][0];
    assert_eq!(resource["name"], "events");
    assert_eq!(
        (&resource["recordsRestored"], &resource["totalRecords"]),
        (&10.into(), &10.into())
    );
}

#[tokio::test]
async fn who_wants_to_hear_of_restores_hears_of_those_alone() {
    let engine = engine(Executor::Threads(1));
    let (told, (_, to)) = (Told::default(), store("one"));
    let restores = [
        Moment::RestoreStart,
        Moment::RestoreComplete,
        Moment::RestoreError,
    ];
    let hooks = || hearing(&told, &restores);
    let mut asked = request(&records(10), std::slice::from_ref(&to));
    asked.hooks = hooks();
    let id = engine.backup(asked).await.id.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["out", "out"] {
        let target = RestoreTarget::Folder(folder.path().join(name));
        let mut asked = RestoreRequest::new(Which::Id(id.clone()), vec![to.clone()], target);
        asked.hooks = hooks();
        engine.restore(asked).await;
    }
    assert_eq!(
        names(&told),
        [
            "plg:backup:restore-start",
            "plg:backup:restore-complete",
            "plg:backup:restore-start",
            "plg:backup:restore-error"
        ]
    );
    let told = told.lock().unwrap();
    for event in &*told {
        assert_eq!(
            (&event["id"], &event["backupId"]),
            (&id.as_str().into(), &id.as_str().into())
        );
    }
    for part in ["message", "class", "suggestion"] {
        assert!(told[3]["error"][part].is_string(), "{part}: {}", told[3]);
    }
}

#[tokio::test]
async fn the_engines_stream_has_what_hooks_are_told_unless_it_is_switched_off() {
    for emits in [true, false] {
        let builder = Engine::builder().workers(1).emit_events(emits);
        let engine = builder.build().unwrap();
        let (told, (_, to)) = (Told::default(), store("one"));
        let events = engine.events();
        let mut asked = request(&records(10), std::slice::from_ref(&to));
        asked.hooks = listening(&told);
        let report = engine.backup(asked).await;
        let folder = tempfile::tempdir().unwrap();
        let target = RestoreTarget::Folder(folder.path().join("out"));
        let which = Which::Id("full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap());
        let mut asked = RestoreRequest::new(which, vec![to], target);
        asked.hooks = listening(&told);
        engine.restore(asked).await;
        drop(engine);
        let heard: Vec<RunEvent> = events.collect().await;
        let told = names(&told);
        assert_eq!(told[3], "plg:backup:restore-error");
        let heard_names: Vec<&str> = heard.iter().map(|event| event.name).collect();
        match emits {
            true => assert_eq!(heard_names, told),
            false => assert!(heard.is_empty(), "{heard:?}"),
        }
        if let Some(complete) = heard.get(1) {
            let (info, path) = (&complete.driver_info, &complete.path);
            assert_eq!(*info, Some(report.plugin.driver_info.clone()));
            assert_eq!(*path, report.plugin.path);
            assert!(heard[3].error.as_ref().unwrap().suggestion.is_some());
        }
    }
}

#[tokio::test]
async fn a_restore_that_is_interrupted_says_so() {
    let engine = engine(Executor::Threads(1));
    let (told, (_, to)) = (Told::default(), store("one"));
    let made = engine.backup(request(&records(10), std::slice::from_ref(&to)));
    made.await;
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("out"));
    let mut asked = RestoreRequest::new(Which::Latest, vec![to], target);
    let cancel = asked.cancel.clone();
    asked.hooks = listening(&told).callback("stop", &[Moment::RestoreStart], move |_| {
        cancel.cancel();
        async { Ok(()) }
    });
    assert_eq!(engine.restore(asked).await.exit_code(), 130);
    let told = names(&told);
    assert_eq!(
        told,
        ["plg:backup:restore-start", "plg:backup:restore-cancelled"]
    );
    assert!(!folder.path().join("out").exists());
}

#[tokio::test]
async fn who_objects_at_the_start_stops_it_before_anything_is_written() {
    let engine = engine(Executor::Threads(1));
    let (told, (sink, to)) = (Told::default(), store("one"));
    let mut asked = request(&records(10), std::slice::from_ref(&to));
    let told_by = Arc::clone(&told);
    asked.hooks = objecting("dump").callback("listener", &[], move |event| {
        told_by
            .lock()
            .unwrap()
            .push(serde_json::to_value(&event).unwrap());
        async { Ok(()) }
    });
    let report = engine.backup(asked).await;
    let error = report.error.as_ref().unwrap();
    assert_eq!(
        error.message,
        "call hook dump: it stopped the run: the dump isn't ready"
    );
    assert_eq!((report.exit_code(), sink.keys()), (1, vec![]));
    // Those after it weren't asked any more, and everybody is told how it ended.
    assert_eq!(names(&told), ["plg:backup:error"]);
    assert_eq!(report.hook_failures.len(), 1, "the same hook, at the end");
    assert_eq!(report.hook_failures[0].event, "plg:backup:error");

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let made = engine
        .backup(request(&records(10), std::slice::from_ref(&to)))
        .await;
    assert_eq!(made.exit_code(), 0);
    let mut asked =
        RestoreRequest::new(Which::Latest, vec![to], RestoreTarget::Folder(out.clone()));
    asked.hooks = objecting("gate");
    let report = engine.restore(asked).await;
    assert!(report.error.unwrap().message.contains("hook gate"));
    assert!(!out.exists());
}

#[tokio::test]
async fn what_becomes_of_a_run_is_told_however_early_it_fails() {
    let engine = engine(Executor::Threads(1));
    let dead = DestinationSpec::parse("dead=http://k:CANARY@127.0.0.1:1/bucket/x").unwrap();
    let malformed = b"{\"id\":1}\nnonsense\n".to_vec();
    let refused = (StrategyKind::Quorum(7), records(10), store("one").1);
    for (strategy, lines, to) in [
        refused,
        (StrategyKind::All, records(10), dead),
        (StrategyKind::All, malformed, store("one").1),
    ] {
        let told = Told::default();
        let mut asked = request(&lines, &[to]);
        (asked.strategy, asked.hooks) = (strategy, listening(&told));
        let report = engine.backup(asked).await;
        assert_ne!(report.exit_code(), 0);
        let was_announced = !matches!(strategy, StrategyKind::Quorum(_));
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1 + usize::from(was_announced), "{told:?}");
        let end = told.last().unwrap();
        assert_eq!(end["event"], "plg:backup:error");
        assert_eq!(end["type"], "full");
        assert_eq!(end["id"].is_string(), was_announced);
        assert_eq!(end["backupId"], end["id"]);
        for part in ["message", "class", "suggestion"] {
            assert!(end["error"][part].is_string(), "{part}: {end}");
        }
        assert!(!end.to_string().contains("CANARY"));
    }
}

#[tokio::test]
async fn an_interrupted_run_says_so() {
    let engine = engine(Executor::Threads(1));
    let told = Told::default();
    let stall = Fault::new(Operation::Write, When::From(3), What::Stall);
    let mut asked = request(&records(2000), &[failing("one", stall).1]);
    asked.hooks = listening(&told);
    let cancel = asked.cancel.clone();
    asked.observer = Some(Arc::new(move |event| {
        if matches!(event, teeline::ProgressEvent::Acked { .. }) {
            cancel.cancel();
        }
    }));
    assert_eq!(engine.backup(asked).await.exit_code(), 130);
    assert_eq!(names(&told), ["plg:backup:start", "plg:backup:cancelled"]);
    assert_idle(&engine);
}

/// Whether a process is there, and not only its exit code for whoever asks.
fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn who_fails_afterwards_changes_nothing_and_is_named() {
    let engine = engine(Executor::Threads(1));
    let folder = tempfile::tempdir().unwrap();
    let started = folder.path().join("started");
    let sleeping = format!("sleep 3600 & echo $! > '{}'; wait", started.display());
    let sh =
        |script: &str| CommandHook::new(vec!["sh".into(), "-c".into(), script.into()]).unwrap();
    let complete = &[Moment::BackupComplete];
    let hooks = Hooks::default()
        .callback("panics", complete, |_| async { panic!("on purpose") })
        .with("slow", complete, Duration::from_millis(200), sh(&sleeping))
        .with("exits", complete, LONG, sh("echo no room >&2; exit 7"))
        .with(
            "missing",
            complete,
            LONG,
            CommandHook::new(vec!["./nowhere".into()]).unwrap(),
        )
        .with(
            "dead",
            complete,
            LONG,
            PingHook::new("http://127.0.0.1:1/CANARY").unwrap(),
        );
    let mut asked = request(&records(10), &[store("one").1]);
    asked.hooks = hooks.callback("well", complete, |_| async { Ok(()) });
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    let failures: Vec<(&str, &str)> = report
        .hook_failures
        .iter()
        .map(|failure| (failure.hook.as_str(), failure.error.message.as_str()))
        .collect();
    let parts = [
        ("panics", "it panicked"),
        ("slow", "longer than 200 ms"),
        ("exits", "exit status: 7: no room"),
        ("missing", "No such file"),
        ("dead", "refused"),
    ];
    assert_eq!(failures.len(), parts.len(), "{failures:?}");
    for ((hook, message), (name, part)) in failures.into_iter().zip(parts) {
        assert_eq!(hook, name);
        assert!(
            message.contains(part) && !message.contains("CANARY"),
            "{hook}: {message}"
        );
    }
    // What a command has started ends with it.
    let pid = fs::read_to_string(&started).unwrap();
    while is_running(pid.trim()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_command_is_told_by_standard_input_and_environment() {
    let engine = engine(Executor::Threads(1));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("told");
    let script = format!(
        "(echo $TEELINE_EVENT $TEELINE_BACKUP_ID; cat; echo) >> '{}'",
        file.display()
    );
    let hook = CommandHook::new(vec!["sh".into(), "-c".into(), script]).unwrap();
    let mut asked = request(&records(10), &[store("one").1]);
    asked.hooks = Hooks::default().with("file", &[], LONG, hook);
    let report = engine.backup(asked).await;
    assert!(report.hook_failures.is_empty(), "{report:?}");
    let told = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let id = report.id.unwrap();
    assert_eq!(lines[0], format!("plg:backup:start {id}"));
    assert_eq!(lines[2], format!("plg:backup:complete {id}"));
    let event: Value = serde_json::from_str(lines[3]).unwrap();
    assert_eq!(event["recordCount"], 10);
}

/// A request that a server got.
#[derive(Debug, Clone)]
struct Got {
    path: String,
    headers: hyper::HeaderMap,
    body: String,
}

/// A server on loopback that notes what it gets, and answers so many times that it can't before it does.
async fn server(busy: usize) -> (String, Arc<Mutex<Vec<Got>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let got = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            let serve = service_fn(move |request: Request<Incoming>| {
                let noted = Arc::clone(&noted);
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let mut noted = noted.lock().unwrap();
                    noted.push(Got {
                        path: head.uri.path_and_query().unwrap().to_string(),
                        headers: head.headers,
                        body: String::from_utf8(body.to_vec()).unwrap(),
                    });
                    let mut answer = Response::new(Empty::<Bytes>::new());
                    if noted.len() <= busy {
                        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    }
                    Ok::<_, Infallible>(answer)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
        }
    });
    (format!("http://{address}"), got)
}

#[tokio::test]
async fn a_webhook_gets_signed_json_and_a_second_try_has_the_same_id() {
    let engine = engine(Executor::Threads(1));
    let (url, got) = server(1).await;
    let secrets = [7, 8].map(|byte| Secret::new(format!("whsec_{}", STANDARD.encode([byte; 32]))));
    let hook = WebhookHook::new(&format!("{url}/hook?token=7"), &secrets).unwrap();
    let mut asked = request(&records(10), &[store("one").1]);
    asked.hooks = Hooks::default().with("hook", &[Moment::BackupComplete], LONG, hook);
    let report = engine.backup(asked).await;
    assert!(report.hook_failures.is_empty(), "{report:?}");
    let got = got.lock().unwrap();
    let [first, second] = &got[..] else {
        panic!("two: {got:?}");
    };
    assert_eq!((&*first.path, &first.body), ("/hook?token=7", &second.body));
    let header = |got: &Got, name: &str| got.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header(first, "webhook-id"), header(second, "webhook-id"));
    let signatures = header(first, "webhook-signature");
    let signatures: Vec<&str> = signatures.split(' ').collect();
    assert_eq!(signatures.len(), 2, "one by each secret");
    assert!(signatures.iter().all(|text| text.starts_with("v1,")));
    assert_ne!(signatures[0], signatures[1]);
    assert!(header(first, "webhook-timestamp").parse::<u64>().is_ok());
    let event: Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!(event["event"], "plg:backup:complete");
}

#[tokio::test]
async fn a_ping_tells_start_success_and_failure_by_the_path() {
    let engine = engine(Executor::Threads(1));
    let (url, got) = server(0).await;
    for (lines, end) in [
        (records(10), "/uuid"),
        (b"nonsense\n".to_vec(), "/uuid/fail"),
    ] {
        let hook = PingHook::new(&format!("{url}/uuid")).unwrap();
        let mut asked = request(&lines, &[store("one").1]);
        asked.hooks = Hooks::default().with("check", &[], LONG, hook);
        let report = engine.backup(asked).await;
        assert!(report.hook_failures.is_empty(), "{report:?}");
        let got = std::mem::take(&mut *got.lock().unwrap());
        let paths: Vec<&str> = got.iter().map(|got| got.path.as_str()).collect();
        assert_eq!(paths, ["/uuid/start", end]);
        let body = &got[1].body;
        for part in [
            "plg:backup:",
            "\none: ",
            "Z full-",
            ": begins\n",
            "Z reading ",
        ] {
            assert!(body.contains(part), "{part:?}: {body}");
        }
        let last = body.lines().last().unwrap();
        let ended = ["one: committed", "one: down"];
        assert!(ended.iter().any(|ended| last.contains(ended)), "{last}");
    }
}
