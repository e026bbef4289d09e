//! The suite against a server that speaks S3 and isn't ours: `TEELINE_TEST_S3=http://KEY:SECRET@HOST:PORT/bucket`.

// Helpers of tests may panic as tests do, and say what they run.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use futures::TryStreamExt;
use teeline_core::{ObjectKey, Sink, UnfinishedUpload};
use teeline_sinks::{AccessKeys, ObjectStoreSink, S3Options, conformance};

const VARIABLE: &str = "TEELINE_TEST_S3";

struct Server {
    endpoint: String,
    key: String,
    secret: String,
    bucket: String,
}

/// None where it isn't `http://KEY:SECRET@HOST:PORT/bucket`.
fn parse(text: &str) -> Option<Server> {
    let (scheme, rest) = text.split_once("://")?;
    let (keys, rest) = rest.rsplit_once('@')?;
    let (key, secret) = keys.split_once(':')?;
    let (host, bucket) = rest.split_once('/')?;
    Some(Server {
        endpoint: format!("{scheme}://{host}"),
        key: key.to_owned(),
        secret: secret.to_owned(),
        bucket: bucket.trim_end_matches('/').to_owned(),
    })
}

async fn create_bucket(server: &Server) {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(&server.endpoint)
        .credentials_provider(Credentials::new(
            &server.key,
            &server.secret,
            None,
            None,
            "test",
        ))
        .force_path_style(true)
        .build();
    let client = aws_sdk_s3::Client::from_conf(config);
    if client
        .head_bucket()
        .bucket(&server.bucket)
        .send()
        .await
        .is_err()
    {
        let create = client.create_bucket().bucket(&server.bucket);
        create.send().await.expect("the bucket is made");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_the_suite() {
    let Ok(text) = std::env::var(VARIABLE) else {
        println!("{VARIABLE} isn't set: nothing is tested against a real server");
        return;
    };
    let server = parse(&text).expect("http://KEY:SECRET@HOST:PORT/bucket");
    create_bucket(&server).await;
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut options = S3Options::new(&server.bucket);
    options.prefix = format!("conformance-{}", time.as_millis());
    options.endpoint = Some(server.endpoint);
    options.keys = Some(AccessKeys {
        id: server.key,
        secret: server.secret,
        session_token: None,
    });
    let sink = ObjectStoreSink::s3(options).await.unwrap();
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
