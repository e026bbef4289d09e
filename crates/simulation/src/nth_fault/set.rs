//! What there is before anything goes wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use teeline::sinks::MemorySink;
use teeline::{BackupId, BackupRequest, DestinationSpec, Engine, StrategyKind, exit};
use teeline_core::{ObjectKey, Random, layout, published_marker};
use tokio::time::{Duration, sleep};

use super::{BUDGET_BYTES, Doing, now_ms};
use crate::data::{Records, lines, whole};
use crate::life;
use crate::oracle::{Made, Reported, destination, name};
use crate::secrets::recipient;
use crate::world::World;

type Objects = Vec<(ObjectKey, Vec<u8>)>;

/// What there is before anything goes wrong, at two destinations.
#[derive(Debug)]
pub struct Set {
    pub(super) doing: Doing,
    pub(super) objects: [Objects; 2],
    pub(super) made: Made,
    pub(super) newer: Option<BackupId>,
    /// What must stay at each destination.
    pub(super) to_stay: [BTreeSet<BackupId>; 2],
    /// What both must have once it is done.
    pub(super) in_the_end: BTreeSet<BackupId>,
}

/// Whether a destination, by its number, has lost an object.
type IsLost<'a> = Box<dyn Fn(usize, &str) -> bool + 'a>;

/// Whether a key is of a data file, or of the claim, of a backup.
fn is_data_of(id: &BackupId, key: &ObjectKey) -> bool {
    let file = key.as_str().strip_prefix(id.as_str());
    file.is_some_and(|file| file.ends_with(".jsonl.gz") || file == "/run.json")
}

impl Set {
    /// What it takes to do this.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn of(doing: Doing) -> Result<Self, String> {
        life::on_a_thread(|| Self::made(doing))
    }

    fn made(doing: Doing) -> Result<Self, String> {
        let world = World::at(now_ms() - 120_000, 1, false);
        let setting = async {
            let engine = life::engine(&world, &Arc::new(Random::new(7)), BUDGET_BYTES)?;
            Self::make(&engine, doing).await
        };
        match life::live(&world, None, setting)? {
            Some(set) => set,
            None => Err("the process died".to_owned()),
        }
    }

    async fn make(engine: &Engine, doing: Doing) -> Result<Self, String> {
        let sinks = [0, 1].map(|number| MemorySink::new(name(number)));
        let mut set = Set {
            doing,
            objects: Default::default(),
            made: Made::default(),
            newer: None,
            to_stay: Default::default(),
            in_the_end: BTreeSet::new(),
        };
        let mut ids = Vec::new();
        for number in 1..=2 {
            let both = [0, 1].map(|number| destination(number, sinks[number].clone()));
            let both = both.into_iter().collect::<Result<_, _>>()?;
            let reported = set.back_up(engine, both, &set.made, number).await;
            let report = reported.report;
            let id = report
                .id
                .clone()
                .filter(|_| report.exit_code() == exit::DONE);
            ids.push(id.ok_or_else(|| format!("a backup came to {report:?}"))?);
            sleep(Duration::from_secs(60)).await;
        }
        let [older, newer] = [ids[0].clone(), ids[1].clone()];
        // It isn't listed, not even by a marker: what is has to be right whatever goes wrong.
        let is_its_manifest = |key: &str| {
            let marked = ObjectKey::new(key).ok();
            let marked = marked.and_then(|key| published_marker::entry_of(&key));
            let marked = marked.and_then(|entry| layout::catalog_entry_id(&entry));
            marked.as_ref() == Some(&newer) || key == format!("{newer}/{}", layout::MANIFEST)
        };
        let is_lost: IsLost<'_> = match doing {
            Doing::Repair => Box::new(|_, key| is_its_manifest(key)),
            Doing::Heal => Box::new(|number, key| {
                let is_its_index = key == format!("{newer}/resource-0.index");
                number == 0 && (is_its_manifest(key) || is_its_index)
            }),
            Doing::Sync => Box::new(|number, key| number == 0 && key.contains(newer.as_str())),
            _ => Box::new(|_, _| false),
        };
        for (number, sink) in sinks.iter().enumerate() {
            for key in sink.keys() {
                if !is_lost(number, key.as_str()) {
                    let mut bytes = whole(sink, &key).await?.to_vec();
                    if doing == Doing::Heal && number == 0 && is_data_of(&newer, &key) {
                        let middle = bytes.len() / 2;
                        bytes[middle] ^= 1;
                    }
                    set.objects[number].push((key, bytes));
                }
            }
        }
        let both = BTreeSet::from([older.clone(), newer.clone()]);
        (set.to_stay, set.in_the_end) = match doing {
            Doing::Cleanup => {
                let newest = BTreeSet::from([newer.clone()]);
                ([newest.clone(), newest.clone()], newest)
            }
            Doing::Repair => {
                let older = BTreeSet::from([older.clone()]);
                ([older.clone(), older], both)
            }
            Doing::Heal | Doing::Sync => ([BTreeSet::from([older.clone()]), both.clone()], both),
            _ => ([both.clone(), both.clone()], both),
        };
        drop(is_lost);
        set.newer = Some(newer);
        Ok(set)
    }

    pub(super) async fn back_up(
        &self,
        engine: &Engine,
        to: Vec<DestinationSpec>,
        made: &Made,
        number: u64,
    ) -> Reported {
        let lines = Arc::new(lines(&Random::new(number), number, 1_500));
        let mut request = BackupRequest::new(Records::of(&lines), to);
        request.block_bytes = Some(1 << 10);
        if self.doing == Doing::KeyChange {
            request.recipients = vec![recipient(1)];
        }
        request.observer = Some(made.observer(&lines));
        let report = engine.backup(request).await;
        Reported {
            ids: report.id.clone().into_iter().collect(),
            report,
            strategy: StrategyKind::All,
        }
    }
}
