//! The folders of runs at destinations, listed or not.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::TryStreamExt;
use teeline_core::{BackupError, BackupId, ObjectKey, ObjectMeta, Sink, Timestamp, layout};

use crate::catalog::{Asked, ask_all};
use crate::clocks;
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::removal::Remains;
use crate::set_aside;

/// A run's folder, as a listing of its destination shows it. One without a manifest is of a run that never published, or
/// whose manifest was lost: which of the two, its files tell.
#[derive(Debug, Clone)]
pub(crate) struct RunFolder {
    pub(crate) id: BackupId,
    /// Where it is below the root.
    pub(crate) path: String,
    pub(crate) has_claim: bool,
    pub(crate) has_manifest: bool,
    /// How often the run was taken up.
    pub(crate) attempts: u32,
    /// When the newest of its files was written, by the store's clock; absent where the store has none.
    pub(crate) newest_at: Option<Timestamp>,
}

/// What a listing of a whole destination shows of its runs.
#[derive(Debug, Default)]
pub(crate) struct RunFolders {
    /// The folders of all runs, by their paths.
    pub(crate) folders: Vec<RunFolder>,
    /// The records of each run.
    pub(crate) records: HashMap<BackupId, Vec<ObjectKey>>,
    /// The folders that have a claim or a manifest. One that only has the name of a run may be a restore.
    written: HashMap<BackupId, Vec<String>>,
    /// What stood damaged somewhere, and was moved away.
    damaged: Vec<ObjectKey>,
    /// What is in the ledger of verification.
    pub(crate) verifications: Vec<ObjectMeta>,
    /// What is there of the turns of schedules.
    pub(crate) turns: Vec<ObjectKey>,
    /// What is left of looks at the store's clock that broke off.
    pub(crate) probes: Vec<ObjectMeta>,
    /// Marks of runs that were taken up, in folders in which there is no run any more: whoever took it up died while it was swept.
    pub(crate) numbers: Vec<ObjectMeta>,
    /// The roots of other destinations below this one, each with a slash: what is there belongs to them.
    roots: Vec<String>,
}

impl RunFolders {
    /// What there is of a backup or a run, beside the catalogue.
    pub(crate) fn remains(&self, id: &BackupId) -> Remains {
        let checks = self.verifications.iter().map(|object| &object.key);
        let is_of_it =
            |key: &&ObjectKey| layout::verification_of(key).is_some_and(|check| check.id == *id);
        let mut records = self.records.get(id).cloned().unwrap_or_default();
        records.extend(checks.filter(is_of_it).cloned());
        let damaged = self.damaged.iter();
        records.extend(damaged.filter(|key| set_aside::was_of(key, id)).cloned());
        Remains {
            folders: self.written.get(id).cloned().unwrap_or_default(),
            entries: Vec::new(),
            records,
        }
    }

    /// The backups whose entry or manifest stood here damaged, and was moved away.
    fn lost(&self) -> HashSet<BackupId> {
        let stood_at = self.damaged.iter().filter_map(layout::damaged_at);
        let listed = stood_at.filter_map(|key| match key.as_str().rsplit_once('/') {
            Some((path, layout::MANIFEST)) => path.rsplit('/').next()?.parse().ok(),
            _ => layout::catalog_entry_id(&key),
        });
        listed.collect()
    }

    /// Whether what is at `path` belongs to another destination.
    pub(crate) fn is_of_another(&self, path: &str) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }
}

