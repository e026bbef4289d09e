//! What must hold whatever goes wrong, and how to make it go wrong: code that the tests run in short and `cargo xtask` at
//! length.
//!
//! | module | what goes wrong |
//! | --- | --- |
//! | [`disk_full`] | the disk of a destination has no more room |
//! | [`races`] | several writers claim one id at the same time |

pub mod disk_full;
pub mod races;
