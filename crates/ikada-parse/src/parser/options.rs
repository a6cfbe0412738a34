//! What a `[PARSER]` section may say.

use ikada_options::{Choice, InOrder, Options, SpaceList, Spanned};

/// Makes records of lines of text.
#[derive(Debug, Clone, Options)]
#[options(parser = "parser")]
pub struct ParserOptions {
    /// Name by which inputs and filters refer to the parser; case matters.
    #[option(required, example = "app_json")]
    pub name: Spanned<String>,
    /// How the text is read.
    #[option(required, example = "json")]
    pub format: Format,
    /// Regular expression in Ruby's syntax; each named group, `(?<name>…)`, becomes a field.
    #[option(example = "^(?<level>[A-Z]+) (?<message>.*)$")]
    pub regex: Option<Spanned<String>>,
    /// Field in which the time is looked for. It counts only together with `time_format`.
    #[option(example = "timestamp")]
    pub time_key: Option<Spanned<String>>,
    /// How the time is written, in the directives of strptime and `%L` for fractions of a second.
    ///
    /// A time that does not fit leaves the record as it is, with the time it came with. Fluent Bit drops the field or the record in some of
    /// these cases.
    #[option(example = "%Y-%m-%dT%H:%M:%S.%L%z")]
    pub time_format: Option<Spanned<String>>,
    /// Keeps the field with the time in the record.
    #[option(default = "off")]
    pub time_keep: bool,
    /// Takes a time only if it fits the whole format; otherwise a date that fits is enough.
    #[option(default = "on")]
    pub time_strict: bool,
    /// Zone of times that do not name theirs: `+0900`, `-03:30` or `Z`.
    #[option(example = "+0900")]
    pub time_offset: Option<Spanned<String>>,
    /// Takes times that do not name their zone as those of the machine's time zone.
    #[option(default = "off")]
    pub time_system_timezone: Spanned<bool>,
    /// Zone of times that do not name theirs, by name. Only names of UTC are supported.
    #[option(example = "UTC")]
    pub time_zone: Option<Spanned<String>>,
    /// Types of fields that are not to stay text: `name:type` with blanks between, the types being integer, float, bool, hex and string. Not for
    /// `format json`.
    #[option(example = "code:integer size:integer")]
    pub types: Option<Spanned<SpaceList>>,
    /// Leaves out fields that are empty. For `format regex`.
    #[option(default = "on")]
    pub skip_empty_values: bool,
    /// Takes no line that has a key without a value. For `format logfmt`.
    #[option(default = "off")]
    pub logfmt_no_bare_keys: bool,
    /// Opens text in a field and appends the keys found to the record: `json FIELD`, and what to do next, `try_next` or `do_next`.
    #[option(example = "json log")]
    pub decode_field: Vec<InOrder<String>>,
    /// Opens text in a field and puts the result in its place: `json FIELD`, or `escaped`, `escaped_utf8`, `mysql_quoted`; and what to do
    /// next, `try_next` after a failure or `do_next` always.
    #[option(example = "json log")]
    pub decode_field_as: Vec<InOrder<String>>,
}

/// How a parser reads text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Choice)]
pub enum Format {
    /// One JSON object.
    Json,
    /// A regular expression with named groups.
    Regex,
    /// `label:value` with tabs between.
    Ltsv,
    /// `key=value` with blanks between.
    Logfmt,
}
