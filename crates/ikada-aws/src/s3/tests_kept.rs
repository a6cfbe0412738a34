//! The output with a folder for objects under way: crashes, faults and bounds, over a bucket in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ikada_plugin::{Batch, Output, Routed};
use ikada_record::json::JsonStyle;
use ikada_record::{ChunkBuilder, Ledger, Receipt, Settlement, Share, Tag, Timestamp};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::time::Instant;

use super::batcher::{Rules, S3Output};
use super::compress::Method;
use super::encode::Encoder;
use super::fake::{FakeStore, Fault, refusal};
use super::key::{KeyFormat, KeyRules};
use super::spool::{Spool, SpoolRules};
use super::tests::{TIMEOUT, chunk, deliver, lines, record, rules, unpack};
use crate::client::FailureKind;

struct Rig {
    output: Option<S3Output>,
    store: Arc<FakeStore>,
    ledger: Arc<Ledger>,
    dir: TempDir,
    rules: Rules,
    limit: Option<u64>,
    now: Instant,
    /// Handed out while something else was waited for.
    popped: Vec<Batch>,
}

/// In memory where there is such a place: it is not the disk that is tested.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl Rig {
    async fn new(rules: Rules) -> Self {
        let mut rig = Self {
            output: None,
            store: Arc::default(),
            ledger: Arc::default(),
            dir: folder(),
            rules,
            limit: None,
            now: Instant::now(),
            popped: Vec::new(),
        };
        rig.start().await;
        rig
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("s3.0")
    }

    /// Starts an output on what the one before left on the disk.
    async fn start(&mut self) {
        self.popped.clear();
        self.output = None;
        if let Ok(lock) = File::options().write(true).open(self.folder().join("lock")) {
            // The thread that writes may not be done yet.
            while lock.try_lock().is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let spool_rules = SpoolRules { limit: self.limit, keeps_exhausted: true, quarantine_limit: None };
        let spool = Spool::open(self.dir.path(), "s3.0", spool_rules).unwrap();
        let encoder = Encoder::new(None, Some("log"), JsonStyle::default());
        self.output = Some(S3Output::new(self.rules.clone(), encoder, self.store.clone(), Some(spool)));
    }

    fn output(&mut self) -> &mut S3Output {
        self.output.as_mut().unwrap()
    }

    fn push(&mut self, tag: &str, lines: &[String]) {
        self.push_due(tag, lines, self.now);
    }

    fn push_due(&mut self, tag: &str, lines: &[String], due: Instant) {
        let chunk = chunk(tag, lines);
        let share = Share::new(Receipt::unwatched(), chunk.len() as u32, self.ledger.clone());
        let now = self.now;
        self.output().push(Routed { chunk, share: Arc::new(share), due }, now);
    }

    /// Waits until what was pushed is on the disk.
    async fn write(&mut self) {
        self.now += Duration::from_millis(20);
        let now = self.now;
        let popped = self.output().pop(now);
        self.popped.extend(popped);
        while self.ledger.held() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Delivers up to `most` batches.
    async fn deliver(&mut self, most: usize) -> Vec<&'static str> {
        let mut ends = Vec::new();
        while ends.len() < most {
            self.now += Duration::from_millis(20);
            let now = self.now;
            let waiting = (!self.popped.is_empty()).then(|| self.popped.remove(0));
            match waiting.or_else(|| self.output().pop(now)) {
                Some(batch) => ends.push(deliver(batch, 40).await),
                None if self.output().held() == 0 || most < usize::MAX => break,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        ends
    }

    async fn finish(&mut self) {
        self.output().close_all();
        let ends = self.deliver(usize::MAX).await;
        assert!(ends.iter().all(|end| *end == "delivered"), "{ends:?}");
        assert_eq!((self.ledger.held(), self.ledger.abandoned()), (0, 0));
        assert_eq!(self.store.open_uploads(), 0, "{:?}", self.store.calls());
        assert_eq!(self.journals(), Vec::<String>::new());
    }

    /// Files of objects in the folder.
    fn journals(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name.ends_with(".journal") || name.ends_with(".upload"));
        names.sort();
        names
    }

    /// How often each line is in the bucket.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for body in self.store.objects().into_values() {
            for line in unpack(self.rules.method, &body).lines() {
                *counts.entry(line.to_owned()).or_default() += 1;
            }
        }
        counts
    }
}

