//! What can be made again, is: byte for byte.

use std::sync::Arc;

use teeline::sinks::{Fault, FaultPlan, FaultSink, Operation, What, When};
use teeline::{Class, DestinationSpec, JsonlSource, RepairRequest, RepairStatus, Sink, exit};
use teeline_core::ObjectKey;

use crate::common::{self, assert_idle, objects, records, request, store, unmark};
use crate::{engine, made, statuses};

#[tokio::test]
async fn what_follows_from_the_other_files_is_made_again_byte_for_byte() {
    let made = made().await;
    let at = &made.at[..1];
    let (entry, record) = (made.key("catalog/"), made.key("runs/"));
    let manifest = made.file("manifest.json");
    let before = objects(&made.sinks[0]).await;
    for lost in [
        &[&manifest][..],
        &[&manifest, &entry],
        &[&manifest, &entry, &record],
    ] {
        made.lose(0, lost).await;
        unmark(&made.sinks[0]).await;
        assert!(made.engine.list(at).await.backups.is_empty());
        let report = made.repair(at).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        assert_eq!(statuses(&report), [RepairStatus::Reconstructed]);
        assert_eq!(report.runs[0].id, made.id);
        assert_eq!(report.runs[0].destinations[0].checksum, Some(made.checksum));
        assert!(before == objects(&made.sinks[0]).await, "the same bytes");
        made.assert_whole(at).await;
    }
    let again = made.repair_named(at).await;
    assert_eq!(statuses(&again), [RepairStatus::Whole]);
    assert_eq!(again.exit_code(), exit::DONE);
    let nothing = made.repair(at).await;
    assert_eq!((nothing.runs.len(), nothing.exit_code()), (0, exit::DONE));
}

#[tokio::test]
async fn a_lost_entry_alone_comes_back_where_the_run_is_named() {
    let made = made().await;
    let before = objects(&made.sinks[0]).await;
    made.lose(0, &[&made.key("catalog/")]).await;
    let report = made.repair_named(&made.at[..1]).await;
    assert_eq!(statuses(&report), [RepairStatus::Reconstructed]);
    assert!(before == objects(&made.sinks[0]).await);
    made.assert_whole(&made.at[..1]).await;
}

#[tokio::test]
async fn a_manifest_is_taken_from_a_whole_copy() {
    let made = made().await;
    let lost = [&made.file("manifest.json"), &made.key("catalog/")];
    let before = objects(&made.sinks[0]).await;
    made.lose(0, &lost).await;
    let report = made.repair(&made.at).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(
        statuses(&report),
        [RepairStatus::Copied, RepairStatus::Whole]
    );
    assert!(before == objects(&made.sinks[0]).await);

    made.lose(0, &lost).await;
    made.lose(1, &lost).await;
    let report = made.repair(&made.at).await;
    assert_eq!(statuses(&report), [RepairStatus::Reconstructed; 2]);
    for sink in &made.sinks {
        assert!(before == objects(sink).await);
    }
    made.assert_whole(&made.at).await;
}

#[tokio::test]
async fn several_resources_come_back_and_what_is_absent_or_dead_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (name, lines) in [
        ("a.jsonl", records(1000)),
        ("A.jsonl", records(5)),
        ("none.jsonl", Vec::new()),
    ] {
        std::fs::write(folder.path().join(name), lines).unwrap();
    }
    let engine = engine();
    let (sink, to) = store("one");
    let mut asked = request(b"", std::slice::from_ref(&to));
    asked.source = Arc::new(JsonlSource::path(folder.path()));
    let made = engine.backup(asked).await;
    assert_eq!(made.exit_code(), exit::DONE, "{made:?}");
    let before = objects(&sink).await;
    let manifest = ObjectKey::new(format!("{}/manifest.json", made.folder.unwrap())).unwrap();
    sink.delete(&manifest).await.unwrap();

    let dead = DestinationSpec::parse("dead=http://key:secret@127.0.0.1:1/bucket/copies").unwrap();
    let (_, empty) = store("empty");
    let mut request = RepairRequest::rebuild_manifests(vec![to, empty.clone(), dead]);
    request.id = made.id.clone();
    let report = engine.repair(request).await;
    assert_eq!(
        statuses(&report),
        [
            RepairStatus::Reconstructed,
            RepairStatus::Absent,
            RepairStatus::Unreachable
        ]
    );
    assert_eq!(report.exit_code(), exit::FAILED);
    assert_eq!(report.errors[0].destination, "dead");
    assert!(before == objects(&sink).await);

    let mut request = RepairRequest::rebuild_manifests(vec![empty]);
    request.id = made.id;
    let report = engine.repair(request).await;
    assert_eq!(report.exit_code(), exit::FAILED);
    assert_eq!(report.errors[0].error.class, Class::NotFound);
    assert_idle(&engine);
}

#[tokio::test]
async fn a_damaged_run_record_is_said_and_stops_nothing() {
    let made = made().await;
    made.lose(0, &[&made.file("manifest.json")]).await;
    let record = made.key("runs/");
    made.sinks[0].overwrite(&record, b"{}\n");
    let report = made.repair(&made.at[..1]).await;
    assert_eq!(statuses(&report), [RepairStatus::Reconstructed]);
    assert_eq!(report.exit_code(), exit::DAMAGED);
    let error = &report.errors[0].error;
    assert!(error.message.contains(record.as_str()), "{error:?}");
    assert_eq!(report.errors[0].destination, "first");
}

#[tokio::test]
async fn publishing_that_fails_can_be_repeated() {
    let made = made().await;
    let before = objects(&made.sinks[0]).await;
    made.lose(0, &[&made.file("manifest.json"), &made.key("catalog/")])
        .await;
    unmark(&made.sinks[0]).await;
    let faulty = |what| {
        let fault = Fault::new(Operation::Put, When::Nth(1), what).on_keys_with("manifest.json");
        let plan = FaultPlan::new(1).with(fault);
        let sink = FaultSink::new(Arc::new(made.sinks[0].clone()), plan);
        [common::place("first", sink)]
    };
    let report = made.repair(&faulty(What::Fail(Class::Permanent))).await;
    assert_eq!(statuses(&report), [RepairStatus::Refused]);
    assert_eq!(report.exit_code(), exit::FAILED, "nothing is damaged");
    assert!(made.engine.list(&made.at[..1]).await.backups.is_empty());
    let report = made.repair(&faulty(What::LoseReply)).await;
    assert_eq!(statuses(&report), [RepairStatus::Reconstructed]);
    assert!(before == objects(&made.sinks[0]).await);
    made.assert_whole(&made.at[..1]).await;
}
