//! Keys as AWS's own tools find them, for object_store, which knows neither profiles nor single sign-on.
//!
//! They are asked for with every request and found once: kept until shortly before they expire, and looked for by one
//! caller at a time. Where a renewal fails, the old ones serve for as long as they last. What the server says of keys concerns
//! those that the request was signed with: many requests that are refused together lead to one renewal.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use teeline_core::Digest;
use tokio::sync::Mutex;

use super::failure::deepest;
use super::service::keys_digest;

/// How long before they expire keys are renewed.
const RENEWAL: Duration = Duration::from_secs(5 * 60);

/// Keys from AWS's default chain.
pub(super) struct ChainedCredentials {
    chain: SharedCredentialsProvider,
    found: Mutex<Option<Found>>,
    /// The keys that the server took for expired last.
    refused: SyncMutex<Option<Digest>>,
}

struct Found {
    keys: Arc<AwsCredential>,
    digest: Digest,
    expires_at: Option<SystemTime>,
}

impl Found {
    fn lasts_for(&self, time: Duration) -> bool {
        let until = SystemTime::now().checked_add(time);
        match (self.expires_at, until) {
            (None, _) => true,
            (Some(expires_at), Some(until)) => expires_at > until,
            (Some(_), None) => false,
        }
    }
}

impl ChainedCredentials {
    pub(super) fn new(chain: SharedCredentialsProvider) -> Self {
        ChainedCredentials {
            chain,
            found: Mutex::new(None),
            refused: SyncMutex::default(),
        }
    }

    /// The server says that these keys have expired: the next request gets new ones, unless they have been renewed meanwhile.
    pub(super) fn refuse(&self, signed_with: Option<Digest>) {
        *self.refused() = signed_with;
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, Option<Digest>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ChainedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainedCredentials")
    }
}

#[async_trait]
impl CredentialProvider for ChainedCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut found = self.found.lock().await;
        let refused = found
            .as_ref()
            .is_some_and(|found| *self.refused() == Some(found.digest));
        if let Some(found) = &*found
            && !refused
            && found.lasts_for(RENEWAL)
        {
            return Ok(Arc::clone(&found.keys));
        }
        match self.chain.provide_credentials().await {
            Ok(new) => {
                let keys = Arc::new(AwsCredential {
                    key_id: new.access_key_id().to_owned(),
                    secret_key: new.secret_access_key().to_owned(),
                    token: new.session_token().map(str::to_owned),
                });
                *found = Some(Found {
                    keys: Arc::clone(&keys),
                    digest: keys_digest(&keys.key_id, keys.token.as_deref()),
                    expires_at: new.expiry(),
                });
                Ok(keys)
            }
            Err(error) => match &*found {
                Some(found) if !refused && found.lasts_for(Duration::ZERO) => {
                    Ok(Arc::clone(&found.keys))
                }
                _ => Err(object_store::Error::Generic {
                    store: "S3",
                    source: Box::new(NoCredentials::because(&error)),
                }),
            },
        }
    }
}

/// No keys could be found.
#[derive(Debug)]
pub(super) struct NoCredentials {
    /// Whether they might be another time.
    pub(super) may_be_found: bool,
    reason: String,
}

impl NoCredentials {
    fn because(error: &CredentialsError) -> Self {
        let is_set_up = !matches!(
            error,
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)
        );
        NoCredentials {
            may_be_found: is_set_up,
            reason: deepest(error),
        }
    }
}

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no access keys could be found: {}", self.reason)
    }
}

impl Error for NoCredentials {}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_credential_types::credential_fn::provide_credentials_fn;

    use super::*;

    /// A chain that gives these, one after the other: an id, and how many seconds it lasts for.
    fn chain(answers: Vec<Option<(&'static str, u64)>>) -> ChainedCredentials {
        let answers = Arc::new(SyncMutex::new(answers.into_iter()));
        let chain = provide_credentials_fn(move || {
            let answer = answers.lock().unwrap().next();
            async move {
                let (id, seconds) = answer
                    .flatten()
                    .ok_or_else(|| CredentialsError::provider_timed_out(Duration::from_secs(5)))?;
                let expires_at = SystemTime::now() + Duration::from_secs(seconds);
                Ok(Credentials::new(
                    id,
                    "secret",
                    None,
                    Some(expires_at),
                    "test",
                ))
            }
        });
        ChainedCredentials::new(SharedCredentialsProvider::new(chain))
    }

    async fn id(credentials: &ChainedCredentials) -> String {
        credentials.get_credential().await.unwrap().key_id.clone()
    }

    #[tokio::test]
    async fn found_once_and_renewed_in_time() {
        let credentials = chain(vec![Some(("lasting", 3_600)), Some(("other", 3_600))]);
        assert_eq!(id(&credentials).await, "lasting");
        assert_eq!(id(&credentials).await, "lasting");
        credentials.refuse(Some(keys_digest("lasting", None)));
        assert_eq!(id(&credentials).await, "other");
        assert_eq!(id(&credentials).await, "other");
    }

    #[tokio::test]
    async fn many_that_are_refused_together_lead_to_one_renewal() {
        let credentials = chain(vec![Some(("old", 3_600)), Some(("new", 3_600)), None]);
        assert_eq!(id(&credentials).await, "old");
        for _ in 0..10 {
            // Each was signed before the renewal, and is answered after it.
            credentials.refuse(Some(keys_digest("old", None)));
            assert_eq!(id(&credentials).await, "new");
        }
    }

    #[tokio::test]
    async fn old_ones_serve_where_a_renewal_fails() {
        let credentials = chain(vec![Some(("short", 60)), None, Some(("new", 3_600))]);
        assert_eq!(id(&credentials).await, "short");
        assert_eq!(id(&credentials).await, "short");
        assert_eq!(id(&credentials).await, "new");
    }

    #[tokio::test]
    async fn none_is_an_error_that_says_so() {
        let credentials = chain(vec![]);
        let error = credentials.get_credential().await.unwrap_err();
        assert!(
            error.to_string().contains("no access keys could be found"),
            "{error}"
        );
    }
}
