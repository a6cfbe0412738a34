//! The parsers that Fluent Bit's image has in further files: of Java, Kafka, Rails, Ambassador, OpenStack, Couchbase and others.
//!
//! Each takes the lines that its namesake takes, also where that is narrow: `http_statement` knows no `HEAD /`.

use super::{Definition, ISO, ISO_ZONE, kept, plain, regex, timed};
use crate::parser::Format;

const SECONDS: &str = "%Y-%m-%dT%H:%M:%S";
const OF_DATABASES: &str = "%Y-%m-%d %H:%M:%S";
const OF_OPENSTACK: &str = "%Y-%m-%d %H:%M:%S.%L";
const OF_KAFKA: &str = "%Y-%m-%d %H:%M:%S,%L";

/// Day and time with a fraction, up to the zone.
macro_rules! moment {
    () => {
        r"\d+-\d+-\d+T\d+:\d+:\d+\.\d+"
    };
}

/// A day, and what may be a time of day behind it.
macro_rules! loose_moment {
    () => {
        r"^(?<log_time>[^ ][-+.:T\d]+ *[.:\d]*)\s+"
    };
}

/// Day and time as Ruby writes it, with a bracket behind it.
macro_rules! ruby_moment {
    () => {
        r"\[(?<log_time>[^ ][-+.:\d]+T[:\d]*)[^\]]*\]"
    };
}

/// A line of Confluent's schema registry; all fields begin alike.
macro_rules! schema_registry {
    ($prefix:literal) => {
        concat!(
            r"^\[(?<",
            $prefix,
            r"time>\d{4}-\d\d?-\d\d? \d\d:\d\d:\d\d,\d{1,4})\] (?<",
            $prefix,
            r"level>[A-Z]{1,8}) (?<",
            $prefix,
            r"src>[.\d]+) - - \[(?<",
            $prefix,
            r#"date>.*)\] "(?<"#,
            $prefix,
            r"method>[A-Z]+) (?<",
            $prefix,
            r"path>/\S*) (?<",
            $prefix,
            r#"http_version>HTTP/\d\.\d)" (?<"#,
            $prefix,
            r"code>\d{1,3}) (?<",
            $prefix,
            r#"size>\d+) "-" "(?<"#,
            $prefix,
            r#"agent>.*)" (?<"#,
            $prefix,
            r"extra_info>.*)"
        )
    };
}

/// A line of a service of OpenStack, with what is known of the request or a dash.
const OPENSTACK: &str = concat!(
    loose_moment!(),
    r"(?<pid>[^ ]\d+)\s+(?<severity>[^ ][./:;<=>?@\[\\\]^\w]+)\s+(?<component>[^ ][./:;<=>?@\[\\\]^\w]+)",
    r"\s+\[(?:-|(?<req_id>[^ ][-\w]*) (?<req_user>[^ ][-\w]*) (?<req_project>[^ ][-\w]*) ",
    r"(?<req_domain>[^ ][-\w]*) (?<req_user_domain>[^ ][-\w]*) (?<req_project_domain>[^ ][-\w]*))\]",
    r"\s+(?<message>.*)$"
);

const fn openstack(name: &'static str) -> Definition {
    regex(name, OPENSTACK, timed("log_time", OF_OPENSTACK))
}

