//! What is read of bytes that anybody may have written: one function for each kind of them, which takes any bytes, and
//! panics where a promise is broken.
//!
//! The fuzzers in `fuzz/` call these with bytes that they make up, the tests with those that are kept: the seeds in
//! `fuzz/corpus/`, and in `fuzz/findings/` whatever has broken a promise before. None may panic, hang, or take more memory than
//! [`MEMORY_BYTES`].

mod chunk;
mod codec;
mod configuration;
mod connection;
mod manifest;
mod parts;
mod seal;

use std::alloc::System;
use std::panic;
use std::sync::Once;

use cap::Cap;

/// How much a target may take at once, whatever its input says. Inputs are small, and so is what they honestly need.
pub const MEMORY_BYTES: usize = 64 << 20;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);
static LIFTS_LIMIT_IN_PANICS: Once = Once::new();

/// Something that is fuzzed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is that of the folders of its inputs.
    pub name: &'static str,
    takes: fn(&[u8]),
}

/// Stored documents, and the manifest that the files of a run come to.
pub const MANIFEST: Target = Target {
    name: "manifest",
    takes: manifest::manifest,
};
/// Connection strings of databases, and places of destinations.
pub const CONNECTION: Target = Target {
    name: "connection",
    takes: connection::connection,
};
/// Configuration files of each format.
pub const CONFIGURATION: Target = Target {
    name: "configuration",
    takes: configuration::configuration,
};
/// Objects of an s3db database, and its catalogue.
pub const CODEC: Target = Target {
    name: "codec",
    takes: codec::codec,
};
/// Chunks of each compression, the indexes that say where they are, and frames.
pub const CHUNK: Target = Target {
    name: "chunk",
    takes: chunk::chunk,
};
/// What is sealed: key objects, keys as text, indexes and their rows.
pub const SEAL: Target = Target {
    name: "seal",
    takes: seal::seal,
};

impl Target {
    /// All of them.
    pub const ALL: [Target; 6] = [MANIFEST, CONNECTION, CONFIGURATION, CODEC, CHUNK, SEAL];

    /// Reads `input`.
    ///
    /// # Panics
    /// Where a promise is broken. Where it takes more than [`MEMORY_BYTES`], the process ends.
    pub fn run(&self, input: &[u8]) {
        LIFTS_LIMIT_IN_PANICS.call_once(lift_limit_in_panics);
        let limit = ALLOCATOR.allocated().saturating_add(MEMORY_BYTES);
        // One that is below what another thread has just taken isn't set; the next input finds it so.
        let is_limited = ALLOCATOR.set_limit(limit).is_ok();
        (self.takes)(input);
        if is_limited {
            lift_limit();
        }
    }
}

/// A backtrace takes more than any target may. Where it gets none, the process hangs, and what it was about isn't said.
fn lift_limit_in_panics() {
    let says = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        lift_limit();
        says(panicked);
    }));
}

fn lift_limit() {
    if ALLOCATOR.set_limit(usize::MAX).is_err() {
        unreachable!("no more than everything is allocated");
    }
}
