//! How much a backup has, and what it goes on from.

use teeline_core::chain::Base;
use teeline_core::{BackupRef, Timestamp};

use crate::chain::Chain;
use crate::local_index::OpenIndex;

/// How much a backup is to have.
#[derive(Clone)]
pub(super) enum Extent {
    Everything,
    /// What is other than in this one.
    Onwards(Parent),
    /// What was written at this time or later.
    Since(Timestamp),
}

impl Extent {
    pub(super) fn parent(&self) -> Option<BackupRef> {
        match self {
            Extent::Onwards(parent) => Some(parent.reference()),
            Extent::Everything | Extent::Since(_) => None,
        }
    }

    pub(super) fn since(&self) -> Option<Timestamp> {
        match self {
            Extent::Since(time) => Some(*time),
            Extent::Everything | Extent::Onwards(_) => None,
        }
    }

    /// What a scan has to know.
    pub(super) fn base(&self) -> Option<Base> {
        match self {
            Extent::Everything => None,
            Extent::Onwards(parent) => Some(parent.base()),
            Extent::Since(time) => Some(Base::since(*time)),
        }
    }
}

/// The last backup of a chain, and what that says.
#[derive(Clone)]
pub(super) enum Parent {
    /// The chain itself.
    Opened(Chain),
    /// What this host keeps of it, since it can't open it.
    Indexed(OpenIndex),
}

impl Parent {
    /// The backup itself.
    pub(super) fn reference(&self) -> BackupRef {
        match self {
            Parent::Opened(chain) => chain.reference(),
            Parent::Indexed(index) => index.reference(),
        }
    }

    /// Every backup of the chain, the full one first.
    pub(super) fn references(&self) -> Vec<BackupRef> {
        match self {
            Parent::Opened(chain) => chain.references(),
            Parent::Indexed(index) => index.references(),
        }
    }

    /// What the chain says, for a scan.
    pub(super) fn base(&self) -> Base {
        match self {
            Parent::Opened(chain) => chain.base(),
            Parent::Indexed(index) => index.base(),
        }
    }
}
