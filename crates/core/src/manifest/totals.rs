//! Sums over what a manifest names.

use serde::{Deserialize, Serialize};

use super::Manifest;

/// Sums over a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Records of all resources, those of the parents that stand among them, as they are after what changed during the scan.
    pub records: u64,
    /// Objects that are no records, likewise.
    pub objects: u64,
    /// Records kept raw beside their document, of its own files.
    pub kept_raw: u64,
    /// Objects that were listed and gone when they were read.
    pub vanished: u64,
    /// Bytes of all data files, indexes and attachments; the manifest itself is not counted.
    pub stored_bytes: u64,
    /// Bytes of all data files after decoding.
    pub plain_bytes: u64,
}

impl Totals {
    /// The sums of what a manifest names.
    pub(super) fn of(manifest: &Manifest) -> Self {
        let all = || manifest.all_resources();
        let files = all().flat_map(|resource| &resource.segments);
        let indexes = files.map(|segment| segment.index_bytes);
        let attached = manifest
            .attachments
            .iter()
            .map(|attachment| attachment.bytes);
        let stored = all().map(|resource| resource.stored_bytes);
        let records = sum(manifest.resources.iter().map(|resource| resource.records));
        let objects = manifest
            .objects
            .as_ref()
            .map_or(0, |objects| objects.records);
        let settle = manifest.source.settle.as_ref();
        let unchanged = manifest.source.changes.unwrap_or_default();
        let records = records.saturating_add(unchanged.records.unchanged);
        let objects = objects.saturating_add(unchanged.objects.unchanged);
        Totals {
            records: settle.map_or(records, |settle| settle.records.after(records)),
            objects: settle.map_or(objects, |settle| settle.objects.after(objects)),
            kept_raw: sum(all().map(|resource| resource.kept_raw)),
            vanished: sum(all().map(|resource| resource.vanished)),
            stored_bytes: sum(stored.chain(indexes).chain(attached)),
            plain_bytes: sum(all().map(|resource| resource.plain_bytes)),
        }
    }
}

/// Never overflows: when a manifest is made again, the numbers are those of stored indexes, which may say anything.
pub(super) fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}
