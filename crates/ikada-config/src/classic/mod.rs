//! The classic format: lines, sections, includes and variables.
//!
//! Reading goes in this order: the main file from its top; at an `@INCLUDE`, the included files before the rest of the
//! file; when everything is read, `@SET` lines are collected, wherever they stood; then variables are replaced in all
//! values. Nothing ends the reading early.

mod include;
mod indent;
mod line;
mod names;
mod section;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ikada_diag::{Diagnostic, Diagnostics, SourceId, Sources, Span, Spanned, codes};

use crate::document::{Document, Format, Section, SectionKind};
use crate::env::Env;
use crate::files::Files;
use crate::loaded::Loaded;
use crate::variables::Variables;
use crate::yaml::{self, Item};
use include::Pending;
use indent::Indent;
use line::Piece;

/// Longest line that is read, in bytes, as in Fluent Bit.
const LONGEST_LINE: usize = 32 << 20;

/// Where a configuration is read: its files, its environment, and the directory that relative paths start at.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) files: &'a dyn Files,
    pub(crate) env: &'a dyn Env,
    pub(crate) working_dir: &'a Path,
}

/// Reads files into a document.
pub(crate) struct Loader<'a> {
    place: Place<'a>,
    /// Directory of the main file.
    main_dir: PathBuf,
    sources: Sources,
    diags: Diagnostics,
    /// What has been read.
    sections: Vec<Section>,
    /// The place that stands for the whole: the start of the first text.
    origin: Option<Span>,
    /// How the first text is written.
    format: Format,
    /// Where `service` stands in YAML, which may have it once.
    yaml_service: Option<Span>,
    /// For each section: whether a line stood in it.
    filled: Vec<bool>,
    /// `@SET` lines and entries of `env`: name and value.
    settings: Vec<(Spanned<String>, String)>,
    /// The files that are being read, each included by the one before it.
    frames: Vec<Frame>,
    /// Every file that was read, with the place of its include.
    seen: HashMap<(u64, u64), Option<Span>>,
    room: usize,
}

/// A file that is being read.
struct Frame {
    source: SourceId,
    text: Rc<str>,
    /// Offset of the next line.
    next: usize,
    directory: PathBuf,
    identity: Option<(u64, u64)>,
    indent: Indent,
    /// The section that lines belong to, as its place among all.
    section: Option<usize>,
    /// Whether it has been said that a line stands before the first header.
    orphan_reported: bool,
    /// What is left of a YAML file, which is read whole; a classic file is read line by line.
    items: Option<VecDeque<Item>>,
    /// Files to read before the next line.
    pending: VecDeque<Pending>,
}

/// A line and where it starts.
#[derive(Clone, Copy)]
struct LineAt<'l> {
    source: SourceId,
    start: usize,
    line: &'l str,
}

impl LineAt<'_> {
    fn span(&self, piece: Piece<'_>) -> Span {
        self.source.span(self.start + piece.start, self.start + piece.end())
    }

    fn whole(&self) -> Span {
        self.source.span(self.start, self.start + self.line.len())
    }

    fn spanned(&self, piece: Piece<'_>) -> Spanned<String> {
        Spanned::new(piece.text.to_owned(), self.span(piece))
    }
}

impl<'a> Loader<'a> {
    /// Returns a loader that adds to sources that may exist already.
    pub(crate) fn new(place: Place<'a>, main_dir: PathBuf, sources: Sources) -> Self {
        Loader {
            place,
            main_dir,
            sources,
            diags: Diagnostics::new(),
            sections: Vec::new(),
            origin: None,
            format: Format::Classic,
            yaml_service: None,
            filled: Vec::new(),
            settings: Vec::new(),
            frames: Vec::new(),
            seen: HashMap::new(),
            room: include::LARGEST_TOTAL,
        }
    }

    /// Reads a text that is already at hand, under a name.
    pub(crate) fn start_text(&mut self, name: &str, bytes: Vec<u8>) {
        let directory = self.main_dir.clone();
        self.start(name, bytes, directory, None, Format::of(Path::new(name)));
    }

    /// Reads everything that was started, with what it includes.
    pub(crate) fn run(&mut self) {
        while let Some(frame) = self.frames.last_mut() {
            if let Some(pending) = frame.pending.pop_front() {
                self.open(pending);
                continue;
            }
            if let Some(items) = &mut frame.items {
                match items.pop_front() {
                    Some(item) => self.take_item(item),
                    None => drop(self.frames.pop()),
                }
                continue;
            }
            let (source, text) = (frame.source, Rc::clone(&frame.text));
            let Some((start, line)) = frame.next_line(&text) else {
                self.frames.pop();
                continue;
            };
            self.take_line(LineAt { source, start, line });
        }
    }

    fn take_item(&mut self, item: Item) {
        match item {
            Item::Section(section) => {
                if section.kind == SectionKind::Service {
                    self.refuse_second_service(section.header);
                }
                self.sections.push(section);
                self.filled.push(true);
            }
            Item::Include(path) => self.include(&path.value, path.span),
            Item::Setting(name, value) => self.settings.push((name, value)),
        }
    }

