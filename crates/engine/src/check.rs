//! The check of one copy: every stored byte of it, against digests that lead to the manifest.

use bytes::Bytes;
use futures::TryStreamExt;
use teeline_actors::compare_pieces;
use teeline_core::seal::{SealEntry, SealedKey};
use teeline_core::{
    BackupError, CatalogEntry, Class, DestinationMarker, Digest, Index, Manifest, ObjectKey, Piece,
    ResourceEntry, RunClaim, SealedManifest, SegmentEntry, SegmentSums, layout,
};

use crate::catalog::{located, read_document, read_whole};
use crate::files::{WholeFile, file_of, named_files};
use crate::keys::{is_key_object, keys_of};
use crate::open::Opened;
use crate::report::Damage;
use crate::run_records;

/// The check of one copy, and what it has found so far.
pub(crate) struct Check<'a> {
    opened: &'a Opened,
    /// Bytes that were read and found right.
    pub(crate) bytes: u64,
    /// Data files that are archived, and so can't be read: their sizes are right.
    pub(crate) attested_files: u64,
    /// The bytes of these.
    pub(crate) attested_bytes: u64,
    /// What was wrong.
    pub(crate) damage: Vec<Damage>,
    /// What is in the backup's folder, and none of its files.
    pub(crate) extra: Vec<String>,
}

