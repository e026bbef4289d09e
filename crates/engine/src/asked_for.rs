//! Which backups have what others have, as far as that can be told by what was asked for.

use teeline_core::{AskedFor, CatalogEntry};

use crate::destination::ResourceGlobs;

/// Whether the same was asked for.
pub(crate) fn is_alike(one: &CatalogEntry, other: &CatalogEntry) -> bool {
    match (&one.asked_for, &other.asked_for) {
        (Some(of_one), Some(of_other)) => of_one == of_other && one.in_part == other.in_part,
        _ => one.id == other.id,
    }
}

/// Whether one backup has whatever another has: by what was asked for, whatever there was of that then.
pub(crate) fn has_all_of(one: &CatalogEntry, other: &CatalogEntry) -> bool {
    let everything = AskedFor::default();
    match (&one.asked_for, &other.asked_for) {
        _ if one.id == other.id => true,
        _ if one.in_part != other.in_part => false,
        (None, _) => false,
        (Some(of_one), None) => *of_one == everything,
        (Some(of_one), Some(of_other)) => asks_for_all_of(of_one, of_other),
    }
}

/// Whether a backup that was to have something is made up for by one that has come since: that has whatever it would have had, at
/// least; or all records, where it has some.
pub(crate) fn makes_up_for(one: &CatalogEntry, other: &AskedFor) -> bool {
    let Some(of_one) = &one.asked_for else {
        return false;
    };
    match one.in_part {
        true => of_one.records.is_some() && asks_for_all_of(of_one, other),
        false => asks_for_resources_of(of_one, other),
    }
}

/// Whether a backup has these resources, whichever records of them.
pub(crate) fn has_resources_of(one: &CatalogEntry, other: &AskedFor) -> bool {
    let of_one = one.asked_for.as_ref();
    of_one.is_some_and(|of_one| asks_for_resources_of(of_one, other))
}

fn asks_for_all_of(one: &AskedFor, other: &AskedFor) -> bool {
    one.records == other.records && asks_for_resources_of(one, other)
}

fn asks_for_resources_of(one: &AskedFor, other: &AskedFor) -> bool {
    let take = |globs: &[String], patterns: &[String]| {
        ResourceGlobs::new(globs).is_ok_and(|globs| globs.take_all_of(patterns))
    };
    let includes = one.include.is_empty() || take(&one.include, &other.include);
    let excludes_no_more = one.exclude.is_empty() || take(&other.exclude, &one.exclude);
    includes && excludes_no_more
}

#[cfg(test)]
mod tests {
    use teeline_core::{Digest, Metadata};

    use super::*;

    /// Of which this was asked; each with an id of its own.
    fn entry(number: u32, asked_for: Option<AskedFor>) -> CatalogEntry {
        CatalogEntry {
            id: format!("full-2026-11-23T02-00-00-{number:010}")
                .parse()
                .unwrap(),
            backup_type: "full".parse().unwrap(),
            started_at: "2026-11-23T02:00:00.000Z".parse().unwrap(),
            path: "x".to_owned(),
            records: 0,
            stored_bytes: 0,
            plain_bytes: 0,
            checksum: Digest::of(b""),
            manifest_bytes: 0,
            sealed: false,
            parent: None,
            in_part: asked_for.as_ref().is_some_and(|of| of.records.is_some()),
            asked_for,
            metadata: Metadata::default(),
        }
    }

    fn of(include: &[&str], exclude: &[&str]) -> AskedFor {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        AskedFor {
            include: texts(include),
            exclude: texts(exclude),
            records: None,
        }
    }

    #[test]
    fn one_has_all_of_another_where_it_asks_for_no_less() {
        let some = |records: &[u8]| AskedFor {
            records: Some(Digest::of(records)),
            ..AskedFor::default()
        };
        let all = [
            Some(of(&[], &[])),
            Some(of(&["users"], &[])),
            Some(of(&["users", "orders"], &[])),
            Some(of(&["users*", "orders"], &[])),
            Some(of(&[], &["cache_*"])),
            Some(of(&[], &["cache_*", "tmp"])),
            Some(some(b"US")),
            Some(some(b"EU")),
            None,
            None,
        ];
        let having = [
            (0, &[0, 1, 2, 3, 4, 5, 8, 9][..]),
            (1, &[1]),
            (2, &[1, 2]),
            (3, &[1, 2, 3]),
            (4, &[4, 5]),
            (5, &[5]),
            (6, &[6]),
            (7, &[7]),
            (8, &[8]),
            (9, &[9]),
        ];
        let entries = (0..).zip(all).map(|(number, of)| entry(number, of));
        let entries: Vec<CatalogEntry> = entries.collect();
        for (one, expected) in having {
            let others =
                (0..entries.len()).filter(|other| has_all_of(&entries[one], &entries[*other]));
            assert_eq!(others.collect::<Vec<_>>(), expected, "{one}");
        }
    }
}
