//! What was found of places that become destinations.

use std::fmt::Write;

use teeline::printable::one_line;
use teeline::{InitReport, InitStatus};

use super::words::table;
use super::{Problem, Shown};

impl Shown for InitReport {
    fn exit_code(&self) -> u8 {
        InitReport::exit_code(self)
    }

    fn text(&self) -> String {
        let rows = self.destinations.iter().map(|tried| {
            let status = match tried.status {
                InitStatus::Ready => "ready",
                InitStatus::Weak => "can be used, but something can't be relied on",
                InitStatus::Failed => "failed",
            };
            vec![
                tried.name.clone(),
                status.to_owned(),
                tried.location.clone(),
            ]
        });
        let mut text = table(&rows.collect::<Vec<_>>());
        for tried in &self.destinations {
            let name = one_line(&tried.name);
            for weakness in &tried.weaknesses {
                let _ = writeln!(text, "{name}: {weakness}");
            }
            if tried.promises.is_some_and(|promises| !promises.deletes) {
                let _ = writeln!(
                    text,
                    "{name}: nothing may be deleted there with these credentials, so what it was tried with stays, in probes/"
                );
            }
        }
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        for tried in &self.destinations {
            let error = tried.error.as_ref();
            problems.extend(error.map(|error| Problem::of(&tried.name, error)));
        }
    }
}
