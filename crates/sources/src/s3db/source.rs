//! A database as a source of backups.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use teeline_core::{
    Attachment, BackupError, Class, Placed, PlannedResource, ResourceKind, ResumePoint, Sample,
    SampleLimits, Scan, ScanPlan, Selection, Source, SourceKind, chain::Base, layout,
};
use tokio::sync::OnceCell;

use super::bucket::{Bucket, Head};
use super::catalogue::Catalogue;
use super::changes::ParentIndex;
use super::connection::Connection;
use super::continued::{LeftOut, unchanged};
use super::export::{ExportedBackup, schema_export};
use super::fetch::FetchContext;
use super::keys::Lister;
use super::listing::PAGE_KEYS;
use super::pace::CALLS_MAX;
use super::part::Parts;
use super::sample::sample;
use super::scan::S3dbScan;
use super::settle::Settle;
use super::walk::{CATALOGUE, UnknownObjects, is_destination};

/// What becomes of records whose document doesn't give their object back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUndecodable {
    /// The object is kept raw beside the document, and counted.
    #[default]
    Keep,
    /// The backup fails. Records with content of their own, such as files, are kept all the same: nothing of them is
    /// unreadable.
    Fail,
}

/// How a database is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanOptions {
    /// Calls to the server at the same time, at the most: how many there are follows what it can take.
    pub calls_max: usize,
    /// Keys in a page of a listing; servers give 1,000 at the most.
    pub page_keys: u16,
    /// A larger body is read alone, and isn't put into a line unless it is JSON.
    pub inline_bytes_max: u64,
    /// The largest line, and the largest body that is read as JSON.
    pub record_bytes_max: usize,
    /// A large body is given in pieces of this size.
    pub piece_bytes: usize,
    /// What becomes of records whose document doesn't give their object back.
    pub on_undecodable: OnUndecodable,
    /// What becomes of objects that s3db.js doesn't know.
    pub unknown_objects: UnknownObjects,
    /// How often what changed during the scan is read again, at the most: until that finds nothing. 0 for never. What it
    /// takes to know what changed is about 50 bytes of memory for an object.
    pub settle_passes_max: u32,
}

impl ScanOptions {
    /// Those that tell whether a record's line carries its object, by their names in the configuration.
    fn bounds(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([
            ("inline_bytes_max".to_owned(), self.inline_bytes_max),
            ("record_bytes_max".to_owned(), self.record_bytes_max as u64),
        ])
    }
}

impl Default for ScanOptions {
    fn default() -> Self {
        ScanOptions {
            calls_max: CALLS_MAX,
            page_keys: PAGE_KEYS,
            inline_bytes_max: 256 << 10,
            record_bytes_max: 64 << 20,
            piece_bytes: 1 << 20,
            on_undecodable: OnUndecodable::Keep,
            unknown_objects: UnknownObjects::Keep,
            settle_passes_max: 0,
        }
    }
}

/// A database to read.
pub struct S3dbSource {
    connection: Connection,
    options: ScanOptions,
    bucket: OnceCell<Bucket>,
}

impl S3dbSource {
    /// The database at `connection`. Nothing is asked of the server yet.
    pub fn new(connection: Connection, options: ScanOptions) -> Self {
        S3dbSource {
            connection,
            options,
            bucket: OnceCell::new(),
        }
    }

    /// Where it is.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The names of its resources, in the catalogue's order.
    ///
    /// # Errors
    /// Where the catalogue can't be read.
    pub async fn resource_names(&self) -> Result<Vec<String>, BackupError> {
        let (_, _, catalogue) = self.read_catalogue().await?;
        let names = catalogue
            .resources
            .into_iter()
            .map(|resource| resource.name);
        Ok(names.collect())
    }

    /// The database's own `s3db.json`, byte for byte.
    ///
    /// # Errors
    /// Where it can't be read, or isn't a catalogue.
    pub async fn database_catalogue(&self) -> Result<Bytes, BackupError> {
        Ok(self.read_catalogue().await?.1)
    }

    async fn bucket(&self) -> &Bucket {
        self.bucket
            .get_or_init(|| {
                let ScanOptions {
                    calls_max,
                    page_keys,
                    ..
                } = self.options;
                Bucket::connect(&self.connection, calls_max, page_keys)
            })
            .await
    }

