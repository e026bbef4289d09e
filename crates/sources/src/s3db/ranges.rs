//! A long listing in several ranges, listed side by side.
//!
//! Servers differ in the order of their listings, so where a range begins is never computed: a range begins with the key
//! that the server gives first behind a cut, and the range before it ends where it meets a key of that range's first page.
//! That range goes on behind this page, so where all of it has been deleted meanwhile, the range before ends where it meets a
//! key that the server gives behind it now. So together they are one listing without gaps, whatever the order is, as long as
//! the server keeps to it.

use std::collections::HashSet;

use futures::future::try_join_all;
use teeline_core::{BackupError, Class};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::bucket::Bucket;
use super::keys::unless_it_panics;
use super::keyspace::Keyspace;
use super::listing::{Listed, Listing};

/// Ranges that are listed at once.
const RANGES: usize = 4;
/// A listing of fewer pages isn't worth the calls that it takes to cut it.
const PAGES_BEFORE_CUT: usize = 4;

/// A listing of which the first page is there.
pub(super) struct Begun {
    bucket: Bucket,
    /// What all of its keys begin with.
    prefix: String,
    /// What most of them begin with.
    dense: String,
    listing: Listing,
    first: Vec<Listed>,
}

impl Begun {
    /// Lists the first page of everything below `prefix`, most of which begins with `dense`.
    ///
    /// It is one listing, also of what lies beside `dense`: to have a server list that apart, by a delimiter, may take it as
    /// long as all the rest.
    pub(super) async fn list(
        bucket: &Bucket,
        prefix: String,
        dense: String,
    ) -> Result<Self, BackupError> {
        let mut listing = bucket.list(&prefix);
        let first = listing.next().await?.unwrap_or_default().objects;
        Ok(Begun {
            bucket: bucket.clone(),
            prefix,
            dense,
            listing,
            first,
        })
    }
}

/// Gives what is listed page by page to `take`: the ranges in turn, so that the same keys come in the same order.
pub(super) async fn list_in_ranges<F>(
    begun: Begun,
    mut take: impl FnMut(Vec<Listed>) -> F,
) -> Result<(), BackupError>
where
    F: Future<Output = Result<(), BackupError>>,
{
    let Begun {
        bucket,
        prefix,
        dense,
        mut listing,
        first,
    } = begun;
    let mut seen = Vec::new();
    let mut page = first;
    for pages in 1.. {
        let in_dense: Vec<_> = page
            .iter()
            .map(|listed| slash_free(&listed.key, &dense).map(str::to_owned))
            .collect();
        let stands_in_dense = in_dense.last().is_some_and(Option::is_some);
        seen.extend(in_dense.into_iter().flatten());
        take(page).await?;
        // Cuts are behind the last key of these. Where the listing stands elsewhere, they might be before what was listed.
        if pages >= PAGES_BEFORE_CUT && stands_in_dense {
            break;
        }
        page = match listing.next().await? {
            Some(next) => next.objects,
            None => return Ok(()),
        };
    }
    let space = Keyspace::of(seen.iter().map(String::as_str));
    let cuts = match space.filter(|_| !listing.is_at_end()) {
        Some(space) => find_cuts(&bucket, &dense, &space).await?,
        None => Vec::new(),
    };
    let mut ranges = Ranges::begin(&bucket, &prefix, listing, &cuts).await?;
    tracing::debug!(prefix, ranges = ranges.pages.len(), "listing side by side");
    while let Some(page) = ranges.next().await {
        take(page?).await?;
    }
    Ok(())
}

/// What follows the prefix in a key, unless it has a slash: with those, servers differ in the order.
fn slash_free<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    key.strip_prefix(prefix)
        .filter(|behind| !behind.contains('/'))
}

/// Asks the server how far its keys with the prefix go, so that cuts are where keys are.
async fn find_cuts(
    bucket: &Bucket,
    prefix: &str,
    space: &Keyspace,
) -> Result<Vec<String>, BackupError> {
    let are_behind = async |fence: String| {
        let listing = bucket.list(prefix).after(format!("{prefix}{fence}"));
        Ok::<_, BackupError>(listing.first().await?.is_some())
    };
    // Behind the fence of `none` there is no key, behind that of `some` there are.
    let (mut none, mut some) = (0, space.length());
    if are_behind(space.fence(none)).await? || !are_behind(space.fence(some)).await? {
        return Ok(Vec::new());
    }
    while none + 1 < some {
        let middle = none.midpoint(some);
        match are_behind(space.fence(middle)).await? {
            true => some = middle,
            false => none = middle,
        }
    }
    let steps = space.steps(none);
    let (mut below, mut above) = (0, steps.len());
    while below < above {
        let middle = below.midpoint(above);
        match are_behind(space.step_fence(none, steps[middle])).await? {
            true => below = middle + 1,
            false => above = middle,
        }
    }
    Ok(match steps.get(below) {
        Some(step) => {
            let cuts = space.cuts(none, *step, RANGES - 1);
            cuts.iter().map(|cut| format!("{prefix}{cut}")).collect()
        }
        None => Vec::new(),
    })
}

/// Ranges that are being listed.
struct Ranges {
    /// The pages of each range that hasn't ended.
    pages: Vec<mpsc::Receiver<Result<Vec<Listed>, BackupError>>>,
    /// Whose turn it is.
    turn: usize,
    /// Ends with this.
    _listing: JoinSet<()>,
}

