//! What listing many backups of a bucket costs.

use futures::{StreamExt, stream};
use teeline::{DestinationSpec, ListRequest, ListedStatus, Timestamp, exit};
use teeline_core::{BackupId, CatalogEntry, Digest, Metadata, ObjectKey, document, layout};
use teeline_embedded_s3::{Credentials, EmbeddedS3};

use crate::engine_at;

const MANY: u32 = 10_000;
/// One page has a thousand keys at most.
const PAGES: u64 = 10;
/// An entry is read, and whether its manifest is there is asked.
const OF_EACH: u64 = 2;
/// The ledger is listed, where anything is shown.
const LEDGER: u64 = 1;

struct Many {
    server: EmbeddedS3,
    at: DestinationSpec,
    _folder: tempfile::TempDir,
}

/// The entry of one backup of many: one an hour, of two types.
fn entry(number: u32) -> CatalogEntry {
    let first: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
    let started_at = Timestamp::from_unix_ms(first.unix_ms() + i64::from(number) * 3_600_000);
    let label = if number.is_multiple_of(24) {
        "daily"
    } else {
        "hourly"
    };
    let id = BackupId::new(&label.parse().unwrap(), started_at, &[0; 10]);
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
        metadata: Metadata::default(),
        id,
    }
}

impl Many {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
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
                sink.put(&key, document::seal(&entry)).await.unwrap();
                let manifest = format!("{}/{}", entry.path, layout::MANIFEST);
                // Whether it is there is all that a listing looks at.
                let manifest = ObjectKey::new(manifest).unwrap();
                if number.is_multiple_of(24) {
                    sink.put(&manifest, "{}".into()).await.unwrap();
                }
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
async fn ten_thousand_backups_cost_a_page_a_thousand_and_what_is_shown_of_them() {
    let many = Many::new().await;
    let daily = |request: &mut ListRequest| request.backup_type = Some("daily".parse().unwrap());

    let (newest, requests) = many
        .list(|request| {
            daily(request);
            request.limit = Some(3);
        })
        .await;
    assert_eq!(newest, [9984, 9960, 9936]);
    assert!(requests <= PAGES + LEDGER + 2 * 3 * OF_EACH, "{requests}");

    let (of_a_week, requests) = many
        .list(|request| {
            daily(request);
            request.since = Some(Timestamp::first_of("2025-03-01").unwrap());
            request.until = Some(Timestamp::last_of("2025-03-07").unwrap());
        })
        .await;
    assert_eq!(of_a_week.len(), 7);
    assert_eq!(requests, PAGES + LEDGER + 7 * OF_EACH);

    let (of_a_month, requests) = many
        .list(|request| request.prefix = "daily-2025-02".to_owned())
        .await;
    assert_eq!(of_a_month.len(), 28);
    assert_eq!(requests, PAGES + LEDGER + 28 * OF_EACH);

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
