//! Where things are below a destination's root.

use crate::digest::Digest;
use crate::error::BackupError;
use crate::id::BackupId;
use crate::key::ObjectKey;
use crate::time::Timestamp;
use crate::verification::{Depth, Verification, VerificationResult};

/// Marks a destination's root.
pub const MARKER: &str = "teeline.json";
/// The folder of the catalogue's entries.
pub const CATALOG: &str = "catalog";
/// What the key of an entry ends in where it isn't the entry but what withdraws the backup: it sorts right after the entry,
/// and one listing shows both.
const WITHDRAWN_SUFFIX: &str = ".withdrawn";
/// The same while what a dead run has left is removed.
const SWEPT_SUFFIX: &str = ".swept";
/// The folder of the run records.
pub const RUNS: &str = "runs";
/// The folder of the ledger of verification.
pub const VERIFICATIONS: &str = "verifications";
/// The folder of the turns of schedules, in which each schedule has one.
pub const SCHEDULES: &str = "schedules";
/// The folder of damaged objects that were moved out of their places.
pub const DAMAGED: &str = "damaged";
/// The folders at a destination's root that are no backup's.
pub const FOLDERS: [&str; 6] = [CATALOG, RUNS, VERIFICATIONS, SCHEDULES, DAMAGED, PROBES];
/// So many digits of a digest tell apart what schedules of one name do.
const SUBJECT_DIGITS: usize = 16;
/// What the key of a turn ends in where it says what came of it.
const DONE_SUFFIX: &str = ".done";
/// The folder of what probes of the destination found, and of the objects that they try it with.
pub const PROBES: &str = "probes";
/// What the folder of what stood damaged under a key ends in.
const DAMAGED_SUFFIX: &str = ".damaged";
/// So many digits of a digest tell damaged objects of one key apart.
const DAMAGED_DIGITS: usize = 16;
/// The claim of an id, in the backup's folder.
pub const RUN_CLAIM: &str = "run.json";
/// The manifest, in the backup's folder.
pub const MANIFEST: &str = "manifest.json";
/// The database's own `s3db.json`, byte for byte, in the backup's folder.
pub const DATABASE_CATALOGUE: &str = "_database.json";
/// The documented export of the schemas, in the backup's folder.
pub const SCHEMA_EXPORT: &str = "s3db.json";

/// The folder of the key objects of a sealed backup, in the backup's folder.
pub const KEYS: &str = "keys";

/// What the names of files begin with that say that a run is taken up.
const RESUMED: &str = "resumed-";

/// Lies at the root of a database that is being restored.
pub const RESTORE_MARKER: &str = "teeline-restore.json";

/// The key of the marker.
///
/// # Errors
/// Never: the name is a key.
pub fn marker() -> Result<ObjectKey, BackupError> {
    ObjectKey::new(MARKER)
}

/// The key of a backup's entry in the catalogue. The newest sorts first.
///
/// # Errors
/// Never: an id is a component.
pub fn catalog_entry(id: &BackupId, started_at: Timestamp) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{CATALOG}/{}-{id}", started_at.inverted()))
}

/// The backup that a key in the catalogue is about.
pub fn catalog_entry_id(key: &ObjectKey) -> Option<BackupId> {
    catalog_entry_of(key).map(|(_, id)| id)
}

/// When the backup that a key in the catalogue is about began, as the key has it, and its id.
pub fn catalog_entry_of(key: &ObjectKey) -> Option<(Timestamp, BackupId)> {
    let (inverted, id) = key.file_name().split_once('-')?;
    Some((Timestamp::from_inverted(inverted)?, id.parse().ok()?))
}

/// The key of what withdraws the backup whose entry in the catalogue has, had or would have the key `entry`.
///
/// # Errors
/// Never: a key of the catalogue is short.
pub fn withdrawal(entry: &ObjectKey) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{entry}{WITHDRAWN_SUFFIX}"))
}

/// The same while what a dead run has left is removed; it goes with that.
///
/// # Errors
/// Never: a key of the catalogue is short.
pub fn sweep(entry: &ObjectKey) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{entry}{SWEPT_SUFFIX}"))
}

/// The backup that is withdrawn by what has the key `withdrawal`, or the run that is being swept.
pub fn withdrawn_id(withdrawal: &ObjectKey) -> Option<BackupId> {
    catalog_entry_id(&withdrawn_entry(withdrawal)?)
}

