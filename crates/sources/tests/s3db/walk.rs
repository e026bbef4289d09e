//! A database that changes while it is read, and connections that break.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use teeline_core::{Item, Selection, Source};
use teeline_fault_proxy::{Answer, Fault, FaultProxy, Rule, Watcher};
use teeline_sources::s3db::{OnUndecodable, RawObject, S3dbSource, ScanOptions};
use tokio::sync::OnceCell;

use crate::server::{
    Server, catalogue, catalogue_object, entry, noise, record, scan, scan_with, typed,
};

#[tokio::test]
async fn what_is_deleted_meanwhile_is_counted() {
    let server = Server::start().await;
    let catalogue = catalogue(&[("log", "body-only")]);
    server.put("s3db.json", catalogue_object(&catalogue)).await;
    // More than is read ahead.
    for id in 100..200 {
        let text = "x".repeat(200_000);
        let document = json!({"id": id.to_string(), "name": "n", "size": 1, "text": text});
        let (key, object) = record(&catalogue, "log", document);
        server.put(&key, object).await;
    }
    server.put("zzz", typed("a/b", "c")).await;
    let source = S3dbSource::new(server.connection(""), ScanOptions::default());
    let mut scan = source.scan(Selection::everything()).await.unwrap();
    // After the first records the page with the others has been listed, but the last of them haven't been read.
    loop {
        if let Item::Records(_, batch) = scan.next().await.unwrap().unwrap() {
            assert_eq!(batch.ends.len(), 3);
            break;
        }
    }
    server.delete("resource=log/data/id=199").await;
    let mut ended = Vec::new();
    let mut records = 3;
    while let Some(item) = scan.next().await.unwrap() {
        match item {
            Item::Records(id, batch) if id.0 == 0 => records += batch.ends.len(),
            Item::End(_, counts) => ended.push(counts.vanished),
            _ => {}
        }
    }
    assert_eq!((records, ended), (99, vec![1, 0]));
}

#[tokio::test]
async fn a_scan_that_is_dropped_in_the_middle_is_no_harm() {
    let server = Server::start().await;
    let catalogue = catalogue(&[("log", "user-managed")]);
    server.put("s3db.json", catalogue_object(&catalogue)).await;
    for number in 0..50 {
        server
            .put(&format!("resource=log/x/{number}"), entry())
            .await;
    }
    let source = S3dbSource::new(server.connection(""), ScanOptions::default());
    let mut scan = source.scan(Selection::everything()).await.unwrap();
    scan.next().await.unwrap();
    drop(scan);
    // Calls that are given up lose no item.
    let mut scan = source.scan(Selection::everything()).await.unwrap();
    let (mut given_up, mut records) = (0, 0);
    loop {
        let next = tokio::time::timeout(std::time::Duration::from_micros(50), scan.next());
        match next.await {
            Err(_) => given_up += 1,
            Ok(item) => match item.unwrap() {
                None => break,
                Some(Item::Records(_, batch)) => records += batch.ends.len(),
                Some(_) => {}
            },
        }
    }
    assert!(given_up > 0);
    assert_eq!(records, 50);
}

