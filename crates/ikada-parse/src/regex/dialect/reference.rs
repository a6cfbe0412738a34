//! `\k<name>`, `\g<name>`, `\1`: references to groups.

use super::cursor::{Cursor, error_at};
use super::{Groups, RegexError};

/// What a reference is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// `\k`, `\1`: the text the group matched.
    Back,
    /// `\g`: the group's expression once more.
    Call,
    /// `(?(…)…)`: whether the group took part.
    Condition,
}

/// Resolves the text between a reference's delimiters to group numbers: more than one where several groups share
/// a name. `opened` is the number of groups that began before.
pub(super) fn resolve(
    text: &str,
    at: usize,
    usage: Use,
    groups: &Groups,
    opened: usize,
) -> Result<Vec<usize>, RegexError> {
    let undefined = || error_at(at, format!("undefined group <{text}>"));
    let Some((sign, number)) = number(text) else {
        return by_name(text, at, usage, groups);
    };
    if usage == Use::Call && sign.is_none() && number == 0 {
        return Ok(vec![0]);
    }
    if groups.are_named() {
        return Err(error_at(at, "groups are named, so they cannot be referred to by number"));
    }
    let group = match sign {
        None => Some(number),
        Some('-') => (opened + 1).checked_sub(number),
        Some(_) => opened.checked_add(number),
    };
    match group {
        Some(group) if group > 0 && group <= groups.count() => Ok(vec![group]),
        _ => Err(undefined()),
    }
}

fn by_name(text: &str, at: usize, usage: Use, groups: &Groups) -> Result<Vec<usize>, RegexError> {
    let namesakes: Vec<usize> =
        groups.names().filter(|(name, _)| *name == text).map(|(_, group)| group).collect();
    match namesakes.len() {
        0 => Err(error_at(at, format!("undefined group <{text}>"))),
        1 => Ok(namesakes),
        _ if usage == Use::Call => Err(error_at(at, format!("several groups are named <{text}>"))),
        _ => Ok(namesakes),
    }
}

/// `3`, `-1`, `+2`.
fn number(text: &str) -> Option<(Option<char>, usize)> {
    let sign = text.chars().next().filter(|c| matches!(c, '-' | '+'));
    let digits = &text[sign.map_or(0, char::len_utf8)..];
    let number = digits.parse().ok()?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some((sign, number))
}

/// Reads `<text>` or `'text'`, if one of them stands here.
pub(super) fn delimited<'p>(cursor: &mut Cursor<'p>) -> Result<Option<&'p str>, RegexError> {
    let end = match cursor.peek() {
        Some('<') => '>',
        Some('\'') => '\'',
        _ => return Ok(None),
    };
    let at = cursor.at();
    cursor.next();
    let text = cursor.until(end).ok_or_else(|| error_at(at, "group name does not end"))?;
    if text.is_empty() {
        return Err(error_at(at, "group name is empty"));
    }
    Ok(Some(text))
}
