//! `throttle`: lets a number of records pass in each interval, averaged over a sliding window; the rest is dropped, and counted by the
//! engine as this filter's.
//!
//! The window is a ring of slots, one for each interval. A record passes while the records in the ring, divided by the number of slots,
//! are below the rate. The clock is read once a chunk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::{OptionValue, Options, PropertyBag, Spanned, ValueError};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{BoxFuture, EntryContext, Filter, Verdict};
use ikada_record::Fields;
use tokio::time::Instant;

/// Lets only so many records pass in each interval and drops the rest, whatever their tag.
///
/// So that bursts pass, the rate is an average over a window of several intervals: up to `rate` times `window` records pass at once.
#[derive(Debug, Options)]
#[options(filter = "throttle")]
pub struct ThrottleOptions {
    /// Records that pass in an interval, on average. Anything up to 1 counts as 1.
    #[option(default = "1", example = "1000")]
    pub rate: Spanned<f64>,
    /// Intervals that the average is taken over. Anything up to 1 counts as 5.
    #[option(default = "5", example = "300")]
    pub window: Spanned<u32>,
    /// Length of an interval: a number of seconds, or with `s`, `m`, `h` or `d` behind it.
    #[option(default = "1", example = "30s")]
    pub interval: Interval,
    /// Logs the state once an interval.
    #[option(default = "false")]
    pub print_status: bool,
}

/// A span of time above zero, in seconds or with a unit behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval(pub Duration);

impl OptionValue for Interval {
    const KIND: &'static str = "time";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let (number, unit) = match text.char_indices().last() {
            Some((at, unit)) if unit.is_ascii_alphabetic() => (&text[..at], unit),
            _ => (text, 's'),
        };
        let factor = match unit {
            's' => 1.0,
            'm' => 60.0,
            'h' => 3600.0,
            'd' => 86_400.0,
            _ => {
                return Err(
                    ValueError::new("has no unit of time").help("type a number with `s`, `m`, `h` or `d`")
                );
            }
        };
        let seconds = number.parse::<f64>().ok().filter(|seconds| (1e-3..1e6).contains(seconds));
        let seconds = seconds
            .ok_or_else(|| ValueError::new("is no time above zero").help("type a number such as `30s`"))?;
        Ok(Self(Duration::from_secs_f64(seconds * factor)))
    }
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct Throttle {
    window: Arc<Mutex<Window>>,
    status: Option<Status>,
}

/// What the status line says of the options.
#[derive(Debug, Clone, Copy)]
struct Status {
    rate: f64,
    interval: Duration,
    slots: usize,
}

/// The records that passed, by interval.
#[derive(Debug)]
struct Window {
    rate: f64,
    interval: Duration,
    slots: Box<[u64]>,
    now: usize,
    /// Sum of all slots.
    total: u64,
    /// When the slot that is filled now began; the first record starts the clock.
    began: Option<Instant>,
    dropped: u64,
}

/// Slots a window may have: it is looked through never, but held always.
const MOST_SLOTS: u32 = 1_000_000;

impl Throttle {
    /// Checks the options.
    pub fn build(options: &ThrottleOptions, found: &mut Diagnostics) -> Option<Self> {
        let (rate, window) = (*options.rate, *options.window);
        if rate < 1.0 || !rate.is_finite() {
            let message = format!("a rate of {rate} counts as 1");
            let help = "for less than one record an interval make the interval longer";
            found.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(options.rate.span).help(help));
        }
        if window <= 1 {
            let message = format!("a window of {window} counts as 5");
            let help = "type at least 2";
            found
                .push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(options.window.span).help(help));
        }
        if window > MOST_SLOTS {
            let message = format!("a window of {window} intervals is too long");
            let help = format!("type at most {MOST_SLOTS}, and make the interval longer");
            found.push(Diagnostic::error(codes::BAD_VALUE, message).at(options.window.span).help(help));
            return None;
        }
        let rate = if rate > 1.0 { rate } else { 1.0 };
        let slots = if window > 1 { window as usize } else { 5 };
        let interval = options.interval.0;
        let status = options.print_status.then_some(Status { rate, interval, slots });
        Some(Self { window: Arc::new(Mutex::new(Window::new(rate, slots, interval))), status })
    }
}

impl Filter for Throttle {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, _fields: &mut Fields<'a>) -> Verdict {
        let mut window = locked(&self.window);
        if cx.position == 0 {
            window.move_to(Instant::now());
        }
        if window.take() { Verdict::Keep } else { Verdict::Drop }
    }

    fn background(&self) -> Option<BoxFuture<'static, ()>> {
        let status = self.status?;
        Some(Box::pin(say(status, Arc::clone(&self.window))))
    }
}

/// Logs the state once an interval.
async fn say(status: Status, window: Arc<Mutex<Window>>) {
    let mut ticks = tokio::time::interval(status.interval);
    loop {
        let now = ticks.tick().await;
        let (passed, dropped) = {
            let mut window = locked(&window);
            window.move_to(now);
            (window.total, window.dropped)
        };
        tracing::info!(
            rate = status.rate,
            interval = ?status.interval,
            window = status.slots,
            current = passed / status.slots as u64,
            dropped,
            "filter throttle"
        );
    }
}

/// Numbers that are whole whatever happened to another thread.
fn locked(window: &Mutex<Window>) -> MutexGuard<'_, Window> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Window {
    fn new(rate: f64, slots: usize, interval: Duration) -> Self {
        Self { rate, interval, slots: vec![0; slots].into(), now: 0, total: 0, began: None, dropped: 0 }
    }

    /// Empties the slots of the intervals that have gone by.
    fn move_to(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        let gone = now.saturating_duration_since(began).as_nanos() / self.interval.as_nanos().max(1);
        if gone == 0 {
            return;
        }
        let steps = u32::try_from(gone).unwrap_or(u32::MAX);
        self.began = Some(began + self.interval.saturating_mul(steps));
        if steps as usize >= self.slots.len() {
            self.slots.fill(0);
            self.total = 0;
            return;
        }
        for _ in 0..steps {
            self.now = (self.now + 1) % self.slots.len();
            self.total -= std::mem::take(&mut self.slots[self.now]);
        }
    }

    /// Whether one more record passes.
    fn take(&mut self) -> bool {
        if self.total as f64 / self.slots.len() as f64 >= self.rate {
            self.dropped += 1;
            return false;
        }
        self.slots[self.now] += 1;
        self.total += 1;
        true
    }
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "throttle", aliases: &[], options: ThrottleOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let options = ThrottleOptions::parse(bag, found)?;
    Some(Box::new(Throttle::build(&options, found)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides_by_whole_intervals() {
        let start = Instant::now();
        let mut window = Window::new(2.0, 3, Duration::from_secs(10));
        let mut passed_at = |secs: u64| {
            window.move_to(start + Duration::from_secs(secs));
            (0..10).filter(|_| window.take()).count()
        };
        assert_eq!(passed_at(0), 6, "rate times window at once");
        assert_eq!(passed_at(9), 0);
        assert_eq!(passed_at(29), 0, "the full slot is still in the window");
        assert_eq!(passed_at(30), 6);
        assert_eq!(passed_at(1_000_000), 6);
    }

    #[test]
    fn intervals_have_a_unit() {
        let seconds = |text| Interval::parse_value(text).map(|interval| interval.0.as_secs_f64()).ok();
        assert_eq!((seconds("30s"), seconds("1"), seconds("1.5m")), (Some(30.0), Some(1.0), Some(90.0)));
        assert_eq!((seconds("0"), seconds("s"), seconds("5w"), seconds("")), (None, None, None, None));
    }
}
