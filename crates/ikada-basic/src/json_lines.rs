//! JSON values out of a stream of bytes, whatever stands between them.
//!
//! Values follow each other with or without line ends or commas (reference, inputs §4.1). A line that is no JSON costs only itself, where
//! Fluent Bit throws the whole segment away.

use ikada_parse::json::transcode_one;

/// Bytes that have come and are not yet a value.
#[derive(Debug)]
pub(crate) struct JsonStream {
    buf: Vec<u8>,
    at: usize,
    limit: usize,
    /// Length of what was found to be only the beginning of a value, 0 if nothing was. A long value that comes in many
    /// pieces is not read again with each of them.
    begun: usize,
    /// Whether something has come since that can end a record, or a line.
    may_end: bool,
    /// Whether all bytes up to the next line end belong to a value that is too long.
    skips: bool,
}

/// What stands next in the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A value, appended to the buffer given.
    Value,
    /// Bytes that are no JSON, skipped up to the next line end.
    Malformed(String),
    /// Nothing more until bytes come.
    Wait,
    /// A value longer than the limit. It is skipped, up to the next line end where it has no end yet.
    TooLong,
}

impl JsonStream {
    /// A stream whose values have at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { buf: Vec::new(), at: 0, limit, begun: 0, may_end: false, skips: false }
    }

    /// Lets go of room that what has begun does not need. Returns what it takes.
    pub(crate) fn tidy(&mut self) -> usize {
        self.buf.drain(..self.at);
        self.at = 0;
        self.buf.shrink_to(2 * self.buf.len());
        self.buf.capacity()
    }

    /// Adds bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        if self.skips {
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
            bytes = &bytes[end + 1..];
            self.skips = false;
        }
        self.may_end |= bytes.iter().any(|byte| matches!(byte, b'}' | b']' | b'\n'));
        self.buf.drain(..self.at);
        self.at = 0;
        self.buf.extend_from_slice(bytes);
    }

    /// Reads the next value into `out` as MessagePack. `ended` says that no bytes will come any more.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>, ended: bool) -> Next {
        let rest = &self.buf[self.at..];
        let means_nothing = |byte: &&u8| byte.is_ascii_whitespace() || matches!(**byte, 0 | b',');
        let blank = rest.iter().take_while(means_nothing).count();
        self.at += blank;
        let rest = &self.buf[self.at..];
        let is_begun = self.begun > 0 && rest.len() < 2 * self.begun && !self.may_end;
        if rest.is_empty() || (is_begun && !ended) {
            return self.wait();
        }
        (self.begun, self.may_end) = (0, false);
        let before = out.len();
        match transcode_one(rest, out) {
            // A number at the end of the bytes may go on in the next.
            Ok(used) if used == rest.len() && !ended && !matches!(rest[used - 1], b'}' | b']' | b'"') => {
                out.truncate(before);
                self.begun = rest.len();
                self.wait()
            }
            Ok(used) => {
                self.at += used;
                if used > self.limit {
                    out.truncate(before);
                    return Next::TooLong;
                }
                Next::Value
            }
            Err(error) if error.incomplete && !ended => {
                out.truncate(before);
                self.begun = rest.len();
                self.wait()
            }
            Err(error) => {
                out.truncate(before);
                let from = error.offset.min(rest.len());
                let end = rest[from..].iter().position(|byte| *byte == b'\n').map(|n| from + n + 1);
                // Without a line end in sight there is nothing to find the next value by.
                self.at += end.unwrap_or(rest.len());
                Next::Malformed(error.to_string())
            }
        }
    }

    fn wait(&mut self) -> Next {
        if self.buf.len() - self.at <= self.limit {
            return Next::Wait;
        }
        self.buf.clear();
        (self.at, self.begun, self.skips) = (0, 0, true);
        Next::TooLong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values as JSON, and how often something was malformed.
    fn all(chunks: &[&str]) -> (Vec<String>, usize) {
        let mut stream = JsonStream::new(1000);
        let (mut values, mut malformed) = (Vec::new(), 0);
        for (n, chunk) in chunks.iter().enumerate() {
            stream.feed(chunk.as_bytes());
            loop {
                let mut out = Vec::new();
                match stream.next(&mut out, n + 1 == chunks.len()) {
                    Next::Value => {
                        let mut text = Vec::new();
                        ikada_record::json::write_value(&mut text, &out, Default::default());
                        values.push(String::from_utf8(text).unwrap());
                    }
                    Next::Malformed(_) => malformed += 1,
                    Next::Wait => break,
                    Next::TooLong => panic!("short values"),
                }
            }
        }
        (values, malformed)
    }

    #[test]
    fn separators_are_optional() {
        assert_eq!(all(&["{\"a\":1}\n{\"b\":2}{\"c\":3}"]).0, ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
    }

    #[test]
    fn a_value_may_come_in_pieces() {
        assert_eq!(all(&["{\"a\":", "12", "3}", "45", "6 "]).0, ["{\"a\":123}", "456"]);
    }

    #[test]
    fn a_bad_line_costs_only_itself() {
        assert_eq!(
            all(&["{\"a\":1}\nnot json\n{\"b\":2}\n"]),
            (vec!["{\"a\":1}".into(), "{\"b\":2}".into()], 1)
        );
    }

    #[test]
    fn a_value_in_single_bytes_is_whole_with_its_last_one() {
        let text = "{\"a\":[\"}\",{\"b\":1}]}";
        let mut stream = JsonStream::new(100);
        let last = text.len() - 1;
        for (at, byte) in text.bytes().enumerate() {
            stream.feed(&[byte]);
            let expected = if at == last { Next::Value } else { Next::Wait };
            assert_eq!(stream.next(&mut Vec::new(), false), expected, "{at}");
        }
    }

    #[test]
    fn an_endless_value_is_noticed_and_skipped_up_to_its_line_s_end() {
        let mut stream = JsonStream::new(100);
        stream.feed(&[b'['; 50]);
        assert_eq!(stream.next(&mut Vec::new(), false), Next::Wait);
        stream.feed(&b"1,".repeat(100));
        assert_eq!(stream.next(&mut Vec::new(), false), Next::TooLong);
        assert_eq!(stream.next(&mut Vec::new(), false), Next::Wait);
        stream.feed(b"{\"a\":1}");
        assert_eq!(stream.next(&mut Vec::new(), false), Next::Wait);
        stream.feed(b"]\n{\"a\":1}");
        assert_eq!(stream.next(&mut Vec::new(), false), Next::Value);
    }

    #[test]
    fn a_value_is_too_long_however_it_comes() {
        let text = format!("[\"{}\"][1]", "x".repeat(100));
        let mut stream = JsonStream::new(100);
        stream.feed(text.as_bytes());
        let mut out = Vec::new();
        assert_eq!(stream.next(&mut out, false), Next::TooLong);
        assert_eq!(stream.next(&mut out, false), Next::Value);
        assert_eq!(out, [0x91, 1]);
    }
}
