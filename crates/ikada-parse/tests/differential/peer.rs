//! One run of Fluent Bit: lines in, entries out.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ikada_msgpack::write;

use crate::generate::Suite;
use crate::sent;

/// The tag of the record that is sent last.
const LAST: &str = "zz.last";

/// Entries by suite and line.
pub(crate) type Entries = HashMap<(usize, usize), String>;

/// Parses all lines; what does not come out is missing.
pub(crate) fn run(program: &Path, suites: &[Suite], parsers: Option<&Path>) -> Entries {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let own = folder.path().join("parsers.conf");
    std::fs::write(&own, definitions(suites)).unwrap();
    let file = folder.path().join("fluent-bit.conf");
    let mut files = vec![own];
    if let Some(parsers) = parsers {
        let near = std::fs::read_dir(parsers.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        files.extend(near.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("parsers_")));
        files.push(parsers.to_owned());
    }
    std::fs::write(&file, configuration(suites, &files, port)).unwrap();
    let mut child = Command::new(program)
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let mut socket = connected(&mut child, port);
    for (number, suite) in suites.iter().enumerate() {
        socket.write_all(&message(number, suite)).unwrap();
    }
    socket.write_all(&packed(LAST, b"\x92\x01\x80")).unwrap();
    socket.flush().unwrap();
    let mut entries = Entries::new();
    let mut lines = lines.split(b'\n');
    gather(&mut lines, &mut entries);
    // It gives away what it still holds.
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    gather(&mut lines, &mut entries);
    child.wait().unwrap();
    entries
}

fn definitions(suites: &[Suite]) -> String {
    let mut text = String::new();
    for (number, suite) in suites.iter().enumerate().filter(|(_, suite)| suite.built_in().is_none()) {
        writeln!(text, "[PARSER]\n    Name x{number}").unwrap();
        for (key, value) in &suite.options {
            writeln!(text, "    {key} {value}").unwrap();
        }
    }
    text
}

fn configuration(suites: &[Suite], files: &[PathBuf], port: u16) -> String {
    let mut text = String::from("[SERVICE]\n    Flush 0.2\n    Grace 2\n    Log_Level off\n");
    for file in files {
        writeln!(text, "    Parsers_File {}", file.display()).unwrap();
    }
    writeln!(text, "[INPUT]\n    Name forward\n    Listen 127.0.0.1\n    Port {port}").unwrap();
    for (number, suite) in suites.iter().enumerate() {
        let parser = suite.built_in().map_or_else(|| format!("x{number}"), str::to_owned);
        writeln!(
            text,
            "[FILTER]\n    Name parser\n    Match s.{number}\n    Key_Name log\n    Parser {parser}\n    Reserve_Data On"
        )
        .unwrap();
    }
    text.push_str("[OUTPUT]\n    Name stdout\n    Match *\n");
    text
}

/// PackedForward: a record for each line.
fn message(number: usize, suite: &Suite) -> Vec<u8> {
    let mut entries = Vec::new();
    for (at, line) in suite.lines.iter().enumerate() {
        write::array_header(&mut entries, 2);
        sent().write(&mut entries);
        write::map_header(&mut entries, 2);
        write::str(&mut entries, b"log");
        write::str(&mut entries, line.as_bytes());
        write::str(&mut entries, b"i");
        write::uint(&mut entries, at as u64);
    }
    packed(&format!("s.{number}"), &entries)
}

pub(crate) fn packed(tag: &str, entries: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::array_header(&mut out, 2);
    write::str(&mut out, tag.as_bytes());
    write::bin(&mut out, entries);
    out
}

pub(crate) fn connected(child: &mut Child, port: u16) -> TcpStream {
    loop {
        if let Ok(socket) = TcpStream::connect(("127.0.0.1", port)) {
            return socket;
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("Fluent Bit refuses the configuration: {status}");
        }
        std::thread::yield_now();
    }
}

/// Reads `[0] s.3: [[time, {}], {…, "i"=>7}]` up to the record that was sent last, or to the end.
fn gather(lines: &mut impl Iterator<Item = std::io::Result<Vec<u8>>>, entries: &mut Entries) {
    for line in lines {
        let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
        let Some((head, entry)) = line.split_once(": ") else { continue };
        let Some((_, tag)) = head.split_once("] ") else { continue };
        if tag == LAST {
            return;
        }
        let Some(number) = tag.strip_prefix("s.").and_then(|number| number.parse().ok()) else { continue };
        let Some((_, at)) = entry.rsplit_once("\"i\"=>") else { continue };
        let Ok(at) = at.trim_end_matches("}]").parse() else { continue };
        entries.insert((number, at), entry.to_owned());
    }
}
