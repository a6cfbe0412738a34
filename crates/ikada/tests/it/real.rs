//! Task definitions and external files as people write them, on their way through the loader and every plugin's checks.
//!
//! A file `fixtures/real/*.cases` holds many cases. Each is a title (`### …`) and lines that say, in this order of words,
//! how the agent's file comes about and what becomes of it:
//!
//! | line | meaning |
//! |---|---|
//! | `network bridge` | the task's network mode; `host` when it is not said |
//! | `metadata off` | `enable-ecs-log-metadata` is `false` |
//! | `container NAME` | the options that follow are those of this container; the first is `app` |
//! | `- KEY VALUE` | an option of its log configuration; `\n` is a line break |
//! | `secret KEY` | a secret option: its value is a variable |
//! | `include RE`, `exclude RE` | its patterns |
//! | `\| TEXT` | a line of the external file |
//! | `sink` | an output `stdout` for the container `app`, where the outputs do not matter |
//! | `file PATH` | an empty file that is there |
//! | `env NAME VALUE` | a variable |
//! | `> PLACE TEXT` | a warning: file, line, column, and how it starts; no other may be there |
//! | `refused PLACE TEXT` | an error, likewise; without any the configuration loads |
//! | `oracle TEXT` | what Fluent Bit 5.1.1 does when it is started with the same files, where that differs, and why |

use std::collections::BTreeMap;
use std::path::Path;

use ikada::plugins::registry;
use ikada_config::{Loaded, MapEnv, MemoryFiles, load_classic};
use ikada_plugin::registry::find;

use super::findings_of;

const MAIN: &str = "/fluent-bit/etc/fluent-bit.conf";
const EXTERNAL: &str = "/fluent-bit/etc/external.conf";

#[derive(Default)]
struct Case {
    title: String,
    network: String,
    without_metadata: bool,
    containers: Vec<Container>,
    external: Option<String>,
    sink: bool,
    files: Vec<String>,
    env: Vec<(String, String)>,
    warnings: Vec<String>,
    refused: Vec<String>,
}

#[derive(Default)]
struct Container {
    name: String,
    options: BTreeMap<String, String>,
    secrets: Vec<String>,
    include: Option<String>,
    exclude: Option<String>,
}

impl Case {
    fn take(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let text = rest.to_owned();
        match word {
            "network" => self.network = text,
            "metadata" => self.without_metadata = true,
            "container" => self.containers.push(Container { name: text, ..Container::default() }),
            "-" => {
                let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
                self.container().options.insert(key.to_owned(), value.replace("\\n", "\n"));
            }
            "secret" => self.container().secrets.push(text),
            "include" => self.container().include = Some(text),
            "exclude" => self.container().exclude = Some(text),
            "|" => *self.external.get_or_insert_default() += &format!("{text}\n"),
            "sink" => self.sink = true,
            "file" => self.files.push(text),
            "env" => {
                let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
                self.env.push((name.to_owned(), value.to_owned()));
            }
            ">" => self.warnings.push(text),
            "refused" => self.refused.push(text),
            "oracle" => {}
            other => panic!("`{other}` is no word of a case"),
        }
    }

    fn container(&mut self) -> &mut Container {
        if self.containers.is_empty() {
            self.containers.push(Container { name: "app".to_owned(), ..Container::default() });
        }
        self.containers.last_mut().unwrap()
    }

