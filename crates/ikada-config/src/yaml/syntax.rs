//! What to say of a text that is not YAML: the usual mistakes in words of their own, others in the parser's.

use ikada_diag::{Diagnostic, SourceId, codes};

use super::names::quoted;

/// Returns the finding for what the parser said at an offset; `bracket` is where the innermost open one stands.
pub(super) fn finding(
    source: SourceId,
    text: &str,
    at: usize,
    said: &str,
    bracket: Option<usize>,
) -> Diagnostic {
    let at = text.floor_char_boundary(at.min(text.len()));
    if let Some(start) =
        bracket.filter(|start| text.get(*start..at).is_some_and(|between| between.contains('\n')))
    {
        let (open, close) = if text[start..].starts_with('[') { ('[', ']') } else { ('{', '}') };
        let message = format!("this `{open}` is not closed before the next key");
        let diagnostic = Diagnostic::error(codes::YAML_SYNTAX, message).at(source.span(start, start + 1));
        return diagnostic
            .help(format!("type `{close}` behind its last entry, and a comma between two entries"));
    }
    let (message, help) = explain(text, at, said);
    let end = text[at..].chars().next().filter(|c| !c.is_control()).map_or(at, |c| at + c.len_utf8());
    Diagnostic::error(codes::YAML_SYNTAX, message).at(source.span(at, end)).help(help)
}

/// Returns the finding for a text in the classic format.
pub(super) fn classic(source: SourceId, text: &str) -> Option<Diagnostic> {
    let line = text.lines().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))?;
    if !looks_classic(line.trim()) {
        return None;
    }
    let start = text.find(line)?;
    let message = "the file is named as YAML and written in the classic format";
    let diagnostic =
        Diagnostic::error(codes::UNSUPPORTED_FORMAT, message).at(source.span(start, start + line.len()));
    Some(diagnostic.help("give it a name that ends with `.conf`"))
}

/// Says whether a line is a header or a command of the classic format.
fn looks_classic(line: &str) -> bool {
    if line.starts_with("@INCLUDE") || line.starts_with("@SET") {
        return true;
    }
    let name = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic() || "_ ".contains(c))
    })
}

/// Returns the message and the help.
fn explain(text: &str, at: usize, said: &str) -> (String, String) {
    let is = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let pair = |message: &str, help: &str| (message.to_owned(), help.to_owned());
    if is(&["mapping values are not allowed", "mapping keys are not allowed"]) {
        return misplaced_colon(text, at);
    }
    if is(&["tab"]) && text[at..].starts_with('\t') || is(&["tabs disallowed", "tab cannot", "with a tab"]) {
        return pair("a tab stands where YAML takes only blanks", "indent the line with blanks");
    }
    if is(&["unknown escape"]) {
        let help = "use single quotes, in which a `\\` is a `\\`";
        return pair("a `\\` in double quotes starts an escape, and this one does not exist", help);
    }
    if is(&["hexadecimal", "Unicode character escape"]) {
        return pair(
            "an escape in double quotes is not complete",
            "use single quotes, in which a `\\` is a `\\`",
        );
    }
    if is(&["trailing content after"]) {
        return pair("text stands behind the closing quote", "put the whole value in quotes");
    }
    if is(&["quoted scalar"]) {
        return pair("a quote is not closed", "type the closing quote");
    }
    if is(&["flow", "illegal placement", "unexpected eof", "misplaced bracket", "next token"]) {
        return pair(
            "an entry in brackets is not whole, or its brackets are not closed",
            "type a comma between two entries, and close the brackets",
        );
    }
    if is(&["simple key"]) {
        return pair("a line above has no `:`", "write it as `key: value`, the blank included");
    }
    if is(&["block sequence entries", "plain scalar cannot start with '-'"]) {
        return pair(
            "a `-` starts a list in the middle of a line",
            "start the list on a line of its own, or quote the `-`",
        );
    }
    if is(&[
        "expected key",
        "expected '-'",
        "wrongly indented",
        "invalid indentation",
        "only valid inside a block",
    ]) {
        return pair(
            "the line does not start in the column of the lines it belongs to",
            "start it in the same column as they do",
        );
    }
    if is(&["recursion limit"]) {
        return pair("too many brackets stand in each other", "write it flatter: no option is that deep");
    }
    if is(&["unprintable"]) {
        return pair("a character cannot be part of a YAML file", "remove it");
    }
    if is(&["document start", "document end", "directive"]) {
        return pair("the text behind this place belongs to nothing", "write it as `key: value` below a key");
    }
    let help = "look at the indentation, the quotes and the brackets of this line and the one above";
    (format!("this is not YAML: {said}"), help.to_owned())
}

/// A `:` inside a value: either the value needs quotes, or the line is indented although the one above has a value.
fn misplaced_colon(text: &str, at: usize) -> (String, String) {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or("");
    let written = line.trim_start().trim_start_matches("- ").trim_start();
    match written.split_once(": ") {
        Some((key, value)) if line.len() - line.trim_start().len() + key.len() < at - start => {
            let value = value.trim_end();
            let shown = if value.chars().count() > 80 { "…".to_owned() } else { quoted(value) };
            let message = "a `:` with a blank behind it stands inside a value".to_owned();
            (message, format!("quote the value: `{key}: {shown}`"))
        }
        _ => {
            let message = "the line is indented, but the key above it has a value already".to_owned();
            (message, "start it in the same column as the line above".to_owned())
        }
    }
}
