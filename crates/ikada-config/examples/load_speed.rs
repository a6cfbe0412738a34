//! How much CPU time the loading of a large configuration takes: 200 sections, 2,000 lines, as a number per load.
//!
//! `cargo run --release -p ikada-config --example load_speed`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use ikada_config::{build_pipeline, from_text};

const LOADS: u64 = 100;

fn main() {
    let text = configuration();
    println!("{} lines, {} bytes", text.lines().count(), text.len());
    let before = cpu_nanos();
    for _ in 0..LOADS {
        let mut loaded = from_text("large.conf", text.as_str());
        let pipeline = build_pipeline(&loaded.document, &mut loaded.diagnostics);
        assert_eq!(pipeline.inputs.len() + pipeline.filters.len() + pipeline.outputs.len(), 200);
        assert!(loaded.diagnostics.is_empty());
    }
    println!("{} µs of CPU time per load", (cpu_nanos() - before) / LOADS / 1000);
}

/// 200 sections of 10 lines each.
fn configuration() -> String {
    let mut text = String::new();
    for number in 0..200 {
        let (kind, name) = match number % 4 {
            0 => ("INPUT", "dummy"),
            3 => ("OUTPUT", "null"),
            _ => ("FILTER", "modify"),
        };
        let key = if kind == "INPUT" { "Tag" } else { "Match" };
        text += &format!("[{kind}]\n    Name {name}\n    {key} app.{number}\n    Alias name_{number}\n");
        (0..6)
            .for_each(|option| text += &format!("    Option_{option} ${{VALUE:-some}} words and {number}\n"));
    }
    text
}

/// Time that this process has had a CPU, from `/proc`.
fn cpu_nanos() -> u64 {
    let line = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}
