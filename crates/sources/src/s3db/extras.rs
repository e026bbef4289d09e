//! The member `_s3db` of a line: what a record holds besides its document, so that the object can be built again.
//!
//! It is absent in the common case, a record as the current version inserts it. Otherwise it has some of:
//!
//! - `v`: the version that wrote the record, where it isn't the current one
//! - `metadata`: header values that don't follow from the document: bookkeeping that updates write (`_etag` and the like),
//!   values under numbers that an attribute had before, and values in another form than an insert gives them
//! - `cells`: the same in a body of cells
//! - `before`: the member of the document whose cells follow these, where not all of its cells come first
//! - `keys`: the attributes that are stored under another key than an insert gives them, or (null) by their names
//! - `absent`: keys that an insert would write, and this record lacks
//! - `undefined`: which absent attributes are stored as undefined, where not those that an insert stores so
//! - `inBody`: the keys of the cells in the body, where an insert puts others there, or these in another order
//! - `body`, or `bodyBase64` where it is no text: a body that has no cells, but a copy of them or content
//! - `contentType`: the content type (or null for none), where it isn't the one that goes with the body
//!
//! or, where the document doesn't give the object back, only `raw`: the object itself, its body in base64.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::mapping::Unmappable;
use super::object::RawObject;

/// The reserved member of a document.
pub(super) const MEMBER: &str = "_s3db";

#[derive(Debug, Default, PartialEq)]
pub(super) struct Extras {
    pub(super) version: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) cells: Map<String, Value>,
    pub(super) before: Option<String>,
    pub(super) keys: BTreeMap<String, Option<String>>,
    pub(super) absent: Vec<String>,
    pub(super) undefined: Option<Vec<String>>,
    pub(super) in_body: Option<Vec<String>>,
    pub(super) body: Option<Bytes>,
    pub(super) content_type: Option<Option<String>>,
}

impl Extras {
    /// The member's value, where there is anything to say.
    pub(super) fn to_value(&self) -> Option<Value> {
        let mut members = Map::new();
        let mut add = |name: &str, value: Value| {
            members.insert(name.to_owned(), value);
        };
        if let Some(version) = &self.version {
            add("v", version.as_str().into());
        }
        if !self.metadata.is_empty() {
            add("metadata", texts(&self.metadata));
        }
        if !self.cells.is_empty() {
            add("cells", Value::Object(self.cells.clone()));
        }
        if let Some(name) = &self.before {
            add("before", name.as_str().into());
        }
        if !self.keys.is_empty() {
            let keys = self.keys.iter();
            let keys = keys.map(|(path, key)| (path.clone(), key.as_deref().into()));
            add("keys", Value::Object(keys.collect()));
        }
        if !self.absent.is_empty() {
            add("absent", self.absent.iter().map(String::as_str).collect());
        }
        if let Some(paths) = &self.undefined {
            add("undefined", paths.iter().map(String::as_str).collect());
        }
        if let Some(keys) = &self.in_body {
            add("inBody", keys.iter().map(String::as_str).collect());
        }
        if let Some(body) = &self.body {
            match std::str::from_utf8(body) {
                Ok(text) => add("body", text.into()),
                Err(_) => add("bodyBase64", STANDARD.encode(body).into()),
            }
        }
        if let Some(content_type) = &self.content_type {
            add("contentType", content_type.as_deref().into());
        }
        (!members.is_empty()).then_some(Value::Object(members))
    }

    /// Reads the member of a document.
    pub(super) fn of(document: &Map<String, Value>) -> Result<Self, Unmappable> {
        let Some(value) = document.get(MEMBER) else {
            return Ok(Self::default());
        };
        let members = value
            .as_object()
            .ok_or(Unmappable::Extras("it isn't an object"))?;
        let mut extras = Self::default();
        for (name, value) in members {
            match name.as_str() {
                "v" => extras.version = Some(text(value)?),
                "metadata" => extras.metadata = headers(value)?,
                "cells" => {
                    extras.cells = value
                        .as_object()
                        .ok_or(Unmappable::Extras("cells isn't an object"))?
                        .clone();
                }
                "before" => extras.before = Some(text(value)?),
                "keys" => extras.keys = keys(value)?,
                "absent" => extras.absent = list(value)?,
                "undefined" => extras.undefined = Some(list(value)?),
                "inBody" => extras.in_body = Some(list(value)?),
                "body" => extras.body = Some(text(value)?.into()),
                "bodyBase64" => extras.body = Some(bytes(value)?),
                "contentType" if value.is_null() => extras.content_type = Some(None),
                "contentType" => extras.content_type = Some(Some(text(value)?)),
                "raw" => return Err(Unmappable::Extras("the record is carried raw")),
                _ => return Err(Unmappable::Extras("it has an unknown member")),
            }
        }
        Ok(extras)
    }
}

