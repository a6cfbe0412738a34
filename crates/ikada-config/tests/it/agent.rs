//! Every shape of the configuration that the ECS agent generates loads unchanged.

use std::time::Duration;

use ikada_options::{InputCommon, Options};

use super::*;

const MAIN: &str = "/fluent-bit/etc/fluent-bit.conf";

/// Loads a fixture as the file that the agent mounts, with what lies around it in the image.
fn fixture(name: &str) -> (Loaded, Pipeline) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/agent").join(format!("{name}.conf"));
    let external = "[SERVICE]\n    Flush 1\n    Grace 30\n    Parsers_File /fluent-bit/parsers/parsers.conf\n\n[FILTER]\n    Name grep\n    Match app-firelens*\n    Exclude log /health\n";
    let extra = "[OUTPUT]\n    Name stdout\n    Match *\n";
    let files = MemoryFiles::new()
        .with(MAIN, std::fs::read(path).unwrap())
        .with("/fluent-bit/etc/external.conf", external)
        .with("/extra.conf", extra);
    let env = MapEnv::new()
        .with("apikey_0", "hunter2")
        .with("bucket_1", "audit-logs")
        .with("HOSTNAME", "ip-10-0-0-1");
    let mut loaded = load_classic(Path::new(MAIN), &files, &env, Path::new("/"));
    let pipeline = build(&mut loaded);
    (loaded, pipeline)
}

fn all(instances: &[Instance]) -> Vec<String> {
    instances.iter().map(told).collect()
}

const SOCKET: &str = "forward.0 mem_buf_limit=50MB unix_path=/var/run/fluent.sock";
const HEALTH: &str = "tcp.2 tag=firelens-healthcheck listen=127.0.0.1 port=8877";
const HEALTH_OUT: &str = "null.0 match=firelens-healthcheck";
const METADATA: &str = "match=* record=ecs_cluster orders record=ecs_task_arn arn:aws:ecs:eu-central-1:111122223333:task/orders/0123456789abcdef0123456789abcdef record=ecs_task_definition orders:42";
const LOGS: &str = "cloudwatch_logs.0 match=app-firelens* auto_create_group=true log_group_name=/ecs/orders log_stream_prefix=app- region=eu-central-1";

/// The same as the second of its kind.
fn second(first: &str) -> String {
    first.replacen(".0", ".1", 1)
}

#[test]
fn bridge_mode_listens_for_all_and_knows_its_instance() {
    let (loaded, pipeline) = fixture("bridge");
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(all(&pipeline.inputs), [SOCKET, "forward.1 listen=0.0.0.0 port=24224", HEALTH]);
    let metadata = METADATA.replacen("match=*", "match=* record=ec2_instance_id i-0a1b2c3d4e5f60718", 1);
    assert_eq!(all(&pipeline.filters), [format!("record_modifier.0 {metadata}")]);
    let firehose =
        "kinesis_firehose.2 match=web-firelens* delivery_stream=web-logs region=eu-central-1 retry_limit=2";
    assert_eq!(all(&pipeline.outputs), [HEALTH_OUT, &second(LOGS), firehose]);
}

#[test]
fn awsvpc_mode_listens_for_its_own_task() {
    let (loaded, pipeline) = fixture("awsvpc");
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(all(&pipeline.inputs), [SOCKET, "forward.1 listen=127.0.0.1 port=24224", HEALTH]);
    assert_eq!(all(&pipeline.filters), [format!("record_modifier.0 {METADATA}")]);
    assert_eq!(all(&pipeline.outputs), [HEALTH_OUT, &second(LOGS)]);
}

#[test]
fn host_mode_has_the_socket_only() {
    let (loaded, pipeline) = fixture("host");
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(all(&pipeline.inputs), [SOCKET]);
    assert_eq!(all(&pipeline.outputs), [LOGS]);
}

#[test]
fn metadata_may_be_off() {
    let (loaded, pipeline) = fixture("metadata-off");
    assert_eq!(lines(&loaded), NONE);
    assert!(pipeline.filters.is_empty());
    assert_eq!(pipeline.outputs.len(), 2);
}

