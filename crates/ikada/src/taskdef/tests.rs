//! Task definitions and what is said of them.

use std::collections::BTreeMap;

use super::agent::generate;
use super::model::Task;
use super::{Args, TaskCheck, check};
use crate::plugins;
use crate::tree::read_json;

/// A sound task definition, with a place for changes.
fn task(router: &str, app: &str, task: &str) -> String {
    format!(
        r#"{{
  "family": "shop",
  "requiresCompatibilities": ["FARGATE"],
  "networkMode": "awsvpc",
  "memory": "512",
  "taskRoleArn": "arn:aws:iam::123456789012:role/shop",
  "executionRoleArn": "arn:aws:iam::123456789012:role/agent",{task}
  "containerDefinitions": [
    {{
      "name": "app",
      "logConfiguration": {{
        "logDriver": "awsfirelens",
        "options": {{ {app} }}
      }}
    }},
    {{
      "name": "log_router",
      "essential": true,
      "memoryReservation": 64,
      "logConfiguration": {{ "logDriver": "awslogs" }},{router}
      "firelensConfiguration": {{ "type": "fluentbit" }}
    }}
  ]
}}"#
    )
}

const LOGS: &str = r#""Name": "cloudwatch_logs", "region": "eu-west-1", "log_group_name": "/ecs/shop", "log_stream_prefix": "app-""#;

fn checked(text: &str) -> TaskCheck {
    check("task.json", text, &BTreeMap::new(), Some("eu-west-1"), &plugins::registry())
}

fn findings(text: &str) -> Vec<String> {
    let checked = checked(text);
    checked.found.lines(&checked.sources).collect()
}

/// The findings without their helps.
fn said(text: &str) -> Vec<String> {
    findings(text).iter().map(|line| line.split(" (help: ").next().unwrap().to_owned()).collect()
}

#[test]
fn a_sound_task_has_no_findings() {
    assert_eq!(findings(&task("", LOGS, "")), [""; 0]);
}

#[test]
fn the_agent_s_file_is_as_the_agent_writes_it() {
    let text = task(
        "",
        r#""Name": "stdout", "include-pattern": "^a", "exclude-pattern": "b$", "format": "json_lines", "log-driver-buffer-limit": "100""#,
        "",
    );
    let root = read_json(&text).unwrap();
    let task = Task::of(&root).unwrap();
    let router = task.routers().next().unwrap();
    insta::assert_snapshot!(generate(&task, router).text, @r"

    [INPUT]
        Name forward
        Mem_Buf_Limit 32MB
        unix_path /var/run/fluent.sock

    [INPUT]
        Name forward
        Listen 127.0.0.1
        Port 24224

    [INPUT]
        Name tcp
        Tag firelens-healthcheck
        Listen 127.0.0.1
        Port 8877

    [FILTER]
        Name   grep
        Match app-firelens*
        Regex   log ^a

    [FILTER]
        Name   grep
        Match app-firelens*
        Exclude log b$

    [FILTER]
        Name record_modifier
        Match *
        Record ecs_cluster ${ECS_CLUSTER}
        Record ecs_task_arn ${ECS_TASK_ARN}
        Record ecs_task_definition ${ECS_TASK_DEFINITION}

    [OUTPUT]
        Name null
        Match firelens-healthcheck

    [OUTPUT]
        Name stdout
        Match app-firelens*
        format json_lines
    ");
}

#[test]
fn host_mode_has_no_ports_and_ec2_has_an_instance() {
    let text = r#"[{"name": "a", "logConfiguration": {"logDriver": "awsfirelens", "options": {"Name": "null"},
        "secretOptions": [{"name": "apikey", "valueFrom": "k"}]}},
        {"name": "r", "firelensConfiguration": {"type": "fluentbit", "options": {"enable-ecs-log-metadata": "false",
        "config-file-type": "s3", "config-file-value": "arn:aws:s3:::conf/x.conf"}}}]"#;
    let root = read_json(text).unwrap();
    let mut task = Task::of(&root).unwrap();
    let generated = |task: &Task<'_>| generate(task, task.routers().next().unwrap()).text;
    let bridge = generated(&task);
    assert!(bridge.contains("Listen 0.0.0.0\n    Port 24224"), "{bridge}");
    assert!(bridge.contains("    apikey ${apikey_0}\n"), "{bridge}");
    assert!(bridge.contains("\n@INCLUDE /fluent-bit/etc/external.conf\n"), "{bridge}");
    assert!(!bridge.contains("record_modifier"), "{bridge}");
    task.network = "host".to_owned();
    let host = generated(&task);
    assert!(!host.contains("Port") && !host.contains("firelens-healthcheck"), "{host}");
}

