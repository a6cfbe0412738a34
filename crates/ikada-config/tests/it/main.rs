//! The loader as the program uses it: files in, instances and findings out.
#![allow(clippy::unwrap_used, missing_docs)]

mod agent;
mod grammar;
mod hostile;
mod includes;
mod parts;
mod pipeline;
mod variables;
mod yaml;
mod yaml_mistakes;

use std::path::Path;

use ikada_config::{
    Instance, Loaded, MapEnv, MemoryFiles, Pipeline, build_pipeline, from_text, load_classic,
};

/// Loads a text with nothing around it and returns its findings as lines.
fn findings(text: &str) -> Vec<String> {
    let loaded = from_text("main.conf", text);
    loaded.diagnostics.lines(&loaded.sources).collect()
}

/// Loads `/etc/main.conf`, the working directory being `/work`.
fn load(files: &MemoryFiles) -> Loaded {
    load_classic(Path::new("/etc/main.conf"), files, &MapEnv::new(), Path::new("/srv"))
}

/// Loads `/etc/main.yaml`, the working directory being `/work`.
fn load_yaml(files: &MemoryFiles) -> Loaded {
    ikada_config::load(Path::new("/etc/main.yaml"), files, &MapEnv::new(), Path::new("/srv"))
}

fn lines(loaded: &Loaded) -> Vec<String> {
    loaded.diagnostics.lines(&loaded.sources).collect()
}

/// Builds the pipeline; its findings join those of the loading.
fn build(loaded: &mut Loaded) -> Pipeline {
    build_pipeline(&loaded.document, &mut loaded.diagnostics)
}

/// Loads a text and builds its pipeline.
fn pipeline_of(text: &str) -> (Pipeline, Vec<String>) {
    let mut loaded = from_text("main.conf", text);
    let pipeline = build(&mut loaded);
    let lines = lines(&loaded);
    (pipeline, lines)
}

/// Returns an instance as one line: its id and all its properties.
fn told(instance: &Instance) -> String {
    let properties: Vec<String> =
        instance.bag.properties().iter().map(|p| format!("{}={}", p.name(), p.value.value)).collect();
    format!("{} {}", instance.id, properties.join(" "))
}

const NONE: [&str; 0] = [];
