//! Keys as AWS's own tools find them, for object_store, which knows neither profiles nor single sign-on.
//!
//! They are asked for with every request and found once: kept until shortly before they expire, and looked for by one
//! task at a time, which goes on where the call that began it has a deadline that is too short for it: the next one waits for the same.
//! Where a renewal fails, the old ones serve for as long as they last. What the server says of keys concerns
//! those that the request was signed with: many requests that are refused together lead to one renewal. A refusal without a word, as
//! of a HEAD, may be one of expired keys, or of missing rights: it leads to one renewal, and for a while to no other, whatever that gave.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use teeline_core::Digest;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use super::failure::deepest;
use super::rejected::Rejected;
use super::service::keys_digest;
use super::signed::generic;

/// How long before they expire keys are renewed.
const RENEWAL: Duration = Duration::from_secs(5 * 60);
/// How long keys count as right that a refusal without a word has led to.
const DOUBTED_AGAIN_AFTER: Duration = Duration::from_secs(5 * 60);

/// For how long keys are looked for.
const LOOKED_FOR: Duration = Duration::from_secs(60);
/// How long a call waits for the first ones: shorter than what a store has that hasn't answered yet, so that it can say what it waited for.
const FIRST_WAITED_FOR: Duration = Duration::from_secs(4);

/// Keys from AWS's default chain.
pub(super) struct ChainedCredentials {
    chain: SharedCredentialsProvider,
    keys: Mutex<Keys>,
    told: SyncMutex<Told>,
}

#[derive(Default)]
struct Keys {
    found: Option<Found>,
    /// The task that looks for others, until it was waited for to its end.
    lookup: Option<Lookup>,
}

type Lookup = JoinHandle<Result<Credentials, NoCredentials>>;

/// What is known of keys from what the server answered.
#[derive(Default)]
struct Told {
    /// Those that the server took for expired last.
    expired: Option<Digest>,
    /// Those that were refused without a word last.
    doubted: Option<Digest>,
    /// Those that a doubt has led to, and when: it isn't them that is refused.
    settled: Option<(Digest, Instant)>,
}

/// What to do with keys that were found before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Renewal {
    Needless,
    /// Without others, these serve on.
    Tried,
    Needed,
}

struct Found {
    keys: Arc<AwsCredential>,
    digest: Digest,
    expires_at: Option<SystemTime>,
}

impl Found {
    fn new(credentials: &Credentials) -> Self {
        let keys = AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        };
        Found {
            digest: keys_digest(&keys.key_id, keys.token.as_deref()),
            keys: Arc::new(keys),
            expires_at: credentials.expiry(),
        }
    }

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
            keys: Mutex::default(),
            told: SyncMutex::default(),
        }
    }

    /// What the chain gives, once it does.
    async fn look_up(&self, keys: &mut Keys) -> Result<Credentials, NoCredentials> {
        let lookup = keys
            .lookup
            .get_or_insert_with(|| tokio::spawn(look_up(self.chain.clone())));
        let result = match keys.found {
            Some(_) => lookup.await,
            None => match timeout(FIRST_WAITED_FOR, lookup).await {
                Ok(result) => result,
                Err(_) => return Err(NoCredentials::within(FIRST_WAITED_FOR)),
            },
        };
        keys.lookup = None;
        // The runtime that it was begun in is gone, or the code of a provider has panicked.
        result.unwrap_or_else(|lost| Err(NoCredentials::lost(&lost)))
    }

    /// Whether the next request has other keys than the one that was rejected, or may have.
    pub(super) fn renews_after(&self, rejected: &Rejected) -> bool {
        let mut told = self.told();
        if rejected.is_of_expired_keys() {
            told.expired = rejected.signed_with;
            return true;
        }
        let is_settled = told.settled.is_some_and(|(keys, since)| {
            rejected.signed_with == Some(keys) && since.elapsed() < DOUBTED_AGAIN_AFTER
        });
        if !rejected.may_be_of_expired_keys() || is_settled {
            return false;
        }
        told.doubted = rejected.signed_with;
        true
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renewal_of(&self, found: &Found) -> Renewal {
        let told = self.told();
        let keys = Some(found.digest);
        if told.expired == keys || !found.lasts_for(Duration::ZERO) {
            Renewal::Needed
        } else if told.doubted == keys || !found.lasts_for(RENEWAL) {
            Renewal::Tried
        } else {
            Renewal::Needless
        }
    }

    /// What was doubted was looked for again, and these were found, or stay for want of others.
    fn settle(&self, keys: Digest) {
        let mut told = self.told();
        if told.doubted.take().is_some() {
            told.settled = Some((keys, Instant::now()));
        }
    }
}

