//! The conditions a request may set on the object it meets.

use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Result, s3_error};

use crate::object_file::Header;

/// The conditions of a read, or those on the source of a copy.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

impl Conditions {
    /// Checks them for a read: `PreconditionFailed` (412), or `NotModified` (304) when the reader
    /// has this object already.
    pub(crate) fn check_read(&self, header: &Header) -> S3Result<()> {
        self.check_wanted(header)?;
        if self.is_unwanted(header) {
            return Err(s3_error!(NotModified, "the object is the one you have"));
        }
        Ok(())
    }

    /// Checks them for the source of a copy, where every failure is `PreconditionFailed`.
    pub(crate) fn check_copy(&self, header: &Header) -> S3Result<()> {
        self.check_wanted(header)?;
        if self.is_unwanted(header) {
            return Err(failed());
        }
        Ok(())
    }

    /// As HTTP has it, the ETag conditions count over the dates.
    fn check_wanted(&self, header: &Header) -> S3Result<()> {
        let holds = match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) => matches(condition, header),
            (None, Some(since)) => header.modified() <= *since,
            (None, None) => true,
        };
        if holds { Ok(()) } else { Err(failed()) }
    }

    fn is_unwanted(&self, header: &Header) -> bool {
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => matches(condition, header),
            (None, Some(since)) => header.modified() <= *since,
            (None, None) => false,
        }
    }
}

/// How a write treats an object that has the key already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteMode {
    /// Replaces it.
    Replace,
    /// Fails with `PreconditionFailed`.
    Create,
}

impl WriteMode {
    /// The mode that a write's conditions ask for.
    ///
    /// S3 knows `If-None-Match: *` only. `If-Match` on a write is refused, since comparing and
    /// replacing in one step isn't something a plain folder offers.
    pub(crate) fn of(
        if_none_match: Option<&ETagCondition>,
        if_match: Option<&ETagCondition>,
    ) -> S3Result<WriteMode> {
        if if_match.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "this server does not implement If-Match writes"
            ));
        }
        match if_none_match {
            None => Ok(WriteMode::Replace),
            Some(ETagCondition::Any) => Ok(WriteMode::Create),
            Some(ETagCondition::ETag(_)) => Err(s3_error!(
                NotImplemented,
                "a write's If-None-Match can only be *"
            )),
        }
    }
}

/// `PreconditionFailed`.
pub(crate) fn failed() -> s3s::S3Error {
    s3_error!(
        PreconditionFailed,
        "at least one of the preconditions you specified did not hold"
    )
}

fn matches(condition: &ETagCondition, header: &Header) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(ETag::Strong(value) | ETag::Weak(value)) => *value == header.etag,
    }
}

#[cfg(test)]
mod tests {
    use s3s::S3ErrorCode;

    use super::*;
    use crate::attributes::Attributes;
    use crate::object_file::timestamp;

    fn header() -> Header {
        let mut header = Header::new("k", Attributes::default(), 0);
        header.etag = "tag".into();
        header.modified_seconds = 1000;
        header
    }

    fn etag(value: &str) -> Option<ETagCondition> {
        Some(ETagCondition::ETag(ETag::Strong(value.into())))
    }

    fn code(conditions: &Conditions) -> Option<S3ErrorCode> {
        conditions
            .check_read(&header())
            .err()
            .map(|error| error.code().clone())
    }

    #[test]
    fn etags_count_over_dates() {
        let none = Conditions::default;
        assert_eq!(code(&none()), None);
        assert_eq!(
            code(&Conditions {
                if_match: etag("tag"),
                ..none()
            }),
            None
        );
        let failed = Some(S3ErrorCode::PreconditionFailed);
        assert_eq!(
            code(&Conditions {
                if_match: etag("other"),
                ..none()
            }),
            failed
        );
        let not_modified = Some(S3ErrorCode::NotModified);
        assert_eq!(
            code(&Conditions {
                if_none_match: etag("tag"),
                ..none()
            }),
            not_modified
        );
        assert_eq!(
            code(&Conditions {
                if_none_match: Some(ETagCondition::Any),
                ..none()
            }),
            not_modified
        );
        let late = Some(timestamp(1000));
        let early = Some(timestamp(999));
        assert_eq!(
            code(&Conditions {
                if_modified_since: late.clone(),
                ..none()
            }),
            not_modified
        );
        assert_eq!(
            code(&Conditions {
                if_modified_since: early.clone(),
                ..none()
            }),
            None
        );
        assert_eq!(
            code(&Conditions {
                if_unmodified_since: late.clone(),
                ..none()
            }),
            None
        );
        assert_eq!(
            code(&Conditions {
                if_unmodified_since: early.clone(),
                ..none()
            }),
            failed
        );
        let both = Conditions {
            if_match: etag("tag"),
            if_unmodified_since: early,
            ..none()
        };
        assert_eq!(code(&both), None);
        let both = Conditions {
            if_none_match: etag("other"),
            if_modified_since: late,
            ..none()
        };
        assert_eq!(code(&both), None);
    }

    #[test]
    fn writes_know_create_and_replace() {
        assert_eq!(WriteMode::of(None, None).ok(), Some(WriteMode::Replace));
        assert_eq!(
            WriteMode::of(Some(&ETagCondition::Any), None).ok(),
            Some(WriteMode::Create)
        );
        assert!(WriteMode::of(etag("tag").as_ref(), None).is_err());
        assert!(WriteMode::of(None, etag("tag").as_ref()).is_err());
    }
}
