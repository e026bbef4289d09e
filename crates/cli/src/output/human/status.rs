//! What is known of a backup.

use std::fmt::Write;

use teeline::printable::one_line;
use teeline::{BackupId, BackupState, StatusReport};

use super::settle::settled;
use super::words::{bytes, grouped, of_check, of_copy, of_run, table};
use super::{Problem, Shown};

impl Shown for StatusReport {
    fn exit_code(&self) -> u8 {
        StatusReport::exit_code(self)
    }

    fn text(&self) -> String {
        let Some(id) = &self.id else {
            return String::new();
        };
        let state = match self.status {
            BackupState::Completed => "completed",
            BackupState::Incomplete => "incomplete",
            BackupState::Damaged => "damaged",
            BackupState::Withdrawn => "withdrawn",
            BackupState::Failed => "failed",
            BackupState::Unknown => "unknown",
        };
        let mut text = format!("{id} {state}\n");
        if let Some(timestamp) = self.timestamp {
            let _ = writeln!(text, "  began     {timestamp}");
        }
        if let [chain @ .., _] = self.chain.as_slice()
            && !chain.is_empty()
        {
            let chain: Vec<&str> = chain.iter().map(BackupId::as_str).collect();
            let _ = writeln!(text, "  goes on   from {}", chain.join(", "));
        }
        if let Some(since) = self.since {
            let _ = writeln!(text, "  has only  what was written since {since}");
        }
        if let Some(source) = &self.source {
            let _ = writeln!(text, "  source    {}", one_line(&source.location));
            if let Some(ended_at) = source.scan_ended_at {
                let _ = writeln!(text, "  read      {} to {ended_at}", source.scan_started_at);
            }
            if let Some(part) = &self.in_part {
                let _ = writeln!(text, "  a part    {}", one_line(&part.to_string()));
            }
            if let Some(settling) = &source.settle {
                let _ = writeln!(text, "            {}", settled(settling));
            }
        }
        if let Some(checksum) = &self.checksum {
            let size = format!(
                "{} plain, {} stored",
                bytes(self.plain_bytes),
                bytes(self.size)
            );
            let _ = writeln!(text, "  records   {}: {size}", grouped(self.record_count));
            let _ = writeln!(text, "  checksum  {checksum}");
            if self.sealed {
                let _ = writeln!(
                    text,
                    "  sealed    a key opens it; `teeline key list` says whose"
                );
            }
        }
        for (name, value) in self.metadata.values() {
            let _ = writeln!(text, "  metadata  {}: {value}", one_line(name));
        }
        if !self.resources.is_empty() {
            let mut rows = vec![
                [
                    "  RESOURCE",
                    "RECORDS",
                    "KEPT RAW",
                    "STORED",
                    "PLAIN",
                    "FILES",
                ]
                .map(str::to_owned)
                .to_vec(),
            ];
            rows.extend(self.resources.iter().map(|resource| {
                vec![
                    format!("  {}", resource.name),
                    grouped(resource.record_count),
                    grouped(resource.kept_raw),
                    bytes(resource.size),
                    bytes(resource.plain_bytes),
                    resource.files.len().to_string(),
                ]
            }));
            let _ = write!(text, "\n{}", table(&rows));
        }
        if !self.destinations.is_empty() {
            let mut rows = vec![
                ["  DESTINATION", "COPY", "VERIFIED", "LOCATION"]
                    .map(str::to_owned)
                    .to_vec(),
            ];
            rows.extend(self.destinations.iter().map(|copy| {
                let since = copy.withdrawn_at;
                let since = since.map_or(String::new(), |at| format!(" at {at}"));
                vec![
                    format!("  {}", copy.name),
                    format!("{}{since}", of_copy(copy.status)),
                    copy.last_verified.as_ref().map_or("-".to_owned(), of_check),
                    copy.location.clone(),
                ]
            }));
            let _ = write!(text, "\n{}", table(&rows));
        }
        for run in &self.runs {
            let _ = write!(
                text,
                "\n  run of {}: {}\n",
                run.started_at,
                of_run(run.status)
            );
            let failed = run
                .destinations
                .iter()
                .filter_map(|at| Some((&at.name, at.error.as_ref()?)));
            for (name, error) in failed {
                let _ = writeln!(
                    text,
                    "    {}",
                    one_line(&format!("{name}: {}", error.message))
                );
            }
            if let Some(error) = &run.error {
                let _ = writeln!(text, "    {}", one_line(&error.message));
            }
        }
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        // Why runs failed is said beside them.
        let error = self
            .error
            .as_ref()
            .filter(|_| self.status != BackupState::Failed);
        problems.extend(error.map(Problem::plain));
        for copy in &self.destinations {
            problems.extend(
                copy.error
                    .as_ref()
                    .map(|error| Problem::of(&copy.name, error)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use teeline::{Metadata, ResourceStatus};

    use super::*;

    #[test]
    fn records_kept_raw_are_counted_for_each_resource() {
        let resource = |name: &str, kept_raw| ResourceStatus {
            name: name.to_owned(),
            record_count: 12_345,
            size: 0,
            plain_bytes: 0,
            kept_raw,
            vanished: 0,
            files: Vec::new(),
        };
        let report = StatusReport {
            id: "full-2026-01-01T00-00-00-aaaaaaaaaa".parse().ok(),
            backup_type: None,
            status: BackupState::Completed,
            timestamp: None,
            record_count: 24_690,
            size: 0,
            plain_bytes: 0,
            checksum: None,
            since: None,
            sealed: false,
            chain: Vec::new(),
            metadata: Metadata::default(),
            source: None,
            in_part: None,
            resources: vec![resource("notes", 0), resource("users", 1234)],
            destinations: Vec::new(),
            runs: Vec::new(),
            error: None,
            failure: None,
        };
        let text = report.text();
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert!(text.contains("KEPT RAW"), "{text}");
        let counts = |name: &str| {
            let row = rows.iter().find(|row| row.first() == Some(&name));
            row.map(|row| row[1..3].to_vec())
        };
        assert_eq!(counts("notes"), Some(vec![&*grouped(12_345), "0"]));
        assert_eq!(
            counts("users"),
            Some(vec![&*grouped(12_345), &*grouped(1234)])
        );
    }
}
