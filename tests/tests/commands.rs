//! The commands beside a run: `explain`, `test`, `check --task-definition`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::Command;

use ikada_tests::binary;
use tempfile::TempDir;

const CONFIG: &str = "[INPUT]\n    Name forward\n    unix_path /var/run/fluent.sock\n\
                      [FILTER]\n    Name record_modifier\n    Match *\n    Record cluster ${CLUSTER}\n\
                      [OUTPUT]\n    Name s3\n    Alias archive\n    Match app*\n    region eu-west-1\n    bucket archive\n    s3_key_format /$TAG\n";

struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = TempDir::with_prefix("ik").unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self(dir)
    }

    fn ikada(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(binary());
        command.args(args).current_dir(self.0.path()).env("CLUSTER", "prod").env_remove("AWS_REGION");
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

#[test]
fn a_record_s_way_is_explained() {
    let folder = Folder::new(&[("a.conf", CONFIG)]);
    let (status, out, _) = folder.ikada(&["explain", "-c", "a.conf", "app"]);
    assert_eq!(status, Some(0));
    assert!(out.contains("output archive (s3)  Match app*, bucket archive, key app-firelens-"), "{out}");
    let (_, out, _) = folder.ikada(&["explain", "-c", "a.conf", "--format", "mermaid"]);
    assert!(out.starts_with("flowchart LR\n"), "{out}");
}

#[test]
fn samples_and_expectations_are_tried_out() {
    let good = "config: a.conf\nenv: { CLUSTER: test }\ntests:\n  - name: all are kept\n    input: [x]\n    expect:\n      archive:\n        - { log: x, cluster: test }\n";
    let bad = good.replace("cluster: test }", "cluster: other }");
    let folder = Folder::new(&[
        ("a.conf", CONFIG),
        ("x.log", "one\n{\"a\":1}\n"),
        ("good.yaml", good),
        ("bad.yaml", &bad),
    ]);
    let (status, out, said) = folder.ikada(&["test", "-c", "a.conf", "x.log", "--format", "json"]);
    assert_eq!(status, Some(0), "{said}");
    let records: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records[1]["record"], serde_json::json!({ "a": 1, "cluster": "prod" }));
    let (status, out, said) = folder.ikada(&["test", "good.yaml"]);
    assert_eq!((status, out.as_str()), (Some(0), "ok    all are kept\n1 passed, 0 failed\n"), "{said}");
    let (status, out, _) = folder.ikada(&["test", "bad.yaml"]);
    assert_eq!(status, Some(1));
    assert!(
        out.contains("FAIL  all are kept")
            && out.contains("- cluster: \"other\"")
            && out.contains("+ cluster: \"test\""),
        "{out}"
    );
    assert_eq!(folder.ikada(&["test", "-c", "a.conf"]).0, Some(1));
}

#[test]
fn a_task_definition_is_checked_and_gives_a_policy() {
    let task = r#"{"family": "shop", "networkMode": "awsvpc", "taskRoleArn": "arn:aws:iam::123456789012:role/shop", "containerDefinitions": [
        {"name": "app", "logConfiguration": {"logDriver": "awsfirelens", "options": {"Name": "cloudwatch_logs",
         "region": "eu-west-1", "log_group_name": "/ecs/shop", "log_stream_prefix": "app-"}}},
        {"name": "log_router", "firelensConfiguration": {"type": "fluentbit"}, "logConfiguration": {"logDriver": "awslogs"}}]}"#;
    let folder = Folder::new(&[("task.json", task), ("bad.json", &task.replace("\"Name\"", "\"name\""))]);
    let (status, out, said) = folder.ikada(&["check", "--task-definition", "task.json"]);
    assert_eq!((status, said.as_str()), (Some(0), ""));
    assert!(out.starts_with("The task role must be allowed:\n{"), "{out}");
    let (_, out, _) = folder.ikada(&["check", "--task-definition", "task.json", "--iam"]);
    let policy: serde_json::Value = serde_json::from_str(&out).unwrap();
    let wanted = "arn:aws:logs:eu-west-1:123456789012:log-group:/ecs/shop:log-stream:*";
    assert_eq!(policy["Statement"][0]["Resource"][0], wanted);
    let (status, out, _) = folder.ikada(&["check", "--task-definition", "bad.json"]);
    assert_eq!(status, Some(1));
    assert!(out.contains("error[firelens-option]: the agent wants `Name`"), "{out}");
}
