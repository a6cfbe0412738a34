//! Sizes in bytes.

use std::fmt;

use crate::field::{OptionValue, ValueError};

/// A number of bytes: `512`, `32K`, `5MB`, `1.5G`, in any case; factors are decimal, as in Fluent Bit, so `1M` is
/// 1,000,000. `false` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (factor, unit) = match self.0 {
            0 => (1, ""),
            n if n % 1_000_000_000 == 0 => (1_000_000_000, "G"),
            n if n % 1_000_000 == 0 => (1_000_000, "M"),
            n if n % 1_000 == 0 => (1_000, "K"),
            _ => (1, ""),
        };
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl OptionValue for ByteSize {
    const KIND: &'static str = "size";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        if text.eq_ignore_ascii_case("false") {
            return Ok(ByteSize(0));
        }
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let Some(factor) = factor_of(unit) else { return Err(bad_unit(text, number, unit)) };
        let Some(bytes) = scaled(number, factor) else { return Err(not_a_size(text)) };
        u64::try_from(bytes).map(ByteSize).map_err(|_| ValueError::new("is more bytes than can be counted"))
    }
}

/// A size that may also be without limit: `off`, `false` and `0` set no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SizeLimit(pub Option<u64>);

impl OptionValue for SizeLimit {
    const KIND: &'static str = "size or `off`";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        if ["off", "no"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
            return Ok(SizeLimit(None));
        }
        let ByteSize(bytes) = ByteSize::parse_value(text)?;
        Ok(SizeLimit((bytes > 0).then_some(bytes)))
    }
}

fn factor_of(unit: &str) -> Option<u64> {
    match unit.to_ascii_lowercase().as_str() {
        "" => Some(1),
        "k" | "kb" => Some(1_000),
        "m" | "mb" => Some(1_000_000),
        "g" | "gb" => Some(1_000_000_000),
        _ => None,
    }
}

/// Returns a decimal number times a factor, parts of a unit cut off; `None` when the text is no number.
pub(super) fn scaled(number: &str, factor: u64) -> Option<u128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let all_digits = whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit());
    if !all_digits || whole.len() + part.len() == 0 || whole.len() > 20 {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part = &part[..part.len().min(12)];
    let thousandths: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let factor = u128::from(factor);
    Some(whole * factor + thousandths * factor / 10_u128.pow(part.len() as u32))
}

fn not_a_size(text: &str) -> ValueError {
    let error = ValueError::new("is not a size");
    match text.starts_with('-') {
        true => error.help("a size is not negative"),
        false => error.help("type a number of bytes, or one with `K`, `M` or `G`: `5M`"),
    }
}

fn bad_unit(text: &str, number: &str, unit: &str) -> ValueError {
    if scaled(number, 1).is_none() {
        return not_a_size(text);
    }
    let unit = unit.to_ascii_lowercase();
    let trimmed = unit.trim_start();
    if trimmed.len() < unit.len() && factor_of(trimmed).is_some() {
        let joined = format!("{number}{}", trimmed.to_ascii_uppercase());
        return ValueError::new("is not a size: no blank may stand before the unit")
            .help(format!("type `{joined}`"));
    }
    let binary = match trimmed {
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        _ => return not_a_size(text),
    };
    let error = ValueError::new("is not a size: units are decimal (`K`, `M`, `G`)");
    match scaled(number, binary) {
        Some(bytes) => error.help(format!("type `{bytes}`")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> Option<u64> {
        ByteSize::parse_value(text).ok().map(|size| size.0)
    }

    fn help(text: &str) -> String {
        ByteSize::parse_value(text).unwrap_err().help.unwrap_or_default()
    }

    #[test]
    fn units_are_decimal_and_of_any_case() {
        let cases = [
            ("0", 0),
            ("512", 512),
            ("1k", 1_000),
            ("32KB", 32_000),
            ("5M", 5_000_000),
            ("50mb", 50_000_000),
            ("2G", 2_000_000_000),
            ("1Gb", 1_000_000_000),
            ("false", 0),
            ("FALSE", 0),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn fractions_of_a_unit_are_exact() {
        assert_eq!(size("1.5M"), Some(1_500_000));
        assert_eq!(size("0.001G"), Some(1_000_000));
        assert_eq!(size(".5K"), Some(500));
        assert_eq!(size("1."), Some(1));
        assert_eq!(size("1.9"), Some(1));
        assert_eq!(size("1.00000000000000000000001K"), Some(1_000));
    }

    #[test]
    fn what_fluent_bit_refuses_is_refused() {
        for text in
            ["5 M", "5MiB", "5Mi", "5T", "-5M", "M", ".", "", "5MM", "1.2.3M", "true", "5M # half", "1e3"]
        {
            assert_eq!(size(text), None, "{text}");
        }
        assert_eq!(size("99999999999999999999G"), None);
        assert_eq!(size("999999999999999999999999999999"), None);
    }

    #[test]
    fn the_help_says_what_to_type() {
        assert_eq!(help("5 MB"), "type `5MB`");
        assert_eq!(help("5MiB"), "type `5242880`");
        assert_eq!(help("1.5 KiB"), "type `1536`");
        assert_eq!(help("-1"), "a size is not negative");
        assert_eq!(help("much"), "type a number of bytes, or one with `K`, `M` or `G`: `5M`");
    }

    #[test]
    fn a_size_is_shown_as_people_write_it() {
        let shown: Vec<String> =
            [0, 7, 1_000, 1_500_000, 2_000_000, 3_000_000_000].map(|n| ByteSize(n).to_string()).into();
        assert_eq!(shown, ["0", "7", "1K", "1500K", "2M", "3G"]);
    }

    #[test]
    fn a_limit_can_be_none() {
        let limit = |text| SizeLimit::parse_value(text).unwrap().0;
        assert_eq!(limit("off"), None);
        assert_eq!(limit("false"), None);
        assert_eq!(limit("0"), None);
        assert_eq!(limit("5M"), Some(5_000_000));
    }
}