/// One range.
struct Range {
    listing: Listing,
    first: Vec<Listed>,
    /// Where there is a range that follows, where that begins.
    end: Option<End>,
}

/// Where a range ends.
struct End {
    /// Keys of the range that follows: with the first of them this one has ended.
    keys: HashSet<String>,
    /// The last key of that range's first page. Whatever is behind it, in the server's order, is of that range.
    last: String,
    /// To ask what is behind it.
    bucket: Bucket,
    prefix: String,
}

impl Ranges {
    /// What is left of `listing`, cut.
    async fn begin(
        bucket: &Bucket,
        prefix: &str,
        listing: Listing,
        cuts: &[String],
    ) -> Result<Self, BackupError> {
        let first_pages = cuts.iter().map(async |cut| {
            let mut listing = bucket.list(prefix).after(cut.clone());
            let first = listing.next().await?.unwrap_or_default().objects;
            Ok::<_, BackupError>(Range {
                listing,
                first,
                end: None,
            })
        });
        let mut ranges = vec![Range {
            listing,
            first: Vec::new(),
            end: None,
        }];
        for range in try_join_all(first_pages).await? {
            let (Some(first), Some(last)) = (range.first.first(), range.first.last()) else {
                continue;
            };
            let before = ranges.last_mut().expect("the listing itself is the first");
            // Between two cuts without a key there is no range.
            if before.first.first() != Some(first) {
                before.end = Some(End {
                    keys: keys_of(range.first.clone()).collect(),
                    last: last.key.clone(),
                    bucket: bucket.clone(),
                    prefix: prefix.to_owned(),
                });
                ranges.push(range);
            }
        }
        let mut listing = JoinSet::new();
        let pages = ranges.into_iter().map(|range| {
            let (sender, pages) = mpsc::channel(1);
            listing.spawn(range.list(sender));
            pages
        });
        Ok(Ranges {
            pages: pages.collect(),
            turn: 0,
            _listing: listing,
        })
    }

    /// The next page, of the range whose turn it is.
    async fn next(&mut self) -> Option<Result<Vec<Listed>, BackupError>> {
        while !self.pages.is_empty() {
            self.turn %= self.pages.len();
            match self.pages[self.turn].recv().await {
                Some(page) => {
                    self.turn += 1;
                    return Some(page);
                }
                None => drop(self.pages.remove(self.turn)),
            }
        }
        None
    }
}

impl Range {
    /// Lists to the end of the range. Where nobody takes its pages any more it ends as well.
    async fn list(mut self, pages: mpsc::Sender<Result<Vec<Listed>, BackupError>>) {
        if let Err(error) = unless_it_panics(self.list_to(&pages)).await {
            // As above.
            let _ = pages.send(Err(error)).await;
        }
    }

    async fn list_to(
        &mut self,
        pages: &mpsc::Sender<Result<Vec<Listed>, BackupError>>,
    ) -> Result<(), BackupError> {
        let mut page = std::mem::take(&mut self.first);
        loop {
            let end = match &mut self.end {
                Some(end) => end.within(&page).await?,
                None => None,
            };
            page.truncate(end.unwrap_or(page.len()));
            let is_wanted = page.is_empty() || pages.send(Ok(page)).await.is_ok();
            if end.is_some() || !is_wanted {
                return Ok(());
            }
            page = match self.listing.next().await? {
                Some(next) => next.objects,
                None => break,
            };
        }
        match &mut self.end {
            Some(end) => end.check_unmet().await,
            None => Ok(()),
        }
    }
}

impl End {
    /// Where in a page of the range it is, where it is there.
    async fn within(&mut self, page: &[Listed]) -> Result<Option<usize>, BackupError> {
        let met = self.position(page);
        // A server with another order is asked more often, and no key is taken for one behind it for that.
        if met.is_some() || page.iter().all(|listed| listed.key <= self.last) {
            return Ok(met);
        }
        self.look_again().await?;
        Ok(self.position(page))
    }

    fn position(&self, page: &[Listed]) -> Option<usize> {
        page.iter()
            .position(|listed| self.keys.contains(&listed.key))
    }

    /// Asks for the first keys that there are now behind the page; whether there are any. What was listed before and isn't
    /// among them, nor before the page, isn't there any more.
    async fn look_again(&mut self) -> Result<bool, BackupError> {
        let mut listing = self.bucket.list(&self.prefix).after(self.last.clone());
        while let Some(page) = listing.next().await? {
            // A page may be empty and not the last.
            if !page.objects.is_empty() {
                self.keys.extend(keys_of(page.objects));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Refuses a listing that went to its very end without having met this, though there are keys behind it: some of them may
    /// have been given as well.
    async fn check_unmet(&mut self) -> Result<(), BackupError> {
        if !self.look_again().await? {
            return Ok(());
        }
        let subject = self.bucket.describe(&self.prefix);
        let message =
            "so much was deleted while it was listed that it can't be told what was given twice";
        Err(BackupError::new(Class::Transient, "list", subject, message)
            .suggest("try again, when nothing is purged there"))
    }
}

fn keys_of(page: Vec<Listed>) -> impl Iterator<Item = String> {
    page.into_iter().map(|listed| listed.key)
}
