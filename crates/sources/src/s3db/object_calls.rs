//! Calls for single objects, of which a database has very many: signed and sent by the parts of the SDK's client, without
//! what that does around each call.
//!
//! Which server and region, under which address, with whose keys and over which connections is the client's to know. It is
//! asked once, by having it sign the URL of an object.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, ResolveCachedIdentity, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, ErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::SdkBody;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::auth::{AuthScheme, AuthSchemeId};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::identity::{Identity, SharedIdentityResolver};
use aws_smithy_xml::decode::{Document, try_data};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::OnceCell;

use super::client::{CONNECT_TIMEOUT, call_timeout};

/// What a key has in a URL as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

const USER_AGENT: &str = concat!("teeline/", env!("CARGO_PKG_VERSION"));

/// Of an answer that is an error, no more than this is read.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// The key of which a URL is asked for. Any would do.
const SAMPLE_KEY: &str = "key";

/// Why a call failed, in the terms of the client.
pub(super) type CallError = SdkError<ErrorMetadata, HttpResponse>;

/// A call for an object.
#[derive(Debug, Clone)]
pub(super) struct ObjectCall {
    method: &'static str,
    key: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl ObjectCall {
    /// Of a method of HTTP, for a key of the bucket.
    pub(super) fn new(method: &'static str, key: String) -> Self {
        ObjectCall {
            method,
            key,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    /// With a header, of which the name is in lower case.
    pub(super) fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a body.
    pub(super) fn body(mut self, body: Bytes) -> Self {
        let length = body.len().to_string();
        self.body = body;
        self.header("content-length", length)
    }
}

/// Calls for the objects of a bucket.
#[derive(Debug)]
pub(super) struct ObjectCalls {
    client: Client,
    bucket: String,
    route: OnceCell<Route>,
}

impl ObjectCalls {
    /// Nothing is asked of anybody yet.
    pub(super) fn new(client: Client, bucket: &str) -> Self {
        ObjectCalls {
            client,
            bucket: bucket.to_owned(),
            route: OnceCell::new(),
        }
    }

    /// Makes a call. Its answer is a success; what its body is read with has a time of its own.
    pub(super) async fn send(&self, call: ObjectCall) -> Result<HttpResponse, CallError> {
        let route = self
            .route
            .get_or_try_init(|| Route::find(&self.client, &self.bucket))
            .await?;
        let time = call_timeout(call.body.len() as u64);
        match tokio::time::timeout(time, route.exchange(call)).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(SdkError::timeout_error(elapsed)),
        }
    }
}

/// How the objects of a bucket are reached.
#[derive(Debug)]
struct Route {
    /// What the URL of an object begins with; its key follows.
    begin: String,
    region: String,
    /// What the service is called in signatures.
    service: String,
    /// Those of the client.
    components: RuntimeComponents,
    keys: SharedIdentityResolver,
    connector: SharedHttpConnector,
    settings: SigningSettings,
}

impl Route {
    async fn find(client: &Client, bucket: &str) -> Result<Self, CallError> {
        let components = Components::default();
        let expiry = PresigningConfig::expires_in(Duration::from_secs(60));
        let signed = client
            .get_object()
            .bucket(bucket)
            .key(SAMPLE_KEY)
            .customize()
            .interceptor(components.clone())
            .presigned(expiry.map_err(SdkError::construction_failure)?)
            .await
            .map_err(|error| error.map_service_error(|error| error.meta().clone()))?;
        let components = components.0.get().cloned();
        components
            .and_then(|components| Route::of(signed.uri(), components))
            .ok_or_else(|| SdkError::construction_failure("the address of the bucket is unknown"))
    }

    /// By the signed URL of the sample.
    fn of(url: &str, components: RuntimeComponents) -> Option<Self> {
        let (place, query) = url.split_once('?')?;
        let mut parameters = query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, scope) = parameters.find(|(name, _)| *name == "X-Amz-Credential")?;
        // KEY/DATE/REGION/SERVICE/aws4_request
        let mut scope = scope.rsplit("%2F").skip(1);
        let (service, region) = (scope.next()?, scope.next()?);
        let scheme = components.auth_scheme(AuthSchemeId::new("sigv4"))?;
        let connecting = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT);
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.excluded_headers = None;
        Some(Route {
            begin: place.strip_suffix(SAMPLE_KEY)?.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            keys: scheme.identity_resolver(&components)?,
            connector: components
                .http_client()?
                .http_connector(&connecting.build(), &components),
            settings,
            components,
        })
    }

    async fn exchange(&self, call: ObjectCall) -> Result<HttpResponse, CallError> {
        let keys = self.keys().await.map_err(SdkError::construction_failure)?;
        let request = self.signed(call, &keys);
        let request = request.map_err(SdkError::construction_failure)?;
        let answer = self.connector.call(request).await;
        let mut answer = answer.map_err(SdkError::dispatch_failure)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let refusal = refusal(&read_some(answer.take_body()).await);
        Err(SdkError::service_error(refusal, answer))
    }

    /// The keys to sign with: the client looks for them where they are missing, or expire soon.
    async fn keys(&self) -> Result<Identity, BoxError> {
        let cache = self.components.identity_cache();
        let nothing = ConfigBag::base();
        cache
            .resolve_cached_identity(self.keys.clone(), &self.components, &nothing)
            .await
    }

    fn url(&self, key: &str) -> String {
        let mut url = String::with_capacity(self.begin.len() + 2 * key.len());
        url.push_str(&self.begin);
        url.extend(utf8_percent_encode(key, PLAIN));
        url
    }

