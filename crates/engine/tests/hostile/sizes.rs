//! What says that it is large, is large, or becomes large.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use teeline::sinks::{MemorySink, Operation};
use teeline::{Damage, DeleteRequest, Digest, Executor, VerifyRequest, exit};
use teeline_core::document::Document;
use teeline_core::{
    AskedFor, AttachmentEntry, CatalogEntry, DestinationMarker, Manifest, ObjectKey, RunRecord,
    document, layout,
};

use super::common::{SpySink, engine, padded, place, records, request, store, unmark, whole};
use super::{Stored, assert_restores_from};

#[tokio::test]
async fn a_chunk_that_unpacks_to_more_than_it_can() {
    for plain in [1 << 22, 1 << 34, 1 << 50, u64::MAX] {
        let mut stored = Stored::new().await;
        let others: u64 = stored.chunks[1..].iter().map(|chunk| chunk.plain).sum();
        stored.chunks[0].plain = plain - others;
        stored.write_index();
        stored.write_manifest();
        stored.assert_damaged(&plain.to_string()).await;
    }
}

#[tokio::test]
async fn sizes_and_sums_that_are_not_those_of_the_files() {
    type Forge = fn(&mut Manifest);
    let forgeries: [(&str, Forge); 5] = [
        ("chunks", |m| m.resources[0].segments[0].chunks += 1),
        ("plain bytes", |m| {
            m.resources[0].segments[0].plain_bytes += 1;
        }),
        ("a large index", |m| {
            m.resources[0].segments[0].index_bytes = u64::MAX;
        }),
        ("a large attachment", |m| {
            m.attachments.push(AttachmentEntry {
                file: layout::DATABASE_CATALOGUE.to_owned(),
                bytes: u64::MAX,
                blake3: Digest::of(b""),
            });
        }),
        // Whoever copies or repairs the backup would write an entry that nobody reads.
        ("large globs", |m| {
            let bytes = usize::try_from(AskedFor::BYTES_MAX).unwrap();
            m.plan.include = vec!["a".repeat(bytes)];
        }),
    ];
    for (what, forge) in forgeries {
        let mut stored = Stored::new().await;
        forge(&mut stored.manifest);
        stored.put(layout::DATABASE_CATALOGUE, b"");
        stored.write_manifest();
        stored.assert_damaged(what).await;
        if what.contains("large") {
            let damage = &stored.verify().await.backups[0].destinations[0].damage;
            let refused = damage.iter().any(|d| d.message.contains("is too large"));
            assert!(refused, "{what}: {damage:?}");
        }
    }
}

/// As deep as a stack overflows by, where each level takes some of it.
const DEEP: usize = 200_000;

#[tokio::test]
async fn what_nests_without_end_is_refused() {
    let nested = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
    for document in ["teeline-manifest", "teeline-run"] {
        let mut stored = Stored::new().await;
        let body = format!("{{\"format\":\"{document}\",\"version\":1,\"id\":{nested}");
        let digest = Digest::of(body.as_bytes());
        let sealed = format!("{body},\"blake3\":\"{digest}\"}}\n");
        if document == "teeline-run" {
            stored.put(layout::RUN_CLAIM, sealed.as_bytes());
            let deleted = DeleteRequest::new(vec![stored.at.clone()], stored.manifest.id.clone());
            assert_eq!(stored.engine.delete(deleted).await.exit_code(), 0);
            continue;
        }
        stored.put(layout::MANIFEST, sealed.as_bytes());
        stored.entry.checksum = Digest::of(sealed.as_bytes());
        stored.entry.manifest_bytes = sealed.len() as u64;
        stored.write_entry_at(stored.entry.started_at);
        stored.assert_damaged(document).await;
    }
    let mut stored = Stored::new().await;
    let deep = format!("{{\"id\":{nested}}}\n");
    stored.write_lines(&[deep.as_bytes(), &records(99)].concat());
    let report = stored.verify_deeply().await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(stored.restore().await.exit_code(), 0);
}

