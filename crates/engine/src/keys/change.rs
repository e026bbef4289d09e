//! Who can open backups that are there: shown, added to, taken from, or replaced. Neither data nor a manifest is touched.

use std::sync::Arc;

use teeline_actors::is_there;
use teeline_core::seal::{DataKey, Recipient, SealEntry, SealedKey};
use teeline_core::{BackupError, BackupId, CatalogEntry, Class, Timestamp};

use super::Keys;
use super::objects::{KEYS_MAX, key_of, keys_of, put_key};
use super::unlock::{Unlocked, authenticate};
use crate::catalog::{Asked, ask_all, resolve_all};
use crate::check::read_manifest;
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::open::Opened;
use crate::report::{DestinationError, KeyObject, KeysAt, KeysOfBackup, KeysReport};
use crate::request::{Cancel, Which};
use crate::verify::WhichBackups;

/// What is to become of who can open backups.
#[derive(Debug, Clone)]
pub enum KeyChange {
    /// Nothing; they are only shown.
    List,
    /// These can as well.
    Add(Vec<Recipient>),
    /// The one of the key object with this name can't any more. Who has the data key already keeps it.
    Remove(String),
    /// These can, and nobody else any more.
    Rotate(Vec<Recipient>),
}

/// Who can open backups, and what is to become of that.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeysRequest {
    /// Where the copies are.
    pub destinations: Vec<DestinationSpec>,
    /// Which backups; the latest.
    pub which: WhichBackups,
    /// What opens them now; only needed for who is added.
    pub keys: Keys,
    /// What is to be done; nothing.
    pub change: KeyChange,
    /// Ends it early. What was done until then stays.
    pub cancel: Cancel,
}

impl KeysRequest {
    /// Of the latest backup.
    pub fn new(destinations: Vec<DestinationSpec>) -> Self {
        KeysRequest {
            destinations,
            which: WhichBackups::One(Which::Latest),
            keys: Keys::default(),
            change: KeyChange::List,
            cancel: Cancel::new(),
        }
    }
}

impl Engine {
    /// Says who can open backups, and changes it. Removing needs the right to delete objects; who has read a key object, or
    /// the data key, before can go on to open the backup.
    pub async fn keys(&self, request: KeysRequest) -> KeysReport {
        let engine = self.clone();
        let changing = async move {
            let mut report = KeysReport::default();
            let work = change_all(&engine, &request, &mut report);
            if let Err(error) = request.cancel.guard(work).await {
                report.errors.push(DestinationError::of_none(&error));
            }
            Ok(report)
        };
        let result = self.0.host.spawn(changing).await;
        result
            .and_then(|changed| changed)
            .unwrap_or_else(|error| KeysReport {
                errors: vec![DestinationError::of_none(&error)],
                ..KeysReport::default()
            })
            .concluded()
    }

    /// As [`Engine::keys`], for hosts without an executor.
    pub fn keys_blocking(&self, request: KeysRequest) -> KeysReport {
        futures::executor::block_on(self.keys(request))
    }
}

async fn change_all(
    engine: &Engine,
    request: &KeysRequest,
    report: &mut KeysReport,
) -> Result<(), BackupError> {
    let asked = ask_all(engine, &request.destinations).await;
    for (destination, error) in asked.iter().filter_map(|asked| asked.as_ref().err()) {
        report.errors.push(DestinationError {
            destination: destination.clone(),
            error: error.into(),
        });
    }
    let ids = resolve_all(&request.which, &asked).await?;
    let asked: Vec<Asked> = asked.into_iter().flatten().collect();
    for id in ids {
        let of_backup = OfBackup {
            engine,
            request,
            asked: &asked,
            id: &id,
        };
        report.backups.push(of_backup.change().await);
    }
    Ok(())
}

struct OfBackup<'a> {
    engine: &'a Engine,
    request: &'a KeysRequest,
    asked: &'a [Asked],
    id: &'a BackupId,
}

