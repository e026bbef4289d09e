//! From what was typed to what the engine is asked: the one place where arguments, configuration and defaults meet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use teeline::config::{
    BackupConfig, Connection as Place, OnUndecodable, SourceConfig, SourceLocation, Verification,
};
use teeline::{
    BackupError, BackupId, BackupRequest, BackupType, Cancel, Compression, Config, Connection,
    DestinationSpec, Engine, Executor, InspectPluginRequest, JsonlSource, RepairRequest,
    RestoreMode, RestoreRequest, RestoreTarget, S3dbSource, Secret, Source, StrategyKind,
    UnknownObjects, VerifyRequest, Which, WhichBackups, sources, unique_names,
};

use crate::args::{
    BackupArguments, ExecutorArgument, InspectPluginArguments, ModeArgument, PlacesArguments,
    RepairArguments, RestoreArguments, SourceArguments, StatusArguments, UndecodableArgument,
    UnknownArgument, VerificationArgument, VerifyArguments,
};
use crate::embedded::Server;
use crate::output::{Checked, CheckedDestination, Output};
use crate::signals::Signals;

/// Where backups are unless something is said.
const DESTINATION_DEFAULT: &str = "./backups";

/// What the records of standard input are called unless something is said.
const STDIN_RESOURCE: &str = "stdin";

/// The variable that holds the address of the configuration's own server.
const SERVER_VARIABLE: &str = "EMBEDDED_S3";
/// Stands for that address until the server runs.
const SERVER_PLACEHOLDER: &str = "127.0.0.1:1";

/// A configuration with what runs on its behalf; everything at its default where none was named.
pub(crate) struct Setting {
    pub(crate) config: Config,
    path: Option<PathBuf>,
    server: Option<Server>,
}

/// What a backup takes.
pub(crate) struct Backup {
    pub(crate) engine: Engine,
    pub(crate) request: BackupRequest,
}

impl Setting {
    /// Reads a configuration, and starts the server that it may ask for.
    pub(crate) async fn open(
        path: Option<&Path>,
        output: &Output,
        signals: &Signals,
    ) -> Result<Self, BackupError> {
        let Some(path) = path else {
            return Ok(Setting {
                config: Config::default(),
                path: None,
                server: None,
            });
        };
        let config = load(path, None)?;
        let setting = |config, server| Setting {
            config,
            path: Some(path.to_owned()),
            server,
        };
        let Some(embedded) = &config.embedded_s3 else {
            return Ok(setting(config, None));
        };
        let server = Server::start(embedded, output, signals).await?;
        let config = load(path, Some(&server.address()))?;
        Ok(setting(config, Some(server)))
    }

    /// The configuration's file.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    fn environment(&self) -> impl Fn(&str) -> Option<String> + use<> {
        environment(self.server.as_ref().map(Server::address))
    }

    fn engine(
        &self,
        executor: Option<ExecutorArgument>,
        workers: Option<u64>,
    ) -> Result<Engine, BackupError> {
        let workers = workers.map(to_usize).or(self.config.engine.workers);
        let mut builder = Engine::builder().budget_bytes(self.config.engine.budget_bytes as u64);
        if let Some(workers) = workers {
            builder = builder.workers(workers);
        }
        if executor == Some(ExecutorArgument::Inline) {
            builder = builder.executor(Executor::Inline);
        }
        builder.build()
    }

    /// An engine as the configuration has it.
    pub(crate) fn plain_engine(&self) -> Result<Engine, BackupError> {
        self.engine(None, None)
    }

    /// The configured destinations, or the default one.
    fn destinations(&self) -> Result<Vec<DestinationSpec>, BackupError> {
        or_default(self.config.destinations.clone())
    }
}

