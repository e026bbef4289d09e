//! The files of a run whose manifest is lost, at one destination, and the manifest that they come to.

use teeline_actors::{Claimed, Publication};
use teeline_core::seal::{Context, Sealer};
use teeline_core::{
    BackupError, BackupId, Class, Digest, MISSING_NAMED_MAX, Manifest, MissingFile, ObjectKey,
    RunClaim, RunHead, SealedManifest, Timestamp, document, layout,
};

use super::evidence::Evidence;
use crate::catalog::{located, read_bytes_of, read_whole};
use crate::check::Check;
use crate::files::file_of;
use crate::keys::{Keys, readable_keys, unlock};
use crate::open::Opened;
use crate::report::{Damage, RepairStatus};
use crate::run_folders::RunFolder;
use crate::unpublished::{self, Incomplete};

/// The files of a run whose manifest is lost.
pub(super) struct Lost<'a> {
    pub(super) opened: &'a Opened,
    /// Their folder below the root.
    pub(super) path: &'a str,
    claim: RunClaim,
    /// Which claim that is: files are read after that.
    claimed: Claimed,
    /// The checksum of the manifest that is there, where it is the catalogue's entry that was lost.
    unlisted: Option<Digest>,
    pub(super) newest_at: Option<Timestamp>,
}

/// A destination with a whole backup, whose manifest others can take.
pub(super) struct Donor<'a> {
    pub(super) opened: &'a Opened,
    /// The folder of its files below the root.
    pub(super) path: &'a str,
    pub(super) sealed: SealedManifest,
}

/// Why a destination stays as it is.
pub(super) struct Refusal {
    pub(super) error: BackupError,
    pub(super) missing: Vec<MissingFile>,
}

impl From<BackupError> for Refusal {
    fn from(error: BackupError) -> Self {
        Refusal {
            error,
            missing: Vec::new(),
        }
    }
}

/// A file that was expected where none is, or another one: a repair leaves it alone and says so.
pub(super) fn in_the_way(opened: &Opened, key: &ObjectKey, error: &BackupError) -> BackupError {
    if error.class().is_retriable() {
        // Nothing is known of the file.
        return BackupError::new(error.class(), "read", error.subject(), error.message());
    }
    let message = format!(
        "{}; it is in the way, and a repair replaces no file",
        error.message()
    );
    let suggestion = format!("move {key} away from the destination, and repair again");
    BackupError::new(
        error.class(),
        "rebuild",
        located(opened.sink.as_ref(), key),
        message,
    )
    .suggest(error.suggestion().unwrap_or(&suggestion))
}

impl<'a> Lost<'a> {
    /// The files of the run `id` in the folder at `path`, which the listing may not have shown.
    pub(super) async fn find(
        opened: &'a Opened,
        id: &BackupId,
        path: &'a str,
        folder: Option<&RunFolder>,
    ) -> Result<Self, Refusal> {
        let has_manifest = folder.is_some_and(|folder| folder.has_manifest);
        let claim = read_claim(opened, id, path).await?;
        let claimed = Claimed::find(opened.sink.as_ref(), &ObjectKey::new(path)?).await?;
        Ok(Lost {
            opened,
            path,
            unlisted: match has_manifest {
                true => Some(checksum_there(opened, path).await?),
                false => None,
            },
            claim,
            claimed: claimed.map_or_else(|| Err(without_claim(opened, path)), Ok)?,
            newest_at: folder.and_then(|folder| folder.newest_at),
        })
    }

    /// The manifest that can be published here: the donor's, or else the one that the files come to. Every byte that it
    /// names was read and is right, its checksum is the one that is known, and if it is sealed, there is a key object.
    pub(super) async fn prepare(
        &self,
        donor: Option<&Donor<'_>>,
        evidence: &Evidence,
        keys: &Keys,
    ) -> Result<(SealedManifest, RepairStatus), Refusal> {
        let (sealed, status) = match donor {
            Some(donor) => (self.copy(donor)?, RepairStatus::Copied),
            None => (self.reconstruct(keys).await?, RepairStatus::Reconstructed),
        };
        let there = self.unlisted.filter(|there| *there != sealed.checksum);
        let there = there.map(|there| (there, "the manifest that is there"));
        if let Some((known, file)) = evidence.against(sealed.checksum).or(there) {
            return Err(match donor {
                Some(donor) => self.differs_from(donor, known, file).into(),
                None => self.contradicted(&sealed, known, file).into(),
            });
        }
        self.check(&sealed.manifest).await?;
        if let Some(seal) = &sealed.manifest.plan.seal {
            readable_keys(self.opened, &sealed.manifest.id, self.path, seal).await?;
        }
        Ok((sealed, status))
    }

