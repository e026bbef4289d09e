//! Destinations as they are named by people: a folder, or a bucket and prefix at an S3 server, with what it takes to
//! get in.
//!
//! Invariants:
//! - a secret is a [`Secret`], which prints as `***`; no error of this module quotes the text that it was made from,
//!   since that text may hold secrets at unexpected places;
//! - the name of a destination is given, or follows from its place; it never depends on the position in a list, so that
//!   adding a destination renames no other, save to tell apart two that would be called the same;
//! - what is equal by [`Place::is_same_location`] is written to once, and no destination is written inside another:
//!   [`unique_names`] refuses the second.
//!
//! Whether the place exists or lets anyone in is found out by the sinks, not here.

mod beside_source;
mod names;
mod parse;
mod resources;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU64;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use teeline_core::{BackupError, LagPolicy, Sink, StrategyKind};
use teeline_sinks::object_store::ObjectStore;
use teeline_sinks::object_store::multipart::MultipartStore;
use teeline_sinks::{Modes, ObjectStoreSink, Storing};

use crate::request::RetentionPolicy;

pub use self::names::unique_names;
pub(crate) use self::names::{NAME_FORM, check_apart, is_name};
pub(crate) use self::parse::{
    bucket_name, check_text, endpoint, file_url, folder, key_prefix, no_variables, scheme,
};
pub use self::resources::ResourceGlobs;

/// A named place that holds backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationSpec {
    /// What it is called in configuration, reports and messages: `[a-z][a-z0-9_-]*`.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// Whether its failure fails a run. `None`: as the strategy has it, which is required under `all` and not otherwise.
    pub required: Option<bool>,
    /// What becomes of it where it falls behind. `None`: as the run has it.
    pub lag: Option<LagPolicy>,
    /// What becomes of the backups there in time. `None`: as the request says.
    pub retention: Option<RetentionPolicy>,
    /// What files and folders are made with, where it is a folder.
    pub modes: Modes,
    /// Bytes a second that may be written there, and as many that may be read. `None`: as many as go.
    pub bytes_per_second_max: Option<NonZeroU64>,
    /// The resources that it takes; it has no part in backups of others. `None`: any.
    pub resources: Option<ResourceGlobs>,
    /// Whether its folder has to be there before: that it isn't is an error then, and otherwise a destination where nothing is yet.
    pub must_be_there: bool,
    /// Whether nobody chose the name, so that it may be made longer to tell it from another.
    derived: bool,
}

/// Where a destination is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "there are a handful of them, and hosts take them apart"
)]
pub enum Place {
    /// A folder; a relative one is relative to the working directory.
    Folder(PathBuf),
    /// A bucket, or a prefix in one.
    S3(S3Place),
    /// A store that the host brings: one in memory, or one of its own making.
    Sink(CustomSink),
}

/// A store of the host's own. Two are equal where they are the same one.
#[derive(Debug, Clone)]
pub struct CustomSink(Arc<dyn Sink>);

impl CustomSink {
    /// A place for `sink`.
    pub fn new(sink: impl Sink) -> Self {
        Self::of(Arc::new(sink))
    }

    /// As [`CustomSink::new`], for one that is shared already.
    pub fn of(sink: Arc<dyn Sink>) -> Self {
        CustomSink(sink)
    }

    /// The store.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.0)
    }
}

impl PartialEq for CustomSink {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CustomSink {}

/// A bucket, or a prefix in one, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct S3Place {
    /// The bucket; empty for that of the database that is backed up, which [`DestinationSpec::beside`] puts in.
    pub bucket: String,
    /// What all keys begin with, without a slash at either end; empty for the whole bucket.
    pub prefix: String,
    /// The region. `None`: as the environment or the profile has it.
    pub region: Option<String>,
    /// The server, such as `http://127.0.0.1:9000`, without a slash at the end. `None`: the region's own.
    pub endpoint: Option<String>,
    /// The access key id; there is one where there is a secret access key.
    pub access_key_id: Option<String>,
    /// The secret access key. `None`: from the environment, the profile or the machine's role.
    pub secret_access_key: Option<Secret>,
    /// The token of temporary credentials.
    pub session_token: Option<Secret>,
    /// A profile of the shared AWS configuration; not beside an access key.
    pub profile: Option<String>,
    /// Whether the bucket is named in the path instead of the host name. `None`: where there is an endpoint.
    pub path_style: Option<bool>,
    /// How the server is to keep what it is sent.
    pub storing: Storing,
    /// Whether what isn't said of its server is as the database has it that is backed up, and its keys too where the server is
    /// the same. Always so without a bucket.
    pub follows_source: bool,
}

