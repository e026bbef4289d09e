//! The jobs of folders on the runtime's blocking threads.
//!
//! A job that hangs in the kernel can't be ended: whoever waited for it gives it up, and its thread stays there until the filesystem
//! answers. There are a few hundred threads for everybody, so a folder that hangs may have a few of them, however often it is opened,
//! and then no more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use teeline_core::{BackupError, Class};
use tokio::task::{JoinError, JoinHandle};

use super::Io;

/// So many jobs of one folder may hang that were given up.
const GIVEN_UP_MAX: usize = 16;

/// How many do, by the folder.
static GIVEN_UP: LazyLock<Mutex<HashMap<PathBuf, Weak<AtomicUsize>>>> =
    LazyLock::new(Mutex::default);

/// Where a folder's jobs are done.
#[derive(Debug, Clone)]
pub(super) struct Jobs {
    root: PathBuf,
    pub(super) io: Io,
    given_up: Arc<AtomicUsize>,
}

impl Jobs {
    pub(super) fn of(root: &Path, io: Io) -> Self {
        let mut folders = GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner);
        let known = folders.get(root).and_then(Weak::upgrade);
        let given_up = known.unwrap_or_else(|| {
            // Those that nobody uses any more, and of which nothing hangs.
            folders.retain(|_, given_up| given_up.strong_count() > 0);
            let none = Arc::default();
            folders.insert(root.to_owned(), Arc::downgrade(&none));
            none
        });
        Jobs {
            root: root.to_owned(),
            io,
            given_up,
        }
    }

    /// Does a job that blocks. A panic in it is an error of this call.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BackupError> {
        match self.io {
            Io::Inline => Ok(job()),
            Io::Pool => {
                self.admit()?;
                self.start(job).await
            }
        }
    }

    /// Whether another job may be begun.
    pub(super) fn admit(&self) -> Result<(), BackupError> {
        if self.given_up.load(Ordering::SeqCst) >= GIVEN_UP_MAX {
            let message = format!(
                "{GIVEN_UP_MAX} calls that were given up haven't come back from the filesystem, so no more are made"
            );
            return Err(BackupError::new(Class::Transient, "use", self.root.display(), message)
                .suggest("see whether what is mounted there still answers; it is tried again once it has"));
        }
        Ok(())
    }

    /// Has a thread do it.
    pub(super) fn start<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Job<T> {
        let work = Arc::new(Work {
            handles: AtomicUsize::new(2),
            given_up: Arc::clone(&self.given_up),
        });
        let done = Ended(Arc::clone(&work));
        let thread = tokio::task::spawn_blocking(move || {
            let _done = done;
            job()
        });
        Job {
            thread,
            _waited_for: GivenUp(work),
        }
    }
}

/// A job under way. Where it is dropped before it has ended, it goes on, and counts until it has.
pub(super) struct Job<T> {
    thread: JoinHandle<T>,
    _waited_for: GivenUp,
}

impl<T> Future for Job<T> {
    type Output = Result<T, BackupError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let thread = Pin::new(&mut self.thread);
        thread.poll(context).map(|done| done.map_err(lost_job))
    }
}

/// What a job and whoever waits for it know of each other: who of the two is left. Only while that is the job alone it counts.
struct Work {
    handles: AtomicUsize,
    given_up: Arc<AtomicUsize>,
}

struct GivenUp(Arc<Work>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        let Work { handles, given_up } = &*self.0;
        // First, so that the job never takes away what wasn't added.
        given_up.fetch_add(1, Ordering::SeqCst);
        if handles.fetch_sub(1, Ordering::SeqCst) == 1 {
            given_up.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Dropped with the job, be it that no thread has ever begun it.
struct Ended(Arc<Work>);

impl Drop for Ended {
    fn drop(&mut self) {
        let Work { handles, given_up } = &*self.0;
        if handles.fetch_sub(1, Ordering::SeqCst) == 1 {
            given_up.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn lost_job(error: JoinError) -> BackupError {
    let (class, message) = if error.is_panic() {
        (Class::Permanent, "the code that does it panicked")
    } else {
        (Class::Cancelled, "the runtime is shutting down")
    };
    BackupError::new(class, "use", "the filesystem", message).because(error)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn a_folder_that_hangs_keeps_a_few_threads_however_often_it_is_opened() {
        let (hung, answers): (Vec<_>, Vec<_>) = (0..GIVEN_UP_MAX).map(|_| channel::<()>()).unzip();
        for answer in answers {
            let jobs = Jobs::of(Path::new("/hangs"), Io::Pool);
            let job = jobs.run(move || answer.recv());
            assert!(futures::poll!(Box::pin(job)).is_pending());
        }
        let jobs = Jobs::of(Path::new("/hangs"), Io::Pool);
        let error = jobs.run(|| ()).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient);
        assert!(error.to_string().contains("/hangs"), "{error}");
        let other = Jobs::of(Path::new("/answers"), Io::Pool);
        other.run(|| ()).await.unwrap();

        // It answers.
        drop(hung);
        while jobs.given_up.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..2 * GIVEN_UP_MAX {
            jobs.run(|| ()).await.unwrap();
        }
        assert_eq!(jobs.given_up.load(Ordering::SeqCst), 0);
    }
}
