//! Log levels.

use crate::Choice;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Choice)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What was lost.
    Error,
    /// What was delayed, and worse.
    #[choice("warn", "warning")]
    Warn,
    /// What began and ended, and worse.
    Info,
    /// What happens, and worse.
    Debug,
    /// Everything.
    Trace,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OptionValue;

    #[test]
    fn levels_have_names_in_any_case() {
        assert_eq!(LogLevel::parse_value("WARNING"), Ok(LogLevel::Warn));
        assert_eq!(LogLevel::parse_value("trace"), Ok(LogLevel::Trace));
        assert_eq!(LogLevel::Warn.name(), "warn");
        assert!(LogLevel::Debug > LogLevel::Info);
    }

    #[test]
    fn an_unknown_level_is_refused_with_a_near_one() {
        let error = LogLevel::parse_value("inf").unwrap_err();
        assert_eq!(error.help.as_deref(), Some("did you mean `info`?"));
        let error = LogLevel::parse_value("verbose").unwrap_err();
        assert_eq!(error.help.as_deref(), Some("type `off`, `error`, `warn`, `info`, `debug` or `trace`"));
    }
}
