use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use futures::executor::block_on;
use teeline_actors::Blocking;
use teeline_core::chain::BaseItem;
use teeline_core::seal::{
    DataKey, KdfFunction, KeySecret, RawKey, Recipient, SealAlgorithm, SealEntry, SealedKey, Sealer,
};
use teeline_core::{BackupError, BackupId, BackupRef, Digest, Hex32, ObjectRow, SourceKind};

use super::draft::Draft;
use super::header::{Header, IndexedSource};
use super::{OpenIndex, line};

fn id() -> BackupId {
    "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap()
}

fn secret() -> KeySecret {
    KeySecret::parse(&RawKey::new([7; 32]).to_text()).unwrap()
}

fn header() -> (Header, Sealer) {
    let (key, epoch) = (DataKey::new([1; 32]), Hex32::new([2; 32]));
    let sealer = Sealer::new(&id(), &key, &epoch);
    let seal = SealEntry {
        algorithm: SealAlgorithm::default(),
        epoch,
        key: sealer.key_id(),
        previous: None,
    };
    let began = id().began().unwrap();
    let host = Recipient::of(&secret(), KdfFunction::default());
    let of = (&id(), &key, seal.key);
    let random = |bytes: &mut [u8]| -> Result<(), BackupError> {
        bytes.fill(3);
        Ok(())
    };
    let header = Header {
        chain: vec![BackupRef {
            id: id(),
            started_at: began,
            checksum: Digest::of(b"a manifest"),
        }],
        source: IndexedSource {
            kind: SourceKind::S3db,
            location: "s3://bucket/db".to_owned(),
            include: Vec::new(),
            exclude: Vec::new(),
        },
        server_time: Some(began),
        recipients: Vec::new(),
        seal,
        key: SealedKey::seal(of, &host, began, &random).unwrap(),
    };
    (header, sealer)
}

fn item(number: usize) -> BaseItem {
    BaseItem::Object {
        row: ObjectRow {
            key: format!("resource=users/id={number}"),
            last_modified: id().began(),
            etag: Some(Digest::of(&number.to_le_bytes()).to_string()),
            size: 0,
        },
        as_line: number.is_multiple_of(2),
        as_frame: number.is_multiple_of(3),
    }
}

/// A file with so many objects in each of its chunks.
fn written(path: &Path, chunks: &[usize]) -> Vec<BaseItem> {
    let (header, sealer) = header();
    let mut draft = Draft::create(path, &header, sealer).unwrap();
    let mut items = Vec::new();
    for count in chunks {
        let mut lines = Vec::new();
        for number in items.len()..items.len() + count {
            let item = item(number);
            if let BaseItem::Object {
                row,
                as_line,
                as_frame,
            } = item.clone()
            {
                lines.extend(line::encode(row, as_line, as_frame).unwrap());
            }
            items.push(item);
        }
        draft.chunk(&lines).unwrap();
    }
    draft.finish().unwrap();
    items
}

fn opened(path: &Path) -> Result<OpenIndex, BackupError> {
    let file = File::open(path).unwrap();
    OpenIndex::check(Arc::from(path), file, &id(), &secret(), Blocking::Inline)
}

#[test]
fn what_is_written_is_read_chunk_by_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    for chunks in [&[][..], &[1], &[3, 1, 2_000]] {
        let items = written(&path, chunks);
        let index = opened(&path).unwrap();
        // As often as it is wanted, also once somebody has removed it.
        std::fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            let mut backups = index.base().backups;
            assert_eq!(backups.len(), 1);
            let read: Vec<BaseItem> = block_on(backups.remove(0).try_collect()).unwrap();
            assert_eq!(read, items);
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn no_byte_of_it_can_be_another_or_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    written(&path, &[2, 1]);
    let right = std::fs::read(&path).unwrap();
    let refuse = |what: &str, bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = opened(&path).err();
        let error = error.unwrap_or_else(|| panic!("{what} goes unnoticed"));
        let name = path.display().to_string();
        assert_eq!(error.subject(), name, "{what}: {error}");
    };
    for at in 0..right.len() {
        let mut bytes = right.clone();
        bytes[at] ^= 1;
        refuse(&format!("another byte {at}"), &bytes);
        refuse(&format!("an end at {at}"), &right[..at]);
    }
    refuse("a byte more", &[&right[..], b"x"].concat());
}

#[test]
fn chunks_keep_their_order_and_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    written(&path, &[1, 1, 1]);
    let bytes = std::fs::read(&path).unwrap();
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut parts = Vec::new();
    let mut rest = &bytes[header..];
    while let Some((length, _)) = rest.split_first_chunk::<4>() {
        let (part, after) = rest.split_at(4 + u32::from_be_bytes(*length) as usize);
        parts.push(part);
        rest = after;
    }
    assert_eq!(parts.len(), 4);
    for order in [
        &[0, 1, 2][..],
        &[0, 1, 3],
        &[0, 2, 1, 3],
        &[0, 1, 1, 2, 3],
        &[3],
        &[0, 1, 2, 3, 3],
    ] {
        let parts = order.iter().map(|number| parts[*number]);
        let all = [&bytes[..header]].into_iter().chain(parts);
        std::fs::write(&path, all.collect::<Vec<_>>().concat()).unwrap();
        assert!(opened(&path).is_err(), "{order:?}");
    }
}
