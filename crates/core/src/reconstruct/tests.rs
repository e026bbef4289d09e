use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index as Pick;

use super::*;
use crate::block::Block;
use crate::chain::{BackupRef, Changes, Compared};
use crate::chunk::BlockEncoder;
use crate::compress::Compression;
use crate::digest::Digest;
use crate::document;
use crate::error::Class;
use crate::manifest::{PlanEntry, SealedManifest, SourceEntry};
use crate::metadata::Metadata;
use crate::part::{Partitions, Query};
use crate::placing::{Placement, Placer};
use crate::records::RunHead;
use crate::source::{PlannedResource, ResourceCounts, SettleOutcome, SettledCounts, Settling};
use crate::time::Timestamp;

const ID: &str = "full-2026-11-23T02-00-00-k3j9x0q2mz";
const OTHER_ID: &str = "full-2026-11-23T02-00-00-aaaaaaaaaa";

const SETTLING: Settling = Settling {
    outcome: SettleOutcome::Bound,
    passes: 2,
    records: SettledCounts {
        created: 1,
        changed: 2,
        deleted: 0,
    },
    objects: SettledCounts {
        created: 0,
        changed: 3,
        deleted: 1,
    },
};

const CHANGES: Changes = Changes {
    records: Compared {
        created: 4,
        changed: 0,
        deleted: 2,
        unchanged: 9,
    },
    objects: Compared {
        created: 0,
        changed: 0,
        deleted: 1,
        unchanged: 6,
    },
};

/// What is backed up: for each resource the sizes of its blocks.
#[derive(Debug, Clone)]
struct Backup {
    resources: BTreeMap<String, Vec<usize>>,
    is_database: bool,
    settles: bool,
    is_link: bool,
    compression: Compression,
    segment_bytes: u64,
}

/// What a run leaves in its folder, in the order of writing, less the manifest; and the manifest.
struct Written {
    files: BTreeMap<String, Bytes>,
    order: Vec<String>,
    manifest: Bytes,
}

fn backups() -> impl Strategy<Value = Backup> {
    let blocks = prop::collection::vec(1usize..200, 1..6);
    (
        prop::collection::btree_map("[aAb.~é]{1,3}", blocks, 0..4),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop_oneof![
            Just(Compression::None),
            Just(Compression::default()),
            Just(Compression::Deflate { level: 1 }),
            Just(Compression::Brotli { level: 1 }),
        ],
        50u64..400,
    )
        .prop_map(
            |(resources, is_database, settles, is_link, compression, segment_bytes)| Backup {
                resources,
                is_database,
                settles: is_database && settles,
                is_link,
                compression,
                segment_bytes,
            },
        )
}

impl Backup {
    fn planned(&self) -> Vec<PlannedResource> {
        let records = self.resources.keys().cloned().map(ResourceKind::Records);
        let objects = self.is_database.then_some(ResourceKind::Objects);
        let planned = |kind| PlannedResource {
            kind,
            plain_bytes: None,
        };
        let deleted = self.is_link.then_some(ResourceKind::Deleted);
        let lines = (self.is_link && !self.is_database).then_some(ResourceKind::Lines);
        let settled = self.settles.then_some(ResourceKind::Settled);
        let others = objects.into_iter().chain(deleted).chain(lines);
        let others = others.chain(settled);
        records.chain(others).map(planned).collect()
    }

