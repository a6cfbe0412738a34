//! `grep`: keeps or drops records by what their fields say.
//!
//! Rules of both kinds stand in one list, in file order. In `legacy` mode the first rule that decides wins; a `Regex` always
//! decides, so that no rule behind one is ever asked, which is said at start. With `AND` or `OR` all rules are of one kind and
//! count together.

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_options::{InOrder, OptionValue, Options, PropertyBag, Spanned, ValueError};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::Fields;

use crate::rule::KeyRegex;

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
    rules: Vec<Rule>,
    mode: Mode,
}

#[derive(Debug)]
struct Rule {
    keeps: bool,
    test: KeyRegex,
    /// The rule before this one looks at the same key.
    same_key: bool,
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
        let rules: Vec<Option<Rule>> = written
            .iter()
            .map(|rule| {
                let option = if rule.keeps { "Regex" } else { "Exclude" };
                let test = KeyRegex::build(option, rule.text, rule.span, found)?;
                Some(Rule { keeps: rule.keeps, test, same_key: false })
            })
            .collect();
        let mut rules = rules.into_iter().collect::<Option<Vec<_>>>()?;
        for at in 1..rules.len() {
            rules[at].same_key = rules[at].test.has_key_of(&rules[at - 1].test);
        }
        Some(Self { rules, mode: mode? })
    }

    fn keeps(&self, fields: &Fields<'_>) -> bool {
        match self.mode {
            Mode::FirstDecides => self.first_decision(fields),
            Mode::All { keeps } => self.answers(fields).all(|(_, matched)| matched) == keeps,
            Mode::Any { keeps } => self.answers(fields).any(|(_, matched)| matched) == keeps,
        }
    }

    fn first_decision(&self, fields: &Fields<'_>) -> bool {
        for (keeps, matched) in self.answers(fields) {
            match (keeps, matched) {
                (true, matched) => return matched,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        true
    }

    /// Each rule's kind and whether it matches; a key that several rules in a row look at is looked up once.
    fn answers<'f>(&'f self, fields: &'f Fields<'_>) -> impl Iterator<Item = (bool, bool)> + 'f {
        let mut value = None;
        self.rules.iter().map(move |rule| {
            if !rule.same_key {
                value = rule.test.lookup(fields);
            }
            (rule.keeps, rule.test.matches_value(value))
        })
    }
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
        tell_unreachable(rules, found);
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

fn tell_unreachable(rules: &[Written<'_>], found: &mut Diagnostics) {
    let decided = rules.iter().position(|rule| rule.keeps).map_or(rules.len(), |at| at + 1);
    for rule in &rules[decided..] {
        let message = "no record comes to this rule: the `Regex` before it decides on every one";
        let help = if rule.keeps && rules.iter().all(|rule| rule.keeps) {
            "add `Logical_Op AND` or `Logical_Op OR`"
        } else {
            "write it before the `Regex`, or into a second grep filter"
        };
        found.push(Diagnostic::warning(UNREACHABLE_RULE, message).at(rule.span).help(help));
    }
}
