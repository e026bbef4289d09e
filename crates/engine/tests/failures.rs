//! The common errors that s3db.js's backup plugin documents, each one made to happen.

mod common;

use std::fs;
use std::path::Path;

use common::{engine, failing, records, request, store};
use serde_json::json;
use teeline::sinks::{Fault, Operation as Call, What, When};
use teeline::{
    BackupReport, Class, CleanupRequest, Config, DeleteRequest, DestinationSpec, DrillRequest,
    Engine, Executor, Failure, InitRequest, KeysRequest, ListRequest, ListedStatus, MonitorRequest,
    Operation, RepairRequest, RestoreReport, RestoreRequest, RestoreTarget, Retention,
    RetentionPolicy, ScrubRequest, StrategyKind, SyncRequest, ValidateRequest, VerifyRequest,
    Which,
};

fn folder_at(path: &Path) -> DestinationSpec {
    DestinationSpec::parse(&path.display().to_string()).expect("a place")
}

async fn backup(engine: &Engine, destinations: &[DestinationSpec]) -> BackupReport {
    engine.backup(request(&records(300), destinations)).await
}

async fn restore(engine: &Engine, from: DestinationSpec, which: Which, to: &Path) -> RestoreReport {
    let target = RestoreTarget::Folder(to.to_owned());
    engine
        .restore(RestoreRequest::new(which, vec![from], target))
        .await
}

#[test]
fn a_driver_without_its_path_is_an_invalid_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.json5");
    fs::write(&file, "{ driver: 'filesystem', config: { path: null } }").unwrap();
    let error = Config::load(&file, &|_| None, std::iter::empty()).unwrap_err();
    let failure = Failure::of(Operation::ValidateConfig, &error);
    let shown = serde_json::to_value(&failure).unwrap();
    assert_eq!(shown["name"], "BackupError");
    assert_eq!(shown["operation"], "validateConfig");
    assert_eq!(shown["statusCode"], 400);
    assert_eq!(shown["retriable"], false);
    assert_eq!(
        shown["suggestion"],
        "Provide a valid config.path for the filesystem driver."
    );
    assert_eq!(shown["description"], "Invalid backup driver configuration");
}

#[tokio::test]
async fn an_upload_that_fails_says_what_to_look_at() {
    let engine = engine(Executor::Threads(2));
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let nobody =
        DestinationSpec::parse("s3://id:CANARY@bucket?endpoint=http://127.0.0.1:1&region=x")
            .unwrap();
    for (destination, driver, what) in [
        (folder_at(&file.join("below")), "filesystem", "file"),
        (nobody, "s3", "127.0.0.1"),
    ] {
        let report = backup(&engine, &[destination]).await;
        assert_eq!(report.exit_code(), 1, "{report:?}");
        let failure = report.failure.unwrap();
        assert_eq!(failure.operation, Operation::Upload);
        assert_eq!(failure.driver, Some(driver));
        assert!(failure.message.contains(what), "{failure:?}");
        assert_eq!(
            (failure.status_code, failure.retriable),
            (502, true),
            "{failure:?}"
        );
        assert_eq!(failure.description, "Failed to upload backup file");
        assert!(!failure.suggestion.is_empty());
        assert!(!serde_json::to_string(&failure).unwrap().contains("CANARY"));
    }
    let deep = folder_at(&scratch.path().join("a/b/c"));
    assert_eq!(
        backup(&engine, &[deep]).await.exit_code(),
        0,
        "folders are made"
    );
    let full = Fault::new(Call::Write, When::From(1), What::Fail(Class::Permanent));
    let report = backup(&engine, &[failing("full", full).1]).await;
    let failure = report.failure.unwrap();
    assert_eq!((failure.status_code, failure.retriable), (502, true));
    assert_eq!(
        failure.suggestion,
        "Check disk space/permissions or network connectivity, then retry the upload."
    );
    assert_eq!(failure.backup_id, failure.metadata.backup_id);
    assert!(failure.backup_id.is_some());
}

