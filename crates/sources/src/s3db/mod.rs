//! Databases written by s3db.js 21.6.2: records kept in the metadata of S3 objects.
//!
//! One part is pure: it parses a connection string ([`connection`]) and the catalogue ([`catalogue`], [`schema`]), and
//! maps a stored object to a JSON document and back ([`mapping`]). The other talks to a server: [`S3dbSource`] reads a
//! database, [`S3dbTarget`] writes it back.
//!
//! Beside them, [`plugin_archive`] reads what the backup plugin of s3db.js leaves.
//!
//! The mapping never has to be trusted: [`mapping::decode`] encodes its own result and says whether that gives the very
//! object back. Where it doesn't, [`mapping::raw_line`] carries the object byte for byte beside what could be read.

mod behavior;
mod body;
mod bucket;
pub mod catalogue;
mod cell;
mod changes;
mod client;
pub mod connection;
mod continued;
mod erase;
mod export;
mod extras;
mod fetch;
mod items;
mod javascript;
mod json_object;
mod keys;
mod keyspace;
mod known;
mod large;
mod listing;
pub mod mapping;
mod merge;
pub mod object;
mod object_calls;
mod overlay;
mod pace;
mod part;
mod parted;
mod partition;
mod path;
pub mod plugin_archive;
mod puts;
mod ranges;
mod read_ahead;
mod registry;
mod sample;
mod scan;
pub mod schema;
mod settle;
mod settled;
mod source;
mod target;
mod types;
mod value;
mod walk;
mod window;
mod write;
mod write_back;

pub use catalogue::{Catalogue, CatalogueError};
pub use connection::{Connection, ConnectionError, Keys};
pub use erase::erase;
pub use export::{ExportedBackup, schema_export};
pub use mapping::{Decoded, decode, encode, line, raw_line, restore_object};
pub use object::RawObject;
pub use overlay::{LaterLinks, Newer, Overlay, RecordLine, Replay, record_line};
pub use schema::{Resource, Version};
pub use settled::{Said, said};
pub use source::{OnUndecodable, S3dbSource, ScanOptions};
pub use target::{S3dbTarget, WriteBackOptions};
pub use walk::{UnknownObjects, id_of, record_of, resource_of};
pub use write::RestoreMode;
