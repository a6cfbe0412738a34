//! A writer that never waits: a thread of its own does the writing.
//!
//! Blocks wait in a queue of a bounded number. When the reader of the output stands still and the queue is full, blocks are left out and
//! counted, so that nobody behind the filter waits. A line says when that begins, and another how many they were once there is room again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Blocks that wait: with the blocks of the stdout filter about 8 MiB at most.
const WAITING: usize = 128;

/// How long the end waits for what was written last.
const PATIENCE: Duration = Duration::from_secs(1);

/// Hands blocks to a thread that writes them.
pub(crate) struct Beside {
    blocks: Option<SyncSender<Vec<u8>>>,
    done: Receiver<()>,
    left_out: Arc<AtomicU64>,
}

impl Beside {
    /// Starts the thread.
    pub(crate) fn new(out: Box<dyn Write + Send>) -> io::Result<Self> {
        let (blocks, waiting) = sync_channel(WAITING);
        let (end, done) = sync_channel(1);
        let left_out = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&left_out);
        let thread = std::thread::Builder::new().name("ikada-stdout".into());
        thread.spawn(move || {
            write_all(out, &waiting, &count);
            // Nobody listens any more when the patience has ended.
            end.send(()).unwrap_or_default();
        })?;
        Ok(Self { blocks: Some(blocks), done, left_out })
    }
}

fn write_all(mut out: Box<dyn Write + Send>, waiting: &Receiver<Vec<u8>>, left_out: &AtomicU64) {
    let mut told = false;
    for block in waiting {
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
    }
}

impl Write for Beside {
    /// Takes the whole block, or leaves it out.
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        let sent = self.blocks.as_ref().map(|blocks| blocks.try_send(block.to_vec()));
        if let Some(Err(TrySendError::Full(block))) = sent {
            let lines = memchr::memchr_iter(b'\n', &block).count() as u64;
            if self.left_out.fetch_add(lines, Relaxed) == 0 {
                tracing::warn!("filter stdout leaves lines out: nobody reads the output; records pass on");
            }
        }
        Ok(block.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.blocks = None;
        // An output that stands still is left behind.
        self.done.recv_timeout(PATIENCE).unwrap_or_default();
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
    fn a_reader_that_stands_still_holds_nobody_up() {
        let paper = Paper::default();
        let held = paper.0.lock().unwrap();
        let mut beside = Beside::new(Box::new(paper.clone())).unwrap();
        for _ in 0..WAITING + 100 {
            beside.write_all(b"x\n").unwrap();
        }
        assert!(beside.left_out.load(Relaxed) >= 99);
        drop(held);
    }
}
