//! What a host may ask for, as the seed has it.

use std::sync::Arc;

use teeline::{
    BackupId, CleanupRequest, DeleteRequest, DestinationSpec, Engine, RepairRequest, RepairWork,
    RestoreRequest, RestoreTarget, Retention, RetentionPolicy, Span, SyncRequest, VerifyRequest,
    Which, WhichBackups,
};

use super::{Came, Doing, Scenario, Step};
use crate::data::Restored;
use crate::oracle::{MayGo, by_check, by_cleanup, by_deletion, by_repair, by_sync};

impl Scenario {
    pub(super) fn begin(&mut self, step: Step, engine: &Engine, to: &[DestinationSpec]) -> Doing {
        let (engine, to, world) = (engine.clone(), to.to_vec(), Arc::clone(&self.world));
        let ended = move |step: &str, code: u8| world.ended(format!("{step}: exit code {code}"));
        match step {
            Step::Backup => self.backup(engine, to),
            Step::Resume => self.resume(engine, to),
            Step::Restore => self.restore(engine, to),
            Step::List => Box::pin(async move {
                ended("list", engine.list(&to).await.exit_code());
                Came::Nothing
            }),
            Step::Verify => {
                let mut request = VerifyRequest::new(to);
                request.which = WhichBackups::All;
                request.deep = self.chance(50);
                request.keys = self.oracle.keys.clone();
                Box::pin(async move {
                    let report = engine.verify(request).await;
                    ended("verify", report.exit_code());
                    Came::Told(by_check(&report))
                })
            }
            Step::Cleanup => {
                let newest = 1 + self.random.below(3);
                let count = u32::try_from(newest).unwrap_or(1);
                let mut policy = RetentionPolicy::new(Retention {
                    count: count.into(),
                    ..Retention::default()
                });
                policy.grace = self.pick(&[Span::default(), Span::from_days(1)]);
                self.may_go
                    .push(MayGo::AllBut(usize::try_from(newest).unwrap_or(1)));
                Box::pin(async move {
                    let request = CleanupRequest::new(to, policy);
                    let report = engine.cleanup(request).await;
                    ended("cleanup", report.exit_code());
                    Came::Told(by_cleanup(&report))
                })
            }
            Step::Delete => {
                let Some(id) = self.some_id() else {
                    return Box::pin(async { Came::Nothing });
                };
                let cascade = self.chance(50);
                self.may_go.push(match cascade {
                    true => MayGo::WithLinks(id.clone()),
                    false => MayGo::One(id.clone()),
                });
                let mut request = DeleteRequest::new(to, id);
                request.cascade = cascade;
                request.retention.grace = self.pick(&[Span::default(), Span::from_days(1)]);
                Box::pin(async move {
                    let report = engine.delete(request).await;
                    ended("delete", report.exit_code());
                    Came::Told(by_deletion(&report))
                })
            }
            Step::Repair => {
                let mut request = RepairRequest::everything(to);
                request.work = self.pick(&[
                    RepairWork::Manifests,
                    RepairWork::Copies,
                    RepairWork::Everything,
                ]);
                request.keys = self.oracle.keys.clone();
                Box::pin(async move {
                    let work = request.work;
                    let report = engine.repair(request).await;
                    ended(&format!("repair {work:?}"), report.exit_code());
                    Came::Completed(by_repair(&report, work != RepairWork::Manifests))
                })
            }
            Step::Sync => Box::pin(async move {
                let report = engine.sync(SyncRequest::new(to)).await;
                ended("sync", report.exit_code());
                Came::Completed(by_sync(&report))
            }),
        }
    }

    /// A backup that somebody may mean: mostly one that is listed.
    fn some_id(&self) -> Option<BackupId> {
        let ids = match self.chance(80) {
            true => self.oracle.ids().into_iter().collect(),
            false => self.oracle.made.ids(),
        };
        let number = self.random.below(ids.len() as u64);
        ids.into_iter().nth(usize::try_from(number).unwrap_or(0))
    }

    fn restore(&mut self, engine: Engine, mut from: Vec<DestinationSpec>) -> Doing {
        let which = match self.some_id() {
            Some(id) if self.chance(50) => Which::Id(id),
            _ => Which::Latest,
        };
        if self.chance(50) {
            let number = self.random.below(from.len() as u64);
            from = vec![from.swap_remove(usize::try_from(number).unwrap_or(0))];
        }
        let (world, keys) = (Arc::clone(&self.world), self.oracle.keys.clone());
        Box::pin(async move {
            let restored = Restored::default();
            let target = RestoreTarget::Custom(Box::new(restored.clone()));
            let mut request = RestoreRequest::new(which, from, target);
            request.keys = keys;
            let report = engine.restore(request).await;
            world.ended(format!("restore: exit code {}", report.exit_code()));
            Came::Restored(restored, report.status)
        })
    }
}
