//! `teeline run`: stays, and makes the backups that are scheduled.

use std::sync::Arc;
use std::time::SystemTime;

use teeline::{BackupError, ScheduleEvent, SchedulesRequest, TimeZone, Timestamp};

use crate::args::RunArguments;
use crate::output::{Output, Problem, Stderr, ended};
use crate::resolve::{self, Setting};
use crate::signals::Signals;

/// Runs until it is interrupted. What happens is said on standard error as it happens.
pub(crate) async fn run(
    typed: &RunArguments,
    output: &Output,
    signals: &Signals,
) -> Result<u8, BackupError> {
    let setting = Setting::open(typed.config.as_deref(), output, signals).await?;
    let engine = resolve::scheduled(&setting, &typed.engine).await?;
    let log = Log {
        stderr: output.stderr.clone(),
        time_zone: setting.time_zone(),
    };
    let mut request = SchedulesRequest::default();
    request.cancel = signals.cancel.clone();
    request.observer = Some(Arc::new(move |event| log.event(event)));
    let report = engine.run_schedules(request).await?;
    Ok(report.exit_code())
}

struct Log {
    stderr: Stderr,
    time_zone: TimeZone,
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
                    self.stderr.problem(&problem);
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
            ScheduleEvent::Ended { name, report } => {
                let (line, problems) = ended(report);
                for problem in &problems {
                    self.stderr.problem(problem);
                }
                self.line(name, &line);
            }
        }
    }

    fn line(&self, name: &str, what: &str) {
        let now = self.time_zone.shown(now());
        self.stderr.line(&format!("{now} {name}: {what}"));
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}
