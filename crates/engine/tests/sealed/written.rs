//! What is written, and that it reads back.

use teeline::{
    BackupRequest, Compression, Connection, Contained, Executor, PreviousState, RestoreRequest,
    RestoreTarget, S3dbSource, ScanOptions, Sink, VerifyRequest, Which, exit,
};
use teeline_embedded_s3::{Credentials, EmbeddedS3};

use super::common::{objects, records, request, store, whole};
use super::{database, engine, key, keys, made, made_by, recipient};

#[tokio::test]
async fn nothing_of_a_record_is_in_the_clear_and_all_of_it_comes_back() {
    for name in Compression::NAMES {
        let made = made_by(|request| request.compression = name.parse().unwrap()).await;
        for (key, bytes) in objects(&made.sinks[0]).await {
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains("\"text\""), "{name}: {key}");
        }
        let mut names = made.names(0);
        names.retain(|name| !matches!(name.as_str(), "run.json" | "manifest.json"));
        let (of_keys, files): (Vec<_>, Vec<_>) =
            names.iter().partition(|name| name.starts_with("keys/key-"));
        assert_eq!(of_keys.len(), 1, "{names:?}");
        assert!(files.len() > 4, "several data files, each with its index");
        assert!(
            files.iter().all(|name| name.ends_with(".sealed")),
            "{names:?}"
        );
        assert!(objects(&made.sinks[0]).await == objects(&made.sinks[1]).await);
        made.assert_restores(&made.at, &key(1)).await;
        let verified = made.verify(keys(&[key(2), key(1)]), true).await;
        assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
        for copy in &verified.backups[0].destinations {
            let seal = copy.seal.as_ref().unwrap();
            assert!(seal.authentic && seal.previous.is_none(), "{seal:?}");
            let records = Contained {
                records: 2500,
                ..Contained::default()
            };
            assert_eq!(copy.contained, Some(records));
        }
    }
}

#[tokio::test]
async fn it_takes_the_key() {
    let made = made().await;
    for (given, says) in [
        (keys(&[]), "no key was given"),
        (keys(&[key(2)]), "none of the keys"),
    ] {
        let (report, lines) = made.restore(&made.at, given.clone()).await;
        assert_eq!(report.exit_code(), exit::WRONG_KEY, "{report:?}");
        let error = report.error.unwrap();
        assert!(
            error.message.contains(says) && error.suggestion.is_some(),
            "{error:?}"
        );
        assert!(lines.is_empty());
        let verified = made.verify(given, true).await;
        assert_eq!(verified.exit_code(), exit::WRONG_KEY, "{verified:?}");
    }
    // Digests are for everybody.
    let verified = made.verify(keys(&[]), false).await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
    assert!(
        !verified.backups[0].destinations[0]
            .seal
            .as_ref()
            .unwrap()
            .authentic
    );
    let verified = made.verify(keys(&[key(2)]), false).await;
    assert_eq!(verified.exit_code(), exit::WRONG_KEY, "{verified:?}");
}

#[tokio::test]
async fn the_number_of_workers_changes_no_byte() {
    let mut all = Vec::new();
    for executor in [Executor::Inline, Executor::Threads(1), Executor::Threads(4)] {
        let engine = super::common::engine(executor);
        let (sink, at) = store("one");
        let mut asked = request(&records(2000), &[at]);
        asked.recipients = vec![recipient(&key(1))];
        assert_eq!(engine.backup(asked).await.exit_code(), exit::DONE);
        all.push(objects(&sink).await);
    }
    assert!(all[0] == all[1] && all[0] == all[2]);
}

#[tokio::test]
async fn no_two_backups_have_anything_in_common() {
    let made = made().await;
    let (sink, at) = store("again");
    let mut asked = request(&made.lines, &[at]);
    asked.recipients = vec![recipient(&key(1))];
    assert_eq!(made.engine.backup(asked).await.exit_code(), exit::DONE);
    let one = whole(&made.sinks[0], &made.file("events.jsonl.gz.sealed")).await;
    let other = sink
        .keys()
        .into_iter()
        .find(|key| key.file_name() == "events.jsonl.gz.sealed");
    let other = whole(&sink, &other.unwrap()).await;
    assert_eq!(one.len(), other.len());
    assert_ne!(one[..64], other[..64]);
}

