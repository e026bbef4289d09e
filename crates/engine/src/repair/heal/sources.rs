//! Where the right bytes of a file may be had: the same file at any destination, and what stood damaged there and was moved
//! away, of which most may be right. Whoever reads here compares what is read, and takes the first that is right.

use std::ops::Range;

use bytes::Bytes;
use futures::TryStreamExt;
use teeline_core::{
    BackupError, Class, Digest, Index, ObjectKey, ObjectMeta, Piece, Upload, layout,
};

use super::copy::Found;
use crate::catalog::{located, read_whole};
use crate::files::WholeFile;
use crate::open::Opened;

/// Destinations that have files of the backup in the same folder.
pub(super) struct Sources<'a>(Vec<&'a Opened>);

/// A copy of a file.
struct Copy<'a> {
    opened: &'a Opened,
    key: ObjectKey,
}

/// What a small file has to be.
pub(super) enum Expected<'a> {
    /// A file of which the manifest has the digest.
    File(WholeFile<'a>),
    /// A document of which this says what is wrong with it.
    Document(&'a (dyn Fn(&str, &Bytes) -> Result<(), BackupError> + Sync)),
}

impl Expected<'_> {
    /// Reads it.
    ///
    /// # Errors
    /// [`Class::Corrupt`] where it isn't what it has to be.
    pub(super) async fn read(
        &self,
        opened: &Opened,
        key: &ObjectKey,
    ) -> Result<Bytes, BackupError> {
        let sink = opened.sink.as_ref();
        match self {
            Expected::File(file) => file.read_at(sink, key).await,
            Expected::Document(judge) => {
                let bytes = read_whole(sink, key).await?;
                judge(&located(sink, key), &bytes)?;
                Ok(bytes)
            }
        }
    }
}

impl Expected<'_> {
    /// What stands there. It is damaged where it is so twice: what the way to a store damages isn't.
    pub(super) async fn look(&self, at: &Opened, key: &ObjectKey) -> Result<Found, BackupError> {
        match self.read(at, key).await {
            Err(error) if error.class() == Class::Corrupt => {
                at.sink.drop_cached(key).await?;
                Found::of(self.read(at, key).await)
            }
            read => Found::of(read),
        }
    }
}

/// A search for the right bytes of one file.
struct Search<'a> {
    key: &'a ObjectKey,
    /// The first that gave no answer, or has its copy in an archive: it may have them.
    unknown: Option<BackupError>,
}

impl<'a> Search<'a> {
    fn of(key: &'a ObjectKey) -> Self {
        Search { key, unknown: None }
    }

    fn take<T>(&mut self, found: Result<T, BackupError>) -> Option<T> {
        found.map_err(|error| self.failed(error)).ok()
    }

    fn failed(&mut self, error: BackupError) {
        if !matches!(error.class(), Class::Corrupt | Class::NotFound) {
            self.unknown.get_or_insert(error);
        }
    }

    fn in_vain(self, piece: Option<&Piece>) -> BackupError {
        if let Some(unknown) = self.unknown {
            return unknown;
        }
        let what = match piece.map(|piece| piece.chunk) {
            None => "it".to_owned(),
            Some(None) => "what stands around its chunks".to_owned(),
            Some(Some(chunk)) => format!("its chunk {chunk}"),
        };
        let message = format!("no destination that was named has {what} right");
        BackupError::corrupt(self.key, message)
            .suggest("name a further destination that has the backup; `teeline restore` says what can still be had")
    }
}

impl<'a> Sources<'a> {
    pub(super) fn new(opened: impl IntoIterator<Item = &'a Opened>) -> Self {
        Sources(opened.into_iter().collect())
    }

    /// Each destination.
    pub(super) fn destinations(&self) -> &[&'a Opened] {
        &self.0
    }

    /// The right bytes of a small file.
    ///
    /// # Errors
    /// Why a destination gave no answer, if one didn't; or else that nobody has them.
    pub(super) async fn whole(
        &self,
        key: &ObjectKey,
        expected: &Expected<'_>,
    ) -> Result<Bytes, BackupError> {
        let mut search = Search::of(key);
        for copy in self.in_place(key) {
            if let Some(bytes) = search.take(expected.read(copy.opened, &copy.key).await) {
                return Ok(bytes);
            }
        }
        for copy in self.moved_away(key, &mut search).await {
            if let Some(bytes) = search.take(expected.read(copy.opened, &copy.key).await) {
                return Ok(bytes);
            }
        }
        Err(search.in_vain(None))
    }

