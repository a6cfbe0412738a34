//! What keeps names of objects apart: eight letters and digits, one part of 2 × 10^14.
//!
//! | object | what the part is made of | so |
//! |---|---|---|
//! | in memory, sent whole | its entries: their router, tags, times and lines | who sends them again, a client after a crash too, writes the same bytes to the same place |
//! | in memory, sent in parts | what it begins with: router, tag, the first time, the first MiB of lines | it is named before its end is known |
//! | in a journal | this run and the object's number in it; it stands in the journal | a later run completes it under its name |
//!
//! Two objects may begin alike and end otherwise: a client that lost its acks sends some records again, and not others. So an object in parts
//! never takes a name that an object has already. It goes to the next one, and when its end is known it is compared with
//! those it met: what is in the bucket already, byte for byte, is not written twice (`upload`). Who may not look there (`s3:GetObject`,
//! `s3:ListBucket`) gets a name that nothing else has.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crc_fast::{CrcAlgorithm, Digest};
use ikada_record::{Tag, Timestamp};

use super::key::{KeyFormat, Mark};

/// Letters of a part.
const LEN: usize = 8;
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Objects of a run whose entries are remembered.
const REMEMBERED: usize = 4_096;

/// The entries of an object, however they came in pieces.
#[derive(Clone)]
pub(crate) struct Fingerprint {
    lines: Digest,
    times: Digest,
    /// Each tag with the place where its lines begin.
    tags: Digest,
    last_tag: Option<Tag>,
}

impl Fingerprint {
    /// No entries.
    pub(crate) fn new() -> Self {
        let none = Digest::new(CrcAlgorithm::Crc64Nvme);
        Self { lines: none, times: none, tags: none, last_tag: None }
    }

    /// Entries follow.
    pub(crate) fn add(&mut self, tag: &Tag, times: &[u8], lines: &[u8]) {
        if self.last_tag.as_ref() != Some(tag) {
            self.tags.update(&self.lines.get_amount().to_le_bytes());
            self.tags.update(tag.as_bytes());
            self.last_tag = Some(tag.clone());
        }
        self.times.update(times);
        self.lines.update(lines);
    }
}

/// Bytes of lines that an object's beginning is known by: less than any part holds.
const BEGINNING: usize = 1024 * 1024;

/// Bytes of one time.
const TIME: usize = 12;

/// What an object begins with, however it came in pieces.
#[derive(Clone)]
pub(crate) struct Beginning {
    entries: Fingerprint,
    len: usize,
}

impl Beginning {
    /// No entries.
    pub(crate) fn new() -> Self {
        Self { entries: Fingerprint::new(), len: 0 }
    }

    /// Entries follow.
    pub(crate) fn add(&mut self, tag: &Tag, times: &[u8], lines: &[u8]) {
        if self.len == BEGINNING {
            return;
        }
        // How many of the times belong to the part of the lines that counts is not worth knowing.
        let times = if self.len == 0 { &times[..times.len().min(TIME)] } else { &[] };
        let lines = &lines[..lines.len().min(BEGINNING - self.len)];
        self.entries.add(tag, times, lines);
        self.len += lines.len();
    }
}

/// Writes a time as [`Fingerprint::add`] takes it.
#[inline]
pub(crate) fn push_time(time: Timestamp, times: &mut Vec<u8>) {
    times.extend_from_slice(&time.secs().to_le_bytes());
    times.extend_from_slice(&time.nanos().to_le_bytes());
}

/// A part that keeps names apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Unique(u64);

impl Unique {
    /// The next one, where this one is somebody else's.
    pub(crate) fn next(self) -> Self {
        Self(mix(&[self.0, 1]))
    }

    /// Its letters and digits.
    pub(crate) fn text(self) -> String {
        let mut rest = self.0;
        let mut text = String::with_capacity(LEN);
        for _ in 0..LEN {
            text.push(char::from(LETTERS[(rest % 62) as usize]));
            rest /= 62;
        }
        text
    }
}

