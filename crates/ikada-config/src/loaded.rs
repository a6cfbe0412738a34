//! What loading gives, and the doors to it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ikada_diag::{Diagnostic, Diagnostics, Sources, Span, codes};
use ikada_options::Property;

use crate::classic::{Loader, Place};
use crate::document::{Document, Format, Section, SectionKind};
use crate::env::{Env, MapEnv};
use crate::files::{Files, MemoryFiles};
use crate::variables::Variables;

/// A configuration as it was read, with everything that was found on the way.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The sections.
    pub document: Document,
    /// The texts that spans point into.
    pub sources: Sources,
    /// What was found.
    pub diagnostics: Diagnostics,
    /// What `@SET` lines set.
    pub(crate) own_variables: Vec<(String, String)>,
    /// Directory of the main file.
    pub(crate) main_dir: PathBuf,
}

/// Loads a configuration in the classic format: the main file and everything that it includes, each file in the format
/// that its extension tells.
///
/// Relative paths start at `working_dir`, then at the main file's directory, then at that of the including file.
pub fn load_classic(main: &Path, files: &dyn Files, env: &dyn Env, working_dir: &Path) -> Loaded {
    let place = Place { files, env, working_dir };
    let main_dir = directory_of(&working_dir.join(main));
    let mut loader = Loader::new(place, main_dir, Sources::default());
    loader.start_file(main, None);
    loader.run();
    loader.finish(&main.display().to_string())
}

/// Loads a configuration in the format that the path's extension tells: `.yaml` and `.yml`, in any case, are YAML,
/// everything else is classic. Each may include the other.
///
/// Relative paths in a classic file start as [`load_classic`] says; those in a YAML file start at its own directory.
pub fn load(main: &Path, files: &dyn Files, env: &dyn Env, working_dir: &Path) -> Loaded {
    load_classic(main, files, env, working_dir)
}

/// Loads a text in the format that its name's extension tells, with files and environment around it; includes start at the working directory.
pub fn load_text(
    name: &str,
    text: impl Into<Vec<u8>>,
    files: &dyn Files,
    env: &dyn Env,
    working_dir: &Path,
) -> Loaded {
    let place = Place { files, env, working_dir };
    let mut loader = Loader::new(place, working_dir.to_path_buf(), Sources::default());
    loader.start_text(name, text.into());
    loader.run();
    loader.finish(name)
}

/// Loads a text in the format that its name's extension tells, with nothing around it.
pub fn from_text(name: &str, text: impl Into<Vec<u8>>) -> Loaded {
    load_text(name, text, &MemoryFiles::new(), &MapEnv::new(), Path::new("/"))
}

impl Loaded {
    /// Returns an empty configuration, to which sections of the command line are added.
    pub fn nothing(origin: &str, working_dir: &Path) -> Self {
        let mut sources = Sources::default();
        let origin = sources.add(origin, "").span(0, 0);
        Loaded {
            document: Document::new(origin),
            sources,
            diagnostics: Diagnostics::new(),
            own_variables: Vec::new(),
            main_dir: working_dir.to_path_buf(),
        }
    }

    /// The directory of the main file; relative paths that are not found in the working directory are looked for there.
    pub fn main_dir(&self) -> &Path {
        &self.main_dir
    }

    /// What `@SET` lines or the section `env` set, by name.
    pub fn variables(&self) -> &[(String, String)] {
        &self.own_variables
    }

    /// Puts sections before those of the file, as the command line's are, and replaces the variables in them.
    pub fn put_first(&mut self, mut sections: Vec<Section>, env: &dyn Env) {
        let mut variables = Variables::new(env);
        for (name, value) in &self.own_variables {
            variables.set(name.clone(), value.clone());
        }
        for section in &mut sections {
            variables.expand_section(section, &mut self.diagnostics);
        }
        self.document.put_first(sections);
    }

    /// Reads a file that `Parsers_File` or `-R` names and adds its parsers; `span` is where it is named.
    ///
    /// A relative path starts at the working directory, then at the main file's directory.
    pub fn add_parsers(
        &mut self,
        path: &Path,
        span: Option<Span>,
        files: &dyn Files,
        env: &dyn Env,
        working_dir: &Path,
    ) {
        self.add(PARSERS, path, span, Place { files, env, working_dir });
    }

    /// Reads a file that `Streams_File` names and adds its stream tasks, as [`Loaded::add_parsers`] does for parsers.
    pub fn add_streams(
        &mut self,
        path: &Path,
        span: Option<Span>,
        files: &dyn Files,
        env: &dyn Env,
        working_dir: &Path,
    ) {
        self.add(STREAMS, path, span, Place { files, env, working_dir });
    }

    /// Reads a file that an output's `Upstream` names and adds its group of servers, as [`Loaded::add_parsers`] does for
    /// parsers.
    pub fn add_upstream(
        &mut self,
        path: &Path,
        span: Option<Span>,
        files: &dyn Files,
        env: &dyn Env,
        working_dir: &Path,
    ) {
        self.add(UPSTREAMS, path, span, Place { files, env, working_dir });
    }

    /// Reads every file that an option names and adds what it is read for: the parsers of `Parsers_File`, the stream tasks of
    /// `Streams_File`, and the servers of an output's `Upstream`, unless that names a group that is there already.
    pub fn add_named_files(&mut self, files: &dyn Files, env: &dyn Env, working_dir: &Path) {
        for (holds, path, span) in self.named_files() {
            self.add(holds, &path, Some(span), Place { files, env, working_dir });
        }
    }

