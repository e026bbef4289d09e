//! The system calls on a folder, each of which can be made to fail: for tests of what follows.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

/// A kind of system call on a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DiskCall {
    /// A file is opened to be read.
    Open,
    /// It is read.
    Read,
    /// A file or folder is looked at.
    Look,
    /// A temporary file is made.
    Create,
    /// It is written.
    Write,
    /// It is cut to its length.
    Truncate,
    /// It is made durable.
    Sync,
    /// It is given its name.
    Rename,
    /// A file is removed.
    Remove,
    /// A folder is made.
    MakeFolder,
    /// It is made durable.
    SyncFolder,
    /// It is listed.
    List,
    /// The filesystem is asked how much is free.
    Space,
    /// The system is asked to forget what it has cached.
    DropCached,
}

impl DiskCall {
    /// Every kind.
    pub const ALL: [DiskCall; 14] = [
        DiskCall::Open,
        DiskCall::Read,
        DiskCall::Look,
        DiskCall::Create,
        DiskCall::Write,
        DiskCall::Truncate,
        DiskCall::Sync,
        DiskCall::Rename,
        DiskCall::Remove,
        DiskCall::MakeFolder,
        DiskCall::SyncFolder,
        DiskCall::List,
        DiskCall::Space,
        DiskCall::DropCached,
    ];
}

/// How a system call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskFault {
    /// With this error number of the operating system, without effect.
    Errno(i32),
    /// A write takes half of the bytes, and then there is no space. Other calls find none at once.
    ShortWrite,
}

impl DiskFault {
    pub(super) fn error(self) -> io::Error {
        match self {
            DiskFault::Errno(number) => io::Error::from_raw_os_error(number),
            DiskFault::ShortWrite => Errno::NOSPC.into(),
        }
    }
}

/// Is asked before each call whether it is to fail.
pub type Interference = Arc<dyn Fn(DiskCall) -> Option<DiskFault> + Send + Sync>;

/// Who is asked; mostly nobody.
#[derive(Clone, Default)]
pub(super) struct Calls(Option<Interference>);

impl Calls {
    pub(super) fn with(interference: Interference) -> Self {
        Calls(Some(interference))
    }

    pub(super) fn fault(&self, call: DiskCall) -> Option<DiskFault> {
        self.0.as_ref().and_then(|interference| interference(call))
    }

    /// Comes before a call; an error takes its place.
    pub(super) fn before(&self, call: DiskCall) -> io::Result<()> {
        self.fault(call).map_or(Ok(()), |fault| Err(fault.error()))
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "Calls(interfered)",
            None => "Calls",
        })
    }
}
