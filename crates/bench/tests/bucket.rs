//! Measuring to a bucket leaves it as it was.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use bytes::Bytes;
use futures::TryStreamExt;
use teeline::{DestinationSpec, Engine};
use teeline_bench::{BenchPlace, Data, Generated, Sweep, measure};
use teeline_core::ObjectKey;
use teeline_embedded_s3::{Credentials, EmbeddedS3};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_to_a_bucket_is_removed_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let credentials = Credentials {
        access_key: "test-key".into(),
        secret_key: "test-secret".into(),
    };
    let server = EmbeddedS3::start(root.path(), credentials).unwrap();
    server.create_bucket("bucket").unwrap();
    let address = server.endpoint().replace("http://", "");
    let to = format!("http://test-key:test-secret@{address}/bucket/copies");
    let engine = Engine::new().unwrap();
    let bucket = DestinationSpec::parse(&to).unwrap();
    let sink = engine.open(&bucket).await.unwrap();
    let kept = ObjectKey::new("kept").unwrap();
    sink.put(&kept, Bytes::from_static(b"mine")).await.unwrap();

    let data = Data::Generated(Generated {
        records: 2_000,
        ..Generated::default()
    });
    let places = [to.clone(), format!("sim:latency=1ms,of={to}")];
    let places = places.map(|place| BenchPlace::parse(&place).unwrap());
    let mut sweep = Sweep::new(data, places.to_vec());
    sweep.repeats = 1;
    let report = measure(&sweep, |_| ()).await.unwrap();

    let [cell] = &report.cells[..] else {
        panic!("{report:?}");
    };
    assert!(cell.repetitions[0].stored_bytes > 0);
    let said = format!("{report:?}");
    assert!(said.contains("/bucket/copies") && !said.contains("test-secret"));
    let left: Vec<_> = sink.list(None).try_collect().await.unwrap();
    let left: Vec<ObjectKey> = left.into_iter().map(|object| object.key).collect();
    assert_eq!(left, [kept]);
}
