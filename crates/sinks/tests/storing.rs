//! What a bucket is asked for with each object, as it arrives at the server; and objects that are archived.

// Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used)]

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use teeline_core::{
    Availability, Class, ObjectKey, ReadBack, Sink, Span, Thaw, ThawTier, Timestamp,
};
use teeline_embedded_s3::{Credentials, EmbeddedS3, RecordedRequest};
use teeline_fault_proxy::{Answer, Fault, FaultProxy, Rule};
use teeline_sinks::{
    AccessKeys, LockMode, ObjectLock, ObjectStoreSink, S3Options, ServerSideEncryption, Storing,
};
use tempfile::TempDir;

const CLASS: &str = "x-amz-storage-class";
const ENCRYPTION: &str = "x-amz-server-side-encryption";
const KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const TAGS: &str = "x-amz-tagging";
const LOCK_MODE: &str = "x-amz-object-lock-mode";
const LOCKED_UNTIL: &str = "x-amz-object-lock-retain-until-date";
const CONDITION: &str = "if-none-match";
/// More than one part.
const LARGE: usize = 6 << 20;
const THAW: Thaw = Thaw {
    days: 2,
    tier: ThawTier::Bulk,
};

async fn bucket(storing: Storing) -> (TempDir, EmbeddedS3, ObjectStoreSink) {
    let root = tempfile::tempdir().unwrap();
    let credentials = Credentials {
        access_key: "test-key".into(),
        secret_key: "test-secret".into(),
    };
    let server = EmbeddedS3::start(root.path(), credentials).unwrap();
    server.create_bucket("bucket").unwrap();
    server.record();
    let sink = sink_over(&server.endpoint(), storing).await;
    (root, server, sink)
}

async fn sink_over(endpoint: &str, storing: Storing) -> ObjectStoreSink {
    let mut options = S3Options::new("bucket");
    options.endpoint = Some(endpoint.to_owned());
    options.keys = Some(AccessKeys {
        id: "test-key".into(),
        secret: "test-secret".into(),
        session_token: None,
    });
    options.storing = storing;
    ObjectStoreSink::s3(options).await.unwrap()
}

