//! Every rule and every message of the line grammar.

use ikada_config::SectionKind;

use super::*;

#[test]
fn comments_empty_lines_and_line_ends_do_not_matter() {
    let text = "# first\r\n\r\n[INPUT]\r\n    # inside\r\n    Name dummy\r\n#x\n  \n    Tag  a b  \r\n[OUTPUT]\n    Name stdout";
    let loaded = from_text("main.conf", text);
    assert_eq!(lines(&loaded), NONE);
    let sections = loaded.document.sections();
    assert_eq!(sections[0].get("NAME").unwrap().value, "dummy");
    assert_eq!(sections[0].get("tag").unwrap().value, "a b");
    assert_eq!(sections[1].get("name").unwrap().value, "stdout");
}

#[test]
fn keys_keep_their_spelling_and_match_in_any_case() {
    let loaded = from_text("main.conf", "[INPUT]\n    Mem_Buf_Limit 5M\n");
    let property = &loaded.document.sections()[0].properties[0];
    assert_eq!((property.key.value.as_str(), property.name().as_str()), ("Mem_Buf_Limit", "mem_buf_limit"));
    let at = loaded.sources.location(property.value.span);
    assert_eq!((at.line, at.column), (2, 19));
}

#[test]
fn a_key_without_a_value_is_an_error() {
    assert_eq!(
        findings("[INPUT]\n    Name dummy\n    Samples\n"),
        [
            "main.conf:3:5: error[missing-value]: `Samples` has no value (help: type `Samples value`, or remove the line)"
        ]
    );
    assert_eq!(
        findings("[INPUT]\n    Name:dummy\n")[0],
        "main.conf:2:5: error[missing-value]: `Name:dummy` has no value (help: type `Name dummy`)"
    );
}

#[test]
fn an_empty_value_is_an_error_however_many_blanks_there_are() {
    let help =
        "(help: remove the line or give it a value; in a task definition that is the log option `key`)";
    let message = format!("error[empty-value]: `key` has an empty value {help}");
    assert_eq!(
        findings("[OUTPUT]\n    Name x\n    key \n    key    \n"),
        [format!("main.conf:3:1: {message}"), format!("main.conf:4:1: {message}")]
    );
}

#[test]
fn a_property_before_the_first_section_is_one_error_for_all_of_them() {
    assert_eq!(
        findings("    Flush 1\n    Grace 5\n[INPUT]\n    Name dummy\n"),
        [
            "main.conf:1:5: error[key-before-section]: `Flush` stands before the first section (help: put a header before it: `[SERVICE]`, `[INPUT]`, `[FILTER]` or `[OUTPUT]`)"
        ]
    );
}

#[test]
fn a_header_without_a_bracket_is_an_error_and_a_header_all_the_same() {
    let loaded = from_text("main.conf", "[INPUT\n    Name dummy\n");
    assert_eq!(
        lines(&loaded),
        ["main.conf:1:1: error[bad-header]: a section header without `]` (help: type `[INPUT]`)"]
    );
    assert_eq!(loaded.document.sections()[0].kind, SectionKind::Input);
}

#[test]
fn a_header_without_a_name_is_an_error() {
    assert_eq!(
        findings("[]\n    Name dummy\n"),
        [
            "main.conf:1:1: error[bad-header]: a section header without a name (help: type a name: `[INPUT]`, `[FILTER]`, `[OUTPUT]` or `[SERVICE]`)"
        ]
    );
}

#[test]
fn too_little_indentation_is_an_error() {
    assert_eq!(
        findings("[INPUT]\n    Name dummy\n  Tag x\n"),
        [
            "main.conf:3:1: error[bad-indentation]: `Tag` is indented less than the first key of the file (help: start the line with 4 blanks, as the first key of this file)"
        ]
    );
}

#[test]
fn too_much_indentation_is_an_error_but_twice_as_much_is_fine() {
    assert_eq!(findings("[INPUT]\n  Name dummy\n    Tag x\n"), NONE);
    assert_eq!(
        findings("[INPUT]\n  Name dummy\n   Tag x\n"),
        [
            "main.conf:3:1: error[bad-indentation]: `Tag` is indented more than the first key of the file (help: start the line with 2 blanks, as the first key of this file)"
        ]
    );
}

