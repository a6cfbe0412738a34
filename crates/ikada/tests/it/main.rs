//! Configurations on their way through the loader, the registry and every plugin's own checks.
#![allow(clippy::unwrap_used, missing_docs)]

mod golden;
mod real;
mod schema;

use std::path::Path;

use ikada::assemble::assemble;
use ikada::plugins::registry;
use ikada_config::{Loaded, MapEnv, MemoryFiles, from_text, load_classic};

/// Loads a file that the agent generates, as it lies in the image with an external file beside it.
fn agent(name: &str) -> Loaded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ikada-config/tests/fixtures/agent").join(name);
    let external = "[SERVICE]\n    Flush 1\n    Grace 30\n\n[FILTER]\n    Name grep\n    Match app-firelens*\n    Exclude log /health\n";
    let extra = "[OUTPUT]\n    Name stdout\n    Match *\n";
    let main = "/fluent-bit/etc/fluent-bit.conf";
    let files = MemoryFiles::new()
        .with(main, std::fs::read(path).unwrap())
        .with("/fluent-bit/etc/external.conf", external)
        .with("/extra.conf", extra);
    let env = MapEnv::new()
        .with("apikey_0", "hunter2")
        .with("bucket_1", "audit-logs")
        .with("HOSTNAME", "ip-10-0-0-1");
    load_classic(Path::new(main), &files, &env, Path::new("/"))
}

/// Everything that is found in a configuration, as lines.
fn findings_of(mut loaded: Loaded) -> Vec<String> {
    assemble(&mut loaded, &registry(), true);
    loaded.diagnostics.lines(&loaded.sources).collect()
}

fn findings(loaded: Loaded) -> Vec<String> {
    findings_of(loaded).into_iter().filter(|line| line.contains(" error[")).collect()
}

#[test]
fn every_file_that_the_agent_generates_loads_unchanged() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ikada-config/tests/fixtures/agent");
    let mut seen = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // An option without a value cannot be loaded by anyone: the agent's own trap.
        if name == "empty-value.conf" {
            continue;
        }
        seen += 1;
        // Refused by name until they are there: the Go family. Refused by Fluent Bit, too: an http option of one vendor, and
        // `*failure*` as an expression.
        let refused = |line: &String| {
            ["error[unsupported-plugin]", "`apikey`", "`*failure*`"].iter().any(|text| line.contains(text))
        };
        wrong.extend(
            findings(agent(&name))
                .into_iter()
                .filter(|line| !refused(line))
                .map(|line| format!("{name}: {line}")),
        );
    }
    assert!(seen >= 13, "{seen}");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn an_empty_value_is_met_with_its_line() {
    let found = findings(agent("empty-value.conf"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("error[empty-value]") && found[0].contains("(help: "), "{found:?}");
}

#[test]
fn mistakes_are_all_told_at_once_with_their_place() {
    let text = "[INPUT]\n    Name forwrad\n[FILTER]\n    Name kubernetes\n    Match *\n[FILTER]\n    Name grep\n    Match *\n    Regex log (\n[OUTPUT]\n    Name s3\n    Match *\n    bukcet b\n    region eu-west-1\n";
    let found = findings(from_text("extra.conf", text));
    let starts = |at: usize, start: &str| assert!(found[at].starts_with(start), "{found:#?}");
    starts(
        0,
        "extra.conf:2:10: error[unknown-plugin]: no plugin is named `forwrad` (help: did you mean `forward`?)",
    );
    starts(1, "extra.conf:4:10: error[unsupported-plugin]: Fluent Bit has `kubernetes`");
    starts(2, "extra.conf:9:");
    assert!(found[2].contains("error[bad-regex]"), "{found:#?}");
    assert!(
        found.iter().any(|line| line.contains("error[missing-option]") && line.contains("bucket")),
        "{found:#?}"
    );
    assert!(
        found.iter().any(|line| line.contains("`bukcet`") && line.contains("did you mean `bucket`")),
        "{found:#?}"
    );
}

#[test]
fn one_input_and_one_output_need_no_match() {
    assert_eq!(
        findings(from_text("a.conf", "[INPUT]\n  Name dummy\n[OUTPUT]\n  Name stdout\n")),
        Vec::<String>::new()
    );
}

#[test]
fn names_are_told_apart_by_kind() {
    let registry = registry();
    for list in [
        registry.inputs.iter().map(|plugin| plugin.name).collect::<Vec<_>>(),
        registry.filters.iter().map(|plugin| plugin.name).collect(),
        registry.outputs.iter().map(|plugin| plugin.name).collect(),
    ] {
        let mut unique = list.clone();
        unique.dedup();
        assert_eq!(unique, list);
    }
}
