//! Where is measured to: real destinations, in a folder of their own there, and such as only a measurement has.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use teeline::{BackupError, CustomSink, DestinationSpec, Engine, Place, Sink};

use teeline_sinks::{Behaviour, MemorySink, NullSink, SimulatedSink};

use crate::simulation::Simulation;

/// A destination to measure with.
#[derive(Debug, Clone)]
pub struct BenchPlace {
    kind: Kind,
    /// As reports show it.
    label: String,
}

#[derive(Debug, Clone)]
enum Kind {
    Null,
    Memory,
    /// A folder or a bucket. Backups go to a folder of their own below it, which is removed again.
    Real(Box<DestinationSpec>),
    Simulated(Box<Simulation>, Box<BenchPlace>),
}

/// A place for one backup.
pub(crate) struct Prepared {
    pub(crate) spec: DestinationSpec,
    /// What is to be removed afterwards.
    leftovers: Leftovers,
}

enum Leftovers {
    Nothing,
    Folder(PathBuf),
    Objects(Arc<dyn Sink>),
}

impl BenchPlace {
    /// Reads a destination: `null:`, `memory:`, `sim:rate=50MB/s,latency=20ms,stall=5s@30%,errors=0.1%,of=DEST`, or one as
    /// `teeline backup` takes it.
    ///
    /// # Errors
    /// Where it is none of these. The message never quotes the text, which may hold secrets.
    pub fn parse(text: &str) -> Result<Self, BackupError> {
        let text = without_name(text);
        let (kind, label) = match text {
            "null:" => (Kind::Null, text.to_owned()),
            "memory:" => (Kind::Memory, text.to_owned()),
            _ => match text.strip_prefix("sim:") {
                Some(simulation) => {
                    let simulation = Simulation::parse(simulation)?;
                    let behind = Self::parse(simulation.of.as_deref().unwrap_or("null:"))?;
                    let said = text.split("of=").next().unwrap_or_default();
                    let label = match &simulation.of {
                        Some(_) => format!("{said}of={behind}"),
                        None => said.to_owned(),
                    };
                    (
                        Kind::Simulated(Box::new(simulation), Box::new(behind)),
                        label,
                    )
                }
                None => {
                    let spec = DestinationSpec::parse(text)?;
                    let label = spec.place.location();
                    (Kind::Real(Box::new(spec)), label)
                }
            },
        };
        Ok(BenchPlace { kind, label })
    }

    /// Whether credentials were written into it. On a command line they can be read by everybody on the machine.
    pub fn has_inline_secret(&self) -> bool {
        match &self.kind {
            Kind::Null | Kind::Memory => false,
            Kind::Real(spec) => spec.has_inline_secret(),
            Kind::Simulated(_, behind) => behind.has_inline_secret(),
        }
    }

    /// Whether it has to be known how much a backup stores before it can be simulated.
    pub(crate) fn needs_a_size(&self) -> bool {
        matches!(&self.kind, Kind::Simulated(simulation, _) if simulation.stall.is_some())
    }

    /// A place for one backup, which nothing else uses: `folder` is a name that nothing there has. A stall comes once its part of
    /// `stored_bytes` is written.
    pub(crate) async fn prepare(
        &self,
        engine: &Engine,
        name: &str,
        folder: &str,
        stored_bytes: u64,
    ) -> Result<Prepared, BackupError> {
        let custom =
            |sink: Arc<dyn Sink>| DestinationSpec::new(name, Place::Sink(CustomSink::of(sink)));
        match &self.kind {
            Kind::Null => Prepared::new(custom(Arc::new(NullSink::default()))?),
            Kind::Memory => Prepared::new(custom(Arc::new(MemorySink::new(name)))?),
            Kind::Real(spec) => {
                let place = below(&spec.place, folder);
                let spec = DestinationSpec::new(name, place)?;
                let leftovers = match &spec.place {
                    Place::Folder(path) => Leftovers::Folder(path.clone()),
                    _ => Leftovers::Objects(engine.open(&spec).await?),
                };
                Ok(Prepared { spec, leftovers })
            }
            Kind::Simulated(simulation, behind) => {
                let behind = Box::pin(behind.prepare(engine, name, folder, stored_bytes)).await?;
                let inner = match &behind.spec.place {
                    Place::Sink(custom) => custom.sink(),
                    _ => engine.open(&behind.spec).await?,
                };
                let sink = SimulatedSink::new(inner, behaviour(simulation, stored_bytes));
                Ok(Prepared {
                    spec: custom(Arc::new(sink))?,
                    leftovers: behind.leftovers,
                })
            }
        }
    }
}

/// A destination that only a measurement has, without the name that may stand before it as before any other. Reports call
/// all of them by their number.
fn without_name(text: &str) -> &str {
    let is_measured = |rest: &str| {
        ["null:", "memory:", "sim:"]
            .iter()
            .any(|kind| rest.starts_with(kind))
    };
    match text.split_once('=') {
        Some((name, rest)) if !name.contains(':') && is_measured(rest) => rest,
        _ => text,
    }
}

fn behaviour(simulation: &Simulation, stored_bytes: u64) -> Behaviour {
    // A part of a size is one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 1 of it"
    )]
    let after = |part: f64| (stored_bytes as f64 * part) as u64;
    Behaviour {
        bytes_per_second: simulation.rate,
        latency: simulation.latency,
        // The size isn't known of the first, which is for finding it out.
        stall: simulation
            .stall
            .filter(|_| stored_bytes > 0)
            .map(|(time, part)| (after(part), time)),
        errors: simulation.errors,
        seed: 1,
    }
}

fn below(place: &Place, folder: &str) -> Place {
    match place {
        Place::Folder(path) => Place::Folder(path.join(folder)),
        Place::S3(bucket) => {
            let mut bucket = bucket.clone();
            bucket.prefix = match bucket.prefix.as_str() {
                "" => folder.to_owned(),
                prefix => format!("{prefix}/{folder}"),
            };
            Place::S3(bucket)
        }
        other => other.clone(),
    }
}

impl Prepared {
    fn new(spec: DestinationSpec) -> Result<Self, BackupError> {
        Ok(Prepared {
            spec,
            leftovers: Leftovers::Nothing,
        })
    }

    /// Removes what was written.
    pub(crate) async fn remove(self) -> Result<(), BackupError> {
        match self.leftovers {
            Leftovers::Nothing => Ok(()),
            Leftovers::Folder(path) => remove_folder(&path),
            Leftovers::Objects(sink) => {
                let written: Vec<_> = sink.list(None).try_collect().await?;
                for object in written {
                    sink.delete(&object.key).await?;
                }
                Ok(())
            }
        }
    }
}

fn remove_folder(path: &Path) -> Result<(), BackupError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BackupError::new(
            teeline::Class::Permanent,
            "remove",
            path.display(),
            &error,
        )),
        _ => Ok(()),
    }
}

impl fmt::Display for BenchPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}
