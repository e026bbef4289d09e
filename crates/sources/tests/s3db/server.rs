//! A server to test on, objects in it, and a scan as the engine would see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::EncodingType;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};
use teeline_core::{
    BackupError, Frame, Item, ResourceCounts, ResourceKind, Restoring, RestoringResource, Scan,
    Selection, Source, SourceKind, Target,
};
use teeline_embedded_s3::{Clock, Credentials as ServerKeys, EmbeddedS3};
use teeline_sources::s3db::{
    Catalogue, Connection, RawObject, S3dbSource, ScanOptions, encode, resource_of,
};

pub(crate) type Objects = BTreeMap<String, RawObject>;

pub(crate) struct Server {
    url: String,
    pub(crate) client: Client,
    bucket: String,
    _embedded: Option<(EmbeddedS3, tempfile::TempDir)>,
}

impl Server {
    /// A server with an empty bucket.
    pub(crate) async fn start() -> Self {
        match std::env::var("TEELINE_TEST_S3") {
            Ok(url) => {
                let url = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
                Self::with_bucket(url, None).await
            }
            Err(_) => Self::embedded(Arc::new(SystemTime::now)).await,
        }
    }

    /// An embedded one with a clock of its own.
    pub(crate) async fn embedded(clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = ServerKeys {
            access_key: "me".into(),
            secret_key: "se/c+ret".into(),
        };
        let server = EmbeddedS3::start_at(folder.path(), keys, clock).unwrap();
        let url = format!("http://me:se%2Fc%2Bret@{}", server.address());
        Self::with_bucket(url, Some((server, folder))).await
    }

    async fn with_bucket(url: String, embedded: Option<(EmbeddedS3, tempfile::TempDir)>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let bucket = format!("test-{}-{number}", std::process::id());
        let client = client(&url);
        client.create_bucket().bucket(&bucket).send().await.unwrap();
        Server {
            url,
            client,
            bucket,
            _embedded: embedded,
        }
    }

    /// How many requests have reached an embedded one.
    pub(crate) fn requests(&self) -> u64 {
        let (server, _) = self._embedded.as_ref().unwrap();
        server.requests()
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self._embedded.is_some()
    }

    /// `host:port`
    pub(crate) fn address(&self) -> &str {
        self.url.rsplit_once('@').unwrap().1
    }

    pub(crate) fn connection(&self, prefix: &str) -> Connection {
        self.connection_over(self.address(), prefix)
    }

    /// As a proxy at `address` reaches it.
    pub(crate) fn connection_over(&self, address: &str, prefix: &str) -> Connection {
        let url = self.url.replace(self.address(), address);
        format!("{url}/{}/{prefix}", self.bucket).parse().unwrap()
    }

    pub(crate) async fn put(&self, key: &str, object: RawObject) {
        let put = self.client.put_object().bucket(&self.bucket).key(key);
        let put = put.set_metadata(Some(object.metadata.into_iter().collect()));
        let put = put.set_content_type(object.content_type);
        put.body(ByteStream::from(object.body))
            .send()
            .await
            .unwrap();
    }

    pub(crate) async fn put_all(&self, prefix: &str, objects: &Objects) {
        stream::iter(objects.clone())
            .map(|(key, object)| async move { self.put(&format!("{prefix}{key}"), object).await })
            .buffer_unordered(32)
            .collect::<()>()
            .await;
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .unwrap();
    }

    /// Every object below a prefix, as it is.
    pub(crate) async fn objects(&self, prefix: &str) -> Objects {
        let pages = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix);
        let pages = pages
            .encoding_type(EncodingType::Url)
            .into_paginator()
            .send();
        let mut keys = Vec::new();
        let mut pages = pages;
        while let Some(page) = pages.try_next().await.unwrap() {
            for object in page.contents() {
                let spaced = object.key().unwrap().replace('+', " ");
                let key = percent_encoding::percent_decode_str(&spaced)
                    .decode_utf8()
                    .unwrap();
                keys.push(key.into_owned());
            }
        }
        stream::iter(keys)
            .map(|key| async move {
                let get = self.client.get_object().bucket(&self.bucket).key(&key);
                let output = get
                    .send()
                    .await
                    .map_err(|error| format!("{key:?}: {error:?}"))?;
                let metadata = output.metadata.unwrap_or_default().into_iter().collect();
                let object = RawObject {
                    metadata,
                    content_type: output.content_type,
                    body: output.body.collect().await.unwrap().into_bytes(),
                };
                Ok::<_, String>((key.strip_prefix(prefix).unwrap().to_owned(), object))
            })
            .buffer_unordered(32)
            .try_collect()
            .await
            .unwrap()
    }
}