#[tokio::test]
async fn every_report_says_what_went_wrong_first() {
    let engine = engine(Executor::Threads(2));
    let dead =
        DestinationSpec::parse("dead=s3://id:CANARY@bucket?endpoint=http://127.0.0.1:1&region=x");
    let at = vec![dead.unwrap()];
    let id = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
    let mut unwanted = request(&records(3), &at);
    unwanted.include = vec!["nope".to_owned()];
    for (failure, operation) in [
        (engine.status(&at, &id).await.failure, Operation::List),
        (engine.list(&at).await.failure, Operation::List),
        (
            engine
                .monitor(MonitorRequest::new(at.clone()))
                .await
                .failure,
            Operation::List,
        ),
        (
            engine.init(InitRequest::new(at.clone())).await.failure,
            Operation::List,
        ),
        (
            engine.dry_run(unwanted).await.failure,
            Operation::ValidateConfig,
        ),
        (
            engine
                .validate(ValidateRequest::new(at.clone()))
                .await
                .failure,
            Operation::Verify,
        ),
        (
            engine.verify(VerifyRequest::new(at.clone())).await.failure,
            Operation::Verify,
        ),
        (
            engine.scrub(ScrubRequest::new(at.clone())).await.failure,
            Operation::Verify,
        ),
        (
            engine.drill(DrillRequest::new(at.clone())).await.failure,
            Operation::Restore,
        ),
        (
            engine.sync(SyncRequest::new(at.clone())).await.failure,
            Operation::Sync,
        ),
        (
            engine
                .repair(RepairRequest::everything(at.clone()))
                .await
                .failure,
            Operation::Repair,
        ),
        (
            engine.keys(KeysRequest::new(at.clone())).await.failure,
            Operation::Keys,
        ),
        (
            engine
                .delete(DeleteRequest::new(at.clone(), id.clone()))
                .await
                .failure,
            Operation::Delete,
        ),
        (
            engine
                .cleanup(CleanupRequest::new(at.clone(), RetentionPolicy::default()))
                .await
                .failure,
            Operation::Cleanup,
        ),
    ] {
        let failure = failure.unwrap_or_else(|| panic!("{operation:?}"));
        assert_eq!(failure.operation, operation, "{failure:?}");
        assert!(
            !failure.message.is_empty() && !failure.suggestion.is_empty(),
            "{failure:?}"
        );
        assert!(!format!("{failure:?}").contains("CANARY"));
    }
}

#[tokio::test]
async fn what_a_full_disk_or_a_missing_right_prevents_may_succeed_later() {
    let engine = engine(Executor::Threads(2));
    let (_, copy) = store("copy");
    backup(&engine, std::slice::from_ref(&copy)).await;
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let report = restore(&engine, copy, Which::Latest, &file.join("below")).await;
    let failure = report.failure.unwrap();
    assert_eq!(
        (failure.status_code, failure.retriable),
        (500, true),
        "{failure:?}"
    );
    assert!(failure.suggestion.contains("disk space"), "{failure:?}");
}

#[tokio::test]
async fn an_unknown_backup_is_not_found() {
    let engine = engine(Executor::Threads(2));
    let (_, empty) = store("empty");
    let scratch = tempfile::tempdir().unwrap();
    let foreign = "full-2024-01-15-abc123".parse::<Which>().unwrap_err();
    let failure = Failure::of(Operation::Restore, &foreign);
    assert_eq!((failure.status_code, failure.retriable), (404, false));
    let which: Which = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
    let report = restore(
        &engine,
        empty.clone(),
        which.clone(),
        &scratch.path().join("to"),
    )
    .await;
    let failure = report.failure.unwrap();
    assert_eq!(failure.operation, Operation::Restore);
    assert_eq!((failure.status_code, failure.retriable), (404, false));
    assert_eq!(
        failure.suggestion,
        "Confirm the backupId exists or run `teeline list` before restoring."
    );
    assert_eq!(failure.description, "Failed to restore from backup");
    let Which::Id(id) = which else {
        panic!("an id")
    };
    assert_eq!(failure.metadata.backup_id, Some(id));
}

#[tokio::test]
async fn what_is_corrupt_or_of_an_unknown_format_is_not_restored() {
    let engine = engine(Executor::Threads(2));
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("copy");
    let made = backup(&engine, &[folder_at(&to)]).await;
    let folder = to.join(made.folder.as_ref().unwrap());
    let data = folder.join("events.jsonl.gz");
    let mut bytes = fs::read(&data).unwrap();
    bytes[100] ^= 1;
    fs::write(&data, &bytes).unwrap();
    let report = restore(
        &engine,
        folder_at(&to),
        Which::Latest,
        &scratch.path().join("a"),
    )
    .await;
    let failure = report.failure.unwrap();
    assert_eq!(
        (failure.operation, failure.status_code),
        (Operation::Restore, 422)
    );
    assert!(!failure.retriable);

    let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
    let newer = manifest.replacen("\"version\":1", "\"version\":99", 1);
    fs::write(folder.join("manifest.json"), newer).unwrap();
    let report = restore(
        &engine,
        folder_at(&to),
        Which::Latest,
        &scratch.path().join("b"),
    )
    .await;
    assert_eq!(report.failure.unwrap().status_code, 422);
}

#[test]
fn a_retention_that_makes_no_sense_is_an_invalid_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.json5");
    fs::write(&file, "{ retention: { policy: 'simple', daily: 7 } }").unwrap();
    let error = Config::load(&file, &|_| None, std::iter::empty()).unwrap_err();
    let failure = Failure::of(Operation::Cleanup, &error);
    assert_eq!(failure.operation, Operation::ValidateConfig);
    assert_eq!((failure.status_code, failure.retriable), (400, false));
    assert!(failure.message.contains("`retention"), "{failure:?}");
}

