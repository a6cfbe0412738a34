//! The HTTP server people's health checks and scrapers ask, in Fluent Bit's recorded shapes.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use chrono::DateTime;
use ikada_engine::View;
use ikada_plugin::{Clock, Counter, Families, FileMetrics, SystemClock};
use ikada_record::Timestamp;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What `[SERVICE]` says of health.
#[derive(Debug, Clone, Copy)]
pub struct HealthRules {
    /// `HC_Errors_Count`: more errors than this within the period is unhealthy.
    pub errors: u64,
    /// `HC_Retry_Failure_Count`: the same for batches given up after retries.
    pub retry_failures: u64,
    /// `HC_Period`.
    pub period: Duration,
    /// `Health_Check`: whether the rules apply at all.
    pub on: bool,
}

/// What the endpoints show.
pub struct Admin {
    view: View,
    plugins: Value,
    rules: HealthRules,
    started: Instant,
    started_at: i64,
    samples: Mutex<VecDeque<Sample>>,
}

#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    errors: u64,
    retry_failures: u64,
}

impl Admin {
    /// Endpoints over a running engine. `plugins` are the names of inputs, filters and outputs that are built in.
    #[must_use]
    pub fn new(view: View, plugins: [Vec<&'static str>; 3], rules: HealthRules) -> Arc<Self> {
        let [inputs, filters, outputs] = plugins;
        Arc::new(Self {
            view,
            plugins: json!({"plugins": {"inputs": inputs, "filters": filters, "outputs": outputs}}),
            rules,
            started: Instant::now(),
            started_at: SystemClock.now().secs(),
            samples: Mutex::default(),
        })
    }

    /// Serves until `stop` fires. A page is answered whatever the method is, as in Fluent Bit.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let sampler = self.rules.on.then(|| tokio::spawn(self.clone().sample(stop.clone())));
        let app = Router::new()
            .route("/", any(root))
            .route("/api/v1/uptime", any(uptime))
            .route("/api/v1/health", any(health))
            .route("/api/v2/health", any(health_details))
            .route("/api/v1/plugins", any(plugins))
            .route("/api/v1/metrics", any(metrics))
            .route("/api/v1/metrics/prometheus", any(prometheus))
            .route("/api/v1/storage", any(storage))
            .route("/api/v2/metrics", any(samples))
            .route("/api/v2/metrics/prometheus", any(prometheus_and_books))
            .with_state(self);
        let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!("[http_server] ended: {error}");
        }
        if let Some(sampler) = sampler {
            sampler.abort();
        }
    }

    /// Takes a sample of the outputs' failures every second, as far back as the period reaches.
    async fn sample(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let sample = self.failures();
            let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
            samples.push_back(sample);
            while samples.front().is_some_and(|first| sample.at - first.at > self.rules.period) {
                samples.pop_front();
            }
        }
    }

    fn failures(&self) -> Sample {
        let sum = |of: fn(&ikada_plugin::OutputMetrics) -> &Counter| {
            self.view.outputs.iter().map(|(_, metrics, _)| of(metrics).get()).sum()
        };
        Sample { at: Instant::now(), errors: sum(|m| &m.errors), retry_failures: sum(|m| &m.retries_failed) }
    }

    /// Errors and given-up batches within the period, and whether they are few enough.
    fn health(&self) -> (u64, u64, bool) {
        let now = self.failures();
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = samples.front() else { return (0, 0, true) };
        let errors = now.errors - first.errors;
        let retry_failures = now.retry_failures - first.retry_failures;
        (errors, retry_failures, errors <= self.rules.errors && retry_failures <= self.rules.retry_failures)
    }
}

/// A body as JSON.
struct Json(Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0.to_string()).into_response()
    }
}

async fn root() -> Json {
    Json(json!({"fluent-bit": {"version": env!("CARGO_PKG_VERSION"), "edition": "Ikada", "flags": []}}))
}

