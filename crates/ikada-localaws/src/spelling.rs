//! `ETag`, spelled as S3 spells it.
//!
//! HTTP lets header names be written in any letters, and hyper writes small ones; Fluent Bit looks for `ETag` in just this spelling. hyper
//! writes a name as it was spelled where it has read it so, and hands that knowledge on in a request's extensions only. So it
//! is given such a request once, and what it learned goes into every answer that has the header.

use std::sync::Mutex;

use http::Extensions;
use http::header::ETAG;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;

use crate::lock::locked;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nETag: 0\r\nConnection: close\r\n\r\n";

/// How names are spelled, learned when it is first asked.
#[derive(Debug, Default)]
pub(crate) struct Spelling(OnceCell<Extensions>);

impl Spelling {
    /// Makes hyper spell the names of an answer's headers.
    pub(crate) async fn spell<B>(&self, response: &mut Response<B>) {
        if response.headers().contains_key(ETAG) {
            response.extensions_mut().extend(self.0.get_or_init(learn).await.clone());
        }
    }
}

async fn learn() -> Extensions {
    let (mut client, server) = tokio::io::duplex(1024);
    let learned = Mutex::new(Extensions::new());
    let service = service_fn(|request: Request<Incoming>| {
        *locked(&learned) = request.extensions().clone();
        async { Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    // Both ends are in this function: it fails only if hyper does, and then names stay as they were.
    client.write_all(REQUEST).await.ok();
    http1::Builder::new()
        .preserve_header_case(true)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(server), service)
        .await
        .ok();
    drop(client);
    learned.into_inner().unwrap_or_default()
}
