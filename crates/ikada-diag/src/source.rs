//! The texts that a configuration was made of, and the way from a byte offset to line and column.

use crate::span::{SourceId, Span};

/// A place as people name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location<'a> {
    /// The source's name, usually a path.
    pub name: &'a str,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// All texts of a configuration: files in the order of reading, the command line, variables.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    sources: Vec<Source>,
}

#[derive(Debug, Clone)]
struct Source {
    name: String,
    text: String,
    /// Offsets of the first byte of each line; never empty.
    lines: Vec<u32>,
}

impl Sources {
    /// Adds a text under a name and returns its id.
    ///
    /// Text behind the first 4 GiB is cut, since a [`Span`] cannot name it.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        let mut text = text.into();
        if u32::try_from(text.len()).is_err() {
            let end = text.floor_char_boundary(u32::MAX as usize);
            text.truncate(end);
        }
        let lines = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at as u32 + 1))
            .collect();
        let id = SourceId(u32::try_from(self.sources.len()).unwrap_or(u32::MAX));
        self.sources.push(Source { name: name.into(), text, lines });
        id
    }

    /// Adds bytes under a name; what is not UTF-8 becomes U+FFFD, and spans count the bytes of the result.
    pub fn add_bytes(&mut self, name: impl Into<String>, bytes: Vec<u8>) -> SourceId {
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        self.add(name, text)
    }

    /// Returns the name of a source; empty for an id that came from other `Sources`.
    pub fn name(&self, id: SourceId) -> &str {
        self.sources.get(id.index()).map_or("", |source| &source.name)
    }

    /// Returns the text of a source; empty for an id that came from other `Sources`.
    pub fn text(&self, id: SourceId) -> &str {
        self.sources.get(id.index()).map_or("", |source| &source.text)
    }

    /// Returns the ids of all sources, in the order in which they were added.
    pub fn ids(&self) -> impl Iterator<Item = SourceId> + use<> {
        (0..self.sources.len() as u32).map(SourceId)
    }

    /// Returns the text that a span covers; empty when the span does not fit the source.
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.source).get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Returns where a span starts.
    pub fn location(&self, span: Span) -> Location<'_> {
        let Some(source) = self.sources.get(span.source.index()) else {
            return Location { name: "", line: 1, column: 1 };
        };
        let (line, start) = source.line_of(span.start);
        let end = source.text.floor_char_boundary(span.start as usize).max(start);
        let column = source.text[start..end].chars().count() as u32 + 1;
        Location { name: &source.name, line: line as u32 + 1, column }
    }

    /// Returns the whole line in which a span starts, without its line end.
    pub fn line_text(&self, span: Span) -> &str {
        let Some(source) = self.sources.get(span.source.index()) else { return "" };
        let (line, start) = source.line_of(span.start);
        let end = source.lines.get(line + 1).map_or(source.text.len(), |next| *next as usize);
        source.text[start..end].trim_end_matches(['\n', '\r'])
    }
}

impl Source {
    /// Returns the line (from 0) that holds the byte at `offset`, and the offset of the line's first byte.
    fn line_of(&self, offset: u32) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset).saturating_sub(1);
        (line, self.lines[line] as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let mut sources = Sources::default();
        let id = sources.add("a.conf", "first\nGröße ×x\r\nlast");
        let x = id.span(16, 17);
        assert_eq!(sources.slice(x), "x");
        assert_eq!(sources.location(x), Location { name: "a.conf", line: 2, column: 8 });
        assert_eq!(sources.line_text(x), "Größe ×x");
        let last = id.span(19, 23);
        assert_eq!(sources.slice(last), "last");
        assert_eq!(sources.location(last), Location { name: "a.conf", line: 3, column: 1 });
    }

    #[test]
    fn a_span_behind_the_text_is_answered_with_the_last_line() {
        let mut sources = Sources::default();
        let id = sources.add("a.conf", "one\ntwo");
        let end = sources.location(id.span(7, 7));
        assert_eq!((end.line, end.column), (2, 4));
        let beyond = sources.location(id.span(900, 901));
        assert_eq!((beyond.line, beyond.column), (2, 4));
        assert_eq!(sources.slice(id.span(900, 901)), "");
        assert_eq!(sources.line_text(id.span(900, 901)), "two");
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced() {
        let mut sources = Sources::default();
        let id = sources.add_bytes("a.conf", b"a\xffb".to_vec());
        assert_eq!(sources.text(id), "a\u{fffd}b");
    }

    #[test]
    fn an_empty_text_has_one_empty_line() {
        let mut sources = Sources::default();
        let id = sources.add("a.conf", "");
        assert_eq!(sources.line_text(id.span(0, 0)), "");
        assert_eq!(sources.location(id.span(0, 0)).line, 1);
    }
}
