//! How often a delivery is tried again.

use crate::field::{OptionValue, ValueError};

/// A written `Retry_Limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryLimit {
    /// Until it succeeds: `no_limits`, `false`, `off`.
    Unlimited,
    /// This many times after the first attempt, at least once.
    Limit(u32),
    /// Not at all: `no_retries`.
    Never,
}

impl OptionValue for RetryLimit {
    const KIND: &'static str = "number, `no_limits` or `no_retries`";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        Self::parse_with_warnings(text, &mut Vec::new())
    }

    /// Zero, negative numbers and garbage are one retry, as in Fluent Bit, and a warning.
    fn parse_with_warnings(text: &str, warnings: &mut Vec<ValueError>) -> Result<Self, ValueError> {
        let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        if is(&["no_limits", "false", "off"]) {
            return Ok(RetryLimit::Unlimited);
        }
        if is(&["no_retries"]) {
            return Ok(RetryLimit::Never);
        }
        match u64::parse_value(text) {
            Ok(limit) if limit > 0 => Ok(RetryLimit::Limit(u32::try_from(limit).unwrap_or(u32::MAX))),
            _ => {
                warnings.push(
                    ValueError::new("is not a retry limit and means 1")
                        .help("type a number from 1, `no_limits` or `no_retries`"),
                );
                Ok(RetryLimit::Limit(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_or_words() {
        let cases = [
            ("5", RetryLimit::Limit(5)),
            ("1", RetryLimit::Limit(1)),
            ("no_limits", RetryLimit::Unlimited),
            ("False", RetryLimit::Unlimited),
            ("off", RetryLimit::Unlimited),
            ("NO_RETRIES", RetryLimit::Never),
            ("99999999999", RetryLimit::Limit(u32::MAX)),
        ];
        for (text, expected) in cases {
            let mut warnings = Vec::new();
            assert_eq!(RetryLimit::parse_with_warnings(text, &mut warnings), Ok(expected), "{text}");
            assert!(warnings.is_empty(), "{text}");
        }
    }

    #[test]
    fn zero_negative_and_garbage_are_one_retry_with_a_warning() {
        for text in ["0", "-1", "many", "5x"] {
            let mut warnings = Vec::new();
            assert_eq!(
                RetryLimit::parse_with_warnings(text, &mut warnings),
                Ok(RetryLimit::Limit(1)),
                "{text}"
            );
            assert_eq!(warnings.len(), 1, "{text}");
        }
    }
}
