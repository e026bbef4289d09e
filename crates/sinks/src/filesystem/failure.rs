//! What an error of the operating system means to a caller.

use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::io::Errno;
use teeline_core::{BackupError, Class, plain_words};

/// `operation` on `path` failed with `error`.
pub(super) fn failure(operation: &str, path: &Path, error: io::Error) -> BackupError {
    let (class, suggestion) = meaning(&error);
    let failure =
        BackupError::new(class, operation, path.display(), plain_words(&error)).because(error);
    match suggestion {
        Some(suggestion) => failure.suggest(suggestion),
        None => failure,
    }
}

fn meaning(error: &io::Error) -> (Class, Option<&'static str>) {
    let Some(errno) = Errno::from_io_error(error) else {
        return match error.kind() {
            // A link that leads outside of the root, or what is no file, where a file should be.
            ErrorKind::PermissionDenied | ErrorKind::InvalidData => (Class::Corrupt, None),
            _ => (Class::Permanent, None),
        };
    };
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::ISDIR => (Class::NotFound, None),
        Errno::EXIST => (Class::Conflict, None),
        // A share that comes and goes, or a descriptor that will be free in a moment.
        Errno::INTR
        | Errno::AGAIN
        | Errno::STALE
        | Errno::TIMEDOUT
        | Errno::BUSY
        | Errno::MFILE
        | Errno::NFILE => (Class::Transient, None),
        Errno::NOSPC => (
            Class::Permanent,
            Some("free some space, or choose another place"),
        ),
        Errno::DQUOT => (
            Class::Permanent,
            Some("raise the quota, free some space, or choose another place"),
        ),
        Errno::ROFS => (
            Class::Permanent,
            Some("mount the filesystem writable, or choose another place"),
        ),
        Errno::ACCESS | Errno::PERM => (
            Class::Permanent,
            Some("give the user that runs this the right to, or choose another place"),
        ),
        Errno::IO => (
            Class::Permanent,
            Some(
                "the disk or share reports damage: check it before anything else is written there",
            ),
        ),
        _ => (Class::Permanent, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errno: Errno) -> BackupError {
        failure("write", Path::new("/mnt/x"), errno.into())
    }

    #[test]
    fn says_what_to_do() {
        let full = of(Errno::NOSPC);
        assert_eq!(full.to_string(), "write /mnt/x: no space left on device");
        assert_eq!(full.class(), Class::Permanent);
        assert!(full.suggestion().unwrap().contains("free some space"));
        let denied = of(Errno::ACCESS);
        assert_eq!(denied.to_string(), "write /mnt/x: permission denied");
        assert!(denied.suggestion().unwrap().contains("the right to"));
    }

    #[test]
    fn classes() {
        for (errno, class) in [
            (Errno::NOENT, Class::NotFound),
            (Errno::EXIST, Class::Conflict),
            (Errno::INTR, Class::Transient),
            (Errno::STALE, Class::Transient),
            (Errno::IO, Class::Permanent),
            (Errno::ROFS, Class::Permanent),
            (Errno::ACCESS, Class::Permanent),
            (Errno::NAMETOOLONG, Class::Permanent),
        ] {
            assert_eq!(of(errno).class(), class, "{errno:?}");
        }
    }
}
