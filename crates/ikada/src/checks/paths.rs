//! Files that options name and that cannot be read. Only a start and `ikada check` look: a disk is asked.

use std::path::Path;

use ikada_config::{Files, Loaded, Section, SectionKind};
use ikada_diag::{Diagnostic, codes};
use ikada_options::Property;

/// Options that name a file which is read at start.
const READ: [&str; 5] = ["tls.ca_file", "tls.crt_file", "tls.key_file", "tls.ca_path", "script"];

/// Adds a finding for every file that is not there, where nothing is said of it yet.
pub(crate) fn unreadable_paths(loaded: &mut Loaded, files: &dyn Files) {
    let mut found = Vec::new();
    for section in loaded.document.sections().iter().filter(|section| section.kind.plugin().is_some()) {
        let is_list = section.kind == SectionKind::Filter && is_plugin(section, "checklist");
        let named = |property: &&Property| {
            READ.iter().any(|name| property.is_named(name)) || is_list && property.is_named("file")
        };
        for property in section.properties.iter().filter(named) {
            let is_told = loaded.diagnostics.iter().any(|finding| finding.span == Some(property.value.span));
            let path = Path::new(&property.value.value);
            // A script may lie beside the main file.
            let is_beside = property.is_named("script") && files.exists(&loaded.main_dir().join(path));
            if !property.value.value.is_empty() && !is_told && !is_beside && !files.exists(path) {
                let message = format!("`{}` names a file that is not there", property.key.value);
                let help = "the path is that inside the log router's container: put the file into its image";
                found
                    .push(Diagnostic::error(codes::MISSING_PATH, message).at(property.value.span).help(help));
            }
        }
        if section.kind == SectionKind::Input && is_plugin(section, "tail") {
            found.extend(
                section.properties.iter().filter(|p| p.is_named("path")).filter_map(|p| directory(p, files)),
            );
        }
    }
    loaded.diagnostics.extend(found);
}

fn exists(path: &str, files: &dyn Files) -> bool {
    files.exists(Path::new(path))
}

fn is_plugin(section: &Section, plugin: &str) -> bool {
    section.get("name").is_some_and(|name| name.value.eq_ignore_ascii_case(plugin))
}

/// A directory may come later; a mount that was forgotten never does.
fn directory(property: &Property, files: &dyn Files) -> Option<Diagnostic> {
    let missing = property.value.value.split(',').map(str::trim).find(|path| {
        let directory =
            Path::new(path).parent().map(|parent| parent.display().to_string()).unwrap_or_default();
        path.starts_with('/') && !directory.contains(['*', '?', '[']) && !exists(&directory, files)
    })?;
    let message = format!("the directory of `{missing}` is not there");
    let help = "mount the volume that holds it into the log router; it is looked for again and again";
    Some(Diagnostic::warning(codes::MISSING_PATH, message).at(property.value.span).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_not_there_is_told() {
        let text = "[FILTER]\n    Name Checklist\n    Match *\n    File /nowhere/list.txt\n\
                    [OUTPUT]\n    Name file\n    Match *\n    File /nowhere/out.txt\n";
        let mut loaded = ikada_config::from_text("a.conf", text.to_owned());
        unreadable_paths(&mut loaded, &ikada_config::DiskFiles);
        let found: Vec<_> = loaded.diagnostics.lines(&loaded.sources).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        let said = "a.conf:4:10: error[missing-path]: `File` names a file that is not there";
        assert!(found[0].starts_with(said), "{found:?}");
    }
}
