//! What destinations know of runs.

use futures::TryStreamExt;
use teeline_core::{BackupError, BackupId, ObjectKey, RunRecord, Sink, layout};

use crate::catalog::read_document;

/// The records of the runs that made a backup or tried to, each with its key; those that can't be read as well.
pub(crate) async fn run_records(
    sink: &dyn Sink,
    id: &BackupId,
) -> Result<Vec<(ObjectKey, Result<RunRecord, BackupError>)>, BackupError> {
    let folder = ObjectKey::new(layout::RUNS)?;
    let keys: Vec<ObjectKey> = sink
        .list(Some(&folder))
        .try_filter_map(|meta| async {
            Ok((layout::run_record_id(&meta.key).as_ref() == Some(id)).then_some(meta.key))
        })
        .try_collect()
        .await?;
    let mut records = Vec::with_capacity(keys.len());
    for key in keys {
        let record = read_document(sink, &key).await;
        records.push((key, record));
    }
    Ok(records)
}