#[derive(Debug, Clone)]
struct Step {
    tag: usize,
    lens: Vec<usize>,
    passes: u64,
    pops: usize,
    crashes: bool,
    faults: Vec<(&'static str, bool)>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![8 => 0usize..300, 1 => 3_000usize..90_000];
    let operation = prop::sample::select(vec!["put", "create", "part", "complete", "head", "list", "abort"]);
    let faults = prop::collection::vec((operation, any::<bool>()), 0..4);
    let step = (
        0usize..3,
        prop::collection::vec(len, 0..40),
        0u64..400,
        0usize..5,
        prop::bool::weighted(0.3),
        faults,
    )
        .prop_map(|(tag, lens, passes, pops, crashes, faults)| Step {
            tag,
            lens,
            passes,
            pops,
            crashes,
            faults,
        });
    prop::collection::vec(step, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_entry_is_in_exactly_one_object_whatever_crashes_and_fails(
        steps in steps(),
        method in prop_oneof![Just(Method::None), Just(Method::GZIP), Just(Method::ZSTD), Just(Method::Snappy)],
        part_size in prop_oneof![Just(None), Just(Some(5_000)), Just(Some(40_000))],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let rules = Rules { method, part_size, total_size: 150_000, max_open: 3, ..rules("/$TAG/x.gz") };
            let mut rig = Rig::new(rules).await;
            let mut count = 0usize;
            for step in &steps {
                rig.now += Duration::from_secs(step.passes);
                for (operation, is_lost) in &step.faults {
                    let fault = match is_lost {
                        true => Fault::LoseAnswer,
                        false => Fault::Refuse(refusal(FailureKind::Transient, "InternalError", 500)),
                    };
                    rig.store.fault(operation, fault);
                }
                let lines: Vec<String> = step.lens.iter().map(|len| {
                    count += 1;
                    format!("{count} {}", "y".repeat(*len))
                }).collect();
                rig.push(&format!("t{}", step.tag), &lines);
                rig.deliver(step.pops).await;
                if step.crashes {
                    rig.write().await;
                    rig.start().await;
                }
            }
            rig.finish().await;
            let counts = rig.counts();
            assert_eq!(counts.len(), count);
            assert!(counts.values().all(|times| *times == 1));
            for parts in rig.store.completed_parts() {
                let (_, others) = parts.split_last().unwrap();
                assert!(others.iter().all(|len| *len >= part_size.unwrap()), "{parts:?}");
            }
        });
    }
}

#[tokio::test]
async fn entries_are_settled_when_they_are_on_the_disk_and_not_before() {
    let mut rig = Rig::new(rules("/$TAG")).await;
    rig.store.fault("put", Fault::Refuse(refusal(FailureKind::Denied, "AccessDenied", 403)));
    let heard = Arc::new(Mutex::new(None));
    let ears = heard.clone();
    let receipt = Receipt::new(None, move |how| *ears.lock().unwrap() = Some(how));
    let mut builder = ChunkBuilder::new(Tag::from("app"));
    builder.push_record(Timestamp::new(1, 0), &record(&[("log", "x")]));
    let chunk = builder.finish(receipt.clone());
    let share = Arc::new(Share::new(receipt, 1, rig.ledger.clone()));
    let now = rig.now;
    rig.output().push(Routed { chunk, share, due: now }, now);
    assert!(rig.output().due().is_some_and(|due| due <= now + Duration::from_millis(10)));
    assert_eq!(*heard.lock().unwrap(), None);
    rig.write().await;
    while heard.lock().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(*heard.lock().unwrap(), Some(Settlement::Settled));
    assert_eq!(rig.journals(), ["0000000000000000.journal"]);
    assert!(rig.store.objects().is_empty());
    rig.finish().await;
}

#[tokio::test]
async fn a_crash_in_a_large_object_completes_the_same_object_with_the_parts_it_has() {
    let mut rig = Rig::new(Rules { total_size: 1 << 30, ..rules("/$TAG/%H") }).await;
    let all = lines("a", 300, 80);
    for some in all.chunks(50) {
        rig.push("app", some);
        rig.write().await;
    }
    assert_eq!(rig.deliver(1).await, ["delivered"]);
    rig.start().await;
    rig.finish().await;
    let calls = rig.store.calls();
    let count = |name: &str| calls.iter().filter(|call| call.starts_with(name)).count();
    assert_eq!((count("create"), count("complete"), count("put ")), (1, 1, 0), "{calls:?}");
    assert_eq!(rig.store.objects().len(), 1);
    assert_eq!(rig.counts().len(), 300);
    let parts: usize = rig.store.completed_parts()[0].len();
    assert_eq!(count("part"), parts, "no part is sent twice");
}

