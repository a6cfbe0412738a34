//! What filters do besides editing: new tags, entries held back and joined, processors.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ikada_engine::{Engine, FilterSlot, Pipeline, Report};
use ikada_plugin::{Emitted, EntryContext, Filter, Held, Kind, RetryLimit, Verdict};
use ikada_record::{Fields, Piece, Settlement, Tag, Timestamp};
use ikada_route::{Matcher, Pattern};
use tokio::time::{Instant, sleep};

use crate::fake::{Answer, Heard, Lanes, Script, Seen, Step, Then, id, input, output};

fn slot(name: &str, pattern: &str, filter: impl Filter + 'static) -> FilterSlot {
    FilterSlot {
        id: id(Kind::Filter, name),
        matcher: Matcher { pattern: Some(Pattern::new(pattern)), regex: None },
        filter: Box::new(filter),
        metrics: Arc::default(),
    }
}

fn steps(tags: &[&str], entries: u32) -> Vec<Step> {
    let step =
        |tag: &&str| Step { pause: Duration::from_millis(1), tag: (*tag).into(), entries, watched: true };
    tags.iter().map(step).collect()
}

fn script(steps: Vec<Step>, heard: &Heard) -> Script {
    Script { steps, first: 0, heard: heard.clone(), then: Then::Wait }
}

fn to(pattern: &str, seen: &Arc<Mutex<Seen>>) -> ikada_engine::OutputSlot {
    output(&format!("out.{pattern}"), pattern, Lanes::new(1, 2, seen.clone()), RetryLimit::Unlimited)
}

async fn played(pipeline: Pipeline) -> Report {
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    engine.drain(Duration::from_secs(60)).await
}

/// Sends every record on under a tag made of its own; keeps it too if `keep`.
struct Retag {
    tag: fn(&str, u32) -> String,
    keep: bool,
}

