//! What is shipped can be used: every configuration in `config/` loads without a finding.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use ikada::assemble::assemble;
use ikada::plugins::registry;
use ikada_config::{DiskFiles, ProcessEnv, load};

#[test]
fn every_shipped_configuration_loads_without_a_finding() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let mut loaded = load(&path, &DiskFiles, &ProcessEnv, &folder);
        assemble(&mut loaded, &registry(), true);
        let findings: Vec<String> = loaded.diagnostics.lines(&loaded.sources).collect();
        assert!(findings.is_empty(), "{findings:#?}");
        count += 1;
    }
    assert!(count > 0);
}
