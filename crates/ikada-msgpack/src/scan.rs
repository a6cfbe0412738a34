//! Where a value ends.
//!
//! A MessagePack value starts with a marker byte that tells how many bytes of its own follow and how many further
//! values belong to it. A walk is therefore a countdown: `pending` values are still owed; each marker pays one and may
//! owe more. [`Scanner`] keeps that countdown between calls, so a frame that arrives in forty reads is walked once.

use rmp::Marker;

/// Nesting that is accepted: a frame, its entries, a record, and what applications put into a field.
///
/// Fluent Bit's unpacker stops at 32 levels of arrays and maps inside one event; deeper values exist only in hostile bytes.
pub const MAX_DEPTH: usize = 64;

/// Why bytes are not a MessagePack value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The value ends after the bytes that are there.
    #[error("the value is cut short")]
    Truncated,
    /// Marker `0xc1`, which the format never uses.
    #[error("byte 0xc1 is not MessagePack")]
    Reserved,
    /// Arrays and maps nest deeper than [`MAX_DEPTH`].
    #[error("values are nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// What the first bytes of a value say: its size without children, and how many children follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of marker, length and scalar content. For arrays and maps: of marker and length.
    pub len: usize,
    /// Values that follow and belong to this one: elements, or keys plus values.
    pub children: u64,
}

/// Reads the first bytes of a value.
///
/// # Errors
/// [`ScanError::Truncated`] when not even the header is complete, [`ScanError::Reserved`] for marker `0xc1`.
#[inline]
pub fn header(buf: &[u8]) -> Result<Header, ScanError> {
    let Some(&byte) = buf.first() else { return Err(ScanError::Truncated) };
    // The common ones first: short strings, small integers, small maps, EventTime, str8.
    let leaf = |len: usize| Ok(Header { len, children: 0 });
    match byte {
        0xa0..=0xbf => leaf(1 + usize::from(byte & 0x1f)),
        0x00..=0x7f | 0xe0..=0xff => leaf(1),
        0x80..=0x8f => Ok(Header { len: 1, children: 2 * u64::from(byte & 0x0f) }),
        0x90..=0x9f => Ok(Header { len: 1, children: u64::from(byte & 0x0f) }),
        _ => long_header(Marker::from_u8(byte), buf),
    }
}

fn long_header(marker: Marker, buf: &[u8]) -> Result<Header, ScanError> {
    let leaf = |len: usize| Ok(Header { len, children: 0 });
    match marker {
        Marker::Null | Marker::False | Marker::True => leaf(1),
        Marker::U8 | Marker::I8 => leaf(2),
        Marker::U16 | Marker::I16 => leaf(3),
        Marker::U32 | Marker::I32 | Marker::F32 => leaf(5),
        Marker::U64 | Marker::I64 | Marker::F64 => leaf(9),
        Marker::FixExt1 => leaf(3),
        Marker::FixExt2 => leaf(4),
        Marker::FixExt4 => leaf(6),
        Marker::FixExt8 => leaf(10),
        Marker::FixExt16 => leaf(18),
        Marker::Str8 | Marker::Bin8 => leaf(2 + be8(buf)?),
        Marker::Str16 | Marker::Bin16 => leaf(3 + be16(buf)?),
        Marker::Str32 | Marker::Bin32 => leaf(5 + be32(buf)?),
        Marker::Ext8 => leaf(3 + be8(buf)?),
        Marker::Ext16 => leaf(4 + be16(buf)?),
        Marker::Ext32 => leaf(6 + be32(buf)?),
        Marker::Array16 => Ok(Header { len: 3, children: be16(buf)? as u64 }),
        Marker::Array32 => Ok(Header { len: 5, children: be32(buf)? as u64 }),
        Marker::Map16 => Ok(Header { len: 3, children: 2 * be16(buf)? as u64 }),
        Marker::Map32 => Ok(Header { len: 5, children: 2 * be32(buf)? as u64 }),
        Marker::Reserved => Err(ScanError::Reserved),
        Marker::FixPos(_)
        | Marker::FixNeg(_)
        | Marker::FixMap(_)
        | Marker::FixArray(_)
        | Marker::FixStr(_) => leaf(1),
    }
}

fn be8(buf: &[u8]) -> Result<usize, ScanError> {
    buf.get(1).map(|b| usize::from(*b)).ok_or(ScanError::Truncated)
}

fn be16(buf: &[u8]) -> Result<usize, ScanError> {
    let bytes = buf.get(1..3).and_then(|b| b.try_into().ok()).ok_or(ScanError::Truncated)?;
    Ok(usize::from(u16::from_be_bytes(bytes)))
}

fn be32(buf: &[u8]) -> Result<usize, ScanError> {
    let bytes = buf.get(1..5).and_then(|b| b.try_into().ok()).ok_or(ScanError::Truncated)?;
    Ok(u32::from_be_bytes(bytes) as usize)
}

/// Returns how many bytes the value at the start of `buf` takes, walking all of it. Allocates nothing.
///
/// # Errors
/// [`ScanError::Truncated`] when the value ends after `buf`; the others when it can never become a value.
#[inline]
pub fn skip(buf: &[u8]) -> Result<usize, ScanError> {
    let len = walk(buf, 0)?;
    if len > buf.len() { Err(ScanError::Truncated) } else { Ok(len) }
}

