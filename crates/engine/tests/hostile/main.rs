//! Stored documents whose digests fit and that say what can't be: each is damage, and none takes the process with it.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "../common/mod.rs"]
mod common;
mod sizes;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use common::{engine, records, request, store, whole};
use teeline::sinks::MemorySink;
use teeline::{
    BackupError, BackupRequest, Class, DestinationSpec, Digest, Engine, Executor, JsonlSource,
    RestoreReport, RestoreRequest, RestoreStatus, RestoreTarget, Sink, Target, Timestamp,
    VerifyReport, VerifyRequest, Which, exit,
};
use teeline_core::{
    AttachmentEntry, CatalogEntry, ChunkEntry, Encoder, Frame, Index, IndexBuilder, Manifest,
    ObjectKey, Restoring, SealedManifest, document, layout,
};

/// A backup of one segment, and what its documents say.
struct Stored {
    engine: Engine,
    sink: MemorySink,
    at: DestinationSpec,
    entry: CatalogEntry,
    manifest: Manifest,
    chunks: Vec<ChunkEntry>,
}

impl Stored {
    async fn new() -> Self {
        let engine = engine(Executor::Threads(1));
        let (sink, at) = store("one");
        let asked = request(&records(100), std::slice::from_ref(&at));
        assert_eq!(engine.backup(asked).await.exit_code(), 0);
        let is_entry = |key: &ObjectKey| key.as_str().starts_with("catalog/");
        let key = sink.keys().into_iter().find(is_entry).unwrap();
        let entry: CatalogEntry = document::open("entry", &whole(&sink, &key).await).unwrap();
        let at_path = |file: &str| ObjectKey::new(format!("{}/{file}", entry.path)).unwrap();
        let manifest = whole(&sink, &at_path(layout::MANIFEST)).await;
        let manifest: Manifest = document::open("manifest", &manifest).unwrap();
        let index = &manifest.resources[0].segments[0].index;
        let index = whole(&sink, &at_path(index)).await;
        let chunks = Index::parse("index", &index).unwrap().chunks;
        Stored {
            engine,
            sink,
            at,
            entry,
            manifest,
            chunks,
        }
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        let key = ObjectKey::new(format!("{}/{file}", self.manifest.id)).unwrap();
        self.sink.overwrite(&key, bytes);
    }

    /// Writes an index of the chunks, and lets the manifest say of the segment what the index does.
    fn write_index(&mut self) {
        let segment = &mut self.manifest.resources[0].segments[0];
        let mut builder = IndexBuilder::new(&self.manifest.id, &segment.file, b"").unwrap();
        for chunk in &self.chunks {
            let line = format!("{}\n", serde_json::json!({ "chunk": chunk }));
            let fragment = Encoder::gzip(6).encode(line.as_bytes()).unwrap();
            builder.push(chunk, &fragment);
        }
        let (index, sums, blake3) = builder.finish(b"", None).unwrap();
        segment.plain_bytes = sums.plain;
        (segment.blake3, segment.index_bytes) = (blake3, index.len() as u64);
        segment.index_blake3 = Digest::of(&index);
        let name = segment.index.clone();
        self.put(&name, &index);
    }

    /// Writes the manifest, and the entry that leads to it.
    fn write_manifest(&mut self) {
        let sealed = document::seal(&self.manifest);
        self.put(layout::MANIFEST, &sealed);
        self.entry.checksum = Digest::of(&sealed);
        self.entry.manifest_bytes = sealed.len() as u64;
        self.write_entry_at(self.entry.started_at);
    }

    /// Writes the entry under the key of a time.
    fn write_entry_at(&self, time: Timestamp) {
        let key = layout::catalog_entry(&self.entry.id, time).unwrap();
        self.sink.overwrite(&key, &document::seal(&self.entry));
    }

    async fn verify(&self) -> VerifyReport {
        self.engine
            .verify(VerifyRequest::new(vec![self.at.clone()]))
            .await
    }

    async fn verify_deeply(&self) -> VerifyReport {
        let mut asked = VerifyRequest::new(vec![self.at.clone()]);
        asked.deep = true;
        self.engine.verify(asked).await
    }

    /// Lets the backup hold these lines, as a single chunk.
    fn write_lines(&mut self, lines: &[u8]) {
        let encoded = Encoder::gzip(6).encode(lines).unwrap();
        let (plain, stored) = (lines.len() as u64, encoded.len() as u64);
        self.chunks.truncate(1);
        let chunk = &mut self.chunks[0];
        (chunk.plain, chunk.stored) = (plain, stored);
        (chunk.records, chunk.blake3) = (100, Digest::of(&encoded));
        let segment = &mut self.manifest.resources[0].segments[0];
        (segment.chunks, segment.stored_bytes) = (1, stored);
        let file = segment.file.clone();
        self.put(&file, &encoded);
        self.write_index();
        self.write_manifest();
    }

