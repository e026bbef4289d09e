use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, StorageClass};
use futures::future::join_all;

use crate::{BUCKET, Fixture, code};

const PART_BYTES: usize = 5 << 20;

async fn begin(fixture: &Fixture, key: &str) -> String {
    let upload = fixture
        .client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key(key);
    upload
        .send()
        .await
        .expect("create")
        .upload_id()
        .expect("id")
        .to_owned()
}

async fn upload(fixture: &Fixture, key: &str, id: &str, number: i32, body: &[u8]) -> CompletedPart {
    let part = fixture
        .client
        .upload_part()
        .bucket(BUCKET)
        .key(key)
        .upload_id(id);
    let part = part
        .part_number(number)
        .body(ByteStream::from(body.to_vec()));
    let sent = part.send().await.expect("part");
    CompletedPart::builder()
        .part_number(number)
        .e_tag(sent.e_tag().expect("etag"))
        .build()
}

fn all(parts: &[CompletedPart]) -> CompletedMultipartUpload {
    CompletedMultipartUpload::builder()
        .set_parts(Some(parts.to_vec()))
        .build()
}

macro_rules! complete {
    ($fixture:expr, $key:expr, $id:expr, $parts:expr) => {
        $fixture
            .client
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key($key)
            .upload_id($id)
            .multipart_upload(all($parts))
    };
}

#[tokio::test]
async fn twenty_megabytes_in_parts() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let body: Vec<u8> = (0..5_u32 << 20).flat_map(|n| n.to_le_bytes()).collect();
    let created = client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("large/é")
        .metadata("m", "")
        .content_type("text/csv")
        .storage_class(StorageClass::GlacierIr)
        .checksum_algorithm(ChecksumAlgorithm::Crc32)
        .send()
        .await
        .expect("create");
    let id = created.upload_id().expect("id");
    let numbered = body.chunks(PART_BYTES).zip([1, 2, 3, 7]);
    let parts =
        join_all(numbered.map(|(chunk, number)| upload(&fixture, "large/é", id, number, chunk)));
    let parts = parts.await;
    let listed = client
        .list_objects_v2()
        .bucket(BUCKET)
        .send()
        .await
        .expect("list");
    assert_eq!(
        listed.key_count(),
        Some(0),
        "invisible before it is complete"
    );

    let done = complete!(fixture, "large/é", id, &parts)
        .send()
        .await
        .expect("complete");
    let etag = done.e_tag().expect("etag");
    assert!(etag.ends_with("-4\"") && etag.len() == 36, "{etag}");
    let got = client
        .get_object()
        .bucket(BUCKET)
        .key("large/é")
        .send()
        .await
        .expect("get");
    assert_eq!(got.e_tag(), Some(etag));
    assert_eq!(got.content_type(), Some("text/csv"));
    assert_eq!(got.storage_class(), Some(&StorageClass::GlacierIr));
    assert_eq!(
        got.metadata()
            .and_then(|metadata| metadata.get("m"))
            .map(String::as_str),
        Some("")
    );
    assert!(got.body.collect().await.expect("body").to_vec() == body);

    assert_eq!(
        code(complete!(fixture, "large/é", id, &parts).send().await),
        "NoSuchUpload"
    );
    let uploads = client
        .list_multipart_uploads()
        .bucket(BUCKET)
        .send()
        .await
        .expect("list");
    assert!(uploads.uploads().is_empty());
    let staged = std::fs::read_dir(fixture.folder.path().join(".staging"))
        .expect("list")
        .count();
    assert_eq!(staged, 0);
}

#[tokio::test]
async fn completion_checks_the_parts() {
    let fixture = Fixture::new().await;
    let id = begin(&fixture, "k").await;
    let small = upload(&fixture, "k", &id, 1, b"small").await;
    let last = upload(&fixture, "k", &id, 2, b"last").await;
    let wrong = CompletedPart::builder()
        .part_number(1)
        .e_tag("\"other\"")
        .build();
    let absent = CompletedPart::builder()
        .part_number(3)
        .e_tag("\"other\"")
        .build();
    for (parts, refusal) in [
        (vec![small.clone(), last.clone()], "EntityTooSmall"),
        (vec![last.clone(), small.clone()], "InvalidPartOrder"),
        (vec![small.clone(), small.clone()], "InvalidPartOrder"),
        (vec![wrong], "InvalidPart"),
        (vec![small.clone(), absent], "InvalidPart"),
        (vec![], "MalformedXML"),
    ] {
        assert_eq!(
            code(complete!(fixture, "k", &id, &parts).send().await),
            refusal
        );
    }
    let sized = complete!(fixture, "k", &id, std::slice::from_ref(&small)).mpu_object_size(6);
    assert_eq!(code(sized.send().await), "InvalidRequest");
    let again = upload(&fixture, "k", &id, 1, b"again").await;
    assert_eq!(
        code(complete!(fixture, "k", &id, &[small]).send().await),
        "InvalidPart"
    );
    complete!(fixture, "k", &id, &[again])
        .send()
        .await
        .expect("the last part may be small");
    assert_eq!(fixture.get("k").await, b"again");
}

