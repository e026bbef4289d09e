//! A folder with a source and destinations, and what is known of the backups there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use teeline::{
    BackupId, DestinationSpec, Engine, KeySecret, Keys, RestoreRequest, RestoreTarget,
    VerifyRequest, Which, WhichBackups, exit,
};

use crate::teeline_command::{Ran, TeelineCommand};
use crate::{Scenario, Wrong};

/// Files by their names.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Where the source is.
pub(crate) const SOURCE: &str = "source";
/// What isn't of one backup, at a destination.
const KEPT: [&str; 5] = [
    "teeline.json",
    "catalog",
    "runs",
    "verifications",
    "schedules",
];
/// What opens sealed backups.
pub(crate) const KEYS: [&str; 2] = ["first.key", "second.key"];

/// What there must be, and where.
#[derive(Debug, Clone)]
pub struct World {
    command: TeelineCommand,
    folder: PathBuf,
    /// Destinations, as they are typed: folders below `folder`, or URLs.
    pub(crate) destinations: Vec<String>,
    /// What backups hold. One that isn't known is of what the source holds now.
    known: BTreeMap<BackupId, Files>,
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
        for (name, byte) in KEYS.iter().zip([1_u8, 2]) {
            let key = format!("hex:{}", format!("{byte:02x}").repeat(32));
            write_private(&folder.join(name), &key)?;
        }
        Ok(World {
            command,
            folder: folder.to_owned(),
            destinations,
            known: BTreeMap::new(),
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

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The command.
    pub(crate) fn command(&self) -> &TeelineCommand {
        &self.command
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
        arguments.extend(self.places("--to"));
        arguments
    }

    /// What a backup reported must be listed from now on, with what the source holds.
    pub(crate) fn expect(&mut self, ran: &Ran) -> Result<BackupId, Wrong> {
        let id = ran.report["id"].as_str().and_then(|id| id.parse().ok());
        let id: BackupId = id.ok_or_else(|| format!("no id is reported: {}", ran.report))?;
        self.known
            .insert(id.clone(), files(&self.folder.join(SOURCE))?);
        let everywhere = (0..self.destinations.len()).collect();
        self.needed.insert(id.clone(), everywhere);
        Ok(id)
    }

    /// Looks, as [`World::check`] does, and remembers what is listed that nobody has reported: it is of what the source holds
    /// now, and must be there from now on.
    pub(crate) fn learn(&mut self) -> Result<(), Wrong> {
        let source = files(&self.folder.join(SOURCE))?;
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
        let engine = Engine::builder().workers(1).build();
        let engine = engine.map_err(|error| error.to_string())?;
        let source = files(&self.folder.join(SOURCE))?;
        let mut all = Vec::new();
        for (number, place) in self.destinations.iter().enumerate() {
            let at = self.spec(place)?;
            let listed = self.check_one(&engine, &at, &source);
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

    fn check_one(
        &self,
        engine: &Engine,
        at: &DestinationSpec,
        source: &Files,
    ) -> Result<BTreeSet<BackupId>, Wrong> {
        let at = vec![at.clone()];
        let report = engine.list_blocking(&at);
        if report.exit_code() != exit::DONE {
            return Err(format!("{:?}", report.errors));
        }
        let ids: BTreeSet<BackupId> = report.backups.into_iter().map(|listed| listed.id).collect();
        if ids.is_empty() {
            return Ok(ids);
        }
        let mut verifying = VerifyRequest::new(at.clone());
        verifying.which = WhichBackups::All;
        verifying.keys = keys();
        verifying.keys.allow_unsealed = true;
        let verified = engine.verify_blocking(verifying);
        if verified.exit_code() != exit::DONE {
            return Err(format!("{verified:?}"));
        }
        for id in &ids {
            let restored = restore(engine, &at, id).map_err(|wrong| format!("{id}: {wrong}"))?;
            let expected = self.known.get(id).unwrap_or(source);
            if !is_same(&restored, expected) {
                return Err(format!("{id} restores to something else"));
            }
        }
        Ok(ids)
    }

    fn spec(&self, place: &str) -> Result<DestinationSpec, Wrong> {
        let place = match place.contains("://") {
            true => place.to_owned(),
            false => self.folder.join(place).display().to_string(),
        };
        DestinationSpec::parse(&place).map_err(|error| error.to_string())
    }

    /// Goes on after a kill, as whoever comes next would: with the same command again, another backup and a cleanup, after
    /// which nothing is left that isn't a backup's.
    pub(crate) fn go_on(&mut self, scenario: &Scenario) -> Result<(), Wrong> {
        self.check()?;
        (scenario.aftermath)(self)?;
        self.run(&(scenario.arguments)(self), scenario.again)?;
        self.check()?;
        let last = self.back_up(&["full"])?;
        self.check()?;
        self.tidy(&last)
    }

    fn tidy(&mut self, last: &BackupId) -> Result<(), Wrong> {
        let mut cleanup = words(&["cleanup", "--keep-count", "1"]);
        cleanup.extend(words(&["--grace", "0s", "--dead-after", "0s", "--json"]));
        cleanup.extend(self.places("--at"));
        let cleaned = self.run(&cleanup, &[0, 3, 13])?;
        self.needed.retain(|id, _| id == last);
        // What may have lost its manifest is left, and can be made a backup of.
        for folder in self
            .unlisted()?
            .iter()
            .filter(|name| name.parse::<BackupId>().is_ok())
        {
            let mut repair = words(&["repair", folder, "--rebuild-manifest", "--json"]);
            repair.extend(self.places("--at"));
            self.run(&repair, &[0, 3]).map_err(|wrong| {
                format!("{wrong}\nafter a cleanup that said {}", cleaned.report)
            })?;
        }
        self.check()?;
        let left = self.unlisted()?;
        match left.is_empty() {
            true => Ok(()),
            false => Err(format!("{left:?} are left after {}", cleaned.report)),
        }
    }

    /// Folders and temporary files in folder destinations that belong to no backup that is listed.
    fn unlisted(&self) -> Result<BTreeSet<String>, Wrong> {
        let listed = self.check()?;
        let mut left = BTreeSet::new();
        for (place, listed) in self.destinations.iter().zip(listed) {
            if place.contains("://") {
                continue;
            }
            let root = self.folder.join(place);
            for name in files(&root)?.into_keys() {
                let top = name.split('/').next().unwrap_or_default();
                let is_listed = top.parse().is_ok_and(|id: BackupId| listed.contains(&id));
                let is_kept = KEPT.contains(&top);
                if name.contains(".tmp-") || !(is_listed || is_kept) {
                    left.insert(top.to_owned());
                }
            }
        }
        Ok(left)
    }
}

fn restore(engine: &Engine, at: &[DestinationSpec], id: &BackupId) -> Result<Files, Wrong> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let target = scratch.path().join("restored");
    let which = Which::Id(id.clone());
    let mut request =
        RestoreRequest::new(which, at.to_vec(), RestoreTarget::Folder(target.clone()));
    request.keys = keys();
    request.keys.allow_unsealed = true;
    let report = engine.restore_blocking(request);
    match report.exit_code() {
        exit::DONE => files(&target),
        _ => Err(format!("{report:?}")),
    }
}

/// A link brings its lines in an order of its own.
fn is_same(restored: &Files, expected: &Files) -> bool {
    let lines = |text: &[u8]| {
        let mut lines: Vec<Vec<u8>> = text
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        lines.sort();
        lines
    };
    let same = |name: &String, text: &Vec<u8>| {
        restored
            .get(name)
            .is_some_and(|found| found == text || lines(found) == lines(text))
    };
    restored.len() == expected.len() && expected.iter().all(|(name, text)| same(name, text))
}

fn keys() -> Keys {
    let of = |byte: u8| KeySecret::parse(&format!("hex:{}", format!("{byte:02x}").repeat(32)));
    Keys::new(
        [1, 2]
            .into_iter()
            .filter_map(|byte| of(byte).ok())
            .collect(),
    )
}

/// Every file below a folder, by its path from there; none where there is no folder.
pub(crate) fn files(folder: &Path) -> Result<Files, Wrong> {
    let mut found = Files::new();
    collect(folder, "", &mut found).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(found)
}

fn collect(folder: &Path, prefix: &str, found: &mut Files) -> std::io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type()?.is_dir() {
            true => collect(&entry.path(), &format!("{name}/"), found)?,
            false => drop(found.insert(name, fs::read(entry.path())?)),
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

fn write_private(path: &Path, text: &str) -> Result<(), Wrong> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("{}: {error}", path.display()))
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
