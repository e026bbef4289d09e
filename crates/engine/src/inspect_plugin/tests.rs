//! Backups in the plugin's exact form, and what has become of some.

use std::fs;
use std::io::Write;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const ID: &str = "full-2026-01-31T10-20-30-400Z-x1y2z3";

/// As Node makes it on Unix, whose number is 3.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let header = GzBuilder::new().operating_system(3);
    let mut encoder = header.write(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lines(count: usize) -> Vec<u8> {
    let line = |n| format!("{{\"id\":\"t{n:05}\",\"label\":\"ação {n}\"}}\n");
    (0..count).map(line).collect::<String>().into_bytes()
}

/// A backup that is about to be written.
struct Plugin {
    manifest: Value,
    exported: Value,
    files: Vec<Value>,
}

impl Plugin {
    fn new() -> Self {
        Plugin {
            manifest: json!({
                "type": "full", "timestamp": "2026-01-31T10:20:30.401Z", "resources": [],
                "compression": "gzip", "encrypted": false, "s3db_version": "unknown",
            }),
            exported: json!({}),
            files: Vec::new(),
        }
    }

    /// A resource of so many records, whose file is made into text.
    fn resource(mut self, name: &str, count: usize, text: impl Fn(&[u8]) -> String) -> Self {
        let lines = lines(count);
        let file = format!("{name}.jsonl.gz");
        self.manifest["resources"]
            .as_array_mut()
            .unwrap()
            .push(name.into());
        self.exported[name] = json!({
            "name": name, "attributes": {}, "timestamps": false, "recordCount": count,
            "partitions": { "byLabel": { "fields": { "label": "string" } } },
            "exportFile": file, "compression": "gzip", "format": "jsonl", "bytesWritten": lines.len(),
        });
        self.file(&file, &text(&gzip(&lines)))
    }

    fn file(mut self, name: &str, content: &str) -> Self {
        let size = content.encode_utf16().count();
        self.files
            .push(json!({ "name": name, "size": size, "content": content }));
        self
    }

    fn json(&self) -> Vec<u8> {
        let export = json!({
            "version": "1.0", "backupType": "full", "exportedAt": "2026-01-31T10:20:31.000Z",
            "database": { "bucket": "shop" }, "resources": self.exported,
        });
        let described = Plugin::new()
            .file("s3db.json", &format!("{export:#}"))
            .files;
        let files = [&self.files[..], &described].concat();
        json!({ "version": "1.0", "created": "2026-01-31T10:20:31.001Z", "files": files })
            .to_string()
            .into_bytes()
    }

    fn write(&self, folder: &TempDir) {
        self.write_archive(folder, &gzip(&self.json()));
    }

    fn write_archive(&self, folder: &TempDir, archive: &[u8]) {
        fs::write(folder.path().join(format!("{ID}.backup")), archive).unwrap();
        let manifest = format!("{:#}", self.manifest);
        fs::write(folder.path().join(format!("{ID}.manifest.json")), manifest).unwrap();
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn inspected(folder: &TempDir) -> PluginInspection {
    inspect(&InspectPluginRequest::new(folder.path())).unwrap()
}

/// The only backup in a folder, and the exit code.
fn one(folder: &TempDir) -> (InspectedBackup, u8) {
    let report = inspected(folder);
    assert_eq!(report.backups.len(), 1, "{report:?}");
    let code = report.exit_code();
    (report.backups.into_iter().next().unwrap(), code)
}

fn kinds(backup: &InspectedBackup) -> Vec<FindingKind> {
    backup.findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn what_the_plugin_destroyed_is_said_with_its_evidence() {
    let folder = folder();
    Plugin::new().resource("truth", 1000, lossy).write(&folder);
    let report = inspected(&folder);
    assert!(report.suggestion.unwrap().contains("teeline backup full"));
    let (backup, code) = one(&folder);
    assert_eq!((backup.status, code), (InspectedBackupState::Damaged, 13));
    assert_eq!(
        (backup.record_count, backup.recoverable_records),
        (Some(1000), 0)
    );
    assert_eq!(backup.backup_type.as_deref(), Some("full"));
    assert_eq!(
        backup.timestamp.as_deref(),
        Some("2026-01-31T10:20:30.401Z")
    );

    let archive = backup.archive.as_ref().unwrap();
    assert_eq!(archive.form, Some(ArchiveForm::Gzip));
    assert_eq!(archive.bucket.as_deref(), Some("shop"));
    let file = &archive.files[0];
    assert_eq!(file.declared_size, Some(file.size));
    let resource = &backup.resources[0];
    assert_eq!(resource.status, InspectedResourceState::Destroyed);
    assert_eq!(
        (resource.record_count, resource.recoverable_records),
        (Some(1000), 0)
    );
    assert!(resource.attributes.is_empty());
    assert_eq!(resource.partitions[0].fields[0].rule, "string");

    assert_eq!(
        kinds(&backup),
        [
            FindingKind::RecordsDestroyed,
            FindingKind::RecordsLimit,
            FindingKind::AttributesLost
        ]
    );
    let destroyed = &backup.findings[0];
    assert_eq!(destroyed.resource.as_deref(), Some("truth"));
    let count = format!("{} such characters", file.replaced_characters);
    assert!(destroyed.message.contains(&count), "{destroyed:?}");
}

#[test]
fn records_that_can_be_had_are_counted() {
    let folder = folder();
    let plugin = Plugin::new()
        .resource("kept", 7, latin1)
        .resource("empty", 0, lossy);
    plugin.write(&folder);
    let (backup, code) = one(&folder);
    assert_eq!((backup.status, code), (InspectedBackupState::Ok, 0));
    assert_eq!(
        (backup.record_count, backup.recoverable_records),
        (Some(7), 7)
    );
    assert_eq!(kinds(&backup), [FindingKind::AttributesLost]);

    plugin.resource("lost", 9, lossy).write(&folder);
    let (backup, code) = one(&folder);
    assert_eq!((backup.status, code), (InspectedBackupState::Damaged, 13));
    assert_eq!(
        (backup.record_count, backup.recoverable_records),
        (Some(16), 7)
    );
}

#[test]
fn what_the_manifest_claims_is_compared_with_the_archive() {
    let folder = folder();
    let mut plugin = Plugin::new().resource("kept", 7, latin1);
    plugin.manifest["encrypted"] = true.into();
    plugin.manifest["compression"] = "brotli".into();
    plugin.manifest["resources"] = json!(["kept", "gone"]);
    plugin.files[0]["size"] = 5.into();
    plugin.write(&folder);
    let (backup, code) = one(&folder);
    assert_eq!((backup.status, code), (InspectedBackupState::Damaged, 13));
    let found = [
        FindingKind::RecordsAbsent,
        FindingKind::AttributesLost,
        FindingKind::EncryptionNotDone,
        FindingKind::CompressionDiffers,
        FindingKind::SizeDiffers,
    ];
    assert_eq!(kinds(&backup), found);
    assert_eq!(backup.findings[0].resource.as_deref(), Some("gone"));

    plugin.manifest["encrypted"] = false.into();
    plugin.manifest["compression"] = "none".into();
    plugin.manifest["resources"] = json!(["kept"]);
    plugin.files[0]["size"] = Value::Null;
    plugin.exported["kept"]["attributes"] = json!({ "label": "string" });
    plugin.write_archive(&folder, &plugin.json());
    let (backup, code) = one(&folder);
    assert_eq!((kinds(&backup), code), (Vec::new(), 0));
    assert_eq!(backup.archive.unwrap().form, Some(ArchiveForm::Json));
    assert_eq!(backup.resources[0].attributes, ["label"]);
    assert_eq!(inspected(&folder).suggestion, None);
}

#[test]
fn counts_that_differ_are_damage() {
    let folder = folder();
    let mut plugin = Plugin::new().resource("kept", 7, latin1);
    plugin.exported["kept"]["recordCount"] = 8.into();
    plugin.write(&folder);
    let (backup, code) = one(&folder);
    assert_eq!((backup.recoverable_records, code), (7, 13));
    assert_eq!(kinds(&backup)[0], FindingKind::RecordsDamaged);
    assert!(
        backup.findings[0]
            .message
            .contains("has 7 records and 0 lines")
    );
}

#[test]
fn files_that_are_no_archives_are_named_with_what_was_found() {
    let plugin = Plugin::new().resource("truth", 30, lossy);
    let whole = gzip(&plugin.json());
    let mut changed = whole.clone();
    changed[whole.len() - 5] ^= 1;
    for (archive, kind, message) in [
        (
            &b"damaged"[..],
            FindingKind::ArchiveForeign,
            "begins with \"damaged\"",
        ),
        (b"", FindingKind::ArchiveForeign, "it is empty"),
        (
            &whole[..whole.len() / 2],
            FindingKind::ArchiveCutShort,
            "cut short",
        ),
        (&changed, FindingKind::ArchiveDamaged, "is damaged: "),
    ] {
        let folder = folder();
        plugin.write_archive(&folder, archive);
        let (backup, code) = one(&folder);
        assert_eq!((backup.status, code), (InspectedBackupState::Damaged, 13));
        let finding = &backup.findings[0];
        assert_eq!(finding.kind, kind);
        assert!(!kinds(&backup).contains(&FindingKind::RecordsAbsent));
        let name = format!("{ID}.backup is ");
        assert!(finding.message.starts_with(&name), "{finding:?}");
        assert!(finding.message.contains(message), "{finding:?}");
        assert_eq!(backup.resources[0].name, "truth");
    }
}

#[test]
fn one_file_of_the_two_is_enough_to_be_found() {
    let folder = folder();
    Plugin::new().resource("kept", 7, latin1).write(&folder);
    let manifest = folder.path().join(format!("{ID}.manifest.json"));
    fs::write(&manifest, "[]").unwrap();
    let (backup, code) = one(&folder);
    assert_eq!((backup.backup_type.as_deref(), code), (Some("full"), 0));
    assert!(kinds(&backup).contains(&FindingKind::ManifestForeign));

    fs::remove_file(&manifest).unwrap();
    let (backup, code) = one(&folder);
    assert_eq!((backup.recoverable_records, code), (7, 0));
    assert!(kinds(&backup).contains(&FindingKind::ManifestAbsent));

    Plugin::new().resource("kept", 7, latin1).write(&folder);
    fs::remove_file(folder.path().join(format!("{ID}.backup"))).unwrap();
    let (backup, code) = one(&folder);
    assert_eq!((backup.status, code), (InspectedBackupState::Damaged, 13));
    assert_eq!(backup.record_count, None);
    assert_eq!(kinds(&backup), [FindingKind::ArchiveAbsent]);
}

#[test]
fn what_only_is_called_like_a_backup_is_foreign() {
    let folder = folder();
    fs::write(folder.path().join("phone.backup"), "PK").unwrap();
    let (backup, code) = one(&folder);
    assert_eq!((backup.status, code), (InspectedBackupState::Foreign, 1));
    assert_eq!(inspected(&folder).suggestion, None);
    // Its id is the plugin's, so it was one.
    fs::rename(
        folder.path().join("phone.backup"),
        folder.path().join(format!("{ID}.backup")),
    )
    .unwrap();
    let (backup, code) = one(&folder);
    assert_eq!((backup.status, code), (InspectedBackupState::Damaged, 13));
}

#[test]
fn a_folder_without_backups_is_an_error_that_says_what_is_looked_for() {
    let error = inspect(&InspectPluginRequest::new(folder().path())).unwrap_err();
    assert_eq!(error.class(), Class::NotFound);
    let folder = folder();
    let error = inspect(&InspectPluginRequest::new(folder.path())).unwrap_err();
    assert!(error.suggestion().unwrap().contains("ID.backup"), "{error}");
}

#[test]
fn an_inspection_can_be_cancelled() {
    let folder = folder();
    Plugin::new().resource("truth", 30, lossy).write(&folder);
    let path = folder.path().join(format!("{ID}.backup"));
    let request = InspectPluginRequest::new(&path);
    request.cancel.cancel();
    assert_eq!(inspect(&request).unwrap_err().class(), Class::Cancelled);
    assert!(read_archive(&path, &request.cancel).is_err());
    assert!(read_archive(&path, &Cancel::new()).is_ok());
}

#[test]
fn an_engine_inspects_for_any_host() {
    let folder = folder();
    Plugin::new().resource("truth", 30, lossy).write(&folder);
    let engine = Engine::builder().workers(1).build().unwrap();
    let report = engine.inspect_plugin_blocking(InspectPluginRequest::new(folder.path()));
    assert_eq!(report.unwrap().exit_code(), 13);
    assert!(engine.is_idle());
}
