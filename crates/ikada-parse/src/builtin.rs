//! Parsers that need no file: the names that the parsers files of Fluent Bit's image have, written anew.
//!
//! One is built when something first asks for it. Its time key is `time` and stays in the record unless said otherwise.

mod extra;

use ikada_diag::{Diagnostics, Sources, Spanned};

use crate::parser::{Format, Parser, ParserOptions};

/// A parser by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    format: Format,
    regex: &'static str,
    time: Option<Time>,
}

#[derive(Debug, Clone, Copy)]
struct Time {
    key: &'static str,
    format: &'static str,
    keep: bool,
}

const COMMON_LOG: &str = "%d/%b/%Y:%H:%M:%S %z";
const ISO: &str = "%Y-%m-%dT%H:%M:%S.%L";
const ISO_ZONE: &str = "%Y-%m-%dT%H:%M:%S.%L%z";
const SYSLOG: &str = "%b %d %H:%M:%S";

/// What the parser `json` understands beside the time of a common log line. Fluent Bit leaves such a record without its time.
const TIMES_OF_JSON: [&str; 6] =
    [ISO_ZONE, "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S.%L%z", "%Y-%m-%d %H:%M:%S%z", "%s.%L", "%s"];

const fn time(format: &'static str) -> Option<Time> {
    timed("time", format)
}

const fn timed(key: &'static str, format: &'static str) -> Option<Time> {
    Some(Time { key, format, keep: false })
}

const fn kept(key: &'static str, format: &'static str) -> Option<Time> {
    Some(Time { key, format, keep: true })
}

const fn regex(name: &'static str, regex: &'static str, time: Option<Time>) -> Definition {
    Definition { name, format: Format::Regex, regex, time }
}

const fn plain(name: &'static str, format: Format, time: Option<Time>) -> Definition {
    Definition { name, format, regex: "", time }
}

/// All of them.
pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    DEFINITIONS.iter().chain(extra::DEFINITIONS)
}

