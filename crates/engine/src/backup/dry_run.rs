//! What a backup would come to: a sample of the source goes through a whole pass, to a destination that keeps nothing.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use teeline_actors::{Clock, Verification};
use teeline_core::{
    Attachment, BackupError, Manifest, Placed, ResourceEntry, Sample, SampleLimits, SampleShare,
    Scan, Selection, Source, SourceKind, Strategy, StrategyKind, Timestamp,
};
use teeline_sinks::NullSink;

use super::{Run, check, taking_part};
use crate::destination::{CustomSink, DestinationSpec, Place};
use crate::engine::{Engine, Running};
use crate::hooks::Hooks;
use crate::report::{BackupReport, DryRunReport, DryRunStatus, SampledResource};
use crate::request::BackupRequest;

impl Engine {
    /// Says what a backup would come to, from a sample of what there is: up to 1,000 records or 16 MiB of each resource. Nothing is
    /// written anywhere, no destination is asked, and no hook is told. So an incremental backup is judged as the first one, which has
    /// everything: what it would go on from isn't known.
    pub async fn dry_run(&self, mut request: BackupRequest) -> DryRunReport {
        let engine = self.clone();
        let backup_type = request.backup_type.clone();
        let running = Running::begin(self);
        let run = self.0.host.spawn(async move {
            let _running = running;
            let begun = (engine.0.clock)();
            let mut report = DryRunReport::failed(request.backup_type.clone());
            if let Err(error) = judge(&engine, &mut request, begun, &mut report).await {
                report = DryRunReport::failed(request.backup_type.clone());
                report.error = Some((&error).into());
            }
            report.duration = since(&engine, begun);
            report
        });
        let told = run.await.unwrap_or_else(|error| {
            let mut report = DryRunReport::failed(backup_type);
            report.error = Some((&error).into());
            report
        });
        told.concluded()
    }

    /// As [`Engine::dry_run`], for hosts without an executor.
    pub fn dry_run_blocking(&self, request: BackupRequest) -> DryRunReport {
        futures::executor::block_on(self.dry_run(request))
    }
}

fn since(engine: &Engine, begun: Timestamp) -> u64 {
    let now = (engine.0.clock)();
    u64::try_from(now.unix_ms() - begun.unix_ms()).unwrap_or(0)
}

async fn judge(
    engine: &Engine,
    request: &mut BackupRequest,
    begun: Timestamp,
    report: &mut DryRunReport,
) -> Result<(), BackupError> {
    let left_out = taking_part::narrow(request)?;
    // What a backup refuses isn't promised.
    check::strategy(engine, request, &left_out)?;
    let clock = Arc::clone(&engine.0.clock);
    let source = Arc::new(Sampled::new(Arc::clone(&request.source), clock));
    let sampling = of_sample(request, Arc::clone(&source) as Arc<dyn Source>);
    let strategy = Strategy::new(sampling.strategy, &sampling.required())?;
    let mut run = Run::new(engine, &sampling, begun);
    let id = run.new_id(begun)?;
    let mut made = BackupReport::failed(request.backup_type.clone(), begun);
    Box::pin(run.passes(strategy, id, &mut made)).await?;
    let took = since(engine, begun);
    let Some(sealed) = run.made.take() else {
        return Err(made.error.map_or_else(
            || BackupError::cancelled("the dry run"),
            |error| BackupError::new(error.class, "read", &request.source, error.message),
        ));
    };
    let (listed_at, shares) = source.taken();
    let listing = listed_at.map_or(0, |at| at.unix_ms() - begun.unix_ms());
    let listing = u64::try_from(listing).unwrap_or(0);
    describe(&sealed.manifest, &shares, report);
    report.sample.duration = took.saturating_sub(listing);
    let reading = u128::from(report.sample.duration) * u128::from(report.plain_bytes)
        / u128::from(report.sample.plain_bytes.max(1));
    let reading = u64::try_from(reading).unwrap_or(u64::MAX);
    report.estimated_duration = listing.saturating_add(reading.max(report.sample.duration));
    report.status = DryRunStatus::DryRun;
    Ok(())
}

/// The same backup, of a sample, to nowhere.
fn of_sample(request: &BackupRequest, source: Arc<dyn Source>) -> BackupRequest {
    let nowhere = DestinationSpec::derived(Place::Sink(CustomSink::new(NullSink::default())));
    let mut sampling = request.clone();
    sampling.source = source;
    sampling.destinations = vec![nowhere];
    sampling.strategy = StrategyKind::All;
    sampling.lag = None;
    sampling.verification = Verification::Attested;
    sampling.since = None;
    sampling.cleanup = None;
    sampling.local_index = None;
    sampling.observer = None;
    sampling.hooks = Hooks::default();
    sampling
}

