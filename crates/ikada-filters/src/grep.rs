//! `grep`: keeps or drops records by what their fields say.
//!
//! Rules of both kinds stand in one list, in file order. In `legacy` mode the first rule that decides wins; a `Regex` always
//! decides, so that no rule behind one is ever asked, which is said at start. With `AND` or `OR` all rules are of one kind and
//! count together.

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_msgpack::View;
use ikada_options::{InOrder, OptionValue, Options, PropertyBag, Spanned, ValueError};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::Fields;

use crate::rule::{KeyRegex, Together};

/// A rule that no record ever comes to.
const UNREACHABLE_RULE: &str = "unreachable-rule";

/// Keeps or drops records by regular expressions over their fields.
#[derive(Debug, Options)]
#[options(filter = "grep")]
pub struct GrepOptions {
    /// Keeps records in which the field matches: `FIELD EXPRESSION`.
    ///
    /// The field is a name or an accessor such as `$kubernetes['labels']['app']`. Everything behind the first blank is the
    /// expression. A field that is missing or holds no text does not match.
    #[option(example = "log ^ERROR")]
    pub regex: Vec<InOrder<String>>,
    /// Drops records in which the field matches: `FIELD EXPRESSION`.
    #[option(example = "path ^/health$")]
    pub exclude: Vec<InOrder<String>>,
    /// How several rules count together: `legacy`, `AND` or `OR`.
    ///
    /// With `legacy` the first rule that decides wins, and a `regex` always decides. `AND` and `OR` need rules of one kind.
    #[option(default = "legacy", example = "AND")]
    pub logical_op: Spanned<LogicalOp>,
}

/// How several rules count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogicalOp {
    /// The first rule that decides wins.
    Legacy,
    /// All rules must match.
    And,
    /// One rule must match.
    Or,
}

impl OptionValue for LogicalOp {
    const KIND: &'static str = "choice";
    const CHOICES: &'static [(&'static str, &'static str)] = &[
        ("legacy", "The first rule that decides wins."),
        ("AND", "All rules must match."),
        ("OR", "One rule must match."),
    ];

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        match text.to_ascii_lowercase().as_str() {
            "legacy" => Ok(Self::Legacy),
            "and" => Ok(Self::And),
            "or" => Ok(Self::Or),
            _ => Err(ValueError::no_choice(text, Self::CHOICES)),
        }
    }

    /// Fluent Bit takes any other text for `legacy` and says nothing.
    fn parse_with_warnings(text: &str, warnings: &mut Vec<ValueError>) -> Result<Self, ValueError> {
        Ok(Self::parse_value(text).unwrap_or_else(|error| {
            let message = format!("{}, so it counts as `legacy`", error.message);
            warnings.push(ValueError { message, help: error.help });
            Self::Legacy
        }))
    }
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct Grep {
    groups: Vec<Group>,
    mode: Mode,
}

/// Rules in a row that look at one key.
#[derive(Debug)]
struct Group {
    /// Never empty.
    rules: Vec<Rule>,
    together: Option<Together>,
}

#[derive(Debug)]
struct Rule {
    keeps: bool,
    test: KeyRegex,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    FirstDecides,
    All { keeps: bool },
    Any { keeps: bool },
}

/// A rule as it was written.
struct Written<'o> {
    keeps: bool,
    text: &'o str,
    span: Span,
}

impl Grep {
    /// Checks the rules, each for itself and all together.
    pub fn build(options: &GrepOptions, found: &mut Diagnostics) -> Option<Self> {
        let written = in_file_order(options);
        let mode = mode(&written, *options.logical_op, found);
        Self::assemble(&written, mode, found)
    }

    /// The same for a filter that has rules, and nothing that says how they count together: the first that decides wins.
    pub(crate) fn build_without_op(options: &GrepOptions, found: &mut Diagnostics) -> Option<Self> {
        let written = in_file_order(options);
        tell_unreachable(&written, false, found);
        Self::assemble(&written, Some(Mode::FirstDecides), found)
    }

