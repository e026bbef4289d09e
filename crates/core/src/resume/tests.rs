use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::block::{CutLimits, Cutter};
use crate::buffers::Buffers;
use crate::chunk::BlockEncoder;
use crate::compress::Compression;
use crate::manifest::{PlacedResources, PlanEntry, SourceKind};
use crate::metadata::Metadata;
use crate::part::{Partitions, Query};
use crate::placing::{Placement, Placer, ResourceKind};
use crate::records::RunHead;
use crate::source::{PlannedResource, ResourceCounts};

const ID: &str = "full-2026-11-23T02-00-00-k3j9x0q2mz";

/// What a source has: of each resource its records.
type Records = Vec<Vec<String>>;

/// Files by their names.
type Files = BTreeMap<String, Bytes>;

fn planned(records: &Records) -> Vec<PlannedResource> {
    let kind = |number| ResourceKind::Records(format!("r{number}"));
    let plan = |number| PlannedResource {
        kind: kind(number),
        plain_bytes: None,
    };
    (0..records.len()).map(plan).collect()
}

fn placer(records: &Records) -> Placer {
    let id = ID.parse().unwrap();
    Placer::new(id, Compression::None, 60, &planned(records)).unwrap()
}

fn claim(records: &Records) -> RunClaim {
    let id: BackupId = ID.parse().unwrap();
    let started_at = Timestamp::from_unix_ms(1_795_399_200_000);
    RunClaim {
        head: RunHead {
            backup_type: id.backup_type(),
            started_at,
            path: id.to_string(),
            plan: PlanEntry {
                strategy: "all".to_owned(),
                destinations: Vec::new(),
                compression: Compression::None,
                block_bytes: 25,
                segment_bytes: 60,
                include: Vec::new(),
                exclude: Vec::new(),
                partitions: Partitions::default(),
                query: Query::default(),
                seal: None,
            },
            parent: None,
            since: None,
            consolidates: None,
            metadata: Metadata::default(),
            written_by: "teeline 1.2.3".to_owned(),
            id,
        },
        source: SourceEntry {
            kind: SourceKind::Jsonl,
            location: "somewhere".to_owned(),
            scan_started_at: started_at,
            scan_ended_at: None,
            server_time: None,
            changes: None,
            settle: None,
        },
        claimed: placer(records).claimed(),
        attachments: Vec::new(),
        states: (0..records.len())
            .map(|number| (format!("r{number}"), Digest::of(&[0])))
            .collect(),
        bounds: BTreeMap::from([("inline_bytes_max".to_owned(), 4096)]),
    }
}

/// Reads the source, from its points on where it continues, and compares as the placer of a pass does. Gives what is sent, and
/// what the manifest says.
fn run(
    records: &Records,
    resumption: Option<&Arc<Resumption>>,
    continues: bool,
) -> Result<(Files, PlacedResources), BackupError> {
    let mut placer = placer(records);
    let mut comparison = resumption.map(Resumption::comparison);
    let mut encoder = BlockEncoder::new(Compression::None).unwrap();
    let limits = CutLimits {
        block_bytes: 25,
        record_bytes_max: 100,
    };
    let (mut sent, mut open) = (Files::new(), Vec::new());
    for (number, records) in (0..).zip(records) {
        let id = ResourceId(number);
        let mut out = Vec::new();
        let mut cutter = Cutter::new(id, limits, Buffers::default());
        let mut left = &records[..];
        if let (Some(resumption), Some(comparison), true) = (resumption, &mut comparison, continues)
        {
            let kept = resumption.kept(id);
            placer.keep(id, kept, &mut out)?;
            comparison.keep(id);
            let sums = kept
                .iter()
                .map(|kept| (kept.entry.records, kept.entry.chunks));
            let (count, chunks) = sums.fold((0, 0), |sum, (records, chunks)| {
                (sum.0 + records, sum.1 + u64::from(chunks))
            });
            left = &records[usize::try_from(count).unwrap()..];
            cutter = cutter.behind(count, chunks);
            if resumption.is_whole(id) {
                assert!(left.is_empty(), "all of it was there");
                continue;
            }
        }
        let mut blocks = Vec::new();
        for record in left {
            while let Some(block) = cutter.push(record.as_bytes(), b"", None, false)? {
                blocks.push(block);
            }
        }
        blocks.push(cutter.finish());
        for block in blocks {
            let chunk = encoder.encode(block)?;
            if let Some(comparison) = &mut comparison {
                comparison.chunk(&chunk)?;
            }
            placer.place(chunk, &mut out)?;
        }
        let end = ResourceEnd {
            counts: ResourceCounts::default(),
            ended_at: Timestamp::from_unix_ms(i64::from(number)),
        };
        let end = match &comparison {
            Some(comparison) => comparison.ended(id, end)?,
            None => end,
        };
        placer.end(id, end, &mut out)?;
        for placement in out {
            match placement {
                Placement::Open { prologue, .. } => open = prologue.to_vec(),
                Placement::Write { bytes, .. } => open.extend_from_slice(&bytes),
                Placement::Close { entry, index, .. } => {
                    if let Some(comparison) = &comparison {
                        comparison.closed(id, &entry)?;
                    }
                    sent.insert(entry.file, std::mem::take(&mut open).into());
                    sent.insert(entry.index, index);
                }
                Placement::Kept { .. } => {}
            }
        }
    }
    Ok((sent, placer.finish()?))
}

