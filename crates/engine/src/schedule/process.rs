//! This process, told from all others; and whether another one is gone for sure.

use std::fs;

use teeline_core::{Digest, ProcessMark};

/// The mark of this process. `None` where the operating system doesn't tell enough.
pub(super) fn own() -> Option<ProcessMark> {
    let pid = std::process::id();
    Some(ProcessMark {
        machine: named("/etc/machine-id", "machine"),
        host: named("/proc/sys/kernel/hostname", "host"),
        boot: named("/proc/sys/kernel/random/boot_id", "boot")?,
        namespace: namespace("pid")?,
        network: namespace("net"),
        pid,
        started: started(pid)?,
    })
}

/// Whether a process can't be going on any more: it was on this machine, which has been started again since, where this
/// process would see it, or in this container before that was started again. Of others nothing is known.
pub(super) fn is_gone(other: &ProcessMark) -> bool {
    own().is_some_and(|own| has_left(other, &own, has_own_name(), started))
}

/// The same, for the process `own`. Whether its host name is its container's own is said, and when a process was started that it sees.
fn has_left(
    other: &ProcessMark,
    own: &ProcessMark,
    has_own_name: bool,
    started: impl Fn(u32) -> Option<u64>,
) -> bool {
    let is_same_host = own.host.is_some() && own.host == other.host && own.machine == other.machine;
    if own.boot != other.boot {
        let is_same_machine = own.machine.is_some() && own.machine == other.machine;
        // Machines that were made from one image may be called the same by their operating system.
        return is_same_host || (is_same_machine && other.host.is_none());
    }
    if own.namespace == other.namespace {
        return started(other.pid) != Some(other.started);
    }
    // A container that is started again keeps its name, and its first process has the same number. Those that share a network, as that
    // of the machine, may be called the same, and be alive at once.
    let is_earlier = own.pid == other.pid && other.started < own.started;
    let shares_none = other.network.is_some() && own.network != other.network;
    is_same_host && has_own_name && shares_none && is_earlier
}

/// A digest of what a file has, which is nobody else's business. What names nobody is left out.
fn named(path: &str, what: &str) -> Option<Digest> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    let is_name = !matches!(
        text,
        "" | "(none)" | "localhost" | "localhost.localdomain" | "uninitialized"
    );
    is_name.then(|| Digest::of(format!("teeline {what} {text}").as_bytes()))
}

/// Whether the host name is that of a container, and not of the machine, which all containers may share that use its network.
fn has_own_name() -> bool {
    /// As Linux always calls the one that the machine itself is in.
    const OF_THE_MACHINE: &str = "uts:[4026531838]";
    fs::read_link("/proc/self/ns/uts").is_ok_and(|link| link.to_string_lossy() != OF_THE_MACHINE)
}

/// One of the namespaces of this process, by its kind.
fn namespace(kind: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
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
    }

    fn digest(text: &str) -> Option<Digest> {
        Some(Digest::of(text.as_bytes()))
    }

    /// The first process of a container.
    fn mark(host: Option<&str>, machine: Option<&str>, boot: &str, namespace: &str) -> ProcessMark {
        ProcessMark {
            machine: machine.and_then(digest),
            host: host.and_then(digest),
            boot: Digest::of(boot.as_bytes()),
            namespace: namespace.to_owned(),
            network: Some(namespace.replace("pid", "net")),
            pid: 1,
            started: 100,
        }
    }

    #[test]
    fn another_run_of_the_same_machine_or_container_is_gone() {
        let (a, b, image) = (Some("a"), Some("b"), Some("image"));
        for (host, machine, boot, expected) in [
            (a, None, "earlier", true),
            (a, image, "earlier", false),
            (b, None, "earlier", false),
            (None, None, "earlier", false),
            // In a container that was started again, or is another one.
            (a, None, "this", true),
            (b, None, "this", false),
            (None, None, "this", false),
        ] {
            let own = ProcessMark {
                started: 200,
                ..mark(a, None, "this", "pid:[2]")
            };
            let other = mark(host, machine, boot, "pid:[1]");
            let gone = has_left(&other, &own, true, |_| Some(200));
            assert_eq!(gone, expected, "{host:?} {machine:?} {boot}");
        }
        // Of machines of one image those with another name may be alive; an earlier version didn't say the name.
        for (host, expected) in [(a, true), (b, false), (None, true)] {
            let own = mark(a, image, "this", "pid:[1]");
            let other = mark(host, image, "earlier", "pid:[1]");
            assert_eq!(
                has_left(&other, &own, false, |_| Some(100)),
                expected,
                "{host:?}"
            );
        }
    }

    #[test]
    fn who_may_be_alive_in_another_container_is_not_gone() {
        let other = mark(Some("a"), None, "this", "pid:[1]");
        let own = ProcessMark {
            started: 200,
            ..mark(Some("a"), None, "this", "pid:[2]")
        };
        let seen = |_| Some(200);
        assert!(has_left(&other, &own, true, seen));
        assert!(
            !has_left(&other, &own, false, seen),
            "the name is the machine's"
        );
        for network in [own.network.clone(), None] {
            let beside = ProcessMark {
                network,
                ..other.clone()
            };
            assert!(
                !has_left(&beside, &own, true, seen),
                "they may share the machine's network and name"
            );
        }
        let later = ProcessMark {
            started: 300,
            ..other.clone()
        };
        assert!(!has_left(&later, &own, true, seen), "it was started later");
        let second = ProcessMark { pid: 7, ..other };
        assert!(
            !has_left(&second, &own, true, seen),
            "it isn't the first process"
        );
    }

    #[test]
    fn a_mark_of_an_earlier_version_has_no_host() {
        let mark = ProcessMark {
            network: None,
            ..mark(None, Some("image"), "this", "pid:[1]")
        };
        let json = serde_json::to_string(&mark).unwrap();
        assert!(
            !json.contains("host") && !json.contains("network"),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<ProcessMark>(&json).unwrap(), mark);
    }
}
