//! The field in which a parser looks for the time.

use std::sync::atomic::{AtomicU64, Ordering};

use ikada_msgpack::{MapView, View, str_bytes};
use ikada_record::Timestamp;

use super::map::remove_pair;
use super::view_of;
use crate::time::{TimeRules, suggest};

/// So much of a text is shown.
const SHOWN: usize = 40;

/// Which field, in which format, and what becomes of it.
#[derive(Debug)]
pub(super) struct TimeField {
    pub(super) parser: Box<str>,
    pub(super) key: Box<[u8]>,
    pub(super) rules: TimeRules,
    /// The field stays in the record.
    pub(super) keep: bool,
    /// Formats that are tried after the parser's own; a field that is read by one of them stays.
    pub(super) also: Box<[TimeRules]>,
    pub(super) misses: AtomicU64,
}

/// What a field's text gave.
pub(super) struct Found {
    /// The time; none for the first second of 1970, with which programs say that they do not know it (case `time-epoch0`).
    pub(super) time: Option<Timestamp>,
    /// Whether the field stays.
    pub(super) keep: bool,
}

impl TimeField {
    pub(super) fn is_named(&self, name: &[u8]) -> bool {
        *self.key == *name
    }

    pub(super) fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Reads the time from its text. `None` if it does not fit; that is counted, and said the first time.
    pub(super) fn read(&self, text: &[u8], now: Timestamp) -> Option<Found> {
        if let Some(time) = self.rules.time_of(text, now) {
            return Some(Found::new(time, self.keep));
        }
        let other = self.also.iter().find_map(|rules| rules.time_of(text, now).filter(is_likely));
        if other.is_none() {
            self.miss(text);
        }
        other.map(|time| Found::new(time, true))
    }

    /// Looks for the time in the map that starts at `start`, and takes the field out if it is not to stay. The first field of that
    /// name counts.
    pub(super) fn take_from_map(&self, start: usize, now: Timestamp, out: &mut Vec<u8>) -> Option<Timestamp> {
        let (pair, found) = self.find(start, now, out)?;
        if !found.keep {
            remove_pair(out, start, pair);
        }
        found.time
    }

    fn find(&self, start: usize, now: Timestamp, out: &[u8]) -> Option<(std::ops::Range<usize>, Found)> {
        let map = MapView::known(&out[start..]);
        let mut at = out.len() - map.body().len();
        for (key, value) in map.raw() {
            let end = at + key.len() + value.len();
            if str_bytes(key) == Some(&self.key) {
                return Some((at..end, self.read_value(value, now)?));
            }
            at = end;
        }
        None
    }

    fn read_value(&self, value: &[u8], now: Timestamp) -> Option<Found> {
        if let Some(text) = str_bytes(value) {
            return self.read(text, now);
        }
        let view = view_of(value);
        if !matches!(view, View::Uint(_) | View::Float(_)) {
            return None;
        }
        if let Some(time) = self.rules.time_of_number(&view) {
            return Some(Found::new(time, self.keep));
        }
        let other = self.also.iter().find_map(|rules| rules.time_of_number(&view).filter(is_likely));
        other.map(|time| Found::new(time, true))
    }

    /// Counts a text that does not fit, and says so: the first time, then whenever a thousand times as many have come.
    fn miss(&self, text: &[u8]) {
        let count = self.misses.fetch_add(1, Ordering::Relaxed) + 1;
        if matches!(count, 1 | 1_000 | 1_000_000 | 1_000_000_000) {
            self.say(text, count);
        }
    }

    #[cold]
    fn say(&self, text: &[u8], count: u64) {
        let (parser, format) = (&self.parser, self.rules.format());
        let sample = sample(text);
        match suggest(text) {
            Some(better) => tracing::warn!(
                %parser, %format, sample, suggestion = better, count,
                "time does not fit `Time_Format`; the record keeps the time it came with"
            ),
            None => tracing::warn!(
                %parser, %format, sample, count,
                "time does not fit `Time_Format`; the record keeps the time it came with"
            ),
        }
    }
}

/// Whether a time that no format asks for is one: a field `time` may well hold how long something took.
fn is_likely(time: &Timestamp) -> bool {
    time.secs() >= 100_000_000
}

impl Found {
    fn new(time: Timestamp, keep: bool) -> Self {
        Self { time: Some(time).filter(|time| *time != Timestamp::default()), keep }
    }
}

/// What may be shown of a text that should have been a time: its shape, with `0` for every digit and `a` for every letter.
fn sample(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN)]);
    let shape = text.chars().take(SHOWN).map(|letter| match letter {
        letter if letter.is_ascii_digit() => '0',
        letter if letter.is_alphanumeric() => 'a',
        letter if letter.is_control() => '?',
        letter => letter,
    });
    shape.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_shows_a_shape_and_no_content() {
        assert_eq!(sample("2025-09-11T15:46:18+09:00".as_bytes()), "0000-00-00a00:00:00+00:00");
        assert_eq!(sample("山田 secret\n".as_bytes()), "aa aaaaaa?");
        assert_eq!(sample(&[b'x'; 500]).len(), SHOWN);
    }
}
