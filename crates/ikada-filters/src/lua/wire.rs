//! Values as they cross into LuaJIT and back: in the form of its `string.buffer`.
//!
//! LuaJIT can turn a string of bytes into a table with all that is in it, and back, in one step of compiled code; handing over
//! keys and values one by one costs some ten times as much. The form is documented under "Serialization Format Specification" of the library
//! (luajit.org/ext_buffer.html); numbers are little-endian:
//!
//! | tag | what follows |
//! |---|---|
//! | 0, 1, 2, 3 | nil, false, true, the null pointer |
//! | 4, 5 | other pointers: 4 or 8 bytes |
//! | 6, 7 | a number: 32 bit integer or double |
//! | 8 … 13 | a table: 8, and 1 for one with keys, and 2 or 4 for one with places from 0 or from 1; how many of each; then the values |
//! | 14 | the number of a known metatable; a table |
//! | 16, 17, 18 | integers of 64 bits with and without a sign, two doubles |
//! | 32 + length | text |
//!
//! Tags, counts and lengths take one, two or five bytes ([`put_length`]).

use std::collections::HashMap;
use std::ops::Range;

use ikada_msgpack::{ArrayView, MapView, View};

const NIL: u32 = 0;
const FALSE: u32 = 1;
const TRUE: u32 = 2;
const NULL: u32 = 3;
const POINTER_32: u32 = 4;
const POINTER_64: u32 = 5;
const INT_32: u32 = 6;
const DOUBLE: u32 = 7;
const TABLE: u32 = 8;
/// Added to [`TABLE`].
const KEYS: u32 = 1;
const PLACES_FROM_0: u32 = 2;
const PLACES_FROM_1: u32 = 4;
const METATABLE: u32 = 14;
const INT_64: u32 = 16;
const UINT_64: u32 = 17;
const COMPLEX: u32 = 18;
const TEXT: u32 = 32;

/// Up to so many keys are compared with each other to find one that comes twice.
const FEW: usize = 8;

/// Writes records for LuaJIT.
#[derive(Debug)]
pub(super) struct Writer {
    /// Whether null is handed over; without it, fields that are null vanish.
    keeps_null: bool,
    /// Where the keys of the maps under way stand in what was written.
    keys: Vec<Range<usize>>,
}

impl Writer {
    pub(super) fn new(keeps_null: bool) -> Self {
        Self { keeps_null, keys: Vec::new() }
    }

    /// Writes a map as a table.
    pub(super) fn map(&mut self, out: &mut Vec<u8>, map: MapView<'_>) {
        let (start, first) = (out.len(), self.keys.len());
        let count = self.pairs(out, map.iter());
        if count > 1 && has_twins(out, &mut self.keys[first..]) {
            self.keys.truncate(first);
            out.truncate(start);
            self.pairs(out, last_of_each(map));
        }
        self.keys.truncate(first);
    }

    fn pairs<'r>(&mut self, out: &mut Vec<u8>, pairs: impl Iterator<Item = (View<'r>, View<'r>)>) -> usize {
        put_length(out, TABLE + KEYS);
        let place = out.len() + 1;
        // How many there are is known in the end: five bytes have room for any number.
        out.extend_from_slice(&[0xff, 0, 0, 0, 0]);
        let mut count = 0;
        for (key, value) in pairs {
            let at = out.len();
            if put_key(out, key) {
                self.keys.push(at..out.len());
                self.value(out, value);
                count += 1;
            }
        }
        out[place..place + 4].copy_from_slice(&(count as u32).to_le_bytes());
        count
    }

    fn value(&mut self, out: &mut Vec<u8>, value: View<'_>) {
        match value {
            View::Nil if self.keeps_null => put_length(out, NULL),
            View::Nil | View::Ext(..) => put_length(out, NIL),
            View::Bool(value) => put_length(out, if value { TRUE } else { FALSE }),
            View::Int(n) => put_number(out, n as f64),
            View::Uint(n) => put_number(out, n as f64),
            View::Float(n) => put_number(out, n),
            View::Str(bytes) | View::Bin(bytes) => put_text(out, bytes),
            View::Map(map) => self.map(out, map),
            View::Array(list) => self.list(out, list),
        }
    }

    /// Writes an array as a table with the first of the known metatables.
    fn list(&mut self, out: &mut Vec<u8>, list: ArrayView<'_>) {
        put_length(out, METATABLE);
        put_length(out, 0);
        if list.is_empty() {
            return put_length(out, TABLE);
        }
        put_length(out, TABLE + PLACES_FROM_1);
        // Place 0 counts too, though nothing is in it.
        put_length(out, list.len() as u32 + 1);
        list.iter().for_each(|item| self.value(out, item));
    }
}

