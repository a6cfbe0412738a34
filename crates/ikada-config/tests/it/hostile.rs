//! Whatever bytes come in, the loader returns, and its spans lie inside the text.

use ikada_config::fuzz::{fuzz_classic, fuzz_yaml};
use proptest::prelude::*;

use super::*;

/// Pieces that mean something to the grammar, so that random texts reach its corners.
const PIECES: &[&str] = &[
    "[INPUT]",
    "[OUTPUT]\n",
    "[FILTER",
    "]",
    "[",
    "\n",
    "\n\n",
    "\r\n",
    "    ",
    "\t",
    "  ",
    " ",
    "Name",
    "Match",
    "*",
    "#",
    "@INCLUDE ",
    "@SET ",
    "a.conf",
    "*.conf",
    "main.conf",
    "=",
    "${A}",
    "${",
    "}",
    ":-",
    "${LONG}",
    "${none}",
    "é",
    "\u{feff}",
    "\0",
    "[SERVICE]\n",
    "Flush 1",
    "[PARSER]\n",
    "@",
    "\u{b}",
    "筏",
    "file:///etc/a.conf",
];

/// The same for YAML.
const YAML_PIECES: &[&str] = &[
    "pipeline:\n",
    "  inputs:\n",
    "  outputs:\n",
    "    - name: tail\n",
    "      match: *\n",
    "match: '*'",
    "- ",
    "-",
    ": ",
    ":",
    "\n",
    "\r\n",
    "  ",
    "    ",
    "\t",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "\"",
    "'",
    "&a ",
    "*a",
    "*",
    "<<: ",
    "!t ",
    "|\n",
    ">-\n",
    "# ",
    "? ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "@",
    "includes: [ a.yaml, b.yml, c.conf, '*.yaml' ]\n",
    "includes:\n  - main.yaml\n",
    "env:\n",
    "service:\n",
    "parsers:\n",
    "multiline_parsers:\n  - name: m\n    rules:\n",
    "      - { state: a, regex: b, next_state: c }\n",
    "upstream_servers:\n",
    "nodes:\n",
    "name: x",
    "processors:",
    "${A}",
    "${none}",
    "${",
    "\\",
    "é",
    "筏: ",
    "\u{feff}",
    "\u{85}",
    "\0",
    "[INPUT]\n    Name a\n",
    "@INCLUDE a.yaml\n",
];

proptest! {
    #[test]
    fn any_bytes_are_loaded_as_yaml(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz_yaml(&data);
    }

    #[test]
    fn any_characters_are_loaded_as_yaml(text in "\\PC{0,200}") {
        fuzz_yaml(text.as_bytes());
    }

    #[test]
    fn any_mixture_of_meaningful_pieces_is_loaded_as_yaml(
        pieces in proptest::collection::vec(proptest::sample::select(YAML_PIECES), 0..60),
    ) {
        fuzz_yaml(pieces.concat().as_bytes());
    }

    #[test]
    fn any_bytes_are_loaded(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz_classic(&data);
    }

    #[test]
    fn any_mixture_of_meaningful_pieces_is_loaded(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..80),
    ) {
        fuzz_classic(pieces.concat().as_bytes());
    }
}

/// Ten megabytes of a pattern, all findings rendered; a loader that is not linear would not come back.
fn ten_megabytes_of(pattern: &str) -> (Loaded, Pipeline) {
    let text = pattern.repeat((10 << 20) / pattern.len());
    let mut loaded = from_text("main.conf", text);
    let pipeline = build(&mut loaded);
    assert!(loaded.diagnostics.lines(&loaded.sources).count() <= ikada_diag::Diagnostics::LIMIT);
    (loaded, pipeline)
}

#[test]
fn ten_megabytes_on_one_line_are_loaded() {
    ten_megabytes_of("x");
    ten_megabytes_of("[");
    ten_megabytes_of(" ");
    ten_megabytes_of("@INCLUDE ");
}

#[test]
fn ten_megabytes_of_variables_in_one_value_are_loaded() {
    let text = format!("[INPUT]\n    Name {}\n", "${X}".repeat((10 << 20) / 4));
    let loaded = from_text("main.conf", text);
    assert_eq!(loaded.diagnostics.len(), 8);
}

#[test]
fn ten_megabytes_of_short_lines_are_loaded() {
    ten_megabytes_of("[INPUT]\n");
    ten_megabytes_of("x\n");
    ten_megabytes_of("\u{fffd}\n");
    ten_megabytes_of("@INCLUDE none.conf\n");
    ten_megabytes_of("@SET a=b\n");
}

#[test]
fn ten_megabytes_of_sections_become_instances() {
    let section = "[INPUT]\n    Name a\n    Alias ${X}\n";
    let (_, pipeline) = ten_megabytes_of(section);
    assert_eq!(pipeline.inputs.len(), (10 << 20) / section.len());
}

#[test]
fn ten_megabytes_of_properties_in_one_section_are_loaded() {
    let text = format!("[SERVICE]\n{}", "    Flush 1\n".repeat((10 << 20) / 12));
    let (pipeline, found) = pipeline_of(&text);
    assert_eq!(found.len(), 3);
    assert_eq!(pipeline.service.flush.0.as_secs(), 1);
}

