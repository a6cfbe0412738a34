//! `cargo xtask tidy`: the order of the house.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::{self, Metadata, Package};

/// Crates that use one of their own floor all the same, and why.
const NEIGHBOURS: &[(&str, &str)] = &[
    // `Match_Regex` is an expression in Ruby's dialect.
    ("ikada-route", "ikada-parse"),
    // A derive macro is one with the crate that it is for.
    ("ikada-options", "ikada-options-derive"),
];

/// Words that mark what somebody meant to come back to. Put together here, so that this file does not hold them.
const LEFTOVERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("dbg", "!(")];

/// Where a path begins that exists on somebody's machine only.
const HOMES: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/var/", "tmp/")];

/// The clock that no test can pause.
const WALL_CLOCK: &str = concat!("std::time::", "Instant");

/// Files that people write.
const WRITTEN: &[&str] = &["rs", "toml", "md", "sh", "conf", "yml", "yaml"];

/// Floor of the engine and of the plugins, which do not know each other.
const PLUGIN_FLOOR: u64 = 4;

/// What is out of order, one line each.
pub(crate) fn findings() -> Result<Vec<String>> {
    let metadata = Metadata::read()?;
    let house: Vec<Package<'_>> = metadata.house().collect();
    let mut findings = floors(&house);
    findings.extend(names(&house));
    for package in &house {
        findings.extend(first_lines(package)?);
    }
    let root = workspace::root();
    findings.extend(fuzz_targets(&root)?);
    for path in files(&root)? {
        let shown = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        // Files that are no text hold no words.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        findings.extend(leftovers(&shown, &text));
        findings.extend(wall_clock(&shown, &text));
    }
    Ok(findings)
}

/// Every fuzz body of a crate has its target, and every target its body: targets are built on nightly only, so nothing else
/// would say so.
fn fuzz_targets(root: &Path) -> Result<Vec<String>> {
    let mut bodies = Vec::new();
    for package in fs::read_dir(root.join("crates"))? {
        let package = package?.path();
        let Ok(text) = fs::read_to_string(package.join("src/fuzz.rs")) else { continue };
        let library = package.file_name().unwrap_or_default().to_string_lossy().replace('-', "_");
        let names = text.lines().filter_map(|line| line.strip_prefix("pub fn ")?.split_once('('));
        bodies.extend(names.map(|(name, _)| format!("{library}::fuzz::{name}(data)")));
    }
    let mut targets = Vec::new();
    let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml"))?;
    for target in fs::read_dir(root.join("fuzz/fuzz_targets"))? {
        let path = target?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if manifest.contains(&format!("fuzz_targets/{name}")) {
            targets.push(fs::read_to_string(&path)?);
        }
    }
    let without_target = bodies.iter().filter(|body| !targets.iter().any(|text| text.contains(*body)));
    let mut findings: Vec<String> =
        without_target.map(|body| format!("fuzz/Cargo.toml: no target calls {body}")).collect();
    if targets.len() != bodies.len() {
        findings.push(format!("fuzz/Cargo.toml: {} targets for {} bodies", targets.len(), bodies.len()));
    }
    Ok(findings)
}

/// A crate uses lower floors only.
fn floors(house: &[Package<'_>]) -> Vec<String> {
    let floors: BTreeMap<&str, Option<u64>> =
        house.iter().map(|package| (package.name(), package.floor())).collect();
    let mut findings = Vec::new();
    for package in house {
        let name = package.name();
        let Some(floor) = package.floor() else {
            findings.push(format!("{name}: names no floor (`[package.metadata.ikada] floor = N`)"));
            continue;
        };
        for used in package.asks_for() {
            let Some(below) = floors.get(used).copied().flatten() else { continue };
            if below >= floor && !NEIGHBOURS.contains(&(name, used)) {
                let rule = if floor == PLUGIN_FLOOR && below == PLUGIN_FLOOR {
                    "plugins know neither each other nor the engine"
                } else {
                    "a crate uses lower floors only"
                };
                findings.push(format!("{name} (floor {floor}) uses {used} (floor {below}): {rule}"));
            }
        }
    }
    findings
}

/// A crate's folder has its name.
fn names(house: &[Package<'_>]) -> Vec<String> {
    let differs =
        |package: &&Package<'_>| package.folder().file_name().is_none_or(|folder| folder != package.name());
    let wrong = house.iter().filter(differs);
    wrong.map(|package| format!("{}: its folder is {}", package.name(), package.folder().display())).collect()
}

/// A library's first lines say what it is, what it does not know, and show an example.
fn first_lines(package: &Package<'_>) -> Result<Vec<String>> {
    let path = package.folder().join("src/lib.rs");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(missing_in_doc(&text)
        .into_iter()
        .map(|missing| format!("{}: lib.rs {missing}", package.name()))
        .collect())
}

fn missing_in_doc(text: &str) -> Vec<&'static str> {
    let doc: Vec<&str> = text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .map(|line| line.trim_start_matches("//!").trim())
        .collect();
    let opening = doc.iter().take_while(|line| !line.is_empty()).copied().collect::<Vec<_>>().join(" ");
    let whole = doc.join(" ");
    let mut missing = Vec::new();
    if !opening.ends_with('.') || opening.contains(". ") {
        missing.push("does not open with one sentence");
    }
    if !whole.to_lowercase().contains("not know") {
        missing.push("does not say what it does not know");
    }
    // A procedural macro's examples are in the crate it is for.
    if !has_example(&doc) && !text.contains("#[proc_macro") {
        missing.push("shows no example");
    }
    missing
}

/// A fence that opens code to be compiled: nothing behind it, or words for rustdoc.
fn has_example(doc: &[&str]) -> bool {
    let mut fences = doc.iter().filter_map(|line| line.strip_prefix("```"));
    while let Some(kind) = fences.next() {
        if !kind.starts_with("text") && !kind.starts_with("ignore") {
            return true;
        }
        // The fence that closes it.
        fences.next();
    }
    false
}

/// Words that are not to stay.
fn leftovers(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in LEFTOVERS.iter().filter(|word| holds_word(line, word)) {
            findings.push(format!("{path}:{}: holds `{word}`", index + 1));
        }
        for home in HOMES.iter().filter(|home| starts_path(line, home)) {
            findings.push(format!("{path}:{}: names a path of one machine (`{home}`)", index + 1));
        }
    }
    findings
}

