//! The walk from encoded values to JSON text.
//!
//! It writes as it reads. Only a key that comes again in its map makes it start over ([`keys`]).

use ikada_msgpack::{MAX_DEPTH, MapView, skip};

use super::keys::{self, Fingerprint, Repeated, Seen, Shelf};
use super::token::{Token, string, token};
use super::{DateKey, escape, number};
use crate::Entry;

type Walk<T> = Result<T, Repeated>;

/// The member that holds an entry's metadata.
const INTERNAL: &[u8] = b"__internal__";

/// Writes values as JSON. `ON`: beyond ASCII is `\uxxxx`. `IN`: the text goes into a JSON string.
pub(super) struct Writer<'o, const ON: bool, const IN: bool> {
    out: &'o mut Vec<u8>,
    /// Bytes written because of `IN`.
    extra: usize,
    seen: Seen,
    /// Each map is looked through before it is written.
    careful: bool,
    /// The text becomes a key.
    in_key: bool,
}

impl<'o, const ON: bool, const IN: bool> Writer<'o, ON, IN> {
    /// Writes one value; returns the bytes it took and the length of the text before `IN` escaped it.
    #[inline]
    pub(super) fn write_value(out: &'o mut Vec<u8>, value: &[u8]) -> (usize, usize) {
        Self::twice(out, |writer| writer.value(value, 0))
    }

    /// Walks quickly, then carefully if it has to be.
    #[inline]
    fn twice<T: Default>(out: &'o mut Vec<u8>, walk: impl Fn(&mut Self) -> Walk<T>) -> (T, usize) {
        let start = out.len();
        let mut writer = Self { out, extra: 0, seen: Seen::new(), careful: false, in_key: false };
        let done = walk(&mut writer).unwrap_or_else(|Repeated| writer.again(start, walk));
        (done, writer.out.len() - start - writer.extra)
    }

    #[cold]
    fn again<T: Default>(&mut self, start: usize, walk: impl Fn(&mut Self) -> Walk<T>) -> T {
        self.out.truncate(start);
        (self.extra, self.careful) = (0, true);
        walk(self).unwrap_or_default()
    }

    /// Bytes that end early become `null`, so that the text is JSON whatever comes.
    fn value(&mut self, buf: &[u8], depth: usize) -> Walk<usize> {
        let Some((token, len)) = token(buf) else {
            self.out.extend_from_slice(b"null");
            return Ok(buf.len());
        };
        match token {
            Token::Str(text) | Token::Bin(text) => self.string(text),
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
            Token::Map(pairs) => return Ok(len + self.map(buf, len, pairs, depth)?),
        }
        Ok(len)
    }

    fn array(&mut self, body: &[u8], count: usize, depth: usize) -> Walk<usize> {
        self.out.push(b'[');
        let mut rest = body;
        for index in 0..count {
            if rest.is_empty() {
                break;
            }
            if index > 0 {
                self.out.push(b',');
            }
            let used = self.value(rest, depth + 1)?;
            rest = &rest[used..];
        }
        self.out.push(b']');
        Ok(body.len() - rest.len())
    }

    /// The map that `buf` starts with, `head` being the length of its header. Returns what it took without that.
    fn map(&mut self, buf: &[u8], head: usize, pairs: usize, depth: usize) -> Walk<usize> {
        let body = &buf[head..];
        let shelf = if self.careful { None } else { self.seen.open(pairs) };
        self.out.push(b'{');
        let used = match shelf {
            Some(mut shelf) => {
                let used = self.members_quick(body, pairs, depth, &mut shelf)?;
                self.seen.close(&shelf);
                used
            }
            None => self.members_last(body, pairs, depth, &keys::repeats(buf), true)?,
        };
        self.out.push(b'}');
        Ok(used)
    }

    /// All members, until a key comes again. What is on the shelf already has been written before them.
    #[inline]
    fn members_quick(&mut self, body: &[u8], pairs: usize, depth: usize, shelf: &mut Shelf) -> Walk<usize> {
        let mut rest = body;
        let mut first = shelf.is_empty();
        for _ in 0..pairs {
            if rest.is_empty() {
                break;
            }
            let used = match string(rest) {
                Some((text, len)) => {
                    self.seen.add(shelf, Fingerprint::of(text))?;
                    self.key(text, first);
                    len
                }
                None => self.odd_key(rest, first)?,
            };
            first = false;
            rest = &rest[used..];
            let used = self.member_value(rest, depth)?;
            rest = &rest[used..];
        }
        Ok(body.len() - rest.len())
    }