/// What a destination has that had taken so many files when the run broke off, in the order of writing.
fn holdings(claim: &RunClaim, all: &[(String, Bytes)], count: usize) -> (Holdings, Files) {
    let files: Files = all[..count].iter().cloned().collect();
    let sizes = files.iter();
    let sizes = sizes
        .map(|(file, bytes)| (file.clone(), bytes.len() as u64))
        .collect();
    let mut inventory = Inventory::new(claim, None, &sizes);
    while let Some(file) = inventory.wanted().map(str::to_owned) {
        inventory.give(&file, &files[&file]).unwrap();
    }
    (inventory.finish(), files)
}

/// The files of a whole run in the order of writing: each data file, then its index.
fn in_order(files: &Files, placed: &PlacedResources) -> Vec<(String, Bytes)> {
    let segments = placed.resources.iter().flat_map(|entry| &entry.segments);
    let names = segments.flat_map(|segment| [&segment.file, &segment.index]);
    names
        .map(|name| (name.clone(), files[name].clone()))
        .collect()
}

fn records() -> impl Strategy<Value = Records> {
    let record = (0usize..20).prop_map(|size| format!("{}\n", "x".repeat(size)));
    prop::collection::vec(prop::collection::vec(record, 0..20), 1..4)
}

proptest! {
    #[test]
    fn a_run_that_is_taken_up_comes_to_what_it_would_have_come_to(
        records in records(),
        stops in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        continues: bool,
    ) {
        let claim = claim(&records);
        let (files, placed) = run(&records, None, false).unwrap();
        let order = in_order(&files, &placed);
        let had: Vec<(Holdings, Files)> = stops
            .iter()
            .map(|stop| holdings(&claim, &order, stop.index(order.len() + 1)))
            .collect();
        let all: Vec<&Holdings> = had.iter().map(|(holdings, _)| holdings).collect();
        let resumption = Arc::new(Resumption::new(claim.clone(), &all).unwrap());
        let (sent, again) = run(&records, Some(&resumption), continues).unwrap();
        prop_assert_eq!(&again, &placed);
        for (holdings, had) in &had {
            for (file, bytes) in &files {
                let is_there = had.contains_key(file);
                prop_assert_eq!(holdings.has(file), is_there && !file.ends_with(".index"));
                prop_assert!(is_there || sent.get(file) == Some(bytes), "{} is sent to who lacks it", file);
            }
        }
        for (file, bytes) in &sent {
            prop_assert_eq!(files.get(file), Some(bytes), "nothing else is sent");
            // A data file without its index is read as well.
            let index = file.replace(".jsonl", ".index");
            let is_lacked = had.iter().any(|(_, had)| !had.contains_key(&index));
            prop_assert!(!continues || is_lacked, "{} isn't read for nobody", file);
        }
        let (from, unread) = resumption.skipped(&ScanPlan {
            continued: (0..3).map(ResourceId).filter(|_| continues).collect(),
            ..ScanPlan::default()
        });
        let plain: u64 = placed.resources.iter().map(|resource| resource.plain_bytes).sum();
        prop_assert!(from.is_some() || unread == plain);
        prop_assert!(continues || unread == 0);
    }

    #[test]
    fn what_is_read_otherwise_is_noticed_before_it_is_sent(
        records in records(),
        stop in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        how in 0..3,
    ) {
        let claim = claim(&records);
        let (files, placed) = run(&records, None, false).unwrap();
        let order = in_order(&files, &placed);
        let (holdings, had) = holdings(&claim, &order, stop.index(order.len() + 1));
        let resumption = Arc::new(Resumption::new(claim, &[&holdings]).unwrap());
        let mut others = records.clone();
        let of = place.index(others.len());
        let at = place.index(others[of].len() + 1);
        match how {
            0 => others[of].insert(at, "new\n".to_owned()),
            1 if at < records[of].len() => drop(others[of].remove(at)),
            _ if at < records[of].len() => others[of][at] = others[of][at].replace('\n', "y\n"),
            _ => {}
        }
        match run(&others, Some(&resumption), false) {
            Err(error) => prop_assert!(others != records, "{error}"),
            Ok((_, again)) => {
                let indexed = had.keys().filter(|file| file.ends_with(".index"));
                for index in indexed {
                    let known = |placed: &PlacedResources| {
                        let mut segments = placed.resources.iter().flat_map(|entry| &entry.segments);
                        segments.find(|segment| segment.index == *index).cloned()
                    };
                    prop_assert_eq!(known(&again), known(&placed), "what is there stays");
                }
            }
        }
    }
}

