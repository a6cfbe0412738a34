//! What is in a value, without decoding it.

use rmp::Marker;

use crate::scan::{ScanError, header, skip};

/// A value, split one level deep. Strings, binaries and children borrow the bytes they came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum View<'a> {
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// Any negative integer.
    Int(i64),
    /// Any other integer, whatever width it was written in.
    Uint(u64),
    /// A 32 or 64 bit float.
    Float(f64),
    /// A string: bytes that ought to be UTF-8 and may not be.
    Str(&'a [u8]),
    /// Binary data.
    Bin(&'a [u8]),
    /// An array.
    Array(ArrayView<'a>),
    /// A map.
    Map(MapView<'a>),
    /// An extension type and its data. EventTime is type 0 with 8 bytes.
    Ext(i8, &'a [u8]),
}

impl<'a> View<'a> {
    /// Splits the value at the start of `buf` and says how many bytes it takes.
    ///
    /// Arrays and maps are walked to find their end.
    ///
    /// # Errors
    /// The bytes are not one whole value.
    pub fn parse(buf: &'a [u8]) -> Result<(Self, usize), ScanError> {
        let head = header(buf)?;
        let byte = buf[0];
        if is_container(byte) {
            let len = skip(buf)?;
            let body = &buf[head.len..len];
            let view = if is_map(byte) {
                Self::Map(MapView { body, pairs: (head.children / 2) as usize })
            } else {
                Self::Array(ArrayView { body, len: head.children as usize })
            };
            return Ok((view, len));
        }
        let own = buf.get(..head.len).ok_or(ScanError::Truncated)?;
        Ok((scalar(own), head.len))
    }

    /// The string's bytes, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a [u8]> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The map, if it is one.
    #[must_use]
    pub fn as_map(&self) -> Option<MapView<'a>> {
        match self {
            Self::Map(map) => Some(*map),
            _ => None,
        }
    }

    /// The array, if it is one.
    #[must_use]
    pub fn as_array(&self) -> Option<ArrayView<'a>> {
        match self {
            Self::Array(array) => Some(*array),
            _ => None,
        }
    }
}

fn is_map(byte: u8) -> bool {
    matches!(byte, 0x80..=0x8f | 0xde | 0xdf)
}

fn is_container(byte: u8) -> bool {
    is_map(byte) || matches!(byte, 0x90..=0x9f | 0xdc | 0xdd)
}

/// `own` is exactly one scalar value: its header was read and its length checked.
fn scalar(own: &[u8]) -> View<'_> {
    match Marker::from_u8(own[0]) {
        Marker::Null | Marker::Reserved => View::Nil,
        Marker::True => View::Bool(true),
        Marker::False => View::Bool(false),
        Marker::FixPos(n) => View::Uint(u64::from(n)),
        Marker::FixNeg(n) => View::Int(i64::from(n)),
        Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => View::Uint(be_uint(&own[1..])),
        Marker::I8 | Marker::I16 | Marker::I32 | Marker::I64 => signed(&own[1..]),
        Marker::F32 => View::Float(f64::from(f32::from_bits(be_uint(&own[1..]) as u32))),
        Marker::F64 => View::Float(f64::from_bits(be_uint(&own[1..]))),
        Marker::FixStr(_) => View::Str(&own[1..]),
        Marker::Str8 => View::Str(&own[2..]),
        Marker::Str16 => View::Str(&own[3..]),
        Marker::Str32 => View::Str(&own[5..]),
        Marker::Bin8 => View::Bin(&own[2..]),
        Marker::Bin16 => View::Bin(&own[3..]),
        Marker::Bin32 => View::Bin(&own[5..]),
        Marker::FixExt1 | Marker::FixExt2 | Marker::FixExt4 | Marker::FixExt8 | Marker::FixExt16 => {
            View::Ext(own[1] as i8, &own[2..])
        }
        Marker::Ext8 => View::Ext(own[2] as i8, &own[3..]),
        Marker::Ext16 => View::Ext(own[3] as i8, &own[4..]),
        Marker::Ext32 => View::Ext(own[5] as i8, &own[6..]),
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => View::Map(MapView { body: &[], pairs: 0 }),
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
            View::Array(ArrayView { body: &[], len: 0 })
        }
    }
}

fn be_uint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| (n << 8) | u64::from(*b))
}

fn signed(bytes: &[u8]) -> View<'static> {
    let shift = 64 - 8 * bytes.len() as u32;
    let n = ((be_uint(bytes) << shift) as i64) >> shift;
    u64::try_from(n).map_or(View::Int(n), View::Uint)
}

/// The elements of an array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArrayView<'a> {
    body: &'a [u8],
    len: usize,
}

impl<'a> ArrayView<'a> {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements in order, each as its encoded bytes.
    #[must_use]
    pub fn raw(&self) -> ArrayIter<'a> {
        ArrayIter { rest: self.body, left: self.len }
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = View<'a>> + use<'a> {
        self.raw().map(|raw| View::parse(raw).map_or(View::Nil, |(view, _)| view))
    }

