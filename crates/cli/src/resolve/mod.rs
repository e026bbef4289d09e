//! From what was typed to what the engine is asked: the one place where arguments, configuration and defaults meet.

mod backup;
mod check;
mod checks;
mod cleanup;
mod destinations;
mod exposed;
mod keys;
mod local_index;
mod records;
mod requests;
mod schedules;
mod setting;
mod source;
mod target;

pub(crate) use self::backup::{Backup, backup, type_of_unresolved};
pub(crate) use self::check::check;
pub(crate) use self::checks::{drill, scrub};
pub(crate) use self::cleanup::{cleanup, delete, delete_id};
pub(crate) use self::keys::key;
pub(crate) use self::requests::{
    consolidate, consolidate_id, init, inspect_plugin, list, monitor, places, repair, repair_id,
    restore, restored, status, sync, sync_id, validate, verify,
};
pub(crate) use self::schedules::{named, scheduled, schedules_in, schedules_to_look_at};
pub(crate) use self::setting::Setting;

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
