//! The records that are measured with.

use std::fmt;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use teeline::{BackupError, JsonlSource, Source};
use teeline_core::{
    Attachment, Item, LineCheck, LineOrigin, Placed, PlannedResource, Random, RecordBatch,
    ResourceCounts, ResourceId, ResourceKind, Scan, ScanPlan, Selection, SourceKind,
};

/// Records of which more are made; further ones are these again. More than any compression looks back.
const POOL_BYTES: usize = 16 << 20;
/// Bytes that a source gives at once.
const BATCH_BYTES: usize = 256 << 10;
const WORDS: u64 = 2_000;

/// What is backed up.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Made for it.
    Generated(Generated),
    /// JSON lines: a file or a folder of files.
    Path(PathBuf),
}

/// Records that are made from a seed: the same for the same numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Generated {
    /// How many; 100,000.
    pub records: u64,
    /// Bytes of each, about; 1,000.
    pub record_bytes: usize,
    /// The part of their text that is words, which compress; the rest is digits as random as can be. 0 to 1; 0.7.
    pub redundancy: f64,
    /// What they are made from; 1.
    pub seed: u64,
}

impl Default for Generated {
    fn default() -> Self {
        Generated {
            records: 100_000,
            record_bytes: 1_000,
            redundancy: 0.7,
            seed: 1,
        }
    }
}

impl Data {
    /// A source of it. Generated records are made here, before anything is measured.
    pub(crate) fn source(&self) -> Arc<dyn Source> {
        match self {
            Data::Generated(generated) => Arc::new(GeneratedSource::new(*generated)),
            Data::Path(path) => Arc::new(JsonlSource::path(path.clone())),
        }
    }
}

/// A source of records that are in memory already.
pub(crate) struct GeneratedSource {
    records: u64,
    pool: Arc<Pool>,
}

/// Records one after the other, and where each ends.
struct Pool {
    bytes: Bytes,
    ends: Vec<usize>,
}

impl GeneratedSource {
    fn new(generated: Generated) -> Self {
        GeneratedSource {
            records: generated.records,
            pool: Arc::new(pool(generated)),
        }
    }
}

fn pool(generated: Generated) -> Pool {
    let random = Random::new(generated.seed);
    let words: Vec<String> = (0..WORDS)
        .map(|_| {
            let length = 2 + random.below(9);
            (0..length).map(|_| letter(&random)).collect()
        })
        .collect();
    let mut text = String::new();
    let mut ends = Vec::new();
    while text.len() < POOL_BYTES && (ends.len() as u64) < generated.records {
        let begin = text.len();
        let _ = write!(
            text,
            r#"{{"id":"rec-{:08}","age":{},"balance":{}.{:02},"active":{},"note":""#,
            ends.len(),
            random.below(90),
            random.below(100_000),
            random.below(100),
            random.happens(0.7),
        );
        while text.len() - begin + 3 < generated.record_bytes {
            if random.happens(generated.redundancy) {
                // The square makes few of them frequent, as words are.
                let rank = random.below(WORDS) * random.below(WORDS) / WORDS;
                text.push_str(&words[usize::try_from(rank).unwrap_or(0)]);
                text.push(' ');
            } else {
                let _ = write!(text, "{:06x} ", random.below(1 << 24));
            }
        }
        text.push_str("\"}\n");
        ends.push(text.len());
    }
    Pool {
        bytes: Bytes::from(text),
        ends,
    }
}

fn letter(random: &Random) -> char {
    char::from(b'a' + u8::try_from(random.below(26)).unwrap_or(0))
}

impl fmt::Display for GeneratedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("generated records")
    }
}

impl fmt::Debug for GeneratedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedSource")
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for GeneratedSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Jsonl
    }

    fn is_rereadable(&self) -> bool {
        true
    }

    async fn scan(&self, _: Selection) -> Result<Box<dyn Scan>, BackupError> {
        let resource = PlannedResource {
            kind: ResourceKind::Records("records".to_owned()),
            plain_bytes: None,
        };
        Ok(Box::new(GeneratedScan {
            plan: ScanPlan {
                resources: vec![resource],
                ..ScanPlan::default()
            },
            pool: Arc::clone(&self.pool),
            at: 0,
            given: 0,
            records: self.records,
            step: Step::Begin,
        }))
    }

    fn describe(&self, _: &Placed<'_>) -> Result<Vec<Attachment>, BackupError> {
        Ok(Vec::new())
    }
}