    async fn read_catalogue(&self) -> Result<(Head, Bytes, Catalogue), BackupError> {
        let bucket = self.bucket().await;
        let Some((head, bytes)) = bucket.read(CATALOGUE).await? else {
            let place = bucket.describe("");
            let message = format!("no {CATALOGUE} at {place}: this is no s3db.js database");
            return Err(
                BackupError::new(Class::NotFound, "read", &self.connection, message)
                    .suggest("check the bucket and the prefix in the connection string"),
            );
        };
        let catalogue = parse_catalogue(bucket, &bytes)?;
        Ok((head, bytes, catalogue))
    }

    /// Reads the catalogue, and finds out by it what is to be read.
    async fn prepare(&self, selection: Selection) -> Result<Prepared, BackupError> {
        let bucket = self.bucket().await;
        if is_destination(bucket, "").await? {
            let message = "the database's prefix is itself a teeline destination; \
                           a backup would read the backups in it as data";
            return Err(BackupError::usage(&self.connection, message)
                .suggest("keep the database and the backups under different prefixes"));
        }
        // Before anything is listed: what is written from now on is younger than what it says.
        let (head, bytes, catalogue) = self.read_catalogue().await?;
        let mut wanted: Vec<usize> = (0..catalogue.resources.len())
            .filter(|index| selection.wants(&catalogue.resources[*index].name))
            .collect();
        let parts = Arc::new(Parts::new(&catalogue, &mut wanted, &selection)?);
        let catalogue = Arc::new(catalogue);
        Ok(Prepared {
            head,
            bytes,
            lister: Lister {
                bucket: bucket.clone(),
                catalogue: Arc::clone(&catalogue),
                selection,
                unknown: self.options.unknown_objects,
                wanted,
                parts: Arc::clone(&parts),
            },
            context: FetchContext {
                bucket: bucket.clone(),
                catalogue,
                options: self.options,
                identifies: false,
                parts,
            },
        })
    }

    /// Refuses to read again what was read in part: what else has changed can't be told from what wasn't asked for.
    fn check_settles(&self, parts: &Parts) -> Result<(), BackupError> {
        if self.options.settle_passes_max == 0 || parts.are_whole() {
            return Ok(());
        }
        let message = "what changes meanwhile is read again of whole resources only, not of partitions or what a query asks for";
        Err(BackupError::usage("settle_passes_max", message)
            .suggest("set it to 0 (--settle=0) for this backup, or back up whole resources"))
    }

    /// Begins to note what is read, where it is asked for.
    async fn settle(
        &self,
        catalogue_bytes: &Bytes,
        selection: &Selection,
    ) -> Result<Option<Settle>, BackupError> {
        let passes_max = self.options.settle_passes_max;
        if passes_max == 0 {
            return Ok(None);
        }
        let bucket = self.bucket().await;
        let unknown = self.options.unknown_objects;
        let (catalogue_bytes, selection) = (catalogue_bytes.clone(), selection.clone());
        let settle = Settle::begin(bucket, catalogue_bytes, selection, unknown, passes_max);
        settle.await.map(Some)
    }
}

/// What it takes to read a database.
struct Prepared {
    /// What the server said with the catalogue.
    head: Head,
    /// The catalogue's.
    bytes: Bytes,
    lister: Lister,
    context: FetchContext,
}

/// Reads the bytes of a database's catalogue.
pub(super) fn parse_catalogue(bucket: &Bucket, bytes: &[u8]) -> Result<Catalogue, BackupError> {
    Catalogue::parse(bytes).map_err(|error| {
        let subject = bucket.describe(CATALOGUE);
        BackupError::new(Class::Permanent, "read", subject, &error).because(error)
    })
}

/// Masks the keys.
impl fmt::Display for S3dbSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}