async fn uptime(State(admin): State<Arc<Admin>>) -> Json {
    let secs = admin.started.elapsed().as_secs();
    // Fluent Bit's plural starts at two: "0 day, 0 hour".
    let count = |n: u64, unit: &str| format!("{n} {unit}{}", if n > 1 { "s" } else { "" });
    let text = format!(
        "Fluent Bit has been running:  {}, {}, {} and {}",
        count(secs / 86_400, "day"),
        count(secs / 3600 % 24, "hour"),
        count(secs / 60 % 60, "minute"),
        count(secs % 60, "second"),
    );
    Json(json!({"uptime_sec": secs, "uptime_hr": text}))
}

async fn health(State(admin): State<Arc<Admin>>) -> Response {
    match admin.health() {
        (_, _, true) => (StatusCode::OK, "ok\n").into_response(),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "error\n").into_response(),
    }
}

async fn health_details(State(admin): State<Arc<Admin>>) -> Response {
    let (errors, retries_failed, healthy) = admin.health();
    let body = json!({
        "status": if healthy { "ok" } else { "error" },
        "errors": errors,
        "retries_failed": retries_failed,
        "error_limit": admin.rules.errors,
        "retry_failure_limit": admin.rules.retry_failures,
        "period_limit": admin.rules.period.as_secs(),
    });
    let status = if healthy { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    (status, Json(body)).into_response()
}

async fn plugins(State(admin): State<Arc<Admin>>) -> Json {
    Json(admin.plugins.clone())
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Json {
    let mut inputs = Map::new();
    for (id, m) in &admin.view.inputs {
        let mut body = json!({"records": m.records.get(), "bytes": m.bytes.get()});
        if let Some(files) = m.files.get() {
            body["files_opened"] = files.opened.get().into();
            body["files_closed"] = files.closed.get().into();
            body["files_rotated"] = files.rotated.get().into();
            body["multiline_truncated"] = files.cut_records.get().into();
            body["long_line_truncated"] = files.cut_lines.get().into();
            body["long_line_skipped"] = files.skipped_lines.get().into();
        }
        inputs.insert(id.shown().into(), body);
    }
    let mut filters = Map::new();
    for (id, m) in &admin.view.filters {
        let body = json!({
            "drop_records": m.drop_records.get(), "add_records": m.add_records.get(),
            "records": m.records.get(), "bytes": m.bytes.get(), "drop_bytes": m.drop_bytes.get(),
        });
        filters.insert(id.shown().into(), body);
    }
    let mut outputs = Map::new();
    for (id, m, ledger) in &admin.view.outputs {
        let body = json!({
            "proc_records": m.proc_records.get(), "proc_bytes": m.proc_bytes.get(), "errors": m.errors.get(),
            "retries": m.retries.get(), "retries_failed": m.retries_failed.get(),
            "dropped_records": ledger.dropped_total(), "retried_records": m.retried_records.get(),
        });
        outputs.insert(id.shown().into(), body);
    }
    Json(json!({"input": inputs, "filter": filters, "output": outputs}))
}

async fn prometheus(State(admin): State<Arc<Admin>>) -> Response {
    let now = SystemClock.now().millis();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], exposition(&admin, Some(now))).into_response()
}

/// What waits where, in Fluent Bit's shape, by input and by output: chunks here belong to outputs, so that an input's figures are those
/// of the queue that holds the most of it.
async fn storage(State(admin): State<Arc<Admin>>) -> Json {
    let books = admin.view.books();
    let chunks: u64 = books.outputs.iter().map(|output| output.chunks_kept).sum();
    let mut outputs = Map::new();
    for output in &books.outputs {
        let body = json!({
            "mem_size": output.bytes_waiting, "fs_chunks": output.chunks_kept, "fs_size": output.bytes_kept,
            "fs_records": output.kept,
        });
        outputs.insert(output.id.shown().into(), body);
    }
    let mut inputs = Map::new();
    for input in &books.inputs {
        let (waits, limit) = (input.waiting, input.mem_buf_limit);
        let status = json!({
            "overlimit": limit.is_some_and(|limit| waits.bytes >= limit),
            "mem_size": readable(waits.bytes), "mem_limit": readable(limit.unwrap_or(0)),
        });
        let chunks = json!({
            "total": waits.here + waits.there, "up": waits.here, "down": waits.there, "busy": 0, "busy_size": readable(0),
        });
        inputs.insert(input.id.shown().into(), json!({"status": status, "chunks": chunks}));
    }
    let layer = json!({
        "chunks": {"total_chunks": chunks, "mem_chunks": 0, "fs_chunks": chunks, "fs_chunks_up": 0, "fs_chunks_down": chunks},
    });
    Json(json!({"storage_layer": layer, "input_chunks": inputs, "output_chunks": outputs}))
}

