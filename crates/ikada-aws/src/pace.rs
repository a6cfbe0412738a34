//! How fast a destination lets itself be written to: found out by asking more, and less when it says so.
//!
//! Until a destination throttles, nothing is held back. The first time it does, the rate it has just taken is what it is asked
//! for from then on: a little more every second, and a tenth less each time it throttles. All that write to one destination share
//! one [`Pace`], so that its quota is used by all of them together, and no call is made that is bound to fail.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// What is left of the rate when it was too high.
const CUT: f64 = 0.93;
/// By how much the rate grows in a second.
const GROWTH: f64 = 0.015;
/// By how much once it has not been too high for [`CALM`].
const FAST_GROWTH: f64 = 0.1;
const CALM: Duration = Duration::from_secs(20);
/// After so long without being too high the rate is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(300);
/// Answers to what was sent before a cut must not cut again.
const CUTS_APART: Duration = Duration::from_millis(700);
/// Time over which it is measured what was taken.
const WINDOW: Duration = Duration::from_secs(1);
/// No more than so many seconds' worth is sent at once.
const BURST: f64 = 0.05;

/// A destination that still throttles so many of the calls after so many cuts in a row does not do it for their rate.
const STUBBORN_SHARE: f64 = 0.3;
const STUBBORN_CUTS: u32 = 3;
/// Answers that are looked at between two cuts, at least.
const ANSWERS: u32 = 4;
/// For so long throttling is then taken for chance, and what was refused is simply sent again.
const DEAF: Duration = Duration::from_secs(10);

/// The rate for one destination.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The lowest rate, in units per second.
    floor: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Units per second; none while the destination has never throttled.
    rate: Option<f64>,
    /// Units that may go now; below zero what has been promised ahead.
    level: f64,
    at: Instant,
    last_cut: Instant,
    /// When the rate grew last.
    grown: Instant,
    /// When measuring began, and what was taken since.
    since: Instant,
    taken: f64,
    /// What was taken per second in the window before.
    measured: Option<f64>,
    /// Answers since the last cut that took something, and that throttled.
    answers: (u32, u32),
    /// Cuts in a row that changed nothing.
    in_vain: u32,
    deaf_until: Option<Instant>,
}

static ALL: LazyLock<Mutex<HashMap<String, Weak<Pace>>>> = LazyLock::new(Mutex::default);

