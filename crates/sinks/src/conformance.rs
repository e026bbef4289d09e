//! The one suite that every store and every stack of decorators passes: the contract of
//! [`Sink`], as code.
//!
//! Each check works in a folder that is its own and panics where the contract is broken, so it is called from tests.
//! [`all`] runs every one; a store that somebody else writes is held to the same. A call that is dropped counts as a
//! failed one: it may have taken effect, and is repeated or the upload is given up.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::join_all;
use teeline_core::{BackupError, Class, ObjectKey, Sink, UnfinishedUpload};

const MIB: usize = 1024 * 1024;

/// Runs every check, each in a folder of its own below `folder`, which must be empty.
///
/// # Panics
/// Where the contract is broken.
pub async fn all(sink: &dyn Sink, folder: &ObjectKey) {
    put_and_read(sink, &below(folder, "put_and_read")).await;
    upload_and_read(sink, &below(folder, "upload_and_read")).await;
    empty_objects(sink, &below(folder, "empty_objects")).await;
    invisible_before_commit(sink, &below(folder, "invisible_before_commit")).await;
    abort_leaves_nothing(sink, &below(folder, "abort_leaves_nothing")).await;
    drop_leaves_nothing(sink, &below(folder, "drop_leaves_nothing")).await;
    put_refuses_to_replace(sink, &below(folder, "put_refuses_to_replace")).await;
    upload_refuses_to_replace(sink, &below(folder, "upload_refuses_to_replace")).await;
    parts_refuse_to_replace(sink, &below(folder, "parts_refuse_to_replace")).await;
    unusual_keys(sink, &below(folder, "unusual_keys")).await;
    exact_ranges(sink, &below(folder, "exact_ranges")).await;
    absent_objects(sink, &below(folder, "absent_objects")).await;
    one_of_many_puts_wins(sink, &below(folder, "one_of_many_puts_wins")).await;
    one_of_many_uploads_wins(sink, &below(folder, "one_of_many_uploads_wins")).await;
    part_boundaries(sink, &below(folder, "part_boundaries")).await;
    cancelled_write(sink, &below(folder, "cancelled_write")).await;
    written_bytes_are_released(sink, &below(folder, "written_bytes_are_released")).await;
    list_a_folder(sink, &below(folder, "list_a_folder")).await;
    list_after_delete(sink, &below(folder, "list_after_delete")).await;
    unfinished_uploads(sink, &below(folder, "unfinished_uploads")).await;
}

/// What is put can be read, and nothing else of it changes.
pub async fn put_and_read(sink: &dyn Sink, folder: &ObjectKey) {
    let key = below(folder, "deeper/object");
    let bytes = pattern(1_000, 1);
    sink.put(&key, bytes.clone()).await.expect("put");
    assert_holds(sink, &key, &bytes).await;
    sink.drop_cached(&key).await.expect("drop_cached");
    assert_holds(sink, &key, &bytes).await;
}

/// What is uploaded can be read, in the order in which it was written; a commit may be repeated.
pub async fn upload_and_read(sink: &dyn Sink, folder: &ObjectKey) {
    let key = below(folder, "object");
    let bytes = pattern(100_000, 2);
    let mut upload = sink.begin(&key, 100_000).await.expect("begin");
    for start in (0..bytes.len()).step_by(30_000) {
        let end = bytes.len().min(start + 30_000);
        upload.write(bytes.slice(start..end)).await.expect("write");
        upload.write(Bytes::new()).await.expect("write nothing");
    }
    upload.commit().await.expect("commit");
    upload.commit().await.expect("a repeated commit");
    drop(upload);
    assert_holds(sink, &key, &bytes).await;
}

/// An object may hold nothing.
pub async fn empty_objects(sink: &dyn Sink, folder: &ObjectKey) {
    let put = below(folder, "put");
    sink.put(&put, Bytes::new()).await.expect("put");
    let uploaded = below(folder, "uploaded");
    let mut upload = sink.begin(&uploaded, 0).await.expect("begin");
    upload.commit().await.expect("commit");
    for key in [put, uploaded] {
        assert_holds(sink, &key, &[]).await;
        let read = sink.read(&key, 0..1).await;
        assert_class(read, Class::Corrupt, "read of a byte that isn't there");
    }
}

