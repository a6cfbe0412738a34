//! Fuzz bodies: what must hold whatever bytes come in.

use std::path::Path;

use ikada_diag::{Diagnostics, Sources, Span};

use crate::env::MapEnv;
use crate::files::MemoryFiles;
use crate::loaded::{Loaded, load};
use crate::pipeline::build_pipeline;

/// Loads bytes as a classic configuration and builds a pipeline of it. NUL bytes part the main file from files that it
/// may include as `a.conf`, `b.conf` and `c.conf`.
///
/// # Panics
///
/// When a span does not lie inside its text: that is what the fuzzer looks for.
pub fn fuzz_classic(data: &[u8]) {
    let loaded = load_parts(data, ["/etc/main.conf", "/etc/a.conf", "/etc/b.conf", "/etc/c.conf"]);
    check(&loaded);
    check_pipeline(&loaded);
}

/// Loads bytes as a YAML configuration and builds a pipeline of it. NUL bytes part the main file from files that it may
/// include as `a.yaml`, `b.yml` and `c.conf`.
///
/// # Panics
///
/// When a span does not lie inside its text: that is what the fuzzer looks for.
pub fn fuzz_yaml(data: &[u8]) {
    let loaded = load_parts(data, ["/etc/main.yaml", "/etc/a.yaml", "/etc/b.yml", "/etc/c.conf"]);
    check_findings(&loaded.diagnostics, &loaded.sources);
    for diagnostic in &loaded.diagnostics {
        let is_ours = diagnostic.code.starts_with("yaml") || diagnostic.code.ends_with("value");
        assert!(!is_ours || diagnostic.help.is_some(), "no help: {diagnostic:?}");
    }
    for section in loaded.document.sections() {
        check_span(section.header, &loaded.sources);
        check_span(section.name.span, &loaded.sources);
    }
    check_pipeline(&loaded);
}

fn load_parts(data: &[u8], names: [&str; 4]) -> Loaded {
    let mut files = MemoryFiles::new();
    for (name, content) in names.iter().zip(data.splitn(names.len(), |byte| *byte == 0)) {
        files.insert(*name, content);
    }
    let env = MapEnv::new().with("A", "1").with("LONG", "x".repeat(100));
    load(Path::new(names[0]), &files, &env, Path::new("/etc"))
}

fn check_pipeline(loaded: &Loaded) {
    let mut found = Diagnostics::new();
    let pipeline = build_pipeline(&loaded.document, &mut found);
    check_findings(&found, &loaded.sources);
    for instance in pipeline.inputs.iter().chain(&pipeline.filters).chain(&pipeline.outputs) {
        check_span(instance.plugin.span, &loaded.sources);
        for property in instance.bag.properties() {
            check_span(property.key.span, &loaded.sources);
            check_span(property.value.span, &loaded.sources);
        }
    }
}

fn check(loaded: &Loaded) {
    check_findings(&loaded.diagnostics, &loaded.sources);
    for section in loaded.document.sections() {
        check_span(section.header, &loaded.sources);
        assert_eq!(loaded.sources.slice(section.name.span), section.name.value);
        for property in &section.properties {
            assert_eq!(loaded.sources.slice(property.key.span), property.key.value);
            let written = property.written.as_ref().unwrap_or(&property.value.value);
            assert_eq!(loaded.sources.slice(property.value.span), written);
        }
    }
}

fn check_findings(found: &Diagnostics, sources: &Sources) {
    for diagnostic in found {
        if let Some(span) = diagnostic.span {
            check_span(span, sources);
        }
        assert!(!diagnostic.line(sources).contains('\n'), "a finding of several lines: {diagnostic:?}");
    }
}

fn check_span(span: Span, sources: &Sources) {
    let text = sources.text(span.source);
    assert!(text.get(span.start as usize..span.end as usize).is_some(), "{span:?} in {} bytes", text.len());
}
