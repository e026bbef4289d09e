//! A local index that is whole, and what it says.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use teeline_actors::Blocking;
use teeline_core::chain::{Base, KnownLine};
use teeline_core::seal::{KeySecret, Recipient, Sealer};
use teeline_core::{BackupError, BackupId, BackupRef, Manifest, SourceKind};

use super::LocalIndex;
use super::chunks::Chunks;
use super::draft::failed;
use super::header::{Header, IndexedSource};
use super::line;
use crate::engine::Engine;

/// What this host keeps of a backup and its chain. Every part of it was opened once, in its place.
#[derive(Clone)]
pub(crate) struct OpenIndex {
    path: Arc<Path>,
    header: Arc<Header>,
    sealer: Sealer,
    /// Kept open: whoever keeps the newest ones only may remove it meanwhile.
    file: Arc<Mutex<File>>,
    /// Where the header ends.
    begin: u64,
    blocking: Blocking,
}

impl OpenIndex {
    /// The local index of a backup; none where there isn't any.
    ///
    /// # Errors
    /// Where it can't be read or opened, is damaged, or is of another backup. They name the file.
    pub(crate) async fn open(
        engine: &Engine,
        local: &LocalIndex,
        id: &BackupId,
    ) -> Result<Option<Self>, BackupError> {
        let path: Arc<Path> = local.file(id).into();
        let blocking = engine.0.blocking();
        let opening = Arc::clone(&path);
        let opened = blocking.run("a local index", move || match File::open(&opening) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &opening, &error)),
        });
        let Some(file) = opened.await?? else {
            return Ok(None);
        };
        let secret = local.secret().await?;
        let id = id.clone();
        let check = move || Self::check(path, file, &id, &secret, blocking);
        blocking.run("a local index", check).await?.map(Some)
    }

    /// As [`OpenIndex::open`], of a file that is open.
    pub(super) fn check(
        path: Arc<Path>,
        file: File,
        id: &BackupId,
        secret: &KeySecret,
        blocking: Blocking,
    ) -> Result<Self, BackupError> {
        let (header, bytes) = Header::read(&path, BufReader::new(&file))?;
        let sealer = header.unlock(&path, id, &bytes, secret)?;
        let opened = OpenIndex {
            path,
            header: Arc::new(header),
            sealer,
            file: Arc::new(Mutex::new(file)),
            begin: bytes.len() as u64,
            blocking,
        };
        opened.chunks().check()?;
        Ok(opened)
    }

    /// The backup itself.
    pub(crate) fn reference(&self) -> BackupRef {
        self.header.backup().clone()
    }

    /// What it takes to restore the backup: the full one first, itself last.
    pub(crate) fn references(&self) -> Vec<BackupRef> {
        self.header.chain.clone()
    }

    /// That it is of what the backup's manifest says.
    ///
    /// # Errors
    /// Where it is of another source.
    pub(crate) fn check_source(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let is_same = self.header.source == IndexedSource::of(manifest)
            && self.header.server_time == manifest.source.server_time;
        match is_same {
            true => Ok(()),
            false => Err(BackupError::corrupt(
                self.path.display(),
                "it is of another source than the backup",
            )),
        }
    }

    /// Whether each of these recipients with a public key can open the chain; otherwise nobody might who is meant to.
    pub(crate) fn is_for(&self, recipients: &[Recipient]) -> bool {
        public_keys(recipients).all(|public| self.header.recipients.contains(&public))
    }

    /// What the chain says, for a scan.
    pub(crate) fn base(&self) -> Base {
        let chunks = self.lines();
        let subject = self.path.display().to_string();
        if self.header.source.kind == SourceKind::Jsonl {
            let known = chunks.map(move |lines| KnownLine::decode_all(&subject, &lines?));
            return Base {
                server_time: None,
                since: None,
                backups: Vec::new(),
                lines: Some(each(known)),
            };
        }
        let items = chunks.map(move |lines| line::decode_all(&subject, &lines?));
        Base {
            server_time: self.header.server_time,
            since: None,
            backups: vec![each(items)],
            lines: None,
        }
    }

    fn chunks(&self) -> Chunks {
        Chunks::new(&self.path, &self.file, self.begin, &self.sealer)
    }

    /// Chunk by chunk.
    fn lines(&self) -> BoxStream<'static, Result<Bytes, BackupError>> {
        let blocking = self.blocking;
        stream::try_unfold(self.chunks(), move |mut chunks| async move {
            let read = move || chunks.next().map(|lines| Some((lines?, chunks)));
            blocking.run("a local index", read).await?
        })
        .boxed()
    }
}

/// The public keys among recipients.
pub(super) fn public_keys(
    recipients: &[Recipient],
) -> impl Iterator<Item = teeline_core::seal::X25519Public> {
    recipients.iter().filter_map(|recipient| match recipient {
        Recipient::X25519(public) => Some(*public),
        Recipient::Passphrase { .. } | Recipient::Key(_) => None,
    })
}

fn each<T: Send + 'static>(
    chunks: impl futures::Stream<Item = Result<Vec<T>, BackupError>> + Send + 'static,
) -> BoxStream<'static, Result<T, BackupError>> {
    let items = chunks.map_ok(|items| stream::iter(items.into_iter().map(Ok)));
    items.try_flatten().boxed()
}
