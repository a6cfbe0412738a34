//! Stream tasks, groups of servers and processors: what a configuration has beside its instances.

use ikada_config::stream::{Selected, Source};
use ikada_config::{ConditionOp, RuleOp};

use super::*;

const ENDS: &str = "[INPUT]\n    Name dummy\n    Alias app\n[OUTPUT]\n    Name stdout\n    Match *\n";

fn yaml_pipeline(text: &str) -> (Pipeline, Vec<String>) {
    let mut loaded = from_text("main.yaml", text);
    let pipeline = build(&mut loaded);
    let lines = lines(&loaded);
    (pipeline, lines)
}

#[test]
fn stream_tasks_come_from_their_file_the_main_file_and_yaml() {
    let task = |name: &str| {
        format!(
            "[STREAM_TASK]\n    Name {name}\n    Exec CREATE STREAM {name} WITH (tag='{name}') AS SELECT * FROM TAG:'a.*';\n"
        )
    };
    let yaml = "stream_processor:\n  - name: three\n    exec: \"SELECT * FROM STREAM:one;\"\n";
    let main = format!("{ENDS}{}", task("two"));
    let files = MemoryFiles::new()
        .with("/etc/main.conf", format!("{main}@INCLUDE three.yaml\n"))
        .with("/etc/three.yaml", yaml)
        .with("/etc/streams.conf", format!("{}[INPUT]\n    Name dummy\n", task("one")));
    let mut loaded = load(&files);
    loaded.add_streams(Path::new("streams.conf"), None, &files, &MapEnv::new(), Path::new("/srv"));
    let pipeline = build(&mut loaded);
    let names: Vec<&str> = pipeline.streams.iter().map(|task| task.name.value.as_str()).collect();
    assert_eq!(names, ["two", "three", "one"]);
    assert_eq!(pipeline.streams[0].from, Source::Tag("a.*".into()));
    assert_eq!(pipeline.streams[0].keys[0].value, Selected::All);
    assert_eq!(pipeline.streams[1].from, Source::Stream("one".into()));
    assert_eq!(
        lines(&loaded),
        [
            "/etc/streams.conf:4:1: warning[unsupported-section]: `[INPUT]` in a streams file is ignored (help: move it to a file that is included)"
        ]
    );
}

#[test]
fn a_mistake_in_a_stream_task_is_found_at_its_place() {
    let text = format!(
        "{ENDS}[STREAM_TASK]\n    Name a\n    Exec SELECT a FROM TAG:app;\n[STREAM_TASK]\n    Name b\n[STREAM_TASK]\n    Exec SELECT a FROM TAG:'a';\n[STREAM_TASK]\n    Name c\n    Exec SELECT a FROM STREAM:apps;\n    Colour red\n[STREAM_TASK]\n    Name c\n    Exec SELECT a FROM STREAM:app;\n[STREAM_TASK]\n    Name d\n    Exec SELECT ${{KEY}} FROM STREAM:app;\n"
    );
    let (pipeline, found) = pipeline_of(&text);
    assert_eq!(pipeline.streams.len(), 1);
    assert_eq!(
        found,
        [
            "main.conf:23:17: warning[undefined-variable]: `${KEY}` in `Exec` is not set; nothing takes its place (help: set it, or write a default: `${KEY:-default}`)",
            "main.conf:9:28: error[bad-stream-task]: a text is missing here (help: write the tag in single quotes: `FROM TAG:'app.*'`)",
            "main.conf:10:1: error[missing-option]: this stream task has no `Exec` (help: say what it does: `Exec CREATE STREAM errors WITH (tag='errors') AS SELECT * FROM TAG:'app.*' WHERE level = 'error';`)",
            "main.conf:12:1: error[missing-name]: this stream task has no `Name` (help: give it one: `Name errors`)",
            "main.conf:17:5: warning[unknown-option]: `Colour` is no option of a stream task (help: it knows `Name` and `Exec`)",
            "main.conf:19:10: error[bad-stream-task]: another stream task is named `c` already (help: give each task a name of its own)",
            "main.conf:23:10: error[bad-stream-task]: no key is selected (help: write `*` or names of fields)",
            "main.conf:16:10: error[bad-stream-task]: no stream and no input is named `apps`, so the task gets nothing (help: did you mean `app`?)",
        ]
    );
}

#[test]
fn a_group_of_servers_is_found_by_its_file_and_by_its_name() {
    let group = "[UPSTREAM]\n    Name pair\n[NODE]\n    Name one\n    Host 10.0.0.1\n    Port 24224\n    tls on\n[NODE]\n    Name two\n    Host ${HOST:-10.0.0.2}\n    Port 24225\n";
    let files = MemoryFiles::new().with("/etc/main.conf", ENDS).with("/etc/up.conf", group);
    let mut loaded = load(&files);
    loaded.add_upstream(Path::new("up.conf"), None, &files, &MapEnv::new(), Path::new("/srv"));
    let pipeline = build(&mut loaded);
    assert_eq!(lines(&loaded), NONE);
    let upstream = pipeline.upstream("up.conf").unwrap();
    assert_eq!(pipeline.upstream("pair").unwrap().header, upstream.header);
    let hosts: Vec<(&str, u16)> =
        upstream.nodes.iter().map(|node| (node.host.value.as_str(), node.port.value)).collect();
    assert_eq!(hosts, [("10.0.0.1", 24224), ("10.0.0.2", 24225)]);
    assert_eq!(upstream.nodes[0].bag.peek("tls").unwrap().value.value, "on");
    assert!(pipeline.upstream("other").is_none());
    let (pipeline, found) = yaml_pipeline(
        "pipeline: { inputs: [ { name: dummy } ], outputs: [ { name: stdout } ] }\nupstream_servers:\n  - name: pair\n    nodes: [ { name: one, host: h, port: 24224 } ]\n",
    );
    assert_eq!(found, NONE);
    assert_eq!(pipeline.upstream("pair").unwrap().nodes.len(), 1);
}

