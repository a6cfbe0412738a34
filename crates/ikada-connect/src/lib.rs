//! How HTTP clients connect: within a limited time, and through a proxy where there is one for the target.
//!
//! Stands on floor 2. The AWS outputs' client and the output `http` build their connectors of [`tcp`], [`Route`] and [`WithinTime`], with TLS
//! in between; each brings a [`Proxies`] of its own, which says where proxies come from.
//!
//! Without TLS a proxy gets the whole URL in the request; over TLS it is asked for a tunnel (`CONNECT`, RFC 9110, section 9.3.6).
//!
//! Both clients [`sign`] requests for AWS.
//!
//! **What it does not know:** options, the environment, TLS, where credentials come from.
//!
//! ```
//! use ikada_connect::{Hop, Proxies, Route, WithinTime, tcp};
//!
//! /// One proxy for everything.
//! #[derive(Clone)]
//! struct Always(Hop);
//!
//! impl Proxies for Always {
//!     fn find(&self, _target: &http::Uri) -> Option<Hop> {
//!         Some(self.0.clone())
//!     }
//! }
//!
//! let hop = Hop { uri: "http://proxy.example:3128".parse()?, authorization: None };
//! let route = Route::new(tcp(), Always(hop));
//! let connector = WithinTime::new(route, std::time::Duration::from_secs(10));
//! # drop(connector);
//! # Ok::<(), http::uri::InvalidUri>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod sigv4;

pub use sigv4::{Scope, sign};

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

/// Why there is no connection.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// A proxy on the way to a target.
#[derive(Clone)]
pub struct Hop {
    /// Where it is.
    pub uri: Uri,
    /// The header by which it knows who asks.
    pub authorization: Option<HeaderValue>,
}

/// Says which proxy is for what.
pub trait Proxies: Clone + Send {
    /// The proxy for a target, if one is.
    fn find(&self, target: &Uri) -> Option<Hop>;
}

/// Connects over TCP, whatever is spoken then. Small writes are not held back.
#[must_use]
pub fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp
}

/// Connects, through a proxy where one is for the target.
#[derive(Clone)]
pub struct Route<P> {
    tcp: HttpConnector,
    proxies: P,
}

impl<P> Route<P> {
    /// A way over `tcp`.
    pub fn new(tcp: HttpConnector, proxies: P) -> Self {
        Self { tcp, proxies }
    }
}

impl<P: Proxies> Service<Uri> for Route<P> {
    type Response = Stream;
    type Error = BoxError;
    type Future = Connecting<Stream>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(BoxError::from)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some(hop) = self.proxies.find(&target) else {
            let connecting = self.tcp.call(target);
            return Box::pin(async move { Ok(Stream { io: connecting.await?, is_proxied: false }) });
        };
        if target.scheme_str() != Some("https") {
            let connecting = self.tcp.call(hop.uri);
            return Box::pin(async move { Ok(Stream { io: connecting.await?, is_proxied: true }) });
        }
        let mut tunnel = Tunnel::new(hop.uri, self.tcp.clone());
        if let Some(authorization) = hop.authorization {
            tunnel = tunnel.with_auth(authorization);
        }
        let connecting = tunnel.call(target);
        Box::pin(async move { Ok(Stream { io: connecting.await?, is_proxied: false }) })
    }
}

/// A connection, and whether a proxy is at its other end that wants whole URLs.
pub struct Stream {
    io: TokioIo<TcpStream>,
    is_proxied: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.is_proxied)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}

/// Gives a connector, TLS handshake and all, a limited time.
#[derive(Clone)]
pub struct WithinTime<S> {
    inner: S,
    limit: Duration,
}

impl<S> WithinTime<S> {
    /// A connector whose connections must stand within `limit`.
    pub fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<S> Service<Uri> for WithinTime<S>
where
    S: Service<Uri>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Connecting<S::Response>;

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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    /// A proxy, or none.
    #[derive(Clone)]
    struct Fixed(Option<Hop>);

    impl Proxies for Fixed {
        fn find(&self, _target: &Uri) -> Option<Hop> {
            self.0.clone()
        }
    }

    /// Connects by way of a server that opens every tunnel; whether the server wants whole URLs, and the head it was sent.
    async fn connected(target: &str, uses_proxy: bool) -> (bool, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let hop = Hop {
            uri: format!("http://{place}").parse().unwrap(),
            authorization: Some(HeaderValue::from_static("Basic me")),
        };
        let mut route = Route::new(tcp(), Fixed(uses_proxy.then_some(hop)));
        let connecting = route.call(target.replace("HERE", &place).parse().unwrap());
        let serving = async {
            let (socket, _) = listener.accept().await.unwrap();
            let mut socket = BufReader::new(socket);
            let mut head = Vec::new();
            if uses_proxy && target.starts_with("https") {
                loop {
                    let mut line = String::new();
                    socket.read_line(&mut line).await.unwrap();
                    if line.trim().is_empty() {
                        break;
                    }
                    head.push(line.trim().to_ascii_lowercase());
                }
                socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            }
            head
        };
        let (stream, head) = tokio::join!(connecting, serving);
        (stream.unwrap().is_proxied, head)
    }

    #[tokio::test]
    async fn a_proxy_gets_whole_urls_without_tls_and_opens_a_tunnel_with_it() {
        assert_eq!(connected("http://HERE/", false).await, (false, Vec::new()));
        assert_eq!(connected("http://a.example/", true).await, (true, Vec::new()));
        let (is_proxied, head) = connected("https://a.example/", true).await;
        assert!(!is_proxied);
        assert!(head[0].starts_with("connect a.example:443 "), "{head:?}");
        assert!(head.contains(&"proxy-authorization: basic me".to_owned()), "{head:?}");
    }

    #[tokio::test]
    async fn a_connection_that_does_not_stand_in_time_is_none() {
        let never = WithinTime::new(Never, Duration::from_millis(1)).call(Uri::from_static("http://a"));
        assert_eq!(never.await.unwrap_err().to_string(), "no connection within 0.001 s");
    }

    /// Never connects.
    struct Never;

    impl Service<Uri> for Never {
        type Response = ();
        type Error = BoxError;
        type Future = std::future::Pending<Result<(), BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Uri) -> Self::Future {
            std::future::pending()
        }
    }
}
