//! Chains of sealed backups: who can open them goes on from them, and nobody else.

use teeline::{
    ConsolidateRequest, DestinationSpec, KeySecret, Keys, Recipient, RestoreRequest, RestoreTarget,
    VerifyRequest, Which,
};

use crate::common::{assert_idle, store};
use crate::links::put;
use crate::server::Server;
use crate::site::{Site, assert_same};

fn key() -> KeySecret {
    let hex = "07".repeat(32);
    KeySecret::parse(&format!("hex:{hex}")).unwrap()
}

async fn sealed(site: &Site, backup_type: &str, to: &[DestinationSpec]) -> teeline::BackupReport {
    site.local_time.pass(1);
    let mut request = site.request(backup_type, to);
    request.recipients = vec![Recipient::of(&key(), Default::default())];
    request.keys = Keys::new(vec![key()]);
    let report = site.engine.backup(request).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    report
}

async fn assert_restores(site: &Site, which: Which, from: &[DestinationSpec]) {
    let server = Server::start().await;
    let target = RestoreTarget::Database(server.connection(""));
    let mut request = RestoreRequest::new(which, from.to_vec(), target);
    request.keys = Keys::new(vec![key()]);
    let report = site.engine.restore(request).await;
    assert!(report.error.is_none(), "{report:?}");
    assert_same(&server.objects("").await, &site.objects().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_chain_is_gone_on_from_restored_and_consolidated_by_who_has_the_key() {
    let site = Site::new().await;
    for id in 0..5 {
        site.writer.make(&put(id, id)).await;
    }
    site.wait(60_000);
    let at = [store("copy").1];
    let full = sealed(&site, "full", &at).await.id.unwrap();
    for id in 5..7 {
        site.writer.make(&put(id, id)).await;
        site.wait(60_000);
        let link = sealed(&site, "incremental", &at).await;
        assert!(link.parent.is_some(), "{link:?}");
        assert_eq!(link.changes.unwrap().records.unchanged, u64::from(id));
    }
    assert_restores(&site, Which::Latest, &at).await;
    let mut verify = VerifyRequest::new(at.to_vec());
    (verify.deep, verify.keys) = (true, Keys::new(vec![key()]));
    let verified = site.engine.verify(verify).await;
    assert_eq!(verified.exit_code(), 0, "{verified:?}");

    let link = site.engine.list(&at[..]).await.backups[0].id.clone();
    let mut request = ConsolidateRequest::new(at.to_vec(), link);
    request.keys = Keys::new(vec![key()]);
    let unsealed = site.engine.consolidate(request.clone()).await;
    let error = unsealed.error.unwrap();
    assert!(error.message.contains("it is sealed"), "{error:?}");
    request.recipients = vec![Recipient::of(&key(), Default::default())];
    let whole = site.engine.consolidate(request).await;
    assert_eq!(whole.exit_code(), 0, "{whole:?}");
    assert_ne!(whole.id.as_ref(), Some(&full));
    assert_restores(&site, Which::Id(whole.id.unwrap()), &at).await;
    assert_idle(&site.engine);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_not_open_what_there_is_makes_a_whole_one() {
    let site = Site::new().await;
    site.writer.make(&put(1, 1)).await;
    let at = [store("copy").1];
    sealed(&site, "full", &at).await;
    // Without a key the index of what is there can't be read.
    let plain = site.made("incremental", &at).await;
    assert_eq!(plain.parent, None);
    // What isn't sealed may have been put there by anybody.
    let plain = plain.id.unwrap();
    let again = sealed(&site, "incremental", &at).await;
    assert_ne!(again.parent.unwrap().id, plain);
    site.local_time.pass(1);
    let mut request = site.request("incremental", &at);
    request.recipients = vec![Recipient::of(&key(), Default::default())];
    let blind = site.engine.backup(request).await;
    assert_eq!((blind.exit_code(), blind.parent), (0, None));
}
