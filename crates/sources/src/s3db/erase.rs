//! Removing a database that was only made to see whether it can be.

use futures::{StreamExt, TryStreamExt, stream};
use teeline_core::BackupError;

use super::bucket::Bucket;
use super::connection::Connection;
use super::listing::PAGE_KEYS;
use super::pace::CALLS_MAX;

/// Deletes every object below the prefix of a connection.
///
/// # Errors
/// Of class [`Usage`](teeline_core::Class::Usage) without a prefix: nobody means the whole bucket.
pub async fn erase(connection: &Connection) -> Result<(), BackupError> {
    if connection.prefix.is_empty() {
        let message = "it has no prefix, so all of the bucket would go";
        return Err(BackupError::usage(connection, message));
    }
    let bucket = Bucket::connect(connection, CALLS_MAX, PAGE_KEYS).await;
    let mut listing = bucket.list("");
    while let Some(page) = listing.next().await? {
        stream::iter(page.objects)
            .map(|listed| {
                let bucket = bucket.clone();
                async move { bucket.delete(&listed.key).await }
            })
            .buffer_unordered(CALLS_MAX)
            .try_collect::<()>()
            .await?;
    }
    Ok(())
}
