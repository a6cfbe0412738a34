//! Numbers.

use super::time::without_comment;
use crate::field::{OptionValue, ValueError};

/// A file mode in octal: `0755` or `755`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Octal(pub u32);

impl OptionValue for Octal {
    const KIND: &'static str = "octal number";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let digits = without_comment(text);
        let digits = digits.strip_prefix("0o").unwrap_or(digits);
        let all_octal = !digits.is_empty() && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
        if !all_octal {
            return Err(ValueError::new("is not an octal number").help("type a file mode such as `0755`"));
        }
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Octal(mode)),
            _ => Err(ValueError::new("is not a file mode").help("type a mode up to `7777`")),
        }
    }
}

/// Reads whole numbers; the bounds are those of the type.
macro_rules! whole_numbers {
    ($($type:ty),+) => {$(
        impl OptionValue for $type {
            const KIND: &'static str = "number";

            fn parse_value(text: &str) -> Result<Self, ValueError> {
                let digits = without_comment(text);
                digits.strip_prefix('+').unwrap_or(digits).parse::<$type>().map_err(|error| {
                    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
                    let unsigned = <$type>::MIN == 0;
                    match error.kind() {
                        PosOverflow | NegOverflow => ValueError::new("is out of range")
                            .help(format!("type a number from {} to {}", <$type>::MIN, <$type>::MAX)),
                        _ if unsigned && is_negative(digits) => {
                            ValueError::new("is out of range").help("type a number that is not negative")
                        }
                        _ => not_a_number(digits),
                    }
                })
            }
        }
    )+};
}

whole_numbers!(u16, u32, u64, usize, i64);

impl OptionValue for f64 {
    const KIND: &'static str = "decimal number";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let digits = without_comment(text);
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(not_a_number(digits)),
        }
    }
}

fn is_negative(text: &str) -> bool {
    text.strip_prefix('-')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Fluent Bit takes the leading digits and forgets the rest; here the digits are offered.
fn not_a_number(text: &str) -> ValueError {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let error = ValueError::new("is not a number");
    match digits {
        0 => error,
        _ => error.help(format!("type `{}`", &text[..digits])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_keep_to_their_bounds() {
        assert_eq!(u16::parse_value("24224"), Ok(24224));
        assert_eq!(i64::parse_value("-1"), Ok(-1));
        assert_eq!(u16::parse_value("+5"), Ok(5));
        let error = u16::parse_value("70000").unwrap_err();
        assert_eq!(error.help.as_deref(), Some("type a number from 0 to 65535"));
        let error = u32::parse_value("-1").unwrap_err();
        assert_eq!(error.help.as_deref(), Some("type a number that is not negative"));
    }

    #[test]
    fn garbage_is_no_zero() {
        for text in ["", "abc", "-", "1.5", "0x10", "1 2"] {
            assert!(u32::parse_value(text).is_err(), "{text}");
        }
        assert_eq!(u32::parse_value("5000ms").unwrap_err().help.as_deref(), Some("type `5000`"));
    }

    #[test]
    fn a_comment_behind_a_number_is_harmless_as_in_fluent_bit() {
        assert_eq!(u16::parse_value("24224 # forward"), Ok(24224));
        assert_eq!(f64::parse_value("0.5 # half"), Ok(0.5));
    }

    #[test]
    fn decimal_numbers_are_finite() {
        assert_eq!(f64::parse_value("0.25"), Ok(0.25));
        assert!(f64::parse_value("inf").is_err());
        assert!(f64::parse_value("NaN").is_err());
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(Octal::parse_value("0755"), Ok(Octal(0o755)));
        assert_eq!(Octal::parse_value("644"), Ok(Octal(0o644)));
        assert!(Octal::parse_value("888").is_err());
        assert!(Octal::parse_value("17777").is_err());
        assert!(Octal::parse_value("").is_err());
        assert!(Octal::parse_value("77777777777777777777777").is_err());
    }
}
