//! Text in UTF-16 and in older encodings: where its lines end, and how they become UTF-8.
//!
//! Lines are cut in the file's own bytes, so that positions are the file's, and an unfinished line or half a character waits as it does in any other file.

use std::borrow::Cow;

use encoding_rs::Encoding;

use crate::identity::Head;
use crate::options::{Charset, UnicodeEncoding};

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

impl Charset {
    /// The text as UTF-8; what is no text becomes U+FFFD.
    pub(crate) fn decode(self, text: &[u8]) -> Cow<'_, str> {
        self.encoding().decode_without_bom_handling(text).0
    }

    fn encoding(self) -> &'static Encoding {
        match self {
            Self::ShiftJis => encoding_rs::SHIFT_JIS,
            Self::Uhc => encoding_rs::EUC_KR,
            Self::Gbk => encoding_rs::GBK,
            Self::Gb18030 => encoding_rs::GB18030,
            Self::Big5 => encoding_rs::BIG5,
            Self::Win866 => encoding_rs::IBM866,
            Self::Win874 => encoding_rs::WINDOWS_874,
            Self::Win1250 => encoding_rs::WINDOWS_1250,
            Self::Win1251 => encoding_rs::WINDOWS_1251,
            Self::Win1252 => encoding_rs::WINDOWS_1252,
            Self::Win1253 => encoding_rs::WINDOWS_1253,
            Self::Win1254 => encoding_rs::WINDOWS_1254,
            Self::Win1255 => encoding_rs::WINDOWS_1255,
            Self::Win1256 => encoding_rs::WINDOWS_1256,
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

    #[test]
    fn older_encodings_become_utf_8() {
        let of = |charset: Charset, text: &[u8]| charset.decode(text).into_owned();
        assert_eq!(of(Charset::ShiftJis, b"\x8a\xc4\x8d\xb8 \x87\x40 \xb1"), "監査 ① ｱ");
        assert_eq!(of(Charset::Uhc, b"\xb0\xa8\xbb\xe7 \x81\x41"), "감사 갂");
        assert_eq!(of(Charset::Gbk, b"\xc9\xf3\xbc\xc6"), "审计");
        assert_eq!(of(Charset::Gb18030, b"\xc9\xf3\x95\x32\x82\x36"), "审\u{20000}");
        assert_eq!(of(Charset::Big5, b"\xbc\x66\xad\x70"), "審計");
        assert_eq!(of(Charset::Win866, b"\x80\xe0"), "Ар");
        assert_eq!(of(Charset::Win874, b"\xa1"), "ก");
        let singles = [
            (Charset::Win1250, 'Ł'),
            (Charset::Win1251, 'Ј'),
            (Charset::Win1252, '£'),
            (Charset::Win1253, '£'),
            (Charset::Win1254, '£'),
            (Charset::Win1255, '£'),
            (Charset::Win1256, '£'),
        ];
        for (charset, char) in singles {
            assert_eq!(of(charset, b"\xa3"), char.to_string(), "{charset:?}");
        }
        assert_eq!(of(Charset::ShiftJis, b"half \x8a"), "half \u{fffd}");
    }

    #[test]
    fn no_character_of_several_bytes_has_a_line_feed_in_it() {
        // Else lines could not be cut before they are decoded.
        for charset in [Charset::ShiftJis, Charset::Uhc, Charset::Gbk, Charset::Gb18030, Charset::Big5] {
            for first in 0x80..=0xff {
                assert!(charset.decode(&[first, b'\n']).ends_with('\n'), "{charset:?} {first:#x}");
                assert!(
                    charset.decode(&[first, 0x30, first, b'\n']).ends_with('\n'),
                    "{charset:?} {first:#x}"
                );
            }
        }
    }
}
