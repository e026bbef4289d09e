//! Schemas with a history, and documents of them, for the property tests.

use std::collections::BTreeMap;

use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

use super::super::Catalogue;
use super::{MEMBER, Resource};

pub(super) mod values;

use values::{Leaves, in_body, untyped_text};

/// How many documents a property test takes where nothing says otherwise.
const CASES: u32 = 512;

/// The configuration of the property tests: `TEELINE_PROPERTY_CASES` says how many documents they take.
pub(super) fn config() -> ProptestConfig {
    let cases = std::env::var("TEELINE_PROPERTY_CASES").map_or(CASES, |text| {
        text.parse()
            .expect("TEELINE_PROPERTY_CASES is a number of documents")
    });
    ProptestConfig::with_cases(cases)
}

pub(super) const BEHAVIORS: [&str; 5] = [
    "user-managed",
    "enforce-limits",
    "truncate-data",
    "body-overflow",
    "body-only",
];

/// What the names of attributes begin with that no schema declares.
const UNDECLARED: &str = "u_";

/// A definition with a value, or without one.
type Member = (Value, Option<Value>);

/// An attribute, or an object of them. One in object form needs a number of its own, unless all is in a body.
fn member(leaves: &Leaves, is_numbered: bool, depth: u32) -> BoxedStrategy<Member> {
    let has_key = is_numbered || leaves.in_body;
    let leaf = leaves
        .strategy
        .clone()
        .prop_filter("stored by its name", move |(definition, _)| {
            has_key || definition.is_string()
        });
    let optional = (leaf, prop::bool::weighted(0.8))
        .prop_map(|((definition, value), is_there)| (definition, is_there.then_some(value)));
    if depth == 0 {
        return optional.boxed();
    }
    let group = |mark: Option<&'static str>| {
        let is_numbered = is_numbered && mark == Some("object");
        group(mark, member(leaves, is_numbered, depth - 1))
    };
    let groups = Union::new([None, Some("object"), Some("object|optional")].map(group));
    prop_oneof![4 => optional, 1 => groups].boxed()
}

fn group(mark: Option<&'static str>, member: BoxedStrategy<Member>) -> BoxedStrategy<Member> {
    let members = btree_map(names(), member, 1..4);
    members
        .prop_map(move |members| {
            let mut attributes = Map::new();
            attributes.extend(mark.map(|mark| ("$$type".to_owned(), json!(mark))));
            let values = split(members, &mut attributes);
            let values = (!values.is_empty()).then_some(Value::Object(values));
            (Value::Object(attributes), values)
        })
        .boxed()
}

/// Names that often meet again in the next version, and among the keys of others.
fn names() -> impl Strategy<Value = String> {
    let frequent = [
        "title",
        "old",
        "a",
        "b",
        "1",
        "10",
        "inner",
        "count",
        "_private",
        "$cost",
        "camelCase",
        "é",
        "with space",
        "p0ab",
    ];
    prop_oneof![3 => select(frequent.to_vec()).prop_map(str::to_owned), 1 => "[a-zA-Zé日_ -]{1,6}"]
        .prop_filter("it has a meaning", |name| {
            !matches!(name.as_str(), "id" | "type" | MEMBER) && !name.starts_with(UNDECLARED)
        })
}

fn split(
    members: BTreeMap<String, Member>,
    attributes: &mut Map<String, Value>,
) -> Map<String, Value> {
    let mut values = Map::new();
    for (name, (definition, value)) in members {
        attributes.insert(name.clone(), definition);
        values.extend(value.map(|value| (name, value)));
    }
    values
}

/// One version of a schema, and a document of it.
#[derive(Debug, Clone)]
pub(super) struct Generation {
    pub(super) behavior: &'static str,
    timestamps: bool,
    attributes: Map<String, Value>,
    pub(super) document: Map<String, Value>,
}

pub(super) fn generation() -> impl Strategy<Value = Generation> {
    let [in_metadata, in_body] = [false, true].map(Leaves::new);
    Union::new(BEHAVIORS.map(|behavior| match behavior {
        "body-only" => generation_of(behavior, &in_body),
        _ => generation_of(behavior, &in_metadata),
    }))
}

