//! The same random records through Fluent Bit and through the C family of outputs here: the same bytes arrive.
//!
//! Fluent Bit's Firehose and Kinesis outputs trust the system's authorities only, whatever their options say, and so do not speak to a
//! stand-in. They write the JSON that its CloudWatch output writes, with a newline behind it: what that sends is the measure for all three.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ikada_localaws::{Config, LocalAws, Service};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde_json::{Map, Value, json};

use crate::rig::{Rig, is_child, now_ms, run_in_child};

const RECORDS: usize = 5_000;

/// What applications log, as far as both programs mean the same by it: see the table of deliberate differences.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        4 => "[ -~]{0,40}",
        2 => "[a-zé日本😀\"\\\\/\t\n\r\u{1}\u{8}]{0,20}",
        1 => any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e6..1e6f64).prop_map(Value::from),
        (-1e300..1e300f64).prop_map(Value::from),
        (-1000i64..1000).prop_map(|n| Value::from(n as f64)),
        // 0x7f is escaped there or not, by its place in the text.
        text.prop_map(|text| Value::from(text.replace('\u{7f}', ""))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-z.]{1,6}", inner), 0..4)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Numbered, so that both sides can be put in one order.
fn records() -> Vec<Value> {
    let mut runner = TestRunner::new(Cases { failure_persistence: None, ..Cases::default() });
    let members = proptest::collection::vec(("[a-zA-Z_.日]{1,8}", value()), 0..6);
    (0..RECORDS)
        .map(|n| {
            let members = members.new_tree(&mut runner).unwrap().current();
            let number = ("#".to_owned(), json!(n));
            Value::from(std::iter::once(number).chain(members).collect::<Map<_, _>>())
        })
        .collect()
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Fluent Bit with a forward input and its CloudWatch output.
fn fluent_bit(binary: &str, aws: &LocalAws, port: u16) -> Running {
    let mut command = Command::new(binary);
    command.args(["-f", "1", "-i", "forward", "-p", &format!("port={port}"), "-o", "cloudwatch_logs"]);
    let to = format!("port={}", aws.https_port());
    for option in ["match=*", "retry_limit=no_limits", "endpoint=127.0.0.1", &to, "tls.verify=off"] {
        command.args(["-p", option]);
    }
    for option in ["region=eu-central-1", "log_group_name=g", "log_stream_name=s"] {
        command.args(["-p", option]);
    }
    command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    let number = |text: &String| -> u64 {
        let digits = text.split_once("\"#\":").unwrap().1;
        digits.split([',', '}']).next().unwrap().parse().unwrap()
    };
    all.sort_by_key(number);
    all
}

fn messages(aws: &LocalAws) -> Vec<String> {
    sorted(aws.cloudwatch().events("g", "s").into_iter().map(|(_, message)| message).collect())
}

fn lines(records: Vec<Vec<u8>>) -> Vec<String> {
    let line = |record: Vec<u8>| String::from_utf8_lossy(&record).strip_suffix('\n').unwrap().to_owned();
    sorted(records.into_iter().map(line).collect())
}

/// Sends records in the Forward protocol, and waits until they are delivered.
fn send(aws: &LocalAws, port: u16, records: &[Value]) {
    let mut socket = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(socket) => break socket,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let seconds = now_ms() / 1000;
    for chunk in records.chunks(250) {
        let entries: Vec<_> = chunk.iter().map(|record| (seconds, record)).collect();
        socket.write_all(&rmp_serde::to_vec(&("app", entries)).unwrap()).unwrap();
    }
    let have = |report: &ikada_localaws::Report| report.records(Service::Logs) >= RECORDS as u64;
    aws.wait_until(Duration::from_secs(60), have)
        .unwrap_or_else(|report| panic!("not all arrived: {report:?}"));
}

#[test]
fn random_records_arrive_with_the_same_bytes_as_from_fluent_bit() {
    let Ok(binary) = std::env::var("FLUENT_BIT_BIN") else {
        return eprintln!("skipped: FLUENT_BIT_BIN is not set");
    };
    // The records are made once, in the outer process, and read by the inner one.
    let path = std::env::var("IKADA_TEST_RECORDS").unwrap_or_else(|_| {
        let path = std::env::temp_dir().join(format!("ikada-records-{}.json", std::process::id()));
        std::fs::write(&path, serde_json::to_vec(&records()).unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    });
    run_in_child(
        concat!(module_path!(), "::random_records_arrive_with_the_same_bytes_as_from_fluent_bit"),
        &[("IKADA_TEST_RECORDS", &path), ("FLUENT_BIT_BIN", &binary)],
        async {
            let records: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let start = || {
                LocalAws::start(Config { create_log_stream_rate: None, ..Config::default().with_https() })
                    .unwrap()
            };
            let (theirs, ours) = (start(), start());
            for aws in [&theirs, &ours] {
                aws.cloudwatch().create_log_stream("g", "s");
            }
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let running = fluent_bit(&binary, &theirs, port);
            send(&theirs, port, &records);
            drop(running);
            let outputs = [
                ("cloudwatch_logs", "log_group_name g\nlog_stream_name s\n"),
                ("kinesis_firehose", "delivery_stream ds\n"),
                ("kinesis_streams", "stream ks\n"),
            ];
            for (plugin, options) in outputs {
                let mut rig = Rig::new(&ours, plugin, options);
                let now = now_ms();
                for chunk in records.chunks(700) {
                    rig.push("app", &chunk.iter().map(|record| (now, record.clone())).collect::<Vec<_>>());
                }
                rig.finish().await;
            }
            let theirs = messages(&theirs);
            let ours =
                [messages(&ours), lines(ours.firehose().records("ds")), lines(ours.kinesis().records("ks"))];
            for (ours, (plugin, _)) in ours.iter().zip(outputs) {
                assert_eq!((theirs.len(), ours.len()), (RECORDS, RECORDS), "{plugin}");
                for (theirs, ours) in theirs.iter().zip(ours) {
                    assert_eq!(theirs, ours, "{plugin}");
                }
            }
        },
    );
    if !is_child() {
        std::fs::remove_file(path).unwrap();
    }
}
