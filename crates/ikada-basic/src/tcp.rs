//! Takes JSON or lines over TCP. The ECS agent uses it as its health check: one JSON object, no line end, goodbye.

use std::net::SocketAddr;
use std::sync::Arc;

use ikada_diag::Diagnostics;
use ikada_options::{Options, PropertyBag, TlsOptions};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Input, InputContext, InputError};
use rustls::ServerConfig;

use crate::net::stream::{self, Listener};
use crate::server_tls;
use crate::text_values::{TextOptions, TextReader};

/// Takes JSON or lines over TCP.
#[derive(Debug, Options)]
#[options(input = "tcp")]
pub struct TcpOptions {
    /// Address to listen on.
    #[option(default = "0.0.0.0")]
    pub listen: String,
    /// Port to listen on.
    #[option(default = "5170")]
    pub port: u16,
    /// What comes over a connection.
    #[option(flatten)]
    pub text: TextOptions,
    /// Asks clients for certificates.
    #[option(name = "tls.verify_client_cert", default = "off")]
    pub tls_verify_client_cert: bool,
    /// How connections are encrypted.
    #[option(flatten)]
    pub tls: TlsOptions,
}

/// The input.
pub struct Tcp {
    host: String,
    port: u16,
    tls: Option<Arc<ServerConfig>>,
    listener: Option<Listener>,
    reader: Arc<TextReader>,
}

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    Tcp::build(bag, cx, diagnostics).map(|tcp| Box::new(tcp) as Box<dyn Input>)
}

impl Tcp {
    /// Builds the input.
    pub fn build(bag: &mut PropertyBag, cx: &BuildContext, diagnostics: &mut Diagnostics) -> Option<Self> {
        let options = TcpOptions::parse(bag, diagnostics)?;
        let tls = server_tls::settle(&options.tls, options.tls_verify_client_cert, bag, diagnostics);
        let reader = Arc::new(options.text.reader(cx, diagnostics)?);
        Some(Self { host: bare(&options.listen), port: options.port, tls: tls?, listener: None, reader })
    }

    /// Where it listens, once it is open.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr()
    }
}

/// An address without the brackets that people write around IPv6.
pub(crate) fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

impl Input for Tcp {
    fn open<'a>(&'a mut self, cx: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async move {
            self.listener = Some(Listener::tcp(cx, &self.host, self.port, self.tls.clone()).await?);
            Ok(())
        })
    }

    fn run(mut self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            if let Some(listener) = self.listener.take() {
                stream::run(listener, self.reader, &cx).await;
            }
            Ok(())
        })
    }
}