#[test]
fn a_line_beyond_32_mib_is_an_error_and_the_next_line_is_read() {
    let text = format!("[INPUT]\n    Tag {}\n    Name a\n", "x".repeat(32 << 20));
    let loaded = from_text("main.conf", text);
    assert_eq!(
        lines(&loaded),
        ["main.conf:2:1: error[line-too-long]: the line has more than 33554432 bytes"]
    );
    assert_eq!(loaded.document.sections()[0].get("name").unwrap().value, "a");
}

/// As much of a pattern as a YAML file may have; a loader that is not linear would not come back.
fn four_megabytes_of(pattern: &str) -> Loaded {
    let mut loaded = from_text("main.yaml", pattern.repeat((4 << 20) / pattern.len()));
    build(&mut loaded);
    assert!(loaded.diagnostics.lines(&loaded.sources).count() <= ikada_diag::Diagnostics::LIMIT);
    loaded
}

#[test]
fn a_yaml_file_of_ten_megabytes_is_a_finding() {
    let mut loaded = from_text("main.yaml", "a: b\n".repeat(2 << 20));
    assert_eq!(
        lines(&loaded),
        [
            "main.yaml:1:1: error[file-too-large]: the file has more than 4194304 bytes, which is no configuration in YAML (help: split it, and name the parts in `includes`)"
        ]
    );
    assert!(build(&mut loaded).inputs.is_empty());
}

#[test]
fn yaml_that_nests_without_end_is_a_finding() {
    for pattern in ["[", "{", "- ", "? ", "{a: [", "- - "] {
        let loaded = four_megabytes_of(pattern);
        let found: Vec<_> = loaded.diagnostics.iter().map(|finding| finding.code).collect();
        assert!(
            found.iter().any(|code| ["nested-value", "yaml-syntax"].contains(code)),
            "{pattern:?}: {found:?}"
        );
    }
}

#[test]
fn yaml_of_many_small_parts_is_loaded() {
    four_megabytes_of("a: 1\n");
    four_megabytes_of("---\n");
    four_megabytes_of("é\n");
    let mut text = "pipeline:\n  inputs:\n".to_owned();
    text.push_str(&"    - name: a\n".repeat(100_000));
    let mut loaded = from_text("main.yaml", text);
    assert_eq!(build(&mut loaded).inputs.len(), 100_000);
}

#[test]
fn yaml_with_too_many_parts_is_a_finding() {
    let loaded = four_megabytes_of("- a\n");
    assert!(
        lines(&loaded)[0].contains("error[file-too-large]: the file has more than 500000 keys and values")
    );
}

#[test]
fn many_findings_on_one_long_line_of_yaml_are_told() {
    let text = format!("{{ {} }}", "service: { x: [] }, ".repeat(100_000));
    let mut loaded = from_text("main.yaml", text);
    build(&mut loaded);
    assert_eq!(lines(&loaded).len(), ikada_diag::Diagnostics::LIMIT);
}

#[test]
fn stars_without_end_are_a_bounded_number_of_findings() {
    let text = format!("pipeline:\n  outputs:\n{}", "    - { name: a, match: * }\n".repeat(1000));
    let loaded = from_text("main.yaml", text);
    let found = lines(&loaded);
    assert_eq!(found.len(), 17, "{found:#?}");
    assert!(found[16].contains("error[yaml-syntax]"), "{found:#?}");
}

#[test]
fn yaml_files_that_include_each_other_end_in_findings() {
    let mut files = MemoryFiles::new().with("/etc/main.yaml", "includes: [ '*.yaml' ]\n");
    for number in 0..200 {
        files.insert(format!("/etc/{number:04}.yaml"), "includes: [ '*.yaml' ]\n");
    }
    let loaded = load_yaml(&files);
    assert!(loaded.diagnostics.iter().any(|finding| finding.code == "include-cycle"));
    assert!(loaded.document.sections().is_empty());
}

#[test]
fn a_pattern_over_ten_thousand_files_ends_in_a_finding() {
    let mut files = MemoryFiles::new().with("/etc/main.conf", "@INCLUDE conf.d/*.conf\n");
    for number in 0..10_000 {
        files = files.with(format!("/etc/conf.d/{number}.conf"), "[INPUT]\n    Name dummy\n");
    }
    let found = lines(&load(&files));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("error[too-many-files]"), "{found:#?}");
}

#[test]
fn ten_megabytes_of_stream_tasks_and_servers_are_loaded() {
    let (_, pipeline) = ten_megabytes_of("[STREAM_TASK]\n    Name t\n    Exec SELECT * FROM STREAM:x;\n");
    assert_eq!(pipeline.streams.len(), 1);
    let (_, pipeline) =
        ten_megabytes_of("[UPSTREAM]\n    Name u\n[NODE]\n    Name n\n    Host h\n    Port 1\n");
    assert!(pipeline.upstreams.len() > 100_000);
}
