//! What is done while something goes wrong, and once more.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use teeline::sinks::What;
use teeline::{
    BackupId, Class, CleanupRequest, DestinationSpec, Engine, KeyChange, Keys, KeysRequest,
    RepairRequest, RestoreRequest, RestoreStatus, RestoreTarget, Resume, Retention,
    RetentionPolicy, Span, SyncRequest, Which, exit,
};
use tokio::time::{Duration, sleep};

use super::stores::Stores;
use super::{Doing, Ran, Set, Wrong};
use crate::data::Restored;
use crate::oracle::{
    Made, Reported, Told, by_cleanup, by_repair, by_sync, emitted_the_truth, name, restore,
};
use crate::secrets::{opened_by, recipient};

/// Something is done where a destination goes wrong, and then again.
pub(super) struct Scene<'a> {
    pub(super) engine: Engine,
    pub(super) stores: Stores,
    pub(super) set: &'a Set,
}

/// The backups that each destination lists.
pub(super) type Listed = [BTreeSet<BackupId>; 2];

/// What came of doing it.
pub(super) struct Came {
    pub(super) is_success: bool,
    /// The report.
    pub(super) said: String,
    /// That of a backup.
    pub(super) reported: Option<Reported>,
    /// What that of anything else says.
    pub(super) told: Vec<Told>,
}

/// Whether it is done for the first time, or once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    First,
    Again,
}

