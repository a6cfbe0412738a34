//! Answers to tokens: from the receipts of what was read to the bytes that are written back.
//!
//! All frames of one read that carry a token share one receipt. When it settles, their answers go into a buffer, from which a
//! writer task takes them; the reader waits for neither. A receipt that was abandoned leaves its frames unanswered, and the
//! peer sends them again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ikada_msgpack::write;
use ikada_record::{Receipt, Settlement, Tally};
use tokio::sync::Notify;

/// Bytes of answers that may wait for a peer that does not read them.
const UNREAD: usize = 1024 * 1024;

/// The answers of one connection.
#[derive(Debug, Default)]
pub struct Acks {
    state: Mutex<State>,
    changed: Notify,
    tally: Option<Arc<Tally>>,
}

#[derive(Debug, Default)]
struct State {
    /// Answers that are due.
    out: Vec<u8>,
    /// Reads whose receipts have not ended.
    pending: usize,
    /// No more frames will come.
    ended: bool,
    /// The peer does not read, or must not get any more answers.
    broken: bool,
}

/// What the writer is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Write these bytes.
    Write(Vec<u8>),
    /// All that will ever be answered was answered.
    Done,
    /// Hang up.
    HangUp,
}

impl Acks {
    /// No answers yet; receipts are counted in `tally`.
    #[must_use]
    pub fn new(tally: Option<Arc<Tally>>) -> Arc<Self> {
        Arc::new(Self { tally, ..Self::default() })
    }

    /// The answers to the frames of one read.
    pub(crate) fn batch(self: &Arc<Self>) -> AckBatch {
        self.lock().pending += 1;
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (acks, answers) = (self.clone(), bytes.clone());
        let receipt = Receipt::new(self.tally.clone(), move |settlement| {
            // A chunk that goes because a bug unwinds its task was settled by nobody.
            let settled = settlement == Settlement::Settled && !std::thread::panicking();
            acks.settle(settled, &lock(&answers));
        });
        AckBatch { bytes, receipt }
    }

    fn settle(&self, settled: bool, answers: &[u8]) {
        let mut state = self.lock();
        state.pending -= 1;
        if settled && !state.broken {
            state.out.extend_from_slice(answers);
            state.broken = state.out.len() > UNREAD;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Says that no more frames will come.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_one();
    }

    /// Says that nothing may be answered any more.
    pub(crate) fn hang_up(&self) {
        self.lock().broken = true;
        self.changed.notify_one();
    }

    /// Waits until there is something to do. One task at a time may ask.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            self.changed.notified().await;
        }
    }

    /// Waits until the peer has let too many answers lie. For the writer, while it writes.
    pub(crate) async fn overrun(&self) {
        while !self.lock().broken {
            self.changed.notified().await;
        }
    }

    /// The answers that are due now, for whoever drives the protocol without a task.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().out)
    }

    /// Reads whose answers are still owed.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.lock().pending
    }

    fn try_next(&self) -> Option<Next> {
        let mut state = self.lock();
        if state.broken {
            return Some(Next::HangUp);
        }
        if !state.out.is_empty() {
            return Some(Next::Write(std::mem::take(&mut state.out)));
        }
        (state.ended && state.pending == 0).then_some(Next::Done)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// The answers to the frames of one read, and the receipt that releases them.
#[derive(Debug)]
pub(crate) struct AckBatch {
    bytes: Arc<Mutex<Vec<u8>>>,
    receipt: Receipt,
}

impl AckBatch {
    /// Adds the answer to one frame: `{"ack": token}`.
    pub(crate) fn push(&self, token: &[u8]) {
        let mut bytes = lock(&self.bytes);
        write::map_header(&mut bytes, 1);
        write::str(&mut bytes, b"ack");
        write::str(&mut bytes, token);
    }

    /// The receipt for the chunks of this read.
    pub(crate) fn receipt(&self) -> Receipt {
        self.receipt.clone()
    }
}

/// A panic elsewhere while the lock was held leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_due_when_the_last_chunk_of_its_read_settled() {
        let acks = Acks::new(None);
        let batch = acks.batch();
        batch.push(b"t1");
        batch.push(b"t2");
        let chunk = batch.receipt();
        drop(batch);
        assert_eq!((acks.take(), acks.pending()), (Vec::new(), 1));
        drop(chunk);
        assert_eq!(acks.take(), b"\x81\xa3ack\xa2t1\x81\xa3ack\xa2t2");
        assert_eq!(acks.pending(), 0);
    }

    #[test]
    fn what_was_abandoned_is_not_answered() {
        let acks = Acks::new(None);
        let batch = acks.batch();
        batch.push(b"t");
        batch.receipt().abandon();
        drop(batch);
        assert!(acks.take().is_empty());
        acks.end();
        assert_eq!(acks.try_next(), Some(Next::Done));
    }

    #[test]
    fn answers_nobody_reads_are_bounded() {
        let acks = Acks::new(None);
        for _ in 0..12 {
            let batch = acks.batch();
            batch.push(&[b'x'; 100_000]);
        }
        assert_eq!(acks.try_next(), Some(Next::HangUp));
        assert!(acks.lock().out.len() < UNREAD + 200_000);
    }
}
