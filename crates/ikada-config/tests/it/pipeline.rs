//! From sections to instances.

use std::time::Duration;

use ikada_config::{FlushInterval, Grace};
use ikada_options::{FilterCommon, LogLevel, Options, OutputCommon};

use super::*;

#[test]
fn instances_are_numbered_through_for_each_kind_in_file_order() {
    let (pipeline, found) = pipeline_of(
        "[INPUT]\n    Name Dummy\n[OUTPUT]\n    NAME stdout\n    Match a\n[INPUT]\n    name tail\n[INPUT]\n    Name DUMMY\n    Alias second\n[FILTER]\n    Name stdout\n    Match *\n",
    );
    assert_eq!(found, NONE);
    let ids: Vec<&str> = pipeline.inputs.iter().map(|input| input.id.as_str()).collect();
    assert_eq!(ids, ["dummy.0", "tail.1", "dummy.2"]);
    assert_eq!(pipeline.inputs[2].name(), "second");
    assert_eq!(pipeline.inputs[0].name(), "dummy.0");
    assert_eq!((pipeline.outputs[0].id.as_str(), pipeline.filters[0].id.as_str()), ("stdout.0", "stdout.0"));
    assert_eq!(pipeline.outputs[0].bag.section(), "output stdout");
}

#[test]
fn a_section_without_a_name_is_an_error() {
    let (pipeline, found) = pipeline_of("[INPUT]\n    Tag x\n[OUTPUT]\n    Name null\n    Match *\n");
    assert!(pipeline.inputs.is_empty());
    assert_eq!(
        found,
        [
            "main.conf:1:1: error[missing-name]: the section `[INPUT]` has no `Name` (help: say which input it is: `Name forward`)"
        ]
    );
}

#[test]
fn an_empty_name_is_an_error_that_shows_the_variable() {
    let (_, found) = pipeline_of("[INPUT]\n    Name ${X}\n[OUTPUT]\n    Name null\n    Match *\n");
    assert_eq!(
        found[1],
        "main.conf:2:10: error[missing-name]: `Name` is empty: `${X}` gave nothing (help: set the variable, or write a default: `${NAME:-default}`)"
    );
}

#[test]
fn the_first_of_two_names_counts_with_a_warning() {
    let (pipeline, found) =
        pipeline_of("[INPUT]\n    Name a\n    Name b\n[OUTPUT]\n    Name null\n    Match *\n");
    assert_eq!(pipeline.inputs[0].plugin.value, "a");
    assert_eq!(
        found,
        [
            "main.conf:3:5: warning[repeated-option]: `Name` is given 2 times; the first one counts (help: start a section for each plugin)"
        ]
    );
}

#[test]
fn an_alias_that_is_used_twice_is_told() {
    let (_, found) = pipeline_of(
        "[INPUT]\n    Name a\n    Alias x\n[INPUT]\n    Name b\n    Alias x\n[OUTPUT]\n    Name null\n    Match *\n    Alias x\n",
    );
    assert_eq!(
        found,
        [
            "main.conf:6:11: warning[duplicate-alias]: another input has the alias `x` already (help: give each its own, or logs and metrics cannot tell them apart)"
        ]
    );
}

#[test]
fn one_input_and_one_output_need_no_match() {
    let (pipeline, found) = pipeline_of("[INPUT]\n    Name dummy\n[OUTPUT]\n    Name stdout\n");
    assert_eq!(found, NONE);
    assert_eq!(told(&pipeline.outputs[0]), "stdout.0 match=*");
    let (pipeline, _) = pipeline_of("[INPUT]\n    Name dummy\n[OUTPUT]\n    Name stdout\n    Match x\n");
    assert_eq!(told(&pipeline.outputs[0]), "stdout.0 match=x");
    let (pipeline, _) =
        pipeline_of("[INPUT]\n    Name dummy\n[OUTPUT]\n    Name stdout\n    Match_Regex x\n");
    assert_eq!(told(&pipeline.outputs[0]), "stdout.0 match_regex=x");
}

#[test]
fn the_match_that_is_assumed_wins_over_one_that_is_empty() {
    let mut loaded =
        from_text("main.conf", "[INPUT]\n    Name dummy\n[OUTPUT]\n    Name stdout\n    Match ${X:-}\n");
    let mut pipeline = build(&mut loaded);
    let common = OutputCommon::parse(&mut pipeline.outputs[0].bag, &mut loaded.diagnostics).unwrap();
    assert_eq!(common.match_pattern.unwrap().value, "*");
    assert_eq!(lines(&loaded), NONE);
}

#[test]
fn a_filter_without_a_match_is_an_error_and_an_output_a_warning() {
    let (_, found) = pipeline_of(
        "[INPUT]\n    Name a\n[FILTER]\n    Name grep\n[FILTER]\n    Name grep\n    Match ${X:-}\n[OUTPUT]\n    Name null\n[OUTPUT]\n    Name null\n    Match *\n",
    );
    let help = "(help: say which tags it takes: `Match *` takes all)";
    assert_eq!(
        found,
        [
            format!(
                "main.conf:3:1: error[missing-match]: filter grep.0 has no `Match`, so nothing reaches it {help}"
            ),
            format!(
                "main.conf:7:11: warning[missing-match]: the `Match` of filter grep.1 is empty, so nothing reaches it {help}"
            ),
            format!(
                "main.conf:8:1: warning[missing-match]: output null.0 has no `Match`, so nothing reaches it {help}"
            ),
        ]
    );
}

