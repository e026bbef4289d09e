//! A shop's database on a server of its own, as s3db.js would have left it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use teeline_embedded_s3::{Clock, Credentials, EmbeddedS3};

use super::Scratch;

const KEY: &str = "shop";
const SECRET: &str = "shop-secret";

/// A folder to run the command in, beside a server with the database in the bucket `shop`.
pub(crate) struct Shop {
    pub(crate) scratch: Scratch,
    server: EmbeddedS3,
}

impl Shop {
    pub(crate) fn open() -> Self {
        Self::open_at(Arc::new(SystemTime::now))
    }

    /// A shop that nothing was written to for an hour, by the server's clock.
    pub(crate) fn open_an_hour_later() -> Self {
        Self::open_at(Arc::new(|| SystemTime::now() + Duration::from_secs(3_600)))
    }

    fn open_at(clock: Clock) -> Self {
        let scratch = Scratch::new();
        let configuration = format!(
            "[embedded_s3]\nroot = \"s3\"\naccess_key = \"{KEY}\"\nsecret_key = \"{SECRET}\"\nbuckets = [\"shop\"]\n\
             [embedded_s3.sample]\nbucket = \"shop\"\nrecords = 120\n"
        );
        scratch.write("sample.toml", configuration);
        // Whatever uses the server makes the sample.
        scratch.teeline(0, &["list", "--config", "sample.toml"]);
        let credentials = Credentials {
            access_key: KEY.into(),
            secret_key: SECRET.into(),
        };
        let server = EmbeddedS3::start_at(scratch.path("s3"), credentials, clock).unwrap();
        Shop { scratch, server }
    }

    /// The connection string of the database, or of another one in that bucket.
    pub(crate) fn database(&self, bucket: &str) -> String {
        let address = self.server.address();
        format!("http://{KEY}:{SECRET}@{address}/{bucket}?forcePathStyle=true")
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.server.address()
    }

    pub(crate) fn bucket(&self, name: &str) {
        self.server.create_bucket(name).unwrap();
    }

    pub(crate) fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// How many requests this bucket has had since the first call.
    pub(crate) fn requests_to(&self, bucket: &str) -> usize {
        self.server.record();
        let at = format!("/{bucket}");
        let is_to = |path: &str| path == at || path.starts_with(&format!("{at}/"));
        let recorded = self.server.recorded().into_iter();
        recorded.filter(|request| is_to(&request.path)).count()
    }

    pub(crate) fn requests(&self) -> u64 {
        self.server.requests()
    }
}
