//! What a process has of its machine.

use std::fmt;
use std::fs;
use std::thread;
use std::time::Duration;

use crate::Wrong;

/// What this process has in use at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// KiB of memory.
    pub memory_kib: u64,
    /// Threads.
    pub threads: u64,
    /// File descriptors.
    pub descriptors: u64,
}

/// What the later one may have more than the earlier one where nothing leaks: what an allocator keeps, and pools of threads that
/// come and go with what there is to do, the server's among them.
const SLACK: Usage = Usage {
    memory_kib: 32 << 10,
    threads: 16,
    descriptors: 4,
};

/// So often it is looked, and so long between: the server is in this process as well, and takes a moment to see that a client has
/// gone.
const LOOKS: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(50);

impl Usage {
    /// What it keeps when nothing goes on: the least of a few looks.
    pub(super) fn at_rest() -> Result<Self, Wrong> {
        let mut least = Usage::now()?;
        for _ in 1..LOOKS {
            thread::sleep(BETWEEN);
            let now = Usage::now()?;
            least = Usage {
                memory_kib: least.memory_kib.min(now.memory_kib),
                threads: least.threads.min(now.threads),
                descriptors: least.descriptors.min(now.descriptors),
            };
        }
        Ok(least)
    }

    fn now() -> Result<Self, Wrong> {
        let status = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
        let number = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            number
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| format!("/proc/self/status says nothing of {name}"))
        };
        let open = fs::read_dir("/proc/self/fd").map_err(|error| error.to_string())?;
        Ok(Usage {
            memory_kib: number("VmRSS:")?,
            threads: number("Threads:")?,
            descriptors: open.count() as u64,
        })
    }

    /// The median of each: what leaks raises it, and a burst of threads that haven't idled out yet doesn't.
    pub(super) fn median(of: &[Usage]) -> Usage {
        let median = |number: fn(&Usage) -> u64| {
            let mut numbers: Vec<u64> = of.iter().map(number).collect();
            numbers.sort_unstable();
            numbers.get(numbers.len() / 2).copied().unwrap_or(0)
        };
        Usage {
            memory_kib: median(|one| one.memory_kib),
            threads: median(|one| one.threads),
            descriptors: median(|one| one.descriptors),
        }
    }

    /// Whether it is no more than `earlier`, but for what nobody would call a leak: a quarter of the memory, and a few.
    pub(super) fn is_flat_after(&self, earlier: &Usage) -> bool {
        let memory_max = earlier.memory_kib + earlier.memory_kib / 4 + SLACK.memory_kib;
        self.memory_kib <= memory_max
            && self.threads <= earlier.threads + SLACK.threads
            && self.descriptors <= earlier.descriptors + SLACK.descriptors
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (memory, threads) = (self.memory_kib >> 10, self.threads);
        write!(
            f,
            "{memory} MiB, {threads} threads, {} descriptors",
            self.descriptors
        )
    }
}
