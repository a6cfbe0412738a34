//! How connections are made and kept: HTTP/1.1 with keep-alive, over TLS or not.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pool, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tower_service::Service;

use super::proxy::{Proxy, Route};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long an idle connection is kept: less than servers and load balancers usually do, so that a request does not meet
/// the moment in which they close it.
const IDLE: Duration = Duration::from_secs(15);

/// Makes requests over connections that it keeps, through a proxy if there is one.
pub(super) enum Client {
    /// Without TLS, and without what TLS needs.
    Plain(Box<Pool<WithinTime<Route>, Full<Bytes>>>),
    /// With TLS.
    Encrypted(Box<Pool<WithinTime<HttpsConnector<Route>>, Full<Bytes>>>),
}

impl Client {
    /// A client without TLS. A connection must stand within `limit`.
    pub(super) fn plain(proxy: Option<Proxy>, limit: Duration) -> Self {
        Self::Plain(Box::new(pool(WithinTime { inner: Route::new(tcp(), proxy), limit })))
    }

    /// A client with TLS. A connection, its handshake included, must stand within `limit`.
    pub(super) fn encrypted(
        config: ClientConfig,
        name: Option<ServerName<'static>>,
        proxy: Option<Proxy>,
        limit: Duration,
    ) -> Self {
        let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
        let builder = match name {
            Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name)),
            None => builder,
        };
        let inner = builder.enable_http1().wrap_connector(Route::new(tcp(), proxy));
        Self::Encrypted(Box::new(pool(WithinTime { inner, limit })))
    }

    /// Makes a request and waits for the head of its answer.
    pub(super) async fn request(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        match self {
            Self::Plain(pool) => pool.request(request).await,
            Self::Encrypted(pool) => pool.request(request).await,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp
}

fn pool<C>(connector: C) -> Pool<C, Full<Bytes>>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    Pool::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).build(connector)
}

/// Gives a connector a limited time.
#[derive(Clone)]
pub(super) struct WithinTime<S> {
    inner: S,
    limit: Duration,
}

impl<S> Service<Uri> for WithinTime<S>
where
    S: Service<Uri>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(uri), self.limit);
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(format!("no connection within {} s", limit.as_secs_f32()).into()),
            }
        })
    }
}
