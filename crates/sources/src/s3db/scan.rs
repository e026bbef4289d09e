//! Reads a database: each record as a line, everything else as frames.
//!
//! Objects are read many at a time and given in the order of the listing. What is held is bounded by a few pages of the
//! listing and what is read ahead; a large object is read alone, when its turn comes.

use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use teeline_core::{BackupError, Item, ResourceCounts, ResourceId, ResourceKind, Scan, ScanPlan};
use tokio::sync::mpsc;

use super::bucket::Head;
use super::changes::{Deletions, ParentIndex, Unchanged, changed};
use super::continued::{LeftOut, without};
use super::fetch::{FetchContext, Fetched, Framed, Identity, Line, Place, frame};
use super::items::{Batch, Items};
use super::keys::KeysReceiver;
use super::large::{self, Content};
use super::listing::Listed;
use super::read_ahead::{Answered, Step, one_by_one, read_ahead};
use super::settle::Settle;

/// Items as the reading sends them. The reading goes on only while somebody waits for an item; the requests that it has
/// under way are tasks of their own and don't depend on that.
pub(super) struct S3dbScan {
    plan: ScanPlan,
    items: mpsc::Receiver<Item>,
    reading: Option<BoxFuture<'static, Result<(), BackupError>>>,
    failed: bool,
}

impl S3dbScan {
    /// A scan that gives what is planned: the objects of these keys, or those of them that aren't as the parent has them or left out, then
    /// what is gone since, and then what `settle` finds.
    pub(super) fn new(
        plan: ScanPlan,
        context: FetchContext,
        keys: KeysReceiver,
        parent: Option<ParentIndex>,
        left_out: LeftOut,
        settle: Option<Settle>,
    ) -> Self {
        let (sender, items) = Items::new();
        let deletions = parent.as_ref().map(|_| {
            let resources = plan.resources.iter();
            let planned = resources.map(|resource| resource.kind.clone());
            Deletions::new(id_of(&plan, &ResourceKind::Deleted), planned)
        });
        let names = plan.resources.iter();
        let reading = Reading {
            context: Arc::new(context),
            names: names.map(|of| of.kind.name().to_owned()).collect(),
            items: sender,
            records: None,
            objects: Objects {
                id: id_of(&plan, &ResourceKind::Objects),
                begun: false,
                batch: Batch::default(),
                counts: ResourceCounts::default(),
            },
            deletions,
            settle,
        };
        let settled = id_of(&plan, &ResourceKind::Settled);
        S3dbScan {
            plan,
            items,
            reading: Some(Box::pin(reading.run(keys, parent, left_out, settled))),
            failed: false,
        }
    }
}

/// The number of what is planned once.
fn id_of(plan: &ScanPlan, kind: &ResourceKind) -> ResourceId {
    let mut planned = plan.resources.iter();
    let number = planned.position(|resource| resource.kind == *kind);
    ResourceId(number.map_or(u32::MAX, |number| u32::try_from(number).unwrap_or(u32::MAX)))
}

#[async_trait]
impl Scan for S3dbScan {
    fn plan(&self) -> &ScanPlan {
        &self.plan
    }

    async fn next(&mut self) -> Result<Option<Item>, BackupError> {
        if self.failed {
            return Err(BackupError::cancelled("the scan"));
        }
        if let Some(reading) = &mut self.reading {
            let result = tokio::select! {
                biased;
                Some(item) = self.items.recv() => return Ok(Some(item)),
                result = reading => result,
            };
            self.reading = None;
            self.failed = result.is_err();
            result?;
        }
        // Its end of the channel is gone, so this gives what is left and then nothing.
        Ok(self.items.recv().await)
    }
}

struct Reading {
    context: Arc<FetchContext>,
    /// What the resources of the scan are called.
    names: Vec<String>,
    items: Items,
    /// The resource that has begun, if one has.
    records: Option<Records>,
    objects: Objects,
    /// What is gone, and what is other than in the parent, where there is one.
    deletions: Option<Deletions>,
    /// Where what changes meanwhile is to be read again.
    settle: Option<Settle>,
}

/// The resource of everything that is no record.
struct Objects {
    id: ResourceId,
    begun: bool,
    batch: Batch,
    counts: ResourceCounts,
}

/// A resource whose records are being read.
struct Records {
    id: ResourceId,
    batch: Batch,
    counts: ResourceCounts,
    /// Records with entries in partitions of which the keys can't be told.
    lacking_entries: u64,
}

impl Reading {
    async fn run(
        mut self,
        keys: KeysReceiver,
        parent: Option<ParentIndex>,
        left_out: LeftOut,
        settled: ResourceId,
    ) -> Result<(), BackupError> {
        let context = Arc::clone(&self.context);
        let mut steps = match parent {
            None => {
                let catalogue = Arc::clone(&context.catalogue);
                read_ahead(context, without(one_by_one(keys), left_out, catalogue))
            }
            Some(parent) => {
                let catalogue = Arc::clone(&context.catalogue);
                read_ahead(
                    context,
                    changed(keys, parent, catalogue, self.settle.is_some()),
                )
            }
        };
        while let Some(step) = steps.try_next().await? {
            match step {
                Step::Begin(id) => self.begin(id).await?,
                Step::Object(answered) => self.take(answered).await?,
                Step::Unchanged(unchanged) => self.leave(&unchanged),
                Step::End(id) => self.end(id).await?,
            }
        }
        self.flush_objects().await?;
        let end = Item::End(self.objects.id, self.objects.counts);
        self.items.give(end).await?;
        if let Some(deletions) = self.deletions.take() {
            deletions.end(&self.items).await?;
        }
        match self.settle {
            Some(settle) => settle.run(self.context, self.items, settled).await,
            None => Ok(()),
        }
    }

