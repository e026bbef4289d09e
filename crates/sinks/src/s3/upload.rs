//! An object that is sent in equal parts, or in one piece where it is small.
//!
//! Bytes are gathered to a part; while one part fills, the one before is on its way, so two are in memory. What has been
//! taken over and what has arrived is kept here and not in the calls, so a call that failed or was dropped is repeated by
//! going on: a part that failed is sent again, and no byte is taken twice.
//!
//! That nothing is replaced is up to the server for an object in one piece, if it can. For one in parts it is checked before its end,
//! and asked of the server too (`If-None-Match`), which not every one heeds: there, two that end at the same moment may
//! both succeed, and the later one stays. A store that the host brought may repeat requests by itself, which nobody sees: there it is
//! checked before either, and what is there afterwards is told by its bytes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{MultipartId, PutPayload};
use teeline_core::{BackupError, Buffers, Class, Digest, ObjectKey, UnfinishedUpload, Upload};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::held_parts::HeldParts;
use super::store::{Content, Store};
use super::storing::Storing;

/// S3 takes no more parts than these.
const PARTS_MAX: u64 = 10_000;

/// How long a part that is on its way when its upload is given up may take to arrive, before it is broken off.
const SEEN_OFF_IN: Duration = Duration::from_secs(3);

pub(crate) struct PartsUpload {
    target: Arc<Target>,
    part_bytes: usize,
    /// The next part, in the first `filled` bytes.
    buffer: Vec<u8>,
    filled: usize,
    buffers: Buffers,
    /// How much of the bytes of the call that is being repeated is in the buffer already.
    taken: usize,
    sending: Option<Sending>,
    sent: Vec<Sent>,
    /// All of it, where it goes in one piece.
    whole: Option<Bytes>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The end was asked for, and whether it came is unknown.
    Ending,
    Committed,
    Aborted,
}

/// Where the parts go; shared with the tasks that send them.
struct Target {
    store: Arc<Store>,
    key: ObjectKey,
    path: Path,
    /// Known once there is a part to send.
    id: OnceCell<MultipartId>,
    /// An upload that was begun before, and what the server holds of it.
    begun: OnceCell<(MultipartId, HeldParts)>,
}

/// A part on its way.
struct Sending {
    index: usize,
    bytes: Bytes,
    /// None after a failure, until it is sent again.
    task: Option<SendTask>,
}

type SendTask = JoinHandle<Result<Sent, BackupError>>;

/// A part that has arrived.
struct Sent {
    id: PartId,
    length: u64,
    digest: Digest,
}

impl PartsUpload {
    pub(crate) fn new(
        store: Arc<Store>,
        key: &ObjectKey,
        expected_bytes: u64,
    ) -> Result<Self, BackupError> {
        let path = store.path("begin", key)?;
        let part_bytes = part_bytes(store.part_bytes, expected_bytes);
        let target = Target {
            store,
            key: key.clone(),
            path,
            id: OnceCell::new(),
            begun: OnceCell::new(),
        };
        Ok(PartsUpload {
            target: Arc::new(target),
            part_bytes,
            buffer: Vec::new(),
            filled: 0,
            buffers: Buffers::default(),
            taken: 0,
            sending: None,
            sent: Vec::new(),
            whole: None,
            state: State::Open,
        })
    }

    /// What the buffer holds.
    fn take_buffer(&mut self) -> Bytes {
        let (buffer, filled) = (
            std::mem::take(&mut self.buffer),
            std::mem::take(&mut self.filled),
        );
        self.buffers.lend(buffer, filled)
    }

    /// Lets the buffer follow the part before it.
    async fn send_buffer(&mut self) -> Result<(), BackupError> {
        self.settle().await?;
        if self.sent.len() as u64 >= PARTS_MAX {
            let message = format!("it is larger than was said: {PARTS_MAX} parts don't hold it");
            return Err(self.target.error(Class::Permanent, message));
        }
        let mut sending = Sending {
            index: self.sent.len(),
            bytes: self.take_buffer(),
            task: None,
        };
        sending.start(&self.target);
        self.sending = Some(sending);
        Ok(())
    }

    /// Waits until the part on its way has arrived; sends it again if it failed before.
    async fn settle(&mut self) -> Result<(), BackupError> {
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        let task = sending.start(&self.target);
        let result = task.await;
        sending.task = None;
        let sent = match result {
            Ok(sent) => sent?,
            Err(lost) if lost.is_panic() => {
                let message = "the code that sends a part panicked";
                return Err(self.target.error(Class::Permanent, message));
            }
            Err(_) => {
                let message = "the runtime is shutting down";
                return Err(self.target.error(Class::Cancelled, message));
            }
        };
        self.sent.push(sent);
        self.sending = None;
        Ok(())
    }

