//! An input that hands over what its script says, and an output whose destination answers as its script says.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ikada_engine::{InputSlot, OutputSlot, OverflowPolicy};
use ikada_plugin::{
    Batch, BoxFuture, Delivery, Dispatch, EntrySet, Input, InputContext, InputError, InstanceId, Kind,
    OnFull, Outcome, Output, Part, RetryLimit, Routed, SendError, add_part,
};
use ikada_record::{Chunk, ChunkBuilder, DropReason, Ledger, Receipt, Settlement, Tag, Timestamp};
use ikada_route::{Matcher, Pattern};
use tokio::time::{Instant, sleep};

/// A chunk that an input hands over.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) pause: Duration,
    pub(crate) tag: String,
    pub(crate) entries: u32,
    /// With a receipt that is watched; such chunks wait for room.
    pub(crate) watched: bool,
}

/// What receipts said, with the tag and the numbers of the entries they stood for.
pub(crate) type Heard = Arc<Mutex<Vec<(Settlement, String, Vec<u64>)>>>;

pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    /// Number of the first entry; the others follow.
    pub(crate) first: u64,
    pub(crate) heard: Heard,
    /// What to do once the script is played.
    pub(crate) then: Then,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Then {
    Wait,
    Panic,
}

impl Input for Script {
    fn open<'a>(&'a mut self, _: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async { Ok(()) })
    }

    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            let mut next = self.first;
            for step in &self.steps {
                if cx.stop.run_until_cancelled(sleep(step.pause)).await.is_none() {
                    return Ok(());
                }
                let numbers: Vec<_> = (next..next + u64::from(step.entries)).collect();
                next += u64::from(step.entries);
                cx.metrics.records.add(numbers.len() as u64);
                let on_full = if step.watched { OnFull::Wait } else { OnFull::Pace };
                let receipt = if step.watched {
                    let (heard, tag, numbers) = (self.heard.clone(), step.tag.clone(), numbers.clone());
                    Receipt::new(Some(cx.tally.clone()), move |how| {
                        heard.lock().unwrap().push((how, tag, numbers))
                    })
                } else {
                    Receipt::unwatched()
                };
                let chunk = chunk(&step.tag, &numbers, receipt);
                let due = cx.flush.next(Instant::now());
                cx.router.dispatch(&cx.id, chunk, Dispatch { due, on_full }).await;
            }
            match self.then {
                Then::Wait => cx.stop.cancelled().await,
                Then::Panic => panic!("the script says so"),
            }
            Ok(())
        })
    }
}

fn chunk(tag: &str, numbers: &[u64], receipt: Receipt) -> Chunk {
    let mut builder = ChunkBuilder::new(Tag::from(tag));
    for number in numbers {
        let mut record = b"\x81\xa1n\xcf".to_vec();
        record.extend_from_slice(&number.to_be_bytes());
        builder.push_record(Timestamp::new(1, 0), &record);
    }
    builder.finish(receipt)
}

pub(crate) fn id(kind: Kind, name: &str) -> Arc<InstanceId> {
    Arc::new(InstanceId { kind, plugin: "script".into(), name: name.into(), alias: None })
}

pub(crate) fn input(name: &str, script: Script, mem_buf_limit: Option<usize>) -> InputSlot {
    InputSlot {
        id: id(Kind::Input, name),
        input: Box::new(script),
        again: None,
        metrics: Arc::default(),
        mem_buf_limit,
        durable: false,
        overflow: OverflowPolicy::Spill,
        processors: Vec::new(),
    }
}

/// What a destination says next.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Take,
    Later(Option<Duration>),
    Refuse,
    /// Of each entry: 0 taken, 1 again, 2 refused; repeated over the batch.
    Part(Vec<u8>),
    Panic,
}

/// What became of entries at a destination, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answers: VecDeque<(Duration, Answer)>,
    /// Entries taken, in the order they were, each with its lane and its batch's number in it.
    pub(crate) taken: Vec<(u64, u64, u64)>,
    pub(crate) refused: HashSet<u64>,
    /// Lanes with an attempt under way.
    busy: HashSet<u64>,
    pub(crate) overtaken: bool,
}

impl Seen {
    /// A destination that gives these answers, each after so many milliseconds, and takes everything from then on.
    pub(crate) fn answering(answers: impl IntoIterator<Item = (u64, Answer)>) -> Arc<Mutex<Self>> {
        let answers = answers.into_iter().map(|(ms, answer)| (Duration::from_millis(ms), answer)).collect();
        Arc::new(Mutex::new(Self { answers, ..Self::default() }))
    }
}

/// Gathers up to `most` entries per tag; each tag is a lane.
pub(crate) struct Lanes {
    pub(crate) most: usize,
    pub(crate) in_flight: usize,
    pub(crate) seen: Arc<Mutex<Seen>>,
    open: HashMap<Vec<u8>, Open>,
    ready: VecDeque<Batch>,
    ready_bytes: usize,
    made: u64,
}

struct Open {
    lane: u64,
    due: Instant,
    parts: Vec<Part>,
    numbers: Vec<u64>,
}

