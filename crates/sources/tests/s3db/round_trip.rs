//! Everything that is read comes back as it was.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;
use teeline_core::{Class, DestinationMarker, ObjectRow, Target, document};
use teeline_sources::s3db::{RawObject, S3dbTarget, WriteBackOptions};

use crate::server::{
    Objects, Server, catalogue, catalogue_object, entry, noise, record, restoring, scan, typed,
    write_back,
};

const RECORDS: usize = 2_600;

/// A database with something of everything: what a backup has, and what it leaves out.
fn database(catalogue: &Bytes, embedded: bool) -> (Objects, Objects) {
    let mut kept = Objects::new();
    let mut add =
        |key: &str, object: RawObject| assert!(kept.insert(key.to_owned(), object).is_none());
    add("s3db.json", catalogue_object(catalogue));

    for number in 0..RECORDS {
        let id = format!("order {number}");
        let document = json!({"id": id, "name": format!("näme {number}"), "size": number});
        let (key, object) = record(catalogue, "log", document);
        add(&key, object);
        if number % 10 == 0 {
            add(
                &format!("resource=log/partition=byName/name=näme {number}/id={id}"),
                entry(),
            );
        }
    }
    for id in [
        "a\nb\tc", "..", "🦀", "u+v", "x@y&z#?", "e\u{301}", "\u{e9}",
    ] {
        let (key, object) = record(
            catalogue,
            "logs",
            json!({"id": id, "name": "n", "size": 1.5}),
        );
        add(&key, object);
    }
    let text = "long text ".repeat(40_000);
    let (key, object) = record(
        catalogue,
        "bodies",
        json!({"id": "large", "name": "n", "size": 1, "text": text}),
    );
    assert!(object.body.len() > 300_000);
    add(&key, object);
    // In another form than an insert gives it, and large.
    let odd = RawObject {
        metadata: BTreeMap::from([("_v".to_owned(), "v1".to_owned())]),
        ..typed(
            "application/json",
            format!("{{\"2\": \"{}\"}}", "odd ".repeat(100_000)),
        )
    };
    add("resource=bodies/data/id=odd", odd);
    let content = |body: Vec<u8>| RawObject {
        metadata: BTreeMap::from([
            ("_v".to_owned(), "v1".to_owned()),
            ("0".to_owned(), "a picture".to_owned()),
            ("_hascontent".to_owned(), "true".to_owned()),
        ]),
        ..typed("image/png", body)
    };
    add("resource=files/data/id=small", content(noise(1000)));
    add("resource=files/data/id=megabyte", content(noise(1 << 20)));
    add(
        "resource=files/data/id=unknown-version",
        RawObject {
            metadata: BTreeMap::from([("_v".to_owned(), "v7".to_owned())]),
            ..entry()
        },
    );

    add(
        "resource=log/sequence=id/value",
        typed("application/json", "{\"value\":3}"),
    );
    add("resource=log/historical/id=order 1", entry());
    add(
        "resource=log/data/stray",
        typed("text/plain", "not a record"),
    );
    add("resource=ghost/data/id=1", entry());
    add("resource=log", typed("text/plain", "no folder"));
    add(
        "plugin=cache/deep/er/entry.json.gz",
        typed("application/gzip", noise(3000)),
    );
    add(
        "plugin=cache/huge",
        RawObject {
            metadata: BTreeMap::from([("kept".to_owned(), "yes, this".to_owned())]),
            ..typed("application/x-huge", noise(17 << 20))
        },
    );
    add(
        "plugin=cache/medium",
        typed("application/x-medium", noise(5 << 20)),
    );
    add(
        "other/teeline.json",
        typed("application/json", "{\"format\":\"mine\"}"),
    );
    add("other/folder/x!", typed("text/plain", "!"));
    add("other/folder/x/1", typed("text/plain", "1"));
    add("other/folder/x-1", typed("text/plain", "-"));
    add(
        "other/tab\tnew\nline +%2B 100% 🦀",
        typed("text/plain; charset=utf-8", "hostile"),
    );
    if embedded {
        // Other servers take some of these for folders.
        for key in [
            "other//double",
            "other/trailing/",
            "/leading",
            "other/../up",
            "./dot",
        ] {
            add(key, typed("text/plain", key.to_owned()));
        }
    }

    let marker = typed("application/json", document::seal(&DestinationMarker {}));
    let damaged = typed(
        "application/json",
        "{\"format\":\"teeline-destination\",\"version\":9}",
    );
    let mut left_out = Objects::new();
    for (key, object) in [
        (
            "resource=log/sequence=id/lock",
            typed("application/json", "{}"),
        ),
        (
            "plugin=s3db-core/locks/namespace=metadata/s3db-metadata.json",
            typed("a/b", "{}"),
        ),
        (
            "s3db.json.corrupted.2026-01-01.backup",
            typed("application/json", "{"),
        ),
        ("backups/teeline.json", marker.clone()),
        ("backups/catalog/entry", typed("a/b", "{}")),
        ("other/backups/teeline.json", marker),
        ("other/backups/s3db.json", typed("a/b", "{}")),
        ("later/teeline.json", damaged),
        ("later/data", typed("a/b", "{}")),
    ] {
        left_out.insert(key.to_owned(), object);
    }
    (kept, left_out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_comes_back_object_for_object() {
    let server = Server::start().await;
    let catalogue = catalogue(&[
        ("logs", "user-managed"),
        ("log", "user-managed"),
        ("bodies", "body-only"),
        ("empty", "user-managed"),
        ("files", "body-overflow"),
    ]);
    let (kept, left_out) = database(&catalogue, server.is_embedded());
    server.put_all("db/one/", &kept).await;
    server.put_all("db/one/", &left_out).await;
    // Neighbours of the prefix are none of it.
    server.put("db/one.txt", typed("a/b", "x")).await;
    server.put("db/one-more/s3db.json", typed("a/b", "x")).await;

    let scanned = scan(&server.connection("db/one")).await.unwrap();
    assert_eq!(scanned.names(), ["logs", "log", "bodies", "empty", "files"]);
    assert_eq!(scanned.catalogue, catalogue);

    for (name, records, kept_raw) in [
        ("logs", 7, 0),
        ("log", RECORDS as u64, 0),
        ("bodies", 2, 1),
        ("empty", 0, 0),
        ("files", 3, 2),
    ] {
        let resource = scanned.resource(name);
        assert_eq!(resource.records, records, "{name}");
        assert_eq!(resource.documents().len() as u64, records, "{name}");
        assert_eq!(
            (resource.counts.kept_raw, resource.counts.vanished),
            (kept_raw, 0),
            "{name}"
        );
        assert_eq!(resource.rows.len() as u64, records, "{name}");
    }
    let log = scanned.resource("log").documents();
    assert_eq!(
        json!(log["order 1234"]),
        json!({"id": "order 1234", "name": "näme 1234", "size": 1234})
    );
    let rows: Vec<ObjectRow> = scanned
        .resource("log")
        .rows
        .iter()
        .map(|row| {
            let row: serde_json::Value = serde_json::from_slice(row).unwrap();
            serde_json::from_value(row["object"].clone()).unwrap()
        })
        .collect();
    assert!(rows.iter().all(|row| row.last_modified.is_some()
        && row.etag.as_deref().is_some_and(|etag| !etag.contains('"'))
        && kept.contains_key(&row.key)));

    let files = scanned.resource("files").documents();
    assert_eq!(
        json!(files["megabyte"]),
        json!({"id": "megabyte", "name": "a picture", "_s3db": {"object": true}})
    );
    assert_eq!(files["small"]["name"], "a picture");
    assert!(files["small"]["_s3db"]["bodyBase64"].is_string());
    assert!(
        scanned.resource("bodies").documents()["large"]
            .get("_s3db")
            .is_none()
    );

    let lines = [
        "resource=log/data/id=",
        "resource=logs/data/",
        "resource=bodies/data/id=large",
    ];
    let mut expected: Vec<String> = kept
        .keys()
        .filter(|key| !lines.iter().any(|begin| key.starts_with(begin)))
        .filter(|key| {
            ![
                "s3db.json",
                "resource=files/data/id=small",
                "resource=files/data/id=unknown-version",
            ]
            .contains(&key.as_str())
        })
        .cloned()
        .collect();
    expected.sort_unstable();
    assert_eq!(scanned.object_keys(), expected);
    let objects = scanned.objects.as_ref().unwrap();
    assert_eq!(objects.records, expected.len() as u64);
    assert_eq!(objects.rows.len(), expected.len());
    assert!(
        objects
            .frames()
            .iter()
            .all(|frame| frame.bytes.len() <= 1 << 20)
    );

    let elsewhere = Server::start().await;
    let mut target = S3dbTarget::new(elsewhere.connection(""), WriteBackOptions::default());
    assert!(!target.is_staged());
    let restoring = restoring(&scanned, &[]);
    write_back(&scanned, &mut target, &restoring).await.unwrap();
    assert_same(&elsewhere.objects("").await, &kept);

    let error = target.check(&restoring).await.unwrap_err();
    assert_eq!(error.class(), Class::Conflict);
    assert!(
        error.to_string().contains("is not empty; use --overwrite"),
        "{error}"
    );
}

#[track_caller]
fn assert_same(found: &Objects, expected: &Objects) {
    let keys = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(found), keys(expected));
    for (key, object) in expected {
        let found = &found[key];
        assert_eq!(found.metadata, object.metadata, "{key:?}");
        assert_eq!(found.content_type, object.content_type, "{key:?}");
        assert!(found.body == object.body, "{key:?}");
    }
}