#[tokio::test]
async fn an_upload_that_s3_forgot_is_started_anew() {
    let mut rig = Rig::new(rules("/$TAG")).await;
    rig.push("app", &lines("a", 100, 80));
    rig.write().await;
    rig.deliver(1).await;
    rig.store.sweep();
    rig.push("app", &lines("b", 100, 80));
    rig.finish().await;
    assert_eq!(rig.counts().len(), 200);
}

#[tokio::test]
async fn a_completion_that_succeeded_in_silence_before_a_crash_is_found() {
    let mut rig = Rig::new(rules("/$TAG")).await;
    rig.store.fault("complete", Fault::LoseAnswer);
    rig.push("app", &lines("a", 100, 80));
    rig.write().await;
    rig.output().close_all();
    rig.deliver(1).await;
    let now = rig.now;
    let mut end = rig.popped.pop().or_else(|| rig.output().pop(now)).unwrap();
    drop(end.delivery.attempt().await);
    drop(end);
    rig.start().await;
    rig.finish().await;
    let calls = rig.store.calls();
    assert_eq!(calls.iter().filter(|call| call.starts_with("complete")).count(), 1, "{calls:?}");
    assert_eq!(rig.counts().len(), 100);
}

#[tokio::test]
async fn an_index_goes_on_over_clean_stops_and_crashes() {
    let keys =
        KeyFormat::parse("/$INDEX.log", KeyRules { keeps_index: true, ..KeyRules::default() }).unwrap();
    let mut rig = Rig::new(Rules { keys, ..rules("/x") }).await;
    for n in 0..4 {
        rig.push("app", &lines(&n.to_string(), 1, 5));
        rig.write().await;
        if n % 2 == 0 {
            rig.finish().await;
        }
        rig.start().await;
    }
    rig.finish().await;
    assert_eq!(rig.store.objects().into_keys().collect::<Vec<_>>(), ["0.log", "1.log", "2.log", "3.log"]);
    assert_eq!(rig.counts().len(), 4);
}

#[tokio::test]
async fn an_object_that_is_given_up_is_kept_for_the_next_start() {
    let mut rig = Rig::new(rules("/$TAG")).await;
    for _ in 0..40 {
        rig.store.fault("put", Fault::Refuse(refusal(FailureKind::Denied, "AccessDenied", 403)));
    }
    rig.push("app", &lines("a", 3, 80));
    rig.write().await;
    rig.now += Duration::from_secs(3600);
    assert_eq!(rig.deliver(1).await, ["given up"]);
    rig.push("app", &lines("b", 3, 80));
    rig.write().await;
    let quarantine = rig.folder().join("quarantine");
    while std::fs::read_dir(&quarantine).unwrap().count() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    rig.start().await;
    rig.finish().await;
    assert_eq!(rig.counts().len(), 6);
}

#[tokio::test]
async fn a_full_disk_share_completes_objects_and_takes_no_more_until_there_is_room() {
    let mut rig = Rig::new(Rules { total_size: 1 << 30, part_size: None, ..rules("/$TAG") }).await;
    rig.limit = Some(100_000);
    rig.start().await;
    let mut pushed = 0;
    while !rig.output().is_full() {
        rig.push("app", &lines(&pushed.to_string(), 10, 1_000));
        rig.write().await;
        pushed += 10;
        assert!(pushed < 200);
    }
    assert!(pushed >= 80, "{pushed}");
    assert_eq!(rig.deliver(1).await, ["delivered"]);
    assert!(!rig.output().is_full());
    rig.finish().await;
    assert_eq!(rig.counts().len(), pushed);
}

#[cfg(feature = "parquet")]
#[tokio::test]
async fn columns_are_made_of_what_a_crash_left() {
    let rules = Rules { method: Method::Parquet, part_size: None, total_size: 50_000, ..rules("/$TAG") };
    let mut rig = Rig::new(rules).await;
    let lines: Vec<String> =
        (0..1_000).map(|n| format!("{{\"n\":{n},\"x\":\"{}\"}}", "y".repeat(90))).collect();
    for (at, some) in lines.chunks(100).enumerate() {
        rig.push("app", some);
        rig.write().await;
        if at % 3 == 0 {
            rig.start().await;
        }
    }
    rig.finish().await;
    let objects = rig.store.objects();
    let mut numbers: Vec<i64> = objects.into_values().flat_map(|body| numbers_of(body.into())).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..1_000), "{} records", numbers.len());
}

