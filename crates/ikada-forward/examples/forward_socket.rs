//! What reading from a unix socket costs: a writer thread at a given rate, the input on this one, a router that throws away.
//!
//! `cargo run --release -p ikada-forward --example forward_socket [part of a line's name]`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ikada_forward::client::{FrameOption, encode_message, encode_packed, push_entry};
use ikada_forward::{Forward, Settings, UnixPath};
use ikada_msgpack::write;
use ikada_plugin::{
    BoxFuture, Dispatch, FlushClock, Input, InputContext, InputMetrics, InstanceId, Kind, Router, Service,
};
use ikada_record::{Chunk, Tally, Timestamp};
use tokio_util::sync::CancellationToken;

fn main() {
    println!("{:<40} {:>8} {:>8} {:>10}", "", "MB/s", "krec/s", "CPU-s/GB");
    let one = |per_write: usize| frame(per_write);
    let seconds = Duration::from_secs(3);
    measure("one record per write, full speed", one(1), None, seconds);
    measure("one record per write, 1 MB/s", one(1), Some(1e6), seconds);
    measure("one record per write, 5 MB/s", one(1), Some(5e6), seconds);
    measure("one record per write, 20 MB/s", one(1), Some(20e6), seconds);
    measure("one record per write, 10 a second", one(1), Some(3500.0), seconds);
    measure("64 kB of messages per write, full speed", one(190), None, seconds);
    measure("1 MB packs, full speed", pack(3000), None, seconds);
}

fn frame(messages: usize) -> (Vec<u8>, u64) {
    let mut out = Vec::new();
    for _ in 0..messages {
        let (time, option) = (Timestamp::new(1_700_000_000, 1), FrameOption::default());
        encode_message(&mut out, b"web-firelens-0123456789abcdef", time, &record(), &option);
    }
    (out, messages as u64)
}

fn pack(entries: usize) -> (Vec<u8>, u64) {
    let mut run = Vec::new();
    (0..entries).for_each(|_| push_entry(&mut run, Timestamp::new(1_700_000_000, 1), &record()));
    let mut out = Vec::new();
    encode_packed(&mut out, b"web-firelens-0123456789abcdef", &run, &FrameOption::default());
    (out, entries as u64)
}

fn record() -> Vec<u8> {
    let mut record = Vec::new();
    write::map_header(&mut record, 4);
    for (key, len) in [("container_id", 64), ("container_name", 30), ("source", 6), ("log", 170)] {
        write::str(&mut record, key.as_bytes());
        write::str(&mut record, &vec![b'x'; len]);
    }
    record
}

/// Throws chunks away.
#[derive(Default)]
struct Hole(AtomicU64);

impl Router for Hole {
    fn dispatch(&self, _: &InstanceId, chunk: Chunk, _: Dispatch) -> BoxFuture<'_, ()> {
        self.0.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
}

fn measure(what: &str, (bytes, records): (Vec<u8>, u64), rate: Option<f64>, time: Duration) {
    if std::env::args().nth(1).is_some_and(|only| !what.contains(&only)) {
        return;
    }
    let path = std::env::temp_dir().join(format!("forward-socket-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let router = Arc::new(Hole::default());
        let id = InstanceId {
            kind: Kind::Input,
            plugin: "forward".to_owned(),
            name: "forward.0".to_owned(),
            alias: None,
        };
        let cx = InputContext {
            id: Arc::new(id),
            router: router.clone(),
            stop: CancellationToken::new(),
            quit: CancellationToken::new(),
            metrics: Arc::new(InputMetrics::default()),
            flush: FlushClock::new(tokio::time::Instant::now(), Duration::from_secs(1)),
            tally: Arc::new(Tally::default()),
            service: Arc::new(Service::default()),
        };
        let stop = cx.stop.clone();
        let unix = Some(UnixPath { path: path.clone(), mode: None });
        let mut input = Box::new(Forward::new(Settings { unix, ..Settings::default() }));
        input.open(&cx).await.unwrap();
        let len = bytes.len() as u64;
        let (cpu, start) = (cpu_time(), Instant::now());
        let writer = std::thread::Builder::new().name("writer".to_owned());
        let writer = writer.spawn(move || send(path, &bytes, rate, time)).unwrap();
        let ended = tokio::spawn(input.run(cx));
        let writes = tokio::task::spawn_blocking(|| writer.join().unwrap()).await.unwrap();
        stop.cancel();
        ended.await.unwrap().unwrap();
        let (cpu, took) = (cpu_time() - cpu, start.elapsed().as_secs_f64());
        assert_eq!(router.0.load(Ordering::Relaxed), writes * records);
        let sent = (writes * len) as f64;
        println!(
            "{what:<40} {:>8.1} {:>8.1} {:>10.3}",
            sent / took / 1e6,
            (writes * records) as f64 / took / 1e3,
            cpu.as_secs_f64() / (sent / 1e9)
        );
    });
}

/// Writes the same bytes again and again, and returns how often.
fn send(path: PathBuf, bytes: &[u8], rate: Option<f64>, time: Duration) -> u64 {
    let mut stream = UnixStream::connect(path).unwrap();
    let (start, mut writes) = (Instant::now(), 0_u64);
    while start.elapsed() < time {
        stream.write_all(bytes).unwrap();
        writes += 1;
        let Some(rate) = rate else { continue };
        let due = Duration::from_secs_f64(writes as f64 * bytes.len() as f64 / rate);
        // Spun, not slept: sleeping would gather records into bursts.
        while start.elapsed() < due {
            match due.saturating_sub(start.elapsed()) {
                left if left > Duration::from_millis(1) => std::thread::sleep(left / 2),
                _ => std::hint::spin_loop(),
            }
        }
    }
    writes
}

/// Processor time of this thread.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}
