//! `stdout` beyond its recorded case.

use std::io::{self, Write};

use ikada_filters::stdout::{Stdout, StdoutOptions};
use ikada_plugin::{Effects, EntryContext, Filter, Verdict};
use ikada_record::{Fields, Piece, Tag, Timestamp, record_at};

use crate::support::{Paper, encode, run};

fn printing() -> (Stdout, Paper) {
    let paper = Paper::default();
    (Stdout::build(&StdoutOptions {}, Box::new(paper.clone())), paper)
}

#[test]
fn records_are_counted_from_0_in_each_chunk() {
    let (filter, paper) = printing();
    let tag = Tag::from("t");
    let records = [encode(r#"{"a":1}"#), encode(r#"{"b":"x"}"#)];
    assert_eq!(run(&filter, &tag, &records), records);
    run(&filter, &tag, &records[..1]);
    assert_eq!(
        paper.text(),
        "[0] t: [1700000000.123456789, {}, {\"a\"=>1}]\n\
         [1] t: [1700000000.123456789, {}, {\"b\"=>\"x\"}]\n\
         [0] t: [1700000000.123456789, {}, {\"a\"=>1}]\n"
    );
}

#[test]
fn metadata_and_what_filters_before_it_did_are_shown() {
    let (filter, paper) = printing();
    let (tag, metadata, record) =
        (Tag::new(b"t\xff"), encode(r#"{"k":null}"#), b"\x82\xa1a\x01\xa1a\xcb\x40\x04\0\0\0\0\0\0");
    let mut effects = Effects::default();
    let mut cx = EntryContext {
        tag: &tag,
        time: Timestamp::new(5, 7),
        metadata: Some(&metadata),
        position: 3,
        effects: &mut effects,
    };
    let mut fields = Fields::split(record_at(record));
    fields.push(Piece::Ref(b"\xa1z"), Piece::Own(vec![0xc3]));
    assert_eq!(filter.filter(&mut cx, &mut fields), Verdict::Keep);
    filter.end_of_chunk();
    let seen = paper.bytes();
    assert_eq!(seen, b"[3] t\xff: [5.000000007, {\"k\"=>nil}, {\"a\"=>1, \"a\"=>2.500000, \"z\"=>true}]\n");
}

#[test]
fn nothing_is_written_before_the_end_of_a_small_chunk() {
    let (filter, paper) = printing();
    let (tag, record) = (Tag::from("t"), encode("{}"));
    let mut effects = Effects::default();
    let mut cx = EntryContext {
        tag: &tag,
        time: Timestamp::new(1, 0),
        metadata: None,
        position: 0,
        effects: &mut effects,
    };
    filter.filter(&mut cx, &mut Fields::split(record_at(&record)));
    assert_eq!(paper.text(), "");
    filter.end_of_chunk();
    assert_eq!(paper.text(), "[0] t: [1.000000000, {}, {}]\n");
}

#[test]
fn a_large_chunk_is_written_in_whole_lines_as_it_passes() {
    let (filter, paper) = printing();
    let tag = Tag::from("t");
    let record = encode(&format!(r#"{{"log":"{}"}}"#, "x".repeat(1000)));
    for position in 0..100 {
        let mut effects = Effects::default();
        let mut cx = EntryContext {
            tag: &tag,
            time: Timestamp::new(1, 0),
            metadata: None,
            position,
            effects: &mut effects,
        };
        filter.filter(&mut cx, &mut Fields::split(record_at(&record)));
    }
    let seen = paper.text();
    assert!(!seen.is_empty() && seen.ends_with("}]\n"));
    filter.end_of_chunk();
    assert_eq!(paper.text().lines().count(), 100);
}

struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn records_pass_even_if_nobody_can_see_them() {
    let filter = Stdout::build(&StdoutOptions {}, Box::new(Broken));
    let records = [encode(r#"{"a":1}"#)];
    for _ in 0..2 {
        assert_eq!(run(&filter, &Tag::from("t"), &records), records);
    }
}

/// Takes what is written only when it is flushed, as a writer beside the task does.
#[derive(Clone)]
struct Slow(Paper, Vec<u8>);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.write_all(&std::mem::take(&mut self.1))
    }
}

#[test]
fn no_line_is_lost_when_the_router_stops() {
    let paper = Paper::default();
    let filter = Stdout::build(&StdoutOptions {}, Box::new(Slow(paper.clone(), Vec::new())));
    let (tag, records) = (Tag::from("t"), [encode(r#"{"a":1}"#)]);
    run(&filter, &tag, &records);
    assert_eq!(paper.text(), "", "nobody waits while the router runs");
    assert!(filter.flush(None).is_empty());
    assert_eq!(paper.text().lines().count(), 1);
    run(&filter, &tag, &records);
    assert_eq!(paper.text().lines().count(), 2, "what other filters let go at the end");
}
