//! From a chunk to the queues of the outputs that take its tag.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use ikada_plugin::{
    BoxFuture, Dispatch, Emitted, Filter, FilterMetrics, Held, InstanceId, OnFull, Routed, Router, bugs,
};
use ikada_record::{Chunk, ChunkBuilder, Entry, Ledger, Receipt, Share};
use ikada_route::{Matcher, PlanCache};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::chain::{self, Kept, Link, Passed, Terms};
use crate::pipeline::OverflowPolicy;
use crate::queue::{Queue, Source};

/// Tags that no output takes are named in the log up to this number; then they are only counted.
const TAGS_NAMED: usize = 100;

/// Time between two lines about entries that had to make room in the same queue.
const OVERFLOW_LINE_EVERY: Duration = Duration::from_secs(10);

/// Times a record may be re-tagged: more is a loop.
const MOST_RETAGS: u8 = 16;

/// Time between two lines about records that were re-tagged too often.
const LOOP_LINE_EVERY: Duration = Duration::from_secs(60);

/// A tag's filters and outputs, as indices, resolved once.
#[derive(Debug, Default)]
struct Plan {
    filters: Vec<usize>,
    outputs: Vec<usize>,
}

/// A filter or processor at its place.
pub(crate) struct Stage {
    pub(crate) id: Arc<InstanceId>,
    pub(crate) place: Place,
    pub(crate) matcher: Matcher,
    pub(crate) filter: Box<dyn Filter>,
    pub(crate) metrics: Arc<FilterMetrics>,
}

/// Whose entries a stage sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// All that its matcher takes.
    Filter,
    /// Those of the input with this number, before all filters.
    Input(usize),
    /// Those that the output with this number takes, after all filters.
    Output(usize),
}

/// Where a chunk enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// It comes from an input.
    Input,
    /// It was re-tagged by this stage, for the n-th time.
    Retagged { by: usize, times: u8 },
    /// It was held back by this stage and goes on behind it.
    Behind(usize),
}

/// A chunk on its way through the router.
struct Way {
    input: usize,
    start: Start,
    how: Dispatch,
}

pub(crate) struct Exit {
    pub(crate) id: Arc<InstanceId>,
    pub(crate) matcher: Matcher,
    pub(crate) queue: Arc<Queue>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) overflow: Overflow,
}

/// What the router knows of one input.
#[derive(Debug, Default)]
pub(crate) struct Entrance {
    pub(crate) mem_buf_limit: Option<usize>,
    pub(crate) durable: bool,
    pub(crate) overflow: OverflowPolicy,
    pub(crate) dispatched: AtomicU64,
    /// Entries that filters dropped or put into others.
    pub(crate) filtered: AtomicU64,
    /// Entries that filters made.
    pub(crate) added: AtomicU64,
    pub(crate) unmatched: AtomicU64,
}

/// Gathers evictions into one log line every few seconds.
#[derive(Debug, Default)]
pub(crate) struct Overflow(Mutex<(u64, Option<Instant>)>);

