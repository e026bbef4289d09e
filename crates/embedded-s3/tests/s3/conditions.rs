//! Conditional reads and writes, copies, and what the server refuses to promise.

use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::MetadataDirective;
use futures::future::join_all;

use crate::{BUCKET, Fixture, client, code, put};

#[tokio::test]
async fn reads_keep_to_their_conditions() {
    let fixture = Fixture::new().await;
    fixture.put("k", b"hello").await;
    let etag = "\"5d41402abc4b2a76b9719d911017c592\"";
    let get = || fixture.client.get_object().bucket(BUCKET).key("k");
    let head = || fixture.client.head_object().bucket(BUCKET).key("k");
    get().if_match(etag).send().await.expect("it is that one");
    assert_eq!(
        code(get().if_match("\"other\"").send().await),
        "PreconditionFailed"
    );
    assert_eq!(code(head().if_match("\"other\"").send().await), "412");
    get()
        .if_none_match("\"other\"")
        .send()
        .await
        .expect("it is not that one");
    assert_eq!(code(get().if_none_match(etag).send().await), "304");
    assert_eq!(code(head().if_none_match("*").send().await), "304");
    let past = DateTime::from_secs(1_000_000_000);
    let future = DateTime::from_secs(4_000_000_000);
    assert_eq!(
        code(get().if_unmodified_since(past).send().await),
        "PreconditionFailed"
    );
    assert_eq!(code(get().if_modified_since(future).send().await), "304");
    get()
        .if_modified_since(past)
        .send()
        .await
        .expect("modified since");
}

#[tokio::test]
async fn one_of_many_creators_wins() {
    let fixture = Fixture::new().await;
    let second = crate::start(fixture.folder.path());
    for (round, key) in ["flat", "deep/er/key", "deep/er/other"]
        .into_iter()
        .enumerate()
    {
        let puts = (0..32).map(|n| {
            let server = if n % 2 == 0 { &fixture.server } else { &second };
            let client = client(server, "secret", RequestChecksumCalculation::WhenSupported);
            async move {
                let put = client
                    .put_object()
                    .bucket(BUCKET)
                    .key(key)
                    .if_none_match("*");
                put.body(ByteStream::from(format!("{n}").into_bytes()))
                    .send()
                    .await
            }
        });
        let results = join_all(puts).await;
        let winners: Vec<usize> = (0..32).filter(|n| results[*n].is_ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        for result in results.into_iter().filter(Result::is_err) {
            assert_eq!(code(result), "PreconditionFailed");
        }
        assert_eq!(fixture.get(key).await, winners[0].to_string().as_bytes());
    }
    let put = fixture.client.put_object().bucket(BUCKET).key("flat");
    put.body(ByteStream::from_static(b"replaced"))
        .send()
        .await
        .expect("unconditional");
    assert_eq!(fixture.get("flat").await, b"replaced");
    let staged = std::fs::read_dir(fixture.folder.path().join(".staging"))
        .expect("list")
        .count();
    assert_eq!(staged, 0, "losers leave nothing");
}

#[tokio::test]
async fn creators_and_deleters_of_one_directory_get_along() {
    let fixture = Fixture::new().await;
    let rounds = (0..16).map(|n| {
        let client = fixture.client.clone();
        async move {
            let key = format!("shared/folder/{n}");
            for _ in 0..10 {
                put(&client, &key, b"x").await;
                client
                    .delete_object()
                    .bucket(BUCKET)
                    .key(&key)
                    .send()
                    .await
                    .expect("delete");
            }
            put(&client, &key, b"last").await;
        }
    });
    join_all(rounds).await;
    let listed = fixture
        .client
        .list_objects_v2()
        .bucket(BUCKET)
        .send()
        .await
        .expect("list");
    assert_eq!(listed.contents().len(), 16);
}

#[tokio::test]
async fn what_is_not_honoured_is_refused() {
    let fixture = Fixture::new().await;
    let put = || fixture.client.put_object().bucket(BUCKET).key("k");
    let refused = "NotImplemented";
    let own_key = put().sse_customer_algorithm("AES256");
    assert_eq!(code(own_key.send().await), refused);
    let no_kms = put().server_side_encryption("AES256".into());
    assert_eq!(
        code(no_kms.ssekms_key_id("k").send().await),
        "InvalidArgument"
    );
    let held = put().object_lock_legal_hold_status("ON".into());
    assert_eq!(code(held.send().await), refused);
    let endless = put().object_lock_mode("GOVERNANCE".into());
    assert_eq!(code(endless.send().await), "InvalidArgument");
    assert_eq!(code(put().acl("public-read".into()).send().await), refused);
    assert_eq!(code(put().if_match("\"e\"").send().await), refused);
    assert_eq!(code(put().if_none_match("\"e\"").send().await), refused);
    assert_eq!(
        code(put().storage_class("TAPE".into()).send().await),
        "InvalidStorageClass"
    );
    let get = fixture
        .client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .version_id("v1");
    assert_eq!(code(get.send().await), "NoSuchVersion");
    let tags = fixture.client.get_object_tagging().bucket(BUCKET).key("k");
    assert_eq!(code(tags.send().await), "NoSuchKey");
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
async fn copies() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    client
        .put_object()
        .bucket(BUCKET)
        .key("source/é")
        .metadata("m", "v")
        .content_type("text/css")
        .body(ByteStream::from_static(b"hello"))
        .send()
        .await
        .expect("put");
    let source = "bucket/source/%C3%A9";
    let copy = |key: &str| {
        client
            .copy_object()
            .bucket(BUCKET)
            .key(key)
            .copy_source(source)
    };
    let copied = copy("copy").send().await.expect("copy");
    let result = copied.copy_object_result().expect("result");
    assert_eq!(result.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert_eq!(fixture.get("copy").await, b"hello");
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("copy")
        .send()
        .await
        .expect("head");
    assert_eq!(
        head.metadata()
            .and_then(|metadata| metadata.get("m"))
            .map(String::as_str),
        Some("v")
    );
    assert_eq!(head.content_type(), Some("text/css"));

    let replaced = copy("copy")
        .metadata_directive(MetadataDirective::Replace)
        .metadata("n", "w");
    replaced.send().await.expect("copy");
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("copy")
        .send()
        .await
        .expect("head");
    assert_eq!(
        head.metadata()
            .expect("metadata")
            .keys()
            .collect::<Vec<_>>(),
        ["n"]
    );

    assert_eq!(code(copy("source/é").send().await), "InvalidRequest");
    let stale = copy("copy").copy_source_if_match("\"other\"");
    assert_eq!(code(stale.send().await), "PreconditionFailed");
    let absent = client
        .copy_object()
        .bucket(BUCKET)
        .key("k")
        .copy_source("bucket/absent");
    assert_eq!(code(absent.send().await), "NoSuchKey");
    let taken = copy("copy").customize().mutate_request(|request| {
        request.headers_mut().insert("if-none-match", "*");
    });
    assert_eq!(code(taken.send().await), "PreconditionFailed");
}
