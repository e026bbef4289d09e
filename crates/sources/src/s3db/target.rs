//! A place in a bucket as the target of a restore.
//!
//! What was restored before it broke off is known again: a restore into an empty place leaves a marker there first, and
//! takes it away last. Run again, it writes only what is missing.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};
use teeline_core::{
    BackupError, Class, Frame, ResourceKind, RestoreCounts, RestoreMarker, Restoring, SourceKind,
    Target, document, layout,
};

use super::bucket::Bucket;
use super::catalogue::Catalogue;
use super::connection::Connection;
use super::export::pretty;
use super::listing::PAGE_KEYS;
use super::merge::merged;
use super::object::RawObject;
use super::pace::CALLS_MAX;
use super::walk::{CATALOGUE, is_destination, is_vacant};
use super::write::{RestoreMode, Situation, Writer};
use super::write_back::WriteBack;

/// How a database is written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteBackOptions {
    /// Calls to the server at the same time, at the most: how many there are follows what it can take.
    pub calls_max: usize,
    /// What becomes of objects that are there already. Absent: there must be none.
    pub mode: Option<RestoreMode>,
}

impl Default for WriteBackOptions {
    fn default() -> Self {
        WriteBackOptions {
            calls_max: CALLS_MAX,
            mode: None,
        }
    }
}

/// What was found at the target.
#[derive(Debug)]
struct Found {
    situation: Situation,
    /// Of the restore that was broken off there.
    marker: Option<RestoreMarker>,
    /// What `s3db.json` is going to be.
    catalogue: Bytes,
}

/// A place in a bucket to restore a database to.
pub struct S3dbTarget {
    connection: Connection,
    options: WriteBackOptions,
    bucket: Option<Bucket>,
    write_back: Option<WriteBack>,
    /// Of a restore that has finished.
    finished: Option<WriteBack>,
}

impl S3dbTarget {
    /// The place at `connection`. Nothing is asked of the server yet.
    pub fn new(connection: Connection, options: WriteBackOptions) -> Self {
        S3dbTarget {
            connection,
            options,
            bucket: None,
            write_back: None,
            finished: None,
        }
    }

    async fn bucket(&mut self) -> Bucket {
        match &self.bucket {
            Some(bucket) => bucket.clone(),
            None => {
                let calls_max = self.options.calls_max;
                let bucket = Bucket::connect(&self.connection, calls_max, PAGE_KEYS).await;
                self.bucket = Some(bucket.clone());
                bucket
            }
        }
    }

    fn write_back(&mut self) -> Result<&mut WriteBack, BackupError> {
        let connection = &self.connection;
        self.write_back.as_mut().ok_or_else(|| {
            let message = "the restore wasn't begun";
            BackupError::new(Class::Permanent, "restore", connection, message)
        })
    }

    /// What is at the target, if a restore may go there.
    async fn look(
        &self,
        bucket: &Bucket,
        restoring: &Restoring,
        original: &Bytes,
    ) -> Result<Found, BackupError> {
        let (marker, situation) = match is_vacant(bucket).await? {
            true => (None, Situation::Empty),
            false => {
                let marker = self.marker(bucket).await?;
                let situation = match (&marker, self.options.mode) {
                    (_, Some(mode)) => Situation::Filled(mode),
                    (Some(found), None) if *found == marker_of(restoring) => Situation::BrokenOff,
                    (found, None) => return Err(self.taken(bucket, found.as_ref())),
                };
                (marker, situation)
            }
        };
        let catalogue = self
            .catalogue_bytes(bucket, situation, restoring, original)
            .await?;
        // The catalogue is written last: with it, all has been there, and what happened to it since is its owner's.
        let situation = match situation {
            Situation::BrokenOff => match bucket.read(CATALOGUE).await? {
                None => Situation::BrokenOff,
                Some((_, there)) if there == catalogue => Situation::Complete,
                Some(_) => return Err(self.taken(bucket, None)),
            },
            other => other,
        };
        Ok(Found {
            situation,
            marker,
            catalogue,
        })
    }

    async fn marker(&self, bucket: &Bucket) -> Result<Option<RestoreMarker>, BackupError> {
        let Some((_, bytes)) = bucket.read(layout::RESTORE_MARKER).await? else {
            return Ok(None);
        };
        let subject = bucket.describe(layout::RESTORE_MARKER);
        document::open(&subject, &bytes).map(Some)
    }

    /// Says that a restore goes on here, where nothing is, and what there is then: where the same is said already, be it by a call of this
    /// one's own of which the answer was lost, a part of it may be there.
    async fn mark(&self, bucket: &Bucket, restoring: &Restoring) -> Result<Situation, BackupError> {
        let wanted = marker_of(restoring);
        let object = RawObject {
            body: document::readable::<RestoreMarker>(
                layout::RESTORE_MARKER,
                document::seal(&wanted),
            )?,
            content_type: Some("application/json".to_owned()),
            ..RawObject::default()
        };
        if bucket.create(layout::RESTORE_MARKER, &object).await? {
            return Ok(Situation::Empty);
        }
        match self.marker(bucket).await? {
            Some(found) if found == wanted => Ok(Situation::BrokenOff),
            found => Err(self.taken(bucket, found.as_ref())),
        }
    }

    fn taken(&self, bucket: &Bucket, marker: Option<&RestoreMarker>) -> BackupError {
        let place = bucket.describe("");
        let (message, suggestion) = match marker {
            Some(marker) => (
                format!(
                    "{place} holds a part of another restore, of {}",
                    marker.backup
                ),
                "run that restore again to finish it, or empty the place",
            ),
            None => (
                format!("{place} is not empty; use --overwrite"),
                "restore to an empty prefix, or use --overwrite to replace what is there",
            ),
        };
        BackupError::new(Class::Conflict, "restore to", &self.connection, message)
            .suggest(suggestion)
    }

