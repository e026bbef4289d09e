//! What must hold whatever goes wrong, and how to make it go wrong: code that the tests run in short and `cargo xtask` at
//! length.
//!
//! | module | what goes wrong |
//! | --- | --- |
//! | [`simulate`] | anything, at any time, by a seed: stores, sources, processes |
//! | [`races`] | several writers claim one id at the same time |

mod data;
mod life;
mod oracle;
pub mod races;
mod scenario;
pub mod simulate;
mod store;
mod world;

pub use world::{CrashPoint, Moment, Tally};
