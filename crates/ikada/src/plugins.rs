//! The plugins of this program, and the names it knows but has no plugin for.

use ikada_plugin::registry::Registry;

/// All plugins that are built in.
#[must_use]
pub fn registry() -> Registry {
    let mut inputs = ikada_forward::inputs();
    inputs.extend(ikada_basic::inputs());
    let mut outputs = ikada_aws::outputs();
    outputs.extend(ikada_basic::outputs());
    let mut registry = Registry { inputs, filters: ikada_filters::filters(), outputs };
    registry.inputs.sort_by_key(|plugin| plugin.name);
    registry.filters.sort_by_key(|plugin| plugin.name);
    registry.outputs.sort_by_key(|plugin| plugin.name);
    registry
}

/// A plugin that Fluent Bit has and Ikada has not, and what to use instead, if there is something.
pub struct Missing {
    /// Its name.
    pub name: &'static str,
    /// What to type instead.
    pub instead: &'static str,
}

/// Outputs of Fluent Bit and its AWS image that people name in FireLens tasks.
pub const MISSING_OUTPUTS: &[Missing] = &[
    Missing {
        name: "cloudwatch",
        instead: "`Name cloudwatch_logs` takes the same destinations; `$(…)` templates are not there yet",
    },
    Missing { name: "firehose", instead: "`Name kinesis_firehose` takes the same destinations" },
    Missing { name: "kinesis", instead: "" },
    Missing { name: "kinesis_streams", instead: "" },
    Missing { name: "forward", instead: "" },
    Missing { name: "counter", instead: "" },
    Missing { name: "datadog", instead: "`Name http` reaches it as well" },
    Missing { name: "es", instead: "" },
    Missing { name: "opensearch", instead: "" },
    Missing { name: "kafka", instead: "" },
    Missing { name: "loki", instead: "" },
    Missing { name: "splunk", instead: "`Name http` reaches it as well" },
    Missing { name: "newrelic", instead: "`Name http` reaches it as well" },
    Missing { name: "nrlogs", instead: "`Name http` reaches it as well" },
    Missing { name: "syslog", instead: "" },
    Missing { name: "tcp", instead: "" },
    Missing { name: "gelf", instead: "" },
    Missing { name: "stackdriver", instead: "" },
    Missing { name: "azure", instead: "" },
    Missing { name: "opentelemetry", instead: "" },
    Missing { name: "prometheus_exporter", instead: "" },
    Missing { name: "prometheus_remote_write", instead: "" },
];

/// Inputs of Fluent Bit that Ikada does not have.
pub const MISSING_INPUTS: &[Missing] = &[
    Missing { name: "tail", instead: "" },
    Missing { name: "exec", instead: "" },
    Missing { name: "syslog", instead: "" },
    Missing { name: "systemd", instead: "" },
    Missing { name: "http", instead: "" },
    Missing { name: "udp", instead: "" },
    Missing { name: "head", instead: "" },
    Missing { name: "cpu", instead: "" },
    Missing { name: "mem", instead: "" },
    Missing { name: "disk", instead: "" },
    Missing { name: "netif", instead: "" },
    Missing { name: "proc", instead: "" },
    Missing { name: "docker", instead: "" },
    Missing { name: "mqtt", instead: "" },
    Missing { name: "statsd", instead: "" },
    Missing { name: "fluentbit_metrics", instead: "`HTTP_Server On` serves the metrics at /api/v1/metrics" },
    Missing { name: "node_exporter_metrics", instead: "" },
    Missing { name: "prometheus_scrape", instead: "" },
    Missing { name: "opentelemetry", instead: "" },
];

/// Filters of Fluent Bit that Ikada does not have.
pub const MISSING_FILTERS: &[Missing] = &[
    Missing { name: "parser", instead: "" },
    Missing { name: "modify", instead: "`Name record_modifier` adds and removes fields" },
    Missing { name: "rewrite_tag", instead: "" },
    Missing { name: "nest", instead: "" },
    Missing { name: "multiline", instead: "" },
    Missing { name: "lua", instead: "" },
    Missing { name: "throttle", instead: "" },
    Missing { name: "type_converter", instead: "" },
    Missing { name: "checklist", instead: "" },
    Missing { name: "expect", instead: "" },
    Missing { name: "sysinfo", instead: "" },
    Missing { name: "ecs", instead: "`enable-ecs-log-metadata` of FireLens adds the task's metadata" },
    Missing { name: "aws", instead: "" },
    Missing { name: "log_to_metrics", instead: "" },
    Missing { name: "kubernetes", instead: "it only makes sense on Kubernetes" },
    Missing { name: "geoip2", instead: "" },
    Missing { name: "nightfall", instead: "" },
    Missing { name: "wasm", instead: "" },
    Missing { name: "tensorflow", instead: "" },
];
