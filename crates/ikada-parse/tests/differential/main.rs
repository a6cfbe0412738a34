//! Random lines through Fluent Bit's parsers and through these: set `FLUENT_BIT_BIN` to a Fluent Bit to run it, and `FLUENT_BIT_PARSERS` to its parser
//! file, beside which its further ones lie, to compare the built-in parsers as well.
//!
//! A line that differs is printed, unless it is one of the differences on purpose (`docs/compatibility.md`).
#![allow(clippy::unwrap_used, missing_docs)]

mod generate;
mod lines;
mod peer;

use std::path::{Path, PathBuf};

use generate::{Rng, Suite};
use ikada_diag::{Diagnostics, Sources, Spanned};
use ikada_msgpack::{MapView, str_bytes, write};
use ikada_options::{Property, PropertyBag};
use ikada_parse::{Parser, Parsers};
use ikada_record::Timestamp;
use ikada_record::json::dump_value;

/// The time of every entry; a parser that finds none leaves it.
fn sent() -> Timestamp {
    Timestamp::new(1_700_000_000, 0)
}

#[test]
fn random_lines_are_parsed_as_by_fluent_bit() {
    let Some(program) = std::env::var_os("FLUENT_BIT_BIN") else {
        eprintln!("skipped: FLUENT_BIT_BIN is not set");
        return;
    };
    let file = std::env::var_os("FLUENT_BIT_PARSERS").map(PathBuf::from);
    let seed = std::env::var("IKADA_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_122);
    let suites = generate::suites(&mut Rng::new(seed), file.is_some());
    let theirs = peer::run(Path::new(&program), &suites, file.as_deref());
    let mut differences = Vec::new();
    let mut compared = 0;
    for (number, suite) in suites.iter().enumerate() {
        let parser = parser(suite);
        for (at, line) in suite.lines.iter().enumerate() {
            let own = parse(&parser, line, at);
            let other = theirs.get(&(number, at));
            compared += 1;
            if !is_same(&own, other) {
                let other = other.map_or("nothing", String::as_str);
                differences.push(format!(
                    "{:?}\n  line: {line}\n  Fluent Bit: {other}\n  Ikada:      {}\n",
                    suite.options, own.shown
                ));
            }
        }
    }
    let shown: String = differences.iter().take(40).cloned().collect();
    assert!(
        differences.is_empty(),
        "{} of {compared} lines differ (seed {seed}):\n{shown}",
        differences.len()
    );
}

/// Whether both say the same, or differ on purpose.
fn is_same(own: &Own, other: Option<&String>) -> bool {
    match other {
        // Explained: a time that Fluent Bit cannot write loses the record; epoch times in smaller units are such.
        None => own.time.is_none_or(|time| time.secs() >= 100_000_000),
        // Explained: a time that fits up to its zone is one in 1970.
        Some(other) if own.time.is_none() && other.starts_with("[[0.") => true,
        // Explained: digits behind the ninth are skipped.
        Some(_) if has_long_fraction(&own.shown) => true,
        // Explained: a fraction goes through a float there, and may lose its last nanosecond.
        Some(other) if own.one_less.as_ref() == Some(other) => true,
        // Explained: a time that does not fit takes its field along.
        Some(other) => own.shown == *other || (own.time.is_none() && own.without_time == *other),
    }
}

fn has_long_fraction(text: &str) -> bool {
    let digits = |part: &str| part.bytes().take_while(u8::is_ascii_digit).count();
    text.split('.').skip(2).any(|part| digits(part) > 9)
}

/// What a line becomes.
struct Own {
    time: Option<Timestamp>,
    /// The entry as Fluent Bit's standard output shows it.
    shown: String,
    /// The same a nanosecond before.
    one_less: Option<String>,
    /// The entry without the field that the time is looked for in.
    without_time: String,
}

fn parser(suite: &Suite) -> std::sync::Arc<Parser> {
    if let Some((_, name)) = suite.options.iter().find(|(key, _)| *key == "built_in") {
        return Parsers::new().get(name).unwrap();
    }
    let mut sources = Sources::default();
    let span = sources.add("x", "x").span(0, 1);
    let text = |text: &str| Spanned::new(text.to_owned(), span);
    let mut properties = vec![Property::new(text("name"), text("x"))];
    properties.extend(suite.options.iter().map(|(key, value)| Property::new(text(key), text(value))));
    let mut parsers = Parsers::new();
    let mut found = Diagnostics::new();
    parsers.define(PropertyBag::new("parser", span, properties), &mut found);
    parsers.get("x").unwrap_or_else(|| panic!("{:?}", found.lines(&sources).collect::<Vec<_>>()))
}

fn parse(parser: &Parser, line: &str, number: usize) -> Own {
    let mut record = Vec::new();
    let parsed = parser.parse(line.as_bytes(), sent(), &mut record);
    if parsed.is_err() {
        write::map_header(&mut record, 1);
        write::str(&mut record, b"log");
        write::str(&mut record, line.as_bytes());
    }
    let time = parsed.ok().flatten();
    let all = MapView::known(&record).raw();
    const TIMES: [&[u8]; 5] = [b"time", b"start_time", b"log_time", b"timestamp", b"_sr_time"];
    let is_time = |key: &[u8]| str_bytes(key).is_some_and(|key| TIMES.contains(&key));
    let others = all.clone().filter(|(key, _)| !is_time(key));
    Own {
        time,
        one_less: time
            .and_then(|time| Some(Timestamp::new(time.secs(), time.nanos().checked_sub(1)?)))
            .map(|time| shown(Some(time), all.clone().collect(), number)),
        shown: shown(time, all.collect(), number),
        without_time: shown(time, others.collect(), number),
    }
}

fn shown(time: Option<Timestamp>, pairs: Vec<(&[u8], &[u8])>, number: usize) -> String {
    let mut record = Vec::new();
    write::map_header(&mut record, pairs.len() + 1);
    for (key, value) in pairs {
        record.extend_from_slice(key);
        record.extend_from_slice(value);
    }
    write::str(&mut record, b"i");
    write::uint(&mut record, number as u64);
    let time = time.unwrap_or(sent());
    let mut text = format!("[[{}.{:09}, {{}}], ", time.secs(), time.nanos()).into_bytes();
    dump_value(&mut text, &record);
    text.push(b']');
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn every_parser_that_fluent_bit_ships_is_taken() {
    let Some(file) = std::env::var_os("FLUENT_BIT_PARSERS").map(PathBuf::from) else {
        eprintln!("skipped: FLUENT_BIT_PARSERS is not set");
        return;
    };
    let mut sources = Sources::default();
    let mut found = Diagnostics::new();
    let mut parsers = Parsers::new();
    for entry in std::fs::read_dir(file.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("parser") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let span = sources.add(name.clone(), text.clone()).span(0, 1);
        for (header, body) in sections(&text) {
            let spanned = |text: &str| Spanned::new(text.to_owned(), span);
            let lines = body.lines().map(str::trim).filter(|line| !line.starts_with('#'));
            let pairs = lines.filter_map(|line| line.split_once([' ', '\t']));
            let properties = pairs.map(|(key, value)| Property::new(spanned(key), spanned(value.trim())));
            let bag = PropertyBag::new(name.clone(), span, properties.collect());
            match header {
                "PARSER" => parsers.define(bag, &mut found),
                "MULTILINE_PARSER" => parsers.define_multiline(bag, &mut found),
                other => panic!("a section {other}"),
            }
        }
    }
    let errors: Vec<_> = found.lines(&sources).filter(|line| line.contains(" error[")).collect();
    // Two files of the sources define one name in two ways, and are never loaded together.
    let others: Vec<_> = errors.iter().filter(|line| !line.contains("[duplicate-parser]")).collect();
    assert!(others.is_empty(), "{others:#?}");
}

fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\n[").filter_map(|part| {
        let (header, body) = part.trim_start_matches('[').split_once("]\n")?;
        header.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_').then_some((header, body))
    })
}
