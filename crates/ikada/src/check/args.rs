//! The command line of `ikada check`: its own words, and all flags of a run.

use std::path::PathBuf;

use crate::cli::{self, Command, Run, UsageError};

/// Where the AWS image keeps its configuration.
const USUAL: &str = "/fluent-bit/etc/fluent-bit.conf";

/// What `ikada check` is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// What a start would be told.
    pub run: Run,
    /// How the findings are written.
    pub format: Format,
    /// `--from fluent-bit`: reports what becomes of each option.
    pub from_fluent_bit: bool,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Reads what stands behind `check`. A word that is no flag is the configuration; without one and without `-c`, it is that of the
/// AWS image.
///
/// # Errors
/// A flag that does not exist, lacks its value, or has one that it does not know.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Check, UsageError> {
    let mut check = Check::default();
    let mut rest = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (name, glued) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word.clone(), None),
        };
        let mut value =
            || glued.clone().or_else(|| words.next()).ok_or_else(|| UsageError::Missing(name.clone()));
        match name.as_str() {
            "--format" => {
                check.format = match value()?.as_str() {
                    "text" => Format::Text,
                    "json" => Format::Json,
                    other => return Err(UsageError::Value(name, other.to_owned(), "`text` or `json`")),
                };
            }
            "--from" => match value()?.as_str() {
                "fluent-bit" => check.from_fluent_bit = true,
                other => return Err(UsageError::Value(name, other.to_owned(), "`fluent-bit`")),
            },
            _ => rest.push(word),
        }
    }
    match cli::parse(rest)? {
        Command::Run(run) => check.run = *run,
        other => return Err(UsageError::of_a_run(&other)),
    }
    if check.run.config.is_none() && !check.run.words.is_empty() {
        check.run.config = Some(PathBuf::from(check.run.words.remove(0)));
    }
    if check.run.config.is_none() && check.run.sections.is_empty() {
        check.run.config = Some(PathBuf::from(USUAL));
    }
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Check, UsageError> {
        parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_word_is_the_configuration() {
        assert_eq!(words("a.conf").unwrap().run.config, Some("a.conf".into()));
        assert_eq!(words("-c b.conf").unwrap().run.config, Some("b.conf".into()));
        assert_eq!(words("").unwrap().run.config, Some(USUAL.into()));
        assert_eq!(words("-i dummy -o stdout").unwrap().run.config, None);
    }

    #[test]
    fn its_own_flags_take_values_in_both_ways() {
        let check = words("--format json a.conf --from=fluent-bit -R p.conf").unwrap();
        assert_eq!((check.format, check.from_fluent_bit), (Format::Json, true));
        assert_eq!(check.run.parsers, [PathBuf::from("p.conf")]);
        assert!(
            words("--format xml").is_err() && words("--format").is_err() && words("--from vector").is_err()
        );
        assert!(words("--nope").is_err());
        assert_eq!(words("-V").unwrap_err().to_string(), "there is no flag `-V`");
    }
}
