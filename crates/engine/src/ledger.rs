//! The ledger of verification at a destination: what is read of it, and what is left in it.

use std::collections::HashMap;

use futures::TryStreamExt;
use serde::Serialize;
use teeline_core::chain::BackupRef;
use teeline_core::document::Document;
use teeline_core::{
    BackupError, BackupId, CatalogEntry, Class, Depth, Digest, ObjectKey, ObjectMeta,
    RecordedDamage, Span, Timestamp, Verification, VerificationRecord, VerificationResult,
    Verifications, document, layout,
};

use crate::catalog::{located, read_document};
use crate::open::Opened;
use crate::report::Damage;

/// So far ahead of this machine's clock a check or a probe may be dated, which may be the difference of two clocks.
pub(crate) const AHEAD_MAX: Span = Span::from_ms(3_600_000);

/// In a shorter check nobody else has looked meanwhile, or hardly; each look for that lists the ledger.
const LONG_CHECK: Span = Span::from_ms(60_000);

/// What a destination's ledger says of its backups.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    of_each: HashMap<BackupId, Verifications>,
}

/// The check that says what a copy is worth: the newest; or the newest that found damage, as long as no later one that was as
/// thorough found it gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LastVerified {
    /// When it ended.
    pub at: Timestamp,
    /// How thorough it was.
    pub how: Depth,
    /// What it found.
    pub result: VerificationResult,
}

impl From<&Verification> for LastVerified {
    fn from(check: &Verification) -> Self {
        LastVerified {
            at: check.at,
            how: check.how,
            result: check.result,
        }
    }
}

impl Ledger {
    /// Lists the ledger of a destination.
    pub(crate) async fn read(opened: &Opened, now: Timestamp) -> Result<Self, BackupError> {
        let folder = ObjectKey::new(layout::VERIFICATIONS)?;
        let objects: Vec<ObjectMeta> = opened.sink.list(Some(&folder)).try_collect().await?;
        Ok(Self::of(opened, &objects, now))
    }

    /// What these objects of a ledger say. Those that can't be entries are passed over, with a warning: they would put off looks
    /// that are due, or take the place of what others found.
    pub(crate) fn of(opened: &Opened, objects: &[ObjectMeta], now: Timestamp) -> Self {
        let mut of_each: HashMap<BackupId, Vec<Verification>> = HashMap::new();
        for object in objects {
            match entry(object, now) {
                Ok(check) => of_each.entry(check.id.clone()).or_default().push(check),
                Err(why) => {
                    let key = located(opened.sink.as_ref(), &object.key);
                    tracing::warn!(%key, why, "an entry of the ledger is passed over");
                }
            }
        }
        let judged = of_each
            .into_iter()
            .map(|(id, checks)| (id, Verifications::of(checks)));
        Ledger {
            of_each: judged.collect(),
        }
    }

    /// The check that says what a copy is worth.
    pub(crate) fn decisive(&self, id: &BackupId) -> Option<&Verification> {
        self.of_each.get(id)?.decisive()
    }

    /// The same, as it is reported.
    pub(crate) fn last(&self, id: &BackupId) -> Option<LastVerified> {
        self.decisive(id).map(LastVerified::from)
    }

    /// The entry of that check, of a backup with this manifest: a name is easily put there. One that can't be read says nothing.
    ///
    /// # Errors
    /// Where there is no answer.
    pub(crate) async fn read_decisive(
        &self,
        opened: &Opened,
        id: &BackupId,
        checksum: Digest,
    ) -> Result<Option<VerificationRecord>, BackupError> {
        let Some(check) = self.decisive(id) else {
            return Ok(None);
        };
        match read_entry(opened, check).await {
            Ok(record) => Ok(Some(record).filter(|record| record.checksum == checksum)),
            Err(error) if error.class().is_retriable() => Err(error),
            Err(error) => {
                tracing::warn!(backup = %id, %error, "an entry of the ledger is passed over");
                Ok(None)
            }
        }
    }

    /// Whether damage is known of a copy.
    ///
    /// # Errors
    /// As of [`Ledger::read_decisive`].
    pub(crate) async fn is_damaged(
        &self,
        opened: &Opened,
        backup: &BackupRef,
    ) -> Result<bool, BackupError> {
        Ok(self.damage_of(opened, backup).await?.is_some())
    }

    /// What is known to be damaged of a copy. Where no name says that anything is, nothing is read.
    ///
    /// # Errors
    /// As of [`Ledger::read_decisive`].
    pub(crate) async fn damage_of(
        &self,
        opened: &Opened,
        backup: &BackupRef,
    ) -> Result<Option<VerificationRecord>, BackupError> {
        let is_damage = |result| result == VerificationResult::Damaged;
        let check = self.decisive(&backup.id);
        if !check.is_some_and(|check| is_damage(check.result)) {
            return Ok(None);
        }
        let read = self.read_decisive(opened, &backup.id, backup.checksum);
        Ok(read.await?.filter(|record| is_damage(record.result)))
    }

    /// When somebody last looked at a copy; or when it was made, which is when it was looked at first.
    pub(crate) fn last_look(&self, entry: &CatalogEntry) -> Timestamp {
        let last = self.of_each.get(&entry.id).and_then(Verifications::last_at);
        last.map_or(entry.started_at, |at| at.max(entry.started_at))
    }

    /// The entries that newer ones have taken the place of, and that nobody asks for.
    pub(crate) fn superseded(&self) -> impl Iterator<Item = &Verification> {
        self.of_each.values().flat_map(Verifications::superseded)
    }
}

