//! Two who withdraw what a link goes on from that a third one is making, stopped at the calls that matter.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use teeline::sinks::{MemorySink, Operation};
use teeline::{BackupId, DeleteRequest, DestinationSpec, Engine, RunStatus, Span};
use teeline_core::ObjectKey;

use crate::common::assert_idle;
use crate::common::watched::watched;
use crate::{Scene, lines, request, sorted};

/// Who works at a store that stops it at some of its calls, until it may go on.
struct Stopped {
    works: JoinHandle<()>,
    stops: Receiver<()>,
    goes_on: SyncSender<()>,
}

/// Begins what works at the store, and waits until it comes to the first of the calls that `stops_at` is true for.
fn begin(
    store: &MemorySink,
    stops_at: fn(Operation, &str) -> bool,
    works: impl FnOnce(DestinationSpec) + Send + 'static,
) -> Stopped {
    let (arrives, stops) = mpsc::sync_channel(1);
    let (goes_on, waits) = mpsc::sync_channel(1);
    let waits = Mutex::new(waits);
    let meets = move |operation: Operation, key: Option<&ObjectKey>| {
        if key.is_some_and(|key| stops_at(operation, key.as_str())) {
            // Nobody waits for it once it is let come to its end.
            let _ = arrives.send(()).is_ok() && waits.lock().unwrap().recv().is_ok();
        }
        Ok(())
    };
    let at = watched(store, "one", meets);
    let stopped = Stopped {
        works: std::thread::spawn(move || works(at)),
        stops,
        goes_on,
    };
    stopped.stops.recv().expect("it comes to that call");
    stopped
}

impl Stopped {
    /// Lets it come to the next of them.
    fn goes_on(&self) {
        self.goes_on.send(()).unwrap();
        self.stops.recv().expect("it comes to another one");
    }

    /// Lets it come to the next of them, or to its end.
    fn goes_on_or_ends(&self) {
        self.goes_on.send(()).unwrap();
        let _ = self.stops.recv();
    }

    /// Lets it come to its end.
    fn ends(self) {
        drop((self.goes_on, self.stops));
        self.works.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_while_two_delete_what_it_goes_on_from() {
    let engines = [Engine::new().unwrap(), Engine::new().unwrap()];
    let third = Engine::new().unwrap();
    let mut scene = Scene::new(&engines).await;
    let delete = |engine: &Engine| {
        let (engine, id) = (engine.clone(), scene.last.clone());
        move |at: DestinationSpec| {
            let mut request = DeleteRequest::new(vec![at], id);
            request.retention.grace = Span::from_ms(0);
            drop(engine.delete_blocking(request));
        }
    };
    let made = Arc::new(Mutex::new(None));
    let link = {
        let (file, made) = (scene.source("own", 320), Arc::clone(&made));
        let engine = third.clone();
        move |at: DestinationSpec| {
            let report = engine.backup_blocking(request(&file, &at, "incremental"));
            *made.lock().unwrap() = report.id.filter(|_| report.status != RunStatus::Failed);
        }
    };
    // The link has an entry when one of both has looked, and the other one hasn't.
    let publishes = |operation, key: &str| match operation {
        Operation::Put => key.starts_with("catalog/") && key.contains("-incremental-"),
        _ => operation == Operation::Head && key.contains("-full-") && key.ends_with(".withdrawn"),
    };
    let withdraws =
        |operation, key: &str| operation == Operation::Put && key.ends_with(".withdrawn");
    let removes =
        |operation, key: &str| operation == Operation::Delete && key.ends_with("/manifest.json");
    let linking = begin(&scene.store, publishes, link);
    let late = begin(&scene.store, withdraws, delete(&engines[0]));
    let removing = begin(&scene.store, removes, delete(&engines[1]));
    linking.goes_on();
    late.ends();
    linking.ends();
    removing.ends();
    if let Some(id) = made.lock().unwrap().take() {
        scene.held.insert(id, sorted(lines(320)));
    }
    scene.check().await;
    assert_idle(&third);
}

/// What somebody else has just withdrawn may come back, so what it goes on from stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_while_one_deletes_its_parent_and_another_the_whole_chain() {
    let engines = [Engine::new().unwrap(), Engine::new().unwrap()];
    let third = Engine::new().unwrap();
    let mut scene = Scene::new(&engines).await;
    let asked = request(&scene.source("own", 320), &scene.to, "incremental");
    let parent = third.backup(asked).await.id.unwrap();
    scene.held.insert(parent.clone(), sorted(lines(320)));
    let delete = |engine: &Engine, id: &BackupId| {
        let (engine, id) = (engine.clone(), id.clone());
        move |at: DestinationSpec| {
            let mut request = DeleteRequest::new(vec![at], id);
            request.retention.grace = Span::from_ms(0);
            request.cascade = true;
            drop(engine.delete_blocking(request));
        }
    };
    let made = Arc::new(Mutex::new(None));
    let link = {
        let (file, made) = (scene.source("own", 340), Arc::clone(&made));
        let engine = third.clone();
        move |at: DestinationSpec| {
            let report = engine.backup_blocking(request(&file, &at, "incremental"));
            *made.lock().unwrap() = report.id.filter(|_| report.status != RunStatus::Failed);
        }
    };
    let publishes = |operation, key: &str| match operation {
        Operation::Put => key.starts_with("catalog/") && key.contains("-incremental-"),
        _ => operation == Operation::Head && key.ends_with(".withdrawn"),
    };
    let withdraws =
        |operation, key: &str| operation == Operation::Put && key.ends_with(".withdrawn");
    let lists = |operation, key: &str| operation == Operation::List && key == "catalog";
    let linking = begin(&scene.store, publishes, link);
    let all = begin(&scene.store, withdraws, delete(&engines[0], &scene.last));
    let one = begin(&scene.store, lists, delete(&engines[1], &parent));
    // It has withdrawn the parent, and hasn't looked yet.
    one.goes_on();
    linking.goes_on();
    all.goes_on_or_ends();
    one.ends();
    linking.ends();
    all.ends();
    if let Some(id) = made.lock().unwrap().take() {
        scene.held.insert(id, sorted(lines(340)));
    }
    scene.check().await;
    assert_idle(&third);
}
