//! The grammar of one line: what kind of line it is, and its parts. No state, no findings.

/// A part of a line, with its place in bytes from the line's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// The text.
    pub(super) text: &'a str,
    /// Where it starts.
    pub(super) start: usize,
}

impl<'a> Piece<'a> {
    fn of(line: &'a str, start: usize, end: usize) -> Self {
        Piece { text: &line[start..end], start }
    }

    /// Returns where it ends.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Returns the piece without blanks at its ends.
    pub(super) fn trimmed(self) -> Self {
        let from_start = self.text.trim_start_matches(is_blank);
        let start = self.start + self.text.len() - from_start.len();
        Piece { text: from_start.trim_end_matches(is_blank), start }
    }
}

/// A line of the classic format, its line end cut off.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Nothing, or a `#` in the first column.
    Nothing,
    /// `@word rest`.
    Command {
        /// The word behind the `@`.
        word: Piece<'a>,
        /// What follows the first blank; nothing when there is no blank.
        rest: Option<Piece<'a>>,
    },
    /// `[name]after`.
    Header {
        /// The name up to the first `]`.
        name: Piece<'a>,
        /// What follows the `]`.
        after: Piece<'a>,
    },
    /// `[` without `]`.
    OpenHeader,
    /// Blanks, and perhaps a `#` behind them: it may set the indentation, and has no other meaning.
    Remark {
        /// The blanks.
        indent: Piece<'a>,
    },
    /// `indent key value`.
    Body {
        /// The blanks before the key.
        indent: Piece<'a>,
        /// Everything behind them.
        text: Piece<'a>,
    },
}

/// What stands in the body of a section.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    /// `[name]`, a header that is not in the first column.
    Header {
        /// The name between the brackets.
        name: Piece<'a>,
    },
    /// `@INCLUDE` and what follows it.
    Include,
    /// A word without anything behind it.
    KeyOnly(Piece<'a>),
    /// A key and blanks.
    EmptyValue(Piece<'a>),
    /// A key and its value.
    Property {
        /// The key.
        key: Piece<'a>,
        /// The value without blanks at its ends.
        value: Piece<'a>,
        /// Whether the first blank between them is a tab.
        tab: bool,
    },
}

/// Says what kind of line a line is.
pub(super) fn line_of(line: &str) -> Line<'_> {
    match line.as_bytes() {
        [] | [b'#', ..] => Line::Nothing,
        [b'[', ..] => header_of(line),
        // Up to three bytes are a body line, in Fluent Bit as here.
        [b'@', ..] if line.len() > 3 => command_of(line),
        _ => body_line_of(line),
    }
}

fn header_of(line: &str) -> Line<'_> {
    match line.find(']') {
        Some(end) => {
            Line::Header { name: Piece::of(line, 1, end), after: Piece::of(line, end + 1, line.len()) }
        }
        None => Line::OpenHeader,
    }
}

fn command_of(line: &str) -> Line<'_> {
    match line.find(is_blank) {
        Some(end) => {
            Line::Command { word: Piece::of(line, 1, end), rest: Some(Piece::of(line, end + 1, line.len())) }
        }
        None => Line::Command { word: Piece::of(line, 1, line.len()), rest: None },
    }
}

fn body_line_of(line: &str) -> Line<'_> {
    let start = line.len() - line.trim_start_matches(is_blank).len();
    let indent = Piece::of(line, 0, start);
    let text = Piece::of(line, start, line.len());
    match text.text.as_bytes() {
        [] | [b'#', ..] => Line::Remark { indent },
        _ => Line::Body { indent, text },
    }
}