    fn named_files(&self) -> Vec<(FileOf, PathBuf, Span)> {
        let mut named: Vec<(FileOf, PathBuf, Span)> = Vec::new();
        let mut seen = HashSet::new();
        let mut name = |holds: FileOf, property: &Property| {
            let path = PathBuf::from(&property.value.value);
            let is_new = seen.insert((holds.word, path.clone()));
            if is_new && !property.value.value.is_empty() {
                named.push((holds, path, property.value.span));
            }
        };
        for property in self.document.of_kind(SectionKind::Service).flat_map(|section| &section.properties) {
            match property.name().as_str() {
                "parsers_file" => name(PARSERS, property),
                "streams_file" => name(STREAMS, property),
                _ => {}
            }
        }
        let groups: HashSet<&str> = self
            .document
            .of_kind(SectionKind::Upstream)
            .filter_map(|section| section.get("name").map(|name| name.value.as_str()))
            .collect();
        for property in self.document.of_kind(SectionKind::Output).flat_map(|section| &section.properties) {
            if property.is_named("upstream") && !groups.contains(&property.value.value.as_str()) {
                name(UPSTREAMS, property);
            }
        }
        named
    }

    fn add(&mut self, holds: FileOf, path: &Path, span: Option<Span>, place: Place<'_>) {
        let candidates = [place.working_dir.join(path), self.main_dir.join(path)];
        let Some(found) = candidates.iter().find(|path| place.files.exists(path)) else {
            let tried: Vec<String> = candidates.iter().map(|path| format!("`{}`", path.display())).collect();
            let tried = if tried[0] == tried[1] { &tried[..1] } else { &tried[..] };
            let message = format!("the {} file `{}` does not exist", holds.word, path.display());
            if holds.word == PARSERS.word && candidates.iter().any(|path| is_of_the_image(path)) {
                let message = format!("the parsers file `{}` is not there", path.display());
                let help = "what Fluent Bit's image has in it is built in";
                self.diagnostics.push(Diagnostic::note(codes::NO_EFFECT, message).at(span).help(help));
                return;
            }
            let help = format!("tried {}", tried.join(", "));
            self.diagnostics.push(Diagnostic::error(codes::UNREADABLE_FILE, message).at(span).help(help));
            return;
        };
        let sources = std::mem::take(&mut self.sources);
        let mut loader = Loader::new(place, directory_of(found), sources);
        loader.start_file(found, span);
        loader.run();
        let read = loader.finish(&path.display().to_string());
        self.sources = read.sources;
        self.diagnostics.append(read.diagnostics);
        for mut section in read.document.into_sections() {
            if holds.kinds.contains(&section.kind) {
                section.file = Some(path.display().to_string());
                self.document.push_section(section);
            } else if section.kind != SectionKind::Unknown {
                self.diagnostics.push(holds.ignored(&section));
            }
        }
    }
}

/// What a file that an option names is read for.
#[derive(Clone, Copy)]
struct FileOf {
    word: &'static str,
    kinds: &'static [SectionKind],
}

const PARSERS: FileOf =
    FileOf { word: "parsers", kinds: &[SectionKind::Parser, SectionKind::MultilineParser] };
const STREAMS: FileOf = FileOf { word: "streams", kinds: &[SectionKind::StreamTask] };
const UPSTREAMS: FileOf = FileOf { word: "upstream", kinds: &[SectionKind::Upstream, SectionKind::Node] };

impl FileOf {
    fn ignored(self, section: &Section) -> Diagnostic {
        let name = &section.name.value;
        let article = if self.word.starts_with('u') { "an" } else { "a" };
        let message = match section.format {
            Format::Classic => format!("`[{name}]` in {article} {} file is ignored", self.word),
            Format::Yaml => format!("`{name}` in {article} {} file is ignored", self.word),
        };
        Diagnostic::warning(codes::UNSUPPORTED_SECTION, message)
            .at(section.header)
            .help("move it to a file that is included")
    }
}

/// Whether a path is that of a parsers file which Fluent Bit's image, or that of AWS, has from the start.
fn is_of_the_image(path: &Path) -> bool {
    let folder = path.parent().is_some_and(|folder| {
        ["/fluent-bit/etc", "/fluent-bit/parsers"].iter().any(|known| folder == Path::new(known))
    });
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(kind) = name.strip_prefix("parsers").and_then(|name| name.strip_suffix(".conf")) else {
        return false;
    };
    folder
        && matches!(
            kind,
            "" | "_ambassador"
                | "_cinder"
                | "_extra"
                | "_java"
                | "_kafka"
                | "_mult"
                | "_multiline"
                | "_openstack"
        )
}

fn directory_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(path: &str) -> Loaded {
        let text = format!("[SERVICE]\n    Parsers_File {path}\n");
        let (files, env, root) = (MemoryFiles::new(), MapEnv::new(), Path::new("/"));
        let mut loaded = load_text("a.conf", text, &files, &env, root);
        loaded.add_named_files(&files, &env, root);
        loaded
    }

    #[test]
    fn the_parsers_files_of_the_image_need_not_be_there() {
        for path in ["/fluent-bit/parsers/parsers.conf", "/fluent-bit/etc/parsers_multiline.conf"] {
            assert!(!loaded(path).diagnostics.has_errors(), "{path}");
        }
        for path in [
            "/fluent-bit/etc/extra.conf",
            "/fluent-bit/etc/parsers_json.conf",
            "/etc/parsers.conf",
            "parsers.conf",
        ] {
            assert!(loaded(path).diagnostics.has_errors(), "{path}");
        }
    }
}
