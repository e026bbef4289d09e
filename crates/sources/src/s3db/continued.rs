//! What a run that is taken up doesn't read again: records of resources of which everybody has all, and that a listing shows as
//! they were.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use teeline_core::{BackupError, Basis, Class, ObjectsRead, ResourceId, ResumePoint};

use super::catalogue::Catalogue;
use super::changes::Unchanged;
use super::keys::{Keys, KeysReceiver, Lister};
use super::listing::Listed;
use super::read_ahead::{Asked, Step};
use super::walk::record_id;

/// The records of resources that aren't read again, as a run had read them.
pub(super) type LeftOut = HashMap<ResourceId, ObjectsRead>;

/// Which of these resources a listing shows as they were. Of what is kept raw some may be among the objects beside the records, which
/// are read anew, so such a resource is read as well.
pub(super) async fn unchanged(
    lister: Lister,
    points: Vec<ResumePoint>,
) -> Result<LeftOut, BackupError> {
    let known = points.into_iter().filter_map(|point| match point.basis {
        Basis::Objects(objects) if point.is_whole && point.kept_raw == 0 => {
            Some((point.resource, *objects))
        }
        Basis::Objects(_) | Basis::State(_) => None,
    });
    let mut known: HashMap<String, ObjectsRead> = known.collect();
    let mut left_out = LeftOut::new();
    if known.is_empty() || !lister.parts.are_whole() {
        return Ok(left_out);
    }
    let catalogue = Arc::clone(&lister.catalogue);
    let mut keys: KeysReceiver = lister.start();
    let mut listing = None;
    // The other resources, and what belongs to none, aren't listed to their end.
    while (!known.is_empty() || listing.is_some())
        && let Some(listed) = keys.recv().await.transpose()?
    {
        match listed {
            Keys::Begin(_, index) => {
                let name = &catalogue.resources[index].name;
                let expected = known.remove(name);
                listing = expected.map(|expected| (name, expected, ObjectsRead::default()));
            }
            Keys::Page(page) => {
                let Some((name, _, found)) = &mut listing else {
                    continue;
                };
                let records = page.iter();
                for listed in records.filter(|listed| record_id(&listed.key, name).is_some()) {
                    take(found, listed);
                }
            }
            Keys::End(id) => {
                if let Some((_, expected, found)) = listing.take()
                    && found.are(&expected)
                {
                    left_out.insert(id, expected);
                }
            }
        }
    }
    Ok(left_out)
}

/// The steps without the records of these resources. That they are still as they were is looked at once more.
pub(super) fn without(
    steps: impl Stream<Item = Result<Step<Asked>, BackupError>> + Send,
    left_out: LeftOut,
    catalogue: Arc<Catalogue>,
) -> impl Stream<Item = Result<Step<Asked>, BackupError>> + Send {
    let mut found = ObjectsRead::default();
    let mut resource = None;
    steps.map(move |step| match step? {
        Step::Begin(id) => {
            resource = left_out.contains_key(&id).then_some(id);
            found = ObjectsRead::default();
            Ok(Step::Begin(id))
        }
        Step::Object(asked) if resource.is_some() && is_record(&asked, &catalogue) => {
            take(&mut found, &asked.listed);
            Ok(Step::Unchanged(Unchanged::of(asked.listed)))
        }
        Step::End(id) => match left_out.get(&id) {
            Some(expected) if !found.are(expected) => Err(BackupError::new(
                Class::Transient,
                "read",
                "the database",
                "it was written to while it was looked whether it is as it was",
            )
            .suggest("try again")),
            _ => Ok(Step::End(id)),
        },
        step => Ok(step),
    })
}

fn take(objects: &mut ObjectsRead, listed: &Listed) {
    objects.take(&listed.key, listed.version_as_read, listed.last_modified);
}

fn is_record(asked: &Asked, catalogue: &Catalogue) -> bool {
    let resource = asked.resource.map(|index| &catalogue.resources[index]);
    resource.is_some_and(|resource| record_id(&asked.listed.key, &resource.name).is_some())
}