#[test]
fn tabs_among_blanks_are_an_error() {
    assert_eq!(
        findings("[INPUT]\n    Name dummy\n\tTag x\n"),
        [
            "main.conf:3:1: error[mixed-indentation]: `Tag` is indented with other blanks than the first key of the file (help: start the line with 4 blanks, as the first key of this file)"
        ]
    );
    assert_eq!(
        findings("[INPUT]\n\tName dummy\n    Tag x\n"),
        [
            "main.conf:3:1: error[mixed-indentation]: `Tag` is indented with other blanks than the first key of the file (help: start the line with 1 tab, as the first key of this file)"
        ]
    );
}

#[test]
fn a_key_in_the_first_column_is_an_error_and_a_property_all_the_same() {
    let loaded = from_text("main.conf", "[INPUT]\nName dummy\nTag x\n");
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:2:1: error[bad-indentation]: `Name` is not indented (help: start the line with blanks: `    Name …`)",
            "main.conf:3:1: error[bad-indentation]: `Tag` is not indented (help: start the line with blanks: `    Tag …`)",
        ]
    );
    assert_eq!(loaded.document.sections()[0].properties.len(), 2);
}

#[test]
fn a_section_may_be_cut_short_but_not_be_unknown() {
    let loaded = from_text(
        "main.conf",
        "[IN]\n    a b\n[Outputs]\n    a b\n[ INPUT ]\n    a b\n[OUPUT]\n    a b\n[XYZ]\n    a b\n",
    );
    let kinds: Vec<_> = loaded.document.sections().iter().map(|section| section.kind).collect();
    let unknown = SectionKind::Unknown;
    assert_eq!(kinds, [SectionKind::Input, SectionKind::Output, unknown, unknown, unknown]);
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:5:2: warning[blank-in-header]: `[ INPUT ]` has blanks in its brackets, so it is ignored with all its keys (help: type `[INPUT]`)",
            "main.conf:7:2: warning[unknown-section]: no section is named `[OUPUT]`; it is ignored with all its keys (help: did you mean `[OUTPUT]`?)",
            "main.conf:9:2: warning[unknown-section]: no section is named `[XYZ]`; it is ignored with all its keys",
        ]
    );
}

#[test]
fn parsers_may_stand_in_any_file() {
    let loaded = from_text("main.conf", "[PARSER]\n    Name a\n[MULTILINE_PARSER]\n    name b\n");
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(loaded.document.of_kind(SectionKind::Parser).count(), 1);
    assert_eq!(loaded.document.of_kind(SectionKind::MultilineParser).count(), 1);
}

#[test]
fn text_behind_a_header_is_a_warning_unless_it_is_a_comment() {
    assert_eq!(
        findings("[INPUT] # comment\n    Name a\n[OUTPUT] Name b\n    Match *\n"),
        [
            "main.conf:3:10: warning[text-after-header]: the text behind `[OUTPUT]` is ignored (help: put it on a line of its own)"
        ]
    );
}

#[test]
fn an_indented_header_is_an_error_and_a_header_all_the_same() {
    let loaded = from_text("main.conf", "[INPUT]\n    Name a\n    [OUTPUT]\n    Name b\n");
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:3:6: error[indented-header]: `[OUTPUT]` is indented, which makes it no header (help: start it in the first column)"
        ]
    );
    assert_eq!(loaded.document.sections()[1].get("name").unwrap().value, "b");
}

#[test]
fn an_indented_include_is_an_error_in_a_plugin_and_a_warning_elsewhere() {
    let help = "an `@INCLUDE` that is indented includes nothing (help: start it in the first column: `@INCLUDE x.conf`)";
    assert_eq!(
        findings("[INPUT]\n    Name a\n    @INCLUDE x.conf\n[SERVICE]\n    Flush 1\n    @INCLUDE x.conf\n"),
        [
            format!("main.conf:3:5: error[indented-include]: {help}"),
            format!("main.conf:6:5: warning[indented-include]: {help}")
        ]
    );
}

