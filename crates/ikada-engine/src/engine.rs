//! Start, run, drain.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt;
use ikada_plugin::{
    FilterMetrics, FlushClock, InputContext, InputError, InputMetrics, InstanceId, OutputMetrics, OwnMetrics,
    Router,
};
use ikada_record::{DropReason, Ledger, Receipt, Share, Tally};
use ikada_store::chunks::{ChunkDir, Stored};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::courier::Courier;
use crate::deliver::Destination;
use crate::driver::{Driver, Stop};
use crate::inputs::Keeper;
use crate::letters::{Letters, directory_of};
use crate::pipeline::{FilterSlot, OutputSlot, OverflowPolicy, Pipeline, Storage};
use crate::queue::Queue;
use crate::report::{InputReport, OutputReport, Report};
use crate::router::{Entrance, Exit, Overflow, Place, Routes, Stage};
use crate::shelf::Shelf;

/// How long tasks that are cut off have to let go: one that blocks its thread never does, and must not hold the end up.
const CUT_OFF: Duration = Duration::from_secs(1);

/// How long the report waits for receipts of inputs that were cut off: their tasks are still letting go.
const LAST_RECEIPTS: Duration = Duration::from_secs(1);

/// How long dead letters may take to be brought away, if the grace is over.
const LAST_LETTERS: Duration = Duration::from_secs(1);

/// How long what ended in a bug rests before it is tried again.
const AFTER_A_BUG: Duration = Duration::from_secs(1);

/// Why a pipeline did not start.
#[derive(Debug, thiserror::Error)]
#[error("{id} cannot start")]
pub struct EngineError {
    /// Which input.
    pub id: Arc<InstanceId>,
    /// Why.
    #[source]
    pub source: InputError,
}

/// What may be looked at while the engine runs: names, counters, books.
#[derive(Clone, Default)]
pub struct View {
    /// Inputs in file order.
    pub inputs: Vec<(Arc<InstanceId>, Arc<InputMetrics>)>,
    /// Filters in file order.
    pub filters: Vec<(Arc<InstanceId>, Arc<FilterMetrics>)>,
    /// Outputs in file order.
    pub outputs: Vec<(Arc<InstanceId>, Arc<OutputMetrics>, Arc<Ledger>)>,
    /// What filters count for themselves.
    pub own: Vec<Arc<dyn OwnMetrics>>,
    books: Option<Books>,
}

/// A running pipeline.
pub struct Engine {
    view: View,
    routes: Arc<Routes>,
    destinations: Vec<Arc<Destination>>,
    tally: Arc<Tally>,
    bugs: Arc<AtomicU64>,
    stop_inputs: CancellationToken,
    quit: CancellationToken,
    stop_outputs: Stop,
    inputs: JoinSet<()>,
    outputs: JoinSet<()>,
    /// What filters do beside the records, and the flush of what they hold back.
    beside: JoinSet<()>,
    courier: Option<Arc<Courier>>,
}

