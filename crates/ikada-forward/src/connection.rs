//! One connection: reading, handing over, resting, answering, ending.
//!
//! A connection that waits holds no buffer: the reader first waits until there is something to read, then borrows the thread's
//! spare buffer, and keeps only the beginning of a frame that is not all there.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ikada_plugin::MemoryShare;
use ikada_record::Receipt;
use tokio::task::{JoinHandle, coop};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use crate::ack::{Acks, Next};
use crate::decoder::{Decoder, Fed, SHARED};
use crate::frame::{FrameError, chain};
use crate::handshake::{Refusal, shake_hands};
use crate::input::Shared;
use crate::rest::{Pace, Then};
use crate::socket::{Connection, Looked, Peer, Socket, WriteHalf};

/// Bytes that are read at once into the spare buffer. A pack that is to be shared without a copy does not fit in here
/// and gets a buffer of its own.
const READ: usize = SHARED;

/// Room behind a large frame for its option, so that it need not move when that comes.
const SLACK: usize = 512;

/// What the runtime's timers measure at least.
const TICK: Duration = Duration::from_millis(1);

/// How long a TCP peer may be silent, at a stop, until it counts as done.
const QUIET: Duration = Duration::from_millis(50);
/// How long a TCP peer that never falls silent is read, at a stop.
const DRAIN: Duration = Duration::from_secs(1);

/// Bytes that are read at once while the memory of all inputs is full.
const LITTLE: usize = 4 * 1024;

/// How long answers may still be written to a peer that sent a bad frame.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long a peer may take to prove who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

