//! Rests of less than a millisecond.
//!
//! The runtime's timers tick in milliseconds. A peer that writes some hundred records within one needs a finer clock: the kernel's, as a file that becomes
//! readable (timerfd_create(2)). All connections of an input share a few of them, because only those of a flood ever need one.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// Timers that are kept for the next one.
const KEPT: usize = 16;

/// The timers of an input that nobody rests with.
#[derive(Debug, Default)]
pub(crate) struct FineTimers(Mutex<Vec<FineTimer>>);

impl FineTimers {
    /// Rests. Returns whether it did: where the system gives no timer, there is no rest.
    ///
    /// # Cancel safety
    /// Cancel safe; the timer is then closed.
    pub(crate) async fn rest(&self, rest: Duration) -> bool {
        let spare = self.list().pop();
        let Some(mut timer) = spare.or_else(|| FineTimer::new().ok()) else { return false };
        if timer.rest(rest).await.is_err() {
            return false;
        }
        let mut list = self.list();
        if list.len() < KEPT {
            list.push(timer);
        }
        true
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<FineTimer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The runtime watches it as it watches a pipe: when it has ended, it can be read.
#[derive(Debug)]
struct FineTimer(pipe::Receiver);

impl FineTimer {
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self(pipe::Receiver::from_owned_fd_unchecked(fd)?))
    }

    async fn rest(&mut self, rest: Duration) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let seconds = i64::try_from(rest.as_secs()).unwrap_or(i64::MAX);
        // Zero would mean never.
        let nanoseconds = i64::from(rest.subsec_nanos().max(1));
        let once =
            Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: seconds, tv_nsec: nanoseconds } };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        // Eight bytes say how often it has ended. There is room for more, so that the runtime knows that nothing is left.
        let mut times = [0; 16];
        match self.0.read(&mut times).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_timer_rests_again_and_again_and_is_kept() {
        let timers = FineTimers::default();
        for _ in 0..3 {
            let start = Instant::now();
            assert!(timers.rest(Duration::from_micros(200)).await);
            assert!(start.elapsed() >= Duration::from_micros(200));
        }
        assert_eq!(timers.list().len(), 1);
    }
}
