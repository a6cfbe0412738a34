//! The date member that outputs put in front of a record.

use std::str::FromStr;

use super::keys::Fingerprint;
use super::{escape, number};
use crate::Timestamp;

/// How the injected date looks. Always UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DateFormat {
    /// Seconds with a fraction, about microseconds: `1700000000.123457`. Whole seconds keep one decimal.
    #[default]
    Double,
    /// `"2023-11-14T22:13:20.123456Z"`, microseconds truncated.
    Iso8601,
    /// `"2023-11-14 22:13:20.123456"`, microseconds truncated.
    JavaSqlTimestamp,
    /// Whole seconds: `1700000000`.
    Epoch,
    /// Whole milliseconds: `1700000000123`.
    EpochMs,
}

/// No date format has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no date format has this name; there are {}", DateFormat::NAMES.join(", "))]
pub struct UnknownDateFormat;

impl DateFormat {
    /// Every accepted spelling; letter case does not matter.
    pub const NAMES: [&'static str; 7] = [
        "double",
        "iso8601",
        "java_sql_timestamp",
        "epoch",
        "epoch_ms",
        "epoch_millis",
        "epoch_milliseconds",
    ];

    /// The name as it is written in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Double => "double",
            Self::Iso8601 => "iso8601",
            Self::JavaSqlTimestamp => "java_sql_timestamp",
            Self::Epoch => "epoch",
            Self::EpochMs => "epoch_ms",
        }
    }

    /// Writes `time` as a JSON value of this format.
    pub fn write(self, out: &mut Vec<u8>, time: Timestamp) {
        match self {
            Self::Double => write_double(out, time),
            Self::Iso8601 => write_calendar(out, time, b'T', b"Z\""),
            Self::JavaSqlTimestamp => write_calendar(out, time, b' ', b"\""),
            Self::Epoch => number::int(out, time.secs()),
            Self::EpochMs => number::int(out, time.millis()),
        }
    }
}

impl FromStr for DateFormat {
    type Err = UnknownDateFormat;

    fn from_str(text: &str) -> Result<Self, UnknownDateFormat> {
        match text.to_ascii_lowercase().as_str() {
            "double" => Ok(Self::Double),
            "iso8601" => Ok(Self::Iso8601),
            "java_sql_timestamp" => Ok(Self::JavaSqlTimestamp),
            "epoch" => Ok(Self::Epoch),
            "epoch_ms" | "epoch_millis" | "epoch_milliseconds" => Ok(Self::EpochMs),
            _ => Err(UnknownDateFormat),
        }
    }
}

/// A date member: its key, escaped once, and the format of its value.
#[derive(Debug, Clone)]
pub struct DateKey {
    raw: Box<[u8]>,
    /// `"key":` with and without unicode escaping.
    escaped: Box<[u8]>,
    plain: Box<[u8]>,
    format: DateFormat,
    fingerprint: Fingerprint,
}

impl DateKey {
    /// A member under `key`.
    #[must_use]
    pub fn new(key: &str, format: DateFormat) -> Self {
        let member = |body: fn(&mut Vec<u8>, &[u8]) -> usize| {
            let mut out = vec![b'"'];
            body(&mut out, key.as_bytes());
            out.extend_from_slice(b"\":");
            out.into_boxed_slice()
        };
        Self {
            raw: key.as_bytes().into(),
            escaped: member(escape::text::<true, false>),
            plain: member(escape::text::<false, false>),
            format,
            fingerprint: Fingerprint::of(key.as_bytes()),
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.raw
    }

    /// The format of the value.
    #[must_use]
    pub fn format(&self) -> DateFormat {
        self.format
    }

    #[inline]
    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Writes `"key":value`.
    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>, time: Timestamp, escape_unicode: bool) {
        out.extend_from_slice(if escape_unicode { &self.escaped } else { &self.plain });
        self.format.write(out, time);
    }
}

