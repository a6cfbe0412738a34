//! The scenarios: a table to which a line is added for a new one.

use std::fmt::Write as _;
use std::path::Path;

use crate::load::Shape;

/// A load and what becomes of it.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What it is, in a few words.
    pub(crate) about: &'static str,
    /// What is written.
    pub(crate) work: Work,
    /// How the router is set up.
    pub(crate) setup: Setup,
    /// Where it delivers to.
    pub(crate) output: Output,
}

/// What is written to the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// So many megabytes at full speed.
    Full(Shape, u64),
    /// So many megabytes a second.
    Paced(Shape, u64),
    /// Nothing: what does it take to wait?
    Idle,
}

/// How the router is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// For speed: no memory limit, two workers per output (S3: one), Flush 1.
    Tuned,
    /// As the ECS agent generates it: memory limit 25MB, the metadata filter, no `[SERVICE]`.
    Agent,
}

/// Where the router delivers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Nowhere.
    Null,
    /// CloudWatch Logs.
    CloudWatch,
    /// Firehose.
    Firehose,
    /// S3.
    S3(Objects),
}

/// How objects are uploaded to S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Objects {
    /// Objects of 10 MB, whole.
    Whole,
    /// The same, compressed with gzip.
    Gzip,
    /// Objects of 50 MB, in parts.
    Parts,
}

/// A scenario at full speed, tuned.
const fn full(
    name: &'static str,
    about: &'static str,
    shape: Shape,
    megabytes: u64,
    output: Output,
) -> Scenario {
    Scenario { name, about, work: Work::Full(shape, megabytes), setup: Setup::Tuned, output }
}

const WHOLE: Output = Output::S3(Objects::Whole);
const GZIP: Output = Output::S3(Objects::Gzip);
const PARTS: Output = Output::S3(Objects::Parts);

/// All of them. Megabytes are chosen so that a run takes seconds.
pub(crate) const SCENARIOS: &[Scenario] = &[
    full("fwd-null", "messages, 64 kB per write, thrown away", Shape::Gathered, 2_000, Output::Null),
    full("fwd-null-docker", "messages, one per write, thrown away", Shape::Single, 1_000, Output::Null),
    full("fwdpacked-null", "packs of 1,000 records, thrown away", Shape::Packed, 2_000, Output::Null),
    full(
        "fwd-cwl",
        "messages, 64 kB per write, to CloudWatch Logs",
        Shape::Gathered,
        1_000,
        Output::CloudWatch,
    ),
    full("fwd-firehose", "messages, 64 kB per write, to Firehose", Shape::Gathered, 1_000, Output::Firehose),
    full("fwd-s3", "messages, 64 kB per write, to S3 in objects of 10 MB", Shape::Gathered, 1_000, WHOLE),
    full("fwd-s3-gzip", "the same, compressed with gzip", Shape::Gathered, 500, GZIP),
    full(
        "fwd-s3-parts",
        "the same in objects of 50 MB, in parts, not compressed",
        Shape::Gathered,
        1_000,
        PARTS,
    ),
    Scenario {
        name: "rate-5MBps",
        about: "messages, one per write, 5 MB/s, to CloudWatch Logs",
        work: Work::Paced(Shape::Single, 5),
        setup: Setup::Tuned,
        output: Output::CloudWatch,
    },
    Scenario {
        name: "fwd-cwl-firelens",
        about: "fwd-cwl with the configuration that the ECS agent generates",
        work: Work::Full(Shape::Gathered, 300),
        setup: Setup::Agent,
        output: Output::CloudWatch,
    },
    Scenario {
        name: "idle",
        about: "nothing, with the configuration that the ECS agent generates",
        work: Work::Idle,
        setup: Setup::Agent,
        output: Output::CloudWatch,
    },
];

/// What a configuration has to name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    /// The unix socket that the router is to listen at.
    pub(crate) socket: &'a Path,
    /// A folder that the router may write to.
    pub(crate) store: &'a Path,
    /// Port for the router's own HTTP server.
    pub(crate) http_port: u16,
    /// HTTPS port of the local AWS; 0 where there is none.
    pub(crate) aws_port: u16,
    /// The certificate of the local AWS.
    pub(crate) ca_file: &'a Path,
}

