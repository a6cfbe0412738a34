//! The command.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ikada_config::{Env, Loaded, ProcessEnv};
use ikada_plugin::registry::Registry;
use ikada_record::Timestamp;

use super::args::Args;
use super::compare::compare;
use super::expectations::{Case, Expectations};
use super::replay::{Feed, Received, Replay, replay};
use super::samples::samples;
use crate::assemble::assemble;
use crate::cli::Run;
use crate::init::{AwsFetch, Init, Overlay};
use crate::load::load_with;
use crate::render;
use crate::run::Exit;

/// Runs samples and expectations, and prints what came of them.
///
/// The exit status is 0 if all is as expected, 1 if a test fails or the configuration or a file is wrong.
pub fn run(args: &Args, registry: &Registry) -> Exit {
    let mut work = Work { args, registry, failed: 0, passed: 0, text: String::new() };
    let outcome = work.all();
    drop(std::io::stdout().lock().write_all(work.text.as_bytes()));
    match outcome {
        Ok(()) if work.failed == 0 => Exit::Clean,
        Ok(()) => Exit::Config,
        Err(error) => {
            if !error.is_empty() {
                drop(writeln!(std::io::stderr().lock(), "error: {error}"));
            }
            Exit::Config
        }
    }
}

struct Work<'w> {
    args: &'w Args,
    registry: &'w Registry,
    failed: usize,
    passed: usize,
    /// What is printed in the end.
    text: String,
}

impl Work<'_> {
    fn all(&mut self) -> Result<(), String> {
        if self.args.files.is_empty() {
            return Err("name files of samples or expectations; `-` is standard input".to_owned());
        }
        for file in &self.args.files {
            let bytes = read(file)?;
            match std::str::from_utf8(&bytes) {
                Ok(text) if Expectations::is_one(text) => self.expectations(file, text)?,
                _ => self.samples(&bytes)?,
            }
        }
        if self.passed + self.failed > 0 {
            self.text.push_str(&format!("{} passed, {} failed\n", self.passed, self.failed));
        }
        Ok(())
    }

    fn samples(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Args { run, tag, from, .. } = self.args;
        let mut loaded = self.load(run, &[])?;
        let feed = match is_tail(&loaded, from.as_deref()) {
            true => Feed::File(bytes.to_vec()),
            false => Feed::Entries(samples(bytes)),
        };
        let replay = replay(&mut loaded, self.registry, from.as_deref(), tag.as_deref(), feed);
        let replay = replay.map_err(|error| chain(&error))?;
        let text = if self.args.json { as_json(&replay) } else { as_text(&replay) };
        self.text.push_str(&text);
        Ok(())
    }

    fn expectations(&mut self, file: &Path, text: &str) -> Result<(), String> {
        let expectations =
            Expectations::parse(text).map_err(|error| format!("{}:{error}", file.display()))?;
        let mut run = self.args.run.clone();
        if run.config.is_none() {
            let beside = file.parent().unwrap_or(Path::new(""));
            run.config = expectations.config.as_ref().map(|config| beside.join(config));
        }
        if run.config.is_none() && run.sections.is_empty() {
            return Err(format!("{}: write `config: FILE`, or give `-c FILE`", file.display()));
        }
        for case in &expectations.cases {
            let mut loaded = self.load(&run, &expectations.env)?;
            let replay = self.replay(&mut loaded, case)?;
            self.judge(case, &replay);
        }
        Ok(())
    }

    fn replay(&self, loaded: &mut Loaded, case: &Case) -> Result<Replay, String> {
        let feed = match is_tail(loaded, case.from.as_deref()) {
            true => Feed::File(case.text.clone()),
            false => Feed::Entries(case.input.clone()),
        };
        let replay = replay(loaded, self.registry, case.from.as_deref(), case.tag.as_deref(), feed);
        replay.map_err(|error| format!("{}: {}", case.name, chain(&error)))
    }

    fn judge(&mut self, case: &Case, replay: &Replay) {
        let differences = compare(case, replay);
        if differences.is_empty() {
            self.passed += 1;
            self.text.push_str(&format!("ok    {}\n", case.name));
            return;
        }
        self.failed += 1;
        self.text.push_str(&format!("FAIL  {}\n", case.name));
        for difference in differences {
            self.text.push_str(&format!("      {}\n", difference.replace('\n', "\n      ")));
        }
    }

    /// A configuration without errors; otherwise they are shown.
    fn load(&self, run: &Run, env: &[(String, String)]) -> Result<Loaded, String> {
        let working_dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let own: BTreeMap<String, String> = env.iter().cloned().collect();
        let process = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        let environment = process.chain(env.iter().cloned());
        let view = Arc::new(OwnFirst(own));
        let (files, config) = (Overlay::default(), run.config.as_deref());
        let init = Init::prepare(files, config, &working_dir, environment, view, AwsFetch::shared());
        let loaded = load_with(run, &init, &working_dir);
        let mut checked = loaded.clone();
        drop(assemble(&mut checked, self.registry, true));
        if checked.diagnostics.has_errors() {
            render::findings(&checked.diagnostics, &checked.sources);
            return Err("the configuration contains errors".to_owned());
        }
        Ok(loaded)
    }
}

/// Variables of the expectations before those of the process.
struct OwnFirst(BTreeMap<String, String>);

impl Env for OwnFirst {
    fn var(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned().or_else(|| ProcessEnv.var(name))
    }
}

/// Whether samples from this input are to be read by `tail`.
fn is_tail(loaded: &Loaded, from: Option<&str>) -> bool {
    let Some(from) = from else { return false };
    let inputs = ikada_config::build_pipeline(&loaded.document, &mut ikada_diag::Diagnostics::new()).inputs;
    inputs.iter().any(|input| (input.id == from || input.name() == from) && input.plugin.value == "tail")
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        let done = std::io::stdin().lock().read_to_end(&mut bytes);
        return done.map(|_| bytes).map_err(|error| format!("cannot read standard input: {error}"));
    }
    std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

fn as_text(replay: &Replay) -> String {
    let mut text = String::new();
    for (name, received) in &replay.outputs {
        text.push_str(&format!("{name}: {}\n", counted(received.len())));
        for Received { tag, time, record } in received {
            text.push_str(&format!("  {tag} {} {record}\n", shown(*time)));
        }
    }
    if replay.filtered > 0 {
        text.push_str(&format!("dropped by filters: {}\n", counted(replay.filtered as usize)));
    }
    if replay.unmatched > 0 {
        text.push_str(&format!("matched no output: {}\n", counted(replay.unmatched as usize)));
    }
    text
}

fn as_json(replay: &Replay) -> String {
    let lines = replay.outputs.iter().flat_map(|(name, received)| {
        received.iter().map(move |Received { tag, time, record }| {
            let line =
                serde_json::json!({ "output": name, "tag": tag, "time": shown(*time), "record": record });
            format!("{line}\n")
        })
    });
    lines.collect()
}

fn counted(records: usize) -> String {
    if records == 1 { "1 record".to_owned() } else { format!("{records} records") }
}

fn shown(time: Timestamp) -> String {
    let time = chrono::DateTime::from_timestamp(time.secs(), time.nanos()).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
