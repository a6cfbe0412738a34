//! Random chains of filters on random records, through Fluent Bit and through the filters: set `FLUENT_BIT_BIN` to a Fluent Bit to run it.
//! With `IKADA_BIN` set to the program, that is run as well, with the same configuration; `IKADA_SEED` takes other chains.
//!
//! The generator stays within what both programs say the same of. What it leaves out is where they differ on purpose
//! (`docs/compatibility.md`); each such choice is marked with *Explained* in `generate.rs`.
#![allow(clippy::unwrap_used, missing_docs)]

mod canonical;
mod generate;
mod peer;
#[path = "../it/pipeline.rs"]
mod pipeline;
#[path = "../it/support.rs"]
#[allow(dead_code)]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use canonical::canonical;
use generate::{Chain, Rng};
use ikada_record::json::dump_value;
use ikada_record::{Tag, Timestamp};
use ikada_route::Pattern;
use pipeline::{Link, Record, pass};

/// Chains in all, and chains that one run of the other program takes.
const CHAINS: usize = 2000;
const AT_ONCE: usize = 250;

/// What comes out under each tag, in an order of its own: one line for each record.
pub(crate) type Outcome = BTreeMap<String, Vec<String>>;

#[test]
fn random_chains_end_as_in_fluent_bit() {
    let Some(program) = std::env::var_os("FLUENT_BIT_BIN") else {
        eprintln!("skipped: FLUENT_BIT_BIN is not set");
        return;
    };
    let seed = std::env::var("IKADA_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_122);
    let files = tempfile::tempdir().unwrap();
    generate::write_lists(files.path());
    let mut rng = Rng::new(seed);
    let chains: Vec<_> = (0..CHAINS).map(|number| Chain::random(number, &mut rng, files.path())).collect();
    let mut differences = Vec::new();
    let ikada = std::env::var_os("IKADA_BIN");
    for batch in chains.chunks(AT_ONCE) {
        let mut own: Vec<_> = batch.iter().map(run).collect();
        let expected = own.iter().flat_map(|outcome| outcome.values()).map(Vec::len).sum();
        let theirs = peer::run(Path::new(&program), batch, expected);
        if let Some(ikada) = &ikada {
            let all = peer::run(Path::new(ikada), batch, expected);
            own = batch.iter().map(|chain| part_of(&all, chain)).collect();
        }
        for (chain, own) in batch.iter().zip(own) {
            let (mut own, mut theirs) = (own, part_of(&theirs, chain));
            if chain.is_scripted() {
                [&mut own, &mut theirs].into_iter().for_each(sort_keys);
            }
            if own != theirs {
                differences.push(format!("{chain}\n  Fluent Bit: {theirs:#?}\n  Ikada: {own:#?}\n"));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {CHAINS} chains end otherwise (seed {seed}):\n{}",
        differences.len(),
        differences.iter().take(12).cloned().collect::<String>()
    );
}

/// Makes lines equal that differ in the order of keys only.
fn sort_keys(outcome: &mut Outcome) {
    for lines in outcome.values_mut() {
        lines.iter_mut().for_each(|line| *line = canonical(line));
        lines.sort();
    }
}

/// What a chain's records ended as.
fn part_of(all: &Outcome, chain: &Chain) -> Outcome {
    let start = format!("{}.", chain.name());
    all.iter()
        .filter(|(tag, _)| tag.starts_with(&start))
        .map(|(tag, lines)| (tag.clone(), lines.clone()))
        .collect()
}

/// Sends the chain's records through its filters.
fn run(chain: &Chain) -> Outcome {
    let parsers = support::parsers_of(generate::PARSERS);
    let links: Vec<_> = chain
        .filters
        .iter()
        .map(|section| {
            let properties: Vec<_> =
                section.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let built = support::build_with(section.name, &properties, Arc::clone(&parsers));
            let filter = built.filter.unwrap_or_else(|| panic!("{chain}\n{:?}", built.findings));
            Link { pattern: Pattern::new(&section.pattern), filter }
        })
        .collect();
    let records = chain.records.iter().zip(0..);
    let records = records.map(|(body, n)| Record { time: chain.time(n), metadata: None, body: body.clone() });
    let mut outcome = Outcome::new();
    for (tag, record) in pass(&links, &Tag::from(&*chain.tag()), records.collect()) {
        let line = line(record.time, &record.body);
        outcome.entry(tag.to_string()).or_default().push(line);
    }
    outcome.values_mut().for_each(|lines| lines.sort());
    outcome
}

/// A record as Fluent Bit's standard output shows it.
fn line(time: Timestamp, body: &[u8]) -> String {
    let mut text = format!("[[{}.{:09}, {{}}], ", time.secs(), time.nanos()).into_bytes();
    dump_value(&mut text, body);
    text.push(b']');
    String::from_utf8_lossy(&text).into_owned()
}
