//! Clients that lose nothing over a router's death, and dice that fall the same way again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Writer;

/// Messages that the client with acks may have unanswered.
const WINDOW: u64 = 50;

/// Numbers that follow from a seed (Knuth's constants for a linear congruence modulo 2^64).
pub struct Dice(pub u64);

impl Dice {
    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A client that asks for acks and, as such clients do, begins again behind the last number that was acknowledged in order.
#[derive(Default)]
pub struct Careful {
    /// Numbers that were acknowledged, from 0 on.
    pub acked: u64,
    /// The most that may come twice: what had no answer when the router died.
    pub unsettled: u64,
}

impl Careful {
    /// Writes and reads until the router is gone, from where it was acknowledged on. `seen` counts the answers, for whoever kills it.
    pub fn talk(&mut self, mut writer: Writer, seen: &AtomicU64) {
        let mut reader = writer.reader();
        let mut answered: BTreeMap<u64, ()> = BTreeMap::new();
        let mut is_open = true;
        while is_open {
            while is_open && writer.written() < self.acked + WINDOW {
                is_open = writer.try_write_asking().is_ok();
            }
            match reader.read_ack() {
                Some(number) => {
                    answered.insert(number, ());
                    seen.fetch_add(1, Relaxed);
                }
                None => is_open = false,
            }
            while answered.remove(&self.acked).is_some() {
                self.acked += 1;
            }
        }
        self.unsettled += writer.written() - self.acked;
    }
}
