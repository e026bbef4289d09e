//! The clock of the server, by which it says when objects were written.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use teeline_core::{BackupError, Timestamp};

use super::super::bucket::Bucket;

/// What time it is at the server, to the second; `None` where it doesn't say.
pub(super) async fn server_time(bucket: &Bucket) -> Result<Option<Timestamp>, BackupError> {
    let date = Date::default();
    bucket
        .call(|client, name| {
            let call = client.list_objects_v2().bucket(name).max_keys(1);
            let call = call.prefix(bucket.prefix()).customize();
            let call = call.interceptor(date.clone());
            async {
                let sent = call.send().await;
                sent.map(drop)
                    .map_err(|error| bucket.failed("list", "", &error))
            }
        })
        .await?;
    Ok(date.get())
}

/// Takes the time from the head of an answer.
#[derive(Debug, Clone)]
struct Date(Arc<AtomicI64>);

impl Default for Date {
    fn default() -> Self {
        Date(Arc::new(AtomicI64::new(i64::MIN)))
    }
}

impl Date {
    fn get(&self) -> Option<Timestamp> {
        let time = self.0.load(Ordering::Relaxed);
        (time != i64::MIN).then(|| Timestamp::from_unix_ms(time))
    }
}

impl Intercept for Date {
    fn name(&self) -> &'static str {
        "Date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        if let Some(time) = date.and_then(Timestamp::from_http_date) {
            self.0.store(time.unix_ms(), Ordering::Relaxed);
        }
        Ok(())
    }
}
