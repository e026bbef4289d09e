//! Sealing a backup that is about to be made: its data key, who can open it, and the backup that it follows.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use teeline_actors::Sealing;
use teeline_core::seal::{DataKey, Predecessor, SealAlgorithm, SealEntry, Sealer};
use teeline_core::{BackupError, BackupId, Hex32, Timestamp};
use tokio::time::timeout;

use super::Run;
use crate::catalog::{Catalog, Wanted};
use crate::keys::{KEYS_MAX, seal_keys};

/// How long all destinations together may take to say which backup is their newest.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// How this backup is sealed; none where nobody is named who could open it.
    pub(super) async fn sealing(
        &self,
        id: &BackupId,
        started_at: Timestamp,
    ) -> Result<Option<(SealEntry, Sealing)>, BackupError> {
        let recipients = &self.request.recipients;
        if recipients.is_empty() {
            return Ok(None);
        }
        if recipients.len() > KEYS_MAX {
            let message = format!(
                "{} are more than the {KEYS_MAX} that are tried",
                recipients.len()
            );
            return Err(BackupError::usage("recipients", message));
        }
        let data_key = DataKey::new(self.random()?);
        let epoch = Hex32::new(self.random()?);
        let sealer = Sealer::new(id, &data_key, &epoch);
        let entry = SealEntry {
            algorithm: SealAlgorithm::default(),
            epoch,
            key: sealer.key_id(),
            previous: self.predecessor().await,
        };
        let of = (id.clone(), data_key, entry.clone());
        let keys = seal_keys(self.engine, of, recipients.clone(), started_at).await?;
        let sealer = Arc::new(sealer);
        Ok(Some((entry, Sealing { sealer, keys })))
    }

    fn random(&self) -> Result<[u8; 32], BackupError> {
        let mut bytes = [0; 32];
        (self.engine.0.random)(&mut bytes)?;
        Ok(bytes)
    }

    /// The newest backup that any of the destinations has. One that doesn't say it in time isn't waited for: it may be dead,
    /// and a backup without a predecessor is better than none.
    async fn predecessor(&self) -> Option<Predecessor> {
        const NEWEST: Wanted<'static> = Wanted {
            limit: 1,
            ..Wanted::ALL
        };
        let newest = self.opened.iter().map(|opened| async {
            let read = timeout(PREDECESSOR_TIMEOUT, Catalog::read(opened, &NEWEST)).await;
            let catalog = read.ok()?.ok()?;
            catalog.entries.into_iter().next()
        });
        let newest = join_all(newest).await.into_iter().flatten();
        let newest = newest.max_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)))?;
        Some(Predecessor {
            id: newest.id,
            checksum: newest.checksum,
        })
    }
}