/// Nothing is visible before the commit, however much was written.
pub async fn invisible_before_commit(sink: &dyn Sink, folder: &ObjectKey) {
    let key = below(folder, "object");
    let bytes = pattern(6 * MIB, 3);
    let mut upload = sink.begin(&key, bytes.len() as u64).await.expect("begin");
    assert_absent(sink, folder, &key).await;
    for start in (0..bytes.len()).step_by(2 * MIB) {
        let part = bytes.slice(start..start + 2 * MIB);
        upload.write(part).await.expect("write");
        assert_absent(sink, folder, &key).await;
    }
    upload.commit().await.expect("commit");
    assert_holds(sink, &key, &bytes).await;
}

/// An upload that was given up leaves nothing, and the key is free.
pub async fn abort_leaves_nothing(sink: &dyn Sink, folder: &ObjectKey) {
    for (name, size) in [("none", 0), ("small", 10), ("parts", 6 * MIB)] {
        let key = below(folder, name);
        let bytes = pattern(size, 4);
        let mut upload = sink.begin(&key, size as u64).await.expect("begin");
        upload.write(bytes.clone()).await.expect("write");
        upload.abort().await.expect("abort");
        assert!(upload.commit().await.is_err(), "commit after abort");
        drop(upload);
        assert_eq!(unfinished(sink, folder).await, []);
        assert_absent(sink, folder, &key).await;
        sink.put(&key, Bytes::from_static(b"x")).await.expect("put");
        sink.delete(&key).await.expect("delete");
    }
}

/// An upload that was dropped leaves nothing, and the key is free.
pub async fn drop_leaves_nothing(sink: &dyn Sink, folder: &ObjectKey) {
    for (name, size) in [("none", 0), ("small", 10), ("parts", 6 * MIB)] {
        let key = below(folder, name);
        let mut upload = sink.begin(&key, size as u64).await.expect("begin");
        upload.write(pattern(size, 5)).await.expect("write");
        drop(upload);
        assert_absent(sink, folder, &key).await;
        sink.put(&key, Bytes::from_static(b"x")).await.expect("put");
        sink.delete(&key).await.expect("delete");
    }
}

/// A put onto what exists changes nothing. The same bytes are fine: it may be a repetition.
pub async fn put_refuses_to_replace(sink: &dyn Sink, folder: &ObjectKey) {
    let key = below(folder, "object");
    let first = pattern(100, 6);
    sink.put(&key, first.clone()).await.expect("put");
    for other in [
        pattern(100, 7),
        pattern(99, 6),
        pattern(101, 6),
        Bytes::new(),
    ] {
        let put = sink.put(&key, other).await;
        assert_class(put, Class::Conflict, "put of other bytes");
        assert_holds(sink, &key, &first).await;
    }
    let again = sink.put(&key, first.clone()).await;
    again.expect("put of the same bytes");
    assert_holds(sink, &key, &first).await;
}

/// A second upload of a key changes nothing, be its bytes the same: an upload knows whether it is a repetition.
pub async fn upload_refuses_to_replace(sink: &dyn Sink, folder: &ObjectKey) {
    let key = below(folder, "object");
    let first = pattern(100, 8);
    let mut early = sink.begin(&key, 100).await.expect("begin");
    early.write(pattern(50, 9)).await.expect("write");
    sink.put(&key, first.clone()).await.expect("put");
    let commit = early.commit().await;
    assert_class(commit, Class::Conflict, "commit of one that began before");
    early.abort().await.expect("abort");
    assert_holds(sink, &key, &first).await;

    for bytes in [first.clone(), pattern(100, 10)] {
        assert_class(
            upload(sink, &key, bytes).await,
            Class::Conflict,
            "second upload",
        );
        assert_holds(sink, &key, &first).await;
    }
}

/// The same for an object that is large enough to go in parts.
pub async fn parts_refuse_to_replace(sink: &dyn Sink, folder: &ObjectKey) {
    let key = below(folder, "object");
    let first = pattern(6 * MIB, 11);
    upload(sink, &key, first.clone()).await.expect("upload");
    for bytes in [pattern(6 * MIB, 12), first.clone()] {
        let second = upload(sink, &key, bytes).await;
        assert_class(second, Class::Conflict, "second upload");
    }
    let put = sink.put(&key, pattern(10, 12)).await;
    assert_class(put, Class::Conflict, "put");
    assert_holds(sink, &key, &first).await;
}

