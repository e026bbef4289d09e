//! What keeps each backup of a destination.
//!
//! A backup takes the place of those only that have nothing else than it has. So each is judged among those that have at least what it
//! has, as far as that can be told by what was asked for: one of some resources never displaces one of all, nor of others, and one of some
//! records none but of the same. Where an entry doesn't say it, since an earlier version has written it, the backup may have had
//! anything: it displaces none, and only one of everything displaces it.

use teeline_core::{
    BackupError, BackupId, CatalogEntry, Judged, KeptBy, Retained, Retention, layout,
};

use super::destination::Cleaning;
use super::verified::last_verified;
use crate::asked_for::{has_all_of, is_alike};
use crate::catalog::Catalog;
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
