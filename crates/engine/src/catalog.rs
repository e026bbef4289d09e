//! What destinations hold: their catalogues' entries, each with its manifest behind it.

mod folding;
mod linked;
mod listed;
mod marking;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use teeline_core::{
    BackupError, BackupId, CatalogEntry, Class, ObjectKey, ObjectMeta, Sink, Timestamp, document,
    layout,
};

use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::open::{Opened, open_all};
use crate::report::DestinationWarning;
use crate::request::Which;
use crate::run_records::published_without_manifest;
use crate::verify::WhichBackups;
use crate::withdrawal::{self, Withdrawn};

pub(crate) use folding::{Foldable, unfold};
pub(crate) use listed::{Listed, ToldBy, among};
use marking::Unmarked;
pub(crate) use marking::{remove_entry, remove_markers, unmark};

/// Small documents that are read at once from one destination.
pub(crate) const READS_AT_ONCE: usize = 8;

/// Which entries of a catalogue are read, as far as their keys decide that: a key has the backup's id and when it began.
pub(crate) struct Wanted<'a> {
    pub(crate) takes: &'a (dyn Fn(&BackupId, Timestamp) -> bool + Sync),
    /// Which of the entries that were read count.
    pub(crate) matches: &'a (dyn Fn(&CatalogEntry) -> bool + Sync),
    /// So many of the published backups, the newest.
    pub(crate) limit: usize,
    /// How it is found out that they are published.
    pub(crate) told_by: ToldBy,
}

impl Wanted<'_> {
    pub(crate) const ALL: Wanted<'static> = Wanted {
        takes: &|_, _| true,
        matches: &|_| true,
        limit: usize::MAX,
        told_by: ToldBy::Manifest,
    };
}

/// An entry that leads to no backup as it should: the backup that its key names, the key, and what is wrong.
pub(crate) type DamagedEntry = (BackupId, ObjectKey, BackupError);

/// What a destination's catalogue says, and what in it couldn't be read.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// Published backups, the newest first.
    pub(crate) entries: Vec<CatalogEntry>,
    /// Entries without a manifest: publishing didn't get further, or the manifest is lost.
    pub(crate) without_manifest: Vec<CatalogEntry>,
    /// Of these, the ones whose manifest is lost.
    pub(crate) lost: Vec<DamagedEntry>,
    /// Entries that can't be used.
    pub(crate) unreadable: Vec<DamagedEntry>,
    /// Backups that are withdrawn. Nothing above is about them.
    pub(crate) withdrawn: BTreeMap<BackupId, Withdrawn>,
    /// What is listed, where that is told by markers, also of what wasn't wanted.
    listed: Vec<Arc<Listed>>,
    /// Published backups that aren't marked so, of those whose manifests were asked for.
    unmarked: Vec<Unmarked>,
    /// What may be folded, of those whose manifests were asked for.
    foldable: Vec<Foldable>,
    /// Markers of what isn't published, and what an entry isn't folded into.
    misleading: Vec<ObjectKey>,
}

