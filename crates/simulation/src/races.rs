//! Several writers claim the id of a backup at one destination, at the same time: one gets it, and the claim is that one's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Barrier};

use bytes::Bytes;
use futures::executor::block_on;
use teeline::sinks::{FilesystemOptions, FilesystemSink, Io, MemorySink};
use teeline::{Class, Sink};
use teeline_core::{ObjectKey, Random};

/// At most so many writers claim an id.
const WRITERS_MAX: u64 = 32;

/// What many races came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Raced {
    /// Races, by the kind of store: one winner each.
    pub races: BTreeMap<&'static str, u64>,
    /// Writers of all of them.
    pub writers: u64,
}

/// Lets writers race `rounds` times over each kind of store, two to 32 of them, as `seed` has it; folders are made in
/// `folder`.
///
/// # Errors
/// What was wrong with the first race that had another number of winners than one, or another claim than the winner's.
pub fn race(rounds: u64, seed: u64, folder: &Path) -> Result<Raced, String> {
    let random = Random::new(seed);
    let options = FilesystemOptions {
        io: Io::Inline,
        ..FilesystemOptions::default()
    };
    let memory: Arc<dyn Sink> = Arc::new(MemorySink::new("race"));
    let files: Arc<dyn Sink> = Arc::new(FilesystemSink::new(folder.to_owned(), options));
    let mut raced = Raced::default();
    for round in 0..rounds {
        let writers = 2 + random.below(WRITERS_MAX - 1);
        for (kind, sink) in [("memory", &memory), ("folder", &files)] {
            one_race(sink, round, writers)
                .map_err(|wrong| format!("round {round} over {kind}: {wrong}"))?;
            *raced.races.entry(kind).or_default() += 1;
            raced.writers += writers;
        }
    }
    Ok(raced)
}

fn one_race(sink: &Arc<dyn Sink>, round: u64, writers: u64) -> Result<(), String> {
    let key =
        ObjectKey::new(format!("full-{round}/run.json")).map_err(|error| error.to_string())?;
    let start = Barrier::new(usize::try_from(writers).unwrap_or(usize::MAX));
    let results = std::thread::scope(|scope| {
        let writing: Vec<_> = (0..writers)
            .map(|writer| {
                let (start, key) = (&start, &key);
                scope.spawn(move || {
                    start.wait();
                    block_on(sink.put(key, claim(writer)))
                })
            })
            .collect();
        let joined = writing.into_iter().map(|thread| thread.join());
        joined.collect::<Result<Vec<_>, _>>()
    })
    .map_err(|_| "a writer panicked".to_owned())?;

    let mut winners = Vec::new();
    for (writer, result) in (0..writers).zip(results) {
        match result {
            Ok(()) => winners.push(writer),
            Err(error) if error.class() == Class::Conflict => {}
            Err(error) => return Err(format!("writer {writer} of {writers}: {error}")),
        }
    }
    let [winner] = winners[..] else {
        return Err(format!("of {writers} writers {winners:?} won"));
    };
    let expected = claim(winner);
    let stored = block_on(sink.read(&key, 0..expected.len() as u64));
    let stored = stored.map_err(|error| error.to_string())?;
    if stored != expected {
        return Err(format!("writer {winner} won, and the claim is {stored:?}"));
    }
    // Only its file is left in the folder: drafts of the others are gone.
    let left = block_on(futures::StreamExt::count(sink.unfinished(None)));
    match left {
        0 => block_on(sink.delete(&key)).map_err(|error| error.to_string()),
        left => Err(format!("{left} drafts are left of {writers} writers")),
    }
}

/// A claim, as long as any other.
fn claim(writer: u64) -> Bytes {
    Bytes::from(format!("{{\"writer\":{writer:08}}}\n"))
}
