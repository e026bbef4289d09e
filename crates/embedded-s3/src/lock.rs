//! Locks of objects. Where S3 hides what is locked behind a newer version, this server, which has no versions, refuses to
//! replace or delete it.

use std::time::SystemTime;

use s3s::dto::Timestamp;
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

/// Until when an object stays, as the headers of a request say it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lock {
    pub(crate) mode: Option<String>,
    pub(crate) until: Option<Timestamp>,
}

impl Lock {
    pub(crate) fn stated(mode: Option<&str>, until: Option<&Timestamp>) -> Option<Lock> {
        let lock = Lock {
            mode: mode.map(str::to_owned),
            until: until.cloned(),
        };
        (mode.is_some() || until.is_some()).then_some(lock)
    }

    /// `InvalidArgument` where the headers don't go together, or ask for what has passed.
    pub(crate) fn check_stated(&self) -> S3Result<()> {
        match (self.mode.as_deref(), &self.until) {
            (Some("GOVERNANCE" | "COMPLIANCE"), Some(until)) if is_ahead(until) => Ok(()),
            _ => Err(s3_error!(
                InvalidArgument,
                "a lock has a mode, GOVERNANCE or COMPLIANCE, and a date in the future"
            )),
        }
    }

    /// `AccessDenied` while it lasts.
    pub(crate) fn check_ended(&self) -> S3Result<()> {
        match self.until.as_ref().is_some_and(is_ahead) {
            true => Err(s3_error!(
                AccessDenied,
                "the object is locked, and there are no versions here to hide it behind"
            )),
            false => Ok(()),
        }
    }
}

fn is_ahead(time: &Timestamp) -> bool {
    *time > Timestamp::from(SystemTime::now())
}