    fn assemble(written: &[Written<'_>], mode: Option<Mode>, found: &mut Diagnostics) -> Option<Self> {
        let rules: Vec<Option<Rule>> = written
            .iter()
            .map(|rule| {
                let option = if rule.keeps { "Regex" } else { "Exclude" };
                let test = KeyRegex::build(option, rule.text, rule.span, found)?;
                Some(Rule { keeps: rule.keeps, test })
            })
            .collect();
        let mode = mode?;
        Some(Self { groups: grouped(rules.into_iter().collect::<Option<Vec<_>>>()?, mode), mode })
    }

    /// Whether a record is kept.
    pub(crate) fn keeps(&self, fields: &Fields<'_>) -> bool {
        let decide = |keeps: bool, matched: bool| match self.mode {
            Mode::FirstDecides if keeps => Some(matched),
            Mode::FirstDecides => matched.then_some(false),
            Mode::All { keeps } => (!matched).then_some(!keeps),
            Mode::Any { keeps } => matched.then_some(keeps),
        };
        let undecided = match self.mode {
            Mode::FirstDecides => true,
            Mode::All { keeps } => keeps,
            Mode::Any { keeps } => !keeps,
        };
        self.groups.iter().find_map(|group| group.decide(fields, decide)).unwrap_or(undecided)
    }
}

impl Group {
    /// What the first rule says that decides. The key is looked up once.
    fn decide(&self, fields: &Fields<'_>, decide: impl Fn(bool, bool) -> Option<bool>) -> Option<bool> {
        let value = self.rules.first()?.test.lookup(fields);
        if let (Some(together), Some(View::Str(text))) = (&self.together, value) {
            let said = together.ask(text);
            return self
                .rules
                .iter()
                .enumerate()
                .find_map(|(number, rule)| decide(rule.keeps, said.matches(number)));
        }
        self.rules.iter().find_map(|rule| decide(rule.keeps, rule.test.matches_value(value)))
    }
}

/// Rules in a row that look at one key stand together. Where all must match, the first that does not ends the asking, so that they are not asked
/// together.
fn grouped(rules: Vec<Rule>, mode: Mode) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for rule in rules {
        match groups.last_mut().filter(|group| group.rules[0].test.has_key_of(&rule.test)) {
            Some(group) => group.rules.push(rule),
            None => groups.push(Group { rules: vec![rule], together: None }),
        }
    }
    if !matches!(mode, Mode::All { .. }) {
        for group in &mut groups {
            group.together = Together::of(group.rules.iter().map(|rule| rule.test.regex()));
        }
    }
    groups
}

impl Filter for Grep {
    fn filter<'a>(&'a self, _cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        if self.keeps(fields) { Verdict::Keep } else { Verdict::Drop }
    }
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "grep", aliases: &[], options: GrepOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let options = GrepOptions::parse(bag, found)?;
    Some(Box::new(Grep::build(&options, found)?))
}

fn in_file_order(options: &GrepOptions) -> Vec<Written<'_>> {
    let regex = options.regex.iter().map(|rule| (true, rule));
    let exclude = options.exclude.iter().map(|rule| (false, rule));
    let mut rules: Vec<_> = regex.chain(exclude).collect();
    rules.sort_by_key(|(_, rule)| rule.order);
    rules.into_iter().map(|(keeps, rule)| Written { keeps, text: &rule.value, span: rule.span }).collect()
}

fn mode(rules: &[Written<'_>], op: LogicalOp, found: &mut Diagnostics) -> Option<Mode> {
    let Some(first) = rules.first() else { return Some(Mode::FirstDecides) };
    if op == LogicalOp::Legacy {
        tell_unreachable(rules, true, found);
        return Some(Mode::FirstDecides);
    }
    if let Some(other) = rules.iter().find(|rule| rule.keeps != first.keeps) {
        let message = "with `Logical_Op` AND or OR all rules must be `Regex`, or all must be `Exclude`";
        let help = "put the rules of the other kind into a second grep filter";
        found.push(Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(other.span).help(help));
        return None;
    }
    let keeps = first.keeps;
    Some(if op == LogicalOp::And { Mode::All { keeps } } else { Mode::Any { keeps } })
}

fn tell_unreachable(rules: &[Written<'_>], has_op: bool, found: &mut Diagnostics) {
    let decided = rules.iter().position(|rule| rule.keeps).map_or(rules.len(), |at| at + 1);
    for rule in &rules[decided..] {
        let message = "no record comes to this rule: the `Regex` before it decides on every one";
        let help = match has_op {
            true if rule.keeps && rules.iter().all(|rule| rule.keeps) => {
                "add `Logical_Op AND` or `Logical_Op OR`"
            }
            true => "write it before the `Regex`, or into a second grep filter",
            false => "write it before the `Regex`, or put a filter `grep` before this one",
        };
        found.push(Diagnostic::warning(UNREACHABLE_RULE, message).at(rule.span).help(help));
    }
}
