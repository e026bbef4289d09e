//! What the catalogue of a database is after a restore into it.
//!
//! A record is stored under the numbers that the registry of its resource gives to attributes. So records can only join
//! others where one registry knows all that the other knows, and says the same of it: otherwise one of them would be read
//! wrongly from then on.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use teeline_core::{BackupError, Class};

use super::catalogue::Catalogue;

/// The catalogue with the chosen resources of `original`, each by its new name, beside those that are `there` already and
/// stay. A resource that is there too is joined with it, or `replaced`.
///
/// # Errors
/// Where a resource that is there can't be joined.
pub(super) fn merged(
    mut original: Map<String, Value>,
    there: Option<Map<String, Value>>,
    chosen: &[(String, String)],
    replaced: bool,
) -> Result<Map<String, Value>, BackupError> {
    let of_backup = take_resources(&mut original);
    let mut catalogue = there.unwrap_or(original);
    let mut resources = take_resources(&mut catalogue);
    for (name, new_name) in chosen {
        let Some(new) = of_backup.get(name) else {
            continue;
        };
        let joined = match resources.get(new_name).filter(|_| !replaced) {
            Some(old) => join(new_name, old, new)?,
            None => new,
        };
        let joined = joined.clone();
        resources.insert(new_name.clone(), joined);
    }
    catalogue.insert("resources".to_owned(), Value::Object(resources));
    Ok(catalogue)
}

fn take_resources(catalogue: &mut Map<String, Value>) -> Map<String, Value> {
    match catalogue.get_mut("resources").map(Value::take) {
        Some(Value::Object(resources)) => resources,
        _ => Map::new(),
    }
}

/// The one of two definitions of a resource by which the records of both are read rightly.
fn join<'a>(name: &str, old: &'a Value, new: &'a Value) -> Result<&'a Value, BackupError> {
    let refuse = |message: String| {
        let subject = format!("resource {name:?}");
        BackupError::new(Class::Conflict, "restore to", subject, message).suggest(
            "restore it under another name with --rename OLD=NEW, or replace it with --mode replace",
        )
    };
    let (knows_old, knows_new) = (Known::of(old), Known::of(new));
    if let Some(what) = knows_old.contradicts(&knows_new) {
        let message = format!("the one that is there has another schema: {what} differs");
        return Err(refuse(message));
    }
    if knows_new.is_within(&knows_old) {
        Ok(old)
    } else if knows_old.is_within(&knows_new) {
        Ok(new)
    } else {
        let message = "the one that is there has a schema that went on differently";
        Err(refuse(message.to_owned()))
    }
}

/// What it takes to read the records of a resource.
#[derive(Default)]
struct Known {
    /// By version: what was declared.
    versions: BTreeMap<String, Value>,
    /// By metadata key: the attribute.
    keys: BTreeMap<String, String>,
}

impl Known {
    fn of(resource: &Value) -> Self {
        let mut known = Known::default();
        let versions = resource.get("versions").and_then(Value::as_object);
        for (name, version) in versions.into_iter().flatten() {
            let declared = ["attributes", "behavior", "timestamps"]
                .iter()
                .map(|member| version.get(*member).cloned().unwrap_or_default())
                .collect();
            known.versions.insert(name.clone(), declared);
        }
        // One that can't be parsed knows no keys, and so contradicts none; the restore refuses it elsewhere.
        let alone = serde_json::json!({ "resources": { "it": resource } });
        if let Ok(catalogue) = Catalogue::parse(alone.to_string().as_bytes()) {
            let keys = catalogue.resources.iter().flat_map(|it| it.keys());
            let owned = keys.map(|(key, path)| (key.to_owned(), path.to_owned()));
            known.keys = owned.collect();
        }
        known
    }

    /// What the two say different things of, if they do.
    fn contradicts(&self, other: &Known) -> Option<String> {
        let version = differing(&self.versions, &other.versions).map(|v| format!("version {v}"));
        version.or_else(|| {
            differing(&self.keys, &other.keys).map(|key| format!("the attribute of key {key:?}"))
        })
    }

