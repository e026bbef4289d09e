//! What is wrong with a backup, in words, and only what its files show.

use teeline_sources::s3db::plugin_archive::{
    ArchiveFault, ArchiveForm, ArchivedFile, Lines, PluginArchive,
};

use super::BackupRead;
use super::report::{Finding, FindingKind, InspectedResourceState};
use super::resources::Named;

/// Where the plugin stops reading a resource.
const RECORDS_READ_MAX: u64 = 1_000;

/// Everything that is wrong, what matters most first.
pub(super) fn of(read: &BackupRead, named: &[Named<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(archive(read));
    for named in named {
        findings.extend(records(named, read));
        findings.extend(limit(named));
    }
    findings.extend(attributes(named));
    findings.extend(manifest(read));
    findings.extend(encryption(read));
    findings.extend(compression(read));
    if let Some((archive, _)) = &read.archive {
        findings.extend(description(archive));
        findings.extend(sizes(archive));
    }
    findings
}

fn finding(kind: FindingKind, message: String) -> Finding {
    Finding {
        kind,
        resource: None,
        message,
    }
}

fn archive(read: &BackupRead) -> Option<Finding> {
    let id = &read.found.id;
    if read.found.archive.is_none() {
        let message = format!("{id}.backup isn't beside its manifest: no record can be had");
        return Some(finding(FindingKind::ArchiveAbsent, message));
    }
    match read.archive.as_ref()?.0.fault.as_ref()? {
        ArchiveFault::Foreign(found) => Some(finding(
            FindingKind::ArchiveForeign,
            format!(
                "{id}.backup is no archive of the BackupPlugin: {found}; an archive is JSON of version, created and files, gzipped or not"
            ),
        )),
        ArchiveFault::CutShort => Some(finding(
            FindingKind::ArchiveCutShort,
            format!(
                "{id}.backup is cut short: it ends before it is whole, and what isn't named here can't be had"
            ),
        )),
        ArchiveFault::Damaged(found) => Some(finding(
            FindingKind::ArchiveDamaged,
            format!("{id}.backup is damaged: {found}; what isn't named here can't be had"),
        )),
        // Reported as a failure to read.
        ArchiveFault::Unreadable(_) => None,
    }
}

fn records(named: &Named<'_>, read: &BackupRead) -> Option<Finding> {
    let (kind, message) = match (named.state(), named.file) {
        (InspectedResourceState::Ok, _) => return None,
        (InspectedResourceState::Destroyed, Some(file)) => {
            (FindingKind::RecordsDestroyed, destroyed(file))
        }
        (InspectedResourceState::Damaged, Some(file)) => (
            FindingKind::RecordsDamaged,
            damaged(file, named.record_count()),
        ),
        (InspectedResourceState::Absent, _) | (_, None) => {
            // Of an archive that is absent or breaks off that needs no saying.
            read.archive
                .as_ref()
                .filter(|(archive, _)| archive.fault.is_none())?;
            let message = "no record can be had: the archive has no file of this resource";
            (FindingKind::RecordsAbsent, message.to_owned())
        }
    };
    Some(Finding {
        kind,
        resource: Some(named.name.to_owned()),
        message,
    })
}

fn destroyed(file: &ArchivedFile) -> String {
    let replaced = file.content.replaced;
    let reason = file.content.lines.as_ref().err().map_or("", String::as_str);
    format!(
        "no record can be recovered from {}: the plugin read its gzip bytes as UTF-8 text, which replaces what isn't UTF-8 by U+FFFD: \
         {replaced} such characters stand where at least {replaced} bytes were, and what is left can't be unpacked ({reason})",
        file.name
    )
}

fn damaged(file: &ArchivedFile, record_count: Option<u64>) -> String {
    let name = &file.name;
    match &file.content.lines {
        Err(reason) => format!("no record can be had of {name}: {reason}"),
        Ok(Lines { records, others }) => {
            let claim = record_count.map_or(String::new(), |count| {
                format!(", where s3db.json says {count} records")
            });
            format!("{name} has {records} records and {others} lines that are none{claim}")
        }
    }
}

fn limit(named: &Named<'_>) -> Option<Finding> {
    (named.record_count() == Some(RECORDS_READ_MAX)).then(|| Finding {
        kind: FindingKind::RecordsLimit,
        resource: Some(named.name.to_owned()),
        message: "recordCount is exactly 1000, which is where the plugin stops reading a resource: the database may have more".to_owned(),
    })
}

fn attributes(named: &[Named<'_>]) -> Option<Finding> {
    let exported = || named.iter().filter_map(|named| named.exported);
    let lost = exported()
        .filter(|exported| exported.attributes.is_empty())
        .count();
    let all = exported().count();
    (lost > 0).then(|| {
        finding(
            FindingKind::AttributesLost,
            format!(
                "the schemas can't be had: attributes is empty for {lost} of {all} resources in the archive's s3db.json, as the plugin \
                 always leaves it; names, partitions and timestamps are there"
            ),
        )
    })
}

fn manifest(read: &BackupRead) -> Option<Finding> {
    let id = &read.found.id;
    match (&read.found.manifest, &read.manifest) {
        (None, _) => Some(finding(
            FindingKind::ManifestAbsent,
            format!("{id}.manifest.json isn't beside the archive"),
        )),
        (Some(_), Some(Err(found))) => Some(finding(
            FindingKind::ManifestForeign,
            format!(
                "{id}.manifest.json is no manifest of the BackupPlugin: it is {found}; a manifest is a JSON object with type, timestamp and resources"
            ),
        )),
        (Some(_), _) => None,
    }
}

fn encryption(read: &BackupRead) -> Option<Finding> {
    let manifest = read.manifest.as_ref()?.as_ref().ok()?;
    let form = shown(read.archive.as_ref()?.0.form?);
    (manifest.encrypted == Some(true)).then(|| {
        finding(
            FindingKind::EncryptionNotDone,
            format!("the manifest says encrypted: true, which was not done: the archive is {form}, and whoever has the file can read it"),
        )
    })
}

fn compression(read: &BackupRead) -> Option<Finding> {
    let manifest = read.manifest.as_ref()?.as_ref().ok()?;
    let compression = manifest.compression.as_deref()?;
    let form = read.archive.as_ref()?.0.form?;
    let is_done = matches!(
        (compression, form),
        ("gzip", ArchiveForm::Gzip) | ("none", ArchiveForm::Json)
    );
    (!is_done).then(|| {
        finding(
            FindingKind::CompressionDiffers,
            format!(
                "the manifest says compression: {compression}, but the archive is {}",
                shown(form)
            ),
        )
    })
}

fn description(archive: &PluginArchive) -> Option<Finding> {
    match &archive.export {
        Some(Ok(_)) => None,
        Some(Err(found)) => Some(finding(
            FindingKind::DescriptionDamaged,
            format!(
                "the archive's s3db.json can't be used: it is {found}; how many records there were isn't known"
            ),
        )),
        // What the archive itself lacks is said already.
        None if archive.fault.is_some() => None,
        None => Some(finding(
            FindingKind::DescriptionAbsent,
            "the archive has no s3db.json: how many records there were isn't known".to_owned(),
        )),
    }
}

fn sizes(archive: &PluginArchive) -> impl Iterator<Item = Finding> {
    archive.files.iter().filter_map(|file| {
        let declared = file
            .declared_size
            .filter(|size| *size != file.content.size)?;
        let message = format!(
            "{} has {} characters, where the archive says {declared}",
            file.name, file.content.size
        );
        Some(finding(FindingKind::SizeDiffers, message))
    })
}

fn shown(form: ArchiveForm) -> &'static str {
    match form {
        ArchiveForm::Gzip => "plain gzip",
        ArchiveForm::Json => "plain JSON",
    }
}