#[tokio::test]
async fn one_of_several_that_fails_is_named_with_all_of_them() {
    let engine = engine(Executor::Threads(2));
    let (_, good) = store("good");
    let broken = Fault::new(Call::Put, When::From(1), What::Fail(Class::Permanent));
    let (_, bad) = failing("bad", broken);
    let report = backup(&engine, &[good.clone(), bad]).await;
    let failure = report.failure.as_ref().unwrap();
    assert_eq!(failure.operation, Operation::Backup);
    assert_eq!(
        (failure.driver, failure.strategy.as_deref()),
        (Some("multi"), Some("all"))
    );
    assert_eq!((failure.status_code, failure.retriable), (502, true));
    assert_eq!(failure.description, "Multi-destination backup failed");
    assert_eq!(
        failure.suggestion,
        "Inspect individual driver errors in error.metadata.destinations and fix the failing target."
    );
    let shown = serde_json::to_value(&report).unwrap();
    let destinations = &shown["failure"]["metadata"]["destinations"];
    assert_eq!(destinations[1]["name"], "bad");
    assert_eq!(destinations[1]["status"], "failed");
    assert_eq!(destinations[1]["error"]["class"], "permanent");
    // It was told to stop, and isn't to blame.
    assert_eq!(destinations[0]["error"]["class"], "cancelled");
    let mut request = ListRequest::new(vec![good]);
    request.status = ListedStatus::Failed;
    let listed = engine.list(request).await;
    let error = listed.backups[0].error.as_ref().unwrap();
    assert_eq!(error.class, Class::Permanent, "{error:?}");
}

#[tokio::test]
async fn a_failure_after_the_manifest_was_made_has_its_checksum() {
    let engine = engine(Executor::Threads(2));
    let refused = Fault::new(Call::Put, When::From(1), What::Fail(Class::Permanent));
    let (_, bad) = failing("bad", refused.on_keys_with("manifest.json"));
    let report = backup(&engine, &[bad]).await;
    let failure = report.failure.unwrap();
    assert!(report.checksum.is_some());
    assert_eq!(failure.metadata.checksum, report.checksum);
    assert_eq!(failure.backup_id, report.id);
}

#[tokio::test]
async fn what_the_strategy_can_do_without_is_no_failure() {
    let engine = engine(Executor::Threads(2));
    let (_, good) = store("good");
    let broken = Fault::new(Call::Put, When::From(1), What::Fail(Class::Permanent));
    let mut asked = request(&records(300), &[good, failing("bad", broken).1]);
    asked.strategy = StrategyKind::Any;
    let report = engine.backup(asked).await;
    assert_eq!((report.exit_code(), report.failure), (3, None));
}

#[tokio::test]
async fn places_that_deny_access_fail_lists_and_cleanups() {
    let engine = engine(Executor::Threads(2));
    let denied = Fault::new(Call::List, When::From(1), What::Fail(Class::Permanent));
    let (_, place) = failing("denied", denied);
    let failure = engine
        .list(std::slice::from_ref(&place))
        .await
        .failure
        .unwrap();
    assert_eq!(
        (failure.operation, failure.status_code),
        (Operation::List, 502)
    );
    let rules = RetentionPolicy::new(Retention {
        count: 1,
        ..Retention::default()
    });
    let failure = engine
        .cleanup(CleanupRequest::new(vec![place], rules))
        .await
        .failure
        .unwrap();
    assert_eq!(
        (failure.operation, failure.status_code, failure.retriable),
        (Operation::Cleanup, 500, true)
    );
    assert_eq!(failure.description, "Failed to clean up old backups");
    assert!(failure.suggestion.contains("permissions"), "{failure:?}");
}

#[tokio::test]
async fn a_result_has_every_documented_member() {
    let engine = engine(Executor::Threads(2));
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("copy");
    let report = backup(&engine, &[folder_at(&to)]).await;
    let shown = serde_json::to_value(&report).unwrap();
    let id = report.id.as_ref().unwrap();
    let path = format!("{}/{id}", to.display());
    assert_eq!(shown["id"], id.as_str());
    assert_eq!(shown["type"], "full");
    assert_eq!(shown["path"], path);
    assert_eq!(shown["resources"], json!(["events"]));
    assert_eq!(
        (&shown["records"], &shown["recordCount"]),
        (&json!(300), &json!(300))
    );
    assert_eq!(shown["size"], shown["compressed"]);
    assert!(shown["size"].as_u64() < shown["plainBytes"].as_u64());
    assert!(shown["duration"].is_u64() && shown["checksum"].is_string());
    let files = shown["files"]["events"].as_array().unwrap();
    assert_eq!(files[0], format!("{path}/events.jsonl.gz"));
    assert!(
        files
            .iter()
            .all(|file| Path::new(file.as_str().unwrap()).is_file())
    );
    assert_eq!(shown["driverInfo"]["driver"], "filesystem");
    assert_eq!(shown["driverInfo"]["path"], path);
    let (_, second) = store("second");
    let report = backup(&engine, &[folder_at(&scratch.path().join("b")), second]).await;
    let shown = serde_json::to_value(&report).unwrap();
    assert_eq!(shown["driverInfo"][1]["driver"], "store");
}
