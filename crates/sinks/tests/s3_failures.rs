//! What goes wrong between a bucket and us: on the wire, at the server, in the options.

// Helpers of tests may panic as tests do, and say what they run.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::{Arc, Mutex};

use aws_sdk_s3::config::{BehaviorVersion, Credentials as SdkCredentials, Region};
use bytes::Bytes;
use futures::TryStreamExt;
use teeline_core::{BackupError, Class, ObjectKey, Sink};
use teeline_embedded_s3::{Credentials, EmbeddedS3};
use teeline_sinks::{AccessKeys, ObjectStoreSink, S3Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const SECRET: &str = "canary-secret";
const MIB: usize = 1024 * 1024;

/// What becomes of a request.
#[derive(Clone)]
enum Fate {
    Forward,
    /// It takes effect, and the connection breaks before the answer.
    LoseReply,
    /// Half of the answer comes.
    Truncate,
    Answer(&'static str),
    /// It takes effect, and the answer waits until it is let go.
    Hold(Arc<Notify>),
}

/// A proxy before an [`EmbeddedS3`] that asks a rule, by the first line of each request, what becomes of it.
struct Proxy {
    endpoint: String,
    server: EmbeddedS3,
    _root: tempfile::TempDir,
    rules: Rules,
}

type Rules = Arc<Mutex<Vec<(&'static str, &'static str, Fate)>>>;

impl Proxy {
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let credentials = Credentials {
            access_key: "id".into(),
            secret_key: SECRET.into(),
        };
        let server = EmbeddedS3::start(root.path(), credentials).unwrap();
        server.create_bucket("bucket").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let rules = Rules::default();
        let (shared, upstream) = (Arc::clone(&rules), server.address());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let rules = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A client that goes away is no failure of the proxy.
                    let _ = serve(client, upstream, &rules).await;
                });
            }
        });
        Proxy {
            endpoint,
            server,
            _root: root,
            rules,
        }
    }

    /// The next request of `method` whose path and query hold `text`.
    fn next(&self, method: &'static str, text: &'static str, fate: Fate) {
        self.rules.lock().unwrap().push((method, text, fate));
    }

    /// That all that was announced has happened.
    fn assert_happened(&self) {
        assert!(self.rules.lock().unwrap().is_empty());
    }

    async fn sink(&self) -> ObjectStoreSink {
        sink(&self.endpoint, "bucket", SECRET).await
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

async fn serve(
    mut client: TcpStream,
    upstream: std::net::SocketAddr,
    rules: &Rules,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let head_end = loop {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8_lossy(&request[..head_end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0_usize);
    while request.len() < head_end + 4 + length {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let fate = fate(head.lines().next().unwrap_or_default(), rules);
    if let Fate::Answer(answer) = fate {
        return client.write_all(answer.as_bytes()).await;
    }
    // One request a connection, so that the end of the answer is the end of the connection.
    request.splice(head_end..head_end, *b"\r\nconnection: close");
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(&request).await?;
    let mut response = Vec::new();
    server.read_to_end(&mut response).await?;
    match fate {
        Fate::LoseReply => Ok(()),
        Fate::Truncate => client.write_all(&response[..response.len() / 2]).await,
        Fate::Hold(let_go) => {
            let_go.notified().await;
            client.write_all(&response).await
        }
        Fate::Forward | Fate::Answer(_) => client.write_all(&response).await,
    }
}

fn fate(request_line: &str, rules: &Rules) -> Fate {
    let mut rules = rules.lock().unwrap();
    let fits = |(method, text, _): &(&str, &str, Fate)| {
        request_line.starts_with(method) && request_line.contains(text)
    };
    match rules.iter().position(fits) {
        Some(at) => rules.remove(at).2,
        None => Fate::Forward,
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
async fn there_is_no_such_bucket() {
    let proxy = Proxy::start().await;
    let sink = sink(&proxy.endpoint, "other", SECRET).await;
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
    let sink = sink(&proxy.endpoint, "bucket", &wrong).await;
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
        ("503 Service Unavailable", "SlowDown", Class::Throttled),
        ("429 Too Many Requests", "", Class::Throttled),
        (
            "500 Internal Server Error",
            "InternalError",
            Class::Transient,
        ),
        ("502 Bad Gateway", "", Class::Transient),
        ("400 Bad Request", "RequestTimeout", Class::Transient),
        ("400 Bad Request", "IncompleteBody", Class::Transient),
        ("400 Bad Request", "BadDigest", Class::Transient),
        (
            "400 Bad Request",
            "XAmzContentSHA256Mismatch",
            Class::Transient,
        ),
        (
            "409 Conflict",
            "ConditionalRequestConflict",
            Class::Transient,
        ),
        ("400 Bad Request", "InvalidArgument", Class::Permanent),
        ("403 Forbidden", "RequestTimeTooSkewed", Class::Permanent),
        ("403 Forbidden", "ExpiredToken", Class::Permanent),
        ("501 Not Implemented", "NotImplemented", Class::Permanent),
        (
            "507 Insufficient Storage",
            "XMinioStorageFull",
            Class::Permanent,
        ),
    ];
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    for (status, code, class) in cases {
        let body = format!("<Error><Code>{code}</Code><Message>why</Message></Error>");
        let answer = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        proxy.next("PUT", "object", Fate::Answer(answer.leak()));
        let error = sink.put(&key(), Bytes::new()).await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        assert!(error.message().contains("why"), "{error}");
        assert_readable(&error);
    }
    sink.put(&key(), Bytes::new()).await.unwrap();
    proxy.assert_happened();
}

#[tokio::test]
async fn a_lost_reply_to_one_request() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    let bytes = Bytes::from_static(b"some bytes");
    proxy.next("PUT", "object", Fate::LoseReply);
    let error = sink.put(&key(), bytes.clone()).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    sink.put(&key(), bytes.clone()).await.unwrap();

    let key = ObjectKey::new("uploaded").unwrap();
    let mut upload = sink.begin(&key, 10).await.unwrap();
    upload.write(bytes.clone()).await.unwrap();
    proxy.next("PUT", "uploaded", Fate::LoseReply);
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
    proxy.next("POST", "uploads", Fate::LoseReply);
    proxy.next("PUT", "partNumber=1", Fate::LoseReply);
    proxy.next("PUT", "partNumber=2", Fate::LoseReply);
    proxy.next("PUT", "partNumber=3", Fate::LoseReply);
    proxy.next("POST", "uploadId=", Fate::LoseReply);
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

#[tokio::test]
async fn an_end_that_is_taken_back() {
    let proxy = Proxy::start().await;
    let sink = proxy.sink().await;
    let mut upload = sink.begin(&key(), 0).await.unwrap();
    upload.write(Bytes::from(vec![1; 6 * MIB])).await.unwrap();
    let body = "<Error><Code>SomethingNew</Code><Message>try again</Message></Error>";
    for body in [
        body,
        "",
        "<?xml version=\"1.0\"?><CompleteMultipartUploadRes",
    ] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        proxy.next("POST", "uploadId=", Fate::Answer(answer.leak()));
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
    let refusal = "HTTP/1.1 501 Not Implemented\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    proxy.next("POST", "uploadId=", Fate::Answer(refusal));
    upload.commit().await.unwrap();
    proxy.assert_happened();
    assert_eq!(sink.head(&key()).await.unwrap().bytes, 6 * MIB as u64);
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
    let absent = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    proxy.next("HEAD", "object", Fate::Answer(absent));
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
    proxy.next("GET", "object", Fate::Truncate);
    let error = sink.read(&key(), 0..100_000).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    assert_readable(&error);
    assert_eq!(sink.read(&key(), 0..100_000).await.unwrap(), bytes);
    proxy.assert_happened();
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
        proxy.next("POST", "uploads", Fate::Hold(Arc::clone(&let_go)));
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
    let refusal = |status: &str, code: &str| {
        let body = format!("<Error><Code>{code}</Code></Error>");
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
        Fate::Answer(format!("{head}connection: close\r\n\r\n{body}").leak())
    };
    proxy.next(
        "GET",
        "uploads",
        refusal("501 Not Implemented", "NotImplemented"),
    );
    assert_eq!(listed().await.unwrap(), []);
    for (status, code, class) in [
        ("403 Forbidden", "AccessDenied", Class::Permanent),
        ("503 Slow Down", "SlowDown", Class::Throttled),
    ] {
        proxy.next("GET", "uploads", refusal(status, code));
        let error = listed().await.unwrap_err();
        assert_eq!(error.class(), class, "{error:?}");
        assert!(!format!("{error:?}").contains(SECRET));
    }
    let page = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";
    proxy.next("GET", "uploads", Fate::Answer(page));
    let error = listed().await.unwrap_err();
    assert!(error.message().contains("can't be read"), "{error:?}");
    proxy.next("GET", "uploads", Fate::LoseReply);
    assert_eq!(listed().await.unwrap_err().class(), Class::Transient);
    assert_eq!(listed().await.unwrap(), []);
    proxy.assert_happened();
}
