//! From options to a client.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::aws::{AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider, Checksum};
use object_store::client::{HttpClient, HttpConnector};
use object_store::{BackoffConfig, ClientOptions, RetryConfig, StaticCredentialProvider};
use reqwest::redirect::Policy;
use teeline_core::{BackupError, Class, PLAIN_HTTP_WARNING, new_plain_http_host};

use super::credentials::ChainedCredentials;
use super::failure::deepest;
use super::lock::Locking;
use super::options::{AccessKeys, S3Options};
use super::service::Connector;
use super::signed::Signer;
use super::storing::ServerSideEncryption;

const USER_AGENT: &str = concat!("teeline/", env!("CARGO_PKG_VERSION"));
/// What servers that aren't AWS take for theirs.
const REGION_DEFAULT: &str = "us-east-1";

pub(super) struct Connected {
    pub(super) client: AmazonS3,
    pub(super) host: String,
    pub(super) chain: Option<Arc<ChainedCredentials>>,
    pub(super) conditional_completion: Arc<AtomicBool>,
    pub(super) requests: HttpClient,
    pub(super) signer: Signer,
}

/// Who is asked for keys, and the region that goes with them.
struct Access {
    credentials: AwsCredentialProvider,
    chain: Option<Arc<ChainedCredentials>>,
    region: String,
}

pub(super) async fn connect(options: &S3Options) -> Result<Connected, BackupError> {
    options.check()?;
    if let Some(host) = options.endpoint.as_deref().and_then(new_plain_http_host) {
        tracing::warn!(host, "{PLAIN_HTTP_WARNING}");
    }
    let unusable = |error: &(dyn Error + 'static)| {
        BackupError::new(Class::Usage, "open", options.place(), deepest(error))
    };
    let Access {
        credentials,
        chain,
        region,
    } = access(options).await?;
    let signer = Signer {
        credentials: Arc::clone(&credentials),
        region: region.clone(),
    };
    let conditional_completion = Arc::new(AtomicBool::new(true));
    let connector = Connector {
        client: http_client(options).map_err(|error| unusable(&error))?,
        conditional_completion: Arc::clone(&conditional_completion),
        locking: options
            .storing
            .lock
            .map(|lock| Locking::new(lock, signer.clone())),
        answer_ms: options.timeouts.answer_ms,
    };
    let requests = connector
        .connect(&ClientOptions::default())
        .map_err(|error| unusable(&error))?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&options.bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // One request an object: not every server can delete in bulk, and we delete singly.
        .with_disable_bulk_delete(true)
        .with_virtual_hosted_style_request(!options.is_path_style())
        .with_client_options(ClientOptions::new().with_allow_http(is_plain(options)))
        .with_retry(no_retries())
        .with_http_connector(connector)
        .with_credentials(credentials)
        .with_region(&region);
    let encryption = options.storing.encryption.as_ref();
    builder = encrypted(builder, encryption).map_err(|error| unusable(&error))?;
    if options.storing.is_archived() || options.storing.lock.is_some() {
        // What is archived can't be read back: S3 compares what it receives with this, and keeps it. Of what is to be locked S3
        // wants one in any case.
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
    }
    if let Some(endpoint) = endpoint(options) {
        builder = builder.with_endpoint(endpoint);
    }
    Ok(Connected {
        client: builder.build().map_err(|error| unusable(&error))?,
        host: host(options, &region),
        chain,
        conditional_completion,
        requests,
        signer,
    })
}

