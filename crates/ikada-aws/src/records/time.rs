//! `time_key_format`: `strftime`, and conversions for parts of the second.
//!
//! The two families differ: C has `%3N` for milliseconds and `%9N` and `%L` for nanoseconds, in UTC; Go has `%L` for milliseconds and
//! `%f` for microseconds, in the zone of the machine.

use std::fmt::Write as _;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Local};
use ikada_record::Timestamp;

/// A part of a format.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// What is the same for a whole second.
    Second(Vec<Item<'static>>),
    /// Three digits of milliseconds.
    Millis,
    /// Six digits of microseconds.
    Micros,
    /// Nine digits of nanoseconds.
    Nanos,
}

/// Whose conversions a format has, and whose zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// UTC.
    C,
    /// The machine's zone.
    Go,
}

impl Dialect {
    /// The part of a second that a text starts with, and the length of its conversion.
    fn part(self, text: &str) -> Option<(Part, usize)> {
        let all: &[(&str, Part)] = match self {
            Self::C => &[("%3N", Part::Millis), ("%9N", Part::Nanos), ("%L", Part::Nanos)],
            Self::Go => &[("%L", Part::Millis), ("%f", Part::Micros)],
        };
        all.iter().find(|(name, _)| text.starts_with(name)).map(|(name, part)| (part.clone(), name.len()))
    }
}

/// A time as text. What is the same for a second is made once per second.
#[derive(Debug, Clone)]
pub(crate) struct TimeFormat {
    dialect: Dialect,
    parts: Vec<Part>,
    second: i64,
    /// The text of each [`Part::Second`] at `second`, in order.
    texts: Vec<String>,
}

impl TimeFormat {
    /// Reads a format; `None` if something in it is no conversion.
    pub(crate) fn new(text: &str, dialect: Dialect) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        let mut plain = String::new();
        while let Some(at) = rest.find('%') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            let len = match dialect.part(rest) {
                Some((part, len)) => {
                    parts.extend(second(&std::mem::take(&mut plain))?);
                    parts.push(part);
                    len
                }
                None => {
                    let len = rest.chars().take(2).map(char::len_utf8).sum();
                    plain.push_str(&rest[..len]);
                    len
                }
            };
            rest = &rest[len..];
        }
        plain.push_str(rest);
        parts.extend(second(&plain)?);
        Some(Self { dialect, parts, second: i64::MIN, texts: Vec::new() })
    }

    /// Appends a time as the body of a JSON string.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        self.write_as(out, time, true);
    }

    /// Appends a time as it is.
    pub(crate) fn write_plain(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        self.write_as(out, time, false);
    }

    fn write_as(&mut self, out: &mut Vec<u8>, time: Timestamp, escaped: bool) {
        if time.secs() != self.second {
            self.remember(time.secs());
        }
        let mut texts = self.texts.iter();
        for part in &self.parts {
            match part {
                Part::Second(_) => {
                    let text = texts.next().map_or(&[][..], |text| text.as_bytes());
                    match escaped {
                        true => {
                            ikada_record::json::write_str_escaped(out, text);
                        }
                        false => out.extend_from_slice(text),
                    }
                }
                Part::Millis => write_digits(out, time.nanos() / 1_000_000, 3),
                Part::Micros => write_digits(out, time.nanos() / 1_000, 6),
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
            let _written = match self.dialect {
                Dialect::C => write!(text, "{}", date.format_with_items(items.iter())),
                Dialect::Go => write!(text, "{}", date.with_timezone(&Local).format_with_items(items.iter())),
            };
            self.texts.push(text);
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
        written_as(Dialect::C, format)
    }

    fn written_as(dialect: Dialect, format: &str) -> Option<String> {
        let mut format = TimeFormat::new(format, dialect)?;
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
    fn go_has_other_letters_for_parts_of_the_second() {
        assert_eq!(written_as(Dialect::Go, "%L|%f|%M").as_deref(), Some("009|009456|13"));
        assert_eq!(written_as(Dialect::Go, "%Q"), None);
    }

    #[test]
    fn what_is_no_conversion_is_refused() {
        for format in ["%", "%Q", "%3", "x %"] {
            assert_eq!(written(format), None, "{format}");
        }
    }

    #[test]
    fn each_second_is_written_anew() {
        let mut format = TimeFormat::new("%S.%3N ", Dialect::C).unwrap();
        let mut out = Vec::new();
        for (secs, nanos) in [(1, 5_000_000), (1, 6_000_000), (2, 0)] {
            format.write(&mut out, Timestamp::new(secs, nanos));
        }
        assert_eq!(out, b"01.005 01.006 02.000 ");
    }
}
