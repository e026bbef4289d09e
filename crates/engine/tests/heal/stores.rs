//! The same in a folder and at a server that speaks S3.

use futures::TryStreamExt;
use teeline::{BackupId, DestinationSpec, Sink, exit};
use teeline_core::{ObjectKey, ObjectMeta, layout};
use teeline_embedded_s3::{Credentials, EmbeddedS3};

use crate::common::{records, request};
use crate::world::{Harm, World};

type Objects = Vec<(ObjectKey, Vec<u8>)>;

/// What is there of a backup, or was moved aside.
async fn contents(sink: &dyn Sink, id: &BackupId) -> Objects {
    let listed: Vec<ObjectMeta> = sink.list(None).try_collect().await.unwrap();
    let mut contents = Vec::new();
    for object in listed {
        let key = object.key.as_str();
        let is_said_of_it = key.starts_with("runs/") || key.starts_with("verifications/");
        if key.contains(id.as_str()) && !is_said_of_it {
            let bytes = sink.read(&object.key, 0..object.bytes).await.unwrap();
            contents.push((object.key, bytes.to_vec()));
        }
    }
    contents.sort();
    contents
}

async fn harm_all(sink: &dyn Sink, contents: &Objects, harm: Harm) {
    // What marks it as published holds nothing.
    for (key, bytes) in contents.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let is_entry = key.as_str().starts_with("catalog/");
        let mut bytes = bytes.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        match harm {
            // By its entry it is known that it was there.
            Harm::Lost if is_entry => {}
            Harm::Lost => sink.delete(key).await.unwrap(),
            Harm::Flipped | Harm::CutShort => {
                sink.delete(key).await.unwrap();
                sink.put(key, bytes.into()).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_and_a_bucket_heal_each_other() {
    let root = tempfile::tempdir().unwrap();
    let credentials = Credentials {
        access_key: "key".into(),
        secret_key: "secret".into(),
    };
    let server = EmbeddedS3::start(root.path().join("s3"), credentials).unwrap();
    server.create_bucket("bucket").unwrap();
    let folder = format!("folder={}", root.path().join("folder").display());
    let bucket = format!(
        "bucket=http://key:secret@{}/bucket/copies",
        server.address()
    );
    let at = [folder, bucket].map(|text| DestinationSpec::parse(&text).unwrap());
    let world = World::new();
    let report = world.engine.backup(request(&records(500), &at)).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let id = report.id.unwrap();
    for spec in &at {
        let sink = world.engine.open(spec).await.unwrap();
        let right = contents(sink.as_ref(), &id).await;
        for harm in [Harm::Lost, Harm::Flipped] {
            harm_all(sink.as_ref(), &right, harm).await;
            let report = world.heal_at(&at, &id).await;
            assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
            let now = contents(sink.as_ref(), &id).await;
            let (moved, now): (Objects, Objects) = now
                .into_iter()
                .partition(|(key, _)| layout::is_damaged(key));
            assert!(now == right, "{harm:?} in {spec:?}");
            let expected = match harm {
                Harm::Lost => 0,
                Harm::Flipped | Harm::CutShort => {
                    right.iter().filter(|(_, bytes)| !bytes.is_empty()).count()
                }
            };
            assert_eq!(moved.len(), expected, "{harm:?} in {spec:?}");
        }
    }
}