/// Names and records that look like the end of a document, or like members of one.
/// Small documents of a destination can be as large as whoever rules it likes.
#[tokio::test]
async fn what_is_too_large_for_its_kind_is_damage_and_never_read() {
    let engine = engine(Executor::Threads(1));
    let (one, (_, second)) = (MemorySink::new("first"), store("second"));
    let reads: Arc<Mutex<Vec<(ObjectKey, u64)>>> = Arc::default();
    let noted = Arc::clone(&reads);
    let spied = SpySink::new(one.clone(), move |operation, key, bytes| {
        if operation == Operation::Read {
            noted.lock().unwrap().push((key.clone(), bytes));
        }
    });
    let both = vec![place("first", spied), second];
    let lines = records(100);
    let made = engine.backup(request(&lines, &both)).await;
    assert_eq!(made.exit_code(), 0, "{made:?}");
    unmark(&one).await;
    for (folder, bytes_max) in [
        ("catalog/", CatalogEntry::BYTES_MAX),
        ("runs/", RunRecord::BYTES_MAX),
        ("teeline.json", DestinationMarker::BYTES_MAX),
    ] {
        let of_folder = |key: &ObjectKey| key.as_str().starts_with(folder);
        let key = one.keys().into_iter().find(of_folder).unwrap();
        let right = whole(&one, &key).await;
        one.overwrite(&key, &padded(&right, 1));
        assert_restores_from(&engine, &both, &lines, exit::DONE).await;
        one.overwrite(&key, &padded(&right, bytes_max));
        let verified = engine.verify(VerifyRequest::new(both.clone())).await;
        assert_eq!(verified.exit_code(), exit::DAMAGED, "{key}: {verified:?}");
        let is_it = |damage: &&Damage| damage.file == key.as_str();
        let mut damage = verified.backups[0].destinations[0].damage.iter();
        let damage = damage.find(is_it).unwrap();
        assert!(damage.message.ends_with("too large for it"), "{damage:?}");
        let restored = match folder {
            "catalog/" => exit::DEGRADED,
            _ => exit::DONE,
        };
        assert_restores_from(&engine, &both, &lines, restored).await;
        let mut reads = reads.lock().unwrap();
        let too_much = reads
            .drain(..)
            .find(|(of, bytes)| *of == key && *bytes > bytes_max);
        assert_eq!(too_much, None);
        one.overwrite(&key, &right);
    }
    assert_restores_from(&engine, &both, &lines, exit::DONE).await;
}

/// Many manifests are looked at at once for a list, and each may be large.
#[tokio::test]
async fn of_a_manifest_that_is_only_compared_no_more_than_a_piece_is_held() {
    let mut stored = Stored::new().await;
    let sealed = document::seal(&stored.manifest);
    let large = padded(&sealed, 20 << 20);
    stored.put(layout::MANIFEST, &large);
    stored.entry.checksum = Digest::of(&large);
    stored.entry.manifest_bytes = large.len() as u64;
    stored.write_entry_at(stored.entry.started_at);
    unmark(&stored.sink).await;
    let most = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&most);
    let spied = SpySink::new(stored.sink.clone(), move |operation, _, bytes| {
        if operation == Operation::Read {
            seen.fetch_max(bytes, Ordering::Relaxed);
        }
    });
    let listed = stored.engine.list(&[place("one", spied)]).await;
    assert_eq!(listed.exit_code(), exit::DONE, "{listed:?}");
    assert_eq!(listed.backups.len(), 1);
    assert_eq!(most.load(Ordering::Relaxed), 8 << 20);
}

/// What stands where something is about to be published is looked at, and may be anything.
#[tokio::test]
async fn what_is_in_the_way_of_an_entry_is_read_no_further_than_an_entry_may_go() {
    let engine = engine(Executor::Threads(1));
    let lines = records(10);
    let (model, at) = store("model");
    let made = engine.backup(request(&lines, &[at])).await;
    let entry = layout::catalog_entry(&made.id.unwrap(), made.started_at).unwrap();
    let sink = MemorySink::new("in the way");
    let large = padded(&whole(&model, &entry).await, CatalogEntry::BYTES_MAX + 10);
    sink.overwrite(&entry, &large);
    let most = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&most);
    let spied = SpySink::new(sink, move |operation, key, bytes| {
        if operation == Operation::Read && *key == entry {
            seen.fetch_max(bytes, Ordering::Relaxed);
        }
    });
    let report = engine.backup(request(&lines, &[place("one", spied)])).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    let most = most.load(Ordering::Relaxed);
    assert_eq!(most, CatalogEntry::BYTES_MAX + 1);
}
