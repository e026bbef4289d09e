//! Stored documents, with digests that fit, that lead somewhere else: whatever is done with such a destination, nothing outside of
//! it, and outside of a restore's target, is read into anything, written or removed.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;
#[path = "common/forged.rs"]
mod forged;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{records, source};
use forged::{change, lead_to, seal};
use serde_json::{Value, json};
use teeline::{
    BackupId, BackupRequest, CleanupRequest, ConsolidateRequest, DeleteRequest, DestinationSpec,
    Engine, Executor, RepairRequest, RestoreRequest, RestoreTarget, Retention, RetentionPolicy,
    Scratch, ScrubRequest, Span, SyncRequest, Timestamp, ValidateRequest, VerifyRequest, Which,
    WhichBackups,
};
use teeline_core::{Digest, layout};

/// What is in the file that the names want.
const PRECIOUS: &[u8] = b"precious";

/// A document of a backup, and where in it a name goes.
#[derive(Debug, Clone, Copy)]
enum Place {
    Manifest(&'static str),
    Attachment,
    Claim(&'static str),
    Entry(&'static str),
    Withdrawal,
}

const PLACES: [Place; 10] = [
    Place::Manifest("/resources/0/segments/0/file"),
    Place::Manifest("/resources/0/segments/0/index"),
    Place::Manifest("/resources/0/stem"),
    Place::Manifest("/resources/0/name"),
    Place::Attachment,
    Place::Claim("/resources/0/stem"),
    Place::Claim("/resources/0/name"),
    Place::Claim("/path"),
    Place::Entry("/path"),
    Place::Withdrawal,
];

/// Names that lead out of a backup's folder, or of the destination, and others that are no names.
fn names(id: &BackupId, outside: &Path) -> Vec<String> {
    let victim = outside.join(id.as_str());
    let mut names: Vec<String> = [
        "..",
        ".",
        "",
        "CON",
        "a\0b",
        "a\u{1b}[2J\rb\nline",
        "EVENTS.JSONL.GZ",
    ]
    .map(str::to_owned)
    .to_vec();
    for target in [format!("{id}/events.jsonl.gz"), id.to_string()] {
        names.push(format!("../outside/{target}"));
        names.push(format!("../../outside/{target}"));
        names.push(format!("..\\outside\\{target}"));
        names.push(format!("link/{target}"));
        names.push(format!("a/../../outside/{target}"));
    }
    names.push(victim.display().to_string());
    names.push(victim.join("events.jsonl.gz").display().to_string());
    names.push("x".repeat(5_000));
    names
}

/// A backup in a folder, with a link in it that leads to a folder beside, which has all that the backup has, and more.
struct Site {
    root: tempfile::TempDir,
    engine: Engine,
    id: BackupId,
}

impl Site {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let engine = Engine::builder()
            .executor(Executor::Threads(2))
            .build()
            .unwrap();
        let to = root.path().join("sound");
        let at = DestinationSpec::parse(&to.display().to_string()).unwrap();
        let asked = BackupRequest::new(source(&records(20)), vec![at]);
        let id = engine.backup(asked).await.id.unwrap();
        Site { root, engine, id }
    }

    /// A folder of its own, with the destination `copies` in it.
    fn case(&self, number: usize) -> PathBuf {
        let case = self.root.path().join(format!("case-{number}"));
        let sound = self.root.path().join("sound");
        copy(&sound, &case.join("copies"));
        copy(
            &sound.join(self.id.as_str()),
            &case.join("outside").join(self.id.as_str()),
        );
        fs::write(case.join("outside").join("precious"), PRECIOUS).unwrap();
        #[cfg(unix)]
        for folder in [
            case.join("copies"),
            case.join("copies").join(self.id.as_str()),
        ] {
            std::os::unix::fs::symlink(case.join("outside"), folder.join("link")).unwrap();
        }
        case
    }

    /// Lets a document at `copies` say `name`, and all digests fit.
    fn forge(&self, case: &Path, place: Place, name: &str) {
        let folder = case.join("copies").join(self.id.as_str());
        let (manifest, claim) = (
            folder.join(layout::MANIFEST),
            folder.join(layout::RUN_CLAIM),
        );
        let listed = fs::read_dir(case.join("copies/catalog")).unwrap();
        let listed = listed.map(|listed| listed.unwrap().path());
        let (markers, entries): (Vec<_>, Vec<_>) = listed.partition(|path| path.is_dir());
        let entry = entries.into_iter().next().unwrap();
        // So that listings read the entry as well.
        for marker in markers {
            fs::remove_dir_all(marker).unwrap();
        }
        let name = Value::from(name);
        match place {
            Place::Manifest(pointer) => {
                let sealed = change(&manifest, |it| *it.pointer_mut(pointer).unwrap() = name);
                lead_to(&entry, &sealed);
            }
            Place::Attachment => {
                let digest = Digest::of(PRECIOUS).to_string();
                let attachment = json!({ "file": name, "bytes": PRECIOUS.len(), "blake3": digest });
                let sealed = change(&manifest, |it| it["attachments"] = json!([attachment]));
                lead_to(&entry, &sealed);
            }
            Place::Claim(pointer) => {
                change(&claim, |it| *it.pointer_mut(pointer).unwrap() = name);
            }
            Place::Entry(pointer) => {
                change(&entry, |it| *it.pointer_mut(pointer).unwrap() = name);
            }
            Place::Withdrawal => {
                let withdrawal = json!({
                    "format": "teeline-withdrawal", "version": 1, "id": self.id, "path": name,
                    "withdrawnAt": Timestamp::from_unix_ms(0), "reason": "deleted",
                });
                let mut key = entry.into_os_string();
                key.push(".withdrawn");
                fs::write(key, seal(withdrawal)).unwrap();
            }
        }
    }

    /// Everything that there is to be done with a destination.
    async fn use_it(&self, case: &Path) {
        let parse = |name: &str| {
            let path = case.join(name).display().to_string();
            DestinationSpec::parse(&path).unwrap()
        };
        let at = vec![parse("copies")];
        let engine = &self.engine;
        engine.list(&at[..]).await;
        engine.status(&at, &self.id).await;
        let mut verify = VerifyRequest::new(at.clone());
        verify.which = WhichBackups::All;
        verify.deep = true;
        engine.verify(verify).await;
        engine.scrub(ScrubRequest::new(at.clone())).await;
        let target = RestoreTarget::Folder(case.join("target/restored"));
        let restore = RestoreRequest::new(Which::Latest, at.clone(), target);
        engine.restore(restore).await;
        engine
            .sync(SyncRequest::new(vec![at[0].clone(), parse("others")]))
            .await;
        let mut validate = ValidateRequest::new(at.clone());
        validate.scratch = Scratch::Folder(case.join("target"));
        engine.validate(validate).await;
        engine
            .consolidate(ConsolidateRequest::new(at.clone(), self.id.clone()))
            .await;
        for repair in [
            RepairRequest::rebuild_manifests,
            RepairRequest::heal,
            RepairRequest::everything,
        ] {
            engine.repair(repair(at.clone())).await;
        }
        let short = Retention {
            age: Some(Span::from_ms(1)),
            ..Retention::default()
        };
        let policy = RetentionPolicy {
            grace: Span::default(),
            dead_after: Span::from_ms(0),
            ..RetentionPolicy::new(short)
        };
        engine
            .cleanup(CleanupRequest::new(at.clone(), policy))
            .await;
        let mut delete = DeleteRequest::new(at.clone(), self.id.clone());
        delete.retention = policy;
        engine.delete(delete).await;
    }
}

impl Site {
    async fn assert_none_leads_out(&self, number: usize, place: Place) {
        for at in 0..names(&self.id, Path::new("/")).len() {
            let case = self.case(number * 1_000 + at);
            let outside = case.join("outside");
            let name = &names(&self.id, &outside)[at];
            self.forge(&case, place, name);
            let before = contents(&outside);
            self.use_it(&case).await;
            assert!(contents(&outside) == before, "{place:?} {name:?}");
            let mut beside: Vec<_> = fs::read_dir(&case)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            beside.retain(|name| !matches!(&**name, "copies" | "others" | "outside" | "target"));
            assert!(beside.is_empty(), "{place:?} {name:?}: {beside:?}");
            for (path, bytes) in contents(&case.join("target")) {
                assert!(bytes != PRECIOUS, "{place:?} {name:?}: {}", path.display());
                assert!(path.starts_with(case.join("target/restored")) || path.is_dir());
            }
            fs::remove_dir_all(&case).unwrap();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// What there is below a folder: files with their bytes, folders, and where links lead.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            found.extend(contents(&path));
            found.insert(path, Vec::new());
        } else if meta.is_symlink() {
            let leads_to = fs::read_link(&path).unwrap();
            found.insert(path, leads_to.into_os_string().into_encoded_bytes());
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forger_of_this_test_leaves_a_sound_destination_sound() {
    let site = Site::new().await;
    let case = site.case(0);
    site.forge(&case, Place::Manifest("/resources/0/name"), "events");
    let at = DestinationSpec::parse(&case.join("copies").display().to_string()).unwrap();
    let report = site.engine.verify(VerifyRequest::new(vec![at])).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    site.use_it(&case).await;
    let restored = fs::read(case.join("target/restored/events.jsonl")).unwrap();
    assert_eq!(restored, records(20));
    let folder = case.join("copies").join(site.id.as_str());
    assert!(!folder.join(layout::MANIFEST).exists(), "it was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_leads_out_of_a_destination() {
    let site = Arc::new(Site::new().await);
    let of_places = PLACES.iter().enumerate().map(|(number, place)| {
        let site = Arc::clone(&site);
        tokio::spawn(async move { site.assert_none_leads_out(number, *place).await })
    });
    for done in futures::future::join_all(of_places).await {
        done.unwrap();
    }
    let left = fs::read_dir(site.root.path()).unwrap().count();
    assert_eq!(left, 1, "nothing but the sound one");
}