/// The member of a raw line.
pub(super) fn raw_value(object: &RawObject) -> Value {
    let mut raw = Map::new();
    raw.insert("metadata".to_owned(), texts(&object.metadata));
    raw.insert(
        "contentType".to_owned(),
        object.content_type.as_deref().into(),
    );
    raw.insert("body".to_owned(), STANDARD.encode(&object.body).into());
    let mut members = Map::new();
    members.insert("raw".to_owned(), Value::Object(raw));
    Value::Object(members)
}

/// The object of a raw line; `None` for other lines.
pub(super) fn raw_object(document: &Map<String, Value>) -> Result<Option<RawObject>, Unmappable> {
    let Some(raw) = document.get(MEMBER).and_then(|member| member.get("raw")) else {
        return Ok(None);
    };
    let member = |name: &str| {
        raw.get(name)
            .ok_or(Unmappable::Extras("raw lacks a member"))
    };
    let content_type = match member("contentType")? {
        Value::Null => None,
        value => Some(text(value)?),
    };
    Ok(Some(RawObject {
        metadata: headers(member("metadata")?)?,
        content_type,
        body: bytes(member("body")?)?,
    }))
}

fn texts(entries: &BTreeMap<String, String>) -> Value {
    Value::Object(
        entries
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect(),
    )
}

fn headers(value: &Value) -> Result<BTreeMap<String, String>, Unmappable> {
    let entries = value
        .as_object()
        .ok_or(Unmappable::Extras("metadata isn't an object"))?;
    entries
        .iter()
        .map(|(key, value)| Ok((key.clone(), text(value)?)))
        .collect()
}

fn keys(value: &Value) -> Result<BTreeMap<String, Option<String>>, Unmappable> {
    let entries = value
        .as_object()
        .ok_or(Unmappable::Extras("keys isn't an object"))?;
    let key = |value: &Value| match value {
        Value::Null => Ok(None),
        value => text(value).map(Some),
    };
    entries
        .iter()
        .map(|(path, value)| Ok((path.clone(), key(value)?)))
        .collect()
}

fn list(value: &Value) -> Result<Vec<String>, Unmappable> {
    value
        .as_array()
        .ok_or(Unmappable::Extras("a member isn't an array"))?
        .iter()
        .map(text)
        .collect()
}

fn text(value: &Value) -> Result<String, Unmappable> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or(Unmappable::Extras("a member isn't text"))
}

fn bytes(value: &Value) -> Result<Bytes, Unmappable> {
    let bytes = STANDARD.decode(text(value)?);
    let bytes = bytes.map_err(|_| Unmappable::Extras("a body isn't base64"))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(member: Value) -> Map<String, Value> {
        Map::from_iter([(MEMBER.to_owned(), member)])
    }

    #[test]
    fn extras_survive() {
        assert_eq!(Extras::default().to_value(), None);
        let mut extras = Extras {
            version: Some("v1".to_owned()),
            metadata: BTreeMap::from([("_etag".to_owned(), "x".to_owned())]),
            cells: Map::from_iter([("_etag".to_owned(), json!({"a": 1}))]),
            before: Some("metadata".to_owned()),
            keys: BTreeMap::from([
                ("old".to_owned(), Some("1".to_owned())),
                ("count".to_owned(), None),
            ]),
            absent: vec!["2".to_owned()],
            undefined: Some(vec!["at".to_owned()]),
            in_body: Some(vec!["3".to_owned()]),
            body: None,
            content_type: Some(None),
        };
        for body in [None, Some("{}".into()), Some(vec![0, 255].into())] {
            extras.body = body;
            let read = Extras::of(&document(extras.to_value().unwrap()));
            assert_eq!(read.as_ref(), Ok(&extras));
        }
    }

    #[test]
    fn raw_objects_survive() {
        let object = RawObject {
            metadata: BTreeMap::from([("0".to_owned(), "é".to_owned())]),
            content_type: Some("image/png".to_owned()),
            body: vec![0, 255].into(),
        };
        assert_eq!(raw_object(&document(raw_value(&object))), Ok(Some(object)));
        let bare = RawObject::default();
        assert_eq!(raw_object(&document(raw_value(&bare))), Ok(Some(bare)));
        assert_eq!(raw_object(&Map::new()), Ok(None));
    }

    #[test]
    fn faults_are_refused() {
        for member in [
            json!(1),
            json!({"v": 1}),
            json!({"novel": 1}),
            json!({"raw": 1}),
            json!({"metadata": {"a": 1}}),
            json!({"undefined": "x"}),
            json!({"absent": [1]}),
            json!({"keys": []}),
            json!({"keys": {"a": 1}}),
            json!({"inBody": "x"}),
            json!({"body": 1}),
            json!({"bodyBase64": "*"}),
        ] {
            assert!(Extras::of(&document(member.clone())).is_err(), "{member}");
        }
        for raw in [
            json!(1),
            json!({}),
            json!({"metadata": {}, "contentType": null, "body": "*"}),
        ] {
            assert!(
                raw_object(&document(json!({ "raw": raw }))).is_err(),
                "{raw}"
            );
        }
    }
}