impl Pace {
    /// The pace for a destination: the same one for all who ask while anyone holds it.
    pub(crate) fn shared(destination: String, floor: f64) -> Arc<Self> {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, pace| pace.strong_count() > 0);
        if let Some(pace) = all.get(&destination).and_then(Weak::upgrade) {
            return pace;
        }
        let pace = Arc::new(Self::new(floor));
        all.insert(destination, Arc::downgrade(&pace));
        pace
    }

    pub(crate) fn new(floor: f64) -> Self {
        let now = Instant::now();
        let state = State {
            rate: None,
            level: 0.0,
            at: now,
            last_cut: now,
            grown: now,
            since: now,
            taken: 0.0,
            measured: None,
            answers: (0, 0),
            in_vain: 0,
            deaf_until: None,
        };
        Self { floor, state: Mutex::new(state) }
    }

    /// Waits for the turn of so many units.
    ///
    /// # Cancel safety
    /// The turn of a caller that goes away is not given to another.
    pub(crate) async fn turn(&self, units: f64) {
        let wait = self.lock().take(units, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// So many units were taken.
    pub(crate) fn taken(&self, units: f64) {
        let now = Instant::now();
        let mut state = self.lock();
        state.taken += units;
        state.answers.0 += 1;
        state.measure(now);
        state.grow(now);
    }

    /// The destination wants less.
    pub(crate) fn throttled(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        state.answers.1 += 1;
        state.cut(self.floor, now);
    }

    /// Units per second, once the destination has throttled.
    #[cfg(test)]
    fn rate(&self) -> Option<f64> {
        self.lock().rate
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes units from what there is, or from what there will be; says when that is.
    fn take(&mut self, units: f64, now: Instant) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        self.at = now;
        self.level = (self.level + gained).min((rate * BURST).max(1.0));
        self.level -= units;
        if self.level >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.level / rate) }
    }

    fn measure(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.since);
        if time >= WINDOW {
            self.measured = Some(self.taken / time.as_secs_f64());
            (self.since, self.taken) = (now, 0.0);
        }
    }

    fn grow(&mut self, now: Instant) {
        let Some(rate) = self.rate else { return };
        let calm = now.saturating_duration_since(self.last_cut);
        if calm >= FORGOTTEN {
            self.rate = None;
            return;
        }
        let growth = if calm >= CALM { FAST_GROWTH } else { GROWTH };
        let passed = now.saturating_duration_since(self.grown).as_secs_f64().min(1.0);
        self.grown = now;
        self.take(0.0, now);
        self.rate = Some(rate * (1.0 + growth * passed));
    }

    /// Whether cuts do not help: then the rate is given up for a while.
    fn is_in_vain(&mut self, now: Instant) -> bool {
        let (took, refused) = self.answers;
        if self.rate.is_none() || took + refused < ANSWERS {
            self.answers = if self.rate.is_none() { (0, 0) } else { self.answers };
            return false;
        }
        self.answers = (0, 0);
        let share = f64::from(refused) / f64::from(took + refused);
        self.in_vain = if share >= STUBBORN_SHARE { self.in_vain + 1 } else { 0 };
        if self.in_vain < STUBBORN_CUTS {
            return false;
        }
        (self.in_vain, self.rate, self.deaf_until) = (0, None, Some(now + DEAF));
        true
    }

    fn cut(&mut self, floor: f64, now: Instant) {
        if self.rate.is_some() && now.saturating_duration_since(self.last_cut) < CUTS_APART {
            return;
        }
        if self.deaf_until.is_some_and(|until| now < until) || self.is_in_vain(now) {
            return;
        }
        let time = now.saturating_duration_since(self.since).as_secs_f64();
        let so_far = if time >= 0.25 { Some(self.taken / time) } else { self.measured };
        self.take(0.0, now);
        let rate = match (self.rate, so_far) {
            (Some(rate), Some(taken)) => (rate * CUT).min(taken.max(rate / 2.0)),
            (Some(rate), None) => rate * CUT,
            (None, taken) => taken.unwrap_or_default().max(self.taken),
        };
        if self.rate.is_none() {
            (self.level, self.at) = (0.0, now);
        }
        self.rate = Some(rate.max(floor));
        (self.last_cut, self.grown) = (now, now);
        (self.since, self.taken, self.measured) = (now, 0.0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn throttling_by_chance_does_not_slow_down_for_long() {
        let pace = Pace::new(1000.0);
        let start = Instant::now();
        let mut sent = 0.0;
        for call in 0u32.. {
            if sent >= 100_000.0 {
                break;
            }
            pace.turn(500.0).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            if call % 2 == 0 {
                pace.throttled();
            } else {
                pace.taken(500.0);
                sent += 500.0;
            }
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }

    /// A destination that takes so many units a second, with one second's worth in hand.
    struct Quota {
        rate: f64,
        level: f64,
        at: Instant,
    }

    impl Quota {
        fn new(rate: f64) -> Self {
            Self { rate, level: rate, at: Instant::now() }
        }

        fn takes(&mut self, units: f64) -> bool {
            let now = Instant::now();
            self.level = (self.level + (now - self.at).as_secs_f64() * self.rate).min(self.rate);
            self.at = now;
            let takes = self.level >= units;
            self.level -= if takes { units } else { 0.0 };
            takes
        }
    }

    /// Sends from several senders for so many seconds; what was asked and taken per second in the second half.
    async fn run(quota: f64, seconds: u64, senders: usize) -> (f64, f64, Option<f64>) {
        let pace = Arc::new(Pace::new(1.0));
        let quota = Arc::new(Mutex::new(Quota::new(quota)));
        let counts = Arc::new(Mutex::new((0u32, 0u32)));
        let start = Instant::now();
        let half = Duration::from_secs(seconds / 2);
        let mut tasks = Vec::new();
        for _ in 0..senders {
            let (pace, quota, counts) = (pace.clone(), quota.clone(), counts.clone());
            tasks.push(tokio::spawn(async move {
                while start.elapsed() < 2 * half {
                    pace.turn(1.0).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    let takes = quota.lock().unwrap().takes(1.0);
                    if start.elapsed() > half {
                        counts.lock().unwrap().0 += 1;
                        counts.lock().unwrap().1 += u32::from(takes);
                    }
                    if takes { pace.taken(1.0) } else { pace.throttled() }
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let (asked, taken) = *counts.lock().unwrap();
        (f64::from(asked) / half.as_secs_f64(), f64::from(taken) / half.as_secs_f64(), pace.rate())
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_settles_within_a_tenth_of_the_quota() {
        for quota in [10.0, 50.0, 400.0] {
            let (asked, taken, _) = run(quota, 60, 8).await;
            assert!((0.9..=1.1).contains(&(asked / quota)), "{asked} asked of {quota}");
            assert!(taken / quota > 0.9, "{taken} taken of {quota}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_held_back_where_nothing_throttles() {
        let (asked, taken, rate) = run(1e9, 4, 4).await;
        assert_eq!((asked, rate), (taken, None));
        assert!(asked > 700.0, "{asked}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_destination_that_never_throttles_again_is_asked_for_all() {
        let pace = Pace::new(1.0);
        pace.throttled();
        assert_eq!(pace.rate(), Some(1.0));
        for _ in 0..400 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            pace.taken(1.0);
        }
        assert_eq!(pace.rate(), None);
    }
}
