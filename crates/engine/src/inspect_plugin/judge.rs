//! From what was read of a backup to what it is worth.

use std::path::Path;

use teeline_sources::s3db::plugin_archive::{
    ArchiveFault, ArchiveForm as Form, ArchivedFile, ExportedPartition, PluginArchive,
    PluginManifest,
};

use super::report::{
    ArchiveForm, InspectedArchive, InspectedBackup, InspectedBackupState, InspectedField,
    InspectedFile, InspectedManifest, InspectedPartition, InspectedResource,
    InspectedResourceState,
};
use super::resources::{Named, resources};
use super::{BackupRead, findings};

/// How the plugin writes the time into an id.
const TIME_IN_ID: &[u8] = b"0000-00-00T00-00-00-000Z";
const RANDOM_CHARACTERS_MAX: usize = 6;

/// What a backup is worth, with the evidence.
pub(super) fn judge(read: &BackupRead) -> InspectedBackup {
    let manifest = read
        .manifest
        .as_ref()
        .and_then(|manifest| manifest.as_ref().ok());
    let archive = read.archive.as_ref().map(|(archive, _)| archive);
    let export = archive.and_then(|archive| archive.export.as_ref()?.as_ref().ok());
    let named = resources(manifest, archive);
    let first = |texts: [Option<&String>; 2]| texts.into_iter().flatten().next().cloned();
    InspectedBackup {
        id: read.found.id.clone(),
        backup_type: first([
            manifest.and_then(|manifest| manifest.backup_type.as_ref()),
            export.and_then(|export| export.backup_type.as_ref()),
        ]),
        timestamp: first([
            manifest.and_then(|manifest| manifest.timestamp.as_ref()),
            archive.and_then(|archive| archive.created.as_ref()),
        ]),
        status: status(read, &named),
        record_count: record_count(&named),
        recoverable_records: named.iter().map(Named::recoverable_records).sum(),
        manifest: manifest
            .zip(read.found.manifest.as_deref())
            .map(|(manifest, file)| inspected_manifest(manifest, file)),
        archive: read
            .archive
            .as_ref()
            .zip(read.found.archive.as_deref())
            .map(|((archive, size), file)| inspected_archive(archive, *size, file)),
        findings: findings::of(read, &named),
        resources: named.iter().map(inspected_resource).collect(),
    }
}

fn record_count(named: &[Named<'_>]) -> Option<u64> {
    // Saturating, since a count is whatever somebody wrote there.
    named
        .iter()
        .filter_map(Named::record_count)
        .reduce(u64::saturating_add)
}

fn status(read: &BackupRead, named: &[Named<'_>]) -> InspectedBackupState {
    let is_whole = |(archive, _): &(PluginArchive, u64)| archive.fault.is_none();
    let is_had = |named: &Named<'_>| named.state() == InspectedResourceState::Ok;
    if read.found.archive.is_some() && read.archive.is_none() {
        InspectedBackupState::Unreadable
    } else if !is_of_the_plugin(read) {
        InspectedBackupState::Foreign
    } else if read.archive.as_ref().is_some_and(is_whole) && named.iter().all(is_had) {
        InspectedBackupState::Ok
    } else {
        InspectedBackupState::Damaged
    }
}

/// Whether anything but the end of a file's name speaks for the plugin.
fn is_of_the_plugin(read: &BackupRead) -> bool {
    let is_archive = |(archive, _): &(PluginArchive, u64)| {
        archive.form.is_some() && !matches!(archive.fault, Some(ArchiveFault::Foreign(_)))
    };
    read.manifest.as_ref().is_some_and(Result::is_ok)
        || read.archive.as_ref().is_some_and(is_archive)
        || has_plugin_form(&read.found.id)
}

/// Whether an id is `TYPE-TIME-RANDOM`, as the plugin makes it.
fn has_plugin_form(id: &str) -> bool {
    let Some((rest, random)) = id.rsplit_once('-') else {
        return false;
    };
    let begin = rest.len().checked_sub(TIME_IN_ID.len());
    let Some((backup_type, time)) = begin.and_then(|begin| rest.split_at_checked(begin)) else {
        return false;
    };
    let fits = |(found, pattern): (u8, &u8)| match pattern {
        b'0' => found.is_ascii_digit(),
        mark => found == *mark,
    };
    random.len() <= RANDOM_CHARACTERS_MAX
        && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && time.bytes().zip(TIME_IN_ID).all(fits)
        && backup_type.ends_with('-')
}

fn inspected_manifest(manifest: &PluginManifest, file: &Path) -> InspectedManifest {
    InspectedManifest {
        file: file.display().to_string(),
        compression: manifest.compression.clone(),
        encrypted: manifest.encrypted,
        resources: manifest.resources.clone(),
    }
}

fn inspected_archive(archive: &PluginArchive, size: u64, file: &Path) -> InspectedArchive {
    let export = archive
        .export
        .as_ref()
        .and_then(|export| export.as_ref().ok());
    InspectedArchive {
        file: file.display().to_string(),
        size,
        form: archive.form.map(|form| match form {
            Form::Gzip => ArchiveForm::Gzip,
            Form::Json => ArchiveForm::Json,
        }),
        version: archive.version.clone(),
        created: archive.created.clone(),
        exported_at: export.and_then(|export| export.exported_at.clone()),
        bucket: export.and_then(|export| export.bucket.clone()),
        region: export.and_then(|export| export.region.clone()),
        files: archive.files.iter().map(inspected_file).collect(),
    }
}

fn inspected_file(file: &ArchivedFile) -> InspectedFile {
    InspectedFile {
        name: file.name.clone(),
        declared_size: file.declared_size,
        size: file.content.size,
        replaced_characters: file.content.replaced,
    }
}

fn inspected_resource(named: &Named<'_>) -> InspectedResource {
    let exported = named.exported;
    let partitions = exported.map(|exported| &exported.partitions[..]);
    InspectedResource {
        name: named.name.to_owned(),
        status: named.state(),
        record_count: named.record_count(),
        recoverable_records: named.recoverable_records(),
        file: named.file.map(|file| file.name.clone()),
        plain_bytes: exported.and_then(|exported| exported.bytes_written),
        attributes: exported
            .map(|exported| exported.attributes.clone())
            .unwrap_or_default(),
        partitions: partitions
            .unwrap_or_default()
            .iter()
            .map(inspected_partition)
            .collect(),
        timestamps: exported.and_then(|exported| exported.timestamps),
    }
}

fn inspected_partition(partition: &ExportedPartition) -> InspectedPartition {
    let field = |(name, rule): &(String, String)| InspectedField {
        name: name.clone(),
        rule: rule.clone(),
    };
    InspectedPartition {
        name: partition.name.clone(),
        fields: partition.fields.iter().map(field).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_plugin_are_known_by_their_form() {
        for id in [
            "full-2026-01-31T10-20-30-400Z-x1y2z3",
            "my-own-type-2026-01-31T10-20-30-400Z-x1",
        ] {
            assert!(has_plugin_form(id), "{id}");
        }
        for id in [
            "",
            "full",
            "full-2026-11-23T02-00-00-k3j9x0q2mz",
            "2026-01-31T10-20-30-400Z-x1y2z3",
            "full-2026-01-31T10-20-30-400Z-x1y2z3a",
            "ünï-2026-01-31T10-20-30-40éZ-x1",
        ] {
            assert!(!has_plugin_form(id), "{id}");
        }
    }
}
