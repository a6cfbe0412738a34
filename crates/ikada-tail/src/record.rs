//! From lines to records (reference, inputs §3.4 to §3.6).

use ikada_msgpack::{MapView, write};
use ikada_record::{ChunkBuilder, Timestamp};

/// How the lines of an input become records.
#[derive(Debug, Clone)]
pub(crate) struct RecordRule {
    /// Key of a plain line, encoded.
    key: Vec<u8>,
    /// Encoded as well.
    path_key: Option<Vec<u8>>,
    offset_key: Option<Vec<u8>>,
    pub(crate) skips_empty: bool,
}

impl RecordRule {
    pub(crate) fn new(
        key: &str,
        path_key: Option<&str>,
        offset_key: Option<&str>,
        skips_empty: bool,
    ) -> Self {
        let encoded = |key: &str| {
            let mut out = Vec::new();
            write::str(&mut out, key.as_bytes());
            out
        };
        Self {
            key: encoded(key),
            path_key: path_key.map(encoded),
            offset_key: offset_key.map(encoded),
            skips_empty,
        }
    }

    fn extras(&self) -> usize {
        usize::from(self.path_key.is_some()) + usize::from(self.offset_key.is_some())
    }

    fn write_path(&self, out: &mut Vec<u8>, path: &[u8]) {
        if let Some(key) = &self.path_key {
            out.extend_from_slice(key);
            write::str(out, path);
        }
    }

    fn write_extras(&self, out: &mut Vec<u8>, path: &[u8], offset: u64) {
        self.write_path(out, path);
        if let Some(key) = &self.offset_key {
            out.extend_from_slice(key);
            write::uint(out, offset);
        }
    }
}

/// Adds entries of one file to a chunk.
#[derive(Debug)]
pub(crate) struct Emit<'e> {
    pub(crate) rule: &'e RecordRule,
    pub(crate) out: &'e mut ChunkBuilder,
    pub(crate) path: &'e [u8],
    /// Records of several lines that were cut.
    pub(crate) cuts: u64,
}

impl Emit<'_> {
    /// Adds a plain line: path, offset, text.
    #[inline]
    pub(crate) fn plain(&mut self, time: Timestamp, line: &[u8], offset: u64) {
        let (rule, path) = (self.rule, self.path);
        self.out.push_with(time, |out| {
            write_time(out, time);
            write::map_header(out, 1 + rule.extras());
            rule.write_extras(out, path, offset);
            out.extend_from_slice(&rule.key);
            write::str(out, line);
        });
    }

    /// Adds a record of the old multiline mode: path, and these keys and values. It has no offset (reference, inputs §3.10).
    pub(crate) fn pairs(&mut self, time: Timestamp, pairs: &[u8], count: usize) {
        let (rule, path) = (self.rule, self.path);
        self.out.push_with(time, |out| {
            write_time(out, time);
            write::map_header(out, count + usize::from(rule.path_key.is_some()));
            rule.write_path(out, path);
            out.extend_from_slice(pairs);
        });
    }

    /// Adds a record that a parser has made: its keys, path, offset.
    #[inline]
    pub(crate) fn map(&mut self, time: Timestamp, map: &[u8], offset: u64, is_cut: bool) {
        let (rule, path) = (self.rule, self.path);
        if rule.extras() == 0 && !is_cut {
            return self.out.push_record(time, map);
        }
        let view = MapView::known(map);
        self.out.push_with(time, |out| {
            if is_cut {
                self.cuts += 1;
                // What Fluent Bit says of a record over the limit (reference, inputs §7.2).
                out.extend_from_slice(&[0x92, 0x92]);
                time.write(out);
                write::map_header(out, 1);
                write::str(out, b"multiline_truncated");
                write::bool(out, true);
            } else {
                write_time(out, time);
            }
            write::map_header(out, view.len() + rule.extras());
            out.extend_from_slice(view.body());
            rule.write_extras(out, path, offset);
        });
    }
}

/// The beginning of an entry: `[time, record]`.
fn write_time(out: &mut Vec<u8>, time: Timestamp) {
    out.push(0x92);
    time.write(out);
}

/// The line without the carriage return of a line end. A lone one is kept (reference, inputs §3.4).
#[inline]
pub(crate) fn without_return(line: &[u8]) -> &[u8] {
    match line {
        [rest @ .., b'\r'] if !rest.is_empty() => rest,
        _ => line,
    }
}

/// Where to cut a line of text so that no character is torn: at most `at`, and a few bytes less if need be.
pub(crate) fn cut_at(line: &[u8], at: usize) -> usize {
    let mut cut = at.min(line.len());
    for _ in 0..4 {
        if cut == 0 || cut == line.len() || line[cut] & 0xc0 != 0x80 {
            return cut;
        }
        cut -= 1;
    }
    // Not UTF-8: then no cut is better than another.
    at.min(line.len())
}

#[cfg(test)]
mod tests {
    use ikada_record::{Receipt, Tag};

    use super::*;

    #[test]
    fn a_plain_record_has_path_offset_and_line_in_this_order() {
        let rule = RecordRule::new("log", Some("file"), Some("at"), false);
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        let mut emit = Emit { rule: &rule, out: &mut builder, path: b"/a.log", cuts: 0 };
        emit.plain(Timestamp::new(5, 6), b"hello", 77);
        emit.map(Timestamp::new(5, 7), b"\x81\xa1a\x01", 78, true);
        let chunk = builder.finish(Receipt::unwatched());
        let last = chunk.entries().last().unwrap();
        let keys: Vec<_> = last.record().iter().map(|(key, _)| key.as_str().unwrap().to_vec()).collect();
        assert_eq!(keys, [&b"a"[..], b"file", b"at"]);
        assert!(last.metadata().is_some());
        let entry = chunk.entries().next().unwrap();
        assert_eq!(entry.time(), Timestamp::new(5, 6));
        let mut text = Vec::new();
        for (key, value) in entry.record().iter() {
            text.push(format!("{key:?}={value:?}"));
        }
        assert_eq!(text.len(), 3);
        assert_eq!(entry.record().get(b"log").unwrap().as_str(), Some(&b"hello"[..]));
        assert!(entry.record().get(b"at").is_some() && entry.record().get(b"file").is_some());
    }

    #[test]
    fn a_carriage_return_goes_but_a_lone_one_stays() {
        assert_eq!(without_return(b"a\r"), b"a");
        assert_eq!(without_return(b"\r"), b"\r");
        assert_eq!(without_return(b""), b"");
        assert_eq!(without_return(b"a\r\r"), b"a\r");
    }

    #[test]
    fn a_cut_tears_no_character() {
        let text = "aé漢x".as_bytes();
        assert_eq!((1..=7).map(|at| cut_at(text, at)).collect::<Vec<_>>(), [1, 1, 3, 3, 3, 6, 7]);
        assert_eq!(cut_at(&[0x80; 20], 10), 10);
    }
}
