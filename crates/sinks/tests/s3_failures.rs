//! What goes wrong between a bucket and us: on the wire, at the server, in the options.

// Helpers of tests may panic as tests do, and say what they run.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::config::{BehaviorVersion, Credentials as SdkCredentials, Region};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ClientOptions;
use object_store::aws::AmazonS3Builder;
use teeline_core::{BackupError, Class, ObjectKey, Sink};
use teeline_embedded_s3::{Credentials, EmbeddedS3};
use teeline_fault_proxy::{Answer, Fault, FaultProxy, Rule, Watcher};
use teeline_sinks::{AccessKeys, ObjectStoreSink, S3Options};
use tokio::net::TcpListener;
use tokio::sync::Notify;

const SECRET: &str = "canary-secret";
const MIB: usize = 1024 * 1024;

/// An [`EmbeddedS3`] behind a proxy.
struct Proxy {
    proxy: FaultProxy,
    server: EmbeddedS3,
    _root: tempfile::TempDir,
}

impl Proxy {
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let credentials = Credentials {
            access_key: "id".into(),
            secret_key: SECRET.into(),
        };
        let server = EmbeddedS3::start(root.path(), credentials).unwrap();
        server.create_bucket("bucket").unwrap();
        let proxy = FaultProxy::start(&server.address().to_string()).await;
        Proxy {
            proxy: proxy.unwrap(),
            server,
            _root: root,
        }
    }

    /// The next request of `method` whose path and query hold `text`.
    fn next(&self, method: &str, text: &str, fault: Fault) {
        self.proxy.next(method, text, fault);
    }

    /// That all that was announced has happened.
    fn assert_happened(&self) {
        assert_eq!(self.proxy.pending(), 0);
    }

    async fn sink(&self) -> ObjectStoreSink {
        sink(&self.proxy.endpoint(), "bucket", SECRET).await
    }

    /// How many uploads the server holds that haven't ended.
    async fn open_uploads(&self) -> usize {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(self.server.endpoint())
            .credentials_provider(SdkCredentials::new("id", SECRET, None, None, "test"))
            .force_path_style(true)
            .build();
        let client = aws_sdk_s3::Client::from_conf(config);
        let list = client.list_multipart_uploads().bucket("bucket");
        list.send().await.unwrap().uploads().len()
    }
}

async fn sink(endpoint: &str, bucket: &str, secret: &str) -> ObjectStoreSink {
    let mut options = S3Options::new(bucket);
    options.endpoint = Some(endpoint.to_owned());
    options.keys = Some(AccessKeys {
        id: "id".into(),
        secret: secret.into(),
        session_token: None,
    });
    ObjectStoreSink::s3(options).await.unwrap()
}

fn key() -> ObjectKey {
    ObjectKey::new("folder/object").unwrap()
}

async fn list(sink: &ObjectStoreSink) -> Result<usize, BackupError> {
    let items: Vec<_> = sink.list(None).try_collect().await?;
    Ok(items.len())
}

fn assert_readable(error: &BackupError) {
    let text = format!("{error:?} {:?}", error.suggestion());
    assert!(
        !text.contains('\n') && !text.contains("<?xml") && text.len() < 500,
        "{text}"
    );
    assert!(!text.contains(SECRET), "{text}");
}

#[tokio::test]
async fn nobody_is_there() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let sink = sink(&endpoint, "bucket", SECRET).await;
    let error = sink.put(&key(), Bytes::new()).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    assert_eq!(
        error.to_string(),
        format!("write s3://bucket/folder/object: can't connect to {endpoint}: connection refused")
    );
    assert_readable(&error);
}

#[tokio::test]
async fn its_name_leads_nowhere() {
    // No label is longer than 63 characters, so nobody is asked for it.
    let endpoint = format!("http://{}.example", "n".repeat(64));
    let sink = sink(&endpoint, "bucket", SECRET).await;
    let error = sink.put(&key(), Bytes::new()).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    let expected = format!("write s3://bucket/folder/object: can't connect to {endpoint}: ");
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(error.suggestion().unwrap().contains("check the endpoint"));
    assert_readable(&error);
}

