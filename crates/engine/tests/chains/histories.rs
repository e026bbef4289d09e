//! Any history of a database, with its backups.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;
use teeline::{BackupId, ConsolidateRequest, DestinationSpec, IncrementalBase, Which};
use teeline_fault_proxy::{FaultProxy, Watcher};
use tokio::sync::Mutex;

use crate::common::{assert_idle, store};
use crate::server::Objects;
use crate::site::{Site, assert_same};
use crate::writer::{Change, changes};

#[derive(Debug, Clone)]
enum Step {
    Change(Change),
    /// Time passes at the server, and by the clock of this machine, which may be wrong.
    Wait(i64, i64),
    /// A backup, while the database changes.
    Backup {
        full: bool,
        base: bool,
        settle_passes_max: u32,
        meanwhile: Vec<Change>,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let local = prop_oneof![Just(0_i64), 1_i64..9_000, Just(86_400_000)];
    let server = prop_oneof![Just(0_i64), 1_i64..1_500, 2_000_i64..20_000];
    let meanwhile = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(changes(), 1..8),
    ];
    let backup = (
        any::<[bool; 2]>(),
        prop_oneof![3 => Just(0_u32), 1 => Just(2)],
        meanwhile,
    );
    let backup = backup.prop_map(
        |([full, base], settle_passes_max, meanwhile)| Step::Backup {
            full: full && base,
            base,
            settle_passes_max,
            meanwhile,
        },
    );
    let step = prop_oneof![
        6 => changes().prop_map(Step::Change),
        3 => (server, local).prop_map(|(server, local)| Step::Wait(server, local)),
        2 => backup,
    ];
    prop::collection::vec(step, 0..40)
}

/// What is to change while a backup is made, and how many requests there were meanwhile.
type Due = Arc<Mutex<(u32, VecDeque<Change>)>>;

/// A proxy before the database, which makes one of the changes that are due before every other request. One for all backups: by
/// another address the database would be another source.
async fn proxy(site: &Site, due: &Due) -> FaultProxy {
    let (due, writer) = (Arc::clone(due), Arc::clone(&site.writer));
    let watcher: Watcher = Arc::new(move |_| {
        let (due, writer) = (Arc::clone(&due), Arc::clone(&writer));
        Box::pin(async move {
            let mut due = due.lock().await;
            due.0 += 1;
            if due.0.is_multiple_of(2)
                && let Some(change) = due.1.pop_front()
            {
                writer.make(&change).await;
            }
        })
    });
    FaultProxy::watched(site.writer.server.address(), watcher)
        .await
        .unwrap()
}

/// A backup through that proxy. Each but the first one goes on from another one, unless it is to be full.
async fn backup(
    site: &Site,
    (proxy, due): (&FaultProxy, &Due),
    to: &[DestinationSpec],
    step: &Step,
) -> BackupId {
    let Step::Backup {
        full,
        base,
        settle_passes_max,
        meanwhile,
    } = step
    else {
        panic!("it is none: {step:?}");
    };
    let is_first = site.engine.list(to).await.backups.is_empty();
    *due.lock().await = (0, VecDeque::from(meanwhile.clone()));
    let backup_type = if *full { "full" } else { "incremental" };
    let mut request = site.request_over(&proxy.address(), *settle_passes_max, backup_type, to);
    if *base && !*full {
        request.base = IncrementalBase::Full;
    }
    site.local_time.pass(1);
    let report = site.engine.backup(request).await;
    due.lock().await.1.clear();
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert!(report.warnings.is_empty(), "{report:?}");
    let is_link = report.parent.is_some();
    assert_eq!(is_link, !is_first && !*full, "{:?}", report.whole_because);
    report.id.unwrap()
}

async fn assert_restores(site: Site, steps: &[Step]) {
    let (_, at) = store("copy");
    let at = [at];
    let due = Due::default();
    let proxy = proxy(&site, &due).await;
    let mut rested: Vec<(BackupId, Objects)> = Vec::new();
    let last_step = Step::Backup {
        full: false,
        base: false,
        settle_passes_max: 0,
        meanwhile: Vec::new(),
    };
    for step in steps.iter().chain([&last_step]) {
        match step {
            Step::Change(change) => site.writer.make(change).await,
            Step::Wait(server, local) => {
                site.server_time.pass(*server);
                site.local_time.pass(*local);
            }
            Step::Backup { meanwhile, .. } => {
                let id = backup(&site, (&proxy, &due), &at, step).await;
                if meanwhile.is_empty() {
                    rested.push((id, site.objects().await));
                }
            }
        }
    }
    for (id, expected) in &rested {
        let found = site.restored(Which::Id(id.clone()), &at).await;
        assert_same(&found, expected);
        let verified = site.verify_deep(id, &at).await;
        assert_eq!(verified.exit_code(), 0, "{verified:?}");
    }
    let (last, expected) = &rested[rested.len() - 1];
    let mut request = ConsolidateRequest::new(at.to_vec(), last.clone());
    (request.recipients, request.keys) = (site.recipients(), site.keys());
    let made = site.engine.consolidate(request).await;
    if made.exit_code() == 0 {
        let id = made.id.unwrap();
        assert_same(&site.restored(Which::Id(id), &at).await, expected);
        let next = backup(&site, (&proxy, &due), &at, &last_step).await;
        let found = site.restored(Which::Id(next), &at).await;
        assert_same(&found, expected);
    } else {
        let error = made.error.clone();
        let error = error.unwrap_or_else(|| panic!("{made:?}"));
        assert!(error.message.contains("restored alone"), "{error:?}");
    }
    assert_idle(&site.engine);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("TEELINE_TEST_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(16)
    ))]

    #[test]
    fn every_link_restores_to_what_the_database_was(steps in steps(), only_seals: bool) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let site = match only_seals {
                true => Site::that_only_seals().await,
                false => Site::new().await,
            };
            assert_restores(site, &steps).await;
        });
    }
}