/// Writes a key, if Lua has such keys.
fn put_key(out: &mut Vec<u8>, key: View<'_>) -> bool {
    match key {
        View::Str(bytes) | View::Bin(bytes) => put_text(out, bytes),
        View::Bool(value) => put_length(out, if value { TRUE } else { FALSE }),
        View::Int(n) => put_number(out, n as f64),
        View::Uint(n) => put_number(out, n as f64),
        // To Lua, the two zeros are one key.
        View::Float(n) if !n.is_nan() => put_number(out, n + 0.0),
        _ => return false,
    }
    true
}

/// Whether a key is there twice. LuaJIT takes no such tables.
fn has_twins(written: &[u8], keys: &mut [Range<usize>]) -> bool {
    let bytes = |range: &Range<usize>| &written[range.clone()];
    if keys.len() <= FEW {
        let mut rest = &*keys;
        while let [key, others @ ..] = rest {
            if others.iter().any(|other| bytes(other) == bytes(key)) {
                return true;
            }
            rest = others;
        }
        return false;
    }
    keys.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
    keys.windows(2).any(|pair| bytes(&pair[0]) == bytes(&pair[1]))
}

/// The pairs of a map, of those with the same key the last.
fn last_of_each<'r>(map: MapView<'r>) -> impl Iterator<Item = (View<'r>, View<'r>)> {
    let mut places = HashMap::<_, _, foldhash::fast::RandomState>::default();
    for (at, (key, value)) in map.iter().enumerate() {
        let mut name = Vec::new();
        put_key(&mut name, key);
        places.insert(name, (at, key, value));
    }
    let mut pairs: Vec<_> = places.into_values().collect();
    pairs.sort_unstable_by_key(|(at, ..)| *at);
    pairs.into_iter().map(|(_, key, value)| (key, value))
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_length(out, TEXT + text.len() as u32);
    out.extend_from_slice(text);
}

fn put_number(out: &mut Vec<u8>, n: f64) {
    let mut bytes = [DOUBLE as u8; 9];
    bytes[1..].copy_from_slice(&n.to_le_bytes());
    out.extend_from_slice(&bytes);
}

/// Writes a tag, a count or a length: one byte below 0xe0; above, the first of two holds five bits, and 0xff stands before four more.
fn put_length(out: &mut Vec<u8>, n: u32) {
    if n < 0xe0 {
        out.push(n as u8);
    } else if n < 0x1fe0 {
        let n = n - 0xe0;
        out.extend_from_slice(&[0xe0 | (n >> 8) as u8, n as u8]);
    } else {
        out.push(0xff);
        out.extend_from_slice(&n.to_le_bytes());
    }
}

/// One value of what LuaJIT wrote.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Item {
    /// A place of an array where nothing is.
    Nil,
    /// The null pointer, or something that is no value.
    Null,
    Bool(bool),
    Number(f64),
    Int(i64),
    Uint(u64),
    /// Where the text stands.
    Text(usize, usize),
    Table(Table),
}

/// A table: the values that follow it are those of its places, then keys and values in turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Table {
    /// Whether it came as an array.
    pub(super) was_array: bool,
    /// The first place, 0 or 1.
    pub(super) first: usize,
    pub(super) places: usize,
    pub(super) pairs: usize,
}

/// A value, and the number of the one that stands behind it and what it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) item: Item,
    pub(super) end: usize,
}

/// Why bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// They are cut off, or of another form.
    Form,
    /// Tables are nested deeper than is allowed.
    Depth,
    /// There are more tables than are allowed.
    Count,
}

/// Reads what LuaJIT wrote.
#[derive(Debug)]
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Tables that may still come.
    pub(super) tables: usize,
}

impl<'b> Reader<'b> {
    /// For one value with so many tables at most.
    pub(super) fn new(bytes: &'b [u8], tables: usize) -> Self {
        Self { bytes, at: 0, tables }
    }