thread_local! {
    static SPARE: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// Serves a connection until its peer is done, sends what is no frame, or the input stops.
pub(crate) async fn serve(shared: Arc<Shared>, connection: Connection, peer: Peer) {
    let mut socket = Socket::new(connection);
    let Some(held) = greet(&shared, &mut socket, &peer).await else { return };
    let acks = Acks::new(Some(shared.cx.tally.clone()));
    let decoder = Decoder::new(shared.tags.clone(), shared.settings.limit, shared.cx.flush, acks.clone())
        .joining(shared.settings.join);
    let mut reader = Reader {
        socket,
        decoder,
        held,
        stopping: None,
        pace: Pace::new(Instant::now()),
        rests: true,
        answers: Answers { acks: acks.clone(), writer: None },
        share: shared.cx.service.input_memory.share(),
        went_on: Instant::now(),
        shared,
        peer,
    };
    // Whatever ends this task early, the writer must end with it. Declared last, so that it goes first.
    let _hang_up = HangUp(acks);
    let end = reader.run().await;
    reader.decoder.finish(Instant::now());
    reader.hand_over().await;
    if let Err(error) = &end {
        reader.shared.cx.metrics.closed_connections.add(1);
        reader.complain("closed the connection", error);
    } else if !reader.held.is_empty() {
        debug!(instance = %reader.shared.cx.id, "{}: the last frame was never finished", reader.peer);
    }
    reader.answers.finish(end.is_err()).await;
}

/// Lets the peer prove who it is, where that is asked for. Returns what it sent behind its proof, `None` if it failed.
async fn greet(shared: &Shared, socket: &mut Socket, peer: &Peer) -> Option<BytesMut> {
    let Some(guard) = &shared.settings.guard else { return Some(BytesMut::new()) };
    let greeting = timeout(HANDSHAKE, shake_hands(guard, socket));
    let refusal = match shared.cx.stop.run_until_cancelled(greeting).await? {
        Ok(Ok(rest)) => return Some(rest),
        Ok(Err(refusal)) => refusal,
        Err(_) => Refusal::Late,
    };
    shared.cx.metrics.closed_connections.add(1);
    shared.complain(peer, &format!("refused the connection: {refusal}"));
    None
}

/// Hangs up when it goes.
struct HangUp(Arc<Acks>);

impl Drop for HangUp {
    fn drop(&mut self) {
        self.0.hang_up();
    }
}

struct Reader {
    shared: Arc<Shared>,
    peer: Peer,
    socket: Socket,
    decoder: Decoder,
    /// The beginning of a frame that is not all there.
    held: BytesMut,
    /// When reading ends at the latest, once the input stops.
    stopping: Option<Stopping>,
    /// How fast records come.
    pace: Pace,
    /// Whether resting is allowed: nobody waits for answers.
    rests: bool,
    /// What of the memory of all inputs is in use here.
    share: MemoryShare,
    /// When bytes came last.
    went_on: Instant,
    answers: Answers,
}

/// How reading ends when the input stops.
#[derive(Debug, Clone, Copy)]
enum Stopping {
    /// The peer was told to stop; what it wrote before ends by itself.
    ToTheEnd,
    /// Until the peer is silent, or this moment has come.
    UntilQuiet(Instant),
}

impl Reader {
    /// Reads until the end of the connection; a bad frame is an error.
    async fn run(&mut self) -> Result<(), FrameError> {
        let stop = self.shared.cx.stop.clone();
        let mut stopped = pin!(stop.cancelled());
        let mut flush = pin!(sleep_until(Instant::now()));
        if !self.held.is_empty() {
            let fed = self.feed_held(Instant::now());
            self.book(fed)?;
            self.hand_over().await;
        }
        loop {
            coop::consume_budget().await;
            // Asked for, not waited for: a peer that never pauses would keep the stop from ever being heard below.
            if self.stopping.is_none() && stop.is_cancelled() {
                self.stop();
            }
            let due = self.decoder.due();
            if let Some(due) = due
                && flush.deadline() != due
            {
                flush.as_mut().reset(due);
            }
            let quiet = self.quiet_until();
            let holds_much = self.share.holds_much();
            let given_up =
                (holds_much && self.share.is_pressed()).then(|| self.went_on + self.share.patience());
            tokio::select! {
                biased;
                readable = self.socket.readable() => if readable.is_err() { return Ok(()) },
                () = &mut flush, if due.is_some() => {
                    self.decoder.tick(Instant::now());
                    self.hand_over().await;
                    continue;
                }
                () = &mut stopped, if self.stopping.is_none() => {
                    self.stop();
                    continue;
                }
                () = until(quiet) => return Ok(()),
                () = until(given_up) => return Err(self.no_memory()),
                () = self.share.wanted(), if holds_much && given_up.is_none() => continue,
            }
            let now = Instant::now();
            let Read { fed, more } = match self.read_once(now) {
                Ok(Some(read)) => read,
                Ok(None) => {
                    self.socket.come_back();
                    continue;
                }
                Err(End) => return Ok(()),
            };
            let (records, bytes) = (fed.records, fed.bytes as usize);
            self.went_on = now;
            self.book(fed)?;
            self.count_held();
            if self.share.is_full() {
                self.decoder.relieve(now);
            }
            if self.decoder.due().is_some_and(|due| due <= now) {
                self.decoder.tick(now);
            }
            self.hand_over().await;
            self.count_held();
            if self.share.holds_much() && !self.share.room().await {
                return Err(self.no_memory());
            }
            match self.pace.rest(now, records, bytes, more, self.shared.cx.flush.every()) {
                Then::GoOn => {}
                Then::Rest(rest) if self.rests && self.stopping.is_none() => {
                    self.socket.step_aside();
                    tokio::select! {
                        biased;
                        () = &mut stopped => self.stop(),
                        is_rested = self.rest(now, rest) => if !is_rested { self.socket.come_back() },
                    }
                }
                _ => self.socket.come_back(),
            }
        }
    }

    /// Rests, unless a flush is due before. Returns whether there is a timer for it.
    async fn rest(&self, now: Instant, rest: Duration) -> bool {
        if rest < TICK {
            return self.shared.fine_timers.rest(rest).await;
        }
        sleep_until(self.decoder.due().map_or(now + rest, |due| due.min(now + rest))).await;
        true
    }

    /// Says what is in use.
    fn count_held(&mut self) {
        let held = if self.held.is_empty() { 0 } else { self.held.capacity() };
        self.share.set(held, self.decoder.size());
    }

    fn no_memory(&self) -> FrameError {
        self.shared.cx.metrics.malformed.add(1);
        FrameError::NoMemory { held: self.held.len() }
    }

    /// When a TCP peer that says nothing any more counts as done.
    fn quiet_until(&self) -> Option<Instant> {
        match self.stopping {
            Some(Stopping::UntilQuiet(latest)) => Some(latest.min(Instant::now() + QUIET)),
            _ => None,
        }
    }

    fn stop(&mut self) {
        if self.stopping.is_none() {
            self.stopping = Some(match self.socket.refuse_more() {
                true => Stopping::ToTheEnd,
                false => Stopping::UntilQuiet(Instant::now() + DRAIN),
            });
        }
    }

    /// Reads what is there, without waiting; `None` when it was nothing.
    fn read_once(&mut self, now: Instant) -> Result<Option<Read>, End> {
        if let Some(Stopping::UntilQuiet(latest)) = self.stopping
            && now >= latest
        {
            return Err(End);
        }
        let is_full = self.share.is_full();
        if self.held.len() > READ / 2 || (self.decoder.needed() > READ && !is_full) {
            return self.read_held(now);
        }
        // A thread's spare buffer would soon be as large as ever.
        let mut buf = if is_full { BytesMut::new() } else { SPARE.take().unwrap_or_default() };
        buf.clear();
        buf.reserve(if is_full { self.held.len() + LITTLE } else { READ });
        buf.extend_from_slice(&self.held);
        let looked = self.socket.look(&mut buf);
        let read = match looked {
            Ok(Looked::Bytes(_)) => {
                let more = buf.len() == buf.capacity();
                let fed = self.decoder.feed(&mut buf, now);
                self.held = self.keep(&buf);
                Ok(Some(Read { fed, more }))
            }
            Ok(Looked::Empty) => Ok(None),
            Ok(Looked::End) | Err(_) => Err(End),
        };
        if !is_full {
            SPARE.set(Some(buf));
        }
        read
    }

    /// Reads more of a large frame, into a buffer of its own size, so that it can be shared without moving it.
    fn read_held(&mut self, now: Instant) -> Result<Option<Read>, End> {
        if self.held.len() == self.held.capacity() {
            let (len, missing) =
                (self.held.len(), self.decoder.needed().saturating_sub(self.held.len()) + SLACK);
            self.held.reserve(match (self.share.is_ample(missing), self.share.is_full()) {
                (true, _) => missing.max(len.min(1 << 20)).max(READ),
                (false, false) => len.max(READ),
                (false, true) => LITTLE,
            });
        }
        match self.socket.look(&mut self.held) {
            Ok(Looked::Bytes(_)) => {}
            Ok(Looked::Empty) => return Ok(None),
            Ok(Looked::End) | Err(_) => return Err(End),
        }
        let more = self.held.len() == self.held.capacity();
        Ok(Some(Read { fed: self.feed_held(now), more }))
    }

    fn feed_held(&mut self, now: Instant) -> Fed {
        let before = self.held.len();
        let fed = self.decoder.feed(&mut self.held, now);
        if self.held.len() < before {
            self.held = self.keep(&self.held);
        }
        fed
    }

    /// The beginning of a frame in a buffer that fits it: exactly, or with room for all of a large frame if there is plenty.
    fn keep(&self, rest: &[u8]) -> BytesMut {
        let needed = self.decoder.needed();
        if needed <= READ || !self.share.is_ample(needed) {
            return BytesMut::from(rest);
        }
        let mut held = BytesMut::with_capacity(needed + SLACK);
        held.extend_from_slice(rest);
        held
    }

    /// Counts what a read brought, and says what was wrong with it.
    fn book(&mut self, fed: Fed) -> Result<(), FrameError> {
        let metrics = &self.shared.cx.metrics;
        metrics.records.add(fed.records);
        metrics.bytes.add(fed.bytes);
        if let Some((error, count)) = &fed.damaged {
            metrics.malformed.add(*count);
            self.complain("left out a part of a frame", error);
        }
        if fed.tokens > 0 {
            self.rests = false;
            self.answers.start(&mut self.socket);
        }
        match fed.end {
            None => Ok(()),
            Some(error) => {
                metrics.malformed.add(1);
                Err(error)
            }
        }
    }

    fn complain(&self, what: &str, error: &FrameError) {
        self.shared.complain(&self.peer, &format!("{what}: {}", chain(error)));
    }

    /// Hands over what is ready. Waiting here is the backpressure: nothing is read meanwhile. A stop is heeded all the same.
    async fn hand_over(&mut self) {
        let (records, bytes) = self.decoder.take_late();
        if records > 0 {
            self.shared.cx.metrics.records.add(records);
            self.shared.cx.metrics.bytes.add(bytes);
        }
        let shared = self.shared.clone();
        let ready: Vec<_> = self.decoder.take_ready().collect();
        for ready in ready {
            let unsure = Unsure(ready.chunk.receipt().clone());
            let mut dispatch = pin!(shared.cx.router.dispatch(&shared.cx.id, ready.chunk, ready.how));
            tokio::select! {
                biased;
                () = &mut dispatch => {}
                () = shared.cx.stop.cancelled(), if self.stopping.is_none() => {
                    self.stop();
                    dispatch.await;
                }
            }
            drop(unsure);
        }
    }
}

/// The receipt of a chunk that is being handed over: if a bug ends that, nobody knows which outputs got it.
struct Unsure(Receipt);

impl Drop for Unsure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abandon();
        }
    }
}

