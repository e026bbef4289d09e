//! Whether backups can be relied on: what is said of whole, damaged, lacking and unreachable ones, and that nothing stays behind.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;
#[path = "settle/database.rs"]
#[allow(dead_code, reason = "this test changes nothing")]
mod database;

use std::path::Path;

use common::{assert_idle, records, request, store, whole};
use database::before;
use teeline::sinks::MemorySink;
use teeline::{
    BackupRequest, BackupValidation, CheckResult, Class, Connection, DestinationSpec, DrillRequest,
    Engine, RestoreRequest, RestoreTarget, S3dbSource, ScanOptions, Scratch, Timestamp,
    ValidateRequest, ValidationReport, Verdict, VerificationResult, Which, WhichBackups, exit,
};
use teeline_core::{CatalogEntry, Document, Manifest, ObjectKey, SealedManifest, document, layout};
use teeline_embedded_s3::{Credentials, EmbeddedS3};

use CheckResult::{Fail, Inconclusive, Pass};

struct Setup {
    engine: Engine,
    /// The engine's temporary folder.
    folder: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::builder().workers(1).temp_dir(folder.path());
        Setup {
            engine: engine.build().unwrap(),
            folder,
        }
    }

    async fn backed_up(&self, to: &[DestinationSpec]) -> teeline::BackupId {
        let report = self.engine.backup(request(&records(500), to)).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        report.id.unwrap()
    }

    async fn validated(&self, at: &[DestinationSpec]) -> ValidationReport {
        let report = self
            .engine
            .validate(ValidateRequest::new(at.to_vec()))
            .await;
        assert_eq!(in_folder(self.folder.path()), 0, "nothing stays behind");
        assert_idle(&self.engine);
        report
    }
}

