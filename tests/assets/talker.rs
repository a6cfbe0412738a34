//! What the container in the Docker tests runs: it writes numbered lines, and lines of chosen lengths, to both of its
//! streams, and then stays, because Docker forgets the lines of a container that has ended.
//!
//! `talker COUNT [LENGTH...]`: COUNT numbered lines, then a line of each LENGTH in bytes, then how many the numbered ones were. Where
//! COUNT is 0, it writes numbered lines until there is a file `/until/now`.
//!
//! `talker flood SECONDS RATE LENGTH`: numbered lines of some LENGTH bytes to stdout, RATE bytes a second if they are taken, and then in
//! the file `/report/flood` how many lines there were and how many microseconds the longest write took.
//! The tests include this file as well, to know what was written. It is compiled by itself and has no dependencies.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Which stream a line goes to, and its text without the newline.
pub struct Line {
    pub is_error: bool,
    pub text: Vec<u8>,
}

/// Everything a talker writes, stream by stream in this order, `count` being the number of numbered lines.
pub fn lines(count: usize, lengths: &[usize]) -> Vec<Line> {
    (0..count).map(numbered).chain(others(count, lengths)).collect()
}

/// The lines behind the numbered ones.
fn others(count: usize, lengths: &[usize]) -> impl Iterator<Item = Line> {
    let long = lengths
        .iter()
        .enumerate()
        .map(|(at, length)| Line { is_error: at % 2 == 1, text: long(at, *length) });
    let last = move |is_error| Line { is_error, text: format!("{END}{count}").into_bytes() };
    long.chain([false, true].map(last))
}

/// What the last line of each stream starts with.
pub const END: &str = "the end of ";

/// Two of three lines go to stdout. Each stream counts its own.
fn numbered(at: usize) -> Line {
    let is_error = at % 3 == 2;
    let (name, number) = if is_error { ("err", at / 3) } else { ("out", at - at / 3) };
    let mut text = format!("seq={name}:{number} ").into_bytes();
    match at % 7 {
        0 => {
            text.extend_from_slice("{\"level\":\"info\",\"path\":\"C:\\\\tmp\",\"who\":\"佐藤\"}".as_bytes())
        }
        1 => text.extend_from_slice(b"\xff\xfe not text \x00 \x1b[31mred\x1b[0m"),
        2 => text.extend_from_slice(b"ends with a carriage return\r"),
        3 => text.extend_from_slice(b"\ttabs and  blanks  "),
        _ => text.extend_from_slice(b"request served in 12 ms"),
    }
    Line { is_error, text }
}

/// A line of exactly `length` bytes whose every part tells where it was. Characters of three bytes, so that a cut falls inside.
fn long(at: usize, length: usize) -> Vec<u8> {
    let mut text = format!("long {at} ").into_bytes();
    let mut number = 0;
    while text.len() < length {
        text.extend_from_slice(format!("{number}あ").as_bytes());
        number += 1;
    }
    text.truncate(length);
    text
}

fn main() {
    if std::env::args().nth(1).is_some_and(|word| word == "flood") {
        flood();
    }
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let wanted = numbers.next().expect("a count");
    let lengths: Vec<usize> = numbers.collect();
    let mut count = 0;
    while !is_enough(count, wanted) {
        write(numbered(count));
        count += 1;
    }
    others(count, &lengths).for_each(write);
    loop {
        std::thread::park();
    }
}

/// Writes as fast as it was told to, and measures what an application would feel.
fn flood() -> ! {
    let mut numbers = std::env::args().skip(2).map(|text| text.parse::<u64>().expect("a number"));
    let (seconds, rate) = (numbers.next().expect("seconds"), numbers.next().expect("a rate"));
    let length = numbers.next().expect("a length") as usize;
    let (start, mut longest, mut lines, mut bytes) = (Instant::now(), Duration::ZERO, 0u64, 0u64);
    let mut stdout = std::io::stdout().lock();
    let rest = "x".repeat(length);
    while start.elapsed() < Duration::from_secs(seconds) {
        let line = format!("seq=flood:{lines} {rest}\n");
        let before = Instant::now();
        stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).expect("stdout is open");
        longest = longest.max(before.elapsed());
        lines += 1;
        bytes += line.len() as u64;
        let due = Duration::from_secs_f64(bytes as f64 / rate as f64);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    let report = format!("{lines} {bytes} {}", longest.as_micros());
    std::fs::write("/report/draft", report).expect("the report can be written");
    std::fs::rename("/report/draft", "/report/flood").expect("the report can be renamed");
    loop {
        std::thread::park();
    }
}

/// It rests whenever it looks for the file: a daemon that falls behind would tell nothing about the router.
fn is_enough(count: usize, wanted: usize) -> bool {
    if wanted > 0 || !count.is_multiple_of(50) {
        return wanted > 0 && count == wanted;
    }
    std::thread::sleep(Duration::from_millis(5));
    Path::new("/until/now").exists()
}

fn write(mut line: Line) {
    line.text.push(b'\n');
    if line.is_error {
        std::io::stderr().write_all(&line.text).expect("stderr is open");
    } else {
        std::io::stdout().write_all(&line.text).expect("stdout is open");
    }
}
