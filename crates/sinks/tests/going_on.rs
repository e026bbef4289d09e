//! Uploads that broke off, gone on with: what the server holds of them isn't sent again, and what is written is what was asked for.

// Helpers of tests may panic as tests do, and say what they run.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod server;

use bytes::Bytes;
use futures::TryStreamExt;
use server::Server;
use teeline_core::{ObjectKey, Sink, UnfinishedUpload};
use teeline_sinks::{ObjectStoreSink, Storing};

const PART: usize = 5 << 20;
const LENGTH: usize = 2 * PART + 10;
const FOLDER: &str = "going-on";

async fn bucket(storing: Storing) -> (Server, ObjectStoreSink) {
    let server = Server::embedded();
    let mut options = server.options(&server.endpoint, FOLDER);
    options.storing = storing;
    let sink = ObjectStoreSink::s3(options).await.unwrap();
    (server, sink)
}

fn key() -> ObjectKey {
    ObjectKey::new("run/data").unwrap()
}

/// No two parts of it are the same.
fn data() -> Vec<u8> {
    let byte = |index: usize| u8::try_from(index / 7919 % 251).unwrap();
    (0..LENGTH).map(byte).collect()
}

/// Begins an upload that nobody ends: two of its three parts arrive.
async fn break_off(server: &Server, sink: &ObjectStoreSink) -> UnfinishedUpload {
    let mut upload = sink.begin(&key(), LENGTH as u64).await.unwrap();
    upload.write(data().into()).await.unwrap();
    std::mem::forget(upload);
    loop {
        let uploads = sink.unfinished(None).try_collect::<Vec<_>>().await;
        let begun = uploads.unwrap().pop().unwrap();
        // The second one may be on its way.
        if parts_held(server, &begun).await == 2 {
            return begun;
        }
        tokio::task::yield_now().await;
    }
}

async fn parts_held(server: &Server, begun: &UnfinishedUpload) -> usize {
    let options = server.options(&server.endpoint, FOLDER);
    let client = server.client();
    let parts = client.list_parts().bucket(options.bucket);
    let parts = parts.key(format!("{}/{}", options.prefix, begun.key));
    let parts = parts.upload_id(&begun.name).send().await;
    parts.unwrap().parts().len()
}

async fn go_on(sink: &ObjectStoreSink, begun: &UnfinishedUpload, bytes: Vec<u8>) {
    let mut upload = sink.begin(&key(), LENGTH as u64).await.unwrap();
    upload.go_on_with(begun).await.unwrap();
    upload.write(bytes.into()).await.unwrap();
    upload.commit().await.unwrap();
}

/// The numbers of the parts that were sent since the server records.
fn parts_sent(server: &Server) -> Vec<String> {
    let parts = server
        .recorder()
        .recorded()
        .into_iter()
        .filter(|request| request.method == "PUT");
    let number = |query: String| {
        let mut pairs = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("partNumber="));
        pairs.next().map(str::to_owned)
    };
    let mut parts: Vec<String> = parts.filter_map(|request| number(request.query)).collect();
    parts.sort();
    parts
}

async fn stored(sink: &ObjectStoreSink) -> Bytes {
    sink.read(&key(), 0..LENGTH as u64).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_parts_that_the_server_lacks_are_sent() {
    let (server, sink) = bucket(Storing::default()).await;
    let begun = break_off(&server, &sink).await;
    server.recorder().record();
    go_on(&sink, &begun, data()).await;
    assert_eq!(parts_sent(&server), ["3"]);
    assert!(stored(&sink).await == data());
    let left = sink.unfinished(None).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_other_than_the_server_holds_is_sent() {
    let (server, sink) = bucket(Storing::default()).await;
    let begun = break_off(&server, &sink).await;
    let mut other = data();
    other[PART] ^= 1;
    server.recorder().record();
    go_on(&sink, &begun, other.clone()).await;
    assert_eq!(parts_sent(&server), ["2", "3"]);
    assert!(stored(&sink).await == other);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_gone_meanwhile_is_begun_anew() {
    let (server, sink) = bucket(Storing::default()).await;
    let begun = break_off(&server, &sink).await;
    sink.discard(&begun).await.unwrap();
    server.recorder().record();
    go_on(&sink, &begun, data()).await;
    assert_eq!(parts_sent(&server), ["1", "2", "3"]);
    assert!(stored(&sink).await == data());
}

/// In which class it was begun, by which key or locked until when, nobody can ask.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_in_a_certain_way_is_begun_anew() {
    let storing = Storing {
        class: Some("STANDARD_IA".parse().unwrap()),
        ..Storing::default()
    };
    let (server, sink) = bucket(storing).await;
    let begun = break_off(&server, &sink).await;
    server.recorder().record();
    go_on(&sink, &begun, data()).await;
    assert_eq!(parts_sent(&server), ["1", "2", "3"]);
    let left = sink.unfinished(None).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(left, [begun]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_goes_on_as_well() {
    let Some(server) = Server::real().await else {
        return;
    };
    let sink = server.sink(&server.endpoint, FOLDER).await;
    let begun = break_off(&server, &sink).await;
    go_on(&sink, &begun, data()).await;
    assert!(stored(&sink).await == data());
    let left = sink.unfinished(None).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(left, []);
}
