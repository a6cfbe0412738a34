//! Findings as a person reads them: with the source line on a terminal, as one line each off it.
//!
//! A container's stderr becomes one CloudWatch event per line, so off a terminal a finding is never more than one.

use std::io::{IsTerminal, Write};

use annotate_snippets::{AnnotationKind, Element, Level, Renderer, Snippet};
use ikada_diag::{Diagnostic, Diagnostics, Severity, Sources};

/// Writes all findings to stderr.
pub fn findings(diagnostics: &Diagnostics, sources: &Sources) {
    let mut stderr = std::io::stderr().lock();
    let terminal = stderr.is_terminal();
    for finding in diagnostics.iter() {
        let text = if terminal { on_terminal(finding, sources) } else { one_line(finding, sources) };
        // A closed stderr leaves nobody to tell.
        drop(writeln!(stderr, "{text}"));
    }
    if diagnostics.left_out() > 0 {
        drop(writeln!(stderr, "[config] {} further findings are not shown", diagnostics.left_out()));
    }
}

/// `[2026/11/22 15:41:46.979] [error] [config] extra.conf:14:17: error[unknown-parser]: … (help: …)`.
fn one_line(finding: &Diagnostic, sources: &Sources) -> String {
    let stamp = chrono::Local::now().format("%Y/%m/%d %H:%M:%S%.3f");
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => " warn",
        Severity::Note => " info",
    };
    format!("[{stamp}] [{level}] [config] {}", finding.line(sources))
}

/// A finding with its source line, in colours.
pub(crate) fn on_terminal(finding: &Diagnostic, sources: &Sources) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut group =
        level.primary_title(finding.message.as_str()).id(finding.code).elements(Vec::<Element<'_>>::new());
    if let Some(span) = finding.span {
        let text = sources.text(span.source);
        let range = span.start as usize..(span.end as usize).min(text.len());
        let mark = AnnotationKind::Primary.span(range).label(finding.label.as_deref());
        group = group.element(Snippet::source(text).path(sources.name(span.source)).annotation(mark));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    Renderer::styled().render(&[group])
}
