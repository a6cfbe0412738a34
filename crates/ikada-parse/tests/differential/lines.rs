//! Random lines of traces, as records, through Fluent Bit's filter `multiline` and through joiners.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ikada_diag::{Diagnostics, Sources, Spanned};
use ikada_msgpack::write;
use ikada_options::{Property, PropertyBag};
use ikada_parse::Parsers;
use ikada_parse::multiline::{Finished, Joiner, MultilineParser, Pushed};
use ikada_record::{Fields, record_at};
use serde_json::Value;

use crate::generate::Rng;
use crate::peer::{connected, packed};
use crate::sent;

/// Lines of one suite.
const LINES: usize = 250;

/// A multiline parser, and pieces that its lines are made of.
///
/// Explained: no line completes a record at once, as the end of a Python trace does. Fluent Bit's filter gives such a line once more by
/// itself.
struct Kind {
    parser: &'static str,
    /// The definition, if it is not built in.
    definition: &'static [(&'static str, &'static str)],
    lines: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        parser: "java",
        definition: &[],
        lines: &[
            "plain",
            "java.lang.Exception: x",
            "a.b.MyError:",
            "Throwable: not a start",
            "\tat a.B.c(B.java:1)",
            "    at x",
            "at y",
            "  eval at z",
            "Caused by: q.Error: r",
            "\tSuppressed: s",
            "\t... 3 more",
            "  ... 12 common frames omitted",
            "  --- End of inner exception stack trace ---",
            "--- End of stack trace from previous location where exception was thrown ---",
        ],
    },
    Kind {
        parser: "go",
        definition: &[],
        lines: &[
            "plain",
            "panic: x",
            "xpanic: y",
            "http: panic serving z",
            "[signal SIGSEGV]",
            "goroutine 1 [running]:",
            "main.main()",
            "created by a",
            "\t/a.go:1",
            "exit status 2",
            "a.b.c(0x1)",
        ],
    },
    Kind {
        parser: "python",
        definition: &[],
        lines: &[
            "plain",
            "Traceback (most recent call last):",
            "Traceback (most recent call last): ",
            "  File \"a.py\", line 1",
            "    f()",
            "\tFile b",
        ],
    },
    Kind {
        parser: "ruby",
        definition: &[],
        lines: &[
            "plain",
            "a.rb:1:in `x': y",
            "\tfrom a.rb:2:in `z'",
            "  from b:3:in q",
            "from c:1:in r",
            "a:b:in c",
        ],
    },
    Kind {
        parser: "dates",
        definition: &[
            ("type", "regex"),
            ("flush_timeout", "60000"),
            ("rule", r#""start_state" "/^\d{4}-\d{2}/" "cont""#),
            ("rule", r#""cont" "/^\s+/" "cont""#),
        ],
        lines: &["plain", "2025-09 a", "2025-10", " b", "\tc", "  ", "2025"],
    },
    Kind {
        parser: "blocks",
        definition: &[
            ("type", "regex"),
            ("flush_timeout", "60000"),
            ("rule", r#""start_state, again" "/^BEGIN/" "body""#),
            ("rule", r#""body, more" "/^mid/" "more""#),
            ("rule", r#""more" "/^end/" "again""#),
            ("rule", r#""body" "/^x/" "body""#),
        ],
        lines: &["plain", "BEGIN a", "mid b", "x d", "BEGIN", "mid"],
    },
    Kind {
        parser: "slash",
        definition: &[
            ("type", "endswith"),
            ("flush_timeout", "60000"),
            ("match_string", "\\"),
            ("negate", "true"),
        ],
        lines: &["a\\", "b", "c \\", "\\", "dd"],
    },
    Kind {
        parser: "stop",
        definition: &[("type", "equal"), ("flush_timeout", "60000"), ("match_string", "END")],
        lines: &["a", "b ", "END", "END ", "c"],
    },
];

/// A record: its number, and its text.
type Joined = Vec<(u64, String)>;

#[test]
fn random_lines_are_joined_as_by_fluent_bit() {
    let Some(program) = std::env::var_os("FLUENT_BIT_BIN") else {
        eprintln!("skipped: FLUENT_BIT_BIN is not set");
        return;
    };
    let seed = std::env::var("IKADA_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_122);
    let mut rng = Rng::new(seed);
    let suites: Vec<Vec<&str>> = KINDS.iter().map(|kind| lines(kind, &mut rng)).collect();
    let theirs = peer(Path::new(&program), &suites);
    for ((kind, lines), theirs) in KINDS.iter().zip(&suites).zip(theirs) {
        let own = joined(kind, lines);
        let at = own.iter().zip(&theirs).position(|(own, theirs)| own != theirs);
        let at = at.unwrap_or(own.len().min(theirs.len()));
        let around =
            |list: &Joined| list[at.saturating_sub(1).min(list.len())..(at + 3).min(list.len())].to_vec();
        assert!(
            own == theirs,
            "{} (seed {seed}), at record {at}:\n  Fluent Bit: {:?}\n  Ikada:      {:?}",
            kind.parser,
            around(&theirs),
            around(&own)
        );
    }
}

/// Random lines; the last ones end whatever is under way.
fn lines<'k>(kind: &'k Kind, rng: &mut Rng) -> Vec<&'k str> {
    let end = match kind.parser {
        "slash" => "dd",
        "stop" => "END",
        _ => "plain",
    };
    (0..LINES).map(|_| *rng.pick(kind.lines)).chain([end, end]).collect()
}

fn joined(kind: &Kind, lines: &[&str]) -> Joined {
    let mut joiner: Joiner<()> = Joiner::new([parser(kind)].into(), Some((*b"log").into()));
    let mut records = Vec::new();
    for (line, number) in lines.iter().zip(0..) {
        let record = record(line, number, 0);
        let fields = Fields::split(record_at(&record));
        let mut hand =
            |done: Finished<'_, ()>| records.push(read(&rmp_serde::from_slice(done.record).unwrap()));
        if joiner.push_record(&fields, sent(), || (), Duration::ZERO, &mut hand) == Pushed::Alone {
            records.push((number, (*line).to_owned()));
        }
    }
    assert!(joiner.is_empty());
    records
}

fn parser(kind: &Kind) -> Arc<MultilineParser> {
    let mut parsers = Parsers::new();
    if !kind.definition.is_empty() {
        let span = Sources::default().add("x", "x").span(0, 1);
        let text = |text: &str| Spanned::new(text.to_owned(), span);
        let name = [("name", kind.parser)];
        let pairs = name.iter().chain(kind.definition);
        let properties = pairs.map(|(key, value)| Property::new(text(key), text(value))).collect();
        let mut found = Diagnostics::new();
        parsers.define_multiline(PropertyBag::new("parser", span, properties), &mut found);
        assert!(found.is_empty());
    }
    parsers.multiline(kind.parser).unwrap()
}

fn record(line: &str, number: u64, suite: usize) -> Vec<u8> {
    let mut out = Vec::new();
    write::map_header(&mut out, 3);
    write::str(&mut out, b"log");
    write::str(&mut out, line.as_bytes());
    write::str(&mut out, b"i");
    write::uint(&mut out, number);
    write::str(&mut out, b"suite");
    write::uint(&mut out, suite as u64);
    out
}

fn read(record: &Value) -> (u64, String) {
    (record["i"].as_u64().unwrap(), record["log"].as_str().unwrap().to_owned())
}

/// The records of each suite, in order.
fn peer(program: &Path, suites: &[Vec<&str>]) -> Vec<Joined> {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let parsers = folder.path().join("parsers.conf");
    let file = folder.path().join("fluent-bit.conf");
    std::fs::write(&parsers, definitions()).unwrap();
    std::fs::write(&file, configuration(&parsers, port)).unwrap();
    let mut child = Command::new(program)
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut socket = connected(&mut child, port);
    for (number, lines) in suites.iter().enumerate() {
        let mut entries = Vec::new();
        for (line, at) in lines.iter().zip(0..) {
            write::array_header(&mut entries, 2);
            sent().write(&mut entries);
            entries.extend_from_slice(&record(line, at, number));
        }
        socket.write_all(&packed(&format!("m.{number}"), &entries)).unwrap();
    }
    socket.flush().unwrap();
    let mut found: HashMap<u64, Joined> = HashMap::new();
    let mut ended = 0;
    for line in output.lines() {
        let Ok(record) = serde_json::from_str::<Value>(&line.unwrap()) else { continue };
        let Some(suite) = record["suite"].as_u64() else { continue };
        let joined = read(&record);
        ended += usize::from(joined.0 + 1 == suites[suite as usize].len() as u64);
        found.entry(suite).or_default().push(joined);
        if ended == suites.len() {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    (0..suites.len()).map(|number| found.remove(&(number as u64)).unwrap_or_default()).collect()
}

fn definitions() -> String {
    let mut text = String::new();
    for kind in KINDS.iter().filter(|kind| !kind.definition.is_empty()) {
        writeln!(text, "[MULTILINE_PARSER]\n    name {}", kind.parser).unwrap();
        for (key, value) in kind.definition {
            writeln!(text, "    {key} {value}").unwrap();
        }
    }
    text
}

fn configuration(parsers: &Path, port: u16) -> String {
    let mut text = format!(
        "[SERVICE]\n    Flush 0.2\n    Grace 2\n    Log_Level off\n    Parsers_File {}\n\
         [INPUT]\n    Name forward\n    Listen 127.0.0.1\n    Port {port}\n",
        parsers.display()
    );
    for (number, kind) in KINDS.iter().enumerate() {
        writeln!(
            text,
            "[FILTER]\n    Name multiline\n    Match m.{number}\n    multiline.parser {}\n    multiline.key_content log\n    flush_ms 60000",
            kind.parser
        )
        .unwrap();
    }
    text.push_str("[OUTPUT]\n    Name stdout\n    Match *\n    Format json_lines\n");
    text
}
