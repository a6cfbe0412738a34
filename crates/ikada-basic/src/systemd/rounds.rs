//! Which cursor may be written: the last one before which everything has settled.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ikada_record::{Receipt, Settlement, Tally};
use tokio::sync::Notify;

/// Rounds that were handed over, in order.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: VecDeque<Round>,
    /// Number of the first round of `open`.
    first: u64,
    /// The cursor that may be written, and was not taken yet.
    ready: Option<String>,
}

#[derive(Debug)]
struct Round {
    cursor: String,
    is_settled: bool,
}

impl Rounds {
    /// Begins a round that ends at `cursor`. Its chunks carry the receipt.
    pub(super) fn begin(self: &Arc<Self>, cursor: String, tally: Arc<Tally>) -> Receipt {
        let mut state = self.lock();
        let number = state.first + state.open.len() as u64;
        state.open.push_back(Round { cursor, is_settled: false });
        drop(state);
        let rounds = self.clone();
        Receipt::new(Some(tally), move |settlement| {
            // What was abandoned stays open for ever: no cursor behind it is ever written, and it is read again.
            if settlement == Settlement::Settled && !std::thread::panicking() {
                rounds.settle(number);
            }
        })
    }

    /// The cursor that may be written now, once.
    pub(super) fn take_ready(&self) -> Option<String> {
        self.lock().ready.take()
    }

    /// Waits until a round has settled.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether everything has settled.
    pub(super) fn is_done(&self) -> bool {
        self.lock().open.is_empty()
    }

    fn settle(&self, number: u64) {
        let mut state = self.lock();
        let at = (number - state.first) as usize;
        state.open[at].is_settled = true;
        while state.open.front().is_some_and(|round| round.is_settled) {
            state.ready = state.open.pop_front().map(|round| round.cursor);
            state.first += 1;
        }
        drop(state);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere while the lock was held leaves nothing half done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_ready_when_everything_before_it_has_settled() {
        let rounds = Arc::new(Rounds::default());
        let [one, two, three] = ["1", "2", "3"].map(|cursor| rounds.begin(cursor.into(), Arc::default()));
        drop(two);
        assert_eq!(rounds.take_ready(), None);
        drop(one);
        assert_eq!(rounds.take_ready().as_deref(), Some("2"));
        assert_eq!(rounds.take_ready(), None);
        three.abandon();
        drop(three);
        drop(rounds.begin("4".into(), Arc::default()));
        assert_eq!(rounds.take_ready(), None, "nothing behind what was abandoned");
        assert!(!rounds.is_done());
    }
}
