//! The real command, killed, and what must hold afterwards: code that the tests run in short and `cargo xtask` at length.
//!
//! | module | what is done to it |
//! | --- | --- |
//! | [`kill_points`] | killed at every system call that changes anything, one run for each |
//! | [`kill_requests`] | killed at every request to an S3 server that changes anything, before and after it takes effect |
//! | [`random_kills`] | killed at random moments, with folders and an S3 server |
//! | [`restore_faults`] | one of its system calls fails, in a restore to a folder |
//! | [`power_cuts`] | its filesystem is cut off, and keeps only what was made durable |
//! | [`soak`](mod@soak) | used for long in any way, and killed now and then |
//!
//! [`World`] knows what there must be, and looks.

mod files;
mod harm;
pub mod kill_points;
pub mod kill_requests;
mod life;
pub mod power_cuts;
pub mod random_kills;
pub mod restore_faults;
mod scenario;
mod served;
pub mod soak;
mod teeline_command;
mod way;
mod world;

pub use scenario::{Scenario, scenarios};
pub use served::Served;
pub use teeline_command::{Ran, TeelineCommand};
pub use world::World;

/// What was wrong, in words.
pub type Wrong = String;