fn describe(manifest: &Manifest, shares: &[SampleShare], report: &mut DryRunReport) {
    let entries: Vec<&ResourceEntry> = manifest.all_resources().collect();
    // Attachments are as large whatever the sample is.
    let of_entries: u64 = entries.iter().map(|entry| stored(entry)).sum();
    report.size = manifest.totals.stored_bytes.saturating_sub(of_entries);
    report.is_whole = shares.iter().all(SampleShare::is_whole);
    for (index, (entry, share)) in entries.into_iter().zip(shares).enumerate() {
        let is_objects = index >= manifest.resources.len();
        let resource = match manifest.plan.in_part() {
            Some(_) if is_objects => with_entries(entry, share, report),
            _ => sampled(entry, share),
        };
        report.size = report.size.saturating_add(resource.size);
        report.plain_bytes = report.plain_bytes.saturating_add(resource.plain_bytes);
        let (count, read) = match is_objects {
            true => (&mut report.object_count, &mut report.sample.object_count),
            false => (&mut report.record_count, &mut report.sample.record_count),
        };
        *count = count.saturating_add(resource.record_count);
        *read += entry.records;
        report.sample.size += stored(entry);
        report.sample.plain_bytes += entry.plain_bytes;
        report.resources.push(resource);
    }
}

/// Bytes of a resource's files.
fn stored(entry: &ResourceEntry) -> u64 {
    let segments = entry.segments.iter();
    segments
        .map(|segment| segment.stored_bytes + segment.index_bytes)
        .sum()
}

fn sampled(entry: &ResourceEntry, share: &SampleShare) -> SampledResource {
    SampledResource {
        name: entry.name.clone(),
        record_count: share.of_records(entry.records),
        size: share.of_bytes(stored(entry)),
        plain_bytes: share.of_bytes(entry.plain_bytes),
        sampled: entry.records,
    }
}

/// The objects of a backup of some records: those that were listed, and entries that came with the records that were read, of which
/// there are more as there are more records.
fn with_entries(
    entry: &ResourceEntry,
    share: &SampleShare,
    report: &DryRunReport,
) -> SampledResource {
    let of_records = SampleShare {
        records: Some(report.record_count),
        sampled_records: report.sample.record_count,
        bytes: report.record_count,
        sampled_bytes: report.sample.record_count,
        large_bytes: 0,
    };
    let listed = share.sampled_records.min(entry.records);
    let of_listed = |all: u64| {
        let part = u128::from(all) * u128::from(listed) / u128::from(entry.records.max(1));
        u64::try_from(part).unwrap_or(all)
    };
    let judged = |all: u64| {
        let of_listed = of_listed(all);
        share.of_bytes(of_listed) + of_records.of_bytes(all - of_listed)
    };
    SampledResource {
        name: entry.name.clone(),
        record_count: share.of_records(listed) + of_records.of_records(entry.records - listed),
        size: judged(stored(entry)),
        plain_bytes: judged(entry.plain_bytes),
        sampled: entry.records,
    }
}

/// A source of which a sample is read where it is asked for everything, and it is asked for nothing else: what may be asked of a
/// source is checked with the source itself.
struct Sampled {
    source: Arc<dyn Source>,
    clock: Clock,
    /// When it was known what there is, and which share of it the sample is.
    taken: Mutex<(Option<Timestamp>, Vec<SampleShare>)>,
}

impl Sampled {
    fn new(source: Arc<dyn Source>, clock: Clock) -> Self {
        Sampled {
            source,
            clock,
            taken: Mutex::default(),
        }
    }

    fn taken(&self) -> (Option<Timestamp>, Vec<SampleShare>) {
        // Written whole.
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clone()
    }
}

impl fmt::Display for Sampled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl fmt::Debug for Sampled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampled")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for Sampled {
    fn kind(&self) -> SourceKind {
        self.source.kind()
    }

    fn is_rereadable(&self) -> bool {
        self.source.is_rereadable()
    }

    async fn scan(&self, selection: Selection) -> Result<Box<dyn Scan>, BackupError> {
        let sample = self.source.sample(selection, SampleLimits::default());
        let Sample { scan, shares } = sample.await?;
        let taken = (Some((self.clock)()), shares);
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        Ok(scan)
    }

    fn describe(&self, placed: &Placed<'_>) -> Result<Vec<Attachment>, BackupError> {
        self.source.describe(placed)
    }
}
