//! By what a file, and a place in it, is known again.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use xxhash_rust::xxh3::xxh3_64;

/// Bytes at the start of a file by which it is known again.
pub(crate) const HEAD: usize = 256;

/// Bytes before a position by which the position is known again: as many as Fluent Bit takes (reference, inputs §3.8).
pub(crate) const MARKER: usize = 32;

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// What the system says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) id: FileId,
    pub(crate) size: u64,
    /// Time of modification, in nanoseconds.
    pub(crate) mtime: i64,
    /// Time of birth in nanoseconds, where the file system keeps it.
    pub(crate) born: Option<i64>,
    /// Names that the file has.
    pub(crate) links: u64,
    pub(crate) is_file: bool,
}

impl Stat {
    pub(crate) fn of(meta: &Metadata) -> Self {
        let nanos = |secs: i64, nanos: i64| secs.saturating_mul(1_000_000_000).saturating_add(nanos);
        let born = meta.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Self {
            id: FileId { device: meta.dev(), inode: meta.ino() },
            size: meta.size(),
            mtime: nanos(meta.mtime(), meta.mtime_nsec()),
            born: born.and_then(|at| i64::try_from(at.as_nanos()).ok()),
            links: meta.nlink(),
            is_file: meta.is_file(),
        }
    }
}

/// The first bytes of a file, at most [`HEAD`].
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Head(Vec<u8>);

impl fmt::Debug for Head {
    /// No content of a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({} bytes)", self.0.len())
    }
}

impl Head {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(bytes[..bytes.len().min(HEAD)].to_vec())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes up what was found behind what is known, at `offset` of the file.
    pub(crate) fn grow(&mut self, offset: u64, bytes: &[u8]) {
        if self.0.len() < HEAD && offset <= self.0.len() as u64 {
            let known = self.0.len() - offset as usize;
            if known < bytes.len() {
                let more = (bytes.len() - known).min(HEAD - self.0.len());
                self.0.extend_from_slice(&bytes[known..known + more]);
            }
        }
    }

    pub(crate) fn print(&self) -> Print {
        Print { hash: hash(&self.0), size: self.0.len() as u16 }
    }

    /// Whether one is the beginning of the other.
    pub(crate) fn begins_like(&self, other: &Self) -> bool {
        let len = self.0.len().min(other.0.len());
        self.0[..len] == other.0[..len]
    }

    /// Whether this is, or starts with, what the print was taken of.
    pub(crate) fn has(&self, print: Print) -> bool {
        let size = usize::from(print.size);
        size <= self.0.len() && hash(&self.0[..size]) == print.hash
    }
}

/// A hash of a file's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Print {
    pub(crate) hash: i64,
    /// How many bytes; 0 if nothing is known.
    pub(crate) size: u16,
}

/// A position, and the bytes before it by which it is known again.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    bytes: [u8; MARKER],
    len: u8,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({}, {} bytes)", self.offset, self.len)
    }
}

impl Place {
    /// The position `offset`, behind `before`.
    pub(crate) fn new(offset: u64, before: &[u8]) -> Self {
        let before = &before[before.len().saturating_sub(MARKER)..];
        let mut bytes = [0; MARKER];
        bytes[..before.len()].copy_from_slice(before);
        Self { offset, bytes, len: before.len() as u8 }
    }

    /// The bytes before it.
    pub(crate) fn before(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Moves on by `bytes`.
    pub(crate) fn advance(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        if bytes.len() >= MARKER {
            self.bytes.copy_from_slice(&bytes[bytes.len() - MARKER..]);
            self.len = MARKER as u8;
            return;
        }
        let keep = usize::from(self.len).min(MARKER - bytes.len());
        let from = usize::from(self.len) - keep;
        self.bytes.copy_within(from..from + keep, 0);
        self.bytes[keep..keep + bytes.len()].copy_from_slice(bytes);
        self.len = (keep + bytes.len()) as u8;
    }

    /// The hash that is stored, and of how many bytes.
    pub(crate) fn marker(&self) -> (i64, u8) {
        if self.len == 0 { (0, 0) } else { (hash(self.before()), self.len) }
    }
}

/// XXH3 as SQLite stores it: a signed number.
pub(crate) fn hash(bytes: &[u8]) -> i64 {
    xxh3_64(bytes) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_the_one_that_fluent_bit_stores() {
        assert_eq!(Place::new(6, b"l1\nl2\n").marker(), (-71_276_765_683_462_781, 6));
    }

    #[test]
    fn a_place_keeps_the_last_bytes_before_it() {
        let text: Vec<u8> = (0..200).collect();
        for steps in [vec![200], vec![1; 200], vec![31, 2, 40, 0, 60, 33, 34], vec![5, 30, 165]] {
            let mut place = Place::default();
            let mut at = 0;
            for step in steps {
                place.advance(&text[at..at + step]);
                at += step;
                assert_eq!(place, Place::new(at as u64, &text[..at]));
            }
        }
    }

    #[test]
    fn a_head_grows_up_to_its_limit_and_is_known_by_an_early_print() {
        let text = vec![7; 1000];
        let mut head = Head::default();
        head.grow(0, &text[..10]);
        let early = head.print();
        head.grow(0, &text[..4]);
        assert_eq!(head.len(), 10);
        head.grow(5, &text[5..50]);
        assert_eq!(head.len(), 50);
        head.grow(100, &text);
        assert_eq!(head.len(), 50);
        head.grow(50, &text);
        assert_eq!(head.len(), HEAD);
        assert!(head.has(early) && head.has(head.print()));
        assert!(!Head::new(b"other bytes").has(early));
    }
}