impl Engine {
    /// Starts outputs, opens every input, then runs them.
    ///
    /// # Errors
    /// An input cannot open; nothing runs then.
    pub async fn start(pipeline: Pipeline) -> Result<Self, EngineError> {
        let mut engine = Self::assemble(&pipeline);
        let Pipeline { service, limits, storage, dead_letters, far_letters, mut inputs, filters, outputs } =
            pipeline;
        engine.courier = far_letters.map(|store| Arc::new(Courier::new(store)));
        if let Some(courier) = &engine.courier {
            engine.beside.spawn(courier.clone().run());
        }
        let mut exits = Vec::new();
        let mut processors = Vec::new();
        for (number, mut slot) in outputs.into_iter().enumerate() {
            processors.extend(slot.processors.drain(..).map(|slot| stage(slot, Place::Output(number))));
            let queue = Queue::new(limits.queue_pace, limits.queue_full, limits.stall);
            let queue = Arc::new(match &storage {
                None => queue,
                Some(storage) => shelved(queue, storage, &slot, limits.stall, inputs.len()),
            });
            let backoff = (limits.backoff_base, limits.backoff_cap);
            let mut to =
                Destination::new(slot.id.clone(), queue.clone(), slot.metrics.clone(), slot.retry, backoff);
            to.letters = Letters::open(dead_letters.as_ref(), engine.courier.clone(), &slot.id, &service);
            to.may_let_go = inputs
                .iter()
                .all(|slot| matches!(slot.overflow, OverflowPolicy::Spill | OverflowPolicy::DropOldest));
            to.most_under_way = limits.queue_full / 2;
            to.input_memory = (service.input_memory.clone(), engine.view.outputs.len());
            let to = Arc::new(to);
            engine.destinations.push(to.clone());
            let alarm = engine.alarm(&slot.id);
            let work = Driver::new(slot.output, to, engine.bugs.clone()).run(engine.stop_outputs.clone());
            engine.outputs.spawn(alarm.over(work));
            let overflow = Overflow::default();
            exits.push(Exit { id: slot.id, matcher: slot.matcher, queue, ledger: slot.ledger, overflow });
        }
        let mut stages: Vec<_> = filters.into_iter().map(|slot| stage(slot, Place::Filter)).collect();
        stages.append(&mut processors);
        for (number, slot) in inputs.iter_mut().enumerate() {
            stages.extend(slot.processors.drain(..).map(|slot| stage(slot, Place::Input(number))));
        }
        engine.view.own = stages.iter().filter_map(|stage| stage.filter.metrics()).collect();
        let entrances = inputs
            .iter()
            .map(|slot| Entrance {
                mem_buf_limit: slot.mem_buf_limit,
                durable: slot.durable,
                overflow: slot.overflow,
                ..Entrance::default()
            })
            .collect();
        let names = inputs.iter().map(|slot| slot.id.name.clone());
        engine.routes = Arc::new(Routes::new(stages, exits, entrances, names, limits.plans));
        for at in 0..engine.routes.stages.len() {
            engine.beside.spawn(work_beside(engine.routes.clone(), at));
        }
        engine.beside.spawn(flush_held(engine.routes.clone()));
        engine.view.books = Some(Books {
            routes: engine.routes.clone(),
            tally: engine.tally.clone(),
            bugs: engine.bugs.clone(),
        });

        let flush = FlushClock::new(Instant::now(), service.flush);
        let mut opened = Vec::new();
        for mut slot in inputs {
            let cx = InputContext {
                id: slot.id.clone(),
                router: engine.routes.clone() as Arc<dyn Router>,
                stop: engine.stop_inputs.clone(),
                quit: engine.quit.clone(),
                metrics: slot.metrics,
                flush,
                tally: engine.tally.clone(),
                service: service.clone(),
            };
            let keeper = Keeper::new(cx, slot.again, engine.bugs.clone());
            let life = keeper.life();
            if let Err(source) = slot.input.open(&life).await {
                engine.stop_outputs.abort.cancel();
                while engine.outputs.join_next().await.is_some() {}
                return Err(EngineError { id: slot.id, source });
            }
            opened.push((slot.input, life, keeper));
        }
        for (input, life, keeper) in opened {
            engine.inputs.spawn(keeper.run(input, life));
        }
        Ok(engine)
    }

    fn alarm(&self, id: &Arc<InstanceId>) -> Alarm {
        Alarm { id: id.clone(), quit: self.quit.clone(), bugs: self.bugs.clone() }
    }

    fn assemble(pipeline: &Pipeline) -> Self {
        let view = View {
            inputs: pipeline.inputs.iter().map(|slot| (slot.id.clone(), slot.metrics.clone())).collect(),
            filters: pipeline.filters.iter().map(|slot| (slot.id.clone(), slot.metrics.clone())).collect(),
            outputs: pipeline
                .outputs
                .iter()
                .map(|slot| (slot.id.clone(), slot.metrics.clone(), slot.ledger.clone()))
                .collect(),
            own: Vec::new(),
            books: None,
        };
        Self {
            view,
            routes: Arc::new(Routes::new(Vec::new(), Vec::new(), Vec::new(), [], 1)),
            destinations: Vec::new(),
            tally: Arc::default(),
            bugs: Arc::default(),
            stop_inputs: CancellationToken::new(),
            quit: CancellationToken::new(),
            stop_outputs: Stop::default(),
            inputs: JoinSet::new(),
            outputs: JoinSet::new(),
            beside: JoinSet::new(),
            courier: None,
        }
    }

