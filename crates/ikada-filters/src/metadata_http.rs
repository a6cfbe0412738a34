//! Plain HTTP to the endpoints that tell metadata: small answers, soon, or none.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// No answer of these endpoints is as large.
const ANSWER_LIMIT: usize = 1 << 20;

/// Asks one endpoint. Connections are not kept: questions are rare.
#[derive(Debug, Clone)]
pub(crate) struct MetadataClient {
    pool: Client<HttpConnector, Empty<Bytes>>,
    base: String,
    patience: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
    #[error("the path cannot be asked for")]
    Path(#[source] hyper::http::Error),
    #[error("the endpoint cannot be reached")]
    Connect(#[source] hyper_util::client::legacy::Error),
    #[error("the endpoint answers {0}")]
    Status(StatusCode),
    #[error("the answer breaks off or is too large")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AskError {
    /// Whether the endpoint says that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Status(StatusCode::NOT_FOUND))
    }
}

impl MetadataClient {
    /// For an endpoint such as `http://169.254.169.254`; a question may take as long as `patience`. `None` if that is no address of an
    /// HTTP endpoint.
    pub(crate) fn new(endpoint: &str, patience: Duration) -> Option<Self> {
        let base = endpoint.trim_end_matches('/');
        let uri: hyper::Uri = base.parse().ok()?;
        if uri.scheme_str() != Some("http") || uri.host().is_none() {
            return None;
        }
        let pool = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Some(Self { pool, base: base.to_owned(), patience })
    }

    /// The body of the answer to a request with at most one header of its own.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
    ) -> Result<Bytes, AskError> {
        let answer = tokio::time::timeout(self.patience, self.answer(method, path, header));
        answer.await.map_err(|_| AskError::TooSlow(self.patience))?
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
    ) -> Result<Bytes, AskError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Empty::new()).map_err(AskError::Path)?;
        let answer = self.pool.request(request).await.map_err(AskError::Connect)?;
        if answer.status() != StatusCode::OK {
            return Err(AskError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await;
        Ok(body.map_err(AskError::Body)?.to_bytes())
    }
}