#[test]
fn a_server_without_a_place_is_told() {
    let (_, found) = pipeline_of(&format!(
        "{ENDS}[NODE]\n    Name lost\n    Host h\n    Port 1\n[UPSTREAM]\n    Name u\n[NODE]\n    Name one\n    Port many\n[NODE]\n    Name two\n    Host h\n    Port many\n"
    ));
    assert_eq!(
        found,
        [
            "main.conf:7:1: error[unsupported-section]: this server belongs to no group (help: write an `[UPSTREAM]` with a `Name` before it)",
            "main.conf:13:1: error[missing-option]: this server has no `Host` (help: write `Host 10.0.0.1`)",
            "main.conf:19:10: error[bad-value]: `many` is no port (help: write a number from 1 to 65535: `Port 24224`)",
        ]
    );
}

#[test]
fn processors_keep_their_order_their_options_and_their_condition() {
    let (pipeline, found) = yaml_pipeline(
        r#"
env: { COLOUR: red }
pipeline:
  inputs:
    - name: dummy
      processors:
        logs:
          - { name: Content_Modifier, action: insert, key: colour, value: "${COLOUR}" }
          - name: content_modifier
            action: delete
            key: b
            condition:
              op: or
              rules:
                - { field: "$level", op: eq, value: error }
                - { field: "$code", op: not_in, value: [ 1, 2 ], context: metadata }
  outputs:
    - name: stdout
      match: "*"
      processors:
        logs: [ { name: grep, regex: log error } ]
"#,
    );
    assert_eq!(found, NONE);
    let [first, second] = &pipeline.inputs[0].processors[..] else { panic!("two processors") };
    assert_eq!(first.id, "dummy.0/content_modifier.0");
    assert_eq!(first.plugin.value, "content_modifier");
    assert_eq!(first.bag.peek("value").unwrap().value.value, "red");
    assert_eq!(first.bag.section(), "processor content_modifier");
    assert!(first.condition.is_none());
    assert_eq!(second.id, "dummy.0/content_modifier.1");
    let condition = second.condition.as_ref().unwrap();
    assert_eq!(condition.op, ConditionOp::Or);
    assert_eq!(condition.rules[0].field.value, "$level");
    assert_eq!((condition.rules[1].op, condition.rules[1].in_metadata), (RuleOp::NotIn, true));
    let values: Vec<&str> = condition.rules[1].values.iter().map(|value| value.value.as_str()).collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(pipeline.outputs[0].processors[0].plugin.value, "grep");
}

#[test]
fn mistakes_in_processors_are_found_at_their_place() {
    let (_, found) = yaml_pipeline(
        r#"
pipeline:
  inputs:
    - name: dummy
      processors:
        metrics: []
        log: []
        logs:
          - action: insert
          - name: grep
            condition:
              op: xor
              rule: []
              rules:
                - { field: level, op: equals, value: x }
                - { op: eq, value: { a: b } }
                - { field: "$x", op: eq, value: x, colour: red }
          - name: grep
            condition: {}
  outputs:
    - name: stdout
"#,
    );
    assert_eq!(
        found,
        [
            "main.yaml:6:9: warning[no-effect]: processors of `metrics` have no effect: Ikada carries logs (help: remove them)",
            "main.yaml:7:9: error[unknown-section]: `log` is no signal that has processors (help: there are `logs`, `metrics` and `traces`: put the list below `logs:`)",
            "main.yaml:12:19: error[bad-value]: `xor` is no value of `op` (help: did you mean `or`?)",
            "main.yaml:13:15: error[unknown-option]: `rule` is no part of a condition (help: it has `op` and `rules`)",
            "main.yaml:15:28: error[bad-accessor]: `level` names no field (help: write a record accessor: `field: \"$level\"`)",
            "main.yaml:15:39: error[bad-value]: `equals` is no value of `op` (help: write `eq`, `neq`, `gt`, `lt`, `gte`, `lte`, `regex`, `not_regex`, `in` or `not_in`)",
            "main.yaml:16:29: error[nested-value]: `value` takes texts (help: write one value, or a list of values behind `op: in`)",
            "main.yaml:16:21: error[missing-option]: the rule has no `field` (help: write `- { field: \"$level\", op: eq, value: error }`)",
            "main.yaml:17:52: error[unknown-option]: `colour` is no part of a rule (help: it has `field`, `op`, `value` and `context`)",
            "main.yaml:19:13: error[missing-option]: the condition has no rules (help: write `rules:` and below it `- { field: \"$level\", op: eq, value: error }`)",
            "main.yaml:9:13: error[missing-name]: this processor has no `name` (help: say which it is: `- name: content_modifier`)",
        ]
    );
}