/// The crates measure time by the runtime's clock; what only tests them may use the other.
fn wall_clock(path: &str, text: &str) -> Option<String> {
    let is_crate = path.starts_with("crates/") && path.contains("/src/");
    let mut imports = text.lines().filter(|line| line.trim_start().starts_with("use std::time::"));
    let uses = text.contains(WALL_CLOCK) || imports.any(|line| holds_word(line, "Instant"));
    (is_crate && uses)
        .then(|| format!("{path}: uses {WALL_CLOCK}; tokio::time::Instant can be paused by tests"))
}

fn holds_word(line: &str, word: &str) -> bool {
    let is_letter =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    line.match_indices(word).any(|(at, _)| {
        let bytes = line.as_bytes();
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        !is_letter(before) && (word.ends_with('(') || !is_letter(bytes.get(at + word.len())))
    })
}

/// It stands at the start of a path, not inside one.
fn starts_path(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let before = at.checked_sub(1).and_then(|at| line.as_bytes().get(at));
        !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"}$_-.".contains(byte))
    })
}

/// All files that people write, except what is built and what was recorded.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if !["target", ".git", "proptest-regressions"].contains(&&*name) {
                    open.push(path);
                }
                continue;
            }
            let is_script = folder.ends_with(".ci");
            if is_script || path.extension().is_some_and(|end| WRITTEN.iter().any(|written| end == *written))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn metadata(packages: Value) -> Metadata {
        Metadata::of(json!({"workspace_root": "/w", "packages": packages}))
    }

    fn package(name: &str, folder: &str, floor: Value, uses: &[(&str, Value)]) -> Value {
        let uses: Vec<Value> = uses.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
        json!({
            "name": name,
            "manifest_path": format!("/w/crates/{folder}/Cargo.toml"),
            "metadata": {"ikada": {"floor": floor}},
            "dependencies": uses,
        })
    }

    #[test]
    fn a_crate_uses_lower_floors_only_except_in_its_tests() {
        let metadata = metadata(json!([
            package("low", "low", json!(1), &[("high", json!("dev"))]),
            package("ikada-options", "ikada-options", json!(1), &[("ikada-options-derive", Value::Null)]),
            package("ikada-options-derive", "ikada-options-derive", json!(1), &[]),
            package("high", "high", json!(4), &[("low", Value::Null), ("other", Value::Null)]),
            package("other", "other", json!(4), &[]),
            package("up", "up", json!(0), &[("low", Value::Null)]),
        ]));
        let house: Vec<_> = metadata.house().collect();
        assert_eq!(
            floors(&house),
            [
                "high (floor 4) uses other (floor 4): plugins know neither each other nor the engine",
                "up (floor 0) uses low (floor 1): a crate uses lower floors only",
            ]
        );
    }

    #[test]
    fn a_crate_without_a_floor_and_one_in_a_folder_of_another_name_are_found() {
        let metadata = metadata(json!([package("a", "b", Value::Null, &[])]));
        let house: Vec<_> = metadata.house().collect();
        assert_eq!(floors(&house), ["a: names no floor (`[package.metadata.ikada] floor = N`)"]);
        assert_eq!(names(&house), ["a: its folder is /w/crates/b"]);
    }

    #[test]
    fn a_librarys_doc_opens_with_one_sentence_and_holds_an_absence_and_an_example() {
        let whole = "//! Does a thing, over\n//! two lines.\n//!\n//! **What it does not know:** all else.\n//!\n//! ```\n//! ```\n";
        assert_eq!(missing_in_doc(whole), [] as [&str; 0]);
        assert_eq!(missing_in_doc("//! No full stop\n").len(), 3);
        assert_eq!(
            missing_in_doc(&whole.replace("//! ```\n//! ```", "//! ```text\n//! ```")),
            ["shows no example"]
        );
        assert_eq!(
            missing_in_doc("//! One. Two.\n//!\n//! It does not know. \n//! ```\n//! ```\n"),
            ["does not open with one sentence"]
        );
    }

    #[test]
    fn the_wall_clock_is_found_in_crates_and_nowhere_else() {
        let text = "use std::time::{Duration, Instant};\n";
        assert!(wall_clock("crates/ikada-x/src/a.rs", text).is_some());
        assert!(wall_clock("crates/ikada-x/src/a.rs", &format!("let now = {WALL_CLOCK}::now();")).is_some());
        assert_eq!(
            wall_clock("crates/ikada-x/src/a.rs", "use std::time::Duration;\nuse tokio::time::Instant;\n"),
            None
        );
        assert_eq!(wall_clock("crates/ikada-x/tests/it/a.rs", text), None);
    }

    #[test]
    fn words_of_haste_and_paths_of_one_machine_are_found() {
        let (later, home) = (LEFTOVERS[0], HOMES[0]);
        let text = format!("// {later}: later\nlet {later}S = 1;\nread(\"{home}me/x\");\nGET /a{home}b\n");
        let found = leftovers("a.rs", &text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.rs:1: ") && found[1].starts_with("a.rs:3: "), "{found:?}");
    }
}
