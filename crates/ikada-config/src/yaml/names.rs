//! Names in YAML: top-level keys, and the three spellings of options.

/// A key at the top of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Top {
    Service,
    Env,
    Includes,
    Pipeline,
    Customs,
    Parsers,
    MultilineParsers,
    StreamProcessor,
    Plugins,
    UpstreamServers,
    Extensions,
}

/// The keys at the top of a file. Fluent Bit compares them without regard to case.
pub(super) const TOP: &[(&str, Top)] = &[
    ("service", Top::Service),
    ("env", Top::Env),
    ("includes", Top::Includes),
    ("pipeline", Top::Pipeline),
    ("customs", Top::Customs),
    ("parsers", Top::Parsers),
    ("multiline_parsers", Top::MultilineParsers),
    ("stream_processor", Top::StreamProcessor),
    ("plugins", Top::Plugins),
    ("upstream_servers", Top::UpstreamServers),
    ("extensions", Top::Extensions),
];

/// The keys of `pipeline`.
pub(super) const STAGES: &[&str] = &["inputs", "filters", "outputs"];

/// First words of options that have a dot in their names, so that `storage: {type: …}` can be answered.
const DOTTED: &[&str] =
    &["storage", "net", "tls", "scheduler", "dns", "hot_reload", "http2", "sp", "json", "flush", "security"];

pub(super) fn top(key: &str) -> Option<Top> {
    TOP.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, top)| *top)
}

/// Says whether options start with this word and a dot.
pub(super) fn starts_dotted_names(key: &str) -> bool {
    DOTTED.iter().any(|word| word.eq_ignore_ascii_case(key))
}

/// Returns the option that a key stands for: `logGroupName` is `log_group_name`.
///
/// A key that starts with a capital or has an underscore is taken as it is, as in Fluent Bit.
pub(super) fn option_of(key: &str) -> String {
    let is_camel = key.starts_with(|c: char| c.is_ascii_lowercase()) && !key.contains('_');
    if !is_camel {
        return key.to_owned();
    }
    let mut name = String::with_capacity(key.len() + 4);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// Writes a text so that YAML reads it as text, whatever it holds.
pub(super) fn quoted(text: &str) -> String {
    match text.contains(['"', '\\']) {
        true => format!("'{}'", text.replace('\'', "''")),
        false => format!("\"{text}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_spellings_name_the_same_option() {
        let rows = [
            ("log_group_name", "log_group_name"),
            ("logGroupName", "log_group_name"),
            ("Log_Group_Name", "Log_Group_Name"),
            ("Match", "Match"),
            ("storage.type", "storage.type"),
            ("storage.maxChunksUp", "storage.max_chunks_up"),
            ("mixed_caseKey", "mixed_caseKey"),
            ("é", "é"),
            ("", ""),
        ];
        for (key, option) in rows {
            assert_eq!(option_of(key), option);
        }
    }

    #[test]
    fn a_quoted_text_stands_for_itself() {
        assert_eq!(quoted("*"), "\"*\"");
        assert_eq!(quoted(r"^\d 'x'"), r"'^\d ''x'''");
    }
}
