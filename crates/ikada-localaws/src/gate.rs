//! Takes the services down and brings them up again.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::lock::locked;

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
    listening: Mutex<usize>,
    changed: Condvar,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { state: watch::Sender::new(None), listening: Mutex::new(0), changed: Condvar::new() }
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

    /// Waits until `ports` listeners are open.
    pub(crate) fn wait_listening(&self, ports: usize) {
        let listening = locked(&self.listening);
        let settled = self.changed.wait_timeout_while(listening, SETTLE, |open| *open != ports);
        drop(settled.unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes that a listener was opened or closed.
    pub(crate) fn note_listener(&self, is_open: bool) {
        let mut listening = locked(&self.listening);
        *listening = if is_open { *listening + 1 } else { listening.saturating_sub(1) };
        self.changed.notify_all();
    }
}