#[test]
fn a_plan_must_be_the_one_that_was_claimed_and_resources_in_a_known_state_where_that_counts() {
    let records: Records = vec![vec!["a\n".to_owned()], vec![]];
    let mut sealed = claim(&records);
    let bounds = sealed.bounds.clone();
    let plan = |states: BTreeMap<String, Digest>| ScanPlan {
        states,
        bounds: bounds.clone(),
        ..ScanPlan::default()
    };
    let same = plan(sealed.states.clone());
    let claimed = sealed.claimed.clone();
    let resumption = |claim: &RunClaim| Resumption::new(claim.clone(), &[]).unwrap();
    assert!(resumption(&sealed).check(&same, &claimed, &[]).is_ok());
    assert!(
        resumption(&sealed)
            .check(&plan(BTreeMap::new()), &claimed, &[])
            .is_ok()
    );
    let other = placer(&vec![vec![]]).claimed();
    assert!(resumption(&sealed).check(&same, &other, &[]).is_err());
    let attachment = [crate::AttachmentEntry::new("_database.json", &Bytes::new())];
    let error = resumption(&sealed)
        .check(&same, &claimed, &attachment)
        .unwrap_err();
    assert_eq!(error.subject(), "_database.json");
    for (bounds, now) in [
        (
            BTreeMap::from([("inline_bytes_max".to_owned(), 4097)]),
            "4097 bytes",
        ),
        (BTreeMap::new(), "not said"),
    ] {
        let other = ScanPlan {
            bounds,
            ..same.clone()
        };
        let error = resumption(&sealed).check(&other, &claimed, &[]);
        let expected = format!("resume inline_bytes_max: it is {now} now, and was 4096 bytes");
        assert_eq!(error.unwrap_err().to_string(), expected);
    }

    let silent = |claim: &RunClaim| resumption(claim).without_word_from(vec!["far".to_owned()]);
    // Of nothing that is there the end isn't known, and when that was is in the manifest.
    let error = silent(&sealed).check(&same, &claimed, &[]).unwrap_err();
    assert!(error.message().contains("has its end"), "{error}");
    let error = silent(&sealed)
        .check(&plan(BTreeMap::new()), &claimed, &[])
        .unwrap_err();
    assert!(error.message().contains("far can't be asked"), "{error}");
    let mut link = sealed.clone();
    link.head.since = Some(link.head.started_at);
    assert!(resumption(&link).check(&same, &claimed, &[]).is_ok());
    assert!(silent(&link).check(&same, &claimed, &[]).is_err());

    sealed.head.plan.seal = Some(crate::seal::SealEntry {
        algorithm: crate::seal::SealAlgorithm::default(),
        epoch: crate::Hex32::new([1; 32]),
        key: crate::Hex32::new([2; 32]),
        previous: None,
    });
    assert!(resumption(&sealed).check(&same, &claimed, &[]).is_ok());
    let error = resumption(&sealed)
        .check(&plan(BTreeMap::new()), &claimed, &[])
        .unwrap_err();
    assert_eq!(error.subject(), "r0");
    sealed.states.clear();
    assert!(
        resumption(&sealed)
            .check(&plan(BTreeMap::new()), &claimed, &[])
            .is_err()
    );
}
