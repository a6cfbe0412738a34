//! What a derived options struct makes of a section.
#![allow(clippy::unwrap_used, missing_docs)]

use ikada_options::{
    ByteSize, Choice, Diagnostics, FilterCommon, InOrder, NetOptions, OptionValue, Options, OutputCommon,
    PluginKind, Property, PropertyBag, RetryLimit, Seconds, Sources, SpaceList, Spanned, check_set,
    problems_of,
};

/// Sends records somewhere.
///
/// Use it for tests.
#[derive(Debug, Options)]
#[options(output = "demo")]
pub struct DemoOptions {
    /// Bucket that receives the objects.
    #[option(required, example = "audit-logs-prod")]
    pub bucket: Spanned<String>,
    /// Size at which an object is complete.
    #[option(default = "100M", alias = "file_size", alias = "size")]
    pub total_file_size: ByteSize,
    /// Format of the records.
    #[option(default = "json")]
    pub format: Format,
    /// Header to send along.
    #[option(example = "X-Key value")]
    pub header: Vec<Spanned<SpaceList>>,
    /// Time to wait.
    #[option(name = "upload.timeout")]
    pub timeout: Option<Seconds>,
    /// Has no effect: threads are not set here. Nothing more.
    #[option(no_effect)]
    pub workers: Option<u32>,
    /// How connections are made.
    #[option(flatten)]
    pub net: NetOptions,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Format {
    /// An array.
    Json,
    /// A record a line.
    #[choice("json_lines", "ndjson")]
    JsonLines,
    /// Plain text.
    PlainText,
}

/// Keeps and drops.
#[derive(Debug, Options)]
#[options(filter = "sieve")]
pub struct SieveOptions {
    /// Keeps what matches.
    pub regex: Vec<InOrder<String>>,
    /// Drops what matches.
    pub exclude: Vec<InOrder<String>>,
}

struct Fixture {
    sources: Sources,
    bag: PropertyBag,
    found: Diagnostics,
}

/// Makes a bag of lines `key value`, as a loader would.
fn section(lines: &[&str]) -> Fixture {
    let text = format!("[OUTPUT]\n{}", lines.iter().map(|line| format!("    {line}\n")).collect::<String>());
    let mut sources = Sources::default();
    let file = sources.add("demo.conf", text);
    let mut at = "[OUTPUT]\n".len();
    let properties = lines
        .iter()
        .map(|line| {
            let (key, value) = line.split_once(' ').unwrap();
            let start = at + 4;
            at += 4 + line.len() + 1;
            let middle = start + key.len();
            Property::new(
                Spanned::new(key.to_owned(), file.span(start, middle)),
                Spanned::new(value.to_owned(), file.span(middle + 1, start + line.len())),
            )
        })
        .collect();
    let bag = PropertyBag::new("output demo", file.span(0, 8), properties);
    Fixture { sources, bag, found: Diagnostics::new() }
}

impl Fixture {
    fn parse<T: Options>(&mut self) -> Option<T> {
        let options = T::parse(&mut self.bag, &mut self.found);
        self.bag.finish(&[&T::set()], &mut self.found);
        options
    }

