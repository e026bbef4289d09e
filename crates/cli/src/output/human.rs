//! Reports as people read them.

use std::fmt::{self, Display, Write};

use serde::Serialize;
use teeline::{
    BackupReport, BackupState, CopyState, Damage, DestinationReport, DestinationStatus,
    ErrorReport, ListReport, RestoreCounts, RestoreReport, RestoreStatus, RunStatus, StatusReport,
    Verified, VerifyReport,
};

use super::json::Checked;
use super::next::Next;
use super::printable::one_line;

/// A result that can be printed either way; its JSON is its `Serialize`.
pub(crate) trait Shown: Serialize {
    /// What the process exits with.
    fn exit_code(&self) -> u8;

    /// Lines for standard output; may be nothing.
    fn text(&self) -> String;

    /// What goes to standard error.
    fn problems(&self, problems: &mut Vec<Problem>);
}

/// Something that went wrong, with what to do about it where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(super) about: Option<String>,
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

impl Problem {
    pub(super) fn plain(error: &ErrorReport) -> Self {
        Problem {
            about: None,
            message: error.message.clone(),
            suggestion: error.suggestion.clone(),
        }
    }

    pub(super) fn of(destination: &str, error: &ErrorReport) -> Self {
        // What concerns no destination in particular comes without a name.
        let about = Some(format!("destination {destination}")).filter(|_| !destination.is_empty());
        Problem {
            about,
            ..Problem::plain(error)
        }
    }

    fn damage(damage: &Damage) -> Self {
        let chunk = damage
            .chunk
            .map_or(String::new(), |chunk| format!(", chunk {chunk}"));
        let about = format!("destination {}, {}{chunk}", damage.destination, damage.file);
        Problem {
            about: Some(about),
            message: damage.message.clone(),
            suggestion: None,
        }
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error: ")?;
        if let Some(about) = &self.about {
            write!(f, "{}: ", one_line(about))?;
        }
        f.write_str(&one_line(&self.message))?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "\n  help: {}", one_line(suggestion)),
            None => Ok(()),
        }
    }
}

/// A backup's report with the commands to try next.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Made {
    pub(crate) report: BackupReport,
    #[serde(skip)]
    pub(crate) next: Next,
}

impl Shown for Made {
    fn exit_code(&self) -> u8 {
        self.report.exit_code()
    }

    fn text(&self) -> String {
        let report = &self.report;
        let Some(id) = &report.id else {
            return String::new();
        };
        let mut text = format!(
            "{id} {} after {}\n",
            of_run(report.status),
            seconds(report.duration)
        );
        if report.checksum.is_some() {
            let objects = counted(report.object_count, "other object");
            let objects = if report.object_count == 0 {
                String::new()
            } else {
                format!(" and {objects}")
            };
            let resources = counted(report.resources.len() as u64, "resource");
            let _ = writeln!(
                text,
                "  {} of {resources}{objects}: {} plain, {} stored",
                counted(report.record_count, "record"),
                bytes(report.plain_bytes),
                bytes(report.size)
            );
            let _ = writeln!(
                text,
                "  {}",
                rates(report.record_count, report.plain_bytes, report.duration)
            );
        }
        for (count, what) in [
            (
                report.kept_raw,
                "kept raw, since they don't map to a document and back",
            ),
            (report.vanished, "gone before they could be read"),
        ] {
            if count > 0 {
                let _ = writeln!(text, "  {}: {what}", counted(count, "object"));
            }
        }
        for destination in &report.destinations {
            text.push_str(&written(report, destination));
        }
        if report
            .destinations
            .iter()
            .any(|destination| destination.status == DestinationStatus::Committed)
        {
            text.push_str(&self.next.to_string());
        }
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        problems.extend(self.report.error.as_ref().map(Problem::plain));
        for destination in &self.report.destinations {
            problems.extend(
                destination
                    .error
                    .as_ref()
                    .map(|error| Problem::of(&destination.name, error)),
            );
        }
    }
}

