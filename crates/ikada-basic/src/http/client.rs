//! How connections are made and kept: HTTP/1.1 with keep-alive, over TLS or not.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as Pool, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ikada_connect::{Route, WithinTime, tcp};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;

use super::proxy::{Fixed, Proxy};

/// How long an idle connection is kept: less than servers and load balancers usually do, so that a request does not meet
/// the moment in which they close it.
const IDLE: Duration = Duration::from_secs(15);

/// Straight, or through the proxy that the output names.
type Way = Route<Fixed>;

/// Makes requests over connections that it keeps, through a proxy if there is one.
pub(super) enum Client {
    /// Without TLS, and without what TLS needs.
    Plain(Box<Pool<WithinTime<Way>, Full<Bytes>>>),
    /// With TLS.
    Encrypted(Box<Pool<WithinTime<HttpsConnector<Way>>, Full<Bytes>>>),
}

impl Client {
    /// A client without TLS. A connection must stand within `limit`.
    pub(super) fn plain(proxy: Option<Proxy>, limit: Duration) -> Self {
        Self::Plain(Box::new(pool(WithinTime::new(Route::new(tcp(), Fixed(proxy)), limit))))
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
        let inner = builder.enable_http1().wrap_connector(Route::new(tcp(), Fixed(proxy)));
        Self::Encrypted(Box::new(pool(WithinTime::new(inner, limit))))
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

fn pool<C>(connector: C) -> Pool<C, Full<Bytes>>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    Pool::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).build(connector)
}
