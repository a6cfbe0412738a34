//! Measures what an entry costs on its way into the request of an AWS output, without a network:
//! `cargo run --release -p ikada-aws --example aws_speed`. With a URL behind it, as `localaws` prints one, the requests are sent
//! there, 16 at a time, and what that costs is in the figures too (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set); a word behind that picks outputs.
//! With `one-stream` instead of a URL, events of 1 KB go into one log stream of a local AWS that takes 20 ms for each answer.
//!
//! Prints, for each kind of record and output, MB of MessagePack and of request per CPU second. CPU time of the one thread, so that a busy
//! machine does not spoil the figures much; the best of several rounds.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use ikada_diag::{Diagnostics, Sources, Spanned};
use ikada_localaws::{self as aws, Config, Fault, FaultKind, LocalAws};
use ikada_msgpack::write;
use ikada_options::{Property, PropertyBag};
use ikada_plugin::registry::{BuildContext, find};
use ikada_plugin::{Batch, InstanceId, Kind, Outcome, Output, Routed, Service};
use ikada_record::{Chunk, ChunkBuilder, Ledger, Receipt, Share, Tag, Timestamp};
use tokio::task::JoinSet;
use tokio::time::Instant;

const CHUNKS: usize = 128;
const CHUNK: usize = 256 * 1024;
const ROUNDS: usize = 7;
const DUE: Duration = Duration::from_secs(3600);

const LOGS: &str = "log_group_name g\nlog_stream_prefix p-\n";
const FIREHOSE: &str = "delivery_stream ds\n";

