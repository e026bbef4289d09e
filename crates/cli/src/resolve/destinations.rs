//! Where backups go, and where they are.

use teeline::{BackupError, Config, Connection, DestinationSpec, Place, unique_names};

use super::exposed::Exposed;
use super::setting::Setting;
use super::source::{configured_database, database, note_database};
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
        let new = DestinationSpec::parse(text)?;
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
                known.place = new.place;
                // Whoever types a place wants the backup there.
                known.resources = None;
            }
            None => destinations.push(new),
        }
    }
    unique_names(&mut destinations)?;
    Ok(or_default(destinations))
}

/// Where backups are: as was typed, or else as is configured. A configured one may have none yet; who types one means what is there.
pub(super) fn places_of(
    typed: &PlacesArguments,
    setting: &Setting,
    exposed: &mut Exposed,
) -> Result<Vec<DestinationSpec>, BackupError> {
    note_database(&typed.database, exposed);
    if typed.at.is_empty() {
        let destinations = or_default(setting.config.destinations.clone());
        return beside_source(destinations, || database(&typed.database, setting));
    }
    let mut places = Vec::with_capacity(typed.at.len());
    for text in &typed.at {
        let mut place = DestinationSpec::parse(text)?;
        exposed.note(place.has_inline_secret(), "--at");
        place.must_be_there = true;
        places.push(place);
    }
    unique_names(&mut places)?;
    beside_source(places, || database(&typed.database, setting))
}

/// The destinations of the configuration.
pub(super) fn configured_places(setting: &Setting) -> Result<Vec<DestinationSpec>, BackupError> {
    let destinations = or_default(setting.config.destinations.clone());
    beside_source(destinations, || configured_database(setting))
}

/// The destinations with what they leave to the database that is backed up, which is looked for only where there are such.
pub(super) fn beside_source(
    destinations: Vec<DestinationSpec>,
    database: impl FnOnce() -> Result<Option<Connection>, BackupError>,
) -> Result<Vec<DestinationSpec>, BackupError> {
    if !destinations.iter().any(DestinationSpec::follows_source) {
        return Ok(destinations);
    }
    let database = database()?;
    let mut placed = destinations
        .into_iter()
        .map(|destination| destination.beside(database.as_ref()))
        .collect::<Result<Vec<_>, _>>()?;
    unique_names(&mut placed)?;
    Ok(placed)
}

/// The destinations, or the default one where there is none.
fn or_default(destinations: Vec<DestinationSpec>) -> Vec<DestinationSpec> {
    match destinations.is_empty() {
        true => vec![DestinationSpec::derived(Place::Folder(
            DESTINATION_DEFAULT.into(),
        ))],
        false => destinations,
    }
}
