//! Measures what a line of an S3 object costs: `cargo run --release -p ikada-aws --example s3_speed`.
//!
//! Prints, for each way of compressing, MB of MessagePack per CPU second and the size of the object beside the lines. CPU
//! time of the one thread, so that a busy machine does not spoil the figures much; the best of several rounds.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use ikada_aws::s3::{Encoder, Method};
use ikada_msgpack::write;
use ikada_record::json::{DateFormat, DateKey, JsonStyle};
use ikada_record::{Chunk, ChunkBuilder, Receipt, Tag, Timestamp};

const CHUNKS: usize = 64;
const CHUNK: usize = 256 * 1024;
const RUN: usize = 64 * 1024;
const ROUNDS: usize = 5;

fn main() {
    let chunks: Vec<Chunk> = (0..CHUNKS).map(chunk).collect();
    let fed: usize = chunks.iter().map(Chunk::size).sum();
    let entries: usize = chunks.iter().map(Chunk::len).sum();
    println!("{entries} entries, {:.1} MB of MessagePack", fed as f64 / 1e6);
    println!("{:<10} {:>8} {:>9} {:>8}", "method", "MB/s", "CPU-s/GB", "size");

    let gzip = (1..=9).map(Method::Gzip);
    let zstd = [-3, -1, 1, 2, 3, 5].map(Method::Zstd);
    for method in [Method::None, Method::Snappy].into_iter().chain(gzip).chain(zstd) {
        let (seconds, lines, object) =
            (0..ROUNDS).map(|_| round(&chunks, method)).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!(
            "{:<10} {:>8.0} {:>9.2} {:>7.2}%",
            name(method),
            fed as f64 / 1e6 / seconds,
            seconds / (fed as f64 / 1e9),
            100.0 * object as f64 / lines as f64,
        );
    }
}

fn name(method: Method) -> String {
    match method {
        Method::None => "none".to_owned(),
        Method::Gzip(level) => format!("gzip {level}"),
        Method::Zstd(level) => format!("zstd {level}"),
        Method::Snappy => "snappy".to_owned(),
        Method::Parquet => "parquet".to_owned(),
    }
}

/// CPU seconds, bytes of lines, bytes of the object.
fn round(chunks: &[Chunk], method: Method) -> (f64, usize, usize) {
    let encoder = Encoder::new(Some(DateKey::new("date", DateFormat::Iso8601)), None, JsonStyle::default());
    let (mut lines, mut object) = (Vec::with_capacity(2 * RUN), Vec::with_capacity(32 << 20));
    let mut stream = method.start();
    let mut total = 0;
    let start = cpu_seconds();
    for chunk in chunks {
        for entry in chunk.entries() {
            encoder.write(&entry, &mut lines);
            if lines.len() >= RUN {
                total += lines.len();
                match &mut stream {
                    Some(stream) => stream.write(&lines, &mut object),
                    None => object.extend_from_slice(&lines),
                }
                lines.clear();
            }
        }
    }
    if let Some(stream) = stream {
        stream.finish(&mut object);
    }
    (cpu_seconds() - start, total, object.len())
}

/// Time this thread has run, as the kernel counts it.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Docker's records around the lines of a web application.
fn chunk(number: usize) -> Chunk {
    let mut random = Random(number as u64 + 1);
    let mut builder = ChunkBuilder::new(Tag::from("web-firelens-0123456789abcdef"));
    while builder.size() < CHUNK {
        let line = line(&mut random);
        let mut record = Vec::with_capacity(512);
        write::map_header(&mut record, 4);
        for (key, value) in [
            ("source", "stdout"),
            ("log", line.as_str()),
            ("container_id", "5a9c2f4e8b7d1c3a6f0e9d8c7b6a5f4e3d2c1b0a9f8e7d6c5b4a3f2e1d0c9b8a"),
            ("container_name", "/ecs-web-12-app-c8f2b1d4e5a697f3a801"),
        ] {
            write::str(&mut record, key.as_bytes());
            write::str(&mut record, value.as_bytes());
        }
        let at = 1_700_000_000 + builder.len() as i64 / 300;
        builder.push_record(Timestamp::new(at, random.below(1_000_000_000) as u32), &record);
    }
    builder.finish(Receipt::unwatched())
}

fn line(random: &mut Random) -> String {
    const METHODS: [&str; 4] = ["GET", "GET", "POST", "PUT"];
    const PATHS: [&str; 6] =
        ["/api/v1/orders", "/api/v1/users", "/static/app.js", "/health", "/login", "/api/v2/cart"];
    const LEVELS: [&str; 4] = ["INFO", "INFO", "WARN", "DEBUG"];
    format!(
        "2023-11-14T22:13:{:02}.{:06}Z {} [http-nio-8080-exec-{}] c.e.web.Access - {}.{}.{}.{} \"{} {}/{} HTTP/1.1\" {} {} {}ms trace={:016x} user={}",
        random.below(60),
        random.below(1_000_000),
        LEVELS[random.below(4)],
        random.below(32),
        10,
        random.below(256),
        random.below(256),
        random.below(256),
        METHODS[random.below(4)],
        PATHS[random.below(6)],
        random.below(100_000),
        [200, 200, 200, 304, 404, 500][random.below(6)],
        random.below(20_000),
        random.below(900),
        random.next(),
        random.below(5_000),
    )
}

/// Xorshift: the same records in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
