//! Names of destinations: their form, how one follows from a place, and how two that came out the same are told apart.

use teeline_core::{BackupError, Digest};

use super::DestinationSpec;

/// The form of a name, for messages.
pub(crate) const NAME_FORM: &str =
    "a lower-case letter, then up to 62 of a-z, 0-9, '_' and '-', such as local or primary-eu";

const NAME_CHARACTERS_MAX: usize = 63;
/// Shorter than the maximum, so that there is room to tell two names apart.
const DERIVED_CHARACTERS_MAX: usize = 40;
/// Hexadecimal digits of the location's digest: enough among a handful of destinations; a clash is refused.
const SUFFIX_CHARACTERS: usize = 6;

/// Whether `text` can be the name of a destination.
pub(crate) fn is_name(text: &str) -> bool {
    let begins_well = text.starts_with(|c: char| c.is_ascii_lowercase());
    begins_well && text.len() <= NAME_CHARACTERS_MAX && text.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
}

/// A name made of `text`; `kind` stands in where nothing of it can be used, and before a digit.
pub(super) fn name_from(text: &str, kind: &str) -> String {
    let mut name = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        let usable = u8::try_from(c).is_ok_and(is_name_byte);
        match usable {
            true => name.push(c),
            // One dash for any number of others.
            false if name.ends_with('-') => {}
            false => name.push('-'),
        }
    }
    name.truncate(DERIVED_CHARACTERS_MAX);
    let name = name.trim_matches(['-', '_']);
    match name.chars().next() {
        None => kind.to_owned(),
        Some(first) if first.is_ascii_lowercase() => name.to_owned(),
        Some(_) => format!("{kind}-{name}"),
    }
}

/// Makes sure that every destination has a name and a location of its own: a derived name that another destination has
/// too gets a suffix that follows from the location, in whatever order they stand.
///
/// # Errors
/// Where two destinations are the same location, one is inside another, or two were given the same name; both are named.
pub fn unique_names(destinations: &mut [DestinationSpec]) -> Result<(), BackupError> {
    check_apart(destinations)?;
    let names: Vec<String> = destinations.iter().map(|d| d.name.clone()).collect();
    for (index, destination) in destinations.iter_mut().enumerate() {
        let shared = names.iter().filter(|name| **name == names[index]).count() > 1;
        if destination.derived && shared {
            destination.name = with_suffix(&names[index], &destination.place.identity());
        }
    }
    match pair(destinations, |first, second| first.name == second.name) {
        None => Ok(()),
        Some((first, second)) => Err(refuse(format!("{first} and {second} have the same name"))
            .suggest("give one of them another name: name=DESTINATION")),
    }
}

/// Refuses destinations that would find what another has written.
pub(crate) fn check_apart(destinations: &[DestinationSpec]) -> Result<(), BackupError> {
    let same = |first: &DestinationSpec, second: &DestinationSpec| {
        first.place.is_same_location(&second.place)
    };
    if let Some((first, second)) = pair(destinations, same) {
        let message = format!("{first} and {second} are the same location");
        return Err(refuse(message).suggest("leave one of the two out"));
    }
    let nested = |first: &DestinationSpec, second: &DestinationSpec| {
        first.place.is_inside(&second.place) || second.place.is_inside(&first.place)
    };
    match pair(destinations, nested) {
        None => Ok(()),
        Some((first, second)) => {
            let (inner, outer) = match first.place.is_inside(&second.place) {
                true => (first, second),
                false => (second, first),
            };
            Err(refuse(format!("{inner} is inside {outer}"))
                .suggest("give each a place of its own, side by side"))
        }
    }
}

fn with_suffix(name: &str, identity: &str) -> String {
    let digest = Digest::of(identity.as_bytes()).to_string();
    format!("{name}-{}", &digest[..SUFFIX_CHARACTERS])
}

/// The first destination that an earlier one clashes with, after that earlier one.
fn pair(
    destinations: &[DestinationSpec],
    clash: impl Fn(&DestinationSpec, &DestinationSpec) -> bool,
) -> Option<(&DestinationSpec, &DestinationSpec)> {
    destinations.iter().enumerate().find_map(|(index, second)| {
        let first = destinations[..index]
            .iter()
            .find(|earlier| clash(earlier, second))?;
        Some((first, second))
    })
}

fn refuse(message: String) -> BackupError {
    BackupError::usage("destinations", message)
}