impl Catalog {
    /// Reads what is wanted of a destination's catalogue. An entry without a manifest is of a backup that was never published,
    /// unless the record of its run says otherwise.
    pub(crate) async fn read(opened: &Opened, wanted: &Wanted<'_>) -> Result<Self, BackupError> {
        let sink = opened.sink.as_ref();
        let folder = ObjectKey::new(layout::CATALOG)?;
        let objects: Vec<ObjectMeta> = sink.list(Some(&folder)).try_collect().await?;
        let mut withdrawn = withdrawal::among(&objects);
        let (listed, stray_markers) = among(objects, &mut withdrawn);
        let at_once = READS_AT_ONCE.min(wanted.limit.max(1));
        let listed: Vec<Arc<Listed>> = listed.into_iter().map(Arc::new).collect();
        let mut are_wanted = listed.clone();
        are_wanted.retain(|listed| (wanted.takes)(&listed.id, listed.began));
        let mut asked = stream::iter(are_wanted)
            .map(|listed| async move { (listed.ask(sink, wanted.told_by).await, listed) })
            .buffered(at_once);
        let mut catalog = Catalog {
            misleading: stray_markers,
            ..Catalog::default()
        };
        let mut known = HashSet::new();
        while catalog.entries.len() < wanted.limit
            && let Some((found, listed)) = asked.next().await
        {
            let (id, key) = (listed.id.clone(), listed.key.clone());
            match found {
                Ok(found) if !(wanted.matches)(&found.entry) => {}
                Ok(found) if !found.is_published => {
                    catalog.misleading.extend(found.misleading);
                    catalog.without_manifest.push(found.entry);
                }
                Ok(found) if known.insert(id.clone()) => {
                    catalog.misleading.extend(found.misleading);
                    let unmarked = found.unmarked.map(|document| Unmarked {
                        id,
                        entry: key,
                        document,
                    });
                    catalog.unmarked.extend(unmarked);
                    catalog.foldable.extend(found.foldable);
                    catalog.entries.push(found.entry);
                }
                Ok(_) => {
                    let error = BackupError::corrupt(located(sink, &key), "a second entry of it");
                    catalog.unreadable.push((id, key, error));
                }
                Err(error) if error.class().is_retriable() => return Err(error),
                Err(error) => catalog.unreadable.push((id, key, error)),
            }
        }
        catalog.withdrawn = withdrawn;
        if wanted.told_by == ToldBy::Marker {
            catalog.listed = listed;
        }
        catalog.lost = published_without_manifest(opened, &catalog.without_manifest).await?;
        catalog.leave_to_who_withdrew(opened).await?;
        Ok(catalog)
    }

    /// Of what was withdrawn since the catalogue was listed, anything may be missing: that is no damage.
    async fn leave_to_who_withdrew(&mut self, opened: &Opened) -> Result<(), BackupError> {
        let is_missing = |error: &BackupError| error.class() == Class::NotFound;
        let gone = self
            .unreadable
            .iter()
            .filter(|(.., error)| is_missing(error));
        let mut suspects: Vec<(BackupId, ObjectKey)> =
            gone.map(|(id, key, _)| (id.clone(), key.clone())).collect();
        let is_lost = |entry: &&CatalogEntry| self.lost.iter().any(|(id, ..)| *id == entry.id);
        for entry in self.without_manifest.iter().filter(is_lost) {
            let key = layout::catalog_entry(&entry.id, entry.started_at)?;
            suspects.push((entry.id.clone(), key));
        }
        for (id, entry) in suspects {
            if let Some(withdrawn) = withdrawal::by_now(opened, &id, &entry).await? {
                self.unreadable.retain(|(of, ..)| *of != id);
                self.lost.retain(|(of, ..)| *of != id);
                self.without_manifest.retain(|of| of.id != id);
                self.withdrawn.insert(id, withdrawn);
            }
        }
        Ok(())
    }

    /// The entries that lead to no backup, though they should.
    pub(crate) fn damaged(&self) -> impl Iterator<Item = &DamagedEntry> {
        self.unreadable.iter().chain(&self.lost)
    }

    /// The entry of a backup whose manifest is lost.
    pub(crate) fn lost_entry(&self, id: &BackupId) -> Option<&CatalogEntry> {
        let is_lost = self.lost.iter().any(|(lost, ..)| lost == id);
        let mut entries = self.without_manifest.iter();
        entries.find(|entry| is_lost && entry.id == *id)
    }

    /// What withdraws a backup here.
    pub(crate) fn withdrawn(&self, id: &BackupId) -> Option<&Withdrawn> {
        self.withdrawn.get(id)
    }

    /// Those of one backup.
    pub(crate) fn damaged_of(&self, id: &BackupId) -> impl Iterator<Item = &DamagedEntry> {
        self.damaged().filter(move |(damaged, ..)| damaged == id)
    }
}

/// Reads a whole object that is kept to the bound of all that are read whole.
pub(crate) async fn read_whole(
    sink: &dyn Sink,
    key: &ObjectKey,
) -> Result<bytes::Bytes, BackupError> {
    read_sized(sink, &sink.head(key).await?, document::BYTES_MAX).await
}

/// As [`read_whole`], where the size is known, and what it may be.
async fn read_sized(
    sink: &dyn Sink,
    object: &ObjectMeta,
    bytes_max: u64,
) -> Result<bytes::Bytes, BackupError> {
    if object.bytes > bytes_max {
        let subject = located(sink, &object.key);
        return Err(document::too_large(&subject, object.bytes));
    }
    sink.read(&object.key, 0..object.bytes).await
}

