//! Credentials, restarts, and more than one server over a folder.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use aws_sdk_s3::config::RequestChecksumCalculation::WhenSupported;

use crate::{BUCKET, Fixture, client, code, get, put, start};

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let fixture = Fixture::new().await;
    let wrong = client(&fixture.server, "wrong", WhenSupported);
    let list = wrong.list_objects_v2().bucket(BUCKET).send().await;
    assert_eq!(
        list.as_ref()
            .expect_err("refused")
            .raw_response()
            .expect("reply")
            .status()
            .as_u16(),
        403
    );
    assert_eq!(code(list), "SignatureDoesNotMatch");
    assert_eq!(
        code(wrong.put_object().bucket(BUCKET).key("k").send().await),
        "SignatureDoesNotMatch"
    );
    let listed = fixture
        .client
        .list_objects_v2()
        .bucket(BUCKET)
        .send()
        .await
        .expect("list");
    assert_eq!(listed.key_count(), Some(0));
}

#[tokio::test]
async fn an_unsigned_request_is_refused() {
    let fixture = Fixture::new().await;
    let mut stream = TcpStream::connect(fixture.server.address()).expect("connect");
    stream
        .write_all(b"GET /bucket?list-type=2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("send");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("reply");
    assert!(reply.starts_with("HTTP/1.1 403 "), "{reply}");
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let Fixture {
        server,
        client: first,
        folder,
    } = Fixture::new().await;
    put(&first, "kept/key", b"kept").await;
    let upload = first
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("upload")
        .send()
        .await;
    let id = upload.expect("create").upload_id().expect("id").to_owned();
    let address = server.address();
    drop(server);
    assert!(
        TcpStream::connect(address).is_err(),
        "the port is closed once it is dropped"
    );

    let server = start(folder.path());
    let second = client(&server, "secret", WhenSupported);
    assert_eq!(get(&second, "kept/key").await, b"kept");
    let uploads = second
        .list_multipart_uploads()
        .bucket(BUCKET)
        .send()
        .await
        .expect("list");
    assert_eq!(uploads.uploads()[0].upload_id(), Some(id.as_str()));
    let listed = second
        .list_objects_v2()
        .bucket(BUCKET)
        .send()
        .await
        .expect("list");
    assert_eq!(listed.contents()[0].key(), Some("kept/key"));
}

#[tokio::test]
async fn two_servers_see_each_others_objects() {
    let fixture = Fixture::new().await;
    let other = start(fixture.folder.path());
    let other_client = client(&other, "secret", WhenSupported);
    for n in 0..20 {
        let key = format!("k{n}");
        fixture.put(&key, b"first").await;
        assert_eq!(get(&other_client, &key).await, b"first");
        put(&other_client, &key, b"second").await;
        assert_eq!(fixture.get(&key).await, b"second");
        let listed = fixture
            .client
            .list_objects_v2()
            .bucket(BUCKET)
            .send()
            .await
            .expect("list");
        assert_eq!(listed.contents().len(), n + 1);
        let listed = other_client
            .list_objects_v2()
            .bucket(BUCKET)
            .send()
            .await
            .expect("list");
        assert_eq!(listed.contents().len(), n + 1);
    }
    other_client
        .delete_object()
        .bucket(BUCKET)
        .key("k0")
        .send()
        .await
        .expect("delete");
    let gone = fixture
        .client
        .get_object()
        .bucket(BUCKET)
        .key("k0")
        .send()
        .await;
    assert_eq!(code(gone), "NoSuchKey");
}

#[tokio::test]
async fn requests_are_counted() {
    let fixture = Fixture::new().await;
    let before = fixture.server.requests();
    fixture.put("k", b"x").await;
    fixture.get("k").await;
    let wrong = client(&fixture.server, "wrong", WhenSupported);
    code(wrong.head_bucket().bucket(BUCKET).send().await);
    assert_eq!(fixture.server.requests() - before, 3);
}

#[tokio::test]
async fn what_a_crash_left_is_not_listed() {
    let fixture = Fixture::new().await;
    fixture.put("k", b"x").await;
    std::fs::write(fixture.folder.path().join(".staging/left"), "half").expect("write");
    std::fs::create_dir_all(fixture.folder.path().join(BUCKET).join("uploads/half")).expect("dir");
    let listed = fixture
        .client
        .list_objects_v2()
        .bucket(BUCKET)
        .send()
        .await
        .expect("list");
    assert_eq!(listed.contents().len(), 1);
    let uploads = fixture
        .client
        .list_multipart_uploads()
        .bucket(BUCKET)
        .send()
        .await;
    assert!(uploads.expect("list").uploads().is_empty());
    assert_eq!(
        fixture
            .client
            .list_buckets()
            .send()
            .await
            .expect("list")
            .buckets()
            .len(),
        1
    );
}

#[test]
fn it_starts_from_synchronous_code_and_within_a_runtime() {
    let folder = tempfile::tempdir().expect("folder");
    let synchronous = start(folder.path());
    assert_eq!(synchronous.requests(), 0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("runtime").block_on(async {
        let within = start(folder.path());
        assert_ne!(within.address(), synchronous.address());
    });
}
