//! Databases on an S3 server: read whole, and written back object for object.
//!
//! With `TEELINE_TEST_S3` set to the URL of a server with keys (`http://KEY:SECRET@HOST:PORT`, what follows is ignored),
//! the tests run on that one, in buckets of their own; otherwise on an embedded server.

// Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used)]

mod failures;
mod modes;
mod partitions;
mod round_trip;
mod selection;
#[allow(dead_code, reason = "tests of the engine use a part of it")]
mod server;
mod settle;
mod walk;
mod wire_faults;
#[allow(dead_code, reason = "tests of the engine use a part of it")]
mod writer;
