//! Objects in archive classes: whether they can be read, and asking for it.
//!
//! Whether an object is archived is the server's to say: a rule of the bucket may have moved it, and the options may be
//! others now than when it was written. There are servers that keep the name of a class and nothing more of it, so what looks
//! archived is tried to be read.

use object_store::HeaderMap;
use teeline_core::{Availability, BackupError, Class, ObjectKey, Thaw, ThawTier};

use super::failure::find;
use super::rejected::Rejected;
use super::store::Store;
use super::storing::StorageClass;

/// What a HEAD says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    availability: Availability,
    /// Whether intelligent tiering has archived it by itself, which a thaw takes back for good.
    is_tiered: bool,
}

impl Store {
    pub(crate) async fn availability(&self, key: &ObjectKey) -> Result<Availability, BackupError> {
        match self.kept(key).await?.availability {
            Availability::Archived => match self.read(key, 0..1).await {
                Err(error) if error.class() == Class::Archived => Ok(Availability::Archived),
                _ => Ok(Availability::Readable),
            },
            found => Ok(found),
        }
    }

    pub(crate) async fn thaw(&self, key: &ObjectKey, thaw: Thaw) -> Result<(), BackupError> {
        let Some(s3) = &self.s3 else {
            return Ok(());
        };
        let path = self.path("thaw", key)?;
        let is_tiered = self.kept(key).await?.is_tiered;
        let body = request_body(thaw, is_tiered);
        match s3.signed.to_object("POST", &path, "?restore=", body).await {
            Ok(_) => Ok(()),
            Err(error) => match find::<Rejected>(&error).map(|rejected| rejected.code.as_str()) {
                // Somebody has asked for it already, or it isn't archived.
                Some("RestoreAlreadyInProgress" | "InvalidObjectState") => Ok(()),
                _ => Err(self.failure("thaw", key, &error)),
            },
        }
    }

    async fn kept(&self, key: &ObjectKey) -> Result<Kept, BackupError> {
        let Some(s3) = &self.s3 else {
            return Ok(Kept {
                availability: Availability::Readable,
                is_tiered: false,
            });
        };
        let path = self.path("look at", key)?;
        let answer = s3.signed.to_object("HEAD", &path, "", String::new()).await;
        let answer = answer.map_err(|error| self.failure("look at", key, &error))?;
        Ok(kept(answer.headers()))
    }
}

fn kept(headers: &HeaderMap) -> Kept {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let class = said("x-amz-storage-class").and_then(|name| name.parse::<StorageClass>().ok());
    let is_tiered = said("x-amz-archive-status").is_some();
    let is_archived = is_tiered || class.is_some_and(StorageClass::is_archive);
    let availability = match said("x-amz-restore") {
        _ if !is_archived => Availability::Readable,
        Some(restore) if restore.contains("ongoing-request=\"true\"") => Availability::Thawing,
        Some(_) if !is_tiered => Availability::Readable,
        _ => Availability::Archived,
    };
    Kept {
        availability,
        is_tiered,
    }
}

fn request_body(thaw: Thaw, is_tiered: bool) -> String {
    let tier = match thaw.tier {
        ThawTier::Standard => "Standard",
        ThawTier::Bulk => "Bulk",
        ThawTier::Expedited => "Expedited",
    };
    let days = match is_tiered {
        true => String::new(),
        false => format!("<Days>{}</Days>", thaw.days),
    };
    format!(
        "<RestoreRequest xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{days}\
         <GlacierJobParameters><Tier>{tier}</Tier></GlacierJobParameters></RestoreRequest>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn availability(headers: &[(&'static str, &'static str)]) -> Availability {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        kept(&headers.collect()).availability
    }

    #[test]
    fn what_the_server_says_is_understood() {
        const CLASS: &str = "x-amz-storage-class";
        const RESTORE: &str = "x-amz-restore";
        const TIER: &str = "x-amz-archive-status";
        let thawed = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2029 00:00:00 GMT\"";
        let thawing = "ongoing-request=\"true\"";
        for (headers, expected) in [
            (&[][..], Availability::Readable),
            (&[(CLASS, "GLACIER_IR")], Availability::Readable),
            (&[(CLASS, "GLACIER")], Availability::Archived),
            (
                &[(CLASS, "DEEP_ARCHIVE"), (RESTORE, thawing)],
                Availability::Thawing,
            ),
            (
                &[(CLASS, "DEEP_ARCHIVE"), (RESTORE, thawed)],
                Availability::Readable,
            ),
            (&[(CLASS, "INTELLIGENT_TIERING")], Availability::Readable),
            (
                &[(CLASS, "INTELLIGENT_TIERING"), (TIER, "ARCHIVE_ACCESS")],
                Availability::Archived,
            ),
            (
                &[
                    (CLASS, "INTELLIGENT_TIERING"),
                    (TIER, "ARCHIVE_ACCESS"),
                    (RESTORE, thawing),
                ],
                Availability::Thawing,
            ),
        ] {
            assert_eq!(availability(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn what_tiering_has_archived_comes_back_without_an_end() {
        let thaw = Thaw {
            days: 3,
            tier: ThawTier::Bulk,
        };
        assert!(request_body(thaw, false).contains("<Days>3</Days>"));
        let tiered = request_body(thaw, true);
        assert!(!tiered.contains("Days") && tiered.contains("<Tier>Bulk</Tier>"));
    }
}
