//! What there is before anything goes wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use teeline::sinks::MemorySink;
use teeline::{BackupId, BackupRequest, DestinationSpec, Engine, Resume, StrategyKind, exit};
use teeline_core::{ObjectKey, Random, layout, published_marker};
use tokio::time::{Duration, sleep};

use super::{BUDGET_BYTES, CALLS_MAX, Doing, now_ms};
use crate::data::{Lines, Records, changed, lines, whole};
use crate::life;
use crate::oracle::{Made, Reported, destination, is_file_of, name, required};
use crate::secrets::{opened_by, recipient};
use crate::store::Way;
use crate::world::{Moment, World};

/// Bytes of the records of each backup that isn't a link.
const LINES_BYTES: usize = 1_500;

type Objects = Vec<(ObjectKey, Vec<u8>)>;

/// What there is before anything goes wrong, at two destinations.
#[derive(Debug)]
pub struct Set {
    pub(super) doing: Doing,
    pub(super) objects: [Objects; 2],
    pub(super) made: Made,
    pub(super) older: Option<BackupId>,
    pub(super) newer: Option<BackupId>,
    /// A run that broke off.
    pub(super) unfinished: Option<BackupId>,
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
        let random = Arc::new(Random::new(7));
        let setting = async {
            let engine = life::engine(&world, &random, BUDGET_BYTES)?;
            Self::make(&engine, doing).await
        };
        let died = || Err("the process died".to_owned());
        let mut set = life::live(&world, None, setting)?.unwrap_or_else(died)?;
        if doing.resumes() {
            set.break_off(&world, &random)?;
        }
        Ok(set)
    }

    /// Adds a run that broke off, as soon as both destinations have some of its data files.
    fn break_off(&mut self, world: &Arc<World>, random: &Arc<Random>) -> Result<(), String> {
        for call in 1..CALLS_MAX {
            let sinks = self.stores();
            let ways = sinks.iter().enumerate().map(|(store, sink)| {
                let way = Way {
                    inner: Arc::new(sink.clone()),
                    world: Arc::clone(world),
                    store,
                    latency_max_ms: 0,
                };
                destination(store, way)
            });
            let to = ways.collect::<Result<Vec<_>, _>>()?;
            let made = Made::default();
            let running = async {
                let engine = life::engine(world, random, BUDGET_BYTES)?;
                Ok::<_, String>(self.back_up(&engine, to, &made, 3, None).await)
            };
            if let Some(ended) = life::live(world, Some((call, Moment::After)), running)? {
                return Err(format!("it came to an end before: {:?}", ended?.report));
            }
            let has_some = |sink: &MemorySink| {
                let keys = sink.keys().into_iter();
                let indexes = keys.filter(|key| {
                    let is_new = made
                        .ids()
                        .iter()
                        .any(|id| key.as_str().starts_with(id.as_str()));
                    is_new && key.as_str().contains(".index")
                });
                indexes.count() > 1
            };
            if let Some(id) = made.ids().pop()
                && sinks.iter().all(has_some)
            {
                for (objects, sink) in self.objects.iter_mut().zip(&sinks) {
                    *objects = Vec::new();
                    for key in sink.keys() {
                        let bytes = futures::executor::block_on(whole(sink, &key))?;
                        objects.push((key, bytes.to_vec()));
                    }
                }
                for lines in made.lines(&id) {
                    self.made.begins(id.clone(), &lines);
                }
                self.unfinished = Some(id);
                return Ok(());
            }
        }
        Err("no run has broken off".to_owned())
    }

    /// The files of backups that a destination has, each of which has to stay: in its place, or, of what is to be healed, below
    /// `damaged/`.
    pub(super) fn files_to_stay(
        &self,
        number: usize,
    ) -> impl Iterator<Item = &(ObjectKey, Vec<u8>)> {
        let older = self.older.iter().filter(|_| self.doing != Doing::Cleanup);
        let ids: Vec<_> = older.chain(&self.newer).collect();
        let keys_change = self.doing == Doing::KeyChange;
        let is_to_stay = move |key: &ObjectKey| {
            let is_key_object = key.as_str().contains(&format!("/{}/", layout::KEYS));
            // Entries of those that stay are folded by a cleanup.
            let is_folded = self.doing == Doing::Cleanup && layout::catalog_entry_id(key).is_some();
            let is_file = ids.iter().any(|id| is_file_of(key, id));
            is_file && !is_folded && !(keys_change && is_key_object)
        };
        let objects = self.objects[number].iter();
        objects.filter(move |(key, _)| is_to_stay(key))
    }

    /// Two stores in memory that hold what was there before.
    pub(super) fn stores(&self) -> [MemorySink; 2] {
        let sinks = [0, 1].map(|number| MemorySink::new(name(number)).in_pages());
        for (sink, objects) in sinks.iter().zip(&self.objects) {
            for (key, bytes) in objects {
                sink.overwrite(key, bytes);
            }
        }
        sinks
    }

    async fn make(engine: &Engine, doing: Doing) -> Result<Self, String> {
        let sinks = [0, 1].map(|number| MemorySink::new(name(number)).in_pages());
        let mut set = Set {
            doing,
            objects: Default::default(),
            made: Made::default(),
            older: None,
            newer: None,
            unfinished: None,
            to_stay: Default::default(),
            in_the_end: BTreeSet::new(),
        };
        let mut ids = Vec::new();
        for number in 1..=2 {
            let both = [0, 1].map(|number| destination(number, sinks[number].clone()));
            let both = both.into_iter().collect::<Result<_, _>>()?;
            let reported = set.back_up(engine, both, &set.made, number, None).await;
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
        (set.older, set.newer) = (Some(older), Some(newer));
        Ok(set)
    }

    /// Makes the backup of a number, or goes on with it.
    pub(super) async fn back_up(
        &self,
        engine: &Engine,
        to: Vec<DestinationSpec>,
        made: &Made,
        number: u64,
        resume: Option<Resume>,
    ) -> Reported {
        let lines = Arc::new(self.lines(number));
        let required = required(&to, StrategyKind::All);
        let mut request = BackupRequest::new(Records::of(&lines), to);
        request.block_bytes = Some(1 << 10);
        if self.doing.resumes() {
            request.block_bytes = Some(256);
            request.segment_bytes = 256;
        }
        if self.goes_on(number) {
            request.backup_type = "incremental".parse().expect("it is a type");
        }
        if self.doing.is_sealed() {
            request.recipients = vec![recipient(1)];
            request.keys = opened_by(&[1]);
        }
        request.resume = resume;
        request.observer = Some(made.observer(&lines));
        Reported::by_all(engine.backup(request).await, required)
    }

    /// Whether the backup of a number has only what has changed.
    fn goes_on(&self, number: u64) -> bool {
        match self.doing {
            Doing::Link => number > 1,
            Doing::RestoreLink => number == 2,
            _ => false,
        }
    }

    /// What the backup of a number is of.
    fn lines(&self, number: u64) -> Lines {
        match number.checked_sub(1) {
            Some(before) if self.goes_on(number) => {
                changed(&Random::new(number), number, &self.lines(before))
            }
            _ => lines(&Random::new(number), number, LINES_BYTES),
        }
    }
}
