//! A host with a folder to back up, and a destination.

use teeline::sinks::MemorySink;
use teeline::{DestinationSpec, Engine};

use super::common::store;
use super::engine;

pub(crate) struct Site {
    pub(crate) engine: Engine,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) sink: MemorySink,
    pub(crate) at: Vec<DestinationSpec>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let (sink, at) = store("copy");
        Site {
            engine: engine(),
            folder: tempfile::tempdir().unwrap(),
            sink,
            at: vec![at],
        }
    }
}
