//! `ikada -c FILE`.

use std::io::Write;
use std::process::ExitCode;

use ikada::cli::{self, Command};
use ikada::run::Exit;
use ikada::{dlq, help, log, plugins, run};
use ikada_options::LogLevel;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let exit = start();
    ExitCode::from(exit as u8)
}

fn start() -> Exit {
    let registry = plugins::registry();
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("dlq", words)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        log::start(LogLevel::Warn);
        let exit = dlq::main(words, &registry);
        log::flush();
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

fn print(text: &str) -> Exit {
    // A closed pipe behind `ikada -h | head` is no failure.
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
    Exit::Clean
}

fn complain(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "error: {text}"));
}
