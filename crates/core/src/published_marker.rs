//! What marks a backup as published: an empty object beside its entry in the catalogue, whose key carries the very bytes of that
//! entry. So a listing of the catalogue alone tells what there is.
//!
//! It comes after the manifest and goes before it. It only saves asking for that: whatever is wrong with a marker, no backup is made by
//! it and none is taken away.
//!
//! Where lists are paid for by their length, who cleans up *folds* the entries of backups that have been published for long: a marker of
//! another name then stands for both the entry and its marker.

use std::io::{Read, Write};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use crate::document;
use crate::error::BackupError;
use crate::key::ObjectKey;
use crate::layout;
use crate::records::CatalogEntry;

/// What the name of the folder of an entry's marker has behind the entry's.
const FOLDER_SUFFIX: &str = ".published";
/// The same of the folder of an entry that is folded.
const FOLDED_SUFFIX: &str = ".folded";
/// Stands for the text where that would be too long. There is no full stop in any text.
const SEE_ENTRY: &str = "see.entry";
/// File names end at 255 bytes.
const COMPONENT_BYTES_MAX: usize = 240;
/// S3's keys end at 1,024 bytes, of which the destination's prefix has the rest.
const KEY_BYTES_MAX: usize = 768;
/// No larger entry is in a key, however well it compresses.
const ENTRY_BYTES_MAX: u64 = 64 << 10;

/// What markers say of a backup that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// What its entry says.
    Entry(Box<CatalogEntry>),
    /// That its entry is to be read: it is too large for a key.
    SeeEntry,
}

/// The folder of the marker of the backup whose entry has the key `entry`.
///
/// # Errors
/// Never: a key of the catalogue is short.
pub fn folder_of(entry: &ObjectKey) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{entry}{FOLDER_SUFFIX}"))
}

/// The folder of what the entry with the key `entry` is folded into.
///
/// # Errors
/// Never: a key of the catalogue is short.
pub fn folded_folder_of(entry: &ObjectKey) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{entry}{FOLDED_SUFFIX}"))
}

/// The key of an empty object that says all that an entry with the key `entry`, and these bytes, says. `None`: it would be too long.
///
/// # Errors
/// Never: a key of the catalogue is short.
pub fn folded_key_of(entry: &ObjectKey, document: &[u8]) -> Result<Option<ObjectKey>, BackupError> {
    Ok(key_in(&folded_folder_of(entry)?, document))
}

/// Whether it is a folded entry, of all keys that [`entry_of`] takes.
pub fn is_folded(key: &ObjectKey) -> bool {
    split(key).is_some_and(|split| split.is_folded)
}

/// The entry that was folded into these keys, and its bytes, as all say that can be understood. `None`: nothing, or they contradict each
/// other.
pub fn unfolded<'a>(
    keys: impl IntoIterator<Item = &'a ObjectKey>,
) -> Option<(CatalogEntry, Bytes)> {
    let mut said: Option<(CatalogEntry, Bytes)> = None;
    for key in keys.into_iter().filter(|key| is_folded(key)) {
        let Some((entry, document)) = split(key).and_then(|split| opened(key, split)) else {
            continue;
        };
        if said.as_ref().is_some_and(|(_, said)| *said != document) {
            return None;
        }
        said = Some((entry, document));
    }
    said
}

/// The key of the marker of the backup whose entry has the key `entry`, and these bytes.
///
/// # Errors
/// Never: it is as short as it has to be.
pub fn key_of(entry: &ObjectKey, document: &[u8]) -> Result<ObjectKey, BackupError> {
    match key_in(&folder_of(entry)?, document) {
        Some(key) => Ok(key),
        None => short_key_of(entry),
    }
}

fn key_in(folder: &ObjectKey, document: &[u8]) -> Option<ObjectKey> {
    let key = folder.join(&text_of(document)?).ok()?;
    (key.as_str().len() <= KEY_BYTES_MAX).then_some(key)
}

/// The key of one that only says that the entry is to be read: for large entries, and for stores that take no long keys.
///
/// # Errors
/// Never: it is short.
pub fn short_key_of(entry: &ObjectKey) -> Result<ObjectKey, BackupError> {
    folder_of(entry)?.join(SEE_ENTRY)
}

/// The key of the entry that a marker, or a folded entry, is of. `None`: the key is of something else.
pub fn entry_of(marker: &ObjectKey) -> Option<ObjectKey> {
    let entry = split(marker)?.entry;
    layout::catalog_entry_id(&entry).is_some().then_some(entry)
}

/// What the markers of one entry, and what it was folded into, say together: what all say that can be understood. `None`: nothing, or
/// they contradict each other.
pub fn told<'a>(markers: impl IntoIterator<Item = &'a ObjectKey>) -> Option<Told> {
    let mut said = None;
    for told in markers.into_iter().filter_map(told_by) {
        said = match (said, told) {
            (None | Some(Told::SeeEntry), told) => Some(told),
            (said, Told::SeeEntry) => said,
            (Some(said), told) if said == told => Some(told),
            _ => return None,
        };
    }
    said
}

