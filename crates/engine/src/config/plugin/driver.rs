//! Drivers: each is a destination, and `multi` has several.

use std::path::PathBuf;
use std::str::FromStr;

use teeline_core::{BackupError, PathTemplate};

use super::super::blame::Blame;
use super::super::destinations::resources;
use super::super::node::{KeyPath, Node};
use super::super::reader::{Known, Table};
use super::super::storing::{ModeKeys, StoringKeys, modes, storing};
use super::template::split;
use super::{Said, Shared};
use crate::destination::{
    DestinationSpec, Place, S3Place, Secret, bucket_name, endpoint, folder, key_prefix,
    unique_names,
};

/// Where backups go that nobody says anything of.
const FOLDER_DEFAULT: &str = "./backups";

const FILESYSTEM: Known = Known {
    keys: &[
        "path",
        "prefix",
        "permissions",
        "directoryPermissions",
        "strategy",
        "concurrency",
        "compression",
        "retention",
        "resources",
    ],
    hints: &[],
};

const S3: Known = Known {
    keys: &[
        "bucket",
        "path",
        "prefix",
        "region",
        "endpoint",
        "accessKeyId",
        "secretAccessKey",
        "sessionToken",
        "profile",
        "forcePathStyle",
        "storageClass",
        "serverSideEncryption",
        "kmsKeyId",
        "tags",
        "strategy",
        "concurrency",
        "compression",
        "retention",
        "resources",
    ],
    hints: &[(
        "client",
        "clients are given through the API; in a file, `endpoint`, `region` and credentials say how to reach the server",
    )],
};

const MULTI: Known = Known {
    keys: &[
        "drivers",
        "destinations",
        "strategy",
        "concurrency",
        "compression",
        "retention",
    ],
    hints: &[("path", "each of `drivers` has a `config` with a path")],
};

const ONE_OF_SEVERAL: Known = Known {
    keys: &["driver", "config"],
    hints: &[("path", IN_A_LIST), ("url", IN_A_LIST), ("name", IN_A_LIST)],
};

const IN_A_LIST: &str =
    "a driver has it in `config`; a destination of ours is a table, [destinations.NAME]";

const MODES: ModeKeys = ModeKeys {
    file: "permissions",
    folder: "directoryPermissions",
};

const STORING: StoringKeys = StoringKeys {
    class: "storageClass",
    encryption: "serverSideEncryption",
    key_id: "kmsKeyId",
    tags: "tags",
};

/// What a driver's `config` says only if it is S3's.
const ONLY_OF_S3: [&str; 7] = [
    "bucket",
    "region",
    "endpoint",
    "storageClass",
    "serverSideEncryption",
    "kmsKeyId",
    "tags",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    Filesystem,
    S3,
    Multi,
}

impl Driver {
    pub(super) const NAMES: [&'static str; 3] = ["filesystem", "s3", "multi"];

    /// What an object without a driver is: by what it, or its `config`, has.
    pub(super) fn inferred(object: &Node) -> Self {
        let config = member(object, "config");
        let has = |name: &str| {
            [Some(object), config]
                .iter()
                .flatten()
                .any(|node| member(node, name).is_some())
        };
        let of_s3 = |name: &&str| config.is_some_and(|config| member(config, name).is_some());
        if has("drivers") || has("destinations") {
            Driver::Multi
        } else if ONLY_OF_S3.iter().any(of_s3) {
            Driver::S3
        } else {
            Driver::Filesystem
        }
    }
}

impl FromStr for Driver {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "filesystem" => Ok(Driver::Filesystem),
            "s3" => Ok(Driver::S3),
            "multi" => Ok(Driver::Multi),
            _ => Err(()),
        }
    }
}

fn member<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Node::Table(entries) = node else {
        return None;
    };
    let (_, node) = entries.iter().find(|(entry, _)| entry == name)?;
    Some(node)
}

