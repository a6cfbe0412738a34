//! Encoder, batcher and sender together, over a bucket in memory.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ikada_msgpack::write;
use ikada_plugin::{Batch, Outcome, Output, Routed};
use ikada_record::json::{DateFormat, DateKey, JsonStyle};
use ikada_record::{Chunk, ChunkBuilder, DropReason, Ledger, Receipt, Share, Tag, Timestamp};
use proptest::prelude::*;
use tokio::time::Instant;

use super::batcher::{Rules, S3Output};
use super::compress::Method;
use super::encode::Encoder;
use super::fake::{FakeStore, Fault, refusal};
use super::key::{KeyFormat, KeyRules};
use crate::client::{Failure, FailureKind};

pub(super) const TIMEOUT: Duration = Duration::from_secs(600);

pub(super) fn rules(format: &str) -> Rules {
    Rules {
        source: 1,
        bucket: "b".to_owned(),
        keys: KeyFormat::parse(format, KeyRules::default()).unwrap(),
        method: Method::None,
        columns: Default::default(),
        total_size: 20_000,
        part_size: Some(5_000),
        timeout: TIMEOUT,
        max_open: 100,
        max_held: 1 << 20,
        in_order: true,
    }
}

/// An output over a bucket in memory, and an engine as small as can be.
pub(super) struct Rig {
    pub(super) output: S3Output,
    pub(super) store: Arc<FakeStore>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) start: Instant,
}

impl Rig {
    pub(super) fn new(rules: Rules) -> Self {
        Self::with_encoder(rules, Encoder::new(None, Some("log"), JsonStyle::default()))
    }

    fn with_encoder(rules: Rules, encoder: Encoder) -> Self {
        Self::over(Arc::default(), rules, encoder)
    }

    /// An output of another run over the same bucket.
    pub(super) fn again(&self, rules: Rules) -> Self {
        let encoder = Encoder::new(None, Some("log"), JsonStyle::default());
        Self::over(self.store.clone(), rules, encoder)
    }

    fn over(store: Arc<FakeStore>, rules: Rules, encoder: Encoder) -> Self {
        let output = S3Output::new(rules, encoder, store.clone(), None);
        Self { output, store, ledger: Arc::default(), start: Instant::now() }
    }

    pub(super) fn push(&mut self, tag: &str, lines: &[String]) {
        self.push_chunk(chunk(tag, lines), self.start);
    }

    pub(super) fn push_chunk(&mut self, chunk: Chunk, now: Instant) {
        let share = Share::new(Receipt::unwatched(), chunk.len() as u32, self.ledger.clone());
        self.output.push(Routed { chunk, share: Arc::new(share), due: now }, now);
    }

    /// Delivers what is ready, each batch with so many attempts.
    pub(super) async fn deliver(&mut self, now: Instant, attempts: usize) -> Vec<&'static str> {
        let mut ends = Vec::new();
        while let Some(batch) = self.output.pop(now) {
            ends.push(deliver(batch, attempts).await);
        }
        ends
    }

    pub(super) async fn finish(&mut self) {
        self.output.close_all();
        self.deliver(self.start, 1).await;
        assert_eq!(self.output.held(), 0);
        assert_eq!(self.ledger.held(), 0, "every entry is settled");
        assert_eq!(self.store.open_uploads(), 0);
    }
}

pub(super) async fn deliver(mut batch: Batch, attempts: usize) -> &'static str {
    for _ in 0..attempts {
        let reason = match batch.delivery.attempt().await {
            Outcome::Delivered => {
                batch.parts.iter().for_each(|part| part.share.deliver(part.entries));
                return "delivered";
            }
            Outcome::Retry { .. } => continue,
            Outcome::Rejected { reason, .. } => reason,
            Outcome::Partial { .. } => panic!("an object is taken whole or not at all"),
        };
        batch.parts.iter().for_each(|part| part.share.drop_entries(part.entries, reason));
        return "rejected";
    }
    batch.parts.iter().for_each(|part| part.share.drop_entries(part.entries, DropReason::RetryLimit));
    "given up"
}