/// What is at a destination now, and where.
fn written(report: &BackupReport, destination: &DestinationReport) -> String {
    let status = match destination.status {
        DestinationStatus::Committed => "committed",
        DestinationStatus::Failed => "failed",
        DestinationStatus::Behind => "behind: it lacks this backup",
        DestinationStatus::Skipped => "skipped",
        DestinationStatus::Unknown => {
            "unknown: it failed while it published, so the backup may be there"
        }
    };
    let place = match (&report.path, destination.status) {
        (Some(path), DestinationStatus::Committed) => {
            format!("{}/{path}", destination.location.trim_end_matches('/'))
        }
        _ => destination.location.clone(),
    };
    let mut text = format!(
        "\n  {}: {status}\n    location  {place}\n",
        destination.name
    );
    if destination.status != DestinationStatus::Committed {
        return text;
    }
    let verified = match destination.verified {
        Verified::Read => "every byte, by reading it back",
        Verified::Attested => "by the store's word",
        Verified::No => "no",
    };
    let retries = match destination.retries {
        0 => String::new(),
        retries => format!(", {} repeated", counted(retries, "call")),
    };
    let _ = writeln!(
        text,
        "    written   {} in {}{retries}",
        bytes(destination.bytes),
        seconds(destination.duration_ms)
    );
    let _ = writeln!(text, "    verified  {verified}");
    if let Some(checksum) = &report.checksum {
        let _ = writeln!(text, "    checksum  {checksum}");
    }
    text
}

impl Shown for ListReport {
    fn exit_code(&self) -> u8 {
        ListReport::exit_code(self)
    }

    fn text(&self) -> String {
        if self.backups.is_empty() {
            return if self.errors.is_empty() {
                "no backups\n".to_owned()
            } else {
                String::new()
            };
        }
        let mut rows = vec![
            ["BACKUP", "BEGAN", "RECORDS", "STORED", "DESTINATIONS"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(self.backups.iter().map(|backup| {
            vec![
                backup.id.to_string(),
                backup.timestamp.to_string(),
                grouped(backup.record_count),
                bytes(backup.size),
                backup.destinations.join(", "),
            ]
        }));
        table(&rows)
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        problems.extend(
            self.errors
                .iter()
                .map(|failed| Problem::of(&failed.destination, &failed.error)),
        );
    }
}

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
            BackupState::Failed => "failed",
            BackupState::Unknown => "unknown",
        };
        let mut text = format!("{id} {state}\n");
        if let Some(timestamp) = self.timestamp {
            let _ = writeln!(text, "  began     {timestamp}");
        }
        if let Some(source) = &self.source {
            let _ = writeln!(text, "  source    {}", source.location);
        }
        if let Some(checksum) = &self.checksum {
            let size = format!(
                "{} plain, {} stored",
                bytes(self.plain_bytes),
                bytes(self.size)
            );
            let _ = writeln!(text, "  records   {}: {size}", grouped(self.record_count));
            let _ = writeln!(text, "  checksum  {checksum}");
        }
        if !self.resources.is_empty() {
            let mut rows = vec![
                ["  RESOURCE", "RECORDS", "STORED", "PLAIN", "FILES"]
                    .map(str::to_owned)
                    .to_vec(),
            ];
            rows.extend(self.resources.iter().map(|resource| {
                vec![
                    format!("  {}", resource.name),
                    grouped(resource.record_count),
                    bytes(resource.size),
                    bytes(resource.plain_bytes),
                    resource.files.len().to_string(),
                ]
            }));
            let _ = write!(text, "\n{}", table(&rows));
        }
        if !self.destinations.is_empty() {
            let mut rows = vec![
                ["  DESTINATION", "COPY", "LOCATION"]
                    .map(str::to_owned)
                    .to_vec(),
            ];
            rows.extend(self.destinations.iter().map(|copy| {
                vec![
                    format!("  {}", copy.name),
                    of_copy(copy.status).to_owned(),
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
                let _ = writeln!(text, "    {name}: {}", error.message);
            }
            if let Some(error) = &run.error {
                let _ = writeln!(text, "    {}", error.message);
            }
        }
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        problems.extend(self.error.as_ref().map(Problem::plain));
        if let (BackupState::Unknown, None, Some(id)) = (self.status, &self.error, &self.id) {
            problems.push(Problem {
                about: Some(id.to_string()),
                message: "no destination knows this backup".to_owned(),
                suggestion: Some("`teeline list` shows the ids".to_owned()),
            });
        }
        for copy in &self.destinations {
            problems.extend(
                copy.error
                    .as_ref()
                    .map(|error| Problem::of(&copy.name, error)),
            );
        }
    }
}

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
                    CopyState::Ok => format!("{} read, every digest right", bytes(copy.bytes)),
                    CopyState::Damaged => counted(copy.damage.len() as u64, "fault"),
                    CopyState::Absent | CopyState::Unreachable => String::new(),
                };
                rows.push(vec![
                    format!("  {}", copy.name),
                    of_copy(copy.status).to_owned(),
                    found,
                ]);
            }
            text.push_str(&table(&rows));
        }
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        let copies = self.backups.iter().flat_map(|backup| &backup.destinations);
        problems.extend(copies.flat_map(|copy| &copy.damage).map(Problem::damage));
        problems.extend(
            self.errors
                .iter()
                .map(|failed| Problem::of(&failed.destination, &failed.error)),
        );
    }
}

