//! The init process: a configuration out of S3 and the image, as variables of the task name it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use ikada_localaws::{AutoCreate, Config, Fault, FaultKind, LocalAws, Service};
use ikada_tests::{binary, wait_for};
use tempfile::TempDir;

/// A task's surroundings: S3, the metadata endpoint, and the agent's file.
struct Task {
    aws: LocalAws,
    dir: TempDir,
}

/// What the agent writes, with an input that ends by itself.
const AGENT: &str = "\n[INPUT]\n    Name dummy\n    Tag app-firelens-77\n    Samples 1\n    Rate 100\n    Flush_On_Startup on\n    \
                     Dummy {\"log\":\"{\\\"level\\\":\\\"info\\\",\\\"user\\\":7}\",\"container_name\":\"app\"}\n\n\
                     [FILTER]\n    Name record_modifier\n    Match *\n    Record ecs_cluster ${ECS_CLUSTER}\n\n\
                     [OUTPUT]\n    Name stdout\n    Match app-firelens*\n    Format json_lines\n";

impl Task {
    fn new() -> Self {
        let auto_create = AutoCreate { buckets: false, ..AutoCreate::default() };
        let aws = LocalAws::start(Config { require_auth: false, auto_create, ..Config::default() }).unwrap();
        aws.s3().create_bucket("conf");
        let dir = TempDir::with_prefix("ik").unwrap();
        std::fs::write(dir.path().join("fluent-bit.conf"), AGENT).unwrap();
        Self { aws, dir }
    }

