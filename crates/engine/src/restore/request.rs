//! What a restore is asked for.

use teeline_core::Thaw;
use teeline_sources::s3db::RestoreMode;

use crate::destination::DestinationSpec;
use crate::hooks::Hooks;
use crate::keys::Keys;
use crate::request::{Cancel, Which};

use super::target::RestoreTarget;

/// A restore to be made.
#[non_exhaustive]
pub struct RestoreRequest {
    /// Which backup.
    pub which: Which,
    /// Where its copies are, the preferred first.
    pub destinations: Vec<DestinationSpec>,
    /// Where to.
    pub target: RestoreTarget,
    /// Whether what is at the target may be overwritten; no.
    pub overwrite: bool,
    /// What becomes of objects that are in a database already; without, there must be none, unless it may be overwritten,
    /// which is [`RestoreMode::Merge`].
    pub mode: Option<RestoreMode>,
    /// Names of the resources to restore; empty for all.
    pub resources: Vec<String>,
    /// Ids of the records to restore; empty for all.
    pub ids: Vec<String>,
    /// What resources are to be called instead of their names in the backup.
    pub renames: Vec<(String, String)>,
    /// How data that is archived is to be thawed, where no copy of it can be read. Without, it isn't, and the restore fails.
    pub thaw: Option<Thaw>,
    /// Whether to wait for data that is being thawed; no.
    pub wait_for_thaw: bool,
    /// What opens it, if it is sealed.
    pub keys: Keys,
    /// Whether only to say what would be done; no.
    pub dry_run: bool,
    /// Who is told of it, and may stop it; nobody. Nobody is told of what a restore would do.
    pub hooks: Hooks,
    /// Ends the restore early.
    pub cancel: Cancel,
}

impl RestoreRequest {
    /// A restore of everything, to a target that must be empty.
    pub fn new(which: Which, destinations: Vec<DestinationSpec>, target: RestoreTarget) -> Self {
        RestoreRequest {
            which,
            destinations,
            target,
            overwrite: false,
            mode: None,
            resources: Vec::new(),
            ids: Vec::new(),
            renames: Vec::new(),
            thaw: None,
            wait_for_thaw: false,
            keys: Keys::default(),
            dry_run: false,
            hooks: Hooks::default(),
            cancel: Cancel::new(),
        }
    }
}
