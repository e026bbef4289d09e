//! The documented export of the schemas, `s3db.json` in a backup's folder: what other tools read to know the fields of
//! the records. A restore never reads it; it has the database's own catalogue.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use teeline_core::{BackupError, BackupId, BackupType, Compression, ResourceEntry, Timestamp};

use super::catalogue::{Catalogue, CatalogueError};

const REGION: &str = "us-east-1";

/// What an export says of its backup and of the database.
#[derive(Debug, Clone, Copy)]
pub struct ExportedBackup<'a> {
    /// The backup.
    pub id: &'a BackupId,
    /// Its type.
    pub backup_type: &'a BackupType,
    /// When the run began.
    pub started_at: Timestamp,
    /// How its data files are compressed.
    pub compression: Compression,
    /// The bucket that was read.
    pub bucket: &'a str,
    /// Its region, where one was named.
    pub region: Option<&'a str>,
}

/// The export: the schemas of the database's own `s3db.json`, and where the records of each resource are.
///
/// # Errors
/// Where `database_catalogue` isn't a catalogue.
pub fn schema_export(
    database_catalogue: &[u8],
    backup: ExportedBackup<'_>,
    resources: &[ResourceEntry],
) -> Result<Bytes, BackupError> {
    let catalogue = Catalogue::parse(database_catalogue)
        .map_err(|error: CatalogueError| BackupError::corrupt("s3db.json", error))?;
    let compression = backup.compression.name();
    let mut exported = Map::new();
    for entry in resources {
        let Some(resource) = catalogue.resource(&entry.name) else {
            continue;
        };
        let version = resource.version(&resource.current_version);
        let mut attributes = Map::new();
        attributes.insert("id".to_owned(), "string".into());
        attributes.extend(
            version
                .map(|version| version.attributes.clone())
                .unwrap_or_default(),
        );
        let files: Vec<&str> = entry
            .segments
            .iter()
            .map(|segment| segment.file.as_str())
            .collect();
        exported.insert(
            entry.name.clone(),
            json!({
                "name": entry.name,
                "attributes": attributes,
                "partitions": resource.partitions,
                "timestamps": version.is_some_and(|version| version.timestamps),
                "recordCount": entry.records,
                "exportFile": files.first(),
                "exportFiles": files,
                "compression": compression,
                "format": "jsonl",
                "bytesWritten": entry.plain_bytes,
            }),
        );
    }
    let export = json!({
        "version": "1.0",
        "backupId": backup.id,
        "backupType": backup.backup_type,
        "exportedAt": backup.started_at,
        "database": { "bucket": backup.bucket, "region": backup.region.unwrap_or(REGION) },
        "resources": exported,
    });
    Ok(pretty(&export))
}

/// A document as s3db.js writes it: indented by two.
pub(super) fn pretty(document: &Value) -> Bytes {
    Bytes::from(format!("{document:#}"))
}

#[cfg(test)]
mod tests {
    use teeline_core::{
        ClaimedResource, Digest, ResourceId, SegmentEntry, SegmentNames, SegmentSums,
    };

    use super::*;

    #[test]
    fn an_export_has_the_schemas_and_the_files() {
        let catalogue = br#"{"resources":{
            "users":{"currentVersion":"v1","partitions":{"byName":{"fields":{"name":"string"}}},"versions":{"v1":{
                "attributes":{"name":"string","age":"number|optional"},"behavior":"body-only","timestamps":true}}},
            "left-out":{"currentVersion":"v1","versions":{"v1":{"attributes":{}}}}}}"#;
        let id: BackupId = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
        let backup = ExportedBackup {
            id: &id,
            backup_type: &id.backup_type(),
            started_at: Timestamp::from_unix_ms(1_795_399_200_000),
            compression: Compression::default(),
            bucket: "my-bucket",
            region: None,
        };
        let segment = |number, records, plain| {
            let names = SegmentNames::new(ResourceId(0), "users", number, ".jsonl.gz");
            let sums = SegmentSums {
                records,
                plain,
                ..SegmentSums::default()
            };
            SegmentEntry::new(&names, sums, Digest::of(b""), &Bytes::new())
        };
        let entry = ResourceEntry::new(
            ClaimedResource {
                name: "users".into(),
                stem: "users".into(),
            },
            vec![segment(1, 2, 40), segment(2, 1, 30)],
            Default::default(),
        );
        let export = schema_export(catalogue, backup, &[entry]).unwrap();
        let expected = r#"{
  "version": "1.0",
  "backupId": "full-2026-11-23T02-00-00-k3j9x0q2mz",
  "backupType": "full",
  "exportedAt": "2026-11-23T02:00:00.000Z",
  "database": {
    "bucket": "my-bucket",
    "region": "us-east-1"
  },
  "resources": {
    "users": {
      "name": "users",
      "attributes": {
        "id": "string",
        "name": "string",
        "age": "number|optional"
      },
      "partitions": {
        "byName": {
          "fields": {
            "name": "string"
          }
        }
      },
      "timestamps": true,
      "recordCount": 3,
      "exportFile": "users.jsonl.gz",
      "exportFiles": [
        "users.jsonl.gz",
        "users~0002.jsonl.gz"
      ],
      "compression": "gzip",
      "format": "jsonl",
      "bytesWritten": 70
    }
  }
}"#;
        assert_eq!(std::str::from_utf8(&export).unwrap(), expected);
        let elsewhere = ExportedBackup {
            region: Some("eu-west-1"),
            ..backup
        };
        let export = schema_export(catalogue, elsewhere, &[]).unwrap();
        let export: Value = serde_json::from_slice(&export).unwrap();
        assert_eq!(export["database"]["region"], "eu-west-1");
        assert!(schema_export(b"[]", backup, &[]).is_err());
    }
}
