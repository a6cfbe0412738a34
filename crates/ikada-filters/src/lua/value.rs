//! What a script returned, as records.
//!
//! Lua knows one kind of number and one kind of table, and forgets the order of keys. On the way back the record that came is therefore
//! looked at again: its fields keep their order, what was binary stays binary, and an integer above 2^53, which a double cannot hold, stays
//! what it was if the script did not change it. New keys follow in the order of their bytes.

use std::cmp::Ordering;
use std::collections::HashMap;

use ikada_msgpack::{MapView, View, str_bytes, write};
use smallvec::SmallVec;

use super::trouble::Failure;
use super::wire::{Item, Node, Reader, Table, Unreadable};

/// Tables may be nested so deep: a little less than a record may.
const DEPTH: usize = 56;

/// Bytes of what a script returns for one record.
const LARGEST: usize = 16 * 1024 * 1024;

/// Tables in what a script returns for one record: a few that hold each other can stand for any number.
const MOST_TABLES: usize = 100_000;

/// Up to so many fields of the record that came are looked through for each key.
const FEW: usize = 16;

/// What the options say about values.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) int_keys: Vec<String>,
    pub(super) array_keys: Vec<String>,
    pub(super) keeps_null: bool,
}

/// Encoded maps, one after the other.
#[derive(Debug, Default)]
pub(super) struct Maps {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Maps {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&[u8]> {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(start..*self.ends.get(number)?)
    }
}

/// Turns what LuaJIT wrote into encoded maps.
#[derive(Debug)]
pub(super) struct Returned {
    rules: Rules,
    nodes: Vec<Node>,
    /// Tables read since the count was last asked for.
    tables: usize,
}

impl Returned {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, nodes: Vec::new(), tables: 0 }
    }

    /// How many tables were read since this was asked last.
    pub(super) fn tables_read(&mut self) -> usize {
        std::mem::take(&mut self.tables)
    }

    /// Reads a record, or a list of records, into `out`; `original` is what came.
    pub(super) fn read(
        &mut self,
        written: &[u8],
        original: Option<MapView<'_>>,
        out: &mut Maps,
    ) -> Result<(), Failure> {
        out.clear();
        self.nodes.clear();
        // Around the records may stand a list.
        let mut reader = Reader::new(written, MOST_TABLES);
        let read = reader.value(&mut self.nodes, DEPTH + 1);
        self.tables += MOST_TABLES - reader.tables;
        read.map_err(|why| match why {
            Unreadable::Form => Failure::NoRecord,
            Unreadable::Depth => Failure::TooDeep,
            Unreadable::Count => Failure::TooMany(MOST_TABLES),
        })?;
        let records = Records { rules: &self.rules, nodes: &self.nodes, written };
        let Some(Item::Table(table)) = self.nodes.first().map(|node| node.item) else {
            return Err(Failure::NoRecord);
        };
        match records.items(0, table, false) {
            None => records.one(0, table, original, out),
            Some(items) => items.iter().try_for_each(|&at| match at.map(|at| (at, self.nodes[at].item)) {
                Some((at, Item::Table(table))) => records.one(at, table, original, out),
                _ => Err(Failure::NoRecord),
            }),
        }
    }
}

/// The nodes of an array's items, in order; `None` for one that is not there.
type Items = SmallVec<[Option<usize>; 16]>;

/// What was read.
struct Records<'b> {
    rules: &'b Rules,
    nodes: &'b [Node],
    written: &'b [u8],
}

/// A key with its value on the way out.
struct Pair<'o> {
    /// Where it stood in the map that came.
    place: usize,
    key: Item,
    value: usize,
    /// Key and value as they came, encoded.
    original: Option<(&'o [u8], &'o [u8])>,
}

