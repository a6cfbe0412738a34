//! Log lines about peers, few enough to be read.
//!
//! A peer that sends garbage does so again and again. The first time is told at once; what follows within the interval is counted, and
//! the next line says how many it stands for.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time between two lines about one peer.
const EVERY: Duration = Duration::from_secs(10);
/// Peers that are remembered.
const PEERS: usize = 1024;

/// Decides which log lines are written.
#[derive(Debug)]
pub(crate) struct Complaints<K> {
    peers: Mutex<HashMap<K, Told>>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    since: u64,
}

impl<K: Eq + Hash> Complaints<K> {
    pub(crate) fn new() -> Self {
        Self { peers: Mutex::new(HashMap::new()) }
    }

    /// Whether a line is to be written now, and if so, how many that were not it stands for.
    pub(crate) fn admit(&self, peer: K, now: Instant) -> Option<u64> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = peers.get_mut(&peer) {
            if now.saturating_duration_since(told.at) < EVERY {
                told.since += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.since));
        }
        if peers.len() >= PEERS {
            peers.retain(|_, told| now.saturating_duration_since(told.at) < EVERY);
        }
        if peers.len() >= PEERS {
            // Rather a line too many than a table without bound.
            return Some(0);
        }
        peers.insert(peer, Told { at: now, since: 0 });
        Some(0)
    }

    /// How many lines were left out and not yet accounted for.
    pub(crate) fn left_out(&self) -> u64 {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.values().map(|told| told.since).sum()
    }
}

/// ` (and 5 more like it)` or nothing.
pub(crate) fn and_more(count: u64) -> String {
    match count {
        0 => String::new(),
        n => format!(" (and {n} more since the last such line)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_it_stands_for() {
        let complaints = Complaints::new();
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        assert_eq!(complaints.admit("a", at(0)), Some(0));
        assert_eq!(complaints.admit("a", at(1)), None);
        assert_eq!(complaints.admit("a", at(2)), None);
        assert_eq!(complaints.admit("b", at(2)), Some(0));
        assert_eq!(complaints.left_out(), 2);
        assert_eq!(complaints.admit("a", at(10)), Some(2));
        assert_eq!(complaints.left_out(), 0);
    }

    #[test]
    fn the_number_of_peers_is_bounded() {
        let complaints = Complaints::new();
        let now = Instant::now();
        for peer in 0..5000 {
            assert_eq!(complaints.admit(peer, now), Some(0));
        }
        assert_eq!(complaints.peers.lock().unwrap().len(), PEERS);
    }
}
