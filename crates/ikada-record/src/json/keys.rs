//! Which keys of a map come again.
//!
//! Of several members under one string key only the last may be written. Finding out beforehand would walk every map
//! twice, and nearly no record has such keys. So the first walk writes at once and remembers a fingerprint of each key in
//! [`Seen`]; when one comes up again the text is thrown away and a second, careful walk asks [`repeats`] about each map
//! before it writes it. Nothing here grows with the square of a map's size.

use std::collections::HashMap;

use ikada_msgpack::{MapView, str_bytes};
use smallvec::SmallVec;

use super::escape::ends;

/// The quick walk met a fingerprint that it knows.
#[derive(Debug)]
pub(super) struct Repeated;

/// Fingerprints that are compared at once.
const LANE: usize = 8;

/// Keys that are remembered in all the maps that are open at one time. Maps beyond are looked through first.
const MOST: usize = 64;

/// Fingerprints of the keys in the maps that are being written, those of inner maps behind those of outer ones.
pub(super) struct Seen {
    prints: [u32; MOST],
    top: usize,
}

/// Where the fingerprints of one map lie.
pub(super) struct Shelf {
    start: usize,
    len: usize,
    /// One bit for each fingerprint, several for one bit: most new keys are told by this alone.
    hints: u64,
}

impl Shelf {
    /// Whether no key was added yet.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { prints: [0; MOST], top: 0 }
    }

    /// Makes room for the keys of a map, if there is some.
    #[inline]
    pub(super) fn open(&mut self, keys: usize) -> Option<Shelf> {
        let start = self.top;
        let end = start.checked_add(keys.checked_next_multiple_of(LANE)?)?;
        self.prints.get_mut(start..end)?.fill(0);
        self.top = end;
        Some(Shelf { start, len: 0, hints: 0 })
    }

    /// Gives the room of the innermost map back.
    #[inline]
    pub(super) fn close(&mut self, shelf: &Shelf) {
        self.top = shelf.start;
    }

    /// Remembers a key of the innermost map. Two keys with one fingerprint count as one: the careful walk looks closer.
    #[inline]
    pub(super) fn add(&mut self, shelf: &mut Shelf, key: Fingerprint) -> Result<(), Repeated> {
        let Fingerprint(print) = key;
        let hint = 1 << (print >> 26);
        if shelf.hints & hint != 0 && self.knows(shelf, print) {
            return Err(Repeated);
        }
        shelf.hints |= hint;
        if let Some(place) = self.prints.get_mut(shelf.start + shelf.len) {
            *place = print;
        }
        shelf.len += 1;
        Ok(())
    }

    fn knows(&self, shelf: &Shelf, print: u32) -> bool {
        let (lanes, _) = self.prints[shelf.start..].as_chunks::<LANE>();
        let mut lanes = lanes.iter().take(shelf.len.div_ceil(LANE));
        lanes.any(|lane| lane.iter().fold(false, |any, known| any | (*known == print)))
    }
}

/// A number from a key's length and its ends; never 0, which marks an empty place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint(u32);

impl Fingerprint {
    #[inline(always)]
    pub(super) fn of(key: &[u8]) -> Self {
        let (first, last) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
            (Some(first), Some(last)) if key.len() > 16 => {
                (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
            }
            _ => ends(key),
        };
        let first = first.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let last = (last ^ (key.len() as u64) << 56).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        Self(((first ^ last.rotate_left(29)).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 32) as u32 | 1)
    }
}

/// The places of those pairs in a map whose string key comes again later, in order.
pub(super) fn repeats(map: &[u8]) -> SmallVec<[usize; 8]> {
    const FEW: usize = 32;
    let map = MapView::known(map);
    let keys = map.raw().enumerate().filter_map(|(index, (key, _))| Some((index, str_bytes(key)?)));
    let mut dropped = SmallVec::new();
    if map.len() <= FEW {
        let keys: SmallVec<[(usize, &[u8]); FEW]> = keys.collect();
        for (at, (index, key)) in keys.iter().enumerate() {
            if keys[at + 1..].iter().any(|(_, later)| later == key) {
                dropped.push(*index);
            }
        }
        return dropped;
    }
    let mut last: HashMap<&[u8], usize, foldhash::fast::RandomState> = HashMap::default();
    for (index, key) in keys {
        if let Some(earlier) = last.insert(key, index) {
            dropped.push(earlier);
        }
    }
    dropped.sort_unstable();
    dropped
}

/// Whether a map has a string key of this name.
pub(super) fn has(map: &[u8], name: &[u8]) -> bool {
    MapView::known(map).raw().any(|(key, _)| str_bytes(key) == Some(name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_of_everyday_have_fingerprints_of_their_own() {
        let mut keys: Vec<String> = (0..20_000).map(|n| format!("field_{n}")).collect();
        keys.extend((0..1000).map(|n| n.to_string()));
        keys.extend(('a'..='z').flat_map(|a| ('a'..='z').map(move |b| format!("app.kubernetes.io/{a}{b}"))));
        keys.extend(('a'..='z').flat_map(|a| [format!("{a}"), format!("{a}{a}"), format!("{a}{a}{a}")]));
        let prints: HashSet<_> = keys.iter().map(|key| Fingerprint::of(key.as_bytes())).collect();
        assert!(prints.len() + 3 >= keys.len(), "{} of {}", prints.len(), keys.len());
    }

    #[test]
    fn a_map_forgets_what_its_sibling_showed() {
        let of = Fingerprint::of;
        let mut seen = Seen::new();
        let mut outer = seen.open(3).unwrap();
        seen.add(&mut outer, of(b"a")).unwrap();
        for _ in 0..2 {
            let mut inner = seen.open(9).unwrap();
            for key in 0..9u8 {
                seen.add(&mut inner, of(&[key])).unwrap();
            }
            assert!(seen.add(&mut inner, of(&[3])).is_err());
            seen.close(&inner);
        }
        assert!(seen.add(&mut outer, of(b"a")).is_err());
        assert!(seen.open(MOST).is_none());
    }

    #[test]
    fn each_of_many_keys_is_known_again() {
        let mut seen = Seen::new();
        let mut shelf = seen.open(MOST).unwrap();
        for key in 0..MOST as u8 {
            seen.add(&mut shelf, Fingerprint::of(&[key])).unwrap();
        }
        for key in 0..MOST as u8 {
            assert!(seen.add(&mut shelf, Fingerprint::of(&[key])).is_err());
        }
    }
}
