//! Rules: states and the expressions that lead from one to the next.

use crate::regex::{Regex, RegexError};

/// The state in which no record is under way.
pub(super) const START: &str = "start_state";

/// All rules of a parser, each with what may follow it.
#[derive(Debug)]
pub(super) struct Rules(Box<[Rule]>);

#[derive(Debug)]
struct Rule {
    regex: Regex,
    is_start: bool,
    /// Rules that may take the next line, in order.
    next: Box<[usize]>,
    /// It leads to a state in which a record starts: the record is complete.
    completes: bool,
}

/// A rule as it is written.
#[derive(Debug, Clone)]
pub(super) struct RuleText<'t> {
    pub(super) states: Vec<&'t str>,
    pub(super) regex: &'t str,
    pub(super) next: Option<&'t str>,
}

/// What a line is to a record under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It goes on with it; the rule that took it.
    Continues(usize),
    /// It begins another one.
    Starts(usize),
    /// It belongs to none.
    Alone,
}

impl RuleText<'_> {
    fn listens_on(&self, state: &str) -> bool {
        self.states.contains(&state)
    }
}

impl Rules {
    /// Compiles the rules; on a mistake, says which one's.
    pub(super) fn new(texts: &[RuleText<'_>]) -> Result<Self, (usize, RegexError)> {
        let compile = |(at, text): (usize, &RuleText<'_>)| {
            let regex = Regex::new(text.regex).map_err(|error| (at, error))?;
            let follow = texts
                .iter()
                .enumerate()
                .filter(|(_, other)| text.next.is_some_and(|state| other.listens_on(state)));
            let (starts, next): (Vec<_>, Vec<_>) = follow.partition(|(_, other)| other.listens_on(START));
            Ok(Rule {
                regex,
                is_start: text.listens_on(START),
                next: next.into_iter().map(|(at, _)| at).collect(),
                completes: !starts.is_empty(),
            })
        };
        texts.iter().enumerate().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// What a line is, after the line that the rule `last` took.
    pub(super) fn step(&self, last: Option<usize>, line: &[u8]) -> Step {
        let follow = last.map_or(&[][..], |last| &self.0[last].next);
        if let Some(rule) = follow.iter().find(|rule| self.0[**rule].regex.is_match(line)) {
            return Step::Continues(*rule);
        }
        let start = self.0.iter().position(|rule| rule.is_start && rule.regex.is_match(line));
        start.map_or(Step::Alone, Step::Starts)
    }

    /// Whether the record is complete with the line that a rule took.
    pub(super) fn completes(&self, rule: usize) -> bool {
        self.0[rule].completes
    }
}
