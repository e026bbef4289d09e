//! What of a backup stands, once what had changed when it was read again is laid over the rest.
//!
//! The last line of `_settled` about an object is the one that counts, and what the data files say of that object doesn't.
//! Lines are given as the catalogue has it that was read last, whichever catalogue they were written by: a line that says
//! nothing of its schema version means the current one.

mod beneath;
mod record_line;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Map, Value};
use teeline_core::{BackupError, Class, Frame, FrameHeader};

use super::catalogue::Catalogue;
use super::extras::MEMBER;
use super::mapping::{line, restore_object};
use super::settled::SettledLine;
use super::walk::{CATALOGUE, record_key, record_of};

use beneath::Beneath;
pub use beneath::LaterLinks;
pub use record_line::{RecordLine, record_line};

/// What `_settled` of a backup says, as far as it takes to read the rest: the keys in it, and the catalogues.
pub struct Overlay {
    /// Which line about an object is the last.
    last: HashMap<String, u64>,
    /// The resources that some of these keys are records of.
    resources: HashSet<String>,
    lines: u64,
    /// Each with the number of the first line that is written by it, or by a later one.
    catalogues: Vec<(u64, Definitions)>,
    /// A catalogue of which the first pieces came.
    arriving: BytesMut,
    /// What goes on from the backup, where something does.
    later: Option<Beneath>,
}

/// What a replay of `_settled` gives: the lines of resources, and pieces of objects.
#[derive(Debug, Default)]
pub struct Newer {
    /// Lines that stand, by their resources.
    pub lines: BTreeMap<String, BytesMut>,
    /// Pieces of objects that stand.
    pub frames: Vec<Frame>,
}

/// A second reading of `_settled`.
pub struct Replay {
    overlay: Arc<Overlay>,
    lines: u64,
}

/// A catalogue, parsed and as it is.
struct Definitions {
    bytes: Bytes,
    catalogue: Catalogue,
    resources: Map<String, Value>,
}

/// The record of a line, as another catalogue has it.
enum Restated {
    Line(Bytes),
    /// The other one doesn't have the resource, so it is no record there.
    Object(Frame),
    /// Nor is it the line of one, and the object is elsewhere.
    Elsewhere,
}

/// What a line of a resource is found by.
#[derive(Deserialize)]
struct WithId<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

impl Overlay {
    /// Nothing changed yet since the database's own `s3db.json` was read.
    ///
    /// # Errors
    /// Where that isn't a catalogue.
    pub fn new(database_catalogue: Bytes) -> Result<Self, BackupError> {
        Ok(Overlay {
            last: HashMap::new(),
            resources: HashSet::new(),
            lines: 0,
            catalogues: vec![(0, Definitions::parse(database_catalogue)?)],
            arriving: BytesMut::new(),
            later: None,
        })
    }

    /// It as the backup of this number in a chain, whose last link was written by `newest`.
    ///
    /// # Errors
    /// Where that isn't a catalogue.
    pub fn beneath(
        self,
        links: Arc<LaterLinks>,
        number: u32,
        newest: Bytes,
    ) -> Result<Self, BackupError> {
        let newest = Definitions::parse(newest)?;
        Ok(Overlay {
            later: Some(Beneath {
                links,
                number,
                newest,
            }),
            ..self
        })
    }

