//! Text, paths and secrets.

use std::fmt;
use std::path::PathBuf;

use crate::field::{OptionValue, ValueError};

impl OptionValue for String {
    const KIND: &'static str = "text";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        Ok(text.to_owned())
    }
}

impl OptionValue for PathBuf {
    const KIND: &'static str = "path";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        if text.contains('\0') {
            return Err(ValueError::new("is not a path: it holds a NUL byte"));
        }
        Ok(PathBuf::from(text))
    }
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Returns the text. Whoever calls this must not show it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl OptionValue for Secret {
    const KIND: &'static str = "secret text";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        Ok(Secret(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::parse_value("hunter2").unwrap();
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret.reveal(), "hunter2");
    }
}