impl Records<'_> {
    fn one(
        &self,
        at: usize,
        table: Table,
        original: Option<MapView<'_>>,
        out: &mut Maps,
    ) -> Result<(), Failure> {
        let start = out.bytes.len();
        self.map(&mut out.bytes, at, table, original, 1)?;
        if out.bytes.len() - start > LARGEST {
            return Err(Failure::TooLarge(LARGEST));
        }
        out.ends.push(out.bytes.len());
        Ok(())
    }

    /// The keys of a table with the nodes of their values. A place of the table is a number.
    fn pairs(&self, at: usize, table: Table) -> impl Iterator<Item = (Item, usize)> {
        let mut next = at + 1;
        let mut take = move || {
            let node = next;
            next = self.nodes[node].end;
            node
        };
        let places = table.first..table.first + table.places;
        let mut places = places.map(|place| Item::Number(place as f64));
        let mut left = table.pairs;
        std::iter::from_fn(move || {
            if let Some(place) = places.next() {
                return Some((place, take()));
            }
            left = left.checked_sub(1)?;
            Some((self.nodes[take()].item, take()))
        })
        .filter(|(_, value)| self.nodes[*value].item != Item::Nil)
    }

    /// The items of a table that is an array, `None` if it is a map.
    fn items(&self, at: usize, table: Table, is_meant: bool) -> Option<Items> {
        let was = is_meant || table.was_array;
        let (mut items, mut highest, mut others) = (SmallVec::<[(usize, usize); 16]>::new(), 0, false);
        for (key, value) in self.pairs(at, table) {
            match place(key) {
                Some(place) => {
                    items.push((place, value));
                    highest = highest.max(place);
                }
                // A map, whatever else is in it.
                None if !is_meant => return None,
                None => others = true,
            }
        }
        if items.is_empty() && !was {
            return None;
        }
        items.sort_unstable();
        // Places that hold nothing are null, as in Fluent Bit. Far places make a map.
        let is_array = !others && (items.len() == highest || highest <= 2 * items.len() + 8);
        if !is_array && !is_meant {
            return None;
        }
        let first_ones = || items.iter().zip(1..).take_while(|((place, _), number)| place == number).count();
        let end = if is_array { highest } else { first_ones() };
        let mut items = items.into_iter().peekable();
        Some((1..=end).map(|number| Some(items.next_if(|(place, _)| *place == number)?.1)).collect())
    }

    fn map(
        &self,
        out: &mut Vec<u8>,
        at: usize,
        table: Table,
        original: Option<MapView<'_>>,
        depth: usize,
    ) -> Result<(), Failure> {
        let came = Came::new(original);
        let mut pairs = SmallVec::<[Pair<'_>; 16]>::new();
        for (key, value) in self.pairs(at, table) {
            // A table or function is no key.
            if matches!(key, Item::Table(_) | Item::Null | Item::Nil) {
                continue;
            }
            let known = self.known(key, &came);
            let place = known.unwrap_or(usize::MAX);
            pairs.push(Pair { place, key, value, original: known.map(|at| came.list[at]) });
        }
        pairs.sort_unstable_by(|a, b| a.place.cmp(&b.place).then_with(|| self.by_name(a.key, b.key)));
        write::map_header(out, pairs.len());
        for pair in &pairs {
            match pair.original {
                Some((key, _)) => out.extend_from_slice(key),
                None => self.key(out, pair.key),
            }
            let original = pair.original.and_then(|(_, value)| View::parse(value).ok()).map(|(view, _)| view);
            let name = self.name(pair.key);
            let is_in = |list: &[String]| list.iter().any(|known| Some(known.as_bytes()) == name);
            match self.nodes[pair.value].item {
                Item::Number(n) if is_in(&self.rules.int_keys) => number(out, truncated(n), original),
                _ => self.value(out, pair.value, original, is_in(&self.rules.array_keys), depth)?,
            }
        }
        Ok(())
    }

    fn value(
        &self,
        out: &mut Vec<u8>,
        at: usize,
        original: Option<View<'_>>,
        is_array: bool,
        depth: usize,
    ) -> Result<(), Failure> {
        if out.len() > LARGEST {
            return Err(Failure::TooLarge(LARGEST));
        }
        let Item::Table(table) = self.nodes[at].item else {
            self.scalar(out, self.nodes[at].item, original);
            return Ok(());
        };
        if depth >= DEPTH {
            return Err(Failure::TooDeep);
        }
        let Some(items) = self.items(at, table, is_array) else {
            return self.map(out, at, table, original.and_then(|view| view.as_map()), depth + 1);
        };
        let mut originals = original.and_then(|view| view.as_array()).map(|list| list.raw());
        write::array_header(out, items.len());
        for item in items {
            let raw = originals.as_mut().and_then(Iterator::next);
            let original = raw.and_then(|raw| View::parse(raw).ok()).map(|(view, _)| view);
            match item {
                Some(at) => self.value(out, at, original, false, depth + 1)?,
                None => write::nil(out),
            }
        }
        Ok(())
    }

    /// Writes what is no table. A number without a fraction is an integer (recorded case `lua-integral-float`).
    fn scalar(&self, out: &mut Vec<u8>, item: Item, original: Option<View<'_>>) {
        match item {
            Item::Bool(value) => write::bool(out, value),
            Item::Number(n) => number(out, n, original),
            Item::Int(n) => write::int(out, n),
            Item::Uint(n) => write::uint(out, n),
            Item::Text(start, end) => match (&self.written[start..end], original) {
                (text, Some(View::Bin(bytes))) if text == bytes => write::bin(out, bytes),
                (text, _) => write::str(out, text),
            },
            Item::Nil | Item::Null | Item::Table(_) => write::nil(out),
        }
    }

    fn key(&self, out: &mut Vec<u8>, key: Item) {
        self.scalar(out, key, None);
    }

    fn name(&self, key: Item) -> Option<&[u8]> {
        match key {
            Item::Text(start, end) => Some(&self.written[start..end]),
            _ => None,
        }
    }

    /// The order of new keys: that of their bytes, behind keys that are no text.
    fn by_name(&self, a: Item, b: Item) -> Ordering {
        self.name(a).cmp(&self.name(b)).then_with(|| {
            let encoded = |key| {
                let mut out = Vec::new();
                self.key(&mut out, key);
                out
            };
            encoded(a).cmp(&encoded(b))
        })
    }

    /// The place of a key in the map that came.
    fn known(&self, key: Item, came: &Came<'_>) -> Option<usize> {
        if let Some(name) = self.name(key) {
            return came.find(Name::Text(name));
        }
        let mut encoded = Vec::new();
        self.key(&mut encoded, key);
        came.find(Name::Other(&encoded))
    }
}

