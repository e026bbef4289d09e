//! What a scrub has read again.

use std::fmt::Write;

use teeline::{CopyState, KnownDamage, ScrubReport, ScrubbedCopy};

use super::words::{bytes, counted, of_copy, table, warned};
use super::{Problem, Shown};

impl Shown for ScrubReport {
    fn exit_code(&self) -> u8 {
        ScrubReport::exit_code(self)
    }

    fn text(&self) -> String {
        let rows: Vec<Vec<String>> = self.copies.iter().map(row).collect();
        let rows = Vec::from_iter(rows.into_iter().chain(self.known.iter().map(known)));
        let mut text = table(&rows);
        let read = match self.copies.len() {
            1 => "1 copy".to_owned(),
            count => format!("{count} copies"),
        };
        let _ = writeln!(text, "{read} read, {}", bytes(self.bytes));
        if let Some(since) = self.left_since {
            let _ = writeln!(
                text,
                "{} left for the next scrub, {}; nobody has looked at the first of them since {since}",
                self.left,
                bytes(self.left_bytes)
            );
        }
        text + &warned(&self.warnings)
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        for copy in &self.copies {
            let found = &copy.found;
            let damage = found.damage.iter().map(Problem::damage);
            problems.extend(damage.map(|problem| problem.with_help(copy.repair.as_deref())));
            let error = found.seal.as_ref().and_then(|seal| seal.error.as_ref());
            problems.extend(error.map(|error| Problem::of(&found.name, error)));
            let unrecorded = found.unrecorded.as_ref();
            problems.extend(unrecorded.map(|error| Problem::unrecorded(&found.name, error)));
        }
        for known in &self.known {
            let problem = Problem::of(&known.name, &known.error);
            problems.push(problem.with_help(Some(&known.repair)));
        }
        for failed in &self.errors {
            problems.push(Problem::of(&failed.destination, &failed.error));
        }
    }
}

fn row(copy: &ScrubbedCopy) -> Vec<String> {
    let found = match copy.found.status {
        CopyState::Damaged => counted(copy.found.damage.len() as u64, "fault"),
        _ => format!("{} read", bytes(copy.found.bytes)),
    };
    vec![
        copy.id.to_string(),
        copy.found.name.clone(),
        of_copy(copy.found.status).to_owned(),
        found,
        format!("last looked at {}", copy.last_look),
    ]
}

fn known(known: &KnownDamage) -> Vec<String> {
    vec![
        known.id.to_string(),
        known.name.clone(),
        of_copy(CopyState::Damaged).to_owned(),
        "known".to_owned(),
        format!("last looked at {}", known.last_verified.at),
    ]
}
