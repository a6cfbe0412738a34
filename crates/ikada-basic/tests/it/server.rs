//! An HTTP server that does what its script says and remembers what it was sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// One line of a script.
pub(crate) enum Answer {
    /// A status, with a header and a body.
    Status(u16, Option<(&'static str, &'static str)>, &'static str),
    /// The connection ends without an answer.
    Cut,
    /// No answer, ever.
    Silence,
}

/// A status with nothing else.
pub(crate) fn status(code: u16) -> Answer {
    Answer::Status(code, None, "")
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<Answer>,
    seen: Vec<Seen>,
    connections: usize,
}

/// A server on loopback, which lives as long as its runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The certificate to trust, where it speaks TLS.
    pub(crate) ca_pem: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// A server that answers as the script says, and 200 when it is at its end.
    pub(crate) async fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        Self::listen(script, None).await
    }

    /// The same over TLS, with a certificate of its own making for this name.
    pub(crate) async fn start_tls(name: &str) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let server = Self::listen([], Some(TlsAcceptor::from(Arc::new(config)))).await;
        Self { ca_pem: cert.pem(), ..server }
    }

    async fn listen(script: impl IntoIterator<Item = Answer>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { script: script.into_iter().collect(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let served = state.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, tls) = (served.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, ca_pem: String::new(), state }
    }

    /// The options that lead here.
    pub(crate) fn options(&self) -> String {
        format!("host 127.0.0.1\nport {}", self.address.port())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// Connections that something was asked over.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, state: Arc<Mutex<State>>) {
    state.lock().unwrap().connections += 1;
    let service = service_fn(|request| answer(request, state.clone()));
    // A connection that was cut on purpose ends with an error.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct CutHere;

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, CutHere> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| CutHere)?.to_bytes().to_vec();
    let uri = head.uri.to_string();
    let next = {
        let mut state = state.lock().unwrap();
        state.seen.push(Seen { method: head.method, uri, headers: head.headers, body });
        state.script.pop_front()
    };
    match next.unwrap_or(status(200)) {
        Answer::Cut => Err(CutHere),
        Answer::Silence => match std::future::pending::<Infallible>().await {},
        Answer::Status(code, header, said) => {
            let mut answer = Response::new(Full::new(Bytes::from_static(said.as_bytes())));
            *answer.status_mut() = code.try_into().unwrap();
            if let Some((name, value)) = header {
                answer.headers_mut().insert(name, value.parse().unwrap());
            }
            Ok(answer)
        }
    }
}
