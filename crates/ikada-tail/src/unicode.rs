//! Text in UTF-16: where its lines end, and how they become UTF-8.
//!
//! Lines are cut in the file's own bytes, so that positions are the file's, and an unfinished line or half a character waits as it does in any other file.

use crate::identity::Head;
use crate::options::UnicodeEncoding;

/// The order of bytes in a unit of UTF-16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    /// The order of a file that begins like this; `None` if it is no UTF-16.
    pub(crate) fn of(encoding: Option<UnicodeEncoding>, head: &Head) -> Option<Self> {
        match encoding? {
            UnicodeEncoding::Utf16Le => Some(Self::Little),
            UnicodeEncoding::Utf16Be => Some(Self::Big),
            UnicodeEncoding::Auto => match head.bytes() {
                [0xff, 0xfe, ..] => Some(Self::Little),
                [0xfe, 0xff, ..] => Some(Self::Big),
                _ => None,
            },
        }
    }

    fn unit(self, pair: &[u8]) -> u16 {
        let pair = [pair[0], pair[1]];
        match self {
            Self::Little => u16::from_le_bytes(pair),
            Self::Big => u16::from_be_bytes(pair),
        }
    }

    /// Where line feeds start, in text that starts with a whole unit.
    pub(crate) fn ends(self, text: &[u8]) -> impl Iterator<Item = usize> + '_ {
        let units = text.chunks_exact(2).enumerate();
        units.filter(move |(_, pair)| self.unit(pair) == 0x0a).map(|(at, _)| at * 2)
    }

    /// The text as UTF-8, without a byte order mark; what is no text becomes U+FFFD.
    pub(crate) fn decode(self, text: &[u8], out: &mut String) {
        out.clear();
        let units = text.chunks_exact(2).map(|pair| self.unit(pair));
        let chars = char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER));
        out.extend(chars);
        if out.starts_with('\u{feff}') {
            out.drain(..3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_tells_the_order_and_is_no_text() {
        let auto = |bytes: &[u8]| Order::of(Some(UnicodeEncoding::Auto), &Head::new(bytes));
        assert_eq!(auto(b"\xff\xfea\0"), Some(Order::Little));
        assert_eq!(auto(b"\xfe\xff\0a"), Some(Order::Big));
        assert_eq!((auto(b"text"), auto(b"\xff")), (None, None));
        assert_eq!(Order::of(None, &Head::new(b"\xff\xfe")), None);
        let mut out = String::new();
        Order::Big.decode(b"\xfe\xff\x76\xe3\xd8\x3d\xde\x00\xd8\x00", &mut out);
        assert_eq!(out, "\u{76e3}\u{1f600}\u{fffd}");
    }

    #[test]
    fn a_line_ends_at_a_whole_unit_only() {
        // U+0A00 and U+000A beside each other, in both orders.
        assert_eq!(Order::Little.ends(b"\0\x0a\x0a\0\x0a").collect::<Vec<_>>(), [2]);
        assert_eq!(Order::Big.ends(b"\x0a\0\0\x0a\0\x0a").collect::<Vec<_>>(), [2, 4]);
    }
}
