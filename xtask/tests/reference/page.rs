//! Pages as such: their files, the list of findings, and the index.

use std::fmt::Write;

/// What stands at the top of every page.
const NOTE: &str =
    "<!-- Written by `cargo xtask docs` from the declarations in the code; changes here are lost. -->\n\n";

/// One page of the reference.
pub(crate) struct Page {
    /// Its file name.
    pub(crate) file: String,
    /// Its title, as the index shows it.
    pub(crate) title: String,
    /// What it is about, in a sentence.
    pub(crate) about: String,
    /// Its whole text.
    pub(crate) text: String,
}

impl Page {
    /// A page with a title, a first paragraph, and a body.
    pub(crate) fn new(file: &str, title: &str, about: &str, body: &str) -> Page {
        let text = format!("{NOTE}# {title}\n\n{}\n\n{}\n", about.trim(), body.trim());
        let about = first_sentence(about);
        Page { file: format!("{file}.md"), title: title.to_owned(), about, text }
    }
}

/// The first sentence of a doc comment, on one line.
fn first_sentence(doc: &str) -> String {
    let text = doc.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => text,
    }
}

/// Every code that a finding can have.
pub(crate) fn findings(codes: &[(&str, &str)]) -> Page {
    let about = "What Ikada can find in a configuration. A finding is shown as `file:line:column: severity[code]: message`; \
                 the code stands for the kind of finding and keeps its meaning from one version to the next.";
    let mut body = String::from("| code | what it stands for |\n|---|---|\n");
    for (code, sentence) in codes {
        writeln!(body, "| `{code}` | {} |", cell(sentence)).unwrap();
    }
    Page::new("findings", "Findings", about, &body)
}

/// The index over all pages.
pub(crate) fn index(pages: &[Page]) -> Page {
    let mut body = String::from("| page | about |\n|---|---|\n");
    for page in pages {
        writeln!(body, "| [{}]({}) | {} |", page.title, page.file, cell(&page.about)).unwrap();
    }
    Page::new("README", "Reference", "Every plugin, every option, every finding.", &body)
}

/// Text as it may stand in a cell of a table.
pub(crate) fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
