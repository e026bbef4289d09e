//! The ledger of verification: what each check of a copy came to, kept at the destination that the copy is at.

use std::cmp::Reverse;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{self, Document};
use crate::error::Class;
use crate::id::BackupId;
use crate::time::Timestamp;

/// How thoroughly a copy was checked, the least first: each has what those before it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// Some of its data is archived: the sizes of that are right, and all else was read.
    Size,
    /// Every stored byte was compared with its digest.
    Digest,
    /// All of it was decoded, parsed and counted as well.
    Decoded,
    /// It was restored from there alone, and what was restored was counted.
    Restored,
}

impl Depth {
    /// Every one.
    pub const ALL: [Depth; 4] = [Depth::Size, Depth::Digest, Depth::Decoded, Depth::Restored];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Depth::Size => "size",
            Depth::Digest => "digest",
            Depth::Decoded => "decoded",
            Depth::Restored => "restored",
        }
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a check of a copy found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerificationResult {
    /// All of it was right.
    Ok,
    /// Something of it was wrong or missing.
    Damaged,
}

impl VerificationResult {
    /// Every one.
    pub const ALL: [VerificationResult; 2] = [VerificationResult::Ok, VerificationResult::Damaged];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            VerificationResult::Ok => "ok",
            VerificationResult::Damaged => "damaged",
        }
    }
}

/// A check of a copy, as the key of its entry in the ledger says it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Verification {
    /// The backup.
    pub id: BackupId,
    /// When the check ended.
    pub at: Timestamp,
    /// How thorough it was.
    pub how: Depth,
    /// What it found.
    pub result: VerificationResult,
}

impl Verification {
    /// The newest of a backup's sorts first; of two that ended at once the more thorough one, and the one that found damage.
    fn place(&self) -> Reverse<(Timestamp, Depth, VerificationResult)> {
        Reverse((self.at, self.how, self.result))
    }
}

/// What the checks of one copy come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verifications {
    /// Those that no newer one that was as thorough has taken the place of, the newest first: one of each depth at the most.
    standing: Vec<Verification>,
    /// The others.
    superseded: Vec<Verification>,
}

impl Verifications {
    /// Of these, which are all of one backup.
    pub fn of(mut all: Vec<Verification>) -> Self {
        all.sort_by_key(Verification::place);
        all.dedup();
        let mut verifications = Verifications::default();
        for one in all {
            let newer = verifications.standing.iter();
            match newer.map(|newer| newer.how).max() {
                Some(deepest) if deepest >= one.how => verifications.superseded.push(one),
                _ => verifications.standing.push(one),
            }
        }
        verifications
    }

    /// The one that says what the copy is worth: the newest that found damage which nobody who looked as closely has found
    /// gone since; or else the newest.
    pub fn decisive(&self) -> Option<&Verification> {
        let is_damage = |one: &&Verification| one.result == VerificationResult::Damaged;
        let damage = self.standing.iter().find(is_damage);
        damage.or_else(|| self.standing.first())
    }

    /// When somebody last looked.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.standing.first().map(|newest| newest.at)
    }

    /// Those that say nothing any more.
    pub fn superseded(&self) -> &[Verification] {
        &self.superseded
    }
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationRecord {
    /// The backup.
    pub id: BackupId,
    /// BLAKE3 of the manifest that the catalogue named.
    pub checksum: Digest,
    /// How thorough the check was.
    pub how: Depth,
    /// What it found.
    pub result: VerificationResult,
    /// What made it: `verify`, `validate`, `scrub`, `drill`, `repair`, `sync`.
    pub by: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Bytes that were read and found right.
    pub bytes: u64,
    /// How much was wrong.
    pub damage_count: u64,
    /// Of that, as much as fits.
    pub damage: Vec<RecordedDamage>,
}

/// Something that was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedDamage {
    /// The file below the destination's root.
    pub file: String,
    /// The resource; absent for files that belong to the backup as a whole.
    pub resource: Option<String>,
    /// The number of the chunk in the file, from 0; absent where the file as a whole is at fault.
    pub chunk: Option<u32>,
    /// What may be done.
    pub class: Class,
    /// What was wrong.
    pub message: String,
}

impl VerificationRecord {
    /// What the key of this entry says.
    pub fn verification(&self) -> Verification {
        Verification {
            id: self.id.clone(),
            at: self.ended_at,
            how: self.how,
            result: self.result,
        }
    }
}

impl Document for VerificationRecord {
    const FORMAT: &'static str = "teeline-verification";
    const VERSION: u32 = 1;
    /// Writers leave damage out that doesn't fit.
    const BYTES_MAX: u64 = document::SMALL_BYTES_MAX;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use VerificationResult::{Damaged, Ok as Right};

    fn check(at: i64, how: Depth, result: VerificationResult) -> Verification {
        Verification {
            id: "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap(),
            at: Timestamp::from_unix_ms(at),
            how,
            result,
        }
    }

    fn decisive(checks: &[(i64, Depth, VerificationResult)]) -> Option<(i64, VerificationResult)> {
        let all = checks
            .iter()
            .map(|(at, how, result)| check(*at, *how, *result));
        let verifications = Verifications::of(all.collect());
        verifications
            .decisive()
            .map(|one| (one.at.unix_ms(), one.result))
    }

    #[test]
    fn damage_stands_until_somebody_looks_as_closely_and_finds_none() {
        let found = (2, Depth::Digest, Damaged);
        assert_eq!(decisive(&[]), None);
        assert_eq!(
            decisive(&[(1, Depth::Restored, Right), found]),
            Some((2, Damaged))
        );
        assert_eq!(
            decisive(&[found, (3, Depth::Size, Right)]),
            Some((2, Damaged))
        );
        assert_eq!(
            decisive(&[found, (3, Depth::Digest, Right)]),
            Some((3, Right))
        );
        assert_eq!(
            decisive(&[found, (3, Depth::Decoded, Right)]),
            Some((3, Right))
        );
        assert_eq!(
            decisive(&[(2, Depth::Digest, Right), found]),
            Some((2, Damaged))
        );
    }

    proptest! {
        #[test]
        fn what_is_superseded_can_go_and_nothing_is_said_otherwise(
            checks in prop::collection::vec((0i64..20, 0usize..4, 0usize..2), 0..30),
        ) {
            let all: Vec<Verification> = checks
                .into_iter()
                .map(|(at, how, result)| check(at, Depth::ALL[how], VerificationResult::ALL[result]))
                .collect();
            let before = Verifications::of(all.clone());
            prop_assert!(before.standing.len() <= Depth::ALL.len());
            let left = |one: &&Verification| !before.superseded.contains(one);
            let after = Verifications::of(all.iter().filter(left).cloned().collect());
            prop_assert_eq!(before.decisive(), after.decisive());
            prop_assert_eq!(before.last_at(), after.last_at());
            prop_assert!(after.superseded.is_empty());
            prop_assert_eq!(before.last_at(), all.iter().map(|one| one.at).max());
        }
    }
}