fn in_folder(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

fn results(validation: &BackupValidation) -> [CheckResult; 4] {
    let checks = validation.checks;
    [
        checks.exists,
        checks.integrity,
        checks.restore,
        checks.completeness,
    ]
}

fn data_file(sink: &MemorySink) -> ObjectKey {
    let mut keys = sink.keys().into_iter();
    keys.find(|key| key.as_str().ends_with("events.jsonl.gz"))
        .unwrap()
}

async fn damage(sink: &MemorySink, key: &ObjectKey) {
    let mut bytes = whole(sink, key).await.to_vec();
    bytes[20] ^= 1;
    sink.overwrite(key, &bytes);
}

#[tokio::test]
async fn whole_backups_pass_the_newest_first() {
    let setup = Setup::new();
    let ((_, first), (_, second)) = (store("first"), store("second"));
    let both = [first, second];
    let older = setup.backed_up(&both).await;
    let newer = setup.backed_up(&both).await;
    let report = setup.validated(&both).await;
    assert_eq!(
        (report.exit_code(), report.passed, report.total_backups),
        (0, 2, 2),
        "{report:?}"
    );
    let ids: Vec<_> = report
        .validations
        .iter()
        .map(|one| one.backup_id.clone())
        .collect();
    // They may have begun within the same millisecond.
    assert!(ids.contains(&older) && ids.contains(&newer), "{ids:?}");
    for validation in &report.validations {
        assert_eq!(
            (results(validation), validation.overall),
            ([Pass; 4], Verdict::Pass)
        );
    }
    let mut last = ValidateRequest::new(both.to_vec());
    last.which = WhichBackups::Last(1);
    let report = setup.engine.validate(last).await;
    assert_eq!((report.passed, report.total_backups), (1, 1));
    let shown = serde_json::to_value(&report).unwrap();
    for (member, value) in [
        ("totalBackups", 1),
        ("passed", 1),
        ("failed", 0),
        ("errors", 0),
        ("inconclusive", 0),
    ] {
        assert_eq!(shown[member], value, "{member}");
    }
    let one = &shown["validations"][0];
    assert_eq!(one["backupId"], report.validations[0].backup_id.as_str());
    for time in [&shown["timestamp"], &one["timestamp"]] {
        assert!(
            time.as_str().unwrap().parse::<Timestamp>().is_ok(),
            "{time}"
        );
    }
    let checks = ["exists", "integrity", "restore", "completeness"];
    assert!(
        checks.iter().all(|check| one["checks"][check] == "pass"),
        "{one}"
    );
    assert_eq!(one["overall"], "pass");
}

#[tokio::test]
async fn a_damaged_copy_fails_though_another_one_restores() {
    let setup = Setup::new();
    let ((one, first), (other, second)) = (store("first"), store("second"));
    let both = [first, second];
    setup.backed_up(&both).await;
    damage(&one, &data_file(&one)).await;
    let report = setup.validated(&both).await;
    assert_eq!((report.exit_code(), report.failed), (13, 1), "{report:?}");
    let validation = &report.validations[0];
    assert_eq!(results(validation), [Pass, Fail, Pass, Pass]);
    assert_eq!(validation.damage[0].destination, "first");

    damage(&other, &data_file(&other)).await;
    let report = setup.validated(&both).await;
    assert_eq!(report.exit_code(), 13);
    assert_eq!(
        results(&report.validations[0]),
        [Pass, Fail, Fail, Inconclusive]
    );
}

#[tokio::test]
async fn what_cannot_be_told_is_never_a_pass() {
    let setup = Setup::new();
    let (_, first) = store("first");
    let dead = DestinationSpec::parse("dead=http://key:secret@127.0.0.1:1/bucket").unwrap();
    let id = setup.backed_up(std::slice::from_ref(&first)).await;
    let report = setup.validated(&[first.clone(), dead.clone()]).await;
    assert_eq!(
        (report.exit_code(), report.inconclusive, report.passed),
        (1, 1, 0),
        "{report:?}"
    );
    assert_eq!(
        results(&report.validations[0]),
        [Pass, Inconclusive, Pass, Pass]
    );
    assert_eq!(report.destination_errors[0].destination, "dead");
    assert!(report.validations[0].error.is_some());

    // Nobody who can be asked has it.
    let mut of_dead = ValidateRequest::new(vec![dead]);
    of_dead.which = WhichBackups::One(Which::Id(id));
    let report = setup.engine.validate(of_dead).await;
    assert_eq!(
        (report.exit_code(), report.inconclusive),
        (1, 1),
        "{report:?}"
    );
    assert_eq!(results(&report.validations[0]), [Inconclusive; 4]);

    let shown = serde_json::to_value(&report.validations[0]).unwrap();
    assert_eq!(shown["overall"], "inconclusive");
    for part in ["message", "class"] {
        assert!(shown["error"][part].is_string(), "{part}: {shown}");
    }

    // A scratch place that can't be used says nothing of the backup.
    let file = setup.folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let mut without_scratch = ValidateRequest::new(vec![first]);
    without_scratch.scratch = Scratch::Folder(file);
    let report = setup.engine.validate(without_scratch).await;
    assert_eq!((report.exit_code(), report.errors), (1, 1), "{report:?}");
    assert_eq!(
        results(&report.validations[0]),
        [Pass, Pass, Inconclusive, Inconclusive]
    );
}

#[tokio::test]
async fn a_backup_that_is_not_there_fails() {
    let setup = Setup::new();
    let (_, first) = store("first");
    let empty = setup.validated(std::slice::from_ref(&first)).await;
    assert_eq!(
        (empty.exit_code(), empty.total_backups),
        (1, 0),
        "nothing to rely on"
    );
    setup.backed_up(std::slice::from_ref(&first)).await;
    let mut unknown = ValidateRequest::new(vec![first]);
    let id = "full-2026-01-01T00-00-00-aaaaaaaaaa".parse().unwrap();
    unknown.which = WhichBackups::One(Which::Id(id));
    let report = setup.engine.validate(unknown).await;
    assert_eq!((report.exit_code(), report.failed), (1, 1), "{report:?}");
    let validation = &report.validations[0];
    assert_eq!(validation.checks.exists, Fail);
    assert_eq!(validation.error.as_ref().unwrap().class, Class::NotFound);
}

#[tokio::test]
async fn one_that_is_interrupted_leaves_nothing() {
    let setup = Setup::new();
    let (_, first) = store("first");
    setup.backed_up(std::slice::from_ref(&first)).await;
    let request = ValidateRequest::new(vec![first]);
    request.cancel.cancel();
    let report = setup.engine.validate(request).await;
    assert_eq!(report.exit_code(), 130, "{report:?}");
    assert_eq!(in_folder(setup.folder.path()), 0);
    assert_idle(&setup.engine);
}

/// A server with a database, and a backup of it.
async fn of_database(
    setup: &Setup,
) -> (EmbeddedS3, tempfile::TempDir, MemorySink, DestinationSpec) {
    let folder = tempfile::tempdir().unwrap();
    let keys = Credentials {
        access_key: "me".into(),
        secret_key: "secret".into(),
    };
    let server = EmbeddedS3::start(folder.path(), keys).unwrap();
    server.create_bucket("bucket").unwrap();
    let connection: Connection = server.url("bucket", "db").parse().unwrap();
    before().write(&connection).await;
    let (sink, at) = store("copy");
    let source = S3dbSource::new(connection, ScanOptions::default());
    let report = setup
        .engine
        .backup(BackupRequest::new(source, vec![at.clone()]))
        .await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    (server, folder, sink, at)
}

/// Every file of a folder, at any depth.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_database_is_restored_to_a_folder_or_to_a_database_and_removed_again() {
    let setup = Setup::new();
    let (server, folder, _, at) = of_database(&setup).await;
    let report = setup.validated(std::slice::from_ref(&at)).await;
    assert_eq!(results(&report.validations[0]), [Pass; 4], "{report:?}");

    let there = files(folder.path());
    for prefix in ["", "scratch"] {
        let mut to_database = ValidateRequest::new(vec![at.clone()]);
        to_database.scratch = Scratch::Database(server.url("bucket", prefix).parse().unwrap());
        let report = setup.engine.validate(to_database).await;
        assert_eq!(results(&report.validations[0]), [Pass; 4], "{report:?}");
        assert_eq!(
            files(folder.path()),
            there,
            "what was there stays, and nothing else"
        );
    }
}

