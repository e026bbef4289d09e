//! Two destinations, in memory or in folders, one of which goes wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use teeline::sinks::{
    Fault, FaultPlan, FaultSink, FilesystemOptions, FilesystemSink, Io, MemorySink, When,
};
use teeline::{DestinationSpec, Sink};
use teeline_core::ObjectKey;
use tempfile::TempDir;

use super::{Set, Wrong};
use crate::data::whole;
use crate::oracle::{destination_of, name};

/// Where the destinations are.
pub(super) enum Stores {
    Memory([MemorySink; 2]),
    Folders(TempDir),
}

impl Stores {
    /// Two destinations that hold what was there before.
    pub(super) fn of(set: &Set, wrong: Wrong, folder: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| error.to_string();
        match wrong {
            Wrong::Store(..) => Ok(Stores::Memory(set.stores())),
            Wrong::Disk(..) => {
                fs::create_dir_all(folder).map_err(failed)?;
                let folder = tempfile::tempdir_in(folder).map_err(failed)?;
                for (number, objects) in set.objects.iter().enumerate() {
                    for (key, bytes) in objects {
                        let path = root(folder.path(), number).join(key.as_str());
                        fs::create_dir_all(path.parent().unwrap_or(folder.path()))
                            .map_err(failed)?;
                        fs::write(path, bytes).map_err(failed)?;
                    }
                }
                Ok(Stores::Folders(folder))
            }
        }
    }

    pub(super) fn sink(&self, number: usize) -> Arc<dyn Sink> {
        match self {
            Stores::Memory(sinks) => Arc::new(sinks[number].clone()),
            Stores::Folders(folder) => {
                let options = inline();
                Arc::new(FilesystemSink::new(root(folder.path(), number), options))
            }
        }
    }

    pub(super) fn destinations(&self) -> Result<Vec<DestinationSpec>, String> {
        let both = [0, 1].map(|number| destination_of(number, self.sink(number)));
        both.into_iter().collect()
    }

    /// All that a destination holds.
    pub(super) async fn objects(
        &self,
        number: usize,
    ) -> Result<BTreeMap<ObjectKey, Bytes>, String> {
        let sink = self.sink(number);
        let listed: Vec<_> = sink.list(None).collect().await;
        let mut objects = BTreeMap::new();
        for meta in listed {
            let key = meta.map_err(|error| error.to_string())?.key;
            let bytes = whole(sink.as_ref(), &key).await?;
            objects.insert(key, bytes);
        }
        Ok(objects)
    }

    /// The destinations, of which the one with the number `at` goes wrong at its call number `nth`; and how often it did.
    pub(super) fn failing(
        &self,
        wrong: Wrong,
        at: usize,
        nth: u64,
    ) -> Result<(Vec<DestinationSpec>, Arc<AtomicU64>), String> {
        let (sink, hits): (Arc<dyn Sink>, _) = match (wrong, self) {
            (Wrong::Disk(calls_of, fault), Stores::Folders(folder)) => {
                let (hits, calls) = (Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
                let noted = Arc::clone(&hits);
                let interfere = move |call| {
                    let is_it =
                        call == calls_of && calls.fetch_add(1, Ordering::Relaxed) + 1 == nth;
                    noted.fetch_add(u64::from(is_it), Ordering::Relaxed);
                    is_it.then_some(fault)
                };
                let root = root(folder.path(), at);
                let sink = FilesystemSink::failing(root, inline(), Arc::new(interfere));
                (Arc::new(sink), hits)
            }
            (Wrong::Store(operation, what), _) => {
                let fault = Fault::new(operation, When::Nth(nth), what);
                let sink = FaultSink::new(self.sink(at), FaultPlan::new(nth).with(fault));
                let hits = sink.hits();
                (Arc::new(sink), hits)
            }
            (Wrong::Disk(..), Stores::Memory(_)) => {
                return Err("memory makes no system calls".to_owned());
            }
        };
        let mut both = self.destinations()?;
        both[at] = destination_of(at, sink)?;
        Ok((both, hits))
    }
}

fn inline() -> FilesystemOptions {
    FilesystemOptions {
        io: Io::Inline,
        ..FilesystemOptions::default()
    }
}

fn root(folder: &Path, number: usize) -> PathBuf {
    folder.join(name(number))
}
