//! Drills: a backup is restored from one destination alone to a place of its own, to see whether that can be done.

use teeline_core::{BackupError, BackupId, Random};

use crate::catalog::{Asked, all_ids, ask_all, not_found, resolve, silent};
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::keys::Keys;
use crate::report::DrillReport;
use crate::request::{Cancel, Which};
use crate::validate::{Scratch, ValidateRequest, validate};

/// How the ledger names what is checked here.
const BY_DRILL: &str = "drill";

/// A drill to be held.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DrillRequest {
    /// Where copies are.
    pub destinations: Vec<DestinationSpec>,
    /// The name of the one to restore from; any of them, at random.
    pub from: Option<String>,
    /// Which backup; any that it lists, at random.
    pub which: Option<Which>,
    /// What opens the backup where it is sealed. Without, it can't be told whether it can be restored.
    pub keys: Keys,
    /// Where it is restored to; a temporary folder. It is removed again.
    pub scratch: Scratch,
    /// Ends the drill early.
    pub cancel: Cancel,
}

impl DrillRequest {
    /// A drill of any backup, from any of these destinations.
    ///
    /// ```
    /// use teeline::{BackupRequest, DestinationSpec, DrillRequest, Engine, JsonlSource};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("users.jsonl"), "{\"id\":1}\n")?;
    /// # let engine = Engine::new()?;
    /// # let to = vec![DestinationSpec::parse(&folder.path().join("copy").display().to_string())?];
    /// # let source = JsonlSource::path(folder.path().join("users.jsonl"));
    /// engine.backup_blocking(BackupRequest::new(source, to.clone()));
    /// let report = engine.drill_blocking(DrillRequest::new(to));
    /// assert_eq!((report.candidates, report.exit_code()), (1, 0), "{report:?}");
    /// # Ok(()) }
    /// ```
    pub fn new(destinations: Vec<DestinationSpec>) -> Self {
        DrillRequest {
            destinations,
            from: None,
            which: None,
            keys: Keys::default(),
            scratch: Scratch::default(),
            cancel: Cancel::new(),
        }
    }
}

impl DrillRequest {
    /// Looks whether it can be held at all.
    pub(crate) fn check(&self) -> Result<(), BackupError> {
        let is_it = |name: &String| self.destinations.iter().any(|spec| spec.name == *name);
        match &self.from {
            Some(name) if !is_it(name) => {
                let known = self.destinations.iter().map(|spec| spec.name.as_str());
                let known: Vec<&str> = known.collect();
                let message = format!(
                    "no destination is called {name}; accepted: {}",
                    known.join(", ")
                );
                Err(BackupError::usage("from", message))
            }
            _ if self.destinations.is_empty() => {
                Err(BackupError::usage("destinations", "there are none"))
            }
            _ => Ok(()),
        }
    }
}

impl Engine {
    /// Restores a backup from one destination alone, compares what came of it with what it should be, leaves word of that in the
    /// destination's ledger, and removes what was restored. Whatever goes wrong is in the report.
    pub async fn drill(&self, request: DrillRequest) -> DrillReport {
        let engine = self.clone();
        let began = (self.0.clock)();
        let drilling = async move {
            let mut report = DrillReport::begin(began);
            let held = hold(&engine, &request, &mut report).await;
            report.error = held.err().as_ref().map(Into::into);
            Ok(report)
        };
        let result = self.0.host.spawn(drilling).await;
        let mut report = result.and_then(|report| report).unwrap_or_else(|error| {
            let mut report = DrillReport::begin(began);
            report.error = Some((&error).into());
            report
        });
        report.duration = began.until((self.0.clock)()).ms();
        report.concluded()
    }

    /// As [`Engine::drill`], for hosts without an executor.
    pub fn drill_blocking(&self, request: DrillRequest) -> DrillReport {
        futures::executor::block_on(self.drill(request))
    }
}

/// # Errors
/// Where there is nothing to restore; what becomes of the restore is in the report.
async fn hold(
    engine: &Engine,
    request: &DrillRequest,
    report: &mut DrillReport,
) -> Result<(), BackupError> {
    let mut seed = [0; 8];
    (engine.0.random)(&mut seed)?;
    let random = Random::new(u64::from_le_bytes(seed));
    request.check()?;
    let destination = chosen(request, &random);
    report.destination = Some(destination.name.clone());
    let from = vec![destination.clone()];
    let asking = async { Ok(ask_all(engine, &from).await) };
    let asked = request.cancel.guard(asking).await?;
    let ids = all_ids(&asked);
    report.candidates = ids.len() as u64;
    let id = match &request.which {
        Some(which) => resolve(which, &asked).await?,
        None => any_of(&ids, &asked, &random)?,
    };
    let mut validating = ValidateRequest::new(from);
    validating.keys = request.keys.clone();
    validating.scratch = request.scratch.clone();
    validating.cancel = request.cancel.clone();
    report.backup = Some(validate(engine, &validating, id, BY_DRILL).await);
    Ok(())
}

/// The destination to restore from. One that can't be asked then is a failure of the drill: nobody else is asked instead.
fn chosen<'a>(request: &'a DrillRequest, random: &Random) -> &'a DestinationSpec {
    let all = &request.destinations;
    let named = |name: &String| all.iter().position(|spec| spec.name == *name);
    let index = request.from.as_ref().and_then(named);
    &all[index.unwrap_or_else(|| index_below(random, all.len()))]
}

/// A backup that is listed, or should be.
fn any_of(
    ids: &[BackupId],
    asked: &[Result<Asked, (String, BackupError)>],
    random: &Random,
) -> Result<BackupId, BackupError> {
    if let Some(error) = silent(asked) {
        return Err(error);
    }
    let id = ids.get(index_below(random, ids.len()));
    id.cloned().ok_or_else(|| not_found(&Which::Latest, false))
}

fn index_below(random: &Random, count: usize) -> usize {
    usize::try_from(random.below(count as u64)).unwrap_or(0)
}