fn generation_of(behavior: &'static str, leaves: &Leaves) -> BoxedStrategy<Generation> {
    let undeclared = match leaves.in_body {
        true => in_body().prop_map(|(_, value)| value).boxed(),
        false => untyped_text().prop_map(Value::String).boxed(),
    };
    let declared = btree_map(names(), member(leaves, true, 2), 0..6);
    let undeclared_names = "[a-z0-9_-]{0,5}".prop_map(|name| format!("{UNDECLARED}{name}"));
    let undeclared = btree_map(undeclared_names, undeclared, 0..3);
    (any::<bool>(), declared, undeclared)
        .prop_map(move |(timestamps, declared, undeclared)| {
            let mut attributes = Map::new();
            let mut document = Map::from_iter([("id".to_owned(), json!("an id"))]);
            document.extend(split(declared, &mut attributes));
            document.extend(undeclared);
            Generation {
                behavior,
                timestamps,
                attributes,
                document,
            }
        })
        .boxed()
}

/// The resource whose schema had these versions one after another, each opened once and on a connection of its own.
pub(super) fn resource_of(generations: &[Generation]) -> Resource {
    let mut registry = Registry::default();
    let mut versions = Map::new();
    for (generation, day) in generations.iter().zip(1..) {
        registry.open(&generation.attributes, day);
        versions.insert(
            format!("v{day}"),
            json!({
                "attributes": generation.attributes, "behavior": generation.behavior, "timestamps": generation.timestamps,
                "createdAt": format!("2026-01-0{day}T00:00:00.010Z"),
            }),
        );
    }
    let catalogue = json!({"resources": {"r": {
        "currentVersion": format!("v{}", generations.len()), "versions": versions,
        "schemaRegistry": {"nextIndex": registry.next, "mapping": registry.mapping, "burned": registry.burned},
    }}});
    Catalogue::parse(catalogue.to_string().as_bytes())
        .unwrap()
        .resources
        .remove(0)
}

/// The numbers of attributes, as s3db.js gives them when a resource is declared.
#[derive(Default)]
struct Registry {
    next: u64,
    mapping: Map<String, Value>,
    burned: Vec<Value>,
}

impl Registry {
    /// Numbers what is new, and burns the number of what is gone. What comes back gets another one.
    fn open(&mut self, attributes: &Map<String, Value>, day: u32) {
        let mut paths = Vec::new();
        leaf_paths(attributes, "", &mut paths);
        object_paths(attributes, "", &mut paths);
        for (path, number) in &self.mapping {
            let is_burned = self.burned.iter().any(|burned| burned["index"] == *number);
            if !paths.contains(path) && !is_burned {
                self.burned.push(json!({
                    "index": number, "attribute": path, "burnedAt": format!("2026-01-0{day}T00:00:00.000Z"), "reason": "removed",
                }));
            }
        }
        for path in paths {
            let known = self.mapping.get(&path);
            let is_burned =
                |number: &Value| self.burned.iter().any(|burned| burned["index"] == *number);
            if known.is_none_or(is_burned) {
                self.mapping.insert(path, self.next.into());
                self.next += 1;
            }
        }
    }
}

fn leaf_paths(attributes: &Map<String, Value>, prefix: &str, paths: &mut Vec<String>) {
    for (name, definition) in attributes {
        let path = format!("{prefix}{name}");
        match definition {
            Value::Object(inner) => leaf_paths(inner, &format!("{path}."), paths),
            _ if name.starts_with("$$") => {}
            _ => paths.push(path),
        }
    }
}

fn object_paths(attributes: &Map<String, Value>, prefix: &str, paths: &mut Vec<String>) {
    for (name, definition) in attributes {
        if let Value::Object(inner) = definition {
            paths.push(format!("{prefix}{name}"));
            if inner.get("$$type") == Some(&json!("object")) {
                object_paths(inner, &format!("{prefix}{name}."), paths);
            }
        }
    }
}