async fn look_up(chain: SharedCredentialsProvider) -> Result<Credentials, NoCredentials> {
    match timeout(LOOKED_FOR, chain.provide_credentials()).await {
        Ok(found) => found.map_err(|error| NoCredentials::because(&error)),
        Err(_) => Err(NoCredentials::within(LOOKED_FOR)),
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
        let mut keys = self.keys.lock().await;
        let renewal = keys.found.as_ref().map(|found| self.renewal_of(found));
        if let (Some(found), Some(Renewal::Needless)) = (&keys.found, renewal) {
            return Ok(Arc::clone(&found.keys));
        }
        match self.look_up(&mut keys).await {
            Ok(new) => {
                let found = Found::new(&new);
                self.settle(found.digest);
                Ok(Arc::clone(&keys.found.insert(found).keys))
            }
            Err(missing) => match (&keys.found, renewal) {
                (Some(found), Some(Renewal::Tried)) => {
                    self.settle(found.digest);
                    Ok(Arc::clone(&found.keys))
                }
                _ => Err(generic(missing)),
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

    fn within(waited_for: Duration) -> Self {
        NoCredentials {
            may_be_found: true,
            reason: format!("they haven't come within {} s", waited_for.as_secs()),
        }
    }

    fn lost(lookup: &JoinError) -> Self {
        NoCredentials {
            may_be_found: true,
            reason: format!("who looked for them is gone: {}", deepest(lookup)),
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
    use std::sync::atomic::{AtomicU64, Ordering};

    use aws_credential_types::credential_fn::provide_credentials_fn;

    use super::super::failure::find;
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

    fn expired(id: &str) -> Rejected {
        Rejected::of_keys(403, "ExpiredToken", keys_digest(id, None))
    }

    fn wordless(id: &str) -> Rejected {
        Rejected::of_keys(403, "", keys_digest(id, None))
    }

    async fn id(credentials: &ChainedCredentials) -> String {
        credentials.get_credential().await.unwrap().key_id.clone()
    }

    #[tokio::test]
    async fn found_once_and_renewed_in_time() {
        let credentials = chain(vec![Some(("lasting", 3_600)), Some(("other", 3_600))]);
        assert_eq!(id(&credentials).await, "lasting");
        assert_eq!(id(&credentials).await, "lasting");
        assert!(credentials.renews_after(&expired("lasting")));
        assert_eq!(id(&credentials).await, "other");
        assert_eq!(id(&credentials).await, "other");
    }

    #[tokio::test]
    async fn many_that_are_refused_together_lead_to_one_renewal() {
        let credentials = chain(vec![Some(("old", 3_600)), Some(("new", 3_600)), None]);
        assert_eq!(id(&credentials).await, "old");
        for _ in 0..10 {
            // Each was signed before the renewal, and is answered after it.
            assert!(credentials.renews_after(&expired("old")));
            assert_eq!(id(&credentials).await, "new");
        }
    }

    #[tokio::test]
    async fn a_refusal_without_a_word_leads_to_one_renewal() {
        // Each time others, as a role that is assumed gives them.
        let answers = ["old", "new", "newer"].map(|id| Some((id, 3_600)));
        let credentials = chain(answers.into());
        assert_eq!(id(&credentials).await, "old");
        for _ in 0..10 {
            assert!(credentials.renews_after(&wordless("old")));
            assert_eq!(id(&credentials).await, "new");
        }
        for _ in 0..10 {
            assert!(
                !credentials.renews_after(&wordless("new")),
                "it isn't the keys"
            );
            assert_eq!(id(&credentials).await, "new");
        }
        assert!(credentials.renews_after(&expired("new")));
        assert_eq!(id(&credentials).await, "newer");
    }

    #[tokio::test]
    async fn keys_that_are_only_doubted_serve_where_a_renewal_fails() {
        let credentials = chain(vec![Some(("lasting", 3_600)), None]);
        assert_eq!(id(&credentials).await, "lasting");
        assert!(credentials.renews_after(&wordless("lasting")));
        assert_eq!(id(&credentials).await, "lasting");
        assert!(!credentials.renews_after(&wordless("lasting")));
    }

    #[tokio::test]
    async fn old_ones_serve_where_a_renewal_fails() {
        let credentials = chain(vec![Some(("short", 60)), None, Some(("new", 3_600))]);
        assert_eq!(id(&credentials).await, "short");
        assert_eq!(id(&credentials).await, "short");
        assert_eq!(id(&credentials).await, "new");
    }

    /// A chain that takes so long, and how often it was asked.
    fn slow_chain(delay: Duration) -> (ChainedCredentials, Arc<AtomicU64>) {
        let asked = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&asked);
        let chain = provide_credentials_fn(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(delay).await;
                Ok(Credentials::new("slow", "secret", None, None, "test"))
            }
        });
        let chain = SharedCredentialsProvider::new(chain);
        (ChainedCredentials::new(chain), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_longer_than_a_call_is_had_by_the_next_one() {
        let (credentials, asked) = slow_chain(Duration::from_secs(10));
        let late = timeout(Duration::from_secs(1), credentials.get_credential());
        assert!(late.await.is_err(), "a call that is late is dropped");
        for _ in 0..2 {
            let error = credentials.get_credential().await.unwrap_err();
            let missing = find::<NoCredentials>(&error).unwrap();
            assert!(missing.may_be_found);
            assert!(
                missing
                    .to_string()
                    .ends_with("they haven't come within 4 s"),
                "{missing}"
            );
        }
        for _ in 0..2 {
            assert_eq!(id(&credentials).await, "slow");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_looked_for_again() {
        let (credentials, asked) = slow_chain(Duration::MAX);
        let mut reasons = Vec::new();
        while asked.load(Ordering::SeqCst) < 2 {
            let error = credentials.get_credential().await.unwrap_err();
            reasons.push(find::<NoCredentials>(&error).unwrap().to_string());
        }
        let ended = reasons.iter().filter(|reason| reason.contains("60 s"));
        assert_eq!(ended.count(), 1, "{reasons:?}");
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