#[tokio::test]
async fn there_is_no_such_bucket() {
    let proxy = Proxy::start().await;
    let sink = sink(&proxy.proxy.endpoint(), "other", SECRET).await;
    for error in [
        sink.put(&key(), Bytes::new()).await.unwrap_err(),
        sink.read(&key(), 0..1).await.unwrap_err(),
        list(&sink).await.unwrap_err(),
    ] {
        assert_eq!(error.class(), Class::Permanent, "{error}");
        assert_eq!(error.message(), "the bucket other does not exist");
        assert_eq!(error.suggestion(), Some("create the bucket first"));
    }
}

#[tokio::test]
async fn the_secret_is_wrong() {
    let proxy = Proxy::start().await;
    let wrong = format!("{SECRET}-but-another");
    let sink = sink(&proxy.proxy.endpoint(), "bucket", &wrong).await;
    assert!(!format!("{sink:?} {sink}").contains(SECRET));
    for error in [
        sink.put(&key(), Bytes::new()).await.unwrap_err(),
        sink.read(&key(), 0..1).await.unwrap_err(),
        list(&sink).await.unwrap_err(),
        sink.head(&key()).await.unwrap_err(),
    ] {
        assert_eq!(error.class(), Class::Permanent, "{error}");
        assert!(error.suggestion().is_some());
        assert_readable(&error);
    }
}

#[tokio::test]
async fn a_server_that_is_busy_or_full_or_elsewhere() {
    let cases = [
        (503, "SlowDown", Class::Throttled),
        (429, "", Class::Throttled),
        (500, "InternalError", Class::Transient),
        (502, "", Class::Transient),
        (400, "RequestTimeout", Class::Transient),
        (400, "IncompleteBody", Class::Transient),
        (400, "BadDigest", Class::Transient),
        (400, "XAmzContentSHA256Mismatch", Class::Transient),
        (409, "ConditionalRequestConflict", Class::Transient),
        (400, "InvalidArgument", Class::Permanent),
        (403, "RequestTimeTooSkewed", Class::Permanent),
        (403, "ExpiredToken", Class::Permanent),
        (507, "XMinioStorageFull", Class::Permanent),
    ];
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    for (status, code, class) in cases {
        let body = format!("<Error><Code>{code}</Code><Message>why</Message></Error>");
        proxy.next("PUT", "object", Fault::Answer(Answer::new(status, body)));
        let error = sink.put(&key(), Bytes::new()).await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        assert!(error.message().contains("why"), "{error}");
        assert_readable(&error);
    }
    sink.put(&key(), Bytes::new()).await.unwrap();
    proxy.assert_happened();
}

#[tokio::test]
async fn an_answer_that_points_elsewhere_leads_nowhere() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    sink.put(&key(), Bytes::from_static(b"x")).await.unwrap();
    let met = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&met);
    let address = proxy.server.address().to_string();
    let watcher: Watcher = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {})
    });
    let elsewhere = FaultProxy::watched(&address, watcher).await.unwrap();
    for status in [301, 302, 303, 307, 308] {
        for method in ["PUT", "GET", "HEAD", "DELETE"] {
            let answer = Answer::error(status, "TemporaryRedirect");
            let location = format!("{}/bucket/folder/object", elsewhere.endpoint());
            let fault = Fault::Answer(answer.header("location", location));
            proxy.next(method, "object", fault);
            let result = match method {
                "PUT" => sink.put(&key(), Bytes::from_static(b"x")).await,
                "GET" => sink.read(&key(), 0..1).await.map(drop),
                "HEAD" => sink.head(&key()).await.map(drop),
                _ => sink.delete(&key()).await,
            };
            let error = result.unwrap_err();
            assert_eq!(
                error.class(),
                Class::Permanent,
                "{method} {status}: {error}"
            );
            assert_readable(&error);
        }
    }
    proxy.assert_happened();
    assert_eq!(met.load(Ordering::SeqCst), 0, "nobody else was asked");
}

/// Not every server finds it fine to delete what isn't there; a page of somebody in between says nothing of that.
#[tokio::test]
async fn that_nothing_is_there_to_delete_only_the_server_says() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    sink.put(&key(), Bytes::from_static(b"x")).await.unwrap();
    for answer in [
        Answer::error(404, "NoSuchKey"),
        Answer::error(404, "").header("x-amz-request-id", "1"),
        Answer::new(
            200,
            "<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>",
        ),
    ] {
        proxy.next("DELETE", "object", Fault::Answer(answer));
        sink.delete(&key()).await.unwrap();
    }
    for answer in [
        Answer::error(404, ""),
        Answer::new(404, "404 page not found"),
        Answer::new(200, "<html>a login page</html>"),
        Answer::error(200, "InternalError"),
    ] {
        proxy.next("DELETE", "object", Fault::Answer(answer));
        let error = sink.delete(&key()).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error}");
        assert_readable(&error);
    }
    sink.head(&key()).await.unwrap();
    sink.delete(&key()).await.unwrap();
    sink.delete(&key()).await.unwrap();
    proxy.assert_happened();
}