    /// What may be looked at while it runs.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Fires when an input asks the process to stop, or when a bug ended what cannot be started anew.
    #[must_use]
    pub fn quit(&self) -> CancellationToken {
        self.quit.clone()
    }

    /// Stops: inputs hand over what they have read, outputs deliver it, for at most `grace`. Then everything ends, and the
    /// report says how.
    pub async fn drain(mut self, grace: Duration) -> Report {
        let deadline = Instant::now() + grace;
        for (id, _) in &self.view.inputs {
            info!("[input] pausing {}", id.shown());
        }
        for to in &self.destinations {
            to.queue.drain();
            to.drain();
        }
        self.stop_inputs.cancel();
        self.stop_outputs.drain.cancel();
        let delivered = timeout_at(deadline, async {
            while self.inputs.join_next().await.is_some() {}
            self.routes.flush_held(None).await;
            for to in &self.destinations {
                to.queue.close();
            }
            while self.outputs.join_next().await.is_some() {}
        })
        .await
        .is_ok();
        if !delivered {
            self.stop_outputs.abort.cancel();
            // Closed first: what inputs that are cut off still hand over is let go, and booked.
            for to in &self.destinations {
                to.queue.close();
            }
            let cut_off = async {
                self.inputs.shutdown().await;
                self.routes.flush_held(None).await;
                while self.outputs.join_next().await.is_some() {}
            };
            if timeout(CUT_OFF, cut_off).await.is_err() {
                error!(
                    "[engine] something blocks a thread and cannot be stopped: the counts below may lack records"
                );
            }
        }
        if let Some(courier) = &self.courier {
            courier.finish(deadline.max(Instant::now() + LAST_LETTERS)).await;
        }
        self.report().await
    }

    async fn report(self) -> Report {
        // What still waits in a queue is let go here, so that its shares are booked before they are read.
        for exit in &self.routes.exits {
            exit.queue.let_go();
        }
        let latest = Instant::now() + LAST_RECEIPTS;
        while self.tally.ended() < self.tally.made() && Instant::now() < latest {
            sleep(LAST_RECEIPTS / 100).await;
        }
        self.view.books()
    }
}

/// What the books are read from.
#[derive(Clone)]
struct Books {
    routes: Arc<Routes>,
    tally: Arc<Tally>,
    bugs: Arc<AtomicU64>,
}

impl View {
    /// The books as they stand: what came in, and how it ended or where it is. Of a pipeline that never ran, nothing.
    #[must_use]
    pub fn books(&self) -> Report {
        let Some(Books { routes, tally, bugs }) = &self.books else { return Report::default() };
        let inputs = self.inputs.iter().zip(&routes.entrances).enumerate();
        let inputs = inputs.map(|(number, ((id, metrics), entrance))| {
            let records = metrics.records.get();
            let waits = routes.exits.iter().map(|exit| exit.queue.waits_of(number));
            InputReport {
                id: id.clone(),
                records,
                unsent: records.saturating_sub(entrance.dispatched.load(Relaxed)),
                filtered: entrance.filtered.load(Relaxed),
                added: entrance.added.load(Relaxed),
                unmatched: entrance.unmatched.load(Relaxed),
                waiting: waits.max().unwrap_or_default(),
                mem_buf_limit: entrance.mem_buf_limit,
            }
        });
        let outputs = self.outputs.iter().zip(&routes.exits).map(|((id, _, ledger), exit)| {
            let dropped = DropReason::ALL.into_iter().map(|reason| (reason, ledger.dropped(reason)));
            // What is settled is read first: an entry that is settled meanwhile then counts as left, not twice.
            let settled = ledger.delivered() + ledger.dropped_total();
            let left = ledger.routed().saturating_sub(settled);
            let (entries, chunks, bytes) = exit.queue.shelf().map_or((0, 0, 0), |shelf| shelf.holds());
            // A file may hold entries that were delivered already: they go again with the rest.
            let kept = entries.min(left);
            OutputReport {
                id: id.clone(),
                routed: ledger.routed(),
                sent: ledger.delivered(),
                unsent: left - kept,
                kept,
                chunks_kept: chunks,
                bytes_kept: bytes,
                bytes_waiting: exit.queue.bytes() as u64,
                dropped: dropped.filter(|(_, count)| *count > 0).collect(),
            }
        });
        // What inputs and deliveries caught themselves.
        let caught: u64 = self.inputs.iter().map(|(_, metrics)| metrics.bugs.get()).sum();
        let caught = caught + self.outputs.iter().map(|(_, metrics, _)| metrics.bugs.get()).sum::<u64>();
        Report {
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            bugs: bugs.load(Relaxed) + routes.bugs.load(Relaxed) + caught,
            receipts_lost: tally.made().saturating_sub(tally.ended()),
        }
    }
}

