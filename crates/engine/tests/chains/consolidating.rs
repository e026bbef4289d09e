//! A full backup made of a chain, without the source.

use teeline::{ConsolidateRequest, DeleteRequest, Which, exit};

use crate::common::{assert_idle, store};
use crate::links::{delete, manifest, put};
use crate::site::{Site, assert_same};
use crate::writer::Change;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_becomes_one_backup_from_which_the_next_goes_on() {
    let site = Site::new().await;
    for id in 0..6 {
        site.writer.make(&put(id, id)).await;
    }
    let content = |seed| Change::Content {
        id: 3,
        is_large: true,
        seed,
    };
    site.writer.make(&content(1)).await;
    site.wait(60_000);
    let (sink, at) = store("copy");
    let at = [at];
    let full = site.made("full", &at).await;
    site.wait(60_000);
    for change in [put(1, 3), delete(2), content(2), Change::Declare { id: 4 }] {
        site.writer.make(&change).await;
    }
    site.wait(60_000);
    let link = site.made("incremental", &at).await;
    site.wait(60_000);
    let expected = site.objects().await;
    let before = site.writer.server.requests();

    let id = link.id.clone().unwrap();
    let request = ConsolidateRequest::new(at.to_vec(), id.clone());
    let made = site.engine.consolidate(request).await;
    assert_eq!(made.exit_code(), 0, "{made:?}");
    assert_eq!(
        site.writer.server.requests(),
        before,
        "the source isn't read"
    );
    let whole = made.id.clone().unwrap();
    let manifest = manifest(&sink, made.folder.as_ref().unwrap()).await;
    assert_eq!(manifest.started_at, link.started_at);
    assert_eq!(manifest.consolidates.as_ref().unwrap().id, id);
    assert_eq!((&manifest.parent, &manifest.deleted), (&None, &None));
    assert_eq!(
        (made.record_count, made.object_count, made.kept_raw > 0),
        (link.record_count, link.object_count, true)
    );
    let listed = site.engine.list(&at).await;
    assert_eq!(listed.backups[0].id, whole);
    assert_eq!(listed.backups[0].timestamp, link.started_at);
    assert_eq!(site.verify_deep(&whole, &at).await.exit_code(), 0);

    // Nothing of the chain is needed any more.
    let mut all = DeleteRequest::new(at.to_vec(), full.id.unwrap());
    all.cascade = true;
    let deleted = site.engine.delete(all).await;
    assert_eq!(deleted.exit_code(), 0, "{deleted:?}");
    assert_same(&site.restored(Which::Latest, &at).await, &expected);

    site.writer.make(&put(5, 1)).await;
    let next = site.made("incremental", &at).await;
    assert_eq!(next.parent.unwrap().id, whole);
    assert_eq!(next.changes.unwrap().records.changed, 1);
    let found = site.restored(Which::Latest, &at).await;
    assert_same(&found, &site.objects().await);
    assert_idle(&site.engine);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_restores_alone_is_not_consolidated() {
    let site = Site::new().await;
    site.writer.make(&put(1, 1)).await;
    let (_, at) = store("copy");
    let full = site.made("full", std::slice::from_ref(&at)).await;
    let request = ConsolidateRequest::new(vec![at], full.id.unwrap());
    let report = site.engine.consolidate(request).await;
    assert_eq!(report.exit_code(), exit::USAGE);
    let error = report.error.unwrap();
    assert!(error.message.contains("restored alone"), "{error:?}");
}
