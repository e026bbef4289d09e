//! The server that tests talk to: `TEELINE_TEST_S3=http://KEY:SECRET@HOST:PORT/bucket` where that is set, and otherwise an embedded
//! one over a folder of its own.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use teeline_embedded_s3::EmbeddedS3;
use teeline_sinks::{AccessKeys, ObjectStoreSink, S3Options};

const VARIABLE: &str = "TEELINE_TEST_S3";

pub(crate) struct Server {
    pub(crate) endpoint: String,
    key: String,
    secret: String,
    bucket: String,
    /// What all prefixes begin with, on a server that lives longer than the test.
    prefix: String,
    embedded: Option<(tempfile::TempDir, EmbeddedS3)>,
}

impl Server {
    /// The one that is set, or an embedded one.
    pub(crate) async fn start() -> Self {
        match Self::set() {
            Some(server) => server.with_bucket().await,
            None => Self::embedded(),
        }
    }

    /// The one that is set.
    pub(crate) async fn real() -> Option<Self> {
        match Self::set() {
            Some(server) => Some(server.with_bucket().await),
            None => {
                println!("{VARIABLE} isn't set: nothing is tested against a real server");
                None
            }
        }
    }

    fn set() -> Option<Self> {
        let text = std::env::var(VARIABLE).ok()?;
        Some(parse(&text).expect("http://KEY:SECRET@HOST:PORT/bucket"))
    }

    /// An embedded one.
    pub(crate) fn embedded() -> Self {
        let root = tempfile::tempdir().unwrap();
        let credentials = teeline_embedded_s3::Credentials {
            access_key: "id".into(),
            secret_key: "canary-secret".into(),
        };
        let server = EmbeddedS3::start(root.path(), credentials).unwrap();
        server.create_bucket("bucket").unwrap();
        Server {
            endpoint: server.endpoint(),
            key: "id".into(),
            secret: "canary-secret".into(),
            bucket: "bucket".into(),
            prefix: "tests".into(),
            embedded: Some((root, server)),
        }
    }

    /// What the embedded one records of requests.
    pub(crate) fn recorder(&self) -> &EmbeddedS3 {
        let (_, server) = self.embedded.as_ref().expect("it is embedded");
        server
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        let (_, address) = self.endpoint.split_once("://").unwrap();
        address
    }

    /// A folder of the bucket, as it is reached over `endpoint`.
    pub(crate) async fn sink(&self, endpoint: &str, folder: &str) -> ObjectStoreSink {
        ObjectStoreSink::s3(self.options(endpoint, folder))
            .await
            .unwrap()
    }

    pub(crate) fn options(&self, endpoint: &str, folder: &str) -> S3Options {
        let mut options = S3Options::new(&self.bucket);
        options.prefix = format!("{}/{folder}", self.prefix);
        options.endpoint = Some(endpoint.to_owned());
        options.keys = Some(AccessKeys {
            id: self.key.clone(),
            secret: self.secret.clone(),
            session_token: None,
        });
        options
    }

    pub(crate) fn client(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(&self.endpoint)
            .credentials_provider(Credentials::new(
                &self.key,
                &self.secret,
                None,
                None,
                "test",
            ))
            .force_path_style(true)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    async fn with_bucket(self) -> Self {
        let client = self.client();
        let head = client.head_bucket().bucket(&self.bucket);
        if head.send().await.is_err() {
            let create = client.create_bucket().bucket(&self.bucket);
            create.send().await.expect("the bucket is made");
        }
        self
    }
}

/// None where it isn't `http://KEY:SECRET@HOST:PORT/bucket`.
fn parse(text: &str) -> Option<Server> {
    let (scheme, rest) = text.split_once("://")?;
    let (keys, rest) = rest.rsplit_once('@')?;
    let (key, secret) = keys.split_once(':')?;
    let (host, bucket) = rest.split_once('/')?;
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Some(Server {
        endpoint: format!("{scheme}://{host}"),
        key: key.to_owned(),
        secret: secret.to_owned(),
        bucket: bucket.trim_end_matches('/').to_owned(),
        prefix: format!("tests-{}", time.as_millis()),
        embedded: None,
    })
}
