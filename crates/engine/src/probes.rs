//! What probes of a destination found, as later runs look it up.

use futures::TryStreamExt;
use teeline_core::document::Document;
use teeline_core::{BackupError, ObjectKey, ObjectMeta, ProbeRecord, Timestamp, layout};

use crate::catalog::read_document;
use crate::ledger::AHEAD_MAX;
use crate::open::Opened;

/// The newest; none where nobody has probed the destination. One that is dated in the future, or isn't one, is passed over.
///
/// # Errors
/// Where that can't be told.
pub(crate) async fn latest(
    opened: &Opened,
    now: Timestamp,
) -> Result<Option<ProbeRecord>, BackupError> {
    let folder = ObjectKey::new(layout::PROBES)?;
    let objects: Vec<ObjectMeta> = opened.sink.list(Some(&folder)).try_collect().await?;
    let dated = objects.into_iter().filter_map(|object| {
        let at = layout::probe_record_at(&object.key)?;
        let may_be_one = object.bytes <= ProbeRecord::BYTES_MAX && now.until(at) <= AHEAD_MAX;
        may_be_one.then_some((at, object.key))
    });
    match dated.max() {
        Some((_, key)) => read_document(opened.sink.as_ref(), &key).await.map(Some),
        None => Ok(None),
    }
}
