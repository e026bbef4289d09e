//! How S3 is to keep what it is sent: in which class, encrypted with which key, with which tags.
//!
//! A class is for data, which is written as an upload. Documents, which are put whole, stay in the bucket's standard class:
//! nothing could be listed, checked or restored without reading them, and small objects cost more in most other classes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use object_store::{Attribute, Attributes, TagSet};
use teeline_core::BackupError;

use super::lock::ObjectLock;

/// S3 keeps no more tags with an object.
const TAGS_MAX: usize = 10;
const TAG_NAME_CHARACTERS_MAX: usize = 128;
const TAG_VALUE_CHARACTERS_MAX: usize = 256;

/// How objects are to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Storing {
    /// The class of data. Without, none is asked for, which is the standard one.
    pub class: Option<StorageClass>,
    /// How the server encrypts everything. Without, as the bucket has it.
    pub encryption: Option<ServerSideEncryption>,
    /// What everything is tagged with: up to 10 names of up to 128 characters, with values of up to 256.
    pub tags: BTreeMap<String, String>,
    /// For how long nobody can remove or replace anything. Without, as the bucket has it.
    pub lock: Option<ObjectLock>,
}

/// A storage class of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageClass(&'static str);

/// How a server encrypts what it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerSideEncryption {
    /// With keys of S3's own: `AES256`.
    S3,
    /// With a key of the key management service: `aws:kms`. Without an id it is the account's default one.
    Kms(Option<String>),
}

impl StorageClass {
    /// Every class that there is.
    pub const NAMES: [&str; 15] = [
        "STANDARD",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER_IR",
        "GLACIER",
        "DEEP_ARCHIVE",
        "REDUCED_REDUNDANCY",
        "EXPRESS_ONEZONE",
        "OUTPOSTS",
        "SNOW",
        "FSX_OPENZFS",
        "FSX_ONTAP",
        "AWS_BACKUP_WARM",
        "AWS_BACKUP_LOW_COST_WARM",
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether what is in it can only be read after it was thawed.
    pub fn is_archive(self) -> bool {
        matches!(self.0, "GLACIER" | "DEEP_ARCHIVE")
    }
}

impl FromStr for StorageClass {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        let known = Self::NAMES.into_iter().find(|name| *name == text);
        known.map(StorageClass).ok_or_else(|| {
            let accepted = Self::NAMES.join(", ");
            BackupError::usage(
                "storage class",
                format!("unknown word {text:?}; accepted: {accepted}"),
            )
        })
    }
}

impl fmt::Display for StorageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Storing {
    /// Refuses tags and locks that S3 doesn't take. A message names a tag and never shows its value.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), String> {
        if self.tags.len() > TAGS_MAX {
            return Err(format!(
                "there are {} tags, and S3 takes {TAGS_MAX} at the most",
                self.tags.len()
            ));
        }
        if let Some(lock) = self.lock {
            lock.check()?;
        }
        let fits = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
        for (name, value) in &self.tags {
            let length = name.chars().count();
            if !(1..=TAG_NAME_CHARACTERS_MAX).contains(&length)
                || value.chars().count() > TAG_VALUE_CHARACTERS_MAX
                || !name.chars().chain(value.chars()).all(fits)
                || name.starts_with("aws:")
            {
                return Err(format!(
                    "the tag {name:?} isn't accepted by S3: a name has 1 to {TAG_NAME_CHARACTERS_MAX} characters and doesn't \
                     begin with aws:, a value has at most {TAG_VALUE_CHARACTERS_MAX}; they are letters, digits, spaces and _ . : / = + - @"
                ));
            }
        }
        Ok(())
    }

    /// Whether data can't be read again at once.
    pub(crate) fn is_archived(&self) -> bool {
        self.class.is_some_and(StorageClass::is_archive)
    }

    /// What is asked for data beside its tags.
    pub(super) fn data_attributes(&self) -> Attributes {
        let class = self.class.iter();
        class
            .map(|class| (Attribute::StorageClass, class.as_str()))
            .collect()
    }

    pub(super) fn tag_set(&self) -> TagSet {
        let mut tags = TagSet::default();
        for (name, value) in &self.tags {
            tags.push(name, value);
        }
        tags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_that_the_sdk_knows_is_accepted_and_no_other() {
        let ours: std::collections::BTreeSet<_> = StorageClass::NAMES.into();
        let known = aws_sdk_s3::types::StorageClass::values();
        assert_eq!(ours, known.iter().copied().collect());
        for name in known {
            assert_eq!(name.parse::<StorageClass>().unwrap().as_str(), *name);
        }
        for name in ["", "standard", "TAPE"] {
            let error = name.parse::<StorageClass>().unwrap_err();
            assert!(error.to_string().contains("DEEP_ARCHIVE"), "{error}");
        }
        let archives = StorageClass::NAMES
            .into_iter()
            .filter(|name| StorageClass(name).is_archive());
        assert_eq!(archives.collect::<Vec<_>>(), ["GLACIER", "DEEP_ARCHIVE"]);
    }

    #[test]
    fn tags_that_s3_refuses_are_refused() {
        let tagged = |name: &str, value: &str| {
            let tags = [(name.to_owned(), value.to_owned())].into();
            let storing = Storing {
                tags,
                ..Storing::default()
            };
            storing.check()
        };
        for (name, value) in [("team", "billing a/b"), ("größe", ""), ("a:b=c+d-e@f", "ä")] {
            tagged(name, value).unwrap();
        }
        for (name, value) in [("", "x"), ("aws:x", "y"), ("a", "b\n"), ("a&b", "c")] {
            tagged(name, value).unwrap_err();
        }
        tagged(&"n".repeat(128), &"v".repeat(256)).unwrap();
        tagged(&"n".repeat(129), "v").unwrap_err();
        let refused = tagged("n", &"v".repeat(257)).unwrap_err();
        assert!(!refused.contains("vvv"), "{refused}");
        let many = (0..11).map(|n| (n.to_string(), String::new())).collect();
        let storing = Storing {
            tags: many,
            ..Storing::default()
        };
        assert!(storing.check().unwrap_err().contains("11 tags"));
    }
}