#[tokio::test]
async fn a_scratch_bucket_that_is_not_there_says_nothing_of_the_backup() {
    let setup = Setup::new();
    let (server, _folder, sink, at) = of_database(&setup).await;
    let nowhere: Connection = server.url("no-such-bucket", "").parse().unwrap();
    let mut drill = DrillRequest::new(vec![at.clone()]);
    drill.scratch = Scratch::Database(nowhere.clone());
    let report = setup.engine.drill(drill).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    let backup = report.backup.unwrap();
    assert_eq!(results(&backup), [Pass, Pass, Inconclusive, Inconclusive]);
    let error = backup.error.unwrap();
    assert_eq!(error.class, Class::Permanent, "{error:?}");
    let keys = sink.keys().into_iter();
    let noted: Vec<_> = keys
        .filter_map(|key| layout::verification_of(&key))
        .collect();
    assert!(
        noted.iter().all(|it| it.result == VerificationResult::Ok),
        "{noted:?}"
    );

    // Nor is it the backup that a restore doesn't find there.
    let target = RestoreTarget::Database(nowhere);
    let restoring = RestoreRequest::new(Which::Latest, vec![at], target);
    let report = setup.engine.restore(restoring).await;
    let failure = report.failure.unwrap();
    assert!(failure.suggestion.contains("create it"), "{failure:?}");
}

#[tokio::test]
async fn a_resource_that_the_database_had_and_the_backup_has_not_is_found_out() {
    let setup = Setup::new();
    let (_server, _folder, sink, at) = of_database(&setup).await;
    let key_of = |end: &str, begin: &str| {
        let mut keys = sink.keys().into_iter();
        keys.find(|key| key.as_str().ends_with(end) && key.as_str().starts_with(begin))
            .unwrap()
    };
    // A manifest that was made without it: every checksum is right, and only the database's own s3db.json knows.
    let key = key_of("/manifest.json", "");
    let mut manifest: Manifest = document::open(key.as_str(), &whole(&sink, &key).await).unwrap();
    let lost = manifest.resources.pop().unwrap();
    manifest.totals.records -= lost.records;
    let sealed = SealedManifest::new(manifest).unwrap();
    sink.overwrite(&key, &sealed.bytes);
    let entry_key = key_of("", "catalog/");
    let entry: CatalogEntry =
        document::open(entry_key.as_str(), &whole(&sink, &entry_key).await).unwrap();
    let entry = sealed.entry(&entry.path);
    let bytes = document::seal(&entry);
    assert_eq!(entry.version(), 1);
    sink.overwrite(&entry_key, &bytes);

    let report = setup.validated(&[at]).await;
    assert_eq!((report.exit_code(), report.failed), (13, 1), "{report:?}");
    let validation = &report.validations[0];
    assert_eq!(
        results(validation),
        [Pass, Pass, Pass, Fail],
        "{validation:?}"
    );
    let message = &validation.error.as_ref().unwrap().message;
    assert!(
        message.contains(&lost.name) && message.contains("the database had it"),
        "{message}"
    );
}
