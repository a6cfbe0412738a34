//! JSON text into MessagePack, in one pass and without a tree.
//!
//! The reader walks the text and writes each value as it meets it. A container's length is only known at its end, so its
//! header starts as one byte, and what follows is moved up in the rare case that more than 15 members came.
//! Nothing is allocated but what `out` grows by.
//!
//! **What is taken.** JSON as RFC 8259 has it, and, as Fluent Bit takes it too (recorded cases `json-*`, `num-*`, `str-*`):
//!
//! | in the text | in MessagePack |
//! |---|---|
//! | an integer within `i64` or `u64` | that integer, in its smallest form; `-0` is 0 |
//! | any other number | a 64-bit float; one that overflows is an error |
//! | bytes below 0x20 or bytes that are not UTF-8, within a string | the same bytes |
//! | `\u` without four hex digits | those characters, backslash included |
//! | surrogates that make no pair | U+FFFD, once for a run of them |
//! | the same key twice | both members, in order |
//!
//! serde_json would have been the obvious reader. It refuses the middle three, and a router that refuses a line for one byte in
//! it has lost the line's structure.

mod number;
mod string;

use ikada_msgpack::write;

/// How deep containers may stand in containers: as deep as a record may, with room for the entry around it.
pub const MAX_DEPTH: usize = ikada_msgpack::MAX_DEPTH - 4;

/// Why a text does not begin with a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {offset}")]
pub struct JsonError {
    /// Where, as a byte offset into the text.
    pub offset: usize,
    /// What is wrong there.
    pub message: &'static str,
    /// The text ends before the value does: more of it may make it whole.
    pub incomplete: bool,
}

/// Appends the value at the start of `text` to `out` as MessagePack, and returns how many bytes of text it took.
///
/// Blanks before the value are skipped and counted; what follows it is not looked at. A number at the very end of the
/// text counts as whole. After an error `out` is as it was.
///
/// # Errors
///
/// When no value stands there, or only the beginning of one: then [`incomplete`](JsonError::incomplete) is set.
///
/// ```
/// use ikada_parse::json::transcode_one;
///
/// let mut out = Vec::new();
/// assert_eq!(transcode_one(br#" {"n":[1,-2]} {"next"#, &mut out), Ok(13));
/// assert_eq!(out, b"\x81\xa1n\x92\x01\xfe");
/// assert!(transcode_one(br#"{"next"#, &mut out).is_err_and(|error| error.incomplete));
/// ```
pub fn transcode_one(text: &[u8], out: &mut Vec<u8>) -> Result<usize, JsonError> {
    let start = out.len();
    let mut reader = Reader { text, at: 0, out };
    let result = reader.document();
    let taken = reader.at;
    if result.is_err() {
        out.truncate(start);
    }
    result.map(|()| taken)
}

struct Reader<'t, 'o> {
    text: &'t [u8],
    at: usize,
    out: &'o mut Vec<u8>,
}

/// The two kinds of containers, by what closes them and how their headers look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Map,
}

impl Reader<'_, '_> {
    fn document(&mut self) -> Result<(), JsonError> {
        // MessagePack counts in 32 bits; with this, no count or length below can pass them.
        if u32::try_from(self.text.len()).is_err() {
            return Err(self.error("text of 4 GiB or more"));
        }
        self.value(0)
    }

    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.next_visible() {
            Some(b'"') => self.string(),
            Some(b'{') => self.container(Container::Map, depth),
            Some(b'[') => self.container(Container::Array, depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", |out| write::bool(out, true)),
            Some(b'f') => self.word(b"false", |out| write::bool(out, false)),
            Some(b'n') => self.word(b"null", write::nil),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.cut_short()),
        }
    }

    /// Reads a container whose bracket is next; `depth` containers are open around it.
    fn container(&mut self, kind: Container, depth: usize) -> Result<(), JsonError> {
        if depth == MAX_DEPTH {
            return Err(self.error("nested too deep"));
        }
        self.at += 1;
        let header = self.out.len();
        self.out.push(kind.header());
        if self.next_visible() == Some(kind.end()) {
            self.at += 1;
            return Ok(());
        }
        let mut members = 0;
        loop {
            if kind == Container::Map {
                self.key()?;
            }
            self.value(depth + 1)?;
            members += 1;
            match self.next_visible() {
                Some(b',') => self.at += 1,
                Some(end) if end == kind.end() => break,
                Some(_) => return Err(self.error(kind.expected())),
                None => return Err(self.cut_short()),
            }
        }
        self.at += 1;
        self.finish_header(kind, header, members);
        Ok(())
    }

    /// A member's name and the colon behind it.
    fn key(&mut self) -> Result<(), JsonError> {
        match self.next_visible() {
            Some(b'"') => self.string()?,
            Some(_) => return Err(self.error("expected a key in quotes")),
            None => return Err(self.cut_short()),
        }
        match self.next_visible() {
            Some(b':') => self.at += 1,
            Some(_) => return Err(self.error("expected `:`")),
            None => return Err(self.cut_short()),
        }
        Ok(())
    }

    /// Gives a container's header, so far one byte, its smallest form.
    fn finish_header(&mut self, kind: Container, at: usize, members: usize) {
        if members < 16 {
            self.out[at] |= members as u8;
            return;
        }
        let (marker16, marker32) = kind.markers();
        if let Ok(count) = u16::try_from(members) {
            self.out[at] = marker16;
            self.insert(at + 1, count.to_be_bytes());
        } else {
            self.out[at] = marker32;
            self.insert(at + 1, (members as u32).to_be_bytes());
        }
    }

    fn insert<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        let end = self.out.len();
        self.out.resize(end + N, 0);
        self.out.copy_within(at..end, at + N);
        self.out[at..at + N].copy_from_slice(&bytes);
    }

    fn word(&mut self, word: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Result<(), JsonError> {
        let rest = &self.text[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            write(self.out);
            return Ok(());
        }
        if word.starts_with(rest) { Err(self.cut_short()) } else { Err(self.error("expected a value")) }
    }

    /// Skips blanks and returns the byte behind them, which stays next.
    #[inline]
    fn next_visible(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at).copied() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                next => return next,
            }
        }
    }

    #[cold]
    fn error(&self, message: &'static str) -> JsonError {
        self.error_at(self.at, message)
    }

    #[cold]
    fn error_at(&self, offset: usize, message: &'static str) -> JsonError {
        JsonError { offset, message, incomplete: false }
    }

    #[cold]
    fn cut_short(&self) -> JsonError {
        JsonError { offset: self.text.len(), message: "the text ends within a value", incomplete: true }
    }
}

impl Container {
    fn end(self) -> u8 {
        match self {
            Self::Array => b']',
            Self::Map => b'}',
        }
    }

    /// The header of an empty one, whose low four bits take a count below 16.
    fn header(self) -> u8 {
        match self {
            Self::Array => 0x90,
            Self::Map => 0x80,
        }
    }

    /// Markers of headers with a count of 16 and of 32 bits.
    fn markers(self) -> (u8, u8) {
        match self {
            Self::Array => (0xdc, 0xdd),
            Self::Map => (0xde, 0xdf),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Array => "expected `,` or `]`",
            Self::Map => "expected `,` or `}`",
        }
    }
}

#[cfg(test)]
mod tests;