    fn claim(&self, id: &str, placer: &Placer, attachments: Vec<AttachmentEntry>) -> RunClaim {
        let id: BackupId = id.parse().unwrap();
        RunClaim {
            head: RunHead {
                backup_type: id.backup_type(),
                started_at: Timestamp::from_unix_ms(1_795_399_200_000),
                path: id.to_string(),
                plan: PlanEntry {
                    strategy: "all".to_owned(),
                    destinations: Vec::new(),
                    compression: self.compression,
                    block_bytes: 1 << 20,
                    segment_bytes: self.segment_bytes,
                    include: Vec::new(),
                    exclude: Vec::new(),
                    partitions: match self.is_database {
                        true => serde_json::from_str("{\"byRegion\":[\"US\"]}").unwrap(),
                        false => Partitions::default(),
                    },
                    query: match self.is_database {
                        true => Query::default(),
                        false => serde_json::from_str("{\"r\":{\"a.b\":[1,\"x\"]}}").unwrap(),
                    },
                    seal: None,
                },
                parent: self.is_link.then(|| BackupRef {
                    id: OTHER_ID.parse().unwrap(),
                    started_at: Timestamp::from_unix_ms(1_795_399_100_000),
                    checksum: Digest::of(b"it"),
                }),
                since: None,
                consolidates: None,
                metadata: match self.is_database {
                    true => serde_json::from_str("{\"why\":[1,null]}").unwrap(),
                    false => Metadata::default(),
                },
                written_by: "teeline 1.2.3".to_owned(),
                id,
            },
            source: SourceEntry {
                kind: match self.is_database {
                    true => SourceKind::S3db,
                    false => SourceKind::Jsonl,
                },
                location: "somewhere".to_owned(),
                scan_started_at: Timestamp::from_unix_ms(1_795_399_200_100),
                scan_ended_at: None,
                server_time: None,
                changes: None,
                settle: None,
            },
            claimed: placer.claimed(),
            attachments,
            states: BTreeMap::new(),
            bounds: BTreeMap::new(),
        }
    }

    /// Makes it as a pass does.
    fn write(&self, id: &str) -> Written {
        let planned = self.planned();
        let backup = id.parse().unwrap();
        let mut placer =
            Placer::new(backup, self.compression, self.segment_bytes, &planned).unwrap();
        let mut attachments = Vec::new();
        if self.is_database {
            let catalogue = Bytes::from_static(b"{\"resources\":{}}");
            attachments.push((layout::DATABASE_CATALOGUE.to_owned(), catalogue));
        }
        let entry = |(file, bytes): &(String, Bytes)| AttachmentEntry::new(file, bytes);
        let claim = self.claim(id, &placer, attachments.iter().map(entry).collect());
        let mut written = vec![(layout::RUN_CLAIM.to_owned(), document::seal(&claim))];
        written.extend(attachments.clone());

        written.extend(self.place(&mut placer));
        let placed = placer.finish().unwrap();

        if self.is_database {
            let export = Bytes::from(format!("{{\"backupId\":\"{id}\"}}"));
            attachments.push((layout::SCHEMA_EXPORT.to_owned(), export));
            written.extend(attachments.last().cloned());
        }
        let manifest = Manifest::new(claim, placed, attachments.iter().map(entry).collect());
        Written {
            order: written.iter().map(|(file, _)| file.clone()).collect(),
            files: written.into_iter().collect(),
            manifest: SealedManifest::new(manifest).unwrap().bytes,
        }
    }

    /// The data files and their indexes.
    fn place(&self, placer: &mut Placer) -> Vec<(String, Bytes)> {
        let objects = self.is_database.then_some(vec![10]);
        let deleted = self.is_link.then_some(vec![7]);
        let lines = (self.is_link && !self.is_database).then_some(vec![30, 3]);
        let settled = self.settles.then_some(vec![20, 5]);
        let all = self.resources.values().cloned();
        let all = all
            .chain(objects)
            .chain(deleted)
            .chain(lines)
            .chain(settled);
        let planned = self.planned();
        let is = |id: ResourceId, kind| planned[id.0 as usize].kind == kind;
        let mut encoder = BlockEncoder::new(self.compression).unwrap();
        let mut out = Vec::new();
        for (resource, blocks) in (0..).map(ResourceId).zip(all) {
            for bytes in &blocks {
                // Digits that don't repeat, or all would be one size once they are compressed.
                let line: String = (0..*bytes).map(|n| format!("{:x}", n * n * 7919)).collect();
                let block = Block {
                    resource,
                    number: 0,
                    records: 1,
                    bytes: Bytes::from(format!("{line}\n")),
                    rows: Bytes::new(),
                    origin: None,
                };
                placer
                    .place(encoder.encode(block).unwrap(), &mut out)
                    .unwrap();
            }
            let end = ResourceEnd {
                counts: ResourceCounts {
                    kept_raw: blocks.len() as u64,
                    vanished: 1,
                    changes: is(resource, ResourceKind::Deleted).then_some(CHANGES),
                    settle: is(resource, ResourceKind::Settled).then_some(SETTLING),
                },
                ended_at: Timestamp::from_unix_ms(1_795_399_200_200 + i64::from(resource.0)),
            };
            placer.end(resource, end, &mut out).unwrap();
        }
        files_of(out)
    }
}

