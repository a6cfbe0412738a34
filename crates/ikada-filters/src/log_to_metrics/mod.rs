//! `log_to_metrics`: counts records, or keeps numbers of them, as a metric at the program's own metrics endpoint.
//!
//! A record that the rules let in finds its place by the values of its labels ([`labels`]); the number there grows ([`series`]). What is there
//! is shown when someone scrapes. The number of places is bounded: records that would need another one are counted by themselves.

mod labels;
mod series;

use std::sync::Arc;
use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_msgpack::View;
use ikada_options::{ByteSize, Choice, InOrder, Options, PropertyBag, Spanned};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, MetricType, OwnMetrics, Verdict};
use ikada_record::Fields;
use ikada_record::accessor::Accessor;

use self::labels::Labels;
use self::series::{Metric, Observation, Shape};
use crate::grep::{Grep, GrepOptions, LogicalOp};
use crate::rule::accessor;
use crate::text::leading_float;

/// At most one line about records that are not counted is written in this time.
const PAUSE: Duration = Duration::from_secs(10);

/// Bounds of a histogram's buckets where none are written: Prometheus' own.
const USUAL_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Counts records, or keeps numbers out of them, as a metric for Prometheus.
///
/// The metric is shown by the program's HTTP server (`HTTP_Server On`) beside its own, under `/api/v1/metrics/prometheus` and
/// `/api/v2/metrics/prometheus`; its name is `metric_namespace`, `metric_subsystem` and `metric_name` with `_` between. The records pass on as
/// they came. Up to 10,000 sets of label values are kept; records that would need more are counted in
/// `ikada_log_to_metrics_uncounted_total`.
#[derive(Debug, Options)]
#[options(filter = "log_to_metrics")]
pub struct LogToMetricsOptions {
    /// What is kept.
    #[option(default = "counter", example = "histogram")]
    pub metric_mode: Mode,
    /// The last part of the metric's name.
    #[option(default = "a", example = "requests_total")]
    pub metric_name: Spanned<String>,
    /// The first part of the metric's name.
    #[option(default = "log_metric", example = "shop")]
    pub metric_namespace: Spanned<String>,
    /// The middle part of the metric's name; the mode, if it is not given.
    #[option(example = "web")]
    pub metric_subsystem: Option<Spanned<String>>,
    /// What the metric means: its line of help.
    #[option(required, example = "Requests by status")]
    pub metric_description: String,
    /// With `gauge` and `histogram`: the field that holds the number, as a number or a text that starts with one.
    ///
    /// A record without such a number is not counted. (Fluent Bit counts it with the number of the record before.)
    #[option(example = "$request['duration']")]
    pub value_field: Option<Spanned<String>>,
    /// A field whose value becomes a label of the same name.
    #[option(example = "status")]
    pub label_field: Vec<InOrder<String>>,
    /// A label and the field that its value comes from: `NAME FIELD`.
    #[option(example = "app $kubernetes['labels']['app']")]
    pub add_label: Vec<InOrder<String>>,
    /// With `histogram`: the upper bound of a bucket. Without any, they are 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5 and 10.
    #[option(example = "0.5")]
    pub bucket: Vec<Spanned<f64>>,
    /// Counts only records in which the field matches: `FIELD EXPRESSION`. The first rule that decides wins, and a `regex` always decides.
    #[option(example = "log ^ERROR")]
    pub regex: Vec<InOrder<String>>,
    /// Does not count records in which the field matches: `FIELD EXPRESSION`.
    #[option(example = "path ^/health$")]
    pub exclude: Vec<InOrder<String>>,
    /// Drops every record, counted or not.
    #[option(default = "false")]
    pub discard_logs: bool,
    /// Labels for pods of Kubernetes. Not supported: `add_label` takes any field.
    #[option(default = "false")]
    pub kubernetes_mode: Spanned<bool>,
    /// Has no effect: the metric does not travel through the outputs.
    #[option(no_effect)]
    pub tag: Option<String>,
    /// Has no effect: the metric is shown as it is when someone asks.
    #[option(no_effect)]
    pub flush_interval_sec: Option<i64>,
    /// Has no effect: the metric is shown as it is when someone asks.
    #[option(no_effect)]
    pub flush_interval_nsec: Option<i64>,
    /// Has no effect: there is no input of its own behind this filter.
    #[option(no_effect)]
    pub emitter_name: Option<String>,
    /// Has no effect: there is no input of its own behind this filter.
    #[option(no_effect)]
    pub emitter_mem_buf_limit: Option<ByteSize>,
}

/// What is kept of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Mode {
    /// How many records there were.
    Counter,
    /// The last number.
    Gauge,
    /// How many numbers lie under each of several bounds, and their sum.
    Histogram,
}

/// The filter, ready to run.
pub struct LogToMetrics {
    rules: Grep,
    labels: Labels,
    /// Where the number is; `None` for a counter.
    value: Option<Accessor>,
    discards: bool,
    metric: Arc<Metric>,
}

impl LogToMetrics {
    /// Checks what the options mean together.
    pub fn build(options: &LogToMetricsOptions, section: Span, found: &mut Diagnostics) -> Option<Self> {
        refuse_kubernetes(options, found);
        let rules = GrepOptions {
            regex: options.regex.clone(),
            exclude: options.exclude.clone(),
            logical_op: Spanned::new(LogicalOp::Legacy, section),
        };
        let rules = Grep::build_without_op(&rules, found);
        let labels = Labels::build(options, found);
        let value = value_of(options, section, found);
        let buckets = buckets(options, found);
        let name = name_of(options, found);
        if options.kubernetes_mode.value {
            return None;
        }
        let shape = match options.metric_mode {
            Mode::Counter => Shape::Counter,
            Mode::Gauge => Shape::Gauge,
            Mode::Histogram => Shape::Histogram(buckets?),
        };
        Some(Self {
            rules: rules?,
            labels: labels?,
            value: value?,
            discards: options.discard_logs,
            metric: Arc::new(Metric::new(name, options.metric_description.clone(), shape)),
        })
    }

