//! Yes or no.

use crate::field::{OptionValue, ValueError};

impl OptionValue for bool {
    const KIND: &'static str = "boolean";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        if is(&["true", "on", "yes"]) {
            return Ok(true);
        }
        if is(&["false", "off", "no"]) {
            return Ok(false);
        }
        let error = ValueError::new("is neither on nor off");
        if is(&["1", "enabled", "enable", "y", "t"]) {
            return Err(error.help("type `on`"));
        }
        if is(&["0", "disabled", "disable", "n", "f"]) {
            return Err(error.help("type `off`"));
        }
        Err(error.help("type `on` or `off`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_words_of_any_case_are_booleans() {
        for text in ["true", "On", "YES"] {
            assert_eq!(bool::parse_value(text), Ok(true));
        }
        for text in ["false", "Off", "NO"] {
            assert_eq!(bool::parse_value(text), Ok(false));
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_type() {
        let help = |text| bool::parse_value(text).unwrap_err().help.unwrap();
        assert_eq!(help("1"), "type `on`");
        assert_eq!(help("disabled"), "type `off`");
        assert_eq!(help("maybe"), "type `on` or `off`");
    }
}