pub(super) const DEFINITIONS: &[Definition] = &[
    regex(
        "java_multiline",
        concat!(
            r"^(?<time>\d{4}-\d\d?-\d\d? \d\d?:\d\d?:\d\d?) \[(?<thread>.*)\] ",
            r"(?<level>\S+)(?<message>.*)"
        ),
        timed("time", OF_DATABASES),
    ),
    regex("confluent-schema-registry", schema_registry!(""), timed("time", OF_KAFKA)),
    regex("confluent-schema-registry-prefixed", schema_registry!("_sr_"), timed("_sr_time", OF_KAFKA)),
    regex(
        "mult_first",
        concat!(
            r#"Started (?<method>[^ ]+) "(?<path>[^"]+)" for (?<host>[^ ]+) "#,
            r"at (?<time>[^ ]+ [^ ]+ [^ ]+)"
        ),
        timed("time", "%Y-%m-%d %H:%M:%S %z"),
    ),
    regex(
        "mult_1",
        r"Processing by (?<controller>[^#]+)#(?<controller_method>[^ ]+) as (?<format>[^ ]+)$",
        None,
    ),
    // It need not be there: a line without it gives no field, and is not taken.
    regex("mult_2", r"(?:  Parameters: (?<parameters>[^ ]+))?", None),
    regex("mult_3", r"  Rendered (?<template>[^ ]+) within (?<layout>.+) \([.\d]+ms\)", None),
    regex(
        "mult_4",
        concat!(
            r"Completed (?<code>[^ ]+) [^ ]+ in (?<runtime>[.\d]+)ms ",
            r"\(Views: (?<view_runtime>[.\d]+)ms \| ActiveRecord: (?<ar_runtime>[.\d]+)ms\)"
        ),
        None,
    ),
    regex(
        "ambassador",
        concat!(
            r#"^(?<type>\S+) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>(?:[^"]|\\")*?)(?: +\S*)?) "#,
            r#"(?<protocol>\S+)?" (?<response_code>\S+) (?<response_flags>\S+) (?<bytes_received>\S+) "#,
            r"(?<bytes_sent>\S+) (?<duration>\S+) (?<x_envoy_upstream_service_time>\S+) ",
            r#""(?<x_forwarded_for>[^"]*)" "(?<user_agent>[^"]*)" "(?<x_request_id>[^"]*)" "#,
            r#""(?<authority>[^"]*)" "(?<upstream_host>[^"]*)""#
        ),
        None,
    ),
    regex("ceph", concat!(loose_moment!(), "(?<message>.*)$"), timed("log_time", OF_OPENSTACK)),
    openstack("cinder"),
    openstack("glance"),
    openstack("heat"),
    openstack("keystone"),
    openstack("neutron"),
    openstack("nova"),
    regex(
        "crowbar",
        concat!("^.*", ruby_moment!(), r"\s+?(?<severity>[^ ]\w+)[-\s]*:?\s+(?<message>.*)"),
        timed("log_time", SECONDS),
    ),
    regex(
        "chefclient",
        concat!("^", ruby_moment!(), r"\s+(?<severity>[^ ]\w+):\s+(?<message>.*)$"),
        timed("log_time", SECONDS),
    ),
    regex(
        "mysql_error",
        concat!(
            r"^(?<log_time>[^ +][-\d]+[ T]*[:Z\d]+)\s*(?<myid>[^ ]\d+)\s+\[(?<severity>[^ ]\w+)\]",
            r"(?:\s+(?<subsystem>[^ ]\w+):)?\s+(?<message>.*)$"
        ),
        timed("log_time", OF_DATABASES),
    ),
    regex(
        "mysql_slow",
        concat!(
            r"^# User@Host:\s+(?<user>[^@][\[\]\w]+)[@\s]+(?<dbhost>[^ ][-.\w]+)\s+",
            r"(?:\[(?<dbhost_address>[.\d]+)\])?\s+(?<message>.*)$"
        ),
        None,
    ),
    regex(
        "pacemaker",
        concat!(
            r"^\s*(?<log_time>[^ ]*  ?[^ ]* [^ ]*) \[(?<pid>\d+)\] (?<node>[-\w]*)\s*(?<component>\w*):",
            r"\s+(?<severity>\w+):\s+(?<message>.*)$"
        ),
        timed("log_time", "%b %d %H:%M:%S"),
    ),
    regex(
        "rabbitmq",
        concat!(r"^=(?<severity>[^ ]\w+)\s+REPORT[=\s]*(?<log_time>[^ =][-:.\w]+)[=\s]+", r"(?<message>.*)$"),
        timed("log_time", "%d-%b-%Y::%H:%M:%S"),
    ),
    regex(
        "http_statement",
        concat!(
            r"^.*(?<req_method>GET|POST|PUT|DELETE|CONNECT|OPTIONS|HEAD[^ ]\w+)\s*",
            r"(?<req_path>[^ ][-._?=%&/[:alnum:]]*)\s*(?<req_protocol>[^ ][./\dFHPST]+)?['\x22\s]*",
            r"(?:\s*status:\s*(?<req_status>[^ ]\d+))?(?:\s*len: (?<req_len>[^ ]\d+))?",
            r"(?:\s*time:\s*(?<req_log_time>[^ ][.\d]+))?(?:\s*microversion:\s*(?<req_mver>[^ ][.\d]+))?$"
        ),
        None,
    ),
    regex("universal", "^(?<message>.*)$", None),
    regex(
        "uuid",
        concat!(
            r"(?<uuid>[[:xdigit:]]{8}-[[:xdigit:]]{4}-[1-5][[:xdigit:]]{3}-[89ABab][[:xdigit:]]{3}-",
            r"[[:xdigit:]]{12})"
        ),
        None,
    ),
    // What the file says of its fields' types has no effect there: they are text.
    regex(
        "iptables",
        concat!(
            r"\[(?<rule_chain>\w*)-(?<rule_name>\w*)-(?<accept_or_drop>\w*)\]IN=(?<in_interface>[.\w]+)? ",
            r"OUT=(?<out_interface>[.\w]+)? MAC=(?<mac_address>[:\w]+)? ",
            r"SRC=(?<source>(?:\d{1,3}\.){3}\d{1,3}) DST=(?<dest>(?:\d{1,3}\.){3}\d{1,3}) ",
            r"LEN=(?<pkt_len>\d+) TOS=(?<pkt_tos>\w+) PREC=(?<pkt_prec>\w+) TTL=(?<pkt_ttl>\d+) ",
            r"ID=(?<pkt_id>\d+)\s?(?<pkg_frg>[A-Z\s].?)\s?PROTO=(?<protocol>\w+) ",
            r"(?:SPT=(?<source_port>.*) DPT=(?<dest_port>.*) (?:LEN=(?<proto_pkt_len>\w+)?)?",
            r"(?:WINDOW=(?<proto_window_size>\d+) RES=(?<pkt_res>\w+)? (?<pkt_type>\w+)\s(?<pkt_flag>\w+)?",
            r"\s?URGP=(?<pkg_urgency>\d))? )?",
            r"(?:TYPE=(?<pkt_icmp_type>\d+) CODE=(?<pkt_icmp_code>\d+) ID=(?<pkt_icmp_id>\d+) ",
            r"SEQ=(?<pkt_icmp_seq>\d+) )?$"
        ),
        None,
    ),
    plain("couchbase_json_log_nanoseconds", Format::Json, kept("timestamp", ISO)),
    plain("couchbase_rebalance_report", Format::Json, kept("timestamp", "%Y-%m-%dT%H:%M:%SZ")),
    regex(
        "couchbase_simple_log",
        concat!("^(?<timestamp>", moment!(), r"[-+]\d+:\d+)\s+\[(?<level>\w+)\](?<message>.*)$"),
        kept("timestamp", ISO_ZONE),
    ),
    regex(
        "couchbase_simple_log_space_separated",
        concat!("^(?<timestamp>", moment!(), r"[-+]\d+:\d+)\s+(?<level>\w+)\s+(?<message>.*)$"),
        kept("timestamp", ISO_ZONE),
    ),
    regex(
        "couchbase_simple_log_utc",
        concat!("^(?<timestamp>", moment!(), r"Z)\s+(?<level>\w+)(?<message>.*)$"),
        kept("timestamp", "%Y-%m-%dT%H:%M:%S.%LZ"),
    ),
    // Its times are of two kinds, and neither is read.
    regex(
        "couchbase_simple_log_mixed",
        concat!(
            r"^(?<timestamp>\d+[-/]\d+[-/]\d+(?:T|\s+)\d+:\d+:\d+(?:\.\d+[-+]\d+:\d+)?)\s+",
            r"\[?(?<level>\w+)[:\]](?<message>.*)$"
        ),
        None,
    ),
    regex(
        "couchbase_erlang_multiline",
        concat!(
            r"\[(?<logger>\w+):(?<level>\w+),(?<timestamp>\d+-\d+-\d+T\d+:\d+:\d+.\d+Z),",
            r"(?<message>.*)$"
        ),
        kept("timestamp", ISO),
    ),
    regex(
        "couchbase_java_multiline",
        concat!(
            "^(?<timestamp>",
            moment!(),
            r"[-+]\d+:\d+)\s+(?<level>\w+)\s+(?<class>.*)\s+\[(?<thread>.*)\]\s+(?<message>.*)$"
        ),
        kept("timestamp", ISO_ZONE),
    ),
    regex(
        "couchbase_http",
        concat!(
            r#"^(?<host>[^ ]*) [^ ]* (?<user>[^ ]*) \[(?<timestamp>[^\]]*)\] "#,
            r#""(?<method>\S+)(?: +(?<path>[^ ]*) +\S*)?" (?<code>[^ ]*) (?<size>[^ ]*) - (?<client>.*)$"#
        ),
        kept("timestamp", super::COMMON_LOG),
    ),
];
