//! When a destination, or one lane of it, may be asked again. Pure: time comes in.
//!
//! What fails in one lane, as a stream that is forbidden or throttled, delays that lane. Only when several lanes fail and nothing
//! succeeds in between, it is the destination that fails: then all lanes wait, until one of them gets through. Batches without a lane speak for the whole
//! destination at once.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Lanes in trouble that are remembered. Beyond it those that may be asked again are forgotten.
const LANES: usize = 1024;

/// Longest wait of a destination that answers, and has refused several lanes: behind them there may be one that it takes from.
const ANSWERS: Duration = Duration::from_millis(250);

/// How often something failed in a row, and when it may be asked again.
#[derive(Debug, Clone, Copy)]
struct Track {
    failures: u32,
    not_before: Instant,
    failed_at: Option<Instant>,
    /// Since when it fails.
    since: Instant,
    /// Whether the last failure was a refusal.
    refused: bool,
}

/// The lanes that failed since the last success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streak {
    Nobody,
    One(u64),
    Several,
}

/// The back-off of one destination.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    whole: Track,
    lanes: HashMap<u64, Track>,
    streak: Streak,
    succeeded_at: Option<Instant>,
}

/// A failed attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) lane: Option<u64>,
    /// When the attempt began.
    pub(crate) started: Instant,
    /// How long the destination asks to wait.
    pub(crate) after: Option<Duration>,
    /// Whether the destination answered, and refused this lane.
    pub(crate) refused: bool,
    /// How long to wait at most, whatever is asked.
    pub(crate) most: Duration,
    /// From 0.5 to 1: batches that failed together must not come back together.
    pub(crate) jitter: f64,
}

impl Track {
    fn new(now: Instant) -> Self {
        Self { failures: 0, not_before: now, failed_at: None, since: now, refused: false }
    }

    /// Attempts that were already under way when the last failure came in say nothing new.
    fn failed(&mut self, now: Instant, failure: &Failure, (base, cap): (Duration, Duration)) -> Duration {
        if self.failed_at.is_none_or(|failed| failure.started >= failed) {
            if self.failures == 0 {
                self.since = now;
            }
            self.failures = self.failures.saturating_add(1);
            self.failed_at = Some(now);
            self.refused = failure.refused;
        }
        let exponent = self.failures.saturating_sub(1).min(16);
        let ceiling = base.saturating_mul(1 << exponent).min(cap);
        let delay = ceiling.mul_f64(failure.jitter).max(failure.after.unwrap_or_default()).min(failure.most);
        self.not_before = self.not_before.max(now + delay);
        delay
    }
}

impl Backoff {
    /// Nothing has failed yet. The first wait is `base`; it doubles with each failure up to `cap`.
    pub(crate) fn new(base: Duration, cap: Duration, now: Instant) -> Self {
        Self {
            base,
            cap,
            whole: Track::new(now),
            lanes: HashMap::new(),
            streak: Streak::Nobody,
            succeeded_at: None,
        }
    }

    /// The first wait.
    pub(crate) fn base(&self) -> Duration {
        self.base
    }

    /// When a batch of this lane may be tried.
    pub(crate) fn open_at(&self, lane: Option<u64>) -> Instant {
        let own = lane.and_then(|lane| self.lanes.get(&lane)).map(|track| track.not_before);
        own.map_or(self.whole.not_before, |own| own.max(self.whole.not_before))
    }

    /// Books an attempt of which nothing was taken; returns how long its lane now waits.
    pub(crate) fn failed(&mut self, failure: Failure, now: Instant) -> Duration {
        let bounds = (self.base, self.cap);
        let Some(lane) = failure.lane else { return self.whole.failed(now, &failure, bounds) };
        if self.lanes.len() >= LANES {
            self.lanes.retain(|_, track| track.not_before > now);
        }
        let delay = self.lanes.entry(lane).or_insert_with(|| Track::new(now)).failed(now, &failure, bounds);
        self.streak = match self.streak {
            Streak::Nobody => Streak::One(lane),
            Streak::One(first) if first == lane => Streak::One(lane),
            _ => Streak::Several,
        };
        if self.streak == Streak::Several {
            // What one lane is asked to wait says nothing about the others.
            let (base, cap) = bounds;
            let bounds = if failure.refused { (base.min(ANSWERS), cap.min(ANSWERS)) } else { bounds };
            self.whole.failed(now, &Failure { after: None, ..failure }, bounds);
        }
        delay
    }