/// Gives a queue its disk, and what waits there since an earlier run. An output whose directory cannot be used goes on in memory
/// until it can.
fn shelved(queue: Queue, storage: &Storage, slot: &OutputSlot, stall: Duration, number: usize) -> Queue {
    let path = directory_of(&storage.path, &slot.id);
    let (dir, backlog, failed) = match ChunkDir::open(&path, storage.sync) {
        Ok((dir, backlog)) => (dir, backlog, None),
        Err(failed) => (ChunkDir::later(&path, storage.sync), Vec::new(), Some(failed)),
    };
    if !backlog.is_empty() {
        let records: u64 = backlog.iter().map(|stored| u64::from(stored.entries())).sum();
        info!(instance = %slot.id, "{records} records in {} chunks wait on disk since an earlier run", backlog.len());
    }
    let shelf = Arc::new(Shelf::new(slot.id.clone(), dir, slot.disk_limit, stall));
    if let Some(failed) = failed {
        shelf.failed(&failed.to_string());
    }
    let share = |stored: Stored| {
        let share = Share::new(Receipt::unwatched(), stored.entries(), slot.ledger.clone());
        (stored, Arc::new(share))
    };
    queue.with_shelf(shelf, backlog.into_iter().map(share).collect(), number)
}

fn stage(slot: FilterSlot, place: Place) -> Stage {
    Stage { id: slot.id, place, matcher: slot.matcher, filter: slot.filter, metrics: slot.metrics }
}

/// What a filter does beside the records, begun anew when it ends in a bug.
async fn work_beside(routes: Arc<Routes>, at: usize) {
    let filter = || routes.stages[at].filter.background();
    while let Ok(Some(work)) = catch_unwind(AssertUnwindSafe(filter)) {
        let Err(panic) = AssertUnwindSafe(work).catch_unwind().await else { return };
        routes.count_bug(at, &panic);
        sleep(AFTER_A_BUG).await;
    }
}

/// Hands on what filters hold back when it is due.
async fn flush_held(routes: Arc<Routes>) {
    let mut bugs = 0;
    loop {
        if routes.bugs.load(Relaxed) > bugs {
            // A filter that ends in a bug may say at once that it is due again.
            bugs = routes.bugs.load(Relaxed);
            sleep(AFTER_A_BUG).await;
        }
        match routes.held_due() {
            None => routes.held.notified().await,
            Some(due) => {
                tokio::select! {
                    () = routes.held.notified() => {}
                    () = sleep_until(due) => routes.flush_held(Some(Instant::now())).await,
                }
            }
        }
    }
}

/// Watches over the task of an output. A bug of the output itself does not end it; a bug around it does, and stops the process: a
/// router without it would hold back, or drop, all that comes its way.
struct Alarm {
    id: Arc<InstanceId>,
    quit: CancellationToken,
    bugs: Arc<AtomicU64>,
}

impl Alarm {
    async fn over(self, work: impl Future<Output = ()>) {
        work.await;
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            error!(instance = %self.id, "ended in a bug of Ikada: stopping");
            self.bugs.fetch_add(1, Relaxed);
            self.quit.cancel();
        }
    }
}

/// An error with its causes, in one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}
