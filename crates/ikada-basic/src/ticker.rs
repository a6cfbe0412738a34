//! Inputs that look at something again and again.

use ikada_options::Options;
use ikada_plugin::{Gatherer, InputContext, OnFull};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::hand_over;
use crate::net::Adder;

/// How often.
#[derive(Debug, Clone, Options)]
#[options(common = "interval")]
pub struct Interval {
    /// Seconds between two looks.
    #[option(default = "1")]
    pub interval_sec: u32,
    /// Nanoseconds added to `Interval_Sec`.
    #[option(default = "0")]
    pub interval_nsec: u32,
}

impl Interval {
    /// The time between two looks, never zero.
    pub(crate) fn every(&self) -> Duration {
        let every = Duration::new(u64::from(self.interval_sec), self.interval_nsec);
        if every.is_zero() { Duration::from_secs(1) } else { every.max(Duration::from_millis(1)) }
    }
}

/// Looks at each tick, the first one after one interval, and hands over what comes of it, until the input stops.
pub(crate) async fn run(cx: &InputContext, every: Duration, mut look: impl FnMut(&mut Adder<'_>)) {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut gatherer = Gatherer::new(cx.flush);
    loop {
        let due = gatherer.due();
        tokio::select! {
            biased;
            () = cx.stop.cancelled() => break,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                hand_over::all(cx, &mut gatherer, OnFull::Pace).await;
            }
            _ = ticks.tick() => {
                look(&mut Adder::new(cx, &mut gatherer));
                hand_over::full(cx, &mut gatherer, OnFull::Pace).await;
            }
        }
    }
    hand_over::all(cx, &mut gatherer, OnFull::Pace).await;
}
