//! Some records only, out of a database: those of partitions, and those that meet conditions.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use teeline_core::{BackupError, Class, Partitions, Query, Selection};
use teeline_fault_proxy::{FaultProxy, Watcher};
use teeline_sources::s3db::{Connection, RestoreMode, S3dbTarget, ScanOptions, WriteBackOptions};

use crate::server::{
    Objects, Scanned, Server, catalogue_object, entry, record, restoring, scan, scan_with, typed,
    write_back,
};

/// Orders, users that have a partition less, and notes that have none.
fn catalogue() -> Bytes {
    let resource = |attributes: Value, partitions: Value| {
        let names = attributes.as_object().unwrap().keys().enumerate();
        let mapping: Value = names
            .map(|(number, name)| (name.clone(), json!(number)))
            .collect();
        json!({
            "currentVersion": "v1",
            "partitions": partitions,
            "versions": { "v1": { "attributes": attributes, "behavior": "body-overflow" } },
            "schemaRegistry": { "nextIndex": 9, "mapping": mapping, "burned": [] },
        })
    };
    let by_region = json!({ "fields": { "region": "string" } });
    let orders = resource(
        json!({ "region": "string", "status": "string", "total": "number", "text": "string|optional" }),
        json!({
            "byRegion": by_region,
            "byStatus": { "fields": { "status": "string|maxlength:6" } },
            "byBoth": { "fields": { "status": "string", "region": "string" } },
        }),
    );
    let users = resource(
        json!({ "region": "string" }),
        json!({ "byRegion": by_region }),
    );
    let notes = resource(json!({ "text": "string" }), json!({}));
    let resources = json!({ "orders": orders, "users": users, "notes": notes });
    Bytes::from(json!({ "version": "1", "resources": resources }).to_string())
}

/// An order with its entries.
fn order(id: &str, region: &str, status: &str, total: u32) -> Objects {
    let document = json!({"id": id, "region": region, "status": status, "total": total});
    let cut: String = status.chars().take(6).collect();
    let keys = [
        format!("byRegion/region={region}"),
        format!("byStatus/status={cut}"),
        format!("byBoth/region={region}/status={status}"),
    ];
    let entries = keys.map(|key| (format!("resource=orders/partition={key}/id={id}"), entry()));
    let mut objects = Objects::from(entries);
    objects.extend([record(&catalogue(), "orders", document)]);
    objects
}

/// 120 orders: of each region every third, and of these every second is active.
async fn server() -> Server {
    let server = Server::start().await;
    let mut objects = Objects::from([("s3db.json".to_owned(), catalogue_object(&catalogue()))]);
    for number in 0..120 {
        let region = ["US", "EU", "BR"][number % 3];
        let status = ["active", "done"][number / 3 % 2];
        objects.extend(order(&format!("o{number:03}"), region, status, 7));
    }
    for (id, region) in [("ana", "US"), ("bia", "BR")] {
        let document = json!({"id": id, "region": region});
        objects.extend([record(&catalogue(), "users", document)]);
        objects.insert(
            format!("resource=users/partition=byRegion/region={region}/id={id}"),
            entry(),
        );
    }
    objects.extend([record(
        &catalogue(),
        "notes",
        json!({"id": "n", "text": "t"}),
    )]);
    objects.insert("plugin=x/y".to_owned(), typed("a/b", "c"));
    objects.insert(
        "resource=orders/sequence=id/value".to_owned(),
        typed("a/b", "c"),
    );
    server.put_all("", &objects).await;
    server
}

fn in_partitions(said: Value) -> Selection {
    let partitions = Partitions::new(said).unwrap();
    Selection::everything().of_records(partitions, Query::default())
}

fn meeting(said: Value) -> Selection {
    let query = Query::new(said).unwrap();
    Selection::everything().of_records(Partitions::default(), query)
}

async fn scan_of(connection: &Connection, selection: Selection) -> Result<Scanned, BackupError> {
    // So that a listing has several pages.
    let options = ScanOptions {
        page_keys: 10,
        ..ScanOptions::default()
    };
    scan_with(connection, options, selection).await
}

fn ids(scanned: &Scanned, resource: &str) -> BTreeSet<String> {
    scanned.resource(resource).documents().into_keys().collect()
}

fn numbered(numbers: impl Iterator<Item = usize>) -> BTreeSet<String> {
    numbers.map(|number| format!("o{number:03}")).collect()
}

