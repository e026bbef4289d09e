//! Where backups go, and where they are.

use teeline::{BackupError, Config, DestinationSpec, unique_names};

use super::exposed::Exposed;
use super::setting::Setting;
use crate::args::PlacesArguments;

/// Where backups are unless something is said.
const DESTINATION_DEFAULT: &str = "./backups";

/// The configured destinations with the typed ones: one that was given a configured name takes that one's place.
pub(super) fn destinations(
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
                new.retention = known.retention;
                new.modes = known.modes;
                new.bytes_per_second_max = known.bytes_per_second_max;
                *known = new;
            }
            None => destinations.push(new),
        }
    }
    unique_names(&mut destinations)?;
    or_default(destinations)
}

pub(super) fn places_of(
    typed: &PlacesArguments,
    setting: &Setting,
    exposed: &mut Exposed,
) -> Result<Vec<DestinationSpec>, BackupError> {
    if typed.at.is_empty() {
        return or_default(setting.config.destinations.clone());
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

/// The destinations, or the default one where there is none.
pub(super) fn or_default(
    destinations: Vec<DestinationSpec>,
) -> Result<Vec<DestinationSpec>, BackupError> {
    match destinations.is_empty() {
        true => Ok(vec![DestinationSpec::parse(DESTINATION_DEFAULT)?]),
        false => Ok(destinations),
    }
}
