//! A chain as a source: what a restore of its last link gives.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use serde::Deserialize;
use teeline_core::{
    Attachment, BackupError, Frame, Item, Manifest, Placed, PlannedResource, RecordBatch,
    ResourceCounts, ResourceEntry, ResourceId, ResourceKind, Scan, ScanPlan, Selection, Source,
    SourceKind, layout,
};
use teeline_sources::s3db::{ExportedBackup, record_line, schema_export};

use super::rows::Rows;
use crate::chain::Chain;
use crate::restore::Contents;
use crate::standing::records_as_objects;

/// The last link of a chain, as a source.
pub(super) struct ChainSource {
    manifest: Arc<Manifest>,
    chain: Chain,
    /// The documented export of its schemas, where it is of a database.
    export: Option<Bytes>,
    /// What the manifest counts among the records, and a restore gives as objects.
    records_as_objects: u64,
}

impl ChainSource {
    pub(super) async fn new(chain: Chain) -> Result<Self, BackupError> {
        let manifest = Arc::clone(chain.manifest());
        let mut attachments = manifest.attachments.iter();
        let name = manifest.plan.stored_name(layout::SCHEMA_EXPORT);
        let export = match attachments.find(|file| file.file == name) {
            Some(entry) => Some(chain.last().attachment(entry).await?),
            None => None,
        };
        Ok(ChainSource {
            records_as_objects: records_as_objects(&chain).await?,
            manifest,
            chain,
            export,
        })
    }

    /// Whether what was placed is what the link has, by its manifest.
    fn check(&self, placed: &Placed<'_>) -> Result<(), BackupError> {
        let lines: u64 = placed.resources.iter().map(|it| it.records).sum();
        let found = lines + self.records_as_objects;
        let expected = self.manifest.totals.records;
        if found == expected {
            return Ok(());
        }
        let message = format!("its chain gives {found} records, its manifest has {expected}");
        Err(BackupError::corrupt(&self.manifest.id, message))
    }
}

/// Where the link was read from.
impl fmt::Display for ChainSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.manifest.source.location)
    }
}

impl fmt::Debug for ChainSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChainSource")
            .field(&self.manifest.id)
            .finish()
    }
}

#[async_trait]
impl Source for ChainSource {
    fn kind(&self) -> SourceKind {
        self.manifest.source.kind
    }

    fn is_rereadable(&self) -> bool {
        true
    }

    async fn scan(&self, selection: Selection) -> Result<Box<dyn Scan>, BackupError> {
        let contents = Contents::open(&self.chain).await?;
        let is_database = self.kind() == SourceKind::S3db;
        let rows = match is_database {
            true => Some(Arc::new(Rows::read(&self.chain).await?)),
            false => None,
        };
        let wanted = self.manifest.resources.iter();
        let wanted: Vec<ResourceEntry> = wanted
            .filter(|resource| selection.wants(&resource.name))
            .cloned()
            .collect();
        let records = wanted
            .iter()
            .map(|resource| ResourceKind::Records(resource.name.clone()));
        let objects = is_database.then_some(ResourceKind::Objects);
        let planned = |kind| PlannedResource {
            kind,
            plain_bytes: None,
        };
        let catalogue = contents.database_catalogue.clone();
        let plan = ScanPlan {
            resources: records.chain(objects).map(planned).collect(),
            attachments: catalogue
                .map(|bytes| (layout::DATABASE_CATALOGUE.to_owned(), bytes))
                .into_iter()
                .collect(),
            server_time: self.manifest.source.server_time,
            ..ScanPlan::default()
        };
        let numbered = (0..).map(ResourceId).zip(&wanted);
        let resources = numbered.map(|(id, resource)| {
            Part::new(
                id,
                Content::Lines(resource.name.clone(), contents.lines(&[resource])),
            )
        });
        let last = ResourceId(u32::try_from(wanted.len()).unwrap_or(u32::MAX));
        let all: Vec<&ResourceEntry> = self.manifest.resources.iter().collect();
        let objects = rows
            .is_some()
            .then(|| Part::new(last, Content::Frames(contents.frames(&all))));
        Ok(Box::new(ChainScan {
            plan,
            rows,
            parts: resources.chain(objects).collect(),
            open: None,
            given: VecDeque::new(),
        }))
    }

