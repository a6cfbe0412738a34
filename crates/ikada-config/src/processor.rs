//! Processors: filters that belong to one input or output, with a condition each.

use ikada_diag::{Diagnostic, Diagnostics, Span, Spanned, codes};
use ikada_options::{PluginKind, PropertyBag};

use crate::document::{Format, Section};

/// One processor of an instance, in the order in which they run.
#[derive(Debug, Clone)]
pub struct Processor {
    /// The name of the filter or processor, in lower case.
    pub plugin: Spanned<String>,
    /// The instance's name, the processor's and its number there: `tail.0/content_modifier.0`.
    pub id: String,
    /// All its options but `name` and `condition`.
    pub bag: PropertyBag,
    /// Which records it takes; all, when there is none. The others pass untouched.
    pub condition: Option<ProcessorCondition>,
    /// Where it starts.
    pub header: Span,
    /// How the file is written that it comes from.
    pub format: Format,
}

/// Which records a processor takes.
#[derive(Debug, Clone)]
pub struct ProcessorCondition {
    /// Whether all rules have to hold, or one of them.
    pub op: ConditionOp,
    /// The rules.
    pub rules: Vec<ConditionRule>,
}

/// How rules are taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionOp {
    /// All have to hold.
    And,
    /// One has to hold.
    Or,
}

/// One rule: a field against a value.
#[derive(Debug, Clone)]
pub struct ConditionRule {
    /// The field, as a record accessor: `$level`.
    pub field: Spanned<String>,
    /// How it is compared.
    pub op: RuleOp,
    /// What it is compared with: one value, or several for `in` and `not_in`.
    pub values: Vec<Spanned<String>>,
    /// Whether the field is one of the entry's metadata.
    pub in_metadata: bool,
}

/// How a rule compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleOp {
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
    /// Greater, as numbers.
    Gt,
    /// Less, as numbers.
    Lt,
    /// Greater or equal, as numbers.
    Gte,
    /// Less or equal, as numbers.
    Lte,
    /// Matches a regular expression.
    Regex,
    /// Does not match a regular expression.
    NotRegex,
    /// Is one of several.
    In,
    /// Is none of several.
    NotIn,
}

impl RuleOp {
    /// The words for them, in the order of the type.
    pub(crate) const WORDS: [(&'static str, RuleOp); 10] = [
        ("eq", RuleOp::Eq),
        ("neq", RuleOp::Neq),
        ("gt", RuleOp::Gt),
        ("lt", RuleOp::Lt),
        ("gte", RuleOp::Gte),
        ("lte", RuleOp::Lte),
        ("regex", RuleOp::Regex),
        ("not_regex", RuleOp::NotRegex),
        ("in", RuleOp::In),
        ("not_in", RuleOp::NotIn),
    ];
}

/// Makes the processors of an instance from the sections that stand in its own.
pub(crate) fn processors_of(instance: &str, sections: &[Section], diags: &mut Diagnostics) -> Vec<Processor> {
    let mut processors: Vec<Processor> = Vec::new();
    for section in sections {
        let mut bag = PropertyBag::new("processor", section.header, section.properties.clone());
        let name = bag.take_all(&["name"]).into_iter().next().map(|(_, property)| property.value);
        let Some(name) = name.filter(|name| !name.value.is_empty()) else {
            let diagnostic = Diagnostic::error(codes::MISSING_NAME, "this processor has no `name`");
            diags.push(diagnostic.at(section.header).help("say which it is: `- name: content_modifier`"));
            continue;
        };
        let plugin = name.map(|name| name.to_lowercase());
        let number = processors.iter().filter(|other| other.plugin.value == plugin.value).count();
        let id = format!("{instance}/{}.{number}", plugin.value);
        let title = format!("{} {}", PluginKind::Processor.word(), plugin.value);
        let bag = PropertyBag::new(title, section.header, bag.leftover().cloned().collect());
        let condition = section.condition.clone();
        processors.push(Processor {
            plugin,
            id,
            bag,
            condition,
            header: section.header,
            format: section.format,
        });
    }
    processors
}