/// Text that must not be shown: it prints as `***`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl DestinationSpec {
    /// A destination with a chosen name.
    ///
    /// # Errors
    /// Where the name isn't of the form `[a-z][a-z0-9_-]*`, or longer than 63 characters.
    pub fn new(name: &str, place: Place) -> Result<Self, BackupError> {
        if !is_name(name) {
            let subject = format!("destination {name:?}");
            return Err(BackupError::usage(
                subject,
                format!("not a name; accepted: {NAME_FORM}"),
            ));
        }
        Ok(Self::named(name, place))
    }

    /// A destination with the name that follows from its place.
    pub fn derived(place: Place) -> Self {
        DestinationSpec {
            name: place.derived_name(),
            place,
            required: None,
            lag: None,
            retention: None,
            modes: Modes::default(),
            bytes_per_second_max: None,
            resources: None,
            must_be_there: false,
            derived: true,
        }
    }

    /// A destination with a chosen name at a store that is ready, below `prefix`: a client of S3 that was set up elsewhere, of
    /// another service, or one in memory. It is used as it is, with its own keys, limits and storage class.
    ///
    /// ```
    /// use teeline::object_store::memory::InMemory;
    /// use teeline::{BackupRequest, DestinationSpec, Engine, JsonlSource};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let events = folder.path().join("events.jsonl");
    /// std::fs::write(&events, "{\"n\":1}\n{\"n\":2}\n")?;
    /// let ready = DestinationSpec::object_store("ready", InMemory::new(), "backups")?;
    /// let engine = Engine::new()?;
    /// let report = engine.backup_blocking(BackupRequest::new(JsonlSource::path(events), vec![ready.clone()]));
    /// assert_eq!((report.exit_code(), report.record_count), (0, 2), "{report:?}");
    /// assert_eq!(engine.list_blocking(&[ready]).backups.len(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Where the name isn't one, as in [`DestinationSpec::new`], or the prefix can't be one.
    pub fn object_store(
        name: &str,
        store: impl ObjectStore + MultipartStore,
        prefix: &str,
    ) -> Result<Self, BackupError> {
        let sink = ObjectStoreSink::ready(store, prefix)?;
        Self::new(name, Place::Sink(CustomSink::new(sink)))
    }

    /// Reads a destination as it is written on a command line: a path, `file://…`, `s3://[KEY:SECRET@]bucket/prefix?…`
    /// or `http(s)://[KEY:SECRET@]host:port/bucket/prefix?…`, each with `name=` before it if it is to have a name of
    /// its own.
    ///
    /// # Errors
    /// Where it is none of these. The message never quotes the text, which may hold secrets.
    pub fn parse(text: &str) -> Result<Self, BackupError> {
        match text.split_once('=') {
            Some((name, place)) if is_name(name) => {
                let place = Place::parse_as(&format!("destination \"{name}\""), place)?;
                Ok(Self::named(name, place))
            }
            _ => Place::parse(text).map(Self::derived),
        }
    }

    /// Whether its failure fails a run under `strategy`: as was said, or, under `all` only, in any case.
    pub fn is_required(&self, strategy: StrategyKind) -> bool {
        self.required.unwrap_or(strategy == StrategyKind::All)
    }

    /// Whether it takes whatever these globs match, none of which are everything.
    pub(crate) fn takes_all_of(&self, patterns: &[String]) -> bool {
        let mut taken = self.resources.iter();
        taken.all(|taken| taken.take_all_of(patterns))
    }

    /// Whether credentials were written into the destination itself. On a command line they can be read by everybody
    /// on the machine.
    pub fn has_inline_secret(&self) -> bool {
        self.place.has_inline_secret()
    }

    /// For a name that was checked.
    pub(crate) fn named(name: &str, place: Place) -> Self {
        DestinationSpec {
            name: name.to_owned(),
            place,
            required: None,
            lag: None,
            retention: None,
            modes: Modes::default(),
            bytes_per_second_max: None,
            resources: None,
            must_be_there: false,
            derived: false,
        }
    }
}

