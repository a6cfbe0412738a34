//! Lengths of time.

use std::time::Duration;

use super::size::scaled;
use crate::field::{OptionValue, ValueError};

/// A length of time: a number with `s`, `m`, `h` or `d`, in seconds without a unit; fractions are allowed (`0.2`).
///
/// Several may stand together: `1m30s`. A blank may stand before the unit, as in Fluent Bit. That reads the leading digits and the last
/// letter, so that its `1m30s` is one second and its `500ms` 500; here the first is what it says, and the second an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seconds(pub Duration);

/// 10,000 years: more than anybody waits, and safe to add to any clock.
const LONGEST: u128 = 10_000 * 365 * 86_400 * 1_000_000_000;

impl OptionValue for Seconds {
    const KIND: &'static str = "time";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let text = without_comment(text);
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let nanos = match (seconds_of(unit), several_units(text)) {
            (Some(seconds), _) => scaled(number, seconds * 1_000_000_000).ok_or_else(|| not_a_time(text))?,
            (None, Some(seconds)) => u128::from(seconds) * 1_000_000_000,
            (None, None) => return Err(bad_unit(text, number, unit)),
        };
        if nanos > LONGEST {
            return Err(ValueError::new("is longer than 10,000 years"));
        }
        let duration = Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32);
        Ok(Seconds(duration))
    }
}

/// Cuts ` # …` behind a bare number: Fluent Bit reads the leading digits only, so that such a comment is harmless.
pub(super) fn without_comment(text: &str) -> &str {
    let Some((before, _)) = text.split_once(" #").or_else(|| text.split_once("\t#")) else { return text };
    let number = before.trim_end();
    match number.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-') {
        true => number,
        false => text,
    }
}

fn seconds_of(unit: &str) -> Option<u64> {
    match unit.trim_start() {
        "" | "s" | "S" => Some(1),
        "m" | "M" => Some(60),
        "h" | "H" => Some(3_600),
        "d" | "D" => Some(86_400),
        _ => None,
    }
}

fn not_a_time(text: &str) -> ValueError {
    let error = ValueError::new("is not a time");
    match text.starts_with('-') {
        true => error.help("a time is not negative"),
        false => error.help("type seconds, or a number with `s`, `m`, `h` or `d`: `5m`"),
    }
}

fn bad_unit(text: &str, number: &str, unit: &str) -> ValueError {
    let unit = unit.trim().to_ascii_lowercase();
    let short = match unit.as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "ms" | "us" | "ns" => return part_of_a_second(text, number, &unit),
        _ => return not_a_time(text),
    };
    match scaled(number, 1) {
        Some(_) => ValueError::new("is not a time").help(format!("type `{number}{short}`")),
        None => not_a_time(text),
    }
}

/// The seconds of `1m30s`.
fn several_units(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = (rest.get(..digits)?, rest.get(digits..digits + 1)?);
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds_of(unit)?)?)?;
        rest = rest.get(digits + 1..)?;
    }
    Some(total)
}

fn part_of_a_second(text: &str, number: &str, unit: &str) -> ValueError {
    let nanos = match unit {
        "ms" => 1_000_000,
        "us" => 1_000,
        _ => 1,
    };
    let Some(nanos) = scaled(number, nanos) else { return not_a_time(text) };
    let seconds = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    ValueError::new(format!("is not a time: `{unit}` is no unit"))
        .help(format!("type `{seconds}`, in seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Option<u128> {
        Seconds::parse_value(text).ok().map(|seconds| seconds.0.as_millis())
    }

    fn help(text: &str) -> String {
        Seconds::parse_value(text).unwrap_err().help.unwrap_or_default()
    }

    #[test]
    fn a_bare_number_is_seconds_and_units_are_single_letters() {
        let cases = [
            ("0", 0),
            ("5", 5_000),
            ("5s", 5_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("10M", 600_000),
            ("0.2", 200),
            ("1.5s", 1_500),
            ("10 m", 600_000),
            ("1m30s", 90_000),
            ("1h30m", 5_400_000),
        ];
        for (text, expected) in cases {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_units_are_refused_with_what_to_type() {
        assert_eq!(help("500ms"), "type `0.5`, in seconds");
        assert_eq!(help("1500 ms"), "type `1.5`, in seconds");
        assert_eq!(help("5min"), "type `5m`");
        assert_eq!(help("1h 30m"), "type seconds, or a number with `s`, `m`, `h` or `d`: `5m`");
        assert_eq!(help("10 sec"), "type `10s`");
        assert_eq!(help("-1"), "a time is not negative");
        assert_eq!(help("soon"), "type seconds, or a number with `s`, `m`, `h` or `d`: `5m`");
        for text in ["", "s", ".", "1.2.3", "5w", "5 # m", "99999999999999999d"] {
            assert_eq!(millis(text).is_some(), text == "5 # m", "{text}");
        }
    }

    #[test]
    fn a_comment_behind_a_bare_number_is_harmless_as_in_fluent_bit() {
        assert_eq!(millis("1 # every second"), Some(1_000));
        assert_eq!(millis("0.5\t# twice"), Some(500));
        assert_eq!(millis("5m # five minutes"), None);
    }
}
