//! The suite against a server that speaks S3 and isn't ours: `TEELINE_TEST_S3=http://KEY:SECRET@HOST:PORT/bucket`.

// Helpers of tests may panic as tests do, and say what they run.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod server;

use futures::TryStreamExt;
use server::Server;
use teeline_core::{ObjectKey, Sink, UnfinishedUpload};
use teeline_sinks::{ObjectStoreSink, conformance};

#[tokio::test(flavor = "multi_thread")]
async fn passes_the_suite() {
    let Some(server) = Server::real().await else {
        return;
    };
    let sink = server.sink(&server.endpoint, "conformance").await;
    conformance::all(&sink, &ObjectKey::new("suite").unwrap()).await;
    names_what_a_crash_leaves(&sink).await;
}

async fn names_what_a_crash_leaves(sink: &ObjectStoreSink) {
    let key = ObjectKey::new("left/behind").unwrap();
    let mut upload = sink.begin(&key, 11 << 20).await.unwrap();
    upload.write(vec![1; 11 << 20].into()).await.unwrap();
    std::mem::forget(upload);
    // Uploads that the suite has dropped may still be on their way out.
    let unfinished = async || {
        let uploads = sink.unfinished(None).try_collect();
        let mut uploads: Vec<UnfinishedUpload> = uploads.await.unwrap();
        uploads.retain(|upload| upload.key == key);
        uploads
    };
    let found = unfinished().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].touched_at.is_some(), "{found:?}");
    sink.discard(&found[0]).await.unwrap();
    assert_eq!(unfinished().await, []);
}
