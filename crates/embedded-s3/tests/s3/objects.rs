use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, Delete, ObjectIdentifier, StorageClass};

use crate::{BUCKET, Fixture, client, code, get, hostile_keys, put};

#[tokio::test]
async fn what_is_put_comes_back() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let put = client
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .content_type("text/plain; charset=utf-8")
        .cache_control("no-cache")
        .content_encoding("gzip")
        .content_language("en")
        .content_disposition("attachment")
        .expires(DateTime::from_secs(1_900_000_000))
        .storage_class(StorageClass::StandardIa)
        .metadata("plain", "value")
        .metadata("empty", "")
        .body(ByteStream::from_static(b"hello"))
        .send()
        .await
        .expect("put");
    assert_eq!(put.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));

    let got = client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .expect("get");
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .expect("head");
    assert_eq!(got.e_tag(), put.e_tag());
    assert_eq!(head.e_tag(), put.e_tag());
    assert_eq!(got.content_length(), Some(5));
    assert_eq!(head.content_length(), Some(5));
    assert_eq!(got.content_type(), Some("text/plain; charset=utf-8"));
    assert_eq!(got.cache_control(), Some("no-cache"));
    assert_eq!(got.content_encoding(), Some("gzip"));
    assert_eq!(got.content_language(), Some("en"));
    assert_eq!(got.content_disposition(), Some("attachment"));
    assert_eq!(got.expires_string(), Some("Sun, 17 Mar 2030 17:46:40 GMT"));
    assert_eq!(got.storage_class(), Some(&StorageClass::StandardIa));
    assert_eq!(got.accept_ranges(), Some("bytes"));
    assert!(got.last_modified().is_some());
    assert_eq!(got.last_modified(), head.last_modified());
    let metadata = got.metadata().expect("metadata");
    assert_eq!(metadata.get("plain").map(String::as_str), Some("value"));
    assert_eq!(metadata.get("empty").map(String::as_str), Some(""));
    assert_eq!(head.metadata(), Some(metadata));
    assert_eq!(head.content_type(), got.content_type());
    assert_eq!(got.body.collect().await.expect("body").to_vec(), b"hello");
}

#[tokio::test]
async fn an_object_without_a_type_is_an_octet_stream() {
    let fixture = Fixture::new().await;
    let plain = client(
        &fixture.server,
        "secret",
        RequestChecksumCalculation::WhenRequired,
    );
    let put = plain
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .customize()
        .mutate_request(|request| {
            request.headers_mut().remove("content-type");
        });
    put.send().await.expect("put");
    let head = fixture
        .client
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .expect("head");
    assert_eq!(head.content_type(), Some("application/octet-stream"));
    assert_eq!(head.content_length(), Some(0));
    assert_eq!(head.metadata().map(|metadata| metadata.len()), Some(0));
    assert_eq!(fixture.get("k").await, b"");
}

#[tokio::test]
async fn metadata_beyond_ascii_does_no_harm() {
    let fixture = Fixture::new().await;
    // S3 gives such values in the encoding of mail headers; it takes them that way, too.
    let encoded = "=?UTF-8?B?aMOpbGxv?=";
    let put = fixture
        .client
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .metadata("m", encoded);
    put.send().await.expect("put");
    let head = fixture
        .client
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .expect("head");
    let metadata = head.metadata().expect("metadata");
    assert_eq!(metadata.get("m").map(String::as_str), Some(encoded));

    // The SDK can't send bytes that aren't ASCII.
    let mut stream = TcpStream::connect(fixture.server.address()).expect("connect");
    let mut request = b"PUT /bucket/k HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".to_vec();
    request.extend_from_slice(b"content-length: 0\r\nx-amz-meta-m: h\xc3\xa9\xffllo\r\n\r\n");
    stream.write_all(&request).expect("send");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("reply");
    assert!(reply.starts_with("HTTP/1.1 4"), "{reply}");

    let large = fixture.client.put_object().bucket(BUCKET).key("large");
    assert_eq!(
        code(large.metadata("m", "x".repeat(3000)).send().await),
        "MetadataTooLarge"
    );
    fixture.put("after", b"alive").await;
}

#[tokio::test]
async fn hostile_keys_stay_apart() {
    let fixture = Fixture::new().await;
    let keys = hostile_keys();
    for key in &keys {
        fixture.put(key, key.as_bytes()).await;
    }
    for key in &keys {
        assert_eq!(fixture.get(key).await, key.as_bytes(), "{key:?}");
    }
    let outside = std::fs::read_dir(fixture.folder.path())
        .expect("list")
        .count();
    assert_eq!(outside, 2, "the bucket and the staging folder");
    for key in &keys {
        let delete = fixture.client.delete_object().bucket(BUCKET).key(key);
        delete.send().await.expect("delete");
        let gone = fixture
            .client
            .get_object()
            .bucket(BUCKET)
            .key(key)
            .send()
            .await;
        assert_eq!(code(gone), "NoSuchKey", "{key:?}");
    }
    let objects = fixture.folder.path().join(BUCKET).join("objects");
    assert_eq!(
        std::fs::read_dir(objects).expect("list").count(),
        0,
        "empty folders remain"
    );
    fixture
        .client
        .delete_bucket()
        .bucket(BUCKET)
        .send()
        .await
        .expect("delete bucket");
}

