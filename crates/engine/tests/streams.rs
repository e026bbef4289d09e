//! Data files that are one stream each: other decoders read them whole, their chunks decode alone, and what stands around
//! the chunks is looked at as they are.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use std::io::Read;

use common::{assert_idle, engine, objects, records, request, store, whole};
use flate2::bufread::ZlibDecoder;
use teeline::sinks::MemorySink;
use teeline::{
    Compression, CopyState, DestinationSpec, Engine, Executor, RepairRequest, RepairStatus,
    RestoreRequest, RestoreTarget, Sink, SyncRequest, SyncStatus, VerifyRequest, Which, exit,
};
use teeline_core::{Manifest, ObjectKey, document};

const STREAMS: [&str; 2] = ["deflate", "brotli"];

/// A backup whose files are streams, at one destination.
struct Made {
    engine: Engine,
    sink: MemorySink,
    at: DestinationSpec,
    compression: Compression,
    lines: Vec<u8>,
    path: String,
}

impl Made {
    async fn new(compression: &str, records_count: u64) -> Self {
        let engine = engine(Executor::Threads(2));
        let lines = records(records_count);
        let (sink, at) = store("first");
        let mut asked = request(&lines, std::slice::from_ref(&at));
        asked.compression = compression.parse().unwrap();
        let compression = asked.compression;
        let report = engine.backup(asked).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        assert_idle(&engine);
        Made {
            engine,
            sink,
            at,
            compression,
            lines,
            path: report.id.unwrap().to_string(),
        }
    }

    fn key(&self, file: &str) -> ObjectKey {
        ObjectKey::new(format!("{}/{file}", self.path)).unwrap()
    }

    async fn manifest(&self) -> Manifest {
        let bytes = whole(&self.sink, &self.key("manifest.json")).await;
        document::open("manifest", &bytes).unwrap()
    }

    async fn data_files(&self) -> Vec<(ObjectKey, Vec<u8>)> {
        let mut files = Vec::new();
        for segment in &self.manifest().await.resources[0].segments {
            let key = self.key(&segment.file);
            let bytes = whole(&self.sink, &key).await.to_vec();
            assert_eq!(bytes.len() as u64, segment.stored_bytes, "{key}");
            files.push((key, bytes));
        }
        files
    }

    /// Whether the backup can be restored, and what comes of it.
    async fn restored(&self) -> Option<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let target = RestoreTarget::Folder(folder.path().join("restored"));
        let at = vec![self.at.clone()];
        let request = RestoreRequest::new(Which::Latest, at, target);
        let report = self.engine.restore(request).await;
        let lines = std::fs::read(folder.path().join("restored/events.jsonl")).ok();
        assert_eq!(report.exit_code() == exit::DONE, lines.is_some());
        lines
    }
}

/// What the library of another decoder makes of a whole file, which must be one stream to its last byte.
fn decoded(compression: Compression, file: &[u8]) -> Vec<u8> {
    let mut rest = file;
    let mut plain = Vec::new();
    match compression {
        Compression::Deflate { .. } => {
            ZlibDecoder::new(&mut rest).read_to_end(&mut plain).unwrap();
        }
        Compression::Brotli { .. } => {
            brotli::BrotliDecompress(&mut rest, &mut plain).unwrap();
        }
        other => panic!("{other} has chunks that are streams themselves"),
    }
    assert!(rest.is_empty(), "{} bytes behind the stream", rest.len());
    plain
}

