//! A validating, borrowing JSON scanner for the two bodies that carry log data.
//!
//! A `PutLogEvents` body is one megabyte of strings full of escaped quotes, and nothing in it has to become a
//! tree: the server needs each message's length in UTF-8 bytes and, if content is kept, its text. The scanner
//! walks the body once, a block of 64 bytes at a time in strings, checks the whole grammar of RFC 8259 on the way, and hands out
//! strings as borrowed slices with their decoded length already known.

use crate::block::{BLOCK, Masks, has_control, is_plain};

/// Deepest nesting of arrays and objects that a body may have.
const MAX_DEPTH: u32 = 128;

/// The body is not JSON, or not of the expected shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadJson {
    /// Byte position at which the scanner gave up.
    pub(crate) at: usize,
}

/// A JSON string as it stands in the body, between its quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    /// The characters between the quotes, escapes included.
    pub(crate) raw: &'a str,
    /// Length in UTF-8 bytes after the escapes are resolved.
    pub(crate) len: usize,
    /// Byte position of `raw` in the body.
    pub(crate) at: usize,
}

impl<'a> Text<'a> {
    /// Says whether the string reads `plain`.
    pub(crate) fn is(&self, plain: &str) -> bool {
        if self.raw.len() == self.len { self.raw == plain } else { self.to_string() == plain }
    }

    /// Appends the decoded string to `out`.
    pub(crate) fn decode_into(&self, out: &mut String) {
        if self.raw.len() == self.len {
            out.push_str(self.raw);
            return;
        }
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
            let (plain, escape) = rest.split_at(at);
            out.push_str(plain);
            let (character, width) = decode_escape(escape.as_bytes());
            out.push(character);
            rest = escape.get(width..).unwrap_or("");
        }
        out.push_str(rest);
    }
}

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::with_capacity(self.len);
        self.decode_into(&mut out);
        f.write_str(&out)
    }
}

