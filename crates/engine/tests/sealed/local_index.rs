//! A host that has public keys only, and what it keeps for its next backup.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use teeline::sinks::{Fault, Operation, What, When};
use teeline::{
    BackupReport, BackupRequest, Class, DestinationSpec, IncrementalBase, JsonlSource, KeySecret,
    LocalIndex, Recipient, RestoreRequest, RestoreTarget, Sink, StrategyKind, Which, X25519Secret,
    exit,
};
use teeline_core::ObjectKey;

use super::common::{failing, objects, store};
use super::site::Site;
use super::{key, keys};

const CANARY: &str = "canary-7f3a";

fn pair(byte: u8) -> X25519Secret {
    X25519Secret::new([byte; 32])
}

fn opens(byte: u8) -> KeySecret {
    KeySecret::parse(&pair(byte).to_text()).unwrap()
}

/// A host that has the public half of `pair(1)`.
impl Site {
    fn kept(&self) -> PathBuf {
        self.folder.path().join("state/index")
    }

    fn local(&self) -> LocalIndex {
        LocalIndex::new(self.kept())
    }

    fn asked(&self, backup_type: &str, lines: &[&str]) -> BackupRequest {
        let file = self.folder.path().join("events.jsonl");
        std::fs::write(&file, text(lines)).unwrap();
        let mut asked = BackupRequest::new(JsonlSource::path(file), self.at.clone());
        asked.backup_type = backup_type.parse().unwrap();
        asked.recipients = vec![Recipient::X25519(pair(1).public())];
        asked.local_index = Some(self.local());
        asked
    }

    async fn run(&self, asked: BackupRequest) -> BackupReport {
        let report = Box::pin(self.engine.backup(asked)).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        report
    }

    async fn backup(&self, backup_type: &str, lines: &[&str]) -> BackupReport {
        self.run(self.asked(backup_type, lines)).await
    }

    /// What the newest backup restores to, with the secret half.
    async fn assert_restores(&self, at: &[DestinationSpec], lines: &[&str]) {
        let to = self.folder.path().join("restored");
        let target = RestoreTarget::Folder(to.clone());
        let mut asked = RestoreRequest::new(Which::Latest, at.to_vec(), target);
        asked.keys = keys(&[opens(1)]);
        let report = Box::pin(self.engine.restore(asked)).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        let restored = std::fs::read_to_string(to.join("events.jsonl")).unwrap();
        std::fs::remove_dir_all(to).unwrap();
        assert_eq!(restored, text(lines));
    }

    /// The names of the files that are kept, less the key.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.kept()).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "local-index.key").collect();
        names.sort();
        names
    }

    fn file_of(&self, report: &BackupReport) -> PathBuf {
        let id = report.id.as_ref().unwrap();
        self.kept().join(format!("{id}.index.sealed"))
    }
}

fn text(lines: &[&str]) -> String {
    let line = |text: &&str| format!("{{\"id\":\"{text}\"}}\n");
    lines.iter().map(line).collect()
}

/// It is whole, says why, and names what is wrong.
#[track_caller]
fn assert_whole(report: &BackupReport, because: &str, warned: usize) {
    assert_eq!(report.parent, None, "{report:?}");
    let why = report.whole_because.as_ref().unwrap();
    assert!(why.contains("no key opens the backups"), "{why}");
    assert!(why.contains(because), "{because} isn't in: {why}");
    assert_eq!(report.warnings.len(), warned, "{report:?}");
    for warning in &report.warnings {
        assert_eq!(warning.destination, "local index");
        assert!(warning.message.contains(because), "{warning:?}");
    }
}

#[tokio::test]
async fn a_host_that_can_not_read_goes_on_from_what_it_keeps() {
    let site = Site::new();
    let full = site.backup("full", &["a", "b", "c", "c"]).await;
    assert!(full.warnings.is_empty(), "{full:?}");
    let mut parent = full.id.clone();
    for (lines, new, gone) in [
        (&["a", "c", "c", "d"][..], 1, 1),
        (&["c", "d", "e"], 1, 2),
        (&["c", "d", "e"], 0, 0),
    ] {
        let link = site.backup("incremental", lines).await;
        assert_eq!(link.parent.map(|it| it.id), parent, "{lines:?}");
        assert_eq!((link.whole_because, link.warnings.len()), (None, 0));
        let records = link.changes.unwrap().records;
        assert_eq!((records.created, records.deleted), (new, gone), "{lines:?}");
        site.assert_restores(&site.at, lines).await;
        parent = link.id;
    }
}

