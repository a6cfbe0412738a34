//! Requests that the SDK drafts once, and that are sent many times with other bodies.
//!
//! What a call looks like is the SDK's to know: endpoint, headers, what its signature is good for. It finds that out anew for every call,
//! which takes some 100 µs: a fifth of what a call with 500 records takes in all. Here it does so once, for a [`Pen`] that keeps the request
//! in place of sending it; each call is then that request with a body of its own, signed for its own time.
//!
//! Retries, other credentials and clocks that are off are the [`Session`](super::Session)'s, as they are for the SDK's own calls.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use ikada_connect::{BoxError, Scope, sign};

use super::credentials::KeptCredentials;
use super::http::IkadaHttp;

/// Headers that belong to one request only.
const OF_ONE_REQUEST: [&str; 4] =
    ["x-amz-date", "x-amz-security-token", "amz-sdk-invocation-id", "amz-sdk-request"];

/// Why a call failed, in the SDK's terms.
pub(crate) type CallError = SdkError<ErrorMetadata, HttpResponse>;

/// An HTTP client for the SDK that keeps the one request it is given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pen(Arc<OnceLock<Drawn>>);

/// What a request of the SDK tells of all requests of its kind.
#[derive(Debug, Clone)]
struct Drawn {
    uri: Uri,
    headers: HeaderMap,
    scope: Scope,
}

impl HttpClient for Pen {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Pen {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let error = match Drawn::of(request) {
            Ok(drawn) => {
                self.0.get_or_init(|| drawn);
                "nothing is sent".into()
            }
            Err(error) => error,
        };
        HttpConnectorFuture::ready(Err(ConnectorError::user(error)))
    }
}

impl Drawn {
    fn of(request: HttpRequest) -> Result<Self, BoxError> {
        let (head, _) = request.try_into_http1x()?.into_parts();
        let mut headers = head.headers;
        let signature = headers.remove(AUTHORIZATION).ok_or("the request is not signed")?;
        let scope = scope(signature.to_str()?).ok_or("the signature has no scope")?;
        headers.remove(CONTENT_LENGTH);
        for name in OF_ONE_REQUEST {
            headers.remove(name);
        }
        Ok(Self { uri: head.uri, headers, scope })
    }
}

/// Region and service in `AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-central-1/logs/aws4_request, …`.
fn scope(signature: &str) -> Option<Scope> {
    let (_, rest) = signature.split_once("Credential=")?;
    let (credential, _) = rest.split_once(',')?;
    let mut parts = credential.rsplit('/').skip(1);
    let service = parts.next()?.to_owned();
    let region = parts.next()?.to_owned();
    Some(Scope { region, service })
}

/// A request that is sent with any number of bodies.
pub(crate) struct Draft {
    drawn: Drawn,
    http: IkadaHttp,
    credentials: KeptCredentials,
    /// Time until the head of the answer, and again until its end.
    limit: Duration,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}

impl Draft {
    /// What `pen` was given; nothing if it never was.
    pub(super) fn new(
        pen: &Pen,
        http: &IkadaHttp,
        credentials: &KeptCredentials,
        limit: Duration,
    ) -> Option<Self> {
        let drawn = pen.0.get()?.clone();
        Some(Self { drawn, http: http.clone(), credentials: credentials.clone(), limit })
    }

    /// The same with another header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.drawn.headers.insert(name, value);
        self
    }

    /// Makes the call with this body; the answer's own is returned.
    ///
    /// # Errors
    /// There are no credentials, no answer, or one whose status is not of success.
    pub(crate) async fn send(&self, body: &Bytes) -> Result<Bytes, CallError> {
        let credentials =
            self.credentials.provide_credentials().await.map_err(CallError::construction_failure)?;
        let mut request = Request::post(self.drawn.uri.clone())
            .body(SdkBody::from(body.clone()))
            .map_err(CallError::construction_failure)?;
        request.headers_mut().clone_from(&self.drawn.headers);
        let time = self.http.skew().apply(SystemTime::now());
        sign(&mut request, body, credentials, &self.drawn.scope, time)
            .map_err(CallError::construction_failure)?;
        let answer =
            self.http.exchange(request, Some(self.limit)).await.map_err(CallError::dispatch_failure)?;
        match answer.status() {
            status if status.is_success() => Ok(answer.into_body()),
            _ => Err(refusal(answer)),
        }
    }
}

fn refusal(answer: Response<Bytes>) -> CallError {
    let said = said(answer.headers(), answer.body());
    match HttpResponse::try_from(answer.map(SdkBody::from)) {
        Ok(raw) => CallError::service_error(said, raw),
        Err(error) => CallError::dispatch_failure(ConnectorError::other(error.into(), None)),
    }
}

/// An answer that is not what was agreed upon.
pub(crate) fn broken(error: impl Into<BoxError>, answer: Bytes) -> CallError {
    let raw = HttpResponse::new(StatusCode::OK.into(), SdkBody::from(answer));
    CallError::response_error(error, raw)
}

/// The name of an error and the service's words for it (AWS JSON 1.1, "Operation error serialization").
fn said(headers: &HeaderMap, body: &[u8]) -> ErrorMetadata {
    let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: &[&str]| names.iter().find_map(|name| document.get(name)?.as_str());
    let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let mut said = ErrorMetadata::builder();
    if let Some(code) = header.or_else(|| text(&["__type", "code"])) {
        said = said.code(code);
    }
    if let Some(message) = text(&["message", "Message", "errorMessage"]) {
        said = said.message(message);
    }
    said.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_says_what_it_is_good_for() {
        let signature = "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-central-1/logs/aws4_request, SignedHeaders=host, Signature=0";
        let expected = Scope { region: "eu-central-1".to_owned(), service: "logs".to_owned() };
        assert_eq!(scope(signature), Some(expected));
        assert_eq!(scope("Basic xyz"), None);
    }

    #[test]
    fn what_belongs_to_one_request_is_left_out() {
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_uri("https://logs.eu-central-1.amazonaws.com/").unwrap();
        for name in OF_ONE_REQUEST.into_iter().chain(["x-amz-target", "content-length"]) {
            request.headers_mut().insert(name, "1");
        }
        assert!(Drawn::of(request.try_clone().unwrap()).is_err(), "it is not signed");
        request
            .headers_mut()
            .insert("authorization", "AWS4-HMAC-SHA256 Credential=A/1/r/s/aws4_request, SignedHeaders=host");
        let drawn = Drawn::of(request).unwrap();
        assert_eq!(drawn.headers.keys().collect::<Vec<_>>(), ["x-amz-target"]);
        assert_eq!(drawn.uri, "https://logs.eu-central-1.amazonaws.com/");
    }

    #[test]
    fn errors_have_their_name_in_the_header_or_the_body() {
        let of = |header: Option<&str>, body: &str| {
            let headers = header
                .map(|name| (HeaderName::from_static("x-amzn-errortype"), name.parse().unwrap()))
                .into_iter()
                .collect();
            let said = said(&headers, body.as_bytes());
            (said.code().unwrap_or_default().to_owned(), said.message().unwrap_or_default().to_owned())
        };
        let pair = |code: &str, message: &str| (code.to_owned(), message.to_owned());
        assert_eq!(of(None, r#"{"__type":"a#Gone","message":"no"}"#), pair("a#Gone", "no"));
        assert_eq!(
            of(Some("Busy:http://x"), r#"{"__type":"a#Gone","Message":"no"}"#),
            pair("Busy:http://x", "no")
        );
        assert_eq!(of(None, "<html>"), pair("", ""));
        assert_eq!(of(None, r#"{"code":"X"}"#), pair("X", ""));
    }
}
