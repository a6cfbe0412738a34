//! The command.

use std::io::Write;

use ikada_plugin::registry::Registry;

use super::draw;
use super::map::Map;
use crate::assemble::assemble;
use crate::cli::{self, Command, Run, UsageError};
use crate::load::load;
use crate::render;
use crate::run::Exit;

/// How a map is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// Graphviz.
    Dot,
    /// Mermaid.
    Mermaid,
}

/// What `ikada explain` is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The configuration, and everything else that a run is told.
    pub run: Run,
    /// A tag or a container's name.
    pub subject: Option<String>,
    /// `--format`.
    pub format: Format,
}

impl Args {
    /// Reads the words behind `ikada explain`.
    ///
    /// # Errors
    /// A flag that does not exist, or lacks its value; more than one tag.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, UsageError> {
        let mut rest = Vec::new();
        let mut format = Format::Text;
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let value = match word.strip_prefix("--format") {
                Some("") => Some(words.next().ok_or_else(|| UsageError::Missing(word.clone()))?),
                Some(glued) => glued.strip_prefix('=').map(str::to_owned),
                None => None,
            };
            format = match value.as_deref() {
                None => {
                    rest.push(word);
                    continue;
                }
                Some("text") => Format::Text,
                Some("dot") => Format::Dot,
                Some("mermaid") => Format::Mermaid,
                Some(other) => return Err(UsageError::Unknown(format!("--format {other}"))),
            };
        }
        let mut run = match cli::parse(rest)? {
            Command::Run(run) => run,
            other => return Err(UsageError::of_a_run(&other)),
        };
        let mut words = run.words.drain(..);
        let subject = words.next();
        if let Some(more) = words.next() {
            return Err(UsageError::Unknown(more));
        }
        drop(words);
        Ok(Self { run: *run, subject, format })
    }
}

/// Explains a configuration on standard output. Errors in it are shown first; what could be read is explained all the same.
pub fn run(args: &Args, registry: &Registry) -> Exit {
    let (loaded, _) = load(&args.run);
    let mut checked = loaded.clone();
    let built = assemble(&mut checked, registry, true).pipeline.outputs;
    let exit = match checked.diagnostics.has_errors() {
        true => {
            render::findings(&checked.diagnostics, &checked.sources);
            Exit::Config
        }
        false => Exit::Clean,
    };
    let map = Map::of(&loaded, &built, args.subject.as_deref(), chrono::Utc::now());
    let text = match args.format {
        Format::Text => draw::text(&map),
        Format::Dot => draw::dot(&map),
        Format::Mermaid => draw::mermaid(&map),
    };
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
    exit
}
