//! `@SET` and `${NAME}` in whole files. The rows of the reference are tested beside the code.

use ikada_config::{Section, SectionKind, load_text};

use super::*;

fn load_with(text: &str, env: &MapEnv) -> Loaded {
    let files = MemoryFiles::new().with("/run/secret", "from file\n").with("/run/empty", "\n");
    load_text("main.conf", text, &files, env, Path::new("/"))
}

fn tag(loaded: &Loaded) -> &str {
    &loaded.document.sections()[0].get("tag").unwrap().value
}

#[test]
fn a_setting_counts_wherever_it_stands_and_before_the_environment() {
    let env = MapEnv::new().with("A", "env").with("B", "env");
    let loaded = load_with("[INPUT]\n    Tag ${A}.${B}\n@set A=own\n", &env);
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(tag(&loaded), "own.env");
    assert_eq!(loaded.document.sections()[0].properties[0].written.as_deref(), Some("${A}.${B}"));
}

#[test]
fn a_setting_splits_at_the_first_equals_sign_and_may_be_empty() {
    let loaded = load_with("@SET a=b=c\n@SET e=\n[INPUT]\n    Tag ${a}${e}\n", &MapEnv::new());
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(tag(&loaded), "b=c");
}

#[test]
fn blanks_at_the_equals_sign_are_told_and_belong_to_the_name() {
    let loaded = load_with("@SET foo = bar\n[INPUT]\n    Tag ${foo}x\n", &MapEnv::new());
    assert_eq!(tag(&loaded), "x");
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:1:6: warning[blank-in-set]: the blanks at `=` belong to the name `foo ` and the value ` bar` (help: type `@SET foo=bar`)",
            "main.conf:3:9: warning[undefined-variable]: `${foo}` in `Tag` is not set; nothing takes its place (help: `@SET` defines `foo `)",
        ]
    );
}

#[test]
fn a_setting_without_a_value_is_told() {
    assert_eq!(
        findings("@SET foo\n@SET  \n@SET\n"),
        [
            "main.conf:1:6: warning[bad-set]: `@SET foo` has no value (help: type `@SET foo=value`)",
            "main.conf:2:1: error[bad-set]: `@SET` sets nothing (help: type `@SET name=value`)",
            "main.conf:3:1: error[bad-set]: `@SET` sets nothing (help: type `@SET name=value`)",
        ]
    );
}

#[test]
fn a_setting_may_be_the_content_of_a_file() {
    let text = "@SET a=file:///run/secret\n@SET b=file:///run/none\n@SET c=file:///run/empty\n[INPUT]\n    Tag ${a}${b:-.}${c:-.}\n";
    let loaded = load_with(text, &MapEnv::new());
    assert_eq!(tag(&loaded), "from file..");
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:2:6: warning[variable-file]: the variable `b` stays undefined: `/run/none`: entity not found",
            "main.conf:3:6: warning[variable-file]: the variable `c` stays undefined: `/run/empty`: it is empty",
        ]
    );
}

#[test]
fn an_undefined_variable_is_a_warning_at_its_place() {
    let loaded = load_with("[INPUT]\n    Tag a.${COLOUR}.b\n", &MapEnv::new());
    assert_eq!(tag(&loaded), "a..b");
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:2:11: warning[undefined-variable]: `${COLOUR}` in `Tag` is not set; nothing takes its place (help: set it, or write a default: `${COLOUR:-default}`)"
        ]
    );
}

#[test]
fn braces_without_a_name_stay_with_a_warning() {
    let loaded = load_with("[INPUT]\n    Tag a${}b\n", &MapEnv::new());
    assert_eq!(tag(&loaded), "a${}b");
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:2:10: warning[unreplaced-variable]: a `${` in `Tag` stays as it is (help: write the name of a variable between the braces)"
        ]
    );
}

#[test]
fn a_variable_without_a_brace_stays_with_a_warning() {
    let loaded = load_with("[INPUT]\n    Tag a${A\n", &MapEnv::new());
    assert_eq!(tag(&loaded), "a${A");
    assert_eq!(
        lines(&loaded),
        [
            "main.conf:2:10: warning[unreplaced-variable]: a `${` in `Tag` stays as it is (help: a `}` has to close it, and none may stand before it)"
        ]
    );
}

#[test]
fn keys_and_headers_hold_no_variables() {
    let env = MapEnv::new().with("K", "Tag");
    let loaded = load_with("[${K}]\n    ${K} x\n", &env);
    assert_eq!(loaded.document.sections()[0].properties[0].key.value, "${K}");
    assert_eq!(loaded.document.sections()[0].kind, SectionKind::Unknown);
}

#[test]
fn sections_of_the_command_line_come_first_with_variables_replaced() {
    let env = MapEnv::new().with("A", "1");
    let mut loaded =
        load_with("@SET B=2\n[INPUT]\n    Name dummy\n[OUTPUT]\n    Name stdout\n    Match *\n", &env);
    let pairs = [("name", "dummy"), ("tag", "${A}${B}${C}")];
    let section = Section::from_pairs(&mut loaded.sources, "command line", SectionKind::Input, pairs);
    loaded.put_first(vec![section], &env);
    let pipeline = build(&mut loaded);
    assert_eq!(told(&pipeline.inputs[0]), "dummy.0 tag=12");
    assert_eq!(told(&pipeline.inputs[1]), "dummy.1 ");
    assert_eq!(
        lines(&loaded),
        [
            "command line:1:32: warning[undefined-variable]: `${C}` in `tag` is not set; nothing takes its place (help: set it, or write a default: `${C:-default}`)"
        ]
    );
}
