//! `time_key_format`: `strftime` in UTC, and `%3N`, `%9N`, `%L` for parts of the second.

use std::fmt::Write as _;

use chrono::DateTime;
use chrono::format::{Item, StrftimeItems};
use ikada_record::Timestamp;

/// A part of a format.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// What is the same for a whole second.
    Second(Vec<Item<'static>>),
    /// Three digits of milliseconds: `%3N`.
    Millis,
    /// Nine digits of nanoseconds: `%9N`, and `%L` as well.
    Nanos,
}

/// A time as text. What is the same for a second is made once per second.
#[derive(Debug, Clone)]
pub(super) struct TimeFormat {
    parts: Vec<Part>,
    second: i64,
    /// The text of each [`Part::Second`] at `second`, in order.
    texts: Vec<String>,
}

impl TimeFormat {
    /// Reads a format; `None` if something in it is no conversion.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        let mut plain = String::new();
        while let Some(at) = rest.find('%') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            let (part, len) = match rest {
                _ if rest.starts_with("%3N") => (Some(Part::Millis), 3),
                _ if rest.starts_with("%9N") => (Some(Part::Nanos), 3),
                _ if rest.starts_with("%L") => (Some(Part::Nanos), 2),
                _ => (None, rest.chars().take(2).map(char::len_utf8).sum()),
            };
            match part {
                Some(part) => {
                    parts.extend(second(&std::mem::take(&mut plain))?);
                    parts.push(part);
                }
                None => plain.push_str(&rest[..len]),
            }
            rest = &rest[len..];
        }
        plain.push_str(rest);
        parts.extend(second(&plain)?);
        Some(Self { parts, second: i64::MIN, texts: Vec::new() })
    }

    /// Appends a time as the body of a JSON string.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        if time.secs() != self.second {
            self.remember(time.secs());
        }
        let mut texts = self.texts.iter();
        for part in &self.parts {
            match part {
                Part::Second(_) => out.extend_from_slice(texts.next().map_or(&[], |text| text.as_bytes())),
                Part::Millis => write_digits(out, time.nanos() / 1_000_000, 3),
                Part::Nanos => write_digits(out, time.nanos(), 9),
            }
        }
    }

    #[cold]
    fn remember(&mut self, secs: i64) {
        self.second = secs;
        self.texts.clear();
        let date = DateTime::from_timestamp(secs, 0).unwrap_or_default();
        for part in &self.parts {
            let Part::Second(items) = part else { continue };
            let mut text = String::new();
            // Every item was written once when the format was read.
            let _written = write!(text, "{}", date.format_with_items(items.iter()));
            let mut escaped = Vec::with_capacity(text.len());
            ikada_record::json::write_str_escaped(&mut escaped, text.as_bytes());
            self.texts.push(String::from_utf8_lossy(&escaped).into_owned());
        }
    }
}

/// The part for a piece of plain `strftime`, none for no text; `None` if it is no format.
fn second(text: &str) -> Option<Option<Part>> {
    if text.is_empty() {
        return Some(None);
    }
    let items = StrftimeItems::new(text).parse_to_owned().ok()?;
    // Some conversions are known but cannot be written for a time in UTC.
    let mut probe = String::new();
    write!(probe, "{}", DateTime::UNIX_EPOCH.format_with_items(items.iter())).ok()?;
    Some(Some(Part::Second(items)))
}

fn write_digits(out: &mut Vec<u8>, number: u32, digits: u32) {
    for place in (0..digits).rev() {
        out.push(b'0' + (number / 10u32.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: &str) -> Option<String> {
        let mut format = TimeFormat::new(format)?;
        let mut out = Vec::new();
        format.write(&mut out, Timestamp::new(1_700_000_000, 9_456_717));
        String::from_utf8(out).ok()
    }

    #[test]
    fn parts_of_the_second_have_their_own_conversions() {
        let cases = [
            ("%Y-%m-%dT%H:%M:%S", "2023-11-14T22:13:20"),
            ("%Y-%m-%dT%H:%M:%S.%3NZ", "2023-11-14T22:13:20.009Z"),
            ("%s.%9N", "1700000000.009456717"),
            ("%L%%%3N", "009456717%009"),
            ("100%% \"%b\"", "100% \\\"Nov\\\""),
            ("", ""),
        ];
        for (format, text) in cases {
            assert_eq!(written(format).as_deref(), Some(text), "{format}");
        }
    }

    #[test]
    fn what_is_no_conversion_is_refused() {
        for format in ["%", "%Q", "%3", "x %"] {
            assert_eq!(written(format), None, "{format}");
        }
    }

    #[test]
    fn each_second_is_written_anew() {
        let mut format = TimeFormat::new("%S.%3N ").unwrap();
        let mut out = Vec::new();
        for (secs, nanos) in [(1, 5_000_000), (1, 6_000_000), (2, 0)] {
            format.write(&mut out, Timestamp::new(secs, nanos));
        }
        assert_eq!(out, b"01.005 01.006 02.000 ");
    }
}