/// Where backups go.
pub(super) struct Drivers {
    pub(super) destinations: Vec<DestinationSpec>,
    /// Where in each of them.
    pub(super) template: Option<PathTemplate>,
    pub(super) shared: Shared,
}

/// A driver's destination.
struct Driven {
    destination: DestinationSpec,
    /// Where in it, and the key that says so.
    template: Said<PathTemplate>,
}

/// Reads the driver of `table`, which may be several; `said` is what it says of all of them besides.
pub(super) fn drivers(
    table: &mut Table<'_>,
    driver: Driver,
    said: Shared,
) -> Result<Drivers, BackupError> {
    let at_the_top = listed(table)?;
    if driver != Driver::Multi {
        if let Some((list, _)) = at_the_top {
            let message = "goes with driver: 'multi'";
            return Err(BackupError::usage(list, message));
        }
        let mut config = config_of(table, driver)?;
        let shared = said.and(Shared::of(&mut config)?)?;
        return together(vec![driven(config, driver)?], shared, table);
    }
    let mut config = config_of(table, Driver::Multi)?;
    let shared = said.and(Shared::of(&mut config)?)?;
    let several = match (at_the_top, listed(&mut config)?) {
        (Some((_, list)), None) | (None, Some((_, list))) => list,
        (None, None) => {
            return Err(config.error("lacks `drivers`, each with a `driver` and its `config`"));
        }
        (Some((here, _)), Some((there, _))) => {
            let message = format!("is beside {here}; one of them is accepted");
            return Err(BackupError::usage(there, message));
        }
    };
    let driven = several
        .into_iter()
        .map(|(key, node)| one_of_several(table.blame(), key, node))
        .collect::<Result<Vec<_>, _>>()?;
    together(driven, shared, table)
}

/// The list of drivers of a table, which the plugin itself calls `destinations`, and the key that it stands under.
type Listed = (String, Vec<(KeyPath, Node)>);

fn listed(table: &mut Table<'_>) -> Result<Option<Listed>, BackupError> {
    let names = ["drivers", "destinations"].map(|name| (name, table.said_by(name)));
    let mut found = None;
    for (name, said_by) in names {
        let Some(list) = table.list(name)? else {
            continue;
        };
        if list.is_empty() {
            return Err(table.error_at(name, "is empty; at least one driver is needed"));
        }
        if found.replace((said_by, list)).is_some() {
            return Err(table.error_at(
                name,
                "is another name of `drivers`; one of them is accepted",
            ));
        }
    }
    Ok(found)
}

fn config_of<'a>(table: &mut Table<'a>, driver: Driver) -> Result<Table<'a>, BackupError> {
    let known = match driver {
        Driver::Filesystem => &FILESYSTEM,
        Driver::S3 => &S3,
        Driver::Multi => &MULTI,
    };
    table.table_or_empty("config", known)
}

fn one_of_several(blame: &Blame, key: KeyPath, node: Node) -> Result<Driven, BackupError> {
    let inferred = Driver::inferred(&node);
    let mut table = Table::open(blame, key, node, &ONE_OF_SEVERAL)?;
    let kinds = ["filesystem", "s3"];
    let driver = table.word("driver", &kinds, |word| {
        word.parse().ok().filter(|driver| *driver != Driver::Multi)
    })?;
    let driver = driver.unwrap_or(inferred);
    let mut config = config_of(&mut table, driver)?;
    let own = Shared::of(&mut config)?;
    for (said_by, what) in [
        (own.strategy.map(|(_, key)| key), "strategy"),
        (own.concurrency.map(|(_, key)| key), "concurrency"),
        (own.compression.map(|(_, key)| key), "compression"),
    ] {
        if let Some(said_by) = said_by {
            let message = format!(
                "isn't one driver's own: all copies of a backup are equal; `{what}` stands beside `drivers`"
            );
            return Err(BackupError::usage(said_by, message));
        }
    }
    let mut driven = driven(config, driver)?;
    driven.destination.retention = own.retention.map(|(policy, _)| policy);
    Ok(driven)
}

