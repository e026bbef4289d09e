//! What a check of stored bytes found.

use std::fmt::Write;

use teeline::{Contained, CopyState, PreviousState, VerifiedSeal, VerifyReport};

use super::words::{bytes, counted, grouped, of_copy, table};
use super::{Problem, Shown};

impl Shown for VerifyReport {
    fn exit_code(&self) -> u8 {
        VerifyReport::exit_code(self)
    }

    fn text(&self) -> String {
        if self.backups.is_empty() {
            return if self.errors.is_empty() {
                "no backups\n".to_owned()
            } else {
                String::new()
            };
        }
        let mut text = String::new();
        for backup in &self.backups {
            let _ = writeln!(text, "{}", backup.id);
            let mut rows = Vec::new();
            for copy in &backup.destinations {
                let found = match copy.status {
                    CopyState::Ok => {
                        let contained = copy.contained.map_or(String::new(), contained);
                        let read = bytes(copy.bytes);
                        let seal = copy.seal.as_ref().map_or("", sealed);
                        format!("{read} read, every digest right{contained}{seal}")
                    }
                    CopyState::Attested => format!(
                        "{} read, every digest right; {} in {} archived, not read: the sizes are right",
                        bytes(copy.bytes),
                        bytes(copy.attested_bytes),
                        counted(copy.attested_files, "file")
                    ),
                    CopyState::Damaged => counted(copy.damage.len() as u64, "fault"),
                    CopyState::Absent
                    | CopyState::NotTaken
                    | CopyState::Behind
                    | CopyState::Withdrawn
                    | CopyState::Unreachable => String::new(),
                };
                rows.push(vec![
                    format!("  {}", copy.name),
                    of_copy(copy.status).to_owned(),
                    found,
                ]);
            }
            text.push_str(&table(&rows));
            for copy in &backup.destinations {
                for key in &copy.extra {
                    let _ = writeln!(
                        text,
                        "  {}: {key} is there as well, and is none of the backup's files",
                        copy.name
                    );
                }
            }
        }
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        let copies = self.backups.iter().flat_map(|backup| {
            let with_id = |copy| (&backup.id, copy);
            backup.destinations.iter().map(with_id)
        });
        for (id, copy) in copies {
            let mut damage: Vec<Problem> = copy.damage.iter().map(Problem::damage).collect();
            if let Some(last) = damage.pop() {
                damage.push(last.with_help(Some(&format!("teeline repair {id}"))));
            }
            problems.extend(damage);
            let unrecorded = copy.unrecorded.as_ref();
            problems.extend(unrecorded.map(|error| Problem::unrecorded(&copy.name, error)));
            let error = copy.seal.as_ref().and_then(|seal| seal.error.as_ref());
            problems.extend(error.map(|error| Problem::of(&copy.name, error)));
        }
        problems.extend(
            self.errors
                .iter()
                .map(|failed| Problem::of(&failed.destination, &failed.error)),
        );
    }
}

/// What a key told of a sealed copy.
fn sealed(seal: &VerifiedSeal) -> &'static str {
    match (seal.authentic, seal.previous) {
        (false, _) if seal.error.is_some() => "; not known to be authentic",
        (false, _) => "; sealed, and not opened",
        (true, Some(PreviousState::Absent)) => {
            "; authentic, but the backup before it is nowhere, nor was it withdrawn"
        }
        (true, _) => "; authentic",
    }
}

/// `; 12 records and 3 objects, as it says`.
fn contained(found: Contained) -> String {
    let Contained {
        records,
        objects,
        not_json,
    } = found;
    let not_json = match not_json {
        0 => String::new(),
        count => format!("; {} of them no JSON", grouped(count)),
    };
    let objects = counted(objects, "object");
    format!(
        "; {} and {objects}, as it says{not_json}",
        counted(records, "record")
    )
}