    /// Makes the backup visible.
    pub(super) async fn publish(&self, sealed: &SealedManifest) -> Result<(), BackupError> {
        let sink = self.opened.sink.as_ref();
        let read_back = sink.capabilities().read_back.has_documents();
        Publication::new(sealed, self.path)
            .again()
            .publish(sink, self.claimed, read_back, || ())
            .await
    }

    /// An error about the manifest that isn't there.
    fn error(&self, class: Class, message: impl std::fmt::Display) -> BackupError {
        error(self.opened, self.path, class, message)
    }

    fn copy(&self, donor: &Donor<'_>) -> Result<SealedManifest, BackupError> {
        if donor.path == self.path {
            return Ok(donor.sealed.clone());
        }
        let message = format!(
            "destination {} has the backup in the folder {}",
            donor.opened.name, donor.path
        );
        Err(self
            .error(Class::Corrupt, message)
            .suggest("its files belong in the same folder everywhere; move them there"))
    }

    async fn reconstruct(&self, keys: &Keys) -> Result<SealedManifest, Refusal> {
        let sink = self.opened.sink.as_ref();
        let sealer = self.sealer(keys).await?;
        match unpublished::reconstruct(sink, self.path, &self.claim, sealer.clone()).await {
            Ok(manifest) => Ok(SealedManifest::authenticated(manifest, sealer.as_ref())?),
            Err(Incomplete::Missing(missing)) => Err(lacking(
                self.opened,
                self.path,
                in_folder(self.path, missing),
            )),
            Err(Incomplete::Failed(error, missing)) => Err(Refusal {
                error,
                missing: in_folder(self.path, missing),
            }),
        }
    }

    /// What opens a sealed run, whose claim is authentic then.
    async fn sealer(&self, keys: &Keys) -> Result<Option<Sealer>, BackupError> {
        let RunHead { id, plan, .. } = &self.claim.head;
        let Some(entry) = &plan.seal else {
            return Ok(None);
        };
        let unlocked = unlock(self.opened, self.path, id, entry, keys).await;
        let unlocked = unlocked.map_err(|error| match error.class() {
            Class::WrongKey => error.suggest(
                "what authenticates a manifest is made with the backup's key; or name a destination with a whole copy as well",
            ),
            _ => error,
        })?;
        let sink = self.opened.sink.as_ref();
        let key = file_of(self.path, layout::RUN_CLAIM)?;
        let bytes = read_bytes_of::<RunClaim>(sink, &key).await?;
        let sealer = unlocked.sealer;
        let subject = located(sink, &key);
        sealer.check_document(&subject, Context::Claim, &bytes)?;
        // What is authentic is what was read just now, and not before.
        if document::open::<RunClaim>(&subject, &bytes)? != self.claim {
            return Err(BackupError::corrupt(
                subject,
                "it was another one a moment ago",
            ));
        }
        Ok(Some(sealer))
    }

    /// Reads everything that a manifest names: publishing it says that all of it is right.
    async fn check(&self, manifest: &Manifest) -> Result<(), Refusal> {
        let mut check = Check::new(self.opened);
        check.named(manifest, self.path).await;
        if check.attested_files > 0 {
            let message = format!(
                "{} of its data files are archived: they can't be compared before they are thawed",
                check.attested_files
            );
            return Err(error(self.opened, self.path, Class::Archived, message).into());
        }
        let (missing, wrong): (Vec<Damage>, Vec<Damage>) = check
            .damage
            .into_iter()
            .partition(|damage| damage.class == Class::NotFound);
        let missing: Vec<MissingFile> = missing
            .into_iter()
            .map(|damage| MissingFile {
                file: damage.file,
                resource: damage.resource,
                last_index: false,
            })
            .collect();
        // What is damaged says more than what gave no answer.
        let is_sure = |damage: &&Damage| !damage.class.is_retriable();
        match wrong.iter().find(is_sure).or(wrong.first()) {
            None if missing.is_empty() => Ok(()),
            None => Err(lacking(self.opened, self.path, missing)),
            Some(first) => {
                let message = match wrong.len() {
                    1 => first.message.clone(),
                    count => format!("{}; it is the first of {count} faults", first.message),
                };
                Err(Refusal {
                    error: self.error(first.class, message),
                    missing,
                })
            }
        }
    }

