//! What a destination leaves to the database that is backed up: its server and keys, and perhaps its bucket.
//!
//! In the database's own bucket it is a folder beside the database's. The source knows it by its marker, and doesn't read it.

use teeline_core::BackupError;
use teeline_sources::s3db::Connection;

use super::{DestinationSpec, Place, S3Place, Secret, endpoint, key_prefix};

/// Where in the database's own bucket backups go that nobody says it of.
const PREFIX_DEFAULT: &str = "backups";

impl DestinationSpec {
    /// Whether it can't be reached before it is known which database is backed up.
    pub fn needs_source(&self) -> bool {
        matches!(&self.place, Place::S3(place) if place.bucket.is_empty())
    }

    /// Whether it takes anything from the database that is backed up, where there is one.
    pub fn follows_source(&self) -> bool {
        self.needs_source() || matches!(&self.place, Place::S3(place) if place.follows_source)
    }

    /// The same, with what it leaves to the database at `source`.
    ///
    /// # Errors
    /// Of class [`Usage`](teeline_core::Class::Usage), where there is no database whose bucket could be taken, or its prefix
    /// can't be one of a destination.
    pub fn beside(mut self, source: Option<&Connection>) -> Result<Self, BackupError> {
        if !self.follows_source() {
            return Ok(self);
        }
        let subject = format!("destination {}", self.name);
        let Place::S3(place) = &mut self.place else {
            return Ok(self);
        };
        match source {
            Some(source) => place.follow(source).map_err(|message| {
                BackupError::usage(&subject, message)
                    .suggest("name a bucket of its own: s3://bucket/prefix")
            })?,
            None if place.bucket.is_empty() => {
                let message = "it is in the database's own bucket, and no database is named";
                return Err(BackupError::usage(&subject, message)
                    .suggest("name the database as source, or a bucket: s3://bucket/prefix"));
            }
            None => {}
        }
        Ok(self)
    }
}

impl S3Place {
    /// The prefix, or the one that is meant.
    pub(super) fn shown_prefix(&self) -> &str {
        match (self.bucket.as_str(), self.prefix.as_str()) {
            ("", "") => PREFIX_DEFAULT,
            (_, prefix) => prefix,
        }
    }

    fn follow(&mut self, source: &Connection) -> Result<(), String> {
        if self.bucket.is_empty() {
            let below = self.shown_prefix();
            let slash = if source.prefix.is_empty() { "" } else { "/" };
            self.prefix = key_prefix(&format!("{}{slash}{below}", source.prefix))?;
            self.bucket.clone_from(&source.bucket);
        }
        let its_endpoint = source.endpoint.as_deref().map(endpoint).transpose()?;
        if self.endpoint.is_none() {
            self.endpoint.clone_from(&its_endpoint);
        }
        if self.region.is_none() {
            self.region.clone_from(&source.region);
        }
        // Keys are for the server that they are of.
        if self.endpoint != its_endpoint {
            return Ok(());
        }
        if self.path_style.is_none() {
            self.path_style = Some(source.force_path_style);
        }
        if self.access_key_id.is_some() || self.profile.is_some() {
            return Ok(());
        }
        self.profile.clone_from(&source.profile);
        if let Some(keys) = &source.credentials {
            self.access_key_id = Some(keys.access_key.clone());
            self.secret_access_key = Some(Secret::new(&keys.secret_key));
            self.profile = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "http://key:CANARY@host:9000/shop/main?forcePathStyle=true";

    fn place(text: &str, follows_source: bool, source: &str) -> S3Place {
        let source: Connection = source.parse().unwrap();
        let mut spec = DestinationSpec::parse(text).unwrap();
        if let Place::S3(place) = &mut spec.place {
            place.follows_source = follows_source;
        }
        match spec.beside(Some(&source)).unwrap().place {
            Place::S3(place) => place,
            other => panic!("{other:?}"),
        }
    }

    fn key_id(place: &S3Place) -> Option<&str> {
        place.access_key_id.as_deref()
    }

    #[test]
    fn without_a_bucket_it_is_the_databases_own() {
        for (text, location) in [
            ("s3://./", "http://host:9000/shop/main/backups"),
            ("s3://./daily/eu", "http://host:9000/shop/main/daily/eu"),
        ] {
            let place = place(text, false, SOURCE);
            assert_eq!(place.location(), location);
            assert_eq!(
                (key_id(&place), place.path_style),
                (Some("key"), Some(true))
            );
            assert!(!format!("{place:?}").contains("CANARY"));
        }
        let at_the_root = place("s3://./", false, "s3://k:CANARY@shop?region=eu-west-1");
        assert_eq!(at_the_root.location(), "s3://shop/backups");
        assert_eq!(at_the_root.region.as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn keys_go_to_the_databases_server_only() {
        let same = place("s3://other/x", true, SOURCE);
        assert_eq!(same.location(), "http://host:9000/other/x");
        assert_eq!(key_id(&same), Some("key"));
        let elsewhere = place("s3://other/x?endpoint=https://far", true, SOURCE);
        assert_eq!(elsewhere.location(), "https://far/other/x");
        assert_eq!(key_id(&elsewhere), None);
        let own = place("s3://own:secret@other/x", true, SOURCE);
        assert_eq!(key_id(&own), Some("own"));
        let profile = place("s3://other?profile=dev&region=r", true, SOURCE);
        assert_eq!(
            (key_id(&profile), profile.region.as_deref()),
            (None, Some("r"))
        );
        let stranger = place("s3://other/x", false, SOURCE);
        assert_eq!((stranger.endpoint, stranger.access_key_id), (None, None));
    }

    #[test]
    fn without_a_database_there_is_no_bucket() {
        let own = DestinationSpec::parse("own=s3://./").unwrap();
        let error = own.beside(None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "destination own: it is in the database's own bucket, and no database is named"
        );
    }
}
