//! The time of an entry.

use ikada_msgpack::{View, write};

/// Seconds and nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    secs: i64,
    nanos: u32,
}

/// The last second that EventTime has for a time: the two behind it are marks (`FLB_LOG_EVENT_GROUP_END` and `_START`).
const LAST: i64 = u32::MAX as i64 - 2;

impl Timestamp {
    /// A time; nanoseconds of a second or more carry over.
    #[must_use]
    pub fn new(secs: i64, nanos: u32) -> Self {
        Self { secs: secs.saturating_add(i64::from(nanos / 1_000_000_000)), nanos: nanos % 1_000_000_000 }
    }

    /// Whole seconds.
    #[must_use]
    pub fn secs(&self) -> i64 {
        self.secs
    }

    /// Nanoseconds within the second.
    #[must_use]
    pub fn nanos(&self) -> u32 {
        self.nanos
    }

    /// Milliseconds, truncated.
    #[must_use]
    pub fn millis(&self) -> i64 {
        self.secs.saturating_mul(1000).saturating_add(i64::from(self.nanos / 1_000_000))
    }

    /// The time as seconds with a fraction.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        self.secs as f64 + f64::from(self.nanos) / 1e9
    }

    /// A time from a float of seconds, `None` when it is no finite number from 0 on.
    #[must_use]
    pub fn from_f64(secs: f64) -> Option<Self> {
        if !secs.is_finite() || !(0.0..9.2e18).contains(&secs) {
            return None;
        }
        let whole = secs.trunc();
        Some(Self::new(whole as i64, ((secs - whole) * 1e9).round() as u32))
    }

    /// Reads the forms that the Forward protocol allows for an entry's time: EventTime, an integer, and (inside a run of
    /// entries only) a float.
    ///
    /// `None` for everything else: negative numbers, seconds beyond 32 bits (as milliseconds would be), other extension types, nanoseconds of
    /// a second or more.
    #[must_use]
    #[inline]
    pub fn from_view(view: &View<'_>) -> Option<Self> {
        match *view {
            View::Ext(0, data) => {
                let data: [u8; 8] = data.try_into().ok()?;
                let secs = u32::from_be_bytes([data[0], data[1], data[2], data[3]]);
                let nanos = u32::from_be_bytes([data[4], data[5], data[6], data[7]]);
                (nanos < 1_000_000_000).then_some(Self { secs: i64::from(secs), nanos })
            }
            View::Uint(secs) => Some(Self { secs: i64::from(u32::try_from(secs).ok()?), nanos: 0 }),
            View::Float(secs) => Self::from_f64(secs),
            _ => None,
        }
    }

    /// Whether it stands for the beginning or the end of a group of Fluent Bit's, and not for a time.
    #[must_use]
    #[inline]
    pub fn is_group_mark(&self) -> bool {
        self.secs > LAST && self.secs <= LAST + 2 && self.nanos == 0
    }

    /// Writes the time as EventTime. What lies outside 1970…2106 is written as the nearest time inside.
    pub fn write(&self, buf: &mut Vec<u8>) {
        let secs = self.secs.clamp(0, LAST);
        let nanos = if secs == self.secs { self.nanos } else { 0 };
        write::event_time(buf, secs as u32, nanos);
    }
}
