//! What listing many backups of a bucket costs.

use std::path::Path;

use futures::{StreamExt, stream};
use teeline::{DestinationSpec, ListRequest, ListedStatus, Timestamp, exit};
use teeline_core::{BackupId, CatalogEntry, Digest, Metadata, document, layout, published_marker};
use teeline_embedded_s3::{Credentials, EmbeddedS3};

use crate::engine_at;

const MANY: u32 = 10_000;
/// One page has a thousand keys at most, and a backup that a cleanup has found old enough has one.
const PAGES: u64 = 10;
/// The ledger is listed, where anything is shown.
const LEDGER: u64 = 1;

struct Many {
    server: EmbeddedS3,
    at: DestinationSpec,
    _folder: tempfile::TempDir,
}

/// The entry of one backup of many: one an hour, of two types and five sites.
fn entry(number: u32) -> CatalogEntry {
    let first: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
    let started_at = Timestamp::from_unix_ms(first.unix_ms() + i64::from(number) * 3_600_000);
    let label = if number.is_multiple_of(24) {
        "daily"
    } else {
        "hourly"
    };
    let id = BackupId::new(&label.parse().unwrap(), started_at, &[0; 10]);
    let sites = ["north", "east", "south", "west", "middle"];
    let site = sites[number as usize % sites.len()];
    let site = [("site".to_owned(), site.into())].into_iter().collect();
    CatalogEntry {
        backup_type: id.backup_type(),
        started_at,
        path: id.to_string(),
        records: number.into(),
        stored_bytes: 1,
        plain_bytes: 1,
        checksum: Digest::of(b""),
        manifest_bytes: 1,
        sealed: false,
        parent: None,
        in_part: false,
        asked_for: None,
        metadata: Metadata::new(site).unwrap(),
        id,
    }
}

impl Many {
    async fn new() -> Self {
        // In memory, where there is such a folder: the server has each of 10,000 objects on disk before it answers.
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let folder = folder.unwrap();
        let keys = Credentials {
            access_key: "me".into(),
            secret_key: "secret".into(),
        };
        let server = EmbeddedS3::start(folder.path().join("s3"), keys).unwrap();
        server.create_bucket("bucket").unwrap();
        let url = server.url("bucket", "copies");
        let at = DestinationSpec::parse(url.split('?').next().unwrap()).unwrap();
        let sink = engine_at("2027-01-01T00:00:00Z").open(&at).await.unwrap();
        let put = |number| {
            let sink = &sink;
            async move {
                let entry = entry(number);
                let key = layout::catalog_entry(&entry.id, entry.started_at).unwrap();
                let document = document::seal(&entry);
                let folded = published_marker::folded_key_of(&key, &document).unwrap();
                sink.put(&folded.unwrap(), "".into()).await.unwrap();
            }
        };
        stream::iter(0..MANY)
            .map(put)
            .buffer_unordered(32)
            .count()
            .await;
        Many {
            server,
            at,
            _folder: folder,
        }
    }

    /// The numbers of the backups that are listed, and how many requests that took.
    async fn list(&self, change: impl Fn(&mut ListRequest)) -> (Vec<u64>, u64) {
        let mut request = ListRequest::new(vec![self.at.clone()]);
        change(&mut request);
        let before = self.server.requests();
        let report = engine_at("2027-01-01T00:00:00Z").list(request).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        let numbers = report.backups.iter().map(|listed| listed.record_count);
        (numbers.collect(), self.server.requests() - before)
    }
}

#[tokio::test]
async fn ten_thousand_backups_cost_the_pages_of_the_catalogue_and_nothing_else() {
    let many = Many::new().await;

    let (all, requests) = many.list(|_| ()).await;
    assert!(all.into_iter().eq((0..u64::from(MANY)).rev()));
    assert_eq!(requests, PAGES + LEDGER);

    let (newest, requests) = many
        .list(|request| {
            request.backup_type = Some("daily".parse().unwrap());
            request.metadata = vec![("site".to_owned(), "north".to_owned())];
            request.limit = Some(3);
        })
        .await;
    assert_eq!(newest, [9960, 9840, 9720]);
    assert_eq!(requests, PAGES + LEDGER);

    let (of_a_week, requests) = many
        .list(|request| {
            request.prefix = "daily-2025-0".to_owned();
            request.since = Some(Timestamp::first_of("2025-03-01").unwrap());
            request.until = Some(Timestamp::last_of("2025-03-07").unwrap());
        })
        .await;
    assert_eq!((of_a_week.len(), requests), (7, PAGES + LEDGER));

    let (nothing, requests) = many
        .list(|request| request.prefix = "full".to_owned())
        .await;
    assert_eq!((nothing.len(), requests), (0, PAGES));

    let (failed, requests) = many
        .list(|request| request.status = ListedStatus::Failed)
        .await;
    assert!(failed.is_empty());
    assert!(requests <= PAGES + 1, "no run left a record: {requests}");
}