/// Waits until then, or for ever.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => pending().await,
    }
}

/// What a read brought.
struct Read {
    fed: Fed,
    /// Whether it took all the room it had.
    more: bool,
}

/// The peer writes no more.
struct End;

/// The side that answers.
struct Answers {
    acks: Arc<Acks>,
    writer: Option<JoinHandle<()>>,
}

impl Answers {
    /// Starts the writer, if it does not run: a peer that never asks costs no task.
    fn start(&mut self, socket: &mut Socket) {
        if let Some(write) = socket.split_off() {
            self.writer = Some(tokio::spawn(write_answers(self.acks.clone(), write)));
        }
    }

    /// Waits until all that is owed was answered. A peer that broke the protocol is not waited for as long.
    async fn finish(self, broken: bool) {
        self.acks.end();
        let Some(mut writer) = self.writer else { return };
        if broken {
            // Either way it is over: the guard hangs up, and the writer ends.
            timeout(LAST_WORDS, &mut writer).await.ok();
        } else {
            writer.await.ok();
        }
    }
}

async fn write_answers(acks: Arc<Acks>, mut write: WriteHalf) {
    while let Next::Write(bytes) = acks.next().await {
        let written = tokio::select! {
            written = write.write_all(&bytes) => written,
            () = acks.overrun() => Err(io::ErrorKind::TimedOut.into()),
        };
        if written.is_err() {
            acks.hang_up();
            break;
        }
    }
    write.hang_up();
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use ikada_plugin::{
        BoxFuture, Dispatch, FlushClock, InputContext, InputMetrics, InstanceId, Kind, Router, Service,
    };
    use ikada_record::{Chunk, Tally};
    use tokio::net::UnixStream;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::Settings;

    struct Nobody;

    impl Router for Nobody {
        fn dispatch(&self, _: &InstanceId, _: Chunk, _: Dispatch) -> BoxFuture<'_, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    /// What connections of an input share whose entries go nowhere.
    pub(crate) fn shared() -> Arc<Shared> {
        let id = InstanceId {
            kind: Kind::Input,
            plugin: "forward".to_owned(),
            name: "forward.0".to_owned(),
            alias: None,
        };
        let cx = InputContext {
            id: Arc::new(id),
            router: Arc::new(Nobody),
            stop: CancellationToken::new(),
            quit: CancellationToken::new(),
            metrics: Arc::new(InputMetrics::default()),
            flush: FlushClock::new(Instant::now(), Duration::from_secs(1)),
            tally: Arc::new(Tally::default()),
            service: Arc::new(Service::default()),
        };
        Arc::new(Shared::new(Settings::default(), cx))
    }

    #[tokio::test]
    async fn ten_thousand_idle_connections_cost_some_megabytes() {
        let (stream, _peer) = UnixStream::pair().unwrap();
        let task = serve(shared(), Connection::Unix(stream), Peer::Unix("unix:///s".into()));
        // Besides this task, an idle connection holds nothing of its own.
        assert!(size_of_val(&task) < 4096, "{} bytes", size_of_val(&task));
    }
}
