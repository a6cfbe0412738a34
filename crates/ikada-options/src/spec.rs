//! What is known of an option beside its value: the declaration that help, documentation and checks grow from.

use ikada_diag::Diagnostics;

use crate::bag::PropertyBag;
use crate::field::ValueError;

/// What has options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginKind {
    /// The `[SERVICE]` section.
    Service,
    /// An input.
    Input,
    /// A filter.
    Filter,
    /// An output.
    Output,
    /// A processor, which YAML gives to an input or output.
    Processor,
    /// A parser definition.
    Parser,
    /// A multiline parser definition.
    MultilineParser,
    /// A `[CUSTOM]` section.
    Custom,
    /// A set that is part of others.
    Common,
}

impl PluginKind {
    /// Returns the word for people: `input`.
    pub fn word(self) -> &'static str {
        match self {
            PluginKind::Service => "service",
            PluginKind::Input => "input",
            PluginKind::Filter => "filter",
            PluginKind::Output => "output",
            PluginKind::Processor => "processor",
            PluginKind::Parser => "parser",
            PluginKind::MultilineParser => "multiline parser",
            PluginKind::Custom => "custom",
            PluginKind::Common => "common",
        }
    }
}

/// One option, as declared.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// Name, lower case.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// The user's text: a sentence, then when to change it, then how it differs from Fluent Bit.
    pub doc: &'static str,
    /// The type, as people are told.
    pub kind: &'static str,
    /// The values that are allowed with their docs, if it is a choice.
    pub choices: &'static [(&'static str, &'static str)],
    /// The value that is taken when none is given.
    pub default: Option<&'static str>,
    /// A value that makes sense.
    pub example: Option<&'static str>,
    /// Whether the plugin cannot do without.
    pub required: bool,
    /// Whether it may be given more than once, each time adding to the former.
    pub repeatable: bool,
    /// Whether it is accepted for compatibility only.
    pub no_effect: bool,
    /// Says whether a text is a value of this option.
    pub check: fn(&str) -> Result<(), ValueError>,
}

impl OptionSpec {
    /// Returns the name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// All options that one plugin declares, those of the sets it includes among them.
#[derive(Debug, Clone)]
pub struct OptionSet {
    /// What has these options.
    pub kind: PluginKind,
    /// The plugin's name; empty for `[SERVICE]`.
    pub name: &'static str,
    /// What the plugin does.
    pub doc: &'static str,
    /// The options in the order of declaration.
    pub specs: Vec<OptionSpec>,
}

impl OptionSet {
    /// Returns the option that has this name or alias, in any case.
    pub fn find(&self, name: &str) -> Option<&OptionSpec> {
        self.specs.iter().find(|spec| spec.names().any(|known| known.eq_ignore_ascii_case(name)))
    }
}

/// Options that are read from the properties of one section. Derived, not written by hand.
pub trait Options: Sized {
    /// Returns the declaration.
    fn set() -> OptionSet;

    /// Takes its options from the bag. Every mistake becomes a diagnostic at its place; `None` if one of them is an
    /// error.
    fn parse(bag: &mut PropertyBag, diags: &mut Diagnostics) -> Option<Self>;
}
