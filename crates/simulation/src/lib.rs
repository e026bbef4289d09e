//! What must hold whatever goes wrong, and how to make it go wrong: code that the tests run in short and `cargo xtask` at
//! length.
//!
//! | module | what goes wrong |
//! | --- | --- |
//! | [`races`] | several writers claim one id at the same time |

pub mod races;
