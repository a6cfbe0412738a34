//! Many expressions about one subject, in one pass over it.

use regex_automata::meta;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternSet};

use super::Regex;
use super::engine::Engine;

/// Bytes that the program of all expressions may take; beyond it they are asked one by one.
const PROGRAM_LIMIT: usize = 10 << 20;

/// Expressions that are asked together.
///
/// Those that need backtracking, and every one where a subject is no UTF-8 but must be, are still asked one by one, and only when their
/// answer is wanted. What comes out is what [`Regex::is_match`] says of each.
pub struct Many {
    members: Box<[Regex]>,
    one_line: Machine,
    /// For subjects with a line feed, if that makes a difference to any member.
    many_lines: Option<Machine>,
    /// Some member's subject must be UTF-8.
    needs_text: bool,
}

/// The linear engines of all members that have one.
struct Machine {
    regex: meta::Regex,
    /// The member that each of its patterns is of.
    members: Box<[Member]>,
    /// Members without a linear engine.
    others: Box<[usize]>,
}

struct Member {
    number: usize,
    /// Its answer must be looked at again where a line feed ends the subject.
    caret_leads: bool,
}

/// Room for the answers about one subject.
#[derive(Debug)]
pub struct Answers {
    found: PatternSet,
    list: Vec<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    No,
    Yes,
    /// It is not known yet.
    Ask,
}

impl Many {
    /// Puts expressions together. `None` if together they are too large, or none of them can run beside others.
    pub fn new(members: &[Regex]) -> Option<Self> {
        let one_line = Machine::new(members.iter().map(|member| &member.0.one_line))?;
        let has_lines = members.iter().any(|member| member.0.many_lines.is_some());
        let engines = members.iter().map(|member| member.0.many_lines.as_ref().unwrap_or(&member.0.one_line));
        Some(Self {
            one_line,
            many_lines: if has_lines { Some(Machine::new(engines)?) } else { None },
            needs_text: members.iter().any(|member| member.0.needs_text),
            members: members.into(),
        })
    }

    /// Room for the answers, to be used again and again.
    pub fn room(&self) -> Answers {
        let count = self.members.len();
        Answers { found: PatternSet::new(count), list: vec![Answer::No; count] }
    }

    /// Asks all expressions about a subject.
    pub fn ask(&self, subject: &[u8], answers: &mut Answers) {
        if self.needs_text && std::str::from_utf8(subject).is_err() {
            return answers.list.fill(Answer::Ask);
        }
        answers.list.fill(Answer::No);
        let machine = match &self.many_lines {
            Some(machine) if memchr::memchr(b'\n', subject).is_some() => machine,
            _ => &self.one_line,
        };
        machine.others.iter().for_each(|number| answers.list[*number] = Answer::Ask);
        // Most subjects match nothing, and that is known soonest.
        if !machine.regex.is_match(subject) {
            return;
        }
        answers.found.clear();
        machine.regex.which_overlapping_matches(&Input::new(subject), &mut answers.found);
        let ends_line = subject.last() == Some(&b'\n');
        for pattern in answers.found.iter() {
            let member = &machine.members[pattern.as_usize()];
            let is_sure = !(member.caret_leads && ends_line);
            answers.list[member.number] = if is_sure { Answer::Yes } else { Answer::Ask };
        }
    }

    /// Whether the expression with this number matches the subject that was [asked](Self::ask) about last.
    pub fn is_match(&self, number: usize, subject: &[u8], answers: &Answers) -> bool {
        match answers.list[number] {
            Answer::No => false,
            Answer::Yes => true,
            Answer::Ask => self.members[number].is_match(subject),
        }
    }
}

impl Machine {
    fn new<'e>(engines: impl Iterator<Item = &'e Engine>) -> Option<Self> {
        let (mut patterns, mut members, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (number, engine) in engines.enumerate() {
            match engine.linear() {
                Some((pattern, caret_leads)) => {
                    patterns.push(pattern);
                    members.push(Member { number, caret_leads });
                }
                None => others.push(number),
            }
        }
        if patterns.is_empty() {
            return None;
        }
        let regex = meta::Regex::builder()
            .syntax(syntax::Config::new().utf8(false))
            .configure(
                meta::Config::new()
                    .match_kind(MatchKind::All)
                    .utf8_empty(false)
                    .nfa_size_limit(Some(PROGRAM_LIMIT)),
            )
            .build_many(&patterns)
            .ok()?;
        Some(Self { regex, members: members.into(), others: others.into() })
    }
}

impl std::fmt::Debug for Many {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Many").field(&self.members).finish()
    }
}