fn driven(mut config: Table<'_>, driver: Driver) -> Result<Driven, BackupError> {
    let resources = resources(&mut config)?;
    let mut driven = match driver {
        Driver::S3 => s3(config),
        _ => filesystem(config),
    }?;
    driven.destination.resources = resources;
    Ok(driven)
}

fn filesystem(mut config: Table<'_>) -> Result<Driven, BackupError> {
    if let Some(name) = ["path", "prefix"]
        .into_iter()
        .find(|name| config.is_null_or_empty(name))
    {
        return Err(config
            .error_at(name, "is empty")
            .suggest("Provide a valid config.path for the filesystem driver."));
    }
    let below = path_or_prefix(&mut config, |fixed| match fixed {
        "" => folder("."),
        fixed => folder(fixed),
    })?;
    let (path, template) = match below {
        Some(((path, template), said_by)) => (path, Some((template, said_by))),
        None => (PathBuf::from(FOLDER_DEFAULT), None),
    };
    let mut driven = Driven::at(Place::Folder(path), template);
    driven.destination.modes = modes(&mut config, MODES)?;
    Ok(driven)
}

fn s3(mut config: Table<'_>) -> Result<Driven, BackupError> {
    let secret = |text: &str| Ok(Secret::new(text));
    let bucket = config.text_as("bucket", bucket_name)?;
    let below = path_or_prefix(&mut config, key_prefix)?;
    let place = S3Place {
        bucket: bucket.unwrap_or_default(),
        prefix: below
            .as_ref()
            .map_or(String::new(), |((prefix, _), _)| prefix.clone()),
        region: config.text("region")?,
        endpoint: config.text_as("endpoint", endpoint)?,
        access_key_id: config.text("accessKeyId")?,
        secret_access_key: config.text_as("secretAccessKey", secret)?,
        session_token: config.text_as("sessionToken", secret)?,
        profile: config.text("profile")?,
        path_style: config.boolean("forcePathStyle")?,
        storing: storing(&mut config, STORING)?,
        follows_source: true,
    };
    place.check().map_err(|message| config.error(message))?;
    let template = below.map(|((_, template), said_by)| (template, said_by));
    Ok(Driven::at(Place::S3(place), template))
}

/// `path` or `prefix`, which are the same: where a destination's root is, and a template of what is below that.
fn path_or_prefix<T: PartialEq>(
    config: &mut Table<'_>,
    root: impl Fn(&str) -> Result<T, String>,
) -> Result<Said<(T, PathTemplate)>, BackupError> {
    let read = |text: &str| {
        let (fixed, template) = split(text)?;
        Ok((root(&fixed)?, template))
    };
    let [path, prefix] = ["path", "prefix"].map(|name| config.said_by(name));
    let of_path = config.text_as("path", read)?.map(|below| (below, path));
    let of_prefix = config.text_as("prefix", read)?.map(|below| (below, prefix));
    super::agreed(of_path, of_prefix)
}

impl Driven {
    fn at(place: Place, template: Said<PathTemplate>) -> Self {
        Driven {
            destination: DestinationSpec::derived(place),
            template: template.filter(|(template, _)| *template != PathTemplate::default()),
        }
    }
}

/// A backup lies in the same place below each root, so one that has no template takes that of the others.
fn together(
    driven: Vec<Driven>,
    shared: Shared,
    table: &Table<'_>,
) -> Result<Drivers, BackupError> {
    let mut destinations = Vec::new();
    let mut template = None;
    for one in driven {
        destinations.push(one.destination);
        template = super::agreed(template, one.template)?;
    }
    unique_names(&mut destinations).map_err(|error| {
        let why = error.message();
        table.error(&format!("has destinations that don't go together: {why}"))
    })?;
    Ok(Drivers {
        destinations,
        template: template.map(|(template, _)| template),
        shared,
    })
}
