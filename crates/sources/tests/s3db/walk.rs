//! A database that changes while it is read, and connections that break.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use serde_json::json;
use teeline_core::{Item, Selection, Source};
use teeline_sources::s3db::{OnUndecodable, RawObject, S3dbSource, ScanOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::proxy::{Hook, Proxy};
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

/// Forwards connections to a server; each ends after so many bytes of answers.
async fn cutting_proxy(server: String, answer_bytes_max: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move {
                let (mut client_in, mut client_out) = client.into_split();
                let (server_in, mut server_out) = server.into_split();
                let up = async {
                    let _ = tokio::io::copy(&mut client_in, &mut server_out).await;
                };
                let down = async {
                    let mut limited = server_in.take(answer_bytes_max as u64);
                    let _ = tokio::io::copy(&mut limited, &mut client_out).await;
                    let _ = client_out.shutdown().await;
                };
                tokio::select! { () = up => {}, () = down => {} }
            });
        }
    });
    address
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
    let proxy = cutting_proxy(server.address().to_owned(), 700_000).await;
    let scanned = scan(&server.connection_over(&proxy, "")).await.unwrap();
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
    let cutting = cutting_proxy(server.address().to_owned(), 700_000).await;
    let (writer, body, reads) = (
        Arc::clone(&server),
        new.clone(),
        Arc::new(AtomicU32::new(0)),
    );
    let hook: Hook = Arc::new(move |request| {
        let (writer, body, reads) = (Arc::clone(&writer), body.clone(), Arc::clone(&reads));
        Box::pin(async move {
            // Before its connection has broken the second time, and is asked to go on.
            if request.contains("/large") && reads.fetch_add(1, Ordering::Relaxed) == 2 {
                writer.put("large", typed("a/b", body)).await;
            }
        })
    });
    let proxy = Proxy::start(&cutting, hook).await;
    let connection = server.connection_over(&proxy.address(), "");
    let frames = scan(&connection).await.unwrap().objects.unwrap().frames();
    let pieces = frames.iter().flat_map(|frame| frame.bytes.to_vec());
    assert!(pieces.collect::<Vec<_>>() == new);
}

/// A proxy that refuses every third connection: it answers the first request that the server is to be spared.
async fn throttling_proxy(server: String, refused: Arc<AtomicUsize>) -> String {
    const REFUSAL: &str = "<Error><Code>SlowDown</Code><Message>less, please</Message></Error>";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut client, _) = listener.accept().await.unwrap();
            let (server, refused) = (server.clone(), Arc::clone(&refused));
            tokio::spawn(async move {
                if number % 3 == 0 {
                    let mut request = [0; 16 << 10];
                    if client
                        .read(&mut request)
                        .await
                        .is_ok_and(|length| length > 0)
                    {
                        refused.fetch_add(1, Ordering::SeqCst);
                    }
                    let length = REFUSAL.len();
                    let answer = format!(
                        "HTTP/1.1 503 Slow Down\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{REFUSAL}"
                    );
                    let _ = client.write_all(answer.as_bytes()).await;
                    return;
                }
                let mut server = TcpStream::connect(&server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
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
    let refused = Arc::new(AtomicUsize::new(0));
    let proxy = throttling_proxy(server.address().to_owned(), Arc::clone(&refused)).await;
    let scanned = scan(&server.connection_over(&proxy, "")).await.unwrap();
    assert_eq!(scanned.resource("log").documents().len(), 100);
    assert!(refused.load(Ordering::SeqCst) > 1);
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