#[test]
fn a_tab_behind_a_key_separates_with_a_warning() {
    let loaded = from_text("main.conf", "[INPUT]\n    Name\tdummy\n    Tag \tx\n");
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:2:5: warning[tab-separator]: a tab stands between `Name` and its value (help: type a blank, as Fluent Bit demands: `Name …`)"
        ]
    );
    assert_eq!(loaded.document.sections()[0].get("name").unwrap().value, "dummy");
}

#[test]
fn a_comment_behind_a_value_is_part_of_it_with_a_warning() {
    let loaded = from_text("main.conf", "[FILTER]\n    Record k v # x\n    Color a#b\n");
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:2:16: warning[trailing-comment]: this is part of the value of `Record`, not a comment (help: a comment needs a line of its own)"
        ]
    );
    assert_eq!(loaded.document.sections()[0].get("record").unwrap().value, "k v # x");
}

#[test]
fn a_key_with_a_colon_is_an_error_in_a_plugin_and_ignored_in_the_service() {
    let loaded = from_text("main.conf", "[INPUT]\n    Name: tail\n[SERVICE]\n    Flush= 5\n");
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:2:5: error[key-punctuation]: the key `Name` is written with `:` (help: type `Name` and a blank)",
            "main.conf:4:5: warning[key-punctuation]: the key `Flush` is written with `=`, so the line is ignored (help: type `Flush` and a blank)",
        ]
    );
    assert_eq!(loaded.document.sections()[0].get("name").unwrap().value, "tail");
    assert!(loaded.document.sections()[1].properties.is_empty());
}

#[test]
fn unknown_commands_are_told() {
    assert_eq!(
        findings("@INCLUD x.conf\n@FOO bar\n@abcdef\n"),
        [
            "main.conf:1:2: warning[unknown-command]: `@INCLUD` is no command; the line is ignored (help: did you mean `@INCLUDE`?)",
            "main.conf:2:2: warning[unknown-command]: `@FOO` is no command; the line is ignored (help: the commands are `@INCLUDE` and `@SET`)",
            "main.conf:3:2: error[unknown-command]: `@abcdef` is no command; the line is ignored (help: the commands are `@INCLUDE` and `@SET`)",
        ]
    );
}

#[test]
fn a_byte_order_mark_is_skipped_with_a_note() {
    let loaded = from_text("main.conf", "\u{feff}[INPUT]\n    Name dummy\n");
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:1:1: note[bom]: the file starts with a byte order mark, which is skipped (help: save it as UTF-8 without a mark: Fluent Bit refuses it)"
        ]
    );
    assert_eq!(loaded.document.sections()[0].kind, SectionKind::Input);
}

#[test]
fn bytes_that_are_no_utf8_are_told_with_their_place() {
    let loaded = from_text("main.conf", b"[INPUT]\n    Name dummy\n    Tag a\xffb\n".to_vec());
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:3:10: warning[invalid-utf8]: the file holds bytes that are not UTF-8; they are read as U+FFFD (help: save it as UTF-8)"
        ]
    );
}

#[test]
fn an_empty_section_is_told_and_a_spoilt_one_is_not() {
    assert_eq!(
        findings("[INPUT]\n[OUTPUT]\n    Name\n"),
        [
            "main.conf:3:5: error[missing-value]: `Name` has no value (help: type `Name value`, or remove the line)",
            "main.conf:1:1: warning[empty-section]: the section `[INPUT]` is empty (help: remove it, or put its properties behind it)",
        ]
    );
}

#[test]
fn an_empty_configuration_is_no_mistake_of_grammar() {
    assert_eq!(findings(""), NONE);
    assert_eq!(findings("# nothing\n"), NONE);
}

#[test]
fn all_mistakes_of_a_file_are_found_at_once() {
    let codes: Vec<String> = findings("    a b\n[INPUT\n  Name\n    x y\n[ OUTPUT ]\n  Match \n@foo bar\n")
        .iter()
        .map(|line| line.split(['[', ']']).nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(
        codes,
        [
            "key-before-section",
            "bad-header",
            "bad-indentation",
            "missing-value",
            "blank-in-header",
            "bad-indentation",
            "empty-value",
            "unknown-command"
        ]
    );
}
