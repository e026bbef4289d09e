//! Whoever can write to a destination can make every digest fit. Without the key that is noticed by who has the key.

use bytes::Bytes;
use teeline::{
    DestinationSpec, KeyChange, Keys, KeysRequest, RestoreStatus, Sink, SyncRequest, VerifyRequest,
    WhichBackups, exit,
};
use teeline_core::{CatalogEntry, Manifest, ObjectKey, SealedManifest, document, layout};

use super::common::{request, store, whole};
use super::{Made, key, keys, made, made_by, recipient};

impl Made {
    /// Puts another manifest in the place of the first destination's, and an entry of the catalogue that fits.
    async fn forge(&self, bytes: Bytes) {
        let sink = &self.sinks[0];
        let forged = SealedManifest::open("forged", bytes.clone()).unwrap();
        sink.overwrite(&self.file("manifest.json"), &bytes);
        let entry = self.entry();
        let path = self.report.folder.as_ref().unwrap();
        sink.overwrite(&entry, &document::seal(&forged.entry(path)));
    }

    fn entry(&self) -> ObjectKey {
        layout::catalog_entry(self.report.id.as_ref().unwrap(), self.report.started_at).unwrap()
    }

    async fn manifest(&self) -> Manifest {
        let bytes = whole(&self.sinks[0], &self.file("manifest.json")).await;
        document::open("manifest", &bytes).unwrap()
    }

    /// The first destination's copy passes for one that is right, for all who have no key, and for nobody else.
    async fn assert_found_out(&self, what: &str) {
        let at = &self.at[..1];
        let mut asked = teeline::VerifyRequest::new(at.to_vec());
        let verified = self.engine.verify(asked.clone()).await;
        assert_eq!(verified.exit_code(), exit::DONE, "{what}: {verified:?}");
        asked.keys = keys(&[key(1)]);
        let verified = self.engine.verify(asked).await;
        assert_eq!(verified.exit_code(), exit::DAMAGED, "{what}: {verified:?}");
        let (report, lines) = self.restore(at, keys(&[key(1)])).await;
        assert_eq!(report.status, RestoreStatus::Failed, "{what}: {report:?}");
        assert_eq!(report.exit_code(), exit::DAMAGED, "{what}: {report:?}");
        assert!(lines.is_empty());
        // The other copy is right, and is the one that is taken.
        let (report, lines) = self.restore(&self.at, keys(&[key(1)])).await;
        assert_eq!(report.exit_code(), exit::DEGRADED, "{what}: {report:?}");
        assert!(lines == self.lines, "{what}");
    }
}

#[tokio::test]
async fn a_manifest_that_says_something_else_is_found_out() {
    type Change = fn(&mut Manifest);
    let cases: [(&str, Change); 4] = [
        ("a data file dropped", |manifest| {
            manifest.resources[0].segments.pop();
        }),
        ("another time", |manifest| {
            manifest.source.scan_ended_at = None;
        }),
        ("another source", |manifest| {
            manifest.source.location = "elsewhere".to_owned();
        }),
        ("metadata", |manifest| {
            manifest.metadata = serde_json::from_str("{\"a\":1}").unwrap();
        }),
    ];
    let made = made().await;
    for (what, change) in cases {
        let original = whole(&made.sinks[0], &made.file("manifest.json")).await;
        let mut manifest = made.manifest().await;
        change(&mut manifest);
        made.forge(document::seal(&manifest)).await;
        made.assert_found_out(what).await;
        // With what authenticated the original.
        let (_, mac) = document::authenticated(&original).unwrap();
        let forged = document::seal_authenticated(&manifest, |_| mac);
        made.forge(forged).await;
        made.assert_found_out(what).await;
        made.forge(original).await;
    }
    made.assert_restores(&made.at[..1], &key(1)).await;
}