/// The map that came, encoded keys and values in order.
struct Came<'o> {
    list: SmallVec<[(&'o [u8], &'o [u8]); FEW]>,
    /// Where each is in the list, if there are more than a few.
    index: HashMap<Name<'o>, usize, foldhash::fast::RandomState>,
}

/// A key: a text, or anything else, encoded.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Name<'k> {
    Text(&'k [u8]),
    Other(&'k [u8]),
}

impl<'k> Name<'k> {
    fn new(encoded: &'k [u8]) -> Self {
        str_bytes(encoded).map_or(Self::Other(encoded), Self::Text)
    }
}

impl<'o> Came<'o> {
    fn new(map: Option<MapView<'o>>) -> Self {
        let list: SmallVec<[(&[u8], &[u8]); FEW]> = map.into_iter().flat_map(|map| map.raw()).collect();
        let mut index = HashMap::default();
        if list.len() > FEW {
            index.extend(list.iter().map(|(key, _)| Name::new(key)).zip(0..));
        }
        Self { list, index }
    }

    /// The place of a key; of several, the last.
    fn find(&self, name: Name<'_>) -> Option<usize> {
        match self.list.len() <= FEW {
            true => self.list.iter().rposition(|(key, _)| Name::new(key) == name),
            false => self.index.get(&name).copied(),
        }
    }
}

/// The place in an array that a key stands for.
fn place(key: Item) -> Option<usize> {
    match key {
        Item::Number(n) if n >= 1.0 && n.fract() == 0.0 && n < 1e15 => Some(n as usize),
        _ => None,
    }
}

fn truncated(n: f64) -> f64 {
    if n.is_finite() { n.trunc() } else { n }
}

fn number(out: &mut Vec<u8>, n: f64, original: Option<View<'_>>) {
    match original {
        Some(View::Int(was)) if was as f64 == n => write::int(out, was),
        Some(View::Uint(was)) if was as f64 == n => write::uint(out, was),
        _ if n.fract() == 0.0 && n.abs() < 2f64.powi(63) => write::int(out, n as i64),
        _ => write::float(out, n),
    }
}