#[tokio::test]
async fn a_key_may_be_called_like_an_error() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    for name in ["SlowDown", "InternalError"] {
        let key = ObjectKey::new(name).unwrap();
        let mut upload = sink.begin(&key, 0).await.unwrap();
        upload.write(Bytes::from(vec![1; 6 * MIB])).await.unwrap();
        upload.commit().await.unwrap();
        assert_eq!(sink.head(&key).await.unwrap().bytes, 6 * MIB as u64);
    }
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_told() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    let date = "Mon, 23 Nov 2026 02:00:00 GMT";
    for (after, wait_ms) in [
        ("7", Some(7_000)),
        ("Mon, 23 Nov 2026 02:00:11 GMT", Some(11_000)),
        ("later", None),
    ] {
        let answer = Answer::error(503, "SlowDown").header("retry-after", after);
        let answer = answer.header("date", date);
        proxy.next("PUT", "object", Fault::Answer(answer));
        let error = sink.put(&key(), Bytes::new()).await.unwrap_err();
        assert_eq!(error.wait_ms(), wait_ms, "{error}");
    }
    proxy.assert_happened();
}

#[tokio::test]
async fn a_lost_reply_to_one_request() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    let bytes = Bytes::from_static(b"some bytes");
    proxy.next("PUT", "object", Fault::LoseReply);
    let error = sink.put(&key(), bytes.clone()).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    sink.put(&key(), bytes.clone()).await.unwrap();

    let key = ObjectKey::new("uploaded").unwrap();
    let mut upload = sink.begin(&key, 10).await.unwrap();
    upload.write(bytes.clone()).await.unwrap();
    proxy.next("PUT", "uploaded", Fault::LoseReply);
    let error = upload.commit().await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    upload.commit().await.unwrap();
    assert_eq!(sink.read(&key, 0..10).await.unwrap(), bytes);
    proxy.assert_happened();
}

#[tokio::test]
async fn lost_replies_to_parts() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    let bytes = Bytes::from(
        (0..12 * MIB)
            .map(|n| (n / 1_001).to_le_bytes()[0])
            .collect::<Vec<_>>(),
    );
    let mut upload = sink.begin(&key(), bytes.len() as u64).await.unwrap();
    proxy.next("POST", "uploads", Fault::LoseReply);
    proxy.next("PUT", "partNumber=1", Fault::LoseReply);
    proxy.next("PUT", "partNumber=2", Fault::LoseReply);
    proxy.next("PUT", "partNumber=3", Fault::LoseReply);
    proxy.next("POST", "uploadId=", Fault::LoseReply);
    let mut failures = 0;
    while let Err(error) = upload.write(bytes.clone()).await {
        assert_eq!(error.class(), Class::Transient, "{error}");
        failures += 1;
    }
    while let Err(error) = upload.commit().await {
        assert_eq!(error.class(), Class::Transient, "{error}");
        failures += 1;
    }
    assert_eq!(failures, 5);
    let read = sink.read(&key(), 0..bytes.len() as u64).await.unwrap();
    assert!(read == bytes);
    proxy.assert_happened();
}

