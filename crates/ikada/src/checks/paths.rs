//! Files that options name and that cannot be read. Only a start and `ikada check` look: a disk is asked.

use std::path::Path;

use ikada_config::{Files, Loaded, SectionKind};
use ikada_diag::{Diagnostic, codes};
use ikada_options::Property;

/// Options that name a file which is read at start.
const READ: [&str; 5] = ["tls.ca_file", "tls.crt_file", "tls.key_file", "tls.ca_path", "script"];

/// Adds a finding for every file that is not there, where nothing is said of it yet.
pub(crate) fn unreadable_paths(loaded: &mut Loaded, files: &dyn Files) {
    let mut found = Vec::new();
    for section in loaded.document.sections().iter().filter(|section| section.kind.plugin().is_some()) {
        let named = |property: &&Property| READ.iter().any(|name| property.is_named(name));
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
        if section.kind == SectionKind::Input && is_tail(section) {
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

fn is_tail(section: &ikada_config::Section) -> bool {
    section.get("name").is_some_and(|name| name.value.eq_ignore_ascii_case("tail"))
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