async fn access(options: &S3Options) -> Result<Access, BackupError> {
    if let Some(keys) = &options.keys {
        let region = options.region.as_deref().unwrap_or(REGION_DEFAULT);
        return Ok(Access {
            credentials: Arc::new(StaticCredentialProvider::new(given(keys))),
            chain: None,
            region: region.to_owned(),
        });
    }
    let found = look_up(options).await;
    let provider = found.credentials_provider().ok_or_else(|| {
        BackupError::usage(options.place(), "there is nowhere to look for access keys")
    })?;
    let chain = Arc::new(ChainedCredentials::new(provider));
    let region = options.region.clone();
    let region = region.or_else(|| found.region().map(ToString::to_string));
    let region = match region {
        Some(region) => region,
        None if options.endpoint.is_some() => REGION_DEFAULT.to_owned(),
        None => {
            return Err(BackupError::usage(
                options.place(),
                "no region is set, neither here nor in the profile or environment",
            )
            .suggest("set the region that the bucket is in"));
        }
    };
    Ok(Access {
        credentials: Arc::clone(&chain) as _,
        chain: Some(chain),
        region,
    })
}

fn given(keys: &AccessKeys) -> AwsCredential {
    AwsCredential {
        key_id: keys.id.clone(),
        secret_key: keys.secret.clone(),
        token: keys.session_token.clone(),
    }
}

fn encrypted(
    builder: AmazonS3Builder,
    encryption: Option<&ServerSideEncryption>,
) -> object_store::Result<AmazonS3Builder> {
    let kind = "aws_server_side_encryption".parse::<AmazonS3ConfigKey>()?;
    Ok(match encryption {
        None => builder,
        Some(ServerSideEncryption::S3) => builder.with_config(kind, "AES256"),
        Some(ServerSideEncryption::Kms(None)) => builder.with_config(kind, "aws:kms"),
        Some(ServerSideEncryption::Kms(Some(key_id))) => builder.with_sse_kms_encryption(key_id),
    })
}

async fn look_up(options: &S3Options) -> aws_config::SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    // A given one saves asking the machine for its own.
    let region = options.region.clone();
    let region = region.or_else(|| options.endpoint.as_ref().map(|_| REGION_DEFAULT.to_owned()));
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    // It is large, and everything that opens a destination would be.
    Box::pin(loader.load()).await
}

fn is_plain(options: &S3Options) -> bool {
    let endpoint = options.endpoint.as_ref();
    endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
}

/// What requests are sent by. It follows no redirection: that would take signatures, and the tokens of temporary keys, to
/// wherever an answer points.
fn http_client(options: &S3Options) -> reqwest::Result<reqwest::Client> {
    let timeouts = &options.timeouts;
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .https_only(!is_plain(options))
        .http1_only()
        .connect_timeout(Duration::from_millis(timeouts.connect_ms))
        .timeout(Duration::from_millis(timeouts.request_ms))
        .build()
}

/// Repeating is the work of one decorator, which sees what is repeated.
fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        retry_timeout: Duration::ZERO,
        backoff: BackoffConfig::default(),
    }
}

/// The endpoint as object_store wants it: with the bucket in the host where it doesn't stand in the path.
fn endpoint(options: &S3Options) -> Option<String> {
    let endpoint = options.endpoint.as_deref()?.trim_end_matches('/');
    match endpoint.split_once("://") {
        Some((scheme, host)) if !options.is_path_style() => {
            Some(format!("{scheme}://{}.{host}", options.bucket))
        }
        _ => Some(endpoint.to_owned()),
    }
}

/// Who is talked to, for the words.
fn host(options: &S3Options, region: &str) -> String {
    match &options.endpoint {
        Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        None => format!("s3.{region}.amazonaws.com"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_stands_where_it_is_wanted() {
        let mut options = S3Options::new("bucket");
        assert_eq!(endpoint(&options), None);
        assert_eq!(host(&options, "eu-west-1"), "s3.eu-west-1.amazonaws.com");
        options.endpoint = Some("http://host:9000/".into());
        assert_eq!(endpoint(&options).unwrap(), "http://host:9000");
        options.path_style = Some(false);
        assert_eq!(endpoint(&options).unwrap(), "http://bucket.host:9000");
        assert_eq!(host(&options, "any"), "http://host:9000");
    }
}
