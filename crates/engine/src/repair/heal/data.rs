//! The healing of a data file, and of its index.

use teeline_actors::compare_pieces;
use teeline_core::{BackupError, Class, Index, ObjectKey, ResourceEntry, SegmentEntry};

use super::copy::{Found, Healing};
use super::sources::Expected;
use crate::check::{Check, check_index};
use crate::files::{WholeFile, file_of};
use crate::open::Opened;
use crate::set_aside::{Kept, set_aside};

impl Healing<'_> {
    /// A data file and its index, which is written after it, as in a backup.
    pub(super) async fn segment(
        &mut self,
        resource: &ResourceEntry,
        segment: &SegmentEntry,
    ) -> Result<(), BackupError> {
        let name = Some(resource.name.as_str());
        let expected = Expected::File(WholeFile::index(segment));
        let key = file_of(self.path, &segment.index)?;
        let found = expected.look(self.to, &key).await?;
        let content = match &found {
            Found::Right(bytes) => Ok(bytes.clone()),
            Found::Missing | Found::Damaged => self.sources.whole(&key, &expected).await,
        };
        let content = match content {
            Ok(content) => content,
            Err(error) => return self.in_vain(&key, name, error),
        };
        let parsed = Index::parse(&segment.index, &content);
        let index = parsed.and_then(|index| {
            check_index(&self.sealed.manifest, segment, &index)?;
            Ok(index)
        });
        match index {
            Ok(index) => self.data(resource, segment, &index).await?,
            Err(error) => return self.in_vain(&key, name, error),
        }
        match found {
            Found::Right(bytes) => {
                self.bytes += bytes.len() as u64;
                Ok(())
            }
            Found::Missing | Found::Damaged => self.write(&key, &found, content).await,
        }
    }

    async fn data(
        &mut self,
        resource: &ResourceEntry,
        segment: &SegmentEntry,
        index: &Index,
    ) -> Result<(), BackupError> {
        let key = file_of(self.path, &segment.file)?;
        let mut check = Check::new(self.to);
        let mut looked = check.pieces(self.path, resource, segment, index).await;
        if looked.is_ok() && !check.damage.is_empty() {
            // What the way to a store damages isn't damaged.
            check = Check::new(self.to);
            looked = check.pieces(self.path, resource, segment, index).await;
        }
        let found = match looked {
            Ok(()) if check.damage.is_empty() => {
                self.bytes += check.bytes;
                return Ok(());
            }
            Err(error) if error.class() == Class::Archived => {
                self.attested_files += 1;
                return Ok(());
            }
            Ok(()) => Found::Damaged,
            Err(error) => Found::of_error(error)?,
        };
        match self.rewrite(&key, segment, index, &found).await? {
            // It is named by the chunks that are wrong, where these are known.
            Some(_) if !check.damage.is_empty() => self.damage.append(&mut check.damage),
            Some(error) => self.found(&key, Some(&resource.name), &error),
            None => self.compare(resource, segment, index).await?,
        }
        Ok(())
    }

    /// Writes a data file again; or says what nobody has of it. All of it is written before anything is moved.
    async fn rewrite(
        &mut self,
        key: &ObjectKey,
        segment: &SegmentEntry,
        index: &Index,
        found: &Found,
    ) -> Result<Option<BackupError>, BackupError> {
        let sink = self.to.sink.as_ref();
        let mut upload = sink.begin(key, segment.stored_bytes).await?;
        let written = self.sources.write(key, index, upload.as_mut()).await;
        let replaced = match written {
            Err(error) => Err(error),
            Ok(()) => {
                async {
                    let moved_to = match found {
                        Found::Damaged => {
                            let is_right = async |kept: &Kept| {
                                is_whole(self.to, &kept.key, segment, index).await
                            };
                            Some(set_aside(self.to, key, is_right).await?)
                        }
                        Found::Missing | Found::Right(_) => None,
                    };
                    self.writing(key);
                    upload.commit().await?;
                    Ok(moved_to)
                }
                .await
            }
        };
        match replaced {
            Ok(moved_to) => {
                self.mended(key, found.wrong(), moved_to);
                Ok(None)
            }
            Err(error) => {
                // Why it failed says more than why nothing could be freed.
                let _ = upload.abort().await;
                match error.class() {
                    Class::Corrupt => Ok(Some(error)),
                    _ => Err(error),
                }
            }
        }
    }

    /// Compares what was written with the index.
    async fn compare(
        &mut self,
        resource: &ResourceEntry,
        segment: &SegmentEntry,
        index: &Index,
    ) -> Result<(), BackupError> {
        let mut check = Check::new(self.to);
        match self.to.sink.capabilities().read_back.has_data() {
            true => check.pieces(self.path, resource, segment, index).await?,
            false => {
                check.size_only(self.path, segment).await?;
                self.attested_files += 1;
            }
        }
        self.bytes += check.bytes;
        self.damage.append(&mut check.damage);
        Ok(())
    }
}

/// Whether each piece of a data file is right.
async fn is_whole(
    opened: &Opened,
    key: &ObjectKey,
    segment: &SegmentEntry,
    index: &Index,
) -> Result<bool, BackupError> {
    if !opened.sink.capabilities().read_back.has_data()
        || opened.sink.head(key).await?.bytes != segment.stored_bytes
    {
        return Ok(false);
    }
    let mut is_whole = true;
    compare_pieces(&opened.sink, key, index, |_, is_equal| is_whole &= is_equal).await?;
    Ok(is_whole)
}