    /// Takes the next lines of `_settled`.
    ///
    /// # Errors
    /// Where they aren't such lines.
    pub fn read(&mut self, lines: &[u8]) -> Result<(), BackupError> {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = SettledLine::decode(line)?;
            self.lines += u64::from(!line.continues());
            if line.key == CATALOGUE {
                self.read_catalogue(&line)?;
            } else if !line.continues() {
                if let Some((resource, _)) = record_of(&line.key)
                    && !self.resources.contains(resource)
                {
                    self.resources.insert(resource.to_owned());
                }
                self.last.insert(line.key.into_owned(), self.lines);
            }
        }
        Ok(())
    }

    fn read_catalogue(&mut self, line: &SettledLine<'_>) -> Result<(), BackupError> {
        let Some(piece) = line.frame()? else {
            return Err(BackupError::corrupt(CATALOGUE, "its line has no content"));
        };
        if piece.header.offset != self.arriving.len() as u64 {
            let message = "its pieces don't follow each other";
            return Err(BackupError::corrupt(CATALOGUE, message));
        }
        self.arriving.extend_from_slice(&piece.bytes);
        if piece.is_last() {
            let bytes = std::mem::take(&mut self.arriving).freeze();
            self.catalogues
                .push((self.lines, Definitions::parse(bytes)?));
        }
        Ok(())
    }

    /// The database's own `s3db.json`, as it was read last.
    pub fn catalogue(&self) -> &Bytes {
        &self.newest().bytes
    }

    fn newest(&self) -> &Definitions {
        match &self.later {
            Some(later) => &later.newest,
            None => &self.catalogues[self.catalogues.len() - 1].1,
        }
    }

    /// Whether something that came later is about an object of the data files.
    fn is_replaced(&self, key: &str) -> bool {
        self.last.contains_key(key) || self.is_replaced_by_link(key)
    }

    fn is_replaced_by_link(&self, key: &str) -> bool {
        let later = self.later.as_ref();
        later.is_some_and(|later| later.is_replaced(key))
    }

    fn has_newer_records(&self, resource: &str) -> bool {
        let later = self.later.as_ref();
        self.resources.contains(resource)
            || later.is_some_and(|later| later.has_records_of(resource))
    }

    /// The catalogue by which line number `number` of `_settled` is written; by the first one the data files are.
    fn at(&self, number: u64) -> &Definitions {
        let after = self.catalogues.partition_point(|(from, _)| *from <= number);
        &self.catalogues[after.max(1) - 1].1
    }

    /// Of the lines of a resource's data files, those that stand.
    ///
    /// # Errors
    /// Where they aren't such lines.
    pub fn lines(&self, resource: &str, lines: Bytes) -> Result<Bytes, BackupError> {
        let is_same = Definitions::agree(self.at(0), self.newest(), resource);
        if is_same && !self.has_newer_records(resource) {
            return Ok(lines);
        }
        let mut standing = BytesMut::with_capacity(lines.len());
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if self.is_superseded(resource, line)? {
                continue;
            }
            match self.restate(self.at(0), resource, line)? {
                Restated::Line(line) => standing.extend_from_slice(&line),
                Restated::Object(_) | Restated::Elsewhere => {}
            }
        }
        Ok(standing.freeze())
    }

    /// Whether the records of a resource are objects only, since the catalogue lost it while it was read.
    pub fn has_lost(&self, resource: &str) -> bool {
        !self.newest().resources.contains_key(resource)
    }

    /// Of the lines of the data files of such a resource, the objects of those that stand.
    ///
    /// # Errors
    /// Where they aren't such lines.
    pub fn objects(&self, resource: &str, lines: &[u8]) -> Result<Vec<Frame>, BackupError> {
        let mut frames = Vec::new();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if self.is_superseded(resource, line)? {
                continue;
            }
            if let Restated::Object(frame) = self.restate(self.at(0), resource, line)? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    /// Of the pieces of objects, those that stand.
    pub fn frames(&self, mut frames: Vec<Frame>) -> Vec<Frame> {
        frames.retain(|frame| !self.is_replaced(&frame.header.key));
        frames
    }

    /// Reads `_settled` once more, for what stands of it.
    pub fn replay(self: &Arc<Self>) -> Replay {
        Replay {
            overlay: Arc::clone(self),
            lines: 0,
        }
    }

    fn is_superseded(&self, resource: &str, line: &[u8]) -> Result<bool, BackupError> {
        if !self.has_newer_records(resource) {
            return Ok(false);
        }
        let WithId { id } = serde_json::from_slice(line)
            .map_err(|error| wrong_line(resource, "it has no id").because(error))?;
        Ok(self.is_replaced(&record_key(resource, &id)))
    }

    /// The line of a record that was written by one catalogue, as the newest has it.
    fn restate(
        &self,
        from: &Definitions,
        resource: &str,
        text: &[u8],
    ) -> Result<Restated, BackupError> {
        let to = self.newest();
        if Definitions::agree(from, to, resource) {
            return Ok(Restated::Line(Bytes::copy_from_slice(text)));
        }
        let document: Map<String, Value> = serde_json::from_slice(text)
            .map_err(|error| wrong_line(resource, "not a document").because(error))?;
        let new = to.catalogue.resource(resource);
        let elsewhere = document.get(MEMBER).and_then(|member| member.get("object"));
        if elsewhere == Some(&Value::Bool(true)) {
            return Ok(match new {
                Some(_) => Restated::Line(Bytes::copy_from_slice(text)),
                None => Restated::Elsewhere,
            });
        }
        let old = from.catalogue.resource(resource);
        let old = old.ok_or_else(|| wrong_line(resource, "its s3db.json doesn't have it"))?;
        let id = document.get("id").and_then(Value::as_str);
        let id = id.ok_or_else(|| wrong_line(resource, "it has no id"))?;
        let object = restore_object(old, &document).map_err(|error| {
            let subject = format!("the record {id:?} of {resource}");
            BackupError::new(Class::Permanent, "encode", subject, &error).because(error)
        })?;
        Ok(match new {
            Some(new) => {
                let mut line = Value::Object(line(new, id, &object)).to_string();
                line.push('\n');
                Restated::Line(Bytes::from(line))
            }
            None => Restated::Object(Frame {
                header: FrameHeader {
                    key: record_key(resource, id),
                    offset: 0,
                    length: object.body.len() as u64,
                    size: object.body.len() as u64,
                    content_type: object.content_type,
                    metadata: object.metadata,
                },
                bytes: object.body,
            }),
        })
    }
}