    fn refuse_second_service(&mut self, span: Span) {
        let Some(first) = self.yaml_service else {
            self.yaml_service = Some(span);
            return;
        };
        let at = self.sources.location(first);
        let message =
            format!("`service` stands at {}:{} already; Fluent Bit takes one in all files", at.name, at.line);
        let help = "write all its keys there, and remove this one";
        self.diags.push(Diagnostic::error(codes::DUPLICATE_SERVICE, message).at(span).help(help));
    }

    /// Replaces the variables and hands everything over.
    ///
    /// `name` is what the whole is called when nothing of it could be read.
    pub(crate) fn finish(mut self, name: &str) -> Loaded {
        self.report_empty_sections();
        let mut own = Vec::new();
        for (name, value) in std::mem::take(&mut self.settings) {
            if let Some(value) = self.value_of_setting(&name, value) {
                own.push((name.value, value));
            }
        }
        let mut variables = Variables::new(self.place.env);
        if self.format == Format::Yaml {
            variables.set_in("`env`");
        }
        for (name, value) in &own {
            variables.set(name.clone(), value.clone());
        }
        for section in &mut self.sections {
            variables.expand_section(section, &mut self.diags);
        }
        let origin = self.origin.unwrap_or_else(|| self.sources.add(name, "").span(0, 0));
        Loaded {
            document: Document::with_sections(origin, self.format, self.sections),
            sources: self.sources,
            diagnostics: self.diags,
            own_variables: own,
            main_dir: self.main_dir,
        }
    }

    /// Pushes the frame of a file or text.
    fn start(
        &mut self,
        name: &str,
        bytes: Vec<u8>,
        directory: PathBuf,
        identity: Option<(u64, u64)>,
        format: Format,
    ) {
        let has_mark = bytes.starts_with(b"\xef\xbb\xbf");
        let bytes = if has_mark { bytes[3..].to_vec() } else { bytes };
        let valid = std::str::from_utf8(&bytes).map_or_else(|error| Some(error.valid_up_to()), |_| None);
        let source = self.sources.add_bytes(name, bytes);
        if self.origin.is_none() {
            self.origin = Some(source.span(0, 0));
            self.format = format;
        }
        // Fluent Bit minds it in the classic format only.
        if has_mark && format == Format::Classic {
            let message = "the file starts with a byte order mark, which is skipped";
            self.diags.push(
                Diagnostic::note(codes::BOM, message)
                    .at(source.span(0, 0))
                    .help("save it as UTF-8 without a mark: Fluent Bit refuses it"),
            );
        }
        if let Some(at) = valid {
            let message = "the file holds bytes that are not UTF-8; they are read as U+FFFD";
            self.diags.push(
                Diagnostic::warning(codes::INVALID_UTF8, message)
                    .at(source.span(at, at + 3))
                    .help("save it as UTF-8"),
            );
        }
        let items = match format {
            Format::Classic => None,
            Format::Yaml => Some(yaml::read(source, self.sources.text(source), &mut self.diags).into()),
        };
        self.frames.push(Frame {
            source,
            text: Rc::from(self.sources.text(source)),
            next: 0,
            directory,
            identity,
            indent: Indent::default(),
            section: None,
            orphan_reported: false,
            items,
            pending: VecDeque::new(),
        });
    }

    fn report_empty_sections(&mut self) {
        for (section, filled) in self.sections.iter().zip(&self.filled) {
            if !filled {
                let message = format!("the section `[{}]` is empty", section.name.value);
                self.diags.push(
                    Diagnostic::warning(codes::EMPTY_SECTION, message)
                        .at(section.header)
                        .help("remove it, or put its properties behind it"),
                );
            }
        }
    }

    /// Returns a setting's value; `file://` stands for the content of a file.
    fn value_of_setting(&mut self, name: &Spanned<String>, value: String) -> Option<String> {
        let Some(path) = value.strip_prefix("file://") else { return Some(value) };
        let path = self.place.working_dir.join(path);
        let why = match self.place.files.read(&path) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let text = text
                    .strip_suffix('\n')
                    .map(|text| text.strip_suffix('\r').unwrap_or(text))
                    .unwrap_or(&text);
                if !text.is_empty() {
                    return Some(text.to_owned());
                }
                "it is empty".to_owned()
            }
            Err(error) => include::reason(&error),
        };
        let message = format!("the variable `{}` stays undefined: `{}`: {why}", name.value, path.display());
        let help = (self.format == Format::Yaml)
            .then(|| "name a file that can be read and is not empty, or write the value itself".to_owned());
        self.diags.push(Diagnostic::warning(codes::VARIABLE_FILE, message).at(name.span).maybe_help(help));
        None
    }
}

impl Frame {
    /// Returns the next line without its end, and its offset.
    fn next_line<'t>(&mut self, text: &'t str) -> Option<(usize, &'t str)> {
        let start = self.next;
        let rest = text.get(start..)?;
        if rest.is_empty() {
            return None;
        }
        let end = rest.find('\n').unwrap_or(rest.len());
        self.next = start + end + 1;
        let line = &rest[..end];
        Some((start, line.strip_suffix('\r').unwrap_or(line)))
    }
}
