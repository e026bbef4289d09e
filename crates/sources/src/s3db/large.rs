//! Objects that are read alone, since they are large.

use bytes::Bytes;
use serde_json::json;
use teeline_core::{BackupError, Class, Digest};

use super::body::Body;
use super::bucket::Head;
use super::fetch::{FetchContext, Identity, Line, Mapped, Place};
use super::listing::Listed;

/// A large object, as far as it is read: what a backup carries of it. Nothing of a record that isn't asked for.
pub(super) struct Opened {
    /// Of a record: its line.
    pub(super) line: Option<Line>,
    /// The object itself, unless the line says all of it.
    pub(super) object: Option<(Head, Content)>,
    pub(super) identity: Identity,
}

/// An object up to this size is held until all of it was read, so that it can be read anew where it is replaced meanwhile, or
/// came damaged.
const HELD_BYTES_MAX: u64 = 8 << 20;
/// How often it is read at the most.
const TRIES_MAX: u32 = 6;

/// Opens an object; `None` where it is gone. A record is read as a line if it is JSON that fits into one.
pub(super) async fn open(
    context: &FetchContext,
    listed: &Listed,
    place: &Place,
) -> Result<Option<Opened>, BackupError> {
    let mut tries = 1;
    loop {
        match open_once(context, listed, place).await {
            Err(error)
                if matches!(error.class(), Class::Conflict | Class::Corrupt)
                    && tries < TRIES_MAX =>
            {
                tries += 1;
            }
            opened => return opened,
        }
    }
}

async fn open_once(
    context: &FetchContext,
    listed: &Listed,
    place: &Place,
) -> Result<Option<Opened>, BackupError> {
    let Some((head, body)) = context.bucket.open_listed(listed).await? else {
        return Ok(None);
    };
    let is_line = head.size <= context.options.inline_bytes_max || context.is_json(&head);
    let record = match place {
        Place::Record { index, id } if is_line => {
            let body = body.whole().await?;
            let line = context.line(*index, id, head.clone(), body.clone())?;
            return Ok(Some(match line {
                Mapped::Line(line) => Opened::of(&head, Some(line)),
                Mapped::TooLarge => match context.object_line(*index, id, &head, body.clone())? {
                    Some(line) => Opened::object(head, Content::Held(body), Some(line)),
                    None => Opened::of(&head, None),
                },
                Mapped::Unwanted => Opened::of(&head, None),
            }));
        }
        Place::Record { index, id } => {
            match context.object_line(*index, id, &head, Bytes::new())? {
                Some(line) => Some(line),
                None => return Ok(Some(Opened::of(&head, None))),
            }
        }
        Place::Object => None,
    };
    let content = match head.size {
        0..=HELD_BYTES_MAX => Content::Held(body.whole().await?),
        _ => Content::Streamed(Box::new(body)),
    };
    Ok(Some(Opened::object(head, content, record)))
}

impl Opened {
    /// One without an object.
    fn of(head: &Head, line: Option<Line>) -> Self {
        Opened {
            identity: identity(head),
            line,
            object: None,
        }
    }

    fn object(head: Head, content: Content, line: Option<Line>) -> Self {
        Opened {
            identity: identity(&head),
            line,
            object: Some((head, content)),
        }
    }
}

/// Everything of an object but its body, which its tag tells from others.
fn identity(head: &Head) -> Identity {
    let identity = json!([head.etag, head.size, head.content_type, head.metadata]);
    Digest::of(identity.to_string().as_bytes())
}

/// The body of an object that is given in pieces.
pub(super) enum Content {
    Streamed(Box<Body>),
    Held(Bytes),
}

impl Content {
    /// The next bytes, as many as said unless it ends before.
    pub(super) async fn next_piece(&mut self, piece_bytes: usize) -> Result<Bytes, BackupError> {
        match self {
            Content::Held(bytes) => Ok(bytes.split_to(piece_bytes.min(bytes.len()))),
            Content::Streamed(body) => body.next_piece(piece_bytes).await,
        }
    }
}
