//! Destinations, opened: a place becomes a store behind permits, deadlines and retries.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use teeline_actors::Blocking;
use teeline_core::{BackupError, CatalogEntry, Class, RetryPolicy, Sink};
use teeline_sinks::{
    AccessKeys, CatchingSink, DeadlineSink, Deadlines, FilesystemOptions, FilesystemSink, Io,
    ObjectStoreSink, PermitSink, Permits, RateSink, RetrySink, S3Options,
};

use crate::destination::{DestinationSpec, Place, ResourceGlobs, S3Place};
use crate::engine::Engine;

/// A destination that can be read and written.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) name: String,
    /// Where it is, as every report shows it.
    pub(crate) location: String,
    pub(crate) sink: Arc<dyn Sink>,
    /// The same beside its rate: for a record of a run, which is short, and which somebody waits for who ends that run.
    pub(crate) unpaced: Arc<dyn Sink>,
    pub(crate) retries: Arc<AtomicU64>,
    /// The resources that it takes. `None`: any.
    pub(crate) resources: Option<ResourceGlobs>,
    /// Where what it takes to use it is done, if that blocks.
    pub(crate) blocking: Blocking,
    /// A folder that has to be there.
    needs: Option<PathBuf>,
}

impl Opened {
    /// That its folder is there, if it has to be. Asked where nothing was listed: by then it is known that it answers.
    ///
    /// # Errors
    /// [`Class::NotFound`] where it isn't.
    pub(crate) async fn look_for_folder(&self) -> Result<(), BackupError> {
        let Some(path) = self.needs.clone() else {
            return Ok(());
        };
        let looked = self.blocking.run("a folder", move || path.try_exists());
        if !matches!(looked.await?, Ok(false)) {
            return Ok(());
        }
        let message = "there is no such folder";
        Err(
            BackupError::new(Class::NotFound, "open", &self.location, message)
                .suggest("check how it is written, and whether its disk is mounted"),
        )
    }

    /// Whether backups are for it that were asked for by these globs, none of which are everything; those that aren't need not be
    /// there.
    pub(crate) fn takes(&self, include: &[String]) -> bool {
        let mut taken = self.resources.iter();
        taken.all(|taken| taken.take_all_of(include))
    }

    /// The same of a backup that is listed somewhere. Where its entry doesn't say what it was asked for, it may be.
    pub(crate) fn may_take(&self, entry: &CatalogEntry) -> bool {
        let asked_for = entry.asked_for.as_ref();
        asked_for.is_none_or(|asked_for| self.takes(&asked_for.include))
    }
}

impl Engine {
    /// The store of a destination as a backup uses it: each call has a deadline, and is repeated where that is worth it.
    /// Nothing is read or written yet.
    ///
    /// # Errors
    /// Where the credentials of an S3 server can't be had.
    pub async fn open(&self, destination: &DestinationSpec) -> Result<Arc<dyn Sink>, BackupError> {
        Ok(open(self, destination, Permits::unbounded()).await?.sink)
    }
}

/// Opens a destination. Nothing is read or written yet, so a dead one is found out by its first call.
pub(crate) async fn open(
    engine: &Engine,
    destination: &DestinationSpec,
    permits: Permits,
) -> Result<Opened, BackupError> {
    // What of it follows from a database was put in by whoever knows that.
    let destination = &destination.clone().beside(None)?;
    let store: Arc<dyn Sink> = match &destination.place {
        Place::Folder(path) => {
            let io = match engine.0.blocking() {
                Blocking::Inline => Io::Inline,
                Blocking::Aside => Io::Pool,
            };
            let options = FilesystemOptions {
                io,
                modes: destination.modes,
            };
            Arc::new(FilesystemSink::new(path.clone(), options))
        }
        Place::S3(place) => Arc::new(ObjectStoreSink::s3(s3_options(place)).await?),
        Place::Sink(custom) => Arc::new(CatchingSink::new(custom.sink())),
    };
    let mut seed = [0; 8];
    (engine.0.random)(&mut seed)?;
    let seed = u64::from_le_bytes(seed);
    // From the inside out: a deadline covers one call and not the wait for its permit; the rate and a retry wait without a
    // permit.
    let timed = Arc::new(DeadlineSink::new(store, Deadlines::default()));
    let permitted: Arc<dyn Sink> = Arc::new(PermitSink::new(timed, permits));
    let unpaced = RetrySink::new(Arc::clone(&permitted), RetryPolicy::default(), seed);
    let unpaced = Arc::new(unpaced);
    let sink = match destination.bytes_per_second_max {
        Some(rate) => Arc::new(unpaced.beside(Arc::new(RateSink::new(permitted, rate)))),
        None => Arc::clone(&unpaced),
    };
    let retries = sink.retries();
    Ok(Opened {
        name: destination.name.clone(),
        location: destination.place.location(),
        sink,
        unpaced,
        retries,
        resources: destination.resources.clone(),
        blocking: engine.0.blocking(),
        needs: match &destination.place {
            Place::Folder(path) if destination.must_be_there => Some(path.clone()),
            _ => None,
        },
    })
}

/// Opens several; those that can't be opened are errors beside their names.
pub(crate) async fn open_all(
    engine: &Engine,
    destinations: &[DestinationSpec],
    concurrency: usize,
) -> Vec<Result<Opened, (String, BackupError)>> {
    let permits = Permits::among(destinations.len(), concurrency);
    let mut opened = Vec::with_capacity(destinations.len());
    for (destination, permits) in destinations.iter().zip(permits) {
        let result = open(engine, destination, permits).await;
        opened.push(result.map_err(|error| (destination.name.clone(), error)));
    }
    opened
}

fn s3_options(place: &S3Place) -> S3Options {
    let keys = place
        .access_key_id
        .as_ref()
        .zip(place.secret_access_key.as_ref());
    let mut options = S3Options::new(place.bucket.clone());
    options.prefix = place.prefix.clone();
    options.region = place.region.clone();
    options.endpoint = place.endpoint.clone();
    options.keys = keys.map(|(id, secret)| AccessKeys {
        id: id.clone(),
        secret: secret.expose().to_owned(),
        session_token: place
            .session_token
            .as_ref()
            .map(|token| token.expose().to_owned()),
    });
    options.profile = place.profile.clone();
    options.path_style = place.path_style;
    options.storing = place.storing.clone();
    options
}
