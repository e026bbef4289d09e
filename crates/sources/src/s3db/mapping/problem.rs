//! What keeps a record and a document from being one another.

use std::fmt;

/// Why a document doesn't give the object back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inexact {
    /// It names a version that the catalogue lacks, or none.
    Version(Option<String>),
    /// Its body has half of a surrogate pair, which no text of a document can hold.
    Surrogate,
    /// An attribute has a name that documents reserve.
    Reserved(String),
    /// Two cells can't both be in one document.
    Conflict(String),
    /// The document would not survive being printed as JSON and read again.
    Printing,
    /// Encoding failed.
    Unmappable(Unmappable),
    /// Encoding gave another object.
    Differs,
}

/// Why a document has no object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmappable {
    /// The version isn't in the catalogue.
    Version(String),
    /// The behaviour of the version isn't known.
    Behavior(String),
    /// The attribute's type has no text for the value.
    Value(String),
    /// Two values would be stored under one key.
    Collision(String),
    /// The member `_s3db` has a fault.
    Extras(&'static str),
}

impl fmt::Display for Inexact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(Some(version)) => {
                write!(f, "its schema version {version:?} isn't in the catalogue")
            }
            Self::Version(None) => f.write_str("it names no schema version"),
            Self::Surrogate => f.write_str("its body has half of a surrogate pair"),
            Self::Reserved(path) => write!(f, "its attribute {path:?} has a reserved name"),
            Self::Conflict(path) => write!(
                f,
                "its attribute {path:?} is stored more than once, or too deep"
            ),
            Self::Printing => {
                f.write_str("it has a number or a nesting that JSON readers may not keep")
            }
            Self::Unmappable(error) => error.fmt(f),
            Self::Differs => f.write_str("it is stored in another form than an insert gives it"),
        }
    }
}

impl fmt::Display for Unmappable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "the schema version {version:?} isn't in the catalogue")
            }
            Self::Behavior(name) => write!(f, "the behavior {name:?} is unknown"),
            Self::Value(path) => write!(
                f,
                "the attribute {path:?} has a value that its type can't store"
            ),
            Self::Collision(key) => {
                write!(f, "two attributes would be stored under the key {key:?}")
            }
            Self::Extras(fault) => write!(f, "_s3db: {fault}"),
        }
    }
}

impl std::error::Error for Unmappable {}
