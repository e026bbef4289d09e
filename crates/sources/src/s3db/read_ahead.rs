//! Reading objects many at a time, in the order in which their keys come. What is held is bounded.

use std::sync::Arc;

use futures::future;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use teeline_core::{BackupError, Class, ResourceId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::changes::Unchanged;
use super::fetch::{FetchContext, Fetched};
use super::keys::{Keys, KeysReceiver};
use super::listing::Listed;

/// Objects that are read, or were and wait for their turn.
const OBJECTS_AHEAD: usize = 512;
/// Bytes of their bodies.
const BYTES_AHEAD: usize = 8 << 20;
/// What an object counts at least: its metadata, and what it takes to ask for it.
const OBJECT_BYTES_MIN: usize = 8 << 10;

/// The keys, one by one, and what was read of them.
pub(super) enum Step<T> {
    Begin(ResourceId),
    Object(T),
    /// Objects that are as the parent has them.
    Unchanged(Unchanged),
    End(ResourceId),
}

/// An object to read.
pub(super) struct Asked {
    pub(super) listed: Listed,
    /// The place in the catalogue of the resource that it may be a record of.
    pub(super) resource: Option<usize>,
    /// Whether the parent has it, where there is one.
    pub(super) is_known: bool,
}

/// What was read of an object.
pub(super) struct Answered {
    pub(super) listed: Listed,
    pub(super) fetched: Fetched,
    pub(super) is_known: bool,
    /// Its share of what is read ahead.
    pub(super) room: OwnedSemaphorePermit,
}

/// The listed keys, one by one.
pub(super) fn one_by_one(
    keys: KeysReceiver,
) -> impl Stream<Item = Result<Step<Asked>, BackupError>> + Send {
    let mut resource = None;
    stream::unfold(keys, |mut keys| async move {
        let keys_or_error = keys.recv().await?;
        Some((keys_or_error, keys))
    })
    .map_ok(move |keys| {
        let steps: Vec<_> = match keys {
            Keys::Begin(id, index) => {
                resource = Some(index);
                vec![Step::Begin(id)]
            }
            Keys::End(id) => {
                resource = None;
                vec![Step::End(id)]
            }
            Keys::Page(page) => {
                let asked = page.into_iter().map(|listed| Asked {
                    listed,
                    resource,
                    is_known: false,
                });
                asked.map(Step::Object).collect()
            }
        };
        stream::iter(steps.into_iter().map(Ok))
    })
    .try_flatten()
}

/// Reads the objects of the keys, many at a time, in their order.
pub(super) fn read_ahead(
    context: Arc<FetchContext>,
    keys: impl Stream<Item = Result<Step<Asked>, BackupError>> + Send + 'static,
) -> BoxStream<'static, Result<Step<Answered>, BackupError>> {
    let ahead = Arc::new(Semaphore::new(BYTES_AHEAD));
    keys
        // In the order of the keys: the next one in turn never waits for room that one behind it takes.
        .and_then(move |step| {
            let ahead = Arc::clone(&ahead);
            async move {
                Ok(match step {
                    Step::Begin(id) => Step::Begin(id),
                    Step::End(id) => Step::End(id),
                    Step::Unchanged(unchanged) => Step::Unchanged(unchanged),
                    Step::Object(asked) => {
                        let room = ahead.acquire_many_owned(room_for(&asked.listed)).await;
                        Step::Object((asked, room.expect("it is never closed")))
                    }
                })
            }
        })
        .map_ok(move |step| match step {
            Step::Begin(id) => future::Either::Left(future::ready(Ok(Step::Begin(id)))),
            Step::End(id) => future::Either::Left(future::ready(Ok(Step::End(id)))),
            Step::Unchanged(unchanged) => {
                future::Either::Left(future::ready(Ok(Step::Unchanged(unchanged))))
            }
            Step::Object((asked, room)) => {
                let Asked {
                    listed,
                    resource,
                    is_known,
                } = asked;
                let context = Arc::clone(&context);
                let asked = listed.clone();
                let fetch = async move { context.fetch(asked, resource).await };
                let task = AbortOnDropHandle::new(tokio::spawn(fetch));
                future::Either::Right(async move {
                    Ok(Step::Object(Answered {
                        fetched: task.await.map_err(lost)??,
                        listed,
                        is_known,
                        room,
                    }))
                })
            }
        })
        .try_buffered(OBJECTS_AHEAD)
        .boxed()
}

/// How much of [`BYTES_AHEAD`] an object takes.
fn room_for(listed: &Listed) -> u32 {
    let bytes = usize::try_from(listed.size).unwrap_or(usize::MAX);
    // A large one is read alone.
    let bytes = bytes.clamp(OBJECT_BYTES_MIN, BYTES_AHEAD / 4);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn lost(error: JoinError) -> BackupError {
    let message = "reading an object failed unexpectedly";
    BackupError::new(Class::Permanent, "read", "the database", message).because(error)
}
