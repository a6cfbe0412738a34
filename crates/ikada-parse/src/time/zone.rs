//! Zones: what the time of day of a text is counted from.

use chrono::{DateTime, FixedOffset, Local, MappedLocalTime, NaiveDateTime, Offset, TimeZone};

const HOUR: i32 = 3600;

/// The zone of texts that do not name theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// So many seconds east of UTC.
    Fixed(i32),
    /// That of the process: `TZ`, or the machine's setting.
    System,
}

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self::Fixed(0);

    /// Seconds since 1970 from what the zone's clock showed, counted in the same way. What it showed twice was the first time; what it
    /// never showed is counted on from the hour before.
    pub(super) fn to_utc(self, local: i64) -> i64 {
        local
            - i64::from(self.offset(local, |clock| match Local.offset_from_local_datetime(clock) {
                MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => offset,
                MappedLocalTime::None => Local.offset_from_utc_datetime(clock),
            }))
    }

    /// What the zone's clock shows, counted in seconds from 1970.
    pub(super) fn to_local(self, utc: i64) -> i64 {
        utc + i64::from(self.offset(utc, |clock| Local.offset_from_utc_datetime(clock)))
    }

    fn offset(self, clock: i64, system: impl FnOnce(&NaiveDateTime) -> FixedOffset) -> i32 {
        match self {
            Self::Fixed(offset) => offset,
            Self::System => DateTime::from_timestamp(clock, 0)
                .map_or(0, |clock| system(&clock.naive_utc()).fix().local_minus_utc()),
        }
    }
}

/// Reads `Time_Offset`: `+0900`, `+09:00`, `-0330` or `Z`, as seconds east of UTC.
#[must_use]
pub fn parse_offset(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let has_minutes = text.len() > 3;
    let (offset, taken) = signed(text.as_bytes())?;
    (has_minutes && taken == text.len() && offset.abs() < 24 * HOUR).then_some(offset)
}

/// Reads an offset or a name of RFC 822, and returns it with the bytes it took. The American names may be in any case, as in Fluent Bit.
pub(super) fn read_offset(text: &[u8]) -> Option<(i32, usize)> {
    match text.first()? {
        b'+' | b'-' => return signed(text),
        b'Z' => return Some((0, 1)),
        _ => {}
    }
    const UNIVERSAL: [&[u8]; 3] = [b"UTC", b"GMT", b"UT"];
    const AMERICAN: [(&[u8], i32); 8] = [
        (b"EST", -5),
        (b"EDT", -4),
        (b"CST", -6),
        (b"CDT", -5),
        (b"MST", -7),
        (b"MDT", -6),
        (b"PST", -8),
        (b"PDT", -7),
    ];
    if let Some(name) = UNIVERSAL.iter().find(|name| text.starts_with(name)) {
        return Some((0, name.len()));
    }
    let word = text.get(..3)?;
    let (_, hours) = AMERICAN.iter().find(|(name, _)| word.eq_ignore_ascii_case(name))?;
    Some((hours * HOUR, word.len()))
}

/// Reads `+hh`, `+hhmm` or `+hh:mm`, no digit less; minutes and hours are not checked for their range, as Fluent Bit does not (case `time-z-big`).
fn signed(text: &[u8]) -> Option<(i32, usize)> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digit =
        |at: usize| text.get(at).filter(|byte| byte.is_ascii_digit()).map(|byte| i32::from(byte - b'0'));
    let two = |at: usize| Some(digit(at)? * 10 + digit(at + 1)?);
    let hours = two(1)? * HOUR;
    let minutes_at = if text.get(3) == Some(&b':') { 4 } else { 3 };
    match (digit(minutes_at), two(minutes_at)) {
        (None, _) => Some((sign * hours, 3)),
        (Some(_), minutes) => Some((sign * (hours + minutes? * 60), minutes_at + 2)),
    }
}

/// Names of zones, as they stand behind times, with their seconds east of UTC. Where a name means several, it is the one Fluent Bit
/// takes.
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("GMT", 0),
    ("UTC", 0),
    ("UT", 0),
    ("EST", -5 * HOUR),
    ("EDT", -4 * HOUR),
    ("CST", -6 * HOUR),
    ("CDT", -5 * HOUR),
    ("MST", -7 * HOUR),
    ("MDT", -6 * HOUR),
    ("PST", -8 * HOUR),
    ("PDT", -7 * HOUR),
    ("AKST", -9 * HOUR),
    ("AKDT", -8 * HOUR),
    ("HST", -10 * HOUR),
    ("HADT", -9 * HOUR),
    ("AST", -4 * HOUR),
    ("ADT", -3 * HOUR),
    ("NST", -7 * HOUR / 2),
    ("NDT", -5 * HOUR / 2),
    ("WET", 0),
    ("WEST", HOUR),
    ("CET", HOUR),
    ("CEST", 2 * HOUR),
    ("EET", 2 * HOUR),
    ("EEST", 3 * HOUR),
    ("MSK", 3 * HOUR),
    ("ART", -3 * HOUR),
    ("BRT", -3 * HOUR),
    ("BRST", -2 * HOUR),
    ("CLT", -4 * HOUR),
    ("CLST", -3 * HOUR),
    ("AEST", 10 * HOUR),
    ("AEDT", 11 * HOUR),
    ("ACST", 19 * HOUR / 2),
    ("ACDT", 21 * HOUR / 2),
    ("AWST", 8 * HOUR),
    ("NZST", 12 * HOUR),
    ("NZDT", 13 * HOUR),
    ("JST", 9 * HOUR),
    ("KST", 9 * HOUR),
    ("SGT", 8 * HOUR),
    ("IST", 11 * HOUR / 2),
    ("GST", 4 * HOUR),
    ("ICT", 7 * HOUR),
    ("WIB", 7 * HOUR),
    ("WITA", 8 * HOUR),
    ("WIT", 9 * HOUR),
    ("MYT", 8 * HOUR),
    ("BDT", 6 * HOUR),
    ("NPT", 23 * HOUR / 4),
    ("WAT", HOUR),
    ("CAT", 2 * HOUR),
    ("EAT", 3 * HOUR),
    ("SAST", 2 * HOUR),
];

/// Reads the name of a zone, in any case, and returns its offset with the bytes it took.
pub(super) fn read_name(text: &[u8]) -> Option<(i32, usize)> {
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let word = &text[..length];
    if let [letter] = word {
        return Some((military(letter.to_ascii_uppercase())? * HOUR, 1));
    }
    let known = ABBREVIATIONS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    known.map(|(_, offset)| (*offset, length))
}

/// Hours east of UTC of the letters that armies use; there is no J.
fn military(letter: u8) -> Option<i32> {
    let hours = i32::from(letter) - i32::from(b'A') + 1;
    match letter {
        b'A'..=b'I' => Some(hours),
        b'K'..=b'M' => Some(hours - 1),
        b'N'..=b'Y' => Some(13 - hours),
        b'Z' => Some(0),
        _ => None,
    }
}
