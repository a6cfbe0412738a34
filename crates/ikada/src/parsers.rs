//! The parsers of a configuration: `[PARSER]` and `[MULTILINE_PARSER]` sections beside what is built in.

use ikada_config::{Section, SectionKind};
use ikada_diag::Diagnostics;
use ikada_options::PropertyBag;
use ikada_parse::Parsers;

/// Builds all parsers that are defined. What is wrong with one is reported, whether it is used or not.
pub(crate) fn parsers_of(sections: &[Section], found: &mut Diagnostics) -> Parsers {
    let mut parsers = Parsers::new();
    for section in sections.iter().filter(|section| section.kind == SectionKind::Parser) {
        parsers.define(bag(section, "parser"), found);
    }
    for section in sections.iter().filter(|section| section.kind == SectionKind::MultilineParser) {
        parsers.define_multiline(bag(section, "multiline parser"), found);
    }
    parsers
}

fn bag(section: &Section, word: &str) -> PropertyBag {
    let name = section.get("name").map(|name| format!("{word} {}", name.value));
    PropertyBag::new(name.unwrap_or_else(|| word.to_owned()), section.header, section.properties.clone())
}
