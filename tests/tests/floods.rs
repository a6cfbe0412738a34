//! More connections, tags and small writes than anybody needs: served or refused, bounded, accounted.
#![allow(clippy::unwrap_used, missing_docs)]

use ikada_forward::client::{FrameOption, encode_message};
use ikada_record::Timestamp;
use ikada_tests::books::{Books, kilobytes};
use ikada_tests::{Router, Writer, docker_record, wait_for};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const TAG: &str = "app-firelens-0123";

/// The most connections an input of the program serves.
const MOST: usize = 10_240;

/// Files and sockets that a process has open besides its connections.
const OTHERS: usize = 200;

/// Everything but what `skipped.*` names goes nowhere, at once.
fn router() -> Router {
    Router::start(
        "[SERVICE]\n    Flush 0.1\n[INPUT]\n    Name forward\n    unix_path {dir}/fluent.sock\n\
         [OUTPUT]\n    Name null\n    Match app*\n",
    )
}

/// Raises this process's limit of open files, which the program inherits, as far as it goes, and returns it.
fn open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    limit.maximum.map_or(usize::MAX, |most| most as usize)
}

fn message(tag: &str, text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    let record = docker_record(text);
    encode_message(&mut frame, tag.as_bytes(), Timestamp::new(1, 0), &record, &FrameOption::default());
    frame
}

/// A message that asks for an answer with the number 7.
fn asking(tag: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    let option = FrameOption { chunk: Some(b"7"), ..FrameOption::default() };
    encode_message(&mut frame, tag.as_bytes(), Timestamp::new(1, 0), &docker_record("x"), &option);
    frame
}

/// Stops the program and returns what it read, what matched no output, and what it sent.
fn ends(router: &mut Router) -> (u64, u64, u64) {
    let peak = kilobytes(router, "VmHWM");
    let status = router.stop();
    assert_eq!(status.code(), Some(0), "{}", router.log());
    eprintln!("peak of resident memory: {peak} kB");
    let log = router.log();
    let (input, output) = (Books::of(&log, "forward.0"), Books::of(&log, "null.0"));
    assert_eq!((output.number("unsent"), output.number("dropped")), (0, 0));
    (input.number("read"), input.number("unmatched"), output.number("sent"))
}

#[test]
fn ten_thousand_connections_are_served_at_once_and_those_beyond_the_bound_are_refused_and_counted() {
    let served = MOST.min(open_files() - OTHERS);
    let mut router = router();
    let mut writers: Vec<_> = (0..served).map(|_| Writer::connect(&router.socket(), TAG, "a")).collect();
    // All are open before the last one writes.
    for round in 0..2 {
        writers.iter_mut().for_each(|writer| writer.write(1));
        assert!(writers.iter().all(|writer| writer.written() == round + 1));
    }
    if served == MOST {
        let mut refused = Writer::connect(&router.socket(), TAG, "b");
        refused.wait_closed();
        router.wait_for_log("closed a new connection: 10240 are open already");
        // One that goes makes room.
        drop(writers.pop());
        wait_for("a place", || {
            let mut next = Writer::connect(&router.socket(), TAG, "c");
            // A refused one may be closed before it has written.
            drop(next.write_raw(&asking(TAG)));
            next.read_ack() == Some(7)
        });
    }
    // 16 kB for each of them.
    assert!(kilobytes(&router, "VmRSS") < 100_000 + 16 * served as u64, "{} kB", kilobytes(&router, "VmRSS"));
    drop(writers);
    let (read, _, sent) = ends(&mut router);
    assert_eq!(read, sent);
    assert!(sent >= 2 * served as u64, "{sent}");
}

#[test]
fn a_hundred_thousand_tags_are_routed_in_bounded_memory() {
    const TAGS: usize = 100_000;
    let mut router = router();
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    for first in (0..TAGS).step_by(100) {
        let mut frames = Vec::new();
        for number in first..first + 100 {
            let kind = if number % 2 == 0 { "app" } else { "skipped" };
            frames.extend(message(&format!("{kind}.{number}.{}", "x".repeat(number % 50)), "one line"));
        }
        writer.write_raw(&frames).unwrap();
    }
    drop(writer);
    let half = TAGS as u64 / 2;
    let peak = || kilobytes(&router, "VmHWM");
    assert!(peak() < 300_000, "{} kB", peak());
    assert_eq!(ends(&mut router), (2 * half, half, half));
    let named = router.log().lines().filter(|line| line.contains("no output matches this tag")).count();
    assert!(named <= 100, "{named} lines");
}

#[test]
fn a_flood_of_writes_of_one_byte_arrives_whole() {
    let mut router = router();
    let mut writers: Vec<_> = (0..10).map(|_| Writer::connect(&router.socket(), TAG, "a")).collect();
    let frame = message(TAG, "one byte after the other");
    for _ in 0..20 {
        for byte in &frame {
            writers.iter_mut().for_each(|writer| writer.write_raw(&[*byte]).unwrap());
        }
    }
    drop(writers);
    assert_eq!(ends(&mut router), (200, 0, 200));
}

#[test]
fn clients_that_never_finish_a_frame_harm_nobody_and_do_not_hold_up_the_end() {
    let count = 2000.min(open_files() - OTHERS);
    let mut router = router();
    let frame = message(TAG, "half");
    let mut slow: Vec<_> = (0..count).map(|_| Writer::connect(&router.socket(), TAG, "slow")).collect();
    let mut neighbour = Writer::connect(&router.socket(), TAG, "a");
    for at in 0..10 {
        slow.iter_mut().for_each(|writer| writer.write_raw(&frame[at..=at]).unwrap());
        neighbour.write(100);
    }
    assert_eq!(ends(&mut router), (1000, 0, 1000));
    drop(slow);
}

#[test]
fn a_flood_of_halves_stays_within_the_memory_and_harms_nobody_but_those_who_send_them() {
    const HALF: usize = 60 * 1024;
    let count = 600.min(open_files() - OTHERS);
    let mut router = Router::start(
        "[SERVICE]\n    Flush 0.1\n    ikada.memory_limit 8M\n    ikada.stall_limit 0.2\n\
         [INPUT]\n    Name forward\n    unix_path {dir}/fluent.sock\n[OUTPUT]\n    Name null\n    Match app*\n",
    );
    let mut neighbour = Writer::connect(&router.socket(), TAG, "a");
    neighbour.write(1000);
    let before = kilobytes(&router, "VmRSS");
    let frame = message(TAG, &"x".repeat(2 * HALF));
    let mut slow: Vec<_> = (0..count).map(|_| Writer::connect(&router.socket(), TAG, "slow")).collect();
    for part in frame[..HALF].chunks(HALF / 10) {
        for writer in &mut slow {
            // Those that are in the others' way are closed.
            drop(writer.write_raw(part));
        }
        neighbour.write(100);
    }
    router.wait_for_log("the beginnings of other frames fill the memory");
    neighbour.write(1000);
    let peak = kilobytes(&router, "VmHWM");
    // The limit, 8 kB for each connection, and what the program itself may need for them.
    let most = before + 8_000 + 8 * count as u64 + 4_000;
    assert!(peak < most, "{before} kB before, {peak} kB at the peak, {most} kB at most");
    drop(neighbour);
    // A large frame gets through when the flood is over.
    drop(slow);
    let mut large = Writer::connect(&router.socket(), TAG, "large");
    large.write_raw(&message(TAG, &"x".repeat(3_000_000))).unwrap();
    drop(large);
    assert_eq!(ends(&mut router), (3001, 0, 3001));
}