/// A proxy that notes the requests, and what it has noted: `LIST <prefix>`, `GET <key>`.
async fn noting(server: &Server) -> (FaultProxy, Arc<Mutex<Vec<String>>>) {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&noted);
    let watcher: Watcher = Arc::new(move |first| {
        let target = first.split(' ').nth(1).unwrap().to_owned();
        let decoded = percent_encoding::percent_decode_str(&target).decode_utf8_lossy();
        let note = match decoded.split_once("prefix=") {
            Some((_, rest)) => format!("LIST {}", rest.split('&').next().unwrap()),
            None => {
                let path = decoded.split('?').next().unwrap();
                format!("GET {}", path.splitn(3, '/').nth(2).unwrap_or_default())
            }
        };
        notes.lock().unwrap().push(note);
        Box::pin(async {})
    });
    (
        FaultProxy::watched(server.address(), watcher)
            .await
            .unwrap(),
        noted,
    )
}

#[tokio::test]
async fn only_the_entries_of_a_partition_are_listed_and_only_their_records_read() {
    let server = server().await;
    let (proxy, noted) = noting(&server).await;
    let connection = server.connection_over(&proxy.address(), "");
    let selection = in_partitions(json!({"byRegion": ["US", "EU"], "byStatus": ["active"]}));
    let scanned = scan_of(&connection, selection).await.unwrap();
    assert_eq!(scanned.names(), ["orders"], "the others lack a partition");
    let wanted = numbered((0..120).filter(|n| n % 3 < 2 && n / 3 % 2 == 0));
    assert_eq!(ids(&scanned, "orders"), wanted);
    assert_eq!(scanned.resource("orders").counts.vanished, 0);

    let noted = noted.lock().unwrap();
    let listed: Vec<&str> = noted
        .iter()
        .filter_map(|note| note.strip_prefix("LIST "))
        .collect();
    let prefixes: BTreeSet<&str> = listed.iter().copied().collect();
    let by = |partition: &str| format!("resource=orders/partition={partition}/");
    let expected = [
        "byRegion/region=EU",
        "byRegion/region=US",
        "byStatus/status=active",
    ]
    .map(by);
    assert_eq!(prefixes, expected.iter().map(String::as_str).collect());
    // 40, 40 and 60 entries, ten a page.
    assert!((14..=17).contains(&listed.len()), "{listed:?}");
    let read: Vec<&str> = noted
        .iter()
        .filter_map(|note| note.split_once("/data/id="))
        .map(|(_, id)| id)
        .collect();
    assert_eq!(read.len(), wanted.len(), "each record once");
    assert_eq!(
        read.iter()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>(),
        wanted
    );
}

#[tokio::test]
async fn records_come_with_their_entries_and_nothing_else() {
    let server = server().await;
    let selection = in_partitions(json!({"byRegion": ["US"]}));
    let scanned = scan_of(&server.connection(""), selection).await.unwrap();
    assert_eq!(
        scanned.names(),
        ["orders", "users"],
        "notes have no such partition"
    );
    assert_eq!(ids(&scanned, "users"), BTreeSet::from(["ana".to_owned()]));
    let wanted = numbered((0..120).filter(|n| n % 3 == 0));
    assert_eq!(ids(&scanned, "orders"), wanted);
    let keys = scanned.object_keys();
    assert_eq!(keys.len(), 3 * wanted.len() + 1);
    assert!(
        keys.contains(&"resource=orders/partition=byBoth/region=US/status=done/id=o003".to_owned())
    );
    assert!(
        keys.iter().all(|key| key.contains("/partition=")),
        "{keys:?}"
    );
    assert_eq!(
        scanned.objects.as_ref().unwrap().rows.len() + scanned.resource("orders").rows.len(),
        4 * wanted.len() + 1
    );

    // Restored, it is a database of these records, in which s3db.js finds them by its partitions.
    let restoring = restoring(&scanned, &[]);
    let mut target = S3dbTarget::new(server.connection("some"), WriteBackOptions::default());
    write_back(&scanned, &mut target, &restoring).await.unwrap();
    let (all, some) = (server.objects("").await, server.objects("some/").await);
    for (key, object) in some.iter().filter(|(key, _)| *key != "s3db.json") {
        assert_eq!(all.get(key), Some(object), "{key:?}");
    }
    let again = scan(&server.connection("some")).await.unwrap();
    assert_eq!(again.object_keys(), keys);
}