impl fmt::Display for DestinationSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.place.location())
    }
}

impl Place {
    /// Reads a place: what [`DestinationSpec::parse`] takes, without a name.
    ///
    /// # Errors
    /// As [`DestinationSpec::parse`].
    pub fn parse(text: &str) -> Result<Self, BackupError> {
        Self::parse_as("destination", text)
    }

    fn parse_as(subject: &str, text: &str) -> Result<Self, BackupError> {
        parse::place(text).map_err(|message| {
            BackupError::usage(subject, message).suggest(format!("accepted: {}", parse::FORMS))
        })
    }

    /// Where it is, to be shown: without credentials and options.
    pub fn location(&self) -> String {
        match self {
            Place::Folder(path) => path.display().to_string(),
            Place::S3(place) => place.location(),
            Place::Sink(custom) => custom.0.to_string(),
        }
    }

    /// Whether what is written to one is found at the other: the same bucket, prefix and server, or the same folder
    /// after following symbolic links.
    pub fn is_same_location(&self, other: &Place) -> bool {
        self.identity() == other.identity()
    }

    /// Whether it is below the other: in a folder of it, or under a longer prefix of the same bucket.
    pub(crate) fn is_inside(&self, other: &Place) -> bool {
        let outer = other.identity();
        let below = format!("{}/", outer.trim_end_matches('/'));
        self.identity().starts_with(&below) && !self.is_same_location(other)
    }

    /// Whether credentials were written into it, instead of being left to the environment or a profile.
    pub fn has_inline_secret(&self) -> bool {
        match self {
            Place::Folder(_) | Place::Sink(_) => false,
            Place::S3(place) => place.secret_access_key.is_some() || place.session_token.is_some(),
        }
    }

    /// Equal for the same location, however it was written; what is inside a place begins with its identity and a slash.
    fn identity(&self) -> String {
        match self {
            Place::Folder(path) => format!("folder {}", resolved(path).display()),
            Place::S3(place) => place.location(),
            Place::Sink(custom) => format!("store {:p}", Arc::as_ptr(&custom.0)),
        }
    }

    fn derived_name(&self) -> String {
        match self {
            Place::Folder(path) => {
                let last = path.file_name().unwrap_or_default();
                names::name_from(&last.to_string_lossy(), "folder")
            }
            Place::S3(place) if place.bucket.is_empty() => {
                names::name_from(&place.prefix, "backups")
            }
            Place::S3(place) => names::name_from(&place.bucket, "s3"),
            Place::Sink(custom) => names::name_from(&custom.0.to_string(), "store"),
        }
    }
}

impl S3Place {
    /// Where it is, to be shown: `s3://bucket/prefix`, or `http://host:port/bucket/prefix` where there is an endpoint.
    pub fn location(&self) -> String {
        let server = match &self.endpoint {
            Some(endpoint) => format!("{endpoint}/"),
            None => "s3://".to_owned(),
        };
        let prefix = self.shown_prefix();
        let slash = if prefix.is_empty() { "" } else { "/" };
        let bucket = match self.bucket.as_str() {
            "" => parse::OWN_BUCKET,
            bucket => bucket,
        };
        format!("{server}{bucket}{slash}{prefix}")
    }

    /// Whether the credentials go together. The message names settings, not values.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let keys = (
            self.access_key_id.is_some(),
            self.secret_access_key.is_some(),
        );
        match keys {
            (true, false) => Err("has an access key id without a secret access key"),
            (false, true) => Err("has a secret access key without an access key id"),
            (false, false) if self.session_token.is_some() => {
                Err("has a session token without an access key id and a secret access key")
            }
            (true, true) if self.profile.is_some() => {
                Err("has both an access key and a profile; one of them is accepted")
            }
            _ => Ok(()),
        }
    }
}

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The folder behind a path. It needs not exist yet: the part that does is resolved by the file system, the rest by
/// reading it.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = absolute
        .ancestors()
        .find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    let Some((ancestor, mut resolved)) = existing else {
        return absolute;
    };
    let rest = absolute.strip_prefix(ancestor).unwrap_or(Path::new(""));
    for component in rest.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    resolved
}
