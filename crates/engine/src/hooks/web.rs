//! Addresses as hooks: webhooks in the manner of <https://www.standardwebhooks.com>, and pings in the manner of
//! <https://healthchecks.io/docs/http_api/>.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use sha2::Sha256;
use teeline_core::{
    BackupError, Class, PLAIN_HTTP_WARNING, Random, RetryPolicy, Tries, mistrusted,
    new_plain_http_host, retry_after_ms,
};
use tokio::time::{Instant, sleep};

use super::{Hook, Moment, RunEvent};
use crate::destination::Secret;

/// What a secret of a webhook begins with, before its base64.
const SECRET_PREFIX: &str = "whsec_";

/// Is posted the event as JSON, with `webhook-id` and `webhook-timestamp`, and where there are secrets `webhook-signature`, with a
/// signature by each: while one takes the place of another, whoever knows either can check a call.
/// A call that fails for a while is made again, with the same id.
#[derive(Debug)]
pub struct WebhookHook {
    address: Address,
    keys: Vec<Key>,
}

/// Is asked for at every moment: at a start with `/start` after its path, at a failure with `/fail`, else as it is. What has
/// happened is posted as text, for its log.
#[derive(Debug)]
pub struct PingHook {
    address: Address,
}

/// An address, whose path and query may be secret.
struct Address(Url);

struct Key(Vec<u8>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(***)")
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({})", self.shown())
    }
}

impl WebhookHook {
    /// A webhook at `url`, whose calls are signed with each of `secrets`: `whsec_` and the base64 of 24 to 64 bytes.
    ///
    /// # Errors
    /// Of class [`Usage`](Class::Usage), where the one isn't an http(s) URL or the other no such secret. Neither is quoted.
    pub fn new(url: &str, secrets: &[Secret]) -> Result<Self, BackupError> {
        Ok(WebhookHook {
            address: Address::new("url", url)?,
            keys: secrets.iter().map(Key::new).collect::<Result<_, _>>()?,
        })
    }
}

impl PingHook {
    /// A ping of `url`.
    ///
    /// # Errors
    /// As [`WebhookHook::new`].
    pub fn new(url: &str) -> Result<Self, BackupError> {
        Ok(PingHook {
            address: Address::new("ping", url)?,
        })
    }
}

impl Key {
    fn new(secret: &Secret) -> Result<Self, BackupError> {
        let key = secret.expose().strip_prefix(SECRET_PREFIX);
        let key = key.and_then(|key| STANDARD.decode(key).ok());
        match key.filter(|key| (24..=64).contains(&key.len())) {
            Some(key) => Ok(Key(key)),
            None => Err(BackupError::usage(
                "secret",
                "whsec_ and the base64 of 24 to 64 bytes are expected",
            )),
        }
    }

