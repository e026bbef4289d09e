//! An S3 server of our own over a folder.

use std::fmt;
use std::path::Path;

use teeline_embedded_s3::{Credentials, EmbeddedS3};

use crate::Wrong;

const BUCKET: &str = "backups";
const PREFIX: &str = "copies";
const ACCESS_KEY: &str = "key";
const SECRET_KEY: &str = "secret";

/// A server with a bucket, until it is dropped.
pub struct Served(EmbeddedS3);

impl Served {
    /// Starts one over `root`, with what is there already.
    ///
    /// # Errors
    /// Where it can't be started.
    pub fn start(root: &Path) -> Result<Self, Wrong> {
        let credentials = Credentials {
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
        };
        let begun = EmbeddedS3::start(root, credentials);
        let begun = begun.and_then(|server| server.create_bucket(BUCKET).map(|()| server));
        let begun = begun.map_err(|error| format!("the server can't be started: {error}"));
        begun.map(Served)
    }

    /// A place in its bucket, as destinations are typed.
    pub fn place(&self) -> String {
        let address = self.0.address();
        format!("http://{ACCESS_KEY}:{SECRET_KEY}@{address}/{BUCKET}/{PREFIX}")
    }

    /// Names of the objects at that place.
    pub(crate) fn names(&self) -> Result<Vec<String>, Wrong> {
        let prefix = format!("{PREFIX}/");
        let keys = self.0.keys(BUCKET, &prefix);
        let keys = keys.map_err(|error| format!("the server's folder: {error}"))?;
        let names = keys.iter().filter_map(|key| key.strip_prefix(&prefix));
        Ok(names.map(str::to_owned).collect())
    }

    /// Uploads in parts that nobody has ended.
    pub(crate) fn unfinished_uploads(&self) -> Result<usize, Wrong> {
        let unfinished = self.0.unfinished_uploads(BUCKET);
        unfinished.map_err(|error| format!("the server's folder: {error}"))
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Served").field(&self.0.address()).finish()
    }
}
