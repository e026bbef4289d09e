//! A backup at two destinations, and what is done to its files.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use teeline::sinks::MemorySink;
use teeline::{
    BackupId, BackupRequest, DestinationSpec, Engine, KdfFunction, KeySecret, RawKey, Recipient,
    RepairReport, RepairRequest, RepairStatus, RepairedCopy, Sink, Timestamp, VerificationResult,
    VerifyRequest, Which, WhichBackups, exit,
};
use teeline_core::{ObjectKey, layout};

use crate::common::{objects, place, records, request, whole};

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    Lost,
    Flipped,
    CutShort,
}

pub(crate) const HARMS: [Harm; 3] = [Harm::Lost, Harm::Flipped, Harm::CutShort];

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) sinks: [MemorySink; 2],
    pub(crate) at: [DestinationSpec; 2],
}

impl World {
    pub(crate) fn new() -> Self {
        let begin: Timestamp = "2026-11-23T02:00:00.000Z".parse().unwrap();
        // It goes on whenever it is looked at: checks are told apart by when they ended.
        let now = AtomicI64::new(begin.unix_ms());
        let engine = Engine::builder()
            .workers(1)
            .clock(Arc::new(move || {
                Timestamp::from_unix_ms(now.fetch_add(1, Ordering::Relaxed))
            }))
            .build()
            .unwrap();
        let sinks = ["here", "there"].map(MemorySink::new);
        let at = [("here", &sinks[0]), ("there", &sinks[1])];
        World {
            engine,
            at: at.map(|(name, sink)| place(name, sink.clone())),
            sinks,
        }
    }

    pub(crate) async fn backed_up(&self, change: impl FnOnce(&mut BackupRequest)) -> BackupId {
        let mut asked = request(&records(500), &self.at);
        change(&mut asked);
        let report = self.engine.backup(asked).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        report.id.unwrap()
    }

    pub(crate) async fn sealed(&self) -> BackupId {
        let cheap = KdfFunction::Pbkdf2Sha256 { iterations: 1_000 };
        let secret = KeySecret::parse(&RawKey::new([1; 32]).to_text()).unwrap();
        self.backed_up(|asked| asked.recipients = vec![Recipient::of(&secret, cheap)])
            .await
    }

    pub(crate) async fn heal(&self, id: &BackupId) -> RepairReport {
        self.heal_at(&self.at, id).await
    }

    pub(crate) async fn heal_at(&self, at: &[DestinationSpec], id: &BackupId) -> RepairReport {
        let mut request = RepairRequest::heal(at.to_vec());
        request.id = Some(id.clone());
        self.engine.repair(request).await
    }

    pub(crate) async fn verified(&self, id: &BackupId) -> u8 {
        let mut request = VerifyRequest::new(self.at.to_vec());
        request.which = WhichBackups::One(Which::Id(id.clone()));
        self.engine.verify(request).await.exit_code()
    }

    /// The files of a backup at a destination, and its entry in the catalogue.
    pub(crate) fn files_of(&self, id: &BackupId, destination: usize) -> Vec<ObjectKey> {
        let keys = self.sinks[destination].keys().into_iter();
        let is_file = |key: &ObjectKey| {
            let is_its_entry = layout::catalog_entry_id(key).as_ref() == Some(id);
            key.as_str().starts_with(id.as_str()) || is_its_entry
        };
        keys.filter(is_file).collect()
    }

    pub(crate) fn file(&self, id: &BackupId, name: &str) -> ObjectKey {
        ObjectKey::new(format!("{id}/{name}")).unwrap()
    }

    /// Harms an object; gives what it is then.
    pub(crate) async fn harm(&self, destination: usize, key: &ObjectKey, harm: Harm) -> Vec<u8> {
        let sink = &self.sinks[destination];
        let mut bytes = whole(sink, key).await.to_vec();
        match harm {
            Harm::Lost => {
                sink.delete(key).await.unwrap();
                return bytes;
            }
            Harm::Flipped => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            Harm::CutShort => bytes.truncate(bytes.len() - 3),
        }
        sink.overwrite(key, &bytes);
        bytes
    }

    /// What is there of backups: neither what is said of them, nor what was moved aside.
    pub(crate) async fn contents(&self, destination: usize) -> Vec<(ObjectKey, Vec<u8>)> {
        let mut contents = objects(&self.sinks[destination]).await;
        contents.retain(|(key, _)| !key.as_str().starts_with("damaged/"));
        contents
    }

    /// What was moved aside at a destination.
    pub(crate) async fn moved(&self, destination: usize) -> Vec<(ObjectKey, Vec<u8>)> {
        let mut moved = objects(&self.sinks[destination]).await;
        moved.retain(|(key, _)| key.as_str().starts_with("damaged/"));
        moved
    }

    /// Both copies are listed, the last check of each found them right, and so does the next.
    pub(crate) async fn assert_whole(&self, id: &BackupId, about: &str) {
        let listed = self.engine.list(&self.at).await;
        let backup = listed.backups.iter().find(|backup| backup.id == *id);
        let copies = &backup
            .unwrap_or_else(|| panic!("{about}: {listed:?}"))
            .copies;
        assert_eq!(copies.len(), 2, "{about}");
        for copy in copies {
            let last = copy.last_verified.as_ref().map(|last| last.result);
            assert_eq!(last, Some(VerificationResult::Ok), "{about}: {copies:?}");
        }
        assert_eq!(self.verified(id).await, exit::DONE, "{about}");
    }
}

/// The copy of the only run of a report at a destination.
pub(crate) fn copy_of(report: &RepairReport, destination: usize) -> &RepairedCopy {
    assert_eq!(report.runs.len(), 1, "{report:?}");
    &report.runs[0].destinations[destination]
}

pub(crate) fn statuses(report: &RepairReport) -> Vec<RepairStatus> {
    let copies = report.runs.iter().flat_map(|run| &run.destinations);
    copies.map(|copy| copy.status).collect()
}
