//! The memory of what inputs have read and not handed over: beginnings of frames and lines, bodies, chunks that are not full.
//!
//! All connections of all inputs share one bound. What is whole is *gathered* until the flush; when the bound is reached, it is handed over at once,
//! and connections read a little at a time. The beginning of something, that is *held* for its rest, cannot be handed over: when the others fill the bound, its
//! connection waits. Whoever waits tells the others: one that has not gone on with what it has begun for a while ends, and gives its memory
//! back. So a flood of halves harms nobody but those who send them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// What a connection may always hold: the beginning of a message of a usual size.
pub const ALWAYS: usize = 1024;

/// The memory of all inputs.
#[derive(Debug)]
pub struct InputMemory {
    limit: usize,
    patience: Duration,
    /// Beginnings.
    held: AtomicUsize,
    /// Whole entries.
    gathered: AtomicUsize,
    /// Somebody gave memory back.
    freed: Notify,
    /// Somebody waits for memory.
    wanted: Notify,
}

impl Default for InputMemory {
    /// Without a bound.
    fn default() -> Self {
        Self::new(usize::MAX, Duration::ZERO)
    }
}

impl InputMemory {
    /// So many bytes; nobody waits for longer than `patience`.
    #[must_use]
    pub fn new(limit: usize, patience: Duration) -> Self {
        let (held, gathered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { limit, patience, held, gathered, freed: Notify::new(), wanted: Notify::new() }
    }

    /// Bytes that are held and gathered.
    #[must_use]
    pub fn used(&self) -> usize {
        self.held.load(Relaxed) + self.gathered.load(Relaxed)
    }

    /// The part of one connection, which holds nothing yet.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> MemoryShare {
        MemoryShare { of: self.clone(), held: 0, gathered: 0 }
    }
}

/// What one connection holds and gathers; given back when it goes.
#[derive(Debug)]
pub struct MemoryShare {
    of: Arc<InputMemory>,
    held: usize,
    gathered: usize,
}

impl MemoryShare {
    /// From now on so many bytes are held, and so many gathered.
    pub fn set(&mut self, held: usize, gathered: usize) {
        move_to(&self.of.gathered, &mut self.gathered, gathered);
        if move_to(&self.of.held, &mut self.held, held) {
            self.of.freed.notify_waiters();
        }
    }

    /// Bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether more is held than anybody may always hold.
    #[must_use]
    pub fn holds_much(&self) -> bool {
        self.held > ALWAYS
    }

    /// Whether the bound is reached: what is gathered is to be handed over, and little to be read at once.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.of.used() > self.of.limit
    }

    /// Whether beginnings alone reach the bound: those that do not go on are in the others' way.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.of.held.load(Relaxed) > self.of.limit
    }

    /// Whether the beginnings of others fill the bound. One alone may always go on, so that the largest frame there is gets through.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.of.held.load(Relaxed).saturating_sub(self.held) > self.of.limit
    }

    /// Whether so many bytes more leave half of the bound free: they may be taken before they are needed.
    #[must_use]
    pub fn is_ample(&self, bytes: usize) -> bool {
        self.of.used().saturating_add(bytes) <= self.of.limit / 2
    }

    /// Waits, as long as patience lasts, until the others leave room; whether they do.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn room(&self) -> bool {
        let latest = Instant::now() + self.of.patience;
        loop {
            let freed = self.of.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if !self.is_crowded() {
                return true;
            }
            self.of.wanted.notify_waiters();
            // Somebody may have come too late to hear it: it is said several times.
            let next = latest.min(Instant::now() + self.of.patience / 4);
            if timeout_at(next, freed).await.is_err() && Instant::now() >= latest {
                return !self.is_crowded();
            }
        }
    }

    /// Waits until somebody waits for room.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wanted(&self) {
        self.of.wanted.notified().await;
    }

    /// How long it may rest in the middle of something while others wait.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.of.patience
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.set(0, 0);
    }
}

/// Changes one connection's part of a sum; whether it is less now.
fn move_to(sum: &AtomicUsize, own: &mut usize, now: usize) -> bool {
    let before = std::mem::replace(own, now);
    if now >= before {
        sum.fetch_add(now - before, Relaxed);
    } else {
        sum.fetch_sub(before - now, Relaxed);
    }
    now < before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_holds_more_than_the_others_leave_waits_until_they_give_back() {
        let memory = Arc::new(InputMemory::new(100, Duration::from_secs(1)));
        let (mut large, mut small) = (memory.share(), memory.share());
        large.set(500, 0);
        assert!(!large.is_crowded(), "one alone may go on");
        small.set(10, 5);
        assert!(small.is_crowded() && !large.is_crowded() && !small.is_ample(1));
        let start = Instant::now();
        assert!(!small.room().await);
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        let (waited, ()) = tokio::join!(small.room(), async {
            tokio::task::yield_now().await;
            drop(large);
        });
        assert!(waited);
        assert_eq!((start.elapsed(), memory.used()), (Duration::from_secs(1), 15));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_tells_the_others() {
        let memory = Arc::new(InputMemory::new(100, Duration::from_secs(1)));
        let (mut idle, other) = (memory.share(), memory.share());
        idle.set(101, 0);
        let told = async {
            idle.wanted().await;
            idle.set(0, 0);
        };
        let (_, has_room) = tokio::join!(told, other.room());
        assert!(has_room);
    }
}
