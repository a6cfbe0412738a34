//! `cargo xtask deny`: where dependencies come from, under which licences, and that what must be there once is there once.
//!
//! `deny.toml` says the same to cargo-deny, for those who have it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::licence;
use crate::workspace::Metadata;

/// The registry, as cargo names it.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Licences that a dependency may have.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// What must not be there, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl", "TLS is rustls"),
    ("openssl-sys", "TLS is rustls"),
    ("native-tls", "TLS is rustls"),
    ("serde_yaml", "it is archived"),
];

/// What must be there in one version only, and why.
const ONCE: &[(&str, &str)] = &[
    ("rustls", "two would be two TLS stacks"),
    ("tokio-rustls", "two would be two TLS stacks"),
    ("aws-lc-rs", "two would be two sets of cryptography"),
    ("tokio", "two runtimes do not see each other"),
    ("hyper", "two would be two HTTP stacks"),
];

/// What must not become part of the program.
const NOT_IN_THE_PROGRAM: &[&str] = &["ikada-localaws", "ikada-testkit"];

/// What is wrong with the dependencies, one line each.
pub(crate) fn findings() -> Result<Vec<String>> {
    let metadata = Metadata::read()?;
    let mut findings = sources_and_licences(&metadata);
    findings.extend(banned(&metadata));
    findings.extend(doubled(&metadata));
    findings.extend(in_the_program(&metadata));
    Ok(findings)
}

fn sources_and_licences(metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    for package in metadata.packages() {
        let who = format!("{} {}", package.name(), package.version());
        if let Some(source) = package.source().filter(|source| *source != CRATES_IO) {
            findings.push(format!("{who}: comes from {source}; only crates.io is allowed"));
        }
        match package.licence() {
            Some(licence) if licence::is_allowed(licence, LICENCES) => {}
            Some(licence) => findings.push(format!("{who}: its licence `{licence}` is not on the list")),
            None => findings.push(format!("{who}: it names no licence")),
        }
    }
    findings
}

fn banned(metadata: &Metadata) -> Vec<String> {
    let find = |name: &str| BANNED.iter().find(|(banned, _)| *banned == name);
    let found = metadata.packages().filter_map(|package| find(package.name()));
    found.map(|(name, why)| format!("{name}: must not be there: {why}")).collect()
}

fn doubled(metadata: &Metadata) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata.packages() {
        versions.entry(package.name()).or_default().insert(package.version());
    }
    let mut findings = Vec::new();
    for (name, why) in ONCE {
        let Some(versions) = versions.get(name).filter(|versions| versions.len() > 1) else { continue };
        let versions: Vec<&str> = versions.iter().copied().collect();
        findings.push(format!("{name}: there are {}; {why}", versions.join(" and ")));
    }
    findings
}

fn in_the_program(metadata: &Metadata) -> Vec<String> {
    let names: BTreeMap<&str, &str> =
        metadata.packages().map(|package| (package.id(), package.name())).collect();
    let program = metadata.packages().find(|package| package.name() == "ikada" && package.source().is_none());
    let mut open: Vec<&str> = program.iter().map(|package| package.id()).collect();
    let mut seen: BTreeSet<&str> = open.iter().copied().collect();
    while let Some(id) = open.pop() {
        open.extend(metadata.normal_dependencies(id).filter(|dependency| seen.insert(dependency)));
    }
    let inside = seen.iter().filter_map(|id| names.get(id)).filter(|name| NOT_IN_THE_PROGRAM.contains(name));
    inside.map(|name| format!("{name}: must not become part of the program")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn package(name: &str, version: &str, licence: &str, source: Value) -> Value {
        json!({"name": name, "version": version, "id": format!("{name}@{version}"), "license": licence, "source": source})
    }

    #[test]
    fn foreign_sources_and_unknown_licences_are_found() {
        let metadata = Metadata::of(json!({"packages": [
            package("good", "1.0.0", "MIT OR Apache-2.0", json!(CRATES_IO)),
            package("own", "0.1.0", "Apache-2.0", Value::Null),
            package("bad", "1.0.0", "GPL-3.0-only", json!("git+https://example.com/bad")),
        ]}));
        assert_eq!(
            sources_and_licences(&metadata),
            [
                "bad 1.0.0: comes from git+https://example.com/bad; only crates.io is allowed",
                "bad 1.0.0: its licence `GPL-3.0-only` is not on the list",
            ]
        );
    }

    #[test]
    fn a_second_rustls_and_any_openssl_are_found() {
        let metadata = Metadata::of(json!({"packages": [
            package("rustls", "0.21.0", "MIT", json!(CRATES_IO)),
            package("rustls", "0.23.0", "MIT", json!(CRATES_IO)),
            package("openssl-sys", "0.9.0", "MIT", json!(CRATES_IO)),
        ]}));
        assert_eq!(doubled(&metadata), ["rustls: there are 0.21.0 and 0.23.0; two would be two TLS stacks"]);
        assert_eq!(banned(&metadata), ["openssl-sys: must not be there: TLS is rustls"]);
    }

    #[test]
    fn what_only_tests_need_is_found_when_it_becomes_part_of_the_program() {
        let node = |id: &str, deps: Value| json!({"id": id, "deps": deps});
        let normal = |pkg: &str| json!({"pkg": pkg, "dep_kinds": [{"kind": null}]});
        let dev = |pkg: &str| json!({"pkg": pkg, "dep_kinds": [{"kind": "dev"}]});
        let graph = |third: Value| {
            Metadata::of(json!({
                "packages": [
                    package("ikada", "1", "MIT", Value::Null),
                    package("ikada-aws", "1", "MIT", Value::Null),
                    package("ikada-localaws", "1", "MIT", Value::Null),
                ],
                "resolve": {"nodes": [
                    node("ikada@1", json!([normal("ikada-aws@1")])),
                    node("ikada-aws@1", json!([third])),
                    node("ikada-localaws@1", json!([])),
                ]},
            }))
        };
        assert_eq!(in_the_program(&graph(dev("ikada-localaws@1"))), [] as [&str; 0]);
        let findings = in_the_program(&graph(normal("ikada-localaws@1")));
        assert_eq!(findings, ["ikada-localaws: must not become part of the program"]);
    }
}
