//! How far the machine's clock is off, as services tell it.
//!
//! They refuse a signature whose time is more than five minutes off theirs (S3: fifteen), and the SDK signs with their time from then on,
//! as a [`Draft`](super::draft) does. A machine whose clock is wrong must not be held up for it: a call that was refused is worth repeating at once where this was news.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// No service refuses a request for being off by less.
const TOLERATED: Duration = Duration::from_secs(4 * 60);

/// What the services' clocks are ahead of the machine's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Skew(Arc<AtomicI64>);

impl Skew {
    /// In milliseconds.
    pub(crate) fn millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// What a service's clock shows at a time of the machine's.
    pub(crate) fn apply(&self, time: SystemTime) -> SystemTime {
        let (skew, by) = (self.millis(), Duration::from_millis(self.millis().unsigned_abs()));
        if skew < 0 { time.checked_sub(by) } else { time.checked_add(by) }.unwrap_or(time)
    }

    /// Takes the time at which a service refused a request, where it is far from what was known.
    pub(crate) fn follow(&self, server: SystemTime) {
        let found = millis(server) - millis(SystemTime::now());
        if u128::from(found.abs_diff(self.millis())) < TOLERATED.as_millis() {
            return;
        }
        self.0.store(found, Ordering::Relaxed);
        let seconds = found / 1000;
        tracing::warn!(seconds, "this machine's clock is off; requests are signed with the services' time");
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
    fn a_clock_far_off_is_news_and_once_only() {
        let (skew, minute) = (Skew::default(), Duration::from_secs(60));
        skew.follow(SystemTime::now() + 3 * minute);
        assert_eq!(skew.millis(), 0, "that is tolerated");
        skew.follow(SystemTime::now() - 25 * minute);
        let known = skew.millis();
        assert!(known < -24 * 60_000);
        let now = SystemTime::now();
        assert_eq!(
            now.duration_since(skew.apply(now)).unwrap().as_millis(),
            u128::from(known.unsigned_abs())
        );
        skew.follow(SystemTime::now() - 26 * minute);
        assert_eq!(skew.millis(), known);
        skew.follow(SystemTime::now());
        assert!(skew.millis().abs() < 60_000);
    }
}
