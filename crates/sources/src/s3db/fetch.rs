//! From an object of the database to what a backup carries of it: a line, a frame, or the word that it is to be read alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use serde_json::{Map, Value, json};
use teeline_core::{BackupError, Class, Digest, Frame, FrameHeader};

use super::bucket::{Bucket, Found, Head};
use super::catalogue::Catalogue;
use super::extras::MEMBER;
use super::listing::Listed;
use super::mapping::{Inexact, decode, raw_line};
use super::object::RawObject;
use super::part::{Entries, Part, Parts};
use super::partition::Record;
use super::source::{OnUndecodable, ScanOptions};
use super::walk::{record_id, record_key};

/// What it takes to read objects.
#[derive(Clone)]
pub(super) struct FetchContext {
    pub(super) bucket: Bucket,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) options: ScanOptions,
    /// Whether to tell what was read from other content.
    pub(super) identifies: bool,
    /// What of each resource is read.
    pub(super) parts: Arc<Parts>,
}

/// What a listed object is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// The record `id` of a resource, which is named by its place in the catalogue.
    Record {
        index: usize,
        id: String,
    },
    Object,
}

/// What reading an object gave.
pub(super) enum Fetched {
    Line(Line, Option<Identity>),
    /// A line, and the entries of its record that are there.
    WithEntries(Line, Vec<Framed>),
    Frame {
        frame: Vec<u8>,
        row: Vec<u8>,
        identity: Option<Identity>,
    },
    /// It is to be read alone.
    Large(Listed, Place),
    Vanished(Place),
    /// A record that isn't among those that are asked for.
    Unwanted,
}

/// A digest of all that an object holds. Where that is another, so is this.
pub(super) type Identity = Digest;

/// A record, and its row of the index.
pub(super) struct Line {
    pub(super) line: Vec<u8>,
    pub(super) row: Vec<u8>,
    pub(super) kept_raw: bool,
    /// Where not all of its resource is read: its entries in partitions.
    pub(super) entries: Entries,
}

/// What a record is made into.
pub(super) enum Mapped {
    Line(Line),
    /// Its object has to go elsewhere.
    TooLarge,
    /// It isn't among those that are asked for.
    Unwanted,
}

/// An object of which one frame is all, and its row of the index.
pub(super) struct Framed {
    pub(super) frame: Vec<u8>,
    pub(super) row: Vec<u8>,
}

impl FetchContext {
    fn place(&self, key: &str, index: Option<usize>) -> Place {
        let record = index.and_then(|index| {
            let id = record_id(key, &self.catalogue.resources[index].name)?;
            Some(Place::Record {
                index,
                id: id.to_owned(),
            })
        });
        record.unwrap_or(Place::Object)
    }

    /// Reads a listed object, unless it is large.
    pub(super) async fn fetch(
        &self,
        listed: Listed,
        resource: Option<usize>,
    ) -> Result<Fetched, BackupError> {
        let place = self.place(&listed.key, resource);
        let inline_bytes_max = self.options.inline_bytes_max;
        if listed.size > inline_bytes_max {
            return Ok(Fetched::Large(listed, place));
        }
        let found = self.bucket.find_listed(&listed, inline_bytes_max).await?;
        let key = &listed.key;
        let (head, body) = match found {
            Found::Small(head, body) => (head, body),
            // An entry may name a record that is long gone.
            Found::Absent if self.is_named_by_entries(&place) => return Ok(Fetched::Unwanted),
            Found::Absent => return Ok(Fetched::Vanished(place)),
            // It has grown since it was listed.
            Found::Larger => return Ok(Fetched::Large(listed, place)),
        };
        let identity = self.identifies.then(|| identity(&head, &body));
        match &place {
            Place::Object => Ok(Fetched::Frame {
                frame: frame(key, &head, 0, body).encode(),
                row: head.row(key),
                identity,
            }),
            Place::Record { index, id } => match self.line(*index, id, head, body)? {
                Mapped::Line(line) if self.parts.of(*index).is_some() => {
                    let entries = self.entries(&line).await?;
                    Ok(Fetched::WithEntries(line, entries))
                }
                Mapped::Line(line) => Ok(Fetched::Line(line, identity)),
                Mapped::TooLarge => Ok(Fetched::Large(listed, place)),
                Mapped::Unwanted => Ok(Fetched::Unwanted),
            },
        }
    }

    fn is_named_by_entries(&self, place: &Place) -> bool {
        match place {
            Place::Record { index, .. } => self.parts.of(*index).is_some_and(Part::is_by_entries),
            Place::Object => false,
        }
    }

    /// Reads the entries of a record that are there.
    pub(super) async fn entries(&self, line: &Line) -> Result<Vec<Framed>, BackupError> {
        let read = async |key: &String| {
            let found = self.bucket.find(key, self.options.inline_bytes_max).await?;
            Ok::<_, BackupError>(match found {
                Found::Small(head, body) => Some(Framed {
                    frame: frame(key, &head, 0, body).encode(),
                    row: head.row(key),
                }),
                // Whatever is that large is no entry.
                Found::Absent | Found::Larger => None,
            })
        };
        let entries = try_join_all(line.entries.keys.iter().map(read)).await?;
        Ok(entries.into_iter().flatten().collect())
    }

