//! The shelf: the types of values that options are made of.

mod level;
mod list;
mod number;
mod retry;
mod size;
mod switch;
mod text;
mod time;

pub use level::LogLevel;
pub use list::{CommaList, SpaceList};
pub use number::Octal;
pub use retry::RetryLimit;
pub use size::{ByteSize, SizeLimit};
pub use text::Secret;
pub use time::Seconds;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::OptionValue;

    proptest! {
        #[test]
        fn any_text_is_a_value_or_an_error(text in "\\PC{0,30}") {
            let read = [
                ByteSize::parse_value(&text).is_ok(),
                SizeLimit::parse_value(&text).is_ok(),
                Seconds::parse_value(&text).is_ok(),
                bool::parse_value(&text).is_ok(),
                u16::parse_value(&text).is_ok(),
                i64::parse_value(&text).is_ok(),
                f64::parse_value(&text).is_ok(),
                Octal::parse_value(&text).is_ok(),
                LogLevel::parse_value(&text).is_ok(),
            ];
            prop_assert!(read.len() == 9);
            prop_assert!(RetryLimit::parse_value(&text).is_ok());
            prop_assert!(CommaList::parse_value(&text).is_ok() && SpaceList::parse_value(&text).is_ok());
            prop_assert!(String::parse_value(&text).is_ok() && PathBuf::parse_value(&text).is_ok());
        }

        #[test]
        fn numbers_with_signs_and_units_are_values_or_errors(text in "[-+]?[0-9.]{0,25} ?[a-zA-Z]{0,4}( #.*)?") {
            let size = ByteSize::parse_value(&text);
            let time = Seconds::parse_value(&text);
            prop_assert!(!(text.starts_with('-') && (size.is_ok() || time.is_ok())));
        }

        #[test]
        fn a_size_that_is_shown_reads_back(bytes in any::<u64>()) {
            prop_assert_eq!(ByteSize::parse_value(&ByteSize(bytes).to_string()), Ok(ByteSize(bytes)));
        }

        #[test]
        fn words_without_blanks_and_quotes_read_back(words in proptest::collection::vec("[^ \t\"\\x00-\\x1f\u{a0}]{1,8}", 0..6)) {
            let plain: Vec<String> = words.into_iter().filter(|word| !word.contains(char::is_whitespace)).collect();
            prop_assert_eq!(SpaceList::parse_value(&plain.join(" ")).map(|list| list.0), Ok(plain));
        }
    }
}
