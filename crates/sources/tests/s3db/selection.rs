//! Some resources only, out of a database and into one.

use serde_json::{Value, json};
use teeline_core::{Class, Selection, Target};
use teeline_sources::s3db::{RestoreMode, S3dbSource, S3dbTarget, ScanOptions, WriteBackOptions};

use crate::server::{
    Objects, Server, catalogue, catalogue_object, entry, record, restoring, scan, scan_with, typed,
    write_back,
};

async fn server() -> Server {
    let server = Server::start().await;
    let catalogue = catalogue(&[("log", "user-managed"), ("logs", "user-managed")]);
    let mut objects = Objects::from([("s3db.json".to_owned(), catalogue_object(&catalogue))]);
    for resource in ["log", "logs"] {
        objects.extend([record(
            &catalogue,
            resource,
            json!({"id": "1", "name": "a", "size": 2}),
        )]);
        objects.insert(format!("resource={resource}/partition=p/id=1"), entry());
    }
    objects.insert("resource=ghost/data/id=1".to_owned(), entry());
    objects.insert("plugin=x/y".to_owned(), typed("a/b", "c"));
    objects.insert("folder/y".to_owned(), typed("a/b", "c"));
    objects.insert("top".to_owned(), typed("a/b", "c"));
    server.put_all("", &objects).await;
    server
}

#[tokio::test]
async fn a_scan_keeps_to_its_selection() {
    let server = server().await;
    let connection = server.connection("");
    let source = S3dbSource::new(connection.clone(), ScanOptions::default());
    assert_eq!(source.resource_names().await.unwrap(), ["log", "logs"]);

    for (only_named, wanted, names, keys) in [
        (
            true,
            "logs",
            vec!["logs"],
            vec!["resource=logs/partition=p/id=1"],
        ),
        (true, "ghost", vec![], vec!["resource=ghost/data/id=1"]),
        (true, "none", vec![], vec![]),
        (
            false,
            "log",
            vec!["log"],
            vec![
                "folder/y",
                "plugin=x/y",
                "resource=log/partition=p/id=1",
                "top",
            ],
        ),
    ] {
        let selection = Selection::new(only_named, move |name| name == wanted);
        let scanned = scan_with(&connection, ScanOptions::default(), selection)
            .await
            .unwrap();
        assert_eq!(scanned.names(), names, "{wanted}");
        assert_eq!(scanned.object_keys(), keys, "{wanted}");
    }
}

#[tokio::test]
async fn a_restore_keeps_to_what_was_chosen() {
    let server = server().await;
    let scanned = scan(&server.connection("")).await.unwrap();
    let restoring = restoring(&scanned, &["logs"]);
    let mut target = S3dbTarget::new(server.connection("some"), WriteBackOptions::default());
    write_back(&scanned, &mut target, &restoring).await.unwrap();
    let found = server.objects("some/").await;
    let keys: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "resource=logs/data/id=1",
            "resource=logs/partition=p/id=1",
            "s3db.json"
        ]
    );
    let text = std::str::from_utf8(&found["s3db.json"].body).unwrap();
    assert!(
        text.starts_with("{\n  \"version\": \"1\",\n  \"s3dbVersion\""),
        "{text}"
    );
    let reduced: Value = serde_json::from_str(text).unwrap();
    let resources = reduced["resources"].as_object().unwrap();
    assert_eq!(resources.keys().collect::<Vec<_>>(), ["logs"]);
    assert_eq!(
        scan(&server.connection("some"))
            .await
            .unwrap()
            .resource("logs")
            .records,
        1
    );

    // Into a database that is there already, which keeps its others.
    let restoring = crate::server::restoring(&scanned, &["log"]);
    let options = WriteBackOptions {
        mode: Some(RestoreMode::Merge),
        ..WriteBackOptions::default()
    };
    let mut target = S3dbTarget::new(server.connection("some"), options);
    write_back(&scanned, &mut target, &restoring).await.unwrap();
    let again = scan(&server.connection("some")).await.unwrap();
    assert_eq!(again.names(), ["logs", "log"]);
    assert!(again.resources.iter().all(|resource| resource.records == 1));
}

#[tokio::test]
async fn a_restore_that_is_abandoned_leaves_no_database() {
    let server = server().await;
    let scanned = scan(&server.connection("")).await.unwrap();
    let restoring = restoring(&scanned, &[]);
    let mut target = S3dbTarget::new(server.connection("half"), WriteBackOptions::default());
    target.check(&restoring).await.unwrap();
    target.begin(&restoring).await.unwrap();
    target
        .lines("log", scanned.resource("log").batches[0].clone())
        .await
        .unwrap();
    target.abort().await.unwrap();
    assert!(target.finish().await.is_err());
    let error = scan(&server.connection("half")).await.unwrap_err();
    assert_eq!(error.class(), Class::NotFound);
}
