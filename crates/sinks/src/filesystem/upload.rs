//! The steps of an upload to a file, off the task that makes them.
//!
//! A call that is dropped leaves its step running. The next call waits for it first, and is taken for its repetition:
//! otherwise the bytes of a write that came to an end after all would be written twice.

use async_trait::async_trait;
use bytes::Bytes;
use teeline_core::{BackupError, Class, Upload};

use super::Io;
use super::draft::Draft;
use super::jobs::{Job, Jobs};

type Outcome = Result<(), BackupError>;

pub(super) struct FileUpload {
    jobs: Jobs,
    state: State,
}

enum State {
    Idle(Draft),
    Busy {
        step: Step,
        job: Job<(Draft, Outcome)>,
    },
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    Commit,
}

impl FileUpload {
    pub(super) fn new(draft: Draft, jobs: Jobs) -> Self {
        FileUpload {
            jobs,
            state: State::Idle(draft),
        }
    }

    async fn run(
        &mut self,
        step: Step,
        job: impl FnOnce(&mut Draft) -> Outcome + Send + 'static,
    ) -> Outcome {
        match self.settle().await? {
            Some((settled, outcome)) if settled == step => return outcome,
            _ => {}
        }
        // Before the draft is taken: what is refused now may be tried again.
        self.jobs.admit()?;
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Idle(mut draft) => match self.jobs.io {
                Io::Inline => {
                    let outcome = job(&mut draft);
                    self.state = State::Idle(draft);
                    outcome
                }
                Io::Pool => {
                    let job = self.jobs.start(move || {
                        let outcome = job(&mut draft);
                        (draft, outcome)
                    });
                    self.state = State::Busy { step, job };
                    match self.settle().await? {
                        Some((_, outcome)) => outcome,
                        None => Err(ended()),
                    }
                }
            },
            State::Busy { .. } | State::Ended => Err(ended()),
        }
    }

    /// Waits for the step that is running, if one is, and says how it went.
    async fn settle(&mut self) -> Result<Option<(Step, Outcome)>, BackupError> {
        let State::Busy { step, job } = &mut self.state else {
            return Ok(None);
        };
        let step = *step;
        let result = job.await;
        self.state = State::Ended;
        let (draft, outcome) = result?;
        self.state = State::Idle(draft);
        Ok(Some((step, outcome)))
    }
}

fn ended() -> BackupError {
    let message = "the upload has ended or failed, and can't go on";
    BackupError::new(Class::Permanent, "write", "an upload", message)
}

#[async_trait]
impl Upload for FileUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        self.run(Step::Write, move |draft| draft.write(&bytes))
            .await
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        self.run(Step::Commit, Draft::commit).await
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        // How the last step went is of no interest any more.
        let _ = self.settle().await;
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Idle(draft) => match self.jobs.io {
                Io::Inline => {
                    drop(draft);
                    Ok(())
                }
                // Whether it is refused or not, the draft is removed where nobody waits for a disk that hangs.
                Io::Pool => self.jobs.start(move || drop(draft)).await,
            },
            State::Busy { .. } | State::Ended => Ok(()),
        }
    }
}

impl Drop for FileUpload {
    fn drop(&mut self) {
        // A step that is running drops the draft when it ends.
        if let (Io::Pool, State::Idle(draft), Ok(runtime)) = (
            self.jobs.io,
            std::mem::replace(&mut self.state, State::Ended),
            tokio::runtime::Handle::try_current(),
        ) {
            let _entered = runtime.enter();
            drop(self.jobs.start(move || drop(draft)));
        }
    }
}
