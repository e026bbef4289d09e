//! Whether this machine's clock can be trusted with a store's objects: what is old by a wrong clock isn't.

use bytes::Bytes;
use teeline_core::{BackupError, Class, ObjectKey, Span, layout};

use crate::engine::Engine;
use crate::open::Opened;

/// So far apart the two clocks may be where anything is removed for its age.
const APART_MAX: Span = Span::from_ms(3_600_000);

/// What the names of such objects begin with, among the records of runs.
const NAME: &str = "clock-";

/// Whether an object is one of these.
pub(crate) fn is_probe(key: &ObjectKey) -> bool {
    key.file_name().starts_with(NAME)
}

/// Compares this machine's clock with the store's, which is read off an object that is written and deleted. A store without
/// a clock agrees.
///
/// # Errors
/// [`Class::Permanent`] where they are too far apart.
pub(crate) async fn check(engine: &Engine, opened: &Opened) -> Result<(), BackupError> {
    let sink = opened.sink.as_ref();
    let mut random = [0; 8];
    (engine.0.random)(&mut random)?;
    let number = u64::from_le_bytes(random);
    let key = ObjectKey::new(format!("{}/{NAME}{number:016x}", layout::RUNS))?;
    sink.put(&key, Bytes::new()).await?;
    let looked = sink.head(&key).await;
    sink.delete(&key).await?;
    let Some(theirs) = looked?.modified_at else {
        return Ok(());
    };
    let ours = (engine.0.clock)();
    if ours.until(theirs).max(theirs.until(ours)) <= APART_MAX {
        return Ok(());
    }
    let message = format!(
        "this machine's clock says {ours} and the store's {theirs}, so nobody knows how old anything is; nothing was removed"
    );
    Err(
        BackupError::new(Class::Permanent, "clean up", sink, message)
            .suggest("set the clock that is wrong, and run it again"),
    )
}