/// A size as Fluent Bit writes it: `196b`, `4.8M`.
fn readable(bytes: usize) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    let Some(power) = bytes.checked_ilog2().map(|power| power / 10).filter(|power| *power > 0) else {
        return format!("{bytes}b");
    };
    let size = bytes as f64 / 1024_f64.powi(power as i32);
    format!("{size:.1}{}", UNITS[power as usize - 1])
}

async fn prometheus_and_books(State(admin): State<Arc<Admin>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], everything(&admin)).into_response()
}

/// The same in the text form of Fluent Bit's own metrics; it names no type of content either.
async fn samples(State(admin): State<Arc<Admin>>) -> Response {
    Response::new(as_samples(&everything(&admin), SystemClock.now()).into())
}

fn everything(admin: &Admin) -> String {
    let view = &admin.view;
    exposition(admin, None) + &books_exposition(&view.books()) + &restarts_exposition(view)
}

/// One line a series: `2026-11-22T15:55:02.132762901Z fluentbit_uptime = 4`.
fn as_samples(exposition: &str, now: Timestamp) -> String {
    let stamp = DateTime::from_timestamp(now.secs(), now.nanos()).unwrap_or_default();
    let stamp = stamp.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string();
    let mut text = String::new();
    let samples = exposition.lines().filter(|line| !line.starts_with('#'));
    for (series, value) in samples.filter_map(|line| line.rsplit_once(' ')) {
        append(&mut text, format_args!("{stamp} {series} = {value}\n"));
    }
    text
}

/// The books: for inputs `read + added = filtered + unmatched + routed`, where what several outputs take is routed several times;
/// for outputs `routed = delivered + dropped + held + on_disk`.
fn books_exposition(books: &ikada_engine::Report) -> String {
    let mut text = String::from(
        "# HELP ikada_input_records_total What became of an input's records before the outputs.\n\
         # TYPE ikada_input_records_total counter\n",
    );
    for input in &books.inputs {
        let name = escaped(input.id.shown());
        let fates = [
            ("read", input.records),
            ("added", input.added),
            ("filtered", input.filtered),
            ("unmatched", input.unmatched),
        ];
        for (fate, count) in fates {
            append(
                &mut text,
                format_args!("ikada_input_records_total{{name=\"{name}\",fate=\"{fate}\"}} {count}\n"),
            );
        }
    }
    text.push_str(
        "# HELP ikada_output_records What became of the records routed to an output.\n\
         # TYPE ikada_output_records gauge\n",
    );
    for output in &books.outputs {
        let name = escaped(output.id.shown());
        let fates = [
            ("routed", output.routed),
            ("delivered", output.sent),
            ("held", output.unsent),
            ("on_disk", output.kept),
        ];
        for (fate, count) in fates {
            append(
                &mut text,
                format_args!("ikada_output_records{{name=\"{name}\",fate=\"{fate}\"}} {count}\n"),
            );
        }
        for (reason, count) in &output.dropped {
            append(
                &mut text,
                format_args!(
                    "ikada_output_records{{name=\"{name}\",fate=\"dropped\",reason=\"{reason}\"}} {count}\n"
                ),
            );
        }
        append(
            &mut text,
            format_args!(
                "ikada_output_bytes{{name=\"{name}\",where=\"memory\"}} {}\nikada_output_bytes{{name=\"{name}\",where=\"disk\"}} {}\n",
                output.bytes_waiting, output.bytes_kept
            ),
        );
    }
    text
}

