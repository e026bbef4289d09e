//! The record of a run, left at its destinations.

use std::sync::Arc;

use teeline_actors::{PassReport, is_there};
use teeline_core::{
    BackupError, BackupId, Class, DestinationId, ErrorReport, ObjectKey, RunRecord, Sink,
    Timestamp, document, layout,
};
use tokio::time::{Duration, timeout};

use super::Run;
use crate::catalog::located;
use crate::open::Opened;
use crate::report::BackupReport;
use crate::request::Resume;

/// How long all destinations together may take for the records of a run. It is over: whoever waits for it doesn't wait for
/// a destination that has fallen silent.
pub(super) const RECORDS_TIMEOUT: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Leaves the run's record wherever it can be left. Gives the destinations, by number, that didn't take it.
    pub(super) async fn record(
        &self,
        report: &BackupReport,
        ended_at: Timestamp,
    ) -> Vec<(usize, BackupError)> {
        let Some(id) = report.id.clone().or_else(|| self.own_id()) else {
            return Vec::new();
        };
        let scheduled = self.request.schedule.as_ref();
        let record = RunRecord {
            id: id.clone(),
            backup_type: report.backup_type.clone(),
            schedule: self.request.schedule.clone(),
            subject: scheduled.and_then(|_| self.request.subject(self.engine)),
            status: report.status,
            resumed: report.resumed.clone(),
            attempt: self.attempt,
            started_at: self.started_at,
            ended_at,
            checksum: report.checksum,
            asked_for: Some(self.request.asked_for()),
            error: report.error.as_ref().map(|error| self.recorded(error)),
            destinations: report.destinations.clone(),
        };
        let sealed = layout::run_record(&id, ended_at).and_then(|key| {
            let bytes = document::readable::<RunRecord>(key.as_str(), document::seal(&record))?;
            Ok((key, bytes))
        });
        let (key, bytes) = match sealed {
            Ok(sealed) => sealed,
            Err(error) => return vec![(0, error)],
        };
        let writes = self.answering(report).map(|(index, opened, took_part)| {
            let (key, bytes) = (key.clone(), bytes.clone());
            async move {
                let write = async {
                    if took_part || is_destination(opened).await {
                        opened.unpaced.put(&key, bytes).await?;
                    }
                    Ok(())
                };
                let written = timeout(RECORDS_TIMEOUT, write).await;
                let written = match written {
                    // Nothing was asked of it, so nothing is missed there.
                    Err(_) if !took_part => Ok(()),
                    written => written.unwrap_or_else(|_| Err(unanswered(&opened.sink, &key))),
                };
                written.err().map(|error| (index, error))
            }
        });
        let failed = futures::future::join_all(writes).await;
        failed.into_iter().flatten().collect()
    }
}

impl Run<'_> {
    /// Opens the destinations of a run that was stopped before it did: where backups are kept, its record is left.
    pub(super) async fn open_for_the_record(&mut self) {
        if let Ok(Err(error)) = timeout(RECORDS_TIMEOUT, self.open()).await {
            tracing::debug!(%error, "a run that was stopped couldn't be recorded everywhere");
        }
    }

    /// Leaves the record of a pass that came to nothing, where another one follows it: the report is going to be about that one's
    /// backup.
    pub(super) async fn record_given_up(&self, id: &BackupId, done: &PassReport) {
        let backup_type = self.request.backup_type.clone();
        let mut report = BackupReport::failed(backup_type, self.started_at);
        report.id = Some(id.clone());
        report.error = done.error.as_ref().map(ErrorReport::from);
        report.destinations = self.destination_reports();
        for (DestinationId(index), at) in &done.destinations {
            report.destinations[*index] = at.clone();
        }
        for (index, error) in self.record(&report, (self.engine.0.clock)()).await {
            let at = &self.opened[index].name;
            tracing::warn!(run = %id, at, %error, "what became of it couldn't be recorded");
        }
    }

    /// The id that was announced, where it is of this run and not of one that was to be taken up: what became of that one, this one
    /// doesn't know.
    fn own_id(&self) -> Option<BackupId> {
        match self.request.resume {
            Some(Resume::Run(_)) => None,
            Some(Resume::Unfinished) | None => self.announced.clone(),
        }
    }

    /// The destinations, with their numbers, that took part, and that may answer once the run is over.
    pub(super) fn reachable<'a>(
        &'a self,
        report: &'a BackupReport,
    ) -> impl Iterator<Item = (usize, &'a Opened)> {
        let answering = self.answering(report);
        answering
            .filter(|(.., took_part)| *took_part)
            .map(|(index, opened, _)| (index, opened))
    }

    /// The destinations that may answer once the run is over, with their numbers, and whether they took part. What took nothing wasn't
    /// claimed, so it may be no destination at all.
    fn answering<'a>(
        &'a self,
        report: &'a BackupReport,
    ) -> impl Iterator<Item = (usize, &'a Opened, bool)> {
        let retriable = |error: &ErrorReport| error.class.is_retriable();
        let destinations = self.opened.iter().zip(&report.destinations).enumerate();
        destinations
            .filter(move |(_, (_, at))| !at.error.as_ref().is_some_and(retriable))
            .map(|(index, (opened, at))| (index, opened, at.bytes > 0))
    }

    /// What a record says of a failure: it is in the clear, and what isn't to be read by everybody has ids of records in it.
    fn recorded(&self, error: &ErrorReport) -> ErrorReport {
        match self.request.recipients.is_empty() {
            true => error.clone(),
            false => ErrorReport {
                class: error.class,
                message: "not said here, since the backup was to be encrypted".to_owned(),
                suggestion: None,
            },
        }
    }
}

/// Whether somebody has made backups there, or tried to. Where that can't be told, nobody's record is missed there.
async fn is_destination(opened: &Opened) -> bool {
    let marker = layout::marker();
    let looked = async { is_there(opened.unpaced.as_ref(), &marker?).await };
    looked.await.unwrap_or(false)
}

fn unanswered(sink: &Arc<dyn Sink>, key: &ObjectKey) -> BackupError {
    let message = format!(
        "no answer within {} s; whether it took effect is unknown",
        RECORDS_TIMEOUT.as_secs()
    );
    BackupError::new(
        Class::Transient,
        "write",
        located(sink.as_ref(), key),
        message,
    )
}