#[tokio::test]
async fn nothing_that_is_kept_says_anything_of_records_or_opens_a_backup() {
    let site = Site::new();
    site.backup("full", &[CANARY, "b"]).await;
    site.backup("incremental", &[CANARY]).await;
    assert_eq!(site.names().len(), 2);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&site.kept()), 0o700);
    for entry in std::fs::read_dir(site.kept()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for hidden in [CANARY, "events", "\"line\"", "\"resource\""] {
            let header = text.split('\n').next().unwrap().len();
            assert!(!text.contains(hidden) || text.find(hidden) < Some(header));
        }
        assert!(!text.contains(CANARY));
    }
    let own = std::fs::read_to_string(site.kept().join("local-index.key")).unwrap();
    let own = KeySecret::parse(own.trim()).unwrap();
    let target = RestoreTarget::Folder(site.folder.path().join("opened"));
    let mut asked = RestoreRequest::new(Which::Latest, site.at.clone(), target);
    asked.keys = keys(&[own]);
    let report = Box::pin(site.engine.restore(asked)).await;
    assert_eq!(report.exit_code(), exit::WRONG_KEY, "{report:?}");
}

#[tokio::test]
async fn what_is_damaged_missing_or_of_another_costs_a_full_backup_and_nothing_else() {
    let site = Site::new();
    let first = site.backup("full", &["a", "b"]).await;
    let lines = ["b", "c"];
    let kept = std::fs::read(site.file_of(&first)).unwrap();
    let header = kept.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let flipped = |at: usize| {
        let mut bytes = kept.clone();
        bytes[at] ^= 1;
        bytes
    };
    let end = kept.len();
    let bytes = kept.clone();
    let behind_its_end: Vec<u8> = [&kept[..], b"x"].concat();
    let without_end = kept[..end - 20].to_vec();
    let without_chunks = [&kept[..header], &kept[end - 20..]].concat();
    let version = {
        let text = String::from_utf8_lossy(&kept[..header]).into_owned();
        let body = text.replace("\"version\":1", "\"version\":2");
        let body = &body[..body.len() - ",\"blake3\":\"\"}\n".len() - 64];
        let digest = teeline::Digest::of(body.as_bytes());
        let text = format!("{body},\"blake3\":\"{digest}\"}}\n");
        [text.as_bytes(), &kept[header..]].concat()
    };
    for (what, bytes, because) in [
        ("the header", flipped(header / 2), "digest"),
        ("a length", flipped(header), "can't be"),
        ("a chunk", flipped(header + 30), "isn't what was sealed"),
        ("the end", flipped(end - 1), "isn't what was sealed"),
        ("cut off", without_end, "read"),
        (
            "cut off in its header",
            bytes[..header / 2].to_vec(),
            "digest",
        ),
        ("empty", Vec::new(), "too short"),
        ("cut out", without_chunks, "isn't what was sealed"),
        ("more", behind_its_end, "stands behind its end"),
        ("a version", version, "version 2 is unknown"),
    ] {
        std::fs::write(site.file_of(&first), bytes).unwrap();
        let report = site.backup("incremental", &lines).await;
        assert_whole(&report, because, 1);
        let name = first.id.as_ref().unwrap().as_str();
        assert!(
            report.warnings[0].message.contains(name),
            "{what}: {report:?}"
        );
        site.assert_restores(&site.at, &lines).await;
        // Only the first one is left to go on from.
        std::fs::remove_file(site.file_of(&report)).unwrap();
    }
    std::fs::write(site.file_of(&first), &kept).unwrap();
    let report = site.backup("incremental", &lines).await;
    assert_eq!(report.parent.map(|it| it.id), first.id);
    for name in site.names() {
        std::fs::remove_file(site.kept().join(name)).unwrap();
    }
    let report = site.backup("incremental", &lines).await;
    assert_whole(&report, "there is no local index of them in", 0);
}

