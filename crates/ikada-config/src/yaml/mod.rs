//! YAML, in the shape that Fluent Bit gives it: text → tree → the sections that the classic format has too.
//!
//! A file is read whole: [`tree`] makes nodes with places of the parser's events, [`shape`] walks them and makes
//! [`Item`]s in the order of the text, which the loader takes one by one as it takes the lines of a classic file, so
//! that what an include brings stands where the include does. Texts stay texts; what is a number is the options'
//! business. A text with escapes is read, but its place can only be said as a whole.

mod names;
mod options;
mod positions;
mod processors;
mod shape;
mod syntax;
mod tree;

use ikada_diag::{Diagnostic, Diagnostics, SourceId, Spanned, codes};

use crate::document::Section;

/// Largest YAML file, in bytes. It is far less than a classic file may have: a tree takes some memory for each byte.
const LARGEST_YAML: usize = 4 << 20;

/// What a file gives, in its order.
pub(crate) enum Item {
    /// A section.
    Section(Section),
    /// An entry of `includes`: a path or pattern.
    Include(Spanned<String>),
    /// An entry of `env`.
    Setting(Spanned<String>, String),
}

/// Reads a text.
pub(crate) fn read(source: SourceId, text: &str, diags: &mut Diagnostics) -> Vec<Item> {
    if text.len() > LARGEST_YAML {
        let message =
            format!("the file has more than {LARGEST_YAML} bytes, which is no configuration in YAML");
        let help = "split it, and name the parts in `includes`";
        diags.push(Diagnostic::error(codes::FILE_TOO_LARGE, message).at(source.span(0, 0)).help(help));
        return Vec::new();
    }
    if let Some(classic) = syntax::classic(source, text) {
        diags.push(classic);
        return Vec::new();
    }
    let (documents, found) = tree::read(source, text);
    for diagnostic in found {
        diags.push(diagnostic);
    }
    shape::items_of(text, &documents, diags)
}
