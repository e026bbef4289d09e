//! Chains of JSON lines, which have no keys: told apart by what they say.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use proptest::prelude::*;
use teeline::{
    BackupReport, BackupRequest, ConsolidateRequest, DestinationSpec, Engine, JsonlSource,
    RestoreRequest, RestoreTarget, Timestamp, VerifyRequest, Which, WhichBackups,
};

use crate::common::{assert_idle, store};

const RESOURCES: [&str; 2] = ["events", "users"];

struct Site {
    engine: Engine,
    folder: tempfile::TempDir,
    at: Vec<DestinationSpec>,
}

impl Site {
    fn new() -> Self {
        let now = Arc::new(AtomicI64::new(1_795_399_200_000));
        let engine = Engine::builder()
            .workers(1)
            .clock(Arc::new(move || {
                Timestamp::from_unix_ms(now.fetch_add(1, Ordering::SeqCst))
            }))
            .build()
            .unwrap();
        Site {
            engine,
            folder: tempfile::tempdir().unwrap(),
            at: vec![store("copy").1],
        }
    }

    fn write(&self, resource: &str, lines: &[String]) {
        let source = self.folder.path().join("source");
        std::fs::create_dir_all(&source).unwrap();
        let file = source.join(format!("{resource}.jsonl"));
        match lines.is_empty() {
            // The file is gone then, and with it the resource.
            true => drop(std::fs::remove_file(file)),
            false => std::fs::write(file, lines.concat()).unwrap(),
        }
    }

    async fn backup(&self, backup_type: &str) -> BackupReport {
        let source = JsonlSource::path(self.folder.path().join("source"));
        let mut request = BackupRequest::new(source, self.at.clone());
        request.backup_type = backup_type.parse().unwrap();
        let report = self.engine.backup(request).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        report
    }

    async fn restored(&self, which: Which) -> Vec<(&'static str, Vec<String>)> {
        let to = self.folder.path().join("restored");
        let target = RestoreTarget::Folder(to.clone());
        let request = RestoreRequest::new(which, self.at.clone(), target);
        let report = self.engine.restore(request).await;
        assert!(report.error.is_none(), "{report:?}");
        let restored = RESOURCES.map(|resource| (resource, lines_of(&to, resource)));
        std::fs::remove_dir_all(to).unwrap();
        restored.into()
    }

    fn source(&self) -> Vec<(&'static str, Vec<String>)> {
        let folder = self.folder.path().join("source");
        RESOURCES
            .map(|resource| (resource, lines_of(&folder, resource)))
            .into()
    }
}

/// In any order: lines of a chain come by backup.
fn lines_of(folder: &Path, resource: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(format!("{resource}.jsonl")));
    let text = text.unwrap_or_default();
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn line(number: u8) -> String {
    format!("{{\"n\":{number}}}\n")
}

#[derive(Debug, Clone)]
struct Version {
    /// Few different lines, so that many are there several times.
    lines: [Vec<u8>; 2],
    full: bool,
}

fn versions() -> impl Strategy<Value = Vec<Version>> {
    let lines = || prop::collection::vec(0_u8..6, 0..12);
    let version = ([lines(), lines()], prop::bool::weighted(0.2));
    let version = version.prop_map(|(lines, full)| Version { lines, full });
    prop::collection::vec(version, 1..6)
}

async fn assert_restores(versions: &[Version]) {
    let site = Site::new();
    let mut expected = Vec::new();
    for version in versions {
        for (resource, lines) in RESOURCES.iter().zip(&version.lines) {
            let lines: Vec<String> = lines.iter().map(|number| line(*number)).collect();
            site.write(resource, &lines);
        }
        // A folder without any file is no source.
        site.write("always", &[line(9)]);
        let backup_type = if version.full { "full" } else { "incremental" };
        let made = site.backup(backup_type).await;
        expected.push((made.id.unwrap(), site.source(), made.record_count));
    }
    for (id, source, records) in &expected {
        assert_eq!(site.restored(Which::Id(id.clone())).await, *source);
        let there: usize = source.iter().map(|(_, lines)| lines.len()).sum();
        assert_eq!(*records, there as u64 + 1);
        let mut request = VerifyRequest::new(site.at.clone());
        request.which = WhichBackups::One(Which::Id(id.clone()));
        request.deep = true;
        let verified = site.engine.verify(request).await;
        assert_eq!(verified.exit_code(), 0, "{verified:?}");
    }
    let (last, source, _) = &expected[expected.len() - 1];
    let request = ConsolidateRequest::new(site.at.clone(), last.clone());
    let made = site.engine.consolidate(request).await;
    if let Some(id) = made.id.filter(|_| made.error.is_none()) {
        assert_eq!(site.restored(Which::Id(id)).await, *source);
    }
    assert_idle(&site.engine);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("TEELINE_TEST_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(24)
    ))]

    #[test]
    fn every_link_restores_to_the_lines_that_there_were(versions in versions()) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(assert_restores(&versions));
    }
}

#[tokio::test]
async fn what_grew_at_its_end_comes_back_byte_for_byte() {
    let site = Site::new();
    let lines: Vec<String> = (0..200).map(line).collect();
    site.write("events", &lines[..150]);
    let full = site.backup("full").await;
    site.write("events", &lines);
    let link = site.backup("incremental").await;
    assert_eq!(link.parent.unwrap().id, full.id.unwrap());
    let records = link.changes.unwrap().records;
    assert_eq!((records.created, records.deleted), (50, 0));
    assert_eq!((records.unchanged, link.record_count), (150, 200));
    let to = site.folder.path().join("out");
    let target = RestoreTarget::Folder(to.clone());
    let request = RestoreRequest::new(Which::Latest, site.at.clone(), target);
    assert!(site.engine.restore(request).await.error.is_none());
    let restored = std::fs::read_to_string(to.join("events.jsonl")).unwrap();
    assert!(restored == lines.concat());

    // The next link asks only for what the last one says of all lines.
    let next = site.backup("incremental").await;
    let records = next.changes.unwrap().records;
    assert_eq!((records.created, records.unchanged), (0, 200));
}

#[tokio::test]
async fn lines_have_no_time_since_which_they_are() {
    let site = Site::new();
    site.write("events", &[line(1)]);
    let source = JsonlSource::path(site.folder.path().join("source"));
    let mut request = BackupRequest::new(source, site.at.clone());
    request.backup_type = "incremental".parse().unwrap();
    request.since = Some("2026-01-01T00:00:00Z".parse().unwrap());
    let error = site.engine.backup(request).await.error.unwrap();
    assert!(error.message.contains("lines have no time"), "{error:?}");
}
