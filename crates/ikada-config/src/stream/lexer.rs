//! Words, texts, numbers and marks of a statement, each with its place.

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A key word or a name; key words are told apart by the parser, in any case.
    Word(String),
    /// A text in single quotes; two of them in it stand for one.
    Text(String),
    Integer(i64),
    Float(f64),
    /// `( ) [ ] , . ; : * = < > <= >= != @`.
    Mark(&'static str),
}

/// A piece and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct At {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What cannot be read, with its place and a help.
pub(super) struct Unreadable {
    pub(super) start: usize,
    pub(super) message: String,
    pub(super) help: &'static str,
}

const MARKS: &[&str] =
    &["<=", ">=", "!=", "<>", "(", ")", "[", "]", ",", ".", ";", ":", "*", "=", "<", ">", "@"];

/// Splits a statement.
pub(super) fn tokens(text: &str) -> Result<Vec<At>, Unreadable> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        if letter.is_whitespace() {
            at += letter.len_utf8();
            continue;
        }
        let (token, end) = token_at(text, at, letter)?;
        found.push(At { token, start: at, end });
        at = end;
    }
    Ok(found)
}

fn token_at(text: &str, at: usize, letter: char) -> Result<(Token, usize), Unreadable> {
    let rest = &text[at..];
    if letter == '\'' {
        return quoted(rest, at);
    }
    if letter == '"' {
        let message = "a text stands in single quotes".to_owned();
        return Err(Unreadable { start: at, message, help: "write `'text'`" });
    }
    let is_negative = letter == '-' && rest[1..].starts_with(|c: char| c.is_ascii_digit());
    if letter.is_ascii_digit() || is_negative {
        return number(rest, at);
    }
    if letter.is_ascii_alphabetic() || letter == '_' {
        let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let end = rest.find(|c: char| !in_word(c)).unwrap_or(rest.len());
        return Ok((Token::Word(rest[..end].to_owned()), at + end));
    }
    match MARKS.iter().find(|mark| rest.starts_with(**mark)) {
        Some(mark) => Ok((Token::Mark(mark), at + mark.len())),
        None => {
            let message = format!("`{letter}` means nothing in a stream task");
            Err(Unreadable { start: at, message, help: "remove it, or put the text in single quotes" })
        }
    }
}

fn quoted(rest: &str, at: usize) -> Result<(Token, usize), Unreadable> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((offset, letter)) = letters.next() {
        if letter != '\'' {
            text.push(letter);
        } else if letters.next_if(|(_, next)| *next == '\'').is_some() {
            text.push('\'');
        } else {
            return Ok((Token::Text(text), at + offset + 1));
        }
    }
    let message = "the text is not closed".to_owned();
    Err(Unreadable { start: at, message, help: "end it with a `'`" })
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), Unreadable> {
    let in_number = |c: char| c.is_ascii_digit() || c == '.';
    let end = rest[1..].find(|c: char| !in_number(c)).map_or(rest.len(), |end| end + 1);
    let text = &rest[..end];
    let token = match text.contains('.') {
        true => text.parse().ok().map(Token::Float),
        false => text.parse().ok().map(Token::Integer),
    };
    let unreadable = || Unreadable {
        start: at,
        message: format!("`{text}` is no number"),
        help: "write a whole number or one with a point: `1.5`",
    };
    token.map(|token| (token, at + end)).ok_or_else(unreadable)
}
