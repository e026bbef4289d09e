//! What an inspection found; its JSON is in `docs/reference/json.md`.

use serde::Serialize;
use teeline_core::ErrorReport;

use crate::report::{exit, exit_code_of};

/// What s3db.js's BackupPlugin left at a path.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginInspection {
    /// Where was looked.
    pub path: String,
    /// The newest first.
    pub backups: Vec<InspectedBackup>,
    /// What to do about what was found.
    pub suggestion: Option<String>,
    /// What couldn't be read.
    pub errors: Vec<ErrorReport>,
}

/// A backup of the plugin's.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectedBackup {
    /// The backup.
    pub id: String,
    /// Its type, as it says.
    #[serde(rename = "type")]
    pub backup_type: Option<String>,
    /// When it was made, as it says.
    pub timestamp: Option<String>,
    /// What it is worth.
    pub status: InspectedBackupState,
    /// Records that it says it has; absent where it says nothing of any resource.
    pub record_count: Option<u64>,
    /// Records that can be had.
    pub recoverable_records: u64,
    /// What its manifest says.
    pub manifest: Option<InspectedManifest>,
    /// What its archive is.
    pub archive: Option<InspectedArchive>,
    /// What it says of each resource, and what is there.
    pub resources: Vec<InspectedResource>,
    /// What is wrong, each with its evidence.
    pub findings: Vec<Finding>,
}

/// What a backup is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InspectedBackupState {
    /// Every record that it names can be had.
    Ok,
    /// Not every record that it names can be had.
    Damaged,
    /// It is no backup of the plugin's.
    Foreign,
    /// A file of it is there, but couldn't be read.
    Unreadable,
}

/// A manifest.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedManifest {
    /// Its file.
    pub file: String,
    /// The compression that it names.
    pub compression: Option<String>,
    /// Whether it says that the archive is encrypted.
    pub encrypted: Option<bool>,
    /// The names of the resources that were to be backed up.
    pub resources: Vec<String>,
}

/// An archive.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectedArchive {
    /// Its file.
    pub file: String,
    /// Bytes of the file.
    pub size: u64,
    /// What it really is; absent for what is no archive of the plugin's.
    pub form: Option<ArchiveForm>,
    /// The version that it says it is of.
    pub version: Option<String>,
    /// When it was made, as it says.
    pub created: Option<String>,
    /// When the records were exported, as it says.
    pub exported_at: Option<String>,
    /// The bucket of the database.
    pub bucket: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// The files in it.
    pub files: Vec<InspectedFile>,
}

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArchiveForm {
    /// Gzip of JSON.
    Gzip,
    /// Plain JSON.
    Json,
}

/// A file in an archive. Its sizes are in UTF-16 code units, as the plugin counts.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectedFile {
    /// Its name.
    pub name: String,
    /// The size that the archive says it has.
    pub declared_size: Option<u64>,
    /// The size of what is there.
    pub size: u64,
    /// Characters U+FFFD in it: what wasn't UTF-8 when the plugin read it.
    pub replaced_characters: u64,
}

/// A resource of a backup.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectedResource {
    /// Its name.
    pub name: String,
    /// What is left of its records.
    pub status: InspectedResourceState,
    /// Records that were exported, as the archive says.
    pub record_count: Option<u64>,
    /// Records that can be had.
    pub recoverable_records: u64,
    /// Its file in the archive.
    pub file: Option<String>,
    /// Bytes of its records, uncompressed, as the archive says.
    pub plain_bytes: Option<u64>,
    /// The names of its attributes.
    pub attributes: Vec<String>,
    /// Its partitions.
    pub partitions: Vec<InspectedPartition>,
    /// Whether its records have timestamps.
    pub timestamps: Option<bool>,
}

/// What is left of a resource's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InspectedResourceState {
    /// All that the archive names.
    Ok,
    /// None: their bytes were replaced.
    Destroyed,
    /// Not all, for another reason.
    Damaged,
    /// None: no file of them is there.
    Absent,
}

/// A partition of a resource.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedPartition {
    /// Its name.
    pub name: String,
    /// Its fields.
    pub fields: Vec<InspectedField>,
}

/// A field of a partition.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedField {
    /// Its name.
    pub name: String,
    /// Its type, with what is done to it.
    pub rule: String,
}

/// Something that is wrong with a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The resource; absent where the backup as a whole is meant.
    pub resource: Option<String>,
    /// It in words, with the evidence.
    pub message: String,
}

/// What can be wrong with a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// There is a manifest and no archive.
    ArchiveAbsent,
    /// What is called an archive is something else.
    ArchiveForeign,
    /// The archive ends too early.
    ArchiveCutShort,
    /// What is in the archive can't be right.
    ArchiveDamaged,
    /// There is an archive and no manifest.
    ManifestAbsent,
    /// What is called a manifest is something else.
    ManifestForeign,
    /// The archive doesn't describe its resources.
    DescriptionAbsent,
    /// Its description of them can't be read.
    DescriptionDamaged,
    /// No file has the records of a resource.
    RecordsAbsent,
    /// The bytes of a resource's records were replaced.
    RecordsDestroyed,
    /// Not all records of a resource are there, for another reason.
    RecordsDamaged,
    /// A resource has as many records as the plugin reads at most.
    RecordsLimit,
    /// The attributes of resources weren't kept.
    AttributesLost,
    /// The archive isn't encrypted, though it should be.
    EncryptionNotDone,
    /// The archive isn't packed as it should be.
    CompressionDiffers,
    /// A file isn't as large as the archive says.
    SizeDiffers,
}

impl PluginInspection {
    /// 0 where everything that was found can be used; 13 where records can't be had; 1 where something couldn't be read, or
    /// is no backup of the plugin's.
    pub fn exit_code(&self) -> u8 {
        let of_backup = |backup: &InspectedBackup| match backup.status {
            InspectedBackupState::Ok => exit::DONE,
            InspectedBackupState::Damaged => exit::DAMAGED,
            InspectedBackupState::Foreign | InspectedBackupState::Unreadable => exit::FAILED,
        };
        let backups = self.backups.iter().map(of_backup);
        exit::worst(backups.chain(self.errors.iter().map(exit_code_of)))
    }
}
