//! What a chain says of each object, for a scan that goes on from it: read from the indexes, which are small beside the
//! data, and from what is gone or had changed when it was read again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt, future};
use teeline_core::chain::{Base, BaseItem, KnownLine, LineDigest};
use teeline_core::{BackupError, LINES_NAME, ObjectRow, ResourceEntry, SourceKind};
use teeline_sources::s3db::{Said, record_of, said};

use super::Chain;
use crate::copies::Copies;
use crate::plain::plain;
use crate::restore::Contents;

type Items = BoxStream<'static, Result<BaseItem, BackupError>>;

impl Chain {
    /// What the chain says, for a scan.
    pub(crate) fn base(&self) -> Base {
        if self.manifest().source.kind == SourceKind::Jsonl {
            return Base {
                server_time: None,
                since: None,
                backups: Vec::new(),
                lines: Some(known_lines(self)),
            };
        }
        let each = self.backups.iter().flat_map(|copies| {
            let laid_over = stream::once(changes(Arc::clone(copies))).map_ok(stream::iter);
            [in_data_files(copies), laid_over.try_flatten().boxed()]
        });
        Base {
            server_time: self.manifest().source.server_time,
            since: None,
            backups: each.collect(),
            lines: None,
        }
    }
}

/// All lines of a chain: as the last link says, or else what a restore of it gives.
fn known_lines(chain: &Chain) -> BoxStream<'static, Result<KnownLine, BackupError>> {
    let last = chain.last();
    if let Some(lines) = &last.manifest.lines {
        let known = plain(last, lines).and_then(|lines| {
            let known = KnownLine::decode_all(LINES_NAME, &lines);
            future::ready(known.map(|known| stream::iter(known.into_iter().map(Ok))))
        });
        return known.try_flatten().boxed();
    }
    let chain = chain.clone();
    let opening = async move {
        let contents = Contents::open(&chain).await?;
        let resources: Vec<&ResourceEntry> = chain.manifest().resources.iter().collect();
        Ok::<_, BackupError>(contents.lines(&resources))
    };
    let lines = stream::once(opening).try_flatten();
    let known = lines.map_ok(|(resource, lines)| {
        let known: Vec<_> = lines
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| {
                Ok(KnownLine {
                    resource: resource.to_string(),
                    line: LineDigest::of(line),
                    times: 1,
                })
            })
            .collect();
        stream::iter(known)
    });
    known.try_flatten().boxed()
}

/// What the data files of a backup hold. A record that is large has a line and an object, and is told of once.
fn in_data_files(copies: &Arc<Copies>) -> Items {
    type Large = Arc<Mutex<HashMap<String, ObjectRow>>>;
    let manifest = &copies.manifest;
    let large = Large::default();
    let set_aside = Arc::clone(&large);
    let objects = rows(copies, manifest.objects.iter()).try_filter_map(move |row| {
        let is_record = record_of(&row.key).is_some();
        let item = match is_record {
            true => {
                let mut large = set_aside.lock().unwrap_or_else(PoisonError::into_inner);
                large.insert(row.key.clone(), row);
                None
            }
            false => Some(object(row, false, true)),
        };
        future::ready(Ok(item))
    });
    let taken = Arc::clone(&large);
    let records = rows(copies, manifest.resources.iter()).map_ok(move |row| {
        let mut large = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let has_object = large.remove(&row.key).is_some();
        object(row, true, has_object)
    });
    let rest = stream::once(async move {
        let mut large = large.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = std::mem::take(&mut *large).into_values();
        let items = rest.map(|row| Ok(object(row, false, true)));
        Ok(stream::iter(items.collect::<Vec<_>>()))
    });
    objects.chain(records).chain(rest.try_flatten()).boxed()
}

/// What is gone since the parent, and what had changed when a backup was read again: the last word about each object.
async fn changes(copies: Arc<Copies>) -> Result<Vec<Result<BaseItem, BackupError>>, BackupError> {
    let manifest = Arc::clone(&copies.manifest);
    let mut last: HashMap<String, Said> = HashMap::new();
    for changes in manifest.deleted.iter().chain(&manifest.settled) {
        let mut chunks = plain(&copies, changes);
        while let Some(lines) = chunks.try_next().await? {
            last.extend(
                said(&lines)?
                    .into_iter()
                    .map(|said| (said.key.clone(), said)),
            );
        }
    }
    let mut versions = HashMap::new();
    let mut all = rows(&copies, manifest.settled.iter());
    while let Some(row) = all.try_next().await? {
        versions.insert(row.key.clone(), row);
    }
    let items = last.into_values().map(|said| {
        if said.is_gone() {
            return Ok(BaseItem::Gone(said.key));
        }
        let row = versions.remove(&said.key).ok_or_else(|| {
            BackupError::corrupt(&manifest.id, format!("no index has the key {:?}", said.key))
        })?;
        Ok(object(row, said.as_line, said.as_frame))
    });
    Ok(items.collect())
}

fn object(row: ObjectRow, as_line: bool, as_frame: bool) -> BaseItem {
    BaseItem::Object {
        row,
        as_line,
        as_frame,
    }
}

/// What the indexes of resources say of objects.
fn rows<'a>(
    copies: &Arc<Copies>,
    resources: impl Iterator<Item = &'a ResourceEntry>,
) -> BoxStream<'static, Result<ObjectRow, BackupError>> {
    let segments: Vec<_> = resources
        .flat_map(|resource| {
            let name: Arc<str> = resource.name.as_str().into();
            let segments = resource.segments.iter().cloned();
            segments.map(move |segment| (Arc::clone(&name), segment))
        })
        .collect();
    let copies = Arc::clone(copies);
    stream::iter(segments)
        .then(move |(name, segment)| {
            let copies = Arc::clone(&copies);
            async move {
                let rows = copies.rows(&name, &segment).await?;
                Ok::<_, BackupError>(stream::iter(rows.into_iter().map(Ok)))
            }
        })
        .try_flatten()
        .boxed()
}
