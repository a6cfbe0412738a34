//! The walk from encoded values to JSON text.
//!
//! Of several members under one string key only the last may be written. Finding out beforehand would walk every map
//! twice, and nearly no record has such keys. So the first walk writes at once and only remembers a fingerprint of each key;
//! when one comes up again the text is thrown away and a second, *careful* walk looks through each map's keys first.

use std::collections::HashMap;

use ikada_msgpack::{MAX_DEPTH, MapView, skip, str_bytes};
use smallvec::SmallVec;

use super::token::{Token, token};
use super::{DateKey, escape, number};
use crate::Entry;

/// The quick walk met a key whose fingerprint it knows.
pub(super) struct Repeated;

type Walk<T> = Result<T, Repeated>;

/// Maps of more pairs than this are looked through first.
const FEW: usize = 32;

const INTERNAL: &[u8] = b"__internal__";

/// Writes values as JSON. `ON`: beyond ASCII is `\uxxxx`. `IN`: the text goes into a JSON string.
pub(super) struct Writer<'o, const ON: bool, const IN: bool> {
    out: &'o mut Vec<u8>,
    /// Bytes written because of `IN`.
    extra: usize,
    careful: bool,
    /// The text becomes a key.
    in_key: bool,
}

impl<'o, const ON: bool, const IN: bool> Writer<'o, ON, IN> {
    /// Writes one value; returns the bytes it took and the length of the text before `IN` escaped it.
    pub(super) fn write_value(out: &'o mut Vec<u8>, value: &[u8]) -> (usize, usize) {
        Self::twice(out, |writer| writer.value(value, 0))
    }

    /// Walks quickly, then carefully if it has to be.
    fn twice<T: Default>(out: &'o mut Vec<u8>, mut walk: impl FnMut(&mut Self) -> Walk<T>) -> (T, usize) {
        let start = out.len();
        let mut writer = Self { out, extra: 0, careful: false, in_key: false };
        if let Ok(done) = walk(&mut writer) {
            return (done, writer.out.len() - start - writer.extra);
        }
        writer.out.truncate(start);
        (writer.extra, writer.careful) = (0, true);
        let done = walk(&mut writer).unwrap_or_default();
        (done, writer.out.len() - start - writer.extra)
    }

    /// Bytes that end early become `null`, so that the text is JSON whatever comes.
    fn value(&mut self, buf: &[u8], depth: usize) -> Walk<usize> {
        let Some((token, len)) = token(buf) else {
            self.out.extend_from_slice(b"null");
            return Ok(buf.len());
        };
        match token {
            Token::Str(text) | Token::Bin(text) => self.text(text),
            Token::Uint(n) => number::uint(self.out, n),
            Token::Int(n) => number::int(self.out, n),
            Token::Nil => self.out.extend_from_slice(b"null"),
            Token::Bool(true) => self.out.extend_from_slice(b"true"),
            Token::Bool(false) => self.out.extend_from_slice(b"false"),
            Token::Float(n) => number::float(self.out, n),
            Token::Ext(_, data) => {
                self.quote();
                hex(self.out, data);
                self.quote();
            }
            Token::Array(_) | Token::Map(_) if depth >= MAX_DEPTH => {
                self.out.extend_from_slice(b"null");
                return Ok(buf.len());
            }
            Token::Array(count) => return Ok(len + self.array(&buf[len..], count, depth)?),
            Token::Map(pairs) => {
                self.out.push(b'{');
                let used = self.map(buf, len, pairs, depth)?;
                self.out.push(b'}');
                return Ok(used);
            }
        }
        Ok(len)
    }

    fn array(&mut self, body: &[u8], count: usize, depth: usize) -> Walk<usize> {
        self.out.push(b'[');
        let mut at = 0;
        for index in 0..count {
            if at >= body.len() {
                break;
            }
            if index > 0 {
                self.out.push(b',');
            }
            at += self.value(&body[at..], depth + 1)?;
        }
        self.out.push(b']');
        Ok(at)
    }

    /// The members of the map that `buf` starts with, `head` being the length of its header.
    fn map(&mut self, buf: &[u8], head: usize, pairs: usize, depth: usize) -> Walk<usize> {
        let body = &buf[head..];
        let used = if self.careful || pairs > FEW {
            self.members_last(body, pairs, depth, &repeats(buf), true)?
        } else {
            self.members_quick(body, pairs, depth, &mut Seen::default(), true)?
        };
        Ok(head + used)
    }

    fn members_quick(
        &mut self,
        body: &[u8],
        pairs: usize,
        depth: usize,
        seen: &mut Seen,
        mut first: bool,
    ) -> Walk<usize> {
        let mut at = 0;
        for _ in 0..pairs {
            if at >= body.len() {
                break;
            }
            if !first {
                self.out.push(b',');
            }
            first = false;
            at += self.key(&body[at..], Some(seen))?;
            self.out.push(b':');
            at += self.value(&body[at..], depth + 1)?;
        }
        Ok(at)
    }

    /// Leaves out the pairs whose places stand in `dropped`.
    fn members_last(
        &mut self,
        body: &[u8],
        pairs: usize,
        depth: usize,
        dropped: &[usize],
        mut first: bool,
    ) -> Walk<usize> {
        let mut at = 0;
        let mut dropped = dropped.iter().peekable();
        for index in 0..pairs {
            if at >= body.len() {
                break;
            }
            if dropped.next_if_eq(&&index).is_some() {
                at += pair_len(&body[at..]);
                continue;
            }
            if !first {
                self.out.push(b',');
            }
            first = false;
            at += self.key(&body[at..], None)?;
            self.out.push(b':');
            at += self.value(&body[at..], depth + 1)?;
        }
        Ok(at)
    }

