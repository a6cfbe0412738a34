//! From sections to instances: who is configured, under which name, and with which properties.

use std::collections::HashMap;

use ikada_diag::{Diagnostic, Diagnostics, Span, Spanned, codes};
use ikada_options::{PluginKind, Property, PropertyBag};

use crate::document::{Document, Format, Section, SectionKind};
use crate::processor::{Processor, processors_of};
use crate::service::{ServiceOptions, service_of};
use crate::stream;
use crate::upstream::{Upstream, upstreams_of};

/// One configured plugin.
#[derive(Debug, Clone)]
pub struct Instance {
    /// What kind of plugin it is.
    pub kind: PluginKind,
    /// The plugin's name in lower case.
    pub plugin: Spanned<String>,
    /// The plugin's name and its number among instances of the same plugin, in file order: `tail.0`.
    pub id: String,
    /// The name that was given to it.
    pub alias: Option<Spanned<String>>,
    /// All its properties but `Name`, for the common set and the plugin's own to be taken from.
    pub bag: PropertyBag,
    /// For an input or output in YAML: the filters that are its own, in the order in which they run.
    pub processors: Vec<Processor>,
    /// Where its section starts.
    pub header: Span,
    /// How the file is written that it comes from.
    pub format: Format,
}

impl Instance {
    /// Returns the name for logs and metrics: the alias, or the plugin's name and number.
    pub fn name(&self) -> &str {
        self.alias.as_ref().map_or(&self.id, |alias| &alias.value)
    }

    /// Says whether it has a `Match` or `Match_Regex` that is not empty.
    fn has_match(&self) -> bool {
        ["match", "match_regex"].iter().any(|name| self.bag.peek(name).is_some_and(|p| !p.value.is_empty()))
    }
}

/// A configuration, sorted by what is to be built.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Settings of the whole process.
    pub service: ServiceOptions,
    /// Inputs in file order.
    pub inputs: Vec<Instance>,
    /// Filters in file order, which is the order in which they run.
    pub filters: Vec<Instance>,
    /// Outputs in file order.
    pub outputs: Vec<Instance>,
    /// Parser and multiline parser definitions in file order.
    pub parsers: Vec<Section>,
    /// Stream tasks in file order.
    pub streams: Vec<stream::Task>,
    /// Groups of servers.
    pub upstreams: Vec<Upstream>,
}

impl Pipeline {
    /// Returns the group of servers that an output's `Upstream` names: by its file, or by its own name.
    pub fn upstream(&self, named: &str) -> Option<&Upstream> {
        let by_file = self.upstreams.iter().find(|upstream| upstream.file.as_deref() == Some(named));
        by_file.or_else(|| self.upstreams.iter().find(|upstream| upstream.name.value == named))
    }
}

/// Sorts the sections of a document and checks what can be checked without knowing the plugins.
///
/// A single output without a `Match` gets `*` when there is a single input as well.
pub fn build_pipeline(document: &Document, diags: &mut Diagnostics) -> Pipeline {
    let service = service_of(document, diags);
    let mut builder = Builder { diags, counts: HashMap::new(), aliases: HashMap::new() };
    let inputs = builder.instances(document, SectionKind::Input);
    let filters = builder.instances(document, SectionKind::Filter);
    let mut outputs = builder.instances(document, SectionKind::Output);
    let parsers = document
        .sections()
        .iter()
        .filter(|section| matches!(section.kind, SectionKind::Parser | SectionKind::MultilineParser))
        .cloned()
        .collect();
    let streams = stream::tasks_of(document, &inputs, diags);
    let upstreams = upstreams_of(document, diags);
    report_unsupported(document, diags);
    resolve_matches(&inputs, &filters, &mut outputs, diags);
    report_missing_ends(document, diags);
    // The declaration's defaults are sound (a test says so), so that the service is always there.
    let service = service.expect("the defaults of [SERVICE] can be read");
    Pipeline { service, inputs, filters, outputs, parsers, streams, upstreams }
}

struct Builder<'d> {
    diags: &'d mut Diagnostics,
    counts: HashMap<PluginKind, usize>,
    aliases: HashMap<(PluginKind, String), ()>,
}