    /// What `s3db.json` is going to be.
    async fn catalogue_bytes(
        &self,
        bucket: &Bucket,
        situation: Situation,
        restoring: &Restoring,
        original: &Bytes,
    ) -> Result<Bytes, BackupError> {
        let replaced = situation == Situation::Filled(RestoreMode::Replace);
        let stays = matches!(situation, Situation::Filled(_)) && !replaced;
        let is_renamed = restoring.chosen().any(|(name, new)| name != new);
        let is_whole = match replaced {
            true => restoring.is_all_there_was(),
            false => restoring.is_everything(),
        };
        if is_whole && !is_renamed && !stays {
            return Ok(original.clone());
        }
        let there = match situation {
            Situation::Filled(_) => bucket.read(CATALOGUE).await?,
            Situation::Empty | Situation::BrokenOff | Situation::Complete => None,
        };
        let there = match there {
            Some((_, bytes)) => Some(members(&bytes, &bucket.describe(CATALOGUE))?),
            None => None,
        };
        let original = members(original, "the backup's s3db.json")?;
        let chosen = owned(restoring);
        Ok(pretty(&Value::Object(merged(
            original, there, &chosen, replaced,
        )?)))
    }
}

fn members(bytes: &[u8], subject: &str) -> Result<Map<String, Value>, BackupError> {
    serde_json::from_slice(bytes).map_err(|_| BackupError::corrupt(subject, "not a catalogue"))
}

fn owned(restoring: &Restoring) -> Vec<(String, String)> {
    let chosen = restoring.chosen();
    chosen
        .map(|(name, new)| (name.to_owned(), new.to_owned()))
        .collect()
}

fn marker_of(restoring: &Restoring) -> RestoreMarker {
    RestoreMarker {
        backup: restoring.backup.clone(),
        resources: owned(restoring),
        ids: restoring.ids.clone(),
    }
}

/// Masks the keys.
impl fmt::Display for S3dbTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}

impl fmt::Debug for S3dbTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3dbTarget")
            .field("connection", &self.connection)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Target for S3dbTarget {
    fn is_staged(&self) -> bool {
        false
    }

    fn compares(&self) -> bool {
        true
    }

    async fn check(&mut self, restoring: &Restoring) -> Result<(), BackupError> {
        if restoring.source != SourceKind::S3db {
            let message = "the backup is of JSON lines, which have no schema, so no database can be made of it";
            return Err(
                BackupError::usage(&self.connection, message).suggest("restore it to a folder")
            );
        }
        if self.options.mode == Some(RestoreMode::Replace) && restoring.ids.is_some() {
            let message = "replacing a resource deletes all records that aren't restored, so it doesn't go with single ids";
            return Err(BackupError::usage("mode replace", message)
                .suggest("use --mode merge for single records"));
        }
        let (original, _) = parse_catalogue(restoring)?;
        let bucket = self.bucket().await;
        if is_destination(&bucket, "").await? {
            let message =
                "it is a teeline destination; a database in it would be lost among the backups";
            return Err(BackupError::usage(&self.connection, message)
                .suggest("restore to another prefix or bucket"));
        }
        self.look(&bucket, restoring, &original).await.map(drop)
    }

    async fn begin(&mut self, restoring: &Restoring) -> Result<(), BackupError> {
        let (original, catalogue) = parse_catalogue(restoring)?;
        let bucket = self.bucket().await;
        // All of the backup was read since it was looked, and somebody may have come meanwhile.
        let Found {
            mut situation,
            marker,
            catalogue: catalogue_bytes,
        } = self.look(&bucket, restoring, &original).await?;
        // Whoever finishes this very restore takes its marker away, in whichever mode it is finished.
        let is_marked = situation == Situation::Empty || marker == Some(marker_of(restoring));
        if !restoring.dry_run {
            if situation == Situation::Empty {
                situation = self.mark(&bucket, restoring).await?;
            } else if marker.is_some() && !is_marked {
                // What that one has left is going to be a part of this database, and never again of an empty place.
                bucket.delete(layout::RESTORE_MARKER).await?;
            }
        }
        let writer = Writer {
            bucket,
            situation,
            dry_run: restoring.dry_run,
        };
        self.write_back = Some(WriteBack::new(
            writer,
            Arc::new(catalogue),
            catalogue_bytes,
            restoring,
            is_marked,
        ));
        Ok(())
    }

    async fn lines(&mut self, resource: &str, lines: Bytes) -> Result<(), BackupError> {
        self.write_back()?.lines(resource, &lines).await
    }

    async fn frames(&mut self, frames: Vec<Frame>) -> Result<(), BackupError> {
        self.write_back()?.frames(frames).await
    }

    async fn finish(&mut self) -> Result<(), BackupError> {
        self.write_back()?.finish().await?;
        self.finished = self.write_back.take();
        Ok(())
    }

    fn counts(&self, of: &ResourceKind) -> Option<RestoreCounts> {
        Some(self.finished.as_ref()?.counts(of))
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        match self.write_back.take() {
            Some(write_back) => write_back.abort().await,
            None => Ok(()),
        }
    }
}

fn parse_catalogue(restoring: &Restoring) -> Result<(Bytes, Catalogue), BackupError> {
    let bytes = restoring.database_catalogue.clone().ok_or_else(|| {
        BackupError::corrupt(&restoring.backup, "it lacks the database's s3db.json")
    })?;
    let catalogue = Catalogue::parse(&bytes)
        .map_err(|error| BackupError::corrupt("the backup's s3db.json", &error).because(error))?;
    Ok((bytes, catalogue))
}