impl Scene<'_> {
    /// The destination with the number `at` goes wrong.
    pub(super) async fn run(&self, wrong: Wrong, at: usize, nth: u64) -> Result<Ran, String> {
        let made = self.set.made.clone();
        let (failing, hits) = self.stores.failing(wrong, at, nth)?;
        let came = self.act(&failing, &made, Turn::First).await?;
        // What a store calls archived nobody can read: a copy is whole then by its sizes, and listed.
        let is_archived = matches!(wrong, Wrong::Store(_, What::Fail(Class::Archived)));
        let is_attested = came.is_success && is_archived && self.set.doing == Doing::Heal;
        let listed = match is_attested {
            true => Default::default(),
            false => self.look(&made).await?,
        };
        let was_hit = hits.load(Ordering::Relaxed) > 0;
        if !is_attested {
            self.stays(&listed, &self.set.to_stay)?;
            self.says_the_truth(&came, &listed).await?;
            if came.is_success {
                let told = if was_hit { &came.told[..] } else { &[] };
                let done = self.is_done(&listed, &made, told).await;
                done.map_err(|lacks| format!("P2: said to be done, {lacks}: {}", came.said))?;
            }
        }
        self.loses_no_byte().await?;
        if !was_hit && !came.is_success {
            return Err(format!("without a fault it fails: {}", came.said));
        }
        if !was_hit && self.set.doing.resumes() && !self.was_gone_on_with(&came) {
            return Err(format!("it wasn't gone on with: {}", came.said));
        }
        let is_damaged = matches!(wrong, Wrong::Store(_, What::FlipBit | What::LoseByte));
        if !(is_damaged && self.set.doing == Doing::Sync && self.says_what_is_in_the_way().await?) {
            self.again(&listed, &made).await?;
        }
        match self.engine.is_idle() {
            true => Ok(Ran {
                was_hit,
                is_success: came.is_success,
            }),
            false => Err("P6: the engine isn't idle".to_owned()),
        }
    }

    /// Whether the run that broke off became the backup, and what was there of it stayed.
    fn was_gone_on_with(&self, came: &Came) -> bool {
        let report = came.reported.as_ref().map(|reported| &reported.report);
        report.is_some_and(|report| {
            let resumed = report.resumed.as_ref();
            report.id == self.set.unfinished && resumed.is_some_and(|it| it.bytes_not_sent > 0)
        })
    }

    /// How a run that broke off is taken up, if there is one. The next time it may be a backup.
    fn resume(&self, turn: Turn) -> Option<Resume> {
        match (self.set.doing, turn, &self.set.unfinished) {
            (Doing::Resume, Turn::First, Some(id)) => Some(Resume::Run(id.clone())),
            (doing, ..) if doing.resumes() => Some(Resume::Unfinished),
            _ => None,
        }
    }

    /// Done again, when nothing goes wrong, it is done, and all is right: also what was listed `before`.
    async fn again(&self, before: &Listed, made: &Made) -> Result<(), String> {
        sleep(Duration::from_secs(60)).await;
        let came = self
            .act(&self.stores.destinations()?, made, Turn::Again)
            .await?;
        if !came.is_success {
            return Err(format!("P4: done again, it fails: {}", came.said));
        }
        let listed = self.look(made).await?;
        if self.set.doing != Doing::Cleanup {
            self.stays(&listed, before)?;
        }
        self.says_the_truth(&came, &listed).await?;
        let done = self.is_done(&listed, made, &[]).await;
        done.map_err(|lacks| format!("P4: in the end {lacks}: {}", came.said))?;
        self.loses_no_byte().await
    }

    /// Whether a copy can't be completed since a file of it is damaged, which is named: what is there is never replaced.
    async fn says_what_is_in_the_way(&self) -> Result<bool, String> {
        let request = SyncRequest::new(self.stores.destinations()?);
        let report = self.engine.sync(request).await;
        let copies = report.backups.iter().flat_map(|it| &it.destinations);
        let mut errors = copies.filter_map(|copy| copy.error.as_ref());
        Ok(errors.any(|error| error.class == Class::Corrupt && error.message.contains(&name(0))))
    }

    async fn act(&self, to: &[DestinationSpec], made: &Made, turn: Turn) -> Result<Came, String> {
        let (engine, to) = (&self.engine, to.to_vec());
        let (code, said, told) = match self.set.doing {
            Doing::Backup | Doing::Sealed | Doing::Link | Doing::Resume | Doing::ResumeSealed => {
                let resume = self.resume(turn);
                let reported = self.set.back_up(engine, to, made, 3, resume).await;
                return Ok(Came {
                    is_success: reported.report.exit_code() == exit::DONE,
                    said: format!("{:?}", reported.report),
                    reported: Some(reported),
                    told: Vec::new(),
                });
            }
            Doing::Restore | Doing::RestoreLink => {
                return self.restore(to[..1].to_vec(), made).await;
            }
            Doing::Cleanup => {
                let newest = Retention {
                    count: 1,
                    ..Retention::default()
                };
                let mut policy = RetentionPolicy::new(newest);
                policy.grace = Span::default();
                // So that what stays is folded where lists come in pages.
                policy.dead_after = Span::default();
                let request = CleanupRequest::new(to, policy);
                let report = engine.cleanup(request).await;
                (
                    report.exit_code(),
                    format!("{report:?}"),
                    by_cleanup(&report),
                )
            }
            Doing::Repair => {
                let mut request = RepairRequest::rebuild_manifests(to);
                // Otherwise one whose files are young is passed over.
                request.id = self.set.newer.clone();
                let report = engine.repair(request).await;
                let told = by_repair(&report, true);
                (report.exit_code(), format!("{report:?}"), told)
            }
            Doing::Heal => {
                let mut request = RepairRequest::heal(to);
                request.id = self.set.newer.clone();
                let report = engine.repair(request).await;
                let told = by_repair(&report, true);
                (report.exit_code(), format!("{report:?}"), told)
            }
            Doing::Sync => {
                let report = engine.sync(SyncRequest::new(to)).await;
                (report.exit_code(), format!("{report:?}"), by_sync(&report))
            }
            Doing::KeyChange => {
                let mut request = KeysRequest::new(to);
                request.keys = opened_by(&[1, 2]);
                request.change = KeyChange::Rotate(vec![recipient(2)]);
                let report = engine.keys(request).await;
                (report.exit_code(), format!("{report:?}"), Vec::new())
            }
        };
        Ok(Came {
            is_success: code == exit::DONE,
            said,
            reported: None,
            told,
        })
    }

    async fn restore(&self, from: Vec<DestinationSpec>, made: &Made) -> Result<Came, String> {
        let restored = Restored::default();
        let target = RestoreTarget::Custom(Box::new(restored.clone()));
        let request = RestoreRequest::new(Which::Latest, from, target);
        let report = self.engine.restore(request).await;
        emitted_the_truth(made, &restored, report.status)?;
        Ok(Came {
            is_success: report.status == RestoreStatus::Completed,
            said: format!("{report:?}"),
            reported: None,
            told: Vec::new(),
        })
    }

    /// What each destination lists: each restores from there alone.
    async fn look(&self, made: &Made) -> Result<Listed, String> {
        let keys = match self.set.doing.is_sealed() {
            true => opened_by(&[1, 2]),
            false => Keys::default(),
        };
        let mut all = Listed::default();
        for (number, destination) in self.stores.destinations()?.into_iter().enumerate() {
            let alone = vec![destination];
            let mut now = BTreeSet::new();
            for backup in self.engine.list(&alone).await.backups {
                if made.lines(&backup.id).is_empty() {
                    return Err(format!("P3: {} lists what nobody made", name(number)));
                }
                restore(&self.engine, &alone, &backup.id, made, &keys)
                    .await?
                    .map_err(|wrong| format!("P1: {}: {wrong}", name(number)))?;
                now.insert(backup.id);
            }
            all[number] = now;
        }
        Ok(all)
    }
}