impl<'a> Check<'a> {
    /// A check at a destination, which has found nothing yet.
    pub(crate) fn new(opened: &'a Opened) -> Self {
        Check {
            opened,
            bytes: 0,
            attested_files: 0,
            attested_bytes: 0,
            damage: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// Notes damage.
    pub(crate) fn found(
        &mut self,
        file: &str,
        resource: Option<&str>,
        chunk: Option<u32>,
        error: &BackupError,
    ) {
        self.damage
            .push(damage(&self.opened.name, file, resource, chunk, error));
    }

    /// Checks every file of a backup that is listed.
    pub(crate) async fn listed(&mut self, entry: &CatalogEntry) {
        self.small_documents(entry).await;
        match read_manifest(self.opened, entry).await {
            Ok(sealed) => {
                self.bytes += sealed.bytes.len() as u64;
                self.named(&sealed.manifest, &entry.path).await;
                if let Err(error) = self.unnamed(&sealed.manifest, &entry.path).await {
                    self.found(&entry.path, None, None, &error);
                }
                if let Some(seal) = &sealed.manifest.plan.seal {
                    self.key_objects(entry, seal).await;
                }
            }
            Err(error) => {
                let file = format!("{}/{}", entry.path, layout::MANIFEST);
                self.found(&file, None, None, &error);
            }
        }
    }

    /// Checks every file that a manifest names, in the folder `path`.
    pub(crate) async fn named(&mut self, manifest: &Manifest, path: &str) {
        for attachment in &manifest.attachments {
            let file = WholeFile::attachment(attachment);
            match file.read(self.opened.sink.as_ref(), path).await {
                Ok(bytes) => self.bytes += bytes.len() as u64,
                Err(error) => self.found(&format!("{path}/{}", file.name), None, None, &error),
            }
        }
        for resource in manifest.all_resources() {
            for segment in &resource.segments {
                if let Err(error) = self.segment(manifest, path, resource, segment).await {
                    self.found(
                        &format!("{path}/{}", segment.file),
                        Some(&resource.name),
                        None,
                        &error,
                    );
                }
            }
        }
    }

    /// Looks for what is in the folder of a backup, and none of its files: nobody reads it, but somebody has put it there.
    async fn unnamed(&mut self, manifest: &Manifest, path: &str) -> Result<(), BackupError> {
        let files = named_files(manifest);
        let is_sealed = manifest.plan.seal.is_some();
        let folder = ObjectKey::new(path)?;
        let mut objects = self.opened.sink.list(Some(&folder));
        while let Some(object) = objects.try_next().await? {
            let key = &object.key;
            let is_named = match folder.join(key.file_name()) {
                Ok(of_folder) if of_folder == *key => {
                    let name = key.file_name();
                    let is_always = matches!(name, layout::MANIFEST | layout::RUN_CLAIM);
                    is_always || layout::resumption_number(name).is_some() || files.contains(name)
                }
                _ => is_sealed && is_key_object(path, key),
            };
            if !is_named {
                self.extra.push(key.to_string());
            }
        }
        Ok(())
    }

    /// The key objects of a sealed backup, which change, and so are in no manifest. They carry their own digests.
    async fn key_objects(&mut self, entry: &CatalogEntry, seal: &SealEntry) {
        let folder = format!("{}/{}", entry.path, layout::KEYS);
        match keys_of(self.opened.sink.as_ref(), &entry.id, &entry.path).await {
            Ok(keys) => {
                let is_anothers = |read: &Result<SealedKey, BackupError>| {
                    read.as_ref().is_ok_and(|object| object.key != seal.key)
                };
                if keys.iter().all(|(_, read)| is_anothers(read)) {
                    let message = "there is no key object of its key: nobody can open the backup with what is here";
                    let error = BackupError::corrupt(&self.opened.sink, message);
                    self.found(&folder, None, None, &error);
                }
                for (key, read) in keys {
                    if let Err(error) = read {
                        self.found(key.as_str(), None, None, &error);
                    }
                }
            }
            Err(error) => self.found(&folder, None, None, &error),
        }
    }

    /// The marker, the claim and the run records. They carry their own digests.
    async fn small_documents(&mut self, entry: &CatalogEntry) {
        let sink = self.opened.sink.as_ref();
        let claim = format!("{}/{}", entry.path, layout::RUN_CLAIM);
        let marker = async { read_document::<DestinationMarker>(sink, &layout::marker()?).await };
        if let Err(error) = marker.await
            && error.class() != Class::NotFound
        {
            self.found(layout::MARKER, None, None, &error);
        }
        let key = file_of(&entry.path, layout::RUN_CLAIM);
        let read = async { read_document::<RunClaim>(sink, &key?).await };
        if let Err(error) = read.await {
            self.found(&claim, None, None, &error);
        }
        match run_records::of(sink, &entry.id).await {
            Ok(records) => {
                for (key, record) in records {
                    if let Err(error) = record {
                        self.found(key.as_str(), None, None, &error);
                    }
                }
            }
            Err(error) => self.found(layout::RUNS, None, None, &error),
        }
    }

    /// Checks an index and every piece of its segment. The error is of the segment as a whole; what is wrong with a
    /// single piece, or with the index, is noted where it is found.
    async fn segment(
        &mut self,
        manifest: &Manifest,
        path: &str,
        resource: &ResourceEntry,
        segment: &SegmentEntry,
    ) -> Result<(), BackupError> {
        let file = WholeFile::index(segment);
        let index = match file.read(self.opened.sink.as_ref(), path).await {
            Ok(bytes) => {
                self.bytes += bytes.len() as u64;
                Index::parse(&segment.index, &bytes)?
            }
            Err(error) => {
                let name = format!("{path}/{}", file.name);
                self.found(&name, Some(&resource.name), None, &error);
                return self.size_only(path, segment).await;
            }
        };
        check_index(manifest, segment, &index)?;
        match self.pieces(path, resource, segment, &index).await {
            Err(error) if error.class() == Class::Archived => {
                self.attested_files += 1;
                self.attested_bytes += segment.stored_bytes;
                Ok(())
            }
            checked => checked,
        }
    }

    /// Checks the size of a segment, and each piece of it against an index that is known to be right. The error is of the
    /// segment as a whole.
    pub(crate) async fn pieces(
        &mut self,
        path: &str,
        resource: &ResourceEntry,
        segment: &SegmentEntry,
        index: &Index,
    ) -> Result<(), BackupError> {
        self.size_only(path, segment).await?;
        let key = file_of(path, &segment.file)?;
        let location = self.opened.sink.to_string();
        let (mut right, mut wrong) = (0, Vec::new());
        let compared =
            compare_pieces(
                &self.opened.sink,
                &key,
                index,
                |piece, is_equal| match is_equal {
                    true => right += piece.stored,
                    false => wrong.push(*piece),
                },
            )
            .await;
        self.bytes += right;
        for piece in wrong {
            let error = wrong_piece(&location, &key, &piece);
            self.found(key.as_str(), Some(&resource.name), piece.chunk, &error);
        }
        compared
    }

    /// Compares the size of a segment with what was written. That is told of what is archived as well: where it isn't, nothing is known of
    /// the segment, not even that it is there.
    pub(crate) async fn size_only(
        &self,
        path: &str,
        segment: &SegmentEntry,
    ) -> Result<(), BackupError> {
        let key = file_of(path, &segment.file)?;
        let subject = format!("{}: {key}", self.opened.sink);
        let found = match self.opened.sink.head(&key).await {
            Err(error) if error.class() == Class::Archived => {
                let message = format!("its size isn't told: {error}");
                return Err(BackupError::new(
                    Class::Permanent,
                    "look at",
                    subject,
                    message,
                ));
            }
            head => head?.bytes,
        };
        if found == segment.stored_bytes {
            return Ok(());
        }
        let message = format!(
            "{found} bytes are there, {} were written",
            segment.stored_bytes
        );
        Err(BackupError::corrupt(subject, message))
    }
}

/// The manifest that an entry leads to, compared with the entry.
pub(crate) async fn read_manifest(
    opened: &Opened,
    entry: &CatalogEntry,
) -> Result<SealedManifest, BackupError> {
    let sink = opened.sink.as_ref();
    let key = file_of(&entry.path, layout::MANIFEST)?;
    let sealed = SealedManifest::open(&located(sink, &key), read_whole(sink, &key).await?)?;
    if !entry.is(&sealed.entry(&entry.path)) {
        let message = "it isn't the manifest that the catalogue's entry is about";
        return Err(BackupError::corrupt(located(sink, &key), message));
    }
    Ok(sealed)
}

/// Whether an index, whose own digest was right, is the one that the manifest means.
pub(crate) fn check_index(
    manifest: &Manifest,
    segment: &SegmentEntry,
    index: &Index,
) -> Result<(), BackupError> {
    let sums = SegmentSums {
        chunks: segment.chunks,
        records: segment.records,
        stored: segment.stored_bytes,
        plain: segment.plain_bytes,
    };
    let fits = index.backup == manifest.id
        && index.seal == manifest.sealed_place(&segment.file)
        && index.file == segment.file
        && index.blake3 == segment.blake3
        && index.sums == sums;
    if fits {
        Ok(())
    } else {
        Err(BackupError::corrupt(
            &segment.index,
            "it is the index of another segment",
        ))
    }
}

/// Compares a piece of a data file with its digest.
pub(crate) fn check_piece(
    location: String,
    key: &ObjectKey,
    piece: &Piece,
    bytes: Bytes,
) -> Result<Bytes, BackupError> {
    if bytes.len() as u64 == piece.stored && Digest::of(&bytes) == piece.blake3 {
        Ok(bytes)
    } else {
        Err(wrong_piece(&location, key, piece))
    }
}

fn wrong_piece(location: &str, key: &ObjectKey, piece: &Piece) -> BackupError {
    let message = match piece.chunk {
        Some(_) => "a chunk's digest isn't the index's",
        None => {
            "what stands before its first chunk, or behind its last, isn't what was written: its chunks can be restored, but \
             other decoders don't read the file whole"
        }
    };
    BackupError::corrupt(format!("{location}: {key}"), message)
}

pub(crate) fn damage(
    destination: &str,
    file: &str,
    resource: Option<&str>,
    chunk: Option<u32>,
    error: &BackupError,
) -> Damage {
    Damage {
        destination: destination.to_owned(),
        file: file.to_owned(),
        resource: resource.map(str::to_owned),
        chunk,
        class: error.class(),
        message: error.to_string(),
    }
}