pub(super) fn record(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut record = Vec::new();
    write::map_header(&mut record, fields.len());
    for (key, value) in fields {
        write::str(&mut record, key.as_bytes());
        write::str(&mut record, value.as_bytes());
    }
    record
}

pub(super) fn chunk(tag: &str, lines: &[String]) -> Chunk {
    let mut builder = ChunkBuilder::new(Tag::from(tag));
    for (at, line) in lines.iter().enumerate() {
        builder.push_record(Timestamp::new(1_700_000_000 + at as i64, 0), &record(&[("log", line)]));
    }
    builder.finish(Receipt::unwatched())
}

pub(super) fn lines(name: &str, count: usize, len: usize) -> Vec<String> {
    (0..count).map(|at| format!("{name} {at} {}", "x".repeat(len))).collect()
}

pub(super) fn unpack(method: Method, data: &[u8]) -> String {
    let mut text = String::new();
    let mut reader: Box<dyn Read + '_> = match method {
        Method::None | Method::Parquet => Box::new(data),
        Method::Gzip(_) => Box::new(flate2::read::GzDecoder::new(data)),
        Method::Zstd(_) => Box::new(zstd::stream::read::Decoder::new(data).unwrap()),
        Method::Snappy => Box::new(snap::read::FrameDecoder::new(data)),
    };
    reader.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn the_captured_objects_come_out_the_same() {
    let mut builder = ChunkBuilder::new(Tag::from("app"));
    let mut first = Vec::new();
    write::map_header(&mut first, 3);
    write::str(&mut first, b"log");
    write::str(&mut first, "hello 日本".as_bytes());
    write::str(&mut first, b"n");
    write::uint(&mut first, 1);
    write::str(&mut first, b"f");
    write::float(&mut first, 1.5);
    builder.push_record(Timestamp::new(1_700_000_000, 123_456_717), &first);
    let mut second = Vec::new();
    write::map_header(&mut second, 2);
    write::str(&mut second, b"log");
    write::map_header(&mut second, 1);
    write::str(&mut second, b"a");
    write::uint(&mut second, 1);
    write::str(&mut second, b"n");
    write::uint(&mut second, 2);
    builder.push_record(Timestamp::new(1_700_000_001, 123_456_717), &second);
    builder.push_record(Timestamp::new(1_700_000_002, 0), &record(&[("date", "own")]));
    let chunk = builder.finish(Receipt::unwatched());

    let date = Some(DateKey::new("date", DateFormat::Iso8601));
    let mut rig = Rig::with_encoder(rules("/k/$UUID"), Encoder::new(date, None, JsonStyle::default()));
    rig.push_chunk(chunk.clone(), rig.start);
    rig.finish().await;
    let expected = concat!(
        r#"{"date":"2023-11-14T22:13:20.123456Z","log":"hello \u65e5\u672c","n":1,"f":1.5}"#,
        "\n",
        r#"{"date":"2023-11-14T22:13:21.123456Z","log":{"a":1},"n":2}"#,
        "\n",
        r#"{"date":"own"}"#,
        "\n"
    );
    assert_eq!(
        rig.store.objects().into_values().map(|body| String::from_utf8(body).unwrap()).collect::<Vec<_>>(),
        [expected]
    );

    let mut rig = Rig::new(rules("/k/$UUID"));
    rig.push_chunk(chunk, rig.start);
    rig.finish().await;
    assert_eq!(rig.store.objects().into_values().next().unwrap(), "hello 日本\n{\"a\":1}\n".as_bytes());
    assert_eq!(rig.ledger.dropped(DropReason::Empty), 1, "a record without the field is dropped and counted");
}

