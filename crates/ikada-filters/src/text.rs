//! Words of options, and numbers as text, as several filters need them.

use ikada_msgpack::write;

/// A text as it stands in a record.
pub(crate) fn encoded(text: &str) -> Box<[u8]> {
    let mut buf = Vec::with_capacity(text.len() + 5);
    write::str(&mut buf, text.as_bytes());
    buf.into()
}

/// Writes what stands before a text of this length (MessagePack: fixstr, str 8, str 16, str 32).
pub(crate) fn str_header(out: &mut Vec<u8>, len: usize) {
    match len {
        0..=0x1f => out.push(0xa0 | len as u8),
        0x20..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        0x100..=0xffff => {
            out.push(0xda);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
}

/// The words of a `modify` rule: parted by blanks; single and double quotes keep blanks inside, and a backslash stands before a
/// quote or a backslash that is meant as such (recorded cases `modify-quoted`, `modify-quoted-escape`). `None` if a quote is never
/// closed.
pub(crate) fn quoted_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(' ');
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '\'' => quoted(&rest[1..], first)?,
            _ => {
                let end = rest.find(' ').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        words.push(word);
        rest = after.trim_start_matches(' ');
    }
    Some(words)
}

/// The text up to the closing quote, and what follows that.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let escaped = letters.peek().map(|(_, next)| *next).filter(|next| *next == quote || *next == '\\');
        match (letter, escaped) {
            (letter, _) if letter == quote => return Some((word, &text[at + 1..])),
            ('\\', Some(next)) => {
                word.push(next);
                letters.next();
            }
            (letter, _) => word.push(letter),
        }
    }
    None
}

/// The integer a text starts with, as C's `strtoimax` reads it: blanks, a sign, digits; what follows does not count. `None` if
/// there is no digit; a number that is too large ends at the type's bounds.
pub(crate) fn leading_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text.trim_ascii_start());
    let magnitude = leading_digits(digits, 10)?;
    let value = i128::from(magnitude) * if negative { -1 } else { 1 };
    Some(value.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

/// The unsigned number a text starts with; `None` for a negative one.
pub(crate) fn leading_uint(text: &[u8]) -> Option<u64> {
    let (negative, digits) = sign(text.trim_ascii_start());
    leading_digits(digits, 10).filter(|value| !negative || *value == 0)
}

/// The hexadecimal number a text starts with; `0x` may stand before it.
pub(crate) fn leading_hex(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_start();
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"));
    let is_hex = |digits: &[u8]| digits.first().is_some_and(u8::is_ascii_hexdigit);
    leading_digits(digits.filter(|digits| is_hex(digits)).unwrap_or(text), 16)
}

/// The decimal fraction a text starts with: a sign, digits with a point, an exponent.
pub(crate) fn leading_float(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii_start();
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let mut count = digits(end);
    end += count;
    if text.get(end) == Some(&b'.') {
        let behind = digits(end + 1);
        count += behind;
        end += usize::from(count > 0) + behind;
    }
    if count == 0 {
        return None;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let signed = end + 1 + usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = if signed <= text.len() { digits(signed) } else { 0 };
        if exponent > 0 {
            end = signed + exponent;
        }
    }
    std::str::from_utf8(&text[..end]).ok()?.parse().ok()
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// A zero with a letter behind it (`0x1f`) is another notation, and no zero.
fn leading_digits(text: &[u8], radix: u32) -> Option<u64> {
    let mut digits = text.iter().map_while(|byte| char::from(*byte).to_digit(radix)).peekable();
    digits.peek()?;
    let (value, len) = digits.fold((0u64, 0), |(value, len), digit| {
        (value.saturating_mul(radix.into()).saturating_add(digit.into()), len + 1)
    });
    let glued = text.get(len).is_some_and(u8::is_ascii_alphabetic);
    (value > 0 || !glued).then_some(value)
}

/// Appends a number as C's `%.<digits>g` writes it: that many significant digits at most, the shorter of plain and exponent form.
pub(crate) fn push_g(out: &mut String, value: f64, digits: usize) {
    if !value.is_finite() {
        out.push_str(if value.is_nan() {
            "nan"
        } else if value > 0.0 {
            "inf"
        } else {
            "-inf"
        });
        return;
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits as i32 {
        out.push_str(without_zeros(mantissa));
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(&format!("e{sign}{:02}", exponent.unsigned_abs()));
        return;
    }
    let places = (digits as i32 - 1 - exponent).max(0) as usize;
    out.push_str(without_zeros(&format!("{value:.places$}")));
}

fn without_zeros(number: &str) -> &str {
    if !number.contains('.') {
        return number;
    }
    number.trim_end_matches('0').trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_of_both_kinds_keep_words_together() {
        assert_eq!(quoted_words(r#" a  "b c" 'd "e"' "#).unwrap(), ["a", "b c", r#"d "e""#]);
        assert_eq!(quoted_words(r#"k "say \"hi\" \\ \n""#).unwrap(), ["k", r#"say "hi" \ \n"#]);
        assert_eq!(quoted_words(r#"it's "" x"#).unwrap(), ["it's", "", "x"]);
        assert_eq!(quoted_words(r#"a "b"#), None);
        assert!(quoted_words("  ").unwrap().is_empty());
    }

    #[test]
    fn a_header_is_what_the_writer_writes() {
        for len in [0, 31, 32, 255, 256, 65_535, 65_536] {
            let text = vec![b'x'; len];
            let (mut whole, mut parts) = (Vec::new(), Vec::new());
            write::str(&mut whole, &text);
            str_header(&mut parts, len);
            parts.extend_from_slice(&text);
            assert!(whole == parts, "{len}");
        }
    }

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        assert_eq!(leading_int(b" -12abc"), Some(-12));
        assert_eq!(leading_int(b"99999999999999999999"), Some(i64::MAX));
        assert_eq!((leading_int(b"abc"), leading_int(b"0x1f"), leading_int(b"0 ms")), (None, None, Some(0)));
        assert_eq!((leading_uint(b"18446744073709551615"), leading_uint(b"-5")), (Some(u64::MAX), None));
        assert_eq!(
            (leading_hex(b"0x1f"), leading_hex(b"ff!"), leading_hex(b"0xz")),
            (Some(31), Some(255), None)
        );
        assert_eq!(
            (leading_float(b"1.5x"), leading_float(b"-.5e1"), leading_float(b"2e")),
            (Some(1.5), Some(-5.0), Some(2.0))
        );
        assert_eq!((leading_float(b"."), leading_float(b"x"), leading_float(b"")), (None, None, None));
    }

    #[test]
    fn g_is_as_short_as_in_c() {
        let g = |value, digits| {
            let mut out = String::new();
            push_g(&mut out, value, digits);
            out
        };
        assert_eq!(g(2.75, 16), "2.75");
        assert_eq!(g(0.1, 17), "0.10000000000000001");
        assert_eq!(g(1e20, 16), "1e+20");
        assert_eq!(g(-1.5e-7, 16), "-1.5e-07");
        assert_eq!(g(0.0, 17), "0");
    }
}