#[tokio::test]
async fn no_part_of_one_is_taken_for_that_of_another() {
    let site = Site::new();
    let first = site.backup("full", &["a"]).await;
    let second = site.backup("full", &["a", "b"]).await;
    let (one, other) = (site.file_of(&first), site.file_of(&second));
    let (of_first, of_second) = (std::fs::read(&one).unwrap(), std::fs::read(&other).unwrap());
    let parts = |bytes: &[u8]| {
        let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        (bytes[..header].to_vec(), bytes[header..].to_vec())
    };
    std::fs::write(&one, &of_second).unwrap();
    std::fs::write(&other, &of_first).unwrap();
    let report = site.backup("incremental", &["b"]).await;
    assert_whole(&report, "it is of another backup", 2);
    std::fs::remove_file(site.file_of(&report)).unwrap();

    let ((head, _), (_, tail)) = (parts(&of_second), parts(&of_first));
    std::fs::remove_file(&one).unwrap();
    std::fs::write(&other, [head, tail].concat()).unwrap();
    let report = site.backup("incremental", &["b"]).await;
    assert_whole(&report, "isn't what was sealed for this place", 1);
    site.assert_restores(&site.at, &["b"]).await;
}

#[tokio::test]
async fn another_key_opens_nothing_and_one_that_others_can_read_is_none() {
    let site = Site::new();
    site.backup("full", &["a"]).await;
    let own = site.kept().join("local-index.key");
    let kept = std::fs::read(&own).unwrap();
    std::fs::remove_file(&own).unwrap();
    let report = site.backup("incremental", &["b"]).await;
    assert_whole(&report, "local-index.key", 1);
    // Another one was made.
    let report = site.backup("incremental", &["c"]).await;
    assert!(report.parent.is_some(), "{report:?}");
    std::fs::write(&own, kept).unwrap();
    let report = site.backup("incremental", &["d"]).await;
    assert!(
        report.warnings[0].message.contains("another key"),
        "{report:?}"
    );

    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o644)).unwrap();
    let report = site.backup("incremental", &["d"]).await;
    let why = report.whole_because.unwrap();
    assert!(why.contains("others than its owner"), "{why}");
    let unkept = report.warnings.last().unwrap();
    assert!(unkept.message.contains("isn't kept"), "{unkept:?}");
}

#[tokio::test]
async fn the_key_may_be_kept_elsewhere_and_opens_no_backup() {
    let site = Site::new();
    let with = |backup_type: &str, line: &str, secret: KeySecret| {
        let mut asked = site.asked(backup_type, &[line]);
        asked.local_index.as_mut().unwrap().key = Some(secret);
        asked
    };
    let full = site.run(with("full", "a", key(7))).await;
    assert!(!site.kept().join("local-index.key").exists());
    let link = site.run(with("incremental", "b", key(7))).await;
    assert_eq!(link.parent.map(|it| it.id), full.id);
    let other = site.run(with("incremental", "c", key(8))).await;
    assert_whole(&other, "another key", 2);

    let before = site.names();
    let refused = site.run(with("full", "a", opens(1))).await;
    let [warning] = &refused.warnings[..] else {
        panic!("{refused:?}");
    };
    assert!(warning.message.contains("opens the backup"), "{warning:?}");
    assert_eq!(site.names(), before);
}

#[tokio::test]
async fn what_can_not_be_written_is_a_warning_and_the_next_backup_says_why_it_is_whole() {
    let site = Site::new();
    std::fs::create_dir_all(site.folder.path().join("state")).unwrap();
    std::fs::write(site.kept(), "no folder").unwrap();
    let report = site.backup("full", &["a"]).await;
    assert_eq!(report.warnings.len(), 1, "{report:?}");
    assert!(report.warnings[0].message.contains("isn't kept"));
    std::fs::remove_file(site.kept()).unwrap();
    let report = site.backup("incremental", &["b"]).await;
    assert_whole(&report, "there is no local index", 0);
    site.assert_restores(&site.at, &["b"]).await;
}

