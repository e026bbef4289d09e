//! One reading: file by file, batch by batch.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use async_trait::async_trait;
use teeline_core::{
    BackupError, Item, PlannedResource, RecordBatch, ResourceCounts, ResourceId, ResourceKind,
    Scan, ScanPlan,
};

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
    pub(super) fn new(openings: Vec<Opening>, io: Io, limits: LineLimits) -> Self {
        let resources = openings.iter().map(Opening::planned).collect();
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
        }
    }

    fn after(&mut self, id: ResourceId, batch: Option<(Lines, RecordBatch)>) -> Item {
        match batch {
            Some((lines, batch)) => {
                self.step = Step::Lines(id, lines);
                Item::Records(id, batch)
            }
            None => {
                self.step = Step::Next;
                Item::End(id, ResourceCounts::default())
            }
        }
    }
}

#[async_trait]
impl Scan for JsonlScan {
    fn plan(&self) -> &ScanPlan {
        &self.plan
    }

    async fn next(&mut self) -> Result<Option<Item>, BackupError> {
        let limits = self.limits;
        match std::mem::replace(&mut self.step, Step::Lost) {
            Step::Lost => Err(BackupError::cancelled("the scan")),
            Step::Next => {
                let Some(opening) = self.waiting.pop_front() else {
                    self.step = Step::Next;
                    return Ok(None);
                };
                let id = ResourceId(self.begun);
                self.begun += 1;
                self.step = Step::Open(id, opening);
                Ok(Some(Item::Begin(id)))
            }
            Step::Open(id, opening) => {
                self.endless = matches!(opening.input, OpeningInput::Reader(_));
                let batch = run(self.io, self.endless, move || opening.open(limits)).await?;
                Ok(Some(self.after(id, batch)))
            }
            Step::Lines(id, lines) => {
                let batch = run(self.io, self.endless, move || next_batch(lines)).await?;
                Ok(Some(self.after(id, batch)))
            }
        }
    }
}