    /// The element at `index`, counted from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<View<'a>> {
        let raw = self.raw().nth(index)?;
        View::parse(raw).ok().map(|(view, _)| view)
    }
}

/// Encoded elements of an [`ArrayView`].
#[derive(Debug, Clone)]
pub struct ArrayIter<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for ArrayIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let len = skip(self.rest).ok()?;
        let (own, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(own)
    }
}

/// The pairs of a map, in the order and multiplicity they were written in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapView<'a> {
    body: &'a [u8],
    pairs: usize,
}

impl<'a> MapView<'a> {
    /// The map in bytes that are known to be exactly one whole map; an empty one for anything else.
    ///
    /// Unlike [`View::parse`] it does not walk the pairs to find their end.
    #[must_use]
    #[inline]
    pub fn known(bytes: &'a [u8]) -> Self {
        match (bytes.first(), header(bytes)) {
            (Some(byte), Ok(head)) if is_map(*byte) => {
                Self { body: &bytes[head.len..], pairs: (head.children / 2) as usize }
            }
            _ => Self { body: &[], pairs: 0 },
        }
    }

    /// Number of pairs, duplicates counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs == 0
    }

    /// The pairs in order, each as encoded key and encoded value.
    #[must_use]
    pub fn raw(&self) -> MapIter<'a> {
        MapIter { rest: self.body, left: self.pairs }
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (View<'a>, View<'a>)> + use<'a> {
        let view = |raw| View::parse(raw).map_or(View::Nil, |(view, _)| view);
        self.raw().map(move |(key, value)| (view(key), view(value)))
    }

    /// The value under a string key. Of several, the last one, as Fluent Bit looks them up.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<View<'a>> {
        let mut found = None;
        for (raw_key, raw_value) in self.raw() {
            if str_bytes(raw_key) == Some(key) {
                found = Some(raw_value);
            }
        }
        View::parse(found?).ok().map(|(view, _)| view)
    }

    /// The encoded pairs without the map's header.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// Encoded pairs of a [`MapView`].
#[derive(Debug, Clone)]
pub struct MapIter<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for MapIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (key, rest) = self.rest.split_at_checked(skip(self.rest).ok()?)?;
        let (value, rest) = rest.split_at_checked(skip(rest).ok()?)?;
        self.rest = rest;
        Some((key, value))
    }
}

/// The content of an encoded string, `None` for any other value.
#[inline]
pub fn str_bytes(raw: &[u8]) -> Option<&[u8]> {
    match *raw.first()? {
        0xa0..=0xbf => raw.get(1..),
        0xd9 => raw.get(2..),
        0xda => raw.get(3..),
        0xdb => raw.get(5..),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write;

    #[test]
    fn integers_keep_their_value_in_every_width() {
        for n in [0u64, 1, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), u64::MAX] {
            let mut buf = Vec::new();
            write::uint(&mut buf, n);
            assert_eq!(View::parse(&buf), Ok((View::Uint(n), buf.len())));
        }
        for n in [-1i64, -32, -33, -128, -129, -32_769, i64::from(i32::MIN), i64::MIN] {
            let mut buf = Vec::new();
            write::int(&mut buf, n);
            assert_eq!(View::parse(&buf), Ok((View::Int(n), buf.len())));
        }
        assert_eq!(View::parse(&[0xd0, 0x05]), Ok((View::Uint(5), 2)), "a positive int8");
    }

    #[test]
    fn of_duplicate_keys_the_last_one_is_found() {
        let mut buf = Vec::new();
        write::map_header(&mut buf, 2);
        for value in [b"first", b"later"] {
            write::str(&mut buf, b"k");
            write::str(&mut buf, value);
        }
        let map = View::parse(&buf).unwrap().0.as_map().unwrap();
        assert_eq!(map.get(b"k"), Some(View::Str(b"later")));
        assert_eq!(map.iter().count(), 2);
    }

    #[test]
    fn nested_values_are_stepped_over() {
        let mut buf = Vec::new();
        write::map_header(&mut buf, 2);
        write::str(&mut buf, b"deep");
        write::array_header(&mut buf, 2);
        write::map_header(&mut buf, 1);
        write::uint(&mut buf, 1);
        write::array_header(&mut buf, 0);
        write::nil(&mut buf);
        write::str(&mut buf, b"x");
        write::bool(&mut buf, true);
        let map = View::parse(&buf).unwrap().0.as_map().unwrap();
        assert_eq!(map.get(b"x"), Some(View::Bool(true)));
        assert_eq!(map.get(b"deep").unwrap().as_array().unwrap().get(1), Some(View::Nil));
    }

    #[test]
    fn a_scalar_cut_short_is_an_error_not_a_panic() {
        for bytes in [&[0xa5, b'a'][..], &[0xcd, 1], &[0xcb, 1, 2], &[0xd7, 0, 1], &[0xc7, 8, 0, 1], &[]] {
            assert_eq!(View::parse(bytes), Err(ScanError::Truncated), "{bytes:x?}");
        }
    }
}
