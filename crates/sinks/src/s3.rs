//! What [`ObjectStoreSink`](crate::ObjectStoreSink) is made of.

mod answers;
mod connect;
mod credentials;
mod failure;
mod held_parts;
pub(crate) mod lock;
pub(crate) mod options;
mod rejected;
mod service;
mod signed;
pub(crate) mod store;
pub(crate) mod storing;
mod thaw;
mod unfinished;
pub(crate) mod upload;
