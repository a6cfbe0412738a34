//! Mistakes in YAML: each is found at its place, and gone when its help is followed.

mod table;

use super::*;
use table::MISTAKES;

/// Loads a text and returns what is found, but for missing inputs and outputs: most texts here are parts.
fn found(text: &str) -> Vec<String> {
    let mut loaded = from_text("main.yaml", text);
    build(&mut loaded);
    lines(&loaded)
        .into_iter()
        .filter(|line| !["[no-input]", "[no-output]"].iter().any(|code| line.contains(code)))
        .collect()
}

#[test]
fn each_mistake_is_found_at_its_place_with_a_help() {
    let mut failures = Vec::new();
    for (mistake, expected, _) in MISTAKES {
        let found = found(mistake);
        if found != *expected {
            failures.push(format!("{mistake}\nexpected {expected:#?}\nfound {found:#?}"));
        }
        let is_whole = |line: &String| line.starts_with("main.yaml:") && line.contains(" (help: ");
        assert!(found.iter().all(is_whole), "{found:#?}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn each_mistake_is_gone_when_its_help_is_followed() {
    for (mistake, _, followed) in MISTAKES {
        assert_eq!(found(followed), NONE, "{mistake}\nwritten as\n{followed}");
    }
}