    fn observe(&self, fields: &Fields<'_>) {
        let observation = match &self.value {
            None => Observation::Record,
            Some(field) => match field.lookup(fields).and_then(number) {
                Some(number) => Observation::Number(number),
                None => return self.metric.leave_out_for_its_value(),
            },
        };
        self.metric.observe(observation, |text| self.labels.write(text, fields));
    }
}

impl Filter for LogToMetrics {
    fn filter<'a>(&'a self, _cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        if self.rules.keeps(fields) {
            self.observe(fields);
        }
        if self.discards { Verdict::Drop } else { Verdict::Keep }
    }

    fn end_of_chunk(&self) {
        self.metric.tell(PAUSE);
    }

    fn metrics(&self) -> Option<Arc<dyn OwnMetrics>> {
        Some(self.metric.clone())
    }
}

/// A finite number, or the one that a text starts with.
fn number(value: View<'_>) -> Option<f64> {
    let number = match value {
        View::Int(n) => n as f64,
        View::Uint(n) => n as f64,
        View::Float(n) => n,
        View::Str(text) => leading_float(text)?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

impl Shape {
    fn metric_type(&self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram(_) => MetricType::Histogram,
        }
    }
}

fn refuse_kubernetes(options: &LogToMetricsOptions, found: &mut Diagnostics) {
    if options.kubernetes_mode.value {
        let message = "Fluent Bit has `kubernetes_mode` for filter log_to_metrics, Ikada does not have it";
        let help = "add a label for each field: `add_label pod $kubernetes['pod_name']`";
        let place = options.kubernetes_mode.span;
        found.push(Diagnostic::error(codes::UNSUPPORTED_OPTION, message).at(place).help(help));
    }
}

/// Where the number is: `Some(None)` where none is needed, `None` where one is and is not there.
fn value_of(
    options: &LogToMetricsOptions,
    section: Span,
    found: &mut Diagnostics,
) -> Option<Option<Accessor>> {
    match (&options.value_field, options.metric_mode) {
        (None, Mode::Counter) => Some(None),
        (Some(field), Mode::Counter) => {
            let message = "`value_field` means nothing to a counter: it counts records";
            let finding = Diagnostic::warning(codes::NO_EFFECT, message).at(field.span);
            found.push(finding.help("remove it, or type `metric_mode gauge` or `histogram`"));
            Some(None)
        }
        (Some(field), _) => accessor(&field.value, field.span, found).map(Some),
        (None, _) => {
            let message = "a gauge or histogram needs `value_field`";
            let finding = Diagnostic::error(codes::MISSING_OPTION, message).at(section);
            found.push(finding.help("add it, such as `value_field duration`"));
            None
        }
    }
}

/// Bounds in rising order, each once.
fn buckets(options: &LogToMetricsOptions, found: &mut Diagnostics) -> Option<Box<[f64]>> {
    if let Some(first) = options.bucket.first()
        && options.metric_mode != Mode::Histogram
    {
        let message = "`bucket` counts only with `metric_mode histogram`";
        found.push(Diagnostic::warning(codes::NO_EFFECT, message).at(first.span));
    }
    if let Some(bucket) = options.bucket.iter().find(|bucket| !bucket.value.is_finite()) {
        let finding = Diagnostic::error(codes::BAD_VALUE, "a bound must be a finite number").at(bucket.span);
        found.push(finding.help("the bucket of everything is there by itself"));
        return None;
    }
    let mut bounds: Vec<f64> = options.bucket.iter().map(|bucket| bucket.value).collect();
    if bounds.is_empty() {
        bounds.extend(USUAL_BUCKETS);
    }
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    Some(bounds.into())
}

/// The metric's whole name, in the letters that the format allows.
fn name_of(options: &LogToMetricsOptions, found: &mut Diagnostics) -> String {
    let mode = match options.metric_mode {
        Mode::Counter => "counter",
        Mode::Gauge => "gauge",
        Mode::Histogram => "histogram",
    };
    let subsystem = options.metric_subsystem.as_ref().filter(|subsystem| !subsystem.value.is_empty());
    let parts = [
        Some((&*options.metric_namespace.value, Some(options.metric_namespace.span))),
        subsystem.map(|subsystem| (&*subsystem.value, Some(subsystem.span))).or(Some((mode, None))),
        Some((&*options.metric_name.value, Some(options.metric_name.span))),
    ];
    let mut name = String::new();
    for (part, span) in parts.into_iter().flatten().filter(|(part, _)| !part.is_empty()) {
        if !name.is_empty() {
            name.push('_');
        }
        let clean = labels::clean(part, name.is_empty(), |letter| letter == ':');
        if let Some(span) = span.filter(|_| clean != part) {
            let message = format!("`{part}` is no name of a metric, so it counts as `{clean}`");
            let finding = Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(span);
            found.push(finding.help("names are made of letters, digits and `_`"));
        }
        name.push_str(&clean);
    }
    name
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "log_to_metrics", aliases: &[], options: LogToMetricsOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let section = bag.header();
    let options = LogToMetricsOptions::parse(bag, found)?;
    Some(Box::new(LogToMetrics::build(&options, section, found)?))
}