    async fn restore(&self) -> RestoreReport {
        let folder = tempfile::tempdir().unwrap();
        let target = RestoreTarget::Folder(folder.path().join("restored"));
        self.engine
            .restore(RestoreRequest::new(
                Which::Latest,
                vec![self.at.clone()],
                target,
            ))
            .await
    }

    async fn assert_damaged(&self, what: &str) {
        let (verified, restored) = (self.verify().await, self.restore().await);
        assert_eq!(verified.exit_code(), 13, "{what}: {verified:?}");
        assert_eq!(restored.exit_code(), 13, "{what}: {restored:?}");
    }
}

#[tokio::test]
async fn the_forger_of_this_test_can_do_it_right() {
    let mut stored = Stored::new().await;
    stored.write_index();
    stored.write_manifest();
    assert_eq!(stored.verify().await.exit_code(), 0);
    assert_eq!(stored.restore().await.exit_code(), 0);
}

#[tokio::test]
async fn a_copy_whose_digests_are_right_may_hold_something_else() {
    let unlike = [b"no JSON\n".to_vec(), records(99)].concat();
    for (lines, expected) in [
        (records(100), Ok(0)),
        (unlike, Ok(1)),
        (
            records(99),
            Err("99 records were read, the manifest has 100"),
        ),
        (
            records(101),
            Err("101 records were read, the manifest has 100"),
        ),
        (Vec::new(), Err("0 records were read, the manifest has 100")),
    ] {
        let mut stored = Stored::new().await;
        stored.write_lines(&lines);
        assert_eq!(
            stored.verify().await.exit_code(),
            0,
            "every digest is right"
        );
        let report = stored.verify_deeply().await;
        let copy = &report.backups[0].destinations[0];
        match expected {
            Ok(not_json) => {
                let contained = copy.contained.unwrap();
                assert_eq!((contained.records, contained.not_json), (100, not_json));
                assert_eq!(report.exit_code(), 0);
            }
            Err(message) => {
                assert_eq!(report.exit_code(), 13);
                assert!(copy.damage[0].message.contains(message), "{copy:?}");
                assert!(copy.contained.is_none());
            }
        }
    }
}

#[tokio::test]
async fn what_somebody_writes_says_nothing_in_a_document_s_name() {
    let forged = r#"a","records":9,"blake3":"00"}"#;
    let folder = tempfile::tempdir().unwrap();
    let line = serde_json::json!({ "id": forged, "manifest.json": { "blake3": forged } });
    let lines = format!("{line}\n{line}\n");
    std::fs::write(folder.path().join(format!("{forged}.jsonl")), &lines).unwrap();
    let (sink, at) = store("here");
    let engine = Engine::new().unwrap();
    let source = JsonlSource::path(folder.path());
    let mut asked = BackupRequest::new(source, vec![at.clone()]);
    let said = serde_json::from_value(serde_json::json!({ "label": forged }));
    asked.metadata = said.unwrap();
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");

    let id = report.id.unwrap();
    let manifest = ObjectKey::new(format!("{id}/manifest.json")).unwrap();
    let bytes = whole(&sink, &manifest).await;
    let sealed = SealedManifest::open("it", bytes).unwrap();
    let [resource] = &sealed.manifest.resources[..] else {
        panic!("{:?}", sealed.manifest.resources);
    };
    assert_eq!((resource.name.as_str(), resource.records), (forged, 2));
    assert_eq!(sealed.manifest.totals.records, 2);
    let verified = engine.verify(VerifyRequest::new(vec![at.clone()])).await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
    let target = folder.path().join("restored");
    let request = RestoreRequest::new(
        Which::Latest,
        vec![at],
        RestoreTarget::Folder(target.clone()),
    );
    let restored = engine.restore(request).await;
    assert_eq!(restored.exit_code(), exit::DONE, "{restored:?}");
    let files: Vec<_> = std::fs::read_dir(&target).unwrap().collect();
    let [Ok(file)] = &files[..] else {
        panic!("{files:?}");
    };
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), lines);
}

