//! The resources of a backup: what its manifest, its description and its files name, brought together.

use std::collections::{HashMap, HashSet};

use teeline_sources::s3db::plugin_archive::{
    ArchivedFile, ExportedResource, Lines, PluginArchive, PluginManifest,
};

use super::report::InspectedResourceState;

/// What files of records end in; the plugin always packs them.
const DATA_ENDS: [&str; 2] = [".jsonl.gz", ".jsonl"];

/// A resource, with all that there is of it.
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    /// What the archive says of it.
    pub(super) exported: Option<&'a ExportedResource>,
    /// Its records.
    pub(super) file: Option<&'a ArchivedFile>,
}

impl Named<'_> {
    /// Records that were exported, as the archive says.
    pub(super) fn record_count(&self) -> Option<u64> {
        self.exported?.record_count
    }

    pub(super) fn recoverable_records(&self) -> u64 {
        self.lines().map_or(0, |lines| lines.records)
    }

    /// Its lines, where its file could be read to the end.
    pub(super) fn lines(&self) -> Option<&Lines> {
        self.file?.content.lines.as_ref().ok()
    }

    pub(super) fn state(&self) -> InspectedResourceState {
        let Some(file) = self.file else {
            return InspectedResourceState::Absent;
        };
        match &file.content.lines {
            Ok(lines)
                if lines.others == 0
                    && self
                        .record_count()
                        .is_none_or(|count| count == lines.records) =>
            {
                InspectedResourceState::Ok
            }
            Err(_) if file.content.replaced > 0 => InspectedResourceState::Destroyed,
            Ok(_) | Err(_) => InspectedResourceState::Damaged,
        }
    }
}

/// The resources in the order of the description, then those that only files or the manifest name.
pub(super) fn resources<'a>(
    manifest: Option<&'a PluginManifest>,
    archive: Option<&'a PluginArchive>,
) -> Vec<Named<'a>> {
    let archived = archive.map_or(&[][..], |archive| &archive.files);
    let files: HashMap<&str, &ArchivedFile> = archived
        .iter()
        .map(|file| (file.name.as_str(), file))
        .collect();
    let export = archive.and_then(|archive| archive.export.as_ref()?.as_ref().ok());
    let exported = export.map_or(&[][..], |export| &export.resources);
    let exported = exported
        .iter()
        .map(|exported| (exported.name.as_str(), Some(exported)));
    let of_files = archived.iter().filter_map(|file| data_name(&file.name));
    let of_manifest = manifest.map_or(&[][..], |manifest| &manifest.resources);
    let others = of_files.chain(of_manifest.iter().map(String::as_str));

    let mut seen = HashSet::new();
    exported
        .chain(others.map(|name| (name, None)))
        .filter(|(name, _)| seen.insert(*name))
        .map(|(name, exported)| {
            let own = exported.and_then(|exported| files.get(exported.export_file.as_deref()?));
            let usual = || {
                DATA_ENDS
                    .iter()
                    .find_map(|ends| files.get(&*format!("{name}{ends}")))
            };
            Named {
                name,
                exported,
                file: own.or_else(usual).copied(),
            }
        })
        .collect()
}

/// The resource whose records a file has, by its name.
fn data_name(file: &str) -> Option<&str> {
    DATA_ENDS.iter().find_map(|ends| file.strip_suffix(ends))
}
