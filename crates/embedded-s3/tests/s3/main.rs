//! The server as a client sees it: every operation through the AWS SDK.

mod buckets;
mod conditions;
mod listing;
mod multipart;
mod objects;
mod sharing;
mod storing;

use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials as SdkCredentials, Region, RequestChecksumCalculation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use teeline_embedded_s3::{Credentials, EmbeddedS3};

const BUCKET: &str = "bucket";

/// A server over a folder, with one bucket and a client.
struct Fixture {
    /// Before the folder, so that it stops first.
    server: EmbeddedS3,
    client: Client,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let folder = tempfile::tempdir().expect("folder");
        let server = start(folder.path());
        server.create_bucket(BUCKET).expect("bucket");
        let client = client(&server, "secret", RequestChecksumCalculation::WhenSupported);
        Fixture {
            server,
            client,
            folder,
        }
    }

    async fn put(&self, key: &str, body: &[u8]) {
        put(&self.client, key, body).await;
    }

    async fn get(&self, key: &str) -> Vec<u8> {
        get(&self.client, key).await
    }
}

fn start(root: &Path) -> EmbeddedS3 {
    let credentials = Credentials {
        access_key: "key".into(),
        secret_key: "secret".into(),
    };
    EmbeddedS3::start(root, credentials).expect("start")
}

fn client(server: &EmbeddedS3, secret: &str, checksums: RequestChecksumCalculation) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(server.endpoint())
        .region(Region::new("us-east-1"))
        .credentials_provider(SdkCredentials::new("key", secret, None, None, "test"))
        .force_path_style(true)
        .request_checksum_calculation(checksums)
        .build();
    Client::from_conf(config)
}

async fn put(client: &Client, key: &str, body: &[u8]) {
    let body = ByteStream::from(body.to_vec());
    client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .body(body)
        .send()
        .await
        .expect("put");
}

async fn get(client: &Client, key: &str) -> Vec<u8> {
    let reply = client
        .get_object()
        .bucket(BUCKET)
        .key(key)
        .send()
        .await
        .expect("get");
    reply.body.collect().await.expect("body").to_vec()
}

/// The S3 code of a refusal; the status where the reply has no body, as to a head.
#[track_caller]
fn code<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(
    result: Result<T, SdkError<E>>,
) -> String {
    let error = result.expect_err("refused");
    match error.code() {
        Some(code) => code.to_owned(),
        None => match error.raw_response() {
            Some(response) => response.status().to_string(),
            None => panic!("no reply: {error:?}"),
        },
    }
}

/// Keys that naive mappings to files get wrong.
fn hostile_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a/1",
        "a/1/child",
        "a",
        "a/",
        "a//",
        "a//b",
        "A",
        "/leading",
        "trailing/",
        "/",
        "//",
        "..",
        ".",
        "../../etc/passwd",
        "x/../y",
        "./z",
        "line\nbreak",
        " spaces ",
        "a+b&c=d?e#f",
        "%2F%41",
        "quote\"'<>&amp;",
        "back\\slash",
        "\u{1f600}/\u{1f4a9}",
        "e\u{301}",
        "\u{e9}",
        "tab\there",
        "~",
        "@",
        "+",
        "con",
        "key@",
        "key+",
        "key~",
        ".staging",
        "objects",
        "*",
        ":",
        "|",
    ]
    .map(str::to_owned)
    .into();
    keys.push("k".repeat(1024));
    keys.push("K".repeat(1024));
    keys.push("é".repeat(512));
    keys.push("/".repeat(1024));
    keys.push(format!("{}/{}", "d".repeat(300), "f".repeat(300)));
    keys.push("p".repeat(80));
    keys.push(format!("{}!", "p".repeat(80)));
    keys.push(format!("{}/q", "p".repeat(80)));
    keys
}
