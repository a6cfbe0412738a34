//! Ports, connections, and the threads behind them.

use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::StartError;
use crate::config::Config;
use crate::dispatch::{self, Connection};
use crate::gate::{Down, OpenConnection};
use crate::shared::Shared;
use crate::tls::Tls;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// hyper's buffer: a megabyte comes in few reads.
const READ_BUFFER: usize = 1 << 20;

/// A running server.
pub(crate) struct Server {
    /// Taken when the server is dropped.
    runtime: Option<Runtime>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) ca_pem: Option<String>,
    /// Ports that [`Gate`](crate::gate::Gate) opens and closes.
    pub(crate) ports: usize,
}

impl Server {
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<Self, StartError> {
        let config = &shared.config;
        let tls = config.https_port.map(|_| Tls::make(&config.host_names)).transpose()?;
        write_ca(config, tls.as_ref())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.threads.max(1))
            .thread_name("localaws")
            .enable_all()
            .build()
            .map_err(StartError::Runtime)?;
        let entered = runtime.enter();
        let http = config.http_port.map(|port| bind(config.address, port)).transpose()?;
        let https = config.https_port.map(|port| bind(config.address, port)).transpose()?;
        let admin = config.admin_port.map(|port| bind(config.address, port)).transpose()?;
        let ports = usize::from(http.is_some()) + usize::from(https.is_some());
        let address = |bound: &Option<(TcpListener, SocketAddr)>| bound.as_ref().map(|(_, address)| *address);
        let addresses = (address(&http), address(&https), address(&admin));
        let acceptor = tls.as_ref().map(|tls| tls.acceptor.clone());
        for (bound, acceptor) in [(http, None), (https, acceptor)] {
            if let Some((listener, address)) = bound {
                runtime.spawn(listen(shared.clone(), listener, address, acceptor));
            }
        }
        if let Some((listener, _)) = admin {
            runtime.spawn(listen_admin(shared.clone(), listener));
        }
        drop(entered);
        shared.gate.wait_listening(ports);
        let (http, https, admin) = addresses;
        Ok(Server { runtime: Some(runtime), http, https, admin, ca_pem: tls.map(|tls| tls.ca_pem), ports })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In the background, so that a server may be dropped inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn write_ca(config: &Config, tls: Option<&Tls>) -> Result<(), StartError> {
    let (Some(path), Some(tls)) = (&config.ca_file, tls) else { return Ok(()) };
    std::fs::write(path, &tls.ca_pem).map_err(|source| StartError::CaFile { path: path.clone(), source })
}

fn bind(address: IpAddr, port: u16) -> Result<(TcpListener, SocketAddr), StartError> {
    let wanted = SocketAddr::new(address, port);
    let failed = |source| StartError::Bind { address: wanted, source };
    let listener = StdListener::bind(wanted).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((TcpListener::from_std(listener).map_err(failed)?, bound))
}

/// Serves a port, closing and opening it as the gate says.
async fn listen(
    shared: Arc<Shared>,
    mut listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
) {
    let mut state = shared.gate.watch();
    loop {
        shared.gate.note_listener(true);
        tokio::select! {
            () = accept_all(&shared, &listener, tls.as_ref()) => {}
            _ = state.wait_for(|state| *state == Some(Down::Refuse)) => {}
        }
        drop(listener);
        // A socket that is bound and does not listen keeps the port ours and refuses connections.
        let reserved = reserve(address).await;
        shared.gate.note_listener(false);
        if state.wait_for(|state| *state != Some(Down::Refuse)).await.is_err() {
            return;
        }
        let Ok(opened) = reserved.listen(BACKLOG) else { return };
        listener = opened;
    }
}

async fn reserve(address: SocketAddr) -> TcpSocket {
    loop {
        if let Ok(socket) = try_reserve(address) {
            return socket;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn try_reserve(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept_all(shared: &Arc<Shared>, listener: &TcpListener, tls: Option<&TlsAcceptor>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                shared.counters.connections.fetch_add(1, Ordering::Relaxed);
                let open = OpenConnection::new(shared);
                tokio::spawn(connection(shared.clone(), open, stream, tls.cloned()));
            }
            // Out of file descriptors, most likely: others may be closed soon.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn listen_admin(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let connection = Arc::new(Connection::for_admin());
        tokio::spawn(speak(shared.clone(), stream, connection));
    }
}

/// Serves a connection until either side ends it or the services go down.
async fn connection(shared: Arc<Shared>, open: OpenConnection, stream: TcpStream, tls: Option<TlsAcceptor>) {
    // Dropped last: whoever waits for the services to be down waits for the socket to be closed.
    let _open = open;
    let mut state = shared.gate.watch();
    if *state.borrow() == Some(Down::BlackHole) {
        // Held open and never read; given up when the services come back or refuse.
        state.wait_for(|state| *state != Some(Down::BlackHole)).await.ok();
        drop(stream);
        return;
    }
    let talk = async {
        stream.set_nodelay(true).ok();
        let connection = Arc::new(Connection::default());
        match tls {
            None => speak(shared.clone(), stream, connection).await,
            Some(acceptor) => {
                if let Ok(stream) = acceptor.accept(stream).await {
                    speak(shared.clone(), stream, connection).await;
                }
            }
        }
    };
    tokio::select! {
        () = talk => {}
        _ = state.wait_for(|state| *state == Some(Down::Refuse)) => {}
    }
}

async fn speak(
    shared: Arc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Arc<Connection>,
) {
    let idle_timeout = shared.config.idle_timeout;
    let watched = connection.clone();
    let service = service_fn(move |request| dispatch::serve(shared.clone(), connection.clone(), request));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(READ_BUFFER).header_read_timeout(None);
    let talk = builder.serve_connection(TokioIo::new(stream), service);
    // An error here is a client that went away or a connection that a fault has cut: both are counted already.
    match idle_timeout {
        None => drop(talk.await),
        Some(time) => tokio::select! {
            _ = talk => {}
            () = idle(&watched, time) => {}
        },
    }
}

/// Waits until nothing has happened on a connection for `time`.
async fn idle(connection: &Connection, time: Duration) {
    let mut last = None;
    loop {
        let passed = connection.passed();
        if passed.is_some() && passed == last {
            return;
        }
        last = passed;
        tokio::time::sleep(time).await;
    }
}
