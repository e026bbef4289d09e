//! The driver of a destination: the only code that awaits its sink. It does the steps of its lane one after the other, so
//! their order at the destination is the order of the pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use teeline_core::{
    BackupError, Class, Digest, Holdings, Index, ObjectKey, Placement, ReadBack, SegmentEntry,
    SegmentId, Sink, Upload,
};
use tokio::sync::mpsc;

use crate::claim::{Claimed, claim};
use crate::messages::{DriverEvent, LaneItem, Step};
use crate::read_back::compare_pieces;
use crate::run_place::RunPlace;
use crate::stages::{Meter, Phase};
use crate::written::{attest, differs, put_checked};

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
    /// What is there already of the run.
    pub(crate) holdings: Holdings,
    /// The open segments that are there already.
    pub(crate) kept: BTreeSet<SegmentId>,
    /// The claim, once it is there.
    pub(crate) claimed: Option<Claimed>,
    /// The files that it has written, or begun to.
    pub(crate) written: Vec<ObjectKey>,
    pub(crate) meter: Meter,
}

/// The backup's folder at a destination, and how it is checked.
pub(crate) struct BackupFolder {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) run: RunPlace,
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
                    let is_kept = self.step(step).await?;
                    self.meter.lap(Phase::Work("write"));
                    self.meter.came(bytes);
                    (self.report)(DriverEvent::Acked { bytes, is_kept });
                }
                LaneItem::Publish(publication) => {
                    self.written.push(self.folder.run.entry.clone());
                    let folder = &self.folder;
                    let publishing = || (self.report)(DriverEvent::Publishing);
                    let claimed = self.claimed.expect("a run claims its id first");
                    publication
                        .publish(
                            folder.sink.as_ref(),
                            claimed,
                            folder.read_back.has_documents(),
                            publishing,
                        )
                        .await?;
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

    /// Removes what was written since the run was withdrawn or swept here.
    pub(crate) async fn take_back_what_is_nobodys(&mut self) -> Result<(), BackupError> {
        let written = std::mem::take(&mut self.written);
        let sink = self.folder.sink.as_ref();
        self.folder.run.take_back(sink, self.claimed, written).await
    }

    /// Does a step; gives whether it was about what is there already.
    async fn step(&mut self, step: Step) -> Result<bool, BackupError> {
        match step {
            Step::Claim(bytes) => {
                let folder = &self.folder;
                // Whatever else is read back: where a store lets a claim be replaced, that is how it is found out.
                let read_back = folder.sink.capabilities().read_back.has_documents();
                let claimed = claim(folder.sink.as_ref(), &folder.run.folder, bytes, read_back);
                self.claimed = Some(claimed.await?);
            }
            Step::Segment(Placement::Open { segment, names, .. })
                if self.holdings.has(&names.file) =>
            {
                self.kept.insert(segment);
                return Ok(true);
            }
            Step::Segment(Placement::Open {
                segment,
                names,
                expected_bytes,
                prologue,
            }) => {
                let key = self.folder.key(&names.file)?;
                let mut upload = self.folder.sink.begin(&key, expected_bytes).await?;
                if let Some(begun) = self.holdings.begun(&names.file) {
                    upload.go_on_with(begun).await?;
                }
                self.open.insert(segment, upload);
                self.write(segment, prologue).await?;
            }
            Step::Segment(Placement::Write { segment, .. }) if self.kept.contains(&segment) => {
                return Ok(true);
            }
            Step::Segment(Placement::Write { segment, bytes }) => {
                self.write(segment, bytes).await?;
            }
            Step::Segment(Placement::Kept { entry }) => {
                let index = self.folder.read_index(&entry).await?;
                self.keep(&entry, index).await?;
            }
            Step::Segment(Placement::Close {
                segment,
                entry,
                index,
                ..
            }) if self.kept.remove(&segment) => {
                self.keep(&entry, index).await?;
                return Ok(true);
            }
            Step::Segment(Placement::Close {
                segment,
                epilogue,
                entry,
                index,
            }) => {
                self.write(segment, epilogue).await?;
                self.close(segment, &entry, index).await?;
            }
            Step::Attachment { file, bytes } => {
                self.written.push(self.folder.key(&file)?);
                self.folder.put_checked(&file, bytes).await?;
            }
            Step::EndOfData => (self.report)(DriverEvent::Prepared),
        }
        Ok(false)
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
        self.written.push(self.folder.key(&entry.file)?);
        upload.commit().await?;
        self.meter.lap(Phase::Work("commit"));
        self.meter.gave(entry.stored_bytes);
        self.open.remove(&id);
        self.finish(entry, index).await
    }

    /// Takes a segment that is there already for what it should be, once it was read back.
    async fn keep(&mut self, entry: &SegmentEntry, index: Bytes) -> Result<(), BackupError> {
        // Nothing says yet what was written there, so what is read now may be something else, and of the same size.
        let is_unknown = self.holdings.lacks_index_of(&entry.file);
        let kept = async {
            if is_unknown && !self.folder.read_back.has_data() {
                self.folder.read_back(entry, &index).await?;
            }
            self.finish(entry, index).await
        };
        match kept.await {
            Err(error) if error.class() == Class::Corrupt && is_unknown => {
                let message = "a data file that the run left isn't what is read now";
                let differs = BackupError::new(Class::Permanent, "resume", &entry.file, message);
                (self.report)(DriverEvent::Differs(differs));
                return Err(error);
            }
            kept => kept?,
        }
        (self.report)(DriverEvent::Kept(entry.stored_bytes));
        Ok(())
    }

    /// Writes a segment's index, and compares both with what the store then gives.
    async fn finish(&mut self, entry: &SegmentEntry, index: Bytes) -> Result<(), BackupError> {
        self.written.push(self.folder.key(&entry.index)?);
        // Stores that are far away answer both in the time of one.
        let index_file = self.folder.put_checked(&entry.index, index.clone());
        tokio::try_join!(self.folder.check(entry, &index), index_file)?;
        self.meter.lap(Phase::Work("read back"));
        (self.report)(DriverEvent::SegmentCommitted);
        Ok(())
    }
}

impl BackupFolder {
    fn key(&self, file: &str) -> Result<ObjectKey, BackupError> {
        self.run.folder.join(file)
    }

    /// That a data file is what was written.
    async fn check(&self, entry: &SegmentEntry, index: &[u8]) -> Result<(), BackupError> {
        if self.read_back.has_data() {
            return self.read_back(entry, index).await;
        }
        let key = self.key(&entry.file)?;
        attest(self.sink.as_ref(), &key, entry.stored_bytes).await
    }

    /// Compares what the store now gives with the digests from before the write.
    async fn read_back(&self, entry: &SegmentEntry, index: &[u8]) -> Result<(), BackupError> {
        let key = self.key(&entry.file)?;
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

    /// The index of a segment that is there.
    async fn read_index(&self, entry: &SegmentEntry) -> Result<Bytes, BackupError> {
        let key = self.key(&entry.index)?;
        let index = self.sink.read(&key, 0..entry.index_bytes).await?;
        match Digest::of(&index) == entry.index_blake3 {
            true => Ok(index),
            false => Err(differs(self.sink.as_ref(), &key)),
        }
    }

    async fn put_checked(&self, file: &str, bytes: Bytes) -> Result<(), BackupError> {
        let key = self.key(file)?;
        let read_back = self.read_back.has_documents();
        put_checked(self.sink.as_ref(), &key, bytes, read_back).await
    }
}
