//! A full backup made of a link and its chain: the source isn't read.
//!
//! It is a backup like any other: written by a pass, read back, published last. It has what a restore of the link gives, stands
//! in the catalogue at the link's time, and whatever comes next goes on from it.

mod rows;
mod source;

use std::sync::Arc;

use teeline_core::seal::Recipient;
use teeline_core::{BackupError, BackupId};

use crate::catalog::{ask_all, resolve};
use crate::chain::{Chain, Parents};
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::failure::{Failure, Operation};
use crate::keys::Keys;
use crate::report::BackupReport;
use crate::request::{AsOf, BackupRequest, Cancel, Which};

use source::ChainSource;

/// A full backup to be made of a chain.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConsolidateRequest {
    /// Where the chain is, and the new backup is to be. Each chunk of the chain is read from the first one that has it right.
    pub destinations: Vec<DestinationSpec>,
    /// The link that is to be restorable alone.
    pub id: BackupId,
    /// What opens the chain, if it is sealed.
    pub keys: Keys,
    /// For whom the new backup is sealed; nobody. Of a sealed chain somebody must be named.
    pub recipients: Vec<Recipient>,
    /// Ends it early.
    pub cancel: Cancel,
}

impl ConsolidateRequest {
    /// Of this link.
    pub fn new(destinations: Vec<DestinationSpec>, id: BackupId) -> Self {
        ConsolidateRequest {
            destinations,
            id,
            keys: Keys::default(),
            recipients: Vec::new(),
            cancel: Cancel::new(),
        }
    }
}

impl Engine {
    /// Makes a full backup of a link and its chain, at all of the destinations. It takes about 150 bytes of memory for each
    /// object of the database. Failures are in the report.
    pub async fn consolidate(&self, request: ConsolidateRequest) -> BackupReport {
        let engine = self.clone();
        let preparing = async move {
            let cancel = request.cancel.clone();
            cancel.guard(backup_of(&engine, request)).await
        };
        match self.0.host.spawn(preparing).await.and_then(|made| made) {
            Ok(backup) => self.backup(backup).await,
            Err(error) => {
                let started_at = (self.0.clock)();
                let mut report = BackupReport::failed(full(), started_at);
                report.error = Some((&error).into());
                report.failure = Failure::first(Operation::Backup, &report.error);
                report
            }
        }
    }

    /// As [`Engine::consolidate`], for hosts without an executor.
    pub fn consolidate_blocking(&self, request: ConsolidateRequest) -> BackupReport {
        futures::executor::block_on(self.consolidate(request))
    }
}

fn full() -> teeline_core::BackupType {
    "full".parse().expect("a type")
}

/// The backup that a chain makes.
async fn backup_of(
    engine: &Engine,
    request: ConsolidateRequest,
) -> Result<BackupRequest, BackupError> {
    let asked = ask_all(engine, &request.destinations).await;
    let id = resolve(&Which::Id(request.id), &asked).await?;
    let chain = Chain::open(&id, &asked, &request.keys, Parents::Withdrawn).await?;
    let manifest = Arc::clone(chain.manifest());
    if manifest.parent.is_none() {
        let message = match manifest.since {
            Some(time) => format!("it has only what was written since {time}, and no parent"),
            None => "it goes on from no other backup: it can be restored alone".to_owned(),
        };
        return Err(BackupError::usage(&id, message)
            .suggest("name a link of a chain; `teeline list` shows what goes on from what"));
    }
    if manifest.plan.seal.is_some() && request.recipients.is_empty() {
        let message = "it is sealed, and nobody is named for whom the new backup is to be";
        return Err(BackupError::usage(&id, message).suggest(
            "name recipients as for a backup: what is sealed isn't written in the clear",
        ));
    }
    let scan_ended_at = manifest.source.scan_ended_at;
    let as_of = AsOf {
        link: chain.reference(),
        scan_started_at: manifest.source.scan_started_at,
        scan_ended_at: scan_ended_at.unwrap_or(manifest.source.scan_started_at),
    };
    let plan = &manifest.plan;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let source = ChainSource::new(chain).await?;
    let mut backup = BackupRequest::new(source, request.destinations);
    backup.compression = plan.compression;
    backup.block_bytes = Some(size(plan.block_bytes));
    backup.segment_bytes = plan.segment_bytes;
    backup.record_bytes_max = teeline_core::RECORD_BYTES_MAX;
    backup.include.clone_from(&plan.include);
    backup.exclude.clone_from(&plan.exclude);
    backup.metadata = manifest.metadata.clone();
    backup.recipients = request.recipients;
    backup.cancel = request.cancel;
    backup.as_of = Some(as_of);
    Ok(backup)
}
