//! The load: two containers that write to the router's unix socket, at full speed or at a given rate.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};

use crate::frames::{Block, CLIENTS, Client, Dice};

/// How the load's bytes look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Messages of one record, gathered into writes of 64 kB.
    Gathered,
    /// Messages of one record, a write for each, as Docker's log driver does.
    Single,
    /// Packs of 1,000 records, a write for each.
    Packed,
}

/// How much of it there is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Volume {
    /// So many bytes of MessagePack as fast as the router takes them.
    Bytes(u64),
    /// So many bytes a second, for some time.
    Rate(u64, Duration),
}

/// What was written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    /// Whole records.
    pub(crate) records: u64,
    /// Their bytes, as MessagePack.
    pub(crate) bytes: u64,
    /// Times the router closed the connection and a new one was made.
    pub(crate) reconnects: u64,
}

/// Bytes of a write that gathers messages.
const GATHERED: usize = 64_000;
/// Records of a pack.
const PACK: usize = 1_000;
/// Blocks that a sender goes through in turn: more than a compressor's window together.
const BLOCKS: usize = 16;
/// Longest wait for the router to take a byte, or a connection.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause before a connection that was refused is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// The senders with everything encoded, before the clock starts.
pub(crate) struct Load {
    senders: Vec<Sender>,
}

impl Load {
    /// Encodes what will be written.
    pub(crate) fn new(shape: Shape) -> Load {
        Load { senders: CLIENTS.iter().map(|client| Sender::new(client, shape)).collect() }
    }

    /// Writes everything from all senders at once, and waits until the router has read the last byte: it closes a connection that
    /// has ended.
    pub(crate) fn play(&mut self, socket: &Path, volume: Volume) -> Result<Written> {
        let mut total = Written::default();
        for written in self.play_each(socket, volume)? {
            total.records += written.records;
            total.bytes += written.bytes;
            total.reconnects += written.reconnects;
        }
        Ok(total)
    }

    /// The same, told sender by sender, in the order of [`CLIENTS`].
    pub(crate) fn play_each(&mut self, socket: &Path, volume: Volume) -> Result<Vec<Written>> {
        let count = self.senders.len() as u64;
        let share = match volume {
            Volume::Bytes(bytes) => Volume::Bytes(bytes / count),
            Volume::Rate(bytes, time) => Volume::Rate(bytes / count, time),
        };
        std::thread::scope(|scope| {
            let playing: Vec<_> = self
                .senders
                .iter_mut()
                .map(|sender| scope.spawn(move || sender.play(socket, share)))
                .collect();
            let written =
                playing.into_iter().map(|sender| sender.join().map_err(|_| anyhow!("a sender panicked"))?);
            written.collect()
        })
    }
}

/// One container's log driver.
struct Sender {
    blocks: Vec<Block>,
    shape: Shape,
}

/// Where a sender is in its work.
struct Progress {
    connection: UnixStream,
    written: Written,
    /// The block and the record in it that come next.
    block: usize,
    record: usize,
}

impl Sender {
    fn new(client: &Client, shape: Shape) -> Sender {
        let mut dice = Dice::new(client.name.len() as u64 + u64::from(client.name.as_bytes()[0]));
        let blocks = (0..BLOCKS).map(|_| match shape {
            Shape::Gathered | Shape::Single => Block::messages(client, GATHERED, &mut dice),
            Shape::Packed => Block::pack(client, PACK, &mut dice),
        });
        Sender { blocks: blocks.collect(), shape }
    }

    fn play(&mut self, socket: &Path, volume: Volume) -> Result<Written> {
        let connection = connect(socket)?;
        let mut at = Progress { connection, written: Written::default(), block: 0, record: 0 };
        match volume {
            Volume::Bytes(bytes) => {
                while at.written.bytes < bytes {
                    self.step(socket, &mut at)?;
                }
            }
            Volume::Rate(rate, time) => self.pace(socket, &mut at, rate, time)?,
        }
        drain(at.connection)?;
        Ok(at.written)
    }

