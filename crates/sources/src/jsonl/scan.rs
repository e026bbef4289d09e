//! One reading: file by file, batch by batch.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use async_trait::async_trait;
use teeline_core::{
    BackupError, Item, PlannedResource, RecordBatch, ResourceCounts, ResourceId, ResourceKind,
    Scan, ScanPlan,
};

use super::changes::Comparison;
use super::files::{ResourceFile, read_error};
use super::lines::{LineLimits, Lines};
use crate::Io;

/// What is to be read as a resource.
pub(super) struct Opening {
    pub(super) resource: String,
    label: Arc<str>,
    plain_bytes: Option<u64>,
    input: OpeningInput,
}

enum OpeningInput {
    File(ResourceFile),
    Reader(Box<dyn Read + Send>),
}

impl Opening {
    /// Looks at the file, which blocks.
    pub(super) fn file(file: ResourceFile) -> Self {
        Opening {
            resource: file.resource.clone(),
            label: file.path.display().to_string().into(),
            plain_bytes: file.plain_bytes(),
            input: OpeningInput::File(file),
        }
    }

    pub(super) fn reader(resource: String, label: &str, reader: Box<dyn Read + Send>) -> Self {
        Opening {
            resource,
            label: label.into(),
            plain_bytes: None,
            input: OpeningInput::Reader(reader),
        }
    }

    fn planned(&self) -> PlannedResource {
        PlannedResource {
            kind: ResourceKind::Records(self.resource.clone()),
            plain_bytes: self.plain_bytes,
        }
    }

    /// Opens it, and reads the first lines.
    fn open(self, limits: LineLimits) -> Batch {
        let input = match self.input {
            OpeningInput::Reader(reader) => reader,
            OpeningInput::File(file) => file
                .open()
                .map_err(|error| read_error(&self.label, error))?,
        };
        next_batch(Lines::new(input, self.label, limits))
    }
}

type Batch = Result<Option<(Lines, RecordBatch)>, BackupError>;

fn next_batch(mut lines: Lines) -> Batch {
    Ok(lines.next_batch()?.map(|batch| (lines, batch)))
}

async fn run(io: Io, endless: bool, read: impl FnOnce() -> Batch + Send + 'static) -> Batch {
    if endless {
        io.run_alone(read).await?
    } else {
        io.run(read).await?
    }
}

pub(super) struct JsonlScan {
    plan: ScanPlan,
    waiting: VecDeque<Opening>,
    step: Step,
    begun: u32,
    /// Whether a read may never return: the other end of a pipe may be silent for ever.
    endless: bool,
    io: Io,
    limits: LineLimits,
    /// What the parent has, where there is one.
    comparison: Option<Comparison>,
    /// What is to be given next.
    given: VecDeque<Item>,
}

/// What comes next.
enum Step {
    Next,
    Open(ResourceId, Opening),
    Lines(ResourceId, Lines),
    /// A call failed, or its caller stopped waiting for it: what it was reading is gone.
    Lost,
}

impl JsonlScan {
    pub(super) fn new(
        openings: Vec<Opening>,
        io: Io,
        limits: LineLimits,
        comparison: Option<Comparison>,
    ) -> Self {
        let others = [ResourceKind::Deleted, ResourceKind::Lines];
        let others = others.map(|kind| PlannedResource {
            kind,
            plain_bytes: None,
        });
        let others = comparison.iter().flat_map(|_| others.clone());
        let planned = openings.iter().map(Opening::planned);
        let resources = planned.chain(others).collect();
        JsonlScan {
            plan: ScanPlan {
                resources,
                attachments: Vec::new(),
                server_time: None,
            },
            waiting: openings.into(),
            step: Step::Next,
            begun: 0,
            endless: false,
            io,
            limits,
            comparison,
            given: VecDeque::new(),
        }
    }

    fn after(&mut self, id: ResourceId, batch: Option<(Lines, RecordBatch)>) {
        let name = self.plan.resources[id.0 as usize].kind.name();
        match batch {
            Some((lines, batch)) => {
                self.step = Step::Lines(id, lines);
                let batches = match &mut self.comparison {
                    Some(comparison) => comparison.compare(name, &batch),
                    None => vec![batch],
                };
                let items = batches.into_iter().map(|batch| Item::Records(id, batch));
                self.given.extend(items);
            }
            None => {
                self.step = Step::Next;
                if let Some(comparison) = &mut self.comparison {
                    comparison.end(name);
                }
                self.given
                    .push_back(Item::End(id, ResourceCounts::default()));
            }
        }
    }

    /// Gives what a comparison comes to, once all was read.
    fn finish(&mut self) -> Result<(), BackupError> {
        if let Some(comparison) = self.comparison.take() {
            let deleted = ResourceId(self.begun);
            let items = comparison.finish(deleted, ResourceId(self.begun + 1))?;
            self.given.extend(items);
        }
        Ok(())
    }

    /// Goes on by a step; whether there is one.
    async fn go_on(&mut self) -> Result<bool, BackupError> {
        let limits = self.limits;
        match std::mem::replace(&mut self.step, Step::Lost) {
            Step::Lost => return Err(BackupError::cancelled("the scan")),
            Step::Next => {
                let Some(opening) = self.waiting.pop_front() else {
                    self.step = Step::Next;
                    self.finish()?;
                    return Ok(!self.given.is_empty());
                };
                let id = ResourceId(self.begun);
                self.begun += 1;
                self.step = Step::Open(id, opening);
                self.given.push_back(Item::Begin(id));
            }
            Step::Open(id, opening) => {
                self.endless = matches!(opening.input, OpeningInput::Reader(_));
                let batch = run(self.io, self.endless, move || opening.open(limits)).await?;
                self.after(id, batch);
            }
            Step::Lines(id, lines) => {
                let batch = run(self.io, self.endless, move || next_batch(lines)).await?;
                self.after(id, batch);
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl Scan for JsonlScan {
    fn plan(&self) -> &ScanPlan {
        &self.plan
    }

    async fn next(&mut self) -> Result<Option<Item>, BackupError> {
        loop {
            if let Some(item) = self.given.pop_front() {
                return Ok(Some(item));
            }
            if !self.go_on().await? {
                return Ok(None);
            }
        }
    }
}