    /// Books an attempt of which something was taken, or to which the destination had a last word.
    pub(crate) fn succeeded(&mut self, lane: Option<u64>, now: Instant) {
        if self.all_fail() {
            // The destination is back: what waited for it, and not for a person, need not wait on.
            for track in self.lanes.values_mut().filter(|track| !track.refused) {
                track.not_before = track.not_before.min(now);
            }
        }
        self.whole = Track::new(now);
        self.streak = Streak::Nobody;
        self.succeeded_at = Some(now);
        if let Some(lane) = lane {
            self.lanes.remove(&lane);
        }
    }

    /// The router stops: nobody waits beyond this any more.
    pub(crate) fn drain(&mut self, soon: Instant) {
        for track in self.lanes.values_mut().chain([&mut self.whole]) {
            track.not_before = track.not_before.min(soon);
        }
    }

    /// Whether the destination as a whole fails, as far as can be told: it may be that only lanes were tried that fail by themselves. One that
    /// answers and refuses does not.
    pub(crate) fn is_down(&self) -> bool {
        self.all_fail() && !self.whole.refused
    }

    /// Whether several lanes have failed, or the destination at once, and nobody has got through since.
    pub(crate) fn all_fail(&self) -> bool {
        self.whole.failures > 0
    }

    /// Whether any lane has failed since it last got through.
    pub(crate) fn any_fails(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// Whether this lane has failed since it last got through, whatever the others do.
    pub(crate) fn is_failing(&self, lane: u64) -> bool {
        self.lanes.contains_key(&lane)
    }

    /// Whether this lane has been in trouble for `patience`, and others got through meanwhile: what it holds is in their way.
    pub(crate) fn is_in_the_way(&self, lane: Option<u64>, patience: Duration, now: Instant) -> bool {
        let since = lane.and_then(|lane| self.lanes.get(&lane)).map(|track| track.since);
        let others = |since| now >= since + patience && self.succeeded_at.is_some_and(|at| at >= since);
        !self.is_down() && since.is_some_and(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(30);

    fn failure(lane: u64, started: Instant) -> Failure {
        Failure { lane: Some(lane), started, after: None, refused: false, most: Duration::MAX, jitter: 1.0 }
    }

    #[test]
    fn a_lane_that_fails_alone_waits_alone() {
        let now = Instant::now();
        let mut backoff = Backoff::new(BASE, CAP, now);
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(
            backoff.failed(Failure { after: hour, ..failure(1, now) }, now),
            Duration::from_secs(3600)
        );
        assert_eq!(backoff.open_at(Some(1)), now + Duration::from_secs(3600));
        assert_eq!((backoff.open_at(Some(2)), backoff.open_at(None)), (now, now));
        assert!(backoff.is_failing(1) && !backoff.is_failing(2) && !backoff.is_down());
        backoff.succeeded(Some(2), now);
        assert_eq!(backoff.open_at(Some(1)), now + Duration::from_secs(3600), "it is its own trouble");
    }

    #[test]
    fn a_destination_that_refuses_one_lane_after_the_other_is_asked_for_the_next_one_soon() {
        let mut now = Instant::now();
        let mut backoff = Backoff::new(Duration::from_secs(5), CAP, now);
        for lane in 0..100 {
            let after = Some(Duration::from_secs(30));
            backoff.failed(Failure { after, refused: true, ..failure(lane, now) }, now);
            assert_eq!(backoff.open_at(Some(lane)), now + Duration::from_secs(30));
            assert!(backoff.open_at(Some(1000)) <= now + ANSWERS, "{lane}");
            now = backoff.open_at(Some(1000));
        }
        backoff.failed(failure(100, now), now);
        assert!(backoff.open_at(Some(1000)) > now + Duration::from_secs(5), "it did not answer");
    }

    #[test]
    fn several_lanes_that_fail_with_no_success_between_hold_all_of_them_back() {
        let now = Instant::now();
        let mut backoff = Backoff::new(BASE, CAP, now);
        backoff.failed(failure(1, now), now);
        assert_eq!(backoff.open_at(Some(3)), now);
        backoff.failed(failure(2, now), now);
        assert_eq!(backoff.open_at(Some(3)), now + BASE);
        assert!(backoff.is_down(), "the destination, not only the lanes");
        let later = now + Duration::from_secs(1);
        let long = Some(Duration::from_secs(60));
        backoff.failed(Failure { after: long, ..failure(1, later) }, later);
        assert_eq!(backoff.open_at(Some(3)), later + 2 * BASE);
        backoff.succeeded(Some(3), later);
        let open = [Some(1), Some(2), Some(3), None].map(|lane| backoff.open_at(lane) <= later);
        assert_eq!(open, [true; 4], "all are let go when one gets through");
    }

    #[test]
    fn two_forbidden_lanes_beside_one_that_works_never_take_the_destination_for_dead_for_long() {
        let start = Instant::now();
        let mut backoff = Backoff::new(BASE, CAP, start);
        for round in 0..100 {
            let now = start + Duration::from_secs(round);
            backoff.failed(failure(1, now), now);
            backoff.failed(failure(2, now), now);
            assert!(backoff.open_at(Some(3)) <= now + BASE, "round {round}");
            backoff.succeeded(Some(3), now + BASE);
        }
    }

    #[test]
    fn a_batch_without_a_lane_speaks_for_the_destination() {
        let now = Instant::now();
        let mut backoff = Backoff::new(BASE, CAP, now);
        backoff.failed(Failure { lane: None, ..failure(0, now) }, now);
        assert_eq!((backoff.open_at(Some(1)), backoff.open_at(None)), (now + BASE, now + BASE));
        backoff.succeeded(None, now);
        assert_eq!(backoff.open_at(None), now);
    }

    #[test]
    fn a_lane_is_in_the_way_once_others_got_through_and_patience_is_over() {
        let (now, patience) = (Instant::now(), Duration::from_secs(1));
        let mut backoff = Backoff::new(BASE, CAP, now);
        let later = now + patience;
        backoff.failed(failure(1, now), now);
        assert!(!backoff.is_in_the_way(Some(1), patience, later), "nobody else has come");
        backoff.succeeded(Some(2), now);
        assert!(!backoff.is_in_the_way(Some(1), patience, now));
        backoff.failed(failure(1, later), later);
        assert!(backoff.is_in_the_way(Some(1), patience, later));
        assert!(!backoff.is_in_the_way(Some(2), patience, later));
        backoff.failed(failure(2, later), later);
        assert!(!backoff.is_in_the_way(Some(1), patience, later), "the destination is down");
    }

    #[test]
    fn lanes_in_trouble_are_bounded() {
        let start = Instant::now();
        let mut backoff = Backoff::new(BASE, CAP, start);
        for lane in 0..10 * LANES as u64 {
            let now = start + Duration::from_secs(lane);
            backoff.failed(failure(lane, now), now);
            backoff.succeeded(None, now);
        }
        assert!(backoff.lanes.len() <= LANES + 1, "{}", backoff.lanes.len());
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let start = Instant::now();
        let mut backoff = Backoff::new(BASE, CAP, start);
        let mut now = start;
        let waits: Vec<_> = (0..12)
            .map(|_| {
                let wait = backoff.failed(failure(1, now), now);
                now += wait;
                wait
            })
            .collect();
        assert_eq!(waits[..3], [BASE, 2 * BASE, 4 * BASE]);
        assert_eq!(waits[11], CAP);
        backoff.drain(start);
        assert_eq!(backoff.open_at(Some(1)), start);
    }
}
