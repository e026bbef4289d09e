//! The life of a process: a runtime with a time of its own, which goes on to the next thing that is due where nothing is to
//! be done now; and an engine on it.

use std::cell::RefCell;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use actix::System;
use teeline::{BackupError, Engine, Executor};
use teeline_core::Random;
use tokio::runtime::Builder;

use crate::world::{Moment, World};

/// Runs `work` on a thread of its own: what a system of actors leaves to its thread, and which panics there were, is that one's.
pub(crate) fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let ended = scope.spawn(work).join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs a process to its end, or until it dies at its call number `crash_at`; then nothing comes of it. What it had under
/// way is gone afterwards.
///
/// # Errors
/// Where the operating system gives no runtime.
pub(crate) fn live<T>(
    world: &Arc<World>,
    crash_at: Option<(u64, Moment)>,
    life: impl Future<Output = T>,
) -> Result<Option<T>, String> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    let runtime = Arc::new(runtime);
    let system = System::with_tokio_rt(|| Arc::clone(&runtime));
    let life = Box::pin(life);
    Ok(system.block_on(async {
        world.begin_life(crash_at);
        let ended = tokio::select! {
            biased;
            () = world.death() => None,
            ended = life => Some(ended),
        };
        world.end_life();
        ended
    }))
}

/// An engine in the life that goes on, all of whose randomness follows from `random`.
pub(crate) fn engine(
    world: &Arc<World>,
    random: &Arc<Random>,
    budget_bytes: u64,
) -> Result<Engine, String> {
    let (clock, random) = (Arc::clone(world), Arc::clone(random));
    let fill = move |bytes: &mut [u8]| -> Result<(), BackupError> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    };
    Engine::builder()
        .executor(Executor::Inline)
        .on_this_thread()
        .budget_bytes(budget_bytes)
        .clock(Arc::new(move || clock.now()))
        .random(Arc::new(fill))
        .build()
        .map_err(|error| error.to_string())
}

thread_local! {
    /// The last panic of this thread that nobody injected.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic of this thread that nobody injected, since this was asked last.
pub(crate) fn panicked() -> Result<(), String> {
    match PANIC.take() {
        None => Ok(()),
        Some(panic) => Err(format!("something panics that nobody made to: {panic}")),
    }
}

/// Keeps panics that were injected from being printed, and others in mind.
pub(crate) fn watch_panics() {
    static ONCE: Mutex<bool> = Mutex::new(false);
    let mut is_done = ONCE.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::replace(&mut *is_done, true) {
        return;
    }
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        let text = text.map(String::as_str);
        let text = text.or_else(|| panic.payload().downcast_ref::<&str>().copied());
        if !text.is_some_and(|text| text.starts_with("injected fault")) {
            PANIC.set(Some(panic.to_string()));
            print(panic);
        }
    }));
}
