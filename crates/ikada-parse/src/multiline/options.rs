//! What a `[MULTILINE_PARSER]` section may say.

use ikada_options::{Choice, Options, SpaceList, Spanned};

/// Joins lines that belong to one record.
#[derive(Debug, Clone, Options)]
#[options(multiline_parser = "multiline_parser")]
pub struct MultilineOptions {
    /// Name by which inputs and filters refer to the parser; case does not matter.
    #[option(required, example = "app_trace")]
    pub name: Spanned<String>,
    /// How lines are told apart.
    #[option(name = "type", required, example = "regex")]
    pub kind: MultilineType,
    /// Text that ends a record. For `type endswith` and `type equal`.
    #[option(example = "END")]
    pub match_string: Option<String>,
    /// Ends a record where the text is not, instead of where it is.
    #[option(default = "off")]
    pub negate: bool,
    /// A rule: `"state" "/regular expression/" "next state"`. The first one starts a record and has the state `start_state`. For `type
    /// regex`.
    #[option(example = "\"start_state\" \"/^\\d{4}-\\d{2}-\\d{2}/\" \"cont\"")]
    pub rule: Vec<Spanned<SpaceList>>,
    /// Parser that makes a record of every line before the lines are told apart.
    #[option(example = "docker")]
    pub parser: Option<Spanned<String>>,
    /// Field that is joined, where lines are records.
    #[option(example = "log")]
    pub key_content: Option<String>,
    /// Field that is looked at instead, for `type endswith` and `type equal`.
    #[option(example = "_p")]
    pub key_pattern: Option<String>,
    /// Field whose value keeps lines apart that run side by side.
    #[option(example = "stream")]
    pub key_group: Option<String>,
    /// How long a record waits for its next line, in milliseconds; 500 at least for a tailed file. The filter goes by its own `flush_ms`.
    #[option(default = "4000")]
    pub flush_timeout: u64,
}

/// How a multiline parser tells lines apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Choice)]
pub enum MultilineType {
    /// By rules with states and regular expressions.
    Regex,
    /// A record ends with the line that ends with a text.
    #[choice("endswith")]
    EndsWith,
    /// A record ends with the line that is a text.
    #[choice("equal", "eq")]
    Equal,
}
