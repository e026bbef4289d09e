//! The backups that a scene is about, as the rules see them.

use teeline_core::chain::{Linked, Links};
use teeline_core::{
    BackupId, BackupRef, BackupType, DestinationReport, DestinationStatus, Digest, Retained,
    Retention, RunRecord, RunStatus, TimeZone, Timestamp, Verified,
};

use crate::world::{BackupNumber, Place};

/// 2026-11-23T02:00:00Z; the backups follow each other by a day.
const FIRST_MS: i64 = 1_795_399_200_000;
const DAY_MS: i64 = 86_400_000;
const LOCATION: &str = "here";

/// A backup, by its number, and the one that it goes on from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) parent: Option<BackupNumber>,
}

fn began(number: BackupNumber) -> Timestamp {
    Timestamp::from_unix_ms(FIRST_MS + DAY_MS * number as i64)
}

fn id(number: BackupNumber) -> BackupId {
    let random = [b'a' + u8::try_from(number).unwrap_or(0); 10];
    let backup_type: BackupType = "full".parse().expect("a type");
    BackupId::new(&backup_type, began(number), &random)
}

fn reference(number: BackupNumber) -> BackupRef {
    let id = id(number);
    BackupRef {
        started_at: began(number),
        checksum: Digest::of(id.as_str().as_bytes()),
        id,
    }
}

/// Which backups need which, of those whose entries are seen.
pub(crate) fn needing(
    plans: &[Planned],
    seen: &[BackupNumber],
    number: BackupNumber,
) -> Vec<BackupNumber> {
    let linked = seen.iter().map(|seen| Linked {
        backup: reference(*seen),
        parent: plans[*seen].parent.map(reference),
    });
    let needing = Links::new(linked).needing(&id(number));
    let all = 0..plans.len();
    let number_of = |backup: BackupRef| all.clone().find(|number| id(*number) == backup.id);
    needing.into_iter().filter_map(number_of).collect()
}

/// Which of the listed backups no rule keeps, where the newest one is to be kept: first what needs others.
pub(crate) fn expired(plans: &[Planned], listed: &[BackupNumber]) -> Vec<BackupNumber> {
    let retained: Vec<Retained> = listed
        .iter()
        .map(|number| Retained {
            id: id(*number),
            started_at: began(*number),
            is_verified: false,
            parent: plans[*number].parent.map(id),
        })
        .collect();
    let rules = Retention {
        count: 1,
        ..Retention::default()
    };
    let now = began(plans.len());
    let judged = rules.judge(&retained, now, TimeZone::default());
    // The newest is judged first, and needs those before it.
    let goes = judged.iter().filter(|judged| !judged.is_kept());
    goes.filter_map(|judged| {
        listed
            .iter()
            .copied()
            .find(|number| id(*number) == judged.id)
    })
    .collect()
}

/// The record that a run has left at a place, if there is one.
pub(crate) fn record(place: &Place, number: BackupNumber) -> Option<RunRecord> {
    let status = place.copies[number].record?;
    Some(RunRecord {
        id: id(number),
        backup_type: "full".parse().expect("a type"),
        schedule: None,
        subject: None,
        resumed: None,
        attempt: 0,
        status: match status {
            DestinationStatus::Committed => RunStatus::Completed,
            _ => RunStatus::Failed,
        },
        started_at: began(number),
        ended_at: began(number),
        checksum: None,
        asked_for: None,
        error: None,
        destinations: vec![DestinationReport {
            name: LOCATION.to_owned(),
            location: LOCATION.to_owned(),
            status,
            required: false,
            bytes: 1,
            segments: 1,
            verified: Verified::Read,
            retries: 0,
            duration_ms: 0,
            lag_bytes_max: 0,
            spooled_bytes: 0,
            kept_bytes: 0,
            error: None,
        }],
    })
}

/// What the record at a place says.
pub(crate) fn recorded(place: &Place, number: BackupNumber) -> teeline_core::commit::Recorded {
    let record = record(place, number);
    teeline_core::commit::Recorded::of(record.iter(), LOCATION)
}
