//! `[destinations.<name>]`: a folder, or a URL with settings beside it.

use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use teeline_core::BackupError;

use super::blame::Blame;
use super::node::{KeyPath, Node};
use super::reader::{Known, Table};
use super::retention::{RETENTION, retention};
use super::sections::{check_glob, lag_policy};
use super::storing::{ModeKeys, OBJECT_LOCK, StoringKeys, modes, object_lock, storing};
use crate::destination::{
    DestinationSpec, NAME_FORM, Place, ResourceGlobs, S3Place, Secret, endpoint, folder, is_name,
    no_variables, unique_names,
};

const DESTINATION: Known = Known {
    keys: &[
        "path",
        "url",
        "required",
        "lag",
        "retention",
        "region",
        "endpoint",
        "access_key_id",
        "secret_access_key",
        "session_token",
        "profile",
        "path_style",
        "permissions",
        "directory_permissions",
        "storage_class",
        "server_side_encryption",
        "kms_key_id",
        "tags",
        "object_lock",
        "bytes_per_second_max",
        "resources",
    ],
    hints: &[
        ("rate_limit", "write `bytes_per_second_max = \"10MB\"`"),
        ("mode", "write `permissions = \"644\"`"),
        ("sse", "write `server_side_encryption = \"AES256\"`"),
        ("bucket", "the bucket is part of `url`: s3://bucket/prefix"),
        ("prefix", "the prefix is part of `url`: s3://bucket/prefix"),
        ("type", "a folder has `path`, everything else has `url`"),
        ("driver", "a folder has `path`, everything else has `url`"),
    ],
};

/// Less, and documents would wait for minutes behind data.
const RATE: RangeInclusive<u64> = 16 << 10..=1 << 40;

/// The settings that stand beside `url`.
const BESIDE_URL: [&str; 12] = [
    "region",
    "endpoint",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "profile",
    "path_style",
    STORING.class,
    STORING.encryption,
    STORING.key_id,
    STORING.tags,
    LOCK,
];

const LOCK: &str = "object_lock";

const MODES: ModeKeys = ModeKeys {
    file: "permissions",
    folder: "directory_permissions",
};

const STORING: StoringKeys = StoringKeys {
    class: "storage_class",
    encryption: "server_side_encryption",
    key_id: "kms_key_id",
    tags: "tags",
};

pub(super) fn destinations(
    entries: Vec<(KeyPath, String, Node)>,
    blame: &Blame,
) -> Result<Vec<DestinationSpec>, BackupError> {
    let mut destinations = Vec::new();
    for (key, name, node) in entries {
        if !is_name(&name) {
            let message = format!("`{key}` isn't a name for a destination; accepted: {NAME_FORM}");
            return Err(blame.error(&key, message));
        }
        let mut table = Table::open(blame, key, node, &DESTINATION)?;
        let required = table.boolean("required")?;
        let lag = lag_policy(&mut table)?;
        let retained = table.table("retention", &RETENTION)?;
        let bytes_per_second_max = table.size("bytes_per_second_max", RATE)?;
        let place = place(&mut table)?;
        let modes = modes(&mut table, MODES)?;
        let mut destination = DestinationSpec::named(&name, place);
        destination.required = required;
        destination.lag = lag;
        destination.modes = modes;
        destination.bytes_per_second_max = bytes_per_second_max.and_then(NonZeroU64::new);
        destination.resources = resources(&mut table)?;
        destination.retention = retained.map(retention).transpose()?;
        destinations.push(destination);
    }
    unique_names(&mut destinations).map_err(|error| {
        let error_here = blame.error(&KeyPath::from(["destinations"]), error.message());
        suggest_as(error_here, &error)
    })?;
    Ok(destinations)
}

/// The resources that a destination takes.
pub(super) fn resources(table: &mut Table<'_>) -> Result<Option<ResourceGlobs>, BackupError> {
    let names = table.texts("resources", check_glob)?;
    if names.as_ref().is_some_and(Vec::is_empty) {
        let message = "is empty; a destination that takes any has none";
        return Err(table.error_at("resources", message));
    }
    let globs = names.map(ResourceGlobs::new).transpose();
    globs.map_err(|error| {
        let message = format!("isn't usable: {}", error.message());
        table.error_at("resources", &message)
    })
}

fn place(table: &mut Table<'_>) -> Result<Place, BackupError> {
    match (table.has("path"), table.has("url")) {
        (true, true) => Err(table.error("has both path and url; one of them is accepted")),
        (false, false) => Err(table
            .error("has neither path nor url")
            .suggest("write path = \"folder\" or url = \"s3://bucket/prefix\"")),
        (true, false) => {
            refuse_beside_folder(table)?;
            Ok(Place::Folder(
                table.text_as("path", path)?.unwrap_or_default(),
            ))
        }
        (false, true) => {
            let text = table.needed_text("url")?;
            match url(table, &text)? {
                Place::S3(place) => {
                    refuse_beside_bucket(table)?;
                    beside_url(table, place).map(Place::S3)
                }
                place => refuse_beside_folder(table).map(|()| place),
            }
        }
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    match text.contains("://") {
        true => Err("it looks like a URL, which is `url`".to_owned()),
        false => no_variables(text).and_then(|()| folder(text)),
    }
}

fn url(table: &Table<'_>, text: &str) -> Result<Place, BackupError> {
    if !text.contains("://") {
        let error = table.error_at("url", "isn't a URL");
        return Err(error.suggest("a folder is written as `path`; a bucket as s3://bucket/prefix"));
    }
    Place::parse(text).map_err(|error| {
        let message = format!("isn't usable: {}", error.message());
        suggest_as(table.error_at("url", &message), &error)
    })
}

fn refuse_beside_folder(table: &Table<'_>) -> Result<(), BackupError> {
    match BESIDE_URL.into_iter().find(|name| table.has(name)) {
        None => Ok(()),
        Some(name) => Err(table.error_at(
            name,
            "is a setting of S3 destinations; this one is a folder",
        )),
    }
}

fn refuse_beside_bucket(table: &Table<'_>) -> Result<(), BackupError> {
    match [MODES.file, MODES.folder]
        .into_iter()
        .find(|name| table.has(name))
    {
        None => Ok(()),
        Some(name) => Err(table.error_at(name, "is a setting of folders; this one is a bucket")),
    }
}

/// Sets what stands beside the URL in the place of what the URL says.
fn beside_url(table: &mut Table<'_>, mut place: S3Place) -> Result<S3Place, BackupError> {
    let secret = |text: &str| Ok(Secret::new(text));
    place.region = table.text("region")?.or(place.region);
    place.endpoint = table.text_as("endpoint", endpoint)?.or(place.endpoint);
    place.access_key_id = table.text("access_key_id")?.or(place.access_key_id);
    place.secret_access_key = table
        .text_as("secret_access_key", secret)?
        .or(place.secret_access_key);
    place.session_token = table
        .text_as("session_token", secret)?
        .or(place.session_token);
    place.profile = table.text("profile")?.or(place.profile);
    place.path_style = table.boolean("path_style")?.or(place.path_style);
    place.storing = storing(table, STORING)?;
    let lock = table.table(LOCK, &OBJECT_LOCK)?;
    place.storing.lock = lock.map(object_lock).transpose()?;
    place.check().map_err(|message| table.error(message))?;
    Ok(place)
}

fn suggest_as(error: BackupError, other: &BackupError) -> BackupError {
    match other.suggestion() {
        Some(suggestion) => error.suggest(suggestion),
        None => error,
    }
}
