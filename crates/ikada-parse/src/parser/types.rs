//! Types of fields: what `Types` makes of a text.

use ikada_msgpack::write;

/// What a text becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldType {
    Text,
    Integer,
    Float,
    Bool,
    Hex,
}

/// Types by field.
#[derive(Debug, Default)]
pub(super) struct Types(pub(super) Vec<(Box<[u8]>, FieldType)>);

impl Types {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn of(&self, name: &[u8]) -> FieldType {
        let found = self.0.iter().find(|(field, _)| **field == *name);
        found.map_or(FieldType::Text, |(_, kind)| *kind)
    }
}

impl FieldType {
    /// The type that `Types` calls so.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "integer" => Self::Integer,
            "float" => Self::Float,
            "bool" => Self::Bool,
            "hex" => Self::Hex,
            "string" => Self::Text,
            _ => return None,
        })
    }

    /// Writes a text as its type. What is no number counts as 0, what is no boolean stays text (cases `rx-types-*`).
    pub(super) fn write(self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Text => write::str(out, text),
            Self::Integer => write::int(out, integer(text)),
            Self::Float => write::float(out, float(text)),
            Self::Hex => write::uint(out, hex(text)),
            Self::Bool => match boolean(text) {
                Some(value) => write::bool(out, value),
                None => write::str(out, text),
            },
        }
    }
}

/// The digits a text begins with, after blanks and a sign; what does not fit is the nearest that does.
fn integer(text: &[u8]) -> i64 {
    let (negative, digits) = sign(text.trim_ascii_start());
    let mut value = 0_i64;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        let digit = i64::from(digit - b'0');
        value = value.saturating_mul(10);
        value = if negative { value.saturating_sub(digit) } else { value.saturating_add(digit) };
    }
    value
}

/// The number a text begins with; one that is too large is infinite.
fn float(text: &[u8]) -> f64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = sign(text);
    if let Some(digits) = digits.strip_prefix(b"0x").or_else(|| digits.strip_prefix(b"0X")) {
        let value = hex_float(digits);
        return if negative { -value } else { value };
    }
    if let Some(value) = named_float(digits) {
        return if negative { -value } else { value };
    }
    let length = float_length(text);
    let number = std::str::from_utf8(&text[..length]).ok().and_then(|number| number.parse().ok());
    number.unwrap_or(0.0)
}

/// The number whose name is the first word of a text.
fn named_float(text: &[u8]) -> Option<f64> {
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let is = |name: &[u8]| text[..length].eq_ignore_ascii_case(name);
    if is(b"inf") || is(b"infinity") {
        return Some(f64::INFINITY);
    }
    is(b"nan").then_some(f64::NAN)
}

/// How many bytes at the start of a text are a decimal number.
fn float_length(text: &[u8]) -> usize {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let signed = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let mut end = signed + digits(signed);
    if text.get(end) == Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let exponent = end + 1 + usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let length = text.get(exponent..).map_or(0, |_| digits(exponent));
        if length > 0 {
            end = exponent + length;
        }
    }
    end
}

/// The hexadecimal number, with a fraction or not, that a text begins with.
fn hex_float(text: &[u8]) -> f64 {
    let mut value = 0.0;
    let mut unit = None;
    for byte in text {
        match (char::from(*byte).to_digit(16), unit) {
            (Some(digit), None) => value = value * 16.0 + f64::from(digit),
            (Some(digit), Some(place)) => {
                value += f64::from(digit) * place;
                unit = Some(place / 16.0);
            }
            (None, None) if *byte == b'.' => unit = Some(1.0 / 16.0),
            _ => break,
        }
    }
    value
}

/// The hexadecimal digits a text begins with, `0x` before them or not.
fn hex(text: &[u8]) -> u64 {
    let (negative, digits) = sign(text.trim_ascii_start());
    let digits = digits.strip_prefix(b"0x").or_else(|| digits.strip_prefix(b"0X")).unwrap_or(digits);
    let mut value = 0_u64;
    for byte in digits {
        let Some(digit) = char::from(*byte).to_digit(16) else { break };
        let Some(wider) = value.checked_mul(16) else { return u64::MAX };
        value = wider + u64::from(digit);
    }
    if negative { value.wrapping_neg() } else { value }
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

fn boolean(text: &[u8]) -> Option<bool> {
    let starts = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if starts(b"true") {
        return Some(true);
    }
    starts(b"false").then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_a_text_begins_with() {
        assert_eq!(integer(b"  -12abc"), -12);
        assert_eq!(integer(b"-99999999999999999999"), i64::MIN);
        assert_eq!(float(b"1.5e3x"), 1500.0);
        assert_eq!(float(b"1.5e+"), 1.5);
        assert_eq!(float(b"-.5"), -0.5);
        assert_eq!(float(b"."), 0.0);
        assert_eq!(float(b"1e999"), f64::INFINITY);
        assert_eq!(float(b" -Infinity!"), f64::NEG_INFINITY);
        assert!(float(b"NaN").is_nan());
        assert_eq!(float(b"information"), 0.0);
        assert_eq!(hex(b"0xffg"), 255);
        assert_eq!(hex(b"1ffffffffffffffff"), u64::MAX);
    }
}
