//! What goes wrong is said in words, with the place, and without the keys.

use std::time::{Duration, Instant};

use teeline_core::{
    BackupError, Class, DestinationMarker, RestoringResource, SourceKind, Target, document,
};
use teeline_fault_proxy::{Answer, Fault, FaultProxy, Rule};
use teeline_sources::s3db::{Connection, RestoreMode, S3dbTarget, WriteBackOptions};

use crate::server::{Scanned, Server, catalogue, catalogue_object, restoring, scan, typed};

#[track_caller]
fn assert_error(error: &BackupError, class: Class, parts: &[&str]) {
    assert_eq!(error.class(), class, "{error}");
    let text = format!("{error} {}", error.suggestion().unwrap_or_default());
    for part in parts {
        assert!(text.contains(part), "{part:?} isn't in: {text}");
    }
    for secret in ["se/c+ret", "secretkey123", "hunter2"] {
        assert!(!text.contains(secret), "{text}");
    }
}

fn with(connection: &Connection, change: impl FnOnce(&mut Connection)) -> Connection {
    let mut connection = connection.clone();
    change(&mut connection);
    connection
}

#[tokio::test]
async fn a_dead_endpoint_is_told_within_seconds() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let connection = format!("http://key:hunter2@{free}/bucket/db")
        .parse()
        .unwrap();
    let begin = Instant::now();
    let error = scan(&connection).await.unwrap_err();
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "{:?}",
        begin.elapsed()
    );
    let address = free.to_string();
    assert_error(
        &error,
        Class::Transient,
        &["connection refused", &address, "s3://bucket/db"],
    );
}

#[tokio::test]
async fn a_host_without_an_address_is_told() {
    let connection = "http://key:hunter2@none.invalid:80/bucket".parse().unwrap();
    let error = scan(&connection).await.unwrap_err();
    assert_error(
        &error,
        Class::Transient,
        &["http://none.invalid:80 can't be reached"],
    );
}

#[tokio::test]
async fn a_place_that_is_no_database_is_told() {
    let server = Server::start().await;
    let connection = server.connection("db");

    let error = scan(&connection).await.unwrap_err();
    assert_error(
        &error,
        Class::NotFound,
        &["no s3db.json at s3://", "/db: this is no s3db.js database"],
    );

    let elsewhere = with(&connection, |connection| {
        connection.bucket = "no-such-bucket".into();
    });
    let error = scan(&elsewhere).await.unwrap_err();
    assert_error(
        &error,
        Class::Permanent,
        &["s3://no-such-bucket/db", "the bucket doesn't exist"],
    );

    server
        .put(
            "db/s3db.json",
            typed("application/json", "{\"resources\":[]}"),
        )
        .await;
    let error = scan(&connection).await.unwrap_err();
    assert_error(
        &error,
        Class::Permanent,
        &["/db/s3db.json", "resources isn't an object"],
    );

    let catalogue = catalogue(&[("log", "user-managed")]);
    server
        .put("db/s3db.json", catalogue_object(&catalogue))
        .await;
    server
        .put(
            "db/teeline.json",
            typed("a/b", document::seal(&DestinationMarker {})),
        )
        .await;
    let error = scan(&connection).await.unwrap_err();
    assert_error(
        &error,
        Class::Usage,
        &["prefix is itself a teeline destination"],
    );
}