/// Takes the body of a section apart. `text` starts with no blank and is not empty.
pub(super) fn body_of<'a>(text: Piece<'a>) -> Body<'a> {
    if text.text.starts_with('[')
        && let Some(end) = text.text.trim_end_matches(is_blank).strip_suffix(']')
        && !end.contains(is_blank)
    {
        return Body::Header { name: Piece { text: &end[1..], start: text.start + 1 } };
    }
    let Some(end) = text.text.find(is_blank) else {
        return match text.text.eq_ignore_ascii_case("@include") {
            true => Body::Include,
            false => Body::KeyOnly(text),
        };
    };
    let key = Piece { text: &text.text[..end], start: text.start };
    if key.text.eq_ignore_ascii_case("@include") {
        return Body::Include;
    }
    let value = Piece { text: &text.text[end..], start: text.start + end };
    let tab = value.text.starts_with('\t');
    let value = value.trimmed();
    match value.text.is_empty() {
        true => Body::EmptyValue(key),
        false => Body::Property { key, value, tab },
    }
}

/// Returns where a comment starts that somebody put behind a value, where it is no comment.
pub(super) fn trailing_comment(value: &str) -> Option<usize> {
    let bytes = value.as_bytes();
    let at = bytes.windows(2).position(|pair| is_blank(char::from(pair[0])) && pair[1] == b'#')?;
    Some(at + 1)
}

/// Says whether a character parts words.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\u{b}' | '\u{c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, start: usize) -> Piece<'_> {
        Piece { text, start }
    }

    fn body(line: &str) -> Body<'_> {
        match line_of(line) {
            Line::Body { text, .. } => body_of(text),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_column_tells_the_kind_of_line() {
        assert_eq!(line_of(""), Line::Nothing);
        assert_eq!(line_of("# x"), Line::Nothing);
        assert_eq!(line_of("[INPUT]"), Line::Header { name: piece("INPUT", 1), after: piece("", 7) });
        assert_eq!(line_of("[A]] # x"), Line::Header { name: piece("A", 1), after: piece("] # x", 3) });
        assert_eq!(line_of("[INPUT"), Line::OpenHeader);
        assert_eq!(
            line_of("@INCLUDE  a b "),
            Line::Command { word: piece("INCLUDE", 1), rest: Some(piece(" a b ", 9)) }
        );
        assert_eq!(line_of("@FOO"), Line::Command { word: piece("FOO", 1), rest: None });
        assert!(matches!(line_of("@ab"), Line::Body { .. }));
        assert_eq!(line_of("    "), Line::Remark { indent: piece("    ", 0) });
        assert_eq!(line_of("  # x"), Line::Remark { indent: piece("  ", 0) });
    }

    #[test]
    fn a_key_ends_at_the_first_blank_and_a_value_is_trimmed() {
        let property = |key, at, value, from, tab| Body::Property {
            key: piece(key, at),
            value: piece(value, from),
            tab,
        };
        assert_eq!(body("    Name tail"), property("Name", 4, "tail", 9, false));
        assert_eq!(body("  Regex   log  ^a b  "), property("Regex", 2, "log  ^a b", 10, false));
        assert_eq!(body("  Name\ttail"), property("Name", 2, "tail", 7, true));
        assert_eq!(body("  Name \ttail"), property("Name", 2, "tail", 8, false));
        assert_eq!(body("Größe ×"), property("Größe", 0, "×", 8, false));
        assert_eq!(body("  Samples"), Body::KeyOnly(piece("Samples", 2)));
        assert_eq!(body("  key "), Body::EmptyValue(piece("key", 2)));
        assert_eq!(body("  key    \t"), Body::EmptyValue(piece("key", 2)));
    }

    #[test]
    fn what_belongs_into_the_first_column_is_recognised_elsewhere() {
        assert_eq!(body("  [INPUT]"), Body::Header { name: piece("INPUT", 3) });
        assert_eq!(body("  [group] "), Body::Header { name: piece("group", 3) });
        assert_eq!(body("  @include x.conf"), Body::Include);
        assert_eq!(body("  @INCLUDE"), Body::Include);
        assert!(matches!(body("  [a b] c"), Body::Property { .. }));
        assert_eq!(body("  [x"), Body::KeyOnly(piece("[x", 2)));
    }

    #[test]
    fn a_trailing_comment_has_a_blank_before_it() {
        assert_eq!(trailing_comment("k v # x"), Some(4));
        assert_eq!(trailing_comment("5\t#x"), Some(2));
        assert_eq!(trailing_comment("a#b"), None);
        assert_eq!(trailing_comment("# x"), None);
    }
}
