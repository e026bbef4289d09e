//! Making places destinations: each is tried, and what its store keeps of what teeline relies on is noted there.

mod probe;

use futures::future::join_all;
use teeline_actors::{mark, put_checked};
use teeline_core::{BackupError, ProbeRecord, document, layout};

use self::probe::Probe;
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::open::{Opened, open_all};
use crate::report::{InitReport, InitializedDestination};
use crate::request::Cancel;

/// Places that are to become destinations, or are some.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InitRequest {
    /// The places.
    pub destinations: Vec<DestinationSpec>,
    /// Ends it early.
    pub cancel: Cancel,
}

impl InitRequest {
    /// Of these places.
    pub fn new(destinations: Vec<DestinationSpec>) -> Self {
        InitRequest {
            destinations,
            cancel: Cancel::new(),
        }
    }
}

impl Engine {
    /// Marks each place as a destination and tries it: that what is there can't be replaced, that one of many creators wins, that
    /// what was written is listed and read, whole and in part. What was found stays there for later runs. May be repeated at any
    /// time, also where backups are; the newest result counts. Whatever goes wrong is in the report.
    pub async fn init(&self, request: InitRequest) -> InitReport {
        let engine = self.clone();
        let places = request.destinations.clone();
        let trying = async move {
            let calls_at_once = probe::CREATORS * request.destinations.len();
            let opened = open_all(&engine, &request.destinations, calls_at_once).await;
            let tries = request.destinations.iter().zip(opened);
            let tries = tries.map(|(place, opened)| try_one(&engine, &request, place, opened));
            Ok(InitReport::of(join_all(tries).await))
        };
        let result = self.0.host.spawn(trying).await;
        result.and_then(|report| report).unwrap_or_else(|error| {
            let failed = |place| InitializedDestination::new(place, Err(&error));
            InitReport::of(places.iter().map(failed).collect())
        })
    }

    /// As [`Engine::init`], for hosts without an executor.
    pub fn init_blocking(&self, request: InitRequest) -> InitReport {
        futures::executor::block_on(self.init(request))
    }
}

async fn try_one(
    engine: &Engine,
    request: &InitRequest,
    place: &DestinationSpec,
    opened: Result<Opened, (String, BackupError)>,
) -> InitializedDestination {
    let trying = async { find_out(engine, &opened.map_err(|(_, error)| error)?).await };
    let found = request.cancel.guard(trying).await;
    InitializedDestination::new(place, found.as_ref())
}

/// Probes a destination and notes there what was found.
async fn find_out(engine: &Engine, opened: &Opened) -> Result<ProbeRecord, BackupError> {
    let sink = opened.sink.as_ref();
    mark(sink).await?;
    let mut random = [0; 8];
    (engine.0.random)(&mut random)?;
    let token = format!("{:016x}", u64::from_le_bytes(random));
    let probe = Probe::new(sink, layout::probe_objects(&token)?);
    let record = ProbeRecord {
        promises: probe.run().await?,
        probed_at: (engine.0.clock)(),
        written_by: format!("teeline {}", env!("CARGO_PKG_VERSION")),
    };
    let key = layout::probe_record(record.probed_at, &token)?;
    put_checked(sink, &key, document::seal(&record), true).await?;
    Ok(record)
}