/// What a check has found wrong.
pub(crate) fn found_damaged(opened: &Opened, record: &VerificationRecord) -> BackupError {
    let first = record.damage.first();
    let what = first.map_or(String::new(), |damage| {
        format!(": {}: {}", damage.file, damage.message)
    });
    let message = format!(
        "{} found it damaged at {}{what}",
        record.by, record.ended_at
    );
    BackupError::corrupt(&opened.sink, message)
}

fn entry(object: &ObjectMeta, now: Timestamp) -> Result<Verification, &'static str> {
    let check = layout::verification_of(&object.key).ok_or("its name says nothing")?;
    if object.bytes == 0 || object.bytes > VerificationRecord::BYTES_MAX {
        return Err("it has no size that an entry has");
    }
    if now.until(check.at) > AHEAD_MAX {
        return Err("it is dated in the future");
    }
    Ok(check)
}

/// The keys of the entries about backups which `wanted` is true for.
pub(crate) async fn keys(
    opened: &Opened,
    wanted: impl Fn(&BackupId) -> bool,
) -> Result<Vec<ObjectKey>, BackupError> {
    let folder = ObjectKey::new(layout::VERIFICATIONS)?;
    let objects = opened.sink.list(Some(&folder));
    objects
        .try_filter_map(|object| {
            let check = layout::verification_of(&object.key);
            let is_wanted = check.is_some_and(|check| wanted(&check.id));
            async move { Ok(is_wanted.then_some(object.key)) }
        })
        .try_collect()
        .await
}

/// An entry of the ledger.
///
/// # Errors
/// Where it can't be read, or says something other than its key.
pub(crate) async fn read_entry(
    opened: &Opened,
    check: &Verification,
) -> Result<VerificationRecord, BackupError> {
    let sink = opened.sink.as_ref();
    let key = layout::verification(check)?;
    let record: VerificationRecord = read_document(sink, &key).await?;
    match record.verification() == *check {
        true => Ok(record),
        false => Err(BackupError::corrupt(
            located(sink, &key),
            "its key says something else",
        )),
    }
}

/// A check that is to be noted.
pub(crate) struct Noted<'a> {
    /// The backup.
    pub(crate) id: &'a BackupId,
    /// BLAKE3 of its manifest.
    pub(crate) checksum: Digest,
    pub(crate) how: Depth,
    /// What made the check.
    pub(crate) by: &'a str,
    /// Whether what was found meanwhile is mended, and read back.
    pub(crate) has_mended: bool,
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Timestamp,
    /// Bytes that were read and found right.
    pub(crate) bytes: u64,
    /// What was wrong.
    pub(crate) damage: &'a [Damage],
}

/// Leaves an entry. A check that another one said the same of is noted already.
///
/// # Errors
/// Also where it found nothing wrong, and another one has meanwhile: what that found may have come after this one had looked there.
pub(crate) async fn note(opened: &Opened, noted: &Noted<'_>) -> Result<(), BackupError> {
    if noted.damage.is_empty() && !noted.has_mended {
        noted.refuse_contradicted(opened).await?;
    }
    let record = noted.record();
    let key = layout::verification(&record.verification())?;
    match opened.sink.put(&key, sealed(record)).await {
        Err(error) if error.class() == Class::Conflict => Ok(()),
        put => put,
    }
}

impl Noted<'_> {
    /// Refuses to take the place of damage that was found since this check began, by one that was no closer.
    async fn refuse_contradicted(&self, opened: &Opened) -> Result<(), BackupError> {
        if self.started_at.until(self.ended_at) < LONG_CHECK {
            return Ok(());
        }
        let ledger = Ledger::read(opened, self.ended_at).await?;
        let read = ledger.read_decisive(opened, self.id, self.checksum).await?;
        let damage = read.map(|record| record.verification()).filter(|check| {
            check.result == VerificationResult::Damaged
                && check.at > self.started_at
                && check.how <= self.how
        });
        let Some(damage) = damage else { return Ok(()) };
        let message = format!(
            "another check has found damage at {}, since this one began at {}; so that stands",
            damage.at, self.started_at
        );
        let error = BackupError::new(Class::Conflict, "note", self.id, message);
        Err(error.suggest(format!(
            "`teeline verify {}` says what it is like now",
            self.id
        )))
    }

    fn record(&self) -> VerificationRecord {
        VerificationRecord {
            id: self.id.clone(),
            checksum: self.checksum,
            how: self.how,
            result: match self.damage {
                [] => VerificationResult::Ok,
                _ => VerificationResult::Damaged,
            },
            by: self.by.to_owned(),
            started_at: self.started_at,
            ended_at: self.ended_at,
            bytes: self.bytes,
            damage_count: self.damage.len() as u64,
            damage: self.damage.iter().take(DAMAGE_MAX).map(recorded).collect(),
        }
    }
}

/// As much damage is written down at the most; it is how much that counts.
const DAMAGE_MAX: usize = 100;

fn recorded(damage: &Damage) -> RecordedDamage {
    RecordedDamage {
        file: damage.file.clone(),
        resource: damage.resource.clone(),
        chunk: damage.chunk,
        class: damage.class,
        message: damage.message.clone(),
    }
}

/// The bytes of an entry: names may be long, so damage is left out until the rest fits.
fn sealed(mut record: VerificationRecord) -> bytes::Bytes {
    loop {
        let sealed = document::seal(&record);
        if sealed.len() as u64 <= VerificationRecord::BYTES_MAX || record.damage.is_empty() {
            return sealed;
        }
        record.damage.truncate(record.damage.len() / 2);
    }
}