#[tokio::test]
async fn log_key_values_are_written_by_their_type() {
    let mut builder = ChunkBuilder::new(Tag::from("app"));
    let mut values: Vec<Vec<u8>> = vec![Vec::new(); 6];
    write::uint(&mut values[0], 12_345);
    write::bool(&mut values[1], true);
    write::bin(&mut values[2], b"raw \x00\xff");
    write::str(&mut values[3], b"before\x00after");
    write::nil(&mut values[4]);
    write::str(&mut values[5], b"");
    for value in &values {
        let mut record = Vec::new();
        write::map_header(&mut record, 3);
        for (key, value) in [("lo", &values[0]), ("log", &values[5]), ("log", value)] {
            write::str(&mut record, key.as_bytes());
            record.extend_from_slice(value);
        }
        builder.push_record(Timestamp::new(1, 0), &record);
    }
    let mut rig = Rig::new(rules("/k/$UUID"));
    rig.push_chunk(builder.finish(Receipt::unwatched()), rig.start);
    rig.finish().await;
    let object = rig.store.objects().into_values().next().unwrap();
    assert_eq!(object, b"12345\ntrue\nraw \x00\xff\nbefore\x00after\nnull\n\n");
}

#[tokio::test]
async fn a_small_object_is_one_put_at_its_age() {
    let mut rig = Rig::new(rules("/$TAG/%Y/%m/%d/%H/%M/%S"));
    rig.push("app", &lines("a", 3, 10));
    assert_eq!(rig.output.due(), Some(rig.start + TIMEOUT));
    assert!(rig.output.pop(rig.start + TIMEOUT - Duration::from_millis(1)).is_none());
    assert_eq!(rig.deliver(rig.start + TIMEOUT, 1).await, ["delivered"]);
    let objects = rig.store.objects();
    let (key, body) = objects.first_key_value().unwrap();
    assert!(key.starts_with("app/2023/11/14/22/13/20-object"), "{key}");
    assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), 3);
    assert_eq!(rig.ledger.delivered(), 3);
    assert!(rig.output.due().is_none());
}

#[tokio::test]
async fn the_tail_of_a_large_object_is_its_last_part() {
    let mut rig = Rig::new(Rules { total_size: 1 << 30, part_size: Some(100_000), ..rules("/all") });
    rig.push("app", &lines("a", 3_000, 80));
    rig.output.close_all();
    rig.deliver(rig.start, 1).await;
    let parts = &rig.store.completed_parts()[0];
    assert!(parts.len() > 1 && parts.last().unwrap() < &100_000, "{parts:?}");
    assert_eq!(rig.store.objects().len(), 1);
    rig.finish().await;
}

#[tokio::test]
async fn a_retry_writes_the_same_object_again() {
    let mut rig = Rig::new(rules("/$TAG"));
    rig.store.fault("put", Fault::LoseAnswer);
    for _ in 0..3 {
        rig.store.fault("put", Fault::Refuse(refusal(FailureKind::Throttled, "SlowDown", 503)));
    }
    rig.push("app", &lines("a", 3, 10));
    rig.output.close_all();
    assert_eq!(rig.deliver(rig.start, 9).await, ["delivered"]);
    let calls = rig.store.calls();
    assert_eq!(calls.iter().filter(|call| call.starts_with("put ")).count(), 5, "{calls:?}");
    assert_eq!(rig.store.objects().len(), 1);
}

#[tokio::test]
async fn every_call_of_a_large_object_may_fail_once_in_every_way() {
    let operations = ["create", "part", "part", "complete"];
    for lose in [false, true] {
        let mut rig = Rig::new(rules("/$TAG"));
        for operation in operations {
            let fault = match lose {
                true => Fault::LoseAnswer,
                false => Fault::Refuse(refusal(FailureKind::Transient, "InternalError", 500)),
            };
            rig.store.fault(operation, fault);
        }
        let all = lines("a", 150, 80);
        rig.push("app", &all);
        rig.output.close_all();
        let ends = rig.deliver(rig.start, 9).await;
        assert!(ends.iter().all(|end| *end == "delivered"), "{ends:?}");
        let objects = rig.store.objects();
        assert_eq!(objects.len(), 1);
        let text = String::from_utf8(objects.into_values().next().unwrap()).unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), all);
        assert_eq!(rig.ledger.delivered(), 150);
    }
}