/// The request of `teeline backup`.
pub(crate) fn backup(
    typed: &BackupArguments,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<Backup, BackupError> {
    let backup_type = backup_type(&typed.backup_type)?;
    let mut exposed = Exposed::default();
    let destinations = destinations(&setting.config, &typed.to, &mut exposed)?;
    let config = &setting.config.backup;
    let source = source(typed, setting, config, &mut exposed)?;
    exposed.warn(output);
    let mut request = BackupRequest::of(source, destinations);
    request.backup_type = backup_type;
    request.strategy = match &typed.strategy {
        Some(strategy) => strategy.parse::<StrategyKind>()?,
        None => config.strategy,
    };
    request.concurrency = typed.concurrency.map_or(config.concurrency, to_usize);
    request.compression = compression(typed, config.compression)?;
    request.block_bytes = typed.block_bytes.map_or(config.block_bytes, to_usize);
    request.segment_bytes = typed.segment_bytes.unwrap_or(config.segment_bytes);
    request.record_bytes_max = config.record_bytes_max;
    request.verification = verification(typed.verification, config.verification);
    request.path = config.path.clone();
    request.include = or_configured(&typed.include, &config.include);
    request.exclude = or_configured(&typed.exclude, &config.exclude);
    request.cancel = cancel.clone();
    if typed.executor == Some(ExecutorArgument::Inline) && typed.workers.is_some() {
        return Err(BackupError::usage(
            "--workers",
            "goes with --executor threads; inline has none",
        ));
    }
    Ok(Backup {
        engine: setting.engine(typed.executor, typed.workers)?,
        request,
    })
}

/// The places that every command but `backup` looks at.
pub(crate) fn places(
    typed: &PlacesArguments,
    setting: &Setting,
    output: &Output,
) -> Result<Vec<DestinationSpec>, BackupError> {
    let mut exposed = Exposed::default();
    let places = places_of(typed, setting, &mut exposed)?;
    exposed.warn(output);
    Ok(places)
}

/// The backup that `teeline status` is about.
pub(crate) fn status(typed: &StatusArguments) -> Result<BackupId, BackupError> {
    match which(&typed.id)? {
        Which::Id(id) => Ok(id),
        Which::Latest => Err(BackupError::usage("ID", "status takes the id of a backup")
            .suggest("`teeline list` shows the ids, the latest first")),
    }
}

/// The run that `teeline repair` is about, if one was named.
pub(crate) fn repair_id(typed: &RepairArguments) -> Result<Option<BackupId>, BackupError> {
    if !typed.rebuild_manifest {
        let message = "it isn't said what is to be repaired; only lost manifests can be so far";
        return Err(BackupError::usage("repair", message).suggest(
            "--rebuild-manifest makes lost manifests again from the other files of their runs",
        ));
    }
    match typed.id.as_deref().map(which).transpose()? {
        None => Ok(None),
        Some(Which::Id(id)) => Ok(Some(id)),
        Some(Which::Latest) => Err(BackupError::usage("ID", "repair takes the id of a run")
            .suggest("without a manifest a backup isn't listed, so the latest is another one; its folder is called as the run")),
    }
}

/// The request of `teeline repair`.
pub(crate) fn repair(
    typed: &RepairArguments,
    id: Option<BackupId>,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<RepairRequest, BackupError> {
    let places = places(&typed.places, setting, output)?;
    let mut request = RepairRequest::rebuild_manifests(places);
    request.id = id;
    request.cancel = cancel.clone();
    Ok(request)
}

/// The request of `teeline verify`.
pub(crate) fn verify(
    typed: &VerifyArguments,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<VerifyRequest, BackupError> {
    let mut request = VerifyRequest::new(places(&typed.places, setting, output)?);
    request.which = match typed.all {
        true => WhichBackups::All,
        false => WhichBackups::One(which(&typed.id)?),
    };
    request.cancel = cancel.clone();
    Ok(request)
}

/// The request of `teeline restore`.
pub(crate) fn restore(
    typed: &RestoreArguments,
    setting: &Setting,
    output: &mut Output,
    cancel: &Cancel,
) -> Result<RestoreRequest, BackupError> {
    let mut exposed = Exposed::default();
    let target = match typed.target.as_str() {
        "" => return Err(BackupError::usage("--target", "no target is given")),
        "-" => RestoreTarget::Writer(Box::new(output.data_to_stdout())),
        text => RestoreTarget::parse(text)?,
    };
    if let RestoreTarget::Database(connection) = &target {
        exposed.note(connection.credentials.is_some(), "--target");
    }
    let places = places_of(&typed.places, setting, &mut exposed)?;
    exposed.warn(output);
    let mut request = RestoreRequest::new(which(&typed.id)?, places, target);
    request.overwrite = typed.overwrite;
    request.mode = typed.mode.map(mode);
    request.resources = typed.resources.clone();
    request.ids = typed.ids.clone();
    request.renames = renames(&typed.rename)?;
    request.dry_run = typed.dry_run;
    request.cancel = cancel.clone();
    Ok(request)
}

fn mode(typed: ModeArgument) -> RestoreMode {
    match typed {
        ModeArgument::Merge => RestoreMode::Merge,
        ModeArgument::SkipExisting => RestoreMode::SkipExisting,
        ModeArgument::Replace => RestoreMode::Replace,
    }
}

fn renames(typed: &[String]) -> Result<Vec<(String, String)>, BackupError> {
    let pair = |text: &String| {
        let (old, new) = text.split_once('=')?;
        Some((old.to_owned(), new.to_owned()))
    };
    let refuse = || BackupError::usage("--rename", "one looks like --rename users=people");
    typed
        .iter()
        .map(|text| pair(text).ok_or_else(refuse))
        .collect()
}

/// The request of `teeline inspect-plugin`.
pub(crate) fn inspect_plugin(
    typed: &InspectPluginArguments,
    cancel: &Cancel,
) -> Result<InspectPluginRequest, BackupError> {
    if typed.path.as_os_str().is_empty() {
        return Err(BackupError::usage("PATH", "no path is given")
            .suggest("accepted: a folder, an ID.backup or an ID.manifest.json"));
    }
    let mut request = InspectPluginRequest::new(&typed.path);
    request.cancel = cancel.clone();
    Ok(request)
}

/// What a configuration comes to. Its server isn't started, so it has no address yet.
pub(crate) fn check(path: &Path) -> Result<Checked, BackupError> {
    let config = load(path, None)?;
    let placeholder = config
        .embedded_s3
        .as_ref()
        .map(|_| SERVER_PLACEHOLDER.to_owned());
    let source = match &config.source {
        None => None,
        Some(SourceConfig {
            location: SourceLocation::S3db(place),
            ..
        }) => {
            let text = place.resolve(&environment(placeholder))?;
            Some(connection(&text)?.to_string())
        }
        Some(SourceConfig {
            location: SourceLocation::Jsonl { path, .. },
            ..
        }) => Some(path.display().to_string()),
        Some(_) => None,
    };
    let as_written = |place: String| match config.embedded_s3 {
        Some(_) => place.replace(SERVER_PLACEHOLDER, "${EMBEDDED_S3}"),
        None => place,
    };
    let by_strategy = config.backup.strategy == StrategyKind::All;
    let destination = |spec: &DestinationSpec| CheckedDestination {
        name: spec.name.clone(),
        location: as_written(spec.place.location()),
        required: spec.required.unwrap_or(by_strategy),
    };
    Ok(Checked {
        status: "ok",
        file: path.display().to_string(),
        source: source.map(as_written),
        strategy: config.backup.strategy.to_string(),
        compression: config.backup.compression.to_string(),
        destinations: config.destinations.iter().map(destination).collect(),
    })
}

/// Reads a configuration. Without a server's address, one is made up where the configuration has a server.
fn load(path: &Path, server: Option<&str>) -> Result<Config, BackupError> {
    // Whether the variable is the configuration's own is only known once it was read.
    let own = server.unwrap_or(SERVER_PLACEHOLDER).to_owned();
    let variables = || {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
    };
    let config = Config::load(path, &environment(Some(own)), variables())?;
    match config.embedded_s3 {
        Some(_) => Ok(config),
        None => Config::load(path, &environment(None), variables()),
    }
}

/// The variables that configurations may name.
fn environment(server: Option<String>) -> impl Fn(&str) -> Option<String> {
    move |name| match (name, &server) {
        (SERVER_VARIABLE, Some(address)) => Some(address.clone()),
        _ => std::env::var(name).ok(),
    }
}

fn backup_type(text: &str) -> Result<BackupType, BackupError> {
    let missing = |help: &str| {
        Err(BackupError::usage("TYPE", format!("{text} backups don't exist yet")).suggest(help))
    };
    match text {
        "incremental" => missing("use full: every backup is whole, and restores alone"),
        "selective" => missing("use full with --include GLOB for the resources that are wanted"),
        // What was typed may be a misplaced connection string, so it isn't quoted.
        text => text.parse().map_err(|_| {
            BackupError::usage(
                "TYPE",
                "not a backup type; 1 to 40 of a-z, 0-9 and '-' are accepted",
            )
            .suggest(
                "use full; a database is given with --connection-env NAME, files with --from PATH",
            )
        }),
    }
}

fn which(text: &str) -> Result<Which, BackupError> {
    // As above.
    text.parse().map_err(|_| {
        BackupError::usage(
            "ID",
            "not the id of a backup; one looks like full-2026-11-23T02-00-00-k3j9x0q2mz",
        )
        .suggest("`teeline list` shows the ids; latest is accepted by verify and restore")
    })
}

fn compression(
    typed: &BackupArguments,
    configured: Compression,
) -> Result<Compression, BackupError> {
    let compression = match &typed.compression {
        Some(name) => name.parse()?,
        None => configured,
    };
    match typed.level {
        Some(level) => compression.with_level(level),
        None => Ok(compression),
    }
}

fn verification(
    typed: Option<VerificationArgument>,
    configured: Verification,
) -> teeline::Verification {
    match (typed, configured) {
        (Some(VerificationArgument::Read), _) | (None, Verification::Read) => {
            teeline::Verification::Read
        }
        (Some(VerificationArgument::Attested), _) | (None, Verification::Attested) => {
            teeline::Verification::Attested
        }
    }
}

fn source(
    typed: &BackupArguments,
    setting: &Setting,
    backup: &BackupConfig,
    exposed: &mut Exposed,
) -> Result<Arc<dyn Source>, BackupError> {
    let configured = setting.config.source.as_ref();
    let place = match typed_place(&typed.source) {
        Some(place) => place,
        None => configured.map(|source| source.location.clone()).ok_or_else(|| {
            BackupError::usage("source", "nothing to back up is named")
                .suggest("use --connection-env NAME for a database, --from PATH for JSON lines, or a [source] in a configuration")
        })?,
    };
    exposed.note(
        typed.source.connection.as_deref().is_some_and(has_keys),
        "--connection",
    );
    match place {
        SourceLocation::S3db(place) => {
            let text = place
                .resolve(&setting.environment())
                .map_err(|error| as_typed(&typed.source, error))?;
            let keep = match typed.on_undecodable {
                Some(UndecodableArgument::Keep) => true,
                Some(UndecodableArgument::Fail) => false,
                None => {
                    configured.is_none_or(|source| source.on_undecodable == OnUndecodable::Keep)
                }
            };
            let options = sources::s3db::ScanOptions {
                inline_bytes_max: backup.inline_bytes_max as u64,
                record_bytes_max: backup.record_bytes_max,
                on_undecodable: match keep {
                    true => sources::s3db::OnUndecodable::Keep,
                    false => sources::s3db::OnUndecodable::Fail,
                },
                unknown_objects: match typed.unknown_objects {
                    Some(UnknownArgument::Keep) => UnknownObjects::Keep,
                    Some(UnknownArgument::Skip) => UnknownObjects::Skip,
                    Some(UnknownArgument::Fail) => UnknownObjects::Fail,
                    None => configured
                        .map(|source| source.unknown_objects)
                        .unwrap_or_default(),
                },
                ..sources::s3db::ScanOptions::default()
            };
            Ok(Arc::new(S3dbSource::new(connection(&text)?, options)))
        }
        SourceLocation::Jsonl { path, resource } => {
            let source = jsonl(path, resource)?;
            Ok(Arc::new(source.record_bytes_max(backup.record_bytes_max)))
        }
        _ => Err(BackupError::usage(
            "source",
            "a kind of source that this command doesn't know",
        )),
    }
}

fn typed_place(typed: &SourceArguments) -> Option<SourceLocation> {
    let place = match (
        &typed.connection,
        &typed.connection_env,
        &typed.connection_file,
    ) {
        (Some(text), ..) => Some(Place::Inline(Secret::new(text))),
        (_, Some(name), _) => Some(Place::Variable(name.clone())),
        (.., Some(path)) => Some(Place::File(path.clone())),
        _ => None,
    };
    let files = || {
        typed.from.clone().map(|path| SourceLocation::Jsonl {
            path,
            resource: typed.resource.clone(),
        })
    };
    place.map(SourceLocation::S3db).or_else(files)
}

/// An error about a place, in the words of the option where one was typed.
fn as_typed(typed: &SourceArguments, error: BackupError) -> BackupError {
    match (&typed.connection_env, &typed.connection_file) {
        (Some(name), _) => BackupError::usage(format!("--connection-env {name}"), error.message()),
        (_, Some(path)) => BackupError::usage(
            format!("--connection-file {}", path.display()),
            error.message(),
        ),
        _ => error,
    }
}

fn connection(text: &Secret) -> Result<Connection, BackupError> {
    text.expose()
        .parse()
        .map_err(|error| BackupError::usage("source", error))
}

fn has_keys(text: &str) -> bool {
    // One that can't be read may hold them as well.
    text.parse::<Connection>().map_or_else(
        |_| text.contains('@'),
        |connection| connection.credentials.is_some(),
    )
}

fn jsonl(path: PathBuf, resource: Option<String>) -> Result<JsonlSource, BackupError> {
    match (path.as_os_str() == "-", resource) {
        (true, resource) => Ok(JsonlSource::stdin(
            resource.as_deref().unwrap_or(STDIN_RESOURCE),
        )),
        (false, None) => Ok(JsonlSource::path(path)),
        (false, Some(_)) => Err(BackupError::usage(
            "--resource",
            "goes with --from - only; what is in files is called as they are",
        )),
    }
}

/// The configured destinations with the typed ones: one that was given a configured name takes that one's place.
fn destinations(
    config: &Config,
    typed: &[String],
    exposed: &mut Exposed,
) -> Result<Vec<DestinationSpec>, BackupError> {
    let mut destinations = config.destinations.clone();
    for text in typed {
        let mut new = DestinationSpec::parse(text)?;
        exposed.note(new.has_inline_secret(), "--to");
        // A name that only follows from the place replaces nothing; it is told apart below.
        let is_named = text
            .strip_prefix(&new.name)
            .is_some_and(|rest| rest.starts_with('='));
        let same = destinations
            .iter_mut()
            .take(config.destinations.len())
            .find(|known| known.name == new.name);
        match same.filter(|_| is_named) {
            Some(known) => {
                new.required = known.required;
                *known = new;
            }
            None => destinations.push(new),
        }
    }
    unique_names(&mut destinations)?;
    or_default(destinations)
}

fn places_of(
    typed: &PlacesArguments,
    setting: &Setting,
    exposed: &mut Exposed,
) -> Result<Vec<DestinationSpec>, BackupError> {
    if typed.at.is_empty() {
        return setting.destinations();
    }
    let mut places = Vec::with_capacity(typed.at.len());
    for text in &typed.at {
        let place = DestinationSpec::parse(text)?;
        exposed.note(place.has_inline_secret(), "--at");
        places.push(place);
    }
    unique_names(&mut places)?;
    Ok(places)
}

fn or_default(destinations: Vec<DestinationSpec>) -> Result<Vec<DestinationSpec>, BackupError> {
    match destinations.is_empty() {
        true => Ok(vec![DestinationSpec::parse(DESTINATION_DEFAULT)?]),
        false => Ok(destinations),
    }
}

fn or_configured(typed: &[String], configured: &[String]) -> Vec<String> {
    if typed.is_empty() {
        configured.to_vec()
    } else {
        typed.to_vec()
    }
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Options that showed a secret to everyone on the machine.
#[derive(Debug, Default)]
struct Exposed(Vec<&'static str>);

impl Exposed {
    fn note(&mut self, is_secret: bool, option: &'static str) {
        if is_secret && !self.0.contains(&option) {
            self.0.push(option);
        }
    }

    fn warn(&self, output: &Output) {
        if self.0.is_empty() {
            return;
        }
        output.stderr.warn(
            &format!("{} has a secret in it, which everyone on this machine can see in the list of processes", self.0.join(", ")),
            "use --connection-env NAME or --connection-file FILE for a database, and ${NAME} in a configuration for destinations",
        );
    }
}