/// The key that its entry has, had or would have.
pub fn withdrawn_entry(withdrawal: &ObjectKey) -> Option<ObjectKey> {
    let key = withdrawal.as_str();
    let entry = key.strip_suffix(WITHDRAWN_SUFFIX);
    let entry = entry.or_else(|| key.strip_suffix(SWEPT_SUFFIX))?;
    ObjectKey::new(entry).ok()
}

/// Whether that is of a dead run.
pub fn is_sweep(withdrawal: &ObjectKey) -> bool {
    withdrawal.as_str().ends_with(SWEPT_SUFFIX)
}

/// The key of the record of a run that ended at `ended_at`.
///
/// # Errors
/// Never: an id is a component.
pub fn run_record(id: &BackupId, ended_at: Timestamp) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{RUNS}/{id}-{}", ended_at.unix_ms()))
}

/// The backup that a key among the run records is about.
pub fn run_record_id(key: &ObjectKey) -> Option<BackupId> {
    named_by_run_record(key).map(|(id, _)| id)
}

/// The backup that a key among the run records is about, and when that run ended.
pub fn named_by_run_record(key: &ObjectKey) -> Option<(BackupId, Timestamp)> {
    let (id, ended) = key.file_name().rsplit_once('-')?;
    let is_number = ended.bytes().all(|b| b.is_ascii_digit());
    let ended_ms = ended.parse().ok().filter(|_| is_number)?;
    Some((id.parse().ok()?, Timestamp::from_unix_ms(ended_ms)))
}

/// The key of a check's entry in the ledger, which says all that a listing needs.
///
/// # Errors
/// Never: an id is a component.
pub fn verification(of: &Verification) -> Result<ObjectKey, BackupError> {
    let Verification {
        id,
        at,
        how,
        result,
    } = of;
    let ended = at.unix_ms();
    ObjectKey::new(format!(
        "{VERIFICATIONS}/{id}-{ended}-{how}-{}",
        result.name()
    ))
}

/// The check that a key in the ledger is about.
pub fn verification_of(key: &ObjectKey) -> Option<Verification> {
    let (rest, result) = key.file_name().rsplit_once('-')?;
    let (rest, how) = rest.rsplit_once('-')?;
    let (id, ended) = rest.rsplit_once('-')?;
    let mut results = VerificationResult::ALL.into_iter();
    let found = Verification {
        id: id.parse().ok()?,
        at: Timestamp::from_unix_ms(ended.parse().ok()?),
        how: Depth::ALL.into_iter().find(|known| known.name() == how)?,
        result: results.find(|known| known.name() == result)?,
    };
    // Of each check there is one key.
    let is_its = verification(&found).is_ok_and(|its| its == *key);
    is_its.then_some(found)
}

/// The folder of the turns of all schedules of one name. Right in it are those of earlier versions, which didn't tell apart what
/// these do.
///
/// # Errors
/// Where the name isn't one of a schedule.
pub fn turns_of(schedule: &str) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{SCHEDULES}/{schedule}"))
}

/// The folder of the turns of those schedules of a name that do the same, of which `subject` is a digest.
///
/// # Errors
/// As [`turns_of`].
pub fn turns_about(schedule: &str, subject: Digest) -> Result<ObjectKey, BackupError> {
    turns_of(schedule)?.join(&subject.to_string()[..SUBJECT_DIGITS])
}

/// The key of a turn for the time `at` in the folder `turns`, when it is taken for the `attempt`th time, from 0.
///
/// # Errors
/// Never: such a key is short.
pub fn turn(turns: &ObjectKey, at: Timestamp, attempt: u32) -> Result<ObjectKey, BackupError> {
    turns.join(&format!("{}-{attempt}", at.unix_ms()))
}

/// The key of what says what came of the turn with the key `turn`.
///
/// # Errors
/// Never: such a key is short.
pub fn turn_end(turn: &ObjectKey) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{turn}{DONE_SUFFIX}"))
}

/// The folder, the time and the attempt that the key of a turn, or of its end, is about.
pub fn turn_of(key: &ObjectKey) -> Option<(ObjectKey, Timestamp, u32)> {
    let (folder, name) = key.as_str().rsplit_once('/')?;
    let whose = folder.strip_prefix(SCHEDULES)?.strip_prefix('/')?;
    if let Some((_, subject)) = whose.split_once('/')
        && !is_beginning_of_digest(subject, SUBJECT_DIGITS)
    {
        return None;
    }
    let (at, attempt) = name
        .strip_suffix(DONE_SUFFIX)
        .unwrap_or(name)
        .split_once('-')?;
    let at = Timestamp::from_unix_ms(at.parse().ok()?);
    let found = (ObjectKey::new(folder).ok()?, at, attempt.parse().ok()?);
    let its = turn(&found.0, at, found.2).ok()?;
    let is_its = *key == its || turn_end(&its).is_ok_and(|end| *key == end);
    is_its.then_some(found)
}

