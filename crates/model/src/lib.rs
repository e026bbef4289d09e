//! The commit protocol, modelled: every interleaving of what runs, cleanups, deletions, repairs and restores do, with calls that
//! fail, replies that are lost, listings that are old, runs that sleep, and deaths between any two steps.
//!
//! What is decided, the rules of `teeline-core` decide, as they do in the engine: [`Strategy`](teeline_core::Strategy),
//! [`commit`](teeline_core::commit), [`Links`](teeline_core::chain::Links), [`Retention`](teeline_core::Retention). What is
//! modelled here is the order in which the engine asks stores and tells them, and the stores. A call is one step: it happens
//! or not, and is answered or not. `docs/explanation/commit-protocol.md` tells what each step is.

mod actions;
mod backups;
mod check;
mod errands;
mod healing;
mod janitor;
mod model;
mod properties;
mod publishing;
mod restore;
mod run;
mod scene;
mod taking_up;
mod world;

pub use check::{Walked, shortest, walk};
pub use scene::{Planted, Scene, Size};
