//! What s3db.js's BackupPlugin left, as people read it.
//!
//! Its files are anybody's: what is quoted of them can't steer a terminal.

use std::fmt::Write;

use teeline::printable::one_line;
use teeline::{
    ArchiveForm, InspectedArchive, InspectedBackup, InspectedBackupState, InspectedFile,
    InspectedManifest, InspectedResource, InspectedResourceState, PluginInspection,
};

use super::words::{bytes, counted, grouped, table};
use super::{Problem, Shown};

const UNKNOWN: &str = "unknown";

impl Shown for PluginInspection {
    fn exit_code(&self) -> u8 {
        PluginInspection::exit_code(self)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (index, backup) in self.backups.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            text.push_str(&of_backup(backup));
        }
        if self.backups.len() > 1 {
            let backups = counted(self.backups.len() as u64, "backup");
            let recoverable = self.backups.iter().map(|backup| backup.recoverable_records);
            let all = self.backups.iter().filter_map(|backup| backup.record_count);
            let records = had(
                recoverable.fold(0, u64::saturating_add),
                all.reduce(u64::saturating_add),
            );
            let _ = writeln!(text, "\n{backups}: {records}");
        }
        if let Some(suggestion) = &self.suggestion {
            let _ = writeln!(text, "\nwhat to do: {suggestion}");
        }
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        problems.extend(self.errors.iter().map(Problem::plain));
    }
}

fn of_backup(backup: &InspectedBackup) -> String {
    let state = match backup.status {
        InspectedBackupState::Ok => "ok",
        InspectedBackupState::Damaged => "damaged",
        InspectedBackupState::Foreign => "not a backup of the BackupPlugin",
        InspectedBackupState::Unreadable => "unreadable",
    };
    let records = had(backup.recoverable_records, backup.record_count);
    let mut text = format!("{} {state}: {records}\n", one_line(&backup.id));
    for (name, value) in [("type", &backup.backup_type), ("made", &backup.timestamp)] {
        if let Some(value) = value {
            let _ = writeln!(text, "  {name:8}  {}", one_line(value));
        }
    }
    if let Some(manifest) = &backup.manifest {
        text.push_str(&of_manifest(manifest));
    }
    if let Some(archive) = &backup.archive {
        text.push_str(&of_archive(archive));
    }
    text.push_str(&table_of_resources(&backup.resources));
    if let Some(archive) = &backup.archive {
        text.push_str(&table_of_files(&archive.files));
    }
    if !backup.findings.is_empty() {
        text.push('\n');
    }
    for finding in &backup.findings {
        let about = finding
            .resource
            .as_ref()
            .map_or(String::new(), |name| format!("{}: ", one_line(name)));
        let _ = writeln!(text, "  - {about}{}", one_line(&finding.message));
    }
    text
}

fn of_manifest(manifest: &InspectedManifest) -> String {
    let encrypted = match manifest.encrypted {
        Some(true) => "encrypted",
        Some(false) => "not encrypted",
        None => "encryption unknown",
    };
    format!(
        "  manifest  {}: says {}, compression {}, {encrypted}\n",
        one_line(&manifest.file),
        counted(manifest.resources.len() as u64, "resource"),
        one_line(manifest.compression.as_deref().unwrap_or(UNKNOWN)),
    )
}

fn of_archive(archive: &InspectedArchive) -> String {
    let form = match archive.form {
        Some(ArchiveForm::Gzip) => "gzip of JSON",
        Some(ArchiveForm::Json) => "plain JSON",
        None => "something else",
    };
    let mut text = format!(
        "  archive   {}: is {form}, {}\n",
        one_line(&archive.file),
        bytes(archive.size)
    );
    if let Some(bucket) = &archive.bucket {
        let _ = writeln!(text, "  database  bucket {}", one_line(bucket));
    }
    text
}

fn table_of_resources(resources: &[InspectedResource]) -> String {
    let head = [
        "RESOURCE",
        "CLAIMED",
        "CAN BE HAD",
        "STATE",
        "ATTRIBUTES",
        "TIMESTAMPS",
        "PARTITIONS",
    ];
    let row = |resource: &InspectedResource| {
        [
            one_line(&resource.name),
            resource.record_count.map_or(UNKNOWN.to_owned(), grouped),
            grouped(resource.recoverable_records),
            of_state(resource.status).to_owned(),
            listed(resource.attributes.iter()),
            match resource.timestamps {
                Some(true) => "yes".to_owned(),
                Some(false) => "no".to_owned(),
                None => UNKNOWN.to_owned(),
            },
            listed(resource.partitions.iter().map(|partition| &partition.name)),
        ]
    };
    indented(head, resources.iter().map(row))
}

fn table_of_files(files: &[InspectedFile]) -> String {
    let head = [
        "FILE IN THE ARCHIVE",
        "CHARACTERS CLAIMED",
        "THERE",
        "U+FFFD",
    ];
    let row = |file: &InspectedFile| {
        [
            one_line(&file.name),
            file.declared_size.map_or(UNKNOWN.to_owned(), grouped),
            grouped(file.size),
            grouped(file.replaced_characters),
        ]
    };
    indented(head, files.iter().map(row))
}

fn of_state(state: InspectedResourceState) -> &'static str {
    match state {
        InspectedResourceState::Ok => "ok",
        InspectedResourceState::Destroyed => "destroyed",
        InspectedResourceState::Damaged => "damaged",
        InspectedResourceState::Absent => "absent",
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.map(|name| one_line(name)).collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

/// A table below an empty line; nothing where it has no rows.
fn indented<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut all = vec![head.map(str::to_owned).to_vec()];
    all.extend(rows.map(Vec::from));
    for row in &mut all {
        row[0].insert_str(0, "  ");
    }
    match all.len() {
        1 => String::new(),
        _ => format!("\n{}", table(&all)),
    }
}

/// `0 of 1,000 records can be had`.
fn had(recoverable: u64, all: Option<u64>) -> String {
    match all {
        Some(all) => format!(
            "{} of {} can be had",
            grouped(recoverable),
            counted(all, "record")
        ),
        None => format!(
            "{} can be had, of an unknown number",
            counted(recoverable, "record")
        ),
    }
}
