//! One reading: file by file, batch by batch.

use std::collections::VecDeque;
use std::io::{Cursor, Read};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use teeline_core::{
    BackupError, Class, Conditions, Digest, Item, LineOrigin, PlannedResource, Query, RecordBatch,
    ResourceCounts, ResourceId, ResourceKind, ResumePoint, SampleLimits, SampleShare, Scan,
    ScanPlan, check_lines,
};

use super::as_opened::AsOpened;
use super::changes::Comparison;
use super::files::{ResourceFile, read_error};
use super::lines::{LineLimits, Lines};
use super::sample::{self, Until};
use crate::Io;

/// What is to be read as a resource.
pub(super) struct Opening {
    pub(super) resource: String,
    label: Arc<str>,
    plain_bytes: Option<u64>,
    /// What state it is in, where that can be told.
    pub(super) state: Option<Digest>,
    /// Whether it has to stay in that state while it is read.
    pub(super) is_watched: bool,
    /// Where its reading goes on, where that isn't its beginning.
    pub(super) from: Option<ResumePoint>,
    input: OpeningInput,
}

enum OpeningInput {
    File(ResourceFile),
    Reader(Box<dyn Read + Send>),
    Lines(Bytes),
}

impl Opening {
    /// Looks at the file, which blocks.
    pub(super) fn file(file: ResourceFile) -> Self {
        Opening {
            resource: file.resource.clone(),
            label: file.path.display().to_string().into(),
            plain_bytes: file.plain_bytes(),
            state: file.state(),
            is_watched: false,
            from: None,
            input: OpeningInput::File(file),
        }
    }

    pub(super) fn reader(resource: String, label: &str, reader: Box<dyn Read + Send>) -> Self {
        Opening {
            resource,
            label: label.into(),
            plain_bytes: None,
            state: None,
            is_watched: false,
            from: None,
            input: OpeningInput::Reader(reader),
        }
    }

    pub(super) fn lines(resource: String, lines: Bytes) -> Self {
        Opening {
            label: format!("the lines of {resource}").into(),
            resource,
            plain_bytes: Some(lines.len() as u64),
            state: Some(Digest::of(&lines)),
            is_watched: false,
            from: None,
            input: OpeningInput::Lines(lines),
        }
    }

    /// Whether its reading may go on where another one stopped that found it in the same state. Lines in memory may have been others in
    /// between, of which something was written; a file's state would say so.
    pub(super) fn may_go_on(&self) -> bool {
        matches!(self.input, OpeningInput::File(_))
    }

    /// Reads a sample of it, to know which share of it that is. Blocks.
    pub(super) fn measure(
        &self,
        line_limits: LineLimits,
        limits: SampleLimits,
    ) -> Result<SampleShare, BackupError> {
        match &self.input {
            OpeningInput::File(file) => sample::measure(file, line_limits, limits),
            OpeningInput::Lines(lines) => {
                sample::measure_lines(lines, &self.label, line_limits, limits)
            }
            OpeningInput::Reader(_) => {
                let message = "what can be read only once can't be sampled";
                Err(BackupError::usage(&self.label, message))
            }
        }
    }

    fn planned(&self) -> PlannedResource {
        PlannedResource {
            kind: ResourceKind::Records(self.resource.clone()),
            plain_bytes: self.plain_bytes,
        }
    }

    /// Opens it, and reads the first lines.
    fn open(
        self,
        limits: LineLimits,
        conditions: Option<Conditions>,
        until: Option<Until>,
    ) -> Batch {
        let (bytes, lines) = match &self.from {
            Some(point) if point.is_whole => return Ok(None),
            Some(point) => (point.plain_bytes, point.records),
            None => (0, 0),
        };
        let (input, as_opened, watched) = match self.input {
            OpeningInput::Reader(reader) => (reader, None, None),
            OpeningInput::Lines(lines) => {
                let input: Box<dyn Read + Send> = Box::new(Cursor::new(lines));
                (input, None, None)
            }
            OpeningInput::File(file) => {
                let input = file.open_at(bytes);
                let (input, as_opened) = input.map_err(|error| read_error(&self.label, error))?;
                let state = self.state.filter(|_| self.is_watched);
                (input, as_opened, state.map(|state| (file, state)))
            }
        };
        next_batch(Wanted {
            lines: Lines::new(input, self.label, limits).behind(lines, bytes),
            conditions,
            until,
            as_opened,
            watched,
        })
    }
}

/// Lines of which those are wanted that meet the conditions, where there are some.
struct Wanted {
    lines: Lines,
    conditions: Option<Conditions>,
    /// How many lines, where only a sample is wanted.
    until: Option<Until>,
    /// The file as it was when it was opened, until it was read to its end.
    as_opened: Option<AsOpened>,
    /// The file, and the state that it has to be in as long as it is read, since what is before was taken for the same.
    watched: Option<(ResourceFile, Digest)>,
}

