use crate::{BUCKET, Fixture, code};

#[tokio::test]
async fn buckets_are_created_listed_and_deleted_when_empty() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    client
        .create_bucket()
        .bucket("another")
        .send()
        .await
        .expect("create");
    assert_eq!(
        code(client.create_bucket().bucket("another").send().await),
        "BucketAlreadyOwnedByYou"
    );
    client
        .head_bucket()
        .bucket("another")
        .send()
        .await
        .expect("head");
    let listed = client.list_buckets().send().await.expect("list");
    let names: Vec<_> = listed
        .buckets()
        .iter()
        .filter_map(|bucket| bucket.name())
        .collect();
    assert_eq!(names, ["another", BUCKET]);
    assert!(
        listed
            .buckets()
            .iter()
            .all(|bucket| bucket.creation_date().is_some())
    );

    fixture.put("deep/er/key", b"x").await;
    assert_eq!(
        code(client.delete_bucket().bucket(BUCKET).send().await),
        "BucketNotEmpty"
    );
    client
        .delete_object()
        .bucket(BUCKET)
        .key("deep/er/key")
        .send()
        .await
        .expect("delete");
    let upload = client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await;
    upload.expect("upload");
    client
        .delete_bucket()
        .bucket(BUCKET)
        .send()
        .await
        .expect("delete");
    assert_eq!(
        code(client.delete_bucket().bucket(BUCKET).send().await),
        "NoSuchBucket"
    );
    assert_eq!(
        code(client.head_bucket().bucket(BUCKET).send().await),
        "NotFound"
    );
}

#[tokio::test]
async fn nothing_creates_a_missing_bucket() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let absent = "absent";
    let no_bucket = "NoSuchBucket";
    assert_eq!(
        code(client.put_object().bucket(absent).key("k").send().await),
        no_bucket
    );
    assert_eq!(
        code(client.get_object().bucket(absent).key("k").send().await),
        no_bucket
    );
    assert_eq!(
        code(client.head_object().bucket(absent).key("k").send().await),
        "NotFound"
    );
    assert_eq!(
        code(client.delete_object().bucket(absent).key("k").send().await),
        no_bucket
    );
    assert_eq!(
        code(client.list_objects_v2().bucket(absent).send().await),
        no_bucket
    );
    let upload = client.create_multipart_upload().bucket(absent).key("k");
    assert_eq!(code(upload.send().await), no_bucket);
    assert_eq!(
        code(client.list_multipart_uploads().bucket(absent).send().await),
        no_bucket
    );
    let copy = client
        .copy_object()
        .bucket(absent)
        .key("k")
        .copy_source("bucket/k");
    assert_eq!(code(copy.send().await), no_bucket);
    let buckets = client.list_buckets().send().await.expect("list");
    assert_eq!(buckets.buckets().len(), 1);
}
