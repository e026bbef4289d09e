//! What must hold whatever goes wrong, and how to make it go wrong: code that the tests run in short and `cargo xtask` at
//! length.
//!
//! | module | what goes wrong |
//! | --- | --- |
//! | [`simulate`] | anything, at any time, by a seed: stores, sources, processes |
//! | [`nth_fault`] | the first call of a kind, the second, and so on |
//! | [`bitflips`] | one bit of what is stored |
//! | [`disk_full`] | the disk of a destination has no more room |
//! | [`races`] | several writers claim one id at the same time |

pub mod bitflips;
mod data;
pub mod disk_full;
mod life;
pub mod nth_fault;
mod oracle;
pub mod races;
mod scenario;
mod secrets;
pub mod simulate;
mod store;
mod world;

pub use world::{CrashPoint, Moment, Tally};