#[tokio::test]
async fn of_each_source_the_newest_three_stay_and_the_last_full_one() {
    let site = Site::new();
    let other = site.folder.path().join("other.jsonl");
    std::fs::write(&other, "{\"id\":\"x\"}\n").unwrap();
    let of_other = || {
        let mut asked = site.asked("full", &["a"]);
        asked.source = std::sync::Arc::new(JsonlSource::path(&other));
        asked
    };
    let kept = site.run(of_other()).await;
    let full = site.backup("full", &["a"]).await;
    let mut made = Vec::new();
    for line in ["b", "c", "d", "e"] {
        made.push(site.backup("incremental", &[line]).await);
        assert!(made.last().unwrap().parent.is_some());
    }
    let mut expected = vec![&kept, &full, &made[1], &made[2], &made[3]];
    expected.sort_by_key(|report| report.id.clone());
    let ids = expected
        .into_iter()
        .map(|report| report.id.as_ref().unwrap());
    let expected: Vec<String> = ids.map(|id| format!("{id}.index.sealed")).collect();
    assert_eq!(site.names(), expected);

    let mut differential = site.asked("incremental", &["f"]);
    differential.base = IncrementalBase::Full;
    let differential = site.run(differential).await;
    assert_eq!(differential.parent.map(|it| it.id), full.id);
    site.assert_restores(&site.at, &["f"]).await;
}

#[tokio::test]
async fn a_host_that_can_read_keeps_nothing() {
    let site = Site::new();
    let mut asked = site.asked("full", &["a"]);
    asked.keys = keys(&[opens(2), opens(1)]);
    site.run(asked).await;
    let mut asked = site.asked("full", &["a"]);
    asked.recipients.clear();
    site.run(asked).await;
    assert!(!site.kept().exists());
    // Other secrets than those of its recipients don't help it.
    let mut asked = site.asked("full", &["a"]);
    asked.keys = keys(&[opens(2)]);
    let full = site.run(asked).await;
    assert_eq!(site.names().len(), 1);
    let mut asked = site.asked("incremental", &["b"]);
    asked.keys = keys(&[opens(2)]);
    assert_eq!(site.run(asked).await.parent.map(|it| it.id), full.id);
}

#[tokio::test]
async fn a_new_recipient_gets_a_chain_that_it_can_open() {
    let site = Site::new();
    site.backup("full", &["a"]).await;
    let mut asked = site.asked("incremental", &["b"]);
    asked.recipients.push(Recipient::X25519(pair(2).public()));
    let report = site.run(asked).await;
    assert_whole(&report, "isn't sealed for all of the recipients", 1);
    // One less can go on.
    let link = site.backup("incremental", &["c"]).await;
    assert_eq!(link.parent.map(|it| it.id), report.id);
}

#[tokio::test]
async fn what_destinations_do_not_list_as_it_was_made_is_not_gone_on_from() {
    let site = Site::new();
    let first = site.backup("full", &["a"]).await;
    let second = site.backup("full", &["a", "b"]).await;
    // The second is deleted: the first is gone on from.
    let id = second.id.clone().unwrap();
    let delete = teeline::DeleteRequest::new(site.at.clone(), id);
    let deleted = Box::pin(site.engine.delete(delete)).await;
    assert_eq!(deleted.exit_code(), exit::DONE, "{deleted:?}");
    let link = site.backup("incremental", &["b"]).await;
    assert_eq!(link.parent.as_ref().map(|it| &it.id), first.id.as_ref());
    site.assert_restores(&site.at, &["b"]).await;
}

