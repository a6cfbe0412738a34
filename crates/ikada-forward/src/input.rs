//! The input: listeners, the connections they give, and the order in which all of it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ikada_plugin::{BoxFuture, Input, InputContext, InputError, bugs};
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::connection::serve;
use crate::fine::FineTimers;
use crate::handshake::Guard;
use crate::join::JoinRule;
use crate::listen::{self, SocketFile, UnixPath};
use crate::peers::{Complaints, and_more};
use crate::socket::{Connection, Listener, Peer, PeerKey};
use crate::tags::TagRule;

/// Connections that are open at once at most. Each is a container or a process; more than this is a leak or an attack.
pub const MAX_CONNECTIONS: usize = 10_240;

/// Time without accepting after the system refused a connection, mostly for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the input is to do, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Host and port to listen on.
    pub tcp: Option<(String, u16)>,
    /// Socket file to listen on.
    pub unix: Option<UnixPath>,
    /// Under which tag entries go on.
    pub tags: TagRule,
    /// Bytes a frame may have, packed or unpacked.
    pub limit: usize,
    /// Connections that are open at once at most.
    pub max_connections: usize,
    /// What peers must know before they may send.
    pub guard: Option<Guard>,
    /// How lines are put together that Docker cut into pieces; `None` leaves the pieces as they are.
    pub join: Option<JoinRule>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tcp: None,
            unix: None,
            tags: TagRule::Sent,
            limit: 6_144_000,
            max_connections: MAX_CONNECTIONS,
            guard: None,
            join: Some(JoinRule::default()),
        }
    }
}

/// The `forward` input.
#[derive(Debug)]
pub struct Forward {
    settings: Settings,
    listeners: Vec<Listener>,
    file: Option<SocketFile>,
}

impl Forward {
    /// An input that does not listen yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, listeners: Vec::new(), file: None }
    }

    /// The TCP address it listens on, once it is open.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listeners.iter().find_map(|listener| match listener {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(..) => None,
        })
    }
}

impl Input for Forward {
    fn open<'a>(&'a mut self, cx: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async move {
            if let Some(at) = &self.settings.unix {
                let (listener, file) = listen::unix(at)?;
                self.listeners.push(listener);
                self.file = Some(file);
                info!(instance = %cx.id, "listening on unix://{}", at.path.display());
            }
            if let Some((host, port)) = &self.settings.tcp {
                self.listeners.push(listen::tcp(host, *port).await?);
                info!(instance = %cx.id, "listening on {host}:{port}");
            }
            Ok(())
        })
    }

    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(run(*self, cx))
    }
}

async fn run(input: Forward, cx: InputContext) -> Result<(), InputError> {
    let shared = Arc::new(Shared::new(input.settings, cx));
    let accepting = TaskTracker::new();
    for listener in input.listeners {
        accepting.spawn(listen(listener, shared.clone()));
    }
    shared.cx.stop.cancelled().await;
    // The file goes first: from here on nobody new finds the way.
    if let Some(Err(error)) = input.file.map(|mut file| file.remove()) {
        warn!(instance = %shared.cx.id, "the socket file could not be removed: {error}");
    }
    accepting.close();
    accepting.wait().await;
    shared.connections.close();
    shared.connections.wait().await;
    let left_out = shared.complaints.left_out() + shared.own_troubles.left_out();
    if left_out > 0 {
        warn!(instance = %shared.cx.id, "{left_out} more refusals were not logged one by one");
    }
    Ok(())
}

/// What all connections of an input share.
pub(crate) struct Shared {
    pub(crate) cx: InputContext,
    pub(crate) settings: Settings,
    pub(crate) tags: Arc<TagRule>,
    pub(crate) fine_timers: FineTimers,
    open: AtomicUsize,
    connections: TaskTracker,
    complaints: Complaints<PeerKey>,
    own_troubles: Complaints<Trouble>,
}

/// Reasons of our own for not serving somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Trouble {
    Accept,
    Crowd,
}

impl Shared {
    pub(crate) fn new(settings: Settings, cx: InputContext) -> Self {
        Self {
            tags: Arc::new(settings.tags.clone()),
            fine_timers: FineTimers::default(),
            settings,
            open: AtomicUsize::new(0),
            connections: TaskTracker::new(),
            complaints: Complaints::new(),
            own_troubles: Complaints::new(),
            cx,
        }
    }

    /// Says what is wrong with what a peer sent, unless that was said a moment ago.
    pub(crate) fn complain(&self, peer: &Peer, what: &str) {
        if let Some(more) = self.complaints.admit(peer.key(), Instant::now()) {
            warn!(instance = %self.cx.id, "{peer}: {what}{}", and_more(more));
        }
    }

    fn regret(&self, trouble: Trouble, what: &str) {
        if let Some(more) = self.own_troubles.admit(trouble, Instant::now()) {
            warn!(instance = %self.cx.id, "{what}{}", and_more(more));
        }
    }
}

/// Accepts connections until the input stops, then serves those that still wait. A bug ends neither the listener nor those who wait in it.
async fn listen(listener: Listener, shared: Arc<Shared>) {
    let accepting = || accept(&listener, &shared);
    bugs::kept_going(&shared.cx, "accepting connections", ACCEPT_PAUSE, accepting).await;
    for (connection, peer) in listener.close() {
        admit(&shared, connection, peer);
    }
}

async fn accept(listener: &Listener, shared: &Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.cx.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((connection, peer)) => admit(shared, connection, peer),
            Err(error) => {
                shared.regret(Trouble::Accept, &format!("could not accept a connection: {error}"));
                // A connection that is gone again costs nothing; anything else is a lack that only time can mend.
                if error.kind() != std::io::ErrorKind::ConnectionAborted {
                    shared.cx.stop.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
    }
}

/// Serves a connection in a task of its own, if there is room for it.
fn admit(shared: &Arc<Shared>, connection: Connection, peer: Peer) {
    let max = shared.settings.max_connections;
    if shared.open.fetch_add(1, Ordering::Relaxed) >= max {
        shared.open.fetch_sub(1, Ordering::Relaxed);
        shared.cx.metrics.closed_connections.add(1);
        shared.regret(Trouble::Crowd, &format!("closed a new connection: {max} are open already"));
        return;
    }
    let task = shared.clone();
    shared.connections.spawn(async move {
        let what = format!("the connection of {peer}");
        bugs::caught(&task.cx, &what, serve(task.clone(), connection, peer)).await;
        task.open.fetch_sub(1, Ordering::Relaxed);
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::net::TcpStream;

    use super::*;
    use crate::connection::tests::shared;

    #[tokio::test]
    async fn a_bug_in_accepting_ends_neither_the_listener_nor_those_who_wait_in_it() {
        let shared = shared();
        let listener = listen::tcp("127.0.0.1", 0).await.unwrap();
        let Listener::Tcp(socket) = &listener else { panic!("it is one of TCP") };
        let address = socket.local_addr().unwrap();
        let task = shared.clone();
        let accepting = tokio::spawn(async move {
            let is_first = AtomicBool::new(true);
            let work = || async {
                if is_first.swap(false, Ordering::Relaxed) {
                    drop(listener.accept().await);
                    panic!("the first one is one too many");
                }
                accept(&listener, &task).await;
            };
            bugs::kept_going(&task.cx, "accepting connections", ACCEPT_PAUSE, work).await;
        });
        let clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        while shared.open.load(Ordering::Relaxed) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!((shared.cx.metrics.bugs.get(), shared.cx.metrics.restarts.get()), (1, 1));
        drop(clients);
        shared.cx.stop.cancel();
        accepting.await.unwrap();
    }
}