fn client(url: &str) -> Client {
    let connection: Connection = format!("{url}/bucket").parse().unwrap();
    let keys = connection.credentials.unwrap();
    let credentials = Credentials::new(keys.access_key, keys.secret_key, None, None, "test");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(credentials)
        .region(Region::new("us-east-1"))
        .endpoint_url(connection.endpoint.unwrap())
        .force_path_style(true);
    Client::from_conf(config.build())
}

/// A catalogue of resources, each with its behaviour.
pub(crate) fn catalogue(resources: &[(&str, &str)]) -> Bytes {
    let resources: Map<String, Value> = resources
        .iter()
        .map(|(name, behavior)| {
            let definition = json!({
                "currentVersion": "v1",
                "partitions": { "byName": { "fields": { "name": "string" } } },
                "versions": { "v1": {
                    "attributes": { "name": "string", "size": "number", "text": "string|optional" },
                    "behavior": behavior,
                } },
                "schemaRegistry": { "nextIndex": 3, "mapping": { "name": 0, "size": 1, "text": 2 }, "burned": [] },
            });
            ((*name).to_owned(), definition)
        })
        .collect();
    let catalogue = json!({ "version": "1", "s3dbVersion": "21.6.2", "resources": resources });
    Bytes::from(format!("{catalogue:#}"))
}

/// The object of `s3db.json`.
pub(crate) fn catalogue_object(bytes: &Bytes) -> RawObject {
    typed("application/json", bytes.clone())
}

/// A record's object, as an insert stores it.
pub(crate) fn record(catalogue: &Bytes, resource: &str, document: Value) -> (String, RawObject) {
    let catalogue = Catalogue::parse(catalogue).unwrap();
    let document = document.as_object().unwrap();
    let object = encode(catalogue.resource(resource).unwrap(), document).unwrap();
    let id = document["id"].as_str().unwrap();
    (format!("resource={resource}/data/id={id}"), object)
}

/// An index entry's object.
pub(crate) fn entry() -> RawObject {
    RawObject {
        metadata: BTreeMap::from([("_v".to_owned(), "v1".to_owned())]),
        content_type: Some("application/octet-stream".to_owned()),
        body: Bytes::new(),
    }
}

pub(crate) fn typed(content_type: &str, body: impl Into<Bytes>) -> RawObject {
    RawObject {
        content_type: Some(content_type.to_owned()),
        body: body.into(),
        ..RawObject::default()
    }
}

/// Bytes that repeat nowhere soon.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    })
    .take(length)
    .collect()
}

/// What a scan gave.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) catalogue: Bytes,
    /// In the scan's order.
    pub(crate) resources: Vec<ScannedResource>,
    pub(crate) objects: Option<ScannedResource>,
    /// What is gone since the parent.
    pub(crate) deleted: Option<ScannedResource>,
    /// What had changed when it was read again.
    pub(crate) settled: Option<ScannedResource>,
}

#[derive(Debug, Default)]
pub(crate) struct ScannedResource {
    pub(crate) name: String,
    pub(crate) batches: Vec<Bytes>,
    /// Records, without pieces that go on with one.
    pub(crate) records: u64,
    pub(crate) rows: Vec<Vec<u8>>,
    pub(crate) counts: ResourceCounts,
}

impl ScannedResource {
    pub(crate) fn documents(&self) -> BTreeMap<String, Map<String, Value>> {
        let lines = self
            .batches
            .iter()
            .flat_map(|batch| batch.split_inclusive(|b| *b == b'\n'));
        lines
            .map(|line| {
                let document: Map<String, Value> = serde_json::from_slice(line).unwrap();
                (document["id"].as_str().unwrap().to_owned(), document)
            })
            .collect()
    }

    pub(crate) fn frames(&self) -> Vec<Frame> {
        self.batches
            .iter()
            .flat_map(|batch| Frame::decode_all(batch.clone()).unwrap())
            .collect()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self
            .frames()
            .into_iter()
            .filter(|frame| frame.header.offset == 0)
            .map(|frame| frame.header.key)
            .collect();
        keys.sort_unstable();
        keys
    }
}

impl Scanned {
    pub(crate) fn resource(&self, name: &str) -> &ScannedResource {
        self.resources
            .iter()
            .find(|resource| resource.name == name)
            .unwrap()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.resources
            .iter()
            .map(|resource| resource.name.as_str())
            .collect()
    }

    pub(crate) fn object_keys(&self) -> Vec<String> {
        self.objects
            .as_ref()
            .map(ScannedResource::keys)
            .unwrap_or_default()
    }
}

