//! The time that requests are signed with.
//!
//! Services refuse a signature whose time is more than five minutes off theirs (S3: fifteen). A machine whose clock is wrong must not
//! lose its logs for it: what a refusal says the time is ([`SigningClock::follow`]) is what is signed from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;

/// No service refuses a request for being off by less.
const TOLERATED: Duration = Duration::from_secs(4 * 60);

/// The machine's clock, put right by what services say.
#[derive(Debug, Clone, Default)]
pub(crate) struct SigningClock(Arc<AtomicI64>);

impl SigningClock {
    /// Milliseconds that are added to the machine's time.
    pub(crate) fn shift(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes the time at which a service refused a request, where it is far from ours.
    pub(crate) fn follow(&self, server: SystemTime) {
        let off = server.duration_since(self.now()).unwrap_or_else(|error| error.duration());
        if off < TOLERATED {
            return;
        }
        let shift = millis(server) - millis(SystemTime::now());
        self.0.store(shift, Ordering::Relaxed);
        let seconds = shift as f64 / 1000.0;
        tracing::warn!(seconds, "this machine's clock is off; requests are signed with the services' time");
    }
}

impl TimeSource for SigningClock {
    fn now(&self) -> SystemTime {
        let (now, shift) = (SystemTime::now(), self.shift());
        let by = Duration::from_millis(shift.unsigned_abs());
        if shift < 0 { now.checked_sub(by) } else { now.checked_add(by) }.unwrap_or(now)
    }
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_far_off_is_put_right_and_back_again() {
        let (clock, minute) = (SigningClock::default(), Duration::from_secs(60));
        clock.follow(SystemTime::now() + 3 * minute);
        assert_eq!(clock.shift(), 0, "that is tolerated");
        for server in [SystemTime::now() - 25 * minute, SystemTime::now() + 25 * minute, SystemTime::now()] {
            clock.follow(server);
            let now = clock.now();
            let off = now.duration_since(server).unwrap_or_else(|error| error.duration());
            assert!(off < minute, "{off:?}");
        }
    }
}