#[test]
fn a_finding_in_the_agent_s_file_is_told_in_the_task_definition() {
    let found = findings(&task("", &LOGS.replace("log_group_name", "log_grup_name"), ""));
    assert!(
        found.iter().any(|line| line.starts_with("task.json:13:73: error[unknown-option]: ")),
        "{found:?}"
    );
    let found = said(&task("", &format!(r#"{LOGS}, "include-pattern": "*failure*""#), ""));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("task.json:13:153: error[bad-regex]"), "{found:?}");
    let found = said(&task("", r#""Name": "cloudwatch_log", "region": "eu-west-1""#, ""));
    assert!(found[0].starts_with("task.json:13:31: error[unknown-plugin]"), "{found:?}");
}

#[test]
fn the_router_is_there_essential_and_of_the_right_type() {
    let text = task("", LOGS, "");
    let none = text.replace("\"firelensConfiguration\": { \"type\": \"fluentbit\" }", "\"image\": \"x\"");
    assert_eq!(
        findings(&none),
        [
            "task.json:12:23: error[no-log-router]: `app` uses `awsfirelens`, but no container has a `firelensConfiguration` \
          (help: give the router's container `\"firelensConfiguration\": { \"type\": \"fluentbit\" }`)"
        ]
    );
    let of = |from: &str, to: &str| said(&text.replace(from, to));
    assert_eq!(
        of("\"essential\": true", "\"essential\": false"),
        [
            "task.json:18:20: warning[log-router]: `log_router` is not essential: if it ends, the task goes on without its logs"
        ]
    );
    assert_eq!(
        of("fluentbit", "fluentd"),
        [
            "task.json:21:43: error[log-router]: the agent writes a configuration for Fluentd, which Ikada does not read"
        ]
    );
    assert_eq!(
        of("\"awslogs\"", "\"awsfirelens\"")[0],
        "task.json:20:43: error[log-router]: `log_router` sends its own log to itself"
    );
}

#[test]
fn options_are_as_the_agent_takes_them() {
    let app = |options: &str| said(&task("", options, ""));
    assert_eq!(
        app(r#""name": "stdout""#),
        [
            "task.json:13:23: error[firelens-option]: the agent wants `Name`, and finds `name`: the task does not start"
        ]
    );
    assert_eq!(
        app(r#""region": "eu-west-1""#)[0],
        "task.json:12:23: error[firelens-option]: the options of `app` have no `Name`: the task does not start"
    );
    assert_eq!(
        app("")[0],
        "task.json:12:23: error[no-output]: `app` has no output, and there is no file that could have one"
    );
    assert_eq!(
        app(r#""Name": "stdout", "format": """#),
        [
            "task.json:13:51: error[empty-value]: `format` is empty: Fluent Bit refuses such a line of the agent's file"
        ]
    );
    let limit = |limit: &str| app(&format!(r#""Name": "stdout", "log-driver-buffer-limit": "{limit}""#));
    assert_eq!(limit("8192"), [""; 0]);
    assert_eq!(
        limit("2097152"),
        [
            "task.json:13:68: warning[buffer-limit]: `log-driver-buffer-limit` counts events, not bytes: 2097152 of 1 KiB are 2048 \
          MiB for this container, more than half of the task's 512 MiB"
        ]
    );
    assert_eq!(
        limit("8M"),
        ["task.json:13:68: error[buffer-limit]: `8M` is no whole number from 0 to 536870912"]
    );
}

fn router_options(options: &str) -> String {
    task("", LOGS, "").replace(
        "{ \"type\": \"fluentbit\" }",
        &format!("{{ \"type\": \"fluentbit\", \"options\": {{ {options} }} }}"),
    )
}

#[test]
fn the_external_file_is_one_the_agent_can_have() {
    let of = |options: &str| findings(&router_options(options));
    let s3 = r#""config-file-type": "s3", "config-file-value": "arn:aws:s3:::conf/extra.conf""#;
    assert!(
        of(s3)[0].starts_with(
            "task.json:21:89: error[firelens-option]: `config-file-type` cannot be `s3` on Fargate"
        ),
        "{:?}",
        of(s3)
    );
    assert!(of(s3)[0].contains("`aws_fluent_bit_init_s3_1` with the value `arn:aws:s3:::conf/extra.conf`"));
    let file = r#""config-file-type": "file", "config-file-value": "/extra.conf""#;
    assert_eq!(
        of(file),
        [
            "task.json:21:118: note[not-at-hand]: `/extra.conf` is not at hand, and was taken for empty (help: hand it over: \
          `--file /extra.conf=PATH`)"
        ]
    );
    assert!(of(r#""config-file-value": "/x""#)[0].contains("`config-file-value` needs `config-file-type`"));
    assert!(of(r#""enable-ecs-log-metadata": "yes""#)[0].contains("the agent takes it for `false`"));
    assert!(of(r#""enable-ecs-metadata": "true""#)[0].contains("did you mean `enable-ecs-log-metadata`?"));
}

#[test]
fn files_of_the_image_are_at_hand() {
    for name in ["minimize-log-loss", "output-metrics-healthcheck", "parse-json"] {
        let file = format!(
            "\"config-file-type\": \"file\", \"config-file-value\": \"/fluent-bit/configs/{name}.conf\""
        );
        assert_eq!(findings(&router_options(&file)), [""; 0], "{name}");
    }
}

#[test]
fn a_file_that_is_handed_over_is_part_of_the_check() {
    let text = router_options(r#""config-file-type": "file", "config-file-value": "/extra.conf""#);
    let files =
        BTreeMap::from([("/extra.conf".to_owned(), b"[FILTER]\n    Name grap\n    Match *\n".to_vec())]);
    let checked = check("task.json", &text, &files, None, &plugins::registry());
    let lines: Vec<_> = checked.found.lines(&checked.sources).collect();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("/extra.conf:2:10: error[unknown-plugin]"), "{lines:?}");
}

/// The words behind `note[` and the like, of each finding.
fn codes_of(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0)).collect()
}

#[test]
fn what_a_file_that_is_not_at_hand_could_hold_is_not_missed() {
    let asks = r#" "stopTimeout": 10,
        "healthCheck": { "command": ["CMD-SHELL", "curl -f http://127.0.0.1:2020/api/v1/health || exit 1"] },"#;
    let with_file = |text: &str, path: &str| {
        let options = format!(r#""config-file-type": "file", "config-file-value": "{path}""#);
        text.replace(
            "{ \"type\": \"fluentbit\" }",
            &format!(r#"{{ "type": "fluentbit", "options": {{ {options} }} }}"#),
        )
    };
    // The app's output, the HTTP server and `Grace` may be in it.
    for (app, path) in [("", "/extra.conf"), (LOGS, "/fluent-bit/other/extra.conf")] {
        let found = findings(&with_file(&task(asks, app, ""), path));
        assert_eq!(codes_of(&found), ["not-at-hand"], "{found:?}");
    }
    let variable =
        r#" "environment": [{ "name": "aws_fluent_bit_init_s3_1", "value": "arn:aws:s3:::c/x.conf" }],"#;
    let found = findings(&task(&format!("{asks}{variable}"), "", ""));
    assert_eq!(codes_of(&found), ["not-at-hand"], "{found:?}");
    // What does not depend on it is told.
    let found = findings(&with_file(&task("", r#""Name": "cloudwatch_log""#, ""), "/extra.conf"));
    assert_eq!(codes_of(&found), ["not-at-hand", "unknown-plugin"], "{found:?}");

    let text = with_file(&task(asks, "", ""), "/extra.conf");
    let with = |extra: &str| {
        let files = BTreeMap::from([("/extra.conf".to_owned(), extra.as_bytes().to_vec())]);
        let checked = check("task.json", &text, &files, None, &plugins::registry());
        checked.found.lines(&checked.sources).collect::<Vec<_>>()
    };
    // A file that is included may be anything, one with parsers only has parsers.
    let filter = "[FILTER]\n    Name parser\n    Match *\n    Key_Name log\n    Parser mine\n";
    let found = with(&format!("@INCLUDE /fluent-bit/more.conf\n{filter}"));
    assert_eq!(codes_of(&found), ["not-at-hand"], "{found:?}");
    let found = with(&format!("[SERVICE]\n    Parsers_File /fluent-bit/p.conf\n{filter}"));
    assert_eq!(
        codes_of(&found),
        ["not-at-hand", "stop-timeout", "health-check", "unmatched-input"],
        "{found:?}"
    );
    // What is at hand is enough for this.
    let found = with("@INCLUDE /fluent-bit/more.conf\n[SERVICE]\n    Grace 20\n");
    assert_eq!(codes_of(&found), ["not-at-hand", "stop-timeout"], "{found:?}");
}

#[test]
fn init_variables_are_followed() {
    let router = r#" "environment": [{ "name": "aws_fluent_bit_init_s3_1", "value": "arn:aws:s3:::conf/extra.conf" },
        { "name": "AWS_FLUENT_BIT_INIT_S3_2", "value": "arn:aws:s3:::conf/more.conf" }],"#;
    let text = task(router, LOGS, "");
    let found = findings(&text);
    assert!(
        found[0].starts_with("task.json:20:135: note[not-at-hand]: `arn:aws:s3:::conf/extra.conf`")
            || found[0].contains("not-at-hand"),
        "{found:?}"
    );
    assert!(found[1].starts_with("task.json:21:20: warning[init-variable-name]"), "{found:?}");
    let object = b"[OUTPUT]\n    Name kinesis_firehose\n    Match *\n    region eu-west-1\n    delivery_stream audit\n".to_vec();
    let files = BTreeMap::from([("arn:aws:s3:::conf/extra.conf".to_owned(), object)]);
    let checked = check("task.json", &text, &files, Some("eu-west-1"), &plugins::registry());
    assert_eq!(checked.found.len(), 1);
    let policy = checked.needs.task.document().to_string();
    assert!(policy.contains("arn:aws:firehose:eu-west-1:123456789012:deliverystream/audit"), "{policy}");
    assert!(policy.contains("\"s3:GetObject\"],\"Resource\":[\"arn:aws:s3:::conf/extra.conf\"]"), "{policy}");
}

#[test]
fn the_stop_has_time_for_the_drain() {
    let router = |router: &str| said(&task(router, LOGS, ""));
    assert_eq!(
        router(r#" "stopTimeout": 10,"#),
        [
            "task.json:20:70: warning[stop-timeout]: without a `Grace` the router delivers for up to 28 s, but ECS kills the router \
          10 s after the stop"
        ]
    );
    assert_eq!(router(r#" "stopTimeout": 120,"#), [""; 0]);
    assert_eq!(
        router(r#" "stopTimeout": 300,"#),
        ["task.json:20:70: error[stop-timeout]: Fargate allows a `stopTimeout` of 120 seconds at most"]
    );
}

#[test]
fn a_health_check_asks_where_somebody_answers() {
    let check = |command: &str| {
        said(&task(&format!(r#" "healthCheck": {{ "command": ["CMD-SHELL", "{command}"] }},"#), LOGS, ""))
    };
    let found = check("curl -f http://127.0.0.1:2020/api/v1/health || exit 1");
    assert_eq!(
        found,
        ["task.json:20:83: error[health-check]: the health check asks the HTTP server, which is off"]
    );
    assert_eq!(check("echo x | nc 127.0.0.1 8877 || exit 1"), [""; 0]);
    let waits = r#" "dependsOn": [],"#;
    let text = task(waits, LOGS, "").replace("\"name\": \"app\",", "\"name\": \"app\", \"dependsOn\": [{ \"containerName\": \"log_router\", \"condition\": \"HEALTHY\" }],");
    assert!(
        said(&text)[0].contains("`app` waits for `log_router` to be healthy, which has no `healthCheck`"),
        "{:?}",
        said(&text)
    );
}

#[test]
fn roles_are_there_for_what_is_sent() {
    let text =
        task("", LOGS, "").replace("  \"taskRoleArn\": \"arn:aws:iam::123456789012:role/shop\",\n", "");
    assert_eq!(
        said(&text),
        ["task.json:16:16: error[task-role]: the router sends to AWS, and the task has no role to do so"]
    );
}

#[test]
fn files_are_written_where_the_router_may_write() {
    let app = r#""Name": "file", "path": "/logs""#;
    let found = said(&task(r#" "readonlyRootFilesystem": true,"#, app, ""));
    assert_eq!(
        found,
        ["task.json:20:81: error[read-only]: `path /logs` is written, but the root file system is read-only"]
    );
    let mounted = r#" "readonlyRootFilesystem": true, "mountPoints": [{ "sourceVolume": "v", "containerPath": "/logs" }],"#;
    assert_eq!(said(&task(mounted, app, "")), [""; 0]);
}

#[test]
fn what_is_no_task_definition_is_said_to_be_none() {
    assert!(findings("{\"a\": }")[0].starts_with("task.json:1:7: error[task-definition]: this is not JSON"));
    assert!(findings("{}")[0].contains("there is no list `containerDefinitions`"));
}

#[test]
fn the_command_line_is_read() {
    let parse = |text: &str| Args::parse(text.split_whitespace().map(str::to_owned));
    let args = parse("--task-definition t.json --iam --file /x.conf=./x.conf --region=eu-west-1").unwrap();
    assert!(args.iam && args.files == [("/x.conf".to_owned(), "./x.conf".into())] && args.region.is_some());
    assert!(
        parse("--iam").is_err() && parse("--task-definition").is_err() && parse("t.json --nope").is_err()
    );
}