struct GeneratedScan {
    plan: ScanPlan,
    pool: Arc<Pool>,
    /// The record of the pool that comes next.
    at: usize,
    given: u64,
    records: u64,
    step: Step,
}

enum Step {
    Begin,
    Records,
    Ended,
}

impl GeneratedScan {
    /// The next records, without copying them.
    fn batch(&mut self) -> RecordBatch {
        let Pool { bytes, ends } = &*self.pool;
        let begin = self.at.checked_sub(1).map_or(0, |before| ends[before]);
        let left = usize::try_from(self.records - self.given).unwrap_or(usize::MAX);
        let from = self.at;
        let within = ends[from..]
            .iter()
            .take(left)
            .take_while(|end| **end - begin <= BATCH_BYTES)
            .count();
        let to = from + within.max(1);
        let batch = RecordBatch {
            bytes: bytes.slice(begin..ends[to - 1]),
            ends: ends[from..to].iter().map(|end| end - begin).collect(),
            rows: Vec::new(),
            origin: Some(LineOrigin {
                file: "generated".into(),
                line: self.given + 1,
                check: LineCheck::Json,
            }),
            continues: false,
        };
        self.given += (to - from) as u64;
        self.at = to % ends.len();
        batch
    }
}

#[async_trait]
impl Scan for GeneratedScan {
    fn plan(&self) -> &ScanPlan {
        &self.plan
    }

    async fn next(&mut self) -> Result<Option<Item>, BackupError> {
        let id = ResourceId(0);
        match self.step {
            Step::Begin => {
                self.step = Step::Records;
                Ok(Some(Item::Begin(id)))
            }
            Step::Records if self.given < self.records => Ok(Some(Item::Records(id, self.batch()))),
            Step::Records => {
                self.step = Step::Ended;
                Ok(Some(Item::End(id, ResourceCounts::default())))
            }
            Step::Ended => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(generated: Generated) -> (u64, Vec<u8>) {
        let source = GeneratedSource::new(generated);
        let mut scan = source.scan(Selection::everything()).await.unwrap();
        let (mut records, mut bytes) = (0, Vec::new());
        while let Some(item) = scan.next().await.unwrap() {
            if let Item::Records(_, batch) = item {
                assert_eq!(batch.ends.last(), Some(&batch.bytes.len()));
                records += batch.ends.len() as u64;
                bytes.extend_from_slice(&batch.bytes);
            }
        }
        (records, bytes)
    }

    #[tokio::test]
    async fn there_are_as_many_as_were_asked_for_and_all_are_json() {
        for (records, record_bytes) in [(1, 10), (1_000, 200), (30_000, 1_900)] {
            let asked = Generated {
                records,
                record_bytes,
                ..Generated::default()
            };
            let (read_records, bytes) = read(asked).await;
            assert_eq!(read_records, records);
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.lines().count() as u64, records);
            for line in text.lines().take(500) {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(value["id"].is_string());
                assert!(line.len() < record_bytes + 120, "{line}");
            }
        }
    }

    #[tokio::test]
    async fn the_seed_decides_and_redundancy_is_what_compresses() {
        let asked = |seed, redundancy| Generated {
            records: 2_000,
            redundancy,
            seed,
            ..Generated::default()
        };
        assert!(read(asked(1, 0.7)).await == read(asked(1, 0.7)).await);
        assert!(read(asked(1, 0.7)).await != read(asked(2, 0.7)).await);
        let mut packed = Vec::new();
        for redundancy in [0.0, 0.5, 1.0] {
            let (_, bytes) = read(asked(1, redundancy)).await;
            packed.push(teeline_core::Encoder::gzip(5).encode(&bytes).unwrap().len());
        }
        assert!(packed[0] > packed[1] && packed[1] > packed[2], "{packed:?}");
    }
}