/// The values of the first column.
#[cfg(feature = "parquet")]
fn numbers_of(body: bytes::Bytes) -> Vec<i64> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    let reader = SerializedFileReader::new(body).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    let first = |row: parquet::record::Row| row.into_columns().swap_remove(0).1;
    rows.map(|row| match first(row.unwrap()) {
        Field::Long(number) => number,
        other => panic!("{other:?}"),
    })
    .collect()
}

#[tokio::test]
async fn an_outage_holds_up_nobody_while_the_disk_has_room() {
    let mut rig = Rig::new(Rules { total_size: 20_000, ..rules("/$TAG") }).await;
    for n in 0..200 {
        rig.push("app", &lines(&n.to_string(), 100, 80));
        rig.write().await;
        let memory = rig.output().held();
        assert!(memory < 300_000 && !rig.output().is_full(), "{memory}");
    }
    // The engine is never given more than it can have under way.
    let now = rig.now;
    let mut given = std::mem::take(&mut rig.popped);
    given.extend(std::iter::from_fn(|| rig.output().pop(now)));
    assert_eq!(given.len(), rig.output().in_flight());
    for batch in given {
        assert_eq!(deliver(batch, 1).await, "delivered");
    }
    rig.finish().await;
    assert_eq!(rig.counts().len(), 20_000);
}

#[tokio::test]
async fn memory_holds_a_megabyte_however_late_entries_are_due() {
    let (part_size, total_size) = (Some(3_000_000), 40_000_000);
    for method in [Method::None, Method::GZIP] {
        let mut rig =
            Rig::new(Rules { method, part_size, total_size, max_held: 1 << 26, ..rules("/$TAG") }).await;
        for n in 0..60 {
            let due = rig.now + TIMEOUT / 2;
            rig.push_due(["a", "b", "c"][n % 3], &lines(&n.to_string(), 250, 1_000), due);
            while rig.output().held() > 2_500_000 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                rig.deliver(1).await;
            }
        }
        rig.finish().await;
        assert_eq!(rig.counts().len(), 60 * 250);
        assert_eq!(rig.store.objects().len(), 3, "nothing was completed early");
    }
}

#[tokio::test]
async fn an_object_of_an_hour_holds_no_other_hour_after_a_crash_either() {
    let mut rig = Rig::new(rules("/$TAG/%Y-%m-%dT%H")).await;
    let first = 1_700_000_000;
    for crash in [true, false] {
        let mut builder = ChunkBuilder::new(Tag::from("app"));
        for secs in (0..20_000).step_by(100) {
            let shown = chrono::DateTime::from_timestamp(first + secs, 0).unwrap();
            let line = format!("{} {secs} {crash}", shown.format("%Y-%m-%dT%H"));
            builder.push_record(Timestamp::new(first + secs, 0), &record(&[("log", &line)]));
        }
        let chunk = builder.finish(Receipt::unwatched());
        let share = Arc::new(Share::new(Receipt::unwatched(), chunk.len() as u32, rig.ledger.clone()));
        let now = rig.now;
        rig.output().push(Routed { chunk, share, due: now }, now);
        rig.write().await;
        if crash {
            rig.start().await;
        }
    }
    rig.finish().await;
    assert_eq!(rig.counts().len(), 400);
    for (key, body) in rig.store.objects() {
        let hour = &key["app/".len()..][.."2023-11-14T22".len()];
        let text = String::from_utf8(body).unwrap();
        assert!(text.lines().all(|line| line.starts_with(hour)), "{key}: {text}");
    }
}

#[tokio::test]
async fn tags_that_the_format_does_not_name_share_an_object_over_a_crash() {
    let mut rig = Rig::new(rules("/all/%Y")).await;
    for n in 0..50 {
        rig.push(&format!("tag{n}"), &lines(&n.to_string(), 2, 5));
    }
    rig.write().await;
    assert_eq!(rig.journals().len(), 1);
    rig.start().await;
    rig.finish().await;
    assert_eq!((rig.store.objects().len(), rig.counts().len()), (1, 100));
}

#[tokio::test]
async fn a_damaged_journal_is_set_aside_and_holds_up_nothing_else() {
    let mut rig = Rig::new(Rules { part_size: None, ..rules("/$TAG") }).await;
    for tag in ["one", "two"] {
        rig.push(tag, &lines(tag, 3, 80));
        rig.write().await;
    }
    rig.output().close_all();
    rig.write().await;
    let path = rig.folder().join("0000000000000000.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let ends = rig.deliver(2).await;
    assert_eq!(ends, ["rejected", "delivered"]);
    assert_eq!(rig.counts().len(), 3);
}
