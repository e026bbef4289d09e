//! Where backups go below a destination's root, by the clocks of a place, and that readers need not know.

mod common;

use common::{engine, records, request, store};
use teeline::{Executor, PathTemplate, VerifyRequest};

/// The clock of the tests says 2026-11-23 at 02:00 in UTC.
#[tokio::test]
async fn a_path_goes_by_the_clocks_of_the_time_zone_and_is_found_again() {
    let engine = engine(Executor::Inline);
    for (zone, template, expected) in [
        ("UTC", "{year}/{month}/{day}", "2026/11/23"),
        ("America/New_York", "{year}/{month}/{day}", "2026/11/22"),
        (
            "Asia/Kolkata",
            "{type}/{date}T{time}",
            "full/2026-11-23T07-30-00",
        ),
        ("Asia/Tokyo", "at-{time}/{backupId}", "at-11-00-00"),
    ] {
        let (sink, spec) = store("a");
        let mut request = request(&records(10), std::slice::from_ref(&spec));
        request.path = PathTemplate::new(template).expect("a template");
        request.time_zone = zone.parse().expect("a zone");
        let report = engine.backup(request).await;
        assert_eq!(report.exit_code(), 0, "{zone}: {report:?}");
        let id = report.id.expect("an id").to_string();
        assert!(id.starts_with("full-2026-11-23T02-00-00-"), "{id}");
        let manifest = format!("{expected}/{id}/manifest.json");
        let keys = sink.keys();
        assert!(keys.iter().any(|key| key.as_str() == manifest), "{keys:?}");
        // Nobody who reads is told the template.
        let listed = engine.list(&[spec.clone()][..]).await;
        assert_eq!(
            listed.backups[0].path.as_deref(),
            Some(&*format!("{expected}/{id}"))
        );
        let verified = engine.verify(VerifyRequest::new(vec![spec])).await;
        assert_eq!(verified.exit_code(), 0, "{verified:?}");
    }
}