/// A float of seconds with 16 significant digits.
///
/// From 2^30 (in 2004) to 10^10 seconds a double's fraction is a multiple of 2^-22 and 16 digits leave room for six
/// decimals: whole numbers do what the general way does in ten times the time.
fn write_double(out: &mut Vec<u8>, time: Timestamp) {
    let double = time.as_f64();
    let whole = double.trunc();
    if !(1_073_741_824.0..9_999_999_999.0).contains(&double) || whole == double {
        number::float(out, double);
        return;
    }
    let units = ((double - whole) * 4_194_304.0) as u64;
    let scaled = units * 1_000_000;
    let (mut micros, rest) = (scaled >> 22, scaled & 0x3f_ffff);
    // Ties go to the even neighbour, as printf rounds.
    if rest > 0x20_0000 || (rest == 0x20_0000 && micros & 1 == 1) {
        micros += 1;
    }
    let secs = whole as u64 + micros / 1_000_000;
    number::uint(out, secs);
    let micros = micros % 1_000_000;
    if micros == 0 {
        return;
    }
    let mut text = [b'.', 0, 0, 0, 0, 0, 0];
    decimals(&mut text[1..], micros as u32);
    let len = text.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1);
    out.extend_from_slice(&text[..len]);
}

/// Writes `"YYYY-MM-DD`, the separator, `HH:MM:SS.uuuuuu` and what closes it.
fn write_calendar(out: &mut Vec<u8>, time: Timestamp, separator: u8, close: &[u8]) {
    let (days, second) = (time.secs().div_euclid(86_400), time.secs().rem_euclid(86_400) as u32);
    let (year, month, day) = civil(days);
    out.push(b'"');
    if (0..=9999).contains(&year) {
        let mut text = [0; 4];
        decimals(&mut text, year as u32);
        out.extend_from_slice(&text);
    } else {
        number::int(out, year);
    }
    let mut text = *b"-00-00T00:00:00.000000";
    decimals(&mut text[1..3], month);
    decimals(&mut text[4..6], day);
    text[6] = separator;
    decimals(&mut text[7..9], second / 3600);
    decimals(&mut text[10..12], second / 60 % 60);
    decimals(&mut text[13..15], second % 60);
    decimals(&mut text[16..22], time.nanos() / 1000);
    out.extend_from_slice(&text);
    out.extend_from_slice(close);
}

/// Fills `text`, of even length, with the last digits of `n`, two at a time.
#[inline]
fn decimals(text: &mut [u8], mut n: u32) {
    for pair in text.rchunks_exact_mut(2) {
        pair.copy_from_slice(&PAIRS[(n % 100) as usize]);
        n /= 100;
    }
}

/// `00` to `99`.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + n as u8 / 10, b'0' + n as u8 % 10];
        n += 1;
    }
    pairs
};

/// The Gregorian date `days` after 1970-01-01, counted in eras of 400 years that begin on the first of March.
fn civil(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(format: DateFormat, secs: i64, nanos: u32) -> String {
        let mut out = Vec::new();
        format.write(&mut out, Timestamp::new(secs, nanos));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_writes_the_recorded_example() {
        let cases = [
            ("double", "1700000000.123457"),
            ("ISO8601", "\"2023-11-14T22:13:20.123456Z\""),
            ("java_sql_timestamp", "\"2023-11-14 22:13:20.123456\""),
            ("epoch", "1700000000"),
            ("epoch_ms", "1700000000123"),
            ("epoch_millis", "1700000000123"),
            ("Epoch_Milliseconds", "1700000000123"),
        ];
        for (name, expected) in cases {
            assert_eq!(text(name.parse().unwrap(), 1_700_000_000, 123_456_717), expected);
        }
        assert_eq!(text(DateFormat::Double, 1_700_000_000, 0), "1700000000.0");
        assert_eq!("iso".parse::<DateFormat>(), Err(UnknownDateFormat));
    }

    #[test]
    fn every_listed_name_is_accepted() {
        for name in DateFormat::NAMES {
            assert!(name.parse::<DateFormat>().is_ok());
        }
    }

    proptest! {
        #[test]
        fn doubles_equal_the_general_way(secs in 0i64..20_000_000_000, nanos in 0u32..1_000_000_000, few in 0u32..600) {
            for nanos in [nanos, few, 999_999_999 - few, few * 1_000_000] {
                let time = Timestamp::new(secs, nanos);
                let (mut quick, mut slow) = (Vec::new(), Vec::new());
                write_double(&mut quick, time);
                number::float(&mut slow, time.as_f64());
                prop_assert_eq!(String::from_utf8(quick), String::from_utf8(slow));
            }
        }

        #[test]
        fn dates_equal_a_calendar_library(secs in -62_000_000_000i64..250_000_000_000, nanos in 0u32..1_000_000_000) {
            let expected = chrono::DateTime::from_timestamp(secs, nanos).unwrap();
            let expected = expected.format("\"%Y-%m-%dT%H:%M:%S%.6fZ\"").to_string();
            prop_assert_eq!(text(DateFormat::Iso8601, secs, nanos), expected);
        }
    }
}
