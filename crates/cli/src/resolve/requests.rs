//! The requests of the commands that look at what destinations hold.

use teeline::{
    BackupError, BackupId, Cancel, ConsolidateRequest, DestinationSpec, InitRequest,
    InspectPluginRequest, ListRequest, ListedStatus, MonitorRequest, RepairRequest, RestoreMode,
    RestoreRequest, SyncRequest, Thaw, Timestamp, ValidateRequest, VerifyRequest, Which,
    WhichBackups,
};

use super::backup::said;
use super::destinations::places_of;
use super::exposed::Exposed;
use super::keys::{access, keys, opening};
use super::setting::Setting;
use super::target::target;
use super::to_usize;
use crate::args::{
    ConsolidateArguments, InitArguments, InspectPluginArguments, ListArguments,
    ListedStatusArgument, ModeArgument, MonitorArguments, PlacesArguments, RepairArguments,
    RestoreArguments, StatusArguments, SyncArguments, ValidateArguments, VerifyArguments,
};
use crate::output::Output;

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

/// The same where they need not be there yet.
fn new_places(
    typed: &PlacesArguments,
    setting: &Setting,
    output: &Output,
) -> Result<Vec<DestinationSpec>, BackupError> {
    let mut places = places(typed, setting, output)?;
    for place in &mut places {
        place.must_be_there = false;
    }
    Ok(places)
}

