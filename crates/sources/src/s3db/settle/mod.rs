//! Reading again what changed while a database was read.
//!
//! A pass lists all of the database, reads what isn't surely as it was when the pass before it read it, and gives what
//! differs. It ends with a pass that finds nothing, or with the last one that is allowed.
//!
//! An object is surely as it was where the listing has the very version that it had in the pass before, unless that was
//! so young then that a later version could look the same: servers tell times apart by the second, and records without a
//! body have the same tag whatever they say. Such young ones are read in each pass, and compared by what they hold.

mod clock;
mod entries;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::{TryStreamExt, stream};
use teeline_core::{
    BackupError, Class, Item, ResourceCounts, ResourceId, Selection, SettleOutcome, Settling,
    Timestamp, chain::young_from,
};

use super::bucket::Bucket;
use super::catalogue::Catalogue;
use super::fetch::{FetchContext, Fetched, Identity};
use super::items::Items;
use super::keys::{Keys, Lister};
use super::known::{KeyDigest, Known, digest_of};
use super::large;
use super::listing::Listed;
use super::read_ahead::{Answered, Asked, Step, read_ahead};
use super::source::parse_catalogue;
use super::walk::{CATALOGUE, UnknownObjects};

use clock::server_time;
use entries::{Entries, LINE_BYTES_SPARE};

/// Notes what a scan gives, and then gives what changed meanwhile.
pub(super) struct Settle {
    bucket: Bucket,
    /// The catalogue as it was read last.
    catalogue_bytes: Bytes,
    selection: Selection,
    unknown: UnknownObjects,
    passes_max: u32,
    known: Known,
    /// From when on an object is young, in the pass that is under way.
    young_from: Option<Timestamp>,
    /// What those held that were young when they were read in it.
    young: HashMap<KeyDigest, Identity>,
}

/// What a pass found in a listing.
#[derive(Default)]
struct Found {
    asked: Vec<Asked>,
    /// Which of them aren't listed, though the backup has them.
    not_listed: HashSet<KeyDigest>,
}

impl Settle {
    /// Begins to note, before anything is listed. `catalogue_bytes` is the catalogue by which the scan reads.
    pub(super) async fn begin(
        bucket: &Bucket,
        catalogue_bytes: Bytes,
        selection: Selection,
        unknown: UnknownObjects,
        passes_max: u32,
    ) -> Result<Self, BackupError> {
        let mut settle = Settle {
            bucket: bucket.clone(),
            catalogue_bytes,
            selection,
            unknown,
            passes_max,
            known: Known::default(),
            young_from: None,
            young: HashMap::new(),
        };
        settle.young_from = settle.young_from_now().await?;
        Ok(settle)
    }

    /// From when on objects are young in a pass that begins now. Where the server doesn't tell its time, all of them are.
    async fn young_from_now(&self) -> Result<Option<Timestamp>, BackupError> {
        Ok(young_from(server_time(&self.bucket).await?))
    }

    /// Notes an object that the scan has given, in the version in which it was listed.
    pub(super) fn note(&mut self, listed: &Listed, identity: Option<Identity>) {
        self.known.note(&listed.key, listed.version);
        if let Some(identity) = identity.filter(|_| is_young(listed, self.young_from)) {
            self.young.insert(digest_of(&listed.key), identity);
        }
    }

    /// Gives what has changed since the scan read it.
    pub(super) async fn run(
        mut self,
        context: Arc<FetchContext>,
        items: Items,
        id: ResourceId,
    ) -> Result<(), BackupError> {
        let mut options = context.options;
        options.record_bytes_max = options.record_bytes_max.saturating_sub(LINE_BYTES_SPARE);
        let mut context = Arc::new(FetchContext {
            options,
            ..FetchContext::clone(&context)
        });
        let planned = context.catalogue.resources.iter();
        let planned = planned.map(|resource| resource.name.clone());
        let planned = planned.filter(|name| self.selection.wants(name)).collect();
        items.give(Item::Begin(id)).await?;
        let mut entries = Entries::new(items, id, planned, &context.options);
        self.read_catalogue(&mut context, &mut entries).await?;
        let (mut passes, mut outcome) = (0, SettleOutcome::Bound);
        while passes < self.passes_max && outcome == SettleOutcome::Bound {
            passes += 1;
            let before = entries.total();
            self.pass(&context, &mut entries).await?;
            self.read_catalogue(&mut context, &mut entries).await?;
            let found = entries.total() - before;
            tracing::debug!(pass = passes, found, "read again what had changed");
            if found == 0 {
                outcome = SettleOutcome::Settled;
            }
        }
        let settling = Settling {
            outcome,
            passes,
            records: entries.records,
            objects: entries.objects,
        };
        let counts = ResourceCounts {
            kept_raw: entries.kept_raw,
            vanished: 0,
            changes: None,
            settle: Some(settling),
        };
        entries.end(counts).await
    }

    /// Reads the catalogue again. The records that come next are read by it, and it is given where it has changed.
    ///
    /// It is read after the records of a pass: s3db.js writes the version of a schema before the first record of it.
    async fn read_catalogue(
        &mut self,
        context: &mut Arc<FetchContext>,
        entries: &mut Entries,
    ) -> Result<(), BackupError> {
        let Some((head, bytes)) = self.bucket.read(CATALOGUE).await? else {
            let subject = self.bucket.describe(CATALOGUE);
            let message = "it is gone: the database was deleted while it was read";
            return Err(BackupError::new(Class::NotFound, "read", subject, message));
        };
        if bytes == self.catalogue_bytes {
            return Ok(());
        }
        *context = Arc::new(FetchContext {
            catalogue: Arc::new(parse_catalogue(&self.bucket, &bytes)?),
            ..FetchContext::clone(context)
        });
        self.catalogue_bytes = bytes.clone();
        let content = large::Content::Held(bytes);
        entries.object(CATALOGUE, None, &head, content, false).await
    }

