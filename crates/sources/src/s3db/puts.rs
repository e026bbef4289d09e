//! Writes under way: so many, and so many bytes, at the most.

use teeline_core::{BackupError, Class};
use tokio::task::JoinSet;

/// Bytes of objects that are being written at the same time, unless one is larger.
const BYTES_IN_FLIGHT_MAX: u64 = 16 << 20;
/// Objects that are being written, or wait for a call.
const PUTS_IN_FLIGHT_MAX: usize = 512;

/// Writes that give a `T` each, or nothing.
pub(super) struct Puts<T> {
    tasks: JoinSet<(u64, Result<Option<T>, BackupError>)>,
    bytes: u64,
}

impl<T: Send + 'static> Puts<T> {
    pub(super) fn new() -> Self {
        Puts {
            tasks: JoinSet::new(),
            bytes: 0,
        }
    }

    /// Begins a write, when there is room for it; gives what those that had to end before have given. Fails where one of
    /// them failed.
    pub(super) async fn push(
        &mut self,
        bytes: u64,
        put: impl Future<Output = Result<Option<T>, BackupError>> + Send + 'static,
    ) -> Result<Vec<T>, BackupError> {
        let mut ended = Vec::new();
        while self.tasks.len() >= PUTS_IN_FLIGHT_MAX
            || (self.bytes > 0 && self.bytes + bytes > BYTES_IN_FLIGHT_MAX)
        {
            ended.extend(self.join_one().await?.flatten());
        }
        self.bytes += bytes;
        self.tasks.spawn(async move { (bytes, put.await) });
        Ok(ended)
    }

    /// Waits for every write.
    pub(super) async fn drain(&mut self) -> Result<Vec<T>, BackupError> {
        let mut ended = Vec::new();
        while let Some(one) = self.join_one().await? {
            ended.extend(one);
        }
        Ok(ended)
    }

    async fn join_one(&mut self) -> Result<Option<Option<T>>, BackupError> {
        match self.tasks.join_next().await {
            None => Ok(None),
            Some(Ok((bytes, result))) => {
                self.bytes -= bytes;
                result.map(Some)
            }
            Some(Err(error)) => {
                let message = "writing an object failed unexpectedly";
                let failed = BackupError::new(Class::Permanent, "write", "the database", message);
                Err(failed.because(error))
            }
        }
    }

    /// Gives up what hasn't ended.
    pub(super) async fn abandon(&mut self) {
        self.tasks.shutdown().await;
    }
}
