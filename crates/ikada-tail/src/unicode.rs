//! Text in UTF-16 and in older encodings: where its lines end, and how they become UTF-8.
//!
//! Lines are cut in the file's own bytes, so that positions are the file's, and an unfinished line or half a character waits as it does in any other file.

use std::borrow::Cow;

use encoding_rs::Encoding;
use memchr::memchr;

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
                head => is_little(head).then_some(Self::Little),
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

/// Whether a file without a byte order mark is in UTF-16 with the low byte first. Its first line tells, as far as the head has it: what is
/// known of the file behind that line must not turn its bytes into others once they are taken.
///
/// Units without a high byte are what tells it from other encodings of bytes; nobody writes NUL characters. Either all units are such ones
/// (ASCII is UTF-8 too, whatever the NUL bytes), or the line is no UTF-8 and is UTF-16.
fn is_little(head: &[u8]) -> bool {
    let end = memchr(b'\n', head);
    let line = &head[..end.unwrap_or(head.len())];
    let units = || line.chunks_exact(2).map(|pair| Order::Little.unit(pair));
    let is_narrow = |unit: u16| unit < 0x100;
    // Bytes of NUL at the start are a hole in the file.
    if line.first() == Some(&0) || units().any(|unit| unit == 0) || !units().any(is_narrow) {
        return false;
    }
    let ends_in_unit = end.is_none_or(|end| end % 2 == 0 && matches!(head.get(end + 1), None | Some(0)));
    if ends_in_unit && units().all(is_narrow) {
        return true;
    }
    // Without a line end, the last character may be cut.
    let is_whole = end.is_some();
    let is_utf8 = match std::str::from_utf8(line) {
        Ok(_) => true,
        Err(error) => !is_whole && error.error_len().is_none(),
    };
    let is_cut = !is_whole && units().next_back().is_some_and(|unit| unit & 0xfc00 == 0xd800);
    let broken = char::decode_utf16(units()).filter(Result::is_err).count();
    !is_utf8 && broken == usize::from(is_cut)
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
    use proptest::prelude::*;

    use super::*;
    use crate::identity::HEAD;

    fn auto(bytes: &[u8]) -> Option<Order> {
        Order::of(Some(UnicodeEncoding::Auto), &Head::new(bytes))
    }

    fn little(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn a_byte_order_mark_tells_the_order_and_is_no_text() {
        assert_eq!(auto(b"\xff\xfea\0"), Some(Order::Little));
        assert_eq!(auto(b"\xfe\xff\0a"), Some(Order::Big));
        assert_eq!((auto(b"text"), auto(b"\xff")), (None, None));
        assert_eq!(Order::of(None, &Head::new(b"\xff\xfe")), None);
        let mut out = String::new();
        Order::Big.decode(b"\xfe\xff\x76\xe3\xd8\x3d\xde\x00\xd8\x00", &mut out);
        assert_eq!(out, "\u{76e3}\u{1f600}\u{fffd}");
    }

    #[test]
    fn without_a_mark_the_first_line_tells_the_low_byte_first() {
        let long = format!("2025-11-22 {}", "\u{1f600}".repeat(HEAD));
        let cases = [
            "plain\n",
            "\r\n",
            "1",
            "\u{dc}ber\nnext",
            "1 \u{76e3}\u{67fb}\n",
            "1 \u{e5}\u{4e0a} upwards, where a line feed is a half of it\n",
            "1\u{1f600}\n",
            &long,
        ];
        for text in cases {
            let text = little(text);
            assert_eq!(auto(&text), Some(Order::Little), "{:?}", text.escape_ascii().to_string());
        }
    }

    #[test]
    fn what_may_be_text_in_bytes_stays_that() {
        let cut = format!("{}\u{e4}", "a".repeat(HEAD - 1));
        let cases: [&[u8]; 12] = [
            b"",
            b"\n\0a\0",
            cut.as_bytes(),
            // Windows-1252, of odd and even length.
            b"caf\xe9 au lait\n",
            b"caf\xe9 au lai\n",
            b"caf\xe9",
            // Holes that a writer leaves, and NUL bytes of a binary file.
            b"\0\0\0\0text\n",
            b"\xe9text\0\0\0\0text\n",
            b"k\0v\0\0\n",
            b"a\0b\nnext\n",
            // The other order, and half a pair.
            b"\0p\0l\0\xdc\0\n",
            b"1\0\x3d\xd8\xff\0\n\0",
        ];
        for text in cases {
            assert_eq!(auto(text), None, "{:?}", text.escape_ascii().to_string());
        }
    }

    proptest! {
        #[test]
        fn text_in_utf_8_is_never_taken_for_utf_16(text in "[^\\x00]{0,300}") {
            prop_assert_eq!(auto(text.as_bytes()), None);
        }

        #[test]
        fn once_a_line_was_taken_the_order_stays(
            bytes in proptest::collection::vec(
                proptest::sample::select(vec![0, b'\n', b'\r', b'1', b'a', 0x4e, 0xd8, 0xdc, 0xe4, 0xff]),
                0..300,
            ),
            cut in 0_usize..300,
        ) {
            let known = &bytes[..cut.min(bytes.len())];
            let is_taken = match auto(known) {
                Some(order) => order.ends(known).next().is_some(),
                None => known.contains(&b'\n'),
            };
            if is_taken {
                prop_assert_eq!(auto(known), auto(&bytes));
            }
        }
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
