//! What a restore came to.

use std::fmt::Write;

use teeline::printable::one_line;
use teeline::{RestoreCounts, RestoreReport, RestoreStatus};

use super::words::{counted, grouped, resources, seconds, table};
use super::{Problem, Shown};
use crate::output::next::again;

impl Shown for RestoreReport {
    fn exit_code(&self) -> u8 {
        RestoreReport::exit_code(self)
    }

    fn text(&self) -> String {
        let Some(id) = &self.id else {
            return String::new();
        };
        let (state, done) = match self.status {
            RestoreStatus::Completed => ("restored", "restored"),
            RestoreStatus::DryRun => ("would be restored", "to restore"),
            RestoreStatus::Thawing => ("not restored yet", "restored"),
            RestoreStatus::Failed => ("not restored", "restored"),
        };
        let mut text = format!(
            "{id} {state} to {} after {}\n",
            self.target,
            seconds(self.duration)
        );
        if let Some(part) = &self.in_part {
            let _ = writeln!(
                text,
                "  the backup holds a part: {}",
                one_line(&part.to_string())
            );
        }
        if !(self.include.is_empty() && self.exclude.is_empty()) {
            let of = resources(&self.include, &self.exclude);
            let _ = writeln!(text, "  the backup is of these resources: {of}");
        }
        let mut rows = Vec::new();
        for resource in &self.restored {
            let records = match resource.records_restored == resource.total_records {
                true => grouped(resource.total_records),
                false => format!(
                    "{} of {}",
                    grouped(resource.records_restored),
                    grouped(resource.total_records)
                ),
            };
            let name = match resource.restored_as == resource.name {
                true => resource.name.clone(),
                false => format!("{} as {}", resource.name, resource.restored_as),
            };
            rows.push(vec![
                format!("  {name}"),
                format!(
                    "{records} {} {done}{}",
                    noun(resource.total_records),
                    became(resource.counts)
                ),
            ]);
        }
        if self.objects_restored > 0 {
            let objects = counted(self.objects_restored, "object");
            rows.push(vec![
                "  other objects".to_owned(),
                format!("{objects} {done}{}", became(self.objects)),
            ]);
        }
        text.push_str(&table(&rows));
        if self.status == RestoreStatus::Thawing {
            text.push_str(&format!("\nto come back with:\n  {}\n", again(id)));
        }
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        problems.extend(self.avoided.iter().map(|damage| {
            let problem = Problem::damage(damage);
            Problem {
                message: format!("avoided: {}", problem.message),
                ..problem
            }
        }));
        problems.extend(self.error.as_ref().map(Problem::plain));
        problems.extend(self.hook_failures.iter().map(Problem::of_hook));
    }
}

fn noun(count: u64) -> &'static str {
    match count {
        1 => "record",
        _ => "records",
    }
}

/// `: 2 created, 1 replaced`; nothing where all of them were created.
fn became(counts: RestoreCounts) -> String {
    let named = [
        (counts.created, "created"),
        (counts.replaced, "replaced"),
        (counts.left, "left as they were"),
        (counts.deleted, "deleted"),
    ];
    if named[1..].iter().all(|(count, _)| *count == 0) {
        return String::new();
    }
    let named = named.iter().filter(|(count, _)| *count > 0);
    let named: Vec<String> = named
        .map(|(count, what)| format!("{} {what}", grouped(*count)))
        .collect();
    format!(": {}", named.join(", "))
}
