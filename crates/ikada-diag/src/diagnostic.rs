//! One finding, and the list of them.

use std::fmt;

use crate::source::Sources;
use crate::span::Span;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be run as it is.
    Error,
    /// It runs, but probably not as its author thinks.
    Warning,
    /// Worth knowing; nothing has to change.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

/// One finding: what is wrong, where, and what to type instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it weighs.
    pub severity: Severity,
    /// The stable code, one of [`codes`](crate::codes).
    pub code: &'static str,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// Where it is written, if it is written anywhere.
    pub span: Option<Span>,
    /// A few words to stand beside the marked place.
    pub label: Option<String>,
    /// What to type instead.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Returns an error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// Returns a warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// Returns a note.
    pub fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, message)
    }

    /// Returns a finding of the given weight.
    pub fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { severity, code, message: message.into(), span: None, label: None, help: None }
    }

    /// Says where the finding is.
    #[must_use]
    pub fn at(mut self, span: impl Into<Option<Span>>) -> Self {
        self.span = span.into();
        self
    }

    /// Puts a few words beside the marked place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Says what to type instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what to type instead, when there is something to say.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// Returns the finding as one line, as it is written where no terminal is:
    /// `name:line:column: severity[code]: message (help: …)`.
    pub fn line(&self, sources: &Sources) -> String {
        let mut line = String::new();
        if let Some(span) = self.span {
            let at = sources.location(span);
            line.push_str(&format!("{}:{}:{}: ", at.name, at.line, at.column));
        }
        line.push_str(&format!("{}[{}]: {}", self.severity, self.code, self.message));
        if let Some(help) = &self.help {
            line.push_str(&format!(" (help: {help})"));
        }
        // A value from a variable may hold line breaks; a finding is one line all the same.
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

/// How many findings of each weight there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Number of errors.
    pub errors: usize,
    /// Number of warnings.
    pub warnings: usize,
    /// Number of notes.
    pub notes: usize,
}

/// The findings of one load, in the order in which they were made.
///
/// The first [`Diagnostics::LIMIT`] findings are kept; later ones are only counted, so that a hostile file costs no
/// unbounded memory.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    counts: Counts,
}

impl Diagnostics {
    /// Number of findings that are kept.
    pub const LIMIT: usize = 10_000;

    /// Returns an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        match diagnostic.severity {
            Severity::Error => self.counts.errors += 1,
            Severity::Warning => self.counts.warnings += 1,
            Severity::Note => self.counts.notes += 1,
        }
        if self.found.len() < Self::LIMIT {
            self.found.push(diagnostic);
        }
    }

    /// Adds all findings of another list, and what that list had only counted.
    pub fn append(&mut self, other: Diagnostics) {
        self.counts.errors += other.counts.errors;
        self.counts.warnings += other.counts.warnings;
        self.counts.notes += other.counts.notes;
        let room = Self::LIMIT - self.found.len();
        self.found.extend(other.found.into_iter().take(room));
    }

    /// Returns the findings that are kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.found.iter()
    }

    /// Returns the findings in the order of their places: by source, then from its top; those without a place first.
    pub fn by_place(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.found.iter().collect();
        sorted.sort_by_key(|diagnostic| diagnostic.span.map(|span| (span.source, span.start)));
        sorted
    }

    /// Says whether there is an error among the findings.
    pub fn has_errors(&self) -> bool {
        self.counts.errors > 0
    }

    /// Says whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns the number of findings that are kept.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Returns how many findings of each weight were made, those beyond the limit included.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns how many findings were only counted.
    pub fn left_out(&self) -> usize {
        self.counts.errors + self.counts.warnings + self.counts.notes - self.found.len()
    }

    /// Returns each finding as one line; see [`Diagnostic::line`].
    pub fn lines<'a>(&'a self, sources: &'a Sources) -> impl Iterator<Item = String> + 'a {
        self.found.iter().map(|diagnostic| diagnostic.line(sources))
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, found: I) {
        found.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.found.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn a_finding_is_one_line_even_when_its_value_has_more() {
        let mut sources = Sources::default();
        let id = sources.add("a.conf", "Key x");
        let finding =
            Diagnostic::error(codes::BAD_VALUE, "`a\nb` is no size").at(id.span(4, 5)).help("type `5M`");
        assert_eq!(
            finding.line(&sources),
            "a.conf:1:5: error[bad-value]: `a b` is no size (help: type `5M`)"
        );
    }

    #[test]
    fn a_finding_without_a_place_starts_with_its_severity() {
        let finding = Diagnostic::warning(codes::BAD_VALUE, "no input is configured");
        assert_eq!(finding.line(&Sources::default()), "warning[bad-value]: no input is configured");
    }

    #[test]
    fn findings_beyond_the_limit_are_counted_but_not_kept() {
        let mut found = Diagnostics::new();
        found.extend((0..Diagnostics::LIMIT + 5).map(|_| Diagnostic::note(codes::BOM, "x")));
        found.push(Diagnostic::error(codes::BOM, "last"));
        assert_eq!(found.len(), Diagnostics::LIMIT);
        assert_eq!(found.left_out(), 6);
        assert!(found.has_errors());
        let mut all = Diagnostics::new();
        all.append(found);
        assert_eq!(all.counts(), Counts { errors: 1, warnings: 0, notes: Diagnostics::LIMIT + 5 });
    }
}
