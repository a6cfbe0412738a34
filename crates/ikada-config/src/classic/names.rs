//! Names of sections.

use ikada_options::nearest;

use crate::document::SectionKind;

/// The names that Fluent Bit compares a header with, in its order: the first that starts with the header's text wins,
/// so that `[IN]` and `[INPUTS]` are inputs.
const BY_PREFIX: &[(&str, SectionKind)] = &[
    ("service", SectionKind::Service),
    ("parser", SectionKind::Parser),
    ("multiline_parser", SectionKind::MultilineParser),
    ("stream_processor", SectionKind::StreamTask),
    ("plugins", SectionKind::Plugins),
    ("upstream_servers", SectionKind::Upstream),
    ("customs", SectionKind::Custom),
    ("inputs", SectionKind::Input),
    ("filters", SectionKind::Filter),
    ("outputs", SectionKind::Output),
];

/// Names that stand for themselves only; they come from files of other kinds.
const EXACT: &[(&str, SectionKind)] = &[
    ("stream_task", SectionKind::StreamTask),
    ("upstream", SectionKind::Upstream),
    ("node", SectionKind::Node),
];

/// Names as people write them, for "did you mean".
const WRITTEN: &[&str] = &[
    "SERVICE",
    "INPUT",
    "FILTER",
    "OUTPUT",
    "PARSER",
    "MULTILINE_PARSER",
    "STREAM_TASK",
    "PLUGINS",
    "UPSTREAM",
    "NODE",
    "CUSTOM",
];

/// Returns what a header's text means.
pub(super) fn kind_of(name: &str) -> SectionKind {
    let is_same = |known: &str| known.eq_ignore_ascii_case(name);
    if let Some((_, kind)) = EXACT.iter().find(|(known, _)| is_same(known)) {
        return *kind;
    }
    let starts = |known: &str| {
        !name.is_empty()
            && known
                .as_bytes()
                .get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    };
    BY_PREFIX.iter().find(|(known, _)| starts(known)).map_or(SectionKind::Unknown, |(_, kind)| *kind)
}

/// Returns the name that was probably meant.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    nearest(name, WRITTEN.iter().copied()).first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_cut_short_and_be_of_any_case() {
        let cases = [
            ("INPUT", SectionKind::Input),
            ("inputs", SectionKind::Input),
            ("IN", SectionKind::Input),
            ("O", SectionKind::Output),
            ("P", SectionKind::Parser),
            ("PARS", SectionKind::Parser),
            ("PL", SectionKind::Plugins),
            ("MULTILINE_PARSER", SectionKind::MultilineParser),
            ("M", SectionKind::MultilineParser),
            ("Service", SectionKind::Service),
            ("S", SectionKind::Service),
            ("STREAM_TASK", SectionKind::StreamTask),
            ("UPSTREAM", SectionKind::Upstream),
            ("NODE", SectionKind::Node),
            ("CUSTOM", SectionKind::Custom),
        ];
        for (name, kind) in cases {
            assert_eq!(kind_of(name), kind, "{name}");
        }
    }

    #[test]
    fn other_names_are_unknown() {
        for name in ["", " INPUT ", "INPUTSX", "INPU T", "ÏNPUT", "SERVICES"] {
            assert_eq!(kind_of(name), SectionKind::Unknown, "{name}");
        }
        assert_eq!(meant("OUPUT"), Some("OUTPUT"));
        assert_eq!(meant("SERVICES"), Some("SERVICE"));
        assert_eq!(meant("WHATEVER"), None);
    }
}
