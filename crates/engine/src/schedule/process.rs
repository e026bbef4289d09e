//! This process, told from all others; and whether another one is gone for sure.

use std::fs;

use teeline_core::{Digest, ProcessMark};

/// The mark of this process. `None` where the operating system doesn't tell enough.
pub(super) fn own() -> Option<ProcessMark> {
    let pid = std::process::id();
    Some(ProcessMark {
        machine: named("/etc/machine-id", "machine"),
        boot: named("/proc/sys/kernel/random/boot_id", "boot")?,
        namespace: namespace()?,
        pid,
        started: started(pid)?,
    })
}

/// Whether a process can't be going on any more: it was on this machine, which has been started again since, or where this
/// process would see it. Of others nothing is known.
pub(super) fn is_gone(other: &ProcessMark) -> bool {
    let Some(own) = own() else {
        return false;
    };
    if own.boot != other.boot {
        return own.machine.is_some() && own.machine == other.machine;
    }
    own.namespace == other.namespace && started(other.pid) != Some(other.started)
}

/// A digest of what a file has, which is nobody else's business.
fn named(path: &str, what: &str) -> Option<Digest> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| Digest::of(format!("teeline {what} {text}").as_bytes()))
}

fn namespace() -> Option<String> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// When a process was started, in ticks since the machine was: the 22nd field, of which the second may have spaces in it.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_who_would_be_seen_is_known_to_be_gone() {
        let own = own().unwrap();
        assert!(!is_gone(&own));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = ProcessMark {
            pid: child.id(),
            started: started(child.id()).unwrap_or(1),
            ..own.clone()
        };
        child.wait().unwrap();
        assert!(is_gone(&ended));
        let elsewhere = ProcessMark {
            namespace: "pid:[1]".to_owned(),
            ..ended.clone()
        };
        assert!(!is_gone(&elsewhere));
        let other_boot = ProcessMark {
            boot: Digest::of(b"another"),
            ..ended.clone()
        };
        assert_eq!(is_gone(&other_boot), own.machine.is_some());
        let other_machine = ProcessMark {
            machine: Some(Digest::of(b"another")),
            ..other_boot
        };
        assert!(!is_gone(&other_machine));
    }
}
