//! Reading a text by a format.

use ikada_record::Timestamp;

use super::calendar::{civil_of, days_from_civil};
use super::format::{Item, Number, TimeFormat};
use super::zone::{self, Zone};

/// What a text said, part by part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Parts {
    century: Option<i32>,
    year: Option<i32>,
    year_of_century: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    afternoon: Option<bool>,
    pub(super) nanos: Option<u32>,
    pub(super) epoch: Option<i64>,
    /// Seconds east of UTC.
    pub(super) zone: Option<i32>,
}

/// How far a text fits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    pub(super) parts: Parts,
    /// The whole format was read.
    pub(super) whole: bool,
    /// Bytes that were read.
    pub(super) end: usize,
}

impl TimeFormat {
    pub(super) fn read(&self, text: &[u8]) -> Read {
        let mut reader = Reader { text, at: 0, parts: Parts::default() };
        if self.skips_blanks() {
            reader.skip_blanks();
        }
        let whole = self.items().iter().all(|item| reader.item(*item).is_some());
        Read { parts: reader.parts, whole, end: reader.at }
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    parts: Parts,
}

const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];
const WEEKDAYS: [&[u8]; 7] =
    [b"sunday", b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday"];

impl Reader<'_> {
    fn item(&mut self, item: Item) -> Option<()> {
        match item {
            Item::Literal(byte) => return self.literal(byte),
            Item::Blanks => self.skip_blanks(),
            Item::Number(number) => return self.number_item(number),
            Item::Month => self.parts.month = Some(self.name(&MONTHS)? + 1),
            Item::Weekday => {
                self.name(&WEEKDAYS)?;
            }
            Item::HalfDay => self.parts.afternoon = Some(self.half_day()?),
            Item::Epoch => self.parts.epoch = Some(self.epoch()?),
            Item::Fraction => self.parts.nanos = Some(self.fraction()?),
            Item::Offset => {
                self.skip_blanks();
                let (offset, taken) = zone::read_offset(self.rest())?;
                self.at += taken;
                self.parts.zone = Some(offset);
            }
            Item::ZoneName => {
                let (offset, taken) = zone::read_name(self.rest())?;
                self.at += taken;
                self.parts.zone = Some(offset);
            }
            Item::Zulu => {
                self.literal(b'Z')?;
                self.parts.zone = Some(0);
            }
        }
        Some(())
    }

    fn number_item(&mut self, number: Number) -> Option<()> {
        if matches!(number, Number::PaddedDay | Number::PaddedHour | Number::PaddedHour12) {
            self.skip_blanks();
        }
        let (least, most) = number.range();
        let value = self.number(least, most)?;
        let parts = &mut self.parts;
        match number {
            Number::Year => parts.year = Some(value as i32),
            Number::Month => parts.month = Some(value),
            Number::Day | Number::PaddedDay => parts.day = Some(value),
            Number::Hour | Number::PaddedHour | Number::Hour12 | Number::PaddedHour12 => parts.hour = value,
            Number::Minute => parts.minute = value,
            Number::Second => parts.second = value,
            Number::Century => parts.century = Some(value as i32),
            Number::YearOfCentury => parts.year_of_century = Some(value as i32),
            Number::DayOfYear => parts.day_of_year = Some(value),
            Number::Ignored(_) => {}
        }
        Some(())
    }

    fn rest(&self) -> &[u8] {
        &self.text[self.at..]
    }

    fn literal(&mut self, byte: u8) -> Option<()> {
        (self.text.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t'..=b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    /// Reads as many digits as a number up to `most` can have: after `4`, a day of the month is complete.
    fn number(&mut self, least: u32, most: u32) -> Option<u32> {
        let mut value = 0;
        let mut room = most;
        let mut at = self.at;
        while let Some(digit @ b'0'..=b'9') = self.text.get(at) {
            value = value * 10 + u32::from(digit - b'0');
            at += 1;
            room /= 10;
            if room == 0 || value * 10 > most {
                break;
            }
        }
        if at == self.at || !(least..=most).contains(&value) {
            return None;
        }
        self.at = at;
        Some(value)
    }

    fn epoch(&mut self) -> Option<i64> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value = std::str::from_utf8(&self.rest()[..digits]).ok()?.parse().ok()?;
        self.at += digits;
        Some(value)
    }

    /// Reads a fraction: nine digits count, further ones are skipped.
    fn fraction(&mut self) -> Option<u32> {
        let mut nanos = 0;
        let mut unit = 100_000_000;
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.text.get(self.at) {
            nanos += u32::from(digit - b'0') * unit;
            unit /= 10;
            self.at += 1;
        }
        (self.at > start).then_some(nanos)
    }

    /// Reads a name or its first three letters, in any case, and returns its number.
    fn name(&mut self, names: &[&[u8]]) -> Option<u32> {
        let rest = &self.text[self.at..];
        let starts =
            |name: &[u8]| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let (index, name) = names.iter().enumerate().find(|(_, name)| starts(&name[..3]))?;
        self.at += if starts(name) { name.len() } else { 3 };
        Some(index as u32)
    }

    fn half_day(&mut self) -> Option<bool> {
        let word = self.rest().first_chunk::<2>()?.to_ascii_lowercase();
        let afternoon = match &*word {
            b"am" => false,
            b"pm" => true,
            _ => return None,
        };
        self.at += 2;
        Some(afternoon)
    }
}

impl Number {
    /// The least and the most it may be.
    fn range(self) -> (u32, u32) {
        match self {
            Self::Year => (0, 9999),
            Self::Month => (1, 12),
            Self::Day | Self::PaddedDay => (1, 31),
            Self::Hour | Self::PaddedHour => (0, 23),
            Self::Hour12 | Self::PaddedHour12 => (1, 12),
            Self::Minute => (0, 59),
            // A leap second is the next minute's first.
            Self::Second => (0, 60),
            Self::Century | Self::YearOfCentury => (0, 99),
            Self::DayOfYear => (1, 366),
            Self::Ignored(most) => (0, u32::from(most)),
        }
    }
}

impl Parts {
    /// Whether a date was read in full, so that what is missing is only a part of the day.
    pub(super) fn has_date(&self) -> bool {
        let has_year = self.year.is_some() || self.year_of_century.is_some();
        let has_day = self.day_of_year.is_some() || (self.month.is_some() && self.day.is_some());
        self.epoch.is_some() || (has_year && has_day)
    }

    /// Seconds since 1970 by the clock of the text's own zone.
    pub(super) fn local_seconds(&self, now: Timestamp, zone: Zone) -> Option<i64> {
        let of_day = i64::from(self.hour_of_day() * 3600 + self.minute * 60 + self.second);
        let days = match self.full_year() {
            Some(year) => self.days_in(year),
            None if self.month.is_none() && self.day.is_none() && self.day_of_year.is_none() => {
                self.local_now(now, zone).div_euclid(86_400)
            }
            None => self.nearest_days(now),
        };
        Some(days * 86_400 + of_day)
    }

    /// The clock of the text's zone now.
    fn local_now(&self, now: Timestamp, zone: Zone) -> i64 {
        match self.zone {
            Some(offset) => now.secs() + i64::from(offset),
            None => zone.to_local(now.secs()),
        }
    }

    fn hour_of_day(&self) -> u32 {
        match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        }
    }

    fn full_year(&self) -> Option<i32> {
        match (self.year, self.century, self.year_of_century) {
            (Some(year), _, _) => Some(year),
            (None, Some(century), of) => Some(century * 100 + of.unwrap_or(0)),
            (None, None, Some(of)) => Some(if of < 69 { 2000 + of } else { 1900 + of }),
            (None, None, None) => None,
        }
    }

    /// Days since 1970; a day too many for its month belongs to the next one.
    fn days_in(&self, year: i32) -> i64 {
        if let Some(day) = self.day_of_year {
            return days_from_civil(year, 1) + i64::from(day) - 1;
        }
        days_from_civil(year, self.month.unwrap_or(1)) + i64::from(self.day.unwrap_or(1)) - 1
    }

    /// The date without a year that lies nearest to now: what is read in January may have been written in December. A text
    /// without a month is one of this month.
    fn nearest_days(&self, now: Timestamp) -> i64 {
        let today = now.secs().div_euclid(86_400);
        let (year, month) = civil_of(today);
        let parts = Self { month: self.month.or(Some(month)), ..*self };
        let years = [year, year - 1, year + 1];
        let days = years.map(|year| parts.days_in(year));
        days.into_iter().min_by_key(|days| (days - today).abs()).unwrap_or(today)
    }
}
