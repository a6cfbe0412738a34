//! The name of a region, as an option has it.

use ikada_options::{OptionValue, ValueError};

/// Longest label of a host, which the region becomes.
const LONGEST: usize = 63;

/// The name of a region: letters, digits and hyphens, as it stands in the hosts of AWS. Which regions there are is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionName(String);

impl RegionName {
    /// Where AWS has what is in no other place.
    pub(crate) fn usual() -> Self {
        Self("us-east-1".to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OptionValue for RegionName {
    const KIND: &'static str = "region";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let is_label = text.chars().all(is_plain) && !text.starts_with('-') && !text.ends_with('-');
        if !text.is_empty() && is_label && text.len() <= LONGEST {
            return Ok(Self(text.to_owned()));
        }
        let bare = text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_ascii_lowercase();
        let bare = bare.replace(['_', ' '], "-");
        let help = match is_usual(&bare) {
            true => format!("type `{bare}`"),
            false => "type `eu-central-1`, for example".to_owned(),
        };
        Err(ValueError::new("cannot be a region: those have letters, digits and hyphens only").help(help))
    }

    fn parse_with_warnings(text: &str, warnings: &mut Vec<ValueError>) -> Result<Self, ValueError> {
        let region = Self::parse_value(text)?;
        let small = text.to_ascii_lowercase();
        let of_zone = small.strip_suffix(|c: char| c.is_ascii_lowercase()).filter(|name| is_usual(name));
        if let Some(name) = of_zone {
            let warning = ValueError::new("is an availability zone, not a region");
            warnings.push(warning.help(format!("type `{name}`")));
        } else if small != text && is_usual(&small) {
            let warning = ValueError::new("has capital letters, and no region of AWS does");
            warnings.push(warning.help(format!("type `{small}`")));
        }
        Ok(region)
    }
}

/// Whether a name is built as those of AWS are: words, and a number behind them.
fn is_usual(name: &str) -> bool {
    let Some((words, number)) = name.rsplit_once('-') else { return false };
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let mut words = words.split('-');
    is_number
        && words.clone().count() >= 2
        && words.all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_regions_are_taken_without_a_word() {
        let usual = ["us-east-1", "us-gov-west-1", "us-iso-east-1", "eu-isoe-west-1", "ap-southeast-12"];
        for name in usual.iter().chain(&["local", "test", "custom-1", "r", "aws-global", "Moto"]) {
            let mut warnings = Vec::new();
            let region = RegionName::parse_with_warnings(name, &mut warnings).unwrap();
            assert_eq!((region.as_str(), warnings), (*name, vec![]));
        }
    }

    #[test]
    fn what_cannot_be_a_region_is_refused() {
        for (text, help) in [
            ("<region>", "type `eu-central-1`, for example"),
            ("\"us-east-1\"", "type `us-east-1`"),
            ("us east 1", "type `us-east-1`"),
            ("us_east_1", "type `us-east-1`"),
            ("{{ region }}", "type `eu-central-1`, for example"),
            ("us-east-1.amazonaws.com", "type `eu-central-1`, for example"),
            ("-x", "type `eu-central-1`, for example"),
            ("é", "type `eu-central-1`, for example"),
        ] {
            let error = RegionName::parse_value(text).unwrap_err();
            assert_eq!(error.help.as_deref(), Some(help), "{text}");
        }
        assert!(RegionName::parse_value(&"a".repeat(LONGEST)).is_ok());
        assert!(RegionName::parse_value(&"a".repeat(LONGEST + 1)).is_err());
    }

    #[test]
    fn zones_and_capital_letters_are_told() {
        for (text, help) in [
            ("us-east-1a", "type `us-east-1`"),
            ("us-gov-west-1b", "type `us-gov-west-1`"),
            ("US-EAST-1A", "type `us-east-1`"),
            ("EU-Central-1", "type `eu-central-1`"),
        ] {
            let mut warnings = Vec::new();
            assert_eq!(RegionName::parse_with_warnings(text, &mut warnings).unwrap().as_str(), text);
            assert_eq!(warnings.len(), 1, "{text}");
            assert_eq!(warnings[0].help.as_deref(), Some(help), "{text}");
        }
    }
}
