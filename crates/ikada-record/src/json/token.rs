//! The next piece of an encoded value: a scalar, or the head of a container.

/// One marker with what belongs to it. Children of containers follow behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Uint(u64),
    /// Any integer from a signed width; may be positive.
    Int(i64),
    Float(f64),
    Str(&'a [u8]),
    Bin(&'a [u8]),
    /// Number of elements.
    Array(usize),
    /// Number of pairs.
    Map(usize),
    Ext(i8, &'a [u8]),
}

/// Reads the token at the start of `buf` and says how many bytes it takes. `None` if it is cut short or no MessagePack.
#[inline]
pub(super) fn token(buf: &[u8]) -> Option<(Token<'_>, usize)> {
    let (&byte, rest) = buf.split_first()?;
    match byte {
        0xa0..=0xbf => {
            let len = usize::from(byte & 0x1f);
            Some((Token::Str(rest.get(..len)?), 1 + len))
        }
        0xd9 => {
            let (&len, rest) = rest.split_first()?;
            let len = usize::from(len);
            Some((Token::Str(rest.get(..len)?), 2 + len))
        }
        0x00..=0x7f => Some((Token::Uint(u64::from(byte)), 1)),
        0x80..=0x8f => Some((Token::Map(usize::from(byte & 0x0f)), 1)),
        0x90..=0x9f => Some((Token::Array(usize::from(byte & 0x0f)), 1)),
        _ => long(byte, rest),
    }
}

/// Reads the string at the start of `buf` and says how many bytes it takes. `None` for anything else.
#[inline(always)]
pub(super) fn string(buf: &[u8]) -> Option<(&[u8], usize)> {
    let (&byte, rest) = buf.split_first()?;
    match byte {
        0xa0..=0xbf => {
            let len = usize::from(byte & 0x1f);
            Some((rest.get(..len)?, 1 + len))
        }
        0xd9 => {
            let (&len, rest) = rest.split_first()?;
            let len = usize::from(len);
            Some((rest.get(..len)?, 2 + len))
        }
        0xda | 0xdb => sized(rest, 2 << (byte - 0xda), 0),
        _ => None,
    }
}

fn long(byte: u8, rest: &[u8]) -> Option<(Token<'_>, usize)> {
    Some(match byte {
        0xe0..=0xff => (Token::Int(i64::from(byte as i8)), 1),
        0xc0 => (Token::Nil, 1),
        0xc2 | 0xc3 => (Token::Bool(byte == 0xc3), 1),
        0xc4..=0xc6 => {
            let (data, len) = sized(rest, 1 << (byte - 0xc4), 0)?;
            (Token::Bin(data), len)
        }
        0xc7..=0xc9 => {
            let (data, len) = sized(rest, 1 << (byte - 0xc7), 1)?;
            let (&kind, data) = data.split_first()?;
            (Token::Ext(kind as i8, data), len)
        }
        0xca => (Token::Float(f64::from(f32::from_bits(uint(rest, 4)? as u32))), 5),
        0xcb => (Token::Float(f64::from_bits(uint(rest, 8)?)), 9),
        0xcc..=0xcf => {
            let width = 1 << (byte - 0xcc);
            (Token::Uint(uint(rest, width)?), 1 + width)
        }
        0xd0..=0xd3 => {
            let width = 1 << (byte - 0xd0);
            let shift = 64 - 8 * width as u32;
            (Token::Int(((uint(rest, width)? << shift) as i64) >> shift), 1 + width)
        }
        0xd4..=0xd8 => {
            let len = 1 << (byte - 0xd4);
            let (&kind, data) = rest.split_first()?;
            (Token::Ext(kind as i8, data.get(..len)?), 2 + len)
        }
        0xda | 0xdb => {
            let (data, len) = sized(rest, 2 << (byte - 0xda), 0)?;
            (Token::Str(data), len)
        }
        0xdc | 0xdd => {
            let width = 2 << (byte - 0xdc);
            (Token::Array(uint(rest, width)? as usize), 1 + width)
        }
        0xde | 0xdf => {
            let width = 2 << (byte - 0xde);
            (Token::Map(uint(rest, width)? as usize), 1 + width)
        }
        _ => return None,
    })
}

/// Data behind a length of `width` bytes, with `kind` bytes between them that count as data; and the length of it all
/// with the marker.
fn sized(rest: &[u8], width: usize, kind: usize) -> Option<(&[u8], usize)> {
    let len = uint(rest, width)? as usize + kind;
    Some((rest.get(width..width + len)?, 1 + width + len))
}

fn uint(rest: &[u8], width: usize) -> Option<u64> {
    Some(rest.get(..width)?.iter().fold(0, |n, byte| (n << 8) | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use ikada_msgpack::{View, header};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_is_as_long_as_the_header_says(bytes in proptest::collection::vec(any::<u8>(), 0..300), first: u8) {
            let mut bytes = bytes;
            bytes.insert(0, first);
            let known = header(&bytes).ok().filter(|head| head.len <= bytes.len());
            let seen = token(&bytes);
            prop_assert_eq!(seen.map(|(_, len)| len), known.map(|head| head.len));
            let Some((seen, len)) = seen else { return Ok(()) };
            let same = match (seen, View::parse(&bytes[..len])) {
                (Token::Array(n), _) => known.unwrap().children == n as u64,
                (Token::Map(n), _) => known.unwrap().children == 2 * n as u64,
                (Token::Nil, Ok((View::Nil, _))) => true,
                (Token::Bool(a), Ok((View::Bool(b), _))) => a == b,
                (Token::Uint(a), Ok((View::Uint(b), _))) => a == b,
                (Token::Int(a), Ok((View::Int(b), _))) => a == b,
                (Token::Int(a), Ok((View::Uint(b), _))) => a as u64 == b && a >= 0,
                (Token::Float(a), Ok((View::Float(b), _))) => a.to_bits() == b.to_bits(),
                (Token::Str(a), Ok((View::Str(b), _))) | (Token::Bin(a), Ok((View::Bin(b), _))) => a == b,
                (Token::Ext(k, a), Ok((View::Ext(l, b), _))) => k == l && a == b,
                _ => false,
            };
            prop_assert!(same, "{:?}", seen);
        }
    }
}
