//! What is on disk outlives the process, and bounds hold.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ikada_engine::{Engine, Limits, OverflowPolicy, Pipeline, Storage};
use ikada_plugin::{Clock, RetryLimit, Service};
use ikada_record::{DropReason, Timestamp};
use tokio::time::{Instant, sleep};

use crate::fake::{Answer, Heard, Lanes, Script, Seen, Step, Then, input, output};

const NEVER: Duration = Duration::from_secs(100_000_000);

fn steps(count: usize, entries: u32) -> Vec<Step> {
    let step = Step { pause: Duration::from_millis(1), tag: "t".into(), entries, watched: false };
    vec![step; count]
}

fn limits() -> Limits {
    Limits { queue_pace: 2000, queue_full: 6000, ..Limits::default() }
}

fn dead() -> Arc<Mutex<Seen>> {
    Seen::answering((0..2000).map(|_| (0, Answer::Later(Some(NEVER)))))
}

struct Rig<'p> {
    place: Option<&'p Path>,
    steps: Vec<Step>,
    seen: Arc<Mutex<Seen>>,
    durable: bool,
    policy: OverflowPolicy,
    disk_limit: Option<u64>,
}

impl Rig<'_> {
    fn pipeline(self) -> Pipeline {
        let script = Script { steps: self.steps, first: 0, heard: Heard::default(), then: Then::Wait };
        let mut from = input("in.0", script, None);
        (from.durable, from.overflow) = (self.durable, self.policy);
        let mut to = output("out.0", "*", Lanes::new(1, 1, self.seen), RetryLimit::Unlimited);
        to.disk_limit = self.disk_limit;
        let storage = self.place.map(|path| Storage { path: path.to_owned(), sync: Default::default() });
        Pipeline { limits: limits(), storage, inputs: vec![from], outputs: vec![to], ..Pipeline::default() }
    }
}

fn rig(place: Option<&Path>, steps: Vec<Step>, seen: Arc<Mutex<Seen>>) -> Rig<'_> {
    Rig { place, steps, seen, durable: false, policy: OverflowPolicy::Spill, disk_limit: None }
}