    async fn pass(
        &mut self,
        context: &Arc<FetchContext>,
        entries: &mut Entries,
    ) -> Result<(), BackupError> {
        let young_before = self.young_from;
        let held_before = std::mem::take(&mut self.young);
        self.young_from = self.young_from_now().await?;
        let Found { asked, not_listed } =
            self.list(&context.catalogue, young_before, entries).await?;
        let steps = stream::iter(asked.into_iter().map(|asked| Ok(Step::Object(asked))));
        let mut answers = read_ahead(Arc::clone(context), steps);
        while let Some(step) = answers.try_next().await? {
            let Step::Object(answered) = step else {
                continue;
            };
            let key = digest_of(&answered.listed.key);
            let before = held_before.get(&key);
            // One that is there and isn't listed can only be told by what it holds.
            let is_young = is_young(&answered.listed, self.young_from) || not_listed.contains(&key);
            let identity = self.take(context, entries, answered, before).await?;
            if let Some(identity) = identity.filter(|_| is_young) {
                self.young.insert(key, identity);
            }
        }
        Ok(())
    }

    /// Lists all of the database: what of it has to be read.
    async fn list(
        &mut self,
        catalogue: &Arc<Catalogue>,
        young_before: Option<Timestamp>,
        entries: &Entries,
    ) -> Result<Found, BackupError> {
        self.known.begin_pass();
        let wanted = (0..catalogue.resources.len())
            .filter(|index| self.selection.wants(&catalogue.resources[*index].name));
        let lister = Lister {
            bucket: self.bucket.clone(),
            catalogue: Arc::clone(catalogue),
            selection: self.selection.clone(),
            unknown: self.unknown,
            wanted: wanted.collect(),
            // What is read of a part only isn't read again.
            parts: Arc::default(),
        };
        let mut found = Found::default();
        let mut seen = HashSet::new();
        let mut ask = |listed: Listed, asked: &mut Vec<Asked>| {
            if seen.insert(digest_of(&listed.key)) {
                let resource = entries.resource_of(&listed.key, catalogue);
                asked.push(Asked {
                    listed,
                    resource,
                    is_known: false,
                });
            }
        };
        let mut keys = lister.start();
        while let Some(keys) = keys.recv().await {
            let Keys::Page(page) = keys? else { continue };
            for listed in page {
                let is_as_before = self.known.is_as_before(&listed.key, listed.version);
                if !is_as_before || is_young(&listed, young_before) {
                    ask(listed, &mut found.asked);
                }
            }
        }
        for key in self.known.not_listed() {
            found.not_listed.insert(digest_of(&key));
            ask(Listed::unlisted(key), &mut found.asked);
        }
        Ok(found)
    }

    /// Gives what was read of an object, unless that is what it held before; what it holds, unless it is gone.
    async fn take(
        &mut self,
        context: &FetchContext,
        entries: &mut Entries,
        answered: Answered,
        before: Option<&Identity>,
    ) -> Result<Option<Identity>, BackupError> {
        let Answered {
            listed,
            fetched,
            room: _room,
            ..
        } = answered;
        let is_new = !self.known.has(&listed.key);
        let key = listed.key.as_str();
        let found = match fetched {
            Fetched::Line(line, identity) => {
                if identity.as_ref() != before {
                    entries.record(key, line, is_new).await?;
                }
                identity
            }
            Fetched::Frame {
                frame,
                row,
                identity,
            } => {
                if identity.as_ref() != before {
                    entries.frame(frame, row, is_new).await?;
                }
                identity
            }
            Fetched::Large(listed, place) => match large::open(context, &listed, &place).await? {
                Some(opened) => {
                    let identity = opened.identity;
                    if Some(&identity) != before {
                        entries.large(key, opened, is_new).await?;
                    }
                    Some(identity)
                }
                None => None,
            },
            // What is read of a part only isn't read again.
            Fetched::WithEntries(..) | Fetched::Unwanted | Fetched::Vanished(_) => None,
        };
        if found.is_some() {
            self.known.note(key, listed.version);
        } else if self.known.note_gone(key) {
            entries.gone(key).await?;
        }
        Ok(found)
    }
}

/// Whether an object may be replaced by another version that looks the same in a listing.
fn is_young(listed: &Listed, young_from: Option<Timestamp>) -> bool {
    let times = young_from.zip(listed.last_modified);
    times.is_none_or(|(from, time)| time >= from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_to_be_old_is_young() {
        let time = |seconds: i64| Some(Timestamp::from_unix_ms(seconds * 1_000));
        let listed = |last_modified| Listed {
            key: "a".to_owned(),
            size: 0,
            last_modified,
            version: 1,
            version_as_read: 1,
        };
        assert!(!is_young(&listed(time(9)), time(10)));
        assert!(is_young(&listed(time(10)), time(10)));
        assert!(is_young(&listed(time(9)), None), "the server has no clock");
        assert!(is_young(&listed(None), time(10)));
    }
}
