//! The deep check of a copy: all of it is decoded, parsed and counted, as a restore would, and compared with what the manifest
//! says it holds.

use std::sync::Arc;

use futures::TryStreamExt;
use teeline_core::{
    BackupError, CatalogEntry, LineCheck, LineOrigin, ResourceEntry, SourceKind, check_lines,
};

use crate::catalog::Asked;
use crate::chain::Chain;
use crate::keys::Keys;
use crate::plain::count_lines;
use crate::report::Contained;
use crate::restore::{Contents, count_first};
use crate::standing::{Standing, records_as_objects};

/// Reads a copy through, whose digests are right.
///
/// # Errors
/// Of class [`Corrupt`](teeline_core::Class::Corrupt), where it doesn't hold what the manifest says.
pub(super) async fn read_through(
    asked: &Asked,
    entry: &CatalogEntry,
    keys: &Keys,
) -> Result<Contained, BackupError> {
    let chain = Chain::at(asked, entry, keys).await?;
    let manifest = Arc::clone(chain.manifest());
    chain.last().check_seals().await?;
    let contents = Contents::open(&chain).await?;
    let resources: Vec<&ResourceEntry> = manifest.resources.iter().collect();
    let mut contained = Contained::default();
    let mut all = contents.lines(&resources);
    while let Some((name, lines)) = all.try_next().await? {
        let first = contained.records + 1;
        contained.records += count_lines(&lines);
        match manifest.source.kind {
            SourceKind::S3db => parse(&name, first, &lines)?,
            // They are carried as they were, and may not have been checked.
            SourceKind::Jsonl => contained.not_json += count_not_json(&name, &lines),
        }
    }
    drop(all);
    let mut frames = contents.frames(&resources);
    while let Some(frames) = frames.try_next().await? {
        contained.objects += count_first(&frames);
    }
    let standing = Standing {
        records: contained.records,
        objects: contained.objects,
        records_as_objects: records_as_objects(&chain).await?,
    };
    standing.compare(&chain, "read")?;
    Ok(contained)
}

fn parse(resource: &Arc<str>, first: u64, lines: &[u8]) -> Result<(), BackupError> {
    let origin = LineOrigin {
        file: Arc::clone(resource),
        line: first,
        check: LineCheck::Json,
    };
    check_lines(lines, &origin).map_err(|error| {
        BackupError::corrupt(error.subject(), format!("a record is {}", error.message()))
    })
}

fn count_not_json(resource: &Arc<str>, lines: &[u8]) -> u64 {
    if parse(resource, 1, lines).is_ok() {
        return 0;
    }
    let each = lines.split_inclusive(|byte| *byte == b'\n');
    let not_json = each.filter(|line| parse(resource, 1, line).is_err());
    not_json.count() as u64
}
