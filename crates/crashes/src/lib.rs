//! The real command, killed, and what must hold afterwards: code that the tests run in short and `cargo xtask` at length.
//!
//! | module | what is done to it |
//! | --- | --- |
//! | [`kill_points`] | killed at every system call that changes anything, one run for each |
//! | [`random_kills`] | killed at random moments, with folders and an S3 server |
//! | [`power_cuts`] | its filesystem is cut off, and keeps only what was made durable |
//!
//! [`World`] knows what there must be, and looks.

pub mod kill_points;
mod life;
pub mod power_cuts;
pub mod random_kills;
mod scenario;
mod teeline_command;
mod world;

pub use scenario::{Scenario, scenarios};
pub use teeline_command::{Ran, TeelineCommand};
pub use world::World;

/// What was wrong, in words.
pub type Wrong = String;