impl Filter for Retag {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        let tag = (self.tag)(&String::from_utf8_lossy(cx.tag.as_bytes()), cx.position);
        match cx.retag(tag.as_bytes(), fields) && !self.keep {
            true => Verdict::Drop,
            false => Verdict::Keep,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_under_a_new_tag_goes_where_that_tag_goes_and_carries_its_receipt() {
    let (old, new, heard) =
        (Seen::answering([]), Seen::answering([(60_000, Answer::Take)]), Heard::default());
    let pipeline = Pipeline {
        inputs: vec![input("in.0", script(steps(&["a"], 3), &heard), None)],
        filters: vec![slot("f.0", "*", Retag { tag: |tag, _| format!("new.{tag}"), keep: true })],
        outputs: vec![to("a", &old), to("new.a", &new)],
        ..Pipeline::default()
    };
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_eq!((old.lock().unwrap().taken.len(), new.lock().unwrap().taken.len()), (3, 0));
    assert!(heard.lock().unwrap().is_empty(), "the other half is not delivered");
    let report = engine.drain(Duration::from_secs(600)).await;
    assert!(report.is_clean());
    assert_eq!(new.lock().unwrap().taken.len(), 3);
    assert_eq!(heard.lock().unwrap().len(), 1);
    assert_eq!((report.inputs[0].records, report.inputs[0].added, report.inputs[0].filtered), (3, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn filters_that_feed_each_other_end_with_every_record_delivered_once() {
    let (seen, heard) = (Seen::answering([]), Heard::default());
    let pipeline = Pipeline {
        inputs: vec![input("in.0", script(steps(&["a", "a"], 5), &heard), None)],
        filters: vec![
            slot("f.0", "a", Retag { tag: |_, _| "b".into(), keep: false }),
            slot("f.1", "b", Retag { tag: |_, _| "a".into(), keep: false }),
            slot("f.2", "*", Retag { tag: |tag, _| tag.into(), keep: false }),
        ],
        outputs: vec![to("*", &seen)],
        ..Pipeline::default()
    };
    let report = played(pipeline).await;
    assert!(report.is_clean());
    assert_eq!(seen.lock().unwrap().taken.len(), 10);
    let books = &report.inputs[0];
    assert_eq!(books.records + books.added - books.filtered, 10);
    assert!(heard.lock().unwrap().iter().all(|(how, ..)| *how == Settlement::Settled));
}

#[tokio::test(start_paused = true)]
async fn a_new_tag_for_every_record_loses_none() {
    let (seen, heard) = (Seen::answering([]), Heard::default());
    let pipeline = Pipeline {
        inputs: vec![input("in.0", script(steps(&["a"; 4], 5000), &heard), None)],
        filters: vec![slot("f.0", "a", Retag { tag: |_, n| format!("n.{n}"), keep: false })],
        outputs: vec![to("n.*", &seen)],
        ..Pipeline::default()
    };
    let report = played(pipeline).await;
    assert!(report.is_clean());
    assert_eq!((report.outputs[0].sent, report.inputs[0].unmatched), (20_000, 0));
    assert_eq!(heard.lock().unwrap().len(), 4);
}

/// Joins every two records into one: the second's fields, and a mark. What is left alone goes on after ten seconds.
#[derive(Default)]
struct Pairs(Mutex<Option<Waits>>);

/// A record that waits for a second one.
type Waits = (Tag, Timestamp, Vec<u8>, Held, Instant);

impl Filter for Pairs {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        fields.push(Piece::Ref(b"\xa1p"), Piece::Ref(b"\xc3"));
        let mut record = Vec::new();
        fields.write(&mut record);
        let mut waits = self.0.lock().unwrap();
        match waits.take() {
            None => {
                let due = Instant::now() + Duration::from_secs(10);
                *waits = Some((cx.tag.clone(), cx.time, record, cx.hold(), due));
            }
            Some((tag, time, _, held, _)) => {
                let held = vec![held, cx.hold()];
                cx.emit_held(Emitted { tag, time, metadata: Vec::new(), record, held });
            }
        }
        Verdict::Hold
    }

    fn due(&self) -> Option<Instant> {
        self.0.lock().unwrap().as_ref().map(|(.., due)| *due)
    }

    fn flush(&self, now: Option<Instant>) -> Vec<Emitted> {
        let mut waits = self.0.lock().unwrap();
        let due = waits.take_if(|(.., due)| now.is_none_or(|now| *due <= now));
        let emit = |(tag, time, record, held, _)| Emitted {
            tag,
            time,
            metadata: Vec::new(),
            record,
            held: vec![held],
        };
        due.map(emit).into_iter().collect()
    }
}

#[tokio::test(start_paused = true)]
async fn entries_held_back_are_joined_across_chunks_and_settle_all_of_them() {
    let (seen, heard) = (Seen::answering([(60_000, Answer::Take)]), Heard::default());
    let pipeline = Pipeline {
        inputs: vec![input("in.0", script(steps(&["a", "a"], 1), &heard), None)],
        filters: vec![slot("f.0", "*", Pairs::default())],
        outputs: vec![to("*", &seen)],
        ..Pipeline::default()
    };
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_secs(30)).await;
    assert!(heard.lock().unwrap().is_empty(), "what they became is under way");
    let report = engine.drain(Duration::from_secs(600)).await;
    assert!(report.is_clean());
    assert_eq!((report.outputs[0].sent, heard.lock().unwrap().len()), (1, 2));
    assert_eq!((report.inputs[0].records, report.inputs[0].filtered, report.inputs[0].added), (2, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_entry_held_back_goes_on_when_it_is_due_and_at_the_end() {
    let (seen, heard) = (Seen::answering([]), Heard::default());
    let mut list = steps(&["a", "a"], 1);
    list[1].pause = Duration::from_secs(30);
    let pipeline = Pipeline {
        inputs: vec![input("in.0", script(list, &heard), None)],
        filters: vec![slot("f.0", "*", Pairs::default())],
        outputs: vec![to("*", &seen)],
        ..Pipeline::default()
    };
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_secs(20)).await;
    assert_eq!((seen.lock().unwrap().taken.len(), heard.lock().unwrap().len()), (1, 1));
    sleep(Duration::from_secs(12)).await;
    let report = engine.drain(Duration::from_secs(60)).await;
    assert!(report.is_clean());
    assert_eq!((report.outputs[0].sent, heard.lock().unwrap().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_when_the_grace_is_over_is_abandoned() {
    let (seen, heard) = (Seen::answering([(10_000_000, Answer::Take)]), Heard::default());
    let pipeline = Pipeline {
        inputs: vec![input("in.0", script(steps(&["a"], 3), &heard), None)],
        filters: vec![slot("f.0", "*", Pairs::default())],
        outputs: vec![to("*", &seen)],
        ..Pipeline::default()
    };
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let report = engine.drain(Duration::from_secs(1)).await;
    assert_eq!(report.unsent(), 2);
    assert!(matches!(&heard.lock().unwrap()[..], [(Settlement::Abandoned, ..)]));
}

/// Counts what it sees, and drops it.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<u32>>);

impl Filter for Sink {
    fn filter<'a>(&'a self, _: &mut EntryContext<'_>, _: &mut Fields<'a>) -> Verdict {
        *self.0.lock().unwrap() += 1;
        Verdict::Drop
    }
}

#[tokio::test(start_paused = true)]
async fn a_processor_sees_only_what_is_its_inputs_or_its_outputs() {
    let (one, two, heard) = (Seen::answering([]), Seen::answering([]), Heard::default());
    let (first, last) = (Sink::default(), Sink::default());
    let mut inputs = vec![
        input("in.0", script(steps(&["a"], 2), &heard), None),
        input("in.1", script(steps(&["a"], 3), &heard), None),
    ];
    inputs[0].processors.push(slot("p.0", "*", first.clone()));
    let mut outputs = vec![to("*", &one), to("a", &two)];
    outputs[1].processors.push(slot("p.1", "*", last.clone()));
    let report = played(Pipeline { inputs, outputs, ..Pipeline::default() }).await;
    assert!(report.is_clean());
    assert_eq!((*first.0.lock().unwrap(), *last.0.lock().unwrap()), (2, 3));
    assert_eq!((report.outputs[0].sent, report.outputs[1].sent), (3, 0));
    assert_eq!(heard.lock().unwrap().len(), 2);
}

/// Cannot bear the record with this number.
struct Allergic(u64);

impl Filter for Allergic {
    fn filter<'a>(&'a self, _: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        assert_ne!(fields.get(b"n"), Some(ikada_msgpack::View::Uint(self.0)), "the script says so");
        Verdict::Keep
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_leads_a_filter_to_a_bug_costs_nobody_else_anything() {
    let (seen, heard) = (Seen::answering([]), Heard::default());
    let pipeline = Pipeline {
        inputs: vec![input("in.0", script(steps(&["a", "a"], 10), &heard), None)],
        filters: vec![slot("f.0", "*", Allergic(13))],
        outputs: vec![to("*", &seen)],
        ..Pipeline::default()
    };
    let report = played(pipeline).await;
    let numbers: Vec<_> = seen.lock().unwrap().taken.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (0..20).filter(|n| *n != 13).collect::<Vec<_>>());
    assert_eq!((report.bugs, report.inputs[0].filtered, heard.lock().unwrap().len()), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_an_outputs_processor_held_back_under_another_tag_reaches_that_output() {
    let (seen, heard) = (Seen::answering([]), Heard::default());
    let mut outputs = vec![to("*", &seen)];
    outputs[0].processors.push(slot("p.0", "*", Pairs::default()));
    let inputs = vec![input("in.0", script(steps(&["a", "b"], 1), &heard), None)];
    let report = played(Pipeline { inputs, outputs, ..Pipeline::default() }).await;
    assert!(report.is_clean());
    assert_eq!((report.outputs[0].sent, heard.lock().unwrap().len()), (1, 2));
}