    async fn begin(&mut self, id: ResourceId) -> Result<(), BackupError> {
        self.records = Some(Records {
            id,
            batch: Batch::default(),
            counts: ResourceCounts::default(),
            lacking_entries: 0,
        });
        self.items.give(Item::Begin(id)).await
    }

    async fn end(&mut self, id: ResourceId) -> Result<(), BackupError> {
        let Some(mut records) = self.records.take() else {
            return Ok(());
        };
        if records.lacking_entries > 0 {
            tracing::warn!(
                resource = self.names.get(id.0 as usize),
                records = records.lacking_entries,
                "they are without some of their entries in partitions: under which keys s3db.js has them can't be told from \
                 their values, as of a date in words; a restore leaves those alone that are there"
            );
        }
        self.items.flush(id, &mut records.batch).await?;
        self.items.give(Item::End(id, records.counts)).await
    }

    async fn take(&mut self, answered: Answered) -> Result<(), BackupError> {
        let Answered {
            listed,
            fetched,
            is_known,
            room: _room,
        } = answered;
        let identity = match fetched {
            Fetched::Line(line, identity) => {
                self.take_line(line).await?;
                identity
            }
            Fetched::WithEntries(line, entries) => {
                self.take_line(line).await?;
                self.take_entries(entries).await?;
                return Ok(());
            }
            Fetched::Frame {
                frame,
                row,
                identity,
            } => {
                self.take_frame(&frame, row).await?;
                identity
            }
            Fetched::Large(asked, place) => match self.read_large(&asked, &place).await? {
                None => return self.miss(&listed.key, &place, is_known).await,
                identity => identity,
            },
            Fetched::Vanished(place) => return self.miss(&listed.key, &place, is_known).await,
            Fetched::Unwanted => return Ok(()),
        };
        if let Some(deletions) = &mut self.deletions {
            deletions.found(&listed.key, is_known);
        }
        if let Some(settle) = &mut self.settle {
            settle.note(&listed, identity);
        }
        Ok(())
    }

    /// Takes note of objects that are as the parent has them.
    fn leave(&mut self, unchanged: &Unchanged) {
        if let Some(deletions) = &mut self.deletions {
            deletions.unchanged(unchanged);
        }
        if let Some(settle) = &mut self.settle {
            unchanged
                .listed
                .iter()
                .for_each(|listed| settle.note(listed, None));
        }
    }

    /// Takes note that there is no such object: one that the parent has is gone, another one was listed only.
    async fn miss(&mut self, key: &str, place: &Place, is_known: bool) -> Result<(), BackupError> {
        match &mut self.deletions {
            Some(deletions) if is_known => deletions.gone(&self.items, key).await,
            _ => {
                self.counts(place).vanished += 1;
                Ok(())
            }
        }
    }

    /// What is counted of the resource that an object belongs to.
    fn counts(&mut self, place: &Place) -> &mut ResourceCounts {
        match (place, &mut self.records) {
            (Place::Record { .. }, Some(records)) => &mut records.counts,
            _ => &mut self.objects.counts,
        }
    }

    async fn take_line(&mut self, line: Line) -> Result<(), BackupError> {
        // Only keys of a resource that has begun are taken for records.
        let Some(records) = &mut self.records else {
            return Ok(());
        };
        records.batch.push(&line.line, line.row);
        records.counts.kept_raw += u64::from(line.kept_raw);
        records.lacking_entries += u64::from(line.entries.are_incomplete);
        if records.batch.is_full() {
            self.items.flush(records.id, &mut records.batch).await?;
        }
        Ok(())
    }

    async fn take_entries(&mut self, entries: Vec<Framed>) -> Result<(), BackupError> {
        for Framed { frame, row } in entries {
            self.take_frame(&frame, row).await?;
        }
        Ok(())
    }

    async fn take_frame(&mut self, frame: &[u8], row: Vec<u8>) -> Result<(), BackupError> {
        self.objects.batch.push(frame, row);
        if self.objects.batch.is_full() {
            self.flush_objects().await?;
        }
        Ok(())
    }

    /// Reads an object alone; gives its identity, or `None` where it is gone.
    async fn read_large(
        &mut self,
        listed: &Listed,
        place: &Place,
    ) -> Result<Option<Identity>, BackupError> {
        let context = Arc::clone(&self.context);
        let Some(opened) = large::open(&context, listed, place).await? else {
            return Ok(None);
        };
        if let Some(line) = opened.line {
            let entries = context.entries(&line).await?;
            self.take_line(line).await?;
            self.take_entries(entries).await?;
        }
        if let Some((head, content)) = opened.object {
            self.stream(&listed.key, &head, content).await?;
        }
        Ok(Some(opened.identity))
    }

    /// Gives an object in pieces.
    async fn stream(
        &mut self,
        key: &str,
        head: &Head,
        mut content: Content,
    ) -> Result<(), BackupError> {
        self.flush_objects().await?;
        let piece_bytes = self.context.options.piece_bytes.max(1);
        let mut offset = 0;
        loop {
            let piece = content.next_piece(piece_bytes).await?;
            let first = offset == 0;
            let length = piece.len() as u64;
            let frame = frame(key, head, offset, piece).encode();
            offset += length;
            let row = if first { head.row(key) } else { Vec::new() };
            self.items
                .give_piece(self.objects.id, &frame, row, !first)
                .await?;
            if offset >= head.size || length == 0 {
                return Ok(());
            }
        }
    }

    async fn flush_objects(&mut self) -> Result<(), BackupError> {
        let objects = &mut self.objects;
        if !std::mem::replace(&mut objects.begun, true) {
            self.items.give(Item::Begin(objects.id)).await?;
        }
        self.items.flush(objects.id, &mut objects.batch).await
    }
}
