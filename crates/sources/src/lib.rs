//! Where backups are read from.
//!
//! [`s3db`] reads databases that s3db.js wrote on S3, and writes them back; [`jsonl`] reads files of JSON lines.

mod io;
pub mod jsonl;
pub mod s3db;

pub use io::Io;
pub use jsonl::JsonlSource;
