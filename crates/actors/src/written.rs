//! Small files that are written and then looked at: whether they stand where they were put, and are what they should be.

use bytes::Bytes;
use teeline_core::{BackupError, Class, ObjectKey, Sink};

/// So often what was read back as something else than was written is looked at, until it can be told what it is.
const LOOKS_MAX: u32 = 4;

/// Writes a small file; with `read_back`, what the store then gives is compared with it, and its size otherwise.
///
/// # Errors
/// [`Class::Corrupt`] where what is there then isn't what was written.
pub async fn put_checked(
    sink: &dyn Sink,
    key: &ObjectKey,
    bytes: Bytes,
    read_back: bool,
) -> Result<(), BackupError> {
    put_once(sink, key, &bytes).await?;
    check_written(sink, key, &bytes, read_back).await
}

/// As [`put_checked`]; but something else than what was written is deleted, so that nobody takes it for that.
///
/// # Errors
/// As [`put_checked`].
pub async fn put_or_take_back(
    sink: &dyn Sink,
    key: &ObjectKey,
    bytes: Bytes,
    read_back: bool,
) -> Result<(), BackupError> {
    let written = put_checked(sink, key, bytes.clone(), read_back).await;
    or_take_back(sink, key, &bytes, written).await
}

/// Writes it, unless it stands there already.
pub(crate) async fn put_once(
    sink: &dyn Sink,
    key: &ObjectKey,
    bytes: &Bytes,
) -> Result<(), BackupError> {
    match sink.put(key, bytes.clone()).await {
        // A try whose answer was lost may have written it, whatever the store then says of the next one.
        Err(error) if error.class() == Class::Conflict && holds(sink, key, bytes).await? => Ok(()),
        written => written,
    }
}

/// That it stands there, as [`put_checked`] finds out.
pub(crate) async fn check_written(
    sink: &dyn Sink,
    key: &ObjectKey,
    bytes: &Bytes,
    read_back: bool,
) -> Result<(), BackupError> {
    let checked = match read_back {
        true => check(sink, key, bytes).await,
        false => attest(sink, key, bytes.len() as u64).await,
    };
    checked.map_err(no_conflict)
}

/// What came of writing `bytes`, or of checking them. What is something else than was written, also when it is looked at again, is
/// deleted, so that nobody lists what can't be restored.
pub(crate) async fn or_take_back(
    sink: &dyn Sink,
    key: &ObjectKey,
    bytes: &Bytes,
    result: Result<(), BackupError>,
) -> Result<(), BackupError> {
    let is_damaged = result
        .as_ref()
        .is_err_and(|error| error.class() == Class::Corrupt);
    // Where it can't be deleted, a verification says what it is, and a deletion removes it.
    if is_damaged && is_something_else(sink, key, bytes).await {
        sink.delete(key).await.ok();
    }
    result
}

/// Whether what stands under a key is something else than `bytes`: of another size, or other bytes, the same each time that it is
/// looked at. What differs from one time to the next, or isn't of the size that the store says, is damaged on its way.
async fn is_something_else(sink: &dyn Sink, key: &ObjectKey, bytes: &Bytes) -> bool {
    let length = bytes.len() as u64;
    let mut before: Option<Look> = None;
    for _ in 0..LOOKS_MAX {
        match Look::at(sink, key, length).await {
            Ok(Look::Bytes(found)) if found == *bytes => return false,
            Ok(Look::Bytes(found)) if found.len() as u64 != length => {}
            Ok(found) if before.as_ref() == Some(&found) => return true,
            Ok(found) => before = Some(found),
            Err(_) => {}
        }
    }
    false
}

/// What a look at an object has found.
#[derive(PartialEq, Eq)]
enum Look {
    /// It has another size than it should have.
    Size(u64),
    Bytes(Bytes),
}

impl Look {
    async fn at(sink: &dyn Sink, key: &ObjectKey, length: u64) -> Result<Self, BackupError> {
        sink.drop_cached(key).await?;
        match sink.head(key).await?.bytes {
            size if size == length => sink.read(key, 0..length).await.map(Look::Bytes),
            size => Ok(Look::Size(size)),
        }
    }
}

/// Compares what the store now gives with what it was sent.
async fn check(sink: &dyn Sink, key: &ObjectKey, bytes: &Bytes) -> Result<(), BackupError> {
    sink.drop_cached(key).await?;
    match sink.read(key, 0..bytes.len() as u64).await? == *bytes {
        true => Ok(()),
        false => Err(differs(sink, key)),
    }
}

/// What was written stands there, so whatever a store then says of reading it, it isn't that something else does.
pub(crate) fn no_conflict(error: BackupError) -> BackupError {
    if error.class() != Class::Conflict {
        return error;
    }
    let (operation, subject) = (error.operation().to_owned(), error.subject().to_owned());
    let message = error.message().to_owned();
    BackupError::new(Class::Permanent, operation, subject, message).because(error)
}

/// Whether exactly `bytes` stand under a key.
async fn holds(sink: &dyn Sink, key: &ObjectKey, bytes: &Bytes) -> Result<bool, BackupError> {
    let length = bytes.len() as u64;
    if !is_there(sink, key).await? || sink.head(key).await?.bytes != length {
        return Ok(false);
    }
    Ok(sink.read(key, 0..length).await? == *bytes)
}

/// Compares the size that the store says with what it was sent.
pub(crate) async fn attest(sink: &dyn Sink, key: &ObjectKey, sent: u64) -> Result<(), BackupError> {
    let found = sink.head(key).await?.bytes;
    if found == sent {
        return Ok(());
    }
    let subject = format!("{sink}: {key}");
    let message = format!("the store says {found} bytes, {sent} were sent");
    Err(BackupError::new(Class::Corrupt, "verify", subject, message))
}

/// What a destination gives isn't what was written there.
pub(crate) fn differs(sink: &dyn Sink, key: &ObjectKey) -> BackupError {
    BackupError::new(
        Class::Corrupt,
        "verify",
        format!("{sink}: {key}"),
        "what was read back is not what was written",
    )
    .suggest("the disk, the store or the way to it damages data; check it before trusting it again")
}

/// Whether there is an object of this key.
///
/// # Errors
/// Where that can't be told.
pub async fn is_there(sink: &dyn Sink, key: &ObjectKey) -> Result<bool, BackupError> {
    match sink.head(key).await {
        Ok(_) => Ok(true),
        Err(error) if error.class() == Class::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