impl Replay {
    /// Takes the next lines of `_settled`: what of them stands.
    ///
    /// # Errors
    /// Where they aren't such lines.
    pub fn read(&mut self, lines: &[u8]) -> Result<Newer, BackupError> {
        let mut newer = Newer::default();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = SettledLine::decode(line)?;
            self.lines += u64::from(!line.continues());
            let is_last = self.overlay.last.get(line.key.as_ref()) == Some(&self.lines);
            if !is_last || self.overlay.is_replaced_by_link(&line.key) {
                continue;
            }
            newer.frames.extend(line.frame()?);
            if let (Some(resource), Some(record)) = (line.resource(), line.record) {
                let from = self.overlay.at(self.lines);
                let text = format!("{}\n", record.get());
                match self.overlay.restate(from, resource, text.as_bytes())? {
                    Restated::Line(line) => {
                        let lines = newer.lines.entry(resource.to_owned()).or_default();
                        lines.extend_from_slice(&line);
                    }
                    Restated::Object(frame) => newer.frames.push(frame),
                    Restated::Elsewhere => {}
                }
            }
        }
        Ok(newer)
    }
}

impl Definitions {
    fn parse(bytes: Bytes) -> Result<Self, BackupError> {
        let subject = "the backup's s3db.json";
        let catalogue = Catalogue::parse(&bytes)
            .map_err(|error| BackupError::corrupt(subject, &error).because(error))?;
        let members: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|error| BackupError::corrupt(subject, "not a catalogue").because(error))?;
        let resources = match members.get("resources") {
            Some(Value::Object(resources)) => resources.clone(),
            _ => Map::new(),
        };
        Ok(Definitions {
            bytes,
            catalogue,
            resources,
        })
    }

    /// Whether a line of the resource says the same by both: attributes have numbers in the order in which they stand.
    fn agree(one: &Self, other: &Self, resource: &str) -> bool {
        let text = |of: &Self| of.resources.get(resource).map(Value::to_string);
        let known = text(one);
        known.is_some() && known == text(other)
    }
}

fn wrong_line(resource: &str, message: &str) -> BackupError {
    BackupError::corrupt(format!("a line of {resource}"), message)
}

#[cfg(test)]
mod tests;
