//! What goes wrong on the way to a database's server and back: a scan gives what is there all the same, and a restore writes it.

use std::sync::{Arc, Mutex};

use serde_json::json;
use teeline_core::Target;
use teeline_fault_proxy::{Answer, Fault, FaultProxy, Rule};
use teeline_sources::s3db::{S3dbTarget, ScanOptions, WriteBackOptions};

use crate::server::{
    Objects, Scanned, Server, catalogue, catalogue_object, noise, record, restoring, scan, typed,
    write_back,
};

const PAGE: &str = "list-type=2";
const OBJECT: &str = "data/id";

/// A few records with bodies, and an object.
async fn server() -> (Server, Objects) {
    let server = Server::start().await;
    let catalogue = catalogue(&[("log", "body-overflow")]);
    let mut objects: Objects = (0..12)
        .map(|number| {
            let text = format!("{number} {}", "long ".repeat(1_000));
            let document =
                json!({"id": format!("{number:02}"), "name": "n", "size": number, "text": text});
            record(&catalogue, "log", document)
        })
        .collect();
    objects.insert("s3db.json".to_owned(), catalogue_object(&catalogue));
    objects.insert("other".to_owned(), typed("a/b", noise(20_000)));
    // Read alone.
    objects.insert("large".to_owned(), typed("a/b", noise(300_000)));
    server.put_all("", &objects).await;
    (server, objects)
}

fn content(scanned: &Scanned) -> impl PartialEq + use<> {
    let frames = scanned.objects.as_ref().unwrap().frames();
    let others: Vec<_> = frames
        .into_iter()
        .map(|frame| (frame.header.key, frame.bytes))
        .collect();
    (scanned.resource("log").documents(), others)
}

/// Half of the answer, as if it were all of it.
fn half() -> Fault {
    Fault::change(|reply| {
        let half = reply.body[..reply.body.len() / 2].to_vec();
        reply.replace_body(half);
        reply.remove("x-amz-checksum-crc32");
    })
}