#[tokio::test]
async fn records_that_cannot_be_decoded_may_fail_a_scan() {
    let server = Server::start().await;
    let catalogue = catalogue(&[("log", "user-managed")]);
    server.put("s3db.json", catalogue_object(&catalogue)).await;
    let content = RawObject {
        metadata: entry().metadata,
        ..typed("image/png", "picture")
    };
    server.put("resource=log/data/id=content", content).await;
    let options = ScanOptions {
        on_undecodable: OnUndecodable::Fail,
        ..ScanOptions::default()
    };
    let strict = || scan_with_options(&server, options);
    assert_eq!(strict().await.unwrap().resource("log").counts.kept_raw, 0);
    server
        .put("resource=log/data/id=b\nad", typed("a/b", ""))
        .await;
    let error = strict().await.unwrap_err();
    for part in ["\"b\\nad\"", "of log", "no schema version"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let kept = scan(&server.connection("")).await.unwrap();
    assert_eq!(kept.resource("log").counts.kept_raw, 1);
}

async fn scan_with_options(
    server: &Server,
    options: ScanOptions,
) -> Result<crate::server::Scanned, teeline_core::BackupError> {
    scan_with(&server.connection(""), options, Selection::everything()).await
}

/// Every answer ends after so many bytes.
fn cut_after(bytes: usize) -> Rule {
    Rule::new("GET", "", Fault::CutReply(bytes))
}

#[tokio::test]
async fn a_body_goes_on_where_its_connection_broke() {
    let server = Server::start().await;
    let catalogue = catalogue(&[("log", "user-managed")]);
    server.put("s3db.json", catalogue_object(&catalogue)).await;
    let bytes = noise(3_000_000);
    server.put("large", typed("a/b", bytes.clone())).await;
    server
        .put("small", typed("a/b", bytes[..200_000].to_vec()))
        .await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    proxy.add(cut_after(700_000));
    let scanned = scan(&server.connection_over(&proxy.address(), ""))
        .await
        .unwrap();
    let frames = scanned.objects.unwrap().frames();
    let joined = |key: &str| {
        let pieces = frames.iter().filter(|frame| frame.header.key == key);
        pieces
            .flat_map(|frame| frame.bytes.to_vec())
            .collect::<Vec<u8>>()
    };
    assert!(joined("large") == bytes);
    assert!(joined("small") == bytes[..200_000]);
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_whole() {
    let server = Arc::new(Server::start().await);
    let catalogue = catalogue(&[("log", "user-managed")]);
    server.put("s3db.json", catalogue_object(&catalogue)).await;
    server.put("large", typed("a/b", noise(3_000_000))).await;
    let new = noise(2_000_001);
    let (writer, body, reads) = (
        Arc::clone(&server),
        new.clone(),
        Arc::new(AtomicU32::new(0)),
    );
    let watcher: Watcher = Arc::new(move |request| {
        let (writer, body, reads) = (Arc::clone(&writer), body.clone(), Arc::clone(&reads));
        Box::pin(async move {
            // Before its connection has broken the second time, and is asked to go on.
            if request.contains("/large") && reads.fetch_add(1, Ordering::Relaxed) == 2 {
                writer.put("large", typed("a/b", body)).await;
            }
        })
    });
    let proxy = FaultProxy::watched(server.address(), watcher)
        .await
        .unwrap();
    proxy.add(cut_after(700_000));
    let connection = server.connection_over(&proxy.address(), "");
    let frames = scan(&connection).await.unwrap().objects.unwrap().frames();
    let pieces = frames.iter().flat_map(|frame| frame.bytes.to_vec());
    assert!(pieces.collect::<Vec<_>>() == new);
}

#[tokio::test]
async fn a_server_that_throttles_is_asked_again() {
    let server = Server::start().await;
    let catalogue = catalogue(&[("log", "user-managed")]);
    server.put("s3db.json", catalogue_object(&catalogue)).await;
    let records = (0..100).map(|n| {
        let document = json!({"id": n.to_string(), "name": "n", "size": n});
        record(&catalogue, "log", document)
    });
    server.put_all("", &records.collect()).await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    // Every third request, for a while.
    for number in 1..40 {
        let refusal = Fault::Answer(Answer::error(503, "SlowDown"));
        proxy.add(Rule::new("", "", refusal).after(2 * number).times(1));
    }
    let scanned = scan(&server.connection_over(&proxy.address(), ""))
        .await
        .unwrap();
    assert_eq!(scanned.resource("log").documents().len(), 100);
    assert!(proxy.hits() > 1);
}

/// Ids that a generator gives, that are counted, and that no order or alphabet helps with.
fn id(number: u32) -> String {
    match number % 3 {
        0 => format!("bulk-{number:06}"),
        1 => format!("{:x}{number}", number.wrapping_mul(2_654_435_761)),
        _ => format!("Ü {number}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_listing_in_ranges_gives_each_key_once() {
    for (kinds, page_keys) in [(1, 10), (2, 10), (3, 10), (1, 7)] {
        let server = Server::start().await;
        let catalogue = catalogue(&[("log", "user-managed")]);
        server.put("s3db.json", catalogue_object(&catalogue)).await;
        let ids: Vec<String> = (0..600).filter(|n| n % 3 < kinds).map(id).collect();
        let records = ids.iter().map(|id| {
            let document = json!({"id": id, "name": "n", "size": 1});
            record(&catalogue, "log", document)
        });
        let mut objects: crate::server::Objects = records.collect();
        let neighbours = [
            "data/id",
            "data/ie=x",
            "data/stray",
            "dat",
            "data/a/id=b",
            "data/id=bulk-0000150/b",
        ];
        for key in neighbours {
            objects.insert(format!("resource=log/{key}"), entry());
        }
        server.put_all("", &objects).await;
        let options = ScanOptions {
            page_keys,
            ..ScanOptions::default()
        };
        let connection = server.connection("");
        let scan = async || {
            let scanned = scan_with(&connection, options, Selection::everything());
            scanned.await.unwrap()
        };
        let (scanned, again) = (scan().await, scan().await);
        let log = scanned.resource("log");
        assert_eq!(log.records, ids.len() as u64);
        assert_eq!(log.documents().len(), ids.len(), "no record twice");
        assert_eq!(scanned.object_keys().len(), neighbours.len());
        assert!(
            log.batches == again.resource("log").batches,
            "the same order"
        );
    }
}

/// What of a listing's ranges is purged once their first pages were given.
#[derive(Debug, Clone, Copy)]
enum Purged {
    FirstPages,
    /// Of all that is behind the first one's begin.
    Everything,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_of_which_the_first_pages_are_purged_give_each_key_once() {
    const PAGE_KEYS: u16 = 10;
    for purged in [Purged::FirstPages, Purged::Everything] {
        let server = Arc::new(Server::start().await);
        let catalogue = catalogue(&[("log", "user-managed")]);
        server.put("s3db.json", catalogue_object(&catalogue)).await;
        let ids: Vec<String> = (0..600).map(|number| format!("bulk-{number:06}")).collect();
        let records = ids.iter().map(|id| {
            let document = json!({"id": id, "name": "n", "size": 1});
            record(&catalogue, "log", document)
        });
        let objects: crate::server::Objects = records.collect();
        server.put_all("", &objects).await;

        let keys: Vec<String> = objects.into_keys().collect();
        let begins: Arc<Mutex<Vec<usize>>> = Arc::default();
        let gone: Arc<OnceCell<Vec<String>>> = Arc::default();
        let purge = (Arc::clone(&server), Arc::clone(&begins), Arc::clone(&gone));
        let watcher: Watcher = Arc::new(move |request| {
            let (server, begins, gone) = purge.clone();
            let keys = keys.clone();
            Box::pin(async move {
                let is_page = request.contains(&format!("max-keys={PAGE_KEYS}"));
                let goes_on = request.contains("continuation-token=");
                if let Some(cut) =
                    asked_for(&request, "start-after").filter(|_| is_page && !goes_on)
                {
                    begins
                        .lock()
                        .unwrap()
                        .push(keys.partition_point(|key| *key <= cut));
                }
                let begins = begins.lock().unwrap().clone();
                if begins.is_empty() || !goes_on {
                    return;
                }
                let purge = async || {
                    let of = |begin: &usize| match purged {
                        Purged::FirstPages => *begin..begin + usize::from(PAGE_KEYS),
                        Purged::Everything => *begin..keys.len(),
                    };
                    let gone: BTreeSet<usize> = begins.iter().flat_map(of).collect();
                    let gone: Vec<String> = gone.iter().map(|at| keys[*at].clone()).collect();
                    for key in &gone {
                        server.delete(key).await;
                    }
                    gone
                };
                gone.get_or_init(purge).await;
            })
        });
        let proxy = FaultProxy::watched(server.address(), watcher)
            .await
            .unwrap();
        let options = ScanOptions {
            page_keys: PAGE_KEYS,
            ..ScanOptions::default()
        };
        let connection = server.connection_over(&proxy.address(), "");
        let scanned = scan_with(&connection, options, Selection::everything());
        let scanned = scanned.await.unwrap();
        let log = scanned.resource("log");
        let given = log.documents();
        assert_eq!(
            log.records,
            given.len() as u64,
            "{purged:?}: no record twice"
        );
        let gone = gone.get().expect("it was listed in ranges");
        assert!(gone.len() >= usize::from(PAGE_KEYS), "{purged:?}");
        let is_gone = |id: &String| gone.contains(&format!("resource=log/data/id={id}"));
        let missing = ids
            .iter()
            .find(|id| !given.contains_key(*id) && !is_gone(id));
        assert_eq!(missing, None, "{purged:?}");
    }
}

/// What a request asks for by a parameter of its query.
fn asked_for(request: &str, parameter: &str) -> Option<String> {
    let target = request.split_whitespace().nth(1)?;
    let url = format!("http://server{target}").parse::<url::Url>().ok()?;
    let mut pairs = url.query_pairs();
    pairs.find_map(|(name, value)| (name == parameter).then(|| value.into_owned()))
}