/// The bytes of a sealed document, if it isn't larger than its kind may be.
pub(crate) async fn read_bytes_of<D: document::Document>(
    sink: &dyn Sink,
    key: &ObjectKey,
) -> Result<bytes::Bytes, BackupError> {
    read_sized(sink, &sink.head(key).await?, D::BYTES_MAX).await
}

/// Reads a sealed document, if it isn't larger than its kind may be.
pub(crate) async fn read_document<D: document::Document>(
    sink: &dyn Sink,
    key: &ObjectKey,
) -> Result<D, BackupError> {
    let bytes = read_bytes_of::<D>(sink, key).await?;
    document::open(&located(sink, key), &bytes)
}

/// A key with the destination that it is at.
pub(crate) fn located(sink: &dyn Sink, key: &ObjectKey) -> String {
    format!("{sink}: {key}")
}

/// A destination, opened, with its catalogue; or why not.
pub(crate) struct Asked {
    pub(crate) opened: Opened,
    pub(crate) catalog: Catalog,
}

impl Asked {
    /// The entry of a backup here.
    pub(crate) fn entry(&self, id: &BackupId) -> Option<&CatalogEntry> {
        self.catalog.entries.iter().find(|entry| entry.id == *id)
    }

    /// Whether the catalogue has anything of a backup.
    pub(crate) fn knows(&self, id: &BackupId) -> bool {
        let catalog = &self.catalog;
        let mut entries = catalog.entries.iter().chain(&catalog.without_manifest);
        entries.any(|entry| entry.id == *id)
            || catalog.damaged_of(id).next().is_some()
            || self.has_withdrawn(id)
    }

    /// The entry of a backup here, also where its manifest is lost.
    pub(crate) fn entry_or_lost(&self, id: &BackupId) -> Option<&CatalogEntry> {
        self.entry(id).or_else(|| self.catalog.lost_entry(id))
    }

    /// That nothing is listed here, nor should be: whoever has mistyped the place would take it for well.
    pub(crate) fn nothing_listed(&self) -> Option<DestinationWarning> {
        let catalog = &self.catalog;
        let is_empty = catalog.entries.is_empty() && catalog.damaged().next().is_none();
        is_empty.then(|| DestinationWarning {
            destination: self.opened.name.clone(),
            message: format!(
                "no backup is listed at {}: that is well only where there are none yet",
                self.opened.location
            ),
        })
    }

    /// Whether a backup is withdrawn here.
    pub(crate) fn has_withdrawn(&self, id: &BackupId) -> bool {
        self.catalog.withdrawn(id).is_some()
    }
}

/// Asks every destination for its catalogue, all at the same time.
pub(crate) async fn ask_all(
    engine: &Engine,
    destinations: &[DestinationSpec],
) -> Vec<Result<Asked, (String, BackupError)>> {
    ask_for(engine, destinations, &Wanted::ALL).await
}

/// As [`ask_all`], for what is wanted of the catalogues.
pub(crate) async fn ask_for(
    engine: &Engine,
    destinations: &[DestinationSpec],
    wanted: &Wanted<'_>,
) -> Vec<Result<Asked, (String, BackupError)>> {
    let opened = open_all(engine, destinations, READS_AT_ONCE * destinations.len()).await;
    ask_opened(opened, wanted).await
}

/// The same of destinations that are open already.
pub(crate) async fn ask_opened(
    opened: Vec<Result<Opened, (String, BackupError)>>,
    wanted: &Wanted<'_>,
) -> Vec<Result<Asked, (String, BackupError)>> {
    let asked = opened.into_iter().map(|opened| async move {
        let opened = opened?;
        let read = async {
            let catalog = Catalog::read(&opened, wanted).await?;
            if catalog.entries.is_empty() {
                opened.look_for_folder().await?;
            }
            Ok(catalog)
        };
        match read.await {
            Ok(catalog) => Ok(Asked { opened, catalog }),
            Err(error) => Err((opened.name, error)),
        }
    });
    futures::future::join_all(asked).await
}