fn files_of(placements: Vec<Placement>) -> Vec<(String, Bytes)> {
    let mut files = Vec::new();
    let mut open = Vec::new();
    for placement in placements {
        match placement {
            Placement::Open { prologue, .. } => open = prologue.to_vec(),
            Placement::Write { bytes, .. } => open.extend_from_slice(&bytes),
            Placement::Close {
                epilogue,
                entry,
                index,
                ..
            } => {
                open.extend_from_slice(&epilogue);
                files.push((entry.file, Bytes::from(std::mem::take(&mut open))));
                files.push((entry.index, index));
            }
            Placement::Kept { .. } => unreachable!("nothing is there before"),
        }
    }
    files
}

/// Makes the manifest again from what is in a folder.
fn reconstruct(files: &BTreeMap<String, Bytes>) -> Result<Manifest, Refusal> {
    let claim = document::open("run.json", &files[layout::RUN_CLAIM]).unwrap();
    let mut reconstruction = Reconstruction::new(claim, &files.keys().cloned().collect(), None);
    while let Some(file) = reconstruction.wanted() {
        if let Err(error) = reconstruction.give(&file, &files[&file]) {
            return Err(Refusal::Wrong(error));
        }
    }
    reconstruction.finish().map_err(Refusal::Missing)
}

#[derive(Debug)]
enum Refusal {
    Wrong(BackupError),
    Missing(Vec<MissingFile>),
}

impl Refusal {
    fn missing(self) -> Vec<MissingFile> {
        match self {
            Refusal::Missing(missing) => missing,
            Refusal::Wrong(error) => panic!("{error}"),
        }
    }

    fn wrong(self) -> BackupError {
        match self {
            Refusal::Wrong(error) => error,
            Refusal::Missing(missing) => panic!("{missing:?}"),
        }
    }
}

fn is_index(file: &str) -> bool {
    file.ends_with(".index")
}

proptest! {
    #[test]
    fn a_manifest_comes_back_byte_for_byte(backup in backups()) {
        let written = backup.write(ID);
        let manifest = reconstruct(&written.files).unwrap();
        prop_assert_eq!(SealedManifest::new(manifest).unwrap().bytes, written.manifest);
    }

    #[test]
    fn one_file_less_is_noticed_and_named(backup in backups(), pick in any::<Pick>()) {
        let mut written = backup.write(ID);
        prop_assume!(written.order.len() > 1);
        // All but the claim, without which nothing is known.
        let lost = &written.order[1 + pick.index(written.order.len() - 1)];
        written.files.remove(lost);
        let missing = reconstruct(&written.files).unwrap_err().missing();
        prop_assert_eq!(&missing[0].file, lost);
        prop_assert_eq!(missing.len(), 1);
        prop_assert_eq!(missing[0].resource.is_some(), !lost.ends_with(".json"));
    }

    /// A crash leaves the files that were written up to a moment: only all of them make a manifest.
    #[test]
    fn what_a_crash_leaves_is_never_taken_for_all(backup in backups(), pick in any::<Pick>()) {
        let mut written = backup.write(ID);
        let left = 1 + pick.index(written.order.len());
        written.files.retain(|file, _| written.order[..left].contains(file));
        match reconstruct(&written.files) {
            Ok(_) => prop_assert_eq!(left, written.order.len()),
            Err(refusal) => {
                let missing = refusal.missing();
                prop_assert!(left < written.order.len());
                prop_assert!(
                    written.order[left..].contains(&missing[0].file),
                    "{:?} of {:?}", missing, written.order
                );
            }
        }
    }

    #[test]
    fn an_index_in_the_place_of_another_is_refused(backup in backups(), one in any::<Pick>(), two in any::<Pick>()) {
        let mut written = backup.write(ID);
        let indexes: Vec<&String> = written.order.iter().filter(|file| is_index(file)).collect();
        prop_assume!(!indexes.is_empty());
        let (one, two) = (one.get(&indexes), two.get(&indexes));
        prop_assume!(one != two);
        let bytes = written.files[*one].clone();
        written.files.insert((*two).clone(), bytes);
        let error = reconstruct(&written.files).unwrap_err().wrong();
        prop_assert_eq!(error.class(), Class::Corrupt);
        prop_assert!(error.to_string().contains(two.as_str()), "{}", error);
    }

    #[test]
    fn a_file_of_another_backup_is_refused(backup in backups(), pick in any::<Pick>()) {
        let (mut written, other) = (backup.write(ID), backup.write(OTHER_ID));
        let named = |file: &&String| is_index(file) || file.as_str() == layout::SCHEMA_EXPORT;
        let files: Vec<&String> = written.order.iter().filter(named).collect();
        prop_assume!(!files.is_empty());
        let file = (*pick.get(&files)).clone();
        written.files.insert(file.clone(), other.files[&file].clone());
        let error = reconstruct(&written.files).unwrap_err().wrong();
        prop_assert_eq!(error.class(), Class::Corrupt);
        prop_assert!(error.to_string().contains(OTHER_ID), "{}", error);
    }
}

