//! How fast bytes of the Forward protocol become chunks: one thread, no socket.
//!
//! `cargo run --release -p ikada-forward --example forward_speed`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ikada_forward::client::{FrameOption, encode_compressed, encode_forward, encode_message, encode_packed};
use ikada_forward::{Acks, Compression, Decoder, TagRule};
use ikada_msgpack::write;
use ikada_plugin::FlushClock;
use ikada_record::{Chunk, Receipt, Tag, Timestamp};

const TAG: &[u8] = b"web-firelens-0123456789abcdef0123456789abcdef";
const LIMIT: usize = 6_144_000;
/// What the input reads at once.
const READ: usize = 64 * 1024;

fn main() {
    let none = FrameOption::default();
    let mut messages = Vec::new();
    let mut run = Vec::new();
    for n in 0..32_000 {
        encode_message(&mut messages, TAG, Timestamp::new(1_700_000_000, n), &docker_record(n), &none);
        ikada_forward::client::push_entry(&mut run, Timestamp::new(1_700_000_000, n), &docker_record(n));
    }
    let chunk = Chunk::check(Tag::new(TAG), run.into(), Receipt::unwatched()).unwrap();
    let frames = |per_frame: usize, frame: &dyn Fn(&mut Vec<u8>, &Chunk)| {
        let (mut bytes, mut at) = (Vec::new(), 0);
        for entries in chunk.entries().collect::<Vec<_>>().chunks(per_frame) {
            let len: usize = entries.iter().map(|entry| entry.as_bytes().len()).sum();
            let data = chunk.data().slice(at..at + len);
            at += len;
            frame(&mut bytes, &Chunk::check(chunk.tag().clone(), data, Receipt::unwatched()).unwrap());
        }
        bytes
    };
    let packed = |bytes: &mut Vec<u8>, chunk: &Chunk| encode_packed(bytes, TAG, chunk.data(), &none);
    let forward = |bytes: &mut Vec<u8>, chunk: &Chunk| encode_forward(bytes, TAG, chunk.entries(), &none);
    let gzip = |bytes: &mut Vec<u8>, chunk: &Chunk| {
        encode_compressed(bytes, TAG, chunk.data(), Compression::Gzip, 1, &none).unwrap();
    };

    println!("{:<34} {:>8} {:>9} {:>9}", "", "MB/s", "krec/s", "ns/rec");
    measure("message", &messages, 32_000);
    measure("forward, 40 entries (14 kB)", &frames(40, &forward), 32_000);
    measure("packed, 40 entries (14 kB)", &frames(40, &packed), 32_000);
    measure("packed, 1000 entries (350 kB)", &frames(1000, &packed), 32_000);
    measure("packed, 4000 entries (1.4 MB)", &frames(4000, &packed), 32_000);
    measure("gzip, 1000 entries (350 kB)", &frames(1000, &gzip), 32_000);
}

/// What Docker's driver makes of a line, 350 bytes.
fn docker_record(n: u32) -> Vec<u8> {
    let mut record = Vec::new();
    let line = format!(
        "10.0.{}.{} - - [01/Jan/2026:00:00:00 +0000] \"GET /items/{n} HTTP/1.1\" 200 {}",
        n % 256,
        n % 199,
        n * 7
    );
    write::map_header(&mut record, 4);
    for (key, value) in [
        ("container_id", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        ("container_name", "/ecs-web-12-web-a0b1c2d3e4f5a6b7c8d9"),
        ("source", "stdout"),
        ("log", &format!("{line} {}", "x".repeat(115))),
    ] {
        write::str(&mut record, key.as_bytes());
        write::str(&mut record, value.as_bytes());
    }
    record
}

fn measure(what: &str, bytes: &[u8], records: u64) {
    let mut best = f64::MAX;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1500) {
        best = best.min(pass(bytes, records));
    }
    println!(
        "{what:<34} {:>8.0} {:>9.0} {:>9.1}",
        bytes.len() as f64 / best / 1e6,
        records as f64 / best / 1e3,
        best / records as f64 * 1e9
    );
}

/// Feeds all bytes in reads, as a connection does, and returns the seconds it took without copying them into the buffers.
fn pass(bytes: &[u8], records: u64) -> f64 {
    let now = tokio::time::Instant::now();
    let flush = FlushClock::new(now, Duration::from_secs(1));
    let mut decoder = Decoder::new(Arc::new(TagRule::Sent), LIMIT, flush, Acks::new(None));
    let (mut seen, mut spent) = (0, Duration::ZERO);
    let (mut buf, mut rest) = (BytesMut::new(), bytes);
    while !rest.is_empty() {
        // A large frame gets a buffer of its own size, any other the next read.
        let room = decoder.needed().saturating_sub(buf.len()).max(READ.saturating_sub(buf.len())).max(512);
        let (read, later) = rest.split_at(room.min(rest.len()));
        rest = later;
        let mut next = BytesMut::with_capacity(decoder.needed().max(buf.len() + read.len()));
        next.extend_from_slice(&buf);
        next.extend_from_slice(read);
        buf = next;
        let start = Instant::now();
        let fed = decoder.feed(&mut buf, now);
        for ready in decoder.take_ready() {
            std::hint::black_box(&ready);
        }
        spent += start.elapsed();
        assert!(fed.end.is_none() && fed.damaged.is_none(), "{:?}", fed.end);
        seen += fed.records;
    }
    assert_eq!(seen, records);
    spent.as_secs_f64()
}