/// Keys come back as they were given.
pub async fn unusual_keys(sink: &dyn Sink, folder: &ObjectKey) {
    let long = "n".repeat(200);
    let names = [
        "with space",
        "a=1/b=2",
        "~tilde",
        "per%cent",
        "%41%2F",
        "plus+plus",
        "a&b;c,d:e@f",
        "quote'\"quote",
        "(brackets)[x]{y}<z>",
        "hash#question?star*",
        "dollar$caret^pipe|tick`",
        "ünïcödé/日本語/🦀",
        ".hidden",
        "trailing.",
        "...",
        "x!",
        "x-1",
        long.as_str(),
    ];
    for name in names {
        let key = below(folder, name);
        let bytes = Bytes::copy_from_slice(name.as_bytes());
        sink.put(&key, bytes.clone()).await.expect(name);
        assert_holds(sink, &key, &bytes).await;
    }
    let expected: BTreeSet<_> = names.iter().map(|name| below(folder, name)).collect();
    assert_eq!(listed(sink, folder).await, expected);
}

/// A range is read exactly or not at all.
pub async fn exact_ranges(sink: &dyn Sink, folder: &ObjectKey) {
    let key = below(folder, "object");
    let bytes = pattern(1_000, 13);
    sink.put(&key, bytes.clone()).await.expect("put");
    for (start, end) in [
        (0, 1),
        (0, 1_000),
        (1, 999),
        (999, 1_000),
        (500, 500),
        (0, 0),
    ] {
        let read = sink.read(&key, start as u64..end as u64).await;
        assert_eq!(read.expect("read"), bytes[start..end], "{start}..{end}");
        let streamed = streamed(sink, &key, start as u64..end as u64).await;
        assert_eq!(streamed.expect("stream"), bytes[start..end]);
    }
    for range in [0..1_001, 999..1_001, 1_000..1_001, 5_000..6_000] {
        let read = sink.read(&key, range.clone()).await;
        assert_class(read, Class::Corrupt, "read past the end");
        let streamed = streamed(sink, &key, range).await;
        assert_class(streamed, Class::Corrupt, "stream past the end");
    }
}

/// What isn't there is not found, and deleting it is fine.
pub async fn absent_objects(sink: &dyn Sink, folder: &ObjectKey) {
    sink.put(&below(folder, "there/object"), Bytes::from_static(b"x"))
        .await
        .expect("put");
    for name in ["absent", "absent/deeper", "there", "there/object2", "ther"] {
        let key = below(folder, name);
        assert_class(sink.head(&key).await, Class::NotFound, "head");
        assert_class(sink.read(&key, 0..1).await, Class::NotFound, "read");
        let streamed = streamed(sink, &key, 0..1).await;
        assert_class(streamed, Class::NotFound, "stream");
        sink.delete(&key).await.expect("delete of what is absent");
        let empty = listed(sink, &below(folder, "absent")).await;
        assert!(empty.is_empty(), "list of what is absent: {empty:?}");
    }
    sink.head(&below(folder, "there/object"))
        .await
        .expect("head");
}

/// Of several who put different bytes at once one wins, and the others know.
pub async fn one_of_many_puts_wins(sink: &dyn Sink, folder: &ObjectKey) {
    for round in 0..4 {
        let key = below(folder, &format!("object-{round}"));
        let contents: Vec<_> = (0..8).map(|writer| pattern(2_000, writer)).collect();
        let puts = contents.iter().map(|bytes| sink.put(&key, bytes.clone()));
        let results = join_all(puts).await;
        assert_one_winner(sink, &key, &contents, results).await;
    }
}

/// The same for uploads.
pub async fn one_of_many_uploads_wins(sink: &dyn Sink, folder: &ObjectKey) {
    for round in 0..4 {
        let key = below(folder, &format!("object-{round}"));
        let contents: Vec<_> = (0..8).map(|writer| pattern(2_000, writer)).collect();
        let uploads = contents
            .iter()
            .map(|bytes| upload(sink, &key, bytes.clone()));
        let results = join_all(uploads).await;
        assert_one_winner(sink, &key, &contents, results).await;
    }
}

/// Sizes around those at which a store cuts an object in parts.
pub async fn part_boundaries(sink: &dyn Sink, folder: &ObjectKey) {
    let sizes = [5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 11 * MIB];
    for size in sizes {
        let key = below(folder, &size.to_string());
        let bytes = pattern(size, 14);
        let mut upload = sink.begin(&key, size as u64).await.expect("begin");
        // Not a divisor of anything.
        for start in (0..size).step_by(1_000_003) {
            let part = bytes.slice(start..size.min(start + 1_000_003));
            upload.write(part).await.expect("write");
        }
        upload.commit().await.expect("commit");
        assert_holds(sink, &key, &bytes).await;
    }
    let key = below(folder, "at-once");
    let bytes = pattern(16 * MIB, 15);
    upload(sink, &key, bytes.clone()).await.expect("upload");
    assert_holds(sink, &key, &bytes).await;
}

