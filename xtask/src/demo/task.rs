//! The ECS task that the demo plays, and the configuration that the ECS agent generates for its router.

use std::fmt::Write;
use std::path::Path;

/// Identifier of the task; the agent makes it part of every tag.
pub(crate) const TASK_ID: &str = "3f2a9c41d7b84e0f9a6c5d2e1b0f8a77";

/// A container of the task, and the service that takes its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    /// JSON lines of an application, to CloudWatch Logs.
    App,
    /// Access log of a web server, to Firehose.
    Web,
    /// Audit records, to S3.
    Audit,
}

impl Container {
    pub(crate) const ALL: [Container; 3] = [Container::App, Container::Web, Container::Audit];

    /// Its name in the task definition, which is also the client's name in the marks of its records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Container::App => "app",
            Container::Web => "web",
            Container::Audit => "audit",
        }
    }

    /// The tag that the agent gives to its log driver.
    pub(crate) fn tag(self) -> String {
        format!("{}-firelens-{TASK_ID}", self.name())
    }

    /// Of ten records of the task, how many are from it.
    pub(crate) fn share(self) -> u64 {
        match self {
            Container::App | Container::Web => 4,
            Container::Audit => 2,
        }
    }
}

pub(crate) const REGION: &str = "eu-central-1";
pub(crate) const LOG_GROUP: &str = "/ecs/shop";
pub(crate) const DELIVERY_STREAM: &str = "shop-access-log";
pub(crate) const BUCKET: &str = "shop-audit-trail";

/// What differs from one run of the demo to the next.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    /// Where the router listens for the log driver; on ECS, `/var/run/fluent.sock`.
    pub(crate) socket: &'a Path,
    /// Port of the Forward input; on ECS, 24224.
    pub(crate) forward_port: u16,
    /// Port that the agent's health check asks; on ECS, 8877.
    pub(crate) health_port: u16,
    /// The local AWS.
    pub(crate) endpoint: &'a str,
    /// What the team adds (`config-file-type` and `config-file-value`).
    pub(crate) extra: &'a Path,
}

/// The file as the agent generates it for a task in network mode `awsvpc`, with `enable-ecs-log-metadata`
/// (reference, "Generated file"): no `[SERVICE]`, keys sorted within each section.
pub(crate) fn configuration(places: &Places<'_>) -> String {
    let mut text = String::new();
    section(
        &mut text,
        "INPUT",
        &[
            ("Name", "forward"),
            ("Mem_Buf_Limit", "25MB"),
            ("unix_path", &places.socket.display().to_string()),
        ],
    );
    section(
        &mut text,
        "INPUT",
        &[("Name", "forward"), ("Listen", "127.0.0.1"), ("Port", &places.forward_port.to_string())],
    );
    section(
        &mut text,
        "INPUT",
        &[
            ("Name", "tcp"),
            ("Tag", "firelens-healthcheck"),
            ("Listen", "127.0.0.1"),
            ("Port", &places.health_port.to_string()),
        ],
    );
    section(
        &mut text,
        "FILTER",
        &[
            ("Name", "record_modifier"),
            ("Match", "*"),
            ("Record", "ecs_cluster shop"),
            ("Record", &format!("ecs_task_arn arn:aws:ecs:{REGION}:123456789012:task/shop/{TASK_ID}")),
            ("Record", "ecs_task_definition shop:7"),
        ],
    );
    writeln!(text, "\n@INCLUDE {}", places.extra.display()).expect("writing to a string does not fail");
    section(&mut text, "OUTPUT", &[("Name", "null"), ("Match", "firelens-healthcheck")]);
    for container in Container::ALL {
        output(&mut text, container, places.endpoint);
    }
    text
}

/// The section that the agent makes of a container's `logConfiguration.options`.
fn output(text: &mut String, container: Container, endpoint: &str) {
    let tags = format!("{}-firelens*", container.name());
    match container {
        Container::App => section(
            text,
            "OUTPUT",
            &[
                ("Name", "cloudwatch_logs"),
                ("Match", &tags),
                ("auto_create_group", "true"),
                ("endpoint", endpoint),
                ("log_group_name", LOG_GROUP),
                ("log_key", "log"),
                ("log_stream_prefix", "fargate/"),
                ("region", REGION),
            ],
        ),
        Container::Web => section(
            text,
            "OUTPUT",
            &[
                ("Name", "kinesis_firehose"),
                ("Match", &tags),
                ("delivery_stream", DELIVERY_STREAM),
                ("endpoint", endpoint),
                ("region", REGION),
            ],
        ),
        Container::Audit => section(
            text,
            "OUTPUT",
            &[
                ("Name", "s3"),
                ("Match", &tags),
                ("bucket", BUCKET),
                ("compression", "gzip"),
                ("endpoint", endpoint),
                ("region", REGION),
                ("s3_key_format", "/audit/%Y/%m/%d/$TAG/%H%M%S-$UUID.jsonl.gz"),
                ("total_file_size", "1M"),
                ("upload_timeout", "10s"),
            ],
        ),
    }
}

fn section(text: &mut String, name: &str, properties: &[(&str, &str)]) {
    write!(text, "\n[{name}]\n").expect("writing to a string does not fail");
    for (key, value) in properties {
        writeln!(text, "    {key} {value}").expect("writing to a string does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        let places = Places {
            socket: Path::new("/var/run/fluent.sock"),
            forward_port: 24224,
            health_port: 8877,
            endpoint: "http://127.0.0.1:4566",
            extra: Path::new("/extra.conf"),
        };
        configuration(&places)
    }

    #[test]
    fn the_file_starts_as_the_agent_writes_it() {
        let head = "\n[INPUT]\n    Name forward\n    Mem_Buf_Limit 25MB\n    unix_path /var/run/fluent.sock\n\n[INPUT]\n    \
                    Name forward\n    Listen 127.0.0.1\n    Port 24224\n\n[INPUT]\n    Name tcp\n    \
                    Tag firelens-healthcheck\n    Listen 127.0.0.1\n    Port 8877\n\n[FILTER]\n";
        assert!(text().starts_with(head), "{}", text());
    }

    #[test]
    fn there_is_no_service_section_and_options_are_sorted() {
        let text = text();
        assert!(!text.contains("[SERVICE]"));
        assert!(text.contains("shop:7\n\n@INCLUDE /extra.conf\n\n[OUTPUT]\n    Name null\n"), "{text}");
        for output in text.split("\n[OUTPUT]\n").skip(1) {
            let keys: Vec<_> =
                output.lines().filter_map(|line| line.split_whitespace().next()).skip(2).collect();
            assert!(keys.is_sorted(), "{keys:?}");
        }
    }

    #[test]
    fn the_shares_make_a_whole() {
        assert_eq!(Container::ALL.iter().map(|container| container.share()).sum::<u64>(), 10);
    }
}
