//! When to rest before the next read.
//!
//! Docker writes one record per write, and a reader that is woken for each pays six times for it. Where records come fast
//! enough that some milliseconds gather many, the reader rests, and reads them at once. The rest must be short against what the socket
//! holds (a unix socket's default is 167 small writes): a writer must never have to wait for a reader that sleeps.

use std::time::Duration;

use tokio::time::Instant;

/// The longest rest. Nobody notices it beside a flush interval of a second.
const LONGEST: Duration = Duration::from_millis(5);
/// The shortest one that is worth a timer.
const SHORTEST: Duration = Duration::from_micros(50);
/// Time enough to say something of a rate, whatever came in it.
const TELLING: Duration = Duration::from_millis(1);
/// Records that a rest may let wait in the socket, well below half of what it holds.
const RECORDS: u32 = 64;
/// Bytes that a rest may let wait in the socket.
const BYTES: u32 = 48 * 1024;
/// So much at once means that the socket was full, or nearly: the writer is waiting already, whatever the time says.
///
/// A unix socket holds at least 90 messages, or 64,800 bytes (92 of 705 bytes, each of which the kernel gives 2 KiB), and
/// lets a writer that waits go on when three quarters were read.
const FULL: (u32, u32) = (2 * RECORDS, 56 * 1024);
/// Fewer records than this are not worth a timer.
const WORTH: u32 = 4;
/// So much says something of a rate, in however short a time it came.
const MANY: (u32, u32) = (RECORDS / 2, BYTES / 2);

/// What to do before the next read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Wait until there is something to read.
    Wait,
    /// Rest, then read what has come.
    Rest(Duration),
    /// Read at once: the socket is full.
    GoOn,
}