impl Overflow {
    fn add(&self, id: &InstanceId, evicted: u64) {
        if evicted == 0 {
            return;
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += evicted;
        let now = Instant::now();
        if state.1.is_some_and(|last| now < last + OVERFLOW_LINE_EVERY) {
            return;
        }
        state.1 = Some(now);
        let records = std::mem::take(&mut state.0);
        error!(
            instance = %id,
            "the output makes no progress and its queue is full: dropped the oldest {records} records (reason=overflow)"
        );
    }
}

pub(crate) struct Routes {
    /// Filters in order, then the processors of inputs and outputs.
    pub(crate) stages: Vec<Stage>,
    pub(crate) exits: Vec<Exit>,
    pub(crate) entrances: Vec<Entrance>,
    numbers: HashMap<String, usize>,
    plans: PlanCache<Plan>,
    unmatched_tags: Mutex<std::collections::HashSet<Vec<u8>>>,
    unmatched_full: AtomicBool,
    loops: Mutex<(u64, Option<Instant>)>,
    /// Wakes the task that flushes filters: one of them may hold entries now.
    pub(crate) held: Notify,
    /// Bugs of filters.
    pub(crate) bugs: Arc<AtomicU64>,
}

impl Routes {
    /// `names` are the inputs' names, in the order of `entrances`.
    pub(crate) fn new(
        stages: Vec<Stage>,
        exits: Vec<Exit>,
        entrances: Vec<Entrance>,
        names: impl IntoIterator<Item = String>,
        plans: usize,
    ) -> Self {
        Self {
            stages,
            exits,
            entrances,
            numbers: names.into_iter().zip(0..).collect(),
            plans: PlanCache::new(plans),
            unmatched_tags: Mutex::default(),
            unmatched_full: AtomicBool::new(false),
            loops: Mutex::default(),
            held: Notify::new(),
            bugs: Arc::default(),
        }
    }

    fn plan(&self, tag: &[u8]) -> Arc<Plan> {
        self.plans.get_or_build(tag, |tag| Plan {
            filters: (0..self.stages.len())
                .filter(|at| {
                    let stage = &self.stages[*at];
                    stage.place == Place::Filter && stage.matcher.matches(tag)
                })
                .collect(),
            outputs: (0..self.exits.len()).filter(|i| self.exits[*i].matcher.matches(tag)).collect(),
        })
    }

    /// Takes a chunk on its way, and what becomes of it under other tags.
    async fn route(&self, input: &InstanceId, chunk: Chunk, how: Dispatch) {
        let number = self.numbers.get(&input.name).copied().unwrap_or(usize::MAX);
        let came = chunk.len() as u64;
        let way = Way { input: number, start: Start::Input, how };
        let steps = || self.steps(input, VecDeque::from([(chunk, way)]));
        let pushes = catch_unwind(AssertUnwindSafe(steps)).unwrap_or_else(|panic| {
            self.lost_to_bug(input, number, came, &panic);
            Vec::new()
        });
        // All that the filters left is on its outputs' books now: from here on the input answers for it no more.
        if let Some(entrance) = self.entrances.get(number) {
            entrance.dispatched.fetch_add(came, Relaxed);
        }
        self.push(pushes).await;
    }

    /// Hands on what filters held back until `now`, or everything if `now` is `None`.
    pub(crate) async fn flush_held(&self, now: Option<Instant>) {
        for (at, stage) in self.stages.iter().enumerate() {
            if now.is_some_and(|now| stage.filter.due().is_none_or(|due| due > now)) {
                continue;
            }
            let flush = || stage.filter.flush(now);
            let emitted = catch_unwind(AssertUnwindSafe(flush)).unwrap_or_else(|panic| {
                self.count_bug(at, &panic);
                Vec::new()
            });
            if emitted.is_empty() {
                continue;
            }
            stage.metrics.add_records.add(emitted.len() as u64);
            let mut ways = VecDeque::new();
            for entry in emitted {
                let entrance = entry.held.first().and_then(|held| self.entrances.get(held.input()));
                if let Some(entrance) = entrance {
                    entrance.added.fetch_add(1, Relaxed);
                }
                behind(at, entry, &mut ways);
            }
            let pushes = self.steps(&stage.id, ways);
            self.push(pushes).await;
        }
    }

    /// Books a bug of the stage at `at`.
    pub(crate) fn count_bug(&self, at: usize, panic: &bugs::Panic) {
        self.bugs.fetch_add(1, Relaxed);
        self.stages[at].metrics.restarts.add(1);
        error!(instance = %self.stages[at].id, "the filter ended in a bug of Ikada and goes on: {}", bugs::said(&**panic));
    }