fn files(place: &Path) -> usize {
    std::fs::read_dir(place.join("outputs/out.0")).map_or(0, |dir| dir.count())
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_memory_goes_to_disk_and_arrives_in_order_when_the_destination_lives_again() {
    let place = tempfile::tempdir().unwrap();
    let seen = Seen::answering((0..20).map(|_| (0, Answer::Later(Some(Duration::from_secs(10))))));
    let engine =
        Engine::start(rig(Some(place.path()), steps(100, 10), seen.clone()).pipeline()).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert!(files(place.path()) > 50, "{}", files(place.path()));
    let report = engine.drain(Duration::from_secs(10_000)).await;
    assert!(report.is_clean());
    assert_eq!((report.outputs[0].sent, report.outputs[0].kept), (1000, 0));
    let numbers: Vec<_> = seen.lock().unwrap().taken.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    while files(place.path()) > 0 {
        std::thread::yield_now();
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_stop_leaves_is_on_disk_and_goes_first_at_the_next_start() {
    let place = tempfile::tempdir().unwrap();
    let mut first = rig(Some(place.path()), steps(40, 10), dead());
    first.durable = true;
    let engine = Engine::start(first.pipeline()).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    let report = engine.drain(Duration::from_secs(5)).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.outputs[0].sent, report.outputs[0].kept), (0, 400));
    let seen = Seen::answering([]);
    let mut list = steps(1, 1);
    list[0].tag = "new".into();
    let mut second = rig(Some(place.path()), list, seen.clone());
    second.seen = seen.clone();
    let engine = Engine::start(second.pipeline()).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    let report = engine.drain(Duration::from_secs(60)).await;
    assert!(report.is_clean());
    assert_eq!((report.outputs[0].sent, report.outputs[0].kept), (401, 0));
    let numbers: Vec<_> = seen.lock().unwrap().taken.iter().map(|(number, ..)| *number).collect();
    let expected: Vec<_> = (0..400).chain([0]).collect();
    assert_eq!(numbers, expected, "the old ones first, in order");
    while files(place.path()) > 0 {
        std::thread::yield_now();
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_share_lets_the_oldest_go_and_counts_them() {
    let place = tempfile::tempdir().unwrap();
    let mut rig = rig(Some(place.path()), steps(200, 10), dead());
    rig.disk_limit = Some(4000);
    let engine = Engine::start(rig.pipeline()).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    let size: u64 = std::fs::read_dir(place.path().join("outputs/out.0"))
        .unwrap()
        .map(|file| file.unwrap().metadata().map_or(0, |file| file.len()))
        .sum();
    let report = engine.drain(Duration::from_secs(1)).await;
    let books = &report.outputs[0];
    let dropped: u64 = books.dropped.iter().map(|(_, count)| count).sum();
    assert!(dropped > 0 && books.dropped.iter().all(|(reason, _)| *reason == DropReason::Overflow));
    assert_eq!(books.sent + books.unsent + books.kept + dropped, 2000);
    assert!(size <= 4000 + 600, "{size}");
}

#[tokio::test(start_paused = true)]
async fn each_policy_lets_go_what_it_says() {
    for (policy, expected) in [
        (OverflowPolicy::DropOldest, Some(false)),
        (OverflowPolicy::DropNewest, Some(true)),
        (OverflowPolicy::Block, None),
    ] {
        let place = tempfile::tempdir().unwrap();
        let seen = Seen::answering([(600_000, Answer::Take)]);
        let mut rig = rig(Some(place.path()), steps(100, 10), seen.clone());
        rig.policy = policy;
        let start = Instant::now();
        let engine = Engine::start(rig.pipeline()).await.unwrap();
        sleep(Duration::from_secs(700)).await;
        let report = engine.drain(Duration::from_secs(60)).await;
        assert_eq!(files(place.path()), 0);
        let dropped: u64 = report.outputs[0].dropped.iter().map(|(_, count)| count).sum();
        assert_eq!(report.outputs[0].sent + dropped, 1000, "{policy:?}");
        let last = seen.lock().unwrap().taken.iter().map(|(number, ..)| *number).max().unwrap();
        match expected {
            None => assert_eq!(dropped, 0),
            Some(newest) => assert_eq!((dropped > 0, last < 999), (true, newest), "{policy:?}"),
        }
        assert!(start.elapsed() < Duration::from_secs(800));
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_costs_only_its_own_records_and_is_kept() {
    let place = tempfile::tempdir().unwrap();
    let mut first = rig(Some(place.path()), steps(20, 10), dead());
    first.durable = true;
    let engine = Engine::start(first.pipeline()).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    engine.drain(Duration::from_secs(1)).await;
    let dir = place.path().join("outputs/out.0");
    let mut names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path()).collect();
    names.sort();
    let mut bytes = std::fs::read(&names[3]).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&names[3], bytes).unwrap();
    std::fs::write(&names[5], b"").unwrap();
    let seen = Seen::answering([]);
    let engine = Engine::start(rig(Some(place.path()), Vec::new(), seen.clone()).pipeline()).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    let report = engine.drain(Duration::from_secs(60)).await;
    let books = &report.outputs[0];
    assert_eq!((books.sent, books.kept, books.unsent), (180, 0, 0));
    assert_eq!(books.dropped, [(DropReason::Damaged, 20)]);
    assert_eq!(std::fs::read_dir(dir.join("damaged")).unwrap().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_cannot_be_used_is_told_and_the_rest_works() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("outputs"), b"a file").unwrap();
    let seen = Seen::answering([]);
    let mut rig = rig(Some(place.path()), steps(20, 10), seen);
    rig.durable = true;
    let engine = Engine::start(rig.pipeline()).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let report = engine.drain(Duration::from_secs(60)).await;
    assert!(report.is_clean());
    assert_eq!(report.outputs[0].sent, 200);
}

/// What the outputs' fakes hand over has one part for each entry, in order.
#[tokio::test(start_paused = true)]
async fn what_is_refused_is_kept_and_can_be_sent_again() {
    let place = tempfile::tempdir().unwrap();
    let letters = place.path().join("rejected");
    let refused = vec![0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
    let seen = Seen::answering([(0, Answer::Part(refused))]);
    let mut pipeline = rig(None, steps(1, 10), seen.clone()).pipeline();
    pipeline.outputs = vec![output("out.0", "*", Lanes::new(10, 1, seen.clone()), RetryLimit::Unlimited)];
    pipeline.dead_letters = Some((letters.clone(), 1_000_000));
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let report = engine.drain(Duration::from_secs(60)).await;
    assert_eq!(
        (report.outputs[0].sent, &report.outputs[0].dropped[..]),
        (9, &[(DropReason::Rejected, 1)][..])
    );
    let dir = letters.join("outputs/out.0");
    let files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path()).collect();
    let note = files.iter().find(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    let note = std::fs::read_to_string(note).unwrap();
    assert!(note.starts_with(r#"{"output":"out.0","reason":"rejected","cause":"#), "{note}");

    let again = Seen::answering([]);
    let engine = Engine::start(rig(Some(&letters), Vec::new(), again.clone()).pipeline()).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let report = engine.drain(Duration::from_secs(60)).await;
    assert!(report.is_clean());
    let numbers: Vec<_> = again.lock().unwrap().taken.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, [3]);
}

/// A clock that somebody sets back and forth by an hour each time it is looked at.
#[derive(Debug, Default)]
struct Jumping(AtomicI64);

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        let turn = self.0.fetch_add(1, Relaxed);
        Timestamp::new(1_700_000_000 + turn + 3600 * (turn % 3 - 1), 0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_back_and_forth_delays_nothing_and_loses_no_dead_letter() {
    let place = tempfile::tempdir().unwrap();
    let letters = place.path().join("rejected");
    let refused = vec![0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
    let seen = Seen::answering((0..20).map(|_| (0, Answer::Part(refused.clone()))));
    let mut pipeline = rig(None, steps(20, 10), seen.clone()).pipeline();
    pipeline.service = Arc::new(Service { clock: Arc::new(Jumping::default()), ..Service::default() });
    pipeline.outputs = vec![output("out.0", "*", Lanes::new(10, 1, seen.clone()), RetryLimit::Unlimited)];
    pipeline.dead_letters = Some((letters.clone(), 1_000_000));
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(engine.view().books().outputs[0].sent, 180, "within a few flushes");
    let report = engine.drain(Duration::from_secs(60)).await;
    assert_eq!(report.outputs[0].dropped, [(DropReason::Rejected, 20)]);
    let dir = letters.join("outputs/out.0");
    while std::fs::read_dir(&dir).unwrap().count() < 40 {
        std::thread::yield_now();
    }
    let again = Seen::answering([]);
    let engine = Engine::start(rig(Some(&letters), Vec::new(), again.clone()).pipeline()).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    engine.drain(Duration::from_secs(60)).await;
    let mut numbers: Vec<_> = again.lock().unwrap().taken.iter().map(|(number, ..)| *number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20).map(|n| 10 * n + 3).collect::<Vec<_>>());
}