impl Scenario {
    /// The configuration, the same for every program.
    pub(crate) fn configuration(&self, places: &Places<'_>) -> String {
        let mut text = String::new();
        if self.setup == Setup::Tuned {
            section(
                &mut text,
                "SERVICE",
                &[
                    ("Flush", "1".into()),
                    ("Grace", "30".into()),
                    ("HTTP_Server", "On".into()),
                    ("HTTP_Listen", "127.0.0.1".into()),
                    ("HTTP_Port", places.http_port.to_string()),
                ],
            );
        }
        let mut input = vec![("Name", "forward".to_owned())];
        if self.setup == Setup::Agent {
            input.push(("Mem_Buf_Limit", "25MB".into()));
        }
        input.push(("unix_path", places.socket.display().to_string()));
        section(&mut text, "INPUT", &input);
        if self.setup == Setup::Agent {
            section(&mut text, "FILTER", &metadata());
        }
        let mut output = self.output.properties(places);
        if self.setup == Setup::Tuned {
            output.push(("Workers", self.output.workers().to_string()));
        }
        section(&mut text, "OUTPUT", &output);
        text
    }
}

/// The filter that the agent adds unless it is told not to.
fn metadata() -> Vec<(&'static str, String)> {
    vec![
        ("Name", "record_modifier".into()),
        ("Match", "*".into()),
        ("Record", "ecs_cluster shop".into()),
        ("Record", "ecs_task_arn arn:aws:ecs:eu-central-1:123456789012:task/shop/0123456789abcdef".into()),
        ("Record", "ecs_task_definition shop:7".into()),
    ]
}

impl Output {
    /// Fluent Bit's S3 output keeps lists that several workers would share.
    fn workers(self) -> u32 {
        if matches!(self, Output::S3(_)) { 1 } else { 2 }
    }

    fn properties(self, places: &Places<'_>) -> Vec<(&'static str, String)> {
        let port = places.aws_port;
        let mut properties = match self {
            Output::Null => return vec![("Name", "null".into()), ("Match", "*".into())],
            Output::CloudWatch => vec![
                ("Name", "cloudwatch_logs".to_owned()),
                ("log_group_name", "shop".into()),
                ("log_stream_prefix", "s-".into()),
                ("auto_create_group", "On".into()),
                ("endpoint", "127.0.0.1".into()),
                ("port", port.to_string()),
            ],
            Output::Firehose => vec![
                ("Name", "kinesis_firehose".to_owned()),
                ("delivery_stream", "shop".into()),
                ("endpoint", "127.0.0.1".into()),
                ("port", port.to_string()),
            ],
            Output::S3(objects) => objects.properties(places),
        };
        // The endpoints are spoken to over TLS without being told; `tls On` is refused by some of Fluent Bit's outputs.
        properties.extend([
            ("Match", "*".into()),
            ("region", "eu-central-1".into()),
            ("tls.ca_file", places.ca_file.display().to_string()),
        ]);
        properties
    }
}

impl Objects {
    fn properties(self, places: &Places<'_>) -> Vec<(&'static str, String)> {
        let mut properties = vec![
            ("Name", "s3".to_owned()),
            ("bucket", "shop".into()),
            ("s3_key_format", "/logs/$TAG/%Y/%m/%d/%H-%M-%S-$UUID".into()),
            ("store_dir", places.store.display().to_string()),
            ("endpoint", format!("https://127.0.0.1:{}", places.aws_port)),
        ];
        properties.extend(match self {
            Objects::Parts => vec![("total_file_size", "50M".into())],
            _ => vec![("total_file_size", "10M".into()), ("use_put_object", "On".into())],
        });
        if self == Objects::Gzip {
            properties.push(("compression", "gzip".into()));
        }
        properties
    }
}

fn section(text: &mut String, name: &str, properties: &[(&str, String)]) {
    writeln!(text, "\n[{name}]").expect("writing into a String does not fail");
    for (key, value) in properties {
        writeln!(text, "    {key} {value}").expect("writing into a String does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_a_table() {
        for (at, scenario) in SCENARIOS.iter().enumerate() {
            assert!(scenario.name.len() <= 20 && scenario.about.len() <= 70, "{}", scenario.name);
            assert!(SCENARIOS[..at].iter().all(|other| other.name != scenario.name));
        }
    }

    #[test]
    fn the_agents_configuration_has_no_service_section_and_a_memory_limit() {
        let places = Places {
            socket: Path::new("/run/s.sock"),
            store: Path::new("/run/store"),
            http_port: 2020,
            aws_port: 8443,
            ca_file: Path::new("/run/ca.pem"),
        };
        let text = |name: &str| {
            let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap();
            scenario.configuration(&places)
        };
        assert!(!text("idle").contains("[SERVICE]"));
        assert!(text("idle").contains("    Mem_Buf_Limit 25MB\n    unix_path /run/s.sock\n"));
        assert!(!text("fwd-cwl").contains("Mem_Buf_Limit"));
        assert!(text("fwd-s3-gzip").contains("    endpoint https://127.0.0.1:8443\n"));
        assert!(text("fwd-null").ends_with("[OUTPUT]\n    Name null\n    Match *\n    Workers 2\n"));
    }
}
