//! What whoever comes next does in a world, after which nothing is left that isn't a backup's.

use std::collections::BTreeSet;

use serde_json::Value;
use teeline::BackupId;

use super::{KEYS, World, words};
use crate::{Scenario, Wrong};

/// What isn't of one backup, at a destination.
const KEPT: [&str; 5] = ["teeline.json", "catalog", "runs", "schedules", "probes"];

impl World {
    /// Goes on after a kill, as whoever comes next would: with the same command again, another backup and a cleanup, after
    /// which nothing is left that isn't a backup's.
    pub(crate) fn go_on(&mut self, scenario: &Scenario) -> Result<(), Wrong> {
        self.check()?;
        (scenario.aftermath)(self)?;
        let ran = self.run(&(scenario.arguments)(self), scenario.again)?;
        (scenario.done)(self, &ran)?;
        self.check()?;
        let last = self.back_up(&["full"])?;
        self.check()?;
        self.tidy(&last)
    }

    /// Cleans up all but that one, after which nothing is left that isn't a backup's.
    pub(crate) fn tidy(&mut self, last: &BackupId) -> Result<(), Wrong> {
        let mut cleanup = words(&["cleanup", "--keep-count", "1"]);
        cleanup.extend(words(&["--grace", "0s", "--dead-after", "0s", "--json"]));
        cleanup.extend(self.places("--at"));
        let cleaned = self.run(&cleanup, &[0, 3, 13])?;
        self.needed.retain(|id, _| id == last);
        for folder in self
            .unlisted()?
            .iter()
            .filter(|name| name.parse::<BackupId>().is_ok())
        {
            self.settle(folder).map_err(|wrong| {
                format!("{wrong}\nafter a cleanup that said {}", cleaned.report)
            })?;
        }
        self.check()?;
        let left = self.unlisted()?;
        let uploads = self
            .served
            .as_ref()
            .map(|served| served.unfinished_uploads());
        match (left.is_empty(), uploads.transpose()?.unwrap_or(0)) {
            (true, 0) => Ok(()),
            (_, uploads) => Err(format!(
                "{left:?} and {uploads} uploads are left after {}",
                cleaned.report
            )),
        }
    }

    /// What may have lost its manifest is left by a cleanup, and can be made a backup of: but for a link that was never published,
    /// and whose parent was deleted since, or isn't everywhere, which can be deleted as well.
    fn settle(&self, folder: &str) -> Result<(), Wrong> {
        let mut repair = words(&["repair", folder, "--rebuild-manifest", "--json"]);
        // Of a sealed one, the manifest is authenticated with its key.
        for key in KEYS {
            repair.extend(words(&["--key-file", key]));
        }
        repair.extend(self.places("--at"));
        let repaired = self.run(&repair, &[0, 1, 3])?;
        if repaired.code != Some(1) {
            return Ok(());
        }
        let lacks_parent = "without which it can't be restored, isn't there";
        let runs = repaired.report["runs"].as_array().into_iter().flatten();
        let places = runs.flat_map(|run| run["destinations"].as_array().into_iter().flatten());
        let is_explained = |place: &Value| {
            let message = place["error"]["message"].as_str().unwrap_or_default();
            let status = place["status"].as_str().unwrap_or_default();
            matches!(status, "absent" | "reconstructed" | "copied")
                || message.contains(lacks_parent)
        };
        if !places.clone().all(is_explained) {
            return Err(format!("{repair:?} ended with {repaired:?}"));
        }
        let mut delete = words(&["delete", folder, "--json"]);
        delete.extend(words(&["--grace", "0s", "--dead-after", "0s"]));
        delete.extend(self.places("--at"));
        self.run(&delete, &[0]).map(drop)
    }

    /// Folders and temporary files in destinations that belong to no backup that is listed.
    pub(crate) fn unlisted(&self) -> Result<BTreeSet<String>, Wrong> {
        let listed = self.check()?;
        let mut left = BTreeSet::new();
        for (place, listed) in self.destinations.iter().zip(listed) {
            for name in self.stored(place)? {
                let top = name.split('/').next().unwrap_or_default();
                let is_listed = top.parse().is_ok_and(|id: BackupId| listed.contains(&id));
                let is_kept = match top {
                    // What it was tried with goes.
                    "probes" => !name.contains("/objects-"),
                    // The look at what is listed leaves word of that.
                    "verifications" => listed.iter().any(|id| name.contains(id.as_str())),
                    _ => KEPT.contains(&top),
                };
                if name.contains(".tmp-") || !(is_listed || is_kept) {
                    left.insert(top.to_owned());
                }
            }
        }
        Ok(left)
    }
}