    /// Writes whenever something is due, and rests until then. The kernel lets a rest take some 50 µs longer, so that at high rates
    /// a few writes follow each other.
    fn pace(&mut self, socket: &Path, at: &mut Progress, rate: u64, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            let due = start.elapsed().as_secs_f64() * rate as f64;
            let ahead = at.written.bytes as f64 - due;
            if ahead > 0.0 {
                std::thread::sleep(Duration::from_secs_f64(ahead / rate as f64));
                continue;
            }
            self.step(socket, at)?;
        }
        Ok(())
    }

    /// One write: a block, or a record of it. A connection that the router closed is replaced; what it has not taken whole is
    /// written once more.
    fn step(&mut self, socket: &Path, at: &mut Progress) -> Result<()> {
        let block = &mut self.blocks[at.block];
        let from = at.record;
        let range = if self.shape == Shape::Single { from..from + 1 } else { from..block.len() };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
        let secs = u32::try_from(now.as_secs()).context("the clock stands too far ahead")?;
        block.stamp(range.clone(), at.written.records, secs, now.subsec_nanos());
        let bytes = block.bytes(range);
        let (written, failure) = write(&mut at.connection, bytes);
        let (records, whole) = block.whole(from, written);
        at.written.records += records as u64;
        at.written.bytes += whole as u64;
        at.record += records;
        if at.record == block.len() {
            at.record = 0;
            at.block = (at.block + 1) % self.blocks.len();
        }
        match failure {
            None => Ok(()),
            Some(error) if is_closed(&error) => {
                at.written.reconnects += 1;
                at.connection = connect(socket)?;
                Ok(())
            }
            Some(error) => Err(error).context("the router does not read"),
        }
    }
}

/// Writes as much as it can; says how much that was, and why it was not all.
fn write(connection: &mut UnixStream, bytes: &[u8]) -> (usize, Option<std::io::Error>) {
    let mut done = 0;
    while done < bytes.len() {
        match connection.write(&bytes[done..]) {
            Ok(0) => return (done, Some(ErrorKind::WriteZero.into())),
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (done, Some(error)),
        }
    }
    (done, None)
}

fn is_closed(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::NotConnected)
}

fn connect(socket: &Path) -> Result<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(connection) => {
                connection.set_write_timeout(Some(PATIENCE))?;
                connection.set_read_timeout(Some(PATIENCE))?;
                return Ok(connection);
            }
            Err(error) if start.elapsed() > PATIENCE => {
                return Err(error).context("the router takes no connections");
            }
            Err(_) => std::thread::sleep(TRY_AGAIN),
        }
    }
}

/// Ends the connection and waits until the other side has read everything and ended it too.
fn drain(mut connection: UnixStream) -> Result<()> {
    // A router that has closed it already has nothing more to read.
    if connection.shutdown(Shutdown::Write).is_err() {
        return Ok(());
    }
    let mut buf = [0; 256];
    loop {
        match connection.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_closed(&error) => return Ok(()),
            Err(error) => bail!("the router does not end a connection that has ended: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use ikada_msgpack::skip;

    use super::*;

    /// Takes connections for ever; the first `limit` bytes of each are kept, then it is closed.
    fn taker(socket: &Path, limit: usize) -> std::sync::mpsc::Receiver<Vec<u8>> {
        let listener = UnixListener::bind(socket).unwrap();
        let (sender, taken) = std::sync::mpsc::sync_channel(100);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let mut bytes = Vec::new();
                    connection.unwrap().take(limit as u64).read_to_end(&mut bytes).unwrap();
                    sender.send(bytes).unwrap();
                });
            }
        });
        taken
    }

    fn frames(mut bytes: &[u8]) -> u64 {
        let mut count = 0;
        while let Ok(len) = skip(bytes) {
            bytes = &bytes[len..];
            count += 1;
        }
        count
    }

    #[test]
    fn what_is_said_to_be_written_is_written() {
        let folder = tempfile::tempdir().unwrap();
        for (name, shape, each) in
            [("g", Shape::Gathered, 1), ("s", Shape::Single, 1), ("p", Shape::Packed, 1_000)]
        {
            let socket = folder.path().join(name);
            let taken = taker(&socket, usize::MAX);
            let written = Load::new(shape).play(&socket, Volume::Bytes(1_000_000)).unwrap();
            let both = [taken.recv().unwrap(), taken.recv().unwrap()];
            assert_eq!(both.iter().map(|bytes| bytes.len() as u64).sum::<u64>(), written.bytes);
            assert_eq!(both.iter().map(|bytes| frames(bytes)).sum::<u64>() * each, written.records);
            assert_eq!(written.reconnects, 0);
        }
    }

    #[test]
    fn a_connection_that_is_closed_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let taken = taker(&socket, 700_000);
        let written = Load::new(Shape::Gathered).play(&socket, Volume::Bytes(4_000_000)).unwrap();
        assert!(written.reconnects > 0);
        assert!(written.bytes >= 4_000_000);
        drop(taken);
    }

    #[test]
    fn a_rate_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let taken = taker(&socket, usize::MAX);
        let time = Duration::from_millis(200);
        let written = Load::new(Shape::Single).play(&socket, Volume::Rate(1_000_000, time)).unwrap();
        assert!(written.bytes <= 210_000, "{}", written.bytes);
        drop(taken);
    }
}
