//! Requests that object_store has no call for, with its keys and over connections like its own.

use std::time::Duration;

use object_store::aws::{AmazonS3, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody, HttpResponse};
use object_store::path::Path;
use object_store::signer::Signer as _;
use teeline_core::Hex32;

/// What the signed URL is for isn't sent, so it may be short.
const SIGNED_FOR: Duration = Duration::from_secs(60);
/// An object whose URL leads to that of the bucket. Any would do.
const SAMPLE_KEY: &str = "key";

/// Signs requests as the server at hand wants it.
#[derive(Debug, Clone)]
pub(super) struct Signer {
    pub(super) credentials: AwsCredentialProvider,
    pub(super) region: String,
}

impl Signer {
    /// Signs a request with all of its headers, also one that was signed before. `body` is the SHA-256 of its body, where that
    /// is known.
    pub(super) async fn sign(
        &self,
        request: &mut HttpRequest,
        body: Option<Hex32>,
    ) -> object_store::Result<()> {
        let credential = self.credentials.get_credential().await?;
        let body = body.as_ref().map(|digest| digest.as_bytes().as_slice());
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(request, body)
    }
}

/// Sends them to one bucket.
pub(super) struct SignedRequests {
    client: AmazonS3,
    requests: HttpClient,
    signer: Signer,
}

impl SignedRequests {
    pub(super) fn new(client: AmazonS3, requests: HttpClient, signer: Signer) -> Self {
        SignedRequests {
            client,
            requests,
            signer,
        }
    }

    /// To an object. An answer that is an error is one of object_store's.
    pub(super) async fn to_object(
        &self,
        method: &str,
        path: &Path,
        query: &str,
        body: String,
    ) -> object_store::Result<HttpResponse> {
        let url = self.url_of(path).await?;
        self.send(method, &format!("{url}{query}"), body).await
    }

    /// To the bucket. Its URL is that of an object less its key.
    pub(super) async fn to_bucket(
        &self,
        method: &str,
        query: &str,
    ) -> object_store::Result<HttpResponse> {
        let url = self.url_of(&Path::from(SAMPLE_KEY)).await?;
        let bucket = url.strip_suffix(SAMPLE_KEY).unwrap_or(&url);
        let url = format!("{bucket}?{query}");
        self.send(method, &url, String::new()).await
    }

    async fn url_of(&self, path: &Path) -> object_store::Result<String> {
        let method = "GET".parse().map_err(generic)?;
        let signed = self.client.signed_url(method, path, SIGNED_FOR).await?;
        let url = signed.as_str().split('?').next();
        Ok(url.unwrap_or_default().to_owned())
    }

    async fn send(
        &self,
        method: &str,
        url: &str,
        body: String,
    ) -> object_store::Result<HttpResponse> {
        let body = match body.is_empty() {
            true => HttpRequestBody::empty(),
            false => HttpRequestBody::from(body),
        };
        let mut request = HttpRequest::new(body);
        *request.method_mut() = method.parse().map_err(generic)?;
        *request.uri_mut() = url.parse().map_err(generic)?;
        self.signer.sign(&mut request, None).await?;
        self.requests.execute(request).await.map_err(generic)
    }
}

pub(super) fn generic(
    error: impl std::error::Error + Send + Sync + 'static,
) -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: Box::new(error),
    }
}
