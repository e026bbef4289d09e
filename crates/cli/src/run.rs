//! `teeline run`: stays, and does what is scheduled.

use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use teeline::{
    BackupError, BackupType, RunStatus, ScheduleEvent, SchedulesRequest, TimeZone, Timestamp,
    WorkReport,
};

use crate::args::RunArguments;
use crate::output::{Output, Problem, Shown, ended, remarks};
use crate::resolve::{self, Setting};
use crate::signals::Signals;

/// Runs until it is interrupted. What happens is said on standard error as it happens, and with `--json` what each run came to on
/// standard output.
pub(crate) async fn run(
    typed: &RunArguments,
    output: &Output,
    signals: &Signals,
) -> Result<u8, BackupError> {
    let setting = Setting::open(typed.config.as_deref(), output, signals).await?;
    let engine = resolve::scheduled(&setting, &typed.engine, None).await?;
    let log = Log {
        output: output.clone(),
        time_zone: setting.time_zone(),
    };
    let mut request = SchedulesRequest::default();
    request.cancel = signals.cancel.clone();
    request.observer = Some(Arc::new(move |event| log.event(event)));
    let report = engine.run_schedules(request).await?;
    Ok(report.exit_code())
}

struct Log {
    output: Output,
    time_zone: TimeZone,
}

/// What a run came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ran<'a> {
    schedule: &'a str,
    #[serde(rename = "type")]
    what: BackupType,
    scheduled_at: Timestamp,
    started_at: Timestamp,
    ended_at: Timestamp,
    status: RunStatus,
    exit_code: u8,
    report: &'a WorkReport,
}

impl Log {
    fn event(&self, event: &ScheduleEvent) {
        match event {
            ScheduleEvent::Unasked {
                names,
                errors,
                unknown,
            } => {
                for failed in errors {
                    let problem = Problem::of(&failed.destination, &failed.error);
                    self.output.stderr.problem(&problem);
                }
                let names = names.join(", ");
                if *unknown {
                    self.line(
                        &names,
                        "when it last ran isn't known; what was missed isn't caught up",
                    );
                }
            }
            ScheduleEvent::Waits { next: None } => self.line("run", "nothing comes next"),
            ScheduleEvent::Waits {
                next: Some((name, at)),
            } => self.line(name, &format!("is next, at {}", self.time_zone.shown(*at))),
            ScheduleEvent::Begins { name, scheduled_at } => {
                let scheduled_at = self.time_zone.shown(*scheduled_at);
                self.line(name, &format!("begins, for {scheduled_at}"));
            }
            ScheduleEvent::Left {
                name,
                scheduled_at,
                destination,
                holder,
            } => {
                let scheduled_at = self.time_zone.shown(*scheduled_at);
                let line =
                    format!("is left for {scheduled_at} to {holder}, as {destination} has it");
                self.line(name, &line);
            }
            ScheduleEvent::Unclaimed { name, errors } => {
                for failed in errors {
                    let problem = Problem::of(&failed.destination, &failed.error);
                    self.output.stderr.problem(&problem);
                }
                let line =
                    "no destination takes note of who does it; another runner may do the same";
                self.line(name, line);
            }
            ScheduleEvent::Ended {
                name,
                scheduled_at,
                started_at,
                ended_at,
                report,
            } => {
                let mut problems = Vec::new();
                report.problems(&mut problems);
                for problem in &problems {
                    self.output.stderr.problem(problem);
                }
                self.line(name, &ended(report, started_at.until(*ended_at)));
                for remark in remarks(report) {
                    self.line(name, &remark);
                }
                if self.output.is_json() {
                    self.output.json_line(&Ran {
                        schedule: name,
                        what: report.label(),
                        scheduled_at: *scheduled_at,
                        started_at: *started_at,
                        ended_at: *ended_at,
                        status: report.status(),
                        exit_code: report.exit_code(),
                        report,
                    });
                }
            }
        }
    }

    fn line(&self, name: &str, what: &str) {
        let now = self.time_zone.shown(now());
        self.output.stderr.line(&format!("{now} {name}: {what}"));
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}
