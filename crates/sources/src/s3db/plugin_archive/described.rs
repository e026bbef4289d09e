//! The two documents with which the plugin describes a backup: the manifest beside an archive and the `s3db.json` in it.
//! What is missing or of another kind than expected is left out, so that the rest can still be had.

use serde_json::{Map, Value};

/// What `ID.manifest.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginManifest {
    /// `full`, `incremental`, …
    pub backup_type: Option<String>,
    /// When it was written.
    pub timestamp: Option<String>,
    /// The names of the resources that were to be exported.
    pub resources: Vec<String>,
    /// The compression that was asked for.
    pub compression: Option<String>,
    /// Whether encryption was asked for.
    pub encrypted: Option<bool>,
}

impl PluginManifest {
    /// Reads the bytes of a manifest.
    ///
    /// # Errors
    /// Where they aren't one of the plugin's; says what was found.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let members = object(bytes)?;
        let lacking = ["type", "timestamp", "resources"].map(|key| (key, members.get(key)));
        if let Some((key, _)) = lacking.iter().find(|(_, value)| value.is_none()) {
            return Err(format!("a JSON object without `{key}`"));
        }
        let names = members["resources"].as_array().into_iter().flatten();
        Ok(PluginManifest {
            backup_type: text(&members, "type"),
            timestamp: text(&members, "timestamp"),
            resources: names.filter_map(Value::as_str).map(str::to_owned).collect(),
            compression: text(&members, "compression"),
            encrypted: members.get("encrypted").and_then(Value::as_bool),
        })
    }
}

/// What the `s3db.json` in an archive says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaExport {
    /// The type of the backup.
    pub backup_type: Option<String>,
    /// When it was written.
    pub exported_at: Option<String>,
    /// The bucket of the database.
    pub bucket: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// The resources, in the order of the file.
    pub resources: Vec<ExportedResource>,
}

/// A resource of a [`SchemaExport`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportedResource {
    /// Its name.
    pub name: String,
    /// The names of its attributes. The plugin always leaves them out.
    pub attributes: Vec<String>,
    /// Its partitions.
    pub partitions: Vec<ExportedPartition>,
    /// Whether its records have timestamps.
    pub timestamps: Option<bool>,
    /// Records that were exported.
    pub record_count: Option<u64>,
    /// The file of its records.
    pub export_file: Option<String>,
    /// Bytes of the records, before compression.
    pub bytes_written: Option<u64>,
}

/// A partition of an [`ExportedResource`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedPartition {
    /// Its name.
    pub name: String,
    /// Its fields, each with its rule.
    pub fields: Vec<(String, String)>,
}

impl SchemaExport {
    /// Reads the bytes of an `s3db.json`.
    ///
    /// # Errors
    /// Where they aren't one of the plugin's; says what was found.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let members = object(bytes)?;
        let resources = members.get("resources").and_then(Value::as_object);
        let resources = resources.ok_or("a JSON object without `resources`")?;
        let database = members.get("database").and_then(Value::as_object);
        let of_database = |key| database.and_then(|database| text(database, key));
        Ok(SchemaExport {
            backup_type: text(&members, "backupType"),
            exported_at: text(&members, "exportedAt"),
            bucket: of_database("bucket"),
            region: of_database("region"),
            resources: resources.iter().map(resource).collect(),
        })
    }
}

fn resource((name, value): (&String, &Value)) -> ExportedResource {
    let none = Map::new();
    let members = value.as_object().unwrap_or(&none);
    let inner = |key| members.get(key).and_then(Value::as_object).unwrap_or(&none);
    ExportedResource {
        name: name.clone(),
        attributes: inner("attributes").keys().cloned().collect(),
        partitions: inner("partitions").iter().map(partition).collect(),
        timestamps: members.get("timestamps").and_then(Value::as_bool),
        record_count: members.get("recordCount").and_then(Value::as_u64),
        export_file: text(members, "exportFile"),
        bytes_written: members.get("bytesWritten").and_then(Value::as_u64),
    }
}

fn partition((name, value): (&String, &Value)) -> ExportedPartition {
    let fields = value.get("fields").and_then(Value::as_object);
    let rule = |rule: &Value| {
        rule.as_str()
            .map_or_else(|| rule.to_string(), str::to_owned)
    };
    let fields = fields.into_iter().flatten();
    ExportedPartition {
        name: name.clone(),
        fields: fields
            .map(|(field, value)| (field.clone(), rule(value)))
            .collect(),
    }
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("JSON, but no object".to_owned()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

fn text(members: &Map<String, Value>, key: &str) -> Option<String> {
    members.get(key).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_says_what_was_asked_for() {
        let bytes = br#"{
  "type": "full",
  "timestamp": "2026-11-25T09:38:40.414Z",
  "resources": [
    "truth"
  ],
  "compression": "brotli",
  "encrypted": true,
  "s3db_version": "unknown"
}"#;
        let manifest = PluginManifest::parse(bytes).unwrap();
        assert_eq!(manifest.backup_type.as_deref(), Some("full"));
        assert_eq!(manifest.resources, ["truth"]);
        assert_eq!(manifest.compression.as_deref(), Some("brotli"));
        assert_eq!(manifest.encrypted, Some(true));
        for (bytes, message) in [
            (
                &b"{\"type\":\"full\",\"timestamp\":1}"[..],
                "without `resources`",
            ),
            (b"[]", "no object"),
            (b"{\"type\":", "not JSON"),
            (b"", "not JSON"),
        ] {
            let error = PluginManifest::parse(bytes).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn an_export_keeps_what_it_has() {
        let export = SchemaExport::parse(
            br#"{"version":"1.0","backupType":"full","database":{"bucket":"shop"},"resources":{
                "users":{"name":"users","attributes":{},"partitions":{"byPlace":{"fields":{"place":"string|maxlength:2","n":7}}},
                    "timestamps":true,"recordCount":1000,"exportFile":"users.jsonl.gz","bytesWritten":362780},
                "odd":5}}"#,
        )
        .unwrap();
        let [users, odd] = &export.resources[..] else {
            panic!("{export:?}")
        };
        assert_eq!(
            (users.record_count, users.timestamps),
            (Some(1000), Some(true))
        );
        assert_eq!(
            users.partitions[0].fields,
            [("place", "string|maxlength:2"), ("n", "7")]
                .map(|(field, rule)| (field.to_owned(), rule.to_owned()))
        );
        assert_eq!(odd.record_count, None);
        assert_eq!(
            (export.bucket.as_deref(), export.region),
            (Some("shop"), None)
        );
        assert!(SchemaExport::parse(b"{}").is_err());
    }
}
