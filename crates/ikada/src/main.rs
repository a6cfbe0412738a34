//! `ikada -c FILE`.

use std::io::Write;
use std::process::ExitCode;

use ikada::cli::{self, Command, UsageError};
use ikada::run::Exit;
use ikada::{check, dlq, explain, help, log, plugins, run, schema, taskdef, trial};
use ikada_options::LogLevel;
use ikada_plugin::registry::Registry;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = words.split_first().and_then(|(first, rest)| help::command(first, rest));
    if let Some(text) = asked {
        return ExitCode::from(print(text) as u8);
    }
    match words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("check", rest)) => ExitCode::from(check(rest)),
        Some(("schema", _)) => ExitCode::from(print(&schema::text(&plugins::registry())) as u8),
        _ => ExitCode::from(start(words) as u8),
    }
}

/// `ikada check`, which has exit codes of its own.
fn check(words: &[String]) -> u8 {
    let registry = plugins::registry();
    let with_log = |run: &dyn Fn() -> u8| {
        log::start(LogLevel::Warn);
        let code = run();
        log::flush();
        code
    };
    let done = match is_about_a_task(words) {
        true => taskdef::Args::parse(words.iter().cloned())
            .map(|args| with_log(&|| taskdef::run(&args, &registry))),
        false => {
            check::args::parse(words.iter().cloned()).map(|args| with_log(&|| check::run(&args, &registry)))
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            complain(&error.to_string());
            Exit::Config as u8
        }
    }
}

fn start(words: Vec<String>) -> Exit {
    let registry = plugins::registry();
    if let Some(exit) = words.split_first().and_then(|(word, rest)| command(word, rest, &registry)) {
        return exit;
    }
    match cli::parse(words) {
        Ok(Command::Version) => print(&format!("Ikada v{}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Help(None)) => print(&help::general(&registry)),
        Ok(Command::Help(Some((section, name)))) => match help::plugin(&registry, section, &name) {
            Some(text) => print(&text),
            None => {
                complain(&format!("no plugin is named `{name}`"));
                Exit::Config
            }
        },
        Ok(Command::Run(args)) => {
            log::start(LogLevel::Info);
            let exit = run::run(&args, &registry);
            log::flush();
            exit
        }
        Err(error) => {
            complain(&error.to_string());
            print(&help::general(&registry));
            Exit::Config
        }
    }
}

/// The commands beside a run, by their first word.
fn command(word: &str, rest: &[String], registry: &Registry) -> Option<Exit> {
    let words = || rest.iter().cloned();
    if !["dlq", "explain", "test"].contains(&word) {
        return None;
    }
    log::start(LogLevel::Warn);
    let exit = match word {
        "dlq" => dlq::main(rest, registry),
        "explain" => with(explain::Args::parse(words()), |args| explain::run(args, registry)),
        "test" => with(trial::Args::parse(words()), |args| trial::run(args, registry)),
        _ => return None,
    };
    log::flush();
    Some(exit)
}

/// `ikada check --task-definition FILE`.
fn is_about_a_task(words: &[String]) -> bool {
    words.iter().any(|word| word.starts_with("--task-definition") || word.starts_with("--iam"))
}

fn with<A>(args: Result<A, UsageError>, run: impl FnOnce(&A) -> Exit) -> Exit {
    match args {
        Ok(args) => run(&args),
        Err(error) => {
            complain(&error.to_string());
            Exit::Config
        }
    }
}

fn print(text: &str) -> Exit {
    // A closed pipe behind `ikada -h | head` is no failure.
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
    Exit::Clean
}

fn complain(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "error: {text}"));
}