impl fmt::Debug for S3dbSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3dbSource")
            .field("connection", &self.connection)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for S3dbSource {
    fn kind(&self) -> SourceKind {
        SourceKind::S3db
    }

    fn is_rereadable(&self) -> bool {
        true
    }

    fn tells_changes(&self) -> bool {
        true
    }

    fn reads(&self, endpoint: Option<&str>, bucket: &str, prefix: &str) -> Option<&'static str> {
        let own = &self.connection;
        let its_endpoint = own.endpoint.as_deref();
        let its_endpoint = its_endpoint.map(|endpoint| endpoint.trim_end_matches('/'));
        if (its_endpoint, own.bucket.as_str()) != (endpoint, bucket) {
            return None;
        }
        let below = match own.prefix.as_str() {
            "" => prefix,
            own if own == prefix => "",
            own => prefix.strip_prefix(own)?.strip_prefix('/')?,
        };
        let of_s3db = ["resource=", "plugin="];
        if below.is_empty() {
            Some("it is the database's own prefix")
        } else if of_s3db.iter().any(|folder| below.starts_with(folder)) {
            Some("it is in a folder that s3db.js keeps its objects in")
        } else {
            None
        }
    }

    fn describe(&self, placed: &Placed<'_>) -> Result<Vec<Attachment>, BackupError> {
        let catalogue = placed
            .attachments
            .iter()
            .find(|(file, _)| file == layout::DATABASE_CATALOGUE);
        let Some((_, catalogue)) = catalogue else {
            return Ok(Vec::new());
        };
        let backup = ExportedBackup {
            id: &placed.claim.head.id,
            backup_type: &placed.claim.head.backup_type,
            started_at: placed.claim.head.started_at,
            compression: placed.compression,
            bucket: &self.connection.bucket,
            region: self.connection.region.as_deref(),
        };
        let export = schema_export(catalogue, backup, placed.resources)?;
        Ok(vec![(layout::SCHEMA_EXPORT.to_owned(), export)])
    }

    async fn scan(&self, selection: Selection) -> Result<Box<dyn Scan>, BackupError> {
        self.begin(selection, None, Vec::new()).await
    }

    async fn scan_on(
        &self,
        selection: Selection,
        points: Vec<ResumePoint>,
    ) -> Result<Box<dyn Scan>, BackupError> {
        self.begin(selection, None, points).await
    }

    async fn scan_changes(
        &self,
        selection: Selection,
        base: Base,
    ) -> Result<Box<dyn Scan>, BackupError> {
        let parent = ParentIndex::read(base).await?;
        self.begin(selection, Some(parent), Vec::new()).await
    }

    async fn sample(
        &self,
        selection: Selection,
        limits: SampleLimits,
    ) -> Result<Sample, BackupError> {
        let prepared = self.prepare(selection).await?;
        self.check_settles(&prepared.context.parts)?;
        let Prepared {
            bytes,
            lister,
            context,
            ..
        } = prepared;
        let others = [Some(ResourceKind::Objects), None, None];
        let plan = plan(&context.catalogue, &lister.wanted, others, bytes);
        let (keys, shares) = sample(&context.catalogue, lister.start(), limits).await?;
        Ok(Sample {
            scan: Box::new(S3dbScan::new(
                plan,
                context,
                keys,
                None,
                LeftOut::new(),
                None,
            )),
            shares,
        })
    }
}

impl S3dbSource {
    /// Begins a scan, of what isn't as the parent has it where there is one, without what is before these points.
    async fn begin(
        &self,
        selection: Selection,
        parent: Option<ParentIndex>,
        points: Vec<ResumePoint>,
    ) -> Result<Box<dyn Scan>, BackupError> {
        let prepared = self.prepare(selection).await?;
        self.check_settles(&prepared.context.parts)?;
        let Prepared {
            head,
            bytes,
            lister,
            mut context,
        } = prepared;
        let left_out = unchanged(lister.clone(), points).await?;
        let settle = self.settle(&bytes, &lister.selection).await?;
        context.identifies = settle.is_some();
        let others = [
            Some(ResourceKind::Objects),
            parent.is_some().then_some(ResourceKind::Deleted),
            settle.is_some().then_some(ResourceKind::Settled),
        ];
        let plan = ScanPlan {
            server_time: head.date,
            bounds: self.options.bounds(),
            continued: left_out.keys().copied().collect(),
            ..plan(&context.catalogue, &lister.wanted, others, bytes)
        };
        let scan = S3dbScan::new(plan, context, lister.start(), parent, left_out, settle);
        Ok(Box::new(scan))
    }
}

/// The wanted resources, then the others.
fn plan(
    catalogue: &Catalogue,
    wanted: &[usize],
    others: [Option<ResourceKind>; 3],
    database_catalogue: Bytes,
) -> ScanPlan {
    let records = wanted
        .iter()
        .map(|index| ResourceKind::Records(catalogue.resources[*index].name.clone()));
    let planned = |kind| PlannedResource {
        kind,
        // A listing doesn't tell how much metadata there is.
        plain_bytes: None,
    };
    ScanPlan {
        resources: records
            .chain(others.into_iter().flatten())
            .map(planned)
            .collect(),
        attachments: vec![(layout::DATABASE_CATALOGUE.to_owned(), database_catalogue)],
        ..ScanPlan::default()
    }
}
