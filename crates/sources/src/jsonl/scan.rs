//! One reading: file by file, batch by batch.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use async_trait::async_trait;
use teeline_core::{
    BackupError, Item, RecordBatch, ResourceCounts, ResourceId, ResourceKind, Scan,
};

use super::files::{ResourceFile, read_error};
use super::lines::Lines;
use crate::Io;

/// What is to be read as a resource.
pub(super) struct Opening {
    pub(super) resource: String,
    label: Arc<str>,
    input: OpeningInput,
}

enum OpeningInput {
    File(ResourceFile),
    Reader(Box<dyn Read + Send>),
}

impl Opening {
    pub(super) fn file(file: ResourceFile) -> Self {
        Opening {
            resource: file.resource.clone(),
            label: file.path.display().to_string().into(),
            input: OpeningInput::File(file),
        }
    }

    pub(super) fn reader(resource: String, label: &str, reader: Box<dyn Read + Send>) -> Self {
        Opening {
            resource,
            label: label.into(),
            input: OpeningInput::Reader(reader),
        }
    }

    /// Opens it, and reads the first lines.
    fn open(self, record_bytes_max: usize) -> Batch {
        let input = match self.input {
            OpeningInput::Reader(reader) => reader,
            OpeningInput::File(file) => file
                .open()
                .map_err(|error| read_error(&self.label, error))?,
        };
        next_batch(Lines::new(input, self.label, record_bytes_max))
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
    waiting: VecDeque<Opening>,
    step: Step,
    declared: u32,
    /// Whether a read may never return: the other end of a pipe may be silent for ever.
    endless: bool,
    io: Io,
    record_bytes_max: usize,
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
    pub(super) fn new(openings: Vec<Opening>, io: Io, record_bytes_max: usize) -> Self {
        JsonlScan {
            waiting: openings.into(),
            step: Step::Next,
            declared: 0,
            endless: false,
            io,
            record_bytes_max,
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
    async fn next(&mut self) -> Result<Option<Item>, BackupError> {
        let record_bytes_max = self.record_bytes_max;
        match std::mem::replace(&mut self.step, Step::Lost) {
            Step::Lost => Err(BackupError::cancelled("the scan")),
            Step::Next => {
                let Some(opening) = self.waiting.pop_front() else {
                    self.step = Step::Next;
                    return Ok(None);
                };
                let id = ResourceId(self.declared);
                self.declared += 1;
                let kind = ResourceKind::Records(opening.resource.clone());
                self.step = Step::Open(id, opening);
                Ok(Some(Item::Resource(id, kind)))
            }
            Step::Open(id, opening) => {
                self.endless = matches!(opening.input, OpeningInput::Reader(_));
                let batch = run(self.io, self.endless, move || {
                    opening.open(record_bytes_max)
                })
                .await?;
                Ok(Some(self.after(id, batch)))
            }
            Step::Lines(id, lines) => {
                let batch = run(self.io, self.endless, move || next_batch(lines)).await?;
                Ok(Some(self.after(id, batch)))
            }
        }
    }
}
