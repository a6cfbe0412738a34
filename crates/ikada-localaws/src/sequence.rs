//! Follows numbered records, so that a test can say how many were lost, doubled or turned around.
//!
//! A record takes part by carrying a mark `seq=<client>:<number>` anywhere in its text. `client` is 1 to 64 of
//! `A-Z a-z 0-9 _ . -`; numbers count up within a client, from any start. A request's marks are gathered as runs
//! of consecutive numbers without any lock, then set in the bitmap of the destination in one short step.

use std::collections::{BTreeMap, HashMap};

use memchr::memmem::Finder;

/// Longest client name that is taken for one.
const MAX_CLIENT: usize = 64;

/// Most gaps that a report names.
const MAX_GAPS: usize = 64;

const WORDS: usize = 1024;
const BITS: u64 = WORDS as u64 * 64;

/// Finds marks in record text.
#[derive(Debug)]
pub(crate) struct MarkFinder(Finder<'static>);

impl Default for MarkFinder {
    fn default() -> Self {
        MarkFinder(Finder::new("seq="))
    }
}

impl MarkFinder {
    /// Adds every mark in `text` to `marks`.
    pub(crate) fn scan(&self, text: &[u8], marks: &mut Marks) {
        for at in self.0.find_iter(text) {
            let after = text.get(at + 4..).unwrap_or_default();
            if let Some((client, number)) = parse_mark(after) {
                marks.add(client, number);
            }
        }
    }
}

fn parse_mark(text: &[u8]) -> Option<(&str, u64)> {
    let window = text.get(..=MAX_CLIENT).unwrap_or(text);
    let colon = window.iter().position(|byte| !is_client_byte(*byte))?;
    if colon == 0 || text.get(colon) != Some(&b':') {
        return None;
    }
    let digits = text.get(colon + 1..)?.iter().take_while(|byte| byte.is_ascii_digit());
    let mut number: Option<u64> = None;
    for digit in digits {
        let value = u64::from(digit - b'0');
        number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(value)?);
    }
    // `u64::MAX` itself is refused so that a run's exclusive end always exists.
    let number = number.filter(|&number| number < u64::MAX)?;
    Some((std::str::from_utf8(text.get(..colon)?).ok()?, number))
}

fn is_client_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// Consecutive numbers `start..end` in the order in which they stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// The marks of one request or object, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    clients: Vec<(Box<str>, Vec<Run>)>,
    last: usize,
}

impl Marks {
    fn add(&mut self, client: &str, number: u64) {
        let same = self.clients.get(self.last).is_some_and(|(name, _)| &**name == client);
        if !same {
            self.last = self.index_of(client);
        }
        let Some((_, runs)) = self.clients.get_mut(self.last) else { return };
        match runs.last_mut() {
            Some(run) if run.end == number => run.end += 1,
            _ => runs.push(Run { start: number, end: number + 1 }),
        }
    }

    fn index_of(&mut self, client: &str) -> usize {
        if let Some(index) = self.clients.iter().position(|(name, _)| &**name == client) {
            return index;
        }
        self.clients.push((client.into(), Vec::new()));
        self.clients.len() - 1
    }
}

/// What is known of the numbers of all clients at one destination.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    clients: HashMap<Box<str>, ClientTrack>,
}

impl Tracker {
    /// Notes that the records behind `marks` have been taken.
    pub(crate) fn apply(&mut self, marks: &Marks) {
        for (client, runs) in &marks.clients {
            if !self.clients.contains_key(client) {
                self.clients.insert(client.clone(), ClientTrack::default());
            }
            let Some(track) = self.clients.get_mut(client) else { continue };
            runs.iter().for_each(|run| track.take(*run));
        }
    }

    /// Adds everything that `other` has seen, as if it had come to the same place.
    pub(crate) fn absorb(&mut self, other: &Tracker) {
        for (client, track) in &other.clients {
            self.clients.entry(client.clone()).or_default().absorb(track);
        }
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = (&str, &ClientTrack)> {
        self.clients.iter().map(|(name, track)| (&**name, track))
    }
}

/// The numbers of one client at one destination.
#[derive(Debug, Default)]
pub(crate) struct ClientTrack {
    seen: Bitmap,
    /// Numbers seen at least once.
    pub(crate) distinct: u64,
    /// Times a number came again.
    pub(crate) duplicated: u64,
    /// Numbers that came for the first time after a higher one.
    pub(crate) out_of_order: u64,
    /// One past the highest number seen.
    pub(crate) end: u64,
}

impl ClientTrack {
    fn take(&mut self, run: Run) {
        let turn = self.end.clamp(run.start, run.end);
        let late = self.seen.insert(run.start, turn);
        let fresh = self.seen.insert(turn, run.end);
        self.out_of_order += late;
        self.distinct += late + fresh;
        self.duplicated += run.end - run.start - late - fresh;
        self.end = self.end.max(run.end);
    }

    fn absorb(&mut self, other: &ClientTrack) {
        let fresh = self.seen.absorb(&other.seen);
        self.distinct += fresh;
        self.duplicated += other.duplicated + (other.distinct - fresh);
        self.out_of_order += other.out_of_order;
        self.end = self.end.max(other.end);
    }

    /// The lowest number seen.
    pub(crate) fn first(&self) -> Option<u64> {
        self.seen.next(0, true)
    }

    /// The first ranges `(from, to)`, both inclusive, between the lowest and highest number that were not seen.
    pub(crate) fn gaps(&self) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let Some(mut at) = self.first() else { return gaps };
        while gaps.len() < MAX_GAPS {
            let Some(from) = self.seen.next(at, false).filter(|&from| from < self.end) else { break };
            let Some(next) = self.seen.next(from, true) else { break };
            gaps.push((from, next - 1));
            at = next;
        }
        gaps
    }
}