#[test]
fn the_memory_limit_may_be_absent_or_of_any_size() {
    let limit = |name| {
        let (mut loaded, mut pipeline) = fixture(name);
        let common = InputCommon::parse(&mut pipeline.inputs[0].bag, &mut loaded.diagnostics).unwrap();
        assert_eq!(lines(&loaded), NONE);
        common.mem_buf_limit.map(|limit| limit.value.0)
    };
    assert_eq!(limit("host"), Some(50_000_000));
    assert_eq!(limit("mem-buf-limit-25"), Some(25_000_000));
    assert_eq!(limit("no-mem-buf-limit"), None);
}

#[test]
fn include_and_exclude_patterns_stand_before_the_metadata() {
    let (loaded, pipeline) = fixture("patterns");
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(
        all(&pipeline.filters),
        [
            "grep.0 match=app-firelens* regex=log ^[a-z][aeiou].*$".to_owned(),
            "grep.1 match=web-firelens* regex=log status=5..".to_owned(),
            "grep.2 match=app-firelens* exclude=log *failure*".to_owned(),
            format!("record_modifier.3 {METADATA}"),
        ]
    );
}

#[test]
fn an_external_file_stands_between_the_metadata_and_the_outputs() {
    let (loaded, pipeline) = fixture("external-s3");
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(
        all(&pipeline.filters),
        [
            format!("record_modifier.0 {METADATA}"),
            "grep.1 match=app-firelens* exclude=log /health".to_owned()
        ]
    );
    assert_eq!(pipeline.service.grace, ikada_config::Grace::Within(Duration::from_secs(30)));
    assert_eq!(pipeline.service.parsers_file[0].value, Path::new("/fluent-bit/parsers/parsers.conf"));
    assert_eq!(loaded.sources.name(pipeline.filters[1].header.source), "/fluent-bit/etc/external.conf");
}

#[test]
fn an_external_file_may_bring_the_outputs() {
    for name in ["external-file", "no-options"] {
        let (loaded, pipeline) = fixture(name);
        assert_eq!(lines(&loaded), NONE);
        assert_eq!(all(&pipeline.outputs), ["stdout.0 match=*", &second(HEALTH_OUT)]);
    }
}

#[test]
fn secret_options_come_from_variables_and_are_never_shown() {
    let (loaded, pipeline) = fixture("secrets");
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(
        all(&pipeline.outputs),
        [
            "http.0 match=app-firelens* host=logs.example.com apikey=hunter2 tls=On",
            "s3.1 match=web-firelens* bucket=audit-logs region=eu-central-1",
        ]
    );
    assert!(!format!("{:?}", pipeline.outputs).contains("hunter2"));
}

#[test]
fn raw_values_keep_blanks_signs_and_templates() {
    let (loaded, pipeline) = fixture("raw-values");
    assert_eq!(
        lines(&loaded),
        [
            "/fluent-bit/etc/fluent-bit.conf:13:25: warning[trailing-comment]: this is part of the value of `log_format`, not a comment (help: a comment needs a line of its own)"
        ]
    );
    assert_eq!(
        all(&pipeline.outputs),
        [
            "cloudwatch.0 match=app-firelens* log_group_name=/ecs/$(ecs_cluster)/$(ecs_task_id) log_stream_name=$(container_name)-ip-10-0-0-1 default_log_group_name=two words log_format=json/emf # not a comment"
        ]
    );
}

#[test]
fn an_empty_log_option_is_an_error_that_names_the_option() {
    let (loaded, pipeline) = fixture("empty-value");
    assert_eq!(
        lines(&loaded),
        [
            "/fluent-bit/etc/fluent-bit.conf:14:1: error[empty-value]: `log_key` has an empty value (help: remove the line or give it a value; in a task definition that is the log option `log_key`)"
        ]
    );
    assert_eq!(all(&pipeline.outputs), [LOGS]);
}

#[test]
fn line_breaks_in_a_value_add_properties() {
    let (loaded, pipeline) = fixture("line-breaks");
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(
        all(&pipeline.outputs),
        ["http.0 match=app-firelens* host=logs.example.com port=443 tls=On format=json_lines"]
    );
}