/// The request of `teeline init`.
pub(crate) fn init(
    typed: &InitArguments,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<InitRequest, BackupError> {
    let mut request = InitRequest::new(new_places(&typed.places, setting, output)?);
    request.cancel = cancel.clone();
    Ok(request)
}

/// The request of `teeline list`.
pub(crate) fn list(
    typed: &ListArguments,
    setting: &Setting,
    output: &Output,
) -> Result<ListRequest, BackupError> {
    let mut request = ListRequest::new(places(&typed.places, setting, output)?);
    request.limit = typed
        .limit
        .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    request.prefix = typed.prefix.clone().unwrap_or_default();
    let label = typed.backup_type.as_deref().map(str::parse);
    request.backup_type = label
        .transpose()
        .map_err(|error| BackupError::usage("--type", error))?;
    let since = typed.since.as_deref().map(Timestamp::first_of);
    request.since = since
        .transpose()
        .map_err(|error| BackupError::usage("--since", error))?;
    let until = typed.until.as_deref().map(Timestamp::last_of);
    request.until = until
        .transpose()
        .map_err(|error| BackupError::usage("--until", error))?;
    if let (Some(since), Some(until)) = (request.since, request.until)
        && until < since
    {
        let message = format!("{until} is before {since}, which --since says: nothing began then");
        return Err(BackupError::usage("--until", message));
    }
    let said = typed.metadata.iter().map(|text| said(text));
    request.metadata = said.collect::<Result<_, _>>()?;
    request.status = match typed.status {
        ListedStatusArgument::Completed => ListedStatus::Completed,
        ListedStatusArgument::Failed => ListedStatus::Failed,
    };
    Ok(request)
}

/// The request of `teeline check`.
pub(crate) fn monitor(
    typed: &MonitorArguments,
    setting: &Setting,
    output: &Output,
) -> Result<MonitorRequest, BackupError> {
    let mut request = MonitorRequest::new(places(&typed.places, setting, output)?);
    let max_age = typed.max_age.as_deref().map(str::parse);
    request.max_age = max_age
        .transpose()
        .map_err(|error| BackupError::usage("--max-age", error))?;
    request.include.clone_from(&typed.include);
    request.exclude.clone_from(&typed.exclude);
    request.min_count = typed.min_count;
    let max_unverified = typed.max_unverified.as_deref().map(str::parse);
    request.max_unverified = max_unverified
        .transpose()
        .map_err(|error| BackupError::usage("--max-unverified", error))?;
    Ok(request)
}

/// The backup that `teeline status` is about.
pub(crate) fn status(typed: &StatusArguments) -> Result<BackupId, BackupError> {
    match typed.id.parse()? {
        Which::Id(id) => Ok(id),
        Which::Latest | Which::At(_) => {
            Err(BackupError::usage("ID", "status takes the id of a backup")
                .suggest("`teeline list` shows the ids, the latest first"))
        }
    }
}

/// The run that `teeline repair` is about, if one was named.
pub(crate) fn repair_id(typed: &RepairArguments) -> Result<Option<BackupId>, BackupError> {
    match typed.id.as_deref().map(str::parse).transpose()? {
        None => Ok(None),
        Some(Which::Id(id)) => Ok(Some(id)),
        Some(Which::Latest | Which::At(_)) => Err(BackupError::usage("ID", "repair takes the id of a run")
            .suggest("without a manifest a backup isn't listed, so the latest is another one; its folder is called as the run")),
    }
}

/// The request of `teeline repair`.
pub(crate) async fn repair(
    typed: &RepairArguments,
    id: Option<BackupId>,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<RepairRequest, BackupError> {
    let places = match typed.auto {
        true => new_places(&typed.places, setting, output)?,
        false => places(&typed.places, setting, output)?,
    };
    let mut request = match (typed.rebuild_manifest, typed.auto) {
        (true, _) => RepairRequest::rebuild_manifests(places),
        (false, true) => RepairRequest::everything(places),
        (false, false) => RepairRequest::heal(places),
    };
    request.id = id;
    request.keys = keys(&typed.keys, setting).await?;
    request.cancel = cancel.clone();
    Ok(request)
}

/// The backup that `teeline sync` is about, if one was named.
pub(crate) fn sync_id(typed: &SyncArguments) -> Result<Option<BackupId>, BackupError> {
    match typed.id.as_deref().map(str::parse).transpose()? {
        None => Ok(None),
        Some(Which::Id(id)) => Ok(Some(id)),
        Some(Which::Latest | Which::At(_)) => Err(BackupError::usage("ID", "sync takes the id of a backup")
            .suggest("`teeline list` shows the ids; without one, every backup is copied to wherever it lacks")),
    }
}

/// The request of `teeline sync`.
pub(crate) fn sync(
    typed: &SyncArguments,
    id: Option<BackupId>,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<SyncRequest, BackupError> {
    let mut request = SyncRequest::new(new_places(&typed.places, setting, output)?);
    request.id = id;
    request.cancel = cancel.clone();
    Ok(request)
}

/// The backup that `teeline consolidate` is about.
pub(crate) fn consolidate_id(typed: &ConsolidateArguments) -> Result<BackupId, BackupError> {
    match typed.id.parse()? {
        Which::Id(id) => Ok(id),
        Which::Latest | Which::At(_) => Err(BackupError::usage(
            "ID",
            "consolidate takes the id of an incremental backup",
        )
        .suggest("`teeline list` shows the ids, and what goes on from what")),
    }
}

/// The request of `teeline consolidate`.
pub(crate) async fn consolidate(
    typed: &ConsolidateArguments,
    id: BackupId,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<ConsolidateRequest, BackupError> {
    let mut request = ConsolidateRequest::new(new_places(&typed.places, setting, output)?, id);
    let access = access(&typed.keys, &typed.recipient, setting).await?;
    request.recipients = access.recipients;
    request.keys = access.keys;
    request.cancel = cancel.clone();
    Ok(request)
}

/// The request of `teeline verify`.
pub(crate) async fn verify(
    typed: &VerifyArguments,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<VerifyRequest, BackupError> {
    let mut request = VerifyRequest::new(places(&typed.places, setting, output)?);
    request.which = match typed.all {
        true => WhichBackups::All,
        false => WhichBackups::One(typed.id.parse()?),
    };
    request.deep = typed.deep;
    request.keys = opening(&typed.opening, setting).await?;
    request.cancel = cancel.clone();
    Ok(request)
}

/// The request of `teeline validate`.
pub(crate) async fn validate(
    typed: &ValidateArguments,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<ValidateRequest, BackupError> {
    let mut exposed = Exposed::default();
    let places = places_of(&typed.places, setting, &mut exposed)?;
    let mut request = ValidateRequest::new(places);
    request.which = match &typed.id {
        Some(id) => WhichBackups::One(id.parse()?),
        None => WhichBackups::Last(to_usize(typed.last)),
    };
    if let Some(scratch) = &typed.scratch {
        request.scratch = super::checks::scratch(scratch, "--scratch", &mut exposed)?;
    }
    exposed.warn(output);
    request.keys = opening(&typed.opening, setting).await?;
    request.cancel = cancel.clone();
    Ok(request)
}

/// The request of `teeline restore`.
pub(crate) async fn restore(
    typed: &RestoreArguments,
    restored: Restored,
    setting: &Setting,
    output: &mut Output,
    cancel: &Cancel,
) -> Result<RestoreRequest, BackupError> {
    let mut exposed = Exposed::default();
    let target = target(typed, setting, output, &mut exposed)?;
    let places = places_of(&restored.places, setting, &mut exposed)?;
    exposed.warn(output);
    let mut request = RestoreRequest::new(restored.which, places, target);
    request.overwrite = typed.overwrite;
    request.mode = typed.mode.map(mode);
    request.resources = typed.resources.clone();
    request.ids = typed.ids.clone();
    request.renames = renames(&typed.rename)?;
    request.thaw = typed.thaw.then_some(Thaw {
        days: typed.thaw_days,
        tier: typed.thaw_tier,
    });
    request.wait_for_thaw = typed.wait;
    request.dry_run = typed.dry_run;
    request.keys = opening(&typed.opening, setting).await?;
    request.hooks = setting.config.hooks()?;
    request.cancel = cancel.clone();
    Ok(request)
}

/// Which backup is restored, and from where.
pub(crate) struct Restored {
    which: Which,
    pub(crate) places: PlacesArguments,
}

/// What `teeline restore` is about: what is a time is no place, whichever of both `--at` is typed for.
pub(crate) fn restored(typed: &RestoreArguments) -> Result<Restored, BackupError> {
    let mut which = typed.id.parse()?;
    let mut places = typed.places.clone();
    let mut times = Vec::new();
    for text in std::mem::take(&mut places.at) {
        match Timestamp::last_of(&text) {
            Ok(time) => times.push(time),
            Err(error) if looks_like_time(&text) => {
                return Err(BackupError::usage("--at", error)
                    .suggest("a folder that is called like a time is written ./2026-11-23"));
            }
            Err(_) => places.at.push(text),
        }
    }
    match (times.as_slice(), &which) {
        ([], _) => {}
        ([time], Which::Latest) => which = Which::At(*time),
        _ => {
            let message = "a time goes with no id and no other time";
            return Err(BackupError::usage("--at", message)
                .suggest("a folder that is called like a time is written ./2026-11-23"));
        }
    }
    Ok(Restored { which, places })
}

/// Whether whoever typed it meant a time, and not a folder: it begins as one does, with the year and the month.
fn looks_like_time(text: &str) -> bool {
    let begins = text.as_bytes().iter().take(8);
    let shape = begins.map(|byte| if byte.is_ascii_digit() { b'0' } else { *byte });
    shape.eq(*b"0000-00-")
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
        // The name in the backup may have one, a new name has none.
        let (old, new) = text.rsplit_once('=')?;
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