/// How often plugins had to be begun anew.
fn restarts_exposition(view: &View) -> String {
    let name = "ikada_plugin_restarts_total";
    let mut text = format!(
        "# HELP {name} Times that a plugin, or a part of its work, was begun anew after a bug of Ikada.\n# TYPE {name} counter\n"
    );
    let inputs = view.inputs.iter().map(|(id, metrics)| (id, metrics.restarts.get()));
    let filters = view.filters.iter().map(|(id, metrics)| (id, metrics.restarts.get()));
    let outputs = view.outputs.iter().map(|(id, metrics, _)| (id, metrics.restarts.get()));
    for (id, times) in inputs.chain(filters).chain(outputs) {
        let (kind, shown) = (id.kind.name(), escaped(id.shown()));
        append(&mut text, format_args!("{name}{{kind=\"{kind}\",name=\"{shown}\"}} {times}\n"));
    }
    text
}

type Rows<'a> = Vec<(&'static str, &'static str, Vec<(&'a str, u64)>)>;

/// Counters in the text format, sorted by name, each sample with a stamp in milliseconds where there is one (reference, "HTTP server").
fn exposition(admin: &Admin, stamp: Option<i64>) -> String {
    let view = &admin.view;
    let filter = |of: fn(&ikada_plugin::FilterMetrics) -> &Counter| {
        view.filters.iter().map(|(id, m)| (id.shown(), of(m).get())).collect()
    };
    let input = |of: fn(&ikada_plugin::InputMetrics) -> &Counter| {
        view.inputs.iter().map(|(id, m)| (id.shown(), of(m).get())).collect()
    };
    let files = |of: fn(&FileMetrics) -> &Counter| {
        let following = view.inputs.iter().filter_map(|(id, m)| Some((id.shown(), m.files.get()?)));
        following.map(|(id, files)| (id, of(files).get())).collect()
    };
    let output = |of: fn(&ikada_plugin::OutputMetrics) -> &Counter| {
        view.outputs.iter().map(|(id, m, _)| (id.shown(), of(m).get())).collect()
    };
    let dropped = view.outputs.iter().map(|(id, _, ledger)| (id.shown(), ledger.dropped_total())).collect();
    let rows: Rows<'_> = vec![
        ("fluentbit_filter_add_records_total", "Fluentbit metrics.", filter(|m| &m.add_records)),
        ("fluentbit_filter_bytes_total", "Fluentbit metrics.", filter(|m| &m.bytes)),
        ("fluentbit_filter_drop_bytes_total", "Fluentbit metrics.", filter(|m| &m.drop_bytes)),
        ("fluentbit_filter_drop_records_total", "Fluentbit metrics.", filter(|m| &m.drop_records)),
        ("fluentbit_filter_records_total", "Fluentbit metrics.", filter(|m| &m.records)),
        ("fluentbit_input_bytes_total", "Number of input bytes.", input(|m| &m.bytes)),
        ("fluentbit_input_files_closed_total", "Total number of closed files", files(|m| &m.closed)),
        ("fluentbit_input_files_opened_total", "Total number of opened files", files(|m| &m.opened)),
        ("fluentbit_input_files_rotated_total", "Total number of rotated files", files(|m| &m.rotated)),
        (
            "fluentbit_input_long_line_skipped_total",
            "Number of lines left out because they were longer than the limit.",
            files(|m| &m.skipped_lines),
        ),
        (
            "fluentbit_input_long_line_truncated_total",
            "Number of lines cut at the limit.",
            files(|m| &m.cut_lines),
        ),
        (
            "fluentbit_input_malformed_total",
            "Number of frames, messages or lines refused.",
            input(|m| &m.malformed),
        ),
        (
            "fluentbit_input_multiline_truncated_total",
            "Number of records of several lines cut at their limit.",
            files(|m| &m.cut_records),
        ),
        ("fluentbit_input_records_total", "Number of input records.", input(|m| &m.records)),
        ("fluentbit_output_dropped_records_total", "Number of dropped records.", dropped),
        ("fluentbit_output_errors_total", "Number of output errors.", output(|m| &m.errors)),
        ("fluentbit_output_proc_bytes_total", "Number of processed output bytes.", output(|m| &m.proc_bytes)),
        (
            "fluentbit_output_proc_records_total",
            "Number of processed output records.",
            output(|m| &m.proc_records),
        ),
        (
            "fluentbit_output_retried_records_total",
            "Number of retried records.",
            output(|m| &m.retried_records),
        ),
        (
            "fluentbit_output_retries_failed_total",
            "Number of abandoned batches because the maximum number of re-tries was reached.",
            output(|m| &m.retries_failed),
        ),
        ("fluentbit_output_retries_total", "Number of output retries.", output(|m| &m.retries)),
    ];
    let stamp = stamp.map_or_else(String::new, |stamp| format!(" {stamp}"));
    let mut text = String::new();
    for (name, help, samples) in rows.into_iter().filter(|(_, _, samples)| !samples.is_empty()) {
        append(&mut text, format_args!("# HELP {name} {help}\n# TYPE {name} counter\n"));
        for (instance, value) in samples {
            append(&mut text, format_args!("{name}{{name=\"{}\"}} {value}{stamp}\n", escaped(instance)));
        }
    }
    let (uptime, version) = (admin.started.elapsed().as_secs(), env!("CARGO_PKG_VERSION"));
    append(
        &mut text,
        format_args!(
            "# HELP fluentbit_uptime Number of seconds that Fluent Bit has been running.\n\
             # TYPE fluentbit_uptime counter\nfluentbit_uptime {uptime}\n\
             # HELP process_start_time_seconds Start time of the process since unix epoch in seconds.\n\
             # TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {}\n\
             # HELP fluentbit_build_info Build version information.\n\
             # TYPE fluentbit_build_info gauge\nfluentbit_build_info{{version=\"{version}\",edition=\"Ikada\"}} 1\n",
            admin.started_at
        ),
    );
    text + &own_exposition(view)
}