impl Shown for RestoreReport {
    fn exit_code(&self) -> u8 {
        RestoreReport::exit_code(self)
    }

    fn text(&self) -> String {
        let Some(id) = &self.backup_id else {
            return String::new();
        };
        let (state, done) = match self.status {
            RestoreStatus::Completed => ("restored", "restored"),
            RestoreStatus::DryRun => ("would be restored", "to restore"),
            RestoreStatus::Failed => ("not restored", "restored"),
        };
        let mut text = format!(
            "{id} {state} to {} after {}\n",
            self.target,
            seconds(self.duration)
        );
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
            rows.push(vec![
                format!("  {}", resource.name),
                format!("{records} records {done}{}", became(resource.counts)),
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
    }
}

/// `: 2 created, 1 replaced`; nothing where all of them were created.
fn became(counts: RestoreCounts) -> String {
    let named = [
        (counts.created, "created"),
        (counts.replaced, "replaced"),
        (counts.left, "left as they were"),
        (counts.deleted, "others deleted"),
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

impl Shown for Checked {
    fn exit_code(&self) -> u8 {
        teeline::exit::DONE
    }

    fn text(&self) -> String {
        let mut text = format!("{} can be used\n", self.file);
        let source = self
            .source
            .as_deref()
            .unwrap_or("none: enough to list, verify and restore");
        let _ = writeln!(text, "  source       {source}");
        let _ = writeln!(text, "  strategy     {}", self.strategy);
        let _ = writeln!(text, "  compression  {}", self.compression);
        let rows: Vec<Vec<String>> = self
            .destinations
            .iter()
            .map(|destination| {
                let required = if destination.required {
                    "required"
                } else {
                    "optional"
                };
                vec![
                    format!("  {}", destination.name),
                    required.to_owned(),
                    destination.location.clone(),
                ]
            })
            .collect();
        match rows.is_empty() {
            true => text.push_str("  destinations none: ./backups is used\n"),
            false => text.push_str(&format!("\n{}", table(&rows))),
        }
        text
    }

    fn problems(&self, _: &mut Vec<Problem>) {}
}

fn of_run(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Completed => "completed",
        RunStatus::Degraded => "completed, but not everywhere,",
        RunStatus::Failed => "failed",
    }
}

fn of_copy(state: CopyState) -> &'static str {
    match state {
        CopyState::Ok => "ok",
        CopyState::Damaged => "damaged",
        CopyState::Absent => "absent",
        CopyState::Unreachable => "unreachable",
    }
}

/// Columns as wide as they need to be, two spaces apart.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| one_line(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `1 record`, `5,000 records`.
pub(super) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(count))
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes in the unit that fits.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03} s", milliseconds / 1000, milliseconds % 1000)
}

/// Records and plain megabytes a second.
fn rates(records: u64, plain_bytes: u64, milliseconds: u64) -> String {
    let milliseconds = u128::from(milliseconds.max(1));
    let records = u64::try_from(u128::from(records) * 1000 / milliseconds).unwrap_or(u64::MAX);
    // Hundredths of a megabyte (10⁶ bytes).
    let hundredths = u128::from(plain_bytes) / 10 / milliseconds;
    format!(
        "{} records/s, {}.{:02} MB/s plain",
        grouped(records),
        hundredths / 100,
        hundredths % 100
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567]
                .map(grouped)
                .each_ref()
                .map(String::as_str)
        );
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(5000, "record"), "5,000 records");
        assert_eq!(bytes(1536), "1.50 KiB");
        assert_eq!(seconds(1207), "1.207 s");
        assert_eq!(
            rates(5000, 3_000_000, 2000),
            "2,500 records/s, 1.50 MB/s plain"
        );
        assert_eq!(rates(5, 10, 0), "5,000 records/s, 0.01 MB/s plain");
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".to_owned(), "long".to_owned()],
            vec!["bcd".to_owned(), String::new()],
        ];
        assert_eq!(table(&rows), "a    long\nbcd\n");
        let rows = [vec!["a\nb".to_owned(), "c".to_owned()]];
        assert_eq!(table(&rows), "a\\nb  c\n");
    }

    #[test]
    fn a_problem_says_what_to_do() {
        let error = ErrorReport {
            class: teeline::Class::Usage,
            message: "x: is wrong".to_owned(),
            suggestion: Some("try y".to_owned()),
        };
        assert_eq!(
            Problem::of("far", &error).to_string(),
            "error: destination far: x: is wrong\n  help: try y"
        );
    }
}