impl Wanted {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, BackupError> {
        while !self.until.is_some_and(|until| until.is_reached()) {
            let batch = self.lines.next_batch()?;
            self.check_state()?;
            self.check_end()?;
            let Some(batch) = batch else {
                return Ok(None);
            };
            if let Some(until) = &mut self.until {
                until.take(batch.ends.len(), batch.bytes.len());
            }
            let batch = match &self.conditions {
                Some(conditions) => those_that_meet(conditions, &batch)?,
                None => batch,
            };
            if !batch.ends.is_empty() {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

impl Wanted {
    /// Refuses what was read of a file that isn't as it was any more.
    fn check_state(&self) -> Result<(), BackupError> {
        match &self.watched {
            Some((file, state)) if file.state() != Some(*state) => {
                let message = "it was written to while a run was taken up that needs it as it was";
                let subject = file.path.display();
                Err(BackupError::new(Class::Permanent, "read", subject, message)
                    .suggest("try again: what it holds now is backed up afresh"))
            }
            _ => Ok(()),
        }
    }

    /// Looks, once it was read to its end, whether that is all that the file had. It comes before its last lines are given,
    /// of which one may be cut off.
    fn check_end(&mut self) -> Result<(), BackupError> {
        let Some(came) = self.lines.bytes_at_end() else {
            return Ok(());
        };
        let as_opened = self.as_opened.take();
        as_opened.map_or(Ok(()), |file| file.check(self.lines.file(), came))
    }
}

/// The lines of a batch that meet conditions. They don't follow each other in the file any more, so they are checked here.
fn those_that_meet(
    conditions: &Conditions,
    batch: &RecordBatch,
) -> Result<RecordBatch, BackupError> {
    if let Some(origin) = &batch.origin {
        check_lines(&batch.bytes, origin)?;
    }
    let mut wanted = Vec::new();
    let mut ends = Vec::new();
    let mut begin = 0;
    for (index, end) in batch.ends.iter().enumerate() {
        let line = &batch.bytes[begin..*end];
        begin = *end;
        let meets = match serde_json::from_slice(line) {
            Ok(Value::Object(document)) => conditions.meets(&document),
            // A line of another kind of JSON has no values by path.
            Ok(_) => false,
            Err(error) => return Err(not_readable(batch.origin.as_ref(), index, &error)),
        };
        if meets {
            wanted.extend_from_slice(line);
            ends.push(wanted.len());
        }
    }
    Ok(RecordBatch {
        bytes: wanted.into(),
        ends,
        ..RecordBatch::default()
    })
}

/// A line of JSON of which the values can't be had: it nests too deeply, or has a number that is too large.
fn not_readable(
    origin: Option<&LineOrigin>,
    index: usize,
    error: &serde_json::Error,
) -> BackupError {
    let subject = origin.map_or_else(String::new, |origin| {
        format!("{}, line {}", origin.file, origin.line + index as u64)
    });
    // The place that it names is within the line.
    let words = error.to_string();
    let reason = words
        .rsplit_once(" at line")
        .map_or(&*words, |(reason, _)| reason);
    let message = format!("it can't be told whether the query asks for it: {reason}");
    BackupError::new(Class::Permanent, "read", subject, message)
}

type Batch = Result<Option<(Wanted, RecordBatch)>, BackupError>;

fn next_batch(mut lines: Wanted) -> Batch {
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
    query: Query,
    sample: Option<SampleLimits>,
    /// What the parent has, where there is one.
    comparison: Option<Comparison>,
    /// What is to be given next.
    given: VecDeque<Item>,
}

/// What comes next.
enum Step {
    Next,
    Open(ResourceId, Opening),
    Lines(ResourceId, Wanted),
    /// A call failed, or its caller stopped waiting for it: what it was reading is gone.
    Lost,
}

impl JsonlScan {
    pub(super) fn new(
        openings: Vec<Opening>,
        (io, limits): (Io, LineLimits),
        query: Query,
        comparison: Option<Comparison>,
        sample: Option<SampleLimits>,
    ) -> Self {
        let others = [ResourceKind::Deleted, ResourceKind::Lines];
        let others = others.map(|kind| PlannedResource {
            kind,
            plain_bytes: None,
        });
        let others = comparison.iter().flat_map(|_| others.clone());
        let planned = openings.iter().map(Opening::planned);
        let resources = planned.chain(others).collect();
        let states = openings.iter();
        let states = states.filter_map(|opening| Some((opening.resource.clone(), opening.state?)));
        let numbered = (0..).map(ResourceId).zip(&openings);
        let continued = numbered.filter(|(_, opening)| opening.from.is_some());
        JsonlScan {
            plan: ScanPlan {
                resources,
                states: states.collect(),
                continued: continued.map(|(id, _)| id).collect(),
                ..ScanPlan::default()
            },
            waiting: openings.into(),
            step: Step::Next,
            begun: 0,
            endless: false,
            io,
            limits,
            query,
            sample,
            comparison,
            given: VecDeque::new(),
        }
    }

    fn after(&mut self, id: ResourceId, batch: Option<(Wanted, RecordBatch)>) {
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
                let conditions = self.query.of(&opening.resource).cloned();
                let until = self.sample.map(Until::new);
                let open = move || opening.open(limits, conditions, until);
                let batch = run(self.io, self.endless, open).await?;
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