/// Whether a key says what came of a turn.
pub fn is_turn_end(key: &ObjectKey) -> bool {
    key.as_str().ends_with(DONE_SUFFIX)
}

/// The key of what a probe found that was made at `at`; `token`, which is random, tells it from others of that time.
///
/// # Errors
/// Where the token is no component of a key.
pub fn probe_record(at: Timestamp, token: &str) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{PROBES}/{}-{token}", at.unix_ms()))
}

/// When the probe was made that a key is about.
pub fn probe_record_at(key: &ObjectKey) -> Option<Timestamp> {
    let name = key.as_str().strip_prefix(PROBES)?.strip_prefix('/')?;
    let (at, token) = name.split_once('-')?;
    let at = Timestamp::from_unix_ms(at.parse().ok()?);
    let is_its = probe_record(at, token).is_ok_and(|its| its == *key);
    (is_its && !token.contains('/')).then_some(at)
}

/// The folder of the objects that a probe tries a destination with.
///
/// # Errors
/// As [`probe_record`].
pub fn probe_objects(token: &str) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{PROBES}/objects-{token}"))
}

/// Whether a key is of an object that a probe tries a destination with.
pub fn is_probe_object(key: &ObjectKey) -> bool {
    let below = key.as_str().strip_prefix(PROBES);
    below.is_some_and(|below| below.starts_with("/objects-"))
}

/// The folder of what stood damaged under a key, and was moved away. Its name isn't that of a run's folder, whatever the key.
///
/// # Errors
/// Where the key is so long that this one can't be.
pub fn damaged_of(key: &ObjectKey) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{DAMAGED}/{key}{DAMAGED_SUFFIX}"))
}

/// The key under which a damaged object is kept; the beginning of `digest` tells it from others that stood under the same key.
///
/// # Errors
/// As [`damaged_of`].
pub fn damaged(key: &ObjectKey, digest: Digest) -> Result<ObjectKey, BackupError> {
    damaged_of(key)?.join(&digest.to_string()[..DAMAGED_DIGITS])
}

/// Whether a key is below the folder of damaged objects that were moved out of their places.
pub fn is_damaged(key: &ObjectKey) -> bool {
    let below = key.as_str().strip_prefix(DAMAGED);
    below.is_some_and(|below| below.starts_with('/'))
}

/// Where what is kept under this key was found damaged.
pub fn damaged_at(kept: &ObjectKey) -> Option<ObjectKey> {
    let (folder, name) = kept.as_str().rsplit_once('/')?;
    let is_digest = is_beginning_of_digest(name, DAMAGED_DIGITS);
    let key = folder.strip_prefix(DAMAGED)?.strip_prefix('/')?;
    let key = key.strip_suffix(DAMAGED_SUFFIX).filter(|_| is_digest)?;
    ObjectKey::new(key).ok()
}

