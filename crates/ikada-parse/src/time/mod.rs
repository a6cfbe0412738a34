//! Times in text: C's `strptime`, compiled once.
//!
//! A format is read into a list of items when the configuration is; a text is then read item by item, without a
//! table or an allocation. What was read is turned into a moment by [`TimeRules`], which knows what to do about a missing
//! zone, a missing year and a text that fits only in part.
//!
//! **Where C's `strptime` and ours part.** The directives and their quirks are those of Fluent Bit (recorded cases `time-*`): numbers
//! need no padding, a blank stands for any run of blanks, what follows the last directive is ignored, the 30th of
//! February is the 2nd of March. Beyond it:
//!
//! | | Fluent Bit | here |
//! |---|---|---|
//! | more than nine digits at `%L` | the tenth belongs to what follows | skipped |
//! | a zone before `%L` | forgotten | counts |
//! | `%s` with 13, 16 or 19 digits | seconds; the record is lost | milli-, micro-, nanoseconds |
//! | no year | the current one | the one nearest to now |
//! | no day, or no month and day | the day before the month, or the year | its first day |
//! | a moment before 1970 or after 2106 | the record is lost | no time |
//! | the fraction fits, the zone behind it does not | 1970 and the fraction | no time |

mod calendar;
mod format;
mod read;
mod suggest;
mod zone;

use ikada_msgpack::View;
use ikada_record::Timestamp;

pub use format::{FormatError, TimeFormat};
use read::Parts;
pub use suggest::suggest;
pub use zone::{Zone, parse_offset};

/// How a parser makes a moment of its time field.
#[derive(Debug, Clone)]
pub struct TimeRules {
    format: TimeFormat,
    zone: Zone,
    strict: bool,
}

impl TimeRules {
    /// Rules for a format; `zone` is taken for texts that name none. Unless `strict`, a text that fits only up to some point counts if
    /// the date lies before it.
    #[must_use]
    pub fn new(format: TimeFormat, zone: Zone, strict: bool) -> Self {
        Self { format, zone, strict }
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> &TimeFormat {
        &self.format
    }

    /// The moment a text names, `None` if it does not fit, or lies outside of what an entry's time can say (1970 to 2106). `now`
    /// gives the year where the text has none.
    #[must_use]
    pub fn time_of(&self, text: &[u8], now: Timestamp) -> Option<Timestamp> {
        let read = self.format.read(text);
        if !read.whole && (self.strict || !read.parts.has_date()) {
            return None;
        }
        let zone = if self.format.has_zone() && read.whole { Zone::UTC } else { self.zone };
        self.moment(&read.parts, zone, now)
    }

    /// The moment a number names, if the format is one of seconds since 1970.
    #[must_use]
    pub fn time_of_number(&self, number: &View<'_>) -> Option<Timestamp> {
        if !self.format.is_epoch() {
            return None;
        }
        match *number {
            View::Uint(value) => epoch(i64::try_from(value).ok()?),
            View::Float(value) => Timestamp::from_f64(value).map(to_micros).filter(in_range),
            _ => None,
        }
    }

    fn moment(&self, parts: &Parts, zone: Zone, now: Timestamp) -> Option<Timestamp> {
        if let Some(secs) = parts.epoch {
            let whole = epoch(secs)?;
            let nanos = parts.nanos.unwrap_or_else(|| whole.nanos());
            return Some(Timestamp::new(whole.secs(), nanos));
        }
        let local = parts.local_seconds(now, zone)?;
        let secs = match parts.zone {
            Some(offset) => local - i64::from(offset),
            None => zone.to_utc(local),
        };
        Some(Timestamp::new(secs, parts.nanos.unwrap_or(0))).filter(in_range)
    }
}

/// What the time of an entry can say.
fn in_range(time: &Timestamp) -> bool {
    (0..=i64::from(u32::MAX)).contains(&time.secs())
}

/// A float of seconds holds no more than microseconds: what follows is noise.
fn to_micros(time: Timestamp) -> Timestamp {
    Timestamp::new(time.secs(), (time.nanos() + 500) / 1000 * 1000)
}

/// Seconds since 1970; a number too large for that counts thousandths, millionths or billionths of them, if it says a time after 1973.
fn epoch(value: i64) -> Option<Timestamp> {
    let value = u64::try_from(value).ok()?;
    let limit = u64::from(u32::MAX);
    let units = [1, 1_000, 1_000_000, 1_000_000_000];
    let unit = units.into_iter().find(|unit| value / unit <= limit)?;
    if unit > 1 && value / unit < 100_000_000 {
        return None;
    }
    let nanos = value % unit * (1_000_000_000 / unit);
    Some(Timestamp::new((value / unit) as i64, nanos as u32))
}

#[cfg(test)]
mod tests;
