//! Every example of the guide does what the guide says.

use std::path::Path;

use ikada_record::Tag;
use ikada_route::Pattern;

use crate::pipeline::{Link, Record, pass};
use crate::support::{build, decode, encode, time};

const GUIDE: &str = include_str!("../../../../docs/guide-filters.md");

/// The tag of every example.
const TAG: &str = "app.log";

#[test]
fn every_example_of_the_guide_is_true() {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("blocked.txt"), "10.0.0.7\n192.168.1.1\n").unwrap();
    let mut checked = 0;
    let mut section: Option<&str> = None;
    for block in blocks() {
        match section {
            _ if block.starts_with("[FILTER]") => section = Some(block),
            Some(text) if block.starts_with("< ") => {
                let chain = chain(text, files.path());
                for (record, expected) in examples(block) {
                    assert_eq!(run(&chain, record), expected, "{text}\n< {record}");
                    checked += 1;
                }
            }
            _ => section = None,
        }
    }
    assert!(checked >= 20, "{checked} examples");
}

/// The text between fences, in order. Blocks with sections of other kinds are for the whole program.
fn blocks() -> impl Iterator<Item = &'static str> {
    GUIDE.split("```").skip(1).step_by(2).map(|block| block.trim_start_matches(|c: char| c != '\n').trim())
}

fn chain(text: &str, files: &Path) -> Vec<Link> {
    let sections = text.split("[FILTER]").skip(1);
    sections
        .map(|section| {
            let lines = section.lines().filter_map(|line| line.trim().split_once(' '));
            let pairs: Vec<_> = lines.map(|(key, value)| (key, placed(key, value.trim(), files))).collect();
            let value = |name| pairs.iter().find(|(key, _)| *key == name).unwrap().1.clone();
            let properties: Vec<_> = pairs
                .iter()
                .filter(|(key, _)| *key != "Name")
                .map(|(key, value)| (*key, value.as_str()))
                .collect();
            let built = build(&value("Name"), &properties);
            assert_eq!(built.findings, Vec::<String>::new(), "{section}");
            Link { pattern: Pattern::new(&value("Match")), filter: built.filter.unwrap() }
        })
        .collect()
}

fn placed(key: &str, value: &str, files: &Path) -> String {
    match key {
        "file" => files.join(value).display().to_string(),
        _ => value.to_owned(),
    }
}

/// Each record with what comes out, one line for each.
fn examples(block: &str) -> Vec<(&str, Vec<String>)> {
    let mut examples: Vec<(&str, Vec<String>)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("< "), line.strip_prefix("> ")) {
            (Some(record), _) => examples.push((record, Vec::new())),
            (_, Some(out)) => examples.last_mut().unwrap().1.push(out.to_owned()),
            _ => panic!("{line}"),
        }
    }
    examples
}

fn run(chain: &[Link], record: &str) -> Vec<String> {
    let records = vec![Record { time: time(), metadata: None, body: encode(record) }];
    let out = pass(chain, &Tag::from(TAG), records).into_iter();
    out.map(|(tag, record)| {
        let body = decode(&record.body);
        if tag.as_bytes() == TAG.as_bytes() { body } else { format!("{tag} {body}") }
    })
    .collect()
}
