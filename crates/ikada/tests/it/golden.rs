//! Mistakes that people make, one small file each: what is found, where, what the help says, and that following it helps.
//!
//! A file `golden/*.conf` is a configuration with one mistake. At its end stand notes, which are comments to the loader:
//!
//! | line | meaning |
//! |---|---|
//! | `#? LINE:COLUMN SEVERITY CODE HELP` | the finding |
//! | `#= LINE TEXT` | what the line becomes by following the help |
//! | `#+ LINE TEXT` | a line behind that one |
//! | `#- LINE` | the line goes |
//! | `#file PATH TEXT` | a line of another file, beside this one |
//! | `#env NAME VALUE` | a variable |
//!
//! What is mended has neither errors nor warnings.

use std::collections::BTreeMap;
use std::path::Path;

use ikada_config::{Loaded, MapEnv, MemoryFiles, load};

use super::findings_of;

const MAIN: &str = "/etc/main.conf";

#[derive(Default)]
struct Case {
    name: String,
    text: String,
    finding: String,
    /// What becomes of a line: its new text, and what stands behind it.
    mended: BTreeMap<usize, Vec<String>>,
    files: BTreeMap<String, String>,
    env: MapEnv,
}

impl Case {
    fn read(path: &Path) -> Case {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        let mut case = Case { name, text: text.clone(), ..Case::default() };
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (first, behind) = rest.split_once(' ').unwrap_or((rest, ""));
            match word {
                "#?" => case.finding = rest.to_owned(),
                "#=" => case.mended.entry(first.parse().unwrap()).or_default().insert(0, behind.to_owned()),
                "#+" => case.mended.entry(first.parse().unwrap()).or_default().push(behind.to_owned()),
                "#-" => drop(case.mended.insert(first.parse().unwrap(), Vec::new())),
                "#file" => *case.files.entry(first.to_owned()).or_default() += &format!("{behind}\n"),
                "#env" => case.env = std::mem::take(&mut case.env).with(first, behind),
                _ => {}
            }
        }
        assert!(!case.finding.is_empty() && !case.mended.is_empty(), "{}", case.name);
        case
    }

    fn load(&self, text: &str) -> Loaded {
        let mut files = MemoryFiles::new().with(MAIN, text);
        for (name, text) in &self.files {
            files = files.with(format!("/etc/{name}"), text.as_str());
        }
        let mut loaded = load(Path::new(MAIN), &files, &self.env, Path::new("/etc"));
        loaded.add_named_files(&files, &self.env, Path::new("/etc"));
        loaded
    }

    fn mended_text(&self) -> String {
        let lines = self.text.lines().enumerate();
        let lines = lines.flat_map(|(at, line)| match self.mended.get(&(at + 1)) {
            Some(lines) => lines.clone(),
            None => vec![line.to_owned()],
        });
        lines.map(|line| line + "\n").collect()
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut words = self.finding.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (place, severity, code, help) = (word(), word(), word(), word());
        let start = format!("{MAIN}:{place}: {severity}[{code}]: ");
        let end = format!(" (help: {help})");
        let found = findings_of(self.load(&self.text));
        if !found.iter().any(|line| line.starts_with(&start) && line.ends_with(&end)) {
            problems.push(format!("no `{start}…{end}` in {found:#?}"));
        }
        let left = findings_of(self.load(&self.mended_text()));
        problems.extend(
            left.into_iter().filter(|line| !line.contains(": note[")).map(|line| format!("mended: {line}")),
        );
        problems
    }
}

#[test]
fn every_mistake_is_found_at_its_place_and_its_help_mends_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    assert!(paths.len() >= 60, "{}", paths.len());
    let mut report = String::new();
    for case in paths.iter().map(|path| Case::read(path)) {
        for problem in case.problems() {
            report += &format!("{}: {problem}\n", case.name);
        }
    }
    assert!(report.is_empty(), "\n{report}");
}
