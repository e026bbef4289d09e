//! What the catalogue has lost while it was read, and large objects that came meanwhile: counted as what they are, and no damage.

use teeline::{
    BackupId, BackupRequest, ConsolidateRequest, RestoreRequest, RestoreTarget, S3dbSource,
    ScanOptions, Scratch, ValidateRequest, Verdict, VerifyRequest, Which, WhichBackups, exit,
};
use teeline_core::{Manifest, SealedManifest, document, layout};

use crate::Made;
use crate::database::after;

/// Restores the backup to a folder and to a database, and reads its copies through.
async fn assert_complete(made: &Made, id: &BackupId) {
    let which = || WhichBackups::One(Which::Id(id.clone()));
    for scratch in [
        Scratch::Temporary,
        Scratch::Database(made.connection("scratch")),
    ] {
        let mut asked = ValidateRequest::new(made.at.clone());
        (asked.which, asked.scratch) = (which(), scratch);
        let validated = made.engine.validate(asked).await;
        assert_eq!(validated.exit_code(), 0, "{validated:?}");
        assert_eq!(validated.validations[0].overall, Verdict::Pass);
    }
    let mut asked = VerifyRequest::new(made.at.clone());
    (asked.which, asked.deep) = (which(), true);
    let verified = made.engine.verify(asked).await;
    assert_eq!(verified.exit_code(), 0, "{verified:?}");
}

#[tokio::test]
async fn a_resource_that_was_lost_meanwhile_is_no_damage() {
    let made = Made::new(5).await;
    assert_eq!((made.report.record_count, made.report.object_count), (6, 3));
    assert_complete(&made, made.report.id.as_ref().unwrap()).await;
}

#[tokio::test]
async fn a_link_that_has_lost_a_resource_is_made_a_full_backup() {
    let made = Made::of("incremental", 5, after()).await;
    assert!(made.report.parent.is_some(), "{:?}", made.report);
    let link = made.report.id.clone().unwrap();
    assert_complete(&made, &link).await;
    let request = ConsolidateRequest::new(made.at.clone(), link);
    let full = made.engine.consolidate(request).await;
    assert_eq!(full.exit_code(), 0, "{full:?}");
    let source = S3dbSource::new(made.connection("db"), ScanOptions::default());
    let mut request = BackupRequest::new(source, made.at.clone());
    request.backup_type = "incremental".parse().unwrap();
    let next = made.engine.backup(request).await;
    assert_eq!(
        next.parent.as_ref().map(|parent| &parent.id),
        full.id.as_ref(),
        "{next:?}"
    );
    let expected = made.shown("db").await;
    for (id, back) in [(full.id.unwrap(), "back"), (next.id.unwrap(), "next")] {
        assert_complete(&made, &id).await;
        let target = RestoreTarget::Database(made.connection(back));
        let request = RestoreRequest::new(Which::Id(id), made.at.clone(), target);
        made.restore(request).await;
        assert_eq!(made.shown(back).await, expected, "{back}");
    }
}

#[tokio::test]
async fn a_large_record_that_came_meanwhile_is_no_damage() {
    let mut becomes = after();
    let key = "resource=users/data/id=z";
    becomes.objects.push((key, "a/b", vec![7; 300_000]));
    let made = Made::of("full", 5, becomes).await;
    assert_eq!(made.report.kept_raw, 1, "{:?}", made.report);
    assert_complete(&made, made.report.id.as_ref().unwrap()).await;
}

#[tokio::test]
async fn an_object_too_many_is_damage_where_no_record_is_kept_raw() {
    let made = Made::of("incremental", 5, after()).await;
    let id = made.report.id.clone().unwrap();
    let mut manifest: Manifest = document::open("it", &made.read("manifest.json").await).unwrap();
    assert!(manifest.parent.is_some() && manifest.totals.kept_raw == 0);
    manifest.totals.objects += 1;
    let sealed = SealedManifest::new(manifest).unwrap();
    made.sink
        .overwrite(&made.file("manifest.json"), &sealed.bytes);
    let entry = sealed.entry(made.report.folder.as_ref().unwrap());
    let key = layout::catalog_entry(&id, entry.started_at).unwrap();
    made.sink.overwrite(&key, &document::seal(&entry));
    let mut asked = VerifyRequest::new(made.at.clone());
    (asked.which, asked.deep) = (WhichBackups::One(Which::Id(id)), true);
    let verified = made.engine.verify(asked).await;
    assert_eq!(verified.exit_code(), exit::DAMAGED, "{verified:?}");
    let said = format!("{verified:?}");
    assert!(said.contains("objects were read"), "{said}");
}
