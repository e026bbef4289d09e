use super::*;
use crate::chunk::{ChunkEntry, ChunkLine, json_line};
use crate::codec::Encoder;
use crate::digest::Digest;
use crate::source::ResourceCounts;
use crate::stream::StreamPart;
use crate::time::Timestamp;

fn chunk(resource: u32, stored: u64) -> EncodedBlock {
    let bytes = Bytes::from(vec![0; usize::try_from(stored).unwrap()]);
    let entry = ChunkEntry {
        stored,
        plain: stored,
        records: 1,
        blake3: Digest::of(&bytes),
    };
    let line = json_line(&ChunkLine { chunk: entry });
    EncodedBlock {
        resource: ResourceId(resource),
        number: 0,
        entry,
        bytes,
        stream: StreamPart::Independent,
        index_fragment: Encoder::gzip(1).encode(&line).unwrap(),
    }
}

fn records(name: &str) -> PlannedResource {
    PlannedResource {
        kind: ResourceKind::Records(name.into()),
        plain_bytes: None,
    }
}

fn placer(planned: &[PlannedResource]) -> Result<Placer, BackupError> {
    let id = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
    Placer::new(id, Compression::default(), 100, planned)
}

#[test]
fn a_resource_may_be_called_as_the_objects_are() {
    let objects = PlannedResource {
        kind: ResourceKind::Objects,
        plain_bytes: None,
    };
    let placer = placer(&[records(OBJECTS_NAME), objects.clone()]).unwrap();
    let stems = placer.resources.iter().map(|resource| &resource.stem);
    let [of_records, of_objects] = stems.collect::<Vec<_>>()[..] else {
        panic!("two resources")
    };
    assert_ne!(of_records, of_objects);
    assert!(self::placer(&[objects.clone(), objects]).is_err());
}

fn end_all(placer: &mut Placer, out: &mut Vec<Placement>) {
    for id in 0..u32::try_from(placer.resources.len()).unwrap() {
        let end = ResourceEnd {
            counts: ResourceCounts::default(),
            ended_at: Timestamp::from_unix_ms(i64::from(id)),
        };
        placer.end(ResourceId(id), end, out).unwrap();
    }
}

#[test]
fn segments_keep_to_their_size_and_resources_to_their_files() {
    let objects = PlannedResource {
        kind: ResourceKind::Objects,
        plain_bytes: None,
    };
    let mut placer = placer(&[records("a"), objects]).unwrap();
    let mut out = Vec::new();
    for (resource, stored) in [(0, 60), (1, 10), (0, 40), (0, 1), (0, 500), (1, 5)] {
        placer.place(chunk(resource, stored), &mut out).unwrap();
    }
    end_all(&mut placer, &mut out);
    let placed = placer.finish().unwrap();
    let files: Vec<_> = placed.resources[0]
        .segments
        .iter()
        .map(|s| (s.file.as_str(), s.stored_bytes))
        .collect();
    assert_eq!(
        files,
        [
            ("a.jsonl.gz", 100),
            ("a~0002.jsonl.gz", 1),
            ("a~0003.jsonl.gz", 500)
        ]
    );
    let objects = &placed.objects.unwrap();
    assert_eq!(objects.segments[0].file, "_objects.frames.gz");
    assert_eq!(placed.ended_at, Some(Timestamp::from_unix_ms(1)));
    let opened = out
        .iter()
        .filter(|p| matches!(p, Placement::Open { .. }))
        .count();
    let closed = out
        .iter()
        .filter(|p| matches!(p, Placement::Close { .. }))
        .count();
    assert_eq!((opened, closed), (4, 4));
}

#[test]
fn only_the_last_index_of_a_resource_says_so() {
    let mut placer = placer(&[records("a")]).unwrap();
    let mut out = Vec::new();
    for stored in [60, 60, 60] {
        placer.place(chunk(0, stored), &mut out).unwrap();
    }
    let counts = ResourceCounts {
        kept_raw: 2,
        vanished: 1,
        changes: None,
        settle: None,
    };
    let end = ResourceEnd {
        counts,
        ended_at: Timestamp::from_unix_ms(5),
    };
    placer.end(ResourceId(0), end, &mut out).unwrap();
    let lasts: Vec<_> = out
        .iter()
        .filter_map(|placement| match placement {
            Placement::Close { index, .. } => Some(Index::parse("i", index).unwrap().last),
            _ => None,
        })
        .collect();
    assert_eq!(lasts, [None, None, Some(end)]);
    assert!(placer.place(chunk(0, 1), &mut out).is_err());
}

#[test]
fn names_that_differ_in_case_only_have_different_files() {
    let names = ["A", "a", "users", "Users", "USERS"];
    let planned: Vec<_> = names.iter().map(|name| records(name)).collect();
    let claimed = placer(&planned).unwrap().claimed().resources;
    let stems: HashSet<_> = claimed.iter().map(|r| r.stem.to_lowercase()).collect();
    assert_eq!(stems.len(), names.len(), "{claimed:?}");
    assert_eq!(
        (claimed[0].stem.as_str(), claimed[2].stem.as_str()),
        ("A", "users")
    );
    assert!(placer(&[records("users"), records("users")]).is_err());
}

#[test]
fn what_a_segment_will_take_follows_from_what_is_left_and_how_it_compresses() {
    let planned = PlannedResource {
        plain_bytes: Some(500),
        ..records("a")
    };
    let mut placer = placer(&[planned]).unwrap();
    let mut out = Vec::new();
    let mut half = chunk(0, 30);
    half.entry.plain = 60;
    for _ in 0..4 {
        placer.place(half.clone(), &mut out).unwrap();
    }
    let expected: Vec<u64> = out
        .iter()
        .filter_map(|placement| match placement {
            Placement::Open { expected_bytes, .. } => Some(*expected_bytes),
            _ => None,
        })
        .collect();
    assert_eq!(expected, [100, 100], "a full segment");
    let mut all = chunk(0, 130);
    all.entry.plain = 260;
    placer.place(all, &mut out).unwrap();
    let Some(Placement::Open { expected_bytes, .. }) = out.iter().rev().nth(1) else {
        panic!("a segment of its own");
    };
    assert_eq!(*expected_bytes, 130, "nothing is left after it");
}