#[tokio::test]
async fn a_backup_names_the_one_before_it() {
    let made = made().await;
    let again = || {
        let mut asked = request(&made.lines, &made.at);
        asked.recipients = vec![recipient(&key(1))];
        asked
    };
    assert_eq!(made.engine.backup(again()).await.exit_code(), exit::DONE);
    let previous = async |expected| {
        let verified = made.verify(keys(&[key(1)]), false).await;
        let copies = &verified.backups[0].destinations;
        for copy in copies {
            assert_eq!(
                copy.seal.as_ref().unwrap().previous,
                Some(expected),
                "{copy:?}"
            );
        }
        verified.exit_code()
    };
    assert_eq!(previous(PreviousState::Present).await, exit::DONE);
    // Somebody takes it away, everywhere.
    for sink in &made.sinks {
        for key in sink.keys() {
            if key
                .as_str()
                .contains(made.report.id.as_ref().unwrap().as_str())
            {
                sink.delete(&key).await.unwrap();
            }
        }
    }
    assert_eq!(previous(PreviousState::Absent).await, exit::DONE);
}

#[tokio::test]
async fn a_database_is_sealed_with_its_schemas_and_the_keys_of_its_objects() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = Credentials {
        access_key: "me".into(),
        secret_key: "secret".into(),
    };
    let server = EmbeddedS3::start(folder.path().join("s3"), credentials).unwrap();
    server.create_bucket("bucket").unwrap();
    let connection = |prefix: &str| -> Connection { server.url("bucket", prefix).parse().unwrap() };
    database::before().write(&connection("db")).await;
    let source = |prefix| S3dbSource::new(connection(prefix), ScanOptions::default());
    let engine = engine();
    let url = server.url("bucket", "backups");
    let url = url.split('?').next().unwrap();
    let backups = teeline::DestinationSpec::parse(url).unwrap();
    let (sink, at) = store("copy");
    let mut asked = BackupRequest::new(source("db"), vec![at.clone(), backups.clone()]);
    asked.recipients = vec![recipient(&key(1))];
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");

    for (key, bytes) in objects(&sink).await {
        // Also of what is compressed.
        let mut plain = Vec::new();
        let _ = std::io::Read::read_to_end(
            &mut flate2::bufread::MultiGzDecoder::new(&bytes[..]),
            &mut plain,
        );
        for secret in [
            "Ann",
            "user-managed",
            "partition=p",
            "resource=",
            "plugin=x",
        ] {
            let found = [&bytes, &plain].into_iter().any(|bytes| {
                bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes())
            });
            assert!(!found, "{secret} in {key}");
        }
    }

    let mut asked = VerifyRequest::new(vec![at.clone(), backups.clone()]);
    asked.keys = keys(&[key(1)]);
    asked.deep = true;
    let verified = engine.verify(asked).await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");

    let target = RestoreTarget::Database(connection("again"));
    let mut asked = RestoreRequest::new(Which::Latest, vec![backups, at], target);
    asked.keys = keys(&[key(1)]);
    let restored = engine.restore(asked).await;
    assert_eq!(restored.exit_code(), exit::DONE, "{restored:?}");
    let lines = async |prefix| {
        let (_, at) = store(prefix);
        let made = engine
            .backup(BackupRequest::new(source(prefix), vec![at.clone()]))
            .await;
        assert_eq!(made.exit_code(), exit::DONE, "{made:?}");
        let folder = tempfile::tempdir().unwrap();
        let target = RestoreTarget::Folder(folder.path().join("it"));
        let restored = engine
            .restore(RestoreRequest::new(Which::Latest, vec![at], target))
            .await;
        assert_eq!(restored.exit_code(), exit::DONE, "{restored:?}");
        let files = std::fs::read_dir(folder.path().join("it"))
            .unwrap()
            .map(Result::unwrap);
        let mut files: Vec<_> = files
            .filter(|file| file.file_name() != "s3db.json")
            .map(|file| (file.file_name(), std::fs::read(file.path()).unwrap()))
            .collect();
        files.sort();
        files
    };
    assert!(lines("db").await == lines("again").await);
}
