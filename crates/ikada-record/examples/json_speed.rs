//! How fast records become JSON: `cargo run --release -p ikada-record --example json_speed`.
//!
//! Prints, for several kinds of records and each way of writing them, megabytes of MessagePack read per second (best of
//! several rounds) and nanoseconds per record.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_types)]

use std::hint::black_box;
use std::time::Instant;

use ikada_msgpack::write;
use ikada_record::json::{
    DateFormat, DateKey, JsonStyle, dump_value, write_entry, write_record, write_record_in_string,
};
use ikada_record::{Chunk, ChunkBuilder, Receipt, Tag, Timestamp};

const RECORDS: usize = 4000;
const ROUNDS: usize = 40;

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    let (on, off) = (JsonStyle { escape_unicode: true }, JsonStyle { escape_unicode: false });
    let double = DateKey::new("date", DateFormat::Double);
    let iso = DateKey::new("date", DateFormat::Iso8601);
    for (name, chunk) in kinds().iter().filter(|(name, _)| name.contains(&only)) {
        let average = chunk.size() / chunk.len();
        println!("{name}: {average} bytes per entry");
        report("record", chunk, |out, entry| _ = write_record(out, entry.record_bytes(), on));
        report("record, no unicode escapes", chunk, |out, entry| {
            write_record(out, entry.record_bytes(), off);
        });
        report("record in string", chunk, |out, entry| {
            write_record_in_string(out, entry.record_bytes(), on);
        });
        report("entry, date double", chunk, |out, entry| write_entry(out, entry, Some(&double), on));
        report("entry, date iso8601", chunk, |out, entry| write_entry(out, entry, Some(&iso), on));
        report("dump", chunk, |out, entry| _ = dump_value(out, entry.record_bytes()));
    }
}

fn report(name: &str, chunk: &Chunk, write: impl Fn(&mut Vec<u8>, &ikada_record::Entry<'_>)) {
    let mut out = Vec::with_capacity(8 * chunk.size());
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        out.clear();
        let start = Instant::now();
        for entry in black_box(chunk).entries() {
            write(&mut out, &entry);
            out.push(b'\n');
        }
        best = best.min(start.elapsed().as_secs_f64());
        black_box(&out);
    }
    let read = chunk.size() as f64 / best / 1e6;
    println!("  {name:28} {read:7.0} MB/s {:7.0} ns", best * 1e9 / chunk.len() as f64);
}

fn kinds() -> Vec<(&'static str, Chunk)> {
    let plain = "GET /api/v1/orders/8f14e45f-ceea-467f-a0e6-b2a0c1f1a7d3?page=3&limit=50 HTTP/1.1 200 5321 - \
                 Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36 \
                 rt=0.031 uct=0.0";
    let json = "{\"level\":\"info\",\"ts\":\"2023-11-14T22:13:20.123Z\",\"logger\":\"http\",\"msg\":\"request done\",\
                \"method\":\"GET\",\"path\":\"/api/v1/orders\",\"status\":200,\"ms\":31.4,\"user\":\"u-81723\"}\n";
    let japanese = "注文を受け付けました。お客様番号は八一七二三、合計金額は五千三百二十一円です。配送は明日の午前中を予定しております。";
    vec![
        ("docker, plain log", chunk(|out, n| docker(out, n, plain))),
        ("docker, json log", chunk(|out, n| docker(out, n, json))),
        ("docker, japanese log", chunk(|out, n| docker(out, n, japanese))),
        ("docker, short log", chunk(|out, n| docker(out, n, "connection reset"))),
        ("docker, a key twice", chunk(|out, n| twice(out, n, plain))),
        ("parsed, numbers and levels", chunk(parsed)),
        ("forty keys", chunk(forty)),
    ]
}

fn chunk(record: impl Fn(&mut Vec<u8>, usize)) -> Chunk {
    let mut builder = ChunkBuilder::new(Tag::from("app"));
    for n in 0..RECORDS {
        let mut out = Vec::new();
        record(&mut out, n);
        builder.push_record(Timestamp::new(1_700_000_000, n as u32 * 250_017), &out);
    }
    builder.finish(Receipt::unwatched())
}

fn docker(out: &mut Vec<u8>, n: usize, log: &str) {
    write::map_header(out, 4);
    pair(out, "container_id", "3f4e8a1bc2d95a7f60e1d2c3b4a5968778695a4b3c2d1e0ff1e2d3c4b5a69788");
    pair(out, "container_name", "/ecs-orders-api-12-web-ea8f95f8b7c2d1a40300");
    pair(out, "source", if n.is_multiple_of(5) { "stderr" } else { "stdout" });
    pair(out, "log", log);
}

fn twice(out: &mut Vec<u8>, n: usize, log: &str) {
    docker(out, n, log);
    out[0] += 1;
    pair(out, "source", "app");
}

fn parsed(out: &mut Vec<u8>, n: usize) {
    write::map_header(out, 8);
    pair(out, "level", "info");
    pair(out, "msg", "request done");
    write::str(out, b"status");
    write::uint(out, 200 + n as u64 % 300);
    write::str(out, b"bytes");
    write::uint(out, n as u64 * 7919);
    write::str(out, b"seconds");
    write::float(out, n as f64 / 1024.0 + 0.031);
    write::str(out, b"ok");
    write::bool(out, n.is_multiple_of(3));
    write::str(out, b"http");
    write::map_header(out, 3);
    pair(out, "method", "GET");
    pair(out, "path", "/api/v1/orders");
    write::str(out, b"hops");
    write::array_header(out, 2);
    write::str(out, b"10.0.3.17");
    write::str(out, b"10.0.9.4");
    write::str(out, b"kubernetes");
    write::map_header(out, 2);
    pair(out, "pod_name", "orders-api-6d4cf56db6-abcde");
    pair(out, "namespace_name", "shop");
}

fn forty(out: &mut Vec<u8>, n: usize) {
    write::map_header(out, 40);
    for key in 0..40 {
        pair(out, &format!("field_{key:02}"), if (n + key).is_multiple_of(2) { "some value" } else { "-" });
    }
}

fn pair(out: &mut Vec<u8>, key: &str, value: &str) {
    write::str(out, key.as_bytes());
    write::str(out, value.as_bytes());
}
