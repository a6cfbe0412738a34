//! Takes JSON or lines in datagrams, each of which is whole by itself.

use std::net::SocketAddr;
use std::sync::Arc;

use ikada_diag::Diagnostics;
use ikada_options::{Options, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Input, InputContext, InputError};

use crate::net::datagram::{self, Socket};
use crate::tcp::bare;
use crate::text_values::{TextOptions, TextReader};

/// Takes JSON or lines in UDP datagrams. Each datagram is whole by itself: its last line needs no separator.
#[derive(Debug, Options)]
#[options(input = "udp")]
pub struct UdpOptions {
    /// Address to listen on.
    #[option(default = "0.0.0.0")]
    pub listen: String,
    /// Port to listen on.
    #[option(default = "5170")]
    pub port: u16,
    /// What comes in a datagram.
    #[option(flatten)]
    pub text: TextOptions,
}

/// The input.
pub struct Udp {
    host: String,
    port: u16,
    socket: Option<Socket>,
    reader: Arc<TextReader>,
}

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    Udp::build(bag, cx, diagnostics).map(|udp| Box::new(udp) as Box<dyn Input>)
}

impl Udp {
    /// Builds the input.
    pub fn build(bag: &mut PropertyBag, cx: &BuildContext, diagnostics: &mut Diagnostics) -> Option<Self> {
        let options = UdpOptions::parse(bag, diagnostics)?;
        let reader = Arc::new(options.text.reader(cx, diagnostics)?);
        Some(Self { host: bare(&options.listen), port: options.port, socket: None, reader })
    }

    /// Where it listens, once it is open.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.as_ref()?.local_addr()
    }
}

impl Input for Udp {
    fn open<'a>(&'a mut self, cx: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async move {
            self.socket = Some(Socket::udp(cx, &self.host, self.port, None).await?);
            Ok(())
        })
    }

    fn run(mut self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            if let Some(socket) = self.socket.take() {
                datagram::run(socket, self.reader, &cx).await;
            }
            Ok(())
        })
    }
}
