//! Deleting what isn't in the backup.

use teeline_core::{BackupError, Digest};

use super::super::walk::{PARTITION, is_left_out, record_of_entry, resource_prefix};
use super::super::write::{RestoreMode, Situation};
use super::WriteBack;

impl WriteBack {
    /// Deletes what isn't in the backup: where the restore replaces what is there all of it, else the entries of partitions
    /// that are of restored records, unless the backup may lack some of those that they had.
    pub(super) async fn sweep(&mut self) -> Result<(), BackupError> {
        let Some(restored) = self.restored.take() else {
            return Ok(());
        };
        let replaces = self.writer.situation == Situation::Filled(RestoreMode::Replace);
        let is_restored = |key: &str| restored.contains(&Digest::of(key.as_bytes()));
        for prefix in self.swept_prefixes().await? {
            let mut listing = self.writer.bucket.list(&prefix);
            while let Some(page) = listing.next().await? {
                for listed in page.objects {
                    let goes = replaces
                        || record_of_entry(&listed.key).is_some_and(|record| is_restored(&record));
                    if !goes || is_restored(&listed.key) || is_left_out(&listed.key) {
                        continue;
                    }
                    self.counts_of(&listed.key).deleted += 1;
                    if !self.writer.dry_run {
                        let bucket = self.writer.bucket.clone();
                        self.push(0, async move {
                            bucket.delete(&listed.key).await?;
                            Ok(None)
                        })
                        .await?;
                    }
                }
            }
        }
        self.drain().await
    }

    /// What the keys begin with of which nothing stays but what was restored, where the restore replaces them: the resources;
    /// where that is all there was, also others and plugins. What isn't s3db.js's own stays. Otherwise, the keys of the
    /// resources' partitions, where the backup has all records and so all entries: one that is left points at a record that has
    /// moved on, which s3db.js puts up with, and one that is lost hides its record.
    async fn swept_prefixes(&self) -> Result<Vec<String>, BackupError> {
        let names = self.new_names.values();
        if self.writer.situation != Situation::Filled(RestoreMode::Replace) {
            let whole = names.filter(|name| !self.in_part.contains(*name));
            let partitions = whole.map(|name| resource_prefix(name) + PARTITION);
            return Ok(partitions.collect());
        }
        if !self.is_all_there_was {
            return Ok(names.map(|name| resource_prefix(name)).collect());
        }
        let mut folders = Vec::new();
        let mut listing = self.writer.bucket.list_folder("");
        while let Some(page) = listing.next().await? {
            folders.extend(page.folders);
        }
        let is_its_own =
            |folder: &String| folder.starts_with("resource=") || folder.starts_with("plugin=");
        folders.retain(is_its_own);
        Ok(folders)
    }
}