fn database() -> Written {
    let backup = Backup {
        resources: BTreeMap::from([("users".to_owned(), vec![100, 100, 100])]),
        is_database: true,
        settles: false,
        is_link: false,
        compression: Compression::None,
        segment_bytes: 50,
    };
    backup.write(ID)
}

fn missing(file: &str, last_index: bool) -> MissingFile {
    MissingFile {
        file: file.to_owned(),
        resource: Some("users".to_owned()),
        last_index,
    }
}

#[test]
fn whether_more_files_may_be_missing_is_said() {
    let mut written = database();
    assert!(written.files.contains_key("users~0003.index"));
    for file in ["users~0003.index", "users~0003.jsonl"] {
        written.files.remove(file);
    }
    let found = reconstruct(&written.files).unwrap_err().missing();
    assert_eq!(found, [missing("users~0003.index", true)]);
    written.files.remove("users~0002.index");
    let found = reconstruct(&written.files).unwrap_err().missing();
    assert_eq!(found, [missing("users~0002.index", true)]);
    written.files.retain(|file, _| !file.starts_with("users"));
    let found = reconstruct(&written.files).unwrap_err().missing();
    assert_eq!(
        found,
        [missing("users.jsonl", false), missing("users.index", true)]
    );
}

#[test]
fn a_gap_is_named_file_by_file() {
    let mut written = database();
    for file in ["users~0002.index", "users~0002.jsonl"] {
        written.files.remove(file);
    }
    let found = reconstruct(&written.files).unwrap_err().missing();
    assert_eq!(
        found,
        [
            missing("users~0002.jsonl", false),
            missing("users~0002.index", false)
        ]
    );
}

#[test]
fn a_file_after_the_last_is_refused() {
    for stray in ["users~0004.index", "users~0004.jsonl", "users~0009.jsonl"] {
        let mut written = database();
        let bytes = written.files["users~0003.index"].clone();
        written.files.insert(stray.to_owned(), bytes);
        let error = reconstruct(&written.files).unwrap_err().wrong();
        assert!(error.to_string().contains("the last of users"), "{error}");
    }
}

#[test]
fn names_that_are_no_files_of_a_run_are_passed_over() {
    let mut written = database();
    for stray in ["users~2.index", "users~.index", "users~0004.txt", "notes"] {
        written.files.insert(stray.to_owned(), Bytes::new());
    }
    let manifest = reconstruct(&written.files).unwrap();
    assert_eq!(
        SealedManifest::new(manifest).unwrap().bytes,
        written.manifest
    );
}

#[test]
fn a_stray_number_names_no_end_of_files() {
    let mut written = database();
    written
        .files
        .insert("users~4294967295.index".to_owned(), Bytes::new());
    let claim = document::open("run.json", &written.files[layout::RUN_CLAIM]).unwrap();
    let files = written.files.keys().cloned().collect();
    let reconstruction = Reconstruction::new(claim, &files, None);
    assert_eq!(reconstruction.missing().len(), MISSING_NAMED_MAX);
}