/// Walks one JSON text from its start to its end.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    pos: usize,
    depth: u32,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Scanner { text, pos: 0, depth: 0 }
    }

    /// Steps into an object, calling `member` with each key; `member` must consume the value.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), BadJson>,
    ) -> Result<(), BadJson> {
        self.open(b'{')?;
        if self.take(b'}') {
            return self.close();
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            member(self, key)?;
            if self.take(b',') {
                continue;
            }
            self.expect(b'}')?;
            return self.close();
        }
    }

    /// Steps into an array, calling `item` in front of each value; `item` must consume it.
    pub(crate) fn array(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), BadJson>,
    ) -> Result<(), BadJson> {
        self.open(b'[')?;
        if self.take(b']') {
            return self.close();
        }
        loop {
            item(self)?;
            if self.take(b',') {
                continue;
            }
            self.expect(b']')?;
            return self.close();
        }
    }

    /// Reads a string.
    pub(crate) fn string(&mut self) -> Result<Text<'a>, BadJson> {
        self.expect(b'"')?;
        let start = self.pos;
        let mut state = StringState::default();
        let end = loop {
            let block = self.block();
            if state.carry == 1 || !is_plain(&block) {
                let end = self.special_block(&block, &mut state)?;
                if end < BLOCK {
                    break self.pos + end;
                }
            }
            self.pos += BLOCK;
            if self.pos >= self.text.len() {
                return self.bad();
            }
        };
        let raw = self.text.get(start..end).ok_or(BadJson { at: start })?;
        if has_control(raw.as_bytes()) {
            return Err(BadJson { at: start });
        }
        self.pos = end + 1;
        Ok(Text { raw, len: raw.len() - state.shrunk, at: start })
    }

    /// Takes a block with quotes or backslashes; returns where in it the string ends, 64 for nowhere.
    #[inline]
    fn special_block(&self, block: &[u8; BLOCK], state: &mut StringState) -> Result<usize, BadJson> {
        let masks = Masks::of(block);
        let mut escaped = masks.escaped(&mut state.carry);
        let end = (masks.quotes & !escaped).trailing_zeros();
        escaped &= 1u64.checked_shl(end).unwrap_or(0).wrapping_sub(1);
        state.shrunk += escaped.count_ones() as usize;
        let others = escaped & !(masks.quotes | masks.backslashes);
        if others != 0 {
            self.check_escapes(others, state)?;
        }
        Ok(end as usize)
    }

    /// The next 64 bytes, filled up with zeros.
    fn block(&self) -> [u8; BLOCK] {
        let rest = self.text.as_bytes().get(self.pos..).unwrap_or_default();
        if let Some(block) = rest.first_chunk::<BLOCK>() {
            return *block;
        }
        let mut block = [0; BLOCK];
        block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        block
    }

    /// Checks the escapes of a block that stand for neither a quote nor a backslash.
    fn check_escapes(&self, mut others: u64, state: &mut StringState) -> Result<(), BadJson> {
        let bytes = self.text.as_bytes();
        while others != 0 {
            let at = self.pos + others.trailing_zeros() as usize;
            others &= others - 1;
            match bytes.get(at) {
                Some(b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
                Some(b'u') if state.low_half == Some(at) => state.low_half = None,
                Some(b'u') => state.add_unicode(bytes, at).ok_or(BadJson { at })?,
                _ => return Err(BadJson { at }),
            }
        }
        Ok(())
    }

    /// Reads a string, or `null` as nothing.
    pub(crate) fn optional_string(&mut self) -> Result<Option<Text<'a>>, BadJson> {
        if self.null()? { Ok(None) } else { self.string().map(Some) }
    }

    /// Reads a whole number.
    pub(crate) fn integer(&mut self) -> Result<i64, BadJson> {
        self.space();
        let start = self.pos;
        self.number()?;
        let Some(digits) = self.text.get(start..self.pos) else { return self.bad() };
        digits.parse().map_err(|_| BadJson { at: start })
    }

    /// Consumes `null` if it stands here.
    pub(crate) fn null(&mut self) -> Result<bool, BadJson> {
        self.space();
        if self.text.as_bytes().get(self.pos) != Some(&b'n') {
            return Ok(false);
        }
        self.word("null")?;
        Ok(true)
    }

    /// Consumes any value, checking it.
    pub(crate) fn skip(&mut self) -> Result<(), BadJson> {
        self.space();
        match self.text.as_bytes().get(self.pos) {
            Some(b'{') => self.object(|inner, _| inner.skip()),
            Some(b'[') => self.array(Self::skip),
            Some(b'"') => self.string().map(|_| ()),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.number(),
        }
    }

    /// Checks that nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), BadJson> {
        self.space();
        if self.pos == self.text.len() { Ok(()) } else { self.bad() }
    }

    fn bad<T>(&self) -> Result<T, BadJson> {
        Err(BadJson { at: self.pos })
    }

    fn open(&mut self, bracket: u8) -> Result<(), BadJson> {
        self.expect(bracket)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH { self.bad() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<(), BadJson> {
        self.depth -= 1;
        Ok(())
    }

    fn space(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.pos) {
            self.pos += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.text.as_bytes().get(self.pos) == Some(&byte);
        self.pos += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), BadJson> {
        if self.take(byte) { Ok(()) } else { self.bad() }
    }

    fn word(&mut self, word: &str) -> Result<(), BadJson> {
        let here = self.text.as_bytes().get(self.pos..self.pos + word.len());
        if here != Some(word.as_bytes()) {
            return self.bad();
        }
        self.pos += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), BadJson> {
        let bytes = self.text.as_bytes();
        let start = self.pos;
        while bytes.get(self.pos).is_some_and(u8::is_ascii_digit) {
            self.pos += 1;
        }
        if self.pos > start { Ok(()) } else { self.bad() }
    }

    fn number(&mut self) -> Result<(), BadJson> {
        let bytes = self.text.as_bytes();
        self.pos += usize::from(bytes.get(self.pos) == Some(&b'-'));
        if bytes.get(self.pos) == Some(&b'0') {
            self.pos += 1;
        } else {
            self.digits()?;
        }
        if bytes.get(self.pos) == Some(&b'.') {
            self.pos += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.pos) {
            self.pos += 1;
            self.pos += usize::from(matches!(bytes.get(self.pos), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }
}

/// What is carried from block to block of a string.
#[derive(Debug, Default)]
struct StringState {
    /// 1 when the next block's first byte is escaped.
    carry: u64,
    /// By how many bytes the string shrinks when it is decoded.
    shrunk: usize,
    /// Where the `u` of a surrogate pair's second half stands, which has been looked at with the first.
    low_half: Option<usize>,
}

impl StringState {
    /// Takes a `\uXXXX` whose `u` is at `at`; its backslash is counted already.
    fn add_unicode(&mut self, bytes: &[u8], at: usize) -> Option<()> {
        let first = hex4(bytes, at + 1)?;
        if let Some(character) = char::from_u32(first) {
            self.shrunk += 5 - character.len_utf8();
            return Some(());
        }
        let second =
            bytes.get(at + 5..at + 7).filter(|next| *next == br"\u").and_then(|_| hex4(bytes, at + 7))?;
        if !(0xd800..0xdc00).contains(&first) || !(0xdc00..0xe000).contains(&second) {
            return None;
        }
        // Twelve bytes become four, and both backslashes are counted as escapes.
        self.shrunk += 6;
        self.low_half = Some(at + 6);
        Some(())
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0, |sum, &digit| Some(sum * 16 + (digit as char).to_digit(16)?))
}

/// Decodes an escape that the scanner has accepted: the character, and how many bytes stood for it.
fn decode_escape(bytes: &[u8]) -> (char, usize) {
    let character = match bytes.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return decode_unicode(bytes),
        Some(&other) => other as char,
        None => char::REPLACEMENT_CHARACTER,
    };
    (character, 2)
}

fn decode_unicode(bytes: &[u8]) -> (char, usize) {
    let first = hex4(bytes, 2).unwrap_or(0xfffd);
    if let Some(character) = char::from_u32(first) {
        return (character, 6);
    }
    let second = hex4(bytes, 8).unwrap_or(0xdc00);
    let joined = 0x10000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
    (char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<String> {
        let mut scanner = Scanner::new(json);
        let text = scanner.string().ok()?;
        scanner.end().ok()?;
        let decoded = text.to_string();
        assert_eq!(decoded.len(), text.len, "{json}");
        Some(decoded)
    }

    #[test]
    fn strings_decode_as_serde_json_decodes_them() {
        let samples = [
            r#""""#,
            r#""plain text that is longer than eight bytes""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u0041\u00e9\u65e5\ud83d\ude00 tail""#,
            "\"raw 日本語 😀\"",
            r#""{\"log\":\"a\",\"n\":1}""#,
        ];
        for sample in samples {
            assert_eq!(read(sample), serde_json::from_str(sample).ok(), "{sample}");
        }
    }

    #[test]
    fn long_strings_of_any_bytes_are_read_as_serde_json_reads_them() {
        const PIECES: [&str; 16] = [
            "\\\\",
            "\\\"",
            "\\n",
            "\\u0041",
            "\\u65e5",
            "\\ud83d\\ude00",
            "\\ud83d",
            "\\x",
            "\n",
            "日",
            "😀",
            "a",
            "b",
            " ",
            "longer text without any escape in it ",
            "\\/",
        ];
        let mut state = 3u64;
        let mut random = |limit: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) % limit) as usize
        };
        let mut good = 0;
        for _ in 0..20_000 {
            let count = random(40);
            let mut sample = String::from("\"");
            for _ in 0..count {
                // Pieces that break a string are drawn seldom, or no long string would be good.
                let piece = PIECES[random(16)];
                let is_bad = ["\\ud83d", "\\x", "\n"].contains(&piece);
                sample.push_str(if is_bad && random(20) > 0 { "c" } else { piece });
            }
            sample.push('"');
            let theirs: Option<String> = serde_json::from_str(&sample).ok();
            good += usize::from(theirs.is_some());
            assert_eq!(read(&sample), theirs, "{sample}");
        }
        assert!((10_000..19_900).contains(&good), "{good}");
    }

    #[test]
    fn what_serde_json_refuses_is_refused() {
        let samples = [
            "",
            "\"",
            "\"\\",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\\x\"",
            "\"a\nb\"",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1,]",
            "[1 2]",
            "01",
            "-",
            "1.",
            "1e",
            "tru",
            "nulll",
            "{}x",
        ];
        for sample in samples {
            let mut scanner = Scanner::new(sample);
            let ours = scanner.skip().and_then(|()| scanner.end());
            assert!(ours.is_err(), "{sample}");
            assert!(serde_json::from_str::<serde_json::Value>(sample).is_err(), "{sample}");
        }
    }

    #[test]
    fn what_serde_json_takes_is_taken() {
        let samples =
            ["{}", " [ ] ", "0", "-0.5e+10", "true", "null", r#"{"a":[1,{"b":null}],"c":"d"}"#, "[[[[1]]]]"];
        for sample in samples {
            let mut scanner = Scanner::new(sample);
            assert_eq!(scanner.skip().and_then(|()| scanner.end()), Ok(()), "{sample}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_instead_of_overflowing_the_stack() {
        let deep = "[".repeat(100_000);
        assert!(Scanner::new(&deep).skip().is_err());
    }
}