#[tokio::test]
async fn an_entry_is_not_taken_at_its_word() {
    let server = Server::start().await;
    let mut objects = Objects::from([("s3db.json".to_owned(), catalogue_object(&catalogue()))]);
    objects.extend(order("stays", "US", "active", 1));
    // It was in the US once, and its entry of then has stayed.
    objects.extend(order("moved", "BR", "active", 1));
    for stale in ["moved", "gone", ""] {
        objects.insert(
            format!("resource=orders/partition=byRegion/region=US/id={stale}"),
            entry(),
        );
    }
    // What isn't large enough for a line is looked at as well.
    let text = "x".repeat(300_000);
    for (id, region) in [("large", "US"), ("large-moved", "BR")] {
        let document = json!({"id": id, "region": region, "status": "s", "total": 1, "text": text});
        objects.extend([record(&catalogue(), "orders", document)]);
        objects.insert(
            format!("resource=orders/partition=byRegion/region=US/id={id}"),
            entry(),
        );
    }
    server.put_all("", &objects).await;
    let selection = in_partitions(json!({"byRegion": ["US"]}));
    for options in [
        ScanOptions::default(),
        ScanOptions {
            record_bytes_max: 100_000,
            ..ScanOptions::default()
        },
    ] {
        let scanned = scan_with(&server.connection(""), options, selection.clone())
            .await
            .unwrap();
        assert_eq!(
            ids(&scanned, "orders"),
            BTreeSet::from(["large".to_owned(), "stays".to_owned()])
        );
        let keys = scanned.object_keys();
        assert!(
            !keys
                .iter()
                .any(|key| key.contains("moved") || key.contains("gone")),
            "{keys:?}"
        );
        assert!(keys.contains(&"resource=orders/partition=byRegion/region=US/id=large".to_owned()));
        assert_eq!(
            scanned.resource("orders").counts.vanished,
            0,
            "nothing was there that has gone"
        );
    }
}

#[tokio::test]
async fn values_are_any_text() {
    let server = Server::start().await;
    let mut objects = Objects::from([("s3db.json".to_owned(), catalogue_object(&catalogue()))]);
    // Each with the entry that s3db.js makes for it: slashes are steps of a path.
    let regions = [
        ("a", "region=a"),
        ("a/b", "region=a/b"),
        ("a=b/c=", "region=a=b/c="),
        ("x/../y", "y"),
        ("São Paulo 100%+", "region=São Paulo 100%+"),
        ("", "region="),
        ("?&#", "region=?&#"),
    ];
    for (number, (region, steps)) in regions.iter().enumerate() {
        let id = format!("o{number:03}");
        let document = json!({"id": id, "region": region, "status": "s", "total": 1});
        objects.extend([record(&catalogue(), "orders", document)]);
        objects.insert(
            format!("resource=orders/partition=byRegion/{steps}/id={id}"),
            entry(),
        );
    }
    server.put_all("", &objects).await;
    for (number, (region, _)) in regions.iter().enumerate() {
        // Servers drop empty headers, so an empty text is absent when it is read again.
        if region.is_empty() {
            continue;
        }
        let selection = in_partitions(json!({"byRegion": [region]}));
        let scanned = scan_of(&server.connection(""), selection).await.unwrap();
        assert_eq!(
            ids(&scanned, "orders"),
            numbered(number..=number),
            "{region:?}"
        );
    }
}

#[tokio::test]
async fn partitions_of_several_fields_take_some_of_them() {
    let server = server().await;
    for (value, wanted) in [
        (
            json!({"region": "US", "status": "done"}),
            numbered((0..120).filter(|n| n % 6 == 3)),
        ),
        (
            json!({"region": "US"}),
            numbered((0..120).filter(|n| n % 3 == 0)),
        ),
        (
            json!({"status": "done"}),
            numbered((0..120).filter(|n| n / 3 % 2 == 1)),
        ),
    ] {
        let selection = in_partitions(json!({"byBoth": [value]}));
        let scanned = scan_of(&server.connection(""), selection).await.unwrap();
        assert_eq!(ids(&scanned, "orders"), wanted, "{value}");
    }
    // A rule applies to what is asked for as it did to what was stored.
    let selection = in_partitions(json!({"byStatus": ["active since"]}));
    let scanned = scan_of(&server.connection(""), selection).await.unwrap();
    assert_eq!(ids(&scanned, "orders").len(), 60);
}

#[tokio::test]
async fn records_that_meet_conditions_come_with_their_entries() {
    let server = server().await;
    let (proxy, noted) = noting(&server).await;
    let connection = server.connection_over(&proxy.address(), "");
    let selection =
        meeting(json!({"orders": {"region": ["US", "BR"], "status": "done", "total": 7}}));
    let scanned = scan_of(&connection, selection).await.unwrap();
    let wanted = numbered((0..120).filter(|n| n % 3 != 1 && n / 3 % 2 == 1));
    assert_eq!(ids(&scanned, "orders"), wanted);
    assert_eq!(scanned.names(), ["orders", "users", "notes"]);
    assert_eq!(scanned.resource("users").records, 2, "of others everything");
    let keys = scanned.object_keys();
    let entries = keys
        .iter()
        .filter(|key| key.starts_with("resource=orders/partition="));
    assert_eq!(entries.count(), 3 * wanted.len());
    let others: Vec<&str> = keys
        .iter()
        .map(String::as_str)
        .filter(|key| !key.starts_with("resource=orders/partition="))
        .collect();
    assert_eq!(
        others,
        [
            "plugin=x/y",
            "resource=users/partition=byRegion/region=BR/id=bia",
            "resource=users/partition=byRegion/region=US/id=ana"
        ]
    );
    let listed = noted.lock().unwrap();
    assert!(
        !listed.iter().any(|note| note == "LIST resource=orders/"),
        "{listed:?}"
    );
}

