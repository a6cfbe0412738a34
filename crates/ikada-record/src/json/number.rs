//! Numbers as text.
//!
//! Fluent Bit writes a float that equals a 64-bit integer with one decimal (`%.1f`) and any other with 16 significant digits
//! (`%.16g`). Sixteen digits do not always read back as the same float; they are what users see today.

use std::io::Write as _;

/// Writes an integer.
#[inline]
pub(super) fn uint(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Writes an integer.
#[inline]
pub(super) fn int(out: &mut Vec<u8>, n: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Writes a float as a JSON number; `null` for what JSON has no number for.
pub(super) fn float(out: &mut Vec<u8>, n: f64) {
    if !n.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    // -2^63 is a 64-bit integer, 2^63 is none.
    if n.trunc() == n && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&n) {
        if n.is_sign_negative() {
            out.push(b'-');
        }
        uint(out, n.abs() as u64);
        out.extend_from_slice(b".0");
        return;
    }
    general(out, n);
}

/// `%.16g`: 16 significant digits without trailing zeros, with an exponent below 10^-4 and from 10^16 on.
fn general(out: &mut Vec<u8>, n: f64) {
    let (number, exponent) = significant_quick(n.abs()).unwrap_or_else(|| significant(n.abs()));
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number).as_bytes();
    let len = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    let digits = &digits[..len];
    if n.is_sign_negative() {
        out.push(b'-');
    }
    match exponent {
        0..16 => {
            let whole = exponent as usize + 1;
            out.extend_from_slice(&digits[..whole.min(len)]);
            out.extend((len..whole).map(|_| b'0'));
            if len > whole {
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
        }
        -4..0 => {
            out.extend_from_slice(b"0.");
            out.extend((exponent..-1).map(|_| b'0'));
            out.extend_from_slice(digits);
        }
        _ => {
            out.push(digits[0]);
            if len > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            out.push(b'e');
            out.push(if exponent < 0 { b'-' } else { b'+' });
            if exponent.abs() < 10 {
                out.push(b'0');
            }
            uint(out, u64::from(exponent.unsigned_abs()));
        }
    }
}

/// The first 16 significant digits of a positive number as one integer, correctly rounded, and the number's decimal exponent.
fn significant(n: f64) -> (u64, i32) {
    let mut text = [0u8; 32];
    let mut rest = &mut text[..];
    // d.ddddddddddddddde±xxx: 17 bytes of digits, then the exponent.
    if write!(rest, "{n:.15e}").is_err() {
        return (0, 0);
    }
    let left = rest.len();
    let text = &text[..32 - left];
    let digit = |sum: u64, byte: &u8| sum * 10 + u64::from(byte - b'0');
    let number = text[2..17].iter().fold(u64::from(text[0] - b'0'), digit);
    let exponent = std::str::from_utf8(&text[18..]).ok().and_then(|exponent| exponent.parse().ok());
    (number, exponent.unwrap_or(0))
}

/// The same for numbers from 10^-5 to 2^53, which are nearly all that occur, in whole numbers of 128 bits.
fn significant_quick(n: f64) -> Option<(u64, i32)> {
    if !(1e-5..9_007_199_254_740_992.0).contains(&n) {
        return None;
    }
    // n = mantissa / 2^shift, with a shift of 0 to 69.
    let bits = n.to_bits();
    let binary = (bits >> 52) as i32 - 1023;
    let mantissa = u128::from(bits & ((1 << 52) - 1) | 1 << 52);
    let shift = (52 - binary) as u32;
    // 10^exponent <= n < 10^(exponent + 1), or one more: 1233 / 4096 is a little less than the logarithm of 2.
    let mut exponent = (binary * 1233) >> 12;
    loop {
        let scaled = mantissa * 10u128.pow((15 - exponent) as u32);
        let (number, rest, half) = match shift {
            0 => (scaled, 0, 1),
            _ => (scaled >> shift, scaled & ((1 << shift) - 1), 1 << (shift - 1)),
        };
        // Ties go to the even neighbour, as printf rounds.
        let up = rest > half || (rest == half && number & 1 == 1);
        let number = number as u64 + u64::from(up);
        match number {
            10_000_000_000_000_000.. => exponent += 1,
            1_000_000_000_000_000.. => return Some((number, exponent)),
            _ => exponent -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(n: f64) -> String {
        let mut out = Vec::new();
        float(&mut out, n);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_look_as_fluent_bit_writes_them() {
        let cases = [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (100.0, "100.0"),
            (1e15, "1000000000000000.0"),
            (1e18, "1000000000000000000.0"),
            (-9_223_372_036_854_775_808.0, "-9223372036854775808.0"),
            (9_223_372_036_854_775_808.0, "9.223372036854776e+18"),
            (0.1, "0.1"),
            (1.5, "1.5"),
            (-2.25, "-2.25"),
            (1.0 / 3.0, "0.3333333333333333"),
            (1.5e300, "1.5e+300"),
            (1e-7, "1e-07"),
            (1e20, "1e+20"),
            (1.25e-5, "1.25e-05"),
            (0.0001, "0.0001"),
            (0.000_123, "0.000123"),
            (f64::MAX, "1.797693134862316e+308"),
            (5e-324, "4.940656458412465e-324"),
            (1_700_000_000.123_456_7, "1700000000.123457"),
            (1.000_000_000_000_000_2, "1"),
            (4_503_599_627_370_495.5, "4503599627370496"),
            (f64::from(0.1f32), "0.1000000014901161"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
            (f64::NEG_INFINITY, "null"),
        ];
        for (n, expected) in cases {
            assert_eq!(text(n), expected);
        }
    }

    #[test]
    fn the_quick_way_is_right_beside_powers_of_ten() {
        for power in -5..16 {
            let ten = 10f64.powi(power);
            let mut near = vec![ten];
            for _ in 0..50 {
                near.push(near[near.len() - 1].next_up());
                near.insert(0, near[0].next_down());
            }
            for n in near {
                if let Some(quick) = significant_quick(n) {
                    assert_eq!(quick, significant(n), "{n:e}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_quick_way_equals_the_general_one(n in 1e-5..9.1e15f64, small in 1e-5..1f64, few in 0u32..1_000_000) {
            for n in [n, small, f64::from(few) / 1024.0, f64::from(few) / 1000.0, small * 100.0, small * 1e6] {
                if let Some(quick) = significant_quick(n) {
                    prop_assert_eq!(quick, significant(n));
                }
            }
        }

        #[test]
        fn sixteen_digits_read_back_as_nearly_the_same_number(bits: u64) {
            let n = f64::from_bits(bits);
            prop_assume!(n.is_finite());
            let back: f64 = text(n).parse().unwrap();
            prop_assert!(back == n || back.is_infinite() || ((back - n) / n).abs() < 1e-15, "{} {}", n, back);
        }
    }
}
