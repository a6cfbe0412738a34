//! The reference pages are what the code declares: written with `cargo xtask docs`, compared in every other run.

#![allow(clippy::unwrap_used)]

mod options;
mod page;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

use ikada_config::ServiceOptions;
use ikada_diag::codes;
use ikada_options::{FilterCommon, InputCommon, Options, OutputCommon};

use options::{common, plugin, service};
use page::{Page, findings, index};

#[test]
fn the_reference_pages_say_what_the_code_declares() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    let pages = pages();
    if env::var_os("IKADA_WRITE_REFERENCE").is_some() {
        write(&folder, &pages);
        return;
    }
    let there = read(&folder);
    let wrong: Vec<&str> = pages
        .keys()
        .chain(there.keys())
        .filter(|name| pages.get(*name) != there.get(*name))
        .map(String::as_str)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    assert!(wrong.is_empty(), "not as declared: {}; `cargo xtask docs` writes them anew", wrong.join(", "));
}

/// All pages by file name.
fn pages() -> BTreeMap<String, String> {
    let registry = ikada::plugins::registry();
    let mut pages = vec![service(&ServiceOptions::set())];
    pages.extend([
        common("input", &InputCommon::set()),
        common("filter", &FilterCommon::set()),
        common("output", &OutputCommon::set()),
    ]);
    pages.extend(
        registry.inputs.iter().map(|known| plugin("input", known.name, known.aliases, &(known.options)())),
    );
    pages.extend(
        registry.filters.iter().map(|known| plugin("filter", known.name, known.aliases, &(known.options)())),
    );
    pages.extend(
        registry.outputs.iter().map(|known| plugin("output", known.name, known.aliases, &(known.options)())),
    );
    pages.push(findings(codes::ALL));
    pages.push(index(&pages));
    pages.into_iter().map(|Page { file, text, .. }| (file, text)).collect()
}

fn read(folder: &PathBuf) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn write(folder: &PathBuf, pages: &BTreeMap<String, String>) {
    fs::create_dir_all(folder).unwrap();
    for name in read(folder).keys().filter(|name| !pages.contains_key(*name)) {
        fs::remove_file(folder.join(name)).unwrap();
    }
    for (name, text) in pages {
        fs::write(folder.join(name), text).unwrap();
    }
}
