//! Whether destinations have the backups that are expected of them.

use teeline::MonitorReport;

use super::words::{counted, table};
use super::{Problem, Shown};

impl Shown for MonitorReport {
    fn exit_code(&self) -> u8 {
        MonitorReport::exit_code(self)
    }

    fn text(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .destinations
            .iter()
            .map(|at| {
                let found = match at.problems.is_empty() {
                    true => "ok",
                    false => "not as expected",
                };
                let latest = at.latest.as_ref().map_or("-", |id| id.as_str());
                vec![
                    at.name.clone(),
                    found.to_owned(),
                    counted(at.count, "backup"),
                    latest.to_owned(),
                ]
            })
            .collect();
        table(&rows)
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        problems.extend(self.error.as_ref().map(Problem::plain));
        for at in &self.destinations {
            let of_it = at.problems.iter();
            problems.extend(of_it.map(|error| Problem::of(&at.name, error)));
        }
    }
}