/// A write or commit that was dropped half way is repeated, and no byte is lost or doubled.
pub async fn cancelled_write(sink: &dyn Sink, folder: &ObjectKey) {
    let key = below(folder, "object");
    let parts: Vec<_> = (0..6).map(|n| pattern(3 * MIB + 7, 20 + n)).collect();
    let whole: Vec<u8> = parts.iter().flatten().copied().collect();
    let mut upload = sink.begin(&key, whole.len() as u64).await.expect("begin");
    for part in &parts {
        let mut dropped = upload.write(part.clone());
        if futures::poll!(&mut dropped).is_ready() {
            continue;
        }
        drop(dropped);
        upload.write(part.clone()).await.expect("write");
    }
    let mut dropped = upload.commit();
    let _ = futures::poll!(&mut dropped);
    drop(dropped);
    upload.commit().await.expect("commit");
    assert_holds(sink, &key, &whole).await;

    let key = below(folder, "given-up");
    let mut upload = sink.begin(&key, 6).await.expect("begin");
    upload.write(pattern(6 * MIB, 30)).await.expect("write");
    let mut dropped = upload.write(pattern(6 * MIB, 31));
    let _ = futures::poll!(&mut dropped);
    drop(dropped);
    drop(upload);
    assert_class(sink.head(&key).await, Class::NotFound, "head");
}

/// What was written is copied or gone when the call returns, however much of it there is: no handle on it is kept.
pub async fn written_bytes_are_released(sink: &dyn Sink, folder: &ObjectKey) {
    let key = below(folder, "object");
    let part = pattern(3 * MIB + 7, 40);
    let mut upload = sink.begin(&key, 0).await.expect("begin");
    for _ in 0..4 {
        let owner: Arc<[u8]> = Arc::from(&part[..]);
        let bytes = Bytes::from_owner(Arc::clone(&owner));
        upload.write(bytes).await.expect("write");
        assert_eq!(Arc::strong_count(&owner), 1, "a handle is kept");
    }
    upload.commit().await.expect("commit");
    assert_holds(sink, &key, &part.repeat(4)).await;
}

/// A list is of what is below a folder, at any depth, and of nothing beside it.
pub async fn list_a_folder(sink: &dyn Sink, folder: &ObjectKey) {
    let names = ["a/1", "a/b/2", "a/b/c/3", "ab/4", "a-b/5", "b"];
    for name in names {
        let bytes = Bytes::copy_from_slice(name.as_bytes());
        sink.put(&below(folder, name), bytes).await.expect("put");
    }
    let keys =
        |names: &[&str]| -> BTreeSet<_> { names.iter().map(|name| below(folder, name)).collect() };
    assert_eq!(listed(sink, folder).await, keys(&names));
    let a = listed(sink, &below(folder, "a")).await;
    assert_eq!(a, keys(&["a/1", "a/b/2", "a/b/c/3"]));
    let deeper = listed(sink, &below(folder, "a/b/c")).await;
    assert_eq!(deeper, keys(&["a/b/c/3"]));

    let everything: Vec<_> = sink.list(None).try_collect().await.expect("list");
    let one = below(folder, "a/b/2");
    let found = everything.iter().find(|meta| meta.key == one);
    assert_eq!(found.map(|meta| meta.bytes), Some(5));
}

/// What is deleted is gone at once, and its key is free.
pub async fn list_after_delete(sink: &dyn Sink, folder: &ObjectKey) {
    let keys: Vec<_> = (0..20).map(|n| below(folder, &format!("f/{n}"))).collect();
    for key in &keys {
        sink.put(key, Bytes::from_static(b"x")).await.expect("put");
    }
    for (n, key) in keys.iter().enumerate() {
        sink.delete(key).await.expect("delete");
        sink.delete(key).await.expect("delete again");
        assert_class(sink.head(key).await, Class::NotFound, "head");
        let left: BTreeSet<_> = keys[n + 1..].iter().cloned().collect();
        assert_eq!(listed(sink, folder).await, left);
    }
    let again = pattern(10, 16);
    sink.put(&keys[0], again.clone()).await.expect("put");
    assert_holds(sink, &keys[0], &again).await;
}