fn told_by(marker: &ObjectKey) -> Option<Told> {
    let split = split(marker)?;
    if split.text == SEE_ENTRY && !split.is_folded {
        return Some(Told::SeeEntry);
    }
    let (entry, _) = opened(marker, split)?;
    Some(Told::Entry(Box::new(entry)))
}

/// The entry that the text of a key is, and its bytes.
fn opened(key: &ObjectKey, split: Split<'_>) -> Option<(CatalogEntry, Bytes)> {
    let document = document_of(split.text)?;
    let entry: CatalogEntry = document::open(key.as_str(), &document).ok()?;
    let its = layout::catalog_entry(&entry.id, entry.started_at).ok()?;
    let is_its = its == split.entry && entry.is_of_its_time();
    is_its.then(|| (entry, document.into()))
}

/// The parts of a key that carries an entry.
struct Split<'a> {
    /// The key of the entry.
    entry: ObjectKey,
    is_folded: bool,
    text: &'a str,
}

fn split(key: &ObjectKey) -> Option<Split<'_>> {
    let below = key.as_str().strip_prefix(layout::CATALOG)?;
    let (folder, text) = below.strip_prefix('/')?.split_once('/')?;
    let (entry, is_folded) = match folder.strip_suffix(FOLDED_SUFFIX) {
        Some(entry) => (entry, true),
        None => (folder.strip_suffix(FOLDER_SUFFIX)?, false),
    };
    let entry = ObjectKey::new(format!("{}/{entry}", layout::CATALOG)).ok()?;
    Some(Split {
        entry,
        is_folded,
        text,
    })
}

/// Of a document: deflated, in base64, cut into components. `None`: it is too large.
fn text_of(document: &[u8]) -> Option<String> {
    if document.len() as u64 > ENTRY_BYTES_MAX {
        return None;
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(document).ok()?;
    let text = BASE64_URL_SAFE_NO_PAD.encode(encoder.finish().ok()?);
    let mut components = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (component, behind) = rest.split_at(rest.len().min(COMPONENT_BYTES_MAX));
        components.push(component);
        rest = behind;
    }
    Some(components.join("/"))
}

