//! Scrubs: stored bytes are read again, those first that nobody has looked at for longest, and no more of them at once than a
//! budget allows.

use teeline_core::chain::Linked;
use teeline_core::{BackupError, CatalogEntry, Span, Timestamp};

use crate::catalog::{Asked, ask_all, resolve};
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::keys::Keys;
use crate::ledger::{Ledger, found_damaged};
use crate::report::{CopyState, DestinationError, KnownDamage, ScrubReport, ScrubbedCopy};
use crate::request::{Cancel, Which};
use crate::verify::{VerifyRequest, note, verify_copy};

/// How the ledger names what is checked here.
const BY_SCRUB: &str = "scrub";

/// A scrub to be made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScrubRequest {
    /// Where copies are.
    pub destinations: Vec<DestinationSpec>,
    /// How many bytes are read at the most; any number. The copy that nobody has looked at for longest is read whatever its size, so
    /// that each gets its turn.
    pub budget_bytes: Option<u64>,
    /// Copies that somebody has looked at within so long are left alone; none are.
    pub max_age: Option<Span>,
    /// What opens those that are sealed, as [`VerifyRequest::keys`].
    pub keys: Keys,
    /// Whether they are decoded, parsed and counted as well, as [`VerifyRequest::deep`]; no. They are read twice then, which the
    /// budget doesn't count.
    pub deep: bool,
    /// Ends the scrub early. What was found until then is noted.
    pub cancel: Cancel,
}

impl ScrubRequest {
    /// A scrub of everything.
    pub fn new(destinations: Vec<DestinationSpec>) -> Self {
        ScrubRequest {
            destinations,
            budget_bytes: None,
            max_age: None,
            keys: Keys::default(),
            deep: false,
            cancel: Cancel::new(),
        }
    }
}

impl Engine {
    /// Reads copies again that nobody has looked at for long, and leaves word of each in the ledger of its destination. Whatever goes
    /// wrong is in the report.
    pub async fn scrub(&self, request: ScrubRequest) -> ScrubReport {
        let engine = self.clone();
        let budget = request.budget_bytes;
        let scrubbing = async move {
            let mut report = ScrubReport::begin(request.budget_bytes);
            if let Err(error) = scrub(&engine, &request, &mut report).await {
                report.errors.push(DestinationError::of_none(&error));
            }
            Ok(report)
        };
        let result = self.0.host.spawn(scrubbing).await;
        let scrubbed = result.and_then(|report| report).unwrap_or_else(|error| {
            let mut report = ScrubReport::begin(budget);
            report.errors.push(DestinationError::of_none(&error));
            report
        });
        scrubbed.concluded()
    }

    /// As [`Engine::scrub`], for hosts without an executor.
    pub fn scrub_blocking(&self, request: ScrubRequest) -> ScrubReport {
        futures::executor::block_on(self.scrub(request))
    }
}

/// A copy whose turn it is.
struct Due<'a> {
    asked: &'a Asked,
    entry: &'a CatalogEntry,
    last_look: Timestamp,
}

impl Due<'_> {
    fn bytes(&self) -> u64 {
        self.entry.stored_bytes + self.entry.manifest_bytes
    }
}

async fn scrub(
    engine: &Engine,
    request: &ScrubRequest,
    report: &mut ScrubReport,
) -> Result<(), BackupError> {
    let asking = async { Ok(ask_all(engine, &request.destinations).await) };
    let asked = request.cancel.guard(asking).await?;
    let due = due(engine, request, &asked, report).await;
    if report.errors.is_empty() {
        resolve(&Which::Latest, &asked).await?;
    }
    let asked_all: Vec<&Asked> = asked.iter().flatten().collect();
    let mut verify = VerifyRequest::new(request.destinations.clone());
    verify.keys = request.keys.clone();
    verify.deep = request.deep;
    for (number, copy) in due.iter().enumerate() {
        let budget = request.budget_bytes.unwrap_or(u64::MAX);
        // Whoever is first is read: what is larger than every budget would have no turn otherwise. Whoever is next waits for that,
        // rather than let smaller ones pass for ever.
        if report.bytes > 0 && report.bytes.saturating_add(copy.bytes()) > budget {
            left(&due[number..], report);
            return Ok(());
        }
        let began = (engine.0.clock)();
        let id = &copy.entry.id;
        let looking = async {
            let mut found = verify_copy(&verify, &asked_all, copy.asked, id).await;
            note(engine, copy.asked, id, &mut found, (BY_SCRUB, began)).await;
            Ok(found)
        };
        let found = match request.cancel.guard(looking).await {
            Ok(found) => found,
            Err(error) => {
                left(&due[number..], report);
                return Err(error);
            }
        };
        report.bytes += match found.status {
            CopyState::Ok | CopyState::Damaged => copy.bytes(),
            _ => found.bytes,
        };
        report.has_read(ScrubbedCopy::new(id, copy.last_look, found));
    }
    Ok(())
}

/// The copies that nobody has looked at for long enough, those first for which it is longest. Says what is known of all of them.
async fn due<'a>(
    engine: &Engine,
    request: &ScrubRequest,
    asked: &'a [Result<Asked, (String, BackupError)>],
    report: &mut ScrubReport,
) -> Vec<Due<'a>> {
    let now = (engine.0.clock)();
    let mut due = Vec::new();
    for asked in asked {
        let asked = match asked {
            Ok(asked) => asked,
            Err((name, error)) => {
                report.failed(name, error);
                continue;
            }
        };
        let name = &asked.opened.name;
        report.warnings.extend(asked.nothing_listed());
        for (_, _, error) in asked.catalog.damaged() {
            report.failed(name, error);
        }
        let ledger = Ledger::read(&asked.opened, now).await;
        let ledger = match ledger {
            Ok(ledger) => ledger,
            Err(error) => {
                report.failed(name, &error);
                continue;
            }
        };
        for entry in &asked.catalog.entries {
            let backup = Linked::from(entry).backup;
            match ledger.damage_of(&asked.opened, &backup).await {
                Ok(record) => report.known.extend(record.map(|record| {
                    let error = found_damaged(&asked.opened, &record);
                    KnownDamage::new(name, &record, &error)
                })),
                Err(error) => report.failed(name, &error),
            }
        }
        let is_due = |last_look: Timestamp| {
            let max_age = request.max_age;
            max_age.is_none_or(|max| last_look.until(now) > max)
        };
        let copies = asked.catalog.entries.iter().map(|entry| Due {
            asked,
            entry,
            last_look: ledger.last_look(entry),
        });
        due.extend(copies.filter(|copy| is_due(copy.last_look)));
    }
    due.sort_by(|a, b| (a.last_look, &a.entry.id).cmp(&(b.last_look, &b.entry.id)));
    due
}

/// Says what has to wait for the next scrub.
fn left(due: &[Due<'_>], report: &mut ScrubReport) {
    report.left = due.len() as u64;
    report.left_bytes = due.iter().map(Due::bytes).sum();
    report.left_since = due.first().map(|copy| copy.last_look);
}