#[test]
fn sections_of_other_kinds_are_told() {
    let (pipeline, found) = pipeline_of(
        "[INPUT]\n    Name a\n[OUTPUT]\n    Name b\n[CUSTOM]\n    Name c\n[UPSTREAM]\n    name u\n[PLUGINS]\n    Path x.so\n[PARSER]\n    Name p\n",
    );
    assert_eq!(pipeline.parsers[0].get("name").unwrap().value, "p");
    assert_eq!(
        found,
        [
            "main.conf:7:1: warning[missing-option]: the group `u` has no servers (help: write a `[NODE]` with `Name`, `Host` and `Port` behind it)",
            "main.conf:5:1: error[unsupported-section]: `[CUSTOM]`: there are no custom plugins (help: remove it)",
            "main.conf:9:1: warning[unsupported-section]: `[PLUGINS]` is ignored: shared objects are not loaded (help: remove it)",
        ]
    );
}

#[test]
fn a_configuration_without_ends_is_told() {
    let (_, found) = pipeline_of("");
    assert_eq!(
        found,
        [
            "main.conf:1:1: warning[no-input]: there is no input, so there is nothing to do (help: add an `[INPUT]`)",
            "main.conf:1:1: warning[no-output]: there is no output, so nothing is delivered (help: add an `[OUTPUT]`)",
        ]
    );
}

#[test]
fn without_a_service_section_its_defaults_hold() {
    let (pipeline, _) = pipeline_of("");
    let service = pipeline.service;
    assert_eq!(service.flush, FlushInterval(Duration::from_secs(1)));
    assert_eq!(service.grace, Grace::Within(Duration::from_secs(5)));
    assert_eq!((service.http_server, service.http_port), (false, 2020));
    assert_eq!(service.log_level, LogLevel::Info);
    assert!(service.parsers_file.is_empty());
    assert!(!from_text("x", "").document.sets_service("grace"));
}

#[test]
fn service_sections_are_merged_and_files_add_up() {
    let text = "[SERVICE]\n    Flush 5\n    Parsers_File a.conf\n[INPUT]\n    Name a\n[OUTPUT]\n    Name b\n[SERVICE]\n    flush 0.2\n    Grace -1\n    parsers_file b.conf\n    Parsers_File c.conf\n";
    let (pipeline, found) = pipeline_of(text);
    assert_eq!(found, NONE);
    assert_eq!(pipeline.service.flush, FlushInterval(Duration::from_millis(200)));
    assert_eq!(pipeline.service.grace, Grace::UntilDelivered);
    let files: Vec<_> =
        pipeline.service.parsers_file.iter().map(|file| file.value.to_str().unwrap()).collect();
    assert_eq!(files, ["a.conf", "b.conf", "c.conf"]);
    assert!(from_text("x", text).document.sets_service("Grace"));
}

#[test]
fn mistakes_in_the_service_section_are_told_and_leave_the_default_and_the_others() {
    let (pipeline, found) = pipeline_of(
        "[SERVICE]\n    Flush 500ms\n    Grace abc\n    HTTP_Server 1\n    Log_Levle debug\n    colour red\n    Daemon Off\n    Coro_Stack_Size 1024\n    Log_Level info\n    Log_Level debug\n[INPUT]\n    Name a\n[OUTPUT]\n    Name b\n",
    );
    assert_eq!(
        found,
        [
            "main.conf:2:11: error[bad-value]: `Flush`: `500ms` is not a time: `ms` is no unit (help: type `0.5`, in seconds)",
            "main.conf:3:11: error[bad-value]: `Grace`: `abc` is not a time (help: type seconds, or a number with `s`, `m`, `h` or `d`: `5m`)",
            "main.conf:10:5: warning[repeated-option]: `log_level` is given 2 times; the last one wins (help: remove the others)",
            "main.conf:4:17: error[bad-value]: `HTTP_Server`: `1` is neither on nor off (help: type `on`)",
            "main.conf:8:5: note[no-effect]: `Coro_Stack_Size` has no effect here (help: there are no coroutines)",
            "main.conf:5:5: warning[unknown-service-key]: `Log_Levle` is no key of [SERVICE]; it is ignored (help: did you mean `log_level`?)",
            "main.conf:6:5: warning[unknown-service-key]: `colour` is no key of [SERVICE]; it is ignored",
        ]
    );
    let service = pipeline.service;
    assert_eq!(service.flush, FlushInterval(Duration::from_secs(1)));
    assert_eq!((service.grace, service.http_server), (Grace::Within(Duration::from_secs(5)), false));
    assert_eq!(service.log_level, LogLevel::Debug);
}

#[test]
fn the_common_sets_take_what_is_theirs() {
    let mut loaded = from_text(
        "main.conf",
        "[INPUT]\n    Name a\n[FILTER]\n    Name grep\n    Match app.*\n    Active false\n    Regex log x\n[OUTPUT]\n    Name b\n",
    );
    let mut pipeline = build(&mut loaded);
    let filter = &mut pipeline.filters[0];
    let common = FilterCommon::parse(&mut filter.bag, &mut loaded.diagnostics).unwrap();
    assert_eq!(common.match_pattern.unwrap().value, "app.*");
    assert!(!common.active.0);
    let left: Vec<String> = filter.bag.leftover().map(|property| property.name()).collect();
    assert_eq!(left, ["regex"]);
}