/// The answer with a checksum that it hasn't.
fn other_bytes() -> Fault {
    Fault::change(|reply| reply.set("x-amz-checksum-crc32", "AAAAAA=="))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_a_scan_s_calls_passes() {
    let (server, _) = server().await;
    let expected = content(&scan(&server.connection("")).await.unwrap());
    let log_on = || Fault::Answer(Answer::new(200, "<html>log on</html>"));
    let no_page = Fault::Answer(Answer::new(404, "404 page not found\n"));
    let error = |status, code| Fault::Answer(Answer::error(status, code));
    let throttled = Answer::error(429, "TooManyRequests").header("retry-after", "0");
    let of_all = [
        Fault::ResetReply(0),
        Fault::ResetReply(30),
        Fault::CutReply(30),
        Fault::LoseReply,
        log_on(),
        no_page,
        error(500, "InternalError"),
        error(500, ""),
        error(503, "SlowDown"),
        error(408, "RequestTimeout"),
        error(409, "OperationAborted"),
        Fault::Answer(throttled),
        half(),
    ];
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let connection = server.connection_over(&proxy.address(), "");
    let calls = of_all
        .iter()
        .flat_map(|fault| [PAGE, OBJECT, "other", "large"].map(|part| (part, fault.clone())))
        .chain([OBJECT, "other", "large"].map(|part| (part, other_bytes())));
    for (part, fault) in calls {
        proxy.add(Rule::new("GET", part, fault.clone()).times(1));
        let scanned = scan(&connection).await;
        let scanned = scanned.unwrap_or_else(|error| panic!("{fault:?} at {part}: {error}"));
        assert!(content(&scanned) == expected, "{fault:?} at {part}");
        assert_eq!(proxy.pending(), 0, "{fault:?} at {part}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stalls_goes_on_over_another_connection() {
    let (server, _) = server().await;
    let expected = content(&scan(&server.connection("")).await.unwrap());
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    proxy.add(Rule::new("GET", OBJECT, Fault::StallReply(1_000)).times(1));
    let scanned = scan(&server.connection_over(&proxy.address(), "")).await;
    assert!(content(&scanned.unwrap()) == expected);
    assert_eq!(proxy.pending(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stays_wrong_is_never_taken_for_the_database() {
    let (server, _) = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let connection = server.connection_over(&proxy.address(), "");
    for (fault, says) in [
        (half(), "listed with another size"),
        (other_bytes(), "a checksum of"),
        (
            Fault::Answer(Answer::new(200, "<html>log on</html>")),
            "isn't one of S3",
        ),
        (
            Fault::Answer(Answer::new(404, "404 page not found\n")),
            "isn't one of S3",
        ),
    ] {
        proxy.add(Rule::new("GET", "data/id%3D03", fault.clone()));
        let error = scan(&connection).await.unwrap_err();
        assert!(error.to_string().contains(says), "{fault:?}: {error}");
        proxy.clear();
    }
}

/// A server that doesn't know the header that asks for checksums, and one whose checksum isn't of the bytes in a row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_checksums_of_whole_objects_is_read_all_the_same() {
    let (server, _) = server().await;
    let expected = content(&scan(&server.connection("")).await.unwrap());
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let connection = server.connection_over(&proxy.address(), "");
    for answer in [
        Answer::error(400, "InvalidArgument"),
        Answer::error(501, "NotImplemented"),
    ] {
        let unknown = Rule::new("GET", "", Fault::Answer(answer));
        proxy.add(unknown.with_header("x-amz-checksum-mode"));
        assert!(content(&scan(&connection).await.unwrap()) == expected);
        proxy.clear();
    }
    let of_parts = Fault::change(|reply| {
        reply.set("x-amz-checksum-crc32", "AAAAAA==");
        reply.set("x-amz-checksum-type", "COMPOSITE");
    });
    proxy.add(Rule::new("GET", "other", of_parts));
    assert!(content(&scan(&connection).await.unwrap()) == expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_comes_again_is_no_other_one() {
    let (server, _) = server().await;
    let options = ScanOptions {
        page_keys: 4,
        ..ScanOptions::default()
    };
    let everything = teeline_core::Selection::everything;
    let direct = server.connection("");
    let direct = crate::server::scan_with(&direct, options, everything());
    let expected = content(&direct.await.unwrap());
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    // A later page is the first one once more, with a new word on how it goes on.
    let first = Arc::new(Mutex::new(None));
    let replay = move |reply: &mut teeline_fault_proxy::Reply| {
        let mut first = first.lock().unwrap();
        let body = first.get_or_insert_with(|| reply.body.clone()).clone();
        reply.replace_body(body);
    };
    let connection = server.connection_over(&proxy.address(), "");
    let replay = Fault::change(replay);
    proxy.add(Rule::new("GET", "prefix=resource%3Dlog", replay).times(2));
    let scanned = crate::server::scan_with(&connection, options, everything());
    assert!(content(&scanned.await.unwrap()) == expected);
    assert_eq!(proxy.pending(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_a_restore_s_calls_passes() {
    let (server, mut objects) = server().await;
    // In two parts.
    objects.insert("large".to_owned(), typed("a/b", noise(9 << 20)));
    server.put_all("", &objects).await;
    let scanned = scan(&server.connection("")).await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let error = |status, code| Fault::Answer(Answer::error(status, code));
    let faults = [
        Fault::ResetRequest(0),
        Fault::ResetRequest(1_000),
        Fault::ResetReply(0),
        Fault::LoseReply,
        error(500, "InternalError"),
        error(503, "SlowDown"),
        error(400, "IncompleteBody"),
        error(400, "BadDigest"),
    ];
    let calls = [
        ("PUT", OBJECT),
        ("PUT", "s3db.json"),
        ("POST", "uploads"),
        ("PUT", "partNumber=2"),
        ("POST", "uploadId="),
    ];
    let all = faults
        .iter()
        .flat_map(|fault| calls.map(|call| (call, fault.clone())));
    for (number, ((method, part), fault)) in all.enumerate() {
        proxy.add(Rule::new(method, part, fault.clone()).times(1));
        let place = format!("restored-{number}");
        let connection = server.connection_over(&proxy.address(), &place);
        let mut target = S3dbTarget::new(connection, WriteBackOptions::default());
        let restored = write_back(&scanned, &mut target, &restoring(&scanned, &[])).await;
        restored.unwrap_or_else(|error| panic!("{fault:?} at {method} {part}: {error}"));
        assert_eq!(proxy.pending(), 0, "{fault:?} at {method} {part}");
        let found = server.objects(&format!("{place}/")).await;
        assert!(found == objects, "{fault:?} at {method} {part}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_cannot_be_ended_is_freed() {
    let (server, mut objects) = server().await;
    objects.insert("large".to_owned(), typed("a/b", noise(9 << 20)));
    server.put_all("", &objects).await;
    let scanned = scan(&server.connection("")).await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let denied = Fault::Answer(Answer::error(403, "AccessDenied"));
    proxy.add(Rule::new("POST", "uploadId=", denied));
    let aborts = Rule::new("DELETE", "uploadId=", Fault::change(|_| ()));
    proxy.add(aborts.times(1));
    let connection = server.connection_over(&proxy.address(), "elsewhere");
    let mut target = S3dbTarget::new(connection, WriteBackOptions::default());
    let restored = write_back(&scanned, &mut target, &restoring(&scanned, &[])).await;
    assert!(restored.is_err());
    target.abort().await.unwrap();
    assert_eq!(proxy.pending(), 1, "only what refuses is left");
}
