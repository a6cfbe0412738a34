//! One run of a program: chains in, lines out.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use ikada_msgpack::write;

use crate::Outcome;
use crate::generate::{Chain, PARSERS};

/// The tag of the record that is sent last.
const LAST: &str = "zz.last";

/// Runs the chains' filters on their records; about as many lines as expected will come.
pub(crate) fn run(program: &Path, chains: &[Chain], expected: usize) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = folder.path().join("fluent-bit.conf");
    std::fs::write(&file, configuration(chains, port)).unwrap();
    std::fs::write(folder.path().join("parsers.conf"), PARSERS).unwrap();
    let mut child = Command::new(program)
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = lines_of(&mut child);
    let mut socket = connected(&mut child, port);
    for chain in chains {
        socket.write_all(&message(chain)).unwrap();
    }
    socket.write_all(&last()).unwrap();
    socket.flush().unwrap();
    gather(child, &lines, expected)
}

fn configuration(chains: &[Chain], port: u16) -> String {
    let mut text = format!(
        "[SERVICE]\n    Flush 0.2\n    Grace 2\n    Log_Level off\n    Parsers_File parsers.conf\n\
         [INPUT]\n    Name forward\n    Listen 127.0.0.1\n    Port {port}\n"
    );
    for section in chains.iter().flat_map(|chain| &chain.filters) {
        writeln!(text, "[FILTER]\n    Name {}\n    Match {}", section.name, section.pattern).unwrap();
        for (key, value) in &section.properties {
            writeln!(text, "    {key} {value}").unwrap();
        }
    }
    text.push_str("[OUTPUT]\n    Name stdout\n    Match *\n");
    text
}

/// PackedForward: the tag and a run of entries, which one pass of the filters sees at once.
fn message(chain: &Chain) -> Vec<u8> {
    let mut entries = Vec::new();
    for (record, n) in chain.records.iter().zip(0..) {
        write::array_header(&mut entries, 2);
        chain.time(n).write(&mut entries);
        entries.extend_from_slice(record);
    }
    packed(&chain.tag(), &entries)
}

fn last() -> Vec<u8> {
    packed(LAST, b"\x92\x01\x80")
}

fn packed(tag: &str, entries: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::array_header(&mut out, 2);
    write::str(&mut out, tag.as_bytes());
    write::bin(&mut out, entries);
    out
}

fn connected(child: &mut Child, port: u16) -> TcpStream {
    loop {
        if let Ok(socket) = TcpStream::connect(("127.0.0.1", port)) {
            return socket;
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the configuration is refused: {status}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn lines_of(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = sync_channel(1024);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        let mut line = Vec::new();
        while out.read_until(b'\n', &mut line).unwrap() > 0 {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    lines
}

/// Lines until nothing comes any more; then the program ends, and gives away what it still holds.
fn gather(mut child: Child, lines: &Receiver<String>, expected: usize) -> Outcome {
    let mut outcome = Outcome::new();
    let (mut seen, mut last) = (0, false);
    let mut asked = false;
    loop {
        let all_here = last && seen >= expected;
        let patience = if all_here { Duration::from_secs(1) } else { Duration::from_secs(6) };
        match lines.recv_timeout(patience) {
            Ok(line) => match parted(&line) {
                Some((LAST, _)) => last = true,
                Some((tag, rest)) => {
                    seen += 1;
                    assert!(seen < 10 * expected + 1000, "records go in a circle");
                    outcome.entry(tag.to_owned()).or_default().push(rest.to_owned());
                }
                None => {}
            },
            Err(RecvTimeoutError::Timeout) if !asked => {
                asked = true;
                let id = rustix::process::Pid::from_child(&child);
                rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
            }
            Err(RecvTimeoutError::Timeout) => child.kill().unwrap(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    child.wait().unwrap();
    outcome.values_mut().for_each(|lines| lines.sort());
    outcome
}

/// `[0] tag: [[time, {}], {…}]` → tag and the rest.
fn parted(line: &str) -> Option<(&str, &str)> {
    let (number, rest) = line.strip_prefix('[')?.split_once("] ")?;
    number.parse::<u32>().ok()?;
    let at = rest.find(": [[")?;
    Some((&rest[..at], &rest[at + 2..]))
}