impl Builder<'_> {
    fn instances(&mut self, document: &Document, kind: SectionKind) -> Vec<Instance> {
        document.of_kind(kind).filter_map(|section| self.instance(section)).collect()
    }

    fn instance(&mut self, section: &Section) -> Option<Instance> {
        let kind = section.kind.plugin()?;
        let mut bag = PropertyBag::new(kind.word(), section.header, section.properties.clone());
        let plugin = self.take_name(section, &mut bag)?;
        let rest = bag.leftover().cloned().collect();
        let bag = PropertyBag::new(format!("{} {}", kind.word(), plugin.value), section.header, rest);
        let number = self.counts.entry(kind).or_default();
        let id = format!("{}.{number}", plugin.value);
        *number += 1;
        let alias =
            bag.peek("alias").map(|property| property.value.clone()).filter(|alias| !alias.is_empty());
        if let Some(alias) = &alias {
            self.check_alias(kind, alias);
        }
        let processors = processors_of(&id, &section.processors, self.diags);
        let (header, format) = (section.header, section.format);
        Some(Instance { kind, plugin, id, alias, bag, processors, header, format })
    }

    /// Takes the plugin's name; the first one counts, as in Fluent Bit.
    fn take_name(&mut self, section: &Section, bag: &mut PropertyBag) -> Option<Spanned<String>> {
        let names = bag.take_all(&["name"]);
        let Some((_, first)) = names.first() else {
            let (word, usual) = (section.kind.word(), usual_name(section.kind));
            let (message, written) = match section.format {
                Format::Classic => {
                    (format!("the section `[{}]` has no `Name`", section.name.value), format!("Name {usual}"))
                }
                Format::Yaml => (format!("this {word} has no `name`"), format!("name: {usual}")),
            };
            let help = format!("say which {word} it is: `{written}`");
            self.diags.push(Diagnostic::error(codes::MISSING_NAME, message).at(section.header).help(help));
            return None;
        };
        if let Some((_, last)) = names.last().filter(|_| names.len() > 1) {
            let (key, help) = match section.format {
                Format::Classic => ("Name", "start a section for each plugin"),
                Format::Yaml => ("name", "start each plugin with a `-` of its own"),
            };
            let message = format!("`{key}` is given {} times; the first one counts", names.len());
            self.diags
                .push(Diagnostic::warning(codes::REPEATED_OPTION, message).at(last.key.span).help(help));
        }
        if first.value.is_empty() {
            let (message, help) = match (first.shown(), section.kind.word()) {
                (written, word) if written.is_empty() => (
                    format!("the name of this {word} is empty"),
                    format!("say which {word} it is: `name: {}`", usual_name(section.kind)),
                ),
                (written, _) => (
                    format!("`Name` is empty: `{written}` gave nothing"),
                    "set the variable, or write a default: `${NAME:-default}`".to_owned(),
                ),
            };
            self.diags.push(Diagnostic::error(codes::MISSING_NAME, message).at(first.value.span).help(help));
            return None;
        }
        Some(first.value.clone().map(|name| name.to_lowercase()))
    }

    fn check_alias(&mut self, kind: PluginKind, alias: &Spanned<String>) {
        if self.aliases.insert((kind, alias.value.clone()), ()).is_some() {
            let message = format!("another {} has the alias `{}` already", kind.word(), alias.value);
            let help = "give each its own, or logs and metrics cannot tell them apart";
            self.diags.push(Diagnostic::warning(codes::DUPLICATE_ALIAS, message).at(alias.span).help(help));
        }
    }
}

fn usual_name(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Input => "forward",
        SectionKind::Filter => "grep",
        _ => "stdout",
    }
}

fn resolve_matches(
    inputs: &[Instance],
    filters: &[Instance],
    outputs: &mut [Instance],
    diags: &mut Diagnostics,
) {
    for filter in filters.iter().filter(|filter| !filter.has_match()) {
        diags.push(missing_match(filter));
    }
    if let ([_], [output]) = (inputs, &mut *outputs)
        && !output.has_match()
    {
        let written = |text: &str| Spanned::new(text.to_owned(), output.header);
        let everything = Property::new(written("match"), written("*"));
        output.bag.push(everything);
        return;
    }
    for output in outputs.iter().filter(|output| !output.has_match()) {
        diags.push(missing_match(output));
    }
}

/// A filter without a match stops Fluent Bit's start; an output without one is idle. A match that is written but
/// empty, because of a variable, matches nothing in both.
fn missing_match(instance: &Instance) -> Diagnostic {
    let what = format!("{} {}", instance.kind.word(), instance.id);
    let written = ["match", "match_regex"].iter().find_map(|name| instance.bag.peek(name));
    let (message, span) = match written {
        Some(property) => (
            format!("the `{}` of {what} is empty, so nothing reaches it", property.key.value),
            property.value.span,
        ),
        None => {
            let key = if instance.format == Format::Yaml { "match" } else { "Match" };
            (format!("{what} has no `{key}`, so nothing reaches it"), instance.header)
        }
    };
    let diagnostic = match instance.kind == PluginKind::Filter && written.is_none() {
        true => Diagnostic::error(codes::MISSING_MATCH, message),
        false => Diagnostic::warning(codes::MISSING_MATCH, message),
    };
    let help = match instance.format {
        Format::Classic => "say which tags it takes: `Match *` takes all",
        Format::Yaml => "say which tags it takes: `match: \"*\"` takes all",
    };
    diagnostic.at(span).help(help)
}

fn report_unsupported(document: &Document, diags: &mut Diagnostics) {
    for section in document.sections() {
        let name = match section.format {
            Format::Classic => format!("[{}]", section.name.value),
            Format::Yaml => section.name.value.clone(),
        };
        let diagnostic = match section.kind {
            SectionKind::Custom => Diagnostic::error(
                codes::UNSUPPORTED_SECTION,
                format!("`{name}`: there are no custom plugins"),
            ),
            SectionKind::Plugins => Diagnostic::warning(
                codes::UNSUPPORTED_SECTION,
                format!("`{name}` is ignored: shared objects are not loaded"),
            ),
            _ => continue,
        };
        diags.push(diagnostic.at(section.header).help("remove it"));
    }
}

fn report_missing_ends(document: &Document, diags: &mut Diagnostics) {
    let (input, output) = match document.format() {
        Format::Classic => ("add an `[INPUT]`", "add an `[OUTPUT]`"),
        Format::Yaml => ("add one below `pipeline: inputs:`", "add one below `pipeline: outputs:`"),
    };
    let has = |kind| document.of_kind(kind).next().is_some();
    if !has(SectionKind::Input) {
        let message = "there is no input, so there is nothing to do";
        diags.push(Diagnostic::warning(codes::NO_INPUT, message).at(document.origin()).help(input));
    }
    if !has(SectionKind::Output) {
        let message = "there is no output, so nothing is delivered";
        diags.push(Diagnostic::warning(codes::NO_OUTPUT, message).at(document.origin()).help(output));
    }
}