/// The backups that are meant, the newest first.
///
/// # Errors
/// Where there is none: the place may be mistyped, or its disk not there.
pub(crate) async fn resolve_all(
    which: &WhichBackups,
    asked: &[Result<Asked, (String, BackupError)>],
) -> Result<Vec<BackupId>, BackupError> {
    if let WhichBackups::One(which) = which {
        return Ok(vec![resolve(which, asked).await?]);
    }
    resolve(&Which::Latest, asked).await?;
    let mut ids = all_ids(asked);
    if let WhichBackups::Last(count) = which {
        ids.truncate(*count);
    }
    Ok(ids)
}

/// The backup that is meant, of those that can be seen. One whose entry is damaged is seen as well: passing it over would
/// take an older backup for the latest. Where another entry of it can be read, that one says when it began.
pub(crate) async fn resolve(
    which: &Which,
    asked: &[Result<Asked, (String, BackupError)>],
) -> Result<BackupId, BackupError> {
    let mut known = Vec::new();
    for asked in asked.iter().flatten() {
        for entry in &asked.catalog.entries {
            known.push((
                layout::catalog_entry(&entry.id, entry.started_at)?,
                &entry.id,
            ));
        }
    }
    let readable: HashSet<&BackupId> = known.iter().map(|(_, id)| *id).collect();
    for (id, key, _) in asked
        .iter()
        .flatten()
        .flat_map(|asked| asked.catalog.damaged())
    {
        if !readable.contains(id) {
            known.push((key.clone(), id));
        }
    }
    let found = match which {
        // The newest sorts first.
        Which::Latest => known.iter().min().map(|(_, id)| *id),
        Which::At(time) => {
            let began = |key: &ObjectKey| layout::catalog_entry_of(key).map(|(began, _)| began);
            let had_begun = known
                .iter()
                .filter(|(key, _)| began(key).is_some_and(|began| began <= *time));
            had_begun.min().map(|(_, id)| *id)
        }
        Which::Id(id) => known.iter().map(|(_, id)| *id).find(|known| *known == id),
    };
    if let Some(id) = found {
        return Ok(id.clone());
    }
    if let Which::Id(id) = which {
        for asked in asked.iter().flatten() {
            if let Some(withdrawn) = asked.catalog.withdrawn(id) {
                return Err(withdrawn.error(&asked.opened).await);
            }
        }
    }
    match silent(asked) {
        Some(error) => Err(error),
        None => Err(not_found(which, false)),
    }
}

/// Why the first of those that couldn't be asked couldn't.
pub(crate) fn silent(asked: &[Result<Asked, (String, BackupError)>]) -> Option<BackupError> {
    let (name, error) = asked.iter().find_map(|asked| asked.as_ref().err())?;
    let silent = BackupError::new(error.class(), "ask", format!("destination {name}"), error);
    Some(match error.suggestion() {
        Some(suggestion) => silent.suggest(suggestion),
        None => silent,
    })
}

/// Every backup that is listed or should be, the newest first.
pub(crate) fn all_ids(asked: &[Result<Asked, (String, BackupError)>]) -> Vec<BackupId> {
    let mut known: Vec<_> = asked
        .iter()
        .flatten()
        .flat_map(|asked| &asked.catalog.entries)
        .map(|entry| (entry.started_at, entry.id.clone()))
        .collect();
    known.sort_by(|a, b| b.cmp(a));
    let mut ids: Vec<BackupId> = known.into_iter().map(|(_, id)| id).collect();
    let damaged = asked
        .iter()
        .flatten()
        .flat_map(|asked| asked.catalog.damaged());
    ids.extend(damaged.map(|(id, _, _)| id.clone()));
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    ids
}

/// No destination has the backup, of those that could be asked where not all could be.
pub(crate) fn not_found(which: &Which, some_unreachable: bool) -> BackupError {
    let asked = match some_unreachable {
        true => "no destination that can be asked has",
        false => "no destination has",
    };
    let message = match which {
        Which::Latest => format!("{asked} any"),
        Which::At(time) => format!("{asked} any that had begun at {time}"),
        Which::Id(id) => format!("{asked} {id}"),
    };
    BackupError::new(Class::NotFound, "find", "the backup", message)
        .suggest("`teeline list` shows what there is; `teeline repair` lists again what has lost its entry in the catalogue")
}
