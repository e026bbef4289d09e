//! What of each backup of a chain stands, once the others are laid over it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use teeline_core::chain::{KnownLine, LineDigest};
use teeline_core::{BackupError, DELETED_NAME, SourceKind, layout};
use teeline_sources::s3db::{LaterLinks, Overlay, said};

use super::Chain;
use crate::copies::Copies;
use crate::plain::plain;

/// A backup of a chain.
pub(crate) struct Stage {
    pub(crate) copies: Arc<Copies>,
    /// What of it stands, where that isn't all.
    pub(crate) overlay: Option<Arc<Overlay>>,
}

/// The backups of a chain, the full one first, and what is laid over them.
pub(crate) struct Stages {
    pub(crate) stages: Vec<Stage>,
    /// The database's own `s3db.json` as the last one has it, where the source was a database.
    pub(crate) database_catalogue: Option<Bytes>,
    /// How many of which lines of a resource are gone, where the source was of JSON lines.
    pub(crate) gone: HashMap<String, HashMap<LineDigest, u64>>,
}

impl Chain {
    /// The backups, each with what is laid over it.
    pub(crate) async fn stages(&self) -> Result<Stages, BackupError> {
        if self.manifest().source.kind == SourceKind::Jsonl {
            return self.stages_of_lines().await;
        }
        let (last, beneath) = self.backups.split_last().expect("a chain has a backup");
        let catalogue = database_catalogue(last).await?;
        let overlay = match last.manifest.settled {
            Some(_) => Some(own_overlay(last, catalogue.clone()).await?),
            None => None,
        };
        let newest = match &overlay {
            Some(overlay) => Some(overlay.catalogue().clone()),
            None => catalogue,
        };
        let mut stages = Vec::new();
        if !beneath.is_empty() {
            let links = Arc::new(self.later_links().await?);
            for (number, copies) in (0..).zip(beneath) {
                let newest = newest.clone().ok_or_else(|| no_catalogue(last))?;
                let catalogue = database_catalogue(copies).await?;
                let overlay = own_overlay(copies, catalogue).await?;
                let overlay = overlay.beneath(Arc::clone(&links), number, newest)?;
                stages.push(Stage {
                    copies: Arc::clone(copies),
                    overlay: Some(Arc::new(overlay)),
                });
            }
        }
        stages.push(Stage {
            copies: Arc::clone(last),
            overlay: overlay.map(Arc::new),
        });
        Ok(Stages {
            stages,
            database_catalogue: newest,
            gone: HashMap::new(),
        })
    }

    /// Lines have no keys: of those that are gone so many of the same are left out, the first ones.
    async fn stages_of_lines(&self) -> Result<Stages, BackupError> {
        let mut gone: HashMap<String, HashMap<LineDigest, u64>> = HashMap::new();
        for copies in &self.backups {
            let Some(deleted) = &copies.manifest.deleted else {
                continue;
            };
            let mut chunks = plain(copies, deleted);
            while let Some(lines) = chunks.try_next().await? {
                for known in KnownLine::decode_all(DELETED_NAME, &lines)? {
                    let of_resource = gone.entry(known.resource).or_default();
                    *of_resource.entry(known.line).or_default() += known.times;
                }
            }
        }
        let stage = |copies: &Arc<Copies>| Stage {
            copies: Arc::clone(copies),
            overlay: None,
        };
        Ok(Stages {
            stages: self.backups.iter().map(stage).collect(),
            database_catalogue: database_catalogue(self.last()).await?,
            gone,
        })
    }

    /// Which objects the links are about.
    async fn later_links(&self) -> Result<LaterLinks, BackupError> {
        let mut links = LaterLinks::default();
        for (number, copies) in (0..).zip(&self.backups).skip(1) {
            let manifest = &copies.manifest;
            for resource in manifest.resources.iter().chain(&manifest.objects) {
                for segment in &resource.segments {
                    for row in copies.rows(&resource.name, segment).await? {
                        links.note(&row.key, number);
                    }
                }
            }
            for changes in manifest.deleted.iter().chain(&manifest.settled) {
                let mut chunks = plain(copies, changes);
                while let Some(lines) = chunks.try_next().await? {
                    for said in said(&lines)? {
                        links.note(&said.key, number);
                    }
                }
            }
        }
        Ok(links)
    }
}

/// What had changed when a backup was read again, to be laid over it.
async fn own_overlay(
    copies: &Arc<Copies>,
    catalogue: Option<Bytes>,
) -> Result<Overlay, BackupError> {
    let mut overlay = Overlay::new(catalogue.ok_or_else(|| no_catalogue(copies))?)?;
    if let Some(settled) = &copies.manifest.settled {
        let mut chunks = plain(copies, settled);
        while let Some(lines) = chunks.try_next().await? {
            overlay.read(&lines)?;
        }
    }
    Ok(overlay)
}

/// The database's own `s3db.json`, where the source was a database.
async fn database_catalogue(copies: &Copies) -> Result<Option<Bytes>, BackupError> {
    let mut attachments = copies.manifest.attachments.iter();
    let name = copies.manifest.plan.stored_name(layout::DATABASE_CATALOGUE);
    match attachments.find(|file| file.file == name) {
        Some(entry) => copies.attachment(entry).await.map(Some),
        None => Ok(None),
    }
}

fn no_catalogue(copies: &Copies) -> BackupError {
    let message = "it lacks the database's s3db.json";
    BackupError::corrupt(&copies.manifest.id, message)
}
