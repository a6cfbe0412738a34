//! A writer that never waits: a thread of its own does the writing.
//!
//! Blocks wait in a queue of a bounded number. When the reader of the output stands still and the queue is full, blocks are left out and
//! counted, so that nobody behind the filter waits. A line says when that begins, and another how many they were once there is room again.
//! Only who flushes waits, at the end of the program, and not for ever.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Blocks that wait: with the blocks of the stdout filter about 8 MiB at most.
const WAITING: usize = 128;

/// How long a flush waits for what was written last.
const PATIENCE: Duration = Duration::from_secs(1);

/// Hands blocks to a thread that writes them.
pub(crate) struct Beside {
    blocks: SyncSender<Vec<u8>>,
    waiting: Arc<Waiting>,
    left_out: Arc<AtomicU64>,
    /// Nobody reads: the end has waited once, and does not wait again.
    gave_up: bool,
}

/// Blocks that are not written yet.
#[derive(Default)]
struct Waiting {
    count: Mutex<usize>,
    fewer: Condvar,
}

impl Waiting {
    fn count(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn one_less(&self) {
        *self.count() -= 1;
        self.fewer.notify_all();
    }

    /// Waits until there are none, but not for ever. Whether there are none.
    fn until_none(&self) -> bool {
        let waited = self.fewer.wait_timeout_while(self.count(), PATIENCE, |count| *count > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }
}

impl Beside {
    /// Starts the thread.
    pub(crate) fn new(out: Box<dyn Write + Send>) -> io::Result<Self> {
        let (blocks, queue) = sync_channel(WAITING);
        let (waiting, left_out) = (Arc::<Waiting>::default(), Arc::new(AtomicU64::new(0)));
        let (written, count) = (Arc::clone(&waiting), Arc::clone(&left_out));
        let thread = std::thread::Builder::new().name("ikada-stdout".into());
        thread.spawn(move || write_all(out, &queue, &written, &count))?;
        Ok(Self { blocks, waiting, left_out, gave_up: false })
    }

    fn until_written(&mut self) {
        self.gave_up = self.gave_up || !self.waiting.until_none();
    }
}

fn write_all(
    mut out: Box<dyn Write + Send>,
    queue: &Receiver<Vec<u8>>,
    waiting: &Waiting,
    left_out: &AtomicU64,
) {
    let mut told = false;
    for block in queue {
        let lost = left_out.swap(0, Relaxed);
        if lost > 0 {
            tracing::warn!(
                lines = lost,
                "filter stdout left lines out: nobody reads the output; records passed on"
            );
        }
        let written = out.write_all(&block).and_then(|()| out.flush());
        if let Err(error) = written
            && !std::mem::replace(&mut told, true)
        {
            tracing::warn!(%error, "filter stdout cannot print; records pass on");
        }
        waiting.one_less();
    }
}

impl Write for Beside {
    /// Takes the whole block, or leaves it out.
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        *self.waiting.count() += 1;
        let sent = self.blocks.try_send(block.to_vec());
        if sent.is_err() {
            self.waiting.one_less();
        }
        if let Err(TrySendError::Full(block)) = sent {
            let lines = memchr::memchr_iter(b'\n', &block).count() as u64;
            if self.left_out.fetch_add(lines, Relaxed) == 0 {
                tracing::warn!("filter stdout leaves lines out: nobody reads the output; records pass on");
            }
        }
        Ok(block.len())
    }

    /// Waits until everything is written. An output that stands still is left behind.
    fn flush(&mut self) -> io::Result<()> {
        self.until_written();
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.until_written();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Tells when it is written to, and waits.
    struct Still {
        began: SyncSender<()>,
        gate: Arc<Mutex<()>>,
    }

    impl Write for Still {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.began.try_send(()).ok();
            drop(self.gate.lock().unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_is_written_by_the_end() {
        let paper = Paper::default();
        let mut beside = Beside::new(Box::new(paper.clone())).unwrap();
        for n in 0..50 {
            beside.write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        drop(beside);
        assert_eq!(paper.0.lock().unwrap().iter().filter(|byte| **byte == b'\n').count(), 50);
    }

    #[test]
    fn a_flush_waits_for_what_was_written_before() {
        let paper = Paper::default();
        let mut beside = Beside::new(Box::new(paper.clone())).unwrap();
        for n in 1..20 {
            beside.write_all(b"x\n").unwrap();
            beside.flush().unwrap();
            assert_eq!(paper.0.lock().unwrap().len(), 2 * n);
        }
    }

    #[test]
    fn a_reader_that_stands_still_holds_nobody_up() {
        let (began, has_begun) = sync_channel(1);
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock().unwrap();
        let mut beside = Beside::new(Box::new(Still { began, gate: gate.clone() })).unwrap();
        beside.write_all(b"x\n").unwrap();
        // From here on the first block is being written, and so it stays.
        has_begun.recv().unwrap();
        for _ in 0..WAITING + 100 {
            beside.write_all(b"x\n").unwrap();
        }
        assert_eq!(beside.left_out.load(Relaxed), 100);
        drop(held);
    }
}
