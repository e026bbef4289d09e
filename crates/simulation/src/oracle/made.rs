//! What backups are of, and whether that is what comes out of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use teeline::{
    BackupId, DestinationSpec, Engine, Keys, Observer, ProgressEvent, RestoreRequest,
    RestoreStatus, RestoreTarget, Which,
};

use crate::data::{Emitted, Lines, Restored};

/// Every backup that a run has begun to make, and what it may be of: one that was taken up was begun more than once, and
/// maybe of other lines. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made(Arc<Mutex<BTreeMap<BackupId, Vec<Arc<Lines>>>>>);

impl Made {
    /// A pass makes the backup `id` of these lines.
    pub(crate) fn begins(&self, id: BackupId, lines: &Arc<Lines>) {
        let mut made = self.made();
        let known = made.entry(id).or_default();
        if !known.contains(lines) {
            known.push(Arc::clone(lines));
        }
    }

    pub(crate) fn ids(&self) -> Vec<BackupId> {
        self.made().keys().cloned().collect()
    }

    /// What a backup may be of; nothing, where nobody made it.
    pub(crate) fn lines(&self, id: &BackupId) -> Vec<Arc<Lines>> {
        self.made().get(id).cloned().unwrap_or_default()
    }

    /// Notes the backups that are begun of these lines.
    pub(crate) fn observer(&self, lines: &Arc<Lines>) -> Observer {
        let (made, lines) = (self.clone(), Arc::clone(lines));
        Arc::new(move |event| {
            if let ProgressEvent::PassStarted { id, .. } = event {
                made.begins(id, &lines);
            }
        })
    }

    fn made(&self) -> MutexGuard<'_, BTreeMap<BackupId, Vec<Arc<Lines>>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Restores a backup from these destinations, which gives exactly what it is of or says that it doesn't, and why.
///
/// # Errors
/// What is emitted, or said, and isn't so.
pub(crate) async fn restore(
    engine: &Engine,
    from: &[DestinationSpec],
    id: &BackupId,
    made: &Made,
    keys: &Keys,
) -> Result<Result<(), String>, String> {
    let restored = Restored::default();
    let target = RestoreTarget::Custom(Box::new(restored.clone()));
    let mut request = RestoreRequest::new(Which::Id(id.clone()), from.to_vec(), target);
    request.keys = keys.clone();
    let report = engine.restore(request).await;
    emitted_the_truth(made, &restored, report.status)?;
    match report.status == RestoreStatus::Completed && report.avoided.is_empty() {
        true => Ok(Ok(())),
        false => Ok(Err(format!("its restore came to {report:?}"))),
    }
}

/// Nothing is emitted but what was backed up; and all of it, where the report says so.
pub(crate) fn emitted_the_truth(
    made: &Made,
    restored: &Restored,
    status: RestoreStatus,
) -> Result<(), String> {
    let emitted = restored.emitted();
    let is_completed = status == RestoreStatus::Completed;
    let Some(id) = &emitted.backup else {
        return match is_completed {
            true => Err("P2: a restore of nothing is complete".to_owned()),
            false => Ok(()),
        };
    };
    let all = made.lines(id);
    if all.is_empty() {
        return Err(format!("P7: {id} was restored, which nobody made"));
    }
    if is_completed && !(emitted.is_finished && all.iter().any(|lines| is_all(id, &emitted, lines)))
    {
        return Err(format!("P2: the restore of {id} is said to be complete"));
    }
    match all.iter().any(|lines| is_some(id, &emitted, lines)) {
        true => Ok(()),
        false => Err(format!("P7: {id} emitted something else than it is of")),
    }
}

/// Whether that is all of these lines.
fn is_all(id: &BackupId, emitted: &Emitted, lines: &Lines) -> bool {
    match comes_in_order(id) {
        true => emitted.lines == *lines,
        false => counted(&emitted.lines) == counted(lines),
    }
}

/// Whether that is nothing but some of these lines: the first ones, where they come in order.
fn is_some(id: &BackupId, emitted: &Emitted, lines: &Lines) -> bool {
    if comes_in_order(id) {
        let mut emitted = emitted.lines.iter();
        return emitted.all(|(resource, emitted)| {
            let expected = lines.get(resource).map_or(&[][..], Vec::as_slice);
            expected.starts_with(emitted)
        });
    }
    let there = counted(lines);
    let emitted = counted(&emitted.lines);
    let mut emitted = emitted.iter();
    emitted.all(|(line, times)| there.get(line).is_some_and(|there| there >= times))
}

/// Lines of a link come backup by backup.
fn comes_in_order(id: &BackupId) -> bool {
    id.backup_type().as_str() != "incremental"
}

/// How often each resource has each line.
fn counted(lines: &Lines) -> BTreeMap<(&str, &[u8]), usize> {
    let mut counted = BTreeMap::new();
    for (resource, text) in lines {
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            *counted.entry((resource.as_str(), line)).or_default() += 1;
        }
    }
    counted
}
