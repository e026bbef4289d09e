//! What a host may ask for, as the seed has it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use teeline::{
    BackupId, BackupRequest, CleanupRequest, Compression, DeleteRequest, DestinationSpec, Engine,
    ProgressEvent, RepairRequest, RestoreRequest, RestoreTarget, Retention, RetentionPolicy, Span,
    StrategyKind, SyncRequest, Verification, VerifyRequest, Which, WhichBackups,
};

use super::{Came, Doing, Scenario, Step};
use crate::data::{Records, Restored, SourceFault, lines};
use crate::oracle::{MayGo, Reported};

impl Scenario {
    pub(super) fn begin(&mut self, step: Step, engine: &Engine, to: &[DestinationSpec]) -> Doing {
        let (engine, to, world) = (engine.clone(), to.to_vec(), Arc::clone(&self.world));
        let ended = move |step: &str, code: u8| world.ended(format!("{step}: exit code {code}"));
        match step {
            Step::Backup => self.backup(engine, to),
            Step::Restore => self.restore(engine, to),
            Step::List => Box::pin(async move {
                ended("list", engine.list(&to).await.exit_code());
                Came::Nothing
            }),
            Step::Verify => {
                let mut request = VerifyRequest::new(to);
                request.which = WhichBackups::All;
                request.deep = self.chance(50);
                Box::pin(async move {
                    ended("verify", engine.verify(request).await.exit_code());
                    Came::Nothing
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
                    ended("cleanup", engine.cleanup(request).await.exit_code());
                    Came::Nothing
                })
            }
            Step::Delete => {
                let Some(id) = self.some_id() else {
                    return Box::pin(async { Came::Nothing });
                };
                self.may_go.push(MayGo::One(id.clone()));
                let mut request = DeleteRequest::new(to, id);
                request.retention.grace = self.pick(&[Span::default(), Span::from_days(1)]);
                Box::pin(async move {
                    let report = engine.delete(request).await;
                    ended("delete", report.exit_code());
                    Came::Nothing
                })
            }
            Step::Repair => Box::pin(async move {
                let request = RepairRequest::rebuild_manifests(to);
                ended("repair", engine.repair(request).await.exit_code());
                Came::Completed
            }),
            Step::Sync => Box::pin(async move {
                ended("sync", engine.sync(SyncRequest::new(to)).await.exit_code());
                Came::Completed
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

    fn backup(&mut self, engine: Engine, to: Vec<DestinationSpec>) -> Doing {
        self.runs += 1;
        let bytes = self.pick(&[0, 300, 3_000, 12_000]);
        let lines = Arc::new(lines(&self.random, self.runs, bytes));
        let strategy = match self.random.below(5) {
            0 | 1 => StrategyKind::All,
            2 => StrategyKind::Any,
            3 => StrategyKind::Priority,
            _ => {
                let needed = 1 + self.random.below(to.len() as u64);
                StrategyKind::Quorum(usize::try_from(needed).unwrap_or(1))
            }
        };
        let fault = self.pick(&[SourceFault::Fails, SourceFault::Panics]);
        let fault = self.chance(8).then(|| (1 + self.random.below(12), fault));
        if fault.is_some() {
            self.world.count_fault("source");
        }
        let source = Records {
            lines: Arc::clone(&lines),
            fault,
            pause: Duration::from_millis(self.pick(&[0, 0, 5, 2_000])),
        };
        let mut request = BackupRequest::new(source, to);
        request.strategy = strategy;
        request.block_bytes = Some(self.pick(&[512, 2 << 10]));
        request.segment_bytes = self.pick(&[1 << 10, 4 << 10, 1 << 20]);
        request.compression = self.pick(&[
            Compression::None,
            Compression::None,
            Compression::Gzip { level: 1 },
        ]);
        request.verification = Verification::Read;
        request.concurrency = self.pick(&[1, 4]);
        let (ids, seen) = (Arc::default(), self.oracle.made.clone());
        let noted: Arc<Mutex<Vec<BackupId>>> = Arc::clone(&ids);
        request.observer = Some(Arc::new(move |event| {
            if let ProgressEvent::PassStarted { id, .. } = event {
                seen.begins(id.clone(), &lines);
                if let Ok(mut noted) = noted.lock() {
                    noted.push(id);
                }
            }
        }));
        let world = Arc::clone(&self.world);
        Box::pin(async move {
            let report = engine.backup(request).await;
            world.ended(format!("backup {strategy}: {:?}", report.status));
            let ids = ids.lock().map(|ids| ids.clone()).unwrap_or_default();
            Came::Reported(Box::new(Reported {
                report,
                ids,
                strategy,
            }))
        })
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
        let world = Arc::clone(&self.world);
        Box::pin(async move {
            let restored = Restored::default();
            let target = RestoreTarget::Custom(Box::new(restored.clone()));
            let report = engine
                .restore(RestoreRequest::new(which, from, target))
                .await;
            world.ended(format!("restore: exit code {}", report.exit_code()));
            Came::Restored(restored, report.status)
        })
    }
}