/// A store that the host brought repeats what fails by itself: it finds what it has written, or the upload gone.
#[tokio::test]
async fn a_ready_store_that_meets_its_own_repeat() {
    let proxy = Proxy::start().await;
    let client = AmazonS3Builder::new()
        .with_bucket_name("bucket")
        .with_region("us-east-1")
        .with_endpoint(proxy.proxy.endpoint())
        .with_access_key_id("id")
        .with_secret_access_key(SECRET)
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .build()
        .unwrap();
    let sink = ObjectStoreSink::ready(client, "folder").unwrap();
    let failed = || Fault::AnswerAfter(Answer::error(500, "InternalError"));
    for (name, size, method, part) in [
        ("whole", 10, "PUT", "whole"),
        ("parts", 6 * MIB, "POST", "uploadId="),
    ] {
        let key = ObjectKey::new(name).unwrap();
        let upload = async |bytes: Bytes| {
            let mut upload = sink.begin(&key, bytes.len() as u64).await.unwrap();
            upload.write(bytes).await.unwrap();
            upload.commit().await
        };
        let bytes = Bytes::from(vec![1; size]);
        proxy.next(method, part, failed());
        upload(bytes.clone()).await.unwrap();
        assert_eq!(sink.read(&key, 0..size as u64).await.unwrap(), bytes);
        // What was there before is somebody else's, be it the same.
        for bytes in [bytes.clone(), Bytes::from(vec![2; size])] {
            let error = upload(bytes).await.unwrap_err();
            assert_eq!(error.class(), Class::Conflict, "{error}");
        }
        assert_eq!(sink.read(&key, 0..size as u64).await.unwrap(), bytes);
    }
    proxy.assert_happened();
}

#[tokio::test]
async fn an_end_that_is_taken_back() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    let mut upload = sink.begin(&key(), 0).await.unwrap();
    upload.write(Bytes::from(vec![1; 6 * MIB])).await.unwrap();
    let body = "<Error><Code>SomethingNew</Code><Message>try again</Message></Error>";
    let of_an_object = "<Error><Code>SomethingNew</Code><ETag>\"x\"</ETag></Error>";
    for body in [
        body,
        of_an_object,
        "",
        "<?xml version=\"1.0\"?><CompleteMultipartUploadRes",
    ] {
        let answer = Answer::new(200, body);
        proxy.next("POST", "uploadId=", Fault::Answer(answer));
        let error = upload.commit().await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error}");
        let head = sink.head(&key()).await;
        assert_eq!(head.unwrap_err().class(), Class::NotFound);
    }
    upload.commit().await.unwrap();
    proxy.assert_happened();
}

#[tokio::test]
async fn a_server_that_knows_no_conditional_end() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    let mut upload = sink.begin(&key(), 0).await.unwrap();
    upload.write(Bytes::from(vec![1; 6 * MIB])).await.unwrap();
    let refusal = Answer::error(501, "");
    proxy.next("POST", "uploadId=", Fault::Answer(refusal));
    upload.commit().await.unwrap();
    proxy.assert_happened();
    assert_eq!(sink.head(&key()).await.unwrap().bytes, 6 * MIB as u64);
}

#[tokio::test]
async fn a_server_that_knows_no_conditional_write() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    let refusal = Fault::Answer(Answer::error(501, "NotImplemented"));
    let conditional = Rule::new("PUT", "", refusal).with_header("if-none-match");
    proxy.proxy.add(conditional);
    let [first, second] = [&b"first"[..], b"second"].map(Bytes::from_static);
    // Once to find out, and never again.
    for _ in 0..3 {
        sink.put(&key(), first.clone()).await.unwrap();
    }
    assert_eq!(proxy.proxy.hits(), 1);
    let error = sink.put(&key(), second.clone()).await.unwrap_err();
    assert_eq!(error.class(), Class::Conflict, "{error}");
    let mut upload = sink.begin(&key(), 0).await.unwrap();
    upload.write(second).await.unwrap();
    let error = upload.commit().await.unwrap_err();
    assert_eq!(error.class(), Class::Conflict, "{error}");
    assert_eq!(sink.read(&key(), 0..5).await.unwrap(), first);

    // What it refuses with and without is something else.
    let other = Proxy::start().await;
    let refusal = Fault::Answer(Answer::error(501, ""));
    other.proxy.add(Rule::new("PUT", "", refusal));
    let error = other.sink().await.put(&key(), first).await.unwrap_err();
    assert_eq!(error.class(), Class::Permanent, "{error}");
    assert_eq!(other.proxy.hits(), 2);
}

#[tokio::test]
async fn two_that_end_at_once() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    let mut uploads = Vec::new();
    for content in [1, 2] {
        let mut upload = sink.begin(&key(), 0).await.unwrap();
        upload
            .write(Bytes::from(vec![content; 6 * MIB]))
            .await
            .unwrap();
        uploads.push(upload);
    }
    uploads[0].commit().await.unwrap();
    // The check before the end came a moment too early.
    let absent = Answer::error(404, "");
    proxy.next("HEAD", "object", Fault::Answer(absent));
    let error = uploads[1].commit().await.unwrap_err();
    assert_eq!(error.class(), Class::Conflict, "{error}");
    proxy.assert_happened();
    assert_eq!(sink.read(&key(), 0..1).await.unwrap(), [1].as_slice());
}

