//! What of a database isn't as a backup has it, by what a listing shows.
//!
//! The index of the parent, and of its own parents, says of each object in which version it was read. It is held as
//! [`Known`] holds it: about 50 bytes for an object. What is listed in that very version, and was clearly older when the
//! parent's scan began, isn't read again.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{Stream, TryStreamExt, stream};
use teeline_core::chain::{Base, BaseItem, Compared, Verdict, judge, version_of, young_from};
use teeline_core::{
    BackupError, Changes, Item, ResourceCounts, ResourceId, ResourceKind, Timestamp,
};

use super::catalogue::Catalogue;
use super::items::{Batch, Items};
use super::keys::{Keys, KeysReceiver};
use super::known::Known;
use super::listing::Listed;
use super::read_ahead::{Asked, Step};
use super::settled::SettledLine;
use super::walk::{is_left_out, record_id, record_of};

/// The lowest bits of a noted version say how the object is carried; the others are those of the version.
const AS_LINE: u64 = 1;
const AS_FRAME: u64 = 2;

/// What the parent and its own parents have.
pub(super) struct ParentIndex {
    known: Known,
    young_from: Option<Timestamp>,
    /// What is unknown and clearly older isn't wanted.
    wanted_from: Option<Timestamp>,
}

/// Objects that are as the parent has them.
#[derive(Default)]
pub(super) struct Unchanged {
    /// They themselves, for whoever settles.
    pub(super) listed: Vec<Listed>,
    /// How many of them have lines.
    records: u64,
    /// How many of them are, or have, objects.
    objects: u64,
}

impl Unchanged {
    /// An object that nobody counts.
    pub(super) fn of(listed: Listed) -> Self {
        Unchanged {
            listed: vec![listed],
            ..Unchanged::default()
        }
    }
}

impl ParentIndex {
    /// Takes all that a chain says.
    pub(super) async fn read(base: Base) -> Result<Self, BackupError> {
        let mut known = Known::default();
        for mut items in base.backups {
            known.begin_pass();
            while let Some(item) = items.try_next().await? {
                match item {
                    BaseItem::Object {
                        row,
                        as_line,
                        as_frame,
                    } if !is_left_out(&row.key) => {
                        let version = version_of(row.last_modified, row.etag.as_deref(), row.size);
                        let carried = u64::from(as_line) * AS_LINE + u64::from(as_frame) * AS_FRAME;
                        known.note(&row.key, of(version) | carried);
                    }
                    BaseItem::Object { .. } => {}
                    BaseItem::Gone(key) => drop(known.note_gone(&key)),
                }
            }
        }
        known.begin_pass();
        Ok(ParentIndex {
            known,
            young_from: young_from(base.server_time),
            wanted_from: young_from(base.since),
        })
    }

    /// What is to be done about a listed object, and how the parent carries it.
    fn judge(&mut self, listed: &Listed, is_record: bool) -> (Verdict, u64) {
        let noted = self.known.before(&listed.key);
        let carried = noted.unwrap_or(0) & (AS_LINE | AS_FRAME);
        // Whether it is a record may have changed with the catalogue.
        let is_carried_so = is_record == (carried & AS_LINE != 0);
        let verdict = judge(
            noted.map(of),
            of(listed.version_as_read),
            listed.last_modified,
            self.young_from.filter(|_| is_carried_so),
        );
        let is_wanted = || !is_before(listed, self.wanted_from);
        match verdict {
            Verdict::New if !is_wanted() => (Verdict::Unchanged, carried),
            verdict => (verdict, carried),
        }
    }
}

fn is_before(listed: &Listed, time: Option<Timestamp>) -> bool {
    let times = listed.last_modified.zip(time);
    times.is_some_and(|(written, time)| written < time)
}

/// A version without the bits that say how an object is carried.
fn of(version: u64) -> u64 {
    version & !(AS_LINE | AS_FRAME)
}

/// The keys of what is to be read, one by one: what isn't surely as the parent has it, and in the end what the parent has and
/// isn't listed. It may be there all the same, so it is asked for before it is said to be gone.
pub(super) fn changed(
    keys: KeysReceiver,
    parent: ParentIndex,
    catalogue: Arc<Catalogue>,
    settles: bool,
) -> impl Stream<Item = Result<Step<Asked>, BackupError>> + Send {
    let comparison = Comparison {
        keys: Some(keys),
        parent,
        catalogue,
        resource: None,
        settles,
    };
    stream::try_unfold(comparison, |mut comparison| async move {
        let steps = comparison.next().await?;
        Ok::<_, BackupError>(steps.map(|steps| (steps, comparison)))
    })
    .map_ok(|steps| stream::iter(steps.into_iter().map(Ok)))
    .try_flatten()
}

