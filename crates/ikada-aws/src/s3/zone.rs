//! Whose hours and days names show, and how long one of them lasts.

use std::str::FromStr;

use chrono::{DateTime, FixedOffset, Local, Offset, Utc};
use ikada_record::Timestamp;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Utc,
    /// The machine's.
    Local,
    /// So far east of UTC.
    Fixed(FixedOffset),
}

/// Why a text is no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no time zone")]
pub(crate) struct ZoneError;

impl FromStr for Zone {
    type Err = ZoneError;

    /// Reads `UTC`, `local`, `+09:00` and `+0900`.
    fn from_str(text: &str) -> Result<Self, ZoneError> {
        match text.to_ascii_lowercase().as_str() {
            "utc" | "gmt" | "z" => return Ok(Self::Utc),
            "local" => return Ok(Self::Local),
            _ => {}
        }
        let (sign, digits) = match text.as_bytes().first() {
            Some(b'+') => (1, &text[1..]),
            Some(b'-') => (-1, &text[1..]),
            _ => return Err(ZoneError),
        };
        let digits = digits.replace(':', "");
        if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ZoneError);
        }
        let number: i32 = digits.parse().map_err(|_| ZoneError)?;
        let (hours, minutes) = (number / 100, number % 100);
        if hours > 14 || minutes > 59 {
            return Err(ZoneError);
        }
        FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60)).map(Self::Fixed).ok_or(ZoneError)
    }
}

impl Zone {
    /// How far the zone is east of UTC at a time.
    pub(crate) fn offset(self, time: DateTime<Utc>) -> FixedOffset {
        match self {
            Self::Utc => Utc.fix(),
            Self::Local => *time.with_timezone(&Local).offset(),
            Self::Fixed(offset) => offset,
        }
    }

    /// The hour or day around a time.
    pub(crate) fn period(self, step: Step, time: Timestamp) -> Period {
        let len = match step {
            Step::Ever => return Period { start: i64::MIN / 2, end: i64::MAX / 2 },
            Step::Day => DAY,
            Step::Hour => HOUR,
        };
        let secs = time.secs().clamp(-(1 << 40), 1 << 40);
        let time = DateTime::from_timestamp(secs, 0).unwrap_or_default();
        let east = i64::from(self.offset(time).local_minus_utc());
        let start = (secs + east).div_euclid(len) * len - east;
        Period { start, end: start + len }
    }
}

/// How long a name's time stays the same. Minutes and seconds are not looked at: with them, every object would hold a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Ever,
    Day,
    Hour,
}

impl Step {
    /// What one of `strftime`'s letters asks for.
    pub(crate) fn of(letter: u8) -> Self {
        match letter {
            b'H' | b'I' | b'k' | b'l' | b'p' | b'P' | b'r' | b'R' | b'T' | b'X' | b'c' => Self::Hour,
            b'M' | b'S' | b's' | b'n' | b't' | b'z' | b'Z' => Self::Ever,
            _ => Self::Day,
        }
    }
}

/// A stretch of time, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    start: i64,
    end: i64,
}

impl Period {
    /// Its first second.
    pub(crate) fn start(self) -> i64 {
        self.start
    }

    /// The second behind its last one.
    #[cfg(test)]
    pub(crate) fn end(self) -> i64 {
        self.end
    }

    /// Whether a time lies in it.
    #[inline]
    pub(crate) fn contains(self, time: Timestamp) -> bool {
        (self.start..self.end).contains(&time.secs())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zones_are_read_as_people_write_them() {
        let east = |text: &str| match text.parse() {
            Ok(Zone::Fixed(offset)) => Some(offset.local_minus_utc()),
            _ => None,
        };
        assert_eq!("utc".parse(), Ok(Zone::Utc));
        assert_eq!("Local".parse(), Ok(Zone::Local));
        assert_eq!(
            (east("+09:00"), east("+0530"), east("-03:30")),
            (Some(32_400), Some(19_800), Some(-12_600))
        );
        for text in ["", "+9", "+25:00", "+09:60", "+-100", "Tokyo", "+é00"] {
            assert_eq!(text.parse::<Zone>(), Err(ZoneError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_lies_in_its_own_period_and_the_whole_period_shows_one_date(
            secs in -4_000_000_000i64..8_000_000_000, quarters in -56i32..=56, later in 0i64..86_400,
        ) {
            let zone = Zone::Fixed(FixedOffset::east_opt(quarters * 900).unwrap());
            let time = Timestamp::new(secs, 0);
            for (step, format) in [(Step::Day, "%F"), (Step::Hour, "%F %H")] {
                let period = zone.period(step, time);
                prop_assert!(period.contains(time));
                let shown = |secs| {
                    let time = DateTime::from_timestamp(secs, 0).unwrap();
                    time.with_timezone(&zone.offset(time)).format(format).to_string()
                };
                let other = secs + later;
                prop_assert_eq!(period.contains(Timestamp::new(other, 0)), shown(secs) == shown(other));
            }
        }
    }
}