/// A sparse bitmap: one page of 8 KiB for every 65,536 numbers of which one was seen.
#[derive(Debug, Default)]
struct Bitmap {
    pages: BTreeMap<u64, Box<[u64; WORDS]>>,
}

impl Bitmap {
    /// Sets `start..end`; returns how many of them were not set before.
    fn insert(&mut self, start: u64, end: u64) -> u64 {
        let mut fresh = 0;
        let mut at = start;
        while at < end {
            let page_end = (at / BITS).saturating_add(1).saturating_mul(BITS).min(end);
            let page = self.pages.entry(at / BITS).or_insert_with(|| Box::new([0; WORDS]));
            fresh += set_in_page(page, at, page_end);
            at = page_end;
        }
        fresh
    }

    fn absorb(&mut self, other: &Bitmap) -> u64 {
        let mut fresh = 0;
        for (number, theirs) in &other.pages {
            let ours = self.pages.entry(*number).or_insert_with(|| Box::new([0; WORDS]));
            for (word, other) in ours.iter_mut().zip(theirs.iter()) {
                fresh += u64::from((other & !*word).count_ones());
                *word |= other;
            }
        }
        fresh
    }

    /// The first number at or after `from` that is set, or is not set.
    fn next(&self, from: u64, set: bool) -> Option<u64> {
        if set {
            return self
                .pages
                .range(from / BITS..)
                .find_map(|(page, words)| find_in_page(*page, words, from, true));
        }
        let mut at = from;
        loop {
            let Some(words) = self.pages.get(&(at / BITS)) else { return Some(at) };
            if let Some(found) = find_in_page(at / BITS, words, at, false) {
                return Some(found);
            }
            at = (at / BITS).checked_add(1)?.checked_mul(BITS)?;
        }
    }
}

fn set_in_page(page: &mut [u64; WORDS], start: u64, end: u64) -> u64 {
    let mut fresh = 0;
    let mut at = start;
    while at < end {
        let bit = at % 64;
        let count = (64 - bit).min(end - at);
        let mask = (u64::MAX >> (64 - count)) << bit;
        if let Some(word) = page.get_mut((at % BITS / 64) as usize) {
            fresh += u64::from((mask & !*word).count_ones());
            *word |= mask;
        }
        at += count;
    }
    fresh
}

fn find_in_page(page: u64, words: &[u64; WORDS], from: u64, set: bool) -> Option<u64> {
    let base = page * BITS;
    let skip = from.saturating_sub(base);
    for (index, word) in words.iter().enumerate().skip((skip / 64) as usize) {
        let mut wanted = if set { *word } else { !*word };
        let at = base + index as u64 * 64;
        if at < from {
            wanted &= u64::MAX << (from - at);
        }
        if wanted != 0 {
            return Some(at + u64::from(wanted.trailing_zeros()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(texts: &[&str]) -> Tracker {
        let finder = MarkFinder::default();
        let mut tracker = Tracker::default();
        for text in texts {
            let mut marks = Marks::default();
            finder.scan(text.as_bytes(), &mut marks);
            tracker.apply(&marks);
        }
        tracker
    }

    fn client(texts: &[&str], name: &str) -> (u64, u64, u64, Vec<(u64, u64)>) {
        let tracker = track(texts);
        let track = &tracker.clients[name];
        (track.distinct, track.duplicated, track.out_of_order, track.gaps())
    }

    #[test]
    fn numbers_in_order_have_no_gap() {
        assert_eq!(client(&["seq=a:0 seq=a:1", "x seq=a:2\""], "a"), (3, 0, 0, vec![]));
    }

    #[test]
    fn a_gap_a_double_and_a_late_number_are_told_apart() {
        assert_eq!(client(&["seq=a:1 seq=a:2 seq=a:5 seq=a:2 seq=a:4"], "a"), (4, 1, 1, vec![(3, 3)]));
    }

    #[test]
    fn clients_are_counted_apart() {
        let tracker = track(&["seq=a:0 seq=b-2.x_y:7 seq=a:1 seq=b-2.x_y:8"]);
        let mut counts: Vec<_> = tracker.clients().map(|(name, track)| (name, track.distinct)).collect();
        counts.sort_unstable();
        assert_eq!(counts, [("a", 2), ("b-2.x_y", 2)]);
    }

    #[test]
    fn text_that_only_looks_like_a_mark_is_left_alone() {
        let tracker =
            track(&["seq= seq=: seq=a seq=a: seq=a:x seq=a b:1 seq=a:99999999999999999999999", "seq=é:1"]);
        assert_eq!(tracker.clients().count(), 0);
    }

    #[test]
    fn a_bitmap_agrees_with_a_set() {
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        let (mut bitmap, mut set) = (Bitmap::default(), std::collections::BTreeSet::new());
        for _ in 0..2000 {
            let start = random() % 200_000;
            let end = start + random() % 200;
            let fresh = (start..end).filter(|n| set.insert(*n)).count() as u64;
            assert_eq!(bitmap.insert(start, end), fresh);
            let from = random() % 210_000;
            assert_eq!(bitmap.next(from, true), set.range(from..).next().copied());
            assert_eq!(bitmap.next(from, false), (from..).find(|n| !set.contains(n)));
        }
    }

    #[test]
    fn the_same_number_at_two_places_is_a_double_of_the_whole() {
        let mut all = track(&["seq=a:0 seq=a:1"]);
        all.absorb(&track(&["seq=a:1 seq=a:2"]));
        let track = &all.clients["a"];
        assert_eq!((track.distinct, track.duplicated, track.end), (3, 1, 3));
    }
}