/// Watches how fast records come.
#[derive(Debug)]
pub(crate) struct Pace {
    /// When this measurement began.
    since: Instant,
    records: u32,
    bytes: u32,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, records: 0, bytes: 0 }
    }

    /// What to do after a read that brought so much.
    ///
    /// `more` says that the read took all the room it had: the next one finds something at once. `longest` is a bound from outside: the
    /// flush interval.
    pub(crate) fn rest(
        &mut self,
        now: Instant,
        records: u64,
        bytes: usize,
        more: bool,
        longest: Duration,
    ) -> Then {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if more || records >= FULL.0 || bytes >= FULL.1 {
            // What was measured is what the socket holds, not how fast it fills.
            *self = Self::new(now);
            return Then::GoOn;
        }
        self.records = self.records.saturating_add(records);
        self.bytes = self.bytes.saturating_add(bytes);
        let took = now.saturating_duration_since(self.since);
        let is_little = self.records < MANY.0 && self.bytes < MANY.1;
        if took < SHORTEST || (took < TELLING && is_little) {
            return Then::Wait;
        }
        let measured = std::mem::replace(self, Self::new(now));
        measured.rest_at_this_rate(took, longest.min(LONGEST)).map_or(Then::Wait, Then::Rest)
    }

    fn rest_at_this_rate(&self, took: Duration, longest: Duration) -> Option<Duration> {
        let rests = longest.as_secs_f64() / took.as_secs_f64();
        let (records, bytes) = (f64::from(self.records) * rests, f64::from(self.bytes) * rests);
        if records < f64::from(WORTH) {
            return None;
        }
        let share = (f64::from(RECORDS) / records).min(f64::from(BYTES) / bytes.max(1.0)).min(1.0);
        let rest = longest.mul_f64(share);
        (rest >= SHORTEST).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLUSH: Duration = Duration::from_secs(1);

    /// The rests after reads of so many records of `size` bytes, each so many microseconds after the one before.
    fn rests(reads: &[(u64, u64)], size: usize, longest: Duration) -> Vec<Then> {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut rest_after = |(records, micros): &(u64, u64)| {
            now += Duration::from_micros(*micros);
            pace.rest(now, *records, *records as usize * size, false, longest)
        };
        reads.iter().map(&mut rest_after).collect()
    }

    fn rest(micros: u64) -> Then {
        Then::Rest(Duration::from_micros(micros))
    }

    #[test]
    fn docker_at_five_megabytes_a_second_is_read_in_fives_of_milliseconds() {
        // 14,000 records a second, first one by one, then what a rest gathered.
        let rests = rests(&[vec![(1, 71); 15], vec![(70, 5_000); 3]].concat(), 350, FLUSH);
        assert!(rests[..14].iter().all(|then| *then == Then::Wait), "{rests:?}");
        let long = Then::Rest(Duration::from_millis(4));
        assert!(
            rests[14..]
                .iter()
                .all(|then| matches!((then, long), (Then::Rest(rest), Then::Rest(long)) if *rest > long)),
            "{rests:?}"
        );
    }

    #[test]
    fn faster_ones_are_read_in_rests_of_less_than_a_millisecond() {
        // 200,000 records a second, one by one: after 32 of them the rate is known.
        let rests = rests(&[vec![(1, 5); 32], vec![(64, 320); 3]].concat(), 350, FLUSH);
        assert!(rests[..31].iter().all(|then| *then == Then::Wait), "{rests:?}");
        assert_eq!(rests[31..], [rest(320); 4]);
        // 70 MB in large ones.
        assert_eq!(self::rests(&[(4, 400)], 7_000, FLUSH), [Then::Rest(Duration::from_nanos(702_171))]);
    }

    #[test]
    fn what_fills_the_socket_is_read_without_rest() {
        assert!(rests(&[(1, 1); 2000], 350, FLUSH)[..49].iter().all(|then| *then == Then::Wait));
        assert_eq!(rests(&[(50, 30)], 350, FLUSH), [Then::Wait], "no timer is that fine");
        assert!(rests(&[(167, 150); 100], 350, FLUSH).iter().all(|then| *then == Then::GoOn));
        // A writer that finds room again after a full socket begins with a single record.
        let reads: Vec<_> = (0..100).flat_map(|_| [(167, 150), (167, 150), (1, 66)]).collect();
        let is_rest = |then: &Then| matches!(then, Then::Rest(_));
        assert!(!rests(&reads, 350, FLUSH).iter().any(is_rest));
        // The reader came late to a full socket, so the time since the last read says nothing of the rate.
        assert_eq!(rests(&[(160, 9_000)], 350, FLUSH), [Then::GoOn]);
        // What a socket holds of messages of the worst size.
        assert_eq!(rests(&[(92, 5_000)], 705, FLUSH), [Then::GoOn]);
    }

    #[test]
    fn who_waits_for_a_full_socket_is_read_without_rest() {
        // The reader slept, the socket has filled, and the first reads take a part of it each.
        let (mut now, mut pace) = (Instant::now(), Pace::new(Instant::now()));
        for _ in 0..10 {
            now += Duration::from_millis(5);
            assert_eq!(pace.rest(now, 11, 46_000, true, FLUSH), Then::GoOn, "more is there");
        }
    }

    #[test]
    fn a_trickle_is_read_as_it_comes() {
        assert!(rests(&[(1, 10_000); 10], 350, FLUSH).iter().all(|then| *then == Then::Wait));
        assert_eq!(rests(&[(3, 5_000_000)], 350, FLUSH), [Then::Wait]);
    }

    #[test]
    fn a_rest_is_never_longer_than_the_flush_interval() {
        assert_eq!(rests(&[(30, 1_500)], 100, Duration::from_millis(2)), [rest(2_000)]);
        assert_eq!(rests(&[(30, 1_500)], 100, Duration::from_micros(500)), [rest(500)]);
        assert_eq!(rests(&[(30, 1_500)], 100, Duration::from_micros(20)), [Then::Wait]);
    }

    proptest! {
        #[test]
        fn what_gathers_in_a_rest_fits_the_socket(records in 1u64..5000, size in 20usize..5000, took in 1u64..100_000) {
            if let [Then::Rest(rest)] = rests(&[(records, took)], size, FLUSH)[..] {
                let gathered = records as f64 / took as f64 * rest.as_nanos() as f64 / 1e3;
                prop_assert!(gathered <= 65.0, "{gathered}");
                prop_assert!(gathered * size as f64 <= 49_500.0);
            }
        }
    }
}
