//! The S3 server that a configuration may bring along: it runs in this process, on loopback, over a folder.

#[cfg(not(feature = "embedded-s3"))]
pub(crate) use self::missing::Server;
#[cfg(feature = "embedded-s3")]
pub(crate) use self::running::Server;

#[cfg(feature = "embedded-s3")]
mod running {
    use teeline::config::{EmbeddedS3Config, SampleConfig};
    use teeline::{BackupError, Class, Connection};
    use teeline_embedded_s3::{Credentials, EmbeddedS3};

    use crate::output::{Output, grouped};
    use crate::sample;
    use crate::signals::Signals;

    /// A server that runs until it is dropped.
    pub(crate) struct Server(EmbeddedS3);

    impl Server {
        /// Starts it, with its buckets, and with its sample database where there is none yet.
        pub(crate) async fn start(
            config: &EmbeddedS3Config,
            output: &Output,
            signals: &Signals,
        ) -> Result<Self, BackupError> {
            let root = config.root.display().to_string();
            let failed = |operation: &str, error: std::io::Error| {
                let class = match error.kind() {
                    std::io::ErrorKind::InvalidInput => Class::Usage,
                    _ => Class::Permanent,
                };
                BackupError::new(
                    class,
                    operation,
                    format!("the embedded S3 server over {root}"),
                    &error,
                )
                .because(error)
            };
            let credentials = Credentials {
                access_key: config.access_key.clone(),
                secret_key: config.secret_key.expose().to_owned(),
            };
            let server = EmbeddedS3::start(&config.root, credentials)
                .map_err(|error| failed("start", error))?;
            for bucket in &config.buckets {
                server
                    .create_bucket(bucket)
                    .map_err(|error| failed("create a bucket of", error))?;
            }
            if let Some(sample) = &config.sample {
                seed(&server, sample, output, signals).await?;
            }
            Ok(Server(server))
        }

        /// Host and port.
        pub(crate) fn address(&self) -> String {
            self.0.address().to_string()
        }
    }

    async fn seed(
        server: &EmbeddedS3,
        sample: &SampleConfig,
        output: &Output,
        signals: &Signals,
    ) -> Result<(), BackupError> {
        let connection: Connection = server
            .url(&sample.bucket, &sample.prefix)
            .parse()
            .map_err(|error| BackupError::usage("embedded_s3.sample", error))?;
        if !sample::is_absent(&connection).await? {
            return Ok(());
        }
        let place = format!("bucket {}", sample.bucket);
        output.stderr.line(&format!(
            "writing a sample database of {} records to {place}",
            grouped(sample.records)
        ));
        // One that is half written has no catalogue, so the next command writes it anew.
        signals
            .guard(sample::write(connection, sample.records))
            .await?
    }
}

#[cfg(not(feature = "embedded-s3"))]
mod missing {
    use teeline::BackupError;
    use teeline::config::EmbeddedS3Config;

    use crate::output::Output;
    use crate::signals::Signals;

    /// Never made.
    pub(crate) enum Server {}

    impl Server {
        pub(crate) async fn start(
            _: &EmbeddedS3Config,
            _: &Output,
            _: &Signals,
        ) -> Result<Self, BackupError> {
            Err(BackupError::usage("embedded_s3", "this teeline was built without the embedded S3 server")
                .suggest("build it with the feature embedded-s3, or take the section out of the configuration"))
        }

        pub(crate) fn address(&self) -> String {
            match *self {}
        }
    }
}
