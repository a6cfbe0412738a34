//! Every recorded case of the filters Ikada has.

use std::collections::BTreeSet;
use std::path::Path;

use ikada_filters::expect::{Expect, ExpectOptions};
use ikada_filters::filters;
use ikada_filters::stdout::{Stdout, StdoutOptions};
use ikada_msgpack::{MapView, View};
use ikada_options::Diagnostics;
use ikada_plugin::Filter;
use ikada_plugin::registry::find;
use ikada_record::accessor::Accessor;
use ikada_record::{Tag, Timestamp, record_at};
use ikada_route::Pattern;

use crate::pipeline::{Link, Record, pass};
use crate::support::{Paper, build_with, decode, encode, options, parsers_of, time};

/// Filters with recorded cases that this build leaves out.
#[cfg(feature = "lua")]
const NOT_YET: [&str; 0] = [];
#[cfg(not(feature = "lua"))]
const NOT_YET: [&str; 1] = ["lua"];

fn cases() -> Vec<Vec<u8>> {
    let text = include_str!("../cases/filter-cases.jsonl");
    text.lines().filter(|line| !line.trim().is_empty()).map(encode).collect()
}

/// What stands at a place of a case.
fn at<'c>(case: MapView<'c>, accessor: &str) -> Option<&'c [u8]> {
    Accessor::new(accessor).unwrap().lookup_map_raw(case)
}

fn text<'c>(case: MapView<'c>, accessor: &str) -> Option<&'c str> {
    let (view, _) = View::parse(at(case, accessor)?).unwrap();
    Some(std::str::from_utf8(view.as_str().unwrap()).unwrap())
}

fn list<'c>(case: MapView<'c>, accessor: &str) -> Vec<&'c [u8]> {
    let Some(raw) = at(case, accessor) else { return Vec::new() };
    View::parse(raw).unwrap().0.as_array().unwrap().raw().collect()
}

fn filter_names(case: MapView<'_>) -> Vec<String> {
    let filters = list(case, "filters");
    filters.iter().map(|filter| text(record_at(filter), "name").unwrap().to_ascii_lowercase()).collect()
}

fn is_built(name: &str) -> bool {
    find(&filters(), name).is_some()
}

