//! The healing of a backup's copy at one destination: every file is looked at, in the order in which a pass writes them; what is
//! missing is written, and what is damaged is moved aside and written again. Nothing is written that wasn't compared with its
//! digest, and all of it is read back. The manifest comes last, and only where everything that it names is right.

use bytes::Bytes;
use teeline_actors::{Claimed, Publication, RunPlace, put_checked, read_entry};
use teeline_core::{
    BackupError, CatalogEntry, Class, DestinationMarker, ObjectKey, RunClaim, RunRecord,
    SealedManifest, document, layout,
};

use super::sources::{Expected, Sources};
use crate::catalog::{located, unfold, unmark};
use crate::check::damage;
use crate::files::{WholeFile, file_of};
use crate::open::Opened;
use crate::report::{Damage, MendedFile, WasWrong};
use crate::run_records;
use crate::set_aside::{Kept, asking_for_the_right, clear, keep_damaged, set_aside};

/// The healing of one copy, and what came of it so far.
pub(super) struct Healing<'a> {
    pub(super) to: &'a Opened,
    /// The folder of its files below the root.
    pub(super) path: &'a str,
    pub(super) sealed: &'a SealedManifest,
    pub(super) sources: &'a Sources<'a>,
    /// Whether this is a copy that isn't there yet.
    pub(super) is_new: bool,
    /// The claim, once it is right: before any other file was judged.
    claimed: Option<Claimed>,
    /// The files that it has written, or begun to.
    written: Vec<ObjectKey>,
    /// What was written again.
    pub(super) files: Vec<MendedFile>,
    /// What is wrong and can't be healed.
    pub(super) damage: Vec<Damage>,
    /// Bytes that are there and right.
    pub(super) bytes: u64,
    /// Data files that are archived: their sizes are right.
    pub(super) attested_files: u64,
}

/// What stands under a key.
pub(super) enum Found {
    Right(Bytes),
    Missing,
    Damaged,
}

impl Found {
    pub(super) fn of(read: Result<Bytes, BackupError>) -> Result<Self, BackupError> {
        match read {
            Ok(bytes) => Ok(Found::Right(bytes)),
            Err(error) => Self::of_error(error),
        }
    }

    /// What an error says of the file; one that says nothing of it is given back.
    pub(super) fn of_error(error: BackupError) -> Result<Self, BackupError> {
        match error.class() {
            Class::NotFound => Ok(Found::Missing),
            Class::Corrupt => Ok(Found::Damaged),
            _ => Err(error),
        }
    }

    pub(super) fn wrong(&self) -> WasWrong {
        match self {
            Found::Damaged => WasWrong::Damaged,
            Found::Missing | Found::Right(_) => WasWrong::Missing,
        }
    }
}

