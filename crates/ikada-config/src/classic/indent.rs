//! The indentation of a file: its first line inside a section sets it for all others.

/// What a file has shown of its indentation so far.
///
/// Fluent Bit takes the first line that is not empty, a header, a command or a comment in the first column, even when
/// that line holds blanks only. People mean the first key. A line is fine when it fits either.
#[derive(Debug, Default, Clone)]
pub(super) struct Indent {
    first_line: Option<String>,
    first_key: Option<String>,
}

/// How a line's indentation is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndentError {
    /// There is none.
    Missing,
    /// Less than the file's.
    TooLow,
    /// More than the file's, and not twice as much.
    TooHigh,
    /// Tabs where the file has blanks, or the reverse.
    Mixed,
}

impl Indent {
    /// Looks at a line without a key.
    pub(super) fn see_remark(&mut self, indent: &str) {
        if self.first_line.is_none() {
            self.first_line = Some(indent.to_owned());
        }
    }

    /// Looks at a line with a key.
    pub(super) fn see_key(&mut self, indent: &str) -> Result<(), IndentError> {
        if indent.is_empty() {
            return Err(IndentError::Missing);
        }
        if self.first_line.is_none() {
            self.first_line = Some(indent.to_owned());
        }
        let first_key = self.first_key.get_or_insert_with(|| indent.to_owned());
        match compare(indent, first_key) {
            Ok(()) => Ok(()),
            Err(error) => match self.first_line.as_deref() {
                Some(first) if compare(indent, first).is_ok() => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Returns what a key has before it in this file, as far as it is known.
    pub(super) fn expected(&self) -> Option<&str> {
        self.first_key.as_deref()
    }
}

/// The same, or twice the same, is fine.
fn compare(indent: &str, expected: &str) -> Result<(), IndentError> {
    let Some(more) = indent.strip_prefix(expected) else {
        return Err(match expected.starts_with(indent) {
            true => IndentError::TooLow,
            false => IndentError::Mixed,
        });
    };
    match more.is_empty() || more == expected {
        true => Ok(()),
        false => Err(IndentError::TooHigh),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str]) -> Vec<Result<(), IndentError>> {
        let mut indent = Indent::default();
        lines.iter().map(|line| indent.see_key(line)).collect()
    }

    #[test]
    fn the_first_key_sets_the_indentation_and_twice_of_it_is_fine() {
        assert_eq!(check(&["  ", "  ", "    "]), [Ok(()), Ok(()), Ok(())]);
        assert_eq!(check(&["\t", "\t\t", "\t\t\t"]), [Ok(()), Ok(()), Err(IndentError::TooHigh)]);
    }

    #[test]
    fn every_other_depth_is_wrong() {
        let found = check(&["    ", "  ", "      ", "", "\t", "   \t"]);
        let expected = [
            Ok(()),
            Err(IndentError::TooLow),
            Err(IndentError::TooHigh),
            Err(IndentError::Missing),
            Err(IndentError::Mixed),
            Err(IndentError::Mixed),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_of_blanks_may_set_it_as_it_does_in_fluent_bit() {
        let mut indent = Indent::default();
        indent.see_remark("  ");
        assert_eq!(indent.see_key("    "), Ok(()));
        assert_eq!(indent.see_key("  "), Ok(()));
        assert_eq!(indent.see_key("        "), Ok(()));
        assert_eq!(indent.see_key("   "), Err(IndentError::TooLow));
    }
}