    fn take_sending(&mut self) -> Option<SendTask> {
        self.sending.take().and_then(|sending| sending.task)
    }

    /// Whether the end may have come already when it is asked for now: it was before, or the store asks for it several times by itself.
    fn begin_ending(&mut self) -> bool {
        let before = std::mem::replace(&mut self.state, State::Ending);
        before == State::Ending || self.target.store.repeats_itself()
    }

    async fn commit_whole(&mut self) -> Result<(), BackupError> {
        // Kept for a repetition, also where this call is dropped.
        let bytes = match &self.whole {
            Some(bytes) => bytes.clone(),
            None => {
                let bytes = self.take_buffer();
                self.whole.insert(bytes).clone()
            }
        };
        let target = Arc::clone(&self.target);
        let Target { store, key, .. } = &*target;
        if self.state == State::Open && store.repeats_itself() {
            store.check_absent(key).await?;
        }
        let may_have_ended = self.begin_ending();
        match store.create(key, bytes.clone(), Content::Data).await {
            Err(error) if error.class() == Class::Conflict => {
                if may_have_ended && store.holds(key, &bytes).await? {
                    Ok(())
                } else {
                    Err(store.conflict(key))
                }
            }
            result => result,
        }
    }

    async fn commit_parts(&mut self) -> Result<(), BackupError> {
        if self.filled > 0 {
            self.send_buffer().await?;
        }
        self.settle().await?;
        let target = Arc::clone(&self.target);
        if self.state == State::Open {
            target.store.check_absent(&target.key).await?;
        }
        let may_have_ended = self.begin_ending();
        let parts: Vec<_> = self.sent.iter().map(|part| part.id.clone()).collect();
        let Err(error) = target.complete(parts).await else {
            return Ok(());
        };
        if !matches!(error.class(), Class::Conflict | Class::NotFound) {
            return Err(error);
        }
        // Once the end has come the upload is gone, and the key is taken: by ourselves.
        if may_have_ended && self.has_arrived().await? {
            return Ok(());
        }
        Err(match error.class() {
            Class::Conflict => target.store.conflict(&target.key),
            _ => target.dropped(),
        })
    }

    /// Whether what stands under the key is what was sent.
    async fn has_arrived(&self) -> Result<bool, BackupError> {
        let Target { store, key, .. } = &*self.target;
        let length: u64 = self.sent.iter().map(|part| part.length).sum();
        if !store.has_size(key, length).await? {
            return Ok(false);
        }
        let mut start = 0;
        for part in &self.sent {
            let end = start + part.length;
            let stored = match store.read(key, start..end).await {
                // Its size is all that is to be had of what is archived.
                Err(error) if error.class() == Class::Archived => return Ok(true),
                read => read?,
            };
            if Digest::of(&stored) != part.digest {
                return Ok(false);
            }
            start = end;
        }
        Ok(true)
    }
}

/// Equal parts of which 10,000 hold what is expected.
fn part_bytes(configured: usize, expected_bytes: u64) -> usize {
    let needed = usize::try_from(expected_bytes.div_ceil(PARTS_MAX)).unwrap_or(usize::MAX);
    configured.max(needed)
}

impl Sending {
    /// The task that sends it, started if there is none.
    fn start(&mut self, target: &Arc<Target>) -> &mut SendTask {
        let (index, bytes) = (self.index, &self.bytes);
        self.task.get_or_insert_with(|| {
            let send = Arc::clone(target).send(index, bytes.clone());
            tokio::spawn(send)
        })
    }
}

impl Target {
    async fn send(self: Arc<Self>, index: usize, bytes: Bytes) -> Result<Sent, BackupError> {
        let client = &self.store.client;
        let failed = |error| self.store.failure("write", &self.key, &error);
        let options = self.store.multipart_options();
        let begin = || async {
            match self.begun.get() {
                Some((id, _)) => Ok(id.clone()),
                None => client.create_multipart_opts(&self.path, options).await,
            }
        };
        let upload = self.id.get_or_try_init(begin).await.map_err(failed)?;
        let digest = Digest::of(&bytes);
        let length = bytes.len() as u64;
        if let Some((_, held)) = self.begun.get()
            && let Some(id) = held.id_of(index, &bytes)
        {
            return Ok(Sent { id, length, digest });
        }
        let payload = PutPayload::from(bytes);
        let put = client.put_part(&self.path, upload, index, payload).await;
        match put.map_err(failed) {
            Ok(id) => Ok(Sent { id, length, digest }),
            // Not the object: somebody ended the upload, or it lasted longer than the server keeps it.
            Err(error) if error.class() == Class::NotFound => Err(self.dropped()),
            Err(error) => Err(error),
        }
    }

