//! The catalogue of a database, its object `s3db.json`: which resources there are, and the schemas of their records.

use std::fmt;

use serde_json::{Map, Value};

use super::schema::{Resource, Version};

/// What `s3db.json` says, as far as reading and writing records needs it.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// The version of s3db.js that wrote it, where it says so.
    pub s3db_version: Option<String>,
    /// The resources, in the order of the file.
    pub resources: Vec<Resource>,
}

/// Why a catalogue can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueError {
    place: String,
    fault: String,
}

impl CatalogueError {
    pub(super) fn new(place: impl Into<String>, fault: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            fault: fault.into(),
        }
    }
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.fault)
    }
}

impl std::error::Error for CatalogueError {}

impl Catalogue {
    /// Reads the bytes of `s3db.json`. Members that it doesn't know are left alone.
    ///
    /// # Errors
    /// Where it isn't JSON, or lacks what decoding needs; the message names the resource and the version.
    pub fn parse(bytes: &[u8]) -> Result<Self, CatalogueError> {
        let root: Value = serde_json::from_slice(bytes)
            .map_err(|error| CatalogueError::new("s3db.json", format!("not JSON: {error}")))?;
        let root = object(&root, "s3db.json", "it isn't an object")?;
        let resources = match root.get("resources") {
            None | Some(Value::Null) => Vec::new(),
            Some(resources) => object(resources, "s3db.json", "resources isn't an object")?
                .iter()
                .map(|(name, resource)| parse_resource(name, resource))
                .collect::<Result<_, _>>()?,
        };
        let s3db_version = root
            .get("s3dbVersion")
            .and_then(Value::as_str)
            .map(str::to_owned);
        Ok(Self {
            s3db_version,
            resources,
        })
    }

    /// The resource of a name.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.name == name)
    }
}

fn parse_resource(name: &str, value: &Value) -> Result<Resource, CatalogueError> {
    let place = format!("s3db.json, resource {name:?}");
    let fields = object(value, &place, "it isn't an object")?;
    let current = fields
        .get("currentVersion")
        .and_then(Value::as_str)
        .ok_or_else(|| CatalogueError::new(&place, "currentVersion is missing"))?;
    let versions = fields
        .get("versions")
        .ok_or_else(|| CatalogueError::new(&place, "versions is missing"))
        .and_then(|versions| object(versions, &place, "versions isn't an object"))?
        .iter()
        .map(|(version, value)| {
            parse_version(&format!("{place}, version {version:?}"), version, value)
        })
        .collect::<Result<Vec<_>, _>>()?;
    if !versions.iter().any(|version| version.name == current) {
        return Err(CatalogueError::new(
            &place,
            format!("currentVersion {current:?} isn't among its versions"),
        ));
    }
    let mut resource = Resource::new(name, current, versions);
    resource.partitions = members(fields, "partitions");
    add_numbers(&mut resource, &place, fields.get("schemaRegistry"))?;
    add_plugin_keys(&mut resource, &place, fields.get("pluginSchemaRegistry"))?;
    let next_number = fields
        .get("schemaRegistry")
        .and_then(|registry| registry.get("nextIndex"));
    if let Some(next) = next_number.and_then(Value::as_u64) {
        resource.number_others(next);
    }
    resource.finish();
    Ok(resource)
}

fn parse_version(place: &str, name: &str, value: &Value) -> Result<Version, CatalogueError> {
    let fields = object(value, place, "it isn't an object")?;
    let attributes = match fields.get("attributes") {
        None | Some(Value::Null) => Map::new(),
        Some(attributes) => object(attributes, place, "attributes isn't an object")?.clone(),
    };
    let behavior = fields
        .get("behavior")
        .and_then(Value::as_str)
        .unwrap_or("user-managed");
    let timestamps = fields
        .get("timestamps")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let mut version = Version::new(
        name,
        behavior,
        timestamps,
        attributes,
        members(fields, "partitions"),
    );
    if let Some(created_at) = fields.get("createdAt").and_then(Value::as_str) {
        created_at.clone_into(&mut version.created_at);
    }
    Ok(version)
}

/// The numbers of attributes. `burned` has those of removed attributes, most of which are in `mapping` as well.
fn add_numbers(
    resource: &mut Resource,
    place: &str,
    registry: Option<&Value>,
) -> Result<(), CatalogueError> {
    let Some(registry) = registry.filter(|registry| !registry.is_null()) else {
        return Ok(());
    };
    let registry = object(registry, place, "schemaRegistry isn't an object")?;
    if let Some(mapping) = registry.get("mapping") {
        for (attribute, number) in object(mapping, place, "schemaRegistry.mapping isn't an object")?
        {
            let number = number.as_u64().ok_or_else(|| {
                CatalogueError::new(place, format!("attribute {attribute:?} has no number"))
            })?;
            resource.registry.add_number(attribute, number);
        }
    }
    for burned in registry
        .get("burned")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let number = burned.get("index").and_then(Value::as_u64);
        if let (Some(number), Some(attribute)) =
            (number, burned.get("attribute").and_then(Value::as_str))
        {
            let at = burned.get("burnedAt").and_then(Value::as_str);
            resource.registry.add_burned(attribute, number, at);
        }
    }
    Ok(())
}