    fn lines(&self) -> Vec<String> {
        self.found.lines(&self.sources).collect()
    }
}

#[test]
fn defaults_stand_in_for_what_is_not_written() {
    let mut fixture = section(&["bucket logs"]);
    let options: DemoOptions = fixture.parse().unwrap();
    assert_eq!(options.bucket.value, "logs");
    assert_eq!(options.total_file_size, ByteSize(100_000_000));
    assert_eq!(options.format, Format::Json);
    assert!(options.header.is_empty());
    assert_eq!(options.timeout, None);
    assert_eq!(options.net.connect_timeout.0.as_secs(), 10);
    assert_eq!(fixture.lines(), Vec::<String>::new());
}

#[test]
fn names_and_aliases_match_in_any_case() {
    let mut fixture = section(&["BUCKET logs", "File_Size 5M", "FORMAT NDJSON", "Net.Connect_Timeout 3s"]);
    let options: DemoOptions = fixture.parse().unwrap();
    assert_eq!(options.total_file_size, ByteSize(5_000_000));
    assert_eq!(options.format, Format::JsonLines);
    assert_eq!(options.net.connect_timeout.0.as_secs(), 3);
    assert_eq!(fixture.lines(), Vec::<String>::new());
}

#[test]
fn a_repeatable_option_keeps_every_value_with_its_place() {
    let mut fixture = section(&["bucket logs", "header A 1", "format json", "Header B \"2 3\""]);
    let options: DemoOptions = fixture.parse().unwrap();
    let words: Vec<Vec<String>> = options.header.iter().map(|header| header.value.0.clone()).collect();
    assert_eq!(words, [["A", "1"], ["B", "2 3"]]);
    assert_eq!(fixture.sources.location(options.header[1].span).line, 5);
}

#[test]
fn the_last_of_a_repeated_option_wins_with_a_warning() {
    let mut fixture = section(&["bucket a", "size 1M", "total_file_size 2M", "bucket b", "bucket c"]);
    let options: DemoOptions = fixture.parse().unwrap();
    assert_eq!(options.bucket.value, "c");
    assert_eq!(options.total_file_size, ByteSize(2_000_000));
    assert_eq!(
        fixture.lines(),
        [
            "demo.conf:6:5: warning[repeated-option]: `bucket` is given 3 times; the last one wins (help: remove the others)",
            "demo.conf:4:5: warning[repeated-option]: `total_file_size` is given 2 times; the last one wins (help: remove the others)",
        ]
    );
}

#[test]
fn every_mistake_is_found_at_once_and_at_its_place() {
    let mut fixture = section(&["total_file_size 5MiB", "format xml", "upload.timeout 500ms", "bukcet logs"]);
    assert!(fixture.parse::<DemoOptions>().is_none());
    assert_eq!(
        fixture.lines(),
        [
            "demo.conf:1:1: error[missing-option]: output demo needs the option `bucket` (help: add a line `bucket audit-logs-prod`)",
            "demo.conf:2:21: error[bad-value]: `total_file_size`: `5MiB` is not a size: units are decimal (`K`, `M`, `G`) (help: type `5242880`)",
            "demo.conf:3:12: error[bad-value]: `format`: `xml` is not one of the choices (help: type `json`, `json_lines` or `plain_text`)",
            "demo.conf:4:20: error[bad-value]: `upload.timeout`: `500ms` is not a time: `ms` is no unit (help: type `0.5`, in seconds)",
            "demo.conf:5:5: error[unknown-option]: `bukcet` is no option of output demo (help: did you mean `bucket`?)",
        ]
    );
}

#[test]
fn a_comment_that_spoils_a_value_is_what_the_help_speaks_of() {
    let mut fixture = section(&["bucket logs", "total_file_size 5M # half"]);
    assert!(fixture.parse::<DemoOptions>().is_none());
    assert_eq!(
        fixture.lines(),
        [
            "demo.conf:3:21: error[bad-value]: `total_file_size`: `5M # half` is not a size (help: type `5M`; a comment needs a line of its own)"
        ]
    );
}

#[test]
fn an_option_without_effect_is_a_note() {
    let mut fixture = section(&["bucket logs", "Workers 4"]);
    let options: DemoOptions = fixture.parse().unwrap();
    assert_eq!(options.workers, Some(4));
    assert_eq!(
        fixture.lines(),
        ["demo.conf:3:5: note[no-effect]: `Workers` has no effect here (help: threads are not set here)"]
    );
    let mut fixture = section(&["bucket logs", "workers many"]);
    assert_eq!(fixture.parse::<DemoOptions>().unwrap().workers, None);
    assert!(!fixture.found.has_errors());
}

#[test]
fn a_value_from_a_variable_is_shown_as_it_was_written() {
    let mut fixture = section(&["bucket logs", "size ${SIZE_0}"]);
    let mut properties = fixture.bag.properties().to_vec();
    properties[1].value.value = "hunter2".to_owned();
    properties[1].written = Some("${SIZE_0}".to_owned());
    fixture.bag = PropertyBag::new("output demo", fixture.bag.header(), properties);
    assert!(!format!("{:?}", fixture.bag).contains("hunter2"));
    assert!(fixture.parse::<DemoOptions>().is_none());
    assert_eq!(
        fixture.lines(),
        [
            "demo.conf:3:10: error[bad-value]: `size`: `${SIZE_0}` is not a size (help: type a number of bytes, or one with `K`, `M` or `G`: `5M`)"
        ]
    );
}

#[test]
fn an_empty_variable_is_not_given_and_a_required_one_is_an_error() {
    let mut fixture = section(&["bucket ${B}", "size ${S}"]);
    let mut properties = fixture.bag.properties().to_vec();
    for property in &mut properties {
        property.written = Some(std::mem::take(&mut property.value.value));
    }
    fixture.bag = PropertyBag::new("output demo", fixture.bag.header(), properties);
    assert!(fixture.parse::<DemoOptions>().is_none());
    assert_eq!(
        fixture.lines(),
        [
            "demo.conf:2:12: error[empty-value]: `bucket` is empty: `${B}` gave nothing (help: set the variable, or write a default: `${NAME:-default}`)"
        ]
    );
}

#[test]
fn an_unknown_option_far_from_all_others_lists_what_is_known() {
    let mut fixture = section(&["bucket logs", "colour red"]);
    fixture.parse::<SieveOptions>();
    assert_eq!(
        fixture.lines()[1],
        "demo.conf:3:5: error[unknown-option]: `colour` is no option of output demo (help: it knows `regex` and `exclude`)"
    );
}

#[test]
fn rules_under_different_names_keep_their_order() {
    let mut fixture = section(&["regex a", "Exclude b", "regex c"]);
    let options: SieveOptions = fixture.parse().unwrap();
    let mut rules: Vec<(usize, &str)> =
        options.regex.iter().chain(&options.exclude).map(|rule| (rule.order, rule.value.as_str())).collect();
    rules.sort_unstable();
    assert_eq!(rules, [(0, "a"), (1, "b"), (2, "c")]);
}

#[test]
fn the_common_set_leaves_the_rest_to_the_plugin() {
    let mut fixture = section(&["match app.*", "bucket logs", "retry_limit 0", "alias x"]);
    let common = OutputCommon::parse(&mut fixture.bag, &mut fixture.found).unwrap();
    let left: Vec<&str> = fixture.bag.leftover().map(|property| property.key.as_str()).collect();
    assert_eq!(left, ["bucket"]);
    assert_eq!(common.match_pattern.unwrap().value, "app.*");
    assert_eq!(common.retry_limit.unwrap().value, RetryLimit::Limit(1));
    assert_eq!(
        fixture.lines(),
        [
            "demo.conf:4:17: warning[adjusted-value]: `retry_limit`: `0` is not a retry limit and means 1 (help: type a number from 1, `no_limits` or `no_retries`)"
        ]
    );
}

#[test]
fn the_declaration_tells_everything_that_was_written() {
    check_set::<DemoOptions>();
    check_set::<SieveOptions>();
    check_set::<FilterCommon>();
    let set = DemoOptions::set();
    assert_eq!((set.kind, set.name), (PluginKind::Output, "demo"));
    assert_eq!(set.doc, "Sends records somewhere.\n\nUse it for tests.");
    let size = set.find("FILE_SIZE").unwrap();
    assert_eq!((size.name, size.kind, size.default), ("total_file_size", "size", Some("100M")));
    assert_eq!(size.aliases, ["file_size", "size"]);
    assert!(!size.required && !size.repeatable);
    let format = set.find("format").unwrap();
    assert_eq!(format.kind, "`json`, `json_lines` or `plain_text`");
    assert_eq!(format.choices[1], ("json_lines", "A record a line."));
    assert!(set.find("header").unwrap().repeatable);
    assert!(set.find("bucket").unwrap().required);
    assert!(set.find("net.keepalive").unwrap().no_effect);
    assert_eq!(Format::PlainText.name(), "plain_text");
    assert_eq!(Format::parse_value("Plain_Text"), Ok(Format::PlainText));
}

#[test]
fn an_unsound_declaration_is_told() {
    /// no sentence
    #[derive(Options)]
    #[options(common = "bad")]
    struct Bad {
        /// Size.
        #[option(default = "big", alias = "b")]
        _a: ByteSize,
        #[option(name = "B", example = "1")]
        _b: Option<u32>,
        /// Clash.
        #[option(name = "b")]
        _c: Option<u32>,
        /// Without an example.
        #[option(required)]
        _d: u32,
    }
    let problems = problems_of::<Bad>();
    assert_eq!(
        problems,
        [
            "common bad: the doc is no sentence: \"no sentence\"",
            "common bad: `_a`: the default `big` is not a size",
            "common bad: `B` is no lower-case name",
            "common bad: `B`: the doc is no sentence: \"\"",
            "common bad: `b` names both `_a` and `b`",
            "common bad: `_d` is required and has no example",
        ]
    );
}
