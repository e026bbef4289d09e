//! The driver of a destination: the only code that awaits its sink. It does the steps of its lane one after the other, so
//! their order at the destination is the order of the pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use teeline_core::{
    BackupError, Class, Index, ObjectKey, Placement, ReadBack, SegmentEntry, SegmentId, Sink,
    Upload,
};
use tokio::sync::mpsc;

use crate::messages::{DriverEvent, LaneItem, Step};
use crate::publish::{Publication, attest, claim, differs, put_checked};
use crate::read_back::compare_pieces;
use crate::stages::{Meter, Phase};

/// How a destination's copy is to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verification {
    /// By reading it back and comparing digests, where the store can be read.
    #[default]
    Read,
    /// By the store's word, which is asked for the size of each file.
    Attested,
}

pub(crate) struct Driver<R> {
    pub(crate) folder: BackupFolder,
    pub(crate) report: R,
    pub(crate) open: BTreeMap<SegmentId, Box<dyn Upload>>,
    pub(crate) meter: Meter,
}

/// The backup's folder at a destination, and how it is checked.
pub(crate) struct BackupFolder {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) path: ObjectKey,
    /// What is read again of what is written.
    pub(crate) read_back: ReadBack,
}

impl<R: Fn(DriverEvent) + Send + Sync> Driver<R> {
    /// Does what the lane says until the backup is published or the lane closes.
    pub(crate) async fn run(
        &mut self,
        lane: &mut mpsc::Receiver<LaneItem>,
    ) -> Result<(), BackupError> {
        while let Some(item) = lane.recv().await {
            self.meter.lap(Phase::Input);
            match item {
                LaneItem::Step(step) => {
                    let bytes = step.bytes();
                    self.step(step).await?;
                    self.meter.lap(Phase::Work("write"));
                    self.meter.came(bytes);
                    (self.report)(DriverEvent::Acked(bytes));
                }
                LaneItem::Publish(publication) => {
                    let folder = &self.folder;
                    let publishing = || (self.report)(DriverEvent::Publishing);
                    folder.publish(&publication, publishing).await?;
                    self.meter.lap(Phase::Work("publish"));
                    (self.report)(DriverEvent::Published);
                    return Ok(());
                }
                LaneItem::Lost(error) => return Err(error),
            }
        }
        Err(BackupError::cancelled(&self.folder.sink))
    }

    /// Gives up what isn't committed.
    pub(crate) async fn abort(&mut self) -> Result<(), BackupError> {
        for (_, mut upload) in std::mem::take(&mut self.open) {
            upload.abort().await?;
        }
        Ok(())
    }

    async fn step(&mut self, step: Step) -> Result<(), BackupError> {
        match step {
            Step::Claim(bytes) => {
                let folder = &self.folder;
                let read_back = folder.read_back.has_documents();
                claim(folder.sink.as_ref(), &folder.path, bytes, read_back).await
            }
            Step::Segment(Placement::Open {
                segment,
                names,
                expected_bytes,
                prologue,
            }) => {
                let key = self.folder.path.join(&names.file)?;
                let upload = self.folder.sink.begin(&key, expected_bytes).await?;
                self.open.insert(segment, upload);
                self.write(segment, prologue).await
            }
            Step::Segment(Placement::Write { segment, bytes }) => self.write(segment, bytes).await,
            Step::Segment(Placement::Close {
                segment,
                epilogue,
                entry,
                index,
            }) => {
                self.write(segment, epilogue).await?;
                self.close(segment, &entry, index).await
            }
            Step::Attachment { file, bytes } => self.folder.put_checked(&file, bytes).await,
            Step::EndOfData => {
                (self.report)(DriverEvent::Prepared);
                Ok(())
            }
        }
    }

    async fn write(&mut self, id: SegmentId, bytes: Bytes) -> Result<(), BackupError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let upload = self
            .open
            .get_mut(&id)
            .expect("a segment is opened before it is written");
        upload.write(bytes).await
    }

    async fn close(
        &mut self,
        id: SegmentId,
        entry: &SegmentEntry,
        index: Bytes,
    ) -> Result<(), BackupError> {
        let upload = self
            .open
            .get_mut(&id)
            .expect("a segment is opened before it is closed");
        upload.commit().await?;
        self.meter.lap(Phase::Work("commit"));
        self.meter.gave(entry.stored_bytes);
        self.open.remove(&id);
        // Stores that are far away answer both in the time of one.
        let index_file = self.folder.put_checked(&entry.index, index.clone());
        tokio::try_join!(self.folder.check(entry, &index), index_file)?;
        self.meter.lap(Phase::Work("read back"));
        (self.report)(DriverEvent::SegmentCommitted);
        Ok(())
    }
}

impl BackupFolder {
    /// That a data file is what was written.
    async fn check(&self, entry: &SegmentEntry, index: &[u8]) -> Result<(), BackupError> {
        if self.read_back.has_data() {
            return self.read_back(entry, index).await;
        }
        let key = self.path.join(&entry.file)?;
        attest(self.sink.as_ref(), &key, entry.stored_bytes).await
    }

    /// Compares what the store now gives with the digests from before the write.
    async fn read_back(&self, entry: &SegmentEntry, index: &[u8]) -> Result<(), BackupError> {
        let key = self.path.join(&entry.file)?;
        let index = Index::parse(&entry.index, index)?;
        let mut are_equal = true;
        compare_pieces(&self.sink, &key, &index, |_, is_equal| {
            are_equal &= is_equal;
        })
        .await?;
        match are_equal {
            true => Ok(()),
            false => Err(differs(self.sink.as_ref(), &key)),
        }
    }

    /// Makes the backup visible; what is found to be something else than was written is taken back.
    async fn publish(
        &self,
        publication: &Publication,
        publishing: impl FnOnce() + Send,
    ) -> Result<(), BackupError> {
        let (sink, read_back) = (self.sink.as_ref(), self.read_back.has_documents());
        match publication.publish(sink, read_back, publishing).await {
            Err(error) if error.class() == Class::Corrupt => {
                match publication.take_back(sink).await {
                    Ok(()) => Err(error),
                    Err(_) => Err(error.suggest(
                        "a manifest that can't be read may be left there; `teeline verify` says so, and `teeline delete` removes it",
                    )),
                }
            }
            published => published,
        }
    }

    async fn put_checked(&self, file: &str, bytes: Bytes) -> Result<(), BackupError> {
        let key = self.path.join(file)?;
        let read_back = self.read_back.has_documents();
        put_checked(self.sink.as_ref(), &key, bytes, read_back).await
    }
}
