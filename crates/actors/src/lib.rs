//! The pass as actors: one read of a source becomes many copies.
//!
//! ```text
//! reader ──blocks──▶ encoders ──chunks──▶ placer ──steps──▶ tee ──lane──▶ driver ──▶ sink      (one branch a destination)
//!    ▲                                                       ▲   ◀─acked─ sink actor
//!    └──────────────── one budget, leased ───────────────────┘            │ segments, prepared, published, ended
//!                                             supervisor ◀────────────────┘
//! ```
//!
//! Actors decide and never wait; tasks and threads wait and never decide. Mailboxes don't bound what is sent to them, so
//! the budget does: a block is leased before it gets a number, and its lease goes with it until the last destination that
//! still takes part has dropped its bytes.

mod account;
mod budget;
mod claim;
mod driver;
mod encoder;
mod entry;
mod gone;
mod guard;
mod held;
mod host;
mod messages;
mod placer;
mod publish;
mod read_back;
mod reader;
mod resuming;
mod run_place;
mod sink;
mod spool;
mod stages;
mod supervisor;
mod task;
mod tee;
mod wire;
mod written;

pub use budget::{Budget, LEASE_BYTES_MIN, Lease, block_lease_bytes};
pub use claim::{Claimed, claim, mark};
pub use driver::Verification;
pub use encoder::Executor;
pub use entry::{folded, read_entry};
pub use gone::are_gone;
pub use host::Host;
pub use placer::{Epilogue, Prologue, Sealing};
pub use publish::{Publication, mark_published, put_empty};
pub use read_back::{compare_pieces, digest_of_whole};
pub use reader::Clock;
pub use resuming::Resuming;
pub use run_place::RunPlace;
pub use sink::PassDestination;
pub use spool::Spool;
pub use stages::StageReport;
pub use supervisor::{Observer, PassEnd, PassReport};
pub use task::{Blocking, read_aside};
pub use wire::Pass;
pub use written::{is_there, put_checked, put_or_take_back};
