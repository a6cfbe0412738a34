//! Every recorded case of the filters Ikada has.

use std::collections::BTreeSet;

use ikada_filters::filters;
use ikada_filters::stdout::{Stdout, StdoutOptions};
use ikada_msgpack::{MapView, View};
use ikada_plugin::Filter;
use ikada_plugin::registry::find;
use ikada_record::accessor::Accessor;
use ikada_record::{Tag, record_at};
use ikada_route::Pattern;

use crate::support::{Paper, build, decode, encode, run};

/// Filters with recorded cases that Ikada refuses by name so far.
const NOT_YET: [&str; 10] = [
    "checklist",
    "expect",
    "lua",
    "modify",
    "nest",
    "parser",
    "rewrite_tag",
    "sysinfo",
    "throttle",
    "type_converter",
];

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
    assert!(built.len() >= 49, "only {} cases are replayed", built.len());
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

fn replay(case: MapView<'_>) -> Result<(), String> {
    let paper = Paper::default();
    let (chain, findings) = chain(case, &paper);
    let is_logged = at(case, "log").is_some();
    if is_logged && findings.is_empty() {
        return Err("Fluent Bit says something about it, Ikada does not".into());
    }
    let refused = findings.iter().any(|line| line.contains(" error["));
    if refused != at(case, "exit").is_some() {
        return Err(format!("refused: {refused}, findings: {findings:?}"));
    }
    let Some(chain) = chain else { return Ok(()) };

    let tag = Tag::from(text(case, "tag").unwrap());
    let mut records: Vec<Vec<u8>> = match at(case, "batch") {
        Some(_) => list(case, "in").into_iter().map(<[u8]>::to_vec).collect(),
        None => vec![at(case, "in").unwrap().to_vec()],
    };
    for (pattern, filter) in &chain {
        if pattern.matches(tag.as_bytes()) {
            records = run(&**filter, &tag, &records);
        }
    }
    let found: Vec<_> = records.iter().map(|record| decode(record)).collect();
    let expected: Vec<_> =
        list(case, "out").into_iter().map(|out| decode(at(record_at(out), "record").unwrap())).collect();
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

type Chain = Vec<(Pattern, Box<dyn Filter>)>;

/// The filters of a case, `None` if one was refused; what they print goes on `paper`.
fn chain(case: MapView<'_>, paper: &Paper) -> (Option<Chain>, Vec<String>) {
    let mut chain = Some(Vec::new());
    let mut findings = Vec::new();
    for filter in list(case, "filters").into_iter().map(record_at) {
        let name = text(filter, "name").unwrap().to_ascii_lowercase();
        let pattern = text(filter, "match").unwrap();
        let pairs: Vec<_> = list(filter, "props").into_iter().map(pair).collect();
        let mut properties = vec![("Match", pattern)];
        properties.extend(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let mut built = build(&name, &properties);
        findings.append(&mut built.findings);
        if name == "stdout" {
            built.filter = Some(Box::new(Stdout::build(&StdoutOptions {}, Box::new(paper.clone()))));
        }
        chain = chain.zip(built.filter).map(|(mut chain, filter)| {
            chain.push((Pattern::new(pattern), filter));
            chain
        });
    }
    (chain, findings)
}

fn pair(raw: &[u8]) -> (String, String) {
    let array = View::parse(raw).unwrap().0.as_array().unwrap();
    let word = |at| String::from_utf8(array.get(at).unwrap().as_str().unwrap().to_vec()).unwrap();
    (word(0), word(1))
}
