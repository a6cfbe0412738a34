//! What brings entries in, and where it hands them.

use std::sync::Arc;

use ikada_record::{Chunk, Tally};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{BoxFuture, FlushClock, InputMetrics, InstanceId, Service};

/// Why an input cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The listener could not be set up.
    #[error("could not listen on {address}")]
    Listen {
        /// As configured, `unix:///var/run/fluent.sock` or `0.0.0.0:24224`.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Anything else the system refused.
    #[error("{doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Brings entries in.
pub trait Input: Send {
    /// Binds, opens, checks: all that may fail at start.
    ///
    /// # Errors
    /// The input cannot work; the start ends here.
    fn open<'a>(&'a mut self, cx: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>>;

    /// Reads until its source ends or `cx.stop` fires. After that it hands over what it has read, takes no more, and returns.
    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>>;
}

/// What an input is given to work with.
#[derive(Clone)]
pub struct InputContext {
    /// Its name.
    pub id: Arc<InstanceId>,
    /// Where chunks go.
    pub router: Arc<dyn Router>,
    /// Fires when the input is to stop reading.
    pub stop: CancellationToken,
    /// Asks the whole process to stop, as `stdin` does at the end of its input.
    pub quit: CancellationToken,
    /// Its counters.
    pub metrics: Arc<InputMetrics>,
    /// When chunks that are not full are handed over.
    pub flush: FlushClock,
    /// Counts the receipts it makes.
    pub tally: Arc<Tally>,
    /// What `[SERVICE]` says.
    pub service: Arc<Service>,
}

/// What happens at the bound of a queue, chosen by what stands behind the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// Wait, however long: the source keeps what is not read (a file, a client that wants acks).
    Wait,
    /// Wait while the output makes progress; once it has made none for the stall limit, the oldest entries
    /// in its queue are dropped and counted. The application behind the socket is never blocked for longer.
    Pace,
}

/// How a chunk is to be handed over.
#[derive(Debug, Clone, Copy)]
pub struct Dispatch {
    /// When the outputs are to send it, full batch or not.
    pub due: Instant,
    /// What to do when an output has no room.
    pub on_full: OnFull,
}

/// Takes chunks from inputs: applies the filters and hands the rest to the outputs.
pub trait Router: Send + Sync {
    /// Takes a chunk on its way. Returns once every output it goes to has taken it into its queue; waiting here is the backpressure.
    ///
    /// # Cancel safety
    /// Not cancel safe: a chunk whose dispatch is dropped may have reached only some of its outputs.
    fn dispatch<'a>(&'a self, input: &'a InstanceId, chunk: Chunk, how: Dispatch) -> BoxFuture<'a, ()>;
}
