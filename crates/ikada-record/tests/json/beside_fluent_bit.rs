//! Random records through both programs: set `FLUENT_BIT_BIN` to a Fluent Bit to run it.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ikada_msgpack::write;
use ikada_record::json::{DateFormat, DateKey, JsonStyle, dump_entry, dump_entry_flat, write_entry};
use ikada_record::{Chunk, ChunkBuilder, Entry, Receipt, Tag, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::model::{Value, values};
use crate::{OFF, ON, s};

#[test]
fn random_records_are_the_same_json_in_both_programs() {
    let Some(program) = program() else { return };
    for (style, switch) in [(ON, "on"), (OFF, "off")] {
        let chunk = chunk(2000);
        let output = "format json_lines\n  json_date_key false";
        let theirs = program.through(&chunk, &format!("json.escape_unicode {switch}"), "", output);
        compare(&chunk, &theirs, |out, _, entry| json(out, entry, None, style));
    }
}

#[test]
fn every_date_format_is_the_same_in_both_programs() {
    let Some(program) = program() else { return };
    for name in DateFormat::NAMES {
        let chunk = chunk(200);
        let output = format!("format json_lines\n  json_date_key a\n  json_date_format {name}");
        let theirs = program.through(&chunk, "", "", &output);
        let date = DateKey::new("a", name.parse().unwrap());
        compare(&chunk, &theirs, |out, _, entry| json(out, entry, Some(&date), ON));
    }
}

#[test]
fn the_dump_is_the_same_in_both_programs() {
    let Some(program) = program() else { return };
    let chunk = chunk(300);
    let tag = Tag::from("t");
    let theirs = program.through(&chunk, "", "", "");
    compare(&chunk, &theirs, |out, index, entry| dump_entry(out, index, &tag, entry));
    let theirs = program.through(&chunk, "", "[FILTER]\n  name stdout\n  match *", "name null");
    compare(&chunk, &theirs, |out, index, entry| dump_entry_flat(out, index, &tag, entry));
}

fn json(out: &mut Vec<u8>, entry: &Entry<'_>, date: Option<&DateKey>, style: JsonStyle) {
    write_entry(out, entry, date, style);
}

/// Compares what was printed with what `write` makes of each entry.
fn compare(chunk: &Chunk, theirs: &[u8], write: impl Fn(&mut Vec<u8>, usize, &Entry<'_>)) {
    let mut rest = theirs;
    for (index, entry) in chunk.entries().enumerate() {
        let mut ours = Vec::new();
        write(&mut ours, index, &entry);
        ours.push(b'\n');
        let line = take(&mut rest, &ours);
        assert_eq!(String::from_utf8_lossy(line), String::from_utf8_lossy(&ours), "entry {index}");
    }
    assert!(rest.is_empty());
}

/// Takes a line from their text. Text in a dump may have line breaks itself, so it is as long as ours if they are equal.
fn take<'a>(rest: &mut &'a [u8], ours: &[u8]) -> &'a [u8] {
    let len = if rest.starts_with(ours) {
        ours.len()
    } else {
        rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1)
    };
    let (line, behind) = rest.split_at(len);
    *rest = behind;
    line
}

/// Random entries, some with metadata, without what Fluent Bit writes as broken JSON.
fn chunk(count: usize) -> Chunk {
    let mut runner = TestRunner::deterministic();
    let entries = (values(), proptest::option::of(values()), 0u32..1_000_000_000);
    let mut builder = ChunkBuilder::new(Tag::from("t"));
    for index in 0..count {
        let (record, metadata, nanos) = entries.new_tree(&mut runner).unwrap().current();
        let time = Timestamp::new(1_600_000_000 + 100_003 * index as i64, nanos / 1000 * (nanos % 1001));
        let record = record_of(record).encoded();
        match metadata.map(record_of) {
            Some(metadata) => builder.push_with_metadata(time, &metadata.encoded(), &record),
            None => builder.push_record(time, &record),
        }
    }
    builder.finish(Receipt::unwatched())
}

fn record_of(value: Value) -> Value {
    match sound(value) {
        Value::Map(pairs) => Value::Map(pairs),
        other => Value::Map(vec![(s(b"v"), other)]),
    }
}

fn sound(value: Value) -> Value {
    // Fluent Bit lets 0x7f pass inside long plain text.
    let text = |text: Vec<u8>| text.into_iter().filter(|byte| *byte != 0x7f).collect();
    match value {
        Value::Float(n) if !n.is_finite() => Value::Nil,
        Value::Str(bytes) => Value::Str(text(bytes)),
        Value::Bin(bytes) | Value::Ext(_, bytes) => Value::Bin(text(bytes)),
        Value::Array(list) => Value::Array(list.into_iter().map(sound).collect()),
        Value::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .filter(|(key, _)| matches!(key, Value::Str(_)))
                .map(|(key, value)| (sound(key), sound(value)))
                .collect(),
        ),
        other => other,
    }
}

/// A Fluent Bit to compare with.
struct Program(OsString);

fn program() -> Option<Program> {
    let found = std::env::var_os("FLUENT_BIT_BIN").map(Program);
    if found.is_none() {
        eprintln!("skipped: FLUENT_BIT_BIN is not set");
    }
    found
}

impl Program {
    /// What it prints of the chunk's entries.
    fn through(&self, chunk: &Chunk, service: &str, filter: &str, output: &str) -> Vec<u8> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let (config, printed) = (folder.path().join("fluent-bit.conf"), folder.path().join("printed"));
        let output =
            if output.starts_with("name") { output.into() } else { format!("name stdout\n  {output}") };
        let text = format!(
            "[SERVICE]\n  flush 0.1\n  log_level off\n  {service}\n\
             [INPUT]\n  name forward\n  listen 127.0.0.1\n  port {port}\n  buffer_chunk_size 64M\n  buffer_max_size 64M\n\
             {filter}\n[OUTPUT]\n  match *\n  {output}\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Stop(
            Command::new(&self.0)
                .arg("-q")
                .arg("-c")
                .arg(&config)
                .stdout(std::fs::File::create(&printed).unwrap())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let mut socket = eventually(|| TcpStream::connect(("127.0.0.1", port)).ok());
        socket.write_all(&message(chunk)).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        // At its end it prints all it holds; by then it must have read all.
        let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
        eventually(|| (lines(&std::fs::read(&printed).unwrap()) >= chunk.len()).then_some(()));
        child.end();
        std::fs::read(&printed).unwrap()
    }
}

/// A message in packed forward mode: `[tag, entries]`.
fn message(chunk: &Chunk) -> Vec<u8> {
    let mut out = Vec::new();
    write::array_header(&mut out, 2);
    write::str(&mut out, chunk.tag().as_bytes());
    write::bin(&mut out, chunk.data());
    out
}

fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain");
        sleep(Duration::from_millis(50));
    }
}

/// A child that does not outlive its test.
struct Stop(Child);

impl Stop {
    /// Asks it to end and waits until it has.
    fn end(&mut self) {
        _ = Command::new("kill").arg(self.0.id().to_string()).status();
        _ = self.0.wait();
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
