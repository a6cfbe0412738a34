//! Findings for programs.
//!
//! One object: `findings` (each with `severity`, `code`, `message`, and where there is one: `file`, `line`, `column`, `end_line`,
//! `end_column`, `source`, `help`), `sources`, and `errors`, `warnings`, `notes` as counts. Lines and columns start at 1; a
//! column counts characters.

use ikada_config::Loaded;
use ikada_diag::{Diagnostic, Sources, Span};
use serde_json::{Map, Value, json};

use crate::banner::Banner;

pub(super) fn of(loaded: &Loaded, banner: &Banner) -> String {
    let counts = loaded.diagnostics.counts();
    let findings: Vec<Value> = loaded
        .diagnostics
        .by_place()
        .into_iter()
        .map(|finding| finding_of(finding, &loaded.sources))
        .collect();
    let sources: Vec<Value> = banner
        .sources
        .iter()
        .map(|source| json!({ "name": source.name, "bytes": source.bytes, "gives": source.gives(), "ignored": source.ignored }))
        .collect();
    let whole = json!({
        "findings": findings,
        "sources": sources,
        "errors": counts.errors,
        "warnings": counts.warnings,
        "notes": counts.notes,
    });
    format!("{whole:#}\n")
}

fn finding_of(finding: &Diagnostic, sources: &Sources) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| {
        object.insert(key.to_owned(), value);
    };
    put("severity", json!(finding.severity.to_string()));
    put("code", json!(finding.code));
    put("message", json!(finding.message));
    if let Some(span) = finding.span {
        let (start, end) = (sources.location(span), sources.location(Span { start: span.end, ..span }));
        put("file", json!(start.name));
        put("line", json!(start.line));
        put("column", json!(start.column));
        put("end_line", json!(end.line));
        put("end_column", json!(end.column));
        put("source", json!(sources.line_text(span)));
    }
    if let Some(help) = &finding.help {
        put("help", json!(help));
    }
    Value::Object(object)
}
