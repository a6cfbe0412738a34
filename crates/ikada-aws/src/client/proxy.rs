//! Connections through a proxy, where the environment names one.
//!
//! `HTTPS_PROXY` is for what is spoken to over TLS, `HTTP_PROXY` for the rest, and for all where there is no other, as in Fluent Bit;
//! `NO_PROXY` names what is reached without one. All three may be in small letters. What a machine asks about itself, and itself, is
//! never asked through a proxy.
//!
//! Over TLS the proxy is asked for a tunnel (`CONNECT`); without, it gets the whole URL in the request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Loopback, and the addresses of metadata services.
const OWN: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::/32";

/// Which proxy is for what.
#[derive(Clone)]
pub(super) struct Proxies(Arc<Matcher>);

impl Proxies {
    /// What the environment says.
    pub(super) fn of_process() -> Self {
        Self::new(|name| std::env::var(name).or_else(|_| std::env::var(name.to_ascii_lowercase())).ok())
    }

    fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given =
            |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let http = given("HTTP_PROXY").unwrap_or_default();
        let https = given("HTTPS_PROXY").unwrap_or_else(|| http.clone());
        let no = given("NO_PROXY").unwrap_or_default();
        let builder = Matcher::builder().http(http).https(https).no(format!("{OWN},{no}"));
        Self(Arc::new(builder.build()))
    }

    /// The proxy for a target.
    pub(super) fn find(&self, target: &Uri) -> Option<Intercept> {
        self.0.intercept(target)
    }

    /// The header that a request that is not tunnelled needs for its proxy.
    pub(super) fn authorization(&self, target: &Uri) -> Option<HeaderValue> {
        if target.scheme_str() == Some("https") {
            return None;
        }
        self.find(target)?.basic_auth().cloned()
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Their addresses may hold passwords.
        f.write_str("Proxies")
    }
}

/// Connects, through a proxy where one is for it.
#[derive(Clone)]
pub(super) struct ProxyConnector {
    tcp: HttpConnector,
    proxies: Proxies,
}

impl ProxyConnector {
    pub(super) fn new(tcp: HttpConnector, proxies: Proxies) -> Self {
        Self { tcp, proxies }
    }
}

impl Service<Uri> for ProxyConnector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(BoxError::from)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.find(&target) else {
            let connecting = self.tcp.call(target);
            return Box::pin(async move { Ok(Stream { io: connecting.await?, is_proxied: false }) });
        };
        if target.scheme_str() != Some("https") {
            let connecting = self.tcp.call(proxy.uri().clone());
            return Box::pin(async move { Ok(Stream { io: connecting.await?, is_proxied: true }) });
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let connecting = tunnel.call(target);
        Box::pin(async move { Ok(Stream { io: connecting.await?, is_proxied: false }) })
    }
}

/// A connection, and whether a proxy is at its other end that wants whole URLs.
pub(super) struct Stream {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[(&str, &str)], target: &str) -> Option<String> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let found = Proxies::new(variable).find(&target.parse().unwrap());
        found.map(|proxy| proxy.uri().to_string())
    }

    #[test]
    fn each_target_has_its_proxy() {
        let both = [
            ("HTTP_PROXY", "http://plain:1"),
            ("HTTPS_PROXY", "http://tls:2"),
            ("NO_PROXY", "inside.example,10.0.0.0/8"),
        ];
        let one = [("HTTP_PROXY", "http://plain:1")];
        let cases = [
            (&both[..], "https://logs.example.com", Some("http://tls:2/")),
            (&both[..], "http://logs.example.com", Some("http://plain:1/")),
            (&both[..], "https://x.inside.example", None),
            (&both[..], "https://10.1.2.3", None),
            (&one[..], "https://logs.example.com", Some("http://plain:1/")),
            (&one[..], "http://169.254.170.2/creds", None),
            (&one[..], "http://[fd00:ec2::254]/latest", None),
            (&one[..], "http://127.0.0.1:9000", None),
            (&[][..], "https://logs.example.com", None),
        ];
        for (variables, target, expected) in cases {
            assert_eq!(proxy(variables, target).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn a_password_goes_only_where_the_proxy_reads_the_request() {
        let proxies = Proxies::new(|name| (name == "HTTP_PROXY").then(|| "http://me:pw@proxy:1".to_owned()));
        assert!(proxies.authorization(&"http://a.example".parse().unwrap()).is_some());
        assert!(proxies.authorization(&"https://a.example".parse().unwrap()).is_none());
    }
}
