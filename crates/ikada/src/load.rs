//! From the command line and the environment to a loaded configuration: the same for a start and for every other command.

use std::path::{Path, PathBuf};

use ikada_config::{Loaded, Section as ConfigSection, SectionKind};

use crate::cli::{Run, Section};
use crate::init::Init;

/// Loads the configuration that a command line names, with what the environment adds and every file that an option names.
pub fn load(args: &Run) -> (Loaded, Init) {
    let working_dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let init = Init::of_process(args.config.as_deref(), &working_dir);
    (load_with(args, &init, &working_dir), init)
}

/// The same where the environment has been looked at.
pub(crate) fn load_with(args: &Run, init: &Init, working_dir: &Path) -> Loaded {
    let mut loaded = init.load();
    let (files, env) = (init.files(), init.env());
    let sections = command_line_sections(args, &mut loaded);
    loaded.put_first(sections, env);
    for path in &args.parsers {
        loaded.add_parsers(path, None, files, env, working_dir);
    }
    loaded.add_named_files(files, env, working_dir);
    loaded
}

/// What `-i`, `-F`, `-o`, `-T` and the service flags say, as sections that stand before those of the file.
fn command_line_sections(args: &Run, loaded: &mut Loaded) -> Vec<ConfigSection> {
    let mut sections = Vec::new();
    if !args.service.is_empty() {
        let pairs = args.service.iter().map(|(key, value)| (*key, value.as_str()));
        sections.push(ConfigSection::from_pairs(
            &mut loaded.sources,
            "command line",
            SectionKind::Service,
            pairs,
        ));
    }
    for plugin in &args.sections {
        let (kind, host_key) = match plugin.section {
            Section::Input => (SectionKind::Input, "listen"),
            Section::Filter => (SectionKind::Filter, "host"),
            Section::Output => (SectionKind::Output, "host"),
        };
        let (name, host, port) = address(&plugin.name);
        let mut pairs = vec![("name", name)];
        pairs.extend(host.map(|host| (host_key, host)));
        pairs.extend(port.map(|port| ("port", port)));
        pairs.extend(plugin.properties.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        sections.push(ConfigSection::from_pairs(&mut loaded.sources, "command line", kind, pairs));
    }
    for (number, task) in args.stream_tasks.iter().enumerate() {
        let name = format!("flb-console:{number}");
        let pairs = [("name", name.as_str()), ("exec", task.as_str())];
        let kind = SectionKind::StreamTask;
        sections.push(ConfigSection::from_pairs(&mut loaded.sources, "command line", kind, pairs));
    }
    sections
}

/// Splits `forward://127.0.0.1:24224`.
fn address(name: &str) -> (&str, Option<&str>, Option<&str>) {
    let Some((name, rest)) = name.split_once("://") else { return (name, None, None) };
    match rest.rsplit_once(':') {
        Some((host, port)) => (name, Some(host), Some(port)),
        None => (name, Some(rest), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{self, Command};

    #[test]
    fn a_stream_task_of_the_command_line_is_one_of_a_file() {
        let words =
            ["-i", "dummy", "-T", "CREATE STREAM q AS SELECT a FROM TAG:'dummy.0';", "-T", "nonsense"];
        let Ok(Command::Run(args)) = cli::parse(words.map(str::to_owned)) else { panic!("a run") };
        let mut loaded = load(&args).0;
        let pipeline = ikada_config::build_pipeline(&loaded.document, &mut loaded.diagnostics);
        let names: Vec<_> = pipeline.streams.iter().map(|task| task.name.value.as_str()).collect();
        assert_eq!(names, ["flb-console:0"]);
        let found: Vec<_> = loaded.diagnostics.lines(&loaded.sources).collect();
        assert!(
            found.iter().any(|line| line.starts_with("command line:1:") && line.contains("stream")),
            "{found:?}"
        );
    }
}