struct Comparison {
    /// Until all are listed.
    keys: Option<KeysReceiver>,
    parent: ParentIndex,
    catalogue: Arc<Catalogue>,
    /// The place in the catalogue of the resource that is being listed.
    resource: Option<usize>,
    /// Whether somebody wants to know what is unchanged.
    settles: bool,
}

impl Comparison {
    async fn next(&mut self) -> Result<Option<Vec<Step<Asked>>>, BackupError> {
        let Some(keys) = &mut self.keys else {
            return Ok(None);
        };
        Ok(Some(match keys.recv().await.transpose()? {
            Some(Keys::Begin(id, index)) => {
                self.resource = Some(index);
                vec![Step::Begin(id)]
            }
            Some(Keys::End(id)) => {
                self.resource = None;
                vec![Step::End(id)]
            }
            Some(Keys::Page(page)) => self.compare(page),
            None => {
                self.keys = None;
                let not_listed = self.parent.known.not_listed().into_iter();
                let asked = not_listed.map(|key| Asked {
                    listed: Listed::unlisted(key),
                    resource: None,
                    is_known: true,
                });
                asked.map(Step::Object).collect()
            }
        }))
    }

    fn compare(&mut self, page: Vec<Listed>) -> Vec<Step<Asked>> {
        let (mut steps, mut unchanged) = (Vec::new(), Unchanged::default());
        for listed in page {
            let name = self
                .resource
                .map(|index| &self.catalogue.resources[index].name);
            let is_record = name.is_some_and(|name| record_id(&listed.key, name).is_some());
            let (verdict, carried) = self.parent.judge(&listed, is_record);
            if verdict == Verdict::Unchanged {
                unchanged.records += u64::from(carried & AS_LINE != 0);
                unchanged.objects += u64::from(carried & AS_FRAME != 0);
                unchanged.listed.extend(self.settles.then_some(listed));
            } else {
                steps.push(Step::Object(Asked {
                    listed,
                    resource: self.resource,
                    is_known: verdict == Verdict::Again,
                }));
            }
        }
        steps.push(Step::Unchanged(unchanged));
        steps
    }
}

/// What is gone since the parent, as lines to be given, and what is other than there.
pub(super) struct Deletions {
    id: ResourceId,
    /// The resources whose records have lines.
    planned: HashSet<String>,
    begun: bool,
    batch: Batch,
    changes: Changes,
}

impl Deletions {
    pub(super) fn new(id: ResourceId, planned: impl Iterator<Item = ResourceKind>) -> Self {
        let names = planned.filter_map(|kind| match kind {
            ResourceKind::Records(name) => Some(name),
            _ => None,
        });
        Deletions {
            id,
            planned: names.collect(),
            begun: false,
            batch: Batch::default(),
            changes: Changes::default(),
        }
    }

    /// Counts an object that was given.
    pub(super) fn found(&mut self, key: &str, is_known: bool) {
        let compared = self.compared(key);
        match is_known {
            true => compared.changed += 1,
            false => compared.created += 1,
        }
    }

    /// Counts those that weren't, since the parent has them.
    pub(super) fn unchanged(&mut self, unchanged: &Unchanged) {
        self.changes.records.unchanged += unchanged.records;
        self.changes.objects.unchanged += unchanged.objects;
    }

    /// Gives word that an object is gone.
    pub(super) async fn gone(&mut self, items: &Items, key: &str) -> Result<(), BackupError> {
        self.compared(key).deleted += 1;
        self.batch
            .push(&SettledLine::gone(key).encode()?, Vec::new());
        match self.batch.is_full() {
            true => self.flush(items).await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self, items: &Items) -> Result<(), BackupError> {
        if !std::mem::replace(&mut self.begun, true) {
            items.give(Item::Begin(self.id)).await?;
        }
        items.flush(self.id, &mut self.batch).await
    }

    /// Gives the rest, and what was counted.
    pub(super) async fn end(mut self, items: &Items) -> Result<(), BackupError> {
        self.flush(items).await?;
        let counts = ResourceCounts {
            changes: Some(self.changes),
            ..ResourceCounts::default()
        };
        items.give(Item::End(self.id, counts)).await
    }

    fn compared(&mut self, key: &str) -> &mut Compared {
        match record_of(key).is_some_and(|(name, _)| self.planned.contains(name)) {
            true => &mut self.changes.records,
            false => &mut self.changes.objects,
        }
    }
}
