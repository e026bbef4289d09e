//! Files of JSON lines, plain or compressed, standard input, and lines in memory.
//!
//! Lines are carried byte for byte; the last one of a file gets the newline that it lacks. Whether a line is JSON is
//! checked later, where there is a processor for it: each batch says which file and line it begins with, and what to check.

mod as_opened;
mod changes;
mod files;
mod lines;
mod sample;
mod scan;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use teeline_core::{
    Attachment, BackupError, Basis, Class, LineCheck, Placed, ResumePoint, Sample, SampleLimits,
    Scan, Selection, Source, SourceKind, chain::Base,
};

use crate::Io;
use crate::jsonl::changes::Comparison;
use crate::jsonl::lines::LineLimits;
use crate::jsonl::scan::{JsonlScan, Opening};

/// A line larger than this is an error, unless said otherwise.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// A file of JSON lines, a folder of such files, a reader such as standard input, or lines in memory.
///
/// In a folder each file is a resource, named by its file name less `.jsonl` or `.ndjson` and less `.gz` or `.zst`.
/// Other files, and folders within, are left alone with a warning.
pub struct JsonlSource {
    input: Input,
    io: Io,
    limits: LineLimits,
}

enum Input {
    Path(PathBuf),
    Reader {
        resource: String,
        /// Its name in errors.
        label: String,
        /// Taken by the first scan.
        reader: Mutex<Option<Box<dyn Read + Send>>>,
    },
    /// By the names of their resources.
    Lines(BTreeMap<String, Bytes>),
}

impl JsonlSource {
    /// The file or folder at `path`.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::new(Input::Path(path.into()))
    }

    /// Standard input, as the lines of `resource`.
    pub fn stdin(resource: impl Into<String>) -> Self {
        Self::reader(
            resource.into(),
            "standard input",
            Box::new(std::io::stdin()),
        )
    }

    /// What `reader` gives, as the lines of `resource`.
    pub fn from_reader(resource: impl Into<String>, reader: Box<dyn Read + Send>) -> Self {
        let resource = resource.into();
        let label = format!("the lines of {resource}");
        Self::reader(resource, label, reader)
    }

    /// Lines in memory, by the names of their resources. A run that is taken up reads them from the beginning, and compares.
    ///
    /// ```
    /// use teeline_sources::JsonlSource;
    /// let users = ("users".to_owned(), "{\"id\":1}\n{\"id\":2}\n".into());
    /// let source = JsonlSource::from_lines([users]);
    /// assert_eq!(source.to_string(), "lines in memory");
    /// ```
    pub fn from_lines(lines: impl IntoIterator<Item = (String, Bytes)>) -> Self {
        Self::new(Input::Lines(lines.into_iter().collect()))
    }

    /// Refuses lines that are larger than this, the newline counted.
    #[must_use]
    pub fn record_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.record_bytes_max = bytes;
        self
    }

    /// What is checked of each line; that it is JSON, unless said otherwise.
    #[must_use]
    pub fn validate(mut self, check: LineCheck) -> Self {
        self.limits.check = check;
        self
    }

    /// Where blocking calls run.
    #[must_use]
    pub fn io(mut self, io: Io) -> Self {
        self.io = io;
        self
    }

    fn reader(resource: String, label: impl Into<String>, reader: Box<dyn Read + Send>) -> Self {
        Self::new(Input::Reader {
            resource,
            label: label.into(),
            reader: Mutex::new(Some(reader)),
        })
    }

    fn new(input: Input) -> Self {
        JsonlSource {
            input,
            io: Io::default(),
            limits: LineLimits {
                record_bytes_max: RECORD_BYTES_MAX,
                check: LineCheck::default(),
            },
        }
    }

    /// The names of the resources, in the order of a scan. Reads no line.
    ///
    /// # Errors
    /// Where the path isn't there, isn't of JSON lines, or has two files for one resource.
    pub async fn resource_names(&self) -> Result<Vec<String>, BackupError> {
        match &self.input {
            Input::Reader { resource, .. } => Ok(vec![resource.clone()]),
            Input::Lines(lines) => Ok(lines.keys().cloned().collect()),
            Input::Path(path) => {
                let path = path.clone();
                let found = self.io.run(move || files::find(&path)).await??;
                Ok(found.into_iter().map(|file| file.resource).collect())
            }
        }
    }

    /// Begins a scan, of what isn't as the parent has it where there is one; files go on where their points are.
    async fn begin(
        &self,
        selection: Selection,
        comparison: Option<Comparison>,
        points: Vec<ResumePoint>,
    ) -> Result<Box<dyn Scan>, BackupError> {
        self.check(&selection)?;
        let mut openings = self.openings().await?;
        openings.retain(|opening| selection.wants(&opening.resource));
        for point in points {
            let is_it = |opening: &&mut Opening| opening.resource == point.resource;
            if let Some(opening) = openings.iter_mut().find(is_it)
                && let Basis::State(then) = point.basis
                && opening.state == Some(then)
                && opening.may_go_on()
            {
                opening.is_watched = true;
                // Of lines of which some were wanted only, nobody knows how many there were.
                let is_all = selection.query.of(&point.resource).is_none();
                opening.from = is_all.then_some(point);
            }
        }
        let scan = JsonlScan::new(
            openings,
            (self.io, self.limits),
            selection.query,
            comparison,
            None,
        );
        Ok(Box::new(scan))
    }

    async fn openings(&self) -> Result<Vec<Opening>, BackupError> {
        match &self.input {
            Input::Reader {
                resource,
                label,
                reader,
            } => {
                let taken = reader.lock().unwrap_or_else(PoisonError::into_inner).take();
                let reader = taken.ok_or_else(|| {
                    BackupError::new(Class::Permanent, "read", label, "it was read already")
                        .suggest("what comes through a pipe can be read only once; use a file")
                })?;
                Ok(vec![Opening::reader(resource.clone(), label, reader)])
            }
            Input::Lines(lines) => {
                let lines = lines.iter();
                Ok(lines
                    .map(|(resource, lines)| Opening::lines(resource.clone(), lines.clone()))
                    .collect())
            }
            Input::Path(path) => {
                let path = path.clone();
                let find = move || {
                    let found = files::find(&path)?;
                    Ok(found.into_iter().map(Opening::file).collect())
                };
                self.io.run(find).await?
            }
        }
    }
}