#[tokio::test]
async fn each_file_is_one_stream_and_all_of_it_comes_back() {
    for name in STREAMS {
        let made = Made::new(name, 2500).await;
        let files = made.data_files().await;
        assert!(files.len() >= 3, "{name}: {} files", files.len());
        let plain: Vec<u8> = files
            .iter()
            .flat_map(|(_, file)| decoded(made.compression, file))
            .collect();
        assert!(plain == made.lines, "{name}");
        for segment in &made.manifest().await.resources[0].segments {
            assert!(segment.stored_bytes <= 16 << 10, "{segment:?}");
        }
        assert!(made.restored().await.unwrap() == made.lines, "{name}");
        // Who has no decoder for it refuses it by its version, and doesn't call it damaged.
        for document in ["manifest.json", "run.json"] {
            let bytes = whole(&made.sink, &made.key(document)).await;
            let begins = String::from_utf8_lossy(&bytes[..60]).into_owned();
            assert!(begins.contains("\"version\":3,"), "{begins}");
        }
    }
}

#[tokio::test]
async fn a_resource_without_records_is_a_stream_of_nothing() {
    for name in STREAMS {
        let made = Made::new(name, 0).await;
        let [(_, file)] = &made.data_files().await[..] else {
            panic!("{name}: one file")
        };
        assert_eq!(decoded(made.compression, file), b"");
        assert_eq!(made.restored().await.unwrap(), b"");
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_a_file_is_found() {
    for name in STREAMS {
        let made = Made::new(name, 60).await;
        let (key, file) = made.data_files().await.remove(0);
        let mut around = 0;
        for position in 0..file.len() {
            let mut damaged = file.clone();
            damaged[position] ^= 1 << (position % 8);
            made.sink.overwrite(&key, &damaged);
            let verified = made
                .engine
                .verify(VerifyRequest::new(vec![made.at.clone()]))
                .await;
            let place = format!("{name} at {position}: {verified:?}");
            assert_eq!(verified.exit_code(), exit::DAMAGED, "{place}");
            let copy = &verified.backups[0].destinations[0];
            assert_eq!(copy.status, CopyState::Damaged, "{place}");
            assert_eq!(copy.damage[0].file, key.as_str(), "{place}");
            // What stands around the chunks is no part of a record.
            let restored = made.restored().await;
            match copy.damage[0].chunk {
                Some(_) => assert_eq!(restored, None, "{place}"),
                None => {
                    around += 1;
                    assert!(restored.unwrap() == made.lines, "{place}");
                }
            }
        }
        assert!(around > 0 && around < 16, "{name}: {around}");
    }
}

#[tokio::test]
async fn a_copy_is_completed_and_a_manifest_made_again() {
    for name in STREAMS {
        let made = Made::new(name, 500).await;
        let before = objects(&made.sink).await;
        let (second, at_second) = store("second");
        let both = vec![made.at.clone(), at_second];
        let synced = made.engine.sync(SyncRequest::new(both.clone())).await;
        assert_eq!(synced.exit_code(), exit::DONE, "{synced:?}");
        let statuses = synced.backups[0].destinations.iter();
        assert!(
            statuses
                .clone()
                .any(|copy| copy.status == SyncStatus::Copied),
            "{synced:?}"
        );
        assert!(objects(&second).await == before, "{name}");

        let manifest = made.key("manifest.json");
        let lost = whole(&made.sink, &manifest).await;
        made.sink.delete(&manifest).await.unwrap();
        let again = RepairRequest::rebuild_manifests(vec![made.at.clone()]);
        let repaired = made.engine.repair(again).await;
        let copy = &repaired.runs[0].destinations[0];
        assert_eq!(copy.status, RepairStatus::Reconstructed, "{repaired:?}");
        assert!(whole(&made.sink, &manifest).await == lost, "{name}");
    }
}

#[tokio::test]
async fn damage_around_the_chunks_is_not_copied() {
    for name in STREAMS {
        let made = Made::new(name, 60).await;
        let (key, mut file) = made.data_files().await.remove(0);
        file[0] ^= 1;
        made.sink.overwrite(&key, &file);
        let (second, at_second) = store("second");
        let synced = made
            .engine
            .sync(SyncRequest::new(vec![made.at.clone(), at_second]))
            .await;
        assert_ne!(synced.exit_code(), exit::DONE, "{synced:?}");
        assert!(!second.keys().contains(&key));
    }
}
