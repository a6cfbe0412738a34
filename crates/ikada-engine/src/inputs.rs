//! The one task of an input: it runs until its source ends, and is started anew when it ends in a bug.
//!
//! A router without one of its inputs would hold back, or lose, all that comes its way, and a router that ends takes the application with it. So an
//! input that ends in a bug is let go with all it has opened, rests, and is made and opened once more. Queues, books and receipts
//! are not its own and stay as they are: what it had handed over is delivered, what it had read and not handed over is booked as unsent
//! or read again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt;
use ikada_plugin::{Input, InputContext, bugs};
use tokio::time::{Instant, sleep};
use tracing::{error, info};

use crate::engine::Chain;
use crate::pipeline::Again;

/// How long an input rests after its first bug; each further one doubles it.
const REST: Duration = Duration::from_secs(1);

/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// An input that ran for this long without a bug starts with a short rest again.
const CALM: Duration = Duration::from_secs(60);

/// What keeps one input running.
pub(crate) struct Keeper {
    /// With the engine's own stop.
    cx: InputContext,
    again: Option<Again>,
    bugs: Arc<AtomicU64>,
}

impl Keeper {
    pub(crate) fn new(cx: InputContext, again: Option<Again>, bugs: Arc<AtomicU64>) -> Self {
        Self { cx, again, bugs }
    }

    /// The context of one life of the input: what it started by itself ends with it.
    pub(crate) fn life(&self) -> InputContext {
        InputContext { stop: self.cx.stop.child_token(), ..self.cx.clone() }
    }

    /// Runs an input that was opened, and whatever follows it.
    pub(crate) async fn run(self, mut input: Box<dyn Input>, mut life: InputContext) {
        let mut rest = REST;
        loop {
            let (stop, started) = (life.stop.clone(), Instant::now());
            let Err(panic) = self.live(input, life).await else { return };
            stop.cancel();
            self.bugs.fetch_add(1, Relaxed);
            let said = bugs::said(&*panic);
            let Some(again) = &self.again else {
                error!(instance = %self.cx.id, "the input ended in a bug of Ikada: stopping: {said}");
                self.cx.quit.cancel();
                return;
            };
            if started.elapsed() >= CALM {
                rest = REST;
            }
            error!(
                instance = %self.cx.id,
                "the input ended in a bug of Ikada and starts anew in {} seconds: {said}",
                rest.as_secs()
            );
            let Some(next) = self.start_anew(again, &mut rest).await else { return };
            (input, life) = next;
            self.cx.metrics.restarts.add(1);
            info!(instance = %self.cx.id, "started anew");
        }
    }

    /// One life: until the input's source ends, it fails, or it panics.
    async fn live(&self, input: Box<dyn Input>, life: InputContext) -> Result<(), bugs::Panic> {
        let running = AssertUnwindSafe(async move { input.run(life).await }).catch_unwind();
        if let Err(failed) = running.await? {
            error!(instance = %self.cx.id, "the input ended: {}", Chain(&failed));
        }
        Ok(())
    }

    /// Makes and opens the input once more, as often as it takes; `None` if the router stops first.
    async fn start_anew(&self, again: &Again, rest: &mut Duration) -> Option<(Box<dyn Input>, InputContext)> {
        loop {
            self.cx.stop.run_until_cancelled(sleep(*rest)).await?;
            *rest = (*rest * 2).min(LONGEST_REST);
            let life = self.life();
            let open = async {
                let mut input = again()?;
                match input.open(&life).await {
                    Ok(()) => Some(input),
                    Err(failed) => {
                        error!(instance = %self.cx.id, "could not start anew: {}", Chain(&failed));
                        None
                    }
                }
            };
            match AssertUnwindSafe(open).catch_unwind().await {
                Ok(Some(input)) => return Some((input, life)),
                Ok(None) => life.stop.cancel(),
                Err(panic) => {
                    self.bugs.fetch_add(1, Relaxed);
                    life.stop.cancel();
                    error!(instance = %self.cx.id, "could not start anew for a bug of Ikada: {}", bugs::said(&*panic));
                }
            }
        }
    }
}