#[tokio::test]
async fn a_completion_without_an_answer_is_looked_up_not_believed() {
    // S3 completed the object, said so to nobody, and then forgot the upload.
    let mut rig = Rig::new(Rules { part_size: Some(40), ..rules("/$TAG") });
    rig.store.fault("complete", Fault::LoseAnswer);
    rig.push("app", &lines("a", 3, 10));
    assert_eq!(rig.deliver_all(9).await, ["delivered", "delivered"]);
    assert!(rig.store.calls().iter().any(|call| call.starts_with("head ")));

    // Somebody removed the upload, and there is no object: that is a loss, and is said to be one.
    let mut rig = Rig::new(Rules { part_size: Some(40), ..rules("/$TAG") });
    rig.store.fault("complete", Fault::Refuse(Failure::transient("connection lost")));
    rig.push("app", &lines("a", 3, 10));
    rig.output.close_all();
    let part = rig.output.pop(rig.start).unwrap();
    deliver(part, 1).await;
    let mut last = rig.output.pop(rig.start).unwrap();
    assert!(matches!(last.delivery.attempt().await, Outcome::Retry { .. }));
    rig.store.sweep();
    assert_eq!(deliver(last, 9).await, "rejected");
    assert_eq!(rig.ledger.dropped(DropReason::Rejected), 3);
}

impl Rig {
    pub(super) async fn deliver_all(&mut self, attempts: usize) -> Vec<&'static str> {
        self.output.close_all();
        self.deliver(self.start, attempts).await
    }
}

#[tokio::test]
async fn a_part_that_is_given_up_fails_its_object_and_no_other() {
    let mut rig = Rig::new(rules("/$TAG"));
    rig.store.fault("part", Fault::Refuse(refusal(FailureKind::Denied, "AccessDenied", 403)));
    rig.push("app", &lines("a", 100, 80));
    assert_eq!(rig.deliver(rig.start, 1).await, ["given up"]);
    rig.push("app", &lines("b", 10, 80));
    assert_eq!(rig.deliver(rig.start, 1).await, ["rejected"]);
    assert_eq!(rig.ledger.dropped(DropReason::RetryLimit), 100);
    assert_eq!(rig.store.open_uploads(), 0, "the upload was aborted");
    assert_eq!(rig.deliver_all(1).await, ["delivered"]);
    assert_eq!(rig.ledger.delivered(), 10);
    rig.finish().await;
}

#[tokio::test]
async fn an_upload_whose_end_is_given_up_is_aborted_by_the_next_object() {
    let mut rig = Rig::new(rules("/$TAG"));
    rig.store.fault("complete", Fault::Refuse(refusal(FailureKind::Denied, "AccessDenied", 403)));
    rig.push("app", &lines("a", 100, 80));
    assert_eq!(rig.deliver_all(1).await, ["delivered", "given up"]);
    assert_eq!(rig.store.open_uploads(), 1);
    for _ in 0..2 {
        rig.push("app", &lines("b", 1, 80));
        assert_eq!(rig.deliver_all(1).await, ["delivered"]);
    }
    rig.finish().await;
}

