//! A database, before and after it has changed.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};
use teeline::{Connection, Target};
use teeline_core::{Frame, FrameHeader, Restoring, RestoringResource, SourceKind};
use teeline_sources::s3db::{RestoreMode, S3dbTarget, WriteBackOptions};

/// A database: its catalogue, its records, and its other objects.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) catalogue: Value,
    records: Vec<(&'static str, Vec<Value>)>,
    pub(crate) objects: Vec<(&'static str, &'static str, Vec<u8>)>,
}

fn definition(versions: &[&str]) -> Value {
    let attributes = |version: &str| match version {
        "v1" => json!({ "name": "string" }),
        _ => json!({ "name": "string", "more": "string|optional" }),
    };
    let of = |version: &&str| {
        let behavior = if *version == "v1" {
            "user-managed"
        } else {
            "body-only"
        };
        let it = json!({ "attributes": attributes(version), "behavior": behavior });
        ((*version).to_owned(), it)
    };
    let mapping = json!({ "name": 0, "more": 1 });
    json!({
        "currentVersion": versions.last().unwrap(),
        "versions": versions.iter().map(of).collect::<serde_json::Map<_, _>>(),
        "schemaRegistry": { "nextIndex": 2, "mapping": mapping, "burned": [] },
    })
}

fn user(id: &str, name: &str) -> Value {
    json!({ "id": id, "name": name })
}

pub(crate) fn before() -> Database {
    Database {
        catalogue: json!({ "version": "1", "resources": {
            "users": definition(&["v1"]), "logs": definition(&["v1"]), "drafts": definition(&["v1"]),
        } }),
        records: vec![
            (
                "users",
                vec![user("a", "Ann"), user("b", "Bob"), user("c", "Cy")],
            ),
            ("logs", vec![user("l", "started")]),
            ("drafts", vec![user("d", "Draft"), user("e", "Else")]),
        ],
        objects: vec![
            ("plugin=x/one", "a/b", vec![1; 10]),
            ("plugin=x/two", "a/b", vec![2; 400_000]),
            ("resource=users/partition=p/name=Cy/id=c", "", vec![]),
        ],
    }
}

/// One user is new, by a new version; one is another; one is gone, with its entry. The catalogue lost `drafts`, of which
/// one object is left and one is new, and got `fresh`. A large object is another.
pub(crate) fn after() -> Database {
    let Database { mut objects, .. } = before();
    objects.truncate(1);
    objects.push(("plugin=x/two", "a/c", vec![3; 500_000]));
    objects.push((
        "resource=drafts/data/id=d",
        "application/octet-stream",
        vec![],
    ));
    objects.push(("resource=drafts/data/id=f", "text/plain", b"free".to_vec()));
    objects.push(("resource=fresh/data/id=g", "text/plain", b"fresh".to_vec()));
    Database {
        catalogue: json!({ "version": "1", "resources": {
            "users": definition(&["v1", "v2"]), "logs": definition(&["v1"]), "fresh": definition(&["v1"]),
        } }),
        records: vec![
            (
                "users",
                vec![
                    json!({ "id": "a", "name": "Ann", "_s3db": { "v": "v1" } }),
                    json!({ "id": "b", "name": "Bert", "_s3db": { "v": "v1" } }),
                    json!({ "id": "n", "name": "Nell", "more": "of her" }),
                ],
            ),
            ("logs", vec![user("l", "started")]),
        ],
        objects,
    }
}

impl Database {
    /// Makes the place of a database this one.
    pub(crate) async fn write(&self, at: &Connection) {
        let options = WriteBackOptions {
            mode: Some(RestoreMode::Replace),
            ..WriteBackOptions::default()
        };
        let mut target = S3dbTarget::new(at.clone(), options);
        let resources = self.catalogue["resources"].as_object().unwrap().keys();
        let restoring = Restoring {
            backup: "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap(),
            source: SourceKind::S3db,
            resources: resources
                .map(|name| RestoringResource {
                    name: name.clone(),
                    restored_as: Some(name.clone()),
                    is_in_part: false,
                })
                .collect(),
            is_of_some: false,
            ids: None,
            database_catalogue: Some(Bytes::from(format!("{:#}", self.catalogue))),
            dry_run: false,
        };
        target.check(&restoring).await.unwrap();
        target.begin(&restoring).await.unwrap();
        for (resource, records) in &self.records {
            let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
            target.lines(resource, Bytes::from(lines)).await.unwrap();
        }
        let frames = self.objects.iter().map(|(key, content_type, body)| {
            let of_record = key.ends_with("/data/id=d");
            let metadata: &[_] = if of_record {
                &[("0", "Draft"), ("_v", "v1")]
            } else {
                &[]
            };
            let metadata = metadata
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Frame {
                header: FrameHeader {
                    key: (*key).to_owned(),
                    offset: 0,
                    length: body.len() as u64,
                    size: body.len() as u64,
                    content_type: Some((*content_type).to_owned()).filter(|t| !t.is_empty()),
                    metadata: metadata.collect(),
                },
                bytes: Bytes::from(body.clone()),
            }
        });
        target.frames(frames.collect()).await.unwrap();
        target.finish().await.unwrap();
    }

    pub(crate) fn lines(&self, resource: &str) -> BTreeMap<String, Value> {
        let mut records = self.records.iter().filter(|(name, _)| *name == resource);
        let records = records.next().map(|(_, records)| records.clone());
        let records = records.unwrap_or_default().into_iter();
        records
            .map(|record| (record["id"].to_string(), record))
            .collect()
    }
}