    fn signed(&self, call: ObjectCall, keys: &Identity) -> Result<HttpRequest, BoxError> {
        let url = self.url(&call.key);
        let parameters = v4::SigningParams::builder()
            .identity(keys)
            .region(&self.region)
            .name(&self.service)
            .time(SystemTime::now())
            .settings(self.settings.clone())
            .build()?
            .into();
        let headers = call.headers.iter();
        let signable = SignableRequest::new(
            call.method,
            url.as_str(),
            headers.map(|(name, value)| (name.as_str(), value.as_str())),
            SignableBody::Bytes(&call.body),
        )?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut request = HttpRequest::new(SdkBody::from(call.body));
        request.set_method(call.method)?;
        request.set_uri(url)?;
        let headers = request.headers_mut();
        headers.try_insert("user-agent", USER_AGENT)?;
        for (name, value) in call.headers {
            headers.try_insert(name, value)?;
        }
        for (name, value) in instructions.headers() {
            headers.try_insert(name.to_owned(), value.to_owned())?;
        }
        Ok(request)
    }
}

/// What a call of the client was made with, once it was made.
#[derive(Debug, Clone, Default)]
struct Components(Arc<OnceLock<RuntimeComponents>>);

impl Intercept for Components {
    fn name(&self) -> &'static str {
        "Components"
    }

    fn read_before_signing(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.get_or_init(|| components.clone());
        Ok(())
    }
}

/// As much of a body as comes: the status of an answer says enough without.
async fn read_some(body: SdkBody) -> Vec<u8> {
    let mut stream = aws_sdk_s3::primitives::ByteStream::new(body);
    let mut read = Vec::new();
    while let Some(Ok(bytes)) = stream.next().await {
        read.extend_from_slice(&bytes);
        if read.len() >= ERROR_BYTES_MAX {
            break;
        }
    }
    read
}

/// The code and the message of an answer that is an error, where it has any.
fn refusal(body: &[u8]) -> ErrorMetadata {
    let mut refusal = ErrorMetadata::builder();
    let body = String::from_utf8_lossy(body);
    let mut document = Document::new(&body);
    let Ok(mut root) = document.root_element() else {
        return refusal.build();
    };
    while let Some(mut tag) = root.next_tag() {
        let name = tag.start_el().local().to_owned();
        let Ok(text) = try_data(&mut tag) else {
            continue;
        };
        refusal = match name.as_str() {
            "Code" => refusal.code(text),
            "Message" => refusal.message(text),
            _ => refusal,
        };
    }
    refusal.build()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::client::connect;
    use super::super::connection::Connection;
    use super::*;

    async fn client(connection: &str) -> (Client, String) {
        let connection: Connection = connection.parse().unwrap();
        (connect(&connection).await, connection.bucket)
    }

    #[tokio::test]
    async fn objects_are_where_the_client_has_them() {
        for (connection, begin, region) in [
            (
                "s3://k:s@shop/db?region=eu-west-1",
                "https://shop.s3.eu-west-1.amazonaws.com/",
                "eu-west-1",
            ),
            (
                "s3://k:s@shop/db?region=cn-north-1",
                "https://shop.s3.cn-north-1.amazonaws.com.cn/",
                "cn-north-1",
            ),
            (
                "s3://k:s@shop.example/db?region=eu-west-1",
                "https://s3.eu-west-1.amazonaws.com/shop.example/",
                "eu-west-1",
            ),
            (
                "s3://k:s@shop/db?forcePathStyle=true",
                "https://s3.us-east-1.amazonaws.com/shop/",
                "us-east-1",
            ),
            (
                "http://k:s@127.0.0.1:9000/shop/db",
                "http://127.0.0.1:9000/shop/",
                "us-east-1",
            ),
            (
                "https://k:s@minio.example/shop/db?forcePathStyle=false&region=x",
                "https://shop.minio.example/",
                "x",
            ),
        ] {
            let (client, bucket) = client(connection).await;
            let route = Route::find(&client, &bucket).await.unwrap();
            assert_eq!((&*route.begin, &*route.region), (begin, region));
            assert_eq!(route.service, "s3");
        }
    }

    #[test]
    fn keys_are_written_as_the_client_writes_them() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let runtime = runtime.unwrap();
        let (client, bucket) = runtime.block_on(client("http://k:s@127.0.0.1:9000/shop"));
        let route = runtime.block_on(Route::find(&client, &bucket)).unwrap();
        proptest!(|(key in "[ -~\\n\\t]{1,20}|/{1,3}|(\\.{0,2}/){1,4}|\\PC{1,20}")| {
            // The client takes such a key for a missing one.
            prop_assume!(!key.trim().is_empty());
            let expiry = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
            let call = client.get_object().bucket(&bucket).key(&key);
            let signed = runtime.block_on(call.presigned(expiry)).unwrap();
            let (url, _) = signed.uri().split_once('?').unwrap();
            prop_assert_eq!(route.url(&key), url);
        });
    }

    #[test]
    fn a_refusal_says_what_the_server_says() {
        let body = b"<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>a &quot;b&quot;</Message>\
                     <Details><Code>other</Code></Details></Error>";
        let meta = refusal(body);
        assert_eq!(
            (meta.code(), meta.message()),
            (Some("SlowDown"), Some("a \"b\""))
        );
        for body in [&b""[..], b"<html><p>gateway", b"\xff\xfe", b"<Error><Code>"] {
            let code = refusal(body).code().map(str::to_owned);
            assert_eq!(code.unwrap_or_default(), "");
        }
    }
}