#[tokio::test]
async fn tags_share_an_object_unless_the_format_names_them() {
    for (format, objects) in [("/all/%Y", 1), ("/$TAG/%Y", 4), ("/$TAG[0]/%Y", 2)] {
        let mut rig = Rig::new(rules(format));
        for tag in ["a.x", "a.y", "b.x", "b.y", "a.x"] {
            rig.push(tag, &lines(tag, 2, 5));
        }
        rig.finish().await;
        assert_eq!(rig.store.objects().len(), objects, "{format}");
        assert_eq!(rig.ledger.delivered(), 10);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_object_holds_entries_of_an_hour_that_is_not_in_its_name(
        times in prop::collection::vec(0i64..40_000, 1..200), hourly in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut rig = Rig::new(rules(if hourly { "/%Y-%m-%dT%H/$UUID" } else { "/%Y-%m-%d/$UUID" }));
            let mut builder = ChunkBuilder::new(Tag::from("app"));
            for secs in &times {
                let time = Timestamp::new(1_700_000_000 + secs, 0);
                let shown = chrono::DateTime::from_timestamp(time.secs(), 0).unwrap();
                let line = shown.format("%Y-%m-%dT%H").to_string();
                builder.push_record(time, &record(&[("log", &line)]));
            }
            rig.push_chunk(builder.finish(Receipt::unwatched()), rig.start);
            rig.finish().await;
            let mut count = 0;
            for (key, body) in rig.store.objects() {
                let (date, _) = key.split_once('/').unwrap();
                let text = String::from_utf8(body).unwrap();
                assert!(text.lines().all(|line| line.starts_with(date)), "{key}: {text}");
                count += text.lines().count();
            }
            assert_eq!(count, times.len());
        });
    }
}

#[tokio::test]
async fn what_is_ready_and_on_its_way_is_bounded() {
    let mut rig = Rig::new(Rules {
        part_size: Some(6_000_000),
        total_size: 1 << 30,
        max_held: 1 << 26,
        ..rules("/$TAG")
    });
    let all = lines("a", 100, 10_000);
    let mut under_way = Vec::new();
    while !rig.output.is_full() {
        rig.push("app", &all);
        under_way.extend(rig.output.pop(rig.start));
        let (held, count) = (rig.output.held(), under_way.len());
        assert!(held < 9_000_000 && count < 4, "{held} bytes, {count} batches");
    }
    for batch in under_way {
        deliver(batch, 1).await;
    }
    assert!(!rig.output.is_full());
    rig.finish().await;
}

#[tokio::test]
async fn objects_of_a_kind_go_one_after_another_if_they_are_to() {
    for (in_order, expected) in [(true, 1), (false, 3)] {
        let mut rig = Rig::new(Rules { in_order, part_size: None, ..rules("/$TAG/%H") });
        for hour in 0..3 {
            let mut builder = ChunkBuilder::new(Tag::from("app"));
            builder.push_record(Timestamp::new(hour * 3600, 0), &record(&[("log", "x")]));
            rig.push_chunk(builder.finish(Receipt::unwatched()), rig.start);
        }
        rig.output.close_all();
        let mut lanes = std::collections::BTreeSet::new();
        while let Some(batch) = rig.output.pop(rig.start) {
            lanes.insert(batch.lane);
            deliver(batch, 1).await;
        }
        assert_eq!(lanes.len(), expected);
        rig.finish().await;
    }
}

#[tokio::test]
async fn an_upload_whose_creation_was_never_answered_is_found_and_aborted() {
    let mut rig = Rig::new(rules("/$TAG"));
    rig.store.fault("create", Fault::LoseAnswer);
    rig.store.fault("list", Fault::Refuse(Failure::transient("lost")));
    rig.push("app", &lines("a", 100, 80));
    assert_eq!(rig.deliver_all(2).await, ["delivered", "delivered"]);
    rig.finish().await;
}

#[tokio::test]
async fn ten_thousand_tags_stay_within_the_bounds() {
    let mut rig = Rig::new(Rules { max_open: 50, max_held: 60_000, method: Method::GZIP, ..rules("/$TAG") });
    let mut most = 0;
    for n in 0..10_000 {
        rig.push(&format!("t{}", n * 7919 % 10_007), &lines("x", 1, 500));
        rig.deliver(rig.start, 1).await;
        most = most.max(rig.output.held());
    }
    assert!(most <= 60_000, "{most}");
    rig.finish().await;
    assert_eq!(rig.ledger.delivered(), 10_000);
}