#[test]
fn every_recorded_case_of_a_built_filter_ends_as_in_fluent_bit() {
    let cases = cases();
    let built: Vec<_> =
        cases.iter().filter(|case| filter_names(record_at(case)).iter().all(|name| is_built(name))).collect();
    assert!(built.len() >= 165, "only {} cases are replayed", built.len());
    let failures: Vec<String> = built
        .into_iter()
        .filter_map(|case| {
            let case = record_at(case);
            let problem = replay(case).err()?;
            Some(format!("{}: {problem}", text(case, "id").unwrap()))
        })
        .collect();
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_case_is_left_out_only_for_a_filter_that_is_not_built_yet() {
    for name in NOT_YET {
        assert!(!is_built(name), "{name} is built: take it from the list and replay its cases");
    }
    let mut met = BTreeSet::new();
    for case in &cases() {
        let names = filter_names(record_at(case));
        met.extend(names.into_iter().filter(|name| !is_built(name)));
    }
    assert_eq!(met, NOT_YET.iter().map(|name| (*name).to_owned()).collect());
}

/// Cases in which Ikada differs on purpose, each with what it does instead (`docs/compatibility.md`).
const DIFFERENCES: [(&str, Instead); 15] = [
    ("cl-missing-file", Instead::Refuses),
    ("ex-exit", Instead::EndsWith(r#"{"log":"x"}"#)),
    (
        "filter-active-off",
        Instead::EndsWith(r#"{"k1":"v1","k2":"v2","pre.a":"1","pre.b":"2","num":3,"x":"y"}"#),
    ),
    (
        "modify-value-star",
        Instead::EndsWith(r#"{"k1":"v1","k2":"v2","pre.a":"1","pre.b":"2","num":3,"k3":"*"}"#),
    ),
    ("lua-array-key", Instead::EndsWith(r#"{"e":[],"s":[1]}"#)),
    ("lua-bigint", Instead::EndsWith(r#"{"n":9007199254740993}"#)),
    ("lua-code-9", Instead::SaysSoLater),
    ("lua-env", Instead::EndsWith(r#"{"log":"x","h":true,"p":false}"#)),
    ("lua-error", Instead::SaysSoLater),
    ("rt-int-key", Instead::RetagsAs("num")),
    (
        "sysinfo",
        Instead::EndsWith(concat!(r#"{"log":"x","v":""#, env!("CARGO_PKG_VERSION"), r#"","os":"linux"}"#)),
    ),
    ("lift-not-map", Instead::SaysSoLater),
    ("parser-time-bad", Instead::SaysSoLater),
    ("tc-str-bad", Instead::SaysSoLater),
    ("tc-wrong-source", Instead::SaysSoLater),
];

/// Cases whose log lines come with the records, and so are no findings; what they end with is the same.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Instead {
    Refuses,
    EndsWith(&'static str),
    RetagsAs(&'static str),
    SaysSoLater,
}

fn replay(case: MapView<'_>) -> Result<(), String> {
    let id = text(case, "id").unwrap();
    let instead = DIFFERENCES.iter().find(|(known, _)| *known == id).map(|(_, instead)| *instead);
    let paper = Paper::default();
    let files = tempfile::tempdir().unwrap();
    for (name, content) in at(case, "files").into_iter().flat_map(|files| record_at(files).iter()) {
        let name = std::str::from_utf8(name.as_str().unwrap()).unwrap();
        std::fs::write(files.path().join(name), content.as_str().unwrap()).unwrap();
    }
    let (chain, findings) = chain(case, &paper, files.path());
    let is_logged = at(case, "log").is_some() && instead.is_none() && !id.starts_with("ex-");
    if is_logged && findings.is_empty() {
        return Err("Fluent Bit says something about it, Ikada does not".into());
    }
    let refused = findings.iter().any(|line| line.contains(" error["));
    let refuses = match instead {
        Some(Instead::Refuses) => true,
        Some(Instead::EndsWith(_)) => false,
        _ => at(case, "exit").is_some(),
    };
    if refused != refuses {
        return Err(format!("refused: {refused}, findings: {findings:?}"));
    }
    let Some(chain) = chain else { return Ok(()) };

    let tag = text(case, "tag").unwrap();
    let records: Vec<_> = match at(case, "batch") {
        Some(_) => list(case, "in"),
        None => vec![at(case, "in").unwrap()],
    };
    let records =
        records.into_iter().map(|body| Record { time: time(), metadata: None, body: body.to_vec() });
    let mut found: Vec<_> = pass(&chain, &Tag::from(tag), records.collect())
        .into_iter()
        .map(|(tag, record)| (tag.to_string(), shown(record.time), decode(&record.body)))
        .collect();
    let mut expected: Vec<_> = match instead {
        Some(Instead::EndsWith(record)) => vec![(tag.to_owned(), shown(time()), record.to_owned())],
        Some(Instead::RetagsAs(tag)) => {
            vec![(tag.to_owned(), shown(time()), decode(at(case, "in").unwrap()))]
        }
        _ => {
            let out = list(case, "out").into_iter().map(record_at);
            let tagged = |out| {
                let time = text(out, "time").map_or_else(|| shown(time()), str::to_owned);
                (text(out, "tag").unwrap().to_owned(), time, decode(at(out, "record").unwrap()))
            };
            out.map(tagged).collect()
        }
    };
    // The order of different tags does not count.
    found.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    if found != expected {
        return Err(format!("expected {expected:?}, found {found:?}"));
    }
    match text(case, "stdout") {
        Some(expected) if paper.text().trim_end() != expected => {
            Err(format!("expected to see {expected:?}, saw {:?}", paper.text()))
        }
        _ => Ok(()),
    }
}

/// A time as the cases write it.
fn shown(time: Timestamp) -> String {
    format!("{}.{:09}", time.secs(), time.nanos())
}

/// The filters of a case, `None` if one was refused; what they print goes on `paper`, their files are in a folder.
fn chain(case: MapView<'_>, paper: &Paper, files: &Path) -> (Option<Vec<Link>>, Vec<String>) {
    let parsers = parsers_of(text(case, "parsers").unwrap_or_default());
    let mut chain = Some(Vec::new());
    let mut findings = Vec::new();
    for filter in list(case, "filters").into_iter().map(record_at) {
        let name = text(filter, "name").unwrap().to_ascii_lowercase();
        let pattern = text(filter, "match").unwrap();
        let pairs: Vec<_> = list(filter, "props").into_iter().map(|raw| pair(raw, files)).collect();
        let mut properties = vec![("Match", pattern)];
        properties.extend(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let mut built = build_with(&name, &properties, parsers.clone());
        findings.append(&mut built.findings);
        match &*name {
            "stdout" => {
                built.filter = Some(Box::new(Stdout::build(&StdoutOptions {}, Box::new(paper.clone()))))
            }
            "expect" => built.filter = Some(no_exit(&properties)),
            _ => {}
        }
        chain = chain.zip(built.filter).map(|(mut chain, filter)| {
            chain.push(Link { pattern: Pattern::new(pattern), filter });
            chain
        });
    }
    (chain, findings)
}

/// An expectation that ends nothing but is told so.
fn no_exit(properties: &[(&str, &str)]) -> Box<dyn Filter> {
    let options: ExpectOptions = options("expect", &properties[1..]);
    Box::new(Expect::build(&options, Box::new(|| {}), &mut Diagnostics::new()).unwrap())
}

fn pair(raw: &[u8], files: &Path) -> (String, String) {
    let array = View::parse(raw).unwrap().0.as_array().unwrap();
    let word = |at| String::from_utf8(array.get(at).unwrap().as_str().unwrap().to_vec()).unwrap();
    let (key, value) = (word(0), word(1));
    let is_file = ["file", "script"].iter().any(|name| key.eq_ignore_ascii_case(name));
    let value = if is_file { files.join(value).display().to_string() } else { value };
    (key, value)
}
