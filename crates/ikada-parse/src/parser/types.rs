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

/// The hexadecimal number that a text begins with, with a fraction and a power of two (`1.8p-3`) or without, rounded to even.
fn hex_float(text: &[u8]) -> f64 {
    let (mut mantissa, mut power) = (0_u64, 0_i64);
    let (mut has_digits, mut in_fraction) = (false, false);
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        let digit = char::from(*byte).to_digit(16);
        match digit {
            Some(digit) if mantissa >> 60 == 0 => {
                mantissa = mantissa << 4 | u64::from(digit);
                power -= if in_fraction { 4 } else { 0 };
            }
            Some(digit) => {
                // Of what has no room only matters whether it is nothing.
                mantissa |= u64::from(digit != 0);
                power += if in_fraction { 0 } else { 4 };
            }
            None if *byte == b'.' && !in_fraction => in_fraction = true,
            None => break,
        }
        has_digits |= digit.is_some();
        rest = behind;
    }
    if let (true, Some((b'p' | b'P', exponent))) = (has_digits, rest.split_first()) {
        let (_, digits) = sign(exponent);
        power = if digits.first().is_some_and(u8::is_ascii_digit) {
            power.saturating_add(integer(exponent))
        } else {
            power
        };
    }
    scaled(mantissa, power)
}

/// `mantissa` times two to the `power`.
fn scaled(mantissa: u64, power: i64) -> f64 {
    let bits = i64::from(u64::BITS - mantissa.leading_zeros());
    let top = power.saturating_add(bits);
    match top {
        _ if mantissa == 0 => 0.0,
        1025.. => f64::INFINITY,
        ..-1074 => 0.0,
        // Below the normal numbers, whose smallest is 2^-1022, all are multiples of 2^-1074.
        -1074..-1021 => {
            let shift = (-1074 - power).max(0) as u32;
            let multiple = if power >= -1074 { mantissa << (power + 1074) } else { halved(mantissa, shift) };
            f64::from_bits(multiple)
        }
        _ => {
            let first = power / 2;
            mantissa as f64 * power_of_two(first) * power_of_two(power - first)
        }
    }
}

/// A number without its last bits, rounded to even.
fn halved(number: u64, bits: u32) -> u64 {
    let wide = u128::from(number);
    let (whole, cut, half) = (wide >> bits, wide & ((1 << bits) - 1), 1_u128 << bits >> 1);
    let up = cut > half || (cut == half && whole & 1 == 1);
    whole as u64 + u64::from(up)
}

/// From the range of normal numbers.
fn power_of_two(power: i64) -> f64 {
    f64::from_bits(((power + 1023) as u64) << 52)
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

    #[test]
    fn hexadecimal_numbers_are_the_nearest() {
        // What `strtod` makes of them, bit for bit.
        for (text, value) in [
            ("0x1.8p-2x", 0.375),
            ("-0X.8", -0.5),
            ("0x1p+3", 8.0),
            ("0x1.p2", 4.0),
            ("0x1p", 1.0),
            ("0x1p-", 1.0),
            ("0xp2", 0.0),
            ("0x.p2", 0.0),
            ("0x0p9", 0.0),
            ("0x1.2.3", 1.125),
            ("0x2399999999999999999999", 43_037_759_178_280_800_337_526_784.0),
            ("0x1.00000000000008", 1.0),
            ("0x1.000000000000080000000001", 1.000_000_000_000_000_2),
            ("0x1.00000000000018", 1.000_000_000_000_000_4),
            ("0x1p-1074", f64::from_bits(1)),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", f64::from_bits(1)),
            ("0x3p-1075", f64::from_bits(2)),
            ("0xfffffffffffff.8p-1074", f64::MIN_POSITIVE),
            ("0x1.fffffffffffff7p1023", f64::MAX),
            ("0x1.fffffffffffff8p1023", f64::INFINITY),
            ("0x1p99999999999999999999", f64::INFINITY),
            ("0x1p-99999999999999999999", 0.0),
        ] {
            assert_eq!(float(text.as_bytes()).to_bits(), f64::to_bits(value), "{text}");
        }
    }
}