    /// Another destination has a manifest that isn't the one that there was here.
    fn differs_from(&self, donor: &Donor<'_>, known: Digest, file: &str) -> BackupError {
        let message = format!(
            "destination {} has it with the checksum {}, and {file} has {known}",
            donor.opened.name, donor.sealed.checksum
        );
        self.error(Class::Corrupt, message).suggest(
            "a backup is the same everywhere, so one of the two isn't what was written; repair each destination by itself",
        )
    }

    /// The files come to a manifest that isn't the one that there was.
    pub(super) fn contradicted(
        &self,
        sealed: &SealedManifest,
        known: Digest,
        file: &str,
    ) -> BackupError {
        let mut attachments = sealed.manifest.attachments.iter();
        let suspect = match attachments.any(|entry| entry.file == layout::SCHEMA_EXPORT) {
            true => "s3db.json, most likely: its digest was in the manifest only",
            false => "an index, most likely: not every bit of one shows in what it says",
        };
        let message = format!(
            "the files come to one with the checksum {}, and {file} has {known}, so one isn't what was written: {suspect}",
            sealed.checksum
        );
        self.error(Class::Corrupt, message).suggest(
            "put that file back from another copy of the destination, or name a destination with a whole copy as well",
        )
    }
}

/// The checksum of a manifest that the catalogue has no entry of.
async fn checksum_there(opened: &Opened, path: &str) -> Result<Digest, BackupError> {
    let sink = opened.sink.as_ref();
    let key = file_of(path, layout::MANIFEST)?;
    let read = read_whole(sink, &key).await;
    match read.and_then(|bytes| SealedManifest::open(&located(sink, &key), bytes)) {
        Ok(sealed) => Ok(sealed.checksum),
        Err(error) => Err(in_the_way(opened, &key, &error)),
    }
}

/// The claim of a run, which must be about the folder that it is in.
async fn read_claim(opened: &Opened, id: &BackupId, path: &str) -> Result<RunClaim, Refusal> {
    match unpublished::read_claim(opened.sink.as_ref(), id, path).await {
        Err(error) if error.class() == Class::NotFound => Err(without_claim(opened, path)),
        read => Ok(read?),
    }
}

fn without_claim(opened: &Opened, path: &str) -> Refusal {
    let claim = MissingFile {
        file: format!("{path}/{}", layout::RUN_CLAIM),
        resource: None,
        last_index: false,
    };
    lacking(opened, path, vec![claim])
}

fn lacking(opened: &Opened, path: &str, mut missing: Vec<MissingFile>) -> Refusal {
    missing.truncate(MISSING_NAMED_MAX);
    let first = missing.first().map_or("", |missing| &missing.file);
    let message = match missing.len() {
        1 => format!("{first} is missing"),
        2 => format!("{first} and 1 other file are missing"),
        MISSING_NAMED_MAX => format!("{first} and many other files are missing"),
        count => format!("{first} and {} other files are missing", count - 1),
    };
    let error = error(opened, path, Class::NotFound, message).suggest(
        "put what is missing back from another copy of the destination; what its run didn't write can't be had again",
    );
    Refusal { error, missing }
}

fn error(
    opened: &Opened,
    path: &str,
    class: Class,
    message: impl std::fmt::Display,
) -> BackupError {
    let manifest = format!("{}: {path}/{}", opened.sink, layout::MANIFEST);
    BackupError::new(class, "rebuild", manifest, message)
}

fn in_folder(path: &str, missing: Vec<MissingFile>) -> Vec<MissingFile> {
    let below_root = |missing: MissingFile| MissingFile {
        file: format!("{path}/{}", missing.file),
        ..missing
    };
    missing.into_iter().map(below_root).collect()
}