    fn signature(&self, id: &str, timestamp: u64, body: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length is accepted");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl Address {
    fn new(option: &str, url: &str) -> Result<Self, BackupError> {
        let url = Url::parse(url).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(url) = url else {
            return Err(BackupError::usage(option, "it isn't an http(s) URL"));
        };
        Ok(Address(url))
    }

    /// A post to it, with `suffix` after its path.
    fn post(&self, suffix: &str) -> Result<RequestBuilder, BackupError> {
        let mut url = self.0.clone();
        if !suffix.is_empty() {
            let path = format!("{}{suffix}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        if let Some(host) = new_plain_http_host(self.0.as_str()) {
            tracing::warn!(host, "{PLAIN_HTTP_WARNING}");
        }
        // One that moves may have become somebody else's.
        let client = Client::builder().redirect(Policy::none()).build();
        let client = client.map_err(|error| self.failed(Class::Permanent, causes(&error)))?;
        Ok(client.post(url))
    }

    /// Without what may be secret.
    fn shown(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Sends a request, again where that may help.
    async fn send(&self, request: RequestBuilder) -> Result<(), BackupError> {
        let (began, random) = (Instant::now(), Random::new(unix_seconds()));
        let mut tries = Tries::new(RetryPolicy::default());
        loop {
            let once = request.try_clone();
            let once = once.ok_or_else(|| self.failed(Class::Permanent, "it can't be sent"))?;
            let error = match once.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => self.refused(&answer),
                Err(error) => self.broken(&causes(&error.without_url())),
            };
            let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            match tries.failed(&error, elapsed_ms, &random) {
                Some(pause_ms) => sleep(Duration::from_millis(pause_ms)).await,
                None => return Err(error),
            }
        }
    }

    fn refused(&self, answer: &Response) -> BackupError {
        let header = |name| answer.headers().get(name)?.to_str().ok();
        let status = answer.status();
        self.failed(class(status), format!("HTTP {status}"))
            .wait(retry_after_ms(header, SystemTime::now().into()))
    }

    fn broken(&self, causes: &str) -> BackupError {
        match mistrusted(causes) {
            Some(trust) => self.failed(Class::Permanent, causes).suggest(trust),
            None => self.failed(Class::Transient, causes),
        }
    }

    fn failed(&self, class: Class, message: impl std::fmt::Display) -> BackupError {
        BackupError::new(class, "call", self.shown(), message)
    }
}

fn class(status: StatusCode) -> Class {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Class::Throttled,
        StatusCode::REQUEST_TIMEOUT => Class::Transient,
        status if status.is_server_error() => Class::Transient,
        _ => Class::Permanent,
    }
}

/// An error with what caused it: reqwest's own words say nothing of a refused connection.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[async_trait]
impl Hook for WebhookHook {
    fn may_stop(&self) -> bool {
        false
    }

    async fn call(&self, event: &RunEvent) -> Result<(), BackupError> {
        let permanent = |error| self.address.failed(Class::Permanent, error);
        let body = serde_json::to_string(event).map_err(permanent)?;
        let subject = event.id.as_ref().map_or("none", |id| id.as_str());
        let id = format!("{subject}.{}", event.timestamp.unix_ms());
        let timestamp = unix_seconds();
        let mut request = self
            .address
            .post("")?
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp);
        if !self.keys.is_empty() {
            let signatures = self.keys.iter();
            let signatures = signatures.map(|key| key.signature(&id, timestamp, &body));
            let signatures = signatures.collect::<Vec<_>>().join(" ");
            request = request.header("webhook-signature", signatures);
        }
        self.address.send(request.body(body)).await
    }
}

#[async_trait]
impl Hook for PingHook {
    fn may_stop(&self) -> bool {
        false
    }

    async fn call(&self, event: &RunEvent) -> Result<(), BackupError> {
        let suffix = match event.moment {
            Moment::BackupStart | Moment::RestoreStart => "/start",
            _ if event.is_failure() => "/fail",
            _ => "",
        };
        let request = self.address.post(suffix)?.body(event.text());
        self.address.send(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_specification() {
        // The example of the reference implementations.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let key = Key::new(&secret).unwrap();
        let signature = key.signature(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_address_or_secret_is_refused_unquoted() {
        for url in ["", "CANARY", "ftp://CANARY", "http://"] {
            let error = PingHook::new(url).unwrap_err().to_string();
            assert!(
                error.contains("ping: ") && !error.contains("CANARY"),
                "{error}"
            );
        }
        for secret in ["CANARY", "whsec_CANARY", "whsec_", "whsec_Q0FOQVJZ"] {
            let secret = Secret::new(secret);
            let error = WebhookHook::new("http://h/", &[secret]).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(
                text.contains("24 to 64 bytes") && !text.contains("CANARY"),
                "{text}"
            );
        }
        let hook = WebhookHook::new("https://hooks.example/CANARY?CANARY", &[]).unwrap();
        assert_eq!(
            format!("{hook:?}"),
            "WebhookHook { address: Address(https://hooks.example), keys: [] }"
        );
    }
}