#[tokio::test]
async fn a_key_too_long_is_refused() {
    let fixture = Fixture::new().await;
    let put = fixture
        .client
        .put_object()
        .bucket(BUCKET)
        .key("k".repeat(1025));
    assert_eq!(code(put.send().await), "KeyTooLongError");
}

#[tokio::test]
async fn ranges() {
    let fixture = Fixture::new().await;
    let body: Vec<u8> = (0..600_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    fixture.put("k", &body).await;
    fixture.put("empty", b"").await;
    let size = body.len();
    for (range, part) in [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=10-19".into(), 10..20),
        ("bytes=2000000-".into(), 2_000_000..size),
        ("bytes=-7".into(), size - 7..size),
        (format!("bytes=-{}", size + 5), 0..size),
        (format!("bytes=5-{}", size + 5), 5..size),
    ] {
        let get = fixture
            .client
            .get_object()
            .bucket(BUCKET)
            .key("k")
            .range(&range);
        let got = get
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .expect("get");
        let shown = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        assert_eq!(got.content_range(), Some(shown.as_str()), "{range}");
        assert_eq!(
            got.content_length(),
            i64::try_from(part.len()).ok(),
            "{range}"
        );
        assert!(
            got.body.collect().await.expect("body").to_vec() == body[part],
            "{range}"
        );
        let head = fixture
            .client
            .head_object()
            .bucket(BUCKET)
            .key("k")
            .range(&range);
        assert_eq!(
            head.send().await.expect("head").content_range(),
            Some(shown.as_str())
        );
    }
    for (key, range) in [
        ("k", format!("bytes={size}-")),
        ("empty", "bytes=-1".into()),
    ] {
        let get = fixture
            .client
            .get_object()
            .bucket(BUCKET)
            .key(key)
            .range(range);
        assert_eq!(code(get.send().await), "InvalidRange", "{key}");
    }
    assert!(fixture.get("k").await == body);
}

#[tokio::test]
async fn checksums_are_verified_and_given_back() {
    let fixture = Fixture::new().await;
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        let put = fixture.client.put_object().bucket(BUCKET).key("k");
        let put = put
            .checksum_algorithm(algorithm.clone())
            .body(ByteStream::from_static(b"hello"));
        put.send().await.expect("put");
        let get = fixture.client.get_object().bucket(BUCKET).key("k");
        let got = get
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .expect("get");
        let shown = match algorithm {
            ChecksumAlgorithm::Crc32 => got.checksum_crc32(),
            ChecksumAlgorithm::Crc32C => got.checksum_crc32_c(),
            ChecksumAlgorithm::Crc64Nvme => got.checksum_crc64_nvme(),
            ChecksumAlgorithm::Sha1 => got.checksum_sha1(),
            _ => got.checksum_sha256(),
        };
        assert!(shown.is_some(), "{algorithm:?}");
        assert_eq!(
            got.body
                .collect()
                .await
                .expect("checked by the client")
                .to_vec(),
            b"hello"
        );
    }
    let put = || {
        let put = fixture.client.put_object().bucket(BUCKET).key("bad");
        put.body(ByteStream::from_static(b"hello"))
    };
    assert_eq!(
        code(put().checksum_crc32("AAAAAA==").send().await),
        "BadDigest"
    );
    assert_eq!(
        code(put().content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await),
        "BadDigest"
    );
    put()
        .content_md5("XUFAKrxLKna5cZ2REBfFkg==")
        .send()
        .await
        .expect("right MD5");
}

#[tokio::test]
async fn objects_are_deleted_alone_and_together() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    client
        .delete_object()
        .bucket(BUCKET)
        .key("absent")
        .send()
        .await
        .expect("no error");
    let keys = hostile_keys();
    for key in &keys {
        fixture.put(key, b"x").await;
    }
    // Of the control characters XML can carry only the tab and the line feed.
    let named = keys.iter().map(String::as_str).chain(["absent"]);
    let objects = named.map(|key| ObjectIdentifier::builder().key(key).build().expect("key"));
    let delete = Delete::builder()
        .set_objects(Some(objects.collect()))
        .build()
        .expect("delete");
    let reply = client
        .delete_objects()
        .bucket(BUCKET)
        .delete(delete)
        .send()
        .await
        .expect("delete");
    assert!(reply.errors().is_empty(), "{:?}", reply.errors());
    assert_eq!(reply.deleted().len(), keys.len() + 1);
    let listed = client
        .list_objects_v2()
        .bucket(BUCKET)
        .send()
        .await
        .expect("list");
    assert_eq!(listed.key_count(), Some(0), "{:?}", listed.contents());

    fixture.put("quiet", b"x").await;
    let object = ObjectIdentifier::builder()
        .key("quiet")
        .build()
        .expect("key");
    let delete = Delete::builder()
        .objects(object)
        .quiet(true)
        .build()
        .expect("delete");
    let reply = client
        .delete_objects()
        .bucket(BUCKET)
        .delete(delete)
        .send()
        .await
        .expect("delete");
    assert!(reply.deleted().is_empty());
}

#[tokio::test]
async fn a_large_body_goes_in_and_out_with_either_way_of_checksums() {
    let fixture = Fixture::new().await;
    let body: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    for checksums in [
        RequestChecksumCalculation::WhenRequired,
        RequestChecksumCalculation::WhenSupported,
    ] {
        let client = client(&fixture.server, "secret", checksums);
        put(&client, "large", &body).await;
        assert!(get(&client, "large").await == body);
    }
}
