//! YAML: each rule of the format, as the program meets it.

use super::*;

fn yaml(text: &str) -> (Pipeline, Vec<String>) {
    let mut loaded = from_text("main.yaml", text);
    let pipeline = build(&mut loaded);
    let lines = lines(&loaded);
    (pipeline, lines)
}

/// Returns all instances, in the order inputs, filters, outputs.
fn all(pipeline: &Pipeline) -> Vec<String> {
    let parts = [&pipeline.inputs, &pipeline.filters, &pipeline.outputs];
    parts.into_iter().flatten().map(told).collect()
}

/// Returns the sections as lines: kind and properties.
fn sections(loaded: &Loaded) -> Vec<String> {
    let told = |section: &ikada_config::Section| {
        let properties = section.properties.iter().map(|p| format!("{}={}", p.key.value, p.value.value));
        format!("{} {}", section.kind.word(), properties.collect::<Vec<_>>().join(" "))
    };
    loaded.document.sections().iter().map(told).collect()
}

/// Returns an input with these options, and an output.
fn with_input(options: &str) -> String {
    format!("pipeline:\n  inputs:\n    - name: dummy\n{options}  outputs:\n    - name: stdout\n")
}

#[test]
fn every_part_of_a_file_becomes_what_the_classic_format_has() {
    let text = r#"
env: # before use or behind it
  REGION: eu-west-1
service: { flush: 2, grace: 30, log_level: debug, http_server: on }
parsers:
  - { name: js, format: json, time_key: ts, time_format: "%s" }
multiline_parsers:
  - name: mm
    type: regex
    flush_timeout: 1000
    rules:
      - { state: start_state, regex: "/^a/", next_state: cont }
      - { state: cont, regex: '/^ "x"/', next_state: cont }
pipeline:
  inputs:
    - name: tail
      path: /a/*.log
      tag: ${REGION}.x
  filters:
    - { name: modify, match: "*", set: [ "a 1", "b 2" ] }
  outputs:
    - { name: stdout, match: "*" }
"#;
    let mut loaded = from_text("main.yaml", text);
    let pipeline = build(&mut loaded);
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(
        sections(&loaded),
        [
            "service flush=2 grace=30 log_level=debug http_server=on",
            "parser name=js format=json time_key=ts time_format=%s",
            r#"multiline_parser name=mm type=regex flush_timeout=1000 rule="start_state" "/^a/" "cont" rule="cont" "/^ \"x\"/" "cont""#,
            "input name=tail path=/a/*.log tag=eu-west-1.x",
            "filter name=modify match=* set=a 1 set=b 2",
            "output name=stdout match=*",
        ]
    );
    assert_eq!(
        all(&pipeline),
        ["tail.0 path=/a/*.log tag=eu-west-1.x", "modify.0 match=* set=a 1 set=b 2", "stdout.0 match=*"]
    );
    assert_eq!(pipeline.service.flush.0.as_secs(), 2);
    assert_eq!(pipeline.parsers.len(), 2);
}

#[test]
fn parts_without_a_use_here_are_told_at_their_place() {
    let text = r#"
customs:
  - name: calyptia
plugins:
  - /a.so
  - /b.so
upstream_servers:
  - name: up
    nodes: [ { name: n1, host: h, port: 24224 }, { name: n2, host: i, port: 24224 } ]
stream_processor:
  - name: task
    exec: "CREATE STREAM x AS SELECT * FROM TAG:'a';"
extensions: {}
pipeline:
  inputs: [ { name: dummy } ]
  outputs: [ { name: stdout } ]
"#;
    let mut loaded = from_text("main.yaml", text);
    build(&mut loaded);
    assert_eq!(
        sections(&loaded),
        [
            "custom name=calyptia",
            "plugins path=/a.so path=/b.so",
            "upstream name=up",
            "node name=n1 host=h port=24224",
            "node name=n2 host=i port=24224",
            "stream_task name=task exec=CREATE STREAM x AS SELECT * FROM TAG:'a';",
            "input name=dummy",
            "output name=stdout",
        ]
    );
    assert_eq!(
        lines(&loaded),
        [
            "main.yaml:13:1: warning[unsupported-section]: `extensions` is ignored: there are no extensions (help: remove it)",
            "main.yaml:3:5: error[unsupported-section]: `customs`: there are no custom plugins (help: remove it)",
            "main.yaml:4:1: warning[unsupported-section]: `plugins` is ignored: shared objects are not loaded (help: remove it)",
        ]
    );
}

#[test]
fn an_option_may_be_written_in_three_ways() {
    let text = "pipeline:\n  inputs:\n    - Name: dummy\n      Tag: x\n  outputs:\n    - name: cloudwatch_logs\n      Match: x\n      logGroupName: g\n      log_stream_name: s\n      Region: r\n      netKeepalive: on\n      storage.type: memory\n";
    let (pipeline, found) = yaml(text);
    assert_eq!(found, NONE);
    assert_eq!(
        all(&pipeline),
        [
            "dummy.0 tag=x",
            "cloudwatch_logs.0 match=x log_group_name=g log_stream_name=s region=r net_keepalive=on storage.type=memory"
        ]
    );
}

#[test]
fn keys_at_the_top_may_be_of_any_case() {
    let text = "SERVICE: { Flush: 3 }\nPipeline:\n  INPUTS:\n    - name: a\n  Outputs:\n    - name: b\n";
    let (pipeline, found) = yaml(text);
    assert_eq!((found.len(), pipeline.service.flush.0.as_secs()), (0, 3));
    assert_eq!(all(&pipeline), ["a.0 ", "b.0 match=*"]);
}

#[test]
fn a_value_is_text_whatever_it_looks_like() {
    let options = "      a: 1\n      b: true\n      c: null\n      d: ~\n      e: 0x10\n      f: 2026-01-01\n      g: 'it''s'\n      h: \"tab\\there\"\n      i: |\n        one\n        two\n      j: >-\n        one\n        two\n      k: one\n        two\n      l: ''\n      m: 1e3 # a comment\n";
    let (pipeline, found) = yaml(&with_input(options));
    assert_eq!(found, NONE);
    assert_eq!(
        told(&pipeline.inputs[0]),
        "dummy.0 a=1 b=true c=null d=~ e=0x10 f=2026-01-01 g=it's h=tab\there i=one\ntwo j=one two k=one two l= m=1e3"
    );
}

#[test]
fn blanks_and_line_ends_around_a_value_are_not_part_of_it() {
    let (pipeline, found) = yaml(&with_input("      tag: |\n        t.a\n      rate: \" 1 \"\n"));
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(all(&pipeline)[0], all(&yaml(&with_input("      tag: t.a\n      rate: 1\n")).0)[0]);
}

#[test]
fn a_key_that_is_written_twice_is_given_twice() {
    let (pipeline, found) =
        yaml(&with_input("      tag: a\n      tag: b\n      set: [ c, d ]\n      set: e\n"));
    assert_eq!(found, NONE);
    assert_eq!(told(&pipeline.inputs[0]), "dummy.0 tag=a tag=b set=c set=d set=e");
}

#[test]
fn parts_that_are_written_twice_are_one_after_the_other() {
    let text = "pipeline:\n  inputs:\n    - name: a\n  inputs:\n    - name: b\npipeline:\n  inputs:\n    - name: c\n  outputs:\n    - { name: o, match: x }\n---\npipeline:\n  inputs:\n    - name: d\n";
    let (pipeline, found) = yaml(text);
    assert_eq!(found, NONE);
    assert_eq!(all(&pipeline), ["a.0 ", "b.1 ", "c.2 ", "d.3 ", "o.0 match=x"]);
}

#[test]
fn service_stands_once_in_all_yaml_files() {
    let files = MemoryFiles::new()
        .with(
            "/etc/main.yaml",
            "service: { flush: 1 }\nincludes: [ a.yaml, b.conf ]\n---\nservice: { flush: 2 }\n",
        )
        .with("/etc/a.yaml", "service: { grace: 3 }\n")
        .with("/etc/b.conf", "[SERVICE]\n    Grace 4\n");
    assert_eq!(
        lines(&load_yaml(&files)),
        [
            "/etc/a.yaml:1:1: error[duplicate-service]: `service` stands at /etc/main.yaml:1 already; Fluent Bit takes one in all files (help: write all its keys there, and remove this one)",
            "/etc/main.yaml:4:1: error[duplicate-service]: `service` stands at /etc/main.yaml:1 already; Fluent Bit takes one in all files (help: write all its keys there, and remove this one)",
        ]
    );
}

#[test]
fn a_variable_is_set_in_four_ways_and_the_last_one_counts() {
    let text = "env:\n  - { name: A, value: a }\n  - { name: B, uri: file:///etc/b }\n  - { C: c, D: d }\npipeline:\n  inputs:\n    - name: x\n      tag: ${A}.${B}.${C}.${D}.${E}.${F}\nenv: { D: later, E: e, F: }\n";
    let files = MemoryFiles::new().with("/etc/main.yaml", text).with("/etc/b", "from a file\n");
    let env = MapEnv::new().with("A", "of the process");
    let loaded = ikada_config::load(Path::new("/etc/main.yaml"), &files, &env, Path::new("/srv"));
    assert_eq!(sections(&loaded), ["input name=x tag=a.from a file.c.later.e."]);
    assert_eq!(lines(&loaded), NONE);
}

#[test]
fn an_undefined_variable_is_told_at_its_place_in_quotes_too() {
    let text = with_input("      tag: \"é.${NONE}\"\n").replace("pipeline", "env: { NONES: 1 }\npipeline");
    assert_eq!(
        yaml(&text).1,
        [
            "main.yaml:5:15: warning[undefined-variable]: `${NONE}` in `tag` is not set; nothing takes its place (help: `env` defines `NONES`)"
        ]
    );
}

#[test]
fn a_path_starts_at_the_including_file_and_patterns_are_sorted() {
    let input = |name: &str| format!("pipeline:\n  inputs:\n    - name: {name}\n");
    let files = MemoryFiles::new()
        .with(
            "/etc/main.yaml",
            format!("includes: [ sub/a.yaml ]\n{}includes:\n  - sub/d/*.yml\n", input("main")),
        )
        .with("/etc/sub/a.yaml", format!("includes:\n  - b.yaml\n{}", input("a")))
        .with("/etc/sub/b.yaml", input("b"))
        .with("/etc/b.yaml", input("wrong"))
        .with("/srv/b.yaml", input("wrong"))
        .with("/etc/sub/d/2.yml", input("two"))
        .with("/etc/sub/d/1.yml", input("one"));
    let loaded = load_yaml(&files);
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(
        sections(&loaded),
        ["input name=b", "input name=a", "input name=main", "input name=one", "input name=two"]
    );
}

#[test]
fn each_format_includes_the_other() {
    let files = MemoryFiles::new()
        .with(
            "/etc/main.yaml",
            "includes:\n  - a.conf\npipeline:\n  outputs:\n    - { name: o, match: '*' }\n",
        )
        .with("/etc/a.conf", "@SET X=1\n[INPUT]\n    Name a\n@INCLUDE sub/b.YML\n[FILTER]\n    Name f\n")
        .with("/etc/sub/b.YML", "includes: [ c.conf ]\npipeline: { inputs: [ { name: b, tag: '${X}' } ] }\n")
        .with("/etc/sub/c.conf", "[INPUT]\n    Name c\n");
    let loaded = load_yaml(&files);
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(
        sections(&loaded),
        ["input Name=a", "input Name=c", "input name=b tag=1", "filter Name=f", "output name=o match=*"]
    );
}

#[test]
fn includes_that_go_wrong_are_told_as_in_the_classic_format() {
    let files = MemoryFiles::new()
        .with(
            "/etc/main.yaml",
            "includes: [ none.yaml, 'd/*.yaml', a.yaml, ./a.yaml, main.yaml, '${X}.yaml', d ]\n",
        )
        .with("/etc/a.yaml", "includes:\n  - main.yaml\n")
        .with("/etc/d/x", "");
    assert_eq!(
        lines(&load_yaml(&files)),
        [
            "/etc/main.yaml:1:13: error[missing-include]: the included file `none.yaml` does not exist (help: tried `/etc/none.yaml`)",
            "/etc/main.yaml:1:25: warning[include-no-match]: no file matches `d/*.yaml` (help: tried `/etc/d/*.yaml`)",
            "/etc/a.yaml:2:5: error[include-cycle]: `/etc/main.yaml` includes itself (help: remove this line; the files include each other in the order `/etc/main.yaml`, `/etc/a.yaml`)",
            "/etc/main.yaml:1:44: warning[include-repeated]: `/etc/./a.yaml` was included before at /etc/main.yaml:1; this has no effect (help: remove one of the two)",
            "/etc/main.yaml:1:54: error[include-cycle]: `/etc/main.yaml` includes itself (help: remove this line; the files include each other in the order `/etc/main.yaml`)",
            "/etc/main.yaml:1:66: error[missing-include]: the included file `${X}.yaml` does not exist (help: variables are not replaced in the path of an include: write the path itself)",
            "/etc/main.yaml:1:78: warning[include-directory]: `/etc/d` is a directory; nothing is read from it (help: `/etc/d/*.yaml` names the files in it)",
        ]
    );
}

#[test]
fn a_parsers_file_may_be_yaml() {
    let files = MemoryFiles::new().with("/etc/main.conf", "[SERVICE]\n    Parsers_File p.yaml\n").with(
        "/etc/p.yaml",
        "parsers:\n  - { name: js, format: json }\npipeline:\n  inputs:\n    - name: a\n",
    );
    let mut loaded = load(&files);
    loaded.add_parsers(Path::new("p.yaml"), None, &files, &MapEnv::new(), Path::new("/srv"));
    assert_eq!(sections(&loaded), ["service Parsers_File=p.yaml", "parser name=js format=json"]);
    assert_eq!(
        lines(&loaded),
        [
            "/etc/p.yaml:5:7: warning[unsupported-section]: `inputs` in a parsers file is ignored (help: move it to a file that is included)"
        ]
    );
}

#[test]
fn one_input_and_one_output_need_no_match_in_yaml_either() {
    let (pipeline, found) = yaml(&with_input(""));
    assert_eq!(
        (all(&pipeline), found.len()),
        (vec!["dummy.0 ".to_owned(), "stdout.0 match=*".to_owned()], 0)
    );
}

#[test]
fn files_without_content_and_with_a_mark_are_read() {
    for text in ["", "# nothing\n", "---\n", "pipeline:\n", "service:\n", "env:\nincludes:\nparsers: []\n"] {
        let found = yaml(text).1;
        assert!(found.iter().all(|line| line.contains("[no-")), "{text:?}: {found:?}");
    }
    assert_eq!(yaml(&format!("\u{feff}{}", with_input(""))).1, NONE);
}

#[test]
fn lines_may_end_as_on_windows() {
    let (pipeline, found) = yaml(&with_input("      tag: é\n      x: y\n").replace('\n', "\r\n"));
    assert_eq!((told(&pipeline.inputs[0]).as_str(), found.len()), ("dummy.0 tag=é x=y", 0));
}