pub(crate) async fn scan(connection: &Connection) -> Result<Scanned, BackupError> {
    scan_with(connection, ScanOptions::default(), Selection::everything()).await
}

pub(crate) async fn scan_with(
    connection: &Connection,
    options: ScanOptions,
    selection: Selection,
) -> Result<Scanned, BackupError> {
    let source = S3dbSource::new(connection.clone(), options);
    take_all(source.scan(selection).await?).await
}

/// Takes every item of a scan, and checks that they come as they should.
pub(crate) async fn take_all(mut scan: Box<dyn Scan>) -> Result<Scanned, BackupError> {
    let plan = scan.plan().clone();
    let mut scanned = Scanned::default();
    let [(file, catalogue)] = plan.attachments.as_slice() else {
        panic!("the catalogue is the only attachment");
    };
    assert_eq!(file, "_database.json");
    scanned.catalogue = catalogue.clone();
    let mut open = BTreeMap::new();
    while let Some(item) = scan.next().await? {
        match item {
            Item::Begin(id) => {
                let kind = plan.resources[id.0 as usize].kind.clone();
                let resource = ScannedResource {
                    name: kind.name().to_owned(),
                    ..ScannedResource::default()
                };
                assert!(open.insert(id, (kind, resource)).is_none());
            }
            Item::Records(id, batch) => {
                let (kind, resource) = open.get_mut(&id).unwrap();
                assert!(batch.rows.is_empty() || batch.rows.len() == batch.ends.len());
                assert!(batch.origin.is_none());
                assert_eq!(batch.ends.last(), Some(&batch.bytes.len()));
                if *kind == ResourceKind::Objects {
                    let mut begin = 0;
                    for end in &batch.ends {
                        let frames = Frame::decode_all(batch.bytes.slice(begin..*end)).unwrap();
                        assert_eq!(frames.len(), 1);
                        assert_eq!(batch.continues, frames[0].header.offset > 0);
                        begin = *end;
                    }
                }
                if !batch.continues {
                    resource.records += batch.ends.len() as u64;
                }
                resource.batches.push(batch.bytes);
                resource
                    .rows
                    .extend(batch.rows.into_iter().filter(|row| !row.is_empty()));
            }
            Item::End(id, counts) => {
                let (kind, mut resource) = open.remove(&id).unwrap();
                resource.counts = counts;
                match kind {
                    ResourceKind::Records(_) => scanned.resources.push(resource),
                    ResourceKind::Objects => {
                        assert!(scanned.objects.replace(resource).is_none());
                    }
                    ResourceKind::Deleted => {
                        assert!(scanned.deleted.replace(resource).is_none());
                    }
                    ResourceKind::Lines => panic!("a database has no lines"),
                    ResourceKind::Settled => {
                        assert!(scanned.settled.replace(resource).is_none());
                    }
                }
            }
        }
    }
    assert!(open.is_empty());
    assert!(scan.next().await?.is_none());
    Ok(scanned)
}

/// A restore of these resources (all, if none is named).
pub(crate) fn restoring(scanned: &Scanned, resources: &[&str]) -> Restoring {
    let resource = |name: &str| RestoringResource {
        name: name.to_owned(),
        restored_as: (resources.is_empty() || resources.contains(&name)).then(|| name.to_owned()),
        is_in_part: false,
    };
    Restoring {
        backup: "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap(),
        source: SourceKind::S3db,
        resources: scanned.names().into_iter().map(resource).collect(),
        is_of_some: false,
        ids: None,
        database_catalogue: Some(scanned.catalogue.clone()),
        dry_run: false,
    }
}

/// Gives a target what was scanned, as a restore does.
pub(crate) async fn write_back(
    scanned: &Scanned,
    target: &mut dyn Target,
    restoring: &Restoring,
) -> Result<(), BackupError> {
    target.check(restoring).await?;
    target.begin(restoring).await?;
    for resource in &scanned.resources {
        if restoring.chosen().any(|(name, _)| name == resource.name) {
            for batch in &resource.batches {
                target.lines(&resource.name, batch.clone()).await?;
            }
        }
    }
    let is_chosen = |frame: &Frame| {
        let chosen = |name| restoring.chosen().any(|(chosen, _)| chosen == name);
        restoring.is_everything() || resource_of(&frame.header.key).is_some_and(chosen)
    };
    for batch in scanned.objects.iter().flat_map(|objects| &objects.batches) {
        let mut frames = Frame::decode_all(batch.clone()).unwrap();
        frames.retain(is_chosen);
        target.frames(frames).await?;
    }
    target.finish().await
}