fn main() {
    let cases = [
        ("docker", "cloudwatch_logs", LOGS.to_owned()),
        ("docker, log_key", "cloudwatch_logs", format!("{LOGS}log_key log\n")),
        ("docker, template", "cloudwatch_logs", format!("{LOGS}log_stream_template $container_name\n")),
        ("json lines", "cloudwatch_logs", LOGS.to_owned()),
        ("japanese", "cloudwatch_logs", LOGS.to_owned()),
        ("docker", "kinesis_firehose", FIREHOSE.to_owned()),
        ("docker, time_key", "kinesis_firehose", format!("{FIREHOSE}time_key time\n")),
        ("docker, joined", "kinesis_firehose", format!("{FIREHOSE}simple_aggregation on\n")),
        (
            "docker, joined, gzip",
            "kinesis_firehose",
            format!("{FIREHOSE}simple_aggregation on\ncompression gzip\n"),
        ),
        ("json lines", "kinesis_firehose", FIREHOSE.to_owned()),
    ];
    let url = std::env::args().nth(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if url.as_deref() == Some("one-stream") {
        return runtime.block_on(one_stream());
    }
    println!(
        "{:<22} {:<18} {:>9} {:>9} {:>9} {:>9}",
        "records", "output", "MB/s fed", "MB/s sent", "CPU-s/GB", "krec/s"
    );
    let wanted = std::env::args().nth(2).unwrap_or_default();
    for (kind, plugin, options) in cases.into_iter().filter(|case| case.1.contains(&wanted)) {
        let chunks: Vec<Chunk> = (0..CHUNKS).map(|n| chunk(kind, n)).collect();
        let fed: usize = chunks.iter().map(Chunk::size).sum();
        let entries: usize = chunks.iter().map(Chunk::len).sum();
        let options = match &url {
            Some(url) => format!("{options}region eu-central-1\nendpoint {url}\ntls.verify off\n"),
            None => options,
        };
        let one = || match &url {
            Some(_) => runtime.block_on(sending(&chunks, plugin, &options)),
            None => round(&chunks, plugin, &options),
        };
        let (seconds, sent) = (0..ROUNDS).map(|_| one()).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!(
            "{kind:<22} {plugin:<18} {:>9.0} {:>9.0} {:>9.3} {:>9.0}",
            fed as f64 / 1e6 / seconds,
            sent as f64 / 1e6 / seconds,
            seconds / (fed as f64 / 1e9),
            entries as f64 / 1e3 / seconds,
        );
    }
}

/// CPU seconds, and bytes of requests.
fn round(chunks: &[Chunk], plugin: &str, options: &str) -> (f64, usize) {
    let mut output = build(plugin, options);
    let ledger = Arc::new(Ledger::default());
    let now = Instant::now();
    let mut sent = 0;
    let start = cpu_seconds();
    for chunk in chunks {
        let share = Share::new(Receipt::unwatched(), chunk.len() as u32, ledger.clone());
        output.push(Routed { chunk: chunk.clone(), share: Arc::new(share), due: now + DUE }, now);
        while let Some(batch) = output.pop(now) {
            sent += batch.bytes;
        }
    }
    output.close_all();
    while let Some(batch) = output.pop(now) {
        sent += batch.bytes;
    }
    (cpu_seconds() - start, sent)
}

/// CPU seconds, and bytes of requests, with the sending.
async fn sending(chunks: &[Chunk], plugin: &str, options: &str) -> (f64, usize) {
    let mut output = build(
        plugin,
        &format!("{options}{}", if plugin == "cloudwatch_logs" { "auto_create_group on\n" } else { "" }),
    );
    let ledger = Arc::new(Ledger::default());
    let now = Instant::now();
    let (mut sent, mut tasks) = (0, JoinSet::new());
    let start = cpu_seconds();
    for n in 0..=chunks.len() {
        match chunks.get(n) {
            Some(chunk) => {
                let share = Share::new(Receipt::unwatched(), chunk.len() as u32, ledger.clone());
                output.push(Routed { chunk: chunk.clone(), share: Arc::new(share), due: now + DUE }, now);
            }
            None => output.close_all(),
        }
        while let Some(mut batch) = output.pop(now) {
            sent += batch.bytes;
            if tasks.len() >= 16 {
                tasks.join_next().await;
            }
            tasks.spawn(async move {
                let outcome = batch.delivery.attempt().await;
                assert!(matches!(outcome, Outcome::Delivered), "{outcome:?}");
                batch.parts.iter().for_each(|part| part.share.deliver(part.entries));
            });
        }
    }
    tasks.join_all().await;
    (cpu_seconds() - start, sent)
}

/// Fills one log stream, a call at a time as order wants it, and asks the service what it has.
async fn one_stream() {
    const PASSES: usize = 8;
    let config = Config { check_event_age: false, ..Config::for_benchmark() };
    let aws = LocalAws::start(config).unwrap();
    aws.cloudwatch().create_log_stream("g", "p-app-firelens-0123456789abcdef");
    let pause = FaultKind::latency(Duration::from_millis(20));
    aws.faults().add(Fault::new(pause).on(aws::Service::Logs, "PutLogEvents"));
    let options = format!("{LOGS}region eu-central-1\nendpoint {}\n", aws.http_url());
    let mut output = build("cloudwatch_logs", &options);
    let chunks: Vec<Chunk> = (0..CHUNKS).map(|n| chunk("1 KB", n)).collect();
    let ledger = Arc::new(Ledger::default());
    let (made, mut ready) = tokio::sync::mpsc::channel::<Batch>(4);
    let delivering = tokio::spawn(async move {
        while let Some(mut batch) = ready.recv().await {
            let outcome = batch.delivery.attempt().await;
            assert!(matches!(outcome, Outcome::Delivered), "{outcome:?}");
            batch.parts.iter().for_each(|part| part.share.deliver(part.entries));
        }
    });
    let (start, cpu) = (Instant::now(), cpu_seconds());
    for n in 0..=PASSES * chunks.len() {
        let now = Instant::now();
        match (n < PASSES * chunks.len()).then(|| &chunks[n % chunks.len()]) {
            Some(chunk) => {
                let share = Share::new(Receipt::unwatched(), chunk.len() as u32, ledger.clone());
                output.push(Routed { chunk: chunk.clone(), share: Arc::new(share), due: now + DUE }, now);
            }
            None => output.close_all(),
        }
        while let Some(batch) = output.pop(now) {
            made.send(batch).await.unwrap();
        }
    }
    drop(made);
    delivering.await.unwrap();
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let entries = PASSES * chunks.iter().map(Chunk::len).sum::<usize>();
    let logs = aws.report().operation(aws::Service::Logs, "PutLogEvents");
    assert_eq!(logs.records, entries as u64, "nothing is lost and nothing comes twice");
    let megabytes = logs.record_bytes as f64 / 1e6;
    println!(
        "one stream, 20 ms: {entries} events of {:.0} bytes, {:.0} MB/s, {:.3} CPU-s/GB",
        1e6 * megabytes / entries as f64,
        megabytes / seconds,
        cpu / (megabytes / 1e3),
    );
}

fn chunk(kind: &str, n: usize) -> Chunk {
    let mut builder = ChunkBuilder::with_capacity(Tag::from("app-firelens-0123456789abcdef"), CHUNK + 4096);
    let mut record = Vec::new();
    let mut seq = n * 1000;
    while builder.size() < CHUNK {
        seq += 1;
        let log = match kind {
            "json lines" => format!(
                "{{\"time\":\"2026-11-22T10:00:00.{:03}Z\",\"level\":\"info\",\"msg\":\"request served\",\"path\":\"/api/v1/items/{seq}\",\
                 \"status\":200,\"duration_ms\":12.5,\"user_agent\":\"Mozilla/5.0 (X11; Linux x86_64)\",\"seq\":{seq}}}",
                seq % 1000
            ),
            "1 KB" => format!("{seq} {}", "request served in 12 ms, cache MISS; ".repeat(21)),
            "japanese" => format!(
                "{seq} 注文を受け付けました。お届け先の住所を確認してください。合計金額は一万二千円です。ありがとうございます。"
            ),
            _ => format!(
                "192.0.2.{} - - [22/Nov/2026:10:00:00 +0000] GET /api/v1/items/{seq} HTTP/1.1 200 5123 0.012 request-id \
                 7f3e9a52c1d84b06 upstream 10.0.3.17:8080 cache MISS tls TLSv1.3 bytes-in 412",
                seq % 250
            ),
        };
        record.clear();
        write::map_header(&mut record, 4);
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        for (key, value) in [
            ("source", "stdout"),
            ("log", &log),
            ("container_id", id),
            ("container_name", "/ecs-web-12-web-a0b1c2"),
        ] {
            write::str(&mut record, key.as_bytes());
            write::str(&mut record, value.as_bytes());
        }
        builder.push_record(
            Timestamp::new(1_795_000_000 + (seq / 4000) as i64, (seq as u32 % 4000) * 250_000),
            &record,
        );
    }
    builder.finish(Receipt::unwatched())
}

fn build(plugin: &str, options: &str) -> Box<dyn Output> {
    let mut sources = Sources::default();
    let file = sources.add("speed", options);
    let place = file.span(0, 0);
    let property = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap();
        Property::new(Spanned::new(key.to_owned(), place), Spanned::new(value.to_owned(), place))
    };
    let mut bag = PropertyBag::new(plugin, place, options.lines().map(property).collect());
    let id = InstanceId { kind: Kind::Output, plugin: plugin.into(), name: plugin.into(), alias: None };
    let cx = BuildContext {
        id: Arc::new(id),
        service: Arc::new(Service::default()),
        tag: None,
        mem_buf_limit: None,
        net: None,
        parsers: Default::default(),
        dry_run: false,
    };
    let outputs = ikada_aws::outputs();
    (find(&outputs, plugin).unwrap().build)(&mut bag, &cx, &mut Diagnostics::new()).unwrap()
}

/// CPU time of this thread.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