#[tokio::test]
async fn a_data_file_of_another_backup_is_found_out() {
    let made = made().await;
    // Another one of the same lines, sealed for the same recipient.
    let other = made_by(|_| ()).await;
    let mut manifest = made.manifest().await;
    let theirs = other.manifest().await.resources[0].segments[0].clone();
    for file in [&theirs.file, &theirs.index] {
        let bytes = whole(&other.sinks[0], &other.file(file)).await;
        made.sinks[0].overwrite(&made.file(file), &bytes);
    }
    manifest.resources[0].segments[0] = theirs;
    made.forge(document::seal(&manifest)).await;
    let (report, lines) = made.restore(&made.at[..1], keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    assert!(lines.is_empty());
}

#[tokio::test]
async fn another_backup_in_the_place_of_the_latest_is_found_out() {
    let made = made().await;
    // All of it is right, and its key object opens; but it calls itself something else.
    let bytes = whole(&made.sinks[0], &made.file("manifest.json")).await;
    let mut asked = request(&made.lines, &made.at);
    asked.recipients = vec![recipient(&key(1))];
    let second = made.engine.backup(asked).await;
    let path = second.folder.as_ref().unwrap();
    let sink = &made.sinks[0];
    sink.overwrite(
        &ObjectKey::new(format!("{path}/manifest.json")).unwrap(),
        &bytes,
    );
    let (report, lines) = made.restore(&made.at[..1], keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    assert!(lines.is_empty());
}

/// Puts a backup that isn't sealed in the place of one that is.
async fn unsealed(made: &Made) -> DestinationSpec {
    let sink = &made.sinks[0];
    let asked = request(b"{\"forged\":true}\n", &made.at[..1]);
    let forged = made.engine.backup(asked).await;
    assert_eq!(forged.exit_code(), exit::DONE);
    sink.head(&made.entry()).await.unwrap();
    made.at[0].clone()
}

async fn verified(made: &Made, at: &[DestinationSpec], keys: Keys) -> u8 {
    let mut asked = VerifyRequest::new(at.to_vec());
    asked.keys = keys;
    Box::pin(made.engine.verify(asked)).await.exit_code()
}

#[tokio::test]
async fn one_that_is_not_sealed_is_not_taken_for_one_that_is() {
    let made = made().await;
    let at = [unsealed(&made).await];
    let (report, lines) = made.restore(&at, keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::WRONG_KEY, "{report:?}");
    assert!(lines.is_empty());
    assert_eq!(verified(&made, &at, keys(&[key(1)])).await, exit::WRONG_KEY);
    let mut allowed = keys(&[key(1)]);
    allowed.allow_unsealed = true;
    assert_eq!(verified(&made, &at, allowed.clone()).await, exit::DONE);
    let (report, lines) = made.restore(&at, allowed).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(lines, b"{\"forged\":true}\n");
}

#[tokio::test]
async fn every_stored_bit_still_counts_for_who_has_no_key() {
    let made = made().await;
    let entry: CatalogEntry = {
        let bytes = whole(&made.sinks[0], &made.entry()).await;
        document::open("entry", &bytes).unwrap()
    };
    assert_eq!(Some(&entry.path), made.report.folder.as_ref());
    for name in made.names(0) {
        let file = made.file(&name);
        let right = whole(&made.sinks[0], &file).await;
        for position in [0, right.len() / 2, right.len() - 1] {
            let mut damaged = right.to_vec();
            damaged[position] ^= 1;
            made.sinks[0].overwrite(&file, &damaged);
            let verified = made.verify(keys(&[]), false).await;
            assert_eq!(verified.exit_code(), exit::DAMAGED, "{name} at {position}");
            let damage = &verified.backups[0].destinations[0].damage;
            assert!(
                damage.iter().any(|it| it.file == file.as_str()),
                "{name}: {damage:?}"
            );
            let (report, lines) = made.restore(&made.at, keys(&[key(1)])).await;
            assert!(lines == made.lines, "{name} at {position}: {report:?}");
        }
        made.sinks[0].overwrite(&file, &right);
    }
}

#[tokio::test]
async fn no_flipped_bit_of_any_file_gives_other_records() {
    let made = made_by(|request| {
        request.source = std::sync::Arc::new(super::common::source(b"{\"n\":1}\n{\"n\":2}\n"));
    })
    .await;
    let right = "{\"n\":1}\n{\"n\":2}\n".as_bytes();
    let (mut tried, mut restored) = (0, 0);
    for key_of_file in made.sinks[0].keys() {
        let stored = whole(&made.sinks[0], &key_of_file).await;
        for position in (0..stored.len()).step_by(5) {
            let mut damaged = stored.to_vec();
            damaged[position] ^= 1 << (position % 8);
            made.sinks[0].overwrite(&key_of_file, &damaged);
            let (report, lines) = made.restore(&made.at[..1], keys(&[key(1)])).await;
            let is_right = report.exit_code() == exit::DONE && lines == right;
            assert!(
                is_right || lines.is_empty(),
                "{key_of_file} at {position}: {report:?}"
            );
            tried += 1;
            restored += u32::from(is_right);
        }
        made.sinks[0].overwrite(&key_of_file, &stored);
    }
    // What a restore doesn't look at is the marker, the claim and the record of the run.
    assert!(
        tried > 500 && restored < tried / 2 + tried / 8,
        "{restored} of {tried}"
    );
}

#[tokio::test]
async fn a_copy_that_is_not_sealed_takes_no_key_from_another_one() {
    let made = made().await;
    let mut manifest = made.manifest().await;
    manifest.plan.seal = None;
    made.forge(SealedManifest::new(manifest).unwrap().bytes)
        .await;
    let mut asked = KeysRequest::new(made.at.clone());
    asked.which = WhichBackups::All;
    asked.keys = keys(&[key(1)]);
    asked.change = KeyChange::Rotate(vec![recipient(&key(2))]);
    let report = made.engine.keys(asked.clone()).await;
    let good = &report.backups[0].destinations[1];
    assert_eq!((good.added.len(), good.removed.len()), (1, 1), "{report:?}");
    made.assert_restores(&made.at[1..], &key(2)).await;

    asked.keys = keys(&[key(2)]);
    asked.change = KeyChange::Rotate(Vec::new());
    let report = made.engine.keys(asked).await;
    assert!(
        report.backups[0].destinations[1].error.is_some(),
        "{report:?}"
    );
    made.assert_restores(&made.at[1..], &key(2)).await;
}

#[tokio::test]
async fn of_two_that_differ_neither_is_copied() {
    let made = made().await;
    let mut manifest = made.manifest().await;
    manifest.source.location = "elsewhere".to_owned();
    made.forge(document::seal(&manifest)).await;
    let (sink, third) = store("third");
    let all = vec![made.at[0].clone(), made.at[1].clone(), third];
    let synced = made.engine.sync(SyncRequest::new(all)).await;
    assert_eq!(synced.exit_code(), exit::DAMAGED, "{synced:?}");
    assert!(sink.keys().is_empty(), "{:?}", sink.keys());
}