#[tokio::test]
async fn names_that_are_no_keys() {
    type Forge = fn(&mut Stored);
    let forgeries: [(&str, Forge); 4] = [
        ("path", |s| s.entry.path = "../outside".to_owned()),
        ("data file", |s| {
            s.manifest.resources[0].segments[0].file = "a//b".to_owned();
        }),
        ("index", |s| {
            s.manifest.resources[0].segments[0].index = "..".to_owned();
        }),
        ("attachment", |s| {
            let bytes = AttachmentEntry::new("\u{1b}[2J", b"");
            s.manifest.attachments.push(bytes);
        }),
    ];
    for (what, forge) in forgeries {
        let mut stored = Stored::new().await;
        forge(&mut stored);
        stored.write_manifest();
        let verified = stored.verify().await;
        assert_eq!(verified.exit_code(), 13, "{what}: {verified:?}");
        if what != "attachment" {
            let restored = stored.restore().await;
            assert_eq!(restored.exit_code(), 13, "{what}: {restored:?}");
        }
    }
}

#[tokio::test]
async fn entries_that_are_not_where_they_belong_or_come_twice() {
    let later = |time: Timestamp| Timestamp::from_unix_ms(time.unix_ms() + 3_600_000);

    let stored = Stored::new().await;
    stored.write_entry_at(later(stored.entry.started_at));
    let listed = stored.engine.list(std::slice::from_ref(&stored.at)).await;
    assert_eq!((listed.exit_code(), listed.backups.len()), (13, 1));
    assert_eq!(listed.backups[0].destinations, ["one"]);

    let right = layout::catalog_entry(&stored.entry.id, stored.entry.started_at).unwrap();
    stored.sink.delete(&right).await.unwrap();
    let listed = stored.engine.list(std::slice::from_ref(&stored.at)).await;
    assert_eq!((listed.exit_code(), listed.backups.len()), (13, 0));

    let mut stored = Stored::new().await;
    stored.entry.started_at = later(stored.entry.started_at);
    stored.write_entry_at(stored.entry.started_at);
    let listed = stored.engine.list(std::slice::from_ref(&stored.at)).await;
    assert_eq!((listed.exit_code(), listed.backups.len()), (13, 1));
    assert_eq!(listed.backups[0].destinations, ["one"]);
    let error = &listed.errors[0].error;
    assert!(
        error.message.contains("the backup's id doesn't say"),
        "{error:?}"
    );
    assert_eq!(stored.verify().await.exit_code(), 13);
    // The right one isn't displaced: by its time it is kept or goes, and it restores.
    let right: Timestamp = listed.backups[0].timestamp;
    assert_eq!(later(right), stored.entry.started_at);
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("restored"));
    let which = Which::Id(stored.entry.id.clone());
    let restored = RestoreRequest::new(which, vec![stored.at.clone()], target);
    let restored = stored.engine.restore(restored).await;
    assert_eq!(restored.status, RestoreStatus::Completed, "{restored:?}");
}

#[tokio::test]
async fn an_old_entry_under_a_newer_key_is_not_the_latest_backup() {
    let engine = engine(Executor::Threads(1));
    let (sink, at) = store("one");
    let mut ids = Vec::new();
    for (hour, backup_type) in [(1, "old"), (2, "new")] {
        let time = Timestamp::from_unix_ms(hour * 3_600_000);
        let engine = Engine::builder()
            .workers(1)
            .clock(Arc::new(move || time))
            .build()
            .unwrap();
        let mut asked = request(&records(10), std::slice::from_ref(&at));
        asked.backup_type = backup_type.parse().unwrap();
        ids.push(engine.backup(asked).await.id.unwrap());
    }
    let old = layout::catalog_entry(&ids[0], Timestamp::from_unix_ms(3_600_000)).unwrap();
    let forged = layout::catalog_entry(&ids[0], Timestamp::from_unix_ms(9 * 3_600_000)).unwrap();
    sink.overwrite(&forged, &whole(&sink, &old).await);
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("restored"));
    let restored = engine
        .restore(RestoreRequest::new(Which::Latest, vec![at], target))
        .await;
    assert_eq!(restored.id.as_ref(), Some(&ids[1]), "{restored:?}");
}