    fn describe(&self, placed: &Placed<'_>) -> Result<Vec<Attachment>, BackupError> {
        self.check(placed)?;
        let catalogue = placed.attachments.first();
        let (Some(export), Some((_, catalogue))) = (&self.export, catalogue) else {
            return Ok(Vec::new());
        };
        let Exported { database } = serde_json::from_slice(export).map_err(|error| {
            BackupError::corrupt(layout::SCHEMA_EXPORT, "no export of schemas").because(error)
        })?;
        let backup = ExportedBackup {
            id: &placed.claim.head.id,
            backup_type: &placed.claim.head.backup_type,
            started_at: placed.claim.head.started_at,
            compression: placed.compression,
            bucket: &database.bucket,
            region: Some(&database.region),
        };
        let export = schema_export(catalogue, backup, placed.resources)?;
        Ok(vec![(layout::SCHEMA_EXPORT.to_owned(), export)])
    }
}

/// What an export says of the database that was read.
#[derive(Deserialize)]
struct Exported {
    database: Database,
}

#[derive(Deserialize)]
struct Database {
    bucket: String,
    region: String,
}

struct ChainScan {
    plan: ScanPlan,
    rows: Option<Arc<Rows>>,
    /// What hasn't begun.
    parts: VecDeque<Part>,
    open: Option<Part>,
    /// What was read and is to be given next.
    given: VecDeque<RecordBatch>,
}

/// A resource, or everything that is no record.
struct Part {
    id: ResourceId,
    content: Content,
    counts: ResourceCounts,
}

enum Content {
    /// Of the resource of this name.
    Lines(
        String,
        BoxStream<'static, Result<(Arc<str>, Bytes), BackupError>>,
    ),
    Frames(BoxStream<'static, Result<Vec<Frame>, BackupError>>),
}

impl Part {
    fn new(id: ResourceId, content: Content) -> Self {
        Part {
            id,
            content,
            counts: ResourceCounts::default(),
        }
    }

    /// The next of it; `None` at its end.
    async fn next(&mut self, rows: Option<&Rows>) -> Result<Option<Vec<RecordBatch>>, BackupError> {
        Ok(match &mut self.content {
            Content::Lines(name, lines) => match lines.try_next().await? {
                Some((_, lines)) => {
                    Some(vec![batch_of_lines(name, lines, rows, &mut self.counts)?])
                }
                None => None,
            },
            Content::Frames(frames) => frames
                .try_next()
                .await?
                .map(|frames| batches_of_frames(frames, rows)),
        })
    }
}

#[async_trait]
impl Scan for ChainScan {
    fn plan(&self) -> &ScanPlan {
        &self.plan
    }

    async fn next(&mut self) -> Result<Option<Item>, BackupError> {
        loop {
            let Some(part) = &mut self.open else {
                let Some(part) = self.parts.pop_front() else {
                    return Ok(None);
                };
                let begun = Item::Begin(part.id);
                self.open = Some(part);
                return Ok(Some(begun));
            };
            if let Some(batch) = self.given.pop_front() {
                return Ok(Some(Item::Records(part.id, batch)));
            }
            match part.next(self.rows.as_deref()).await? {
                Some(batches) => self.given.extend(batches),
                None => {
                    let end = Item::End(part.id, part.counts);
                    self.open = None;
                    return Ok(Some(end));
                }
            }
        }
    }
}

/// Lines of a resource, each with its row.
fn batch_of_lines(
    resource: &str,
    lines: Bytes,
    rows: Option<&Rows>,
    counts: &mut ResourceCounts,
) -> Result<RecordBatch, BackupError> {
    let (mut ends, mut all_rows, mut end) = (Vec::new(), Vec::new(), 0);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        ends.push(end);
        if let Some(rows) = rows {
            let said = record_line(resource, line)?;
            counts.kept_raw += u64::from(said.is_raw);
            all_rows.push(rows.of(&said.key));
        }
    }
    Ok(RecordBatch {
        bytes: lines,
        ends,
        rows: all_rows,
        origin: None,
        continues: false,
    })
}

/// Pieces of objects: those that go on with one are batches of their own.
fn batches_of_frames(frames: Vec<Frame>, rows: Option<&Rows>) -> Vec<RecordBatch> {
    let mut batches: Vec<RecordBatch> = Vec::new();
    for frame in frames {
        let continues = frame.header.offset > 0;
        let rows = rows.filter(|_| !continues);
        let row = rows.map_or_else(Vec::new, |rows| rows.of(&frame.header.key));
        let bytes = frame.encode();
        batches.push(RecordBatch {
            ends: vec![bytes.len()],
            bytes: bytes.into(),
            rows: vec![row],
            origin: None,
            continues,
        });
    }
    batches
}
