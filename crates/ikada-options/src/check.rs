//! The test that every options struct has to pass.

use std::collections::HashMap;

use crate::spec::{OptionSpec, Options};

/// Fails a test when the declaration of `T` has problems; see [`problems_of`].
///
/// # Panics
///
/// When there is a problem, with all of them in the message.
pub fn check_set<T: Options>() {
    let problems = problems_of::<T>();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Returns what is wrong with the declaration of `T`: names that are not unique over all aliases or not lower case,
/// missing docs, defaults and examples that cannot be read.
pub fn problems_of<T: Options>() -> Vec<String> {
    let set = T::set();
    let mut problems = Vec::new();
    let set_name = format!("{} {}", set.kind.word(), set.name);
    if !is_sentence(set.doc) {
        problems.push(format!("{set_name}: the doc is no sentence: {:?}", set.doc));
    }
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for spec in &set.specs {
        for name in spec.names() {
            if let Some(other) = seen.insert(name, spec.name) {
                problems.push(format!("{set_name}: `{name}` names both `{other}` and `{}`", spec.name));
            }
        }
        problems.extend(problems_of_spec(spec).into_iter().map(|problem| format!("{set_name}: {problem}")));
    }
    problems
}

fn problems_of_spec(spec: &OptionSpec) -> Vec<String> {
    let mut problems = Vec::new();
    let name = spec.name;
    for known in spec.names() {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.';
        if known.is_empty() || !known.bytes().all(plain) {
            problems.push(format!("`{known}` is no lower-case name"));
        }
    }
    if !is_sentence(spec.doc) {
        problems.push(format!("`{name}`: the doc is no sentence: {:?}", spec.doc));
    }
    for (what, text) in [("default", spec.default), ("example", spec.example)] {
        let Some(text) = text else { continue };
        if let Err(error) = (spec.check)(text) {
            problems.push(format!("`{name}`: the {what} `{text}` {error}"));
        }
    }
    if spec.required && spec.example.is_none() {
        problems.push(format!("`{name}` is required and has no example"));
    }
    problems
}

fn is_sentence(doc: &str) -> bool {
    doc.starts_with(|c: char| !c.is_lowercase() && !c.is_whitespace())
        && doc.trim_end().ends_with(['.', ')', '`'])
}