    fn put(&self, key: &str, text: &str) {
        let mut socket = TcpStream::connect(self.aws.http_addr()).unwrap();
        let length = text.len();
        let head = format!(
            "PUT /conf/{key} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// A file of the image.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn command(&self, args: &[&str], variables: &[(&str, &str)]) -> Command {
        let url = self.aws.http_url();
        let mut command = Command::new(binary());
        command
            .arg("-c")
            .arg(self.dir.path().join("fluent-bit.conf"))
            .args(args)
            .current_dir(Path::new("/"))
            .env("AWS_ENDPOINT_URL_S3", &url)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("ECS_CONTAINER_METADATA_URI_V4", format!("{url}/v4/abc"))
            .envs(variables.iter().copied());
        command
    }

    fn check(&self, variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let Output { status, stderr, .. } = self.command(&["-D"], variables).output().unwrap();
        (status.code(), String::from_utf8_lossy(&stderr).into_owned())
    }
}

const S3: &str = "aws_fluent_bit_init_s3_1";
const EXTRA: &str = "arn:aws:s3:::conf/extra.conf";

#[test]
fn what_cannot_be_fetched_ends_the_start_with_the_arn_and_the_missing_permission() {
    let task = Task::new();
    let (status, said) = task.check(&[(S3, EXTRA)]);
    assert_eq!(status, Some(1));
    assert!(
        said.contains(
            "environment:1:26: error[init-fetch]: cannot fetch `arn:aws:s3:::conf/extra.conf`: NoSuchKey"
        ),
        "{said}"
    );
    assert!(said.contains("(HTTP 404) (help: the bucket `conf` has no key `extra.conf`)"), "{said}");

    let (_, said) = task.check(&[(S3, "arn:aws:s3:::nobody-s/extra.conf")]);
    assert!(
        said.contains("NoSuchBucket") && said.contains("(help: no bucket is named `nobody-s`)"),
        "{said}"
    );

    task.put("extra.conf", "[FILTER]\n    Name grep\n    Match *\n    Regex log .\n");
    assert_eq!(task.check(&[(S3, EXTRA)]).0, Some(0));
    task.aws.faults().add(Fault::new(FaultKind::AccessDenied).on(Service::S3, "GetObject"));
    let (status, said) = task.check(&[(S3, EXTRA)]);
    assert_eq!(status, Some(1));
    assert!(said.contains("AccessDenied") && said.contains("(HTTP 403) (tried 2 times)"), "{said}");
    assert!(said.contains("the task role needs `s3:GetObject` on `arn:aws:s3:::conf/extra.conf`"), "{said}");
}

#[test]
fn objects_and_files_of_variables_are_part_of_the_configuration() {
    let task = Task::new();
    task.put(
        "a/extra.conf",
        "[FILTER]\n    Name record_modifier\n    Match *\n    Record from_s3 ${ECS_TASK_DEFINITION}\n",
    );
    let own = task.file("own.conf", "[SERVICE]\n    Flush 0.2\n[FILTER]\n    Name record_modifier\n    Match *\n    Record from_file yes\n");
    let variables = [
        ("aws_fluent_bit_init_file_2", own.as_str()),
        ("aws_fluent_bit_init_s3_1", "arn:aws:s3:::conf/a/extra.conf"),
    ];
    let mut child = task.command(&[], &variables).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let record: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(record["ecs_cluster"], "local", "out of the task's metadata");
    assert_eq!((record["from_s3"].as_str(), record["from_file"].as_str()), (Some("web:1"), Some("yes")));
    assert_eq!(std::fs::read_dir(task.dir.path()).unwrap().count(), 2, "nothing was written to disk");
}

/// The agent's part: two containers' lines, and where those of `app` go.
fn two_containers(url: &str) -> String {
    let input = |log: &str| {
        let record = serde_json::json!({ "log": log });
        format!(
            "\n[INPUT]\n    Name dummy\n    Tag app-firelens-77\n    Samples 1\n    Rate 100\n    Flush_On_Startup on\n    Dummy {record}\n"
        )
    };
    let (first, second) = (input("{\"kind\":\"audit\",\"user\":7}"), input("hello"));
    format!(
        "{first}{second}\n[OUTPUT]\n    Name kinesis_firehose\n    Match app-firelens*\n    region eu-west-1\n    delivery_stream app\n    endpoint {url}\n"
    )
}

const PARSERS: &str = "[PARSER]\n    Name audit_json\n    Format json\n";

fn audit(url: &str) -> String {
    format!(
        "[SERVICE]\n    Flush 0.2\n[FILTER]\n    Name parser\n    Match app-*\n    Key_Name log\n    Parser audit_json\n    Reserve_Data on\n\
         [FILTER]\n    Name rewrite_tag\n    Match app-*\n    Rule $kind ^audit$ audit.$TAG false\n\
         [OUTPUT]\n    Name kinesis_firehose\n    Match audit.*\n    region eu-west-1\n    delivery_stream audit\n    endpoint {url}\n"
    )
}

#[test]
fn a_configuration_of_two_objects_brings_each_record_where_it_belongs() {
    let task = Task::new();
    let url = task.aws.http_url();
    task.file("fluent-bit.conf", &two_containers(&url));
    task.put("parsers.conf", PARSERS);
    task.put("audit.conf", &audit(&url));
    let variables = [
        ("aws_fluent_bit_init_s3_1", "arn:aws:s3:::conf/parsers.conf"),
        ("aws_fluent_bit_init_s3_2", "arn:aws:s3:::conf/audit.conf"),
    ];
    let mut child = task.command(&[], &variables).spawn().unwrap();
    let records = |stream: &str| task.aws.firehose().records(stream);
    wait_for("a record at each", || !records("audit").is_empty() && !records("app").is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    let text = |stream: &str| String::from_utf8(records(stream).concat()).unwrap();
    assert_eq!(text("audit").trim(), "{\"kind\":\"audit\",\"user\":7}");
    assert_eq!(text("app").trim(), "{\"log\":\"hello\"}");
}

#[test]
fn each_mistake_of_that_story_has_its_finding() {
    let task = Task::new();
    let url = task.aws.http_url();
    task.file("fluent-bit.conf", &two_containers(&url));
    task.put("parsers.conf", PARSERS);
    task.put("audit.conf", &audit(&url));
    let (parsers, audit) = ("arn:aws:s3:::conf/parsers.conf", "arn:aws:s3:::conf/audit.conf");

    // A variable that no image looks at.
    let (status, said) = task.check(&[("AWS_FLUENT_BIT_INIT_S3_1", audit)]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("environment:1:1: warning[init-variable-name]"), "{said}");
    assert!(said.contains("name it `aws_fluent_bit_init_s3_1`"), "{said}");

    // The parser is not registered.
    let (status, said) = task.check(&[("aws_fluent_bit_init_s3_1", audit)]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("arn:aws:s3:::conf/audit.conf:7:12: error[unknown-parser]"), "{said}");
    assert!(said.contains("`audit_json`"), "{said}");

    // The file is not included, but named as one of parsers.
    let image = task.file("audit.conf", &self::audit(&url));
    let service = task.file("service.conf", &format!("[SERVICE]\n    Parsers_File {image}\n"));
    let variables = [("aws_fluent_bit_init_s3_1", parsers), ("aws_fluent_bit_init_file_2", service.as_str())];
    let (_, said) = task.check(&variables);
    assert!(said.contains("`[FILTER]` in a parsers file is ignored"), "{said}");
    assert!(said.contains("move it to a file that is included"), "{said}");
}
