//! How objects are kept: encrypted, tagged, archived and thawed.

use aws_sdk_s3::operation::restore_object::builders::RestoreObjectFluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, GlacierJobParameters, ObjectLockMode, RestoreRequest, ServerSideEncryption,
    StorageClass, Tier,
};

use crate::{BUCKET, Fixture, code};

impl Fixture {
    async fn put_in(&self, key: &str, class: StorageClass) {
        let put = self.client.put_object().bucket(BUCKET).key(key);
        let put = put.storage_class(class).body(ByteStream::from_static(b"x"));
        put.send().await.expect("put");
    }

    fn thaw(&self, key: &str, tier: Tier) -> RestoreObjectFluentBuilder {
        let tier = GlacierJobParameters::builder().tier(tier).build();
        let request = RestoreRequest::builder().days(2);
        let request = request.glacier_job_parameters(tier.expect("parameters"));
        let thaw = self.client.restore_object().bucket(BUCKET).key(key);
        thaw.restore_request(request.build())
    }

    async fn said(&self, key: &str) -> Option<String> {
        let head = self.client.head_object().bucket(BUCKET).key(key);
        let head = head.send().await.expect("head");
        head.restore().map(str::to_owned)
    }

    async fn read_code(&self, key: &str) -> String {
        code(
            self.client
                .get_object()
                .bucket(BUCKET)
                .key(key)
                .send()
                .await,
        )
    }
}

#[tokio::test]
async fn encryption_and_tags_come_back() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let put = client.put_object().bucket(BUCKET).key("k");
    let put = put.tagging("team=a%2Fb+c&of=").ssekms_key_id("alias/k");
    let put = put.server_side_encryption(ServerSideEncryption::AwsKms);
    put.send().await.expect("put");
    let head = client.head_object().bucket(BUCKET).key("k");
    let head = head.send().await.expect("head");
    assert_eq!(
        head.server_side_encryption(),
        Some(&ServerSideEncryption::AwsKms)
    );
    assert_eq!(head.ssekms_key_id(), Some("alias/k"));
    let tags = client.get_object_tagging().bucket(BUCKET).key("k");
    let tags = tags.send().await.expect("tags");
    let tags: Vec<_> = tags
        .tag_set()
        .iter()
        .map(|tag| (tag.key(), tag.value()))
        .collect();
    assert_eq!(tags, [("team", "a/b c"), ("of", "")]);
}

#[tokio::test]
async fn what_is_archived_is_read_once_it_is_thawed() {
    let fixture = Fixture::new().await;
    for class in [StorageClass::Glacier, StorageClass::DeepArchive] {
        let key = class.as_str().to_owned();
        fixture.put_in(&key, class).await;
        assert_eq!(fixture.read_code(&key).await, "InvalidObjectState");
        assert_eq!(fixture.said(&key).await, None);
        let copy = fixture.client.copy_object().bucket(BUCKET).key("copy");
        let copy = copy.copy_source(format!("{BUCKET}/{key}"));
        assert_eq!(code(copy.send().await), "InvalidObjectState");

        fixture.server.hold_thaws(true);
        fixture.thaw(&key, Tier::Bulk).send().await.expect("thaw");
        assert_eq!(
            fixture.said(&key).await.as_deref(),
            Some("ongoing-request=\"true\"")
        );
        assert_eq!(fixture.read_code(&key).await, "InvalidObjectState");
        assert_eq!(
            code(fixture.thaw(&key, Tier::Bulk).send().await),
            "RestoreAlreadyInProgress"
        );

        fixture.server.hold_thaws(false);
        let said = fixture.said(&key).await.expect("thawed");
        assert!(
            said.starts_with("ongoing-request=\"false\", expiry-date=\"") && said.contains("GMT"),
            "{said}"
        );
        assert_eq!(fixture.get(&key).await, b"x");
        let again = fixture.thaw(&key, Tier::Standard).send().await;
        again.expect("for longer");
    }
}

#[tokio::test]
async fn a_thaw_is_of_one_object_and_refused_for_others() {
    let fixture = Fixture::new().await;
    fixture.put_in("k", StorageClass::Glacier).await;
    fixture
        .thaw("k", Tier::Expedited)
        .send()
        .await
        .expect("thaw");
    assert_eq!(fixture.get("k").await, b"x");
    let delete = fixture.client.delete_object().bucket(BUCKET).key("k");
    delete.send().await.expect("delete");
    fixture.put_in("k", StorageClass::Glacier).await;
    assert_eq!(fixture.read_code("k").await, "InvalidObjectState");

    fixture.put_in("ir", StorageClass::GlacierIr).await;
    assert_eq!(fixture.get("ir").await, b"x");
    let thaw = fixture.thaw("ir", Tier::Standard).send().await;
    assert_eq!(code(thaw), "InvalidObjectState");
    fixture.put_in("deep", StorageClass::DeepArchive).await;
    let thaw = fixture.thaw("deep", Tier::Expedited).send().await;
    assert_eq!(code(thaw), "InvalidArgument");
    assert_eq!(
        code(fixture.thaw("none", Tier::Standard).send().await),
        "NoSuchKey"
    );
}

#[tokio::test]
async fn what_was_sent_can_be_looked_at() {
    let fixture = Fixture::new().await;
    fixture.put("before", b"x").await;
    assert!(fixture.server.recorded().is_empty());
    fixture.server.record();
    fixture.put_in("a b", StorageClass::StandardIa).await;
    let [sent] = fixture.server.recorded().try_into().expect("one");
    assert_eq!((&*sent.method, &*sent.path), ("PUT", "/bucket/a%20b"));
    assert_eq!(sent.header("x-amz-storage-class"), Some("STANDARD_IA"));
    assert_eq!(sent.header("x-amz-tagging"), None);
}

#[tokio::test]
async fn what_is_locked_is_neither_replaced_nor_deleted() {
    let fixture = Fixture::new().await;
    let client = &fixture.client;
    let put = |until: i64| {
        let until = DateTime::from_secs(until);
        let put = client.put_object().bucket(BUCKET).key("k");
        let put = put.object_lock_mode(ObjectLockMode::Compliance);
        let put = put.object_lock_retain_until_date(until);
        put.body(ByteStream::from_static(b"x"))
    };
    let far = 4_102_444_800;
    let attested = put(far).checksum_algorithm(ChecksumAlgorithm::Sha256);
    attested.send().await.expect("put");
    assert_eq!(code(put(0).send().await), "InvalidArgument");
    let head = client.head_object().bucket(BUCKET).key("k").send().await;
    let head = head.expect("head");
    assert_eq!(head.object_lock_mode(), Some(&ObjectLockMode::Compliance));
    let until = head.object_lock_retain_until_date().expect("a date");
    assert_eq!(until.secs(), far);
    let delete = client.delete_object().bucket(BUCKET).key("k");
    assert_eq!(code(delete.send().await), "AccessDenied");
    let replace = client.put_object().bucket(BUCKET).key("k");
    assert_eq!(code(replace.send().await), "AccessDenied");
}
