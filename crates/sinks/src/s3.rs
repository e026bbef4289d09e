//! What [`ObjectStoreSink`](crate::ObjectStoreSink) is made of.

mod connect;
mod credentials;
mod failure;
pub(crate) mod options;
pub(crate) mod service;
pub(crate) mod store;
mod unfinished;
pub(crate) mod upload;
