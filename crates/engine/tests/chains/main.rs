//! Chains of backups: what is restored from a link is what the database was at its scan, wherever it is restored from.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod broken;
#[path = "../common/mod.rs"]
mod common;
mod consolidating;
mod deleting;
mod heads;
mod histories;
mod lines;
mod links;
mod only_seals;
mod sealed;
#[allow(dead_code, reason = "these tests use a part of it")]
#[path = "../../../sources/tests/s3db/server.rs"]
mod server;
mod site;
#[allow(dead_code, reason = "these tests use a part of it")]
#[path = "../../../sources/tests/s3db/writer.rs"]
mod writer;