#[tokio::test]
async fn an_answer_that_points_elsewhere_leads_nowhere() {
    let server = Server::start().await;
    server
        .put("s3db.json", catalogue_object(&catalogue(&[])))
        .await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let elsewhere = FaultProxy::start(server.address()).await.unwrap();
    elsewhere.add(Rule::new("", "", Fault::change(|_| ())));
    for status in [301, 302, 307, 308] {
        let answer = Answer::error(status, "TemporaryRedirect");
        let location = format!("{}/bucket/s3db.json", elsewhere.endpoint());
        proxy.add(Rule::new(
            "",
            "",
            Fault::Answer(answer.header("location", location)),
        ));
        let connection = server.connection_over(&proxy.address(), "");
        let error = scan(&connection).await.unwrap_err();
        assert_error(&error, Class::Permanent, &["another region"]);
        proxy.clear();
    }
    assert_eq!(elsewhere.hits(), 0, "nobody else was asked");
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told_with_the_servers_time() {
    let server = Server::start().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let date = "Mon, 23 Nov 2026 02:00:00 GMT";
    let answer = Answer::error(403, "RequestTimeTooSkewed").header("date", date);
    proxy.add(Rule::new("", "", Fault::Answer(answer)));
    let connection = server.connection_over(&proxy.address(), "");
    let error = scan(&connection).await.unwrap_err();
    assert_error(&error, Class::Permanent, &[date, "set the clock"]);
}

#[tokio::test]
async fn keys_that_are_refused_are_told() {
    let server = Server::start().await;
    let wrong = with(&server.connection("db"), |connection| {
        connection.credentials.as_mut().unwrap().secret_key = "hunter2".into();
    });
    let error = scan(&wrong).await.unwrap_err();
    assert_error(
        &error,
        Class::Permanent,
        &["the server doesn't accept the keys", "check the access key"],
    );
}

#[tokio::test]
async fn restores_that_cannot_be_are_refused() {
    let server = Server::start().await;
    let scanned = Scanned {
        catalogue: catalogue(&[("log", "user-managed")]),
        ..Scanned::default()
    };
    let mut restoring = restoring(&scanned, &[]);
    restoring.resources.push(RestoringResource {
        name: "log".to_owned(),
        restored_as: Some("log".to_owned()),
        is_in_part: false,
    });
    let options = WriteBackOptions {
        mode: Some(RestoreMode::Merge),
        ..WriteBackOptions::default()
    };
    let target = |connection: Connection| S3dbTarget::new(connection, options);

    let elsewhere = with(&server.connection(""), |connection| {
        connection.bucket = "no-such-bucket".into();
    });
    let error = target(elsewhere).check(&restoring).await.unwrap_err();
    assert_error(&error, Class::Permanent, &["no-such-bucket", "create it"]);

    let mut of_lines = restoring.clone();
    of_lines.source = SourceKind::Jsonl;
    let error = target(server.connection("a"))
        .check(&of_lines)
        .await
        .unwrap_err();
    assert_error(&error, Class::Usage, &["no schema", "folder"]);

    let mut without = restoring.clone();
    without.database_catalogue = None;
    let error = target(server.connection("a"))
        .check(&without)
        .await
        .unwrap_err();
    assert_error(&error, Class::Corrupt, &["s3db.json"]);

    server
        .put(
            "d/teeline.json",
            typed("a/b", document::seal(&DestinationMarker {})),
        )
        .await;
    let error = target(server.connection("d"))
        .check(&restoring)
        .await
        .unwrap_err();
    assert_error(&error, Class::Usage, &["it is a teeline destination"]);

    let mut target = target(server.connection("a"));
    target.check(&restoring).await.unwrap();
    assert!(server.objects("a/").await.is_empty());
    assert!(target.frames(Vec::new()).await.is_err(), "before begin");
    target.begin(&restoring).await.unwrap();
    for (resource, line, class) in [
        ("none", "{}\n", Class::Corrupt),
        ("log", "{\n", Class::Corrupt),
        ("log", "{}\n", Class::Corrupt),
        ("log", "{\"id\":\"1\"}", Class::Corrupt),
        (
            "log",
            "{\"id\":\"1\",\"_s3db\":{\"v\":\"v9\"}}\n",
            Class::Permanent,
        ),
    ] {
        let result = async {
            target.lines(resource, line.into()).await?;
            // The writes end at the latest here.
            target.finish().await
        };
        let error = result.await.unwrap_err();
        assert_eq!(error.class(), class, "{line}: {error}");
        target.abort().await.unwrap();
        target.begin(&restoring).await.unwrap();
    }
}