/// Words made into one that depends on all of them. The same in every version (S. Vigna, "splitmix64").
fn mix(words: &[u64]) -> u64 {
    words.iter().fold(0, |state: u64, word| {
        let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// A word for a text that tells one router from another.
pub(crate) fn source_of(text: &str) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, text.as_bytes())
}

/// The parts of one output.
pub(crate) struct Names {
    /// This run.
    run: u64,
    /// This router and output, in every run.
    source: u64,
    drawn: u64,
    /// How often the same entries came in this run: each of these objects is one of its own.
    seen: HashMap<u64, u64>,
    seen_order: VecDeque<u64>,
}

impl Names {
    /// The names of a run.
    pub(crate) fn new(source: u64) -> Self {
        Self { run: rand::random(), source, drawn: 0, seen: HashMap::new(), seen_order: VecDeque::new() }
    }

    /// A part that nothing else has.
    pub(crate) fn draw(&mut self) -> Unique {
        self.drawn += 1;
        Unique(mix(&[self.run, self.drawn]))
    }

    /// The part of an object that begins with these entries.
    pub(crate) fn of_beginning(&mut self, beginning: &Beginning) -> Unique {
        self.of(&beginning.entries)
    }

    /// The part of an object of these entries.
    pub(crate) fn of(&mut self, entries: &Fingerprint) -> Unique {
        let sums = [&entries.tags, &entries.times, &entries.lines];
        let [tags, times, lines] = sums.map(Digest::finalize);
        let word = mix(&[self.source, tags, times, lines, entries.lines.get_amount()]);
        let times = self.seen.entry(word).or_insert(0);
        *times += 1;
        if *times == 1 {
            self.seen_order.push_back(word);
        }
        let unique = Unique(mix(&[word, *times]));
        if self.seen_order.len() > REMEMBERED
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        unique
    }
}

/// An object's name but for the part that keeps it apart.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) keys: Arc<KeyFormat>,
    pub(crate) tag: Tag,
    pub(crate) first: Timestamp,
    pub(crate) index: u64,
}

impl Name {
    /// The whole name.
    pub(crate) fn with(&self, unique: Unique) -> String {
        let mark = Mark { unique: &unique.text(), index: self.index };
        self.keys.render(self.tag.as_bytes(), self.first, mark)
    }

    /// Whether the object is meant to take the place of another.
    pub(crate) fn overwrites(&self) -> bool {
        self.keys.is_static()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn fingerprint(pieces: &[(&str, Vec<(i64, &str)>)]) -> Fingerprint {
        let mut entries = Fingerprint::new();
        for (tag, piece) in pieces {
            let (mut times, mut lines) = (Vec::new(), Vec::new());
            for (secs, line) in piece {
                push_time(Timestamp::new(*secs, 0), &mut times);
                lines.extend_from_slice(line.as_bytes());
            }
            entries.add(&Tag::from(*tag), &times, &lines);
        }
        entries
    }

    #[test]
    fn no_part_comes_twice_in_a_run_or_in_another() {
        let mut runs: Vec<Names> = (0..10).map(|_| Names::new(1)).collect();
        let drawn: HashSet<String> = runs
            .iter_mut()
            .flat_map(|run| (0..1000).map(|_| run.draw().text()).collect::<Vec<_>>())
            .collect();
        assert_eq!(drawn.len(), 10_000);
        assert!(
            drawn.iter().all(|name| name.len() == LEN && name.bytes().all(|b| b.is_ascii_alphanumeric()))
        );
    }

    #[test]
    fn the_same_entries_have_the_same_part_in_every_run() {
        let whole = fingerprint(&[("a", vec![(1, "x\n"), (2, "y\n")])]);
        let pieces = fingerprint(&[("a", vec![(1, "x\n")]), ("a", vec![(2, "y\n")])]);
        let part = |source, entries: &Fingerprint| Names::new(source).of(entries);
        assert_eq!(part(7, &whole), part(7, &pieces));
        let others = [
            fingerprint(&[("b", vec![(1, "x\n"), (2, "y\n")])]),
            fingerprint(&[("a", vec![(1, "x\n"), (3, "y\n")])]),
            fingerprint(&[("a", vec![(1, "x\n"), (2, "z\n")])]),
            fingerprint(&[("a", vec![(1, "x\n")]), ("b", vec![(2, "y\n")])]),
            fingerprint(&[("a", vec![(1, "x\n")])]),
        ];
        let mut parts: HashSet<Unique> = others.iter().map(|other| part(7, other)).collect();
        parts.extend([part(7, &whole), part(8, &whole), part(7, &whole).next()]);
        assert_eq!(parts.len(), 8, "another tag, time, line, place, end, router or try is another part");
    }

    #[test]
    fn the_same_entries_twice_in_a_run_are_two_objects_and_the_same_two_in_the_next() {
        let entries = fingerprint(&[("a", vec![(1, "x\n")])]);
        let run = || {
            let mut names = Names::new(1);
            [names.of(&entries), names.of(&entries)]
        };
        let [first, second] = run();
        assert_ne!(first, second);
        assert_eq!(run(), [first, second]);
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_bounded(count in 1usize..20_000) {
            let mut names = Names::new(1);
            for number in 0..count {
                names.of(&fingerprint(&[("a", vec![(number as i64, "")])]));
            }
            prop_assert!(names.seen.len() <= REMEMBERED && names.seen_order.len() <= REMEMBERED);
        }
    }
}