    fn is_within(&self, other: &Known) -> bool {
        let versions = self.versions.keys().all(|v| other.versions.contains_key(v));
        versions && self.keys.keys().all(|key| other.keys.contains_key(key))
    }
}

/// The first key for which two maps have different values.
fn differing<T: PartialEq>(
    one: &BTreeMap<String, T>,
    other: &BTreeMap<String, T>,
) -> Option<String> {
    let differs = |(key, value): &(&String, &T)| other.get(*key).is_some_and(|o| o != *value);
    one.iter().find(differs).map(|(key, _)| key.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(versions: &[(&str, &[&str])], mapping: &[&str]) -> Value {
        let numbers: Map<String, Value> = (0..)
            .zip(mapping)
            .map(|(n, a): (u64, _)| ((*a).to_owned(), n.into()))
            .collect();
        let versions: Map<String, Value> = versions
            .iter()
            .map(|(name, attributes)| {
                let attributes: Map<String, Value> = attributes
                    .iter()
                    .map(|a| ((*a).to_owned(), "string".into()))
                    .collect();
                ((*name).to_owned(), json!({ "attributes": attributes }))
            })
            .collect();
        let current = versions.keys().next_back().cloned();
        json!({ "currentVersion": current, "versions": versions,
                "schemaRegistry": { "nextIndex": mapping.len(), "mapping": numbers, "burned": [] } })
    }

    fn catalogue(resources: Value) -> Map<String, Value> {
        let catalogue = json!({ "version": "1", "resources": resources });
        catalogue.as_object().unwrap().clone()
    }

    fn chosen(names: &[(&str, &str)]) -> Vec<(String, String)> {
        names
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    }

    #[test]
    fn others_stay_and_chosen_ones_come() {
        let old = resource(&[("v1", &["a"])], &["a"]);
        let original = catalogue(json!({ "users": old, "orders": old }));
        let there = catalogue(json!({ "logs": old }));
        let merged = merged(
            original,
            Some(there),
            &chosen(&[("users", "people")]),
            false,
        )
        .unwrap();
        let names: Vec<_> = merged["resources"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["logs", "people"]);
    }

    #[test]
    fn a_resource_is_joined_with_what_knows_more() {
        let less = resource(&[("v1", &["a"])], &["a"]);
        let more = resource(&[("v1", &["a"]), ("v2", &["a", "b"])], &["a", "b"]);
        for (backup, there) in [(&less, &more), (&more, &less)] {
            let original = catalogue(json!({ "users": backup }));
            let there = catalogue(json!({ "users": there }));
            let merged = merged(original, Some(there), &chosen(&[("users", "users")]), false);
            assert_eq!(merged.unwrap()["resources"]["users"], more);
        }
    }

    #[test]
    fn a_resource_of_another_schema_is_refused_unless_it_is_replaced() {
        let here = resource(&[("v1", &["a", "b"])], &["a", "b"]);
        for there in [
            resource(&[("v1", &["a", "b"])], &["b", "a"]),
            resource(&[("v1", &["a"])], &["a"]),
            resource(&[("v1", &["a", "b"]), ("v2", &["c"])], &["a", "b", "c"]),
        ] {
            let merge = |replaced| {
                let original = catalogue(
                    json!({ "users": resource(&[("v1", &["a", "b"]), ("v3", &["d"])], &["a", "b", "d"]) }),
                );
                let there = catalogue(json!({ "users": there }));
                merged(
                    original,
                    Some(there),
                    &chosen(&[("users", "users")]),
                    replaced,
                )
            };
            let error = merge(false).unwrap_err();
            assert_eq!(error.class(), Class::Conflict, "{there}");
            assert!(merge(true).is_ok());
        }
        assert!(join("users", &here, &here).is_ok());
    }
}
