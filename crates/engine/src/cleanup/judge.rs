//! What keeps each backup of a destination.
//!
//! A backup takes the place of those only that have nothing else than it has. So each is judged among those that have at least what it
//! has, as far as that can be told by what was asked for: one of some resources never displaces one of all, nor of others, and one of some
//! records none but of the same. Where an entry doesn't say it, since an earlier version has written it, the backup may have had
//! anything: it displaces none, and only one of everything displaces it.

use teeline_core::{
    AskedFor, BackupError, BackupId, CatalogEntry, Judged, KeptBy, Retained, Retention, layout,
};

use super::destination::Cleaning;
use super::verified::last_verified;
use crate::catalog::Catalog;
use crate::destination::ResourceGlobs;
use crate::ledger::Ledger;
use crate::run_folders::RunFolders;

/// What keeps each backup. What is damaged isn't among them: nothing is decided about it.
pub(super) async fn judge(
    cleaning: &Cleaning<'_>,
    found: &RunFolders,
    ledger: &Ledger,
) -> Result<Vec<Judged>, BackupError> {
    let catalog = &cleaning.asked.catalog;
    let mut judged = Vec::new();
    let mut left: Vec<&CatalogEntry> = catalog.entries.iter().collect();
    while let Some(first) = left.first().copied() {
        let (alike, others) = left.into_iter().partition(|entry| is_alike(entry, first));
        let alike: Vec<&CatalogEntry> = alike;
        left = others;
        let having_all = catalog
            .entries
            .iter()
            .filter(|entry| has_all_of(entry, first));
        let of_all = among(cleaning, &having_all.collect::<Vec<_>>(), found, ledger).await?;
        let is_one = |judged: &Judged| alike.iter().any(|entry| entry.id == judged.id);
        judged.extend(of_all.into_iter().filter(is_one));
    }
    keep_what_others_need(catalog, &mut judged);
    keep_what_damaged_ones_may_need(catalog, &mut judged);
    Ok(judged)
}

/// Judges backups among themselves.
async fn among(
    cleaning: &Cleaning<'_>,
    entries: &[&CatalogEntry],
    found: &RunFolders,
    ledger: &Ledger,
) -> Result<Vec<Judged>, BackupError> {
    let plausible = entries.iter().copied();
    let plausible =
        plausible.filter(|entry| Retention::is_plausible(entry.started_at, cleaning.now));
    let mut newest_first: Vec<&CatalogEntry> = plausible.collect();
    newest_first.sort_by(|a, b| (b.started_at, &b.id).cmp(&(a.started_at, &a.id)));
    let (opened, catalog) = (&cleaning.asked.opened, &cleaning.asked.catalog);
    let verified = last_verified(opened, catalog, &newest_first, &found.records, ledger).await?;
    let retained = entries.iter().map(|entry| Retained {
        id: entry.id.clone(),
        started_at: entry.started_at,
        is_verified: verified.as_ref() == Some(&entry.id),
        parent: entry.parent.as_ref().map(|parent| parent.id.clone()),
    });
    let retained: Vec<Retained> = retained.collect();
    let rules = &cleaning.policy.rules;
    Ok(rules.judge(&retained, cleaning.now, cleaning.time_zone))
}

/// Whether the same was asked for.
fn is_alike(one: &CatalogEntry, other: &CatalogEntry) -> bool {
    match (&one.asked_for, &other.asked_for) {
        (Some(of_one), Some(of_other)) => of_one == of_other && one.in_part == other.in_part,
        _ => one.id == other.id,
    }
}

/// Whether one backup has whatever another has: by what was asked for, whatever there was of that then.
fn has_all_of(one: &CatalogEntry, other: &CatalogEntry) -> bool {
    let everything = AskedFor::default();
    match (&one.asked_for, &other.asked_for) {
        _ if one.id == other.id => true,
        _ if one.in_part != other.in_part => false,
        (None, _) => false,
        (Some(of_one), None) => *of_one == everything,
        (Some(of_one), Some(of_other)) => asks_for_all_of(of_one, of_other),
    }
}

fn asks_for_all_of(one: &AskedFor, other: &AskedFor) -> bool {
    let take = |globs: &[String], patterns: &[String]| {
        ResourceGlobs::new(globs).is_ok_and(|globs| globs.take_all_of(patterns))
    };
    let includes = one.include.is_empty() || take(&one.include, &other.include);
    let excludes_no_more = one.exclude.is_empty() || take(&other.exclude, &one.exclude);
    one.records == other.records && includes && excludes_no_more
}

/// What is kept may go on from one that was judged among others.
fn keep_what_others_need(catalog: &Catalog, judged: &mut [Judged]) {
    let links = catalog.links();
    let kept = judged.iter().filter(|judged| judged.is_kept());
    let needed: Vec<BackupId> = kept
        .flat_map(|judged| links.needed_by(&judged.id))
        .collect();
    for judged in judged.iter_mut().filter(|judged| !judged.is_kept()) {
        if needed.contains(&judged.id) {
            judged.kept_by.push(KeptBy::needed());
        }
    }
}

/// What is damaged may be made whole again, as long as there is what it goes on from. Where that can't be read, or it isn't in the
/// catalogue while something goes on from it, it may be any older one.
fn keep_what_damaged_ones_may_need(catalog: &Catalog, judged: &mut [Judged]) {
    let links = catalog.links();
    let is_listed = |id: &BackupId| catalog.entries.iter().any(|entry| entry.id == *id);
    let unreadable = catalog.unreadable.iter();
    let began = unreadable.filter_map(|(_, key, _)| Some(layout::catalog_entry_of(key)?.0));
    let missing = links.missing().filter_map(BackupId::began);
    let newest_unreadable = began.chain(missing).max();
    for judged in judged.iter_mut().filter(|judged| !judged.is_kept()) {
        let needing = links.needing(&judged.id);
        let of_damaged = needing.iter().any(|backup| !is_listed(&backup.id));
        let is_older = newest_unreadable.is_some_and(|began| judged.started_at <= began);
        if of_damaged || is_older {
            judged.kept_by.push(KeptBy::needed());
        }
    }
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