    /// What the container agent writes (reference, configuration §8.2).
    fn agent_file(&self) -> String {
        let mut file = String::new();
        let mut section = |header: &str, lines: &[String]| {
            file += &format!("\n[{header}]\n");
            lines.iter().for_each(|line| file += &format!("    {line}\n"));
        };
        let written = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        section("INPUT", &written(&["Name forward", "Mem_Buf_Limit 25MB", "unix_path /var/run/fluent.sock"]));
        let has_network = ["bridge", "awsvpc"].contains(&self.network.as_str());
        if has_network {
            let listen = if self.network == "awsvpc" { "Listen 127.0.0.1" } else { "Listen 0.0.0.0" };
            section("INPUT", &written(&["Name forward", listen, "Port 24224"]));
            let check = ["Name tcp", "Tag firelens-healthcheck", "Listen 127.0.0.1", "Port 8877"];
            section("INPUT", &written(&check));
        }
        for (kind, pattern) in [
            ("Regex  log", (|c: &Container| c.include.clone()) as fn(&Container) -> _),
            ("Exclude log", |c| c.exclude.clone()),
        ] {
            for container in &self.containers {
                let Some(pattern) = pattern(container) else { continue };
                let matched = format!("Match {}-firelens*", container.name);
                section("FILTER", &["Name   grep".to_owned(), matched, format!("{kind} {pattern}")]);
            }
        }
        if !self.without_metadata {
            let arn =
                "Record ecs_task_arn arn:aws:ecs:eu-central-1:111122223333:task/orders/0123456789abcdef";
            let lines = ["Record ecs_cluster orders", arn, "Record ecs_task_definition orders:42"];
            section("FILTER", &written(&[&["Name record_modifier", "Match *"], &lines[..]].concat()));
        }
        let included = self.external.as_ref().map(|_| format!("\n@INCLUDE {EXTERNAL}\n"));
        let mut file = file + included.as_deref().unwrap_or_default();
        let mut output = |lines: &[String]| {
            file += "\n[OUTPUT]\n";
            lines.iter().for_each(|line| file += &format!("    {line}\n"));
        };
        if has_network {
            output(&written(&["Name null", "Match firelens-healthcheck"]));
        }
        if self.sink {
            output(&written(&["Name stdout", "Match app-firelens*"]));
        }
        for (at, container) in self.containers.iter().enumerate() {
            let mut options = container.options.clone();
            options.remove("log-driver-buffer-limit");
            for secret in &container.secrets {
                options.insert(secret.clone(), format!("${{{secret}_{at}}}"));
            }
            let Some(name) = options.remove("Name") else { continue };
            let mut lines = vec![format!("Name {name}"), format!("Match {}-firelens*", container.name)];
            lines.extend(options.iter().map(|(key, value)| format!("{key} {value}")));
            output(&lines);
        }
        file
    }

    fn load(&self) -> Loaded {
        let mut files = MemoryFiles::new().with(MAIN, self.agent_file());
        if let Some(external) = &self.external {
            files = files.with(EXTERNAL, external.as_str());
        }
        for file in &self.files {
            files = files.with(file.as_str(), "");
        }
        let env = self.env.iter().fold(MapEnv::new(), |env, (name, value)| env.with(name, value));
        let mut loaded = load_classic(Path::new(MAIN), &files, &env, Path::new("/"));
        loaded.add_named_files(&files, &env, Path::new("/"));
        loaded
    }

    /// What is not as the case says.
    fn problems(&self) -> Vec<String> {
        let lines = findings_of(self.load());
        let lines = || lines.iter().map(|line| line.replace("/fluent-bit/etc/", ""));
        let errors: Vec<String> = lines().filter(|line| line.contains(": error[")).collect();
        let warnings: Vec<String> = lines().filter(|line| line.contains(": warning[")).collect();
        let refused: Vec<String> =
            self.refused.iter().filter(|line| !is_there_by_now(line)).cloned().collect();
        let mut problems = differences("refused", &refused, &errors);
        problems.extend(differences(">", &self.warnings, &warnings));
        for line in errors.iter().filter(|line| !line.contains(" (help: ")) {
            problems.push(format!("without a help: {line}"));
        }
        problems
    }
}

/// Says whether a line refuses a plugin that has come since it was written.
fn is_there_by_now(line: &str) -> bool {
    let Some((_, rest)) = line.split_once("error[unsupported-plugin]: Fluent Bit has `") else {
        return false;
    };
    let name = rest.split('`').next().unwrap_or_default();
    let registry = registry();
    find(&registry.inputs, name).is_some()
        || find(&registry.filters, name).is_some()
        || find(&registry.outputs, name).is_some()
}

/// Each expectation takes the first line that starts with it.
fn differences(word: &str, expected: &[String], found: &[String]) -> Vec<String> {
    let mut left: Vec<&String> = found.iter().collect();
    let mut problems = Vec::new();
    for text in expected {
        match left.iter().position(|line| line.starts_with(text.as_str())) {
            Some(at) => drop(left.remove(at)),
            None => problems.push(format!("missing: {word} {text}")),
        }
    }
    problems.extend(left.into_iter().map(|line| format!("found: {word} {line}")));
    problems
}

fn cases() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/real");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            match line.strip_prefix("### ") {
                Some(title) => {
                    cases.push((name.clone(), Case { title: title.to_owned(), ..Case::default() }));
                }
                None if line.is_empty() => {}
                None => cases.last_mut().unwrap().1.take(line),
            }
        }
    }
    cases
}

#[test]
fn what_people_write_loads_or_is_refused_for_a_reason() {
    let cases = cases();
    assert!(cases.len() > 120, "{}", cases.len());
    let mut report = String::new();
    for (file, case) in cases {
        let problems = case.problems();
        if !problems.is_empty() {
            report += &format!("{file}: {}\n    {}\n", case.title, problems.join("\n    "));
        }
    }
    assert!(report.is_empty(), "\n{report}");
}
