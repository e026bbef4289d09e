//! A folder with a source and destinations, and what is known of the backups there.

mod going_on;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use teeline::{
    BackupId, DestinationSpec, Engine, KeySecret, Keys, Metadata, RestoreRequest, RestoreTarget,
    VerifyRequest, Which, WhichBackups, exit,
};
use teeline_core::{ObjectKey, layout};

use crate::files::{Files, Held, copy, files, write_private};
use crate::teeline_command::{Ran, TeelineCommand};
use crate::way::Way;
use crate::{Served, Wrong};

/// Where the source is.
pub(crate) const SOURCE: &str = "source";
/// What a server of its own keeps.
const SERVED: &str = "served";
/// What backups say of themselves where what the source held is noted.
const NOTED: &str = "source";
/// What opens sealed backups.
pub(crate) const KEYS: [&str; 2] = ["first.key", "second.key"];
/// Each byte of these.
const KEY_BYTES: [u8; 2] = [1, 2];

/// What there must be, and where.
#[derive(Debug, Clone)]
pub struct World {
    command: TeelineCommand,
    folder: PathBuf,
    /// Destinations, as they are typed: folders below `folder`, or URLs.
    pub(crate) destinations: Vec<String>,
    /// What backups hold. One that isn't known is of what the source holds now.
    known: BTreeMap<BackupId, Held>,
    /// Which of these was reported last.
    latest: Option<BackupId>,
    /// What the source held when it was noted, by numbers; backups that were made since say the last of them.
    noted: Vec<Held>,
    engine: Engine,
    /// The server that the last destination is at, where it has one of its own.
    served: Option<Arc<Served>>,
    /// Backups that must be listed, each at these destinations.
    pub(crate) needed: BTreeMap<BackupId, BTreeSet<usize>>,
}

impl World {
    /// One in `folder`, with nothing in it but keys.
    pub fn new(
        command: TeelineCommand,
        folder: &Path,
        destinations: Vec<String>,
    ) -> Result<Self, Wrong> {
        for (name, byte) in KEYS.iter().zip(KEY_BYTES) {
            write_private(&folder.join(name), &key(byte))?;
        }
        let engine = Engine::builder().workers(1).build();
        Ok(World {
            command,
            folder: folder.to_owned(),
            destinations,
            known: BTreeMap::new(),
            latest: None,
            noted: Vec::new(),
            engine: engine.map_err(|error| error.to_string())?,
            served: None,
            needed: BTreeMap::new(),
        })
    }

