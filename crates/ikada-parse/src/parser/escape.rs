//! Backslash sequences in the dialects of the decoders.

/// C's one-letter escapes; other letters lose their backslash, one at the very end becomes NUL (case `dec-escaped-all`).
pub(super) fn escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let letter = rest.get(at + 1).copied();
        out.push(letter.map_or(0, |letter| control(letter).unwrap_or(letter)));
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Escapes of JSON and C: also characters by number. One at the very end stays (case `dec-escaped-utf8-all`).
pub(super) fn escaped_utf8(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(&letter) = rest.first() else {
            out.push(b'\\');
            return;
        };
        rest = match letter {
            b'u' => surrogates(rest, out),
            b'U' => numbered(rest, 1, 8, 16, out),
            b'x' => numbered(rest, 1, 2, 16, out),
            b'0'..=b'7' => numbered(rest, 0, 3, 8, out),
            _ => {
                out.push(control(letter).unwrap_or(letter));
                &rest[1..]
            }
        };
    }
    out.extend_from_slice(rest);
}

/// MySQL's quoting: the text between two equal quotes; anything else is as it was (cases `dec-mysql-*`).
pub(super) fn mysql_quoted(text: &[u8], out: &mut Vec<u8>) {
    let inner = match text {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return out.extend_from_slice(text),
    };
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let letter = rest.get(at + 1).copied();
        match letter {
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'0') => out.push(0),
            Some(b'Z') => out.push(26),
            Some(quote @ (b'\\' | b'\'' | b'"')) => out.push(quote),
            // Wildcards keep their backslash: it is part of the pattern.
            Some(other) => out.extend_from_slice(&[b'\\', other]),
            None => out.push(b'\\'),
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

fn control(letter: u8) -> Option<u8> {
    Some(match letter {
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        _ => return None,
    })
}

/// Writes the character whose number stands `skip` bytes on, and returns what follows; without a digit, the letter itself.
fn numbered<'t>(text: &'t [u8], skip: usize, most: usize, radix: u32, out: &mut Vec<u8>) -> &'t [u8] {
    match number(&text[skip..], most, radix) {
        Some((value, length)) => {
            push_char(value, out);
            &text[skip + length..]
        }
        None => {
            out.push(text[0]);
            &text[1..]
        }
    }
}

/// Writes the character of a `\u` escape whose `u` is next, two of them if they are the halves of one.
fn surrogates<'t>(text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let Some((high, length)) = number(&text[1..], 4, 16) else { return numbered(text, 1, 4, 16, out) };
    let rest = &text[1 + length..];
    if let (0xd800..0xdc00, Some(behind)) = (high, rest.strip_prefix(b"\\u"))
        && let Some((low @ 0xdc00..0xe000, length)) = number(behind, 4, 16)
    {
        push_char(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), out);
        return &behind[length..];
    }
    push_char(high, out);
    rest
}

fn number(text: &[u8], most: usize, radix: u32) -> Option<(u32, usize)> {
    let mut value = 0_u32;
    let mut length = 0;
    for byte in text.iter().take(most) {
        let Some(digit) = char::from(*byte).to_digit(radix) else { break };
        value = value.wrapping_mul(radix).wrapping_add(digit);
        length += 1;
    }
    (length > 0).then_some((value, length))
}

/// What is no character becomes U+FFFD.
fn push_char(value: u32, out: &mut Vec<u8>) {
    let letter = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf8(text: &str) -> String {
        let mut out = Vec::new();
        escaped_utf8(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn characters_by_number_are_written_as_such() {
        assert_eq!(utf8(r"\u00e9\U0001F600\x41\101"), "é😀AA");
        assert_eq!(utf8(r"\ud83d\ude00 \ud83d \ud83dx"), "😀 \u{fffd} \u{fffd}x");
        assert_eq!(utf8(r"\u \xg \UFFFFFFFF"), "u xg \u{fffd}");
    }

    #[test]
    fn wildcards_keep_their_backslash() {
        let mut out = Vec::new();
        mysql_quoted(br"'a\%b\_c'", &mut out);
        assert_eq!(out, br"a\%b\_c");
    }
}