    /// The entries of a record that is asked for; `None` of another one.
    fn wanted(
        &self,
        index: usize,
        id: &str,
        metadata: &BTreeMap<String, String>,
        document: &Map<String, Value>,
    ) -> Option<Entries> {
        let Some(part) = self.parts.of(index) else {
            return Some(Entries::default());
        };
        part.entries_of(&Record {
            id,
            version: metadata.get("_v").map(String::as_str),
            document,
        })
    }

    /// The line of a record.
    pub(super) fn line(
        &self,
        index: usize,
        id: &str,
        head: Head,
        body: Bytes,
    ) -> Result<Mapped, BackupError> {
        let resource = &self.catalogue.resources[index];
        let inline = head.size <= self.options.inline_bytes_max;
        let row = head.row(&record_key(&resource.name, id));
        let object = raw_object(head, body);
        let decoded = decode(resource, id, &object);
        let Some(entries) = self.wanted(index, id, &object.metadata, &decoded.document) else {
            return Ok(Mapped::Unwanted);
        };
        self.check_decoded(index, id, decoded.reason.as_ref())?;
        if !decoded.exact && !inline {
            return Ok(Mapped::TooLarge);
        }
        let document = match decoded.exact {
            true => decoded.document,
            false => raw_line(decoded.document, &object),
        };
        let line = Line::new(document, row, !decoded.exact, entries);
        Ok(match line.line.len() <= self.options.record_bytes_max {
            true => Mapped::Line(line),
            false => Mapped::TooLarge,
        })
    }

    /// The line of a record whose object is elsewhere; `None` of one that isn't asked for.
    pub(super) fn object_line(
        &self,
        index: usize,
        id: &str,
        head: &Head,
        body: Bytes,
    ) -> Result<Option<Line>, BackupError> {
        let resource = &self.catalogue.resources[index];
        let row = head.row(&record_key(&resource.name, id));
        let decoded = decode(resource, id, &raw_object(head.clone(), body));
        let Some(entries) = self.wanted(index, id, &head.metadata, &decoded.document) else {
            return Ok(None);
        };
        let with_object = |mut document: Map<String, Value>| {
            document.shift_remove(MEMBER);
            document.insert(MEMBER.to_owned(), json!({ "object": true }));
            Line::new(document, row.clone(), true, entries.clone())
        };
        let line = with_object(decoded.document);
        if line.line.len() <= self.options.record_bytes_max {
            return Ok(Some(line));
        }
        Ok(Some(with_object(Map::from_iter([(
            "id".to_owned(),
            id.into(),
        )]))))
    }

    fn check_decoded(
        &self,
        index: usize,
        id: &str,
        reason: Option<&Inexact>,
    ) -> Result<(), BackupError> {
        let reason = match reason {
            Some(reason) if self.options.on_undecodable == OnUndecodable::Fail => reason,
            _ => return Ok(()),
        };
        let resource = &self.catalogue.resources[index].name;
        let subject = format!("the record {id:?} of {resource}");
        let message = format!("it can't be decoded in full: {reason}");
        Err(BackupError::new(Class::Permanent, "read", subject, message)
            .suggest("let such records be kept raw: on_undecodable = \"keep\""))
    }

    pub(super) fn is_json(&self, head: &Head) -> bool {
        let fits =
            usize::try_from(head.size).is_ok_and(|size| size <= self.options.record_bytes_max);
        let essence = head
            .content_type
            .as_deref()
            .and_then(|full| full.split(';').next());
        fits && essence.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    }
}

fn identity(head: &Head, body: &Bytes) -> Identity {
    let body = Digest::of(body).to_string();
    let identity = json!([head.content_type, head.metadata, body]);
    Digest::of(identity.to_string().as_bytes())
}

fn raw_object(head: Head, body: Bytes) -> RawObject {
    RawObject {
        metadata: head.metadata,
        content_type: head.content_type,
        body,
    }
}

impl Line {
    fn new(document: Map<String, Value>, row: Vec<u8>, kept_raw: bool, entries: Entries) -> Self {
        let mut line = Value::Object(document).to_string().into_bytes();
        line.push(b'\n');
        Line {
            line,
            row,
            kept_raw,
            entries,
        }
    }
}

/// A piece of an object, as stored. The first one has what is known of the object as a whole.
pub(super) fn frame(key: &str, head: &Head, offset: u64, bytes: Bytes) -> Frame {
    let (content_type, metadata) = match offset {
        0 => (head.content_type.clone(), head.metadata.clone()),
        _ => (None, BTreeMap::new()),
    };
    let header = FrameHeader {
        key: key.to_owned(),
        offset,
        length: bytes.len() as u64,
        size: head.size,
        content_type,
        metadata,
    };
    Frame { header, bytes }
}
