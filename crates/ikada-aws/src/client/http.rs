//! The one HTTP client: HTTP/1.1 with keep-alive over hyper, as the SDK wants to be given it.
//!
//! Answers of these services are small: they are read whole before the SDK sees them, within the same limit of time as their
//! head, so that a peer that falls silent in the middle is found out.
//!
//! The SDK's own client cannot be told to skip certificate checks, so this one stands in for it. It is shared by all
//! outputs with the same TLS settings; connections to different endpoints live side by side in its pool. When nothing has come
//! through for long, its connections are thrown away and everything is set up anew ([`IkadaHttp::renew`]).

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::header::{DATE, PROXY_AUTHORIZATION};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ikada_connect::{BoxError, Route, WithinTime, tcp};
use ikada_tls::{TlsError, TlsSettings};

use super::clock::Skew;
use super::proxy::Proxies;

/// How long an idle connection is kept. The services close theirs after 20 s and more; a request must not meet that
/// moment.
const IDLE: Duration = Duration::from_secs(15);

/// No answer is longer: PutRecordBatch's lists a result of some 250 bytes for each of 500 records.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

type Hyper = Client<WithinTime<HttpsConnector<Route<Proxies>>>, SdkBody>;

/// An HTTP client for the SDK.
#[derive(Clone)]
pub struct IkadaHttp(Arc<Inner>);

struct Inner {
    tls: TlsSettings,
    connect_timeout: Duration,
    proxies: Proxies,
    skew: Skew,
    client: Mutex<Hyper>,
}

impl IkadaHttp {
    /// A client with an empty pool. A connection, its TLS handshake included, must stand within `connect_timeout`.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(tls: &TlsSettings, connect_timeout: Duration) -> Result<Self, TlsError> {
        let proxies = Proxies::of_process();
        let client = Mutex::new(hyper(tls, connect_timeout, &proxies)?);
        let skew = Skew::default();
        Ok(Self(Arc::new(Inner { tls: tls.clone(), connect_timeout, proxies, skew, client })))
    }

    /// Leaves all connections behind; certificates to trust are read anew. Calls under way go on.
    ///
    /// # Errors
    /// TLS cannot be set up; everything stays as it is.
    pub fn renew(&self) -> Result<(), TlsError> {
        let client = hyper(&self.0.tls, self.0.connect_timeout, &self.0.proxies)?;
        *self.0.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }

    /// How far the machine's clock is off, by the answers that come through here.
    pub(super) fn skew(&self) -> &Skew {
        &self.0.skew
    }

    /// Sends a request and reads its answer whole; `limit` is for its head, and again for the rest.
    ///
    /// # Errors
    /// There is no answer, or none in time.
    pub(super) async fn exchange(
        &self,
        mut request: Request<SdkBody>,
        limit: Option<Duration>,
    ) -> Result<Response<Bytes>, ConnectorError> {
        if let Some(authorization) = self.0.proxies.authorization(request.uri()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        let answer = within(limit, self.client().request(request)).await?;
        let (head, body) = answer.map_err(connector_error)?.into_parts();
        let body = within(limit, Limited::new(body, LONGEST_ANSWER).collect()).await?;
        let body = body.map_err(ConnectorError::io)?.to_bytes();
        if let Some(time) = time_of_refusal(head.status, &head.headers) {
            self.0.skew.follow(time);
        }
        Ok(Response::from_parts(head, body))
    }

    /// Gets what is at a URL, whole.
    ///
    /// # Errors
    /// There was no answer within `limit`.
    pub(super) async fn get(&self, url: &str, limit: Duration) -> Result<(StatusCode, Bytes), BoxError> {
        let request = Request::get(url).header("accept", "application/json").body(SdkBody::empty())?;
        let answer = tokio::time::timeout(limit, self.client().request(request)).await??;
        let (head, body) = answer.into_parts();
        let body = tokio::time::timeout(limit, Limited::new(body, LONGEST_ANSWER).collect()).await??;
        Ok((head.status, body.to_bytes()))
    }

    fn client(&self) -> Hyper {
        self.0.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn hyper(tls: &TlsSettings, connect_timeout: Duration, proxies: &Proxies) -> Result<Hyper, TlsError> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls.client_config()?).https_or_http();
    let builder = match tls.server_name()? {
        Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name)),
        None => builder,
    };
    let route = Route::new(tcp(), proxies.clone());
    let connector = WithinTime::new(builder.enable_http1().wrap_connector(route), connect_timeout);
    Ok(Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .build(connector))
}

impl fmt::Debug for IkadaHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IkadaHttp")
    }
}

impl HttpClient for IkadaHttp {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        // The SDK's metadata clients ask for one second each; the pool's own limit would be too patient for them.
        let limit = match (settings.connect_timeout(), settings.read_timeout()) {
            (Some(connect), Some(read)) => Some(connect + read),
            (None, read) => read,
            (Some(_), None) => None,
        };
        SharedHttpConnector::new(Connector { http: self.clone(), limit })
    }
}

struct Connector {
    http: IkadaHttp,
    /// Time until the head of the answer, and again until its end.
    limit: Option<Duration>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (http, limit) = (self.http.clone(), self.limit);
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let answer = http.exchange(request, limit).await?.map(SdkBody::from);
            answer.try_into().map_err(|error| ConnectorError::other(BoxError::from(error), None))
        })
    }
}

/// The server's time, where an answer may refuse a signature for its own.
fn time_of_refusal(status: StatusCode, headers: &HeaderMap) -> Option<SystemTime> {
    if !matches!(status.as_u16(), 400 | 401 | 403) {
        return None;
    }
    // A date of HTTP is one of mail, too (RFC 9110, section 5.6.7).
    chrono::DateTime::parse_from_rfc2822(headers.get(DATE)?.to_str().ok()?).ok().map(SystemTime::from)
}

async fn within<T>(limit: Option<Duration>, doing: impl Future<Output = T>) -> Result<T, ConnectorError> {
    let Some(limit) = limit else { return Ok(doing.await) };
    tokio::time::timeout(limit, doing)
        .await
        .map_err(|_| ConnectorError::timeout(format!("no answer within {} s", limit.as_secs_f32()).into()))
}

fn connector_error(error: hyper_util::client::legacy::Error) -> ConnectorError {
    if !error.is_connect() {
        return ConnectorError::io(error.into());
    }
    ConnectorError::io(error.into()).never_connected()
}
