//! A closer look at a copy whose digests are right: where one like that had found damage, as a restore does, its word stands until
//! somebody has looked as closely and found none.

use teeline_core::{BackupError, BackupId, Depth, VerificationResult};

use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::repair::rebuild::BY_REPAIR;
use crate::validate::{ValidateRequest, validate};

/// Whether damage is known that comparing digests says nothing about.
pub(super) fn is_due(ledger: &Ledger, id: &BackupId) -> bool {
    ledger.decisive(id).is_some_and(|check| {
        check.result == VerificationResult::Damaged && check.how > Depth::Digest
    })
}

/// Restores the copy to a scratch place, from its destination alone, and leaves word of what came of it.
///
/// # Errors
/// Where it isn't right, or that can't be told: as without its key.
pub(super) async fn look(
    engine: &Engine,
    at: &DestinationSpec,
    id: &BackupId,
    keys: &Keys,
) -> Result<(), BackupError> {
    let mut request = ValidateRequest::new(vec![at.clone()]);
    request.keys = keys.clone();
    let found = validate(engine, &request, id.clone(), BY_REPAIR).await;
    match found.error {
        None => Ok(()),
        Some(error) => {
            let message = format!(
                "its digests are right, and an earlier restore found damage; so it was restored again: {}",
                error.message
            );
            Err(BackupError::new(error.class, "restore", id, message))
        }
    }
}