impl fmt::Display for JsonlSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.input {
            Input::Path(path) => write!(f, "{}", path.display()),
            Input::Reader { label, .. } => f.write_str(label),
            Input::Lines(_) => f.write_str("lines in memory"),
        }
    }
}

impl fmt::Debug for JsonlSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonlSource")
            .field("input", &format_args!("{self}"))
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for JsonlSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Jsonl
    }

    // What lines don't say can't be looked for.
    fn check(&self, selection: &Selection) -> Result<(), BackupError> {
        if !selection.partitions.is_empty() {
            let message = "JSON lines have none; a database has";
            return Err(BackupError::usage("partitions", message)
                .suggest("choose records by their values: --where, or backup.query"));
        }
        if !selection.query.is_empty() && self.limits.check != LineCheck::Json {
            let message = "it asks for values, and lines aren't checked to be JSON";
            return Err(BackupError::usage("query", message)
                .suggest("have that checked: --validate json, or source.validate = \"json\""));
        }
        Ok(())
    }

    fn is_rereadable(&self) -> bool {
        match &self.input {
            // A pipe in the file system gives its bytes only once.
            Input::Path(path) => std::fs::metadata(path)
                .map_or(true, |metadata| metadata.is_file() || metadata.is_dir()),
            Input::Reader { .. } => false,
            Input::Lines(_) => true,
        }
    }

    fn tells_changes(&self) -> bool {
        true
    }

    async fn scan(&self, selection: Selection) -> Result<Box<dyn Scan>, BackupError> {
        self.begin(selection, None, Vec::new()).await
    }

    async fn scan_on(
        &self,
        selection: Selection,
        points: Vec<ResumePoint>,
    ) -> Result<Box<dyn Scan>, BackupError> {
        self.begin(selection, None, points).await
    }

    async fn scan_changes(
        &self,
        selection: Selection,
        base: Base,
    ) -> Result<Box<dyn Scan>, BackupError> {
        if let Some(time) = base.since {
            let message =
                format!("lines have no time, so none can be said to be of {time} or later");
            return Err(BackupError::usage("since", message)
                .suggest("leave it out: without a backup to go on from, one has everything"));
        }
        let comparison = Comparison::read(base).await?;
        self.begin(selection, Some(comparison), Vec::new()).await
    }

    async fn sample(
        &self,
        selection: Selection,
        limits: SampleLimits,
    ) -> Result<Sample, BackupError> {
        self.check(&selection)?;
        if !self.is_rereadable() {
            let message = "what comes through a pipe can't be looked at beforehand";
            return Err(BackupError::usage(self, message)
                .suggest("write it to a file first, or back it up"));
        }
        let mut openings = self.openings().await?;
        openings.retain(|opening| selection.wants(&opening.resource));
        let (io, line_limits, query) = (self.io, self.limits, selection.query);
        let measure = move || {
            let measured = openings
                .iter()
                .map(|opening| opening.measure(line_limits, limits));
            let shares = measured.collect::<Result<Vec<_>, BackupError>>()?;
            Ok::<_, BackupError>((openings, shares))
        };
        let (openings, shares) = io.run(measure).await??;
        let scan = JsonlScan::new(openings, (io, line_limits), query, None, Some(limits));
        Ok(Sample {
            scan: Box::new(scan),
            shares,
        })
    }

    fn describe(&self, _: &Placed<'_>) -> Result<Vec<Attachment>, BackupError> {
        // Lines have no schema.
        Ok(Vec::new())
    }
}