/// An upload that a store keeps something of is among the unfinished ones until it ends; one that is discarded can't go on.
pub async fn unfinished_uploads(sink: &dyn Sink, folder: &ObjectKey) {
    assert_eq!(unfinished(sink, folder).await, []);
    let bytes = pattern(11 * MIB, 14);
    let key = below(folder, "a/object");
    let mut upload = sink.begin(&key, bytes.len() as u64).await.expect("begin");
    upload.write(bytes.clone()).await.expect("write");
    assert_eq!(unfinished(sink, &below(folder, "b")).await, []);
    let found = unfinished(sink, folder).await;
    assert!(found.len() <= 1, "{found:?}");
    for one in &found {
        let is_below = one.key.as_str().starts_with(&format!("{folder}/a/"));
        assert!(is_below, "{one:?} isn't below {folder}");
        sink.discard(one).await.expect("discard");
        sink.discard(one).await.expect("a repeated discard");
        assert!(upload.commit().await.is_err(), "commit after discard");
        assert_eq!(unfinished(sink, folder).await, []);
        assert_absent(sink, folder, &key).await;
    }
    upload.abort().await.expect("abort");
    let mut upload = sink.begin(&key, bytes.len() as u64).await.expect("begin");
    upload.write(bytes.clone()).await.expect("write");
    upload.commit().await.expect("commit");
    assert_eq!(unfinished(sink, folder).await, []);
    assert_holds(sink, &key, &bytes).await;
}

async fn unfinished(sink: &dyn Sink, folder: &ObjectKey) -> Vec<UnfinishedUpload> {
    let items = sink.unfinished(Some(folder));
    items.try_collect().await.expect("list unfinished uploads")
}

async fn upload(
    sink: &dyn Sink,
    key: &ObjectKey,
    bytes: Bytes,
) -> Result<(), teeline_core::BackupError> {
    let mut upload = sink.begin(key, bytes.len() as u64).await?;
    upload.write(bytes).await?;
    let committed = upload.commit().await;
    if committed.is_err() {
        upload.abort().await?;
    }
    committed
}

async fn assert_one_winner(
    sink: &dyn Sink,
    key: &ObjectKey,
    contents: &[Bytes],
    results: Vec<Result<(), teeline_core::BackupError>>,
) {
    let mut winners = Vec::new();
    for (content, result) in contents.iter().zip(results) {
        match result {
            Ok(()) => winners.push(content),
            Err(error) => assert_eq!(error.class(), Class::Conflict, "{error}"),
        }
    }
    assert_eq!(winners.len(), 1, "winners of {key}");
    assert_holds(sink, key, winners[0]).await;
}

async fn assert_holds(sink: &dyn Sink, key: &ObjectKey, bytes: &[u8]) {
    let meta = sink.head(key).await.expect("head");
    assert_eq!(meta.key, *key);
    assert_eq!(meta.bytes, bytes.len() as u64, "size of {key}");
    let read = sink.read(key, 0..bytes.len() as u64).await.expect("read");
    // Not assert_eq: nobody reads megabytes of difference.
    assert!(read == bytes, "{key} holds other bytes than were written");
    let streamed = streamed(sink, key, 0..bytes.len() as u64).await;
    assert!(
        streamed.expect("stream") == bytes,
        "{key} streams other bytes than were written"
    );
}

async fn streamed(
    sink: &dyn Sink,
    key: &ObjectKey,
    range: Range<u64>,
) -> Result<Vec<u8>, BackupError> {
    let pieces = sink.stream(key, range);
    let append = |mut read: Vec<u8>, piece: Bytes| async move {
        read.extend_from_slice(&piece);
        Ok(read)
    };
    pieces.try_fold(Vec::new(), append).await
}

async fn assert_absent(sink: &dyn Sink, folder: &ObjectKey, key: &ObjectKey) {
    assert_class(sink.head(key).await, Class::NotFound, "head");
    assert_class(sink.read(key, 0..1).await, Class::NotFound, "read");
    let listed = listed(sink, folder).await;
    assert!(listed.is_empty(), "something is listed: {listed:?}");
}

fn assert_class<T>(result: Result<T, BackupError>, class: Class, what: &str) {
    match result {
        Ok(_) => panic!("{what} succeeded; {class:?} was expected"),
        Err(error) => assert_eq!(error.class(), class, "{what}: {error}"),
    }
}

async fn listed(sink: &dyn Sink, folder: &ObjectKey) -> BTreeSet<ObjectKey> {
    let items: Vec<_> = sink.list(Some(folder)).try_collect().await.expect("list");
    let count = items.len();
    let keys: BTreeSet<_> = items.into_iter().map(|item| item.key).collect();
    assert_eq!(keys.len(), count, "a key is listed twice");
    keys
}

fn below(folder: &ObjectKey, name: &str) -> ObjectKey {
    folder.join(name).expect("a usable key")
}

/// Bytes that differ from place to place and from seed to seed, so that parts which were mixed up are found.
fn pattern(length: usize, seed: u64) -> Bytes {
    let random = teeline_core::Random::new(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}