    async fn complete(&self, parts: Vec<PartId>) -> Result<(), BackupError> {
        let Some(upload) = self.id.get() else {
            return Err(self.error(Class::Permanent, "no part of it was sent"));
        };
        let client = &self.store.client;
        let complete = || client.complete_multipart(&self.path, upload, parts.clone());
        // Several may be refused at once: each of them tries again, whichever was told first.
        let on_condition = self.store.ends_on_condition();
        let mut result = complete().await;
        if let Err(error) = &result
            && on_condition
            && self.store.gives_up_condition(error)
        {
            result = complete().await;
        }
        result
            .map(drop)
            .map_err(|error| self.store.failure("write", &self.key, &error))
    }

    /// Aborts the upload when nothing of it is on its way any more: what comes in at the server after an abort stays there.
    async fn end(self: Arc<Self>, sending: Option<SendTask>) -> Result<(), BackupError> {
        if let Some(mut task) = sending
            && timeout(SEEN_OFF_IN, &mut task).await.is_err()
        {
            // Without its name the upload can't be aborted, so the call that gives it is let come to its end.
            if self.id.get().is_some() {
                task.abort();
            }
            let _ = task.await;
        }
        self.abort().await
    }

    async fn abort(&self) -> Result<(), BackupError> {
        let Some(upload) = self.id.get() else {
            return Ok(());
        };
        let aborted = self.store.client.abort_multipart(&self.path, upload).await;
        match aborted.map_err(|error| self.store.failure("abort", &self.key, &error)) {
            Err(error) if error.class() != Class::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn dropped(&self) -> BackupError {
        self.error(Class::Permanent, "the server has dropped the upload")
    }

    fn error(&self, class: Class, message: impl std::fmt::Display) -> BackupError {
        BackupError::new(class, "write", self.store.subject(&self.key), message)
    }
}

#[async_trait]
impl Upload for PartsUpload {
    async fn go_on_with(&mut self, begun: &UnfinishedUpload) -> Result<(), BackupError> {
        let target = &self.target;
        // How the other was begun can't be asked: in which class, by which key, or locked until when.
        if begun.key != target.key || target.store.storing != Storing::default() {
            return Ok(());
        }
        let held = target.store.held_parts(&begun.key, &begun.name).await?;
        if !held.is_empty() {
            let begun = async || (begun.name.clone(), held);
            target.begun.get_or_init(begun).await;
        }
        Ok(())
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        if self.state != State::Open || self.taken > bytes.len() {
            let message = "the upload has ended, or was given other bytes than in the first try";
            return Err(self.target.error(Class::Permanent, message));
        }
        while self.taken < bytes.len() {
            // Full ones go only when more comes, so that an object of exactly one part goes in one piece.
            if self.filled == self.part_bytes {
                self.send_buffer().await?;
            }
            let rest = &bytes[self.taken..];
            let fits = rest.len().min(self.part_bytes - self.filled);
            if self.buffer.is_empty() {
                self.buffer = self.buffers.take(self.part_bytes);
            }
            let end = self.filled + fits;
            self.buffer[self.filled..end].copy_from_slice(&rest[..fits]);
            self.filled = end;
            self.taken += fits;
        }
        self.taken = 0;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        match self.state {
            State::Committed => return Ok(()),
            State::Aborted => {
                let message = "the upload has ended";
                return Err(self.target.error(Class::Permanent, message));
            }
            State::Open | State::Ending => {}
        }
        if self.sent.is_empty() && self.sending.is_none() {
            self.commit_whole().await?;
        } else {
            self.commit_parts().await?;
        }
        self.state = State::Committed;
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        if self.state == State::Committed {
            return Ok(());
        }
        self.state = State::Aborted;
        let sending = self.take_sending();
        // A task of its own, so that it comes to its end where this call is dropped.
        let ended = tokio::spawn(Arc::clone(&self.target).end(sending));
        ended.await.unwrap_or_else(|_| {
            let message = "the code that aborts it panicked, or the runtime is shutting down";
            Err(self.target.error(Class::Permanent, message))
        })
    }
}

impl Drop for PartsUpload {
    fn drop(&mut self) {
        if matches!(self.state, State::Committed | State::Aborted) {
            return;
        }
        let sending = self.take_sending();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let end = Arc::clone(&self.target).end(sending);
        runtime.spawn(async move {
            if let Err(error) = end.await {
                tracing::debug!(%error, "an upload that was given up is still held by the server");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_suffice() {
        const MIB: usize = 1024 * 1024;
        assert_eq!(part_bytes(5 * MIB, 0), 5 * MIB);
        assert_eq!(part_bytes(5 * MIB, 512 * MIB as u64), 5 * MIB);
        let tib = (1024 * 1024 * MIB) as u64;
        let grown = part_bytes(5 * MIB, tib) as u64;
        assert!(grown * PARTS_MAX >= tib && (grown - 1) * PARTS_MAX < tib);
    }
}