    /// Books a chunk that ended in a bug on its way to the outputs.
    fn lost_to_bug(&self, input: &InstanceId, number: usize, entries: u64, panic: &bugs::Panic) {
        self.bugs.fetch_add(1, Relaxed);
        if let Some(entrance) = self.entrances.get(number) {
            entrance.filtered.fetch_add(entries, Relaxed);
        }
        let said = bugs::said(&**panic);
        error!(instance = %input, "a chunk on its way ended in a bug of Ikada: dropped {entries} records (reason=bug): {said}");
    }

    /// When the next held entry is due.
    pub(crate) fn held_due(&self) -> Option<Instant> {
        self.stages.iter().filter_map(|stage| stage.filter.due()).min()
    }

    /// Takes chunks as far as the books of the outputs they go to, and what becomes of them under other tags too.
    fn steps(&self, from: &InstanceId, mut ways: VecDeque<(Chunk, Way)>) -> Vec<Push> {
        let mut pushes = Vec::new();
        while let Some((chunk, way)) = ways.pop_front() {
            self.step(from, chunk, way, &mut ways, &mut pushes);
        }
        pushes
    }

    /// Runs the filters of one chunk and books what is left on its outputs. What goes on under other tags joins `ways`.
    fn step(
        &self,
        input: &InstanceId,
        chunk: Chunk,
        way: Way,
        ways: &mut VecDeque<(Chunk, Way)>,
        pushes: &mut Vec<Push>,
    ) {
        let plan = self.plan(chunk.tag().as_bytes());
        if let Start::Behind(at) = way.start
            && let Place::Output(exit) = self.stages[at].place
        {
            return self.exit(exit, chunk, &way, Some(at), pushes);
        }
        let links = self.links(&plan, &way);
        let Some(chunk) = self.filter(&links, chunk, &way, ways) else { return };
        if plan.outputs.is_empty() {
            self.unmatched(input, self.entrances.get(way.input), &chunk);
        }
        for at in &plan.outputs {
            self.exit(*at, chunk.clone(), &way, None, pushes);
        }
    }

    /// The filters that a chunk passes: the input's processors, then those of its plan.
    fn links(&self, plan: &Plan, way: &Way) -> Vec<usize> {
        let from_input = match way.start {
            Start::Input => true,
            Start::Retagged { .. } => false,
            Start::Behind(at) => matches!(self.stages[at].place, Place::Input(_)),
        };
        let mut links = Vec::with_capacity(plan.filters.len());
        if from_input {
            let own = |at: &usize| self.stages[*at].place == Place::Input(way.input);
            links.extend((0..self.stages.len()).filter(own));
        }
        links.extend_from_slice(&plan.filters);
        match way.start {
            Start::Input => {}
            Start::Retagged { by, .. } => links.retain(|at| *at != by),
            Start::Behind(stage) => {
                let behind = links.iter().position(|at| *at == stage).map_or(0, |at| at + 1);
                links.drain(..behind);
            }
        }
        links
    }

    /// Runs filters; `None` when nothing is left under the chunk's own tag.
    fn filter(
        &self,
        links: &[usize],
        chunk: Chunk,
        way: &Way,
        ways: &mut VecDeque<(Chunk, Way)>,
    ) -> Option<Chunk> {
        if links.is_empty() {
            return (!chunk.is_empty()).then_some(chunk);
        }
        let links: Vec<_> = links
            .iter()
            .map(|at| Link {
                filter: &*self.stages[*at].filter,
                metrics: &self.stages[*at].metrics,
                number: *at,
            })
            .collect();
        let times = match way.start {
            Start::Retagged { times, .. } => times,
            _ => 0,
        };
        let origin = Held::new(chunk.receipt().clone(), way.input, way.how.on_full);
        let terms = Terms { origin, may_retag: times < MOST_RETAGS };
        let passed = self.guarded(&chunk, &links, terms);
        self.told_of_loop(u64::from(passed.refused), &chunk);
        if let Some(entrance) = self.entrances.get(way.input) {
            entrance.filtered.fetch_add(u64::from(passed.gone), Relaxed);
            entrance.added.fetch_add(u64::from(passed.added), Relaxed);
        }
        for (by, builder) in passed.retagged {
            let start = Start::Retagged { by, times: times + 1 };
            ways.push_back((
                builder.finish(chunk.receipt().clone()),
                Way { input: way.input, start, how: way.how },
            ));
        }
        for (at, entry) in passed.strays {
            behind(at, entry, ways);
        }
        if links.iter().any(|link| link.filter.due().is_some()) {
            self.held.notify_one();
        }
        match passed.kept {
            Kept::Same => (!chunk.is_empty()).then_some(chunk),
            Kept::Changed(builder) => {
                let own = chunk.receipt().clone();
                let receipt = match passed.receipts.is_empty() {
                    true => own,
                    false => Receipt::joined(std::iter::once(own).chain(passed.receipts)),
                };
                (!builder.is_empty()).then(|| builder.finish(receipt))
            }
        }
    }

