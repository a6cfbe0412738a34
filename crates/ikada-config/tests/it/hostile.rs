//! Whatever bytes come in, the loader returns, and its spans lie inside the text.

use ikada_config::fuzz_classic;
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

proptest! {
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