    /// Reads a value, with all that is in it, into `nodes`. Tables may be nested `depth` deep.
    pub(super) fn value(&mut self, nodes: &mut Vec<Node>, depth: usize) -> Result<(), Unreadable> {
        let number = nodes.len();
        let tag = self.length()?;
        let item = match tag {
            NIL => Item::Nil,
            FALSE => Item::Bool(false),
            TRUE => Item::Bool(true),
            NULL => Item::Null,
            POINTER_32 => self.take::<4>().map(|_| Item::Null)?,
            POINTER_64 => self.take::<8>().map(|_| Item::Null)?,
            INT_32 => Item::Number(i32::from_le_bytes(self.take()?).into()),
            DOUBLE => Item::Number(f64::from_le_bytes(self.take()?)),
            TABLE..=METATABLE => return self.table(nodes, tag, depth),
            INT_64 => Item::Int(i64::from_le_bytes(self.take()?)),
            UINT_64 => Item::Uint(u64::from_le_bytes(self.take()?)),
            COMPLEX => self.take::<16>().map(|_| Item::Null)?,
            TEXT.. => {
                let (start, len) = (self.at, (tag - TEXT) as usize);
                self.skip(len)?;
                Item::Text(start, self.at)
            }
            _ => return Err(Unreadable::Form),
        };
        nodes.push(Node { item, end: number + 1 });
        Ok(())
    }

    fn table(&mut self, nodes: &mut Vec<Node>, tag: u32, depth: usize) -> Result<(), Unreadable> {
        let depth = depth.checked_sub(1).ok_or(Unreadable::Depth)?;
        self.tables = self.tables.checked_sub(1).ok_or(Unreadable::Count)?;
        let was_array = tag == METATABLE;
        let tag = if was_array { self.length().and_then(|_| self.length())? } else { tag };
        let kind = tag.checked_sub(TABLE).filter(|kind| *kind < METATABLE - TABLE).ok_or(Unreadable::Form)?;
        let first = usize::from(kind & PLACES_FROM_1 != 0);
        let slots = if kind & (PLACES_FROM_0 | PLACES_FROM_1) == 0 { 0 } else { self.length()? as usize };
        let pairs = if kind & KEYS == 0 { 0 } else { self.length()? as usize };
        let places = slots.saturating_sub(first);
        let number = nodes.len();
        nodes.push(Node { item: Item::Table(Table { was_array, first, places, pairs }), end: 0 });
        for _ in 0..places + 2 * pairs {
            self.value(nodes, depth)?;
        }
        nodes[number].end = nodes.len();
        Ok(())
    }

    fn length(&mut self) -> Result<u32, Unreadable> {
        let [first] = self.take()?;
        Ok(match first {
            0..0xe0 => first.into(),
            0xff => u32::from_le_bytes(self.take()?),
            _ => {
                let [second] = self.take()?;
                (u32::from(first & 0x1f) << 8) + u32::from(second) + 0xe0
            }
        })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let bytes = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk).ok_or(Unreadable::Form)?;
        self.at += N;
        Ok(*bytes)
    }

    fn skip(&mut self, len: usize) -> Result<(), Unreadable> {
        self.at += len;
        if self.at > self.bytes.len() { Err(Unreadable::Form) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_they_were_written() {
        for n in [0, 1, 0xdf, 0xe0, 0xe1, 0x1df, 0x1e0, 0x1fdf, 0x1fe0, 0xffff, u32::MAX] {
            let mut out = Vec::new();
            put_length(&mut out, n);
            assert_eq!(Reader::new(&out, 0).length(), Ok(n), "{n:#x}");
        }
    }

    #[test]
    fn bytes_that_are_cut_off_or_of_another_form_are_not_read() {
        let whole = [TABLE as u8 + 3, 2, 1, 0, DOUBLE as u8, 0, 0, 0, 0, 0, 0, 0, 0, 33, b'k', 2];
        let mut nodes = Vec::new();
        assert_eq!(Reader::new(&whole, 1).value(&mut nodes, 1), Ok(()));
        assert_eq!(nodes.len(), 5);
        for end in 0..whole.len() {
            let cut = Reader::new(&whole[..end], 1).value(&mut Vec::new(), 1);
            assert_eq!(cut, Err(Unreadable::Form), "{end}");
        }
        assert_eq!(Reader::new(&[15, 0], 1).value(&mut nodes, 1), Err(Unreadable::Form));
        assert_eq!(Reader::new(&[METATABLE as u8, 0, 0], 1).value(&mut nodes, 1), Err(Unreadable::Form));
    }

    #[test]
    fn depth_and_number_of_tables_are_bounded() {
        let nested = [TABLE as u8 + 4, 2, TABLE as u8 + 4, 2, 1];
        assert_eq!(Reader::new(&nested, 2).value(&mut Vec::new(), 2), Ok(()));
        assert_eq!(Reader::new(&nested, 2).value(&mut Vec::new(), 1), Err(Unreadable::Depth));
        assert_eq!(Reader::new(&nested, 1).value(&mut Vec::new(), 2), Err(Unreadable::Count));
    }
}