/// The length of a value on level `depth`, which may turn out to lie behind the end of `buf`.
#[inline]
fn walk(buf: &[u8], depth: usize) -> Result<usize, ScanError> {
    let Header { len, children } = header(buf)?;
    if children == 0 {
        return Ok(len);
    }
    if depth >= MAX_DEPTH {
        return Err(ScanError::TooDeep);
    }
    let mut at = len;
    for _ in 0..children {
        let rest = buf.get(at..).ok_or(ScanError::Truncated)?;
        let child = header(rest)?;
        at += if child.children == 0 { child.len } else { nested(rest, depth + 1)? };
    }
    Ok(at)
}

/// The recursion's step, kept out of the loop that most records never leave.
#[inline(never)]
fn nested(buf: &[u8], depth: usize) -> Result<usize, ScanError> {
    walk(buf, depth)
}

/// A walk over one value that can be interrupted where the bytes end and resumed when more have come.
#[derive(Debug, Clone, Default)]
pub struct Scanner {
    /// Everything before this offset has been walked. It may lie behind the bytes that have come so far.
    at: usize,
    /// Values still owed on the innermost open level, and on those around it.
    open: Vec<u64>,
    pending: u64,
    started: bool,
}

impl Scanner {
    /// A scanner that stands before the first byte of a value.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on over `buf`, which starts with the value's first byte at every call and only grows.
    ///
    /// Returns the value's length once all of it is there, `None` while it is not.
    ///
    /// # Errors
    /// The bytes are no value, or nest deeper than [`MAX_DEPTH`].
    #[inline]
    pub fn advance(&mut self, buf: &[u8]) -> Result<Option<usize>, ScanError> {
        if !self.started {
            self.started = true;
            self.pending = 1;
        }
        let (mut at, mut pending) = (self.at, self.pending);
        loop {
            while pending == 0 {
                let Some(outer) = self.open.pop() else {
                    (self.at, self.pending) = (at, 0);
                    return Ok((at <= buf.len()).then_some(at));
                };
                pending = outer;
            }
            if at >= buf.len() {
                (self.at, self.pending) = (at, pending);
                return Ok(None);
            }
            match header(&buf[at..]) {
                Ok(Header { len, children: 0 }) => {
                    at += len;
                    pending -= 1;
                }
                Ok(Header { len, children }) => {
                    if self.open.len() >= MAX_DEPTH {
                        return Err(ScanError::TooDeep);
                    }
                    at += len;
                    self.open.push(pending - 1);
                    pending = children;
                }
                Err(ScanError::Truncated) => {
                    (self.at, self.pending) = (at, pending);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Bytes that the value is known to need so far: a lower bound of its length.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.at
    }

    /// Starts over for the next value, keeping what was allocated.
    pub fn reset(&mut self) {
        self.at = 0;
        self.pending = 0;
        self.open.clear();
        self.started = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::write;

    #[test]
    fn a_truncated_value_asks_for_more() {
        let mut buf = Vec::new();
        write::array_header(&mut buf, 3);
        write::str(&mut buf, b"tag");
        write::uint(&mut buf, 1_700_000_000);
        write::map_header(&mut buf, 1);
        write::str(&mut buf, b"log");
        write::str(&mut buf, &[b'x'; 300]);
        let mut scanner = Scanner::new();
        for end in 0..buf.len() {
            assert_eq!(scanner.advance(&buf[..end]), Ok(None), "at {end}");
        }
        assert_eq!(scanner.advance(&buf), Ok(Some(buf.len())));
    }

    #[test]
    fn a_four_gigabyte_length_is_known_from_its_header() {
        let mut scanner = Scanner::new();
        assert_eq!(scanner.advance(&[0xdb, 0xff, 0xff, 0xff, 0xff]), Ok(None));
        assert_eq!(scanner.needed(), 5 + 0xffff_ffff);
    }

    #[test]
    fn nesting_is_bounded() {
        assert_eq!(skip(&[0x91; 200]), Err(ScanError::TooDeep));
        let mut deep = vec![0x91; MAX_DEPTH];
        deep.push(0xc0);
        assert_eq!(skip(&deep), Ok(MAX_DEPTH + 1));
    }

    #[test]
    fn the_reserved_marker_is_refused() {
        assert_eq!(skip(&[0xc1]), Err(ScanError::Reserved));
    }

    #[test]
    fn empty_containers_end_at_once() {
        assert_eq!(skip(&[0x80]), Ok(1));
        assert_eq!(skip(&[0x90, 0x80]), Ok(1));
        assert_eq!(skip(&[0x92, 0x90, 0x80]), Ok(3));
    }

    proptest! {
        #[test]
        fn whole_and_piecewise_walks_agree(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 1usize..7) {
            let whole = skip(&bytes);
            let mut scanner = Scanner::new();
            let mut end = 0;
            let piecewise = loop {
                match scanner.advance(&bytes[..end]) {
                    Ok(Some(len)) => break Ok(len),
                    Err(error) => break Err(error),
                    Ok(None) if end == bytes.len() => break Err(ScanError::Truncated),
                    Ok(None) => end = (end + cut).min(bytes.len()),
                }
            };
            prop_assert_eq!(whole, piecewise);
        }

        #[test]
        fn a_value_written_by_another_library_ends_where_it_ends(value in json_value()) {
            let mut bytes = rmp_serde::to_vec_named(&value).unwrap();
            let len = bytes.len();
            bytes.extend_from_slice(&[0xc1; 9]);
            prop_assert_eq!(skip(&bytes), Ok(len));
        }
    }

    fn json_value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,300}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 64, 20, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..20).prop_map(serde_json::Value::from),
                proptest::collection::vec((".{0,8}", inner), 0..20)
                    .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
            ]
        })
    }
}