#[test]
fn attachments_are_what_they_were() {
    for (file, bytes) in [
        (layout::DATABASE_CATALOGUE, "{\"resources\":[]}"),
        (layout::SCHEMA_EXPORT, "{\"backupId\":"),
        (layout::SCHEMA_EXPORT, "[]"),
    ] {
        let mut written = database();
        written.files.insert(file.to_owned(), Bytes::from(bytes));
        let error = reconstruct(&written.files).unwrap_err().wrong();
        assert_eq!(error.class(), Class::Corrupt);
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn sums_of_what_indexes_may_say_do_not_overflow() {
    let claim = &database().files[layout::RUN_CLAIM];
    let claim: RunClaim = document::open("it", claim).unwrap();
    let counts = ResourceCounts {
        kept_raw: u64::MAX,
        vanished: u64::MAX,
        changes: None,
        settle: None,
    };
    let ended_at = claim.head.started_at;
    let mut placed = PlacedResources::default();
    for (_, claimed) in claim.claimed.with_kinds() {
        let end = ResourceEnd { counts, ended_at };
        let kind = ResourceKind::Records(claimed.name.clone());
        placed.push(&kind, claimed.clone(), Vec::new(), end);
    }
    assert!(placed.resources.len() > 1);
    let totals = Manifest::new(claim, placed, Vec::new()).totals;
    assert_eq!((totals.kept_raw, totals.vanished), (u64::MAX, u64::MAX));
}

#[test]
fn what_has_settled_counts_in_the_sums_and_is_kept_from_readers_that_do_not_know_it() {
    let mut backup = Backup {
        resources: BTreeMap::from([("users".to_owned(), vec![10, 20, 30])]),
        is_database: true,
        settles: true,
        is_link: false,
        compression: Compression::None,
        segment_bytes: 1 << 20,
    };
    let written = backup.write(ID);
    let manifest = SealedManifest::open("it", written.manifest)
        .unwrap()
        .manifest;
    assert_eq!(manifest.source.settle, Some(SETTLING));
    assert_eq!(manifest.settled.as_ref().unwrap().records, 2);
    assert_eq!((manifest.totals.records, manifest.totals.objects), (4, 0));
    assert_eq!(manifest.all_resources().count(), 3);
    let claim = &written.files[layout::RUN_CLAIM];
    assert!(claim.starts_with(b"{\"format\":\"teeline-run\",\"version\":2,"));

    backup.settles = false;
    let claim = &backup.write(ID).files[layout::RUN_CLAIM];
    assert!(claim.starts_with(b"{\"format\":\"teeline-run\",\"version\":1,"));
}

#[test]
fn a_link_counts_what_its_parent_has_and_is_kept_from_readers_that_do_not_know_of_parents() {
    let mut backup = Backup {
        resources: BTreeMap::from([("users".to_owned(), vec![10, 20, 30])]),
        is_database: true,
        settles: true,
        is_link: true,
        compression: Compression::default(),
        segment_bytes: 1 << 20,
    };
    let written = backup.write(ID);
    let sealed = SealedManifest::open("it", written.manifest).unwrap();
    let manifest = &sealed.manifest;
    assert_eq!(manifest.source.changes, Some(CHANGES));
    // Three of its own and nine of the parent's, and what had changed meanwhile.
    assert_eq!((manifest.totals.records, manifest.totals.objects), (13, 6));
    let entry = document::seal(&sealed.entry("it"));
    assert!(entry.starts_with(b"{\"format\":\"teeline-catalog-entry\",\"version\":2,"));
    for (file, format) in [
        (&written.files[layout::RUN_CLAIM], "teeline-run"),
        (&sealed.bytes, "teeline-manifest"),
    ] {
        let begin = format!("{{\"format\":\"{format}\",\"version\":4,");
        assert!(file.starts_with(begin.as_bytes()), "{format}");
    }

    backup.is_link = false;
    let sealed = SealedManifest::open("it", backup.write(ID).manifest).unwrap();
    let entry = document::seal(&sealed.entry("it"));
    assert!(entry.starts_with(b"{\"format\":\"teeline-catalog-entry\",\"version\":1,"));
}