#[tokio::test]
async fn of_completions_that_create_one_wins() {
    let fixture = Fixture::new().await;
    let mut begun = Vec::new();
    for n in 0..8_u8 {
        let id = begin(&fixture, "k").await;
        let part = upload(&fixture, "k", &id, 1, &[n]).await;
        begun.push((id, part));
    }
    let completions = begun.iter().map(|(id, part)| {
        complete!(fixture, "k", id, std::slice::from_ref(part))
            .if_none_match("*")
            .send()
    });
    let results = join_all(completions).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for result in results.into_iter().filter(Result::is_err) {
        assert_eq!(code(result), "PreconditionFailed");
    }
    let left = fixture
        .client
        .list_multipart_uploads()
        .bucket(BUCKET)
        .send()
        .await
        .expect("list");
    assert_eq!(
        left.uploads().len(),
        7,
        "a refused completion keeps its upload"
    );
}

#[tokio::test]
async fn aborted_uploads_leave_nothing() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let id = begin(&fixture, "k").await;
    let part = upload(&fixture, "k", &id, 1, b"x").await;
    let abort = |key: &str| {
        client
            .abort_multipart_upload()
            .bucket(BUCKET)
            .key(key)
            .upload_id(&id)
    };
    assert_eq!(code(abort("other").send().await), "NoSuchUpload");
    abort("k").send().await.expect("abort");
    assert_eq!(code(abort("k").send().await), "NoSuchUpload");
    let late = client
        .upload_part()
        .bucket(BUCKET)
        .key("k")
        .upload_id(&id)
        .part_number(2);
    assert_eq!(
        code(late.body(ByteStream::from_static(b"x")).send().await),
        "NoSuchUpload"
    );
    assert_eq!(
        code(complete!(fixture, "k", &id, &[part]).send().await),
        "NoSuchUpload"
    );
    assert_eq!(
        code(complete!(fixture, "k", "../../x", &[]).send().await),
        "NoSuchUpload"
    );
    let parts = client.list_parts().bucket(BUCKET).key("k").upload_id(&id);
    assert_eq!(code(parts.send().await), "NoSuchUpload");
    let uploads = fixture.folder.path().join(BUCKET).join("uploads");
    assert_eq!(std::fs::read_dir(uploads).expect("list").count(), 0);
}

#[tokio::test]
async fn parts_are_listed_and_checked() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let id = begin(&fixture, "k").await;
    for number in [10_000, 3, 1, 2] {
        upload(
            &fixture,
            "k",
            &id,
            number,
            &vec![b'x'; usize::try_from(number).expect("small")],
        )
        .await;
    }
    let list = || client.list_parts().bucket(BUCKET).key("k").upload_id(&id);
    let first = list().max_parts(3).send().await.expect("list");
    let numbers: Vec<_> = first
        .parts()
        .iter()
        .filter_map(|part| part.part_number())
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(first.parts()[1].size(), Some(2));
    assert!(first.parts()[1].e_tag().is_some());
    assert_eq!(first.is_truncated(), Some(true));
    let marker = first.next_part_number_marker().expect("marker");
    let rest = list()
        .part_number_marker(marker)
        .send()
        .await
        .expect("list");
    let numbers: Vec<_> = rest
        .parts()
        .iter()
        .filter_map(|part| part.part_number())
        .collect();
    assert_eq!(numbers, [10_000]);
    assert_eq!(rest.is_truncated(), Some(false));

    let part = |number| {
        let part = client
            .upload_part()
            .bucket(BUCKET)
            .key("k")
            .upload_id(&id)
            .part_number(number);
        part.body(ByteStream::from_static(b"hello"))
    };
    assert_eq!(code(part(0).send().await), "InvalidArgument");
    assert_eq!(code(part(10_001).send().await), "InvalidArgument");
    assert_eq!(
        code(part(4).checksum_crc32("AAAAAA==").send().await),
        "BadDigest"
    );
    assert_eq!(
        list().send().await.expect("list").parts().len(),
        4,
        "a bad part is not kept"
    );
}

#[tokio::test]
async fn uploads_are_listed_by_key() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    for key in ["b", "a/2", "a/1", "a/1", "c/\n"] {
        begin(&fixture, key).await;
    }
    let list = || client.list_multipart_uploads().bucket(BUCKET);
    let mut keys = Vec::new();
    let (mut key_marker, mut id_marker) = (None, None);
    loop {
        let request = list().max_uploads(1);
        let request = request
            .set_key_marker(key_marker)
            .set_upload_id_marker(id_marker);
        let page = request.send().await.expect("page");
        keys.extend(
            page.uploads()
                .iter()
                .filter_map(|upload| upload.key().map(str::to_owned)),
        );
        key_marker = page.next_key_marker().map(str::to_owned);
        id_marker = page.next_upload_id_marker().map(str::to_owned);
        if page.is_truncated() != Some(true) {
            break;
        }
    }
    assert_eq!(keys, ["a/1", "a/1", "a/2", "b", "c/\n"]);

    let mut shown = Vec::new();
    let mut key_marker = None;
    loop {
        let request = list()
            .delimiter("/")
            .max_uploads(1)
            .set_key_marker(key_marker);
        let page = request.send().await.expect("page");
        shown.extend(
            page.uploads()
                .iter()
                .filter_map(|upload| upload.key().map(str::to_owned)),
        );
        let common = page.common_prefixes().iter();
        shown.extend(common.filter_map(|common| common.prefix().map(str::to_owned)));
        key_marker = page.next_key_marker().map(str::to_owned);
        if page.is_truncated() != Some(true) {
            break;
        }
    }
    assert_eq!(shown, ["a/", "b", "c/"]);
    let below = list().prefix("a/").send().await.expect("list");
    assert_eq!(below.uploads().len(), 3);
    assert!(
        below
            .uploads()
            .iter()
            .all(|upload| upload.initiated().is_some())
    );
}