/// Those of `parsers.conf`.
const DEFINITIONS: &[Definition] = &[
    plain("json", Format::Json, time(COMMON_LOG)),
    plain("logfmt", Format::Logfmt, None),
    plain("docker", Format::Json, kept("time", ISO)),
    regex(
        "apache",
        concat!(
            r#"^(?<host>[^ ]*) [^ ]* (?<user>[^ ]*) \[(?<time>[^\]]*)\] "#,
            r#""(?<method>\S+)(?: +(?<path>[^"]*?)(?: +\S*)?)?" (?<code>[^ ]*) (?<size>[^ ]*)"#,
            r#"(?: "(?<referer>[^"]*)" "(?<agent>[^"]*)")?$"#
        ),
        time(COMMON_LOG),
    ),
    regex(
        "apache2",
        concat!(
            r#"^(?<host>[^ ]*) [^ ]* (?<user>[^ ]*) \[(?<time>[^\]]*)\] "#,
            r#""(?<method>\S+)(?: +(?<path>[^ ]*) +\S*)?" (?<code>[^ ]*) (?<size>[^ ]*)"#,
            r#"(?: "(?<referer>[^"]*)" "(?<agent>.*)")?$"#
        ),
        time(COMMON_LOG),
    ),
    regex(
        "apache_error",
        concat!(
            r"^\[[^ ]* (?<time>[^\]]*)\] \[(?<level>[^\]]*)\](?: \[pid (?<pid>[^\]]*)\])?",
            r"(?: \[client (?<client>[^\]]*)\])? (?<message>.*)$"
        ),
        None,
    ),
    regex(
        "nginx",
        concat!(
            r#"^(?<remote>[^ ]*) (?<host>[^ ]*) (?<user>[^ ]*) \[(?<time>[^\]]*)\] "#,
            r#""(?<method>\S+)(?: +(?<path>[^"]*?)(?: +\S*)?)?" (?<code>[^ ]*) (?<size>[^ ]*) "#,
            r#""(?<referer>[^"]*)" "(?<agent>[^"]*)""#
        ),
        time(COMMON_LOG),
    ),
    regex(
        "k8s-nginx-ingress",
        concat!(
            r#"^(?<host>[^ ]*) - (?<user>[^ ]*) \[(?<time>[^\]]*)\] "#,
            r#""(?<method>\S+)(?: +(?<path>[^"]*?)(?: +\S*)?)?" (?<code>[^ ]*) (?<size>[^ ]*) "#,
            r#""(?<referer>[^"]*)" "(?<agent>[^"]*)" (?<request_length>[^ ]*) (?<request_time>[^ ]*) "#,
            r"\[(?<proxy_upstream_name>[^ ]*)\](?: \[(?<proxy_alternative_upstream_name>[^ ]*)\])? ",
            r"(?<upstream_addr>[^ ]*) (?<upstream_response_length>[^ ]*) (?<upstream_response_time>[^ ]*) ",
            r"(?<upstream_status>[^ ]*) (?<reg_id>[^ ]*)"
        ),
        time(COMMON_LOG),
    ),
    regex(
        "docker-daemon",
        r#"time="(?<time>[^ ]*)" level=(?<level>[^ ]*) msg="(?<msg>[^ ].*)""#,
        kept("time", ISO),
    ),
    regex(
        "syslog-rfc5424",
        concat!(
            r"^<(?<pri>[0-9]{1,5})>1 (?<time>[^ ]+) (?<host>[^ ]+) (?<ident>[^ ]+) (?<pid>[-0-9]+) ",
            r"(?<msgid>[^ ]+) (?<extradata>\[.*?\]|-)(?: (?<message>.+))?$"
        ),
        kept("time", ISO_ZONE),
    ),
    regex(
        "syslog-rfc3164-local",
        concat!(
            r"^<(?<pri>[0-9]+)>(?<time>[^ ]+ {1,2}[^ ]+ [^ ]+) (?<ident>[-\w/.]*)(?:\[(?<pid>[0-9]+)\])?",
            r"(?:[^:]*:)? *(?<message>.*)$"
        ),
        kept("time", SYSLOG),
    ),
    regex(
        "syslog-rfc3164",
        concat!(
            r"^<(?<pri>[0-9]+)>(?<time>[^ ]+ {1,2}[^ ]+ [^ ]+) (?<host>[^ ]*) (?<ident>[-\w/.]*)",
            r"(?:\[(?<pid>[0-9]+)\])?(?:[^:]*:)? *(?<message>.*)$"
        ),
        kept("time", SYSLOG),
    ),
    regex(
        "mongodb",
        concat!(
            r"^(?<time>[^ ]*)\s+(?<severity>\w)\s+(?<component>[^ ]+)\s+\[(?<context>[^\]]+)\]\s+",
            r"(?<message>.*?) *(?<ms>[0-9]+)?(?::?ms)?$"
        ),
        kept("time", ISO),
    ),
    regex(
        "envoy",
        concat!(
            r#"^\[(?<start_time>[^\]]*)\] "(?<method>\S+)(?: (?<path>[^"]*?)(?: +(?<protocol>\S+))?)?" "#,
            r"(?<code>[^ ]*) (?<response_flags>[^ ]*) (?<bytes_received>[^ ]*) (?<bytes_sent>[^ ]*) ",
            r#"(?<duration>[^ ]*) (?<x_envoy_upstream_service_time>[^ ]*) "(?<x_forwarded_for>[^"]*)" "#,
            r#""(?<user_agent>[^"]*)" "(?<request_id>[^"]*)" "(?<authority>[^"]*)" "(?<upstream_host>[^"]*)""#
        ),
        kept("start_time", ISO_ZONE),
    ),
    regex(
        "istio-envoy-proxy",
        concat!(
            r#"^\[(?<start_time>[^\]]*)\] "(?<method>\S+)(?: (?<path>[^"]*?)(?: +(?<protocol>\S+))?)?" "#,
            r"(?<response_code>[^ ]*) (?<response_flags>[^ ]*) (?<response_code_details>[^ ]*) ",
            r#"(?<connection_termination_details>[^ ]*) "?(?<upstream_transport_failure_reason>[^"]*?)"? "#,
            r"(?<bytes_received>[0-9]+) (?<bytes_sent>[^ ]*) (?<duration>[^ ]*) ",
            r#"(?<x_envoy_upstream_service_time>[^ ]*) "(?<x_forwarded_for>[^"]*)" "(?<user_agent>[^"]*)" "#,
            r#""(?<x_request_id>[^"]*)" "(?<authority>[^"]*)" "(?<upstream_host>[^"]*)" "#,
            r"(?<upstream_cluster>[^ ]*) (?<upstream_local_address>[^ ]*) (?<downstream_local_address>[^ ]*) ",
            r"(?<downstream_remote_address>[^ ]*) (?<requested_server_name>[^ ]*) (?<route_name>.*)$"
        ),
        kept("start_time", ISO_ZONE),
    ),
    regex(
        "cri",
        r"^(?<time>[^ ]+) (?<stream>stdout|stderr) (?<logtag>[^ ]*) (?<message>.*)$",
        kept("time", ISO_ZONE),
    ),
    regex(
        "kube-custom",
        concat!(
            r"(?<tag>[^.]+)?\.?(?<pod_name>[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)",
            r"_(?<namespace_name>[^_]+)_(?<container_name>.+)-(?<docker_id>[a-z0-9]{64})\.log$"
        ),
        None,
    ),
    regex(
        "kmsg-netfilter-log",
        concat!(
            r"^<(?<pri>[0-9]+)>1 (?<time>[^ ]+) (?<host>[^ ]+) kernel [^ ]+ [^ ]+ [^ ]+ (?:\[[^\]]*\] ?)?",
            r"(?<logprefix>.*?) ?IN=(?<in>[^ ]*) OUT=(?<out>[^ ]*) ",
            r"(?:MAC=(?<macsrc>(?:[[:xdigit:]]{2}:){5}[[:xdigit:]]{2}):(?<macdst>(?:[[:xdigit:]]{2}:){5}[[:xdigit:]]{2})",
            r":(?<ethtype>[[:xdigit:]]{2}:[[:xdigit:]]{2}) )?",
            r"SRC=(?<saddr>[^ ]+) DST=(?<daddr>[^ ]+) LEN=(?<len>[0-9]+) TOS=(?<tos>[^ ]+) PREC=(?<prec>[^ ]+) ",
            r"TTL=(?<ttl>[0-9]+) ID=(?<id>[0-9]+)(?: [A-Z]+)* PROTO=(?<proto>[^ ]+)",
            r"(?: SPT=(?<sport>[0-9]+) DPT=(?<dport>[0-9]+))?(?: LEN=(?<protolen>[0-9]+))?",
            r"(?: WINDOW=(?<window>[0-9]+) RES=(?<res>[^ ]+) (?<flag>[A-Z]+(?: [A-Z]+)*) URGP=(?<urgp>[0-9]+))?"
        ),
        time(ISO_ZONE),
    ),
];

impl Definition {
    /// Builds the parser.
    pub(crate) fn build(&self) -> Option<Parser> {
        let mut parser = Parser::build(&self.options(), &mut Diagnostics::new())?;
        if self.name == "json" {
            parser.also_read_times(&TIMES_OF_JSON);
        }
        Some(parser)
    }

    fn options(&self) -> ParserOptions {
        let place = Sources::default().add("built in", "").span(0, 0);
        let text = |text: &str| Spanned::new(text.to_owned(), place);
        ParserOptions {
            name: text(self.name),
            format: self.format,
            regex: (!self.regex.is_empty()).then(|| text(self.regex)),
            time_key: self.time.map(|time| text(time.key)),
            time_format: self.time.map(|time| text(time.format)),
            time_keep: self.time.is_some_and(|time| time.keep),
            time_strict: true,
            time_offset: None,
            time_system_timezone: Spanned::new(false, place),
            time_zone: None,
            types: None,
            skip_empty_values: true,
            logfmt_no_bare_keys: false,
            decode_field: Vec::new(),
            decode_field_as: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_builds() {
        for definition in definitions() {
            assert!(definition.build().is_some(), "{}", definition.name);
        }
    }
}
