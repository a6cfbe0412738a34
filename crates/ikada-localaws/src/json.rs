//! A validating, borrowing JSON scanner for the two bodies that carry log data.
//!
//! A `PutLogEvents` body is one megabyte of strings full of escaped quotes, and nothing in it has to become a
//! tree: the server needs each message's length in UTF-8 bytes and, if content is kept, its text. The scanner
//! walks the body once, eight bytes at a time, checks the whole grammar of RFC 8259 on the way, and hands out
//! strings as borrowed slices with their decoded length already known.

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
        let mut shrunk = 0;
        loop {
            self.pos = next_special(self.text.as_bytes(), self.pos);
            match self.text.as_bytes().get(self.pos) {
                Some(b'"') => break,
                Some(b'\\') => shrunk += self.escape()?,
                _ => return self.bad(),
            }
        }
        let raw = self.text.get(start..self.pos).ok_or(BadJson { at: start })?;
        self.pos += 1;
        Ok(Text { raw, len: raw.len() - shrunk, at: start })
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

    /// Consumes an escape; returns by how many bytes it shrinks when decoded.
    fn escape(&mut self) -> Result<usize, BadJson> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.pos + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.pos += 2;
                Ok(1)
            }
            Some(b'u') => self.unicode_escape(),
            _ => self.bad(),
        }
    }

    fn unicode_escape(&mut self) -> Result<usize, BadJson> {
        let bytes = self.text.as_bytes();
        let Some(first) = hex4(bytes, self.pos + 2) else { return self.bad() };
        if let Some(character) = char::from_u32(first) {
            self.pos += 6;
            return Ok(6 - character.len_utf8());
        }
        let second = match bytes.get(self.pos + 6..self.pos + 8) {
            Some(br"\u") => hex4(bytes, self.pos + 8),
            _ => None,
        };
        if !(0xd800..0xdc00).contains(&first) || !second.is_some_and(|low| (0xdc00..0xe000).contains(&low)) {
            return self.bad();
        }
        self.pos += 12;
        Ok(12 - 4)
    }
}

/// Position of the first quote, backslash or control character at or after `at`.
fn next_special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        let quote = word ^ (ONES * b'"' as u64);
        let slash = word ^ (ONES * b'\\' as u64);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found =
            (control | (quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash)) & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        at += 1;
    }
    at
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
