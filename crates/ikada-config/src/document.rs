//! The syntax tree: sections and their properties, with spans, from whatever format they came.

use std::path::Path;

use ikada_diag::{Sources, Span, Spanned};
use ikada_options::{PluginKind, Property};

use crate::processor::ProcessorCondition;

/// What a section is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// Settings of the whole process.
    Service,
    /// The definition of a parser.
    Parser,
    /// The definition of a multiline parser.
    MultilineParser,
    /// A task of the stream processor.
    StreamTask,
    /// Shared objects to load.
    Plugins,
    /// A group of servers.
    Upstream,
    /// One server of a group.
    Node,
    /// A processor, which stands in an input or output.
    Processor,
    /// A custom plugin.
    Custom,
    /// An input.
    Input,
    /// A filter.
    Filter,
    /// An output.
    Output,
    /// Anything else; it is kept and has no effect.
    Unknown,
}

impl SectionKind {
    /// Returns the word for people and for instances: `input`.
    pub fn word(self) -> &'static str {
        match self {
            SectionKind::Service => "service",
            SectionKind::Parser => "parser",
            SectionKind::MultilineParser => "multiline_parser",
            SectionKind::StreamTask => "stream_task",
            SectionKind::Plugins => "plugins",
            SectionKind::Upstream => "upstream",
            SectionKind::Node => "node",
            SectionKind::Processor => "processor",
            SectionKind::Custom => "custom",
            SectionKind::Input => "input",
            SectionKind::Filter => "filter",
            SectionKind::Output => "output",
            SectionKind::Unknown => "unknown",
        }
    }

    /// Returns the kind of plugin that such a section starts.
    pub fn plugin(self) -> Option<PluginKind> {
        match self {
            SectionKind::Input => Some(PluginKind::Input),
            SectionKind::Filter => Some(PluginKind::Filter),
            SectionKind::Output => Some(PluginKind::Output),
            SectionKind::Custom => Some(PluginKind::Custom),
            _ => None,
        }
    }
}

/// How a file is written, which decides how findings show what to type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Sections with headers in brackets.
    #[default]
    Classic,
    /// YAML, as Fluent Bit shapes it.
    Yaml,
}

impl Format {
    /// Returns what a file's extension tells: `.yaml` and `.yml`, in any case, are YAML.
    pub fn of(path: &Path) -> Format {
        let is_yaml = |extension: &std::ffi::OsStr| {
            extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml")
        };
        if path.extension().is_some_and(is_yaml) { Format::Yaml } else { Format::Classic }
    }
}

/// One section.
#[derive(Debug, Clone)]
pub struct Section {
    /// What it is about.
    pub kind: SectionKind,
    /// How the file is written that it comes from.
    pub format: Format,
    /// Its name as it was written.
    pub name: Spanned<String>,
    /// Where its header is.
    pub header: Span,
    /// Its properties in the order of writing.
    pub properties: Vec<Property>,
    /// The file that it comes from, as an option names that file (`Upstream servers.conf`), if one does.
    pub file: Option<String>,
    /// Sections that stand in it, in the order of writing: the processors of an input or output.
    pub processors: Vec<Section>,
    /// For a processor: which records it takes.
    pub condition: Option<ProcessorCondition>,
}

impl Section {
    /// Returns a section that has nothing but its place yet.
    pub fn new(kind: SectionKind, format: Format, name: Spanned<String>, header: Span) -> Self {
        Section {
            kind,
            format,
            name,
            header,
            properties: Vec::new(),
            file: None,
            processors: Vec::new(),
            condition: None,
        }
    }

    /// Returns the section with these properties.
    #[must_use]
    pub fn with(mut self, properties: Vec<Property>) -> Self {
        self.properties = properties;
        self
    }

    /// Returns the value of the last property with this name, in any case.
    pub fn get(&self, name: &str) -> Option<&Spanned<String>> {
        self.properties.iter().rev().find(|property| property.is_named(name)).map(|property| &property.value)
    }

    /// Makes a section of arguments that were given elsewhere than in a file, as `-i tail -p path=/x` gives `name` and
    /// `path`. The pairs become a source of their own, named `origin` ("command line"), so that findings have a place.
    pub fn from_pairs<'a>(
        sources: &mut Sources,
        origin: &str,
        kind: SectionKind,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Section {
        let mut text = format!("[{}]", kind.word().to_uppercase());
        let name_end = text.len() - 1;
        let mut places = Vec::new();
        for (key, value) in pairs {
            text.push(' ');
            let start = text.len();
            text.push_str(key);
            text.push('=');
            let middle = text.len();
            text.push_str(value);
            places.push((start, middle, text.len()));
        }
        let source = sources.add(origin, text);
        let spanned = |start: usize, end: usize| {
            let span = source.span(start, end);
            Spanned::new(sources.slice(span).to_owned(), span)
        };
        let properties = places
            .iter()
            .map(|(start, middle, end)| Property::new(spanned(*start, middle - 1), spanned(*middle, *end)))
            .collect();
        Section::new(kind, Format::Classic, spanned(1, name_end), source.span(0, name_end + 1))
            .with(properties)
    }
}

/// All sections of a configuration, in the order in which they were read.
#[derive(Debug, Clone)]
pub struct Document {
    origin: Span,
    format: Format,
    sections: Vec<Section>,
}

impl Document {
    /// Returns a document without sections; `origin` is the place that findings about the whole of it name.
    pub fn new(origin: Span) -> Self {
        Document { origin, format: Format::Classic, sections: Vec::new() }
    }

    pub(crate) fn with_sections(origin: Span, format: Format, sections: Vec<Section>) -> Self {
        Document { origin, format, sections }
    }

    /// Returns the place that findings about the whole document name.
    pub fn origin(&self) -> Span {
        self.origin
    }

    /// Returns how the main file is written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns all sections.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Returns the sections of one kind.
    pub fn of_kind(&self, kind: SectionKind) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(move |section| section.kind == kind)
    }

    /// Says whether any `[SERVICE]` section sets a key, for defaults that depend on where the program runs.
    pub fn sets_service(&self, key: &str) -> bool {
        self.of_kind(SectionKind::Service).any(|section| section.get(key).is_some())
    }

    /// Adds a section behind the others.
    pub fn push_section(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Puts sections before the others: what the command line starts comes before what the file does.
    pub fn put_first(&mut self, sections: Vec<Section>) {
        self.sections.splice(0..0, sections);
    }

    pub(crate) fn into_sections(self) -> Vec<Section> {
        self.sections
    }
}