#[tokio::test]
async fn partitions_and_conditions_intersect() {
    let server = server().await;
    let partitions = Partitions::new(json!({"byRegion": ["US"]})).unwrap();
    let query = Query::new(json!({"orders": {"status": "done"}})).unwrap();
    let selection = Selection::everything().of_records(partitions, query);
    let scanned = scan_of(&server.connection(""), selection).await.unwrap();
    assert_eq!(
        ids(&scanned, "orders"),
        numbered((0..120).filter(|n| n % 6 == 3))
    );
    assert_eq!(ids(&scanned, "users").len(), 1);
}

#[tokio::test]
async fn what_no_partition_says_is_refused_with_what_there_is() {
    let server = server().await;
    for (said, parts) in [
        (
            json!({"byRegio": ["US"]}),
            vec![
                "\"byRegio\"",
                "byRegion, byStatus, byBoth (of orders); byRegion (of users)",
            ],
        ),
        (
            json!({"byBoth": ["US"]}),
            vec!["\"byBoth\"", "region, status"],
        ),
        (
            json!({"byBoth": [{"zone": "US"}]}),
            vec!["\"zone\"", "region, status"],
        ),
        (
            json!({"byRegion": ["a/../../.."]}),
            vec!["\"byRegion\"", "outside"],
        ),
    ] {
        let selection = in_partitions(said.clone());
        let error = scan_of(&server.connection(""), selection)
            .await
            .unwrap_err();
        assert_eq!(error.class(), Class::Usage, "{said}");
        assert!(
            parts.iter().all(|part| error.to_string().contains(part)),
            "{said}: {error}"
        );
    }
    // Each of them is there, but no resource has both.
    let partitions = Partitions::new(json!({"byRegion": ["US"], "byStatus": ["active"]})).unwrap();
    let selection =
        Selection::new(true, |name| name == "users").of_records(partitions, Query::default());
    let error = scan_of(&server.connection(""), selection)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("byRegion (of users)"), "{error}");
    let settling = ScanOptions {
        settle_passes_max: 2,
        ..ScanOptions::default()
    };
    let selection = in_partitions(json!({"byRegion": ["US"]}));
    let error = scan_with(&server.connection(""), settling, selection)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Usage);
}

#[tokio::test]
async fn a_merge_deletes_no_entry_that_a_backup_of_some_records_may_lack() {
    let catalogue = json!({ "version": "1", "resources": { "visits": {
        "currentVersion": "v1",
        "partitions": {
            "byRegion": { "fields": { "region": "string" } },
            "byDay": { "fields": { "day": "date" } },
        },
        "versions": { "v1": { "attributes": { "region": "string", "day": "string" }, "behavior": "body-overflow" } },
        "schemaRegistry": { "nextIndex": 2, "mapping": { "region": 0, "day": 1 }, "burned": [] },
    } } });
    let catalogue = Bytes::from(catalogue.to_string());
    let server = Server::start().await;
    // What day that is depends on where s3db.js runs.
    let visit = json!({"id": "v1", "region": "US", "day": "7 March 2024"});
    let mut objects = Objects::from([record(&catalogue, "visits", visit)]);
    for key in ["byRegion/region=US", "byDay/day=2024-03-07"] {
        objects.insert(format!("resource=visits/partition={key}/id=v1"), entry());
    }
    objects.insert("s3db.json".to_owned(), catalogue_object(&catalogue));
    server.put_all("", &objects).await;
    let selection = in_partitions(json!({"byRegion": ["US"]}));
    let scanned = scan_of(&server.connection(""), selection).await.unwrap();
    assert_eq!(
        scanned.object_keys(),
        ["resource=visits/partition=byRegion/region=US/id=v1"]
    );

    let mut restoring = restoring(&scanned, &[]);
    restoring.resources[0].is_in_part = true;
    let options = WriteBackOptions {
        mode: Some(RestoreMode::Merge),
        ..WriteBackOptions::default()
    };
    let mut target = S3dbTarget::new(server.connection(""), options);
    write_back(&scanned, &mut target, &restoring).await.unwrap();
    let keys = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&server.objects("").await), keys(&objects));
}
