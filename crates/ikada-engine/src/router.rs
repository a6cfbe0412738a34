//! From a chunk to the queues of the outputs that take its tag.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ikada_plugin::{BoxFuture, Dispatch, Filter, FilterMetrics, InstanceId, Routed, Router};
use ikada_record::{Chunk, Ledger, Share};
use ikada_route::{Matcher, PlanCache};
use tokio::time::Instant;
use tracing::warn;

use crate::chain::{self, Filtered, Link};
use crate::queue::{Queue, Source};

/// Tags that no output takes are named in the log up to this number; then they are only counted.
const TAGS_NAMED: usize = 100;

/// Time between two lines about entries that had to make room in the same queue.
const OVERFLOW_LINE_EVERY: Duration = Duration::from_secs(10);

/// A tag's filters and outputs, as indices, resolved once.
#[derive(Debug, Default)]
struct Plan {
    filters: Vec<usize>,
    outputs: Vec<usize>,
}

pub(crate) struct Stage {
    pub(crate) matcher: Matcher,
    pub(crate) filter: Box<dyn Filter>,
    pub(crate) metrics: Arc<FilterMetrics>,
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
    pub(crate) number: usize,
    pub(crate) mem_buf_limit: Option<usize>,
    pub(crate) dispatched: AtomicU64,
    pub(crate) filtered: AtomicU64,
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
        tracing::error!(
            instance = %id,
            "the output makes no progress and its queue is full: dropped the oldest {records} records (reason=overflow)"
        );
    }
}

pub(crate) struct Routes {
    pub(crate) stages: Vec<Stage>,
    pub(crate) exits: Vec<Exit>,
    pub(crate) entrances: HashMap<String, Entrance>,
    plans: PlanCache<Plan>,
    unmatched_tags: Mutex<std::collections::HashSet<Vec<u8>>>,
    unmatched_full: AtomicBool,
}

impl Routes {
    pub(crate) fn new(
        stages: Vec<Stage>,
        exits: Vec<Exit>,
        entrances: HashMap<String, Entrance>,
        plans: usize,
    ) -> Self {
        Self {
            stages,
            exits,
            entrances,
            plans: PlanCache::new(plans),
            unmatched_tags: Mutex::default(),
            unmatched_full: AtomicBool::new(false),
        }
    }

    fn plan(&self, tag: &[u8]) -> Arc<Plan> {
        self.plans.get_or_build(tag, |tag| Plan {
            filters: (0..self.stages.len()).filter(|i| self.stages[*i].matcher.matches(tag)).collect(),
            outputs: (0..self.exits.len()).filter(|i| self.exits[*i].matcher.matches(tag)).collect(),
        })
    }

    async fn route(&self, input: &InstanceId, chunk: Chunk, how: Dispatch) {
        let entrance = self.entrances.get(&input.name);
        let came = chunk.len() as u64;
        let plan = self.plan(chunk.tag().as_bytes());
        let Some(chunk) = self.filter(&plan, chunk, entrance) else {
            if let Some(entrance) = entrance {
                entrance.dispatched.fetch_add(came, Relaxed);
            }
            return;
        };
        if plan.outputs.is_empty() {
            self.unmatched(input, entrance, &chunk);
        }
        let shares: Vec<_> = plan
            .outputs
            .iter()
            .map(|at| {
                let exit = &self.exits[*at];
                let entries = chunk.len() as u32;
                (exit, Arc::new(Share::new(chunk.receipt().clone(), entries, exit.ledger.clone())))
            })
            .collect();
        if let Some(entrance) = entrance {
            entrance.dispatched.fetch_add(came, Relaxed);
        }
        let number = entrance.map_or(0, |entrance| entrance.number);
        let limit = entrance.and_then(|entrance| entrance.mem_buf_limit);
        let from = Source { number, limit, on_full: how.on_full };
        for (exit, share) in shares {
            let routed = Routed { chunk: chunk.clone(), share, due: how.due };
            let evicted = exit.queue.push(routed, from).await;
            exit.overflow.add(&exit.id, evicted);
        }
    }

    /// Runs the plan's filters; `None` when nothing is left.
    fn filter(&self, plan: &Plan, chunk: Chunk, entrance: Option<&Entrance>) -> Option<Chunk> {
        if plan.filters.is_empty() {
            return (!chunk.is_empty()).then_some(chunk);
        }
        let links: Vec<_> = plan
            .filters
            .iter()
            .map(|at| Link { filter: &*self.stages[*at].filter, metrics: &self.stages[*at].metrics })
            .collect();
        let (builder, dropped) = match chain::run(&chunk, &links) {
            Filtered::Same => return (!chunk.is_empty()).then_some(chunk),
            Filtered::Changed(builder, dropped) => (builder, dropped),
        };
        if let Some(entrance) = entrance {
            entrance.filtered.fetch_add(u64::from(dropped), Relaxed);
        }
        (!builder.is_empty()).then(|| builder.finish(chunk.receipt().clone()))
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

impl Router for Routes {
    fn dispatch<'a>(&'a self, input: &'a InstanceId, chunk: Chunk, how: Dispatch) -> BoxFuture<'a, ()> {
        Box::pin(self.route(input, chunk, how))
    }
}