    /// Runs filters. Where one ends in a bug, every record is tried by itself, and those that lead to a bug again are dropped.
    fn guarded(&self, chunk: &Chunk, links: &[Link<'_>], terms: Terms) -> Passed {
        let whole = terms.clone();
        if let Ok(passed) = catch_unwind(AssertUnwindSafe(|| chain::run(chunk, links, whole))) {
            return passed;
        }
        self.bugs.fetch_add(1, Relaxed);
        // Nobody can tell which of them it was.
        links.iter().for_each(|link| link.metrics.restarts.add(1));
        let mut all = Passed::nothing(chunk.tag().clone());
        let mut lost = 0u32;
        for entry in chunk.entries() {
            let mut one = ChunkBuilder::new(chunk.tag().clone());
            one.push_entry(&entry);
            let one = one.finish(Receipt::unwatched());
            let terms = terms.clone();
            match catch_unwind(AssertUnwindSafe(|| chain::run(&one, links, terms))) {
                Ok(passed) => all.add(&one, passed),
                Err(_) => lost += 1,
            }
        }
        all.gone += lost;
        let names: Vec<_> = links.iter().map(|link| self.stages[link.number].id.shown()).collect();
        error!(
            tag = %chunk.tag(),
            "a filter ended in a bug of Ikada, one of {}: dropped {lost} of {} records (reason=bug)",
            names.join(", "),
            chunk.len()
        );
        all
    }

    /// Books a chunk on an output, after its processors. `behind` is the processor that held it back.
    fn exit(&self, at: usize, chunk: Chunk, way: &Way, behind: Option<usize>, pushes: &mut Vec<Push>) {
        let exit = &self.exits[at];
        let own: Vec<_> = (0..self.stages.len())
            .filter(|stage| self.stages[*stage].place == Place::Output(at))
            .filter(|stage| behind.is_none_or(|behind| *stage > behind))
            .collect();
        let chunk = match own.is_empty() {
            true => chunk,
            false => {
                // What a processor of an output re-tags stays with this output.
                let way = Way {
                    input: way.input,
                    start: Start::Retagged { by: usize::MAX, times: MOST_RETAGS },
                    how: way.how,
                };
                let mut late = VecDeque::new();
                let kept = self.filter(&own, chunk, &way, &mut late);
                for (chunk, way) in late {
                    // Held back by a processor, under another tag: it goes on behind it, to this output.
                    let Start::Behind(stage) = way.start else { continue };
                    self.exit(at, chunk, &way, Some(stage), pushes);
                }
                let Some(kept) = kept else { return };
                kept
            }
        };
        let share = Share::new(chunk.receipt().clone(), chunk.len() as u32, exit.ledger.clone());
        let entrance = self.entrances.get(way.input);
        let policy = entrance.map(|entrance| entrance.overflow).unwrap_or_default();
        let from = Source {
            number: way.input.min(self.entrances.len()),
            limit: entrance.and_then(|entrance| entrance.mem_buf_limit),
            on_full: if policy == OverflowPolicy::Block { OnFull::Wait } else { way.how.on_full },
            durable: entrance.is_some_and(|entrance| entrance.durable),
            policy,
        };
        pushes.push(Push {
            exit: at,
            routed: Routed { chunk, share: Arc::new(share), due: way.how.due },
            from,
        });
    }

    /// Hands chunks to their outputs, which wait for room one beside the other: a full queue keeps nothing from another one.
    async fn push(&self, mut pushes: Vec<Push>) {
        if pushes.len() <= 1 {
            if let Some(push) = pushes.pop() {
                self.push_one(push).await;
            }
            return;
        }
        pushes.sort_by_key(|push| push.exit);
        let mut queues = Vec::new();
        while let Some(exit) = pushes.last().map(|push| push.exit) {
            let own = pushes.split_off(pushes.partition_point(|push| push.exit < exit));
            queues.push(async move {
                for push in own {
                    self.push_one(push).await;
                }
            });
        }
        join_all(queues).await;
    }

    async fn push_one(&self, push: Push) {
        let exit = &self.exits[push.exit];
        let evicted = exit.queue.push(push.routed, push.from).await;
        exit.overflow.add(&exit.id, evicted);
    }

    fn told_of_loop(&self, refused: u64, chunk: &Chunk) {
        if refused == 0 {
            return;
        }
        let mut state = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += refused;
        let now = Instant::now();
        if state.1.is_some_and(|last| now < last + LOOP_LINE_EVERY) {
            return;
        }
        state.1 = Some(now);
        let records = std::mem::take(&mut state.0);
        warn!(
            tag = %chunk.tag(),
            "{records} records have been re-tagged {MOST_RETAGS} times: rewrite_tag goes round in a circle; they stay under this tag"
        );
    }

    fn unmatched(&self, input: &InstanceId, entrance: Option<&Entrance>, chunk: &Chunk) {
        if let Some(entrance) = entrance {
            entrance.unmatched.fetch_add(chunk.len() as u64, Relaxed);
        }
        if self.unmatched_full.load(Relaxed) {
            return;
        }
        let mut named = self.unmatched_tags.lock().unwrap_or_else(PoisonError::into_inner);
        if named.contains(chunk.tag().as_bytes()) {
            return;
        }
        if named.len() >= TAGS_NAMED {
            self.unmatched_full.store(true, Relaxed);
            warn!(instance = %input, "more than {TAGS_NAMED} tags match no output: further ones are only counted");
            return;
        }
        named.insert(chunk.tag().as_bytes().to_vec());
        warn!(instance = %input, tag = %chunk.tag(), "no output matches this tag: its records are dropped (reason=unmatched)");
    }
}

/// A chunk about to enter an output's queue.
struct Push {
    exit: usize,
    routed: Routed,
    from: Source,
}

/// Puts an entry that the stage at `at` held back on its way behind it.
fn behind(at: usize, entry: Emitted, ways: &mut VecDeque<(Chunk, Way)>) {
    let origin = entry.held.first().cloned().unwrap_or_else(Held::nothing);
    let mut builder = ChunkBuilder::new(entry.tag);
    let metadata = (!entry.metadata.is_empty()).then_some(&entry.metadata[..]);
    builder.push_with(entry.time, |buf| {
        Entry::write_head(buf, entry.time, metadata);
        buf.extend_from_slice(&entry.record);
    });
    let receipt = Receipt::joined(entry.held.iter().map(|held| held.receipt().clone()));
    let how = Dispatch { due: Instant::now(), on_full: origin.on_full() };
    let way = Way { input: origin.input(), start: Start::Behind(at), how };
    ways.push_back((builder.finish(receipt), way));
}

impl Router for Routes {
    fn dispatch<'a>(&'a self, input: &'a InstanceId, chunk: Chunk, how: Dispatch) -> BoxFuture<'a, ()> {
        Box::pin(self.route(input, chunk, how))
    }
}
