//! The requests of the commands that delete.

use teeline::{
    BackupError, BackupId, Cancel, CleanupRequest, DeleteRequest, DestinationSpec, Retention,
    RetentionPolicy, Which,
};

use super::requests::places;
use super::setting::Setting;
use crate::args::{CleanupArguments, DeleteArguments};
use crate::output::Output;

/// The backup that `teeline delete` is about.
pub(crate) fn delete_id(typed: &DeleteArguments) -> Result<BackupId, BackupError> {
    match typed.id.parse()? {
        Which::Id(id) => Ok(id),
        Which::Latest | Which::At(_) => Err(BackupError::usage("ID", "delete takes the id of a backup")
            .suggest("`teeline list` shows the ids; the latest may be another one by the time that it is deleted")),
    }
}

/// The request of `teeline delete`.
pub(crate) fn delete(
    typed: &DeleteArguments,
    id: BackupId,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<DeleteRequest, BackupError> {
    let mut places = places(&typed.places, setting, output)?;
    let change = |policy: &mut RetentionPolicy| {
        policy.grace = typed.grace.unwrap_or(policy.grace);
        policy.dead_after = typed.dead_after.unwrap_or(policy.dead_after);
    };
    each_policy(&mut places, change);
    let mut request = DeleteRequest::new(places, id);
    request.cascade = typed.cascade;
    request.retention = setting.config.retention;
    change(&mut request.retention);
    request.cancel = cancel.clone();
    Ok(request)
}

/// The request of `teeline cleanup`.
pub(crate) fn cleanup(
    typed: &CleanupArguments,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<CleanupRequest, BackupError> {
    let rules = Retention {
        count: typed.keep.keep_count.unwrap_or(0),
        daily: typed.keep.keep_daily.unwrap_or(0),
        weekly: typed.keep.keep_weekly.unwrap_or(0),
        monthly: typed.keep.keep_monthly.unwrap_or(0),
        yearly: typed.keep.keep_yearly.unwrap_or(0),
        age: typed.keep.keep_age,
        keep_within: typed.keep.keep_within,
    };
    let change = |policy: &mut RetentionPolicy| {
        if !rules.is_empty() {
            policy.rules = rules;
        }
        policy.grace = typed.grace.unwrap_or(policy.grace);
        policy.dead_after = typed.dead_after.unwrap_or(policy.dead_after);
        let percent_max = typed.withdraw_percent_max;
        policy.withdraw_percent_max = percent_max.unwrap_or(policy.withdraw_percent_max);
    };
    let mut places = places(&typed.places, setting, output)?;
    each_policy(&mut places, change);
    let mut policy = setting.config.retention;
    change(&mut policy);
    let mut request = CleanupRequest::new(places, policy);
    request.time_zone = typed.time_zone.unwrap_or(setting.config.time_zone);
    request.dry_run = typed.dry_run;
    request.cancel = cancel.clone();
    Ok(request)
}

/// What is typed holds for the destinations that have a policy of their own as well.
fn each_policy(places: &mut [DestinationSpec], change: impl Fn(&mut RetentionPolicy)) {
    places
        .iter_mut()
        .filter_map(|place| place.retention.as_mut())
        .for_each(change);
}