#[tokio::test]
async fn another_backup_of_the_same_id_is_not_gone_on_from() {
    let site = Site::new();
    let made = site.backup("full", &["a"]).await;
    // Somebody who can write there, and has the public key, puts another one in its place.
    let forger = Site::new();
    let mut asked = forger.asked("full", &["forged"]);
    asked.local_index = None;
    let forged = forger.run(asked).await;
    assert_eq!(
        forged.id.as_ref().map(|id| id.began()),
        made.id.as_ref().map(|id| id.began())
    );
    let (theirs, ours) = (forged.id.unwrap(), made.id.clone().unwrap());
    for key in site.sink.keys() {
        if key.as_str().contains(ours.as_str()) {
            site.sink.delete(&key).await.unwrap();
        }
    }
    let resealed = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace(theirs.as_str(), ours.as_str());
        let end = text.len() - ",\"blake3\":\"\"}\n".len() - 64;
        let digest = teeline::Digest::of(&text.as_bytes()[..end]);
        format!("{},\"blake3\":\"{digest}\"}}\n", &text[..end])
    };
    let mut manifest = String::new();
    let mut all = objects(&forger.sink).await;
    // The entry has the checksum of the manifest.
    all.sort_by_key(|(key, _)| !key.as_str().ends_with("manifest.json"));
    for (key, bytes) in all {
        let name = key.as_str().replace(theirs.as_str(), ours.as_str());
        let bytes = match name.as_str() {
            name if name.ends_with("manifest.json") => {
                manifest = resealed(&bytes);
                manifest.clone().into_bytes()
            }
            // A marker isn't needed.
            name if name.contains(".published/") => continue,
            name if name.starts_with("catalog/") => {
                let old = forged.checksum.unwrap().to_string();
                let new = teeline::Digest::of(manifest.as_bytes()).to_string();
                let text = String::from_utf8_lossy(&bytes).replace(&old, &new);
                resealed(text.as_bytes()).into_bytes()
            }
            _ => bytes,
        };
        let _ = site
            .sink
            .put(&ObjectKey::new(name).unwrap(), bytes.into())
            .await;
    }
    let listed = site.engine.list(&site.at[..]).await;
    let listed = listed.backups.iter().find(|it| it.id == ours).unwrap();
    assert_ne!(listed.checksum, made.checksum);
    let report = site.backup("incremental", &["b"]).await;
    assert_whole(&report, "no destination lists it as it was made", 1);
}

#[tokio::test]
async fn a_destination_that_lacks_the_parent_gets_it_or_sits_out() {
    let mut site = Site::new();
    site.backup("full", &["a", "b"]).await;
    let one = site.at[0].clone();
    let (two_sink, two) = store("two");
    site.at = vec![one.clone(), two.clone()];
    let link = site.backup("incremental", &["b", "c"]).await;
    assert!(link.parent.is_some(), "{link:?}");
    site.assert_restores(std::slice::from_ref(&two), &["b", "c"])
        .await;
    assert!(!two_sink.keys().is_empty());

    let refuses = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (three_sink, three) = failing("three", refuses.on_keys_with("full-"));
    site.at = vec![one, three];
    let mut asked = site.asked("incremental", &["c"]);
    asked.strategy = StrategyKind::Any;
    let report = Box::pin(site.engine.backup(asked)).await;
    assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
    assert_eq!(report.parent.map(|it| it.id), link.id);
    let manifests = three_sink.keys().into_iter();
    assert_eq!(
        manifests
            .filter(|key| key.file_name() == "manifest.json")
            .count(),
        0
    );
}

#[tokio::test]
async fn a_run_that_fails_leaves_what_is_kept_and_a_dry_run_keeps_nothing() {
    let mut site = Site::new();
    let full = site.backup("full", &["a"]).await;
    let kept = std::fs::read(site.file_of(&full)).unwrap();
    let dry = site.engine.dry_run(site.asked("full", &["b"])).await;
    assert!(dry.error.is_none(), "{dry:?}");
    let refuses = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (_, broken) = failing("broken", refuses);
    let good = std::mem::replace(&mut site.at, vec![broken]);
    let report = Box::pin(site.engine.backup(site.asked("full", &["b"]))).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    assert_eq!(site.names().len(), 1);
    assert_eq!(std::fs::read(site.file_of(&full)).unwrap(), kept);
    site.at = good;
    let link = site.backup("incremental", &["b"]).await;
    assert_eq!(link.parent.map(|it| it.id), full.id);
}
