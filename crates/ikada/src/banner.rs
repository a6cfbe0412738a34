//! What a configuration is made of: each source in the order of reading, with its size and what came from it, and each that was
//! left out, with the reason. A start logs it; `ikada check` prints it.

use ikada_config::{Loaded, SectionKind};
use ikada_diag::{SourceId, codes};

use crate::init::InitSource;

/// Findings that say why a source is left out.
const LEFT_OUT: [&str; 8] = [
    codes::MISSING_INCLUDE,
    codes::INCLUDE_NO_MATCH,
    codes::INCLUDE_DIRECTORY,
    codes::INCLUDE_REPEATED,
    codes::INCLUDE_CYCLE,
    codes::UNREADABLE_FILE,
    codes::FILE_TOO_LARGE,
    codes::TOO_MANY_FILES,
];

/// What is counted of a source, with the word for one.
const COUNTED: [(SectionKind, &str); 9] = [
    (SectionKind::Service, "service section"),
    (SectionKind::Input, "input"),
    (SectionKind::Filter, "filter"),
    (SectionKind::Output, "output"),
    (SectionKind::Parser, "parser"),
    (SectionKind::MultilineParser, "multiline parser"),
    (SectionKind::StreamTask, "stream task"),
    (SectionKind::Upstream, "group of servers"),
    (SectionKind::Custom, "custom section"),
];

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// Its size; nothing for one that was left out.
    pub(crate) bytes: Option<usize>,
    counts: Vec<(&'static str, usize)>,
    /// Why it was left out.
    pub(crate) ignored: Option<String>,
}

impl Source {
    /// Says what came from it: `2 inputs, 1 output`.
    pub(crate) fn gives(&self) -> String {
        let told: Vec<String> = self.counts.iter().map(|(word, count)| plural(*count, word)).collect();
        match told.is_empty() {
            true => "nothing".to_owned(),
            false => told.join(", "),
        }
    }

    fn line(&self) -> String {
        match (&self.ignored, self.bytes) {
            (Some(reason), _) => format!("{}: left out: {reason}", self.name),
            (None, bytes) => {
                format!("{}: {}, {}", self.name, plural(bytes.unwrap_or_default(), "byte"), self.gives())
            }
        }
    }
}

/// All sources of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Banner {
    pub(crate) sources: Vec<Source>,
}

impl Banner {
    pub(crate) fn of(loaded: &Loaded, init: &[InitSource]) -> Self {
        let mut sources: Vec<Source> = loaded.sources.ids().map(|id| source_of(loaded, id)).collect();
        // What was made up, for findings to point into, holds no section and was nobody's file.
        sources.retain(|source| !source.counts.is_empty() || source.bytes.is_some_and(|bytes| bytes > 0));
        for source in init.iter().filter(|source| source.bytes.is_none()) {
            let reason = source.ignored.clone().unwrap_or_else(|| "it could not be read".to_owned());
            let reason = format!("{reason} (named by {})", source.variable);
            sources.push(Source {
                name: source.name.clone(),
                bytes: None,
                counts: Vec::new(),
                ignored: Some(reason),
            });
        }
        for finding in loaded.diagnostics.iter().filter(|finding| LEFT_OUT.contains(&finding.code)) {
            let Some(span) = finding.span else { continue };
            let at = loaded.sources.location(span);
            let name = format!("{} (named at {}:{})", loaded.sources.slice(span), at.name, at.line);
            let ignored = Some(finding.message.clone());
            sources.push(Source { name, bytes: None, counts: Vec::new(), ignored });
        }
        Banner { sources }
    }

    /// One line for each source.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.sources.iter().map(Source::line)
    }
}

fn source_of(loaded: &Loaded, id: SourceId) -> Source {
    let of_kind = |kind| {
        loaded
            .document
            .sections()
            .iter()
            .filter(|section| section.header.source == id && section.kind == kind)
            .count()
    };
    let counts = COUNTED.iter().map(|(kind, word)| (*word, of_kind(*kind))).filter(|(_, count)| *count > 0);
    Source {
        name: loaded.sources.name(id).to_owned(),
        bytes: Some(loaded.sources.text(id).len()),
        counts: counts.collect(),
        ignored: None,
    }
}

fn plural(count: usize, word: &str) -> String {
    match (count, word) {
        (1, _) => format!("1 {word}"),
        (_, "group of servers") => format!("{count} groups of servers"),
        _ => format!("{count} {word}s"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ikada_config::{MapEnv, MemoryFiles, load};

    use super::*;

    #[test]
    fn every_source_is_named_in_order_with_what_came_from_it() {
        let files = MemoryFiles::new()
            .with(
                "/etc/main.conf",
                "@INCLUDE in.conf\n@INCLUDE gone.conf\n@INCLUDE in.conf\n[OUTPUT]\n    Name stdout\n",
            )
            .with("/etc/in.conf", "[INPUT]\n    Name dummy\n[INPUT]\n    Name dummy\n")
            .with("/etc/p.conf", "[PARSER]\n    Name x\n    Format json\n");
        let mut loaded = load(Path::new("/etc/main.conf"), &files, &MapEnv::new(), Path::new("/etc"));
        loaded.add_parsers(Path::new("p.conf"), None, &files, &MapEnv::new(), Path::new("/etc"));
        let lines: Vec<String> = Banner::of(&loaded, &[]).lines().collect();
        assert_eq!(
            lines,
            [
                "/etc/main.conf: 78 bytes, 1 output",
                "in.conf: 46 bytes, 2 inputs",
                "/etc/p.conf: 36 bytes, 1 parser",
                "gone.conf (named at /etc/main.conf:2): left out: the included file `gone.conf` does not exist",
                "in.conf (named at /etc/main.conf:3): left out: `in.conf` was included before at /etc/main.conf:1; this has no effect",
            ]
        );
    }
}
