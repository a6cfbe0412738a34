//! What `ikada test` is told.

use std::path::PathBuf;

use crate::cli::{self, Command, Run, UsageError};

/// The tag of samples where none is given: what FireLens gives the container `app`.
pub(super) const USUAL_TAG: &str = "app-firelens-0123456789abcdef0123456789abcdef";

/// What `ikada test` is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The configuration, and everything else that a run is told.
    pub run: Run,
    /// Samples and expectations; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// `--tag`: the tag of samples.
    pub tag: Option<String>,
    /// `--from`: the input that samples come from.
    pub from: Option<String>,
    /// `--format json`: one JSON line for each record that an output receives.
    pub json: bool,
}

impl Args {
    /// Reads the words behind `ikada test`: its own flags, those of a run, and files.
    ///
    /// # Errors
    /// A flag that does not exist, or lacks its value.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, UsageError> {
        let mut args = Self::default();
        let mut rest = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (flag, glued) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag.to_owned(), Some(value.to_owned())),
                _ => (word.clone(), None),
            };
            let mut value =
                || glued.clone().or_else(|| words.next()).ok_or_else(|| UsageError::Missing(flag.clone()));
            match flag.as_str() {
                "--tag" => args.tag = Some(value()?),
                "--from" => args.from = Some(value()?),
                "--format" => args.json = value()? == "json",
                "-" => args.files.push("-".into()),
                _ => rest.push(word),
            }
        }
        match cli::parse(rest)? {
            Command::Run(mut run) => {
                // Words that are no flags are files here.
                args.files.extend(run.words.drain(..).map(PathBuf::from));
                args.run = *run;
                Ok(args)
            }
            other => Err(UsageError::of_a_run(&other)),
        }
    }
}