    /// Writes a data file, each piece of it from whoever has that right.
    ///
    /// # Errors
    /// Those of the upload; and where a piece isn't to be had, as of [`Sources::whole`].
    pub(super) async fn write(
        &self,
        key: &ObjectKey,
        index: &Index,
        upload: &mut dyn Upload,
    ) -> Result<(), BackupError> {
        let reading = self
            .0
            .first()
            .map(|opened| opened.sink.capabilities().reading);
        for (range, pieces) in index.piece_windows(reading.map_or(0, |reading| reading.bytes)) {
            for bytes in self.window(key, range, &pieces).await? {
                upload.write(bytes).await?;
            }
        }
        Ok(())
    }

    /// Pieces that follow each other: from the destination that has most of them right, and the rest one by one.
    async fn window(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        pieces: &[Piece],
    ) -> Result<Vec<Bytes>, BackupError> {
        let mut found: Vec<Option<Bytes>> = vec![None; pieces.len()];
        let mut search = Search::of(key);
        let mut asked = false;
        let mut copies = self.in_place(key);
        loop {
            for copy in copies {
                match copy.opened.sink.read(&copy.key, range.clone()).await {
                    Ok(bytes) => fill(&mut found, pieces, bytes),
                    // One that is too short may have some of it.
                    Err(error) if error.class() == Class::Corrupt => {
                        fill_singly(&mut found, pieces, &copy, range.start).await;
                    }
                    Err(error) => search.failed(error),
                }
                if found.iter().all(Option::is_some) {
                    return Ok(found.into_iter().flatten().collect());
                }
            }
            if std::mem::replace(&mut asked, true) {
                let lacking = found.iter().zip(pieces).find(|(bytes, _)| bytes.is_none());
                return Err(search.in_vain(lacking.map(|(_, piece)| piece)));
            }
            copies = self.moved_away(key, &mut search).await;
        }
    }

    fn in_place(&self, key: &ObjectKey) -> Vec<Copy<'a>> {
        let copies = self.0.iter().map(|opened| Copy {
            opened,
            key: key.clone(),
        });
        copies.collect()
    }

    async fn moved_away(&self, key: &ObjectKey, search: &mut Search<'_>) -> Vec<Copy<'a>> {
        let mut copies = Vec::new();
        let Ok(folder) = layout::damaged_of(key) else {
            return copies;
        };
        for opened in &self.0 {
            let listed: Result<Vec<ObjectMeta>, BackupError> =
                opened.sink.list(Some(&folder)).try_collect().await;
            let listed = search.take(listed).into_iter().flatten();
            let kept = listed.map(|object| Copy {
                opened,
                key: object.key,
            });
            copies.extend(kept);
        }
        copies
    }
}

fn is_right(bytes: &Bytes, piece: &Piece) -> bool {
    bytes.len() as u64 == piece.stored && Digest::of(bytes) == piece.blake3
}

/// Takes the pieces that are right of those that were not found yet.
fn fill(found: &mut [Option<Bytes>], pieces: &[Piece], mut bytes: Bytes) {
    for (found, piece) in found.iter_mut().zip(pieces) {
        let stored = usize::try_from(piece.stored).unwrap_or(usize::MAX);
        let taken = bytes.split_to(stored.min(bytes.len()));
        if found.is_none() && is_right(&taken, piece) {
            *found = Some(taken);
        }
    }
}

/// The same, each read by itself.
async fn fill_singly(found: &mut [Option<Bytes>], pieces: &[Piece], copy: &Copy<'_>, start: u64) {
    let mut begin = start;
    for (found, piece) in found.iter_mut().zip(pieces) {
        let range = begin..begin + piece.stored;
        begin = range.end;
        if found.is_none() {
            let read = copy.opened.sink.read(&copy.key, range).await.ok();
            *found = read.filter(|bytes| is_right(bytes, piece));
        }
    }
}