fn add_plugin_keys(
    resource: &mut Resource,
    place: &str,
    registry: Option<&Value>,
) -> Result<(), CatalogueError> {
    let Some(registry) = registry.filter(|registry| !registry.is_null()) else {
        return Ok(());
    };
    for (plugin, entry) in object(registry, place, "pluginSchemaRegistry isn't an object")? {
        let place = format!("{place}, plugin {plugin:?}");
        let entry = object(entry, &place, "it isn't an object")?;
        if let Some(mapping) = entry.get("mapping") {
            for (attribute, key) in object(mapping, &place, "mapping isn't an object")? {
                let key = key.as_str().ok_or_else(|| {
                    CatalogueError::new(&place, format!("attribute {attribute:?} has no key"))
                })?;
                resource.registry.add_plugin_key(attribute, key);
            }
        }
        for burned in entry
            .get("burned")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let key = burned.get("key").and_then(Value::as_str);
            if let (Some(key), Some(attribute)) =
                (key, burned.get("attribute").and_then(Value::as_str))
            {
                resource.registry.add_plugin_key(attribute, key);
            }
        }
    }
    Ok(())
}

fn members(fields: &Map<String, Value>, name: &str) -> Map<String, Value> {
    fields
        .get(name)
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn object<'a>(
    value: &'a Value,
    place: &str,
    fault: &str,
) -> Result<&'a Map<String, Value>, CatalogueError> {
    value
        .as_object()
        .ok_or_else(|| CatalogueError::new(place, fault))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({
            "version": "1", "s3dbVersion": "21.6.2", "novel": true,
            "resources": {
                "zoo": { "currentVersion": "v1", "versions": { "v1": { "attributes": {} } } },
                "art": {
                    "currentVersion": "v2",
                    "partitions": { "byName": { "fields": { "name": "string" } } },
                    "versions": {
                        "v1": { "attributes": { "name": "string", "old": "number" }, "behavior": "body-only" },
                        "v2": { "attributes": { "name": "string" }, "timestamps": true },
                    },
                    "schemaRegistry": {
                        "nextIndex": 37, "mapping": { "name": 0, "old": 36 },
                        "burned": [{ "index": 36, "attribute": "old" }, { "index": 35, "attribute": "gone" }, {}, 7],
                    },
                    "pluginSchemaRegistry": { "ttl": { "mapping": { "_expires": "p0a" }, "burned": [{ "key": "p0b", "attribute": "x" }] } },
                },
            },
        })
    }

    #[test]
    fn a_catalogue_is_read_in_order() {
        let catalogue = Catalogue::parse(sample().to_string().as_bytes()).unwrap();
        assert_eq!(catalogue.s3db_version.as_deref(), Some("21.6.2"));
        let names: Vec<_> = catalogue
            .resources
            .iter()
            .map(|resource| resource.name.as_str())
            .collect();
        assert_eq!(names, ["zoo", "art"]);
        let art = catalogue.resource("art").unwrap();
        assert_eq!(art.current_version, "v2");
        assert_eq!(art.partitions["byName"]["fields"]["name"], "string");
        assert!(art.version("v2").unwrap().timestamps);
        for (key, path) in [
            ("0", "name"),
            ("10", "old"),
            ("z", "gone"),
            ("p0a", "_expires"),
            ("p0b", "x"),
        ] {
            assert_eq!(art.path_of(key), Some(path));
            assert_eq!(art.key_of(path), Some(key));
        }
        assert_eq!(art.path_of("1"), None);
        assert!(catalogue.resource("none").is_none());
        assert!(Catalogue::parse(b"{}").unwrap().resources.is_empty());
    }

    #[test]
    fn faults_name_the_resource_and_the_version() {
        for (pointer, value, parts) in [
            ("/resources", json!([]), vec!["resources"]),
            ("/resources/art", json!(7), vec!["\"art\""]),
            (
                "/resources/art/currentVersion",
                json!(null),
                vec!["\"art\"", "currentVersion"],
            ),
            (
                "/resources/art/currentVersion",
                json!("v9"),
                vec!["\"art\"", "\"v9\""],
            ),
            (
                "/resources/art/versions",
                json!("x"),
                vec!["\"art\"", "versions"],
            ),
            (
                "/resources/art/versions/v1",
                json!("x"),
                vec!["\"art\"", "\"v1\""],
            ),
            (
                "/resources/art/versions/v1/attributes",
                json!([1]),
                vec!["\"art\"", "\"v1\"", "attributes"],
            ),
            (
                "/resources/art/schemaRegistry/mapping/name",
                json!("0"),
                vec!["\"art\"", "\"name\""],
            ),
            (
                "/resources/art/pluginSchemaRegistry/ttl",
                json!(1),
                vec!["\"art\"", "\"ttl\""],
            ),
        ] {
            let mut catalogue = sample();
            *catalogue.pointer_mut(pointer).unwrap() = value;
            let error = Catalogue::parse(catalogue.to_string().as_bytes())
                .unwrap_err()
                .to_string();
            assert!(
                parts.iter().all(|part| error.contains(part)),
                "{pointer}: {error}"
            );
        }
        assert!(Catalogue::parse(b"").is_err());
        assert!(Catalogue::parse(b"[]").is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Catalogue::parse(&bytes);
        }

        #[test]
        fn a_damaged_catalogue_never_panics(at in 0_usize..1200, byte: u8) {
            let mut bytes = sample().to_string().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = Catalogue::parse(&bytes);
        }
    }
}
