//! What goes wrong on the wire between a bucket and us, for each kind of call: once, and for good.
//!
//! Each row of the table is a fault, with what it has to come to for each call. Whatever it comes to, what is stored is whole or
//! absent, what else is stored stays as it is, and once the fault is over the same call succeeds.
//!
//! Before an embedded server; with `TEELINE_TEST_S3` set, before that one.

// Helpers of tests may panic as tests do, and say what they run.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod calls;
mod rows;

#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "../server/mod.rs"]
mod server;

use std::sync::Arc;

use futures::{StreamExt, stream};
use teeline_core::{BackupError, BreakerPolicy, Class, RetryPolicy, Sink};
use teeline_fault_proxy::{Fault, FaultProxy, Rule};
use teeline_sinks::{DeadlineSink, Deadlines, ObjectStoreSink, RetrySink};

use calls::{CALLS, Call, Scene};
use rows::{Comes, Row, rows};
use server::Server;

/// Cells that are tried at once: some hold an upload of parts, and some wait for a deadline.
const CELLS_AT_ONCE: usize = 12;

/// A store through a proxy, as a run has it.
async fn sink_over(
    server: &Server,
    proxy: &FaultProxy,
    (row, call): (&Row, Call),
    is_lasting: bool,
    prefix: &str,
) -> RetrySink {
    let mut options = server.options(&proxy.endpoint(), prefix);
    if row.ends_by_deadline && matches!(call, Call::Begin | Call::Part) {
        // A part stays on its way when nobody waits for it any more, for as long as its request may take.
        options.timeouts.request_ms = 4_000;
    }
    let store = ObjectStoreSink::s3(options).await.unwrap();
    let deadlines = match row.ends_by_deadline {
        // All that is waited for is lost time.
        true => Deadlines {
            call_base_ms: 3_000,
            first_call_base_ms: 3_000,
            bytes_per_second_min: 2 << 20,
        },
        false => Deadlines::default(),
    };
    let policy = RetryPolicy {
        // A machine that is busy may be late once more.
        attempts: if is_lasting { 2 } else { 5 },
        backoff_initial_ms: 5,
        // What is tested is one call, again and again.
        breaker: BreakerPolicy {
            given_up_max: u32::MAX,
            ..BreakerPolicy::default()
        },
        ..RetryPolicy::default()
    };
    RetrySink::new(
        Arc::new(DeadlineSink::new(Arc::new(store), deadlines)),
        policy,
        1,
    )
}

/// One fault, at one kind of call, so many times.
async fn cell(server: &Server, row: &Row, call: Call, times: Option<u64>) -> Result<(), String> {
    let prefix = format!("{}/{call:?}/{times:?}", row.name.replace(' ', "-"));
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let direct: Arc<dyn Sink> = Arc::new(server.sink(&server.endpoint, &prefix).await);
    let sink = sink_over(server, &proxy, (row, call), times.is_none(), &prefix).await;
    let mut scene = Scene::set(call, direct).await;
    scene.begin(&sink).await;

    let (method, part) = call.request();
    let rule = Rule::new(method, part, row.fault.clone());
    proxy.add(match times {
        Some(times) => rule.times(times),
        None => rule,
    });
    let result = scene.make(&sink).await;
    if proxy.hits() == 0 {
        return Err("the fault was met by no request".into());
    }
    let expected = match times {
        Some(_) => row.once(call),
        None => row.always(call),
    };
    expected.check(&result)?;
    scene.check(&result, expected).await?;

    proxy.clear();
    scene.check_again(&sink).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_at_each_call() {
    let server = Server::start().await;
    let rows = rows();
    let cells = rows.iter().flat_map(|row| {
        let calls = CALLS.into_iter().filter(|call| row.applies(*call));
        calls.flat_map(move |call| [Some(1), None].map(|times| (row, call, times)))
    });
    let cells = stream::iter(cells).map(|(row, call, times)| {
        let server = &server;
        async move {
            let named = format!("{} × {call:?}, {times:?} times", row.name);
            cell(server, row, call, times)
                .await
                .map_err(|why| format!("{named}: {why}"))
        }
    });
    let results: Vec<Result<(), String>> = cells.buffer_unordered(CELLS_AT_ONCE).collect().await;
    let broken: Vec<&String> = results
        .iter()
        .filter_map(|cell| cell.as_ref().err())
        .collect();
    println!("{} faults, {} cells", rows.len(), results.len());
    assert!(broken.is_empty(), "{broken:#?}");
    // So that no row is lost without anybody noticing.
    assert!(results.len() > 150, "{}", results.len());
}

/// The end of an upload names its parts by their tags, which the server compares: nothing but another upload helps.
#[tokio::test]
async fn another_tag_of_a_part_costs_its_upload() {
    let server = Server::embedded();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let direct = Arc::new(server.sink(&server.endpoint, "tag").await);
    let sink = server.sink(&proxy.endpoint(), "tag").await;
    let mut scene = Scene::set(Call::Part, direct).await;
    scene.begin(&sink).await;
    let (method, part) = Call::Part.request();
    let tag = Fault::change(|reply| reply.set("etag", "\"another\""));
    proxy.next(method, part, tag);
    for _ in 0..2 {
        let result = scene.make(&sink).await;
        has_class(&result, Class::Permanent).unwrap();
        assert!(format!("{result:?}").contains("400 InvalidPart"));
        scene
            .check(&result, Comes::Refused(Class::Permanent))
            .await
            .unwrap();
    }
    assert_eq!(proxy.pending(), 0);
    scene.begin(&sink).await;
    scene.check_again(&sink).await.unwrap();
}

/// That an error came to what was expected.
fn has_class(result: &Result<calls::Got, BackupError>, class: Class) -> Result<(), String> {
    match result {
        Err(error) if error.class() == class => Ok(()),
        Err(error) => Err(format!("{class:?} was expected: {error:?}")),
        Ok(got) => Err(format!("{class:?} was expected, not {got}")),
    }
}

impl Comes {
    fn check(self, result: &Result<calls::Got, BackupError>) -> Result<(), String> {
        match self {
            Comes::Right | Comes::Older => match result {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("a success was expected: {error:?}")),
            },
            Comes::Refused(class) => has_class(result, class),
        }
    }
}
