//! Characters written with a backslash.

use super::RegexError;
use super::cursor::{Cursor, error_at};

/// Reads an escape that stands for one character. The cursor is behind `letter`. `None`: it is no such escape.
pub(super) fn char_escape(cursor: &mut Cursor<'_>, letter: char) -> Result<Option<char>, RegexError> {
    Ok(Some(match letter {
        't' => '\t',
        'n' => '\n',
        'r' => '\r',
        'f' => '\u{c}',
        'v' => '\u{b}',
        'a' => '\u{7}',
        'e' => '\u{1b}',
        '0' => return octal(cursor).map(Some),
        'x' => return hex(cursor).map(Some),
        'u' => return unicode(cursor).map(Some),
        'c' => return control(cursor).map(Some),
        'C' if cursor.eat("-") => return control(cursor).map(Some),
        'M' if cursor.rest().starts_with('-') => return Err(cursor.error("\\M- is not supported")),
        _ => return Ok(None),
    }))
}

/// `\0`, `\012`: up to two octal digits behind the zero.
fn octal(cursor: &mut Cursor<'_>) -> Result<char, RegexError> {
    let at = cursor.at();
    let digits = cursor.digits(8, 2);
    scalar(u32::from_str_radix(digits, 8).unwrap_or(0), at)
}

/// `\xHH` or `\x{H…}`. Bytes above 7F must spell a character together, as in `\xE3\x81\x82`.
fn hex(cursor: &mut Cursor<'_>) -> Result<char, RegexError> {
    let at = cursor.at();
    if cursor.eat("{") {
        let digits = cursor.digits(16, 8);
        let code = u32::from_str_radix(digits, 16).map_err(|_| error_at(at, "invalid code point value"))?;
        return if cursor.eat("}") {
            scalar(code, at)
        } else {
            Err(error_at(at, "invalid code point value"))
        };
    }
    let first = hex_byte(cursor).ok_or_else(|| error_at(at, "too short escape sequence"))?;
    if first < 0x80 {
        return Ok(char::from(first));
    }
    let mut bytes = vec![first];
    while bytes.len() < 4 && std::str::from_utf8(&bytes).is_err() && cursor.eat("\\x") {
        bytes.extend(hex_byte(cursor));
    }
    let spelled = std::str::from_utf8(&bytes).ok();
    let only = spelled.and_then(|text| text.chars().next());
    only.ok_or_else(|| error_at(at, "invalid multibyte escape"))
}

fn hex_byte(cursor: &mut Cursor<'_>) -> Option<u8> {
    u8::from_str_radix(cursor.digits(16, 2), 16).ok()
}

/// `\uHHHH`.
fn unicode(cursor: &mut Cursor<'_>) -> Result<char, RegexError> {
    let at = cursor.at();
    match cursor.digits(16, 4) {
        digits if digits.len() == 4 => scalar(u32::from_str_radix(digits, 16).unwrap_or(0), at),
        _ => Err(error_at(at, "too short escape sequence")),
    }
}

/// `\cX`, `\C-X`.
fn control(cursor: &mut Cursor<'_>) -> Result<char, RegexError> {
    let at = cursor.at();
    match cursor.next() {
        Some('?') => Ok('\u{7f}'),
        Some(c) if c.is_ascii() && c != '\\' => Ok(char::from(c as u8 & 0x1f)),
        _ => Err(error_at(at, "invalid control-code syntax")),
    }
}

fn scalar(code: u32, at: usize) -> Result<char, RegexError> {
    char::from_u32(code).ok_or_else(|| error_at(at, "invalid code point value"))
}
