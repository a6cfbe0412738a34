//! The configuration of a scenario, the same for every program, and the files that it names.

use std::fmt::Write as _;
use std::path::Path;

use crate::lines::Kind;
use crate::scenario::{Filters, Objects, Output, Scenario, Setup, Work};

/// What a configuration has to name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    /// The unix socket that the router is to listen at.
    pub(crate) socket: &'a Path,
    /// The file that it is to read, where it reads one.
    pub(crate) file: &'a Path,
    /// A folder that the router may write to.
    pub(crate) store: &'a Path,
    /// Port for the router's own HTTP server.
    pub(crate) http_port: u16,
    /// HTTPS port of the local AWS; 0 where there is none.
    pub(crate) aws_port: u16,
    /// Port behind which nobody answers, for one output more.
    pub(crate) dead_port: Option<u16>,
    /// The certificate of the local AWS.
    pub(crate) ca_file: &'a Path,
}

type Properties = Vec<(&'static str, String)>;

/// Name of the file with parsers, beside the configuration.
const PARSERS: &str = "parsers.conf";
/// Name of the Lua script.
const SCRIPT: &str = "shape.lua";

/// Two parsers: lines with a time, and what a container wrote.
const PARSERS_TEXT: &str = "\
[PARSER]
    Name app_json
    Format json
    Time_Key time
    Time_Format %Y-%m-%dT%H:%M:%S.%L%z
    Time_Keep On

[PARSER]
    Name plain_json
    Format json
";

const SCRIPT_TEXT: &str = "\
function shape(tag, timestamp, record)
    record[\"env\"] = \"prod\"
    record[\"source\"] = nil
    if string.find(record[\"log\"], \"order placed\", 1, true) then
        record[\"kind\"] = \"order\"
    end
    return 2, timestamp, record
end
";

/// Files that lie beside the configuration: their names and what is in them.
pub(crate) fn files(scenario: &Scenario) -> Vec<(&'static str, &'static str)> {
    let mut files = Vec::new();
    if has_parsers(scenario) {
        files.push((PARSERS, PARSERS_TEXT));
    }
    if scenario.filters == Filters::Lua {
        files.push((SCRIPT, SCRIPT_TEXT));
    }
    files
}

fn has_parsers(scenario: &Scenario) -> bool {
    scenario.filters == Filters::Chain || matches!(scenario.work, Work::File(Kind::Json, _))
}

/// The configuration.
pub(crate) fn text(scenario: &Scenario, places: &Places<'_>) -> String {
    let mut text = String::new();
    if scenario.setup == Setup::Tuned {
        section(&mut text, "SERVICE", &service(scenario, places));
    }
    section(&mut text, "INPUT", &input(scenario, places));
    if scenario.setup == Setup::Agent {
        section(&mut text, "FILTER", &metadata());
    }
    for filter in scenario.filters.properties() {
        section(&mut text, "FILTER", &filter);
    }
    for output in scenario.outputs {
        let mut properties = output.properties(places);
        if scenario.setup == Setup::Tuned {
            properties.push(("Workers", output.workers().to_string()));
        }
        section(&mut text, "OUTPUT", &properties);
    }
    if let Some(port) = places.dead_port {
        section(&mut text, "OUTPUT", &Output::Kinesis.properties(&Places { aws_port: port, ..*places }));
    }
    text
}

fn service(scenario: &Scenario, places: &Places<'_>) -> Properties {
    // What was read of a file may take minutes to be compressed; a router that is done ends before its grace does.
    let grace = if matches!(scenario.work, Work::File(..)) { "300" } else { "30" };
    let mut service = vec![
        ("Flush", "1".to_owned()),
        ("Grace", grace.into()),
        ("HTTP_Server", "On".into()),
        ("HTTP_Listen", "127.0.0.1".into()),
        ("HTTP_Port", places.http_port.to_string()),
    ];
    if has_parsers(scenario) {
        service.push(("Parsers_File", PARSERS.into()));
    }
    service
}

fn input(scenario: &Scenario, places: &Places<'_>) -> Properties {
    if let Work::File(kind, _) = scenario.work {
        let mut input = vec![
            ("Name", "tail".to_owned()),
            ("Tag", "app".into()),
            ("Path", places.file.display().to_string()),
            ("DB", places.store.with_file_name("tail.db").display().to_string()),
            ("Read_from_Head", "On".into()),
        ];
        if kind == Kind::Json {
            input.push(("Parser", "app_json".into()));
        }
        return input;
    }
    let mut input = vec![("Name", "forward".to_owned())];
    if scenario.setup == Setup::Agent {
        input.push(("Mem_Buf_Limit", "25MB".into()));
    }
    input.push(("unix_path", places.socket.display().to_string()));
    input
}

/// The filter that the agent adds unless it is told not to.
fn metadata() -> Properties {
    vec![
        ("Name", "record_modifier".into()),
        ("Match", "*".into()),
        ("Record", "ecs_cluster shop".into()),
        ("Record", "ecs_task_arn arn:aws:ecs:eu-central-1:123456789012:task/shop/0123456789abcdef".into()),
        ("Record", "ecs_task_definition shop:7".into()),
    ]
}

impl Filters {
    fn properties(self) -> Vec<Properties> {
        let filter = |name: &str, options: &[(&'static str, &str)]| -> Properties {
            let head = [("Name", name.to_owned()), ("Match", "*".to_owned())];
            head.into_iter().chain(options.iter().map(|(key, value)| (*key, (*value).to_owned()))).collect()
        };
        match self {
            Filters::None => Vec::new(),
            Filters::Chain => vec![
                filter("parser", &[("Key_Name", "log"), ("Parser", "plain_json"), ("Reserve_Data", "On")]),
                filter(
                    "modify",
                    &[
                        ("Rename", "container_name name"),
                        ("Add", "env prod"),
                        ("Condition", "Key_exists source"),
                    ],
                ),
                // Nothing is left out, so that what arrives can be counted.
                filter("grep", &[("Exclude", "level ^debug$")]),
                filter("record_modifier", &[("Record", "ecs_cluster shop"), ("Remove_key", "container_id")]),
            ],
            Filters::Lua => vec![filter("lua", &[("script", SCRIPT), ("call", "shape")])],
        }
    }
}

impl Output {
    /// Fluent Bit's S3 output keeps lists that several workers would share.
    fn workers(self) -> u32 {
        if matches!(self, Output::S3(_)) { 1 } else { 2 }
    }

    fn properties(self, places: &Places<'_>) -> Properties {
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
            Output::Kinesis => vec![
                ("Name", "kinesis_streams".to_owned()),
                ("stream", "shop".into()),
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
    fn properties(self, places: &Places<'_>) -> Properties {
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
        match self {
            Objects::Gzip => properties.push(("compression", "gzip".into())),
            Objects::Zstd => properties.push(("compression", "zstd".into())),
            Objects::Whole | Objects::Parts => {}
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
    use crate::scenario::SCENARIOS;

    use super::*;

    fn text_of(name: &str, dead_port: Option<u16>) -> String {
        let places = Places {
            socket: Path::new("/run/s.sock"),
            file: Path::new("/run/app.log"),
            store: Path::new("/run/store"),
            http_port: 2020,
            aws_port: 8443,
            dead_port,
            ca_file: Path::new("/run/ca.pem"),
        };
        text(SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap(), &places)
    }

    #[test]
    fn the_agents_configuration_has_no_service_section_and_a_memory_limit() {
        let text = |name: &str| text_of(name, None);
        assert!(!text("idle").contains("[SERVICE]"));
        assert!(text("idle").contains("    Mem_Buf_Limit 25MB\n    unix_path /run/s.sock\n"));
        assert!(!text("fwd-cwl").contains("Mem_Buf_Limit"));
        assert!(text("fwd-s3-gzip").contains("    endpoint https://127.0.0.1:8443\n"));
        assert!(text("fwd-null").ends_with("[OUTPUT]\n    Name null\n    Match *\n    Workers 2\n"));
    }

    #[test]
    fn a_file_is_read_from_its_start_with_a_position_database() {
        let text = text_of("tail-json-s3", None);
        assert!(text.contains(
            "    Path /run/app.log\n    DB /run/tail.db\n    Read_from_Head On\n    Parser app_json\n"
        ));
        assert!(text.contains("    Parsers_File parsers.conf\n"), "{text}");
        assert!(!text.contains("forward"));
    }

    #[test]
    fn the_dead_output_is_one_more_at_a_port_of_its_own() {
        assert_eq!(text_of("isolation", None).matches("[OUTPUT]").count(), 2);
        let text = text_of("isolation", Some(9));
        assert!(
            text.ends_with("    port 9\n    Match *\n    region eu-central-1\n    tls.ca_file /run/ca.pem\n"),
            "{text}"
        );
    }
}