    /// The same world in another folder, which is copied there.
    pub(crate) fn copied_to(&self, folder: &Path) -> Result<Self, Wrong> {
        copy(&self.folder, folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(World {
            folder: folder.to_owned(),
            ..self.clone()
        })
    }

    /// Has an S3 server over a folder of this world as its last destination from now on, by the way that it gives; another one
    /// than before, if there was one.
    pub(crate) fn serve(&mut self) -> Result<Way, Wrong> {
        if self.served.take().is_some() {
            self.destinations.pop();
        }
        let served = Served::start(&self.folder.join(SERVED))?;
        let (way, place) = Way::to(&served.place())?;
        self.destinations.push(place);
        self.served = Some(Arc::new(served));
        Ok(way)
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The command.
    pub(crate) fn command(&self) -> &TeelineCommand {
        &self.command
    }

    /// The engine that looks at the destinations, as long as this world stands.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Writes what the source holds.
    pub(crate) fn write_source(&self, files: &[(&str, String)]) -> Result<(), Wrong> {
        let source = self.folder.join(SOURCE);
        let written = fs::create_dir_all(&source).and_then(|()| {
            let mut files = files.iter();
            files.try_for_each(|(name, text)| fs::write(source.join(name), text))
        });
        written.map_err(|error| format!("{}: {error}", source.display()))
    }

    fn source(&self) -> Result<Held, Wrong> {
        Ok(Held::by(&files(&self.folder.join(SOURCE))?))
    }

    /// Notes what the source holds, for backups that somebody lists later, and of which nobody knows when they were made.
    pub(crate) fn note_source(&mut self) -> Result<(), Wrong> {
        self.noted.push(self.source()?);
        Ok(())
    }

    /// What backups say of themselves, by which it is known what they hold.
    pub(crate) fn said(&self) -> Option<(&'static str, String)> {
        let last = self.noted.len().checked_sub(1)?;
        Some((NOTED, last.to_string()))
    }

    fn said_of(&self, metadata: &Metadata) -> Option<&Held> {
        let number = metadata.values().get(NOTED)?.as_str()?;
        self.noted.get(number.parse::<usize>().ok()?)
    }

    /// `--at` or `--to` for each destination.
    pub(crate) fn places(&self, option: &str) -> Vec<String> {
        let places = self.destinations.iter();
        places
            .flat_map(|place| [option.to_owned(), place.clone()])
            .collect()
    }

    /// Runs the command in the folder, to one of these codes.
    pub(crate) fn run(&self, arguments: &[String], codes: &[i32]) -> Result<Ran, Wrong> {
        self.command.run_to(&self.folder, arguments, codes)
    }

    /// Makes a backup that must be listed everywhere from now on.
    pub(crate) fn back_up(&mut self, options: &[&str]) -> Result<BackupId, Wrong> {
        let ran = self.run(&self.backup(options), &[0])?;
        self.expect(&ran)
    }

    /// The arguments of a backup to all destinations.
    pub(crate) fn backup(&self, options: &[&str]) -> Vec<String> {
        let mut arguments = words(&["backup"]);
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        arguments.extend(words(&["--from", SOURCE, "--json"]));
        if let Some((name, number)) = self.said() {
            arguments.extend(["--metadata".to_owned(), format!("{name}={number}")]);
        }
        arguments.extend(self.places("--to"));
        arguments
    }

    /// What a backup reported must be listed from now on, with what the source holds.
    pub(crate) fn expect(&mut self, ran: &Ran) -> Result<BackupId, Wrong> {
        let id = ran.report["id"].as_str().and_then(|id| id.parse().ok());
        let id: BackupId = id.ok_or_else(|| format!("no id is reported: {}", ran.report))?;
        self.expect_id(id.clone())?;
        Ok(id)
    }

    /// The same, where it reported that it has committed it.
    pub(crate) fn expect_where_committed(&mut self, ran: &Ran) -> Result<(), Wrong> {
        let Some(id) = ran.report["id"].as_str() else {
            return Ok(());
        };
        let id: BackupId = id.parse().map_err(|_| format!("{id} is no id"))?;
        let reported = ran.report["destinations"].as_array().into_iter().flatten();
        let committed = reported
            .enumerate()
            .filter(|(_, at)| at["status"] == "committed");
        let places: BTreeSet<usize> = committed.map(|(number, _)| number).collect();
        self.known.insert(id.clone(), self.source()?);
        if !places.is_empty() {
            self.needed.insert(id, places);
        }
        Ok(())
    }

    /// The same of the backup with this id.
    pub(crate) fn expect_id(&mut self, id: BackupId) -> Result<(), Wrong> {
        self.known.insert(id.clone(), self.source()?);
        self.latest = Some(id.clone());
        let everywhere = (0..self.destinations.len()).collect();
        self.needed.insert(id, everywhere);
        Ok(())
    }

    /// Whatever must be listed anywhere must be so at each destination from now on.
    pub(crate) fn expect_everywhere(&mut self) {
        for places in self.needed.values_mut() {
            places.extend(0..self.destinations.len());
        }
    }

    /// Nothing must be listed at the last destination from now on.
    pub(crate) fn expect_nothing_at_last(&mut self) {
        let last = self.last();
        for places in self.needed.values_mut() {
            places.remove(&last);
        }
    }

    /// The number of the last destination, which is the server, where there is one.
    pub(crate) fn last(&self) -> usize {
        self.destinations.len().saturating_sub(1)
    }

    /// From now on, only the newest `count` that each destination lists must be there.
    pub(crate) fn need_newest(&mut self, count: usize) -> Result<(), Wrong> {
        for (number, at) in self.specs()?.into_iter().enumerate() {
            let report = self.engine.list_blocking(&vec![at]);
            if report.exit_code() != exit::DONE {
                return Err(format!("{:?}", report.errors));
            }
            let newest: BTreeSet<BackupId> = report
                .backups
                .into_iter()
                .take(count)
                .map(|listed| listed.id)
                .collect();
            for (id, places) in &mut self.needed {
                if !newest.contains(id) {
                    places.remove(&number);
                }
            }
        }
        self.needed.retain(|_, places| !places.is_empty());
        Ok(())
    }

    /// Looks, as [`World::check`] does, and remembers what is listed that nobody has reported: it is of what the source holds
    /// now, and must be there from now on.
    pub(crate) fn learn(&mut self) -> Result<(), Wrong> {
        let source = self.source()?;
        for (number, listed) in self.check()?.into_iter().enumerate() {
            for id in listed {
                self.known
                    .entry(id.clone())
                    .or_insert_with(|| source.clone());
                self.needed.entry(id).or_default().insert(number);
            }
        }
        Ok(())
    }

    /// Looks at each destination alone: whatever it lists is whole, restores from it, and holds what it should; and whatever
    /// must be listed is. Gives what is listed.
    pub fn check(&self) -> Result<Vec<BTreeSet<BackupId>>, Wrong> {
        let source = self.source()?;
        let mut all = Vec::new();
        for (number, place) in self.destinations.iter().enumerate() {
            let at = self.spec(place)?;
            let listed = self.check_one(&at, &source);
            let listed = listed.map_err(|wrong| format!("{place}: {wrong}"))?;
            for (id, places) in &self.needed {
                if places.contains(&number) && !listed.contains(id) {
                    return Err(format!("{place}: {id} was committed, and isn't listed"));
                }
            }
            all.push(listed);
        }
        Ok(all)
    }

    fn check_one(&self, at: &DestinationSpec, source: &Held) -> Result<BTreeSet<BackupId>, Wrong> {
        let at = vec![at.clone()];
        let report = self.engine.list_blocking(&at);
        if report.exit_code() != exit::DONE {
            return Err(format!("{:?}", report.errors));
        }
        if report.backups.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut verifying = VerifyRequest::new(at.clone());
        verifying.which = WhichBackups::All;
        verifying.keys = keys(&KEY_BYTES);
        verifying.keys.allow_unsealed = true;
        let verified = self.engine.verify_blocking(verifying);
        if verified.exit_code() != exit::DONE {
            return Err(format!("{verified:?}"));
        }
        for listed in &report.backups {
            let said = self.said_of(&listed.metadata);
            let known = self.known.get(&listed.id).or(said).unwrap_or(source);
            self.restores(&listed.id, known, &at, &[exit::DONE])?;
        }
        Ok(report.backups.into_iter().map(|listed| listed.id).collect())
    }

    /// Restores a backup that reported itself, to one of these codes, and compares what comes with what it holds.
    pub(crate) fn restores_from(
        &self,
        id: &BackupId,
        from: &[DestinationSpec],
        codes: &[u8],
    ) -> Result<(), Wrong> {
        let known = self.known.get(id);
        let known = known.ok_or_else(|| format!("nobody knows what {id} holds"))?;
        self.restores(id, known, from, codes)
    }

    /// A backup that was reported, and may be gone.
    pub(crate) fn unneeded(&self) -> Option<&BackupId> {
        let mut known = self.known.keys();
        known.find(|id| !self.needed.contains_key(id))
    }

    /// Whether these files are what the newest backup holds that was reported.
    pub(crate) fn latest_holds(&self, restored: &Files) -> bool {
        let latest = self.latest.as_ref();
        let known = latest.and_then(|id| Some((id, self.known.get(id)?)));
        known.is_some_and(|(id, known)| known.is_restored(id, restored))
    }

    /// Whether these files are what one of the backups holds that were reported.
    pub(crate) fn holds(&self, restored: &Files) -> bool {
        let mut known = self.known.iter();
        known.any(|(id, known)| known.is_restored(id, restored))
    }

    fn restores(
        &self,
        id: &BackupId,
        known: &Held,
        from: &[DestinationSpec],
        codes: &[u8],
    ) -> Result<(), Wrong> {
        let restored = restore(&self.engine, from, id, codes, &KEY_BYTES);
        let restored = restored.map_err(|wrong| format!("{id}: {wrong}"))?;
        match known.is_restored(id, &restored) {
            true => Ok(()),
            false => Err(format!("{id} restores to something else")),
        }
    }

    /// Whatever must be listed opens with the second key and not with the first, at each destination.
    pub(crate) fn opens_with_the_second_key_only(&self) -> Result<(), Wrong> {
        let [first, second] = KEY_BYTES.map(|byte| [byte]);
        for at in self.specs()? {
            let at = [at];
            for id in self.needed.keys() {
                let refused = restore(&self.engine, &at, id, &[exit::WRONG_KEY], &first);
                refused.map_err(|wrong| format!("{id}, with the first key: {wrong}"))?;
                let restored = restore(&self.engine, &at, id, &[exit::DONE], &second);
                let restored =
                    restored.map_err(|wrong| format!("{id}, with the second key: {wrong}"))?;
                if !self.holds(&restored) {
                    return Err(format!("{id} restores to something else"));
                }
            }
        }
        Ok(())
    }

    /// Each destination has a record of what it was tried with.
    pub(crate) fn has_probes(&self) -> Result<(), Wrong> {
        for place in &self.destinations {
            let names = self.stored(place)?.into_iter();
            let mut keys = names.filter_map(|name| ObjectKey::new(&name).ok());
            if !keys.any(|key| layout::probe_record_at(&key).is_some()) {
                return Err(format!("{place} has no record of a probe"));
            }
        }
        Ok(())
    }

    /// Every destination.
    pub(crate) fn specs(&self) -> Result<Vec<DestinationSpec>, Wrong> {
        let places = self.destinations.iter();
        places.map(|place| self.spec(place)).collect()
    }

    pub(crate) fn spec(&self, place: &str) -> Result<DestinationSpec, Wrong> {
        let place = match place.contains("://") {
            true => place.to_owned(),
            false => self.folder.join(place).display().to_string(),
        };
        DestinationSpec::parse(&place).map_err(|error| error.to_string())
    }

    /// Names of what is stored at a destination: a folder, or at the server of this world. What others store isn't looked at.
    pub(crate) fn stored(&self, place: &str) -> Result<Vec<String>, Wrong> {
        match (&self.served, place.contains("://")) {
            (Some(served), true) => served.names(),
            (None, true) => Ok(Vec::new()),
            (_, false) => Ok(files(&self.folder.join(place))?.into_keys().collect()),
        }
    }
}

fn restore(
    engine: &Engine,
    at: &[DestinationSpec],
    id: &BackupId,
    codes: &[u8],
    key_bytes: &[u8],
) -> Result<Files, Wrong> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let target = scratch.path().join("restored");
    let which = Which::Id(id.clone());
    let mut request =
        RestoreRequest::new(which, at.to_vec(), RestoreTarget::Folder(target.clone()));
    request.keys = keys(key_bytes);
    request.keys.allow_unsealed = true;
    let report = engine.restore_blocking(request);
    match codes.contains(&report.exit_code()) {
        true => files(&target),
        false => Err(format!("{report:?}")),
    }
}

fn keys(bytes: &[u8]) -> Keys {
    let secrets = bytes.iter().map(|byte| KeySecret::parse(&key(*byte)));
    Keys::new(secrets.flatten().collect())
}

fn key(byte: u8) -> String {
    format!("hex:{}", format!("{byte:02x}").repeat(32))
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