fn document_of(text: &str) -> Option<Vec<u8>> {
    let deflated = BASE64_URL_SAFE_NO_PAD.decode(text.replace('/', "")).ok()?;
    let mut document = Vec::new();
    let mut decoder = DeflateDecoder::new(&deflated[..]).take(ENTRY_BYTES_MAX + 1);
    decoder.read_to_end(&mut document).ok()?;
    (document.len() as u64 <= ENTRY_BYTES_MAX).then_some(document)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::Digest;
    use crate::id::BackupId;
    use crate::metadata::Metadata;
    use crate::time::Timestamp;

    fn entry(note: &str) -> CatalogEntry {
        let id: BackupId = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
        CatalogEntry {
            backup_type: id.backup_type(),
            started_at: Timestamp::from_unix_ms(1_795_399_200_000),
            path: format!("2026/11/{id}"),
            records: 1_234,
            stored_bytes: 5_678_901,
            plain_bytes: 23_456_789,
            checksum: Digest::of(note.as_bytes()),
            manifest_bytes: 4_321,
            sealed: true,
            parent: None,
            in_part: false,
            asked_for: None,
            metadata: Metadata::new([("note".to_owned(), note.into())].into_iter().collect())
                .unwrap(),
            id,
        }
    }

    fn key(of: &CatalogEntry) -> ObjectKey {
        layout::catalog_entry(&of.id, of.started_at).unwrap()
    }

    fn marker(of: &CatalogEntry) -> ObjectKey {
        key_of(&key(of), &document::seal(of)).unwrap()
    }

    #[test]
    fn a_marker_says_what_the_entry_says_and_a_large_one_that_it_is_to_be_read() {
        let random = |bytes: usize| -> String {
            let digests =
                (0..).flat_map(|n: u32| Digest::of(&n.to_le_bytes()).to_string().into_bytes());
            digests.take(bytes).map(char::from).collect()
        };
        for note in ["", "before the upgrade", &random(300), &"a".repeat(16_000)] {
            let entry = entry(note);
            let marker = marker(&entry);
            assert_eq!(
                told([&marker]),
                Some(Told::Entry(Box::new(entry.clone()))),
                "{note}"
            );
            assert_eq!(entry_of(&marker), Some(key(&entry)));
        }
        let large = entry(&random(3_000));
        assert_eq!(told([&marker(&large)]), Some(Told::SeeEntry));
        assert_eq!(entry_of(&marker(&large)), Some(key(&large)));
    }

    #[test]
    fn its_key_is_one_that_folders_and_buckets_take() {
        for note in ["", &"é".repeat(7_000)] {
            let marker = marker(&entry(note));
            assert!(marker.as_str().len() <= KEY_BYTES_MAX);
            let mut components = marker.as_str().split('/');
            assert!(
                components.all(|component| component.len() <= 255),
                "{marker}"
            );
        }
    }

    #[test]
    fn it_sorts_behind_its_entry_and_before_those_of_older_backups() {
        let entry = entry("x");
        let older = layout::catalog_entry(&entry.id, Timestamp::from_unix_ms(0)).unwrap();
        assert!(key(&entry) < marker(&entry) && marker(&entry) < older);
        assert_eq!(layout::withdrawn_id(&marker(&entry)), None);
    }

    #[test]
    fn markers_that_contradict_each_other_say_nothing_and_those_of_another_entry_neither() {
        let (one, other) = (entry("one"), entry("other"));
        let read = ObjectKey::new(format!("{}/{SEE_ENTRY}", folder_of(&key(&one)).unwrap()));
        let (read, marker_of_one) = (read.unwrap(), marker(&one));
        let says_one = Some(Told::Entry(Box::new(one.clone())));
        assert_eq!(told([&marker_of_one, &marker(&other)]), None);
        assert_eq!(told([&read, &marker_of_one]), says_one);
        assert_eq!(told([&marker_of_one, &read]), says_one);
        assert_eq!(told([&read]), Some(Told::SeeEntry));
        assert_eq!(told([]), None);

        let later = CatalogEntry {
            started_at: Timestamp::from_unix_ms(0),
            ..one.clone()
        };
        let misplaced = key_of(&key(&one), &document::seal(&later)).unwrap();
        let folder = folder_of(&key(&one)).unwrap();
        let garbage =
            ["AAAA", "a", "=", "A/B", "see.entry/x"].map(|text| folder.join(text).unwrap());
        for passed_over in garbage.iter().chain([&misplaced]) {
            assert_eq!(told([passed_over]), None, "{passed_over}");
            assert_eq!(told([passed_over, &marker_of_one]), says_one);
        }
    }

    #[test]
    fn a_folded_entry_is_the_entry_and_its_marker_and_nothing_else_is_one() {
        let (one, other) = (entry("one"), entry("other"));
        let folded = |at: &CatalogEntry, of: &CatalogEntry| {
            folded_key_of(&key(at), &document::seal(of))
                .unwrap()
                .unwrap()
        };
        let of_one = folded(&one, &one);
        let bytes = document::seal(&one);
        assert_eq!(unfolded([&of_one]), Some((one.clone(), bytes.clone())));
        assert_eq!(
            unfolded([&marker(&one), &of_one, &of_one]),
            Some((one.clone(), bytes))
        );
        assert_eq!(told([&of_one]), Some(Told::Entry(Box::new(one.clone()))));
        assert_eq!(entry_of(&of_one), Some(key(&one)));
        assert!(is_folded(&of_one) && !is_folded(&marker(&one)) && !is_folded(&key(&one)));
        assert!(
            key(&one) < of_one && of_one < marker(&one),
            "it stands where the entry stood"
        );

        let folder = folded_folder_of(&key(&one)).unwrap();
        let garbage = ["AAAA", SEE_ENTRY, "A/B"].map(|text| folder.join(text).unwrap());
        for key in &garbage {
            assert_eq!((told([key]), unfolded([key])), (None, None), "{key}");
            assert!(unfolded([key, &of_one]).is_some(), "{key}");
        }
        assert_eq!(unfolded([&of_one, &folded(&one, &other)]), None);
        assert_eq!(unfolded([&marker(&one)]), None);
    }

    #[test]
    fn no_larger_document_is_unpacked_than_an_entry_may_be() {
        let entry = entry("x");
        let text = |document: &[u8]| text_of(document).unwrap();
        let most = vec![b' '; usize::try_from(ENTRY_BYTES_MAX).unwrap()];
        assert_eq!(document_of(&text(&most)).unwrap(), most);
        assert_eq!(text_of(&[&most[..], b" "].concat()), None);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; 600_000]).unwrap();
        let bomb = BASE64_URL_SAFE_NO_PAD.encode(encoder.finish().unwrap());
        let key = folder_of(&key(&entry)).unwrap().join(&bomb).unwrap();
        assert_eq!(document_of(&bomb), None);
        assert_eq!(told([&key]), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_another_entry_of_it(text in "[A-Za-z0-9_=.-]{0,300}", at in 0_usize..400, by in "[A-Za-z0-9_-]") {
            let entry = entry("x");
            let folder = folder_of(&key(&entry)).unwrap();
            if let Ok(marker) = folder.join(&text) {
                prop_assert!(matches!(told([&marker]), None | Some(Told::SeeEntry)));
            }
            let right = marker(&entry);
            let mut changed = right.as_str().to_owned();
            let begin = folder.as_str().len() + 1 + at;
            prop_assume!(begin < changed.len() && &changed[begin..=begin] != "/");
            changed.replace_range(begin..=begin, &by);
            let changed = ObjectKey::new(changed).unwrap();
            let said = told([&changed]);
            prop_assert!(said.is_none() || said == told([&right]), "{said:?}");
        }
    }
}