fn in_class(name: &str) -> Storing {
    Storing {
        class: Some(name.parse().unwrap()),
        ..Storing::default()
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

async fn upload(sink: &ObjectStoreSink, name: &str, bytes: usize) {
    let mut upload = sink.begin(&key(name), bytes as u64).await.unwrap();
    upload.write(vec![7; bytes].into()).await.unwrap();
    upload.commit().await.unwrap();
}

/// A document, data in one request, and data in parts.
async fn write_all(sink: &ObjectStoreSink) {
    let document = Bytes::from_static(b"{}");
    sink.put(&key("document"), document).await.unwrap();
    upload(sink, "small", 10).await;
    upload(sink, "large", LARGE).await;
}

/// The one request that makes an object, or begins to.
fn creation(server: &EmbeddedS3, name: &str) -> RecordedRequest {
    let is_creation = |request: &RecordedRequest| match request.method.as_str() {
        "PUT" => !request.query.contains("partNumber"),
        "POST" => request.query.starts_with("uploads"),
        _ => false,
    };
    let of_it = |request: &RecordedRequest| request.path == format!("/bucket/{name}");
    let recorded = server.recorded().into_iter();
    let found: Vec<_> = recorded
        .filter(|request| of_it(request) && is_creation(request))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

/// The requests that end with an object standing there, each with its condition. Beginning an upload and sending its parts don't.
fn ends(server: &EmbeddedS3) -> Vec<(String, Option<String>)> {
    let is_end = |request: &RecordedRequest| match request.method.as_str() {
        "PUT" => !request.query.contains("partNumber"),
        "POST" => !request.query.starts_with("uploads"),
        _ => false,
    };
    let recorded = server.recorded().into_iter();
    recorded
        .filter(is_end)
        .map(|request| {
            let condition = request.header(CONDITION).map(str::to_owned);
            (request.path, condition)
        })
        .collect()
}

fn end(name: &str, condition: Option<&str>) -> (String, Option<String>) {
    (format!("/bucket/{name}"), condition.map(str::to_owned))
}

/// A bucket's policy may deny every other way to make an object, as that of `SECURITY.md` does.
#[tokio::test]
async fn whatever_makes_an_object_says_that_nothing_may_be_there() {
    let lock = ObjectLock {
        mode: LockMode::Governance,
        days: 1,
    };
    for storing in [
        Storing::default(),
        in_class("GLACIER"),
        // What is to be locked is signed again on its way.
        Storing {
            lock: Some(lock),
            ..Storing::default()
        },
    ] {
        let (_root, server, sink) = bucket(storing).await;
        write_all(&sink).await;
        let expected = ["document", "small", "large"].map(|name| end(name, Some("*")));
        assert_eq!(ends(&server), expected);
    }
}

/// The end of an upload goes without the condition from then on, and everything else with it. A second writer is refused all the
/// same: before the end it is looked whether something is there.
#[tokio::test]
async fn a_server_that_knows_no_conditional_end_is_asked_for_all_others() {
    let (_root, server, direct) = bucket(Storing::default()).await;
    let address = server.address().to_string();
    let proxy = FaultProxy::start(&address).await.unwrap();
    let sink = sink_over(&proxy.endpoint(), Storing::default()).await;
    let refusal = Answer::error(501, "NotImplemented");
    proxy.next("POST", "uploadId=", Fault::Answer(refusal));
    upload(&sink, "first", LARGE).await;
    assert_eq!(proxy.pending(), 0);
    write_all(&sink).await;
    let mut second = sink.begin(&key("first"), LARGE as u64).await.unwrap();
    second.write(vec![8; LARGE].into()).await.unwrap();
    let refused = second.commit().await.unwrap_err();
    assert_eq!(refused.class(), Class::Conflict, "{refused}");
    assert_eq!(sink.read(&key("first"), 0..1).await.unwrap(), [7][..]);
    // Who has met no refusal asks for it.
    upload(&direct, "another", LARGE).await;
    let expected = [
        end("first", None),
        end("document", Some("*")),
        end("small", Some("*")),
        end("large", None),
        end("another", Some("*")),
    ];
    assert_eq!(ends(&server), expected);
}

#[tokio::test]
async fn uploads_that_are_refused_the_condition_at_once_are_all_ended_without() {
    let (_root, server, _) = bucket(Storing::default()).await;
    let address = server.address().to_string();
    let proxy = FaultProxy::start(&address).await.unwrap();
    let sink = sink_over(&proxy.endpoint(), Storing::default()).await;
    let mut uploads = Vec::new();
    for name in ["one", "two", "three", "four"] {
        let mut upload = sink.begin(&key(name), LARGE as u64).await.unwrap();
        upload.write(vec![7; LARGE].into()).await.unwrap();
        uploads.push(upload);
    }
    let refusal = Fault::Answer(Answer::error(501, "NotImplemented"));
    proxy.add(Rule::new("POST", "uploadId=", refusal).with_header("if-none-match"));
    let ends = uploads.iter_mut().map(|upload| upload.commit());
    let ended = futures::future::join_all(ends).await;
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    assert!(proxy.hits() > 0);
}

#[tokio::test]
async fn data_has_the_class_and_documents_have_none() {
    for name in ["STANDARD", "STANDARD_IA", "GLACIER_IR", "DEEP_ARCHIVE"] {
        let (_root, server, sink) = bucket(in_class(name)).await;
        write_all(&sink).await;
        let class = |name: &str| creation(&server, name).header(CLASS).map(str::to_owned);
        assert_eq!(class("document"), None);
        assert_eq!(class("small").as_deref(), Some(name));
        assert_eq!(class("large").as_deref(), Some(name));
    }
}

#[tokio::test]
async fn nothing_is_asked_for_where_nothing_is_set() {
    let (_root, server, sink) = bucket(Storing::default()).await;
    write_all(&sink).await;
    for name in ["document", "small", "large"] {
        let created = creation(&server, name);
        for header in [CLASS, ENCRYPTION, KMS_KEY, TAGS, LOCK_MODE, LOCKED_UNTIL] {
            assert_eq!(created.header(header), None, "{name} {header}");
        }
    }
}

#[tokio::test]
async fn everything_is_encrypted_and_tagged() {
    let key_id = "arn:aws:kms:eu-west-1:1:key/k";
    for (encryption, kind, key) in [
        (ServerSideEncryption::S3, "AES256", None),
        (ServerSideEncryption::Kms(None), "aws:kms", None),
        (
            ServerSideEncryption::Kms(Some(key_id.to_owned())),
            "aws:kms",
            Some(key_id),
        ),
    ] {
        let tags = [("team", "billing a/b"), ("of", "shop")];
        let storing = Storing {
            encryption: Some(encryption),
            tags: tags.map(|(name, value)| (name.into(), value.into())).into(),
            ..Storing::default()
        };
        let (_root, server, sink) = bucket(storing).await;
        write_all(&sink).await;
        for name in ["document", "small", "large"] {
            let created = creation(&server, name);
            assert_eq!(created.header(ENCRYPTION), Some(kind), "{name}");
            assert_eq!(created.header(KMS_KEY), key, "{name}");
            assert_eq!(
                created.header(TAGS),
                Some("of=shop&team=billing+a%2Fb"),
                "{name}"
            );
        }
        // Reading asks for nothing of it.
        sink.read(&self::key("large"), 0..10).await.unwrap();
        let read = server.recorded().pop().unwrap();
        assert_eq!((&*read.method, read.header(ENCRYPTION)), ("GET", None));
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap())
}

#[tokio::test]
async fn everything_is_locked_from_when_it_is_written() {
    for (mode, name) in [
        (LockMode::Governance, "GOVERNANCE"),
        (LockMode::Compliance, "COMPLIANCE"),
    ] {
        // Beside what the server is asked for otherwise, so that the second signature covers that, too.
        let storing = Storing {
            lock: Some(ObjectLock { mode, days: 35 }),
            tags: [("team".to_owned(), "billing a/b".to_owned())].into(),
            ..in_class("STANDARD_IA")
        };
        let began = now();
        let (_root, server, sink) = bucket(storing).await;
        write_all(&sink).await;
        for name_of in ["document", "small", "large"] {
            let created = creation(&server, name_of);
            assert_eq!(created.header(LOCK_MODE), Some(name), "{name_of}");
            let until: Timestamp = created.header(LOCKED_UNTIL).unwrap().parse().unwrap();
            let lasts = began.until(until);
            assert!(
                lasts >= Span::from_days(35) && lasts < Span::from_days(36),
                "{until}"
            );
            let signed = created.header("authorization").unwrap();
            for header in [LOCK_MODE, LOCKED_UNTIL, TAGS] {
                assert!(signed.contains(header), "{name_of}: {signed}");
            }
            // S3 takes nothing that is to be locked without one.
            let is_begun = created.method == "POST";
            let checksum = match is_begun {
                true => "x-amz-checksum-algorithm",
                false => "x-amz-checksum-sha256",
            };
            assert!(created.header(checksum).is_some(), "{name_of}");
        }
        let others = server.recorded().into_iter();
        let of_parts = others.filter(|request| request.query.contains("uploadId="));
        for request in of_parts {
            assert_eq!(request.header(LOCK_MODE), None, "{}", request.query);
        }
        assert_eq!(sink.read(&key("document"), 0..2).await.unwrap(), "{}");
        assert_eq!(sink.head(&key("large")).await.unwrap().bytes, LARGE as u64);
    }
}

#[tokio::test]
async fn what_is_locked_is_neither_replaced_nor_deleted() {
    let lock = ObjectLock {
        mode: LockMode::Compliance,
        days: 1,
    };
    let (_root, _server, sink) = bucket(Storing {
        lock: Some(lock),
        ..Storing::default()
    })
    .await;
    write_all(&sink).await;
    for name in ["document", "small", "large"] {
        let refused = sink.delete(&key(name)).await.unwrap_err();
        assert_eq!(refused.class(), Class::Permanent, "{refused}");
        assert!(refused.to_string().contains("locked"), "{refused}");
        sink.head(&key(name)).await.unwrap();
    }
    let second = sink.put(&key("document"), Bytes::from_static(b"[]")).await;
    assert_eq!(second.unwrap_err().class(), Class::Conflict);
    assert_eq!(sink.read(&key("document"), 0..2).await.unwrap(), "{}");
}

#[tokio::test]
async fn what_is_archived_is_attested_by_its_checksum() {
    let (_root, server, sink) = bucket(in_class("GLACIER")).await;
    assert_eq!(sink.capabilities().read_back, ReadBack::Documents);
    write_all(&sink).await;
    let checksum = "x-amz-checksum-sha256";
    assert!(creation(&server, "small").header(checksum).is_some());
    let recorded = server.recorded();
    let mut parts = recorded
        .iter()
        .filter(|request| request.query.contains("partNumber"));
    assert!(parts.clone().count() > 1);
    assert!(parts.all(|part| part.header(checksum).is_some()));
    assert_eq!(sink.head(&key("large")).await.unwrap().bytes, LARGE as u64);
    assert_eq!(sink.read(&key("document"), 0..2).await.unwrap(), "{}");
    // A second writer is told so, although nobody can compare.
    let mut second = sink.begin(&key("small"), 10).await.unwrap();
    second.write(vec![7; 10].into()).await.unwrap();
    let refused = second.commit().await.unwrap_err();
    assert_eq!(refused.class(), Class::Conflict);
}

#[tokio::test]
async fn what_is_archived_is_read_once_it_is_thawed() {
    let (_root, server, sink) = bucket(in_class("DEEP_ARCHIVE")).await;
    write_all(&sink).await;
    let data = key("large");
    let error = sink.read(&data, 0..10).await.unwrap_err();
    assert_eq!(error.class(), Class::Archived);
    assert_eq!(
        error.to_string(),
        "read s3://bucket/large: it is archived, and must be thawed to be read"
    );
    let availability = async |name: &str| sink.availability(&key(name)).await.unwrap();
    assert_eq!(availability("document").await, Availability::Readable);
    assert_eq!(availability("large").await, Availability::Archived);

    server.hold_thaws(true);
    sink.thaw(&data, THAW).await.unwrap();
    assert_eq!(availability("large").await, Availability::Thawing);
    assert_eq!(availability("small").await, Availability::Archived);
    // Asking again changes nothing, nor does asking for what isn't archived.
    sink.thaw(&data, THAW).await.unwrap();
    sink.thaw(&key("document"), THAW).await.unwrap();
    let error = sink.read(&data, 0..10).await.unwrap_err();
    assert_eq!(error.class(), Class::Archived);

    server.hold_thaws(false);
    assert_eq!(availability("large").await, Availability::Readable);
    assert_eq!(sink.read(&data, 0..3).await.unwrap(), [7, 7, 7][..]);
    sink.thaw(&data, THAW).await.unwrap();

    let missing = sink.availability(&key("none")).await.unwrap_err();
    assert_eq!(missing.class(), Class::NotFound);
    let refused = Thaw {
        tier: ThawTier::Expedited,
        ..THAW
    };
    let refused = sink.thaw(&key("small"), refused).await.unwrap_err();
    assert_eq!(refused.class(), Class::Permanent);
    assert!(refused.to_string().contains("Expedited"), "{refused}");
}

#[tokio::test]
async fn keys_of_any_characters_are_thawed() {
    let (_root, _server, sink) = bucket(in_class("GLACIER")).await;
    for name in ["a b+c=~(ü)%41&?#;", "deep/er'*!$,:@\"<>"] {
        upload(&sink, name, 10).await;
        let key = key(name);
        assert_eq!(
            sink.availability(&key).await.unwrap(),
            Availability::Archived,
            "{name}"
        );
        sink.thaw(&key, THAW).await.unwrap();
        assert_eq!(sink.read(&key, 0..1).await.unwrap(), [7][..], "{name}");
    }
}