/// What filters count for themselves.
fn own_exposition(view: &View) -> String {
    let mut families = Families::default();
    view.own.iter().for_each(|metrics| metrics.show(&mut families));
    families.into_text()
}

fn append(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing into a String does not fail");
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Binds the server's socket.
///
/// # Errors
/// The address is taken or none of ours.
pub async fn bind(address: &str, port: u16) -> std::io::Result<TcpListener> {
    let address: SocketAddr = format!("{address}:{port}")
        .parse()
        .map_err(|_| std::io::Error::other(format!("`{address}` is no IP address")))?;
    TcpListener::bind(address).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn sizes_are_written_as_in_fluent_bit() {
        let sizes = [0, 196, 1023, 1024, 5_000_000, 3 << 30, usize::MAX];
        assert_eq!(sizes.map(readable), ["0b", "196b", "1023b", "1.0K", "4.8M", "3.0G", "16.0E"]);
    }

    #[test]
    fn a_series_is_a_line_with_a_stamp() {
        let exposition = "# HELP a b.\n# TYPE a counter\na{name=\"x y\"} 5\nup 1.5\n";
        assert_eq!(
            as_samples(exposition, Timestamp::new(1_700_000_000, 7)),
            "2023-11-14T22:13:20.000000007Z a{name=\"x y\"} = 5\n2023-11-14T22:13:20.000000007Z up = 1.5\n"
        );
    }

    #[tokio::test]
    async fn pages_are_answered_whatever_the_method_is() {
        let rules = HealthRules { errors: 5, retry_failures: 5, period: Duration::from_secs(60), on: false };
        let admin = Admin::new(View::default(), Default::default(), rules);
        let listener = bind("127.0.0.1", 0).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(admin.serve(listener, stop.clone()));
        let ask = async |what: &str| {
            let mut peer = TcpStream::connect(address).await.unwrap();
            let request =
                format!("{what} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
            peer.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            peer.read_to_string(&mut answer).await.unwrap();
            answer
        };
        for method in ["GET", "POST", "OPTIONS", "PUT", "DELETE"] {
            for path in ["/", "/api/v1/health", "/api/v2/health", "/api/v1/metrics", "/api/v1/storage"] {
                let answer = ask(&format!("{method} {path}")).await;
                assert!(answer.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
            }
        }
        let answer = ask("GET /api/v2/metrics").await;
        assert!(answer.contains("Z process_start_time_seconds = "), "{answer}");
        assert!(!answer.contains("content-type"), "{answer}");
        assert!(ask("GET /api/v1/storage").await.contains("\"input_chunks\":{}"));
        stop.cancel();
        server.await.unwrap();
    }
}
