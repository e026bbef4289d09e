//! What can't be vouched for isn't published, and says which file is at fault.

use bytes::Bytes;
use teeline::{Class, RepairStatus, Sink, exit};
use teeline_core::{ObjectKey, RunClaim};

use crate::common::{unmark, whole};
use crate::{made, reseal, statuses};

#[tokio::test]
async fn each_file_that_is_missing_is_named() {
    let made = made().await;
    made.lose(0, &[&made.file("manifest.json")]).await;
    let folder = format!("{}/", made.id);
    let files: Vec<ObjectKey> = made.sinks[0]
        .keys()
        .into_iter()
        .filter(|key| key.as_str().starts_with(&folder))
        .collect();
    assert!(files.len() > 6, "{files:?}");
    for file in &files {
        let bytes = whole(&made.sinks[0], file).await;
        made.lose(0, &[file]).await;
        let refused = made.refused().await;
        let [missing] = refused.missing.as_slice() else {
            panic!("{file}: {refused:?}");
        };
        assert_eq!(missing.file, file.as_str());
        let of_resource = !file.as_str().ends_with("run.json");
        assert_eq!(missing.resource.as_deref(), of_resource.then_some("events"));
        let error = refused.error.unwrap();
        assert_eq!(error.class, Class::NotFound);
        assert!(error.message.contains(file.as_str()), "{error:?}");
        // The manifest of another destination doesn't make up for it.
        let report = made.repair_named(&made.at).await;
        assert_eq!(
            statuses(&report),
            [RepairStatus::Refused, RepairStatus::Whole]
        );
        assert_eq!(
            report.runs[0].destinations[0].missing[0].file,
            file.as_str()
        );
        made.sinks[0].overwrite(file, &bytes);
    }

    // Without its claim a run is found by its entry, or not at all.
    made.lose(0, &[&made.file("run.json")]).await;
    let report = made.repair(&made.at[..1]).await;
    assert_eq!(statuses(&report), [RepairStatus::Refused], "{report:?}");
    made.lose(0, &[&made.key("catalog/")]).await;
    assert!(made.repair(&made.at[..1]).await.runs.is_empty());
}

#[tokio::test]
async fn a_run_without_its_last_index_is_beyond_repair() {
    let made = made().await;
    made.lose(0, &[&made.file("manifest.json")]).await;
    let mut segments: Vec<ObjectKey> = made.sinks[0].keys();
    segments.retain(|key| key.as_str().contains("events~"));
    let (index, data) = (&segments[segments.len() - 2], &segments[segments.len() - 1]);
    made.lose(0, &[index, data]).await;
    let refused = made.refused().await;
    assert_eq!(refused.missing.len(), 1);
    assert_eq!(refused.missing[0].file, index.as_str());
    assert!(refused.missing[0].last_index);
}

#[tokio::test]
async fn a_backup_without_one_resource_is_no_backup() {
    let made = made().await;
    made.lose(0, &[&made.file("manifest.json")]).await;
    let files = made.sinks[0].keys();
    for key in files
        .iter()
        .filter(|key| key.file_name().starts_with("events"))
    {
        made.lose(0, &[key]).await;
    }
    let missing = made.refused().await.missing;
    let names: Vec<_> = missing
        .iter()
        .map(|missing| missing.file.as_str())
        .collect();
    let [data, index] = [made.file("events.jsonl.gz"), made.file("events.index")];
    assert_eq!(names, [data.as_str(), index.as_str()]);
}

#[tokio::test]
async fn a_flipped_bit_in_any_file_is_refused_and_named() {
    let made = made().await;
    made.lose(0, &[&made.file("manifest.json")]).await;
    for key in made.sinks[0].keys() {
        let bytes = whole(&made.sinks[0], &key).await;
        let is_of_it = !key.as_str().starts_with("runs/") && key.as_str() != "teeline.json";
        // What marks it as published holds nothing.
        if !is_of_it || bytes.is_empty() {
            continue;
        }
        let mut damaged = bytes.to_vec();
        damaged[bytes.len() / 2] ^= 1;
        made.sinks[0].overwrite(&key, &damaged);
        let error = made.refused().await.error.unwrap();
        assert_eq!(error.class, Class::Corrupt, "{key}: {error:?}");
        // Some bits of an index change nothing that can be read in it. Then the checksum says that one of them did.
        let is_index = key.as_str().ends_with(".index");
        let named = error.message.contains(key.as_str())
            || (is_index && error.message.contains("an index, most likely"));
        assert!(named, "{key}: {error:?}");
        made.sinks[0].overwrite(&key, &bytes);
    }
}

