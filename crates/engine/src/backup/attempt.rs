//! What a pass makes, and the pass.

use std::sync::Arc;
use std::time::Duration;

use teeline_actors::{Pass, PassDestination, Resuming, Sealing};
use teeline_core::seal::SealEntry;
use teeline_core::{
    BackupError, BackupId, CutLimits, Holdings, ObjectKey, PlanEntry, PlannedDestination, RunHead,
    Strategy, Timestamp,
};

use super::Run;
use super::extent::Extent;
use super::wanted::Wanted;

/// Bytes that one destination may have outstanding: what the tee has sent it and it has not taken over. At most a third of
/// the budget, so that what one is slow to take leaves the others more than it has.
const WINDOW_BYTES_MAX: u64 = 8 << 20;

/// How long a run waits for a share of the budget before it is looked into whether one will come.
const STARVED_AFTER: Duration = Duration::from_secs(30);

/// What a pass makes: a run that begins, or one that is gone on with.
pub(super) struct Attempt {
    pub(super) head: RunHead,
    pub(super) sealing: Option<Sealing>,
    pub(super) resuming: Option<Resuming>,
    /// What each destination has of it.
    pub(super) holdings: Vec<Holdings>,
}

impl Run<'_> {
    /// A run that begins.
    pub(super) fn new_attempt(
        &self,
        (id, started_at): (BackupId, Timestamp),
        extent: &Extent,
        sealing: Option<(SealEntry, Sealing)>,
        required: &[bool],
    ) -> Result<Attempt, BackupError> {
        let request = self.request;
        let path = request.path.path(&id, started_at, request.time_zone)?;
        let (seal, sealing) = sealing.unzip();
        let planned = self.opened.iter().zip(required);
        let planned = planned.map(|(opened, required)| PlannedDestination {
            name: opened.name.clone(),
            required: *required,
        });
        let head = RunHead {
            id,
            backup_type: request.backup_type.clone(),
            started_at,
            path: path.to_string(),
            plan: PlanEntry {
                strategy: request.strategy.to_string(),
                destinations: planned.collect(),
                compression: request.compression,
                block_bytes: request.block_bytes() as u64,
                segment_bytes: request.segment_bytes,
                include: request.included(),
                exclude: request.exclude.clone(),
                partitions: request.partitions.clone(),
                query: request.query.clone(),
                seal,
            },
            parent: extent.parent(),
            since: extent.since(),
            consolidates: request.as_of.as_ref().map(|as_of| as_of.link.clone()),
            metadata: request.metadata.clone(),
            written_by: format!("teeline {}", env!("CARGO_PKG_VERSION")),
        };
        Ok(Attempt {
            head,
            sealing,
            resuming: None,
            holdings: vec![Holdings::default(); self.opened.len()],
        })
    }

    /// A pass that makes an attempt at the destinations that the strategy has left.
    pub(super) fn pass(
        &self,
        strategy: Strategy,
        attempt: Attempt,
        extent: &Extent,
        required: &[bool],
    ) -> Result<Pass, BackupError> {
        let (request, inner) = (self.request, &self.engine.0);
        let lag = request.lag_policies();
        let Attempt {
            head,
            sealing,
            resuming,
            mut holdings,
        } = attempt;
        let path = ObjectKey::new(head.path.as_str())?;
        let destinations: Vec<PassDestination> = strategy
            .active()
            .into_iter()
            .map(|id| PassDestination {
                id,
                name: self.opened[id.0].name.clone(),
                location: self.opened[id.0].location.clone(),
                required: required[id.0],
                lag: lag[id.0],
                sink: Arc::clone(&self.opened[id.0].sink),
                retries: Arc::clone(&self.opened[id.0].retries),
                holdings: std::mem::take(&mut holdings[id.0]),
            })
            .collect();
        let source = Arc::clone(&request.source);
        let wanted = Wanted::new(request)?;
        let selection = wanted.selection();
        Ok(Pass {
            source: Arc::clone(&request.source),
            selection,
            base: extent.base(),
            resuming,
            destinations,
            strategy,
            prologue: Box::new(move |plan| wanted.check(plan)),
            epilogue: Box::new(move |placed| source.describe(placed)),
            head,
            path,
            sealing,
            verification: request.verification,
            limits: CutLimits {
                block_bytes: request.block_bytes(),
                record_bytes_max: request.record_bytes_max,
            },
            window_bytes: WINDOW_BYTES_MAX.min(inner.budget_bytes / 3),
            budget: inner.budget.clone(),
            lag_patience: request.lag_patience,
            spool: None,
            starved_after: STARVED_AFTER,
            executor: inner.executor(request.block_bytes()),
            clock: self.clock(),
            observer: self.log.observing(request.observer.clone()),
            cancel: self.deadline.cancel().subscribe(),
        })
    }
}