#[tokio::test]
async fn a_record_larger_than_a_part_goes_through() {
    let mut rig = Rig::new(Rules { part_size: Some(5_000), total_size: 1 << 20, ..rules("/$TAG") });
    rig.push("app", &[lines("a", 1, 400_000), lines("b", 2, 10)].concat());
    rig.finish().await;
    assert_eq!(rig.ledger.delivered(), 3);
}

#[tokio::test]
async fn objects_of_the_same_name_go_one_after_another() {
    let keys = KeyFormat::parse("/latest.json", KeyRules { is_static: true, ..KeyRules::default() }).unwrap();
    let mut rig = Rig::new(Rules { keys, part_size: None, ..rules("/x") });
    rig.push("app", &lines("a", 2_000, 80));
    let mut lanes = VecDeque::new();
    rig.output.close_all();
    while let Some(batch) = rig.output.pop(rig.start) {
        lanes.push_back(batch.lane);
        deliver(batch, 1).await;
    }
    assert!(lanes.len() > 1 && lanes.iter().all(|lane| *lane == lanes[0] && lane.is_some()), "{lanes:?}");
    assert_eq!(rig.store.objects().keys().collect::<Vec<_>>(), ["latest.json"]);
}

#[derive(Debug, Clone)]
struct Step {
    tag: usize,
    lens: Vec<usize>,
    passes: u64,
    pops: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![8 => 0usize..300, 1 => 3_000usize..90_000];
    let step = (0usize..4, prop::collection::vec(len, 0..40), 0u64..400, 0usize..4)
        .prop_map(|(tag, lens, passes, pops)| Step { tag, lens, passes, pops });
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_entry_is_in_exactly_one_object_and_in_order(
        steps in steps(),
        method in prop_oneof![Just(Method::None), Just(Method::GZIP), Just(Method::ZSTD), Just(Method::Snappy)],
        part_size in prop_oneof![Just(None), Just(Some(5_000)), Just(Some(40_000))],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut rig = Rig::new(Rules { method, part_size, total_size: 150_000, max_open: 3, ..rules("/$TAG/x.gz") });
            let mut now = rig.start;
            let mut sent: Vec<Vec<String>> = vec![Vec::new(); 4];
            let mut count = 0u64;
            for step in &steps {
                now += Duration::from_secs(step.passes);
                let lines: Vec<String> = step.lens.iter().map(|len| {
                    count += 1;
                    format!("{count} {}", "y".repeat(*len))
                }).collect();
                rig.push_chunk(chunk(&format!("t{}", step.tag), &lines), now);
                sent[step.tag].extend(lines);
                for _ in 0..step.pops {
                    let Some(batch) = rig.output.pop(now) else { break };
                    assert_eq!(batch.entries, batch.parts.iter().map(|part| part.entries).sum::<u32>());
                    assert_eq!(deliver(batch, 1).await, "delivered");
                }
                assert!(rig.output.due().is_none_or(|due| due <= now + TIMEOUT));
            }
            rig.finish().await;
            assert_eq!(rig.ledger.delivered(), count);

            for parts in rig.store.completed_parts() {
                let (last, others) = parts.split_last().unwrap();
                assert!(*last > 0 || !others.is_empty());
                assert!(others.iter().all(|len| *len >= part_size.unwrap()), "{parts:?}");
            }
            // Objects of one tag hold its lines in order; the first number in each puts the objects in order.
            for (tag, sent) in sent.iter().enumerate() {
                let mut objects: Vec<Vec<String>> = rig.store.objects().iter()
                    .filter(|(key, _)| key.starts_with(&format!("t{tag}/")))
                    .map(|(_, body)| unpack(method, body).lines().map(str::to_owned).collect())
                    .collect();
                objects.sort_by_key(|lines: &Vec<String>| lines[0].split(' ').next().unwrap().parse::<u64>().unwrap());
                assert_eq!(&objects.concat(), sent);
            }
        });
    }
}
