//! A stream as target, for one resource: its lines as they were.

use std::fmt;
use std::io::Write;

use async_trait::async_trait;
use bytes::Bytes;
use teeline_core::{BackupError, Class, Frame, Restoring, Target};

pub(super) struct WriterTarget {
    writer: Option<Box<dyn Write + Send>>,
}

impl WriterTarget {
    pub(super) fn new(writer: Box<dyn Write + Send>) -> Self {
        WriterTarget {
            writer: Some(writer),
        }
    }

    /// Runs a blocking call of the writer where it holds nobody up: a pipe may be full for long.
    async fn blocking(
        &mut self,
        call: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send + 'static,
    ) -> Result<(), BackupError> {
        let failed =
            |message: String| BackupError::new(Class::Permanent, "write", "the output", message);
        let Some(mut writer) = self.writer.take() else {
            return Err(failed("it was given up".to_owned()));
        };
        let called = tokio::task::spawn_blocking(move || {
            let result = call(writer.as_mut());
            (writer, result)
        });
        let (writer, result) = called.await.map_err(|error| failed(error.to_string()))?;
        self.writer = Some(writer);
        result.map_err(|error| failed(error.to_string()).because(error))
    }
}

#[async_trait]
impl Target for WriterTarget {
    fn is_staged(&self) -> bool {
        false
    }

    fn takes_objects(&self) -> bool {
        false
    }

    async fn check(&mut self, restoring: &Restoring) -> Result<(), BackupError> {
        let chosen: Vec<&str> = restoring.chosen().map(|(name, _)| name).collect();
        match chosen.as_slice() {
            [_] => Ok(()),
            resources => Err(BackupError::usage(
                "target -",
                format!(
                    "a stream takes one resource, these are {}: {}",
                    resources.len(),
                    resources.join(", ")
                ),
            )
            .suggest("name one with --resources")),
        }
    }

    async fn begin(&mut self, _: &Restoring) -> Result<(), BackupError> {
        Ok(())
    }

    async fn lines(&mut self, _: &str, lines: Bytes) -> Result<(), BackupError> {
        self.blocking(move |writer| writer.write_all(&lines)).await
    }

    async fn frames(&mut self, _: Vec<Frame>) -> Result<(), BackupError> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), BackupError> {
        self.blocking(|writer| writer.flush()).await
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        self.writer = None;
        Ok(())
    }
}

impl fmt::Debug for WriterTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriterTarget")
    }
}

impl fmt::Display for WriterTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("-")
    }
}
