//! The suite against a server that speaks S3 and isn't ours: `TEELINE_TEST_S3=http://KEY:SECRET@HOST:PORT/bucket`.

// Helpers of tests may panic as tests do, and say what they run.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod server;

use bytes::Bytes;
use futures::TryStreamExt;
use server::Server;
use teeline_core::{Class, ObjectKey, Sink, UnfinishedUpload};
use teeline_sinks::{LockMode, ObjectLock, ObjectStoreSink, conformance};

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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_is_hidden_by_a_deletion_and_stays() {
    let Some(server) = Server::real().await else {
        return;
    };
    let client = server.client();
    let mut options = server.options(&server.endpoint, "locked");
    options.bucket = format!("{}-locked", options.bucket);
    options.storing.lock = Some(ObjectLock {
        mode: LockMode::Compliance,
        days: 1,
    });
    let bucket = options.bucket.clone();
    let create = client.create_bucket().bucket(&bucket);
    // It may be there of a run before.
    let _ = create.object_lock_enabled_for_bucket(true).send().await;
    let prefix = options.prefix.clone();
    let sink = ObjectStoreSink::s3(options).await.unwrap();
    let names = ["document", "parts"];
    let [document, parts] = names.map(|name| ObjectKey::new(name).unwrap());
    sink.put(&document, Bytes::from_static(b"{}"))
        .await
        .unwrap();
    let mut upload = sink.begin(&parts, 11 << 20).await.unwrap();
    upload.write(vec![1; 11 << 20].into()).await.unwrap();
    upload.commit().await.unwrap();
    assert_eq!(sink.read(&document, 0..2).await.unwrap(), "{}");

    for key in [&document, &parts] {
        sink.delete(key).await.unwrap();
        let hidden = sink.head(key).await.unwrap_err();
        assert_eq!(hidden.class(), Class::NotFound);
    }
    let versions = client.list_object_versions().bucket(&bucket).prefix(prefix);
    let versions = versions.send().await.unwrap();
    let kept: Vec<_> = versions.versions().iter().collect();
    assert_eq!(kept.len(), names.len(), "{kept:?}");
    for version in kept {
        let (key, id) = (version.key().unwrap(), version.version_id().unwrap());
        let head = client.head_object().bucket(&bucket).key(key);
        let head = head.version_id(id).send().await.unwrap();
        assert!(head.object_lock_retain_until_date().is_some(), "{key}");
        let delete = client.delete_object().bucket(&bucket).key(key);
        delete.version_id(id).send().await.unwrap_err();
    }
}
