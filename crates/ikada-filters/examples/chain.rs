//! What chains of filters cost for each record: `cargo run --release -p ikada-filters --example chain [NAME]`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;

use ikada_filters::filters;
use ikada_msgpack::write;
use ikada_options::{Diagnostics, FilterCommon, Options, Property, PropertyBag, Sources, Spanned};
use ikada_plugin::registry::{BuildContext, find};
use ikada_plugin::{Effects, EntryContext, Filter, InstanceId, Kind, Service, Verdict};
use ikada_record::{Fields, Tag, Timestamp, record_at};
use tokio::time::Instant;

type Section = (&'static str, Vec<(&'static str, String)>);

const RECORDS: u32 = 1_000_000;

fn main() {
    let only = std::env::args().nth(1);
    for (name, sections) in chains() {
        if only.as_ref().is_none_or(|only| only == name) {
            let chain: Vec<_> = sections.iter().map(build).collect();
            let (nanos, kept) = run(&chain);
            println!("{name:16} {nanos:6.0} ns/record, {kept} of {RECORDS} kept");
        }
    }
}

fn chains() -> Vec<(&'static str, Vec<Section>)> {
    let section = |name, options: &[(&'static str, &str)]| -> Section {
        (name, options.iter().map(|(key, value)| (*key, (*value).to_owned())).collect())
    };
    let parser = section("parser", &[("Key_Name", "log"), ("Parser", "json"), ("Reserve_Data", "on")]);
    let modify =
        section("modify", &[("Rename", "msg message"), ("Set", "cluster prod"), ("Remove", "secret")]);
    let grep = section("grep", &[("Exclude", "path ^/health")]);
    let modifier =
        section("record_modifier", &[("Record", "region eu-west-1"), ("Remove_key", "container_id")]);
    let rules = |count: usize| -> Section {
        ("grep", (0..count).map(|n| ("Exclude", format!("log (path|url)=/noise{n}[a-z]+"))).collect())
    };
    vec![
        ("none", vec![]),
        ("parser", vec![parser.clone()]),
        ("modify", vec![modify.clone()]),
        ("grep", vec![grep.clone()]),
        ("record_modifier", vec![modifier.clone()]),
        ("common", vec![parser, modify, grep, modifier]),
        ("grep-2", vec![rules(2)]),
        ("grep-3", vec![rules(3)]),
        ("grep-4", vec![rules(4)]),
        ("grep-8", vec![rules(8)]),
        ("grep-20", vec![rules(20)]),
        (
            "log_to_metrics",
            vec![section(
                "log_to_metrics",
                &[("metric_description", "d"), ("label_field", "source"), ("label_field", "container_name")],
            )],
        ),
    ]
}

fn build((name, options): &Section) -> Box<dyn Filter> {
    let span = Sources::default().add("x", "x").span(0, 1);
    let text = |text: &str| Spanned::new(text.to_owned(), span);
    let properties = options.iter().map(|(key, value)| Property::new(text(key), text(value)));
    let mut bag = PropertyBag::new("filter", span, properties.collect());
    let mut found = Diagnostics::new();
    FilterCommon::parse(&mut bag, &mut found);
    let id =
        InstanceId { kind: Kind::Filter, plugin: (*name).into(), name: format!("{name}.0"), alias: None };
    let cx = BuildContext {
        id: Arc::new(id),
        service: Arc::new(Service::default()),
        tag: None,
        mem_buf_limit: None,
        net: None,
        parsers: Arc::default(),
        dry_run: false,
    };
    (find(&filters(), name).unwrap().build)(&mut bag, &cx, &mut found).unwrap()
}

/// A record as Docker's log driver sends it.
fn record(number: usize) -> Vec<u8> {
    let log = format!(
        "{{\"level\":\"info\",\"seq\":{number},\"msg\":\"request served in 12 ms\",\"path\":\"/api/v1/items\",\"status\":200}}"
    );
    let mut record = Vec::new();
    write::map_header(&mut record, 4);
    for (key, value) in [
        ("container_id", "8b1f3f5f8a1b4b6e8c5d0e3a9f7c2d4e6b8a1c3e5f7092b4d6f8a0c2e4f60718"),
        ("container_name", "/ecs-app-1-app-c0ffee"),
        ("source", "stdout"),
        ("log", &*log),
    ] {
        write::str(&mut record, key.as_bytes());
        write::str(&mut record, value.as_bytes());
    }
    record
}

/// Nanoseconds for a record, and how many were kept.
fn run(chain: &[Box<dyn Filter>]) -> (f64, u32) {
    let records: Vec<_> = (0..64).map(record).collect();
    let tag = Tag::from("app");
    let (mut fields, mut effects, mut out) = (Fields::default(), Effects::default(), Vec::new());
    let mut kept = 0;
    let start = Instant::now();
    for (record, position) in records.iter().cycle().zip(0..RECORDS) {
        let time = Timestamp::new(1, 2);
        let mut cx = EntryContext { tag: &tag, time, metadata: None, position, effects: &mut effects };
        fields.refill(record_at(record));
        if chain.iter().all(|filter| filter.filter(&mut cx, &mut fields) == Verdict::Keep) {
            kept += 1;
            out.clear();
            fields.write(&mut out);
        }
    }
    (start.elapsed().as_nanos() as f64 / f64::from(RECORDS), kept)
}
