//! Copies that heal each other: whatever is missing or damaged of one is written again from the other, byte for byte, and what was
//! damaged is kept.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod broken_off;
#[path = "../common/mod.rs"]
mod common;
mod copies;
mod files;
mod stores;
mod world;