#[tokio::test]
async fn of_two_that_differ_neither_is_restored() {
    let engine = engine(Executor::Threads(1));
    let ((one, first), (other, second)) = (store("first"), store("second"));
    let both = [first, second];
    let report = engine.backup(request(&records(10), &both)).await;
    let id = report.id.unwrap();
    // Somebody who can write to one of them makes it another backup of that id, each digest right.
    let key = ObjectKey::new(format!("{id}/manifest.json")).unwrap();
    let bytes = whole(&other, &key).await;
    let mut manifest: Manifest = document::open("manifest.json", &bytes).unwrap();
    manifest.source.location = "elsewhere".to_owned();
    let sealed = SealedManifest::open("manifest.json", document::seal(&manifest)).unwrap();
    other.overwrite(&key, &sealed.bytes);
    let entry = layout::catalog_entry(&id, manifest.started_at).unwrap();
    other.overwrite(&entry, &document::seal(&sealed.entry(id.as_str())));
    let before = one.keys();
    let restore = async |at: &[DestinationSpec]| {
        let folder = tempfile::tempdir().unwrap();
        let target = RestoreTarget::Folder(folder.path().join("restored"));
        let asked = RestoreRequest::new(Which::Latest, at.to_vec(), target);
        let report = engine.restore(asked).await;
        assert_eq!(
            folder.path().join("restored").exists(),
            report.error.is_none()
        );
        report
    };
    for at in [both.clone(), [both[1].clone(), both[0].clone()]] {
        let refused = restore(&at).await;
        let error = refused.error.unwrap();
        assert_eq!(error.class, Class::Conflict, "{error:?}");
        let checksum = report.checksum.unwrap().to_string();
        for part in [&*at[1].name, &*checksum] {
            assert!(error.message.contains(part), "{part}: {error:?}");
        }
    }
    assert_eq!(restore(&both[..1]).await.exit_code(), exit::DONE);
    assert_eq!(one.keys(), before);
}

async fn assert_restores_from(engine: &Engine, at: &[DestinationSpec], lines: &[u8], code: u8) {
    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("restored"));
    let asked = RestoreRequest::new(Which::Latest, at.to_vec(), target);
    let restored = engine.restore(asked).await;
    assert_eq!(restored.exit_code(), code, "{restored:?}");
    let found = std::fs::read(folder.path().join("restored/events.jsonl")).unwrap();
    assert!(found == lines);
}

/// Where a backup is at one destination says nothing of where it is at another.
#[tokio::test]
async fn one_that_says_another_folder_leads_no_other_copy_astray() {
    let engine = engine(Executor::Threads(1));
    let ((one, first), (_, second)) = (store("first"), store("second"));
    let lines = records(100);
    let both = [first, second];
    let id = engine.backup(request(&lines, &both)).await.id.unwrap();
    // The manifest is authentic, and all else is gone.
    let moved = ObjectKey::new("evil/manifest.json").unwrap();
    let folder = ObjectKey::new(id.as_str()).unwrap();
    let manifest = whole(&one, &folder.join(layout::MANIFEST).unwrap()).await;
    one.overwrite(&moved, &manifest);
    let sealed = SealedManifest::open("manifest.json", manifest).unwrap();
    let entry = layout::catalog_entry(&id, sealed.manifest.started_at).unwrap();
    one.overwrite(&entry, &document::seal(&sealed.entry("evil")));
    for key in one.keys() {
        if key.as_str().starts_with(folder.as_str()) {
            one.delete(&key).await.unwrap();
        }
    }
    assert_restores_from(&engine, &both, &lines, exit::DEGRADED).await;
    let swapped = [both[1].clone(), both[0].clone()];
    assert_restores_from(&engine, &swapped, &lines, exit::DONE).await;
}

/// A target that panics when it is to take lines.
#[derive(Debug)]
struct Panics {
    aborted: Arc<AtomicBool>,
}

impl fmt::Display for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a target that panics")
    }
}

#[async_trait::async_trait]
impl Target for Panics {
    fn is_staged(&self) -> bool {
        true
    }
    async fn check(&mut self, _: &Restoring) -> Result<(), BackupError> {
        Ok(())
    }
    async fn begin(&mut self, _: &Restoring) -> Result<(), BackupError> {
        Ok(())
    }
    async fn lines(&mut self, _: &str, _: Bytes) -> Result<(), BackupError> {
        panic!("on purpose")
    }
    async fn frames(&mut self, _: Vec<Frame>) -> Result<(), BackupError> {
        Ok(())
    }
    async fn finish(&mut self) -> Result<(), BackupError> {
        Ok(())
    }
    async fn abort(&mut self) -> Result<(), BackupError> {
        self.aborted.store(true, Ordering::Release);
        Ok(())
    }
}

#[tokio::test]
async fn what_a_panic_left_half_restored_is_taken_back() {
    let stored = Stored::new().await;
    let aborted = Arc::new(AtomicBool::new(false));
    let target = RestoreTarget::Custom(Box::new(Panics {
        aborted: Arc::clone(&aborted),
    }));
    let restored = stored
        .engine
        .restore(RestoreRequest::new(
            Which::Latest,
            vec![stored.at.clone()],
            target,
        ))
        .await;
    assert_eq!(restored.exit_code(), 1, "{restored:?}");
    assert!(restored.error.unwrap().message.contains("panicked"));
    assert_eq!(restored.id.as_ref(), Some(&stored.manifest.id));
    assert!(aborted.load(Ordering::Acquire));
}