fn is_beginning_of_digest(name: &str, digits: usize) -> bool {
    name.len() == digits && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Where a key object of this name is, in the backup's folder.
pub fn key_object(name: &str) -> String {
    format!("{KEYS}/{name}")
}

/// What says, in the backup's folder, that a run is taken up for the time of this number, from 1.
pub fn resumption(number: u32) -> String {
    format!("{RESUMED}{number:04}.json")
}

/// For which time a file of this name says that a run is taken up.
pub fn resumption_number(file: &str) -> Option<u32> {
    let digits = file.strip_prefix(RESUMED)?.strip_suffix(".json")?;
    let number = digits.parse().ok()?;
    (resumption(number) == file).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_withdraws_a_backup_sorts_right_after_its_entry() {
        let id: BackupId = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
        let began = |ms: i64| Timestamp::from_unix_ms(1_795_399_200_000 + ms);
        let entry = catalog_entry(&id, began(1)).unwrap();
        let [newer, older] = [2, 0].map(|ms| catalog_entry(&id, began(ms)).unwrap());
        let keys = [withdrawal(&entry), sweep(&entry)].map(Result::unwrap);
        for key in &keys {
            assert_eq!(withdrawn_id(key), Some(id.clone()));
            assert_eq!(catalog_entry_id(key), None);
            assert!(newer < entry && entry < *key && *key < older);
        }
        assert_eq!(keys.each_ref().map(is_sweep), [false, true]);
        assert_eq!(withdrawn_id(&entry), None);
    }

    #[test]
    fn what_is_kept_of_damaged_objects_says_where_it_stood_and_is_in_no_folder_of_a_run() {
        let id = "full-2026-11-23T02-00-00-k3j9x0q2mz";
        for stood in [
            format!("{id}/run.json"),
            format!("runs/{id}-1"),
            format!("catalog/000000000000000-{id}"),
            "teeline.json".to_owned(),
        ] {
            let key = ObjectKey::new(stood).unwrap();
            let kept = damaged(&key, Digest::of(b"x")).unwrap();
            assert_eq!(damaged_at(&kept), Some(key.clone()));
            let folder = damaged_of(&key).unwrap();
            assert!(kept.as_str().starts_with(&format!("{folder}/")));
            assert!(folder.file_name().parse::<BackupId>().is_err());
            assert_eq!(damaged_at(&key), None);
        }
    }

    #[test]
    fn the_key_of_a_turn_and_of_its_end_say_which_it_is_and_no_other_key_does() {
        let at = Timestamp::from_unix_ms(1_795_399_200_000);
        let subject = Digest::of(b"x");
        let own = turns_about("each-night", subject).unwrap();
        let all = turns_of("each-night").unwrap();
        let digits = &subject.to_string()[..16];
        for (folder, key) in [
            (
                own,
                format!("schedules/each-night/{digits}/1795399200000-2"),
            ),
            (all, "schedules/each-night/1795399200000-2".to_owned()),
        ] {
            let taken = turn(&folder, at, 2).unwrap();
            assert_eq!(taken.as_str(), key);
            let end = turn_end(&taken).unwrap();
            for key in [&taken, &end] {
                assert_eq!(turn_of(key), Some((folder.clone(), at, 2)));
            }
            assert_eq!([&taken, &end].map(is_turn_end), [false, true]);
        }
        for other in [
            "schedules/a/1",
            "schedules/a/01-0",
            "schedules/a/b/1-0",
            "schedules/1-0",
            "schedules/a/0123456789abcdef/b/1-0",
            "runs/a/1-0",
        ] {
            assert_eq!(turn_of(&ObjectKey::new(other).unwrap()), None, "{other}");
        }
    }

    #[test]
    fn the_key_of_a_probe_says_when_it_was_and_its_objects_are_none() {
        let at = Timestamp::from_unix_ms(1_795_399_200_123);
        let key = probe_record(at, "k3j9x0q2mz").unwrap();
        assert_eq!(key.as_str(), "probes/1795399200123-k3j9x0q2mz");
        assert_eq!(probe_record_at(&key), Some(at));
        let object = probe_objects("k3j9x0q2mz").unwrap().join("once").unwrap();
        for other in [
            object.as_str(),
            "probes/1-a/b",
            "probes/01-a",
            "runs/1-a",
            "probes/1",
        ] {
            assert_eq!(
                probe_record_at(&ObjectKey::new(other).unwrap()),
                None,
                "{other}"
            );
        }
    }

    #[test]
    fn the_key_of_a_check_says_what_it_was_and_no_other_key_does() {
        let check = Verification {
            id: "my-own-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap(),
            at: Timestamp::from_unix_ms(1_795_399_200_123),
            how: Depth::Decoded,
            result: VerificationResult::Damaged,
        };
        let key = verification(&check).unwrap();
        assert_eq!(
            key.as_str(),
            "verifications/my-own-2026-11-23T02-00-00-k3j9x0q2mz-1795399200123-decoded-damaged"
        );
        assert_eq!(verification_of(&key), Some(check));
        assert_eq!(run_record_id(&key), None);
        for other in [
            "verifications/full-2026-11-23T02-00-00-k3j9x0q2mz-1-decoded",
            "verifications/full-2026-11-23T02-00-00-k3j9x0q2mz-1-thought-ok",
            "verifications/full-2026-11-23T02-00-00-k3j9x0q2mz-01-size-ok",
            "verifications/full-2026-11-23T02-00-00-k3j9x0q2mz-+1-size-ok",
            "verifications/full-2026-11-23T02-00-00-k3j9x0q2mz-99999999999999999999-size-ok",
            "verifications/1-size-ok",
            "elsewhere/full-2026-11-23T02-00-00-k3j9x0q2mz-1-size-ok",
        ] {
            assert_eq!(
                verification_of(&ObjectKey::new(other).unwrap()),
                None,
                "{other}"
            );
        }
    }
}
