//! Takes the services down and brings them up again.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::lock::locked;
use crate::shared::Shared;

/// How the services are out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Down {
    /// Connections are refused, and open ones closed.
    Refuse,
    /// Connections are accepted and nothing is ever answered.
    BlackHole,
}

/// How long a change of state is waited for; it takes a few scheduler rounds.
const SETTLE: Duration = Duration::from_secs(5);

/// Whether the services can be reached.
#[derive(Debug)]
pub(crate) struct Gate {
    state: watch::Sender<Option<Down>>,
    open: Mutex<Open>,
    changed: Condvar,
}

/// What of the services' ports is open.
#[derive(Debug, Default, Clone, Copy)]
struct Open {
    listeners: usize,
    connections: usize,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { state: watch::Sender::new(None), open: Mutex::default(), changed: Condvar::new() }
    }
}

/// Counts as an open connection until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<Shared>);

impl OpenConnection {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.gate.note(|open| open.connections += 1);
        OpenConnection(shared.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.gate.note(|open| open.connections = open.connections.saturating_sub(1));
    }
}

impl Gate {
    /// Follows the state from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Down>> {
        self.state.subscribe()
    }

    /// Changes the state without waiting for it to take effect.
    pub(crate) fn set(&self, state: Option<Down>) {
        self.state.send_replace(state);
    }

    /// Waits until `ports` listeners are open, and with none no connection either.
    pub(crate) fn wait_listening(&self, ports: usize) {
        let is_settled = |open: &Open| open.listeners == ports && (ports > 0 || open.connections == 0);
        let settled = self.changed.wait_timeout_while(locked(&self.open), SETTLE, |open| !is_settled(open));
        drop(settled.unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes that a listener was opened or closed.
    pub(crate) fn note_listener(&self, is_open: bool) {
        self.note(|open| {
            open.listeners = if is_open { open.listeners + 1 } else { open.listeners.saturating_sub(1) };
        });
    }

    fn note(&self, change: impl FnOnce(&mut Open)) {
        change(&mut locked(&self.open));
        self.changed.notify_all();
    }
}
