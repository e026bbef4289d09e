//! The lost manifest of a sealed backup.

use teeline::{RepairReport, RepairRequest, RepairStatus, Sink, exit};
use teeline_core::{RunClaim, document};

use super::common::{objects, unmark, whole};
use super::{Made, key, keys, made};

async fn repair(made: &Made, destinations: usize, secrets: &[u8]) -> RepairReport {
    let at = made.at[..destinations].to_vec();
    let mut asked = RepairRequest::rebuild_manifests(at);
    asked.id = made.report.id.clone();
    let secrets: Vec<_> = secrets.iter().map(|byte| key(*byte)).collect();
    asked.keys = keys(&secrets);
    made.engine.repair(asked).await
}

#[tokio::test]
async fn with_the_key_it_is_made_again_byte_for_byte() {
    let made = made().await;
    let manifest = made.file("manifest.json");
    let before = objects(&made.sinks[0]).await;
    made.sinks[0].delete(&manifest).await.unwrap();
    for secrets in [&[][..], &[2]] {
        let refused = repair(&made, 1, secrets).await;
        assert_eq!(refused.exit_code(), exit::WRONG_KEY, "{refused:?}");
    }
    let repaired = repair(&made, 1, &[1]).await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    let copy = &repaired.runs[0].destinations[0];
    assert_eq!(
        (copy.status, copy.checksum),
        (RepairStatus::Reconstructed, made.report.checksum)
    );
    assert!(before == objects(&made.sinks[0]).await);
    made.assert_restores(&made.at[..1], &key(1)).await;
}

#[tokio::test]
async fn without_the_key_it_comes_from_another_destination() {
    let made = made().await;
    made.sinks[0]
        .delete(&made.file("manifest.json"))
        .await
        .unwrap();
    let repaired = repair(&made, 2, &[]).await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    assert_eq!(
        repaired.runs[0].destinations[0].status,
        RepairStatus::Copied
    );
    made.assert_restores(&made.at[..1], &key(1)).await;
}

/// What nobody could open isn't listed, but completed.
#[tokio::test]
async fn without_a_key_object_it_gets_no_manifest() {
    let made = made().await;
    for name in made.names(0) {
        if name == "manifest.json" || name.starts_with("keys/") {
            made.sinks[0].delete(&made.file(&name)).await.unwrap();
        }
    }
    unmark(&made.sinks[0]).await;
    let refused = repair(&made, 2, &[1]).await;
    assert_eq!(refused.exit_code(), exit::DAMAGED, "{refused:?}");
    let error = refused.runs[0].destinations[0].error.as_ref().unwrap();
    assert!(error.message.contains("no key object"), "{error:?}");
    assert!(made.engine.list(&made.at[..1]).await.backups.is_empty());
    let request = RepairRequest::everything(made.at[..2].to_vec());
    let repaired = made.engine.repair(request).await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    made.assert_restores(&made.at[..1], &key(1)).await;
}

/// Everything else that knows the checksum is gone as well.
async fn forget(made: &Made) {
    for key in made.sinks[0].keys() {
        let is_witness = ["catalog/", "runs/"]
            .iter()
            .any(|it| key.as_str().starts_with(it));
        if is_witness || key == made.file("manifest.json") {
            made.sinks[0].delete(&key).await.unwrap();
        }
    }
}

#[tokio::test]
async fn nothing_that_was_tampered_with_gets_a_manifest() {
    let made = made().await;
    forget(&made).await;
    let sink = &made.sinks[0];

    let claim = made.file("run.json");
    let right = whole(sink, &claim).await;
    let mut changed: RunClaim = document::open("claim", &right).unwrap();
    changed.head.written_by = "somebody else".to_owned();
    let (_, mac) = document::authenticated(&right).unwrap();
    for forged in [
        document::seal(&changed),
        document::seal_authenticated(&changed, |_| mac),
    ] {
        sink.overwrite(&claim, &forged);
        let refused = repair(&made, 1, &[1]).await;
        assert_eq!(refused.exit_code(), exit::DAMAGED, "{refused:?}");
    }
    sink.overwrite(&claim, &right);

    // The last data file is dropped, and the index before it takes the place of the last.
    let mut indexes: Vec<_> = made
        .names(0)
        .into_iter()
        .filter(|name| name.contains(".index"))
        .collect();
    indexes.sort();
    let [.., before, last] = &indexes[..] else {
        panic!("{indexes:?}")
    };
    let bytes = whole(sink, &made.file(last)).await;
    let kept = whole(sink, &made.file(before)).await;
    sink.overwrite(&made.file(before), &bytes);
    let refused = repair(&made, 1, &[1]).await;
    assert_eq!(refused.exit_code(), exit::DAMAGED, "{refused:?}");
    sink.overwrite(&made.file(before), &kept);

    let repaired = repair(&made, 1, &[1]).await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    made.assert_restores(&made.at[..1], &key(1)).await;
}
