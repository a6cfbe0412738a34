//! Lines out of a stream of bytes.

/// Bytes that have come and are not yet a line.
#[derive(Debug)]
pub(crate) struct Lines {
    buf: Vec<u8>,
    /// Where the next line starts.
    at: usize,
    /// Up to where no separator starts: what comes in many pieces is searched once.
    searched: usize,
    separator: Vec<u8>,
    limit: usize,
    is_too_long: bool,
}

impl Lines {
    /// A stream of lines of at most `limit` bytes. Without a separator, all there is makes one line.
    pub(crate) fn new(separator: Vec<u8>, limit: usize) -> Self {
        Self { buf: Vec::new(), at: 0, searched: 0, separator, limit, is_too_long: false }
    }

    /// Lets go of room that what has begun does not need. Returns what it takes.
    pub(crate) fn tidy(&mut self) -> usize {
        self.searched = self.searched.saturating_sub(self.at);
        self.buf.drain(..self.at);
        self.at = 0;
        self.buf.shrink_to(2 * self.buf.len());
        self.buf.capacity()
    }

    /// Adds bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buf.drain(..self.at);
        self.searched = self.searched.saturating_sub(self.at);
        self.at = 0;
        self.buf.extend_from_slice(bytes);
    }

    /// The next line without its separator. `ended` says that no bytes will come any more: then the last line needs none,
    /// where Fluent Bit loses it (reference, inputs §4.1).
    pub(crate) fn next(&mut self, ended: bool) -> Option<&[u8]> {
        let start = self.at;
        let from = self.searched.max(start);
        let found = find(&self.buf[from..], &self.separator).map(|len| from + len);
        let end = found.unwrap_or(self.buf.len());
        if self.is_too_long || end - start > self.limit {
            self.is_too_long = true;
            return None;
        }
        if found.is_none() && (!ended || start == end) {
            self.searched = (end + 1).saturating_sub(self.separator.len());
            return None;
        }
        self.at = if found.is_some() { end + self.separator.len() } else { end };
        Some(&self.buf[start..end])
    }

    /// Whether there was a line that is too long; there are no more after it.
    pub(crate) fn is_too_long(&self) -> bool {
        self.is_too_long
    }
}

/// Where `separator` starts in `bytes`.
fn find(bytes: &[u8], separator: &[u8]) -> Option<usize> {
    match separator {
        [] => None,
        [byte] => bytes.iter().position(|other| other == byte),
        _ => bytes.windows(separator.len()).position(|window| window == separator),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(separator: &str, chunks: &[&str]) -> Vec<String> {
        let mut lines = Lines::new(separator.into(), 1000);
        let mut all = Vec::new();
        for (n, chunk) in chunks.iter().enumerate() {
            lines.feed(chunk.as_bytes());
            while let Some(line) = lines.next(n + 1 == chunks.len()) {
                all.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        all
    }

    #[test]
    fn lines_and_separators_may_come_in_pieces() {
        assert_eq!(all("\n", &["a", "b\nc", "\n\nd"]), ["ab", "c", "", "d"]);
        assert_eq!(all("||", &["a|", "|b|c", "||", "d|"]), ["a", "b|c", "d|"]);
        assert_eq!(all("abc", &["1a", "b", "c2aab", "c"]), ["1", "2a"]);
    }

    #[test]
    fn nothing_is_left_behind_a_last_separator() {
        assert_eq!(all("\n", &["a\n", ""]), ["a"]);
    }

    #[test]
    fn an_endless_line_is_noticed() {
        let mut lines = Lines::new(b"\n".to_vec(), 10);
        lines.feed(b"12345\n1234567890");
        assert_eq!(lines.next(false), Some(&b"12345"[..]));
        assert_eq!(lines.next(false), None);
        assert!(!lines.is_too_long());
        lines.feed(b"1");
        assert_eq!(lines.next(false), None);
        assert!(lines.is_too_long());
    }
}