    /// A key is a JSON string: of text as it is, of any other scalar its JSON text in quotes, of a container its JSON text as
    /// a string. A container inside a key's container is the hex of its encoding: quoted quotes would double at each level.
    fn key(&mut self, buf: &[u8], seen: Option<&mut Seen>) -> Walk<usize> {
        if let Some((Token::Str(text), len)) = token(buf) {
            if let Some(seen) = seen {
                seen.add(text)?;
            }
            self.text(text);
            return Ok(len);
        }
        self.odd_key(buf)
    }

    #[cold]
    fn odd_key(&mut self, buf: &[u8]) -> Walk<usize> {
        match token(buf) {
            Some((Token::Bin(_) | Token::Ext(..), _)) => self.value(buf, 0),
            Some((Token::Array(_) | Token::Map(_), _)) => {
                let len = skip(buf).unwrap_or(buf.len());
                let mut text = Vec::new();
                if self.in_key {
                    hex(&mut text, &buf[..len]);
                } else {
                    let mut writer =
                        Writer::<ON, false> { out: &mut text, extra: 0, careful: true, in_key: true };
                    writer.value(&buf[..len], 0)?;
                }
                self.text(&text);
                Ok(len)
            }
            _ => {
                self.quote();
                let len = self.value(buf, 0)?;
                self.quote();
                Ok(len)
            }
        }
    }

    #[inline]
    fn text(&mut self, text: &[u8]) {
        self.quote();
        self.extra += escape::text::<ON, IN>(self.out, text);
        self.quote();
    }

    #[inline]
    fn quote(&mut self) {
        if IN {
            self.out.extend_from_slice(b"\\\"");
            self.extra += 1;
        } else {
            self.out.push(b'"');
        }
    }
}

impl<const ON: bool> Writer<'_, ON, false> {
    /// Writes an entry's record with the members that outputs put in front of it.
    pub(super) fn write_entry(out: &mut Vec<u8>, entry: &Entry<'_>, date: Option<&DateKey>) {
        Writer::<'_, ON, false>::twice(out, |writer| writer.entry(entry, date));
    }

    fn entry(&mut self, entry: &Entry<'_>, date: Option<&DateKey>) -> Walk<()> {
        let record = entry.record_bytes();
        let metadata = entry.metadata().filter(|map| !MapView::known(map).is_empty());
        let Some((Token::Map(pairs), head)) = token(record) else {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        };
        self.out.push(b'{');
        if self.careful || pairs + 2 > FEW {
            let has = |name: &[u8]| MapView::known(record).raw().any(|(key, _)| str_bytes(key) == Some(name));
            let metadata = metadata.filter(|_| !has(INTERNAL));
            let taken = |name: &[u8]| has(name) || (metadata.is_some() && name == INTERNAL);
            let date = date.filter(|date| !taken(date.key()));
            self.injected(entry, date, metadata)?;
            let first = date.is_none() && metadata.is_none();
            self.members_last(&record[head..], pairs, 0, &repeats(record), first)?;
        } else {
            let mut seen = Seen::default();
            if let Some(date) = date {
                seen.add(date.key())?;
            }
            if metadata.is_some() {
                seen.add(INTERNAL)?;
            }
            self.injected(entry, date, metadata)?;
            let first = seen.len == 0;
            self.members_quick(&record[head..], pairs, 0, &mut seen, first)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn injected(&mut self, entry: &Entry<'_>, date: Option<&DateKey>, metadata: Option<&[u8]>) -> Walk<()> {
        if let Some(date) = date {
            date.write(self.out, entry.time(), ON);
        }
        let Some(metadata) = metadata else { return Ok(()) };
        if date.is_some() {
            self.out.push(b',');
        }
        self.out.extend_from_slice(b"\"__internal__\":{\"log_metadata\":");
        self.value(metadata, 2)?;
        self.out.push(b'}');
        Ok(())
    }
}

/// Fingerprints of the keys that a map has shown so far.
struct Seen {
    prints: [u32; FEW],
    len: usize,
}

impl Default for Seen {
    #[inline]
    fn default() -> Self {
        Self { prints: [0; FEW], len: 0 }
    }
}

impl Seen {
    /// Remembers a key. Two keys with one fingerprint count as one: the careful walk looks closer.
    #[inline]
    fn add(&mut self, key: &[u8]) -> Walk<()> {
        let print = fingerprint(key);
        if self.prints[..self.len].contains(&print) {
            return Err(Repeated);
        }
        self.prints[self.len] = print;
        self.len += 1;
        Ok(())
    }
}

/// A number from a key's length and its ends.
#[inline]
fn fingerprint(key: &[u8]) -> u32 {
    let (first, last) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
            }
            _ => (key.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), 0),
        },
    };
    let mixed = first.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (last ^ key.len() as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f).rotate_left(29);
    (mixed.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 32) as u32
}

/// The places of those pairs in a map whose string key comes again later, in order.
fn repeats(map: &[u8]) -> SmallVec<[usize; 8]> {
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

/// Bytes of a key and its value.
fn pair_len(body: &[u8]) -> usize {
    let key = skip(body).unwrap_or(body.len());
    key + skip(&body[key..]).unwrap_or(body.len() - key)
}

/// Writes bytes as lower-case hex.
fn hex(out: &mut Vec<u8>, data: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend(data.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
}