impl<'a> Healing<'a> {
    pub(super) fn new(
        to: &'a Opened,
        path: &'a str,
        sealed: &'a SealedManifest,
        sources: &'a Sources<'a>,
    ) -> Self {
        Healing {
            to,
            path,
            sealed,
            sources,
            is_new: false,
            claimed: None,
            written: Vec::new(),
            files: Vec::new(),
            damage: Vec::new(),
            bytes: 0,
            attested_files: 0,
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// Where the destination gives no answer, refuses what has to be done, or has what can't be judged. What was done until then
    /// stays, and the next repair goes on.
    pub(super) async fn run(&mut self) -> Result<(), BackupError> {
        let manifest = &self.sealed.manifest;
        if self.is_new {
            let folder = ObjectKey::new(self.path)?;
            Publication::new(self.sealed, self.path)
                .refuse_orphan(self.to.sink.as_ref(), &folder)
                .await?;
        }
        self.marker().await?;
        self.claim().await?;
        if self.is_new && !self.damage.is_empty() {
            // Files without a claim are nobody's: no cleanup would remove them.
            return Ok(());
        }
        if let Some(seal) = &manifest.plan.seal {
            super::keys::heal(self, seal).await?;
        }
        for attachment in &manifest.attachments {
            let expected = Expected::File(WholeFile::attachment(attachment));
            self.small(&attachment.file, &expected, None).await?;
        }
        for resource in manifest.all_resources() {
            for segment in &resource.segments {
                self.segment(resource, segment).await?;
            }
        }
        self.listing().await?;
        self.records().await
    }

    /// A copy that was withdrawn or swept while it was healed has no claim any more, and what was written into it since is nobody's:
    /// it is removed again. One that was there before and has only lost its claim keeps what it has.
    pub(super) async fn take_back_what_is_nobodys(&mut self) -> Result<(), BackupError> {
        let sink = self.to.sink.as_ref();
        let place = RunPlace::of_copy(self.sealed, self.path)?;
        if !self.is_new && !place.is_going_away(sink).await? {
            return Ok(());
        }
        let folder = format!("{}/", self.path);
        let mut written = std::mem::take(&mut self.written);
        // With the claim, whoever removes the rest still finds it.
        written.retain(|key| {
            key.as_str().starts_with(&folder) && key.file_name() != layout::RUN_CLAIM
        });
        place.take_back(sink, self.claimed, written).await
    }

    /// Notes that a file is about to be written.
    pub(super) fn writing(&mut self, key: &ObjectKey) {
        self.written.push(key.clone());
    }

    /// Notes what can't be healed.
    pub(super) fn found(&mut self, key: &ObjectKey, resource: Option<&str>, error: &BackupError) {
        let found = damage(&self.to.name, key.as_str(), resource, None, error);
        self.damage.push(found);
    }

    /// Writes what is right where it is missing or damaged.
    pub(super) async fn write(
        &mut self,
        key: &ObjectKey,
        found: &Found,
        right: Bytes,
    ) -> Result<(), BackupError> {
        let moved_to = match found {
            Found::Damaged => {
                Some(set_aside(self.to, key, async |kept| Ok(kept.is(&right))).await?)
            }
            Found::Missing | Found::Right(_) => None,
        };
        let read_back = self.to.sink.capabilities().read_back.has_documents();
        self.bytes += right.len() as u64;
        self.writing(key);
        put_checked(self.to.sink.as_ref(), key, right, read_back).await?;
        self.mended(key, found.wrong(), moved_to);
        Ok(())
    }

    /// Notes what was written again, or only moved aside.
    pub(super) fn mended(&mut self, key: &ObjectKey, was: WasWrong, moved_to: Option<ObjectKey>) {
        self.files.push(MendedFile {
            file: key.to_string(),
            was,
            moved_to: moved_to.map(|kept| kept.to_string()),
        });
    }

    async fn marker(&mut self) -> Result<(), BackupError> {
        let key = layout::marker()?;
        let judge = |subject: &str, bytes: &Bytes| {
            document::open::<DestinationMarker>(subject, bytes).map(drop)
        };
        match Expected::Document(&judge).look(self.to, &key).await? {
            Found::Right(_) => Ok(()),
            found => {
                let right = document::seal(&DestinationMarker {});
                self.write(&key, &found, right).await
            }
        }
    }

    async fn claim(&mut self) -> Result<(), BackupError> {
        let (manifest, path) = (&self.sealed.manifest, self.path);
        let judge = |subject: &str, bytes: &Bytes| {
            let head = document::open::<RunClaim>(subject, bytes)?.head;
            let is_its = head.id == manifest.id
                && head.path == path
                && head.started_at == manifest.started_at
                && head.plan == manifest.plan;
            let other = || BackupError::corrupt(subject, "it is the claim of another run");
            is_its.then_some(()).ok_or_else(other)
        };
        let expected = Expected::Document(&judge);
        self.small(layout::RUN_CLAIM, &expected, None).await?;
        let folder = ObjectKey::new(path)?;
        self.claimed = Claimed::find(self.to.sink.as_ref(), &folder).await?;
        Ok(())
    }

    /// A small file of the backup's folder.
    async fn small(
        &mut self,
        file: &str,
        expected: &Expected<'_>,
        resource: Option<&str>,
    ) -> Result<(), BackupError> {
        let key = file_of(self.path, file)?;
        let found = expected.look(self.to, &key).await?;
        if let Found::Right(bytes) = &found {
            self.bytes += bytes.len() as u64;
            return Ok(());
        }
        match self.sources.whole(&key, expected).await {
            Ok(right) => self.write(&key, &found, right).await,
            Err(error) => self.in_vain(&key, resource, error),
        }
    }

    /// What nobody has right is damage here; what somebody may have who gave no answer isn't known to be.
    pub(super) fn in_vain(
        &mut self,
        key: &ObjectKey,
        resource: Option<&str>,
        error: BackupError,
    ) -> Result<(), BackupError> {
        match error.class() {
            Class::Corrupt => {
                self.found(key, resource, &error);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// The catalogue's entry and the manifest: what makes the backup.
    async fn listing(&mut self) -> Result<(), BackupError> {
        let right = self.sealed.entry(self.path);
        let key = layout::catalog_entry(&right.id, right.started_at)?;
        let judge = |subject: &str, bytes: &Bytes| {
            let entry: CatalogEntry = document::open(subject, bytes)?;
            let other = || BackupError::corrupt(subject, "it is the entry of another backup");
            entry.is(&right).then_some(()).ok_or_else(other)
        };
        let entry = match Expected::Document(&judge).look(self.to, &key).await? {
            Found::Missing => self.folded(&key, &judge).await?,
            found => found,
        };
        let manifest_key = file_of(self.path, layout::MANIFEST)?;
        let same = |subject: &str, bytes: &Bytes| {
            let other = || BackupError::corrupt(subject, "it isn't the backup's manifest");
            (*bytes == self.sealed.bytes)
                .then_some(())
                .ok_or_else(other)
        };
        let manifest = Expected::Document(&same)
            .look(self.to, &manifest_key)
            .await?;
        let wrong = [
            (&key, &entry, document::seal(&right)),
            (&manifest_key, &manifest, self.sealed.bytes.clone()),
        ];
        let is_wrong = |found: &Found| !matches!(found, Found::Right(_));
        self.bytes += self.sealed.bytes.len() as u64;
        if !wrong.iter().any(|(_, found, _)| is_wrong(found)) {
            return Ok(());
        }
        if let Some(first) = self.damage.first() {
            let message = format!(
                "it isn't listed before all of it is right: {}",
                first.message
            );
            let error = BackupError::corrupt(&manifest_key, message);
            self.found(&manifest_key, None, &error);
            return Ok(());
        }
        let Some(claimed) = self.claimed else {
            let claim = file_of(self.path, layout::RUN_CLAIM)?;
            let error = BackupError::corrupt(&claim, "it has been removed since it was right");
            self.found(&claim, None, &error);
            return Ok(());
        };
        let mut moved = Vec::new();
        for (key, found, right) in wrong {
            let kept = match found {
                Found::Right(_) => continue,
                Found::Missing => None,
                Found::Damaged => {
                    let is_right = async |kept: &Kept| Ok(kept.is(&right));
                    Some(keep_damaged(self.to, key, is_right).await?)
                }
            };
            moved.push((key, found.wrong(), kept));
        }
        if matches!(manifest, Found::Damaged) {
            let unmarked = unmark(self.to.sink.as_ref(), &key).await;
            unmarked.map_err(asking_for_the_right)?;
        }
        for (key, ..) in moved.iter().filter(|(.., kept)| kept.is_some()) {
            clear(self.to, key).await?;
        }
        let read_back = self.to.sink.capabilities().read_back.has_documents();
        Publication::new(self.sealed, self.path)
            .again()
            .publish(self.to.sink.as_ref(), claimed, read_back, || ())
            .await?;
        for (key, was, moved_to) in moved {
            self.mended(key, was, moved_to);
        }
        Ok(())
    }

    /// What an entry that is no object may be folded into. Where that isn't right, an object takes its place.
    async fn folded(
        &self,
        key: &ObjectKey,
        judge: &(dyn Fn(&str, &Bytes) -> Result<(), BackupError> + Sync),
    ) -> Result<Found, BackupError> {
        let sink = self.to.sink.as_ref();
        let read = read_entry(sink, key).await;
        let read = read.and_then(|bytes| judge(&located(sink, key), &bytes).map(|()| bytes));
        match Found::of(read)? {
            Found::Damaged => {
                unfold(sink, key).await.map_err(asking_for_the_right)?;
                Expected::Document(judge).look(self.to, key).await
            }
            found => Ok(found),
        }
    }

    /// Records that can't be read are moved aside: what they said, nobody else knows. One that says that the backup is there is
    /// left afterwards, where there is none.
    async fn records(&mut self) -> Result<(), BackupError> {
        if !self.damage.is_empty() {
            return Ok(());
        }
        let id = &self.sealed.manifest.id;
        let judge =
            |subject: &str, bytes: &Bytes| document::open::<RunRecord>(subject, bytes).map(drop);
        for (key, record) in run_records::of(self.to.sink.as_ref(), id).await? {
            let Err(error) = record else { continue };
            Found::of_error(error)?;
            if let Found::Damaged = Expected::Document(&judge).look(self.to, &key).await? {
                let is_right = async |kept: &Kept| {
                    let found = Expected::Document(&judge).look(self.to, &kept.key).await?;
                    Ok(matches!(found, Found::Right(_)))
                };
                let kept = set_aside(self.to, &key, is_right).await?;
                self.mended(&key, WasWrong::Damaged, Some(kept));
            }
        }
        Ok(())
    }
}