#[tokio::test]
async fn an_answer_that_breaks_off() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    let bytes = Bytes::from(vec![7; 100_000]);
    sink.put(&key(), bytes.clone()).await.unwrap();
    proxy.next("GET", "object", Fault::CutReply(50_000));
    let error = sink.read(&key(), 0..100_000).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    assert_readable(&error);
    assert_eq!(sink.read(&key(), 0..100_000).await.unwrap(), bytes);
    proxy.assert_happened();
}

/// Whoever gives a page to a GET gives it to a HEAD as well, and how long it is says nothing of the object.
#[tokio::test]
async fn a_page_is_no_object_that_is_too_short() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    sink.put(&key(), Bytes::from_static(b"some bytes"))
        .await
        .unwrap();
    let page = Answer::new(200, "page").header("etag", "\"page\"");
    let rule = |method| Rule::new(method, "object", Fault::Answer(page.clone()));
    proxy.proxy.add(rule("GET").times(1));
    proxy.proxy.add(rule("HEAD"));
    let error = sink.read(&key(), 0..10).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    assert_readable(&error);
    proxy.proxy.clear();
    assert_eq!(sink.read(&key(), 0..10).await.unwrap(), "some bytes");
    let error = sink.read(&key(), 0..11).await.unwrap_err();
    assert_eq!(error.class(), Class::Corrupt, "{error}");
}

#[tokio::test]
async fn what_is_given_up_is_not_kept() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    let mut aborted = sink.begin(&key(), 0).await.unwrap();
    aborted.write(Bytes::from(vec![1; 11 * MIB])).await.unwrap();
    assert_eq!(proxy.open_uploads().await, 1);
    aborted.abort().await.unwrap();
    aborted.abort().await.unwrap();
    assert_eq!(proxy.open_uploads().await, 0);

    let mut dropped = sink.begin(&key(), 0).await.unwrap();
    dropped.write(Bytes::from(vec![1; 11 * MIB])).await.unwrap();
    assert_eq!(proxy.open_uploads().await, 1);
    drop(dropped);
    while proxy.open_uploads().await > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_given_up_while_it_is_created_is_not_kept() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    for is_dropped in [false, true] {
        let let_go = Arc::new(Notify::new());
        proxy.next("POST", "uploads", Fault::Hold(Arc::clone(&let_go)));
        let mut upload = sink.begin(&key(), 0).await.unwrap();
        upload.write(Bytes::from(vec![1; 6 * MIB])).await.unwrap();
        while proxy.open_uploads().await == 0 {
            tokio::task::yield_now().await;
        }
        if is_dropped {
            drop(upload);
            let_go.notify_one();
        } else {
            let (aborted, ()) = tokio::join!(upload.abort(), async { let_go.notify_one() });
            aborted.unwrap();
            assert_eq!(proxy.open_uploads().await, 0);
        }
        while proxy.open_uploads().await > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_uploads_are_listed_as_far_as_the_server_can() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    let listed = async || sink.unfinished(None).try_collect::<Vec<_>>().await;
    let refusal = |status, code| Fault::Answer(Answer::error(status, code));
    proxy.next("GET", "uploads", refusal(501, "NotImplemented"));
    assert_eq!(listed().await.unwrap(), []);
    for (status, code, class) in [
        (403, "AccessDenied", Class::Permanent),
        (503, "SlowDown", Class::Throttled),
    ] {
        proxy.next("GET", "uploads", refusal(status, code));
        let error = listed().await.unwrap_err();
        assert_eq!(error.class(), class, "{error:?}");
        assert!(!format!("{error:?}").contains(SECRET));
    }
    let page = Answer::new(200, "<html>");
    proxy.next("GET", "uploads", Fault::Answer(page));
    let error = listed().await.unwrap_err();
    assert!(error.message().contains("can't be read"), "{error:?}");
    proxy.next("GET", "uploads", Fault::LoseReply);
    assert_eq!(listed().await.unwrap_err().class(), Class::Transient);
    assert_eq!(listed().await.unwrap(), []);
    proxy.assert_happened();
}
