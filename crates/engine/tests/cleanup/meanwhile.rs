//! What becomes of a run when what it has written is taken for dead meanwhile.

use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use teeline::sinks::{MemorySink, Operation};
use teeline::{
    BackupReport, CleanupRequest, DestinationSpec, JsonlSource, RetentionPolicy, Sink, Span, exit,
};

use super::World;
use crate::common::watched::watched;
use crate::common::{request, store, whole};

/// Records that come when somebody sends them.
struct SlowReader {
    lines: mpsc::Receiver<Vec<u8>>,
    left: Cursor<Vec<u8>>,
}

impl Read for SlowReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.left.read(buffer)?;
        if read > 0 {
            return Ok(read);
        }
        self.left = Cursor::new(self.lines.recv().unwrap_or_default());
        self.left.read(buffer)
    }
}

/// Cleans up while a run waits for its second half; what becomes of that run.
async fn meanwhile(dead_after: Span) -> (World, MemorySink, [DestinationSpec; 1], BackupReport) {
    let world = World::new();
    let (sink, spec) = store("here");
    let at = [spec];
    let (send, lines) = mpsc::channel();
    let reader = SlowReader {
        lines,
        left: Cursor::default(),
    };
    let source = JsonlSource::from_reader("events", Box::new(reader));
    let mut slow = request(&[], &at);
    slow.source = Arc::new(source);
    let (first, second) = world.lines.split_at(world.lines.len() / 2);
    send.send(first.to_vec()).unwrap();
    let engine = world.engine.clone();
    let run = tokio::spawn(async move { engine.backup(slow).await });
    let is_claimed = |sink: &MemorySink| {
        let mut keys = sink.keys().into_iter();
        keys.any(|key| key.file_name() == "run.json")
    };
    while !is_claimed(&sink) {
        assert!(!run.is_finished());
        tokio::task::yield_now().await;
    }
    let policy = RetentionPolicy {
        dead_after,
        ..RetentionPolicy::default()
    };
    let request = CleanupRequest::new(at.to_vec(), policy);
    let cleaned = world.engine.cleanup(request).await;
    assert_eq!(cleaned.exit_code(), exit::DONE, "{cleaned:?}");
    send.send(second.to_vec()).unwrap();
    drop(send);
    let report = run.await.unwrap();
    (world, sink, at, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_is_not_disturbed() {
    let (world, _, at, report) = meanwhile(Span::from_days(7)).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    world
        .assert_listed_and_whole(&at, &[report.id.unwrap()])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_swept_while_it_went_on_publishes_nothing() {
    let (world, sink, at, report) = meanwhile(Span::default()).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    let error = report.destinations[0].error.as_ref().unwrap();
    assert!(error.message.contains("taken for dead"), "{error:?}");
    assert!(world.listed(&at).await.is_empty());
    // What it wrote afterwards has lost its claim, so that no cleanup would find it: it has removed that itself.
    let id = report.id.unwrap();
    let left: Vec<_> = sink
        .keys()
        .into_iter()
        .filter(|key| key.as_str().contains(id.as_str()) && !key.as_str().starts_with("runs/"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(
        world.engine.status(&at, &id).await.status,
        teeline::BackupState::Failed
    );
}

/// A store whose lists still show a claim, so often, that was swept when the run writes its first index.
fn swept_and_listed(sink: &MemorySink, times: u64) -> DestinationSpec {
    let (inner, lists) = (sink.clone(), AtomicU64::new(0));
    let claim = Mutex::new(None);
    watched(sink, "here", move |operation, key| {
        let Some(key) = key else { return Ok(()) };
        let mut claim = claim.lock().unwrap();
        if operation == Operation::Put && key.as_str().ends_with(".index") && claim.is_none() {
            let mut keys = inner.keys().into_iter();
            let of_run = keys.find(|key| key.file_name() == "run.json").unwrap();
            let bytes = futures::executor::block_on(whole(&inner, &of_run));
            futures::executor::block_on(inner.delete(&of_run))?;
            *claim = Some((of_run, bytes));
        }
        let Some((of_run, bytes)) = claim.as_ref() else {
            return Ok(());
        };
        if operation == Operation::Head && key == of_run {
            futures::executor::block_on(inner.delete(of_run))?;
        }
        let is_list = operation == Operation::List && of_run.as_str().starts_with(key.as_str());
        if is_list && lists.fetch_add(1, Ordering::SeqCst) < times {
            inner.overwrite(of_run, bytes);
        }
        Ok(())
    })
}

#[tokio::test]
async fn what_a_late_list_still_shows_of_a_sweep_leaves_no_file_behind() {
    let world = World::new();
    let (sink, _) = store("here");
    let late = swept_and_listed(&sink, 2);
    let report = world.engine.backup(request(&world.lines, &[late])).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    let id = report.id.unwrap();
    let mut left = sink.keys().into_iter();
    let left = left.find(|key| key.as_str().starts_with(id.as_str()));
    assert_eq!(left, None, "without a claim nobody would find it");
}