impl OfBackup<'_> {
    async fn change(&self) -> KeysOfBackup {
        let made = match &self.request.change {
            KeyChange::List | KeyChange::Remove(_) => Ok(Vec::new()),
            KeyChange::Add(recipients) | KeyChange::Rotate(recipients) => {
                self.seal_for(recipients).await
            }
        };
        let mut destinations = Vec::new();
        for place in self.asked {
            let Some(entry) = place.entry(self.id) else {
                destinations.extend(self.unlisted_at(place).await);
                continue;
            };
            let mut at = KeysAt::new(&place.opened.name, entry.sealed);
            let changed = match &made {
                Ok(made) => self.change_at(&place.opened, entry, made, &mut at).await,
                Err(error) => Err(BackupError::new(
                    error.class(),
                    error.operation(),
                    error.subject(),
                    error.message(),
                )),
            };
            at.error = changed.err().map(|error| (&error).into());
            destinations.push(at);
        }
        KeysOfBackup {
            id: self.id.clone(),
            destinations,
        }
    }

    /// A destination that doesn't list the backup, and has key objects of it all the same, or may have: a repair or a sync would list it
    /// again with those.
    async fn unlisted_at(&self, place: &Asked) -> Option<KeysAt> {
        let asked = self.asked.iter();
        let mut entries = asked.filter_map(|at| at.entry_or_lost(self.id));
        let sealed = entries.clone().any(|entry| entry.sealed);
        let name = &place.opened.name;
        let failed = |error: &BackupError| KeysAt {
            error: Some(error.into()),
            ..KeysAt::new(name, sealed)
        };
        let repair = format!(
            "`teeline repair {}`, and then change the keys again",
            self.id
        );
        if let Some((.., error)) = place.catalog.damaged_of(self.id).next() {
            let message = format!("it is damaged here: {}", error.message());
            return Some(failed(
                &BackupError::corrupt(error.subject(), message).suggest(repair),
            ));
        }
        let changes = !matches!(self.request.change, KeyChange::List);
        if !sealed || !changes || place.has_withdrawn(self.id) {
            return None;
        }
        let path = &entries.next()?.path;
        match keys_of(place.opened.sink.as_ref(), self.id, path).await {
            Ok(keys) if keys.is_empty() => None,
            Ok(_) => {
                let message =
                    "it isn't listed here, and has key objects here, which stay as they are";
                let error = BackupError::new(Class::Conflict, "change", name, message);
                Some(failed(&error.suggest(repair)))
            }
            Err(error) => Some(failed(&error)),
        }
    }

    /// Key objects for new recipients, the same for every destination; none where the backup isn't sealed.
    async fn seal_for(&self, recipients: &[Recipient]) -> Result<Vec<SealedKey>, BackupError> {
        let Some((entry, Unlocked { data_key, .. })) = self.unlock().await? else {
            return Ok(Vec::new());
        };
        let (id, now) = (self.id.clone(), (self.engine.0.clock)());
        seal_keys(self.engine, (id, data_key, entry), recipients.to_vec(), now).await
    }

    /// Opens the backup at the first destination where that can be done. None where it isn't sealed.
    async fn unlock(&self) -> Result<Option<(SealEntry, Unlocked)>, BackupError> {
        let mut failure = None;
        for place in self.asked {
            let Some(entry) = place.entry(self.id) else {
                continue;
            };
            let opened = async {
                let sealed = read_manifest(&place.opened, entry).await?;
                let keys = &self.request.keys;
                let unlocked = authenticate(&place.opened, &entry.path, &sealed, keys).await?;
                Ok(sealed.manifest.plan.seal.zip(unlocked))
            };
            match opened.await {
                Ok(Some(unlocked)) => return Ok(Some(unlocked)),
                // One copy that isn't sealed says nothing of the others: anybody may have put it there.
                Ok(None) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    async fn change_at(
        &self,
        opened: &Opened,
        entry: &CatalogEntry,
        made: &[SealedKey],
        at: &mut KeysAt,
    ) -> Result<(), BackupError> {
        let path = &entry.path;
        let sealed = read_manifest(opened, entry).await?.manifest.plan.seal;
        at.sealed = sealed.is_some();
        let Some(seal) = sealed else {
            return Ok(());
        };
        let before = match &self.request.change {
            KeyChange::Add(_) | KeyChange::Rotate(_) => {
                let before = keys_of(opened.sink.as_ref(), self.id, path).await?;
                check_made(made, &seal, opened, before.len())?;
                before
            }
            KeyChange::List | KeyChange::Remove(_) => Vec::new(),
        };
        for key in made {
            put_key(opened, path, key).await?;
            at.added.push(key.name.clone());
        }
        let there = keys_of(opened.sink.as_ref(), self.id, path).await?;
        let names = || there.iter().map(|(key, _)| key.file_name().to_owned());
        let goes: Vec<String> = match &self.request.change {
            KeyChange::List | KeyChange::Add(_) => Vec::new(),
            // What came since is of somebody who does the same: the one that came last stays.
            KeyChange::Rotate(_) => before
                .iter()
                .map(|(key, _)| key.file_name().to_owned())
                .filter(|name| !made.iter().any(|key| key.name == *name))
                .collect(),
            KeyChange::Remove(name) => {
                let opens = |read: &SealedKey| read.key == seal.key;
                let readable = there
                    .iter()
                    .filter(|(_, read)| read.as_ref().is_ok_and(opens));
                let mut others = readable.filter(|(key, _)| key.file_name() != name);
                match (names().any(|there| there == *name), others.next()) {
                    (false, _) => return Err(no_such_key(name)),
                    (true, None) => return Err(the_last(name)),
                    (true, Some(_)) => vec![name.clone()],
                }
            }
        };
        for name in &goes {
            opened.sink.delete(&key_of(path, name)?).await?;
            at.removed.push(name.clone());
        }
        if !goes.is_empty() {
            let removed = there.iter().filter_map(|(_, read)| read.as_ref().ok());
            let removed: Vec<&SealedKey> = removed.filter(|key| goes.contains(&key.name)).collect();
            let put_back = self.keep_one(opened, path, &seal, (made, &removed)).await?;
            if !put_back.is_empty() {
                at.removed.retain(|name| !put_back.contains(name));
                return Err(changed_at_once());
            }
        }
        for (key, read) in there {
            if !goes.iter().any(|name| name == key.file_name()) {
                at.keys.push(KeyObject::new(key.file_name(), read));
            }
        }
        Ok(())
    }

    /// Puts back what this call knows of where nothing is left that opens the backup: somebody else has deleted at the same time what
    /// it counted on. Each looks after its own deletions, so the last one sees that. Gives the names.
    async fn keep_one(
        &self,
        opened: &Opened,
        path: &str,
        seal: &SealEntry,
        (made, removed): (&[SealedKey], &[&SealedKey]),
    ) -> Result<Vec<String>, BackupError> {
        let opens = |key: &SealedKey| key.key == seal.key;
        // A list may be late, and a read damaged on its way.
        for key in made {
            if is_there(opened.sink.as_ref(), &key_of(path, &key.name)?).await? {
                return Ok(Vec::new());
            }
        }
        for _ in 0..2 {
            for (_, read) in keys_of(opened.sink.as_ref(), self.id, path).await? {
                match read {
                    Ok(key) if opens(&key) => return Ok(Vec::new()),
                    Err(error) if error.class().is_retriable() => return Err(error),
                    _ => {}
                }
            }
        }
        let mut put_back = Vec::new();
        let known = made.iter().chain(removed.iter().copied());
        for key in known.filter(|key| opens(key)) {
            put_key(opened, path, key).await?;
            put_back.push(key.name.clone());
        }
        Ok(put_back)
    }
}

/// Refuses to put key objects at a copy that they don't open, or more of them than are tried: with them in the place of the right
/// ones nobody could open it any more.
fn check_made(
    made: &[SealedKey],
    seal: &SealEntry,
    opened: &Opened,
    before: usize,
) -> Result<(), BackupError> {
    if made.is_empty() {
        let message = "nobody is named who is to be able to open it";
        return Err(BackupError::usage("key", message));
    }
    if made.iter().any(|key| key.key != seal.key) {
        let message = "the copy is sealed with another key than the one that was opened";
        return Err(BackupError::corrupt(&opened.sink, message)
            .suggest("`teeline verify` with the key says which copy is authentic"));
    }
    if before + made.len() > KEYS_MAX {
        let message = format!(
            "with {before} key objects there, {} more are too many: {KEYS_MAX} are tried",
            made.len()
        );
        return Err(BackupError::new(Class::Permanent, "add", "keys", message)
            .suggest("`teeline key remove` takes away those that aren't needed"));
    }
    Ok(())
}

fn changed_at_once() -> BackupError {
    let message = "somebody else changed them at the same time; so that somebody can open the backup, what was removed was put back";
    BackupError::new(Class::Conflict, "change", "the keys", message)
        .suggest("`teeline key list` shows which there are now")
}

fn no_such_key(name: &str) -> BackupError {
    let message = format!("there is no key object {name:?} here");
    BackupError::new(Class::NotFound, "remove", "the key", message)
        .suggest("`teeline key list` shows their names")
}

fn the_last(name: &str) -> BackupError {
    let message = format!("{name} is the only one here: nobody could open the backup any more");
    BackupError::new(Class::Permanent, "remove", "the key", message)
        .suggest("add another one first; or delete the backup")
}

/// Seals a data key for recipients.
pub(crate) async fn seal_keys(
    engine: &Engine,
    (id, data_key, entry): (BackupId, DataKey, SealEntry),
    recipients: Vec<Recipient>,
    now: Timestamp,
) -> Result<Vec<SealedKey>, BackupError> {
    let random = Arc::clone(&engine.0.random);
    let seal = move || {
        let of = |recipient: &Recipient| {
            SealedKey::seal((&id, &data_key, entry.key), recipient, now, &*random)
        };
        recipients.iter().map(of).collect()
    };
    engine.0.blocking().run("the keys", seal).await?
}
