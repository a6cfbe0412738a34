//! logfmt: `key=value key="value with blanks" bare_key`.

use super::NoMatch;
use super::escape;
use super::fields::Value;

/// What values are.
pub(super) enum Values<'v> {
    /// Unescaped, for which there is room; true where there is none.
    Free(&'v mut Vec<u8>),
    /// As they are written, and empty where there is none: `Types` are set.
    Typed,
}

impl Values<'_> {
    fn none(&self) -> Value<'static> {
        match self {
            Self::Free(_) => Value::True,
            Self::Typed => Value::Text(&[]),
        }
    }

    fn quoted<'t>(&'t mut self, text: &'t [u8], escaped: bool) -> Value<'t> {
        match self {
            Self::Free(room) if escaped => {
                room.clear();
                escape::escaped_utf8(text, room);
                Value::Text(room)
            }
            _ => Value::Text(text),
        }
    }
}

/// Calls `field` with every key and its value up to the end of the line.
pub(super) fn fields(
    text: &[u8],
    no_bare_keys: bool,
    mut values: Values<'_>,
    mut field: impl FnMut(&[u8], Value<'_>),
) -> Result<(), NoMatch> {
    let mut rest = text;
    loop {
        rest = &rest[rest.iter().take_while(|byte| !is_word(**byte)).count()..];
        let (key, behind) = word(rest);
        if key.is_empty() {
            return Ok(());
        }
        rest = behind;
        match rest {
            [b'=', b'"', behind @ ..] => {
                let (value, escaped, behind) = quoted(behind);
                rest = behind;
                field(key, values.quoted(value, escaped));
            }
            [b'=', behind @ ..] => {
                let (value, behind) = word(behind);
                rest = behind;
                field(key, if value.is_empty() { values.none() } else { Value::Text(value) });
            }
            _ if no_bare_keys => return Err(NoMatch),
            _ => field(key, values.none()),
        }
        if let Some(b'\n' | b'\r') = rest.first() {
            return Ok(());
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte > b' ' && byte != b'=' && byte != b'"'
}

fn word(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| is_word(**byte)).count())
}

/// Reads what follows a quote: the value, whether it has escapes, and what stands behind the closing quote.
fn quoted(text: &[u8]) -> (&[u8], bool, &[u8]) {
    let mut escaped = false;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return (&text[..at], escaped, &text[at + 1..]),
            b'\\' => {
                escaped = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
    (text, escaped, &[])
}