impl Lanes {
    pub(crate) fn new(most: usize, in_flight: usize, seen: Arc<Mutex<Seen>>) -> Self {
        let (open, ready) = (HashMap::new(), VecDeque::new());
        Self { most, in_flight, seen, open, ready, ready_bytes: 0, made: 0 }
    }

    fn close(&mut self, tag: &[u8]) {
        let open = self.open.remove(tag).unwrap();
        self.made += 1;
        let bytes = open.numbers.len();
        let delivery =
            Attempt { lane: open.lane, batch: self.made, numbers: open.numbers, seen: self.seen.clone() };
        self.ready_bytes += bytes;
        self.ready.push_back(Batch::new(Some(open.lane), open.parts, bytes, Box::new(delivery)));
    }

    fn close_where(&mut self, which: impl Fn(&Open) -> bool) {
        let mut tags: Vec<_> =
            self.open.iter().filter(|(_, o)| which(o)).map(|(tag, _)| tag.clone()).collect();
        tags.sort();
        tags.iter().for_each(|tag| self.close(tag));
    }
}

fn lane(tag: &[u8]) -> u64 {
    tag.iter().fold(7, |hash, byte| hash * 31 + u64::from(*byte))
}

impl Output for Lanes {
    fn push(&mut self, routed: Routed, _: Instant) {
        let tag = routed.chunk.tag().as_bytes().to_vec();
        for entry in routed.chunk.entries() {
            let record = entry.record_bytes();
            let number = u64::from_be_bytes(record[record.len() - 8..].try_into().unwrap());
            let open = self.open.entry(tag.clone()).or_insert_with(|| Open {
                lane: lane(&tag),
                due: routed.due,
                parts: Vec::new(),
                numbers: Vec::new(),
            });
            open.numbers.push(number);
            add_part(&mut open.parts, &routed.share, 1);
            if open.numbers.len() >= self.most {
                self.close(&tag);
            }
        }
    }

    fn pop(&mut self, now: Instant) -> Option<Batch> {
        self.close_where(|open| open.due <= now);
        let batch = self.ready.pop_front()?;
        self.ready_bytes -= batch.bytes;
        Some(batch)
    }

    fn due(&self) -> Option<Instant> {
        self.open.values().map(|open| open.due).min()
    }

    fn close_all(&mut self) {
        self.close_where(|_| true);
    }

    fn held(&self) -> usize {
        self.ready_bytes + self.open.values().map(|open| open.numbers.len()).sum::<usize>()
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }
}

struct Attempt {
    lane: u64,
    batch: u64,
    numbers: Vec<u64>,
    seen: Arc<Mutex<Seen>>,
}

/// Leaves the lane, however the attempt ends.
struct Busy(Arc<Mutex<Seen>>, u64);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().unwrap().busy.remove(&self.1);
    }
}

impl Delivery for Attempt {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let (latency, answer) = {
                let mut seen = self.seen.lock().unwrap();
                let is_alone = seen.busy.insert(self.lane);
                seen.overtaken |= !is_alone;
                seen.answers.pop_front().unwrap_or((Duration::ZERO, Answer::Take))
            };
            let _busy = Busy(self.seen.clone(), self.lane);
            sleep(latency).await;
            self.answer(answer)
        })
    }
}

impl Attempt {
    fn answer(&mut self, answer: Answer) -> Outcome {
        let cause = SendError::new("the script says so");
        let masks = match answer {
            Answer::Take => vec![0],
            Answer::Refuse => vec![2],
            Answer::Part(masks) => masks,
            Answer::Later(after) => return Outcome::Retry { after, cause },
            Answer::Panic => panic!("the script says so"),
        };
        let mut seen = self.seen.lock().unwrap();
        let (mut retry, mut rejected, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for (index, number) in self.numbers.iter().enumerate() {
            match masks[index % masks.len()] {
                0 => seen.taken.push((*number, self.lane, self.batch)),
                1 => {
                    retry.push(index as u32);
                    again.push(*number);
                }
                _ => {
                    rejected.push(index as u32);
                    seen.refused.insert(*number);
                }
            }
        }
        if retry.is_empty() && rejected.is_empty() {
            return Outcome::Delivered;
        }
        if rejected.len() == self.numbers.len() {
            return Outcome::Rejected { reason: DropReason::Rejected, cause };
        }
        self.numbers = again;
        let (retry, rejected): (EntrySet, EntrySet) =
            (retry.into_iter().collect(), rejected.into_iter().collect());
        Outcome::Partial { retry, rejected, reason: DropReason::Rejected, cause }
    }
}

pub(crate) fn output(name: &str, pattern: &str, lanes: Lanes, retry: RetryLimit) -> OutputSlot {
    OutputSlot {
        id: id(Kind::Output, name),
        matcher: Matcher { pattern: Some(Pattern::new(pattern)), regex: None },
        output: Box::new(lanes),
        metrics: Arc::default(),
        ledger: Arc::new(Ledger::default()),
        retry,
        disk_limit: None,
        processors: Vec::new(),
    }
}
