//! A database that is backed up by a host which can only seal: what it keeps stands for the indexes that it can't read.

use teeline::sinks::{Fault, Operation, What, When};
use teeline::{Class, DestinationStatus, StrategyKind, Which, exit};

use crate::common::{assert_idle, failing, store};
use crate::links::{delete, put};
use crate::site::{Site, assert_same};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_links_have_what_has_changed_and_restore_to_what_there_was() {
    let site = Site::that_only_seals().await;
    for id in 0..10 {
        site.writer.make(&put(id, id)).await;
    }
    site.wait(60_000);
    let at = [store("copy").1];
    let mut parent = site.made("full", &at).await.id;
    for (round, gone) in [(1, 5), (2, 6)] {
        site.wait(60_000);
        for change in [put(3, round), put(20 + round, 1), delete(gone)] {
            site.writer.make(&change).await;
        }
        site.wait(60_000);
        let made = site.made("incremental", &at).await;
        assert_eq!(made.parent.map(|it| it.id), parent);
        let records = made.changes.unwrap().records;
        assert_eq!((records.created, records.changed), (1, 1), "{records:?}");
        assert_eq!((records.deleted, records.unchanged), (1, 8), "{records:?}");
        let found = site.restored(Which::Latest, &at).await;
        assert_same(&found, &site.objects().await);
        parent = made.id;
    }
    assert_idle(&site.engine);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unchanged_is_listed_only() {
    let site = Site::that_only_seals().await;
    let records = 3_000;
    site.writer.put_many(0..records, 1).await;
    site.wait(60_000);
    let at = [store("copy").1];
    site.made("full", &at).await;
    // The second link goes on from what the first one was laid over.
    for round in 2..4 {
        site.wait(60_000);
        let changed = records / 100;
        let numbers = (0..changed).map(|number| number * 100 + round);
        site.writer.put_many(numbers, round).await;
        site.wait(60_000);
        let before = site.writer.server.requests();
        let made = site.made("incremental", &at).await;
        let requests = site.writer.server.requests() - before;
        let compared = made.changes.unwrap().records;
        assert_eq!(compared.changed, u64::from(changed));
        assert_eq!(compared.unchanged, u64::from(records - changed));
        let needed = u64::from(records).div_ceil(1_000) + u64::from(changed);
        // As for a host that has the key.
        assert!(requests <= needed + 20, "{requests} requests for {needed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lacks_its_parent_gets_it_or_lists_nothing_that_it_can_not_restore() {
    let site = Site::that_only_seals().await;
    site.writer.make(&put(1, 1)).await;
    site.wait(60_000);
    let (_, one) = store("one");
    let full = site.made("full", std::slice::from_ref(&one)).await;
    site.wait(60_000);
    site.writer.make(&put(2, 2)).await;
    let (_, two) = store("two");
    let refuses = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (_, three) = failing("three", refuses.on_keys_with("full-"));
    let mut request = site.request("incremental", &[one, two.clone(), three.clone()]);
    request.strategy = StrategyKind::Any;
    site.local_time.pass(1);
    let made = site.engine.backup(request).await;
    assert_eq!(made.exit_code(), exit::DEGRADED, "{made:?}");
    assert_eq!(made.parent.unwrap().id, full.id.unwrap());
    let statuses: Vec<_> = made.destinations.iter().map(|at| at.status).collect();
    let (done, behind) = (DestinationStatus::Committed, DestinationStatus::Behind);
    assert_eq!(statuses, [done, done, behind]);
    let found = site.restored(Which::Latest, &[two]).await;
    assert_same(&found, &site.objects().await);
    assert!(site.engine.list(&[three][..]).await.backups.is_empty());
}