#[tokio::test]
async fn what_is_in_the_way_is_named_and_stays() {
    let made = made().await;
    for key in [made.file("manifest.json"), made.key("catalog/")] {
        let bytes = whole(&made.sinks[0], &key).await;
        let mut damaged = bytes.to_vec();
        damaged[30] ^= 1;
        made.sinks[0].overwrite(&key, &damaged);
        let error = made.refused().await.error.unwrap();
        assert!(error.message.contains(key.as_str()), "{error:?}");
        assert!(error.message.contains("in the way"), "{error:?}");
        assert!(error.suggestion.unwrap().contains("move"));
        // As it says.
        made.lose(0, &[&key]).await;
        let report = made.repair_named(&made.at[..1]).await;
        assert_eq!(statuses(&report), [RepairStatus::Reconstructed]);
        assert!(whole(&made.sinks[0], &key).await == bytes);
    }
}

#[tokio::test]
async fn what_a_whole_copy_has_is_published_over_right_files_only() {
    let made = made().await;
    made.lose(0, &[&made.file("manifest.json")]).await;
    unmark(&made.sinks[0]).await;
    let data = made.file("events~0002.jsonl.gz");
    let bytes = whole(&made.sinks[0], &data).await;
    let mut damaged = bytes.to_vec();
    damaged[100] ^= 1;
    for wrong in [&bytes[1..], &damaged] {
        made.sinks[0].overwrite(&data, wrong);
        let report = made.repair(&made.at).await;
        assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
        let copy = &report.runs[0].destinations[0];
        assert_eq!(copy.status, RepairStatus::Refused);
        let error = copy.error.as_ref().unwrap();
        assert!(error.message.contains(data.as_str()), "{error:?}");
    }
    assert!(made.engine.list(&made.at[..1]).await.backups.is_empty());
}

#[tokio::test]
async fn another_checksum_than_the_known_one_is_refused() {
    let made = made().await;
    let (entry, record) = (made.key("catalog/"), made.key("runs/"));
    made.lose(0, &[&made.file("manifest.json")]).await;
    let claim = made.file("run.json");
    reseal(&made.sinks[0], &claim, |claim: &mut RunClaim| {
        claim.head.written_by.push('x');
    })
    .await;
    let expected = made.checksum.to_string();
    let error = made.refused().await.error.unwrap();
    assert_eq!(error.class, Class::Corrupt);
    for part in [expected.as_str(), "the catalogue's entry", "an index"] {
        assert!(error.message.contains(part), "{error:?}");
    }
    made.lose(0, &[&entry]).await;
    let error = made.refused().await.error.unwrap();
    for part in [expected.as_str(), record.as_str()] {
        assert!(error.message.contains(part), "{error:?}");
    }

    // Nothing is left that says which one is right.
    let lost = [&made.file("manifest.json"), &entry, &record];
    made.lose(0, &[&record]).await;
    made.lose(1, &lost).await;
    let report = made.repair(&made.at).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    assert_eq!(statuses(&report), [RepairStatus::Refused; 2]);
    assert!(made.engine.list(&made.at).await.backups.is_empty());
}

#[tokio::test]
async fn a_claim_of_another_folder_is_refused() {
    let made = made().await;
    let moved = format!("elsewhere/{}", made.id);
    for key in made.sinks[0].keys() {
        let bytes: Bytes = whole(&made.sinks[0], &key).await;
        made.sinks[0].delete(&key).await.unwrap();
        if key.as_str().starts_with(made.id.as_str()) && key.file_name() != "manifest.json" {
            let key = ObjectKey::new(format!("{moved}/{}", key.file_name())).unwrap();
            made.sinks[0].overwrite(&key, &bytes);
        }
    }
    let error = made.refused().await.error.unwrap();
    assert_eq!(error.class, Class::Corrupt);
    assert!(error.message.contains(&moved), "{error:?}");
}
