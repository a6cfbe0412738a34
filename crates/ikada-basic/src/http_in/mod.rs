//! Takes records over HTTP/1.1 and HTTP/2.
//!
//! A request is taken whole or not at all: its body is read and understood before any of its records goes on, and it is answered when every
//! output that they go to has them in its queue (reference, inputs §4.4).
//!
//! | request | answer |
//! |---|---|
//! | POST of JSON, lines of JSON or a form | `successful_response_code`: 201, or 200 or 204 |
//! | GET `/health`, with `enable_health_endpoint` | 200 |
//! | another method, no body, a body that is not understood, another content type | 400 |
//! | a body over `buffer_max_size`, packed or unpacked | 413 |
//! | a `Content-Encoding` that is not known | 415 |
//!
//! In reading order: `options`, `server` (connections and answers), `body` (from bytes to records, no I/O).

mod body;
mod options;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;

use ikada_diag::Diagnostics;
use ikada_options::{Options, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Input, InputContext, InputError};

use crate::net::stream::Listener;

pub use options::{HttpInOptions, SuccessHeader};

/// The input.
pub struct HttpIn {
    place: options::Place,
    listener: Option<Listener>,
    server: Arc<server::Server>,
}

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    HttpIn::build(bag, cx, diagnostics).map(|http| Box::new(http) as Box<dyn Input>)
}

impl HttpIn {
    /// Builds the input.
    pub fn build(bag: &mut PropertyBag, cx: &BuildContext, diagnostics: &mut Diagnostics) -> Option<Self> {
        options::refuse_unsupported(bag, diagnostics);
        let (place, server) = HttpInOptions::parse(bag, diagnostics)?.settle(bag, cx, diagnostics)?;
        Some(Self { place, listener: None, server: Arc::new(server) })
    }

    /// Where it listens, once it is open.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr()
    }
}

impl Input for HttpIn {
    fn open<'a>(&'a mut self, cx: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async move {
            let options::Place { host, port, tls } = &self.place;
            self.listener = Some(Listener::tcp(cx, host, *port, tls.clone()).await?);
            Ok(())
        })
    }

    fn run(mut self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            if let Some(listener) = self.listener.take() {
                server::run(listener, self.server, &cx).await;
            }
            Ok(())
        })
    }
}
