//! Connections through a proxy that the output names.
//!
//! Without TLS the proxy gets the whole URL in the request; over TLS it is asked for a tunnel (`CONNECT`, RFC 9110, section 9.3.6).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use ikada_options::{OptionValue, ValueError};
use tokio::net::TcpStream;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A proxy, spoken to in plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    uri: Uri,
    /// The user and the password that it asks for.
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The header by which requests that it reads say who they are from.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

impl OptionValue for Proxy {
    const KIND: &'static str = "proxy";
    const IS_SECRET: bool = true;

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let help = "type `http://proxy.example.com:3128`";
        let text = text.trim();
        let Some(rest) = text.strip_prefix("http://") else {
            let said = if text.starts_with("https://") { "is spoken to over TLS" } else { "is no URL" };
            return Err(ValueError::new(said).help(help));
        };
        let rest = rest.trim_end_matches('/');
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        let uri = format!("http://{place}").parse::<Uri>().ok();
        let uri = uri.filter(|uri| uri.host().is_some_and(|host| !host.is_empty()) && uri.path() == "/");
        let Some(uri) = uri else { return Err(ValueError::new("names no host").help(help)) };
        let authorization = user.map(|user| {
            let text = base64::engine::general_purpose::STANDARD.encode(user);
            let value = HeaderValue::from_str(&format!("Basic {text}"));
            value.map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        let authorization = authorization.transpose().map_err(|_| ValueError::new("has no usable user"))?;
        Ok(Self { uri, authorization })
    }
}

/// Connects, through the proxy if there is one.
#[derive(Clone)]
pub(super) struct Route {
    tcp: HttpConnector,
    proxy: Option<Proxy>,
}

impl Route {
    pub(super) fn new(tcp: HttpConnector, proxy: Option<Proxy>) -> Self {
        Self { tcp, proxy }
    }
}

impl Service<Uri> for Route {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(BoxError::from)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some(proxy) = &self.proxy else {
            let connecting = self.tcp.call(target);
            return Box::pin(async move { Ok(Stream { io: connecting.await?, is_proxied: false }) });
        };
        if target.scheme_str() != Some("https") {
            let connecting = self.tcp.call(proxy.uri.clone());
            return Box::pin(async move { Ok(Stream { io: connecting.await?, is_proxied: true }) });
        }
        let mut tunnel = Tunnel::new(proxy.uri.clone(), self.tcp.clone());
        if let Some(authorization) = &proxy.authorization {
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

    #[test]
    fn a_proxy_is_a_host_and_a_port_in_plain_http() {
        let proxy = Proxy::parse_value("http://me:p@w@proxy.example:3128/").unwrap();
        assert_eq!(proxy.uri.to_string(), "http://proxy.example:3128/");
        assert_eq!(proxy.authorization().unwrap(), "Basic bWU6cEB3");
        assert!(Proxy::parse_value("http://proxy").is_ok_and(|proxy| proxy.authorization().is_none()));
        for text in ["https://proxy:1", "proxy:3128", "http://", "http://proxy/path"] {
            assert!(Proxy::parse_value(text).is_err(), "{text}");
        }
    }
}