/// Lists a destination.
pub(crate) async fn run_folders(sink: &dyn Sink) -> Result<RunFolders, BackupError> {
    let mut folders: BTreeMap<String, RunFolder> = BTreeMap::new();
    let mut found = RunFolders::default();
    let mut numbers = Vec::new();
    let mut objects = sink.list(None);
    while let Some(object) = objects.try_next().await? {
        let Some((path, file)) = object.key.as_str().rsplit_once('/') else {
            continue;
        };
        if layout::is_damaged(&object.key) {
            found.damaged.push(object.key.clone());
            continue;
        }
        if file == layout::MARKER {
            found.roots.push(format!("{path}/"));
        }
        if path == layout::RUNS {
            if let Some(id) = layout::run_record_id(&object.key) {
                found
                    .records
                    .entry(id)
                    .or_default()
                    .push(object.key.clone());
            } else if clocks::is_probe(&object.key) {
                found.probes.push(object.clone());
            }
        }
        if layout::is_probe_object(&object.key) {
            found.probes.push(object.clone());
        }
        if path == layout::VERIFICATIONS {
            found.verifications.push(object.clone());
        }
        if layout::turn_of(&object.key).is_some() {
            found.turns.push(object.key.clone());
        }
        // Whatever the template, the folder of a run is called as the run.
        let Ok(id) = path.rsplit('/').next().unwrap_or(path).parse() else {
            continue;
        };
        let folder = folders
            .entry(path.to_owned())
            .or_insert_with(|| RunFolder::new(id, path));
        folder.has_claim |= file == layout::RUN_CLAIM;
        folder.has_manifest |= file == layout::MANIFEST;
        folder.newest_at = folder.newest_at.max(object.modified_at);
        if let Some(number) = layout::resumption_number(file) {
            folder.attempts = folder.attempts.max(number);
            numbers.push(object);
        }
    }
    folders.retain(|path, _| !found.is_of_another(path));
    numbers.retain(|object| {
        let folder = object.key.as_str().rsplit_once('/');
        let folder = folder.and_then(|(path, _)| folders.get(path));
        folder.is_some_and(|folder| !folder.has_claim && !folder.has_manifest)
    });
    found.numbers = numbers;
    found.folders = folders.into_values().collect();
    let written = |folder: &&RunFolder| folder.has_claim || folder.has_manifest;
    for RunFolder { id, path, .. } in found.folders.iter().filter(written) {
        found
            .written
            .entry(id.clone())
            .or_default()
            .push(path.clone());
    }
    Ok(found)
}

impl RunFolder {
    fn new(id: BackupId, path: &str) -> Self {
        RunFolder {
            id,
            path: path.to_owned(),
            has_claim: false,
            has_manifest: false,
            attempts: 0,
            newest_at: None,
        }
    }
}

/// A destination, opened, with its catalogue and the folders of its runs.
pub(crate) struct Searched {
    pub(crate) asked: Asked,
    pub(crate) folders: Vec<RunFolder>,
    /// The backups of which something that lists them stood here damaged, and was moved away.
    pub(crate) lost: HashSet<BackupId>,
}

impl Searched {
    /// Whether there is anything of a run here.
    pub(crate) fn knows(&self, id: &BackupId) -> bool {
        self.asked.knows(id) || self.folders.iter().any(|folder| folder.id == *id)
    }
}

/// Searches every destination for runs, all at the same time.
pub(crate) async fn search_all(
    engine: &Engine,
    destinations: &[DestinationSpec],
) -> Vec<Result<Searched, (String, BackupError)>> {
    let asked = ask_all(engine, destinations).await;
    let searched = asked.into_iter().map(|asked| async move {
        let asked = asked?;
        match run_folders(asked.opened.sink.as_ref()).await {
            Ok(found) => Ok(Searched {
                asked,
                lost: found.lost(),
                folders: found.folders,
            }),
            Err(error) => Err((asked.opened.name, error)),
        }
    });
    futures::future::join_all(searched).await
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use teeline_sinks::MemorySink;

    use super::*;

    #[tokio::test]
    async fn the_folders_of_a_destination_are_those_of_its_own_runs() {
        const ID: &str = "full-2026-11-23T02-00-00-k3j9x0q2mz";
        let sink = MemorySink::new("x");
        let with_manifest = format!("2026/{ID}/manifest.json");
        for key in [
            "teeline.json",
            &format!("catalog/000000000000000-{ID}"),
            &format!("runs/{ID}-1"),
            &format!("{ID}/run.json"),
            &with_manifest,
            "other/teeline.json",
            &format!("other/{ID}/run.json"),
            &format!("damaged/{ID}/run.json.damaged/0123456789abcdef"),
            &format!("damaged/catalog/000000000000000-{ID}/run.json"),
            "notes/run.json",
        ] {
            let key = ObjectKey::new(key).unwrap();
            sink.put(&key, Bytes::new()).await.unwrap();
        }
        let found: Vec<_> = run_folders(&sink)
            .await
            .unwrap()
            .folders
            .into_iter()
            .map(|folder| (folder.path, folder.has_claim, folder.has_manifest))
            .collect();
        assert_eq!(
            found,
            [
                (format!("2026/{ID}"), false, true),
                (ID.to_owned(), true, false)
            ]
        );
    }
}
