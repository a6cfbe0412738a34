//! Connections, requests and answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use ikada_msgpack::{MapView, write};
use ikada_plugin::{Gatherer, InputContext, MemoryShare, OnFull};
use ikada_record::accessor::Accessor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tracing::debug;

use super::body::{Content, Refusal, records, tag_of, unpacked};
use super::options::SuccessHeader;
use crate::complaints::Complaints;
use crate::hand_over;
use crate::net::stream::{self, Connection, Listener};
use crate::net::{Adder, extend_map};

/// How long a client may take for the head of a request.
const HEAD: Duration = Duration::from_secs(30);

/// How long a client may take for a body.
const BODY: Duration = Duration::from_secs(60);

/// How long requests that have begun are waited for at a stop.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// What the server does with requests.
pub(super) struct Server {
    pub(super) tag: Option<String>,
    pub(super) tag_key: Option<Accessor>,
    pub(super) limit: usize,
    pub(super) speaks_http2: bool,
    pub(super) status: StatusCode,
    pub(super) headers: Vec<SuccessHeader>,
    /// Key of the client's address, where that is added.
    pub(super) address_key: Option<String>,
    pub(super) is_asked_for_health: bool,
    pub(super) complaints: Complaints,
}

/// Serves connections until the input stops, and waits until the requests that have begun are answered.
pub(super) async fn run(listener: Listener, server: Arc<Server>, cx: &InputContext) {
    stream::accept(listener, cx, |connection, peer| {
        let (server, cx) = (server.clone(), cx.clone());
        async move {
            match connection {
                Connection::Plain(stream) => server.serve(stream, &peer, &cx).await,
                Connection::Unix(stream) => server.serve(stream, &peer, &cx).await,
                Connection::Encrypted(stream, tls) => {
                    if let Some(stream) = stream::shake_hands(stream, tls, &peer, &cx).await {
                        server.serve(stream, &peer, &cx).await;
                    }
                }
            }
        }
    })
    .await;
}

impl Server {
    async fn serve<S>(self: Arc<Self>, stream: S, peer: &str, cx: &InputContext)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = Builder::new(TokioExecutor::new());
        if !self.speaks_http2 {
            builder = builder.http1_only();
        }
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
        builder.http2().timer(TokioTimer::new());
        let service = service_fn(|request| {
            let (server, cx, peer) = (self.clone(), cx.clone(), peer.to_owned());
            async move { Ok::<_, Infallible>(server.answer(request, &peer, &cx).await) }
        });
        let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let served = tokio::select! {
            served = serving.as_mut() => served,
            () = cx.stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                match timeout(LAST_REQUESTS, serving).await {
                    Ok(served) => served,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = served {
            debug!(instance = %cx.id, "{peer}: the connection ended: {error}");
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: &str,
        cx: &InputContext,
    ) -> Response<Full<Bytes>> {
        if self.is_asked_for_health && request.method() == Method::GET && request.uri().path() == "/health" {
            return answer(StatusCode::OK, "ok\n");
        }
        match self.take(request, peer, cx).await {
            Ok(()) => self.success(),
            Err(refusal) => {
                self.complaints.say(cx, peer, &format!("a request was refused: {refusal}"));
                answer(refusal.status, &format!("error: {refusal}\n"))
            }
        }
    }

    fn success(&self) -> Response<Full<Bytes>> {
        let mut response = answer(self.status, "");
        for SuccessHeader { name, value } in &self.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response
    }

    /// Takes the records of a request, all or none.
    async fn take(&self, request: Request<Incoming>, peer: &str, cx: &InputContext) -> Result<(), Refusal> {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Err(Refusal::bad("invalid HTTP method: only POST is taken"));
        }
        let content = text(&head.headers, CONTENT_TYPE.as_str());
        let Some(content) = Content::of(content) else {
            return Err(Refusal::bad("invalid 'Content-Type'"));
        };
        // Given back when the records are handed over.
        let mut memory = cx.service.input_memory.share();
        let bytes = self.read(body, &mut memory).await?;
        if bytes.is_empty() {
            return Err(Refusal::bad("no payload found"));
        }
        let body = unpacked(&bytes, text(&head.headers, CONTENT_ENCODING.as_str()), self.limit)?;
        let records = records(&body, content)?;
        let path_tag = tag_of(head.uri.path());
        let tag = path_tag.as_deref().unwrap_or(self.tag.as_deref().unwrap_or(&cx.id.name).as_bytes());
        let mut gatherer = Gatherer::new(cx.flush);
        self.add(cx, &mut gatherer, tag, &records, client(&head.headers, peer));
        hand_over::at_flush(cx, &mut gatherer, OnFull::Wait).await;
        Ok(())
    }

    async fn read(&self, body: Incoming, memory: &mut MemoryShare) -> Result<Bytes, Refusal> {
        match timeout(BODY, whole(Limited::new(body, self.limit), memory)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                Err(Refusal::too_large(self.limit))
            }
            Ok(Err(error)) => Err(Refusal::bad(format!("the body did not come whole: {error}"))),
            Err(_) => {
                Err(Refusal { status: StatusCode::REQUEST_TIMEOUT, message: "the body did not come".into() })
            }
        }
    }

    fn add(&self, cx: &InputContext, gatherer: &mut Gatherer, tag: &[u8], records: &[Vec<u8>], client: &str) {
        let mut adder = Adder::new(cx, gatherer);
        let clock = adder.clock;
        let mut extended = Vec::new();
        for record in records {
            let own = self.tag_key.as_ref().and_then(|key| key.lookup_map(MapView::known(record))?.as_str());
            let tag = own.filter(|tag| !tag.is_empty()).unwrap_or(tag);
            let Some(key) = &self.address_key else {
                adder.add(tag, clock, record);
                continue;
            };
            extended.clear();
            extend_map(&mut extended, record, 1, |out| {
                write::str(out, key.as_bytes());
                write::str(out, client.as_bytes());
            });
            adder.add(tag, clock, &extended);
        }
    }
}

/// All of a body, unless the bodies of others fill the memory: then the client is to come again.
async fn whole(
    mut body: Limited<Incoming>,
    memory: &mut MemoryShare,
) -> Result<Result<Bytes, Refusal>, Box<dyn std::error::Error + Send + Sync>> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        bytes.extend_from_slice(&data);
        memory.set(bytes.capacity(), 0);
        if memory.holds_much() && !memory.room().await {
            let message = "the bodies of other requests fill the memory (`ikada.memory_limit`)".into();
            return Ok(Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, message }));
        }
    }
    Ok(Ok(bytes.freeze()))
}

/// A header's text, empty if there is none.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The client's address: what the first proxy saw, or what is seen here.
fn client<'h>(headers: &'h HeaderMap, peer: &'h str) -> &'h str {
    let forwarded = text(headers, "x-forwarded-for").split(',').next().unwrap_or_default().trim();
    if !forwarded.is_empty() {
        return forwarded;
    }
    let address = peer.strip_prefix("tcp://").unwrap_or(peer);
    address.rsplit_once(':').map_or(address, |(host, _)| host.trim_start_matches('[').trim_end_matches(']'))
}

fn answer(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}
