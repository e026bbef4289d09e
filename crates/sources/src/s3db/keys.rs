//! Every key of a database in the order in which a scan gives its object: resource by resource, then everything else.
//!
//! It is listed by a task of its own, ahead of who reads the objects: the first pages of several resources at once, and a
//! large resource in ranges. What is held is bounded by a few pages.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use teeline_core::{BackupError, Class, ResourceId, Selection};
use tokio::sync::mpsc;

use super::bucket::Bucket;
use super::catalogue::Catalogue;
use super::listing::Listed;
use super::part::{Part, Parts};
use super::ranges::{Begun, list_in_ranges};
use super::walk::{UnknownObjects, Walk, has_folder, is_left_out, resource_prefix};

/// Resources whose first pages are listed at once.
const RESOURCES_AHEAD: usize = 4;
/// Pages that wait to be read.
const PAGES_AHEAD: usize = 2;

/// A part of a database's keys.
#[derive(Debug)]
pub(super) enum Keys {
    /// A wanted resource begins: its number in the scan, and its place in the catalogue.
    Begin(ResourceId, usize),
    /// Some keys of the resource that has begun, or of none.
    Page(Vec<Listed>),
    /// A resource ends.
    End(ResourceId),
}

/// A listing whose panic is an error: that nothing more comes says that all has come.
pub(super) async fn unless_it_panics(
    listing: impl Future<Output = Result<(), BackupError>>,
) -> Result<(), BackupError> {
    let listed = AssertUnwindSafe(listing).catch_unwind().await;
    listed.unwrap_or_else(|_| {
        let message = "it panicked; this is a defect of teeline";
        Err(BackupError::new(
            Class::Permanent,
            "list",
            "the database",
            message,
        ))
    })
}

pub(super) type KeysReceiver = mpsc::Receiver<Result<Keys, BackupError>>;

/// Lists the keys of a database.
#[derive(Clone)]
pub(super) struct Lister {
    pub(super) bucket: Bucket,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) selection: Selection,
    pub(super) unknown: UnknownObjects,
    /// The wanted resources, by their places in the catalogue.
    pub(super) wanted: Vec<usize>,
    /// What of each is.
    pub(super) parts: Arc<Parts>,
}

impl Lister {
    /// Begins to list. It ends when the receiver is dropped.
    pub(super) fn start(self) -> KeysReceiver {
        let (out, keys) = mpsc::channel(PAGES_AHEAD);
        tokio::spawn(async move {
            if let Err(error) = unless_it_panics(self.list(&out)).await {
                // Where nobody reads any more there is nobody to tell.
                let _ = out.send(Err(error)).await;
            }
        });
        keys
    }

    async fn list(&self, out: &Out) -> Result<(), BackupError> {
        let wanted: Vec<(u32, usize)> = (0..).zip(self.wanted.iter().copied()).collect();
        let resources = stream::iter(wanted)
            .map(|(id, index)| async move {
                let begun = self.begin(index).await?;
                Ok::<_, BackupError>((ResourceId(id), index, begun))
            })
            .buffered(RESOURCES_AHEAD);
        let mut resources = std::pin::pin!(resources);
        while let Some((id, index, begun)) = resources.try_next().await? {
            send(out, Keys::Begin(id, index)).await?;
            if let Some(begun) = begun {
                list_in_ranges(begun, |page| send_page(out, page)).await?;
            } else if let Some(part) = self.parts.of(index) {
                let resource = &self.catalogue.resources[index];
                part.list(&self.bucket, resource, |page| send_page(out, page))
                    .await?;
            }
            send(out, Keys::End(id)).await?;
        }
        if !self.selection.partitions.is_empty() {
            return Ok(());
        }
        let (catalogue, selection) = (Arc::clone(&self.catalogue), self.selection.clone());
        let mut walk = Walk::new(&self.bucket, catalogue, selection, self.unknown);
        while let Some(page) = walk.next().await? {
            send_page(out, page).await?;
        }
        Ok(())
    }

    /// Begins to list what is in a resource's folder, most of which are records, or only these where not all are read. `None`
    /// where it has no folder, or its records are those that entries name.
    async fn begin(&self, index: usize) -> Result<Option<Begun>, BackupError> {
        let name = &self.catalogue.resources[index].name;
        let part = self.parts.of(index);
        if !has_folder(name) || part.is_some_and(Part::is_by_entries) {
            return Ok(None);
        }
        let folder = resource_prefix(name);
        let records = format!("{folder}data/id=");
        let listed = match part {
            Some(_) => records.clone(),
            None => folder,
        };
        Begun::list(&self.bucket, listed, records).await.map(Some)
    }
}

type Out = mpsc::Sender<Result<Keys, BackupError>>;

async fn send(out: &Out, keys: Keys) -> Result<(), BackupError> {
    out.send(Ok(keys))
        .await
        .map_err(|_| BackupError::cancelled("the listing"))
}

async fn send_page(out: &Out, mut page: Vec<Listed>) -> Result<(), BackupError> {
    page.retain(|listed| !is_left_out(&listed.key));
    match page.is_empty() {
        true => Ok(()),
        false => send(out, Keys::Page(page)).await,
    }
}