    /// All members but the pairs whose places stand in `dropped`.
    fn members_last(
        &mut self,
        body: &[u8],
        pairs: usize,
        depth: usize,
        dropped: &[usize],
        mut first: bool,
    ) -> Walk<usize> {
        let mut rest = body;
        let mut dropped = dropped.iter().peekable();
        for index in 0..pairs {
            if rest.is_empty() {
                break;
            }
            if dropped.next_if_eq(&&index).is_some() {
                rest = behind_pair(rest);
                continue;
            }
            let used = match string(rest) {
                Some((text, len)) => {
                    self.key(text, first);
                    len
                }
                None => self.odd_key(rest, first)?,
            };
            first = false;
            rest = &rest[used..];
            let used = self.member_value(rest, depth)?;
            rest = &rest[used..];
        }
        Ok(body.len() - rest.len())
    }

    /// Writes `,"key"`.
    #[inline]
    fn key(&mut self, text: &[u8], first: bool) {
        if !first {
            self.out.push(b',');
        }
        self.string(text);
    }

    /// Writes `:value`.
    #[inline]
    fn member_value(&mut self, buf: &[u8], depth: usize) -> Walk<usize> {
        self.out.push(b':');
        if let Some((text, len)) = string(buf) {
            self.string(text);
            return Ok(len);
        }
        self.value(buf, depth + 1)
    }

    /// A key that is no string: of a container its JSON text as a string, of anything else its JSON text in quotes. A container
    /// inside a key's container is the hex of its encoding: quoted quotes would double at each level.
    #[cold]
    fn odd_key(&mut self, buf: &[u8], first: bool) -> Walk<usize> {
        if !first {
            self.out.push(b',');
        }
        match token(buf) {
            Some((Token::Bin(_) | Token::Ext(..), _)) => self.value(buf, 0),
            Some((Token::Array(_) | Token::Map(_), _)) => {
                let len = skip(buf).unwrap_or(buf.len());
                let text = self.container_key(&buf[..len])?;
                self.string(&text);
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

    fn container_key(&self, container: &[u8]) -> Walk<Vec<u8>> {
        let mut text = Vec::new();
        if self.in_key {
            hex(&mut text, container);
            return Ok(text);
        }
        let mut writer =
            Writer::<ON, false> { out: &mut text, extra: 0, seen: Seen::new(), careful: true, in_key: true };
        writer.value(container, 0)?;
        Ok(text)
    }

    #[inline]
    fn string(&mut self, text: &[u8]) {
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
        let shelf = if self.careful { None } else { self.seen.open(pairs.saturating_add(2)) };
        self.out.push(b'{');
        if let Some(mut shelf) = shelf {
            if let Some(date) = date {
                self.seen.add(&mut shelf, date.fingerprint())?;
            }
            if metadata.is_some() {
                self.seen.add(&mut shelf, Fingerprint::of(INTERNAL))?;
            }
            self.injected(entry, date, metadata)?;
            self.members_quick(&record[head..], pairs, 0, &mut shelf)?;
        } else {
            let metadata = metadata.filter(|_| !keys::has(record, INTERNAL));
            let taken = |name: &[u8]| keys::has(record, name) || (metadata.is_some() && name == INTERNAL);
            let date = date.filter(|date| !taken(date.key()));
            self.injected(entry, date, metadata)?;
            let first = date.is_none() && metadata.is_none();
            self.members_last(&record[head..], pairs, 0, &keys::repeats(record), first)?;
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

/// What comes after the key and the value that `rest` starts with.
fn behind_pair(rest: &[u8]) -> &[u8] {
    let key = skip(rest).unwrap_or(rest.len());
    let value = skip(&rest[key..]).unwrap_or(rest.len() - key);
    &rest[key + value..]
}

/// Writes bytes as lower-case hex.
fn hex(out: &mut Vec<u8>, data: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend(data.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
}
